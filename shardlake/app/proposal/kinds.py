"""The narrowest type that all values of a field have, told by the engine's own rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.app.proposal import names
from shardlake.app.proposal.seen import Field
from shardlake.core.schema import Column
from shardlake.packs.declared.values import FAULT, typed_sql
from shardlake.packs.declared.words import Read

# Seconds of the years 2000 to 2100: a number of a name like a time is one in there.
_EPOCH_MIN: Final = 946_684_800
_EPOCH_MAX: Final = 4_102_444_800
_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MONEY_SCALES: Final = (2, 4, 6)
PATTERNS: Final = (
    "%Y-%m-%d %H:%M:%S.%f %z", "%Y-%m-%d %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y", "%Y/%m/%d %H:%M:%S", "%Y%m%dT%H%M%SZ", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M",
)  # fmt: skip
_DAYS_OR_MONTHS: Final = {"%d/%m/%Y %H:%M:%S": "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M": "%m/%d/%Y %H:%M"}
_NUMBERS: Final = frozenset({"UBIGINT", "BIGINT", "DOUBLE"})
_DIGITS_OF_DOUBLE: Final = 15
NEARLY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Kind:
    """A type, with how a time is written, and what is to be said about it. Without a type a field is left out.

    `nearly` is the way to write times that most of the values have, of a field that is no time.
    """

    type: str
    time: str = ""
    note: str = ""
    nearly: str = ""
    misfits: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """What the texts of a field look like: how many are empty, whole numbers, numbers and so on."""

    n: int
    distinct: int
    empty: int
    truths: int
    whole: int
    numbers: int
    dates: int
    times: int
    digits_max: int
    low: float
    high: float


def shape_of(texts: pa.Table, at: int, engine: Engine) -> Shape:
    """Count what the texts of the field of this place look like."""
    number = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"
    sql = f"""SELECT count(t) AS n, count(DISTINCT t) AS distinct_, count(*) FILTER (t = '') AS empty,
        count(*) FILTER (lower(t) IN ('true', 'false')) AS truths,
        count(*) FILTER (regexp_full_match(t, '-?(0|[1-9][0-9]*)')) AS whole,
        count(*) FILTER (regexp_full_match(t, '{number}')) AS numbers,
        count(*) FILTER (length(t) = 10) AS dates,
        count(*) FILTER (length(t) BETWEEN 8 AND 40 AND regexp_matches(t, '[0-9]{{2}}')) AS times,
        coalesce(max(length(regexp_replace(t, '[^0-9]', '', 'g'))), 0) AS digits,
        coalesce(min(TRY_CAST(t AS DOUBLE)) FILTER (regexp_full_match(t, '{number}')), 0.0) AS low,
        coalesce(max(TRY_CAST(t AS DOUBLE)) FILTER (regexp_full_match(t, '{number}')), 0.0) AS high
        FROM (SELECT t{at} AS t FROM texts)"""
    [row] = engine.table(sql, {"texts": texts}).to_pylist()
    return Shape(*row.values())


def kind_of(field: Field, shape: Shape, texts: pa.Table, at: int, engine: Engine) -> Kind:
    """Choose the type of a field: the narrowest that the engine takes for all of its values."""
    if not shape.n:
        return Kind("", note="no line has a value there")
    tried = _Tried(texts, at, engine, shape.n)
    name = field.steps[-1]
    if field.kinds.keys() <= {"OBJECT", "ARRAY"}:
        lists = f'lists, kept as JSON text; `from = "{".".join(field.steps)}[0]"` is the first of one'
        is_plain = "ARRAY" in field.kinds and field.source == ".".join(field.steps) and field.source.isidentifier()
        return Kind("VARCHAR", note=field.note or (lists if is_plain else "lists, kept as JSON text"))
    narrow = _number(name, field, shape, tried) or _time(name, field, shape, tried)
    return narrow or _text(field, shape, tried)


class _Tried:
    """Candidates of one field, tried on all of its texts."""

    def __init__(self, texts: pa.Table, at: int, engine: Engine, n: int) -> None:
        self._texts, self._at, self._engine, self._n = texts, at, engine, n

    def counts(self, candidates: Sequence[tuple[str, str]]) -> list[int]:
        """Count for each type, with how times are written, the texts that are taken."""
        read = [Read(Column(f"c{i}", kind), f"c{i}", time, False) for i, (kind, time) in enumerate(candidates)]
        rows = ", ".join(f"t{self._at} AS t{i}" for i in range(len(read)))
        sql = typed_sql(read, (), "", f'SELECT {rows}, 0 AS "{FAULT}" FROM texts')
        counted = ", ".join(f"count(c{i}) AS c{i}" for i in range(len(read)))
        [row] = self._engine.table(f"SELECT {counted} FROM ({sql})", {"texts": self._texts}).to_pylist()
        return list(row.values())

    def fits(self, kind: str, time: str = "") -> bool:
        """Tell whether all texts are taken for a type."""
        return self.counts([(kind, time)]) == [self._n]


def _number(name: str, field: Field, shape: Shape, tried: _Tried) -> Kind | None:
    if shape.truths == shape.n and tried.fits("BOOLEAN"):
        return Kind("BOOLEAN")
    is_quoted = field.is_json and field.kinds["VARCHAR"] == shape.n
    if shape.numbers < shape.n or (is_quoted and names.sounds_like_id(name)):
        return None  # digits in quotes are meant as a text
    if (units := _units(name, shape)) and tried.fits("TIMESTAMP", units):
        return Kind("TIMESTAMP", units)
    if shape.whole == shape.n and tried.fits("BIGINT"):
        more = "whole numbers here; DECIMAL(15,2) takes fractions too" if names.sounds_like_money(name) else ""
        return Kind("BIGINT", note=more)
    return _wide(name, field, shape, tried)


def _wide(name: str, field: Field, shape: Shape, tried: _Tried) -> Kind | None:
    is_text = bool(field.kinds["VARCHAR"])
    if shape.whole == shape.n and is_text:
        return None  # as a number so many digits would be rounded
    if not field.kinds["DOUBLE"] and not is_text and tried.fits("DECIMAL(20,0)"):
        return Kind("DECIMAL(20,0)", note="whole numbers beyond 64 bits with a sign")
    return _fraction(name, shape, tried)


def _fraction(name: str, shape: Shape, tried: _Tried) -> Kind | None:
    if names.sounds_like_money(name):
        for scale in _MONEY_SCALES:
            if tried.fits(f"DECIMAL(15,{scale})"):
                return Kind(f"DECIMAL(15,{scale})", note="sums of it are exact; DOUBLE takes more digits and rounds")
    if not tried.fits("DOUBLE"):
        return None
    is_long = shape.digits_max > _DIGITS_OF_DOUBLE
    return Kind("DOUBLE", note="some have more digits than a double keeps" if is_long else "")


def _units(name: str, shape: Shape) -> str:
    """Tell which units of time since 1970 numbers of this name are; "" for none."""
    if not names.sounds_like_time(name):
        return ""
    for unit, scale in _UNITS.items():
        if _EPOCH_MIN * scale <= shape.low and shape.high <= _EPOCH_MAX * scale:
            return unit
    return "epoch" if shape.low >= _EPOCH_MIN and shape.high <= _EPOCH_MAX * _UNITS["ms"] else ""


def _time(name: str, field: Field, shape: Shape, tried: _Tried) -> Kind | None:
    if field.kinds["VARCHAR"] < shape.n or shape.times < NEARLY * shape.n:
        return None
    if shape.dates == shape.n and tried.fits("DATE", "iso"):
        return Kind("DATE")
    times = ("iso", *PATTERNS)
    counts = dict(zip(times, tried.counts([("TIMESTAMP", time) for time in times]), strict=True))
    whole = [time for time in times if counts[time] == shape.n]
    if not whole:
        best = max(times, key=lambda time: counts[time])
        is_near = names.sounds_like_time(name) and counts[best] >= NEARLY * shape.n
        return _text(field, shape, tried, best, shape.n - counts[best]) if is_near else None
    if _DAYS_OR_MONTHS.get(whole[0], "") in whole:
        other = _DAYS_OR_MONTHS[whole[0]]
        return Kind("VARCHAR", note=f"times in which day and month cannot be told apart: {whole[0]} or {other}")
    return Kind("TIMESTAMP", "" if whole[0] == "iso" else whole[0])


def _text(field: Field, shape: Shape, tried: _Tried, nearly: str = "", misfits: int = 0) -> Kind:
    seen = field.kinds
    if seen["DOUBLE"]:
        counted = " and ".join(f"{n:,} {_SPOKEN.get(kind, kind)}" for kind, n in sorted(seen.items()))
        return Kind("", note=f"{counted}: no type takes them all, as a text would not keep a number's digits")
    if len({*seen} - _NUMBERS) + bool({*seen} & _NUMBERS) > 1:
        counted = ", ".join(f"{n:,} {_SPOKEN.get(kind, kind)}" for kind, n in sorted(seen.items()))
        return Kind("VARCHAR", note=field.note or f"of several kinds: {counted}", nearly=nearly, misfits=misfits)
    return Kind("VARCHAR", note=_why_text(shape, tried, nearly, misfits), nearly=nearly, misfits=misfits)


def _why_text(shape: Shape, tried: _Tried, nearly: str, misfits: int) -> str:
    if nearly:
        return f"{misfits:,} of {shape.n:,} are not times; the others are"
    others = shape.n - shape.empty
    for kind, count in (("BIGINT", shape.whole), ("DOUBLE", shape.numbers)):
        if NEARLY * others <= count < shape.n and tried.counts([(kind, "")]) == [count]:
            empty = f", {shape.empty:,} of them empty" if shape.empty else ""
            return f"{shape.n - count:,} of {shape.n:,} are not {kind}{empty}; the others are"
    return ""


_SPOKEN: Final = {
    "VARCHAR": "texts",
    "DOUBLE": "numbers with a fraction",
    "BIGINT": "negative numbers",
    "UBIGINT": "numbers",
    "BOOLEAN": "true or false",
    "ARRAY": "lists",
    "OBJECT": "objects",
}
