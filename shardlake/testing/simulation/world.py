"""A simulated world: a stream, a journal, storage, and the real workers, batch runs and planners between them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final, Protocol

from batch.context import Context
from batch.rebuild import rebuild
from batch.run import run
from serving.plan import plan
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.core.errors import Conflict, OutcomeUnknown, ShardlakeError, Transient
from shardlake.core.journal import operations, rows
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import Entry, SourceRow
from shardlake.core.limits import Limits
from shardlake.testing import fleet
from shardlake.testing.clock import ManualClock
from shardlake.testing.simulation.auditor import AuditedJournal, Auditor, Violation
from shardlake.testing.simulation.changes import Changes
from shardlake.testing.simulation.faults import Faults, HostClock, Killed, Kind, Process
from shardlake.testing.simulation.journal import FaultyJournal, Flights
from shardlake.testing.simulation.kinesis import RETENTION_H, Kinesis
from shardlake.testing.simulation.modes import Rows
from shardlake.testing.simulation.schedule import Setup, Step
from shardlake.testing.simulation.service import STREAM
from shardlake.testing.simulation.steps import HOSTS, STEPS
from shardlake.testing.simulation.storage import FaultyFiles, FaultyObjects, FaultyTables
from shardlake.testing.simulation.table import TableJournals
from streams.committer import Committer
from streams.lane import Lane, LaneContext
from streams.sources.kinesis.source import KinesisSource
from streams.sources.port import SourceGap
from streams.worker import Worker

PASSES: Final = (Conflict, OutcomeUnknown, Transient)  # what a process is begun anew after
DEPTH_MAX: Final = 3


class Stream(Protocol):
    """What is read: who writes it, and how a process reads it."""

    @property
    def made(self) -> int:
        """How many events were made."""

    @property
    def shards(self) -> int:
        """How many shards are open."""

    def put(self, key: int, count: int, together: int) -> None:
        """Put some events, and tell the auditor of each record that is in."""

    def put_everywhere(self) -> None:
        """Put an event into each open shard."""

    def split(self, index: int) -> None:
        """Split an open shard."""

    def merge(self, index: int) -> None:
        """Merge two open shards, or what comes next to that."""

    def source(
        self, process: Process, pinned_us: int, limits: Limits, stopped: Callable[[SourceGap], None]
    ) -> KinesisSource:
        """Make a process' source."""

    def calm(self) -> None:
        """Let the service do nothing that it seldom does."""


@dataclass(slots=True, eq=False)
class Member(fleet.Member):
    """A worker's process: its loop, once it has a lane."""

    process: Process = field(kw_only=True)


class _Told(fleet.Told):
    """Tells the auditor what workers believe."""

    def __init__(self, auditor: Auditor) -> None:
        super().__init__()
        self._auditor = auditor

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """An entry was committed, as its worker believes."""
        super().committed(entry, rows, letters, failed)
        self._auditor.acknowledged(entry)

    def stopped(self, gap: SourceGap) -> None:
        """A shard stands still."""
        super().stopped(gap)
        self._auditor.gap(str(gap.shard))


