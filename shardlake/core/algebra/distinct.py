"""approx_count_distinct: HyperLogLog in integers, so that every engine computes the same registers.

A value's text is hashed by MD5, of which 60 bits are used: the low 13 choose a register, and rho is the place of
the lowest bit set in the other 47 (48 if none is). The column is a sorted list of `register * 64 + rho`, one for
each register in use, and merging keeps the greatest of each register. The estimate is Ertl's (New cardinality
estimation algorithms for HyperLogLog sketches, 2017): m^2 / (2 ln 2 z), where z adds 2^-rho of the registers in
use, as integers, and m sigma(c / m) for the c empty ones. Its tau, for registers that ran full, is left out: it
changes the result by less than 1e-6 up to 10^9 values.
"""

from typing import Final

from shardlake.core.algebra.state import SKETCH, Aggregation, Call, NotMergeable, State, Term, one_argument

PRECISION: Final = 13
REGISTERS: Final = 1 << PRECISION
_HASH_DIGITS: Final = 15  # hexadecimal: 60 bits, which a BIGINT holds
_GUARD: Final = 1 << (4 * _HASH_DIGITS - PRECISION)  # a bit above all others: rho of zero
_RHO_MAX: Final = 4 * _HASH_DIGITS - PRECISION + 1
_SCALE: Final = "0.7213475204444817"  # 1 / (2 ln 2)
_SQUARINGS: Final = 20  # (1 - 1/m)^(2^20) is zero in a double
BOUND: Final = "relative standard error 1.15 %"
_HASHABLE: Final = ("BOOLEAN", "INTEGER", "BIGINT", "VARCHAR", "DATE")


def approx_count_distinct(call: Call) -> Aggregation:
    """Estimate how many different values there are: 0 if there is none."""
    value = one_argument(call)
    codes = call.over(f"list({_CODE})", "{hash} IS NOT NULL")
    state = State(
        "registers",
        "INTEGER[]",
        f"list_sort({codes})",
        "list_sort(flatten(list({registers})))",
        partial_post=_KEEP_LAST,
        combine_post=_KEEP_LAST,
    )
    return Aggregation((state,), _ESTIMATE, "BIGINT", SKETCH, BOUND, _STEPS, _row_steps(_text(value)))


def _text(value: Term) -> str:
    """Write a value as the same text on every engine."""
    if value.type == "VARCHAR":
        return value.sql
    if value.type == "TIMESTAMP":
        return f"CAST(epoch_us({value.sql}) AS VARCHAR)"
    if value.type in _HASHABLE or value.type.startswith("DECIMAL"):
        return f"CAST({value.sql} AS VARCHAR)"
    rewrite = "convert it: TRY_CAST(x AS DECIMAL(18,3)), or TRY_CAST(floor(x) AS BIGINT)"
    raise NotMergeable(f"the text of a {value.type} differs between engines, and so would its hash", rewrite)


def _row_steps(text: str) -> tuple[tuple[str, str], ...]:
    hashed = f"CAST('0x' || left(md5({text}), {_HASH_DIGITS}) AS BIGINT)"
    return (("hash", hashed), ("rest", f"({{hash}} >> {PRECISION}) | {_GUARD}"))


_CODE: Final = f"CAST(({{hash}} & {REGISTERS - 1}) * 64 + bit_count(xor({{rest}}, {{rest}} - 1)) AS INTEGER)"
_KEEP_LAST: Final = (
    "coalesce(list_filter({registers}, lambda c, i: "
    "i = len({registers}) OR {registers}[i + 1] >> 6 <> c >> 6), CAST([] AS INTEGER[]))"
)
_USED: Final = (
    f"coalesce(list_sum(list_transform({{registers}}, lambda c: CAST(1 AS BIGINT) << ({_RHO_MAX} - (c & 63)))), 0)"
    f" / CAST({1 << _RHO_MAX} AS DOUBLE)"
)
_ZERO: Final = "CAST(0 AS DOUBLE)"
_SIGMA: Final = (
    f"list_reduce(repeat([struct_pack(power := {_ZERO}, weight := {_ZERO}, total := {_ZERO})], {_SQUARINGS}), "
    "lambda s, _: struct_pack(power := s.power * s.power, weight := s.weight * 2, "
    "total := s.total + s.power * s.power * s.weight), "
    "struct_pack(power := {empty}, weight := CAST(1 AS DOUBLE), total := {empty})).total"
)
_STEPS: Final = (
    ("used", _USED),
    ("empty", f"1 - len({{registers}}) / CAST({REGISTERS} AS DOUBLE)"),
    ("sigma", _SIGMA),
)
_ESTIMATE: Final = (
    "CASE WHEN len({registers}) = 0 THEN 0 ELSE CAST(round("
    f"CAST({_SCALE} AS DOUBLE) * {REGISTERS * REGISTERS} / ({{used}} + {REGISTERS} * {{sigma}})) AS BIGINT) END"
)
