"""The bar `shards_memory`: how much more memory a worker takes for 100 shards than for one, with as much to read.

300,000 CloudFront lines lie in the shards of an embedded Kinesis, so that there is a backlog in every shard, and pages
are fetched as fast as they come. The most that the worker's process ever had counts. What is fetched and not yet taken
is never more than `fetch_bytes_max` and one page for each thread that fetches, which is looked at whenever a page is
taken; a worker with a quarter of that limit has to keep to it too.
"""

import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.harness import measure_run, verdict
from benchmarks.kinesis_stream import fill, served
from benchmarks.kinesis_worker import FETCH_BYTES_MAX, Work
from benchmarks.speed_kinesis import read, reader
from shardlake.core.limits import Limits

BAR_MB: Final = 120
RECORDS: Final = 300_000
MANY: Final = 100
ROUNDS: Final = 3  # memory does not depend on what else the machine does
LITTLE: Final = FETCH_BYTES_MAX // 4


def main() -> int:
    """Measure, and hold the growth in MB against the bar."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        urls = {shards: stack.enter_context(served(shards)) for shards in (1, MANY)}
        for url in urls.values():
            fill(url, RECORDS)
        works: Mapping[int, list[Work]] = {shards: [] for shards in urls}
        for _ in range(ROUNDS):
            for shards, found in works.items():
                found.append(_work(Path(folder), urls[shards], FETCH_BYTES_MAX))
        little = _work(Path(folder), urls[MANY], LITTLE)
    for shards, found in works.items():
        _show(f"{shards} shards", found)
    _show(f"{MANY} shards, fetch_bytes_max {LITTLE / 1e6:.0f} MB", [little])
    one, many = (median(work.memory_bytes for work in found) for found in works.values())
    return verdict("shards_memory", (many - one) / 1e6, at_most=BAR_MB)


def _work(root: Path, url: str, limit: int) -> Work:
    """Read a stream once. Raises: AssertionError if more waited than the limit allows."""
    work = read(measure_run(reader("kinesis_worker", url, root, limit)))
    allowed = limit + Limits().fetch_threads_max * work.page_bytes
    if work.records != RECORDS or work.waiting_bytes > allowed:
        raise AssertionError(f"{work.records} records; {work.waiting_bytes} bytes waited, {allowed} may: {work}")
    return work


def _show(name: str, works: list[Work]) -> None:
    memory, waiting, page = (
        [getattr(work, of) / 1e6 for work in works] for of in ("memory_bytes", "waiting_bytes", "page_bytes")
    )
    print(f"{name}: memory {median(memory):.0f} MB ({min(memory):.0f} .. {max(memory):.0f})")
    print(f"  at most {max(waiting):.1f} MB of pages waited, the largest of {max(page):.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
