"""A lane in the hands of its owner: the head it last saw, its state, and the ways to move it on.

Every change goes through `_land`. A conflict is first compared with our own commit id, because it may have
been us; an unknown outcome is decided by sending the identical transaction again, after which slot n+1 is
filled either way. Files are put under names of (lane, n+1, random) before the transaction, and never twice:
if only fences came between, the change is made anew under the next number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from shardlake.adapters.crashpoints import reach
from shardlake.core.errors import Conflict, Corrupt, OutcomeUnknown, Transient
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Arrived, Carried, HeldShard, IdLog, LaneState, Manifest, RangeRow
from shardlake.core.journal.operations import Coming, Leaving, Transaction
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Entry, Head, ObjectRef, ShardRow, WorkerRow
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock, ObjectStore

END_TEXT: Final = "~"
FOLDED: Final = "ids.parquet"
Item = TypeVar("Item")


class LaneLost(Conflict):
    """The lane has another owner, or moved on in a way that its owner did not do: drop it and open it again."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Hashes of the ids of a state's first `logs` logs in one object, FOLDED, that takes their place."""

    logs: int
    rows: memoryview
    ids: int
    arrival_us: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """Hashes of the ids of one dedup scope, as an object, and how many they are."""

    rows: memoryview
    ids: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk ready to be committed: its objects as bytes by short name, and what its manifest says of them.

    `manifest` is called with the lane, the number and the references of the objects that were put, because
    these are known only per attempt. Of the state's pages the first `keep_pages` stay, the others are in this entry's.
    `seen` tells up to when everything that arrived was read, for shards that the lane holds, and `remembered`
    what goes with those that end here.
    """

    ranges: tuple[RangeRow, ...]
    files: Mapping[str, bytes | memoryview]
    manifest: Callable[[int, int, Mapping[str, ObjectRef]], Manifest]
    ids: int = 0
    arrival_us: int = 0
    keep_pages: int | None = None
    fold: Fold | None = None
    seen: Mapping[str, Arrived] = field(default_factory=dict)
    remembered: Mapping[str, Remembered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneContext:
    """What a lane's owner works with; `new_id` gives names that were never given before, in any process."""

    journal: Journal
    store: ObjectStore
    clock: Clock
    new_id: Callable[[], str]
    limits: Limits


