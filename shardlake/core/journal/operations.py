"""Every change of the journal, as a transaction: pure functions from what was read to what is written.

A change of a lane is an entry: its transaction expects the head exactly as it was read and entry n+1
absent, so of two writers of one head one fails, whoever believes to be the owner. Shard rows are expected
as they were read too; a shard moves only by its holder's release and another lane's adoption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shardlake.core.errors import Conflict, Corrupt
from shardlake.core.journal import rows
from shardlake.core.journal.port import REMOVED, Write
from shardlake.core.journal.rows import Entry, Head, ObjectRef, Registry, ShardRow, TableRow, WorkerRow


@dataclass(frozen=True, slots=True)
class Transaction:
    """The writes of one change, and the head and entry that it leads to."""

    writes: tuple[Write, ...]
    head: Head
    entry: Entry


def found(lanes: int) -> tuple[Write, ...]:
    """Make an empty journal with its lanes, none of which has an entry, an owner or a source."""
    first = Write(rows.REGISTRY_KEY, None, rows.encode(Registry(lanes)))
    heads = (Head(lane, 0, "", "", "") for lane in range(lanes))
    return (first, *(Write(rows.lane_key(head.lane), None, rows.encode(head)) for head in heads))


def grow(registry: Registry, source: str = "") -> tuple[Write, ...]:
    """Add a lane, for any source or for one alone."""
    after, head = Registry(registry.lanes + 1), Head(registry.lanes, 0, "", "", source)
    return (
        Write(rows.REGISTRY_KEY, rows.encode(registry), rows.encode(after)),
        Write(rows.lane_key(head.lane), None, rows.encode(head)),
    )


def commit(
    head: Head, commit_id: str, manifest: ObjectRef, state: ObjectRef, ended: Mapping[str, tuple[ShardRow, ObjectRef]]
) -> Transaction:
    """Count a chunk: the manifest's ranges are in, the state moves on.

    `ended` holds the rows of the shards that reached END, which become END, with what their children inherit.
    """
    entry = Entry(head.lane, head.n + 1, commit_id, "data", manifest)
    for row, _ in ended.values():
        _expect_held(row, head)
    moved = tuple(_move(row, _ended(row, entry, carried)) for row, carried in ended.values())
    return _extend(head, entry, msgspec.structs.replace(head, state=state), moved)


def release(head: Head, commit_id: str, row: ShardRow, at: str, state: ObjectRef, carried: ObjectRef) -> Transaction:
    """Let a held shard go free at a position."""
    _expect_held(row, head)
    entry = Entry(head.lane, head.n + 1, commit_id, "release", shard=row.shard, at=at)
    freed = msgspec.structs.replace(row, place="free", lane=-1, at=at, by=(entry.lane, entry.n), carried=carried)
    return _extend(head, entry, msgspec.structs.replace(head, state=state), (_move(row, freed),))


def adopt(head: Head, commit_id: str, row: ShardRow, parents: Sequence[ShardRow], state: ObjectRef) -> Transaction:
    """Take in a free shard whose parents have all ended, at the position that its row names.

    The row keeps naming what the shard carried, so that whoever collects objects finds it under either place.
    Raises: Conflict if the shard is no longer free or a parent has not ended; Corrupt for other parents than its own.
    """
    if {p.shard for p in parents} != set(row.parents):
        raise Corrupt(f"shard {row.shard} has the parents {row.parents}, not {[p.shard for p in parents]}")
    if row.place != "free":
        raise Conflict(f"shard {row.shard} is {row.place}, not free: read again before adopting")
    if unfinished := [p.shard for p in parents if p.place != "end"]:
        raise Conflict(f"shard {row.shard} cannot be adopted before the end of {', '.join(unfinished)}")
    needs = tuple(sorted({key for key in (row.by, *(p.by for p in parents)) if key is not None}))
    entry = Entry(head.lane, head.n + 1, commit_id, "adopt", shard=row.shard, at=row.at, needs=needs)
    held = msgspec.structs.replace(row, place="held", lane=head.lane, by=(entry.lane, entry.n))
    checks = tuple(Write(rows.shard_key(p.shard), rows.encode(p), None) for p in parents)
    return _extend(head, entry, msgspec.structs.replace(head, state=state), (_move(row, held), *checks))


def take(head: Head, commit_id: str, owner: str, source: str, old: WorkerRow | None) -> Transaction:
    """Become the owner of a whole lane. If its owner was seen dead at the heartbeat `old`, that row is removed."""
    if head.source not in ("", source):
        raise Corrupt(f"lane {head.lane} reads {head.source}, not {source}: a lane has one source")
    entry = Entry(head.lane, head.n + 1, commit_id, "take")
    return _extend(head, entry, msgspec.structs.replace(head, owner=owner, source=source), _buried(old))


def leave(head: Head, commit_id: str, worker: WorkerRow | None) -> Transaction:
    """Let a lane have no owner; its shards stay inside. `worker` is the heartbeat's row, if its worker ends too."""
    entry = Entry(head.lane, head.n + 1, commit_id, "take")
    return _extend(head, entry, msgspec.structs.replace(head, owner=""), _buried(worker))


def fence(head: Head, commit_id: str) -> Transaction:
    """Fill the next slot with nothing, so that whatever was sent for it can never land."""
    return _extend(head, Entry(head.lane, head.n + 1, commit_id, "fence"), head, ())


def discover(shard: str, source: str, parents: tuple[str, ...]) -> Write:
    """Make a shard known; it is free at its origin."""
    return Write(rows.shard_key(shard), None, rows.encode(ShardRow(shard, source, "free", parents)))


def beat(old: WorkerRow | None, worker: str) -> tuple[Write, WorkerRow]:
    """Move a worker's heartbeat on."""
    new = WorkerRow(worker, old.beat + 1 if old else 1)
    return Write(rows.worker_key(worker), rows.encode(old) if old else None, rows.encode(new)), new


def point(old: TableRow | None, new: TableRow) -> Write:
    """Move the pointer of a view to another table."""
    return Write(rows.table_key(new.view), rows.encode(old) if old else None, rows.encode(new))


def _buried(worker: WorkerRow | None) -> tuple[Write, ...]:
    return () if worker is None else (Write(rows.worker_key(worker.worker), rows.encode(worker), REMOVED),)


def _extend(head: Head, entry: Entry, after: Head, others: tuple[Write, ...]) -> Transaction:
    moved = msgspec.structs.replace(after, n=entry.n, commit=entry.commit)
    writes = (
        Write(rows.entry_key(entry.lane, entry.n), None, rows.encode(entry)),
        Write(rows.lane_key(head.lane), rows.encode(head), rows.encode(moved)),
        *others,
    )
    return Transaction(writes, moved, entry)


def _move(old: ShardRow, new: ShardRow) -> Write:
    return Write(rows.shard_key(old.shard), rows.encode(old), rows.encode(new))


def _ended(row: ShardRow, entry: Entry, carried: ObjectRef) -> ShardRow:
    by = (entry.lane, entry.n)
    return msgspec.structs.replace(row, place="end", lane=-1, at="~", by=by, carried=carried)


def _expect_held(row: ShardRow, head: Head) -> None:
    if row.place != "held" or row.lane != head.lane:
        where = f"held by lane {row.lane}" if row.place == "held" else row.place
        raise Conflict(f"shard {row.shard} is {where}, not held by lane {head.lane}: read the lane again")
