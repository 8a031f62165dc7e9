"""The plain work on the records that async-kinesis's consumer yields: `python -m ... FOLDER URL RECORDS`.

It runs in an environment of its own, since both this consumer's package and kinesis-python's are named `kinesis`.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import pyarrow as pa
from kinesis import Consumer
from kinesis.aggregators import SimpleAggregator
from kinesis.processors import Processor

from benchmarks.kinesis_plain import Plain, cpu_s
from benchmarks.kinesis_stream import PAGE_RECORDS, STREAM

SLEEP_S: Final = 0.2  # after an empty page
IDLE_S: Final = 60.0  # on a busy machine no page may come for long
READS_PER_S: Final = 1_000  # the pauses are not measured


class Bytes(Processor, SimpleAggregator):  # type: ignore[misc] # the package has no types here
    """Gives a record's bytes as they are."""

    def deserialize(self, data: bytes) -> bytes:
        """Give the bytes."""
        return data


async def run(out: Path, url: str, records: int) -> None:
    """Work through the stream, in pages of equal size; print records and CPU seconds."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    plain, started, found = Plain(out), cpu_s(), list[bytes]()
    consumer = Consumer(
        STREAM,
        endpoint_url=url,
        region_name="us-east-1",
        processor=Bytes(),
        shard_fetch_rate=READS_PER_S,
        sleep_time_no_records=SLEEP_S,
        idle_timeout=IDLE_S,
    )
    async with consumer:
        async for line in consumer:
            found.append(line)
            records -= 1
            if len(found) == PAGE_RECORDS or not records:
                plain.add(found)
                found = []
            if not records:
                break
        print(plain.count, cpu_s() - started)
    plain.keep()


if __name__ == "__main__":
    pa.set_cpu_count(1)
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