class Lane:
    """An owned lane. Not safe for several threads; another process may own it at any time."""

    def __init__(self, context: LaneContext, head: Head) -> None:
        self._journal, self._store, self._clock = context.journal, context.store, context.clock
        self._new_id, self._limits = context.new_id, context.limits
        self.head = head
        self.state = read_state(context.store, head)
        self.inherited: tuple[IdLog, ...] = ()  # what came with the shard that was adopted last

    @classmethod
    def take(
        cls,
        context: LaneContext,
        lane: int,
        worker: str,
        source: str,
        old: WorkerRow | None = None,
        expected: Head | None = None,
    ) -> "Lane":
        """Become the owner of a lane, if its head is as `expected` and its owner's heartbeat is `old`, where given.

        Raises: LaneLost if it moved meanwhile, Corrupt if it reads another source.
        """
        owned = cls(context, expected or reading.read_head(context.journal, lane))
        owned._land(operations.take(owned.head, context.new_id(), worker, source, old))
        return owned

    def position(self, shard: str) -> str | None:
        """How far a shard was read, as text; None if the lane does not hold it."""
        held = self.state.shards.get(shard)
        return held.at if held else None

    def commit(self, prepared: Prepared) -> Entry:
        """Count a chunk. Raises: LaneLost, Transient, OutcomeUnknown; Corrupt if its ranges do not follow the state."""
        return self._change(lambda: self._commit(prepared))

    def release(self, *shards: str, remembered: Mapping[str, Remembered] = MappingProxyType({})) -> Entry:
        """Let shards go free, with what is remembered of their ids, or all that the lane has. Raises: as `commit`."""
        return self._change(lambda: self._release(shards, remembered))

    def adopt(self, *shards: str, seen: Arrived | None = None) -> Entry:
        """Take in free shards, all or none; `seen` is for those that nobody has held, and that have no parents.

        Raises: as `commit`; Conflict if one is not free or a parent has not ended.
        """
        return self._change(lambda: self._adopt(shards, seen))

    def adoptable(self, shards: Sequence[str]) -> list[str]:
        """Name those that are free now, with all parents ended. Raises: Transient."""
        return [one.row.shard for one in self._coming(shards) if operations.is_adoptable(one)]

    def leave(self, worker: WorkerRow | None = None) -> Entry:
        """Have no owner any more. Raises: as `commit`."""
        return self._change(lambda: (operations.leave(self.head, self._new_id(), worker), self.state))

    def fence(self) -> Entry:
        """Fill the next slot. Raises: as `commit`."""
        return self._change(lambda: (operations.fence(self.head, self._new_id()), self.state))

    def _change(self, build: Callable[[], tuple[Transaction, LaneState]]) -> Entry:
        for _ in range(self._limits.commit_retries_max):
            transaction, state = build()
            try:
                self._land(transaction)
            except LaneLost:
                self._follow_fences()
                continue
            self.state = state
            return transaction.entry
        raise LaneLost(f"lane {self.head.lane} was fenced {self._limits.commit_retries_max} times in a row")

    def _follow_fences(self) -> None:
        """Go on from the present head if nothing but fences came between; else the lane is lost."""
        now = reading.read_head(self._journal, self.head.lane)
        if now != msgspec.structs.replace(self.head, n=now.n, commit=now.commit):
            raise LaneLost(f"lane {now.lane} moved to entry {now.n} under {now.owner or 'nobody'}")
        self.head = now

    def _land(self, transaction: Transaction) -> None:
        pause, unknown = self._limits.retry_first_s, False
        for _ in range(self._limits.commit_retries_max):
            try:
                self._journal.transact(transaction.writes)
            except Conflict:
                self._decide(transaction)
                break
            except OutcomeUnknown:
                unknown = True
            except Transient:
                pass
            else:
                break
            self._clock.sleep_s(pause)
            pause = min(2 * pause, self._limits.retry_longest_s)
        else:
            kind = OutcomeUnknown if unknown else Transient
            what = f"entry {transaction.entry.n} of lane {self.head.lane}"
            raise kind(f"{what} could not be committed: the journal is out of reach")
        reach("stream:after-transaction")
        self.head = transaction.head

    def _decide(self, transaction: Transaction) -> None:
        entry = reading.read_entry(self._journal, transaction.entry.lane, transaction.entry.n)
        if entry is None:
            raise LaneLost(
                f"entry {transaction.entry.n} of lane {transaction.entry.lane} is refused: a shard has moved"
            )
        if entry.commit != transaction.entry.commit:
            raise LaneLost(f"entry {entry.n} of lane {entry.lane} is somebody else's")

    def _folder(self) -> str:
        return f"lanes/{self.head.lane:04d}/{self.head.n + 1:012d}-{self._new_id()}"

    def _commit(self, prepared: Prepared) -> tuple[Transaction, LaneState]:
        folder, number = self._folder(), self.head.n + 1
        ended = [row.shard for row in prepared.ranges if row.upto == END_TEXT]
        apart = [shard for shard in ended if shard in prepared.remembered]
        leaving = {f"ids-{i}.parquet": prepared.remembered[shard].rows for i, shard in enumerate(apart)}
        refs = dict(self._store.put(folder, {**prepared.files, **leaving}))
        reach("stream:after-files")
        manifest = prepared.manifest(self.head.lane, number, refs)
        state = advance(self.state, manifest, prepared, refs, self._limits)
        small: dict[str, bytes | memoryview] = {
            "manifest.json": stored.encode(manifest),
            "state.json": stored.encode(state),
        }
        ids = {shard: (refs[f"ids-{i}.parquet"], prepared.remembered[shard].ids) for i, shard in enumerate(apart)}
        carried = (self._carried(state, shard, ids.get(shard), prepared.seen.get(shard)) for shard in ended)
        small |= {f"carried-{i}.json": stored.encode(found) for i, found in enumerate(carried)}
        refs |= self._store.put(folder, small)
        reach("stream:after-manifest")
        known = self._shard_rows(ended)
        left = {s: (known[s], refs[f"carried-{i}.json"]) for i, s in enumerate(ended)}
        commit_id = self._new_id()
        return operations.commit(self.head, commit_id, refs["manifest.json"], refs["state.json"], left), state

    def _release(self, shards: Sequence[str], remembered: Mapping[str, Remembered]) -> tuple[Transaction, LaneState]:
        held = {shard: self.state.shards[shard] for shard in shards if shard in self.state.shards}
        if len(held) < len(shards):
            raise Corrupt(f"lane {self.head.lane} does not hold all of {', '.join(shards)}")
        known = self._shard_rows(shards)
        left = {shard: row for shard, row in self.state.shards.items() if shard not in held}
        state, folder = msgspec.structs.replace(self.state, shards=left), self._folder()
        apart = [shard for shard in shards if shard in remembered]
        rows_of = {f"ids-{i}.parquet": remembered[shard].rows for i, shard in enumerate(apart)}
        ids = self._store.put(folder, rows_of) if rows_of else {}
        logs = {shard: (ids[f"ids-{i}.parquet"], remembered[shard].ids) for i, shard in enumerate(apart)}
        carried = [self._carried(self.state, shard, logs.get(shard), held[shard].seen) for shard in shards]
        files: dict[str, bytes | memoryview] = {"state.json": stored.encode(state)}
        files |= {f"carried-{i}.json": stored.encode(one) for i, one in enumerate(carried)}
        refs = self._store.put(folder, files)
        leaving = [Leaving(known[s], held[s].at, refs[f"carried-{i}.json"]) for i, s in enumerate(shards)]
        return operations.release(self.head, self._new_id(), leaving, refs["state.json"]), state

    def _adopt(self, shards: Sequence[str], seen: Arrived | None) -> tuple[Transaction, LaneState]:
        coming = self._coming(shards)
        for one in coming:
            operations.expect_adoptable(one)  # before anything is read or stored for it
        known = (*(one.row for one in coming), *(parent for one in coming for parent in one.parents))
        self._store.fetch(dict.fromkeys(row.carried for row in known if row.carried is not None))
        carried = {row.shard: self._read_carried(row) for row in dict.fromkeys(known) if row.carried}
        held = {one.row.shard: _held(one, carried, seen) for one in coming}
        self.inherited = union(*(c.ids for c in carried.values()))
        state = LaneState(
            self.state.shards | held,
            by_age(*(c.ids for c in carried.values()), self.state.ids),
            union(self.state.pages, *(c.pages for c in carried.values())),
        )
        refs = self._store.put(self._folder(), {"state.json": stored.encode(state)})
        return operations.adopt(self.head, self._new_id(), coming, refs["state.json"]), state

    def _coming(self, shards: Sequence[str]) -> list[Coming]:
        found = self._shard_rows(shards)
        parents = self._shard_rows([parent for row in found.values() for parent in row.parents])
        return [Coming(row, [parents[p] for p in row.parents]) for row in found.values()]

    def _carried(
        self, state: LaneState, shard: str, ids: tuple[ObjectRef, int] | None, seen: Arrived | None
    ) -> Carried:
        """What leaves this lane with a shard, by the lane's state as it leaves it."""
        held, logs = self.state.shards[shard], state.ids
        if ids is not None:
            logs = (IdLog(*ids, state.ids[-1].arrival_us if state.ids else 0, hashed=True),) if ids[1] else ()
        return Carried(logs, state.pages, held.ancestors, seen or held.seen)

    def _read_carried(self, row: ShardRow) -> Carried:
        if row.carried is None:
            return Carried()
        return stored.decode(Carried, row.carried.name, self._store.get(row.carried))

    def _shard_rows(self, shards: Sequence[str]) -> dict[str, ShardRow]:
        keys = {rows.shard_key(shard): shard for shard in shards}
        found = self._journal.get(list(keys)) if keys else {}
        if lacking := [shard for key, shard in keys.items() if key not in found]:
            raise Corrupt(f"the journal has no shard {', '.join(lacking)}: discover it first")
        return {shard: rows.decode(ShardRow, key, found[key]) for key, shard in keys.items()}


