"""Workers that share an embedded Kinesis, in one thread and in simulated time, against the producer's log.

Everything under test is real: the workers, loops, sources and committers, the batch runs and the plans. The clock, the
transport and the threads are not. A member of the fleet can be killed between any two rounds, stopped in order, or
left for dead and let go on as a zombie.
"""

import random
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from batch.context import Context
from batch.run import run
from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.kinesis.wire import Put
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Entry, SourceRow
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import Position, ShardId
from shardlake.core.readplan import ReadPlan
from shardlake.core.view import CompiledView
from shardlake.testing.clicks import Clicks, line_of
from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis
from shardlake.testing.late import LateJournal
from shardlake.testing.plain import Click
from shardlake.testing.world import SCHEMA, Answers, answered, planned
from streams.assignment import Moves
from streams.committer import Committer
from streams.decode import Decoding
from streams.lane import Lane, LaneContext
from streams.loop import Loop
from streams.protect import Protection
from streams.sharing import Sharing
from streams.sources.kinesis.source import KinesisSettings, KinesisSource, OnGap
from streams.sources.port import SourceGap
from streams.worker import Worker

STREAM: Final = "clicks"
LIMITS: Final = Limits(retry_first_s=0.0, commit_retries_max=3, chunk_age_s=0.3, fetch_threads_max=2, discover_s=5.0)
PASSES: Final = (Conflict, OutcomeUnknown, Transient)  # what a process is restarted after


