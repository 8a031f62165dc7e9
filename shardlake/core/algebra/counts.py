"""count(*), count(x) and count_if(p): BIGINT, added up."""

from typing import Final

from shardlake.core.algebra.state import Aggregation, Call, NotMergeable, State, one_argument

COMBINE_COUNT: Final = "CAST(sum({count}) AS BIGINT)"


def count_state(call: Call, counted: str) -> State:
    """Build the partial column that counts: shared by all aggregates that need how many."""
    return State("count", "BIGINT", call.over(f"count({counted})"), COMBINE_COUNT)


def count(call: Call) -> Aggregation:
    """Count rows, or values that are not NULL."""
    counted = one_argument(call).sql if call.args else "*"
    return Aggregation((count_state(call, counted),), "{count}", "BIGINT")


def count_if(call: Call) -> Aggregation:
    """Count rows for which a condition is true: as in DuckDB, NULL if it is never true or false."""
    condition = one_argument(call)
    if condition.type != "BOOLEAN":
        raise NotMergeable(f"count_if takes a condition, not {condition.type}", "write count(*) FILTER (WHERE ...)")
    partial = f"CAST({call.over(f'count_if({condition.sql})')} AS BIGINT)"
    return Aggregation((State("count", "BIGINT", partial, COMBINE_COUNT),), "{count}", "BIGINT")