def read_state(store: ObjectStore, head: Head) -> LaneState:
    """Read the state object that a head references; a lane without one holds nothing."""
    return LaneState() if head.state is None else stored.decode(LaneState, head.state.name, store.get(head.state))


def advance(
    state: LaneState, manifest: Manifest, prepared: Prepared, refs: Mapping[str, ObjectRef], limits: Limits
) -> LaneState:
    """Move a lane's state past an entry. Raises: Corrupt if a range does not begin where its shard stands."""
    shards = dict(state.shards)
    for row in prepared.ranges:
        held = shards.get(row.shard)
        if held is None or held.at != row.after:
            stands = f"stands at {held.at}" if held else "is not held"
            raise Corrupt(f"shard {row.shard} {stands}; a chunk continues it from {row.after}")
        shards[row.shard] = msgspec.structs.replace(held, at=row.upto)
    left = {s: _with_seen(h, prepared.seen.get(s)) for s, h in shards.items() if h.at != END_TEXT}
    logs = state.ids
    if prepared.fold is not None:
        fold = prepared.fold
        logs = (IdLog(refs[FOLDED], fold.ids, fold.arrival_us, hashed=True), *logs[fold.logs :])
    if manifest.segment is not None and prepared.ids:
        logs = within_horizon((*logs, IdLog(manifest.segment, prepared.ids, prepared.arrival_us)), limits)
    pages = state.pages if manifest.pages is None else (*state.pages[: prepared.keep_pages], manifest.pages)
    return LaneState(left, logs, pages)


