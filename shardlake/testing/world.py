"""A small world in which the law of the cut is tested: shards, lanes, workers, batch runs, and a plain oracle.

The committers, batch runs and plans are the real ones. The world keeps what the producer put, in order, and
for any answer evaluates the views plainly, in Python, over the events that the answer's positions cover.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from batch.context import Context
from batch.rebuild import rebuild
from batch.run import run
from serving.answer import view_parts
from serving.plan import plan
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.engine import Engine
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.adapters.readers import MASTER
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.core.combine import finalized_sql
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import operations, reading
from shardlake.core.journal.port import Journal
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock, ObjectStore, Tables
from shardlake.core.positions import END, ORIGIN, Position, SeqRange, ShardId
from shardlake.core.readplan import ReadPlan
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import CompiledView
from shardlake.testing.late import LateJournal
from shardlake.testing.plain import EPOCH_US, Click
from streams.chunk import Chunk, Piece
from streams.committer import Committer
from streams.lane import Lane, LaneContext

SCHEMA: Final = SourceSchema(
    "clicks",
    (
        Column("happened", "TIMESTAMP"),
        Column("seen", "TIMESTAMP", "may be NULL, unlike the event's time"),
        Column("page", "VARCHAR"),
        Column("cost", "BIGINT"),
        Column("weight", "DOUBLE"),
        Column("click_id", "VARCHAR"),
    ),
    event_time="happened",
    event_id="click_id",
)
ARROW: Final = pa.schema(
    [
        ("happened", pa.timestamp("us")),
        ("seen", pa.timestamp("us")),
        ("page", pa.string()),
        ("cost", pa.int64()),
        ("weight", pa.float64()),
        ("click_id", pa.string()),
    ]
)
Answers = dict[str, list[dict[str, Any]]]
PARENTS: Final[Mapping[str, tuple[str, ...]]] = {"a": (), "b": (), "c": ("a",), "d": ("a", "b")}
BASE: Final = 10**40  # sequence numbers that no integer column holds, with a growing number of digits


def position_of(index: int) -> Position:
    """The position of a shard's event; index 0 is the first, and the numbers gain a digit on the way."""
    return Position(BASE * 9 + BASE * index, 0)


def planned(
    journal: Journal,
    store: ObjectStore,
    tables: Tables,
    views: Mapping[str, CompiledView],
    cuts: list[Mapping[int, int]],
) -> ReadPlan:
    """Plan an answer over all views, and add its cut to those before, behind which it may not go back."""
    made = plan(journal, store, tables, list(views.values()))
    cut = made.cut.cut()
    if any(cut.get(lane, 0) < n for before in cuts[-1:] for lane, n in before.items()):
        raise AssertionError(f"a cut went back from {cuts[-1]} to {cut}")
    cuts.append(cut)
    return made


def answered(engine: Engine, store: ObjectStore, made: ReadPlan) -> Answers:
    """The rows of each view at a plan's cut."""
    return {
        name: engine.table(finalized_sql(p.view, view_parts(p, store))).to_pylist() for name, p in made.views.items()
    }


@dataclass(slots=True)
class Worker:
    """A committer that believes to own its lane; it may be wrong."""

    lane: int
    committer: Committer


