"""Rules of functions: text, numbers and time; the white-listed portable core."""

from typing import Final

from sqlglot import exp

from shardlake.core.algebra.state import Term
from shardlake.core.algebra.types import decimal_of, decimal_type, is_integer, is_number
from shardlake.core.compiler.scalar import Rule, Site, name_of

_UNIT_US: Final = {"SECOND": 1_000_000, "MINUTE": 60_000_000, "HOUR": 3_600_000_000, "DAY": 86_400_000_000}
_WEEK_US: Final = 7 * _UNIT_US["DAY"]
_TRUNCATED: Final = ("SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


def _text(function: str, result: str = "VARCHAR") -> Rule:
    def build(site: Site) -> Term:
        return Term(f"{function}({site.expect(site.term('this'), 'VARCHAR').sql})", result)

    return Rule(build)


def _text_pair(function: str, slot: str = "expression") -> Rule:
    def build(site: Site) -> Term:
        inner, other = site.expect(site.term("this"), "VARCHAR"), site.expect(site.term(slot), "VARCHAR")
        return Term(f"{function}({inner.sql}, {other.sql})", "BOOLEAN")

    return Rule(build, ("this", slot))


def _trim(site: Site) -> Term:
    function = {None: "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}.get(site.node.args.get("position"))
    if function is None:
        site.refuse("trim takes a text only", "write trim(x), ltrim(x) or rtrim(x)")
    return Term(f"{function}({site.expect(site.term('this'), 'VARCHAR').sql})", "VARCHAR")


def _side(function: str) -> Rule:
    def build(site: Site) -> Term:
        inner, length = site.expect(site.term("this"), "VARCHAR"), site.integer("expression")
        if length < 0:
            site.refuse(f"{function} with a negative length differs between engines", "count from the start")
        return Term(f"{function}({inner.sql}, {length})", "VARCHAR")

    return Rule(build, ("this", "expression"))


def _substring(site: Site) -> Term:
    inner, start = site.expect(site.term("this"), "VARCHAR"), site.integer("start")
    length = site.integer("length") if site.has("length") else None
    if start < 1 or (length is not None and length < 0):
        site.refuse("substring counts from 1, forwards", "write substring(x, 1, n), or right(x, n)")
    return Term(f"substring({inner.sql}, {start}{'' if length is None else f', {length}'})", "VARCHAR")


def _split_part(site: Site) -> Term:
    inner, delimiter = site.expect(site.term("this"), "VARCHAR"), site.pattern("delimiter")
    part = site.integer("part_index")
    if part < 1:
        site.refuse("split_part counts from 1, forwards", "write split_part(x, '/', 1)")
    return Term(f"split_part({inner.sql}, {delimiter.sql}, {part})", "VARCHAR")


def _replace(site: Site) -> Term:
    terms = [site.expect(site.term(slot), "VARCHAR") for slot in ("this", "expression", "replacement")]
    return Term(f"replace({', '.join(t.sql for t in terms)})", "VARCHAR")


def _matches(site: Site) -> Term:
    inner, pattern = site.expect(site.term("this"), "VARCHAR"), site.pattern("expression")
    return Term(f"regexp_matches({inner.sql}, {pattern.sql})", "BOOLEAN")


def _extract_text(site: Site) -> Term:
    inner, pattern = site.expect(site.term("this"), "VARCHAR"), site.pattern("expression")
    group = site.integer("group") if site.has("group") else 0
    return Term(f"regexp_extract({inner.sql}, {pattern.sql}, {group})", "VARCHAR")


def _abs(site: Site) -> Term:
    inner = _number(site)
    return Term(f"abs({inner.sql})", inner.type)


def _number(site: Site) -> Term:
    inner = site.term("this")
    if not is_number(inner.type):
        site.refuse(f"{name_of(site.node)} takes a number, not {inner.type}", "convert it with TRY_CAST")
    return inner


def _whole(function: str) -> Rule:
    def build(site: Site) -> Term:
        inner = _number(site)
        if is_integer(inner.type):
            site.refuse(f"{function} of an integer does nothing", "leave it out")
        decimal = decimal_of(inner.type)
        return Term(f"{function}({inner.sql})", decimal_type(decimal[0], 0) if decimal else "DOUBLE")

    return Rule(build)


def _round(site: Site) -> Term:
    inner = _number(site)
    digits = site.integer("decimals") if site.has("decimals") else 0
    if is_integer(inner.type) or digits < 0:
        site.refuse("round takes a DOUBLE or DECIMAL and a number of places from 0", "leave it out")
    decimal = decimal_of(inner.type)
    if decimal is None:
        return Term(f"round({inner.sql}, {digits})", "DOUBLE")
    return inner if digits >= decimal[1] else Term(f"round({inner.sql}, {digits})", decimal_type(decimal[0], digits))


def _part(unit: str) -> Rule:
    def build(site: Site) -> Term:
        inner = site.expect(site.term("this"), "TIMESTAMP", "DATE")
        return Term(f"{unit}({inner.sql})", "BIGINT")

    return Rule(build)


def _extract(site: Site) -> Term:
    unit = str(site.node.this.name).upper()
    if unit not in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"):
        site.refuse(f"extract of {unit} differs between engines", "take year, month, day, hour, minute or second")
    inner = site.expect(site.term("expression"), "TIMESTAMP", "DATE")
    return Term(f"{unit.lower()}({inner.sql})", "BIGINT")


def _trunc(site: Site) -> Term:
    unit = str(site.node.args["unit"].name).upper()
    if unit not in _TRUNCATED:
        site.refuse(f"date_trunc to {unit} is not in the portable core", f"use one of {', '.join(_TRUNCATED).lower()}")
    inner = site.expect(site.term("this"), "TIMESTAMP", rewrite="write date_trunc over CAST(x AS TIMESTAMP)")
    return Term(f"date_trunc('{unit.lower()}', {inner.sql})", "TIMESTAMP")


def bucket_us(site: Site) -> int:
    """Read the width of a `time_bucket`, in microseconds. Raises: ViewRefused."""
    width = site.node.this
    constant = width.this.name if isinstance(width, exp.Interval) and isinstance(width.this, exp.Literal) else ""
    unit = str(width.unit.name).upper().removesuffix("S") if isinstance(width, exp.Interval) and width.unit else ""
    size_us = _WEEK_US if unit == "WEEK" else _UNIT_US.get(unit)
    if not constant.isdigit() or int(constant) == 0 or size_us is None:
        rewrite = "write time_bucket(INTERVAL '5 minutes', x) in seconds, minutes, hours, days or weeks"
        if unit in ("MONTH", "QUARTER", "YEAR"):
            rewrite = f"months differ in length: write date_trunc('{unit.lower()}', x)"
        site.refuse("the width of a time_bucket is not a constant, fixed interval", rewrite)
    return int(constant) * size_us


def _bucket(site: Site) -> Term:
    width = bucket_us(site)
    rewrite = "write it over the event's time; a DATE with CAST(x AS TIMESTAMP)"
    inner = site.expect(site.term("expression"), "TIMESTAMP", rewrite=rewrite)
    return Term(f"time_bucket(INTERVAL '{_interval(width)}', {inner.sql})", "TIMESTAMP")


def _interval(width_us: int) -> str:
    unit = next(u for u in ("DAY", "HOUR", "MINUTE", "SECOND") if width_us % _UNIT_US[u] == 0)
    return f"{width_us // _UNIT_US[unit]} {unit.lower()}s"


def _epoch_us(site: Site) -> Term:
    (inner,) = site.positional(1, 1)
    return Term(f"epoch_us({site.expect(inner, 'TIMESTAMP').sql})", "BIGINT")


FUNCTIONS: Final[dict[type[exp.Expr], Rule]] = {
    exp.Lower: _text("lower"),
    exp.Upper: _text("upper"),
    exp.Length: _text("length", "BIGINT"),
    exp.Trim: Rule(_trim, ("this", "position")),
    exp.Left: _side("left"),
    exp.Right: _side("right"),
    exp.Substring: Rule(_substring, ("this", "start", "length")),
    exp.SplitPart: Rule(_split_part, ("this", "delimiter", "part_index")),
    exp.Replace: Rule(_replace, ("this", "expression", "replacement")),
    exp.Contains: _text_pair("contains"),
    exp.StartsWith: _text_pair("starts_with"),
    exp.EndsWith: _text_pair("ends_with"),
    exp.RegexpLike: Rule(_matches, ("this", "expression")),
    exp.RegexpExtract: Rule(_extract_text, ("this", "expression", "group"), {"null_if_pos_overflow": True}),
    exp.Abs: Rule(_abs),
    exp.Floor: _whole("floor"),
    exp.Ceil: _whole("ceil"),
    exp.Round: Rule(_round, ("this", "decimals")),
    exp.Year: _part("year"),
    exp.Month: _part("month"),
    exp.Day: _part("day"),
    exp.Hour: _part("hour"),
    exp.Minute: _part("minute"),
    exp.Second: _part("second"),
    exp.Extract: Rule(_extract, ("this", "expression")),
    exp.TimestampTrunc: Rule(_trunc, ("this", "unit")),
    exp.DateTrunc: Rule(_trunc, ("this", "unit")),
    exp.DateBin: Rule(_bucket, ("this", "expression")),
}

NAMED: Final[dict[str, Rule]] = {"epoch_us": Rule(_epoch_us)}
