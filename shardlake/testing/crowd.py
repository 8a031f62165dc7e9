"""Very many workers on one stream, in simulated time: real workers, loops, sources and lanes, of which some are killed.

The stream is the embedded one, whose reads take no time. Calls of the journal and of the storage take some.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.kinesis.wire import Put
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Entry, SourceRow
from shardlake.core.limits import Limits
from shardlake.testing.baton import Baton, OwnClock, SlowJournal, SlowObjects
from shardlake.testing.clicks import Clicks, line_of
from shardlake.testing.fleet import Inline, Told
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis
from shardlake.testing.plain import Click
from shardlake.testing.world import SCHEMA
from streams.committer import Committer
from streams.decode import Decoding
from streams.lane import Lane, LaneContext
from streams.loop import Loop
from streams.protect import Protection
from streams.sharing import Sharing
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.worker import Worker

STREAM: Final = "clicks"
PASSES: Final = (Conflict, OutcomeUnknown, Transient)


@dataclass(slots=True)
class Listings:
    """The stream's service, of whose listing everybody gets the same object while it is the same."""

    inner: CallApi
    _listed: "dict[str, object]" = field(default_factory=dict)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def list_shards(self, stream: str, *more: object) -> object:
        """List the shards, once."""
        if stream not in self._listed:
            self._listed[stream] = self.inner.list_shards(stream, *more)  # type: ignore[arg-type]
        return self._listed[stream]

    def forget(self) -> None:
        """List anew next time."""
        self._listed.clear()