@dataclass(slots=True)
class World:
    """Everything of one run. `views` may grow; `now` are the committers that opened their lane last."""

    inner: Journal
    store: ObjectStore
    tables: Tables
    engine: Engine
    clock: Clock
    views: dict[str, CompiledView]
    lanes: int = 1
    limits: Limits = field(default_factory=lambda: Limits(retry_first_s=0.0, commit_retries_max=3))
    produced: dict[str, list[Click]] = field(default_factory=lambda: {s: [] for s in PARENTS})
    closed: set[str] = field(default_factory=set)
    now: dict[int, Worker] = field(default_factory=dict)
    zombies: list[Worker] = field(default_factory=list)
    cuts: list[Mapping[int, int]] = field(default_factory=list)
    journal: LateJournal = field(init=False)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.inner.transact(operations.found(self.lanes))
        self.journal = LateJournal(self.inner)
        for lane in range(self.lanes):
            self.take(lane)

    @staticmethod
    def in_memory(folder: Path, engine: Engine, views: dict[str, CompiledView], lanes: int) -> "World":
        """A world whose journal and tables are in memory, and whose files need not last."""
        store = LocalObjects(folder / "objects", sync=False)
        return World(MemoryJournal(), store, MemoryTables(folder / "tables"), engine, SystemClock(), views, lanes)

    @staticmethod
    def on_disk(folder: Path, engine: Engine, views: dict[str, CompiledView], lanes: int) -> "World":
        """A world with the adapters of a laptop: SQLite, Iceberg, files."""
        journal, store = SqliteJournal(folder / "journal.db"), LocalObjects(folder / "objects", sync=False)
        return World(journal, store, IcebergTables(folder / "tables"), engine, SystemClock(), views, lanes)

    def new_id(self) -> str:
        """A name never used before."""
        return f"{next(self._ids):08x}"

    def take(self, lane: int) -> None:
        """A new worker takes the lane over; the old one does not know."""
        if lane in self.now:
            self.zombies.append(self.now.pop(lane))
        fault, self.journal.fault = self.journal.fault, "none"  # what will go wrong is for its commits
        context = LaneContext(self.journal, self.store, self.clock, self.new_id, self.limits)
        owned = Lane.take(context, lane, self.new_id(), "clicks")
        self.journal.fault = fault
        committer = Committer(owned, self.store, SCHEMA, list(self.views.values()), self.engine, self.limits)
        self.now[lane] = Worker(lane, committer)

    def attempt(self, worker: Worker, work: Callable[[Committer], object]) -> bool:
        """Let a worker do something; if it lost its lane, or cannot know, it gives up. Tell whether it went well."""
        try:
            work(worker.committer)
        except (Conflict, OutcomeUnknown, Transient):
            self.journal.fault = "none"
            if self.now.get(worker.lane) is worker:
                del self.now[worker.lane]
                self.take(worker.lane)
            elif worker in self.zombies:
                self.zombies.remove(worker)
            return False
        return True

    def discover(self, shard: str) -> None:
        """Make a shard known, once."""
        if shard not in reading.read_shards(self.inner):
            self.inner.transact([operations.discover(shard, "clicks", PARENTS[shard])])

    def adoptable(self) -> list[str]:
        """Free shards whose parents have ended."""
        rows = reading.read_shards(self.inner)
        ended = {s for s, row in rows.items() if row.place == "end"}
        return sorted(s for s, row in rows.items() if row.place == "free" and set(row.parents) <= ended)

    def chunk(self, worker: Worker, sizes: Mapping[str, int]) -> Chunk:
        """The next events of some of a worker's shards, as far as it believes to have read, each in two pieces."""
        chunk = Chunk(self.limits)
        for shard, size in sizes.items():
            at = worker.committer.lane.position(shard)
            if at is None:
                continue
            start = 0 if at == "-" else index_after(Position.decode(at))
            for first, last in halves(start, min(start + size, len(self.produced[shard]))):
                chunk.add(self._piece(shard, first, last), 0.0)
        return chunk

    def _piece(self, shard: str, first: int, last: int) -> Piece:
        events = self.produced[shard][first:last]
        is_end = shard in self.closed and last == len(self.produced[shard])
        after = ORIGIN if first == 0 else position_of(first - 1)
        upto = END if is_end else position_of(last - 1) if last else ORIGIN
        sequence = pa.array([position_of(i).encode().partition(".")[0] for i in range(first, last)], pa.string())
        rows = pa.Table.from_pylist([e.row() for e in events], ARROW)
        sub = np.zeros(len(events), dtype=np.int64)
        parents = PARENTS[shard] if after == ORIGIN else ()
        return Piece(SeqRange(ShardId(shard), after, upto), rows, sequence, sub, EPOCH_US + last, parents=parents)

    def context(self, tables: Tables | None = None) -> Context:
        """What a batch run gets."""
        sort = ("page", "happened")
        return Context(
            self.inner, self.store, tables or self.tables, self.engine, SCHEMA, sort, self.new_id, self.limits
        )

    def batch(self, tables: Tables | None = None) -> None:
        """Run the batch layer over everything committed; if another run was first, that is all right."""
        with suppress(Conflict):
            run(self.context(tables), list(self.views.values()))

    def rebuild(self, view: str) -> None:
        """Rebuild a view's table from the master dataset, if there is one."""
        if MASTER in reading.read_pointers(self.inner):
            rebuild(self.context(), self.views[view])

    def plan(self, tables: Tables | None = None) -> ReadPlan:
        """Plan an answer over all views; its cut may not go back."""
        return planned(self.inner, self.store, tables or self.tables, self.views, self.cuts)

    def answers(self, made: ReadPlan) -> Answers:
        """The rows of each view at a plan's cut."""
        return answered(self.engine, self.store, made)

    def covered(self, upto: Mapping[str, str]) -> list[Click]:
        """The non-duplicate events at or below some positions, decided plainly."""
        seen: dict[str, set[str]] = {}
        found: list[Click] = []
        for shard in PARENTS:
            scope = set().union(*(seen.get(a, set()) for a in ancestors(shard)))
            mine = seen.setdefault(shard, set())
            for event in self.produced[shard][: count_upto(upto.get(shard, "-"), len(self.produced[shard]))]:
                if event.click_id is not None and event.click_id in scope | mine:
                    continue
                if event.click_id is not None:
                    mine.add(event.click_id)
                found.append(event)
        return found


def ancestors(shard: str) -> set[str]:
    """All shards that a shard descends from."""
    return {a for parent in PARENTS[shard] for a in (parent, *ancestors(parent))}


def index_after(at: Position) -> int:
    """The index of the first event after a position."""
    return (at.sequence - BASE * 9) // BASE + 1


def count_upto(at: str, total: int) -> int:
    """How many of a shard's events lie at or below a position."""
    if at in ("-", "~"):
        return 0 if at == "-" else total
    return index_after(Position.decode(at))


def halves(start: int, stop: int) -> Sequence[tuple[int, int]]:
    """Cut a stretch in two, if it is long enough."""
    middle = (start + stop) // 2
    return [(a, b) for a, b in ((start, middle), (middle, stop)) if b > a] or [(start, stop)]
