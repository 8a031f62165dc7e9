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
from shardlake.packs.cloudfront import urls
from shardlake.packs.cloudfront.layout import DATE_AND_TIME, TIMESTAMP_END_S, Layout
from shardlake.packs.cloudfront.schema import READ_SCHEMA

READ_BYTES: Final = 4 << 20  # measured: blocks of 1 MiB or 64 MiB cost a third more
_DAY_S: Final = 86_400
_HALVES: Final = np.dtype([("low", np.int64), ("high", np.int64)])  # of a decimal, as it lies in memory
_NULL: Final = "-"


def read_csv(text: Any, layout: Layout, types: dict[str, pa.DataType], *, line_bytes_max: int) -> Any:
    """Read regular lines of UTF-8 into columns of the given types, only those. Raises: pa.ArrowInvalid."""
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
            check_utf8=False,
        ),
    )


def read_rows(text: Any, layout: Layout, *, line_bytes_max: int) -> pa.Table | None:
    """Read regular lines of UTF-8 into the columns of `READ_SCHEMA`; None if any is not good.

    The caller compares the number of rows with the number of lines.
    """
    try:
        table = read_csv(text, layout, layout.types, line_bytes_max=line_bytes_max)
    except pa.ArrowInvalid:
        return None
    if any(table[name].null_count for name in layout.dialect.times):
        return None
    times = _event_times(table) if layout.dialect.times is DATE_AND_TIME else _event_times_of_seconds(table)
    if times is None or not all(_is_finite(table[n]) for n, t in layout.types.items() if t == pa.float64()):
        return None
    if _ends_in_space(table, layout):
        return None
    return _arrange(table, times, layout)


def _event_times(table: pa.Table) -> pa.Array | None:
    """Join date and time into microseconds; None if one is before 1970, when there was no CloudFront."""
    days = arrays.column_to_numpy(table["date"], np.int32).astype(np.int64)
    if len(days) and days.min() < 0:
        return None
    seconds = days * _DAY_S + arrays.column_to_numpy(table["time"], np.int32)
    return arrays.from_numpy(seconds * 1_000_000, pa.timestamp("us"))


def _event_times_of_seconds(table: pa.Table) -> pa.Array | None:
    """Take seconds with six decimals for whole microseconds; None if one is before 1970 or after 9999."""
    halves = arrays.column_to_numpy(table["timestamp"], _HALVES)
    times = np.ascontiguousarray(halves["low"])
    if halves["high"].any() or (len(times) and not 0 <= times.min() <= times.max() < TIMESTAMP_END_S * 1_000_000):
        return None
    return arrays.from_numpy(times, pa.timestamp("us"))


def _is_finite(column: pa.ChunkedArray) -> bool:
    """Tell whether no value is infinite or not a number, which the CSV reader accepts and no sum survives."""
    return pc.all(pc.is_finite(column), min_count=0).as_py() is True


def _ends_in_space(table: pa.Table, layout: Layout) -> bool:
    """Tell whether a line ends in spaces: they are not part of its last field. Of a number the reader drops them."""
    last = layout.names[-1]
    if last not in table.column_names or table[last].type != pa.string():
        return False
    return pc.any(pc.ends_with(table[last], " "), min_count=0).as_py() is True


def _arrange(table: pa.Table, times: pa.Array, layout: Layout) -> pa.Table:
    """Put the columns in the order of the schema; those that the layout lacks are NULL."""
    columns = {"event_time": times} | {name: table[name] for name in table.column_names}
    if layout.dialect.has_whole_urls and "cs_uri_stem" in columns:
        whole = columns["cs_uri_stem"]
        columns["cs_uri_stem"] = urls.stems(whole)
        if "cs_uri_query" not in columns:
            columns["cs_uri_query"] = urls.queries(whole)
    arranged = [
        columns[field.name] if field.name in columns else pa.nulls(table.num_rows, field.type) for field in READ_SCHEMA
    ]
    return pa.Table.from_arrays(arranged, schema=READ_SCHEMA)
