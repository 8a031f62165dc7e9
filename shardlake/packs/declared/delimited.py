"""Lines of delimited fields to texts: Arrow's CSV reader for lines whose quotes stand at the edges of fields.

Where the delimiters and quotes of each line stand is found first, by positions of bytes. Lines of one number of fields
are read together; those with quotes elsewhere go to `oddlines`, one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shardlake.packs import arrays
from shardlake.packs.declared.lines import Flags, Indices, Lines
from shardlake.packs.pack import Letter, Reason

READ_BYTES: Final = 4 << 20
_PASSED: Final = "\x1f"  # begins the name of a piece that is not kept, and no name of a field
_QUOTE: Final = ord('"')


@dataclass(frozen=True, slots=True)
class Layout:
    """How a line is cut, and which of its fields are kept.

    `names` has one name for each field, "" for one to pass over. The CSV reader sees two pieces of a field in brackets,
    which has a space inside. `quotes` are the fields that may be in quotes, if that is told. A line has at least
    `least` fields, and at most as many as there are names unless there may be `more`.
    """

    names: tuple[str, ...]
    brackets: frozenset[int]
    quotes: frozenset[int]
    delimiter: str
    is_quoted: bool
    is_doubled: bool
    nulls: tuple[str, ...]
    least: int
    more: bool

    def pieces(self, width: int) -> list[str]:
        """Name the pieces of a line of so many pieces; what is passed over has a name with a mark."""
        found: list[str] = []
        for place, name in enumerate(self.names):
            kept = name or f"{_PASSED}{place}"
            found += [f"{kept}[", f"{kept}]"] if place in self.brackets else [kept]
        found += [f"{_PASSED}{place}" for place in range(len(found), width)]
        return found[:width]

    def widths(self) -> tuple[int, int]:
        """Give the least and the greatest number of pieces of a line."""
        extra = len(self.brackets)
        return self.least + extra, len(self.names) + extra

    def columns(self) -> tuple[str, ...]:
        """Name the pieces that are kept."""
        most = self.widths()[1]
        return tuple(name for name in self.pieces(most) if not name.startswith(_PASSED))


@dataclass(slots=True)
class Texts:
    """Text columns of lines, which lines those are, and what the others were."""

    table: pa.Table
    rows: Indices
    letters: list[Letter] = field(default_factory=list)


Odd = Callable[[bytes], list[str | None] | None]


def read(lines: Lines, rows: Indices, layout: Layout, odd: Odd, limit: int) -> Texts:
    """Read some lines. `odd` reads one whose quotes stand elsewhere: its pieces, None if it cannot be told."""
    shape = _Shape.of(lines, layout)
    widths, is_odd = shape.widths[rows], shape.is_odd[rows]
    least, most = layout.widths()
    is_good = ~is_odd & (widths >= least) & ((widths <= most) | layout.more)
    letters = [_misfit(lines, at, width, layout) for at, width in _pairs(rows, widths, ~is_odd & ~is_good)]
    parts: list[tuple[pa.Table, Indices]] = []
    for width in np.unique(widths[is_good]).tolist():
        chosen = rows[is_good & (widths == width)]
        parts.append((_read_csv(lines.texts(chosen), int(width), layout, limit), chosen))
    strange = [(at, odd(lines.one(at))) for at in rows[is_odd].tolist()]
    letters += [_unread(lines, at) for at, cells in strange if cells is None]
    parts += _of_cells([(at, cells) for at, cells in strange if cells is not None], layout)
    return _joined(parts, letters, layout)


def _pairs(rows: Indices, widths: Indices, chosen: Flags) -> list[tuple[int, int]]:
    return list(zip(rows[chosen].tolist(), widths[chosen].tolist(), strict=True))


def _misfit(lines: Lines, at: int, width: int, layout: Layout) -> Letter:
    least, most = layout.widths()
    extra = len(layout.brackets)
    has = f"{max(width - extra, 1)} fields; there are"
    if width < least:
        some = "at least " if least < most or layout.more else ""
        return lines.letter(at, Reason.TOO_FEW_FIELDS, f"{has} {some}{least - extra}")
    return lines.letter(at, Reason.TOO_MANY_FIELDS, f"{has} {most - extra}")


def _unread(lines: Lines, at: int) -> Letter:
    quotes, other = "its quotes do not match, or can be read in two ways", "it has other fields, or ends inside of one"
    return lines.letter(at, Reason.MALFORMED, quotes if b'"' in lines.one(at) else other)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Of each line, how many pieces it has, and whether its quotes stand elsewhere than at the edges of fields."""

    widths: Indices
    is_odd: Flags

    @staticmethod
    def of(lines: Lines, layout: Layout) -> "_Shape":
        data = np.frombuffer(lines.block, np.uint8)
        cuts = np.flatnonzero(data == ord(layout.delimiter)).astype(np.int64)
        is_odd = np.zeros(len(lines), np.bool_)
        if layout.delimiter == " " and len(lines):  # a space at the end of a line ends no field
            is_odd |= (lines.lengths > 0) & (data[np.maximum(lines.ends - 1, 0)] == ord(" "))
        if b"\r" in lines.block:  # to the CSV reader, one inside of a line is a newline too
            inner = np.flatnonzero(data == ord("\r"))
            at = np.searchsorted(lines.nexts, inner, side="right")
            is_odd[at[inner < lines.ends[at]]] = True
        if layout.is_quoted and b'"' in lines.block:
            quotes = np.flatnonzero(data == _QUOTE).astype(np.int64)
            is_odd |= _odd_quotes(lines, data, quotes, layout)
            before = np.searchsorted(quotes, lines.starts)
            inside = (np.searchsorted(quotes, cuts) - before[np.searchsorted(lines.nexts, cuts, side="right")]) & 1
            cuts = cuts[inside == 0]
            if layout.quotes:
                is_odd |= _misplaced(lines, quotes, cuts, layout)
        counted = np.searchsorted(cuts, lines.ends) - np.searchsorted(cuts, lines.starts)
        return _Shape(counted.astype(np.int64) + 1, is_odd)


