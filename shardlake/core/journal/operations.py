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


@dataclass(frozen=True, slots=True)
class Leaving:
    """A held shard's row, the position that it goes free at, and what it carries along."""

    row: ShardRow
    at: str
    carried: ObjectRef


@dataclass(frozen=True, slots=True)
class Coming:
    """A free shard's row, and those of its parents."""

    row: ShardRow
    parents: Sequence[ShardRow] = ()


def release(head: Head, commit_id: str, leaving: Sequence[Leaving], state: ObjectRef) -> Transaction:
    """Let held shards go free at their positions; the entry names the first of them."""
    first = leaving[0]
    entry = Entry(head.lane, head.n + 1, commit_id, "release", shard=first.row.shard, at=first.at)
    moved: list[Write] = []
    for one in leaving:
        _expect_held(one.row, head)
        by, at, carried = (entry.lane, entry.n), one.at, one.carried
        moved.append(
            _move(one.row, msgspec.structs.replace(one.row, place="free", lane=-1, at=at, by=by, carried=carried))
        )
    return _extend(head, entry, msgspec.structs.replace(head, state=state), tuple(moved))


def adopt(head: Head, commit_id: str, coming: Sequence[Coming], state: ObjectRef) -> Transaction:
    """Take in free shards whose parents have all ended, at the positions that their rows name.

    A row keeps naming what its shard carried, so that whoever collects objects finds it under either place. The entry
    names the first shard, and needs the entries that freed any of them or ended a parent.
    Raises: Conflict if a shard is no longer free or a parent has not ended; Corrupt for other parents than its own.
    """
    for one in coming:
        expect_adoptable(one)
    parents = {p.shard: p for one in coming for p in one.parents}  # two children may have one
    freed = (one.row.by for one in coming)
    needs = tuple(sorted({key for key in (*freed, *(p.by for p in parents.values())) if key is not None}))
    row = coming[0].row
    entry = Entry(head.lane, head.n + 1, commit_id, "adopt", shard=row.shard, at=row.at, needs=needs)
    by = (entry.lane, entry.n)
    moved = (_move(one.row, msgspec.structs.replace(one.row, place="held", lane=head.lane, by=by)) for one in coming)
    checks = (Write(rows.shard_key(p.shard), rows.encode(p), None) for p in parents.values())
    return _extend(head, entry, msgspec.structs.replace(head, state=state), (*moved, *checks))


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


def is_adoptable(one: Coming) -> bool:
    """Tell whether a shard is free and its parents have ended."""
    return one.row.place == "free" and all(parent.place == "end" for parent in one.parents)


def expect_adoptable(one: Coming) -> None:
    """See that a shard may be taken in. Raises: Conflict if not now; Corrupt for other parents than its own."""
    row, parents = one.row, one.parents
    if {p.shard for p in parents} != set(row.parents):
        raise Corrupt(f"shard {row.shard} has the parents {row.parents}, not {[p.shard for p in parents]}")
    if row.place != "free":
        raise Conflict(f"shard {row.shard} is {row.place}, not free: read again before adopting")
    if unfinished := [p.shard for p in parents if p.place != "end"]:
        raise Conflict(f"shard {row.shard} cannot be adopted before the end of {', '.join(unfinished)}")


def _expect_held(row: ShardRow, head: Head) -> None:
    if row.place != "held" or row.lane != head.lane:
        where = f"held by lane {row.lane}" if row.place == "held" else row.place
        raise Conflict(f"shard {row.shard} is {where}, not held by lane {head.lane}: read the lane again")
