"""var_samp, var_pop, stddev_samp and stddev_pop.

Integers and decimals keep n, the sum and the sum of squares, exactly; the sum of squared differences is then
computed in 128-bit integers, so that nothing cancels, and cast once. With S = m n + r it is
sum(x^2) - m (S + r) - r^2 / n. Doubles keep n, mean and M2, merged by Chan, Golub and LeVeque's formula (1979);
the bounds hold for squares that a double can hold (1e-150 < |x| < 1e150).
"""

from typing import Final

from shardlake.core.algebra.counts import count_state
from shardlake.core.algebra.state import BOUNDED, Aggregation, Call, NotMergeable, State, Term, one_argument
from shardlake.core.algebra.sums import UNIT_ROUNDOFF, exact_sum
from shardlake.core.algebra.types import decimal_of, decimal_type

_FACTOR_WIDTH: Final = 19  # two factors of 19 digits fill a DECIMAL(38)
_DIVISORS: Final = {"var_samp": "nullif({count} - 1, 0)", "var_pop": "nullif({count}, 0)"}
_OF: Final = {"stddev_samp": "var_samp", "stddev_pop": "var_pop"}
_POWER: Final = "({m2} + {count} * {mean} * {mean})"  # the sum of squares, out of mean and M2
_MEAN_BOUND: Final = f"4 * {{count}} * {UNIT_ROUNDOFF} * sqrt({_POWER} / {{count}})"
_M2_BOUND: Final = (
    f"8 * {{count}} * {UNIT_ROUNDOFF} * (sqrt({{m2}} * {_POWER}) + {{count}} * {UNIT_ROUNDOFF} * {_POWER})"
)
_CHAN: Final = (
    'list_sum(list_transform({m2}, lambda p: p."m2" + p."count" * (p."mean" - {mean}) * (p."mean" - {mean})))'
)


def moment(call: Call) -> Aggregation:
    """Build a variance or standard deviation: NULL for fewer values than it needs."""
    value = one_argument(call)
    return _of_doubles(call, value) if value.type == "DOUBLE" else _of_exact(call, value)


def _of_doubles(call: Call, value: Term) -> Aggregation:
    variance = f"{{m2}} / {_DIVISORS[_OF.get(call.name, call.name)]}"
    bound = f"{_M2_BOUND} / {_DIVISORS[_OF.get(call.name, call.name)]}"
    if call.name in _OF:
        variance, bound = f"sqrt({variance})", f"least(sqrt({bound}), {bound} / nullif(sqrt({variance}), 0))"
    return Aggregation(_double_states(call, value), variance, "DOUBLE", BOUNDED, bound)


def _double_states(call: Call, value: Term) -> tuple[State, ...]:
    mean = "sum({count} * {mean}) / nullif(sum({count}), 0)"
    m2 = f"{call.over(f'var_pop({value.sql})')} * {call.over(f'count({value.sql})')}"
    parts = 'list(struct_pack("count" := {count}, "mean" := {mean}, "m2" := {m2}))'
    return (
        count_state(call, value.sql),
        State("mean", "DOUBLE", call.over(f"avg({value.sql})"), mean, bound=_MEAN_BOUND),
        State("m2", "DOUBLE", m2, parts, combine_post=_CHAN, bound=_M2_BOUND),
    )


def _of_exact(call: Call, value: Term) -> Aggregation:
    decimal = decimal_of(value.type)
    scale = decimal[1] if decimal else 0
    total = exact_sum(call, value)
    states = (count_state(call, value.sql), total, _squares(call, value, scale))
    variance = f"{{deviations}} / {_DIVISORS[_OF.get(call.name, call.name)]}"
    variance = f"{variance} / CAST(1e{2 * scale} AS DOUBLE)" if scale else variance
    return Aggregation(states, f"sqrt({variance})" if call.name in _OF else variance, "DOUBLE", steps=_steps(scale))


def _squares(call: Call, value: Term, scale: int) -> State:
    type_ = decimal_type(38, 2 * scale)
    partial = f"CAST({call.over(f'sum({square(call, value)})')} AS {type_})"
    return State("squares", type_, partial, f"CAST(sum({{squares}}) AS {type_})")


def square(call: Call, value: Term) -> str:
    """Write the square of an integer or decimal. Raises: NotMergeable if it needs too many digits."""
    decimal = decimal_of(value.type)
    scale = decimal[1] if decimal else 0
    if scale > _FACTOR_WIDTH:
        raise NotMergeable(f"{call.name} of {value.type} needs more than 38 digits", "convert it to a smaller scale")
    factor = f"CAST({value.sql} AS {decimal_type(_FACTOR_WIDTH, scale) if scale else 'HUGEINT'})"
    return f"{factor} * {factor}"


def _steps(scale: int) -> tuple[tuple[str, str], ...]:
    def whole(column: str) -> str:
        text = f"replace(CAST({column} AS VARCHAR), '.', '')" if scale else column
        return f"CAST({text} AS HUGEINT)"

    total = whole("{sum}")
    near = f"{whole('{squares}')} - {{quotient}} * ({total} + {{rest}})"
    exact = "CAST({near} * {count} - {rest} * {rest} AS DOUBLE) / {count}"
    rounded = "CAST({near} AS DOUBLE) - CAST({rest} * {rest} AS DOUBLE) / {count}"
    return (
        ("quotient", f"{total} // nullif({{count}}, 0)"),
        ("rest", f"{total} % nullif({{count}}, 0)"),
        ("near", near),
        ("deviations", f"CASE WHEN {{near}} < 1000000000000000000 THEN {exact} ELSE {rounded} END"),
    )
