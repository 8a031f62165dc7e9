"""The work on a Kinesis stream in a bare loop, with no guarantees: what the bar `speed_kinesis` is measured against.

One thread: shard by shard, a page is fetched by the same client, parsed for its lines and nothing else, decoded to
Arrow, aggregated three times in DuckDB, and written as Parquet. Nothing is enriched, no duplicate is looked for,
nothing is fetched ahead, flushed or committed, and a crash loses everything.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pyarrow as pa

from benchmarks.kinesis_plain import Plain
from benchmarks.kinesis_stream import PAGE_RECORDS, STREAM
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient


class Record(msgspec.Struct, gc=False):
    """What is used of a record; msgspec decodes the base64."""

    Data: bytes


class Page(msgspec.Struct):
    """What is used of a response's body."""

    Records: list[Record]
    NextShardIterator: str | None = None
    MillisBehindLatest: int = 0


class Bodies(KinesisClient):
    """Shardlake's client, whose answers to GetRecords are handed over as they are."""

    def body(self, iterator: str) -> bytes:
        """Fetch a page."""
        return self._send("GetRecords", {"ShardIterator": iterator, "Limit": PAGE_RECORDS})


def pages(client: Bodies) -> Iterator[list[bytes]]:
    """Give the lines of each page, shard by shard, up to the tips."""
    decoder = msgspec.json.Decoder(Page)
    for shard in client.list_shards(STREAM):
        iterator: str | None = client.iterator(STREAM, shard.shard_id, "TRIM_HORIZON")
        while iterator is not None:
            page = decoder.decode(client.body(iterator))
            if page.Records:
                yield [record.Data for record in page.Records]
            iterator = page.NextShardIterator if page.MillisBehindLatest else None


def run(out: Path, url: str) -> None:
    """Work through the stream, and print records and CPU seconds; the aggregations are kept, to be compared."""
    with closing(Bodies(AwsSettings(endpoint=url))) as client:
        plain = Plain(out)
        started = time.process_time()
        for lines in pages(client):
            plain.add(lines)
        print(plain.count, time.process_time() - started)
        plain.keep()


if __name__ == "__main__":
    pa.set_cpu_count(1)
    run(Path(sys.argv[1]), sys.argv[2])
