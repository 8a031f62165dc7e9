"""The plain work on the records that kinesis-python's consumer yields: `python -m ... FOLDER URL RECORDS`.

It reads with a process for each shard. What it needs to read a stream from its beginning is a state that says so.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from benchmarks.kinesis_plain import Plain, cpu_s
from benchmarks.kinesis_stream import PAGE_RECORDS, STREAM

SLEEP_S: Final = 0.2  # between two reads of a shard: five a second, as AWS allows


class Beginning:
    """A state that takes every shard from its oldest record, and remembers nothing."""

    def lock_shard(self, shard: str, seconds: int) -> bool:
        """Own every shard."""
        del shard, seconds
        return True

    def get_iterator_args(self, shard: str) -> dict[str, str]:
        """Begin at the oldest record."""
        del shard
        return {"ShardIteratorType": "TRIM_HORIZON"}

    def checkpoint(self, shard: str, sequence: str) -> None:
        """Store nothing."""


def pages(url: str, records: int) -> Iterator[list[bytes]]:
    """Give the lines as they come, in pages of equal size; stop when all there are have come."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": url}
    from kinesis.consumer import KinesisConsumer

    found: list[bytes] = []
    for record in KinesisConsumer(STREAM, state=Beginning(), reader_sleep_time=SLEEP_S):
        found.append(record["Data"])
        records -= 1
        if len(found) == PAGE_RECORDS or not records:
            yield found
            found = []
        if not records:
            return


def run(out: Path, url: str, records: int) -> None:
    """Work through the stream; print records, and CPU seconds of all processes."""
    plain, started = Plain(out), cpu_s()
    for lines in pages(url, records):
        plain.add(lines)
    print(plain.count, cpu_s() - started)
    plain.keep()


if __name__ == "__main__":
    pa.set_cpu_count(1)
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