def _odd_quotes(lines: Lines, data: npt.NDArray[np.uint8], quotes: Indices, layout: Layout) -> Flags:
    """Tell which lines have quotes that neither open a field at its start nor close it at its end."""
    owner = np.searchsorted(lines.nexts, quotes, side="right")
    first = np.searchsorted(quotes, lines.starts)
    closes = ((np.arange(len(quotes)) - first[owner]) & 1) == 1
    before = data[np.maximum(quotes - 1, 0)]
    after = data[np.minimum(quotes + 1, len(data) - 1)]
    cut = ord(layout.delimiter)
    opens_well = (quotes == lines.starts[owner]) | (before == cut)
    closes_well = (quotes + 1 >= lines.ends[owner]) | (after == cut)
    if layout.is_doubled:
        opens_well |= before == _QUOTE
        closes_well |= after == _QUOTE
    is_odd = np.zeros(len(lines), np.bool_)
    is_odd[owner[np.where(closes, ~closes_well, ~opens_well)]] = True
    counts = np.searchsorted(quotes, lines.ends) - first
    is_odd |= (counts & 1) == 1
    return is_odd


def _misplaced(lines: Lines, quotes: Indices, cuts: Indices, layout: Layout) -> Flags:
    """Tell which lines have quotes around a field that is not written so: a client's text may have put them there."""
    owner = np.searchsorted(lines.nexts, quotes, side="right")
    piece = np.searchsorted(cuts, quotes) - np.searchsorted(cuts, lines.starts)[owner]
    may = np.zeros(int(piece.max(initial=0)) + len(layout.names) + len(layout.brackets) + 1, np.bool_)
    places = [place for place, name in enumerate(_by_piece(layout)) if name in layout.quotes]
    may[places] = True
    is_odd = np.zeros(len(lines), np.bool_)
    is_odd[owner[~may[piece]]] = True
    return is_odd


def _by_piece(layout: Layout) -> list[int]:
    """Give the field of each piece."""
    return [place for place in range(len(layout.names)) for _ in range(2 if place in layout.brackets else 1)]


def _read_csv(texts: pa.Array, width: int, layout: Layout, limit: int) -> pa.Table:
    names = layout.pieces(width)
    kept = [name for name in layout.columns() if name in names]
    table = csv.read_csv(
        pa.BufferReader(_bytes_of(texts)),
        csv.ReadOptions(column_names=names, use_threads=False, block_size=max(READ_BYTES, 2 * limit)),
        csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char='"' if layout.is_quoted else False,
            double_quote=layout.is_doubled,
            ignore_empty_lines=False,
        ),
        csv.ConvertOptions(
            column_types=dict.fromkeys(kept, pa.string()),
            include_columns=kept,
            null_values=list(layout.nulls),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            check_utf8=False,
        ),
    )
    if table.num_rows != len(texts):
        raise AssertionError(f"{len(texts)} lines became {table.num_rows} rows")
    return _whole(table, layout)


def _bytes_of(texts: pa.Array) -> pa.Buffer:
    offsets = arrays.to_numpy(pa.Array.from_buffers(pa.int64(), len(texts) + 1, [None, texts.buffers()[1]]), np.int64)
    return texts.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def _of_cells(found: Sequence[tuple[int, list[str | None]]], layout: Layout) -> list[tuple[pa.Table, Indices]]:
    """Make columns of lines that were read one by one; each has a cell for each piece that is kept."""
    if not found:
        return []
    columns = [_nullable([cells[i] for _, cells in found]) for i in range(len(layout.columns()))]
    table = pa.Table.from_arrays(columns, names=list(layout.columns()))
    return [(_whole(table, layout), np.array([at for at, _ in found], np.int64))]


def _nullable(values: Sequence[str | None]) -> pa.Array:
    places = np.array([-1 if value is None else i for i, value in enumerate(values)], np.int32)
    return arrays.coded(places, [value or "" for value in values]).dictionary_decode()


def _whole(table: pa.Table, layout: Layout) -> pa.Table:
    """Join the two pieces of a field in brackets, and add the columns that a shorter line lacks."""
    columns = {}
    for place, name in enumerate(layout.names):
        if not name:
            continue
        if place in layout.brackets and f"{name}]" in table.column_names:
            columns[name] = _unbracketed(table[f"{name}["], table[f"{name}]"])
        else:
            columns[name] = table[name] if name in table.column_names else pa.nulls(table.num_rows, pa.string())
    return pa.table(columns)


def _unbracketed(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.ChunkedArray:
    joined = pc.binary_join_element_wise(first, second, arrays.from_texts([" "])[0])
    return pc.replace_substring_regex(joined, pattern=r"^\[(.*)\]$", replacement=r"\1")


def _joined(parts: list[tuple[pa.Table, Indices]], letters: list[Letter], layout: Layout) -> Texts:
    if not parts:
        empty = pa.table({name: pa.nulls(0, pa.string()) for name in layout.names if name})
        return Texts(empty, np.zeros(0, np.int64), letters)
    if len(parts) == 1:
        return Texts(*parts[0], letters)
    rows = np.concatenate([rows for _, rows in parts])
    order = np.argsort(rows, kind="stable")
    table = pa.concat_tables([table for table, _ in parts]).take(arrays.from_numpy(order.astype(np.int64), pa.int64()))
    return Texts(table, rows[order], letters)
