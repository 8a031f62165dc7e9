"""A producer at a steady rate: `python -m benchmarks.kinesis_putter URL SECONDS FILE`.

It puts small batches of CloudFront lines when they are due, and writes what became of each into a file, as JSON.
"""

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.kinesis_stream import STREAM, lines, opened
from shardlake.adapters.kinesis.client import KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.core.positions import Position

RATE: Final = 5_000  # records a second
BATCH: Final = 100


class Part(msgspec.Struct):
    """What one shard took of a batch: its records, and the last of their positions."""

    records: int
    end: str


class Batch(msgspec.Struct):
    """A batch that was put: when that was acknowledged (monotonic seconds), and what each shard took."""

    acked_s: float
    parts: dict[str, Part]


def put_batch(client: KinesisClient, data: list[bytes], number: int) -> Batch:
    """Put a batch, whose records have keys of their own. Raises: RuntimeError if not all of it was taken."""
    puts = [Put(line, f"{number}-{at}") for at, line in enumerate(data)]
    results = client.put_records(STREAM, puts)
    acked_s = time.monotonic()
    if results.failed:
        raise RuntimeError(f"{results.failed} of {len(puts)} records were not taken: {set(results.codes)}")
    parts: dict[str, Part] = {}
    for shard, sequence in zip(results.shards, results.sequences, strict=True):
        part = parts.setdefault(shard, Part(0, ""))
        part.records, part.end = part.records + 1, max(part.end, Position(int(sequence)).encode())
    return Batch(acked_s, parts)


def run(url: str, seconds: int, file: Path) -> None:
    """Put at the rate for so long."""
    data = lines(RATE * seconds)
    batches = []
    with closing(opened(url)) as client:
        started = time.monotonic()
        for number in range(RATE * seconds // BATCH):
            time.sleep(max(0.0, started + number * BATCH / RATE - time.monotonic()))
            batches.append(put_batch(client, data[number * BATCH : (number + 1) * BATCH], number))
    file.write_bytes(msgspec.json.encode(batches))


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
