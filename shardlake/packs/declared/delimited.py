"""Lines of delimited fields to texts: Arrow's CSV reader for lines whose quotes stand at the edges of fields.

Where the delimiters and quotes of each line stand is found first, by positions of bytes. Lines of one number of fields
are read together; those with quotes elsewhere go to `oddlines`, one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shardlake.packs import arrays
from shardlake.packs.declared.lines import Flags, Indices, Lines
from shardlake.packs.declared.shape import Layout, Shape
from shardlake.packs.pack import Letter, Reason

READ_BYTES: Final = 4 << 20


@dataclass(slots=True)
class Texts:
    """Text columns of lines, which lines those are, and what the others were."""

    table: pa.Table
    rows: Indices
    letters: list[Letter] = field(default_factory=list)


Odd = Callable[[bytes], list[str | None] | None]


def read(lines: Lines, rows: Indices, layout: Layout, odd: Odd, limit: int) -> Texts:
    """Read some lines. `odd` reads one whose quotes stand elsewhere: its pieces, None if it cannot be told."""
    shape = Shape.of(lines, layout)
    widths, is_odd = shape.widths[rows], shape.is_odd[rows]
    least, most = layout.widths()
    is_good = ~is_odd & (widths >= least) & (widths <= most)
    letters = [_misfit(lines, at, width, layout) for at, width in _pairs(rows, widths, ~is_odd & ~is_good)]
    parts: list[tuple[pa.Table, Indices]] = []
    for width in np.unique(widths[is_good]).tolist():
        chosen = rows[is_good & (widths == width)]
        parts.append((_read_csv(lines.texts(chosen, shape.stops), int(width), layout, limit), chosen))
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
