"""A world whose source is a stream of changes: a table of items, and views over their images in plain Python.

Items move with their shards: what is put while a shard is open goes on in the children after its end. Images move from
window to window, and so take rows back in partitions that a batch run has written long ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from batch.audit import differing
from batch.context import Context
from serving.answer import view_parts
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.engine import Engine
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.adapters.readers import MASTER
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.core.combine import Part, combined_sql, read_events
from shardlake.core.journal import reading
from shardlake.core.ports import Tables
from shardlake.core.positions import END, ORIGIN, Position, SeqRange, ShardId
from shardlake.core.readplan import ReadPlan
from shardlake.core.view import EVENTS, CompiledView
from shardlake.testing import world as plain_world
from shardlake.testing.plain import EPOCH_US, Click, Near, Plain, bucket, by
from shardlake.testing.world import ARROW, PARENTS, Worker, World, count_upto, index_after, position_of
from streams.chunk import Chunk, Piece
from streams.committer import Committer
from streams.lane import Lane, LaneContext

SCHEMA: Final = replace(plain_world.SCHEMA, event_id=None, weighted=True)
ITEMS: Final = {"a": range(4), "b": range(4, 7)}


@dataclass(frozen=True, slots=True)
class Change:
    """What a table's stream tells of one change of an item: its old and its new image."""

    item: int
    old: Click | None
    new: Click | None

    def rows(self) -> list[tuple[Click, int]]:
        """The rows of its record, with their weights."""
        return [(row, weight) for row, weight in ((self.old, -1), (self.new, 1)) if row is not None]


def totals(images: Sequence[Click]) -> list[dict[str, Any]]:
    """The view `totals`."""
    rows = []
    for (start, page), group in by(images, lambda c: (bucket(c.minute), c.page)):
        costs = [c.cost for c in group if c.cost is not None]
        row = {"bucket": start, "page": page, "n": len(group), "total": sum(costs) if costs else None}
        mean = sum(costs) / len(costs) if costs else None
        row["mean"] = None if mean is None else Near(mean, 1e-9 * abs(mean))
        rows.append(row | {"refund": any(cost < 0 for cost in costs) if costs else None})
    return rows


def seen(images: Sequence[Click]) -> list[dict[str, Any]]:
    """The view `seen`: a window that may be NULL, a condition, sums of doubles."""
    rows = []
    some = [c for c in images if c.page is not None]
    for (start,), group in by(some, lambda c: (bucket(c.seen) if c.seen is not None else None,)):
        weights = [c.weight for c in group if c.weight is not None]
        total = Near(fsum(weights), 1.0) if weights else None  # 1e12 comes and goes a hundred times
        rows.append({"bucket": start, "weight": total, "known": len(weights)})
    return rows