class Inline(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Do it, and give what came of it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        return future


@dataclass(slots=True)
class Told:
    """What the members say: commits, moves of shards, and gaps that stopped one."""

    entries: int = 0
    taken: int = 0
    moves: list[Moves] = field(default_factory=list)
    gaps: list[SourceGap] = field(default_factory=list)

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """Take note of an entry."""
        del entry, rows, letters, failed
        self.entries += 1

    def idle(self) -> None:
        """Take note of nothing."""

    def took(self, lane: int, owner: str, shards: int) -> None:
        """Take note of a lane."""
        del lane, owner, shards
        self.taken += 1

    def moved(self, moves: Moves) -> None:
        """Take note of shards that moved."""
        self.moves.append(moves)

    def found(self, shards: int) -> None:
        """Take note of nothing."""

    def stopped(self, gap: SourceGap) -> None:
        """Take note of a gap."""
        self.gaps.append(gap)


@dataclass(slots=True, eq=False)
class Member:
    """One process: a worker, and its loop once it has a lane."""

    worker: Worker
    source: KinesisSource
    loop: Loop | None = None

    def claim(self, decoding: Callable[[], Decoding], clock: Clock, limits: Limits, told: Told) -> None:
        """Take a lane if there is one, and begin a loop over it, as `shardlake.app.shared` does. Raises: as `claim`."""
        lane = self.worker.claim()
        if lane is None:
            return
        committer = self.worker.open(lane, self.worker.pulse)
        self.source.hold(lane.state.shards)
        sharing = Sharing(self.worker, self.source)
        self.loop = Loop(self.source, decoding(), committer, clock, limits, lambda: False, told, sharing)

    def leave(self) -> None:
        """Commit what was read, and hand over. Raises: as the loop and the worker."""
        if self.loop is not None:
            self.loop.settle()
            self.worker.leave(self.loop.committer.lane)


@dataclass(slots=True)
class Put1:
    """A record of the producer's log: what was put, and where it went."""

    shard: str
    number: int
    click: Click | None


@dataclass(slots=True)
class Fleet:
    """A stream, a journal, and the processes that read the one into the other."""

    folder: Path
    engine: Engine
    views: dict[str, CompiledView]
    shards: int = 2
    seed: int = 0
    limits: Limits = LIMITS
    behaviour: Behaviour = field(default_factory=Behaviour.unlimited)
    on_gap: OnGap = "fail"
    pinned_us: int = 0
    clock: ManualClock = field(default_factory=ManualClock)
    kinesis: EmbeddedKinesis = field(init=False)
    api: CallApi = field(init=False)
    inner: MemoryJournal = field(default_factory=MemoryJournal)
    journal: LateJournal = field(init=False)
    tables: MemoryTables = field(init=False)
    store: LocalObjects = field(init=False)
    members: list[Member] = field(default_factory=list)
    zombies: list[Member] = field(default_factory=list)
    log: list[Put1] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    cuts: list[Mapping[int, int]] = field(default_factory=list)
    _names: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.kinesis = EmbeddedKinesis(self.clock, random.Random(self.seed), self.behaviour)
        self.kinesis.ask("CreateStream", StreamName=STREAM, ShardCount=self.shards)
        self.api = CallApi(self._call)
        self.journal, self.store = LateJournal(self.inner), LocalObjects(self.folder / "objects", sync=False)
        self.tables = MemoryTables(self.folder / "tables")
        self.inner.transact(operations.found(1))
        source = SourceRow(STREAM, {"pack": "clicks"})
        self.inner.transact([Write(rows.source_key(STREAM), None, rows.encode(source))])

    def _call(self, action: str, body: bytes) -> tuple[int, bytes]:
        response = self.kinesis.call(action, body)
        if response.dropped:
            raise Transient(f"nothing was heard of {action}")
        return int(response.status), response.body

    def _name(self) -> str:
        return f"{next(self._names):08x}"

    # --------------------------------------------------------------------------------------------- the producer

    def put(self, key: str, clicks: list[Click | None], *, together: int = 1) -> None:
        """Put events with one partition key, None for a line that is none; `together` lines make a record."""
        lines = [b'{"page": oops' if click is None else line_of(click) for click in clicks]
        batches = [range(at, min(at + together, len(lines))) for at in range(0, len(lines), together)]
        results = self.api.put_records(STREAM, [Put(b"\n".join(lines[i] for i in batch), key) for batch in batches])
        for batch, shard, number, code in zip(batches, results.shards, results.sequences, results.codes, strict=True):
            if not code:
                self.log += [Put1(f"{STREAM}/{shard}", int(number), clicks[i]) for i in batch]

    def open_shards(self) -> list[str]:
        """The shards that can be put into, by their hash keys."""
        found = [s for s in self.api.list_shards(STREAM) if s.end_sequence is None]
        return [s.shard_id for s in sorted(found, key=lambda s: s.start_hash)]

    def split(self, index: int) -> None:
        """Split an open shard in two."""
        found = {s.shard_id: s for s in self.api.list_shards(STREAM)}
        name = self.open_shards()[index % len(self.open_shards())]
        middle = (found[name].start_hash + found[name].end_hash) // 2 + 1
        self.kinesis.ask("SplitShard", StreamName=STREAM, ShardToSplit=name, NewStartingHashKey=str(middle))

    def merge(self, index: int) -> None:
        """Merge two adjacent open shards, if there are two."""
        names = self.open_shards()
        if len(names) > 1:
            at = index % (len(names) - 1)
            self.kinesis.ask(
                "MergeShards", StreamName=STREAM, ShardToMerge=names[at], AdjacentShardToMerge=names[at + 1]
            )

    # ---------------------------------------------------------------------------------------------- the workers

    def spawn(self) -> Member:
        """Start a process."""
        context = LaneContext(self.journal, self.store, self.clock, self._name, self.limits)
        settings = KinesisSettings(STREAM, STREAM, self.on_gap, self.pinned_us)
        source = KinesisSource(settings, self.api, Inline(), self.clock, self.limits, self.told.stopped)
        member = Member(Worker(context, STREAM, source.list, self._committer, self.told, source.is_gone), source)
        self.members.append(member)
        return member

    def step(self, member: Member) -> bool:
        """Let a process do one round; after what passes it is started anew. Tell whether it had something to read."""
        try:
            if member.loop is None:
                member.claim(lambda: Decoding(Clicks(), Protection(), self.limits), self.clock, self.limits, self.told)
            return member.loop is not None and member.loop.step()
        except PASSES:
            self.journal.fault = "none"
            self.kill(member)
            self.spawn()
            return False

    def _committer(self, lane: Lane, pulse: Callable[[], None]) -> Committer:
        return Committer(lane, self.store, SCHEMA, list(self.views.values()), self.engine, self.limits, pulse)

    def kill(self, member: Member, *, zombie: bool = False) -> None:
        """Let a process be gone, or, a `zombie`, believed gone."""
        if member in self.members:
            self.members.remove(member)
            if zombie:
                self.zombies.append(member)
        elif member in self.zombies:
            self.zombies.remove(member)

    def stop(self, member: Member) -> None:
        """Stop a process in order: it commits what it has read, and hands over."""
        self.members.remove(member)
        with suppress(*PASSES):
            member.leave()
        self.journal.fault = "none"

    def catch_up(self, rounds: int = 400) -> None:
        """Let time pass until everything that was put has been read. Raises: AssertionError if that takes too long."""
        self.journal.fault = "none"
        for _ in range(rounds):
            if not self.members:
                self.spawn()
            for member in tuple(self.members):
                self.step(member)
            self.clock.advance(0.25)
            if not self.lacking():
                return
        raise AssertionError(f"after {rounds} rounds {self.lacking()} records have not been read")

    def lacking(self) -> int:
        """How many records of the producer's log are beyond the present cut."""
        if not self.views:
            return 0
        made = self.plan()
        [upto, *_] = [view.positions.upto for view in made.views.values()]
        return sum(not is_covered(upto.get(record.shard, "-"), record.number) for record in self.log)

    # ---------------------------------------------------------------------------------------- batch and answers

    def batch(self) -> None:
        """Run the batch layer; if another run was first, that is all right."""
        context = Context(
            self.inner, self.store, self.tables, self.engine, SCHEMA, ("page", "happened"), self._name, self.limits
        )
        with suppress(Conflict):
            run(context, list(self.views.values()))

    def plan(self) -> ReadPlan:
        """Plan an answer; its cut may not go back."""
        return planned(self.inner, self.store, self.tables, self.views, self.cuts)

    def answers(self, made: ReadPlan) -> Answers:
        """The rows of each view at a plan's cut."""
        return answered(self.engine, self.store, made)

    def covered(self, upto: Mapping[str, str]) -> list[Click]:
        """The non-duplicate events at or below some positions, out of the producer's log."""
        parents = {f"{STREAM}/{s.shard_id}": [f"{STREAM}/{p}" for p in s.parents] for s in self.api.list_shards(STREAM)}
        seen: dict[str, set[str]] = {shard: set() for shard in parents}
        found: list[Click] = []
        for record in sorted(self.log, key=lambda record: record.number):  # a child's numbers follow its parents'
            if not is_covered(upto.get(record.shard, "-"), record.number) or record.click is None:
                continue
            name, scope = record.click.click_id, {record.shard} | _ancestors(record.shard, parents)
            if name is not None and any(name in seen[shard] for shard in scope):
                continue
            if name is not None:
                seen[record.shard].add(name)
            found.append(record.click)
        return found

    def held(self) -> dict[str, int]:
        """Shard -> lane, of those that are held."""
        return {s: row.lane for s, row in reading.read_shards(self.inner).items() if row.place == "held"}


def is_covered(at: str, number: int) -> bool:
    """Tell whether a record lies at or below a position."""
    if at in ("-", "~"):
        return at == "~"
    return number <= Position.decode(at).sequence


def _ancestors(shard: str, parents: Mapping[str, list[str]]) -> set[str]:
    return {a for parent in parents.get(shard, ()) for a in (parent, *_ancestors(parent, parents))}


def shard_id(name: str) -> ShardId:
    """The id of a shard of the fleet's stream."""
    return ShardId(f"{STREAM}/{name}")