@dataclass(slots=True)
class World:
    """Everything of one run. See `shardlake.testing.simulation.running` for how it is played."""

    setup: Setup
    rows: Rows
    seed: int
    clock: ManualClock = field(default_factory=ManualClock)
    members: list[Member] = field(default_factory=list)
    told: fleet.Told = field(init=False)
    faults: Faults = field(init=False)
    auditor: Auditor = field(init=False)
    stream: Stream = field(init=False)
    flights: Flights = field(init=False)
    limits: Limits = field(init=False)
    journal: Journal = field(init=False)
    table: TableJournals | None = field(default=None, init=False)
    hosts: list[HostClock] = field(init=False)
    pinned_us: int = 0
    _names: "count[int]" = field(default_factory=count)
    _numbers: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        setup = self.setup
        self.faults = Faults(self.clock, self.play)
        self.auditor = Auditor(self.rows, self.clock, RETENTION_H * 3_600_000, self.faults.count)
        self.told = _Told(self.auditor)
        self.journal = self._journal()
        self.flights = Flights(self.journal, self.faults)
        self.hosts = [HostClock(self.clock) for _ in range(HOSTS)]
        self.limits = Limits(
            retry_first_s=0.01,
            commit_retries_max=3,
            chunk_age_s=0.3,
            fetch_threads_max=2,
            discover_s=5.0,
            chunk_rows_max=setup.chunk_rows,
            id_logs_max=setup.id_logs,
            batch_rows_max=setup.batch_rows,
            ends_max=setup.ends,
        )
        if setup.source == "changes":
            self.stream = Changes(setup, self.auditor, self.clock, self.faults, self.seed)
        else:
            self.stream = Kinesis(setup, self.auditor, self.clock, self.faults, self.rows, self.seed)
        if setup.starts_late:
            self._begin_late(Random(self.seed + 2))
        self.journal.transact(operations.found(1))
        row = SourceRow(STREAM, {"pack": "numbers"})
        self.journal.transact([Write(rows.source_key(STREAM), None, rows.encode(row))])
        for _ in range(setup.workers):
            self.start()

    def _begin_late(self, chance: Random) -> None:
        """Let there be records, and perhaps closed shards, before the moment from which reading is wanted."""
        for key in range(3):
            self.stream.put(key, 2, 1)
        if chance.random() < 0.5:
            self.stream.split(0)
        self.clock.advance(60.0)
        self.pinned_us = self.clock.now_us()
        self.auditor.pinned_ms = self.pinned_us // 1000
        self.clock.advance(1.0)

    def calm(self) -> None:
        """Let nothing go wrong any more: no fault that lies in wait, and a service with large pages."""
        self.faults.clear()
        self.stream.calm()
        if self.table is not None:
            self.table.calm()

    def name(self) -> str:
        """A name that was never given before."""
        return f"{next(self._names):08x}"

    def process(self, kind: Kind) -> Process:
        """A new process, on one of the hosts."""
        number = next(self._numbers)
        return Process(kind, number, self.hosts[number % HOSTS])

    def _journal(self) -> Journal:
        if self.setup.journal == "dynamodb":
            self.table = TableJournals(self.clock, self.faults, self.auditor, self.seed)
            return self.table.plain
        return AuditedJournal(MemoryJournal(), self.auditor)

    def _journal_of(self, process: Process) -> FaultyJournal:
        inner = self.journal if self.table is None else self.table.of(process)
        return FaultyJournal(inner, self.flights, self.faults, process)

    # --------------------------------------------------------------------------------------------------- workers

    def start(self) -> Member:
        """Start a worker."""
        process = self.process("worker")
        journal = self._journal_of(process)
        store = FaultyObjects(self.rows.store, self.faults, process)
        context = LaneContext(journal, store, process.clock, self.name, self.limits)
        source = self.stream.source(process, self.pinned_us, self.limits, self.told.stopped)

        def committer(lane: Lane, pulse: Callable[[], None]) -> Committer:
            schema, views = self.rows.schema, list(self.rows.views.values())
            steps = self.rows.steps(lambda: self.faults.at(process, "compute") is not None)
            return Committer(lane, store, schema, views, self.rows.engine, self.limits, pulse, steps)

        worker = Worker(context, STREAM, source.list, committer, self.told, source.is_gone)
        member = Member(worker, source, process=process)
        self.members.append(member)
        return member

    def idle_member(self, index: int) -> Member | None:
        """A worker that is in none of its calls now."""
        idle = [member for member in self.members if member.process not in self.faults.running]
        return idle[index % len(idle)] if idle else None

    def round(self, member: Member) -> None:
        """Let a worker do one round; after what passes it leaves its lane and begins anew under another name."""
        try:
            with self.faults.run(member.process):
                self._round(member)
        except Killed:
            self._gone(member)
        except PASSES as error:
            self.faults.count(f"a worker begins anew after {type(error).__name__}")
            self._leave(member)
            self.start()

    def _round(self, member: Member) -> None:
        if member.loop is None:
            member.claim(self.rows.decoding, member.process.clock, self.limits, self.told)
        if member.loop is not None and not member.loop.step():
            member.loop.rest()

    def _leave(self, member: Member) -> None:
        try:
            with self.faults.run(member.process), suppress(ShardlakeError):
                if member.loop is not None:
                    member.worker.leave(member.loop.committer.lane)
        except Killed:
            pass
        self._gone(member)

    def _gone(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)

    def kill(self, member: Member) -> None:
        """Let a worker be gone, if it is inside of a call as soon as that is over."""
        member.process.is_dead = True
        self._gone(member)

    def stop(self, member: Member) -> None:
        """Stop a worker in order: it commits what it has read, and hands over."""
        self._gone(member)
        try:
            with self.faults.run(member.process):
                member.leave()
        except Killed:
            return
        except PASSES:
            self._leave(member)

    # ----------------------------------------------------------------------------------------- batch and answers

    def batch(self, *, anew: str = "") -> None:
        """Run the batch layer, or rebuild a view; it may meet a fault, or another run."""
        process = self.process("batch")
        journal = self._journal_of(process)
        store = FaultyObjects(self.rows.store, self.faults, process)
        tables = FaultyTables(self.rows.tables, self.faults, process)
        files, schema = FaultyFiles(self.rows.files, self.faults, process), self.rows.schema
        context = Context(journal, store, tables, self.rows.engine, schema, (), self.name, self.limits)
        try:
            with self.faults.run(process):
                if anew:
                    rebuild(context, self.rows.views[anew], files)
                else:
                    run(context, list(self.rows.views.values()), files)
        except Killed:
            self.faults.count("a batch run is killed")
        except PASSES as error:
            self.faults.count(f"a batch run ends after {type(error).__name__}")

    def look(self) -> bool:
        """Plan an answer, and have it judged; tell whether that went well."""
        process = self.process("planner")
        journal = self._journal_of(process)
        store = FaultyObjects(self.rows.store, self.faults, process)
        tables = FaultyTables(self.rows.tables, self.faults, process)
        look = self.auditor.begins()
        try:
            with self.faults.run(process):
                made = plan(journal, store, tables, list(self.rows.views.values()))
        except Killed:
            return False
        except PASSES as error:
            self.faults.count(f"a plan ends after {type(error).__name__}")
            return False
        self.auditor.ends(look, made)
        return True

    def stopped(self) -> set[str]:
        """The shards that stand still at a gap."""
        return {str(gap.shard) for gap in self.told.gaps}

    # ----------------------------------------------------------------------------------------------------- steps

    def play(self, step: Step) -> None:
        """Do one step. Raises: Violation."""
        if len(self.faults.running) > DEPTH_MAX:
            return
        self.faults.trace.append(("#", step.do, step.who, step.count))
        for fault in step.faults:
            self.faults.arm(fault)
        try:
            STEPS[step.do](self, step)
        except Violation:
            raise
        except (ShardlakeError, AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
            self.auditor.fail("nothing fails that nobody knows of", f"{type(error).__name__}: {error}")
        if self.auditor.broken is not None:
            raise self.auditor.broken