@dataclass(slots=True)
class Crowd:
    """A stream, a journal, and very many workers."""

    folder: Path
    shards: int
    workers: int
    seed: int = 0
    limits: Limits = field(init=False)
    kinesis: EmbeddedKinesis = field(init=False)
    api: Listings = field(init=False)
    store: SlowObjects = field(init=False)
    journal: SlowJournal = field(init=False)
    chance: random.Random = field(init=False)
    baton: Baton = field(default_factory=Baton)
    inner: MemoryJournal = field(default_factory=MemoryJournal)
    told: Told = field(default_factory=Told)
    living: dict[int, Worker] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)  # name -> when
    taken_s: list[float] = field(default_factory=list)
    puts: int = 0
    restarts: int = 0
    engine: Engine = field(default_factory=lambda: Engine(threads=1))
    _names: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.limits = Limits(lanes_max=2 * self.workers, chunk_age_s=1.0, poll_longest_s=4.0)
        clock = OwnClock(self.baton)
        self.kinesis = EmbeddedKinesis(clock, random.Random(self.seed), Behaviour.unlimited())
        self.kinesis.ask("CreateStream", StreamName=STREAM, ShardCount=self.shards)
        self.api = Listings(CallApi(self._call))
        self.store = SlowObjects(LocalObjects(self.folder, sync=False), self.baton, chance)
        self.journal = SlowJournal(self.inner, self.baton, chance)
        self.inner.transact(operations.found(1))
        source = SourceRow(STREAM, {"pack": "clicks"})
        self.inner.transact([Write(rows.source_key(STREAM), None, rows.encode(source))])
        self.chance = chance

    def _call(self, action: str, body: bytes) -> tuple[int, bytes]:
        response = self.kinesis.call(action, body)
        return int(response.status), response.body

    def _name(self) -> str:
        return f"{next(self._names):08x}"

    def put(self, records: int) -> None:
        """Put records with as many keys."""
        names = [str(self.chance.random()) for _ in range(records)]
        for start in range(0, records, 500):
            part = names[start : start + 500]
            click = [Put(line_of(Click(1, None, "/", 1, None, name)), name) for name in part]
            results = self.api.inner.put_records(STREAM, click)
            self.puts += len(results.shards)

    def split(self, names: int) -> None:
        """Split some shards in two."""
        for info in self.api.inner.list_shards(STREAM)[:names]:
            middle = str((info.start_hash + info.end_hash) // 2 + 1)
            self.kinesis.ask("SplitShard", StreamName=STREAM, ShardToSplit=info.shard_id, NewStartingHashKey=middle)
        self.api.forget()

    def hire(self) -> None:
        """Start a worker."""
        clock = OwnClock(self.baton, self.chance.uniform(0, 1e6), self.chance.randrange(-(10**9), 10**9))
        context = LaneContext(self.journal, self.store, clock, self._name, self.limits)
        settings = KinesisSettings(STREAM, STREAM)
        source = KinesisSource(settings, self.api, Inline(), clock, self.limits, self.told.stopped)  # type: ignore[arg-type]
        worker = Worker(context, STREAM, source.list, self._committer, self)
        number: list[int] = []
        number.append(self.baton.start(lambda: self._work(worker, source, clock, number)))
        self.living[number[0]] = worker

    def _work(self, worker: Worker, source: KinesisSource, clock: OwnClock, number: list[int]) -> None:
        clock.sleep_s(self.chance.uniform(0, 2))
        lane = None
        while lane is None:
            try:
                lane = worker.claim()
            except PASSES:
                clock.sleep_s(self.chance.uniform(0.05, 0.5))
        committer = self._committer(lane, worker.pulse)
        source.hold(lane.state.shards)
        decoding = Decoding(Clicks(), Protection(), self.limits)
        sharing = Sharing(worker, source)
        loop = Loop(source, decoding, committer, clock, self.limits, lambda: False, self.told, sharing)
        try:
            loop.run()
        except PASSES:
            self.restarts += 1
            self.living.pop(number[0])
            self.hire()

    def _committer(self, lane: Lane, pulse: Callable[[], None]) -> Committer:
        return Committer(lane, self.store, SCHEMA, [], self.engine, self.limits, pulse)

    def kill(self, share: float) -> None:
        """Let a share of the workers end at their next breath."""
        for number in self.chance.sample(sorted(self.living), round(share * len(self.living))):
            self.baton.kill(number)
            self.dead[self.living.pop(number).name] = self.baton.now_s

    def took(self, lane: int, owner: str, shards: int) -> None:
        """Note take-overs of the dead."""
        del lane, shards
        if owner in self.dead:
            self.taken_s.append(self.baton.now_s)

    def moved(self, moves: object) -> None:
        """Note nothing."""

    def found(self, shards: int) -> None:
        """Note nothing."""

    def spread(self) -> int:
        """How much the living workers' numbers of shards differ; very much while a shard is nobody's."""
        homes = [worker.home for worker in self.living.values()]
        places = reading.read_shards(self.inner).values()
        held = Counter(row.lane for row in places if row.place == "held")
        is_settled = held.total() == sum(row.place != "end" for row in places) >= self.shards
        is_settled &= held.keys() <= set(homes)
        numbers = [held[home] for home in homes]
        return max(numbers) - min(numbers) if is_settled else len(numbers) + self.shards

    def even(self, patience_s: float, every_s: float = 0.25) -> float:
        """Let time pass until the shards are spread evenly; say when. Raises: AssertionError if they never are."""
        until_s = self.baton.now_s + patience_s
        while self.baton.now_s < until_s:
            self.baton.run(self.baton.now_s + every_s)
            if self.spread() <= 1:
                return self.baton.now_s
        raise AssertionError(f"after {patience_s} s the workers' shards differ by {self.spread()}")

    def audit(self) -> list[str]:
        """Compare what was committed, in the order in which it was, with what was put; name what is wrong."""
        stands: dict[str, str] = {}
        counted, wrong = 0, []
        places = reading.read_shards(self.inner)
        for key in self.journal.landed:
            entry = rows.decode(Entry, key, self.inner.get([key])[key])
            if entry.manifest is None:
                continue
            manifest = stored.decode(Manifest, entry.manifest.name, self.store.inner.get(entry.manifest))
            counted += manifest.counts.rows
            for one in manifest.ranges:
                if one.after != stands.get(one.shard, "-"):
                    wrong.append(f"{one.shard} goes on from {one.after}, and stood at {stands.get(one.shard)}")
                if one.after == "-" and any(stands.get(parent) != "~" for parent in places[one.shard].parents):
                    wrong.append(f"{one.shard} begins before its parents' end")
                stands[one.shard] = one.upto
        if counted != self.puts:
            wrong.append(f"{counted} rows of {self.puts} records")
        return wrong
