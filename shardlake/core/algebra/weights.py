"""Aggregates over a stream of changes, where a row of the weight -1 takes back an equal one of +1.

Every partial column is a sum of what rows hold, times their weight, or a histogram of such sums: so a row and its
taking back cancel, in whatever order, part and layer the two are counted. An aggregate that keeps less than that, as
the greatest value does, cannot give a row back and is not here.

Sums of integers and decimals are kept in 38 digits, and the result is made at the end: 10^19 rows of 19 digits fit, so
that a sum of integers fails only if its result does, whatever came and went on the way. Where more digits are needed,
by wide decimals and by squares, what is added up on the way must fit too; if it does not, that is an error.

What doubles add up to has the error of all that was ever added and taken back: `rows` and `abs` count both. Infinities
and NaN are counted apart, since a sum that holds one cannot give it back.
"""

from dataclasses import replace
from typing import Final

from shardlake.core.algebra import moments, quantiles
from shardlake.core.algebra.counts import COMBINE_COUNT
from shardlake.core.algebra.state import BOUNDED, Aggregation, Call, NotMergeable, State, Term, one_argument
from shardlake.core.algebra.sums import UNIT_ROUNDOFF, exact_type
from shardlake.core.algebra.types import is_integer

WEIGHT: Final = '"_weight"'
_ADDED, _TAKEN = f"{WEIGHT} > 0", f"{WEIGHT} < 0"


def weight_state() -> State:
    """Build the partial column that says how many rows a group has."""
    return _count_state(Call("count", ()))


def count(call: Call) -> Aggregation:
    """Count rows, or values that are not NULL."""
    state = _known(call, one_argument(call)) if call.args else _count_state(call)
    return Aggregation((state,), "{count}", "BIGINT")


def count_if(call: Call) -> Aggregation:
    """Count rows for which a condition is true; NULL if no row is left for which it is true or false."""
    condition = _condition(call, "write count(*) FILTER (WHERE ...)")
    states = (_tally(call, "true", condition.sql), _tally(call, "known", f"({condition.sql}) IS NOT NULL"))
    return Aggregation(states, "CASE WHEN {known} <> 0 THEN {true} END", "BIGINT")


def bool_and(call: Call) -> Aggregation:
    """Tell whether all values that are left are true."""
    return _logical(call, "CASE WHEN {false} > 0 THEN false WHEN {true} > 0 THEN true END")


def bool_or(call: Call) -> Aggregation:
    """Tell whether one of the values that are left is true."""
    return _logical(call, "CASE WHEN {true} > 0 THEN true WHEN {false} > 0 THEN false END")


def _logical(call: Call, result: str) -> Aggregation:
    condition = _condition(call, f"write {call.name}(x <> 0)")
    states = (_tally(call, "true", condition.sql), _tally(call, "false", f"NOT ({condition.sql})"))
    return Aggregation(states, result, "BOOLEAN")


def _condition(call: Call, rewrite: str) -> Term:
    condition = one_argument(call)
    if condition.type != "BOOLEAN":
        raise NotMergeable(f"{call.name} takes a condition, not {condition.type}", rewrite)
    return condition


def sum_of(call: Call) -> Aggregation:
    """Add values up: NULL if no value is left."""
    value = one_argument(call)
    if value.type == "DOUBLE":
        return Aggregation(_double_states(call, value), "{total}", "DOUBLE", BOUNDED, _SUM_BOUND, _TOTAL)
    total = _total(call, value)
    type_ = exact_type(call, value)
    result = f"CASE WHEN {{count}} <> 0 THEN CAST({{sum}} AS {type_}) END"
    return Aggregation((total, _known(call, value)), result, type_)


def avg(call: Call) -> Aggregation:
    """Average values: NULL if no value is left."""
    value = one_argument(call)
    if value.type == "DOUBLE":
        bound = f"(2 * {{rows}} + 2) * {UNIT_ROUNDOFF} * {{abs}} / nullif(abs({{count}}), 0)"
        mean = "{total} / nullif({count}, 0)"
        return Aggregation(_double_states(call, value), mean, "DOUBLE", BOUNDED, bound, _TOTAL)
    mean = f"CAST(CAST({{sum}} AS {exact_type(call, value)}) AS DOUBLE) / nullif({{count}}, 0)"
    return Aggregation((_total(call, value), _known(call, value)), mean, "DOUBLE")


