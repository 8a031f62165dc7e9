"""Lines of one layout, known to be regular, to typed columns: the path that nearly every block takes.

The CSV reader does the work, and it decides what a number or a date is: decimal digits, with spaces around them if need
be. What it cannot tell (a NaN, a time before the epoch) is checked on whole columns.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shardlake.packs import arrays
from shardlake.packs.cloudfront.header import Layout
from shardlake.packs.cloudfront.schema import DECODED_SCHEMA

READ_BYTES: Final = 4 << 20  # measured: blocks of 1 MiB or 64 MiB cost a third more
_DAY_S: Final = 86_400
_NULL: Final = "-"


def read_csv(text: Any, layout: Layout, types: dict[str, pa.DataType], *, line_bytes_max: int, ascii_only: bool) -> Any:
    """Read regular lines into columns of the given types, only those. Raises: pa.ArrowInvalid."""
    size = max(READ_BYTES, 2 * line_bytes_max)  # a line must fit into what the reader holds at once
    names = list(layout.names)
    return csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(column_names=names, use_threads=False, block_size=size),
        csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[_NULL],
            strings_can_be_null=True,
            check_utf8=not ascii_only,
        ),
    )


def read_rows(text: Any, layout: Layout, *, line_bytes_max: int, ascii_only: bool) -> pa.Table | None:
    """Read regular lines into the columns of a decoded request, `distribution` not yet told; None if any is not good.

    The caller compares the number of rows with the number of lines.
    """
    try:
        table = read_csv(text, layout, layout.types, line_bytes_max=line_bytes_max, ascii_only=ascii_only)
    except pa.ArrowInvalid:
        return None
    times = _event_times(table)
    if times is None or not all(_is_finite(table[n]) for n, t in layout.types.items() if t == pa.float64()):
        return None
    if _ends_in_space(table, layout):
        return None
    return _arrange(table, times)


def _event_times(table: pa.Table) -> pa.Array | None:
    """Join date and time into microseconds; None if one lacks, or is before 1970, when there was no CloudFront."""
    if table["date"].null_count or table["time"].null_count:
        return None
    days = arrays.column_to_numpy(table["date"], np.int32).astype(np.int64)
    if len(days) and days.min() < 0:
        return None
    seconds = days * _DAY_S + arrays.column_to_numpy(table["time"], np.int32)
    return arrays.from_numpy(seconds * 1_000_000, pa.timestamp("us"))


def _is_finite(column: pa.ChunkedArray) -> bool:
    """Tell whether no value is infinite or not a number, which the CSV reader accepts and no sum survives."""
    return pc.all(pc.is_finite(column), min_count=0).as_py() is True


def _ends_in_space(table: pa.Table, layout: Layout) -> bool:
    """Tell whether a line ends in spaces: they are not part of its last field. Of a number the reader drops them."""
    last = layout.names[-1]
    if last not in table.column_names or table[last].type != pa.string():
        return False
    return pc.any(pc.ends_with(table[last], " "), min_count=0).as_py() is True


def _arrange(table: pa.Table, times: pa.Array) -> pa.Table:
    """Put the columns in the order of the schema; those that the layout lacks are NULL."""
    columns = {"event_time": times} | {name: table[name] for name in table.column_names}
    arranged = [
        columns[field.name] if field.name in columns else pa.nulls(table.num_rows, field.type)
        for field in DECODED_SCHEMA
    ]
    return pa.Table.from_arrays(arranged, schema=DECODED_SCHEMA)
