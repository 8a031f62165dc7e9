"""Segments into sorted files, one for each date: the work of the master dataset, kept columnar and in dictionaries.

Sorting texts is what costs. Columns with few distinct values are read as dictionaries and stay so to the file, the
order is computed on ranks and numbers, and rows are taken in slices that become row groups: half the CPU of
letting the engine sort whole rows, and memory for the columns that vary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.columns import columns_of, shaped
from shardlake.adapters.arrow import integers, ints, longs, small_pages
from shardlake.adapters.disk import sync_file, sync_folder, translated
from shardlake.core.errors import Corrupt
from shardlake.core.schema import Column

ROW_GROUP_ROWS: Final = 131_072
DISTINCT_SHARE_MAX: Final = 0.25  # a text column with more distinct values than this, of its rows, gains nothing
EVERY_ROW: Final = ("_lane", "_entry", "_date")  # numbers with few values, for which a dictionary is free
DAY_US: Final = 86_400_000_000
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's local path, and the entry that committed it."""

    path: str
    lane: int
    n: int


class Sorted:
    """The rows of some segments in order: by date, then by the sort columns, then as they came.

    They have every column that any of the segments has. Raises: Corrupt if two have a column with different types.
    """

    def __init__(self, segments: Sequence[Segment], event_time: str, sort: Sequence[str]) -> None:
        self._dictionaries = _few_distinct(segments[0])
        with small_pages():
            self._table = _joined([_read(segment, self._dictionaries) for segment in segments])
        days = integers(self._table[event_time]) // DAY_US
        keys = [_ranks(self._table[name]) for name in reversed(sort) if name in self._table.column_names]
        self._order = np.lexsort([*keys, days])
        self._days = days[self._order]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the segments have, and the entry that each row came from."""
        return columns_of(self._table)

    @property
    def dates(self) -> Mapping[int, tuple[int, int]]:
        """The days since the epoch that there are rows of, and where these stand in the order."""
        found, starts = np.unique(self._days, return_index=True)
        stops = [*starts[1:].tolist(), self._days.size]
        return {int(day): (int(a), int(b)) for day, a, b in zip(found, starts, stops, strict=True)}

    def write(self, path: str, day: int, columns: Sequence[Column], statistics: Sequence[str]) -> tuple[int, int]:
        """Write the rows of one day to a new file, durably; return rows and bytes. Raises: Transient.

        The file has these columns, among them the date; what the segments lack is NULL.
        """
        start, stop = self.dates[day]
        with translated(f"write {path}"), small_pages():
            with pq.ParquetWriter(
                path,
                shaped(_with_date(self._table.slice(0, 0), day), columns).schema,
                compression="zstd",
                compression_level=1,  # what level 3 saves on texts, it loses again on ids
                use_dictionary=[*self._dictionaries, *EVERY_ROW],
                write_statistics=list(statistics),
                store_schema=False,
            ) as writer:
                for part in self._slices(start, stop):
                    writer.write_table(shaped(_with_date(part, day), columns), row_group_size=ROW_GROUP_ROWS)
            sync_file(Path(path))
            sync_folder(Path(path).parent)
            return stop - start, Path(path).stat().st_size

    def _slices(self, start: int, stop: int) -> Iterator[pa.Table]:
        for at in range(start, stop, ROW_GROUP_ROWS):
            yield self._table.take(longs(self._order[at : min(at + ROW_GROUP_ROWS, stop)]))


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    try:
        joined = pa.concat_tables(tables, promote_options="default")  # a segment may be older than a column
    except pa.ArrowTypeError as error:
        raise Corrupt(f"two segments have a column with different types: {error}; give one another name") from error
    return joined.unify_dictionaries().combine_chunks()


def _few_distinct(segment: Segment) -> list[str]:
    """The text columns that are worth a dictionary, judged by one segment."""
    file = pq.ParquetFile(segment.path)
    texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
    sample = pq.ParquetFile(segment.path, read_dictionary=texts).read(columns=texts)
    limit = DISTINCT_SHARE_MAX * sample.num_rows
    return [name for name in texts if sum(len(chunk.dictionary) for chunk in sample[name].chunks) <= limit]


def _read(segment: Segment, dictionaries: Sequence[str]) -> pa.Table:
    table = _opened(segment.path, dictionaries).read()
    count = table.num_rows
    table = table.append_column("_lane", ints(np.full(count, segment.lane, dtype=np.int32)))
    return table.append_column("_entry", longs(np.full(count, segment.n, dtype=np.int64)))


def _opened(path: str, dictionaries: Sequence[str]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, read_dictionary=list(dictionaries))
    except KeyError:  # it lacks one of them
        there = set(pq.read_schema(path).names)
        return pq.ParquetFile(path, read_dictionary=[name for name in dictionaries if name in there])


def _with_date(table: pa.Table, day: int) -> pa.Table:
    return table.append_column("_date", ints(np.full(table.num_rows, day, dtype=np.int32)).cast(pa.date32()))


def _ranks(column: pa.ChunkedArray) -> Codes:
    """Numbers in the order of a column's values, NULL first."""
    if pa.types.is_string(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        values = integers(column)
        return (
            values
            if not column.null_count
            else np.where(integers(pc.is_valid(column)) == 1, values, np.iinfo(np.int64).min)
        )
    array = column.combine_chunks()
    chunk = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    rank = np.empty(len(chunk.dictionary) + 1, dtype=np.int64)
    rank[integers(pc.sort_indices(chunk.dictionary))] = np.arange(1, len(chunk.dictionary) + 1)
    rank[-1] = 0
    codes = integers(chunk.indices)
    return rank[np.where(integers(pc.is_valid(chunk)) == 1, codes, len(chunk.dictionary))]
