"""Blocks in which something is off: each line is judged, the good ones are read together, the rest become letters.

This works line by line in Python where whole columns cannot tell, at one or two microseconds a line; only values that
are neither surely good nor surely bad are tried one by one, each distinct value once.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shardlake.packs import arrays
from shardlake.packs.cloudfront.header import read_fields
from shardlake.packs.cloudfront.layout import BOM, TIMESTAMP, TIMESTAMP_END_S, Layout
from shardlake.packs.cloudfront.reading import read_csv, read_rows
from shardlake.packs.cloudfront.schema import READ_SCHEMA
from shardlake.packs.pack import Decoded, Letter, Reason

_BLANK: Final = b" \r"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a type's values look like: those that are surely good, and those that might be; no other one is good.

    Those that might be are good if the CSV reader takes them, and `fits` what it makes of them.
    """

    name: str
    sure: str
    maybe: re.Pattern[str]
    fits: Callable[[Any], bool] = lambda _: True


_WHOLE = re.compile(r" *(?:-?[0-9]+|0[xX][0-9a-fA-F]+) *")
_DECIMAL = re.compile(r" *[-+0-9.eE]+ *")
_SHAPES: Final = {
    pa.int64(): _Shape("an integer", r"^ *-?[0-9]{1,18} *$", _WHOLE),
    pa.float64(): _Shape("a number", r"^ *-?[0-9]{1,15}(\.[0-9]{1,15})? *$", _DECIMAL, math.isfinite),
    pa.date32(): _Shape(
        "a date from 1970 on",
        r"^ *(19[789][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]) *$",
        re.compile(r" *(?:19[789][0-9]|[2-9][0-9]{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]) *"),
    ),
    pa.time32("s"): _Shape("a time of day", r"^ *([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])? *$", re.compile(r"(?!)")),
    TIMESTAMP["timestamp"]: _Shape(
        "a time in seconds since 1970 with at most six decimals",
        r"^ *[0-9]{1,11}(\.[0-9]{1,6})? *$",
        _DECIMAL,
        lambda seconds: 0 <= seconds < TIMESTAMP_END_S,
    ),
}


