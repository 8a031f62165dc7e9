"""Workers as real processes on a real socket: how soon they read, hand over, follow a split, and replace the killed."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Put
from shardlake.testing.runs import Program, Running

STREAM: Final = "live"
FIELDS: Final = "timestamp,c-ip,sc-bytes,x-edge-location,x-host-header,cs-user-agent,x-edge-request-id"
LINE: Final = "1767225600.5\t{viewer}\t7\tFRA56-P4\td1.cloudfront.net\tcurl/8.0\tid-{viewer}"
HALF: Final = (HASH_KEY_MAX + 1) // 2
PATIENCE_S: Final = 60.0

pytestmark = pytest.mark.slow


@dataclass(slots=True)
class Worker:
    """A process, and what its log has told so far: (time of day in seconds, line)."""

    running: Running
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        assert self.running.process.stderr is not None
        for line in self.running.process.stderr:
            if line.startswith("{"):
                told = json.loads(line)
                self.told.append((datetime.fromisoformat(told["timestamp"]).timestamp(), told))

    def when(self, event: str, since_s: float = 0.0, **facts: Any) -> float:
        """Wait until it tells of something, and give the time when it did."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for at_s, told in tuple(self.told):
                if at_s >= since_s and told["event"] == event and facts.items() <= told.items():
                    return at_s
            time.sleep(0.02)
        raise AssertionError(f"nothing was told of {event} {facts}: {[told for _, told in self.told]}")

    def committed(self, rows: int) -> float:
        """Wait until its entries hold so many rows, however they are cut, and give the time when they did."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            held = 0
            for at_s, told in tuple(self.told):
                held += told["rows"] if told["event"] == "committed" else 0
                if held >= rows:
                    return at_s
            time.sleep(0.02)
        raise AssertionError(f"{rows} rows were not committed: {[told for _, told in self.told]}")

    def events(self) -> Counter[str]:
        return Counter(told["event"] for _, told in self.told)

    def signal(self, number: int) -> int:
        self.running.process.send_signal(number)
        code = self.running.process.wait(PATIENCE_S)
        self.thread.join(5)
        assert self.running.process.stdout is not None and self.running.process.stderr is not None
        self.running.process.stdout.close(), self.running.process.stderr.close()
        return code


@dataclass(slots=True)
class Live:
    """A stream of two shards in a process of its own, and workers on one root."""

    program: Program
    api: KinesisClient
    workers: list[Worker] = field(default_factory=list)
    put_: list[str] = field(default_factory=list)
    _names: "count[int]" = field(default_factory=lambda: count(1))

    def start(self) -> Worker:
        self.workers.append(Worker(self.program.start("--json", "stream", "run")))
        return self.workers[-1]

    def put(self, events: int = 1, hash_key: int | None = None) -> None:
        """Put events, spread evenly or all to one hash key; a viewer of its own made each."""
        names = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in (next(self._names) for _ in range(events))]
        spread = range(0, HASH_KEY_MAX, HASH_KEY_MAX // events)
        keys = [str(spread[i] if hash_key is None else hash_key) for i in range(events)]
        puts = [Put(LINE.format(viewer=v).encode(), "k", key) for v, key in zip(names, keys, strict=True)]
        assert self.api.put_records(STREAM, puts).failed == 0
        self.put_ += names

    def counted(self) -> Counter[str]:
        """How often each event is in the answer."""
        return Counter({row[1]: row[2] for row in self.program.ask("viewers").rows})

    def all_counted_once(self) -> float:
        """Wait until everything that was put is in the answer, and give the time when it was seen to be."""
        until_s = time.monotonic() + PATIENCE_S
        while sum(self.counted().values()) < len(self.put_):
            assert time.monotonic() < until_s, f"{len(self.put_) - len(self.counted())} events are not in the answer"
            time.sleep(0.05)
        seen_s = time.time()
        assert self.counted() == Counter(self.put_), "something was counted twice, or is not ours"
        return seen_s


@contextmanager
def service() -> Iterator[str]:
    command = [sys.executable, "-m", "shardlake.testing.kinesis", "--unlimited", "--stream", f"{STREAM}:2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.send_signal(signal.SIGTERM)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Give what notes seconds in the test's report."""
    noted: list[tuple[str, object]] = request.node.user_properties

    def note(what: str, seconds: float) -> None:
        noted.append((f"{what}, s", round(seconds, 2)))

    return note


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with service() as url:
        api = KinesisClient(AwsSettings("us-east-1", url))
        settings = {
            "source.path": "",
            "source.stream": STREAM,
            "source.endpoint": url,
            "source.region": "us-east-1",
            "source.pack": "cloudfront_realtime",
            "source.fields": FIELDS,
            "limits.chunk_age_s": "0.5",
            "limits.worker_expiry_s": "2",
            "limits.heartbeat_s": "0.2",
        }
        made = Live(Program(tmp_path / "root", tmp_path, settings), api)
        yield made
        for worker in made.workers:
            if worker.running.process.poll() is None:
                worker.signal(signal.SIGKILL)
        api.close()


def test_a_worker_reads_at_once_and_hands_over_when_it_is_stopped(
    live: Live, measured: Callable[[str, float], None]
) -> None:
    live.put(200)
    began_s = time.time()
    first = live.start()
    read_s = first.committed(200) - began_s
    measured("first rows committed after", read_s)
    second = live.start()
    second.when("shards_moved", adopted=1)
    live.put(200)
    live.all_counted_once()
    live.put(200)
    stopped_s = time.time()
    assert first.signal(signal.SIGTERM) == 0
    taken_s = second.when("shards_moved", since_s=stopped_s, adopted=1) - stopped_s
    measured("handed over after", taken_s)
    live.put(200)
    live.all_counted_once()
    assert second.signal(signal.SIGTERM) == 0
    assert "trying_again" not in first.events() + second.events()


def test_children_are_read_at_once_and_the_killed_are_replaced(
    live: Live, measured: Callable[[str, float], None]
) -> None:
    workers = [live.start() for _ in range(3)]  # all at once: nobody takes another one's lane
    for worker in workers:
        worker.when("lane_taken")
    live.put(100)
    live.all_counted_once()
    assert sum(worker.events()["lane_taken"] for worker in workers) == 3
    [shard] = [s.shard_id for s in live.api.list_shards(STREAM) if s.start_hash == 0]
    split_s = time.time()
    live.api.split(STREAM, shard, HALF // 2)
    live.put(10, hash_key=1)
    moved_s = min(when_adopted(workers, split_s, 2)) - split_s
    seen_s = live.all_counted_once() - split_s
    measured("children taken in after a split", moved_s)
    measured("their first rows in an answer after", seen_s)
    killed_s = time.time()
    assert workers[0].signal(signal.SIGKILL) == -signal.SIGKILL
    assert workers[1].signal(signal.SIGKILL) == -signal.SIGKILL
    live.put(100)
    replaced_s = live.all_counted_once() - killed_s
    measured("all lanes of the killed read again after", replaced_s)


def when_adopted(workers: list[Worker], since_s: float, shards: int) -> list[float]:
    """Wait until one of the workers takes so many shards in, and give the time when it did."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        told = [(at_s, line) for worker in workers for at_s, line in tuple(worker.told) if at_s >= since_s]
        if found := [at_s for at_s, line in told if line["event"] == "shards_moved" and line["adopted"] == shards]:
            return found
        time.sleep(0.02)
    raise AssertionError("no worker took the children in")