def _held(one: Coming, carried: Mapping[str, Carried], seen: Arrived | None) -> HeldShard:
    """What a lane's state says of a shard that comes in: where it stands, its ancestors, and what counts as read."""
    row = one.row
    brought = [carried[r.shard] for r in (row, *one.parents) if r.carried is not None]
    ancestors = {a for c in brought for a in c.ancestors} | set(row.parents)
    known = [c.seen for c in (brought[:1] if row.carried is not None else brought) if c.seen is not None]
    return HeldShard(row.at, row.parents, tuple(sorted(ancestors - {row.shard})), min(known, default=seen))


def _with_seen(held: HeldShard, seen: Arrived | None) -> HeldShard:
    return held if seen is None or seen == held.seen else msgspec.structs.replace(held, seen=seen)


def within_horizon(logs: Sequence[IdLog], limits: Limits) -> tuple[IdLog, ...]:
    """Forget logs, in the order of their commits, that newer ones push out in number or that are too old.

    Age is judged against the newest log, which may be of a shard that is read from its beginning: then old arrivals
    are young, and what was just read of it is never forgotten for files of another shard that came later.
    """
    oldest_us = logs[-1].arrival_us - int(limits.ids_age_s * 1e6)
    kept: list[IdLog] = []
    total = 0
    for log in reversed(logs):
        if total < limits.ids_max and log.arrival_us >= oldest_us:
            kept.append(log)
            total += log.ids
    return tuple(reversed(kept))


def by_age(*parts: Sequence[Item]) -> tuple[Item, ...]:
    """Join sequences that are each in order of age, so that the newest of each are the newest of all.

    >>> by_age("ab", "1234")
    ('1', '2', 'a', '3', 'b', '4')
    """
    newest_first = (item for row in zip_longest(*(reversed(part) for part in reversed(parts))) for item in row)
    return tuple(reversed(dict.fromkeys(item for item in newest_first if item is not None)))


def union(*parts: Sequence[Item]) -> tuple[Item, ...]:
    """Join sequences, each item once, at its first place."""
    return tuple(dict.fromkeys(item for part in parts for item in part))
