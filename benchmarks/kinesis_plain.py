"""The plain work on a page of lines: decoded to Arrow, aggregated three times in DuckDB, written as Parquet.

It is that of `bare_speed`, page by page, for every loop that is not Shardlake's and reads the embedded stream.
"""

import resource
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.bare_speed import VIEWS
from benchmarks.fields import SHORT

_NUMBERS = {"bytes": pa.int64(), "cs_bytes": pa.int64(), "seconds": pa.float64()}


class Plain:
    """Takes pages in one after the other, and writes one file for each into a folder."""

    def __init__(self, out: Path) -> None:
        self.count = 0
        self._out, self._pages = out, 0
        self._kept: list[dict[str, pa.Table]] = []
        self._connection = duckdb.connect()
        self._connection.execute("set threads=1")
        self._read = csv.ReadOptions(column_names=SHORT, use_threads=False, block_size=1 << 24)
        self._parse = csv.ParseOptions(delimiter="\t", quote_char=False)
        types = {name: _NUMBERS.get(name, pa.string()) for name in SHORT}
        self._convert = csv.ConvertOptions(column_types=types, null_values=["-"], strings_can_be_null=True)

    def add(self, lines: Sequence[bytes]) -> None:
        """Work through a page, each record of which is one line."""
        rows = csv.read_csv(pa.BufferReader(b"\n".join(lines)), self._read, self._parse, self._convert)
        self._connection.register("rows", rows)
        self._kept.append({name: self._connection.sql(sql).to_arrow_table() for name, sql in VIEWS.items()})
        self._connection.unregister("rows")
        pq.write_table(rows, self._out / f"{self._pages}.parquet", compression="zstd", compression_level=1)
        self._pages += 1
        self.count += rows.num_rows

    def keep(self) -> None:
        """Write the aggregations of all pages, to be compared."""
        for name in VIEWS:
            pq.write_table(pa.concat_tables(tables[name] for tables in self._kept), self._out / f"{name}.partials")


def cpu_s() -> float:
    """Give the CPU of this process and of its children that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
