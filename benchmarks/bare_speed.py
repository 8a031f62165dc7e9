"""The speed layer's work in a bare loop, with no guarantees: what the bar `speed` is measured against.

One thread: each recorded page is parsed, decoded to Arrow, aggregated three times in DuckDB, and written as Parquet.
Nothing is enriched, no duplicate is looked for, nothing is flushed or committed, and a crash loses everything.
"""

import sys
import time
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.data import read_pages
from benchmarks.fields import SHORT

VIEWS = {
    "edges": "select date, substr(time, 1, 5) m, host, edge, sum(bytes) b, count(*) n from rows group by all",
    "viewers": "select date, substr(time, 1, 4) m, ip, sum(bytes) b, count(*) n from rows group by all",
    "agents": "select date, substr(time, 1, 5) m, ua, count(*) n from rows group by all",
}


class Record(msgspec.Struct):
    """What is used of a record; msgspec decodes the base64."""

    SequenceNumber: str
    Data: bytes


class Page(msgspec.Struct):
    """What is used of a response's body."""

    Records: list[Record]


def run(pages: Path, out: Path, *, keep: bool) -> None:
    """Work through all pages, and print records and CPU seconds; `keep` the aggregations to be compared."""
    bodies = read_pages(pages)
    decoder = msgspec.json.Decoder(Page)
    connection = duckdb.connect()
    connection.execute("set threads=1")
    numbers = {"bytes": pa.int64(), "cs_bytes": pa.int64(), "seconds": pa.float64()}
    types = {name: numbers.get(name, pa.string()) for name in SHORT}
    read = csv.ReadOptions(column_names=SHORT, use_threads=False, block_size=1 << 24)
    parse = csv.ParseOptions(delimiter="\t", quote_char=False)
    convert = csv.ConvertOptions(column_types=types, null_values=["-"], strings_can_be_null=True)
    count, kept = 0, []
    started = time.process_time()
    for number, body in enumerate(bodies):
        data = b"\n".join([record.Data for record in decoder.decode(body).Records])
        rows = csv.read_csv(pa.BufferReader(data), read, parse, convert)
        connection.register("rows", rows)
        partials = {name: connection.sql(sql).to_arrow_table() for name, sql in VIEWS.items()}
        connection.unregister("rows")
        pq.write_table(rows, out / f"{number}.parquet", compression="zstd", compression_level=1)
        count += rows.num_rows
        if keep:
            kept.append(partials)
    print(count, time.process_time() - started)
    for name in VIEWS if keep else ():
        pq.write_table(pa.concat_tables(partials[name] for partials in kept), out / f"{name}.partials")


if __name__ == "__main__":
    pa.set_cpu_count(1)
    run(Path(sys.argv[1]), Path(sys.argv[2]), keep="--keep" in sys.argv)
