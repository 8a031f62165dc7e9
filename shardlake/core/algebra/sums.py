"""sum and avg.

Integers add up in 128 bits and are cast to BIGINT, so that an overflow is an error and nothing wraps or turns
into a DOUBLE in a file. Decimals keep their scale in DECIMAL(38,s). Doubles depend on the order of addition:
their count and sum of magnitudes are kept, which bound the error (Higham, Accuracy and Stability, 4.2).
"""

from typing import Final

from shardlake.core.algebra.counts import count_state
from shardlake.core.algebra.state import BOUNDED, EXACT, Aggregation, Call, NotMergeable, State, Term, one_argument
from shardlake.core.algebra.types import decimal_of, decimal_type, is_integer

UNIT_ROUNDOFF: Final = "1.1102230246251565e-16"  # 2^-53
SUM_BOUND: Final = f"2 * {{count}} * {UNIT_ROUNDOFF} * {{abs}}"


def sum_of(call: Call) -> Aggregation:
    """Add values up: NULL if there is none."""
    value = one_argument(call)
    if value.type == "DOUBLE":
        return Aggregation(_double_states(call, value), "{sum}", "DOUBLE", BOUNDED, SUM_BOUND)
    state = exact_sum(call, value)
    return Aggregation((state,), "{sum}", state.type)


def avg(call: Call) -> Aggregation:
    """Average values: the sum, cast once, over the count; NULL if there is none."""
    value = one_argument(call)
    if value.type == "DOUBLE":
        bound = f"(2 * {{count}} + 2) * {UNIT_ROUNDOFF} * {{abs}} / nullif({{count}}, 0)"
        return Aggregation(_double_states(call, value), _MEAN, "DOUBLE", BOUNDED, bound)
    states = (exact_sum(call, value), count_state(call, value.sql))
    return Aggregation(states, _MEAN, "DOUBLE", EXACT)


_MEAN: Final = "CAST({sum} AS DOUBLE) / nullif({count}, 0)"


def exact_sum(call: Call, value: Term) -> State:
    """Build the partial column of an integer's or decimal's sum."""
    type_ = exact_type(call, value)
    return State("sum", type_, f"CAST({call.over(f'sum({value.sql})')} AS {type_})", f"CAST(sum({{sum}}) AS {type_})")


def exact_type(call: Call, value: Term) -> str:
    """Give the type of a sum of integers or decimals. Raises: NotMergeable for other values."""
    if is_integer(value.type):
        return "BIGINT"
    decimal = decimal_of(value.type)
    if decimal is None:
        raise NotMergeable(f"{call.name} takes a number, not {value.type}", _rewrite(value))
    return decimal_type(38, decimal[1])


def _rewrite(value: Term) -> str:
    if value.type == "BOOLEAN":
        return "write count_if(condition)"
    return "convert it first: TRY_CAST(x AS BIGINT)" if value.type == "VARCHAR" else "take min, max or count of it"


def _double_states(call: Call, value: Term) -> tuple[State, ...]:
    return (
        State("sum", "DOUBLE", call.over(f"sum({value.sql})"), "sum({sum})", bound=SUM_BOUND),
        count_state(call, value.sql),
        State("abs", "DOUBLE", call.over(f"sum(abs({value.sql}))"), "sum({abs})", bound=SUM_BOUND),
    )
