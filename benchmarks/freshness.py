"""The bar `freshness`: how long it takes from a put until an answer has it, with a worker that flushes every second.

Four processes: an embedded Kinesis with the limits of AWS, a producer of 5,000 events a second in batches of 100, the
worker (`shardlake stream run`, its limits as they are by default), and this one, which asks one open connection again
and again. An event is in an answer whose certificate has read its shard at least as far as its batch reaches. The time
counts from when the service acknowledged the batch to when the first such answer was complete. The first events, which
come while the worker's process does everything for the first time, are told apart and not held against the bar: a
consumer starts once and runs for weeks. In the end the answer must have every event that was put, once.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import msgspec

import serving
from benchmarks.harness import verdict
from benchmarks.kinesis_putter import BATCH, RATE, Batch, Part
from benchmarks.kinesis_stream import HOME, STREAM, served
from benchmarks.speed import VIEWS

BAR_S: Final = 1.5
SHARDS: Final = 8  # a shard takes 1,000 records a second
SECONDS: Final = 30
NEW_S: Final = 3  # seconds of batches during which the worker is new
PAUSE_S: Final = 0.05  # between two answers
PATIENCE_S: Final = 30.0  # for the worker's start, and for the last batch
QUERY: Final = "SELECT sum(requests)::BIGINT AS requests FROM by_edges"
SETTINGS: Final = """root = "lake"
[source]
stream = "{stream}"
endpoint = "{url}"
[views]
folder = "views"
use = ["by_edges", "by_viewers", "by_agents"]
[limits]
chunk_age_s = 1.0
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer: when it was asked for and complete (monotonic seconds), its events, and how far it reads shards."""

    asked_s: float
    done_s: float
    events: int
    positions: Mapping[str, str]

    def has(self, shard: str, part: Part) -> bool:
        """Tell whether a batch's part is in."""
        return self.positions.get(f"cloudfront/{shard}", "") >= part.end


def main() -> int:
    """Measure, and hold the 99th percentile in seconds against the bar."""
    with tempfile.TemporaryDirectory() as name, served(SHARDS, limited=True) as url:
        folder, file = Path(name), Path(name) / "batches.json"
        _configure(folder, url)
        with _worker(folder), serving.connect(folder / "lake") as connection:
            putter = [sys.executable, "-m", "benchmarks.kinesis_putter", url, str(SECONDS), str(file)]
            with subprocess.Popen(putter, cwd=HOME) as producer:
                seen = list(_answers(connection, lambda: producer.poll() is None))
            if producer.returncode:
                raise RuntimeError(f"the producer exited with {producer.returncode}")
            batches = msgspec.json.decode(file.read_bytes(), type=list[Batch])
            until_s = time.monotonic() + PATIENCE_S
            seen += _answers(connection, lambda: not _is_whole(seen[-1], batches) and time.monotonic() < until_s)
    return _judge(batches, seen)


def _configure(folder: Path, url: str) -> None:
    (folder / "shardlake.toml").write_text(SETTINGS.format(stream=STREAM, url=url))
    (folder / "views").mkdir()
    for name, sql in VIEWS.items():
        (folder / "views" / f"by_{name}.sql").write_text(sql)


@contextmanager
def _worker(folder: Path) -> Iterator[None]:
    """Run a worker until the block ends; it holds its shards. Raises: RuntimeError if it does not begin or end well."""
    log = folder / "worker.log"
    with log.open("wb") as errors:
        command = [str(Path(sys.executable).with_name("shardlake")), "stream", "run"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while b'"shards_moved"' not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"the worker has not begun: {log.read_text()[-2000:]}")
            time.sleep(PAUSE_S)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    if process.returncode:
        raise RuntimeError(f"the worker exited with {process.returncode}: {log.read_text()[-2000:]}")


def _answers(connection: serving.Connection, more: Callable[[], bool]) -> Iterator[Seen]:
    """Ask again and again, as long as there is more to come."""
    while more():
        asked_s = time.monotonic()
        answer = connection.query(QUERY)
        ((events,),) = answer.rows
        yield Seen(asked_s, time.monotonic(), events or 0, answer.certificate.positions)
        time.sleep(PAUSE_S)


def _is_whole(answer: Seen, batches: Sequence[Batch]) -> bool:
    return answer.events >= len(batches) * BATCH


def _judge(batches: Sequence[Batch], seen: Sequence[Seen]) -> int:
    """Hold the time of each event against the bar. Raises: AssertionError if the count is not exact."""
    put, counted = len(batches) * BATCH, seen[-1].events
    assert counted == put, f"{put} events were put, and {counted} are in the answer"
    rate = (len(batches) - 1) * BATCH / (batches[-1].acked_s - batches[0].acked_s)
    assert rate > RATE * 0.95, f"the producer was too slow: {rate:.0f} events a second"
    print(f"{put:,} events at {rate:,.0f} a second; all of them are in the answer")
    print(f"{len(seen)} answers, each in {median(one.done_s - one.asked_s for one in seen) * 1e3:.0f} ms (median)")
    times = _times(batches, seen)
    new, later = times[: NEW_S * RATE], times[NEW_S * RATE :]
    cuts = quantiles(later, n=100, method="inclusive")
    told = ", ".join(f"p{at} {cuts[at - 1]:.2f} s" for at in (50, 90, 99))
    print(f"from put to answer: {told}, most {max(later):.2f} s")
    print(f"  in the first {NEW_S} s: most {max(new):.2f} s")
    return verdict("freshness", cuts[98], at_most=BAR_S)


def _times(batches: Sequence[Batch], seen: Sequence[Seen]) -> list[float]:
    """Give the seconds from put to answer of each event, in the order in which they were put."""
    first = dict.fromkeys({shard for batch in batches for shard in batch.parts}, 0)
    times: list[float] = []
    for batch in batches:
        for shard, part in batch.parts.items():
            while not seen[first[shard]].has(shard, part):  # a shard is read in order: no answer before has it
                first[shard] += 1
            times += [seen[first[shard]].done_s - batch.acked_s] * part.records
    return times


if __name__ == "__main__":
    sys.exit(main())
