"""The demo of a stream: two workers share the shards of an embedded Kinesis while much happens to them.

One of them is killed and replaced, a shard is split, two are merged, batch runs twice, and a producer goes on all the
time. What each answer must hold follows from the producer's log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import serving
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import ShardInfo
from shardlake.app.demo.check import unequal
from shardlake.app.demo.checker import Checker, classifying
from shardlake.app.demo.ledger import Ledger, RecordTruth
from shardlake.app.demo.processes import Commands, Running, serve_kinesis
from shardlake.app.demo.production import Production
from shardlake.app.demo.records import Records, make_records
from shardlake.app.demo.stage import LOOK_EVERY_S, LOOKS_MIN, PATIENCE_S, SEED, Stage, killed
from shardlake.app.demo.story import Story, Tail, retold
from shardlake.app.settings import SourceSettings
from shardlake.core.errors import Terminal

STREAM: Final = "cloudfront-logs"
SHARDS: Final = 4
REGION: Final = "us-east-1"
WORKERS: Final = 2
STEP_S: Final = 0.05
BATCH_AT: Final = (0.15, 0.7)
KILL_AT, SPLIT_AT, MERGE_AT = 0.25, 0.4, 0.55
# The embedded service does not throttle, and a producer of the demo puts more than four shards of AWS would take.
SHARD_BYTES_PER_S: Final = 64 << 20


@dataclass(slots=True)
class WorkerProcess:
    """A worker: its number in the story, its process, and what it has said; `shards` is how many it has taken in."""

    number: int
    running: Running
    tail: Tail
    shards: int = 0

    @property
    def name(self) -> str:
        """What the story calls it."""
        return f"worker {self.number}"


@dataclass(slots=True)
class StreamPlay:
    """The demo of a stream that is produced into while it is read."""

    stage: Stage
    service: Running
    api: KinesisClient
    truth: RecordTruth
    records: Records
    production: Production
    workers: list[WorkerProcess] = field(default_factory=list)
    everybody: list[WorkerProcess] = field(default_factory=list)
    _next_look_s: float = 0.0

    def run(self) -> None:
        """Produce, read, and let things happen; then stop the workers. Raises: Terminal."""
        for _ in range(WORKERS):
            self.hire()
        self.until(lambda: all(worker.shards for worker in self.workers), "the workers did not share the shards")
        self.production.start()
        self.stage.story.tell(
            f"a producer begins to put {len(self.records):,} records within about {self.production.seconds:.0f} s"
        )
        self._play()
        self.until(self.is_settled, "the workers did not read everything", looking=True)
        for worker in self.workers:
            worker.running.ask_to_stop()
        for worker in self.workers:
            worker.running.wait(PATIENCE_S)
        self._tell_news()

    def problems(self, last: "serving.Answer") -> tuple[str, ...]:
        """Say what the last answer lacks of what was acknowledged, and what was counted otherwise than it was put."""
        put, expected = self.records, self.truth.at(last.certificate.positions)
        return *self.truth.lacking(), *unequal(expected, put.requests, put.copies, put.broken)

    def close(self) -> None:
        """Stop the producer, and kill what still runs."""
        self.production.close()
        killed(*(worker.running for worker in self.everybody), *self.stage.batches, self.service)
        self.api.close()

    # ------------------------------------------------------------------------------------------- what happens

    def _play(self) -> None:
        """Do what is due, each at its part of the production, and look meanwhile. Raises: Terminal."""
        steps = [(KILL_AT, self._kill), (SPLIT_AT, self._split), (MERGE_AT, self._merge)]
        batches = list(BATCH_AT)
        until_s = self.stage.clock.monotonic_s() + PATIENCE_S + self.production.seconds
        while steps or batches or not self.production.is_done:
            self.attend(looking=True)
            part = self.production.part if self.stage.events else 0.0
            if steps and part >= steps[0][0]:
                steps.pop(0)[1]()
            if batches and part >= batches[0] and self.stage.can_batch():
                self.stage.batch()
                batches.pop(0)
            if self.stage.clock.monotonic_s() > until_s:
                raise Terminal(f"the producer or the workers got stuck: {self._last_words()}")
        put = self.records
        self.stage.story.tell(
            f"all {len(put):,} records are acknowledged: {put.requests:,} requests, {put.late:,} of them late,"
            f" {put.copies:,} copies and {put.broken:,} broken lines"
        )

    def hire(self) -> None:
        """Start another worker."""
        running = self.stage.commands.start("stream", "run")
        worker = WorkerProcess(len(self.everybody) + 1, running, Tail(running.log))
        self.workers.append(worker)
        self.everybody.append(worker)
        self.stage.story.tell(f"{worker.name} starts as process {running.pid}")

    def _kill(self) -> None:
        self._tell_news()
        worker = self.workers.pop(0)
        worker.running.kill()
        self.stage.story.tell(f"{worker.name} (process {worker.running.pid}) is killed with SIGKILL")
        self.hire()

    def _split(self) -> None:
        first = self.open_shards()[0]
        self.api.split(STREAM, first.shard_id, (first.start_hash + first.end_hash) // 2 + 1)
        self.stage.story.tell(f"{first.shard_id} is split in two")

    def _merge(self) -> None:
        """Merge two neighbours; one of them is a child of the shard that was split."""
        _, one, other = self.open_shards()[:3]
        self.api.merge(STREAM, one.shard_id, other.shard_id)
        self.stage.story.tell(f"{one.shard_id} and {other.shard_id} are merged")

    def open_shards(self) -> list[ShardInfo]:
        """The open shards in the order of their hash keys."""
        shards = (shard for shard in self.api.list_shards(STREAM) if shard.end_sequence is None)
        return sorted(shards, key=lambda shard: shard.start_hash)

    # ------------------------------------------------------------------------------------- what is looked after

    def is_settled(self) -> bool:
        """Tell whether everything was read and looked at often enough."""
        stage = self.stage
        return stage.looks >= LOOKS_MIN and stage.can_batch() and not self.truth.lacking()

    def until(self, condition: Callable[[], bool], otherwise: str, *, looking: bool = False) -> None:
        """Wait until a condition is true. Raises: Terminal, which says what the workers said last."""
        until_s = self.stage.clock.monotonic_s() + PATIENCE_S
        while not condition():
            self.attend(looking=looking)
            if self.stage.clock.monotonic_s() > until_s:
                raise Terminal(f"{otherwise} within {PATIENCE_S:.0f} s: {self._last_words()}")

    def attend(self, *, looking: bool) -> None:
        """Wait a moment, hear the workers, and take an answer if it is time. Raises: Terminal if one has ended."""
        stage = self.stage
        stage.clock.sleep_s(STEP_S)
        self._tell_news()
        for worker in self.workers:
            if worker.running.is_over:
                raise Terminal(f"{worker.name} ended by itself: {worker.running.last_line()}")
        if self.service.is_over:
            raise Terminal(f"the embedded Kinesis ended by itself: {self.service.last_line()}")
        if looking and stage.clock.monotonic_s() >= self._next_look_s and stage.has_begun() and stage.look_on():
            self._next_look_s = stage.clock.monotonic_s() + LOOK_EVERY_S

    def _tell_news(self) -> None:
        for worker in self.workers:
            for facts in worker.tail.fresh():
                worker.shards += int(facts.get("adopted", 0))
                if text := retold(facts):
                    self.stage.story.tell(f"{worker.name} {text}")

    def _last_words(self) -> str:
        return "; ".join(f"{worker.name}: {worker.running.last_line()}" for worker in self.workers)


def stream_play(folder: Path, story: Story, clock: SystemClock, requests: int) -> StreamPlay:
    """Start an embedded Kinesis, and prepare everything else. Raises: Terminal."""
    records = make_records(requests, SEED)
    settings: dict[str, str] = {}
    commands = Commands(folder / "store", folder / "said", settings)
    service, endpoint = serve_kinesis(commands, clock, STREAM, SHARDS)
    settings |= _settings(endpoint)
    story.tell(f"an embedded Kinesis (process {service.pid}) serves {STREAM} with {SHARDS} shards at {endpoint}")
    api, ledger = KinesisClient(AwsSettings(REGION, endpoint)), Ledger()

    def lineage() -> Mapping[str, tuple[str, ...]]:
        return {shard.shard_id: shard.parents for shard in api.list_shards(STREAM)}

    truth = RecordTruth(ledger, SourceSettings().name, lineage, classifying())
    stage = Stage(clock, story, commands, Checker(commands.root, truth))
    return StreamPlay(stage, service, api, truth, records, Production(api, STREAM, records, ledger, clock))


def _settings(endpoint: str) -> dict[str, str]:
    return {
        "source.stream": STREAM,
        "source.endpoint": endpoint,
        "source.region": REGION,
        "limits.shard_bytes_per_s": str(SHARD_BYTES_PER_S),
    }
