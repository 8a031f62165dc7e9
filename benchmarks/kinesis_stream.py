"""An embedded Kinesis in a process of its own, with a stream that benchmarks read: its records are CloudFront lines.

    with served(4) as url:
        fill(url, 300_000)

The service's CPU is counted for nobody.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.data import page_file, read_pages
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.port import PUTS_MAX
from shardlake.adapters.kinesis.wire import Put

HOME: Final = Path(__file__).parents[1]
STREAM: Final = "bench"
PAGE_RECORDS: Final = 10_000  # as many as one GetRecords gives: of these lines, 6 MB


class _Told(msgspec.Struct):
    """What the service prints when it answers."""

    url: str


class _Record(msgspec.Struct):
    """What is used of a recorded record."""

    Data: bytes


class _Page(msgspec.Struct):
    """What is used of a recorded page."""

    Records: list[_Record]


@contextmanager
def served(shards: int, *, limited: bool = False) -> Iterator[str]:
    """Serve a stream with so many shards until the block ends; give the endpoint. `limited` is as AWS limits."""
    limits = [] if limited else ["--unlimited"]
    command = [sys.executable, "-m", "shardlake.testing.kinesis", *limits, "--stream", f"{STREAM}:{shards}"]
    with subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield msgspec.json.decode(process.stdout.readline(), type=_Told).url
        finally:
            process.terminate()


def opened(url: str) -> KinesisClient:
    """Open the client that Shardlake reads with."""
    return KinesisClient(AwsSettings(endpoint=url))


def lines(count: int) -> list[bytes]:
    """Give the first lines of the benchmarks' day."""
    decoder = msgspec.json.Decoder(_Page)
    return [record.Data for body in read_pages(page_file(count)) for record in decoder.decode(body).Records]


def fill(url: str, count: int) -> None:
    """Put the first lines of the day, one record each, spread over all shards.

    In a process of its own: whoever is started afterwards would begin with the memory that this takes.
    """
    subprocess.run([sys.executable, "-m", "benchmarks.kinesis_stream", url, str(count)], cwd=HOME, check=True)


def put(url: str, data: Sequence[bytes]) -> None:
    """Put records. Raises: RuntimeError if one was not taken."""
    with closing(opened(url)) as client:
        for start in range(0, len(data), PUTS_MAX):
            puts = [Put(line, str(start + at)) for at, line in enumerate(data[start : start + PUTS_MAX])]
            results = client.put_records(STREAM, puts)
            if results.failed:
                raise RuntimeError(f"{results.failed} of {len(puts)} records were not taken: {set(results.codes)}")


if __name__ == "__main__":
    put(sys.argv[1], lines(int(sys.argv[2])))
