"""count(*), count(x) and count_if(p): BIGINT, added up."""

from shardlake.core.algebra.state import Aggregation, Call, NotMergeable, State, one_argument

COMBINE_COUNT = "CAST(sum({count}) AS BIGINT)"


def count_state(call: Call, counted: str, suffix: str = "count", *conditions: str) -> State:
    """Build the partial column that counts: shared by all aggregates that need how many."""
    partial = call.over(f"count({counted})", *conditions)
    return State(suffix, "BIGINT", partial, COMBINE_COUNT.replace("{count}", f"{{{suffix}}}"))


def count(call: Call) -> Aggregation:
    """Count rows, or values that are not NULL."""
    counted = one_argument(call).sql if call.args else "*"
    return Aggregation((count_state(call, counted),), "{count}", "BIGINT")


def count_if(call: Call) -> Aggregation:
    """Count rows for which a condition is true."""
    condition = one_argument(call)
    if condition.type != "BOOLEAN":
        raise NotMergeable(f"count_if takes a condition, not {condition.type}", "write count(*) FILTER (WHERE ...)")
    return Aggregation((count_state(call, "*", "count", condition.sql),), "{count}", "BIGINT")