def ever(images: Sequence[Click]) -> list[dict[str, Any]]:
    """The view `ever`, which has no window: a sketch that gives values back."""
    rows = []
    for page, group in by(images, lambda c: c.page):
        costs = sorted(c.cost for c in group if c.cost is not None)
        middle = costs[(len(costs) + 1) // 2 - 1] if costs else None
        half = None if middle is None else Near(middle, 0.0079 * abs(middle))
        rows.append({"page": page, "half": half, "positive": sum(cost > 0 for cost in costs)})
    return rows


VIEWS: Final[Mapping[str, Plain]] = {
    "totals": Plain(
        "SELECT time_bucket(INTERVAL '5 minutes', happened) AS bucket, page, count(*) AS n, sum(cost) AS total,"
        " avg(cost) AS mean, bool_or(cost < 0) AS refund FROM clicks GROUP BY ALL",
        ("bucket", "page"),
        totals,
    ),
    "seen": Plain(
        "SELECT time_bucket(INTERVAL '5 minutes', seen) AS bucket, sum(weight) AS weight, count(weight) AS known"
        " FROM clicks WHERE page IS NOT NULL GROUP BY bucket",
        ("bucket",),
        seen,
    ),
    "ever": Plain(
        "SELECT page, approx_quantile(cost, 0.5) AS half, count(cost) FILTER (WHERE cost > 0) AS positive"
        " FROM clicks GROUP BY page",
        ("page",),
        ever,
    ),
}


class Table(World):
    """A world whose shards hold the changes of a table's items, a record each."""

    changes: dict[str, list[Change]]
    table: dict[int, Click]

    @staticmethod
    def made(folder: Path, engine: Engine, views: Mapping[str, CompiledView], count: int, *, on_disk: bool) -> "Table":
        """Make a table without items, whose stream `count` lanes read."""
        journal = SqliteJournal(folder / "journal.db") if on_disk else MemoryJournal()
        tables = IcebergTables(folder / "tables") if on_disk else MemoryTables(folder / "tables")
        store = LocalObjects(folder / "objects", sync=False)
        made = Table(journal, store, tables, engine, SystemClock(), dict(views), count)
        made.changes, made.table = {shard: [] for shard in PARENTS}, {}
        return made

    def open_shards(self) -> list[str]:
        """The shards that still get records."""
        return [s for s in PARENTS if s not in self.closed and set(PARENTS[s]) <= self.closed]

    def put(self, item: int, new: Click | None) -> None:
        """Change an item, if the shard that it is in has begun."""
        before = "a" if item in ITEMS["a"] else "b"
        child = "c" if before == "a" and item % 2 else "d"
        shard = before if before not in self.closed else child
        old = self.table.pop(item, None)
        if shard not in self.open_shards() or (old is None and new is None):
            self.table |= {} if old is None else {item: old}
            return
        self.table |= {} if new is None else {item: new}
        self.changes[shard].append(Change(item, old, new))

    def take(self, lane: int) -> None:
        """A new worker takes the lane over; the old one does not know."""
        if lane in self.now:
            self.zombies.append(self.now.pop(lane))
        fault, self.journal.fault = self.journal.fault, "none"
        context = LaneContext(self.journal, self.store, self.clock, self.new_id, self.limits)
        owned = Lane.take(context, lane, self.new_id(), "clicks")
        self.journal.fault = fault
        committer = Committer(owned, self.store, SCHEMA, list(self.views.values()), self.engine, self.limits)
        self.now[lane] = Worker(lane, committer)

    def records(self, worker: Worker, size: int) -> Chunk:
        """The next records of the shards that a worker believes to hold."""
        chunk = Chunk(self.limits)
        for shard in sorted(worker.committer.lane.state.shards):
            at = worker.committer.lane.position(shard)
            start = 0 if at in (None, "-") else index_after(Position.decode(at or ""))
            chunk.add(self._records(shard, start, min(start + size, len(self.changes[shard]))), 0.0)
        return chunk

    def _records(self, shard: str, first: int, last: int) -> Piece:
        rows = [
            (n, sub, image, weight)
            for n in range(first, last)
            for sub, (image, weight) in enumerate(self.changes[shard][n].rows())
        ]
        is_end = shard in self.closed and last == len(self.changes[shard])
        after = ORIGIN if first == 0 else position_of(first - 1)
        upto = END if is_end else position_of(last - 1) if last else ORIGIN
        return Piece(
            SeqRange(ShardId(shard), after, upto),
            pa.Table.from_pylist([image.row() for _, _, image, _ in rows], ARROW),
            pa.array([position_of(n).encode().partition(".")[0] for n, _, _, _ in rows], pa.string()),
            np.array([sub for _, sub, _, _ in rows], dtype=np.int64),
            EPOCH_US + last,
            parents=PARENTS[shard] if after == ORIGIN else (),
            weights=np.array([weight for _, _, _, weight in rows], dtype=np.int32),
        )

    def context(self, tables: Tables | None = None) -> Context:
        """What a batch run gets."""
        return replace(World.context(self, tables), schema=SCHEMA)

    def images(self, upto: Mapping[str, str]) -> list[Click]:
        """The last image of each item at or below some positions."""
        found: dict[int, Click] = {}
        for shard, told in self.changes.items():
            for change in told[: count_upto(upto.get(shard, "-"), len(told))]:
                found.pop(change.item, None)
                found |= {} if change.new is None else {change.item: change.new}
        return list(found.values())

    def recomputed(self, made: ReadPlan, name: str) -> int:
        """Count the groups of a view that differ from those of the master dataset's rows, where it counts them all."""
        pointer = reading.read_pointers(self.inner).get(MASTER)
        master = self.tables.load(pointer.table) if pointer else None
        if master is None or not master.files or master.seam.cut() != made.cut.cut():
            return 0
        view = made.views[name].view
        rows = read_events(view, [file.path for file in master.files])
        again = combined_sql(view, [Part(f"({view.partial.replace(EVENTS, rows)})")])
        answered = combined_sql(view, view_parts(made.views[name], self.store))
        return differing(self.engine, view, f"({again})", f"({answered})")[0]