def moment(call: Call) -> Aggregation:
    """Build a variance or standard deviation of integers or decimals: NULL for fewer values than it needs."""
    value = one_argument(call)
    if value.type == "DOUBLE":
        reason = f"{call.name} of doubles cannot give a value back: the error would have no bound"
        raise NotMergeable(reason, "convert it: TRY_CAST(x AS DECIMAL(18,3))")
    plain = moments.moment(call)
    _, _, squares = plain.states
    squares = replace(squares, partial=_net(call, f"sum({moments.square(call, value)})", squares.type))
    result = f"CASE WHEN {{count}} > 0 AND {{deviations}} >= 0 THEN {plain.finalize} END"
    return replace(plain, states=(_known(call, value), _total(call, value), squares), finalize=result)


def approx_quantile(call: Call) -> Aggregation:
    """Estimate a quantile: NULL if no value is left."""
    plain = quantiles.approx_quantile(call)
    (bins,) = plain.states
    added, taken = (call.over(quantiles.HISTOGRAM, quantiles.COUNTED, sign) for sign in (_ADDED, _TAKEN))
    both = f"list_concat({quantiles.as_list('{bins}.added')}, {quantiles.as_list('{bins}.taken', sign='-')})"
    net = quantiles.ADD_UP.replace("GROUP BY 1", 'GROUP BY 1 HAVING sum(u."n") <> 0')
    bins = replace(
        bins,
        partial=f"struct_pack(added := {added}, taken := {taken})",
        partial_post=net.replace("{bins}", both),
        combine_post=net,
    )
    left = 'coalesce(list_sum(list_transform({bins}, lambda b: b."n")), 0)'
    return replace(plain, states=(bins,), finalize=f"CASE WHEN {left} > 0 THEN {plain.finalize} END")


def _count_state(call: Call, *conditions: str, suffix: str = "count") -> State:
    total = call.over(f"sum({WEIGHT})", *conditions)
    combine = COMBINE_COUNT.replace("{count}", f"{{{suffix}}}")
    return State(suffix, "BIGINT", f"CAST(coalesce({total}, 0) AS BIGINT)", combine)


def _tally(call: Call, suffix: str, condition: str) -> State:
    return _count_state(call, condition, suffix=suffix)


def _known(call: Call, value: Term) -> State:
    return _count_state(call, f"({value.sql}) IS NOT NULL")


def _total(call: Call, value: Term) -> State:
    type_ = "DECIMAL(38,0)" if is_integer(value.type) else exact_type(call, value)
    return State("sum", type_, _net(call, f"sum({value.sql})", type_), f"CAST(sum({{sum}}) AS {type_})")


def _net(call: Call, aggregate: str, type_: str) -> str:
    """Write an aggregate of exact numbers over what was added, less that over what was taken back."""
    added, taken = (
        f"coalesce(CAST({call.over(aggregate, sign)} AS {type_}), CAST(0 AS {type_}))" for sign in (_ADDED, _TAKEN)
    )
    return f"CAST({added} - {taken} AS {type_})"


_SUM_BOUND: Final = f"2 * {{rows}} * {UNIT_ROUNDOFF} * {{abs}}"
_SPECIAL: Final = (
    "WHEN {nans} > 0 OR ({ups} > 0 AND {downs} > 0) THEN CAST('nan' AS DOUBLE)"
    " WHEN {ups} > 0 THEN CAST('inf' AS DOUBLE) WHEN {downs} > 0 THEN CAST('-inf' AS DOUBLE)"
)
_TOTAL: Final = (("total", f"CASE WHEN {{count}} = 0 THEN NULL {_SPECIAL} ELSE {{sum}} END"),)


def _double_states(call: Call, value: Term) -> tuple[State, ...]:
    finite = f"isfinite({value.sql})"
    zero = "CAST(0 AS DOUBLE)"
    total = f"coalesce({call.over(f'sum({value.sql} * {WEIGHT})', finite)}, {zero})"
    magnitudes = f"coalesce({call.over(f'sum(abs({value.sql}))', finite)}, {zero})"
    return (
        State("sum", "DOUBLE", total, "sum({sum})", bound=_SUM_BOUND),
        _known(call, value),
        State("rows", "BIGINT", call.over("count(*)", finite), "CAST(sum({rows}) AS BIGINT)"),
        State("abs", "DOUBLE", magnitudes, "sum({abs})", bound=_SUM_BOUND),
        _tally(call, "nans", f"isnan({value.sql})"),
        _tally(call, "ups", f"{value.sql} = CAST('inf' AS DOUBLE)"),
        _tally(call, "downs", f"{value.sql} = CAST('-inf' AS DOUBLE)"),
    )
