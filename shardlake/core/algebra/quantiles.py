"""approx_quantile: a histogram whose bins are fixed for all data, so that counts of a bin just add up.

A bin is the sign, the exponent and the first six bits of the fraction of a double: its edges are the numbers
2^e (1 + k / 64), which are doubles themselves, so that no logarithm and no rounding takes part. The middle of a
bin is at most 1/128 of any value in it away: the relative error is below 0.79 %. (DDSketch, Masson and others,
2019, in the variant with linear steps between powers of two.) Bins of negative values have negative numbers;
what is nearer to zero than 2.3e-308 counts as zero; NaN counts as the greatest value.

The quantile q is the value at rank ceil(q n) of the sorted values, from 1: what quantile_disc gives.
"""

from typing import Final

from shardlake.core.algebra.state import SKETCH, Aggregation, Call, NotMergeable, State, Term
from shardlake.core.algebra.types import is_number

BOUND: Final = "relative error 0.79 %"
_DROPPED_BITS: Final = 46  # of the fraction's 52
_FIRST_NORMAL: Final = 64
_MAGNITUDE: Final = (1 << 63) - 1
_DIGITS_MAX: Final = 9  # of q, so that n * q stays exact
_TYPE: Final = 'STRUCT("bin" INTEGER, "n" BIGINT)[]'


def approx_quantile(call: Call) -> Aggregation:
    """Estimate a quantile: NULL if there is no value."""
    if len(call.args) != 2:
        raise NotMergeable(
            f"approx_quantile takes two arguments, not {len(call.args)}", "write approx_quantile(x, 0.5)"
        )
    value, quantile = call.args
    if not is_number(value.type):
        raise NotMergeable(f"approx_quantile takes a number, not {value.type}", "convert it first with TRY_CAST")
    state = State(
        "bins",
        _TYPE,
        call.over(HISTOGRAM, COUNTED),
        "flatten(list({bins}))",
        partial_post=as_list("{bins}"),
        combine_post=ADD_UP,
    )
    return Aggregation((state,), _MIDDLE, "DOUBLE", SKETCH, BOUND, _steps(*_ratio(quantile)), _row_steps(value))


def _ratio(quantile: Term) -> tuple[int, int]:
    text = quantile.constant or ""
    whole, _, places = text.partition(".")
    if not (whole + places).isdigit() or len(places) > _DIGITS_MAX:
        raise NotMergeable("the quantile is not a constant from 0 to 1", "write approx_quantile(x, 0.95)")
    part, parts = int(whole + places), 10 ** len(places)
    if part > parts:
        raise NotMergeable(f"the quantile {text} is greater than 1", "write approx_quantile(x, 0.95)")
    return part, parts


def _row_steps(value: Term) -> tuple[tuple[str, str], ...]:
    double = value.sql if value.type == "DOUBLE" else f"CAST({value.sql} AS DOUBLE)"
    magnitude = f"(CAST(CAST({{value}} AS BIT) AS BIGINT) & {_MAGNITUDE}) >> {_DROPPED_BITS}"
    return (("value", double), ("magnitude", magnitude))


_BIN: Final = (
    f"CAST(CASE WHEN {{magnitude}} < {_FIRST_NORMAL} THEN 0 "
    "WHEN {value} < 0 THEN -{magnitude} ELSE {magnitude} END AS INTEGER)"
)
HISTOGRAM: Final = f"histogram({_BIN})"
COUNTED: Final = "{value} IS NOT NULL"


def as_list(histogram: str, *, sign: str = "") -> str:
    """Write a histogram as a list of bins, each with its count, or with less than nothing if the sign is "-"."""
    one = f'struct_pack("bin" := e."key", "n" := {sign}CAST(e."value" AS BIGINT))'
    return f"coalesce(list_transform(map_entries({histogram}), lambda e: {one}), CAST([] AS {_TYPE}))"


ADD_UP: Final = (
    '(SELECT coalesce(list(struct_pack("bin" := b."bin", "n" := b."n") ORDER BY b."bin"), '
    f"CAST([] AS {_TYPE})) "
    'FROM (SELECT u."bin" AS "bin", CAST(sum(u."n") AS BIGINT) AS "n" '
    "FROM (SELECT unnest({bins}) AS u) GROUP BY 1) AS b)"
)


def _steps(part: int, parts: int) -> tuple[tuple[str, str], ...]:
    counted = 'CAST(list_sum(list_transform({bins}, lambda b: b."n")) AS HUGEINT)'
    start = 'struct_pack("bin" := CAST(0 AS INTEGER), "n" := -{rank})'
    walk = 'CASE WHEN a."n" >= 0 THEN a ELSE struct_pack("bin" := b."bin", "n" := a."n" + b."n") END'
    return (
        ("rank", f"CAST(greatest(({counted} * {part} + {parts - 1}) // {parts}, 1) AS BIGINT)"),
        ("bin", f'list_reduce({{bins}}, lambda a, b: {walk}, {start})."bin"'),
        ("low", _edge("abs({bin})")),
        ("high", _edge("abs({bin}) + 1")),
    )


def _edge(number: str) -> str:
    return f"CAST(CAST(CAST({number} AS BIGINT) << {_DROPPED_BITS} AS BIT) AS DOUBLE)"


_MIDDLE: Final = (
    "CASE WHEN len({bins}) = 0 THEN NULL WHEN {bin} = 0 THEN 0 "
    "WHEN isinf({low}) OR isnan({low}) THEN sign({bin}) * {low} "
    "ELSE sign({bin}) * ({low} + ({high} - {low}) / 2) END"
)