@dataclass(frozen=True, slots=True)
class Sifted:
    """What a block held, and the layouts that its headers named, in order."""

    decoded: Decoded
    layouts: tuple[Layout, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    """Lines of one layout that have the right number of fields: their indices, and themselves as they stand."""

    layout: Layout
    indices: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    def pick(self, places: Sequence[int]) -> "_Kept":
        return _Kept(self.layout, [self.indices[at] for at in places], [self.lines[at] for at in places])


@dataclass(frozen=True, slots=True)
class _Read:
    table: pa.Table
    indices: list[int]
    letters: list[Letter]


def sift(block: bytes, layout: Layout, line_bytes_max: int) -> Sifted:
    """Judge each line of a block. `layout` is that of the lines before the block's first header."""
    letters: list[Letter] = []
    layouts: list[Layout] = []
    mine = _Kept(layout)
    kept = {layout: mine}
    for index, line in enumerate(block.split(b"\n")):
        if line.startswith(layout.dialect.directives):
            found = read_fields(line)
            if found is not None:
                layouts.append(found)
                mine = kept.setdefault(found, _Kept(found))
        elif fault := _fault(line, mine.layout, line_bytes_max):
            letters.append(Letter(index, *fault, line))
        elif line.rstrip(_BLANK):
            mine.indices.append(index)
            mine.lines.append(line)
    parts = [_read(lines, line_bytes_max) for lines in kept.values() if lines.lines]
    return Sifted(_merge(parts, letters), tuple(layouts))


def _fault(line: bytes, layout: Layout, limit: int) -> tuple[Reason, str] | None:
    """Say what is wrong with a line as a whole; None if nothing is, or if there is nothing in it."""
    if len(line) > limit:
        return Reason.LINE_TOO_LONG, f"{len(line)} bytes; the limit is {limit}"
    if not line.rstrip(_BLANK):
        return None
    if not layout.is_usable:
        return Reason.NO_HEADER, layout.dialect.untimed
    found = line.count(b"\t") + (line.rstrip(_BLANK) != BOM)
    if found != layout.width:
        reason = Reason.TOO_FEW_FIELDS if found < layout.width else Reason.TOO_MANY_FIELDS
        return reason, f"{found} fields; {layout.dialect.namer} names {layout.width}"
    return None if line.isascii() or _is_utf8(line) else (Reason.INVALID_UTF8, "it is not UTF-8")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read(kept: _Kept, limit: int) -> _Read:
    """Read lines of one layout; those in which a value has a wrong type become letters."""
    text = _Text.of(kept.lines)
    table = text.rows(kept.layout, limit)
    if table is not None:
        return _Read(table, kept.indices, [])
    faults = _type_faults(text, kept.layout, limit)
    letters = [Letter(kept.indices[at], Reason.WRONG_TYPE, d, kept.lines[at]) for at, d in enumerate(faults) if d]
    good = kept.pick([at for at, detail in enumerate(faults) if not detail])
    return _salvage(good, limit, letters)


def _salvage(kept: _Kept, limit: int, letters: list[Letter]) -> _Read:
    """Read lines that should all be good. Were one not, halving finds it: nothing stops the file, nothing is lost."""
    table = _Text.of(kept.lines).rows(kept.layout, limit) if kept.lines else READ_SCHEMA.empty_table()
    if table is not None:
        return _Read(table, kept.indices, letters)
    if len(kept.lines) == 1:
        letters.append(Letter(kept.indices[0], Reason.WRONG_TYPE, "a value has a wrong type", kept.lines[0]))
        return _salvage(kept.pick([]), limit, letters)
    middle = len(kept.lines) // 2
    first = _salvage(kept.pick(range(middle)), limit, letters)
    second = _salvage(kept.pick(range(middle, len(kept.lines))), limit, letters)
    return _Read(pa.concat_tables([first.table, second.table]), first.indices + second.indices, letters)


def _merge(parts: Sequence[_Read], letters: list[Letter]) -> Decoded:
    """Put the rows of all layouts, and all letters, into the order of the lines."""
    ordered = tuple(sorted([*letters, *(x for part in parts for x in part.letters)], key=lambda x: x.index))
    if not parts:
        return Decoded(READ_SCHEMA.empty_table(), np.zeros(0, np.int64), ordered)
    table = pa.concat_tables([part.table for part in parts])
    lines = np.array([index for part in parts for index in part.indices], np.int64)
    if len(parts) > 1:
        order = np.argsort(lines, kind="stable")
        table, lines = table.take(arrays.from_numpy(order, pa.int64())), lines[order]
    return Decoded(table, lines, ordered)


@dataclass(frozen=True, slots=True)
class _Text:
    r"""Lines as the CSV reader can read them: without what ends a line, and with `mark` for each `\r` inside of one."""

    data: bytes
    mark: bytes | None

    @staticmethod
    def of(lines: Sequence[bytes]) -> "_Text":
        data = b"\n".join([line.removeprefix(BOM).rstrip(_BLANK) for line in lines])
        if b"\r" not in data:
            return _Text(data, None)
        # No part of a mark is both its start and its end, so it is found again only where it was put.
        mark = next(m for n in count() if (m := b"\x02%d\x03" % n) not in data)
        return _Text(data.replace(b"\r", mark), mark)

    def rows(self, layout: Layout, limit: int) -> pa.Table | None:
        """Read the lines into typed columns; None if a value has a wrong type."""
        table = read_rows(self.data, layout, line_bytes_max=self.widest(limit))
        return table if table is None or self.mark is None else _unmark(table, self.mark)

    def texts(self, layout: Layout, limit: int) -> pa.Table:
        """Read the lines into columns of text."""
        types = dict.fromkeys(layout.types, pa.string())
        return read_csv(self.data, layout, types, line_bytes_max=self.widest(limit))

    def widest(self, limit: int) -> int:
        """The most bytes that a line can have, now that it may hold marks."""
        return limit * len(self.mark or b"\r")


def _unmark(table: pa.Table, mark: bytes) -> pa.Table:
    for place, column in enumerate(table.schema):
        if column.type == pa.string():
            plain = pc.replace_substring(table.column(place), pattern=mark.decode(), replacement="\r")
            table = table.set_column(place, column, plain)
    return table


def _type_faults(text: _Text, layout: Layout, limit: int) -> list[str]:
    """Say for each line which of its values has a wrong type; empty if none has."""
    table = text.texts(layout, limit)
    faults = [""] * table.num_rows
    for name, kind in layout.types.items():
        if kind in _SHAPES:
            field_name = layout.fields[layout.names.index(name)]
            detail = f"{field_name} is not {_SHAPES[kind].name}"
            is_bad = _is_bad(table[name], kind, is_needed=name in layout.dialect.times)
            for at in np.flatnonzero(is_bad).tolist():
                faults[at] = faults[at] or detail
    return faults


def _is_bad(column: pa.ChunkedArray, kind: pa.DataType, *, is_needed: bool) -> npt.NDArray[np.bool_]:
    """Tell which values are not of a type. NULL is, unless a value is needed."""
    values = column.combine_chunks()
    is_sure = arrays.to_flags(pc.match_substring_regex(values, pattern=_SHAPES[kind].sure))
    is_null = arrays.to_flags(values.is_null())
    unsure = values.filter(arrays.from_flags(~is_sure & ~is_null)).unique().to_pylist()
    bad = [value for value in unsure if not _is_of(value, kind)]
    is_bad = arrays.to_flags(pc.is_in(values, value_set=arrays.from_texts(bad)))
    return is_bad | is_null if is_needed else is_bad


def _is_of(value: str, kind: pa.DataType) -> bool:
    """Ask the CSV reader itself about one value."""
    shape = _SHAPES[kind]
    if not shape.maybe.fullmatch(value):
        return False
    options = csv.ConvertOptions(column_types={"value": kind})
    try:
        read = csv.read_csv(pa.BufferReader(value.encode()), csv.ReadOptions(column_names=["value"]), None, options)
    except pa.ArrowInvalid:
        return False
    return shape.fits(read["value"][0].as_py())
