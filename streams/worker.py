"""A worker among others that read one source: its signs of life, its home lane, and the shards that it should hold.

Nothing here protects the counts: a worker that is wrong about who is alive loses a race for a head or a shard's row.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Head, ShardRow, SourceRow, WorkerRow
from shardlake.core.positions import ShardId
from streams.assignment import Moves, adoptable, assign
from streams.committer import Committer
from streams.lane import Lane, LaneContext, LaneLost
from streams.vigil import Vigil

FOUNDED: Final = "_founded_us"
EAGER: Final = 0.2  # a worker that has nothing to read looks five times as often
OVERDUE: Final = 2  # signs of life after which anybody may empty a lane that was somebody's to empty
Listing = Mapping[ShardId, tuple[ShardId, ...]]  # shard -> its parents


class Lister(Protocol):
    """Gives a complete listing, or what counts of it when the source is first read (`founding`)."""

    def __call__(self, *, founding: bool = False) -> Listing:
        """List. Raises: Transient, ConfigError."""


class Observer(Protocol):
    """Who is told what happens among workers."""

    def took(self, lane: int, owner: str, shards: int) -> None:
        """A lane was taken, with its shards; `owner` is who had it, "" for nobody."""

    def moved(self, moves: Moves) -> None:
        """Shards were taken in or let go."""

    def found(self, shards: int) -> None:
        """Shards became known."""


@dataclass(frozen=True, slots=True)
class View:
    """Who owns what, as a worker saw it at one look, at a moment of its own monotonic clock."""

    at_s: float
    heads: Mapping[int, Head]
    beats: Mapping[str, WorkerRow]


@dataclass(slots=True)
class Worker:
    """One worker; `name` is its own, never used before. Not safe for several threads."""

    context: LaneContext
    source: str
    listing: Lister
    open: Callable[[Lane, Callable[[], None]], Committer]  # with a pulse, to be called between the steps of long work
    observer: Observer
    is_gone: Callable[[ShardId], bool] = lambda _: True  # tells whether a shard that is not listed has expired
    name: str = field(init=False)
    home: int = field(default=-1, init=False)
    row: WorkerRow | None = field(default=None, init=False)
    _vigil: Vigil = field(init=False)
    founded_us: int = field(default=0, init=False)  # when the source's first shards were known; 0 before
    _beaten_s: float = field(default=0.0, init=False)
    _looked_s: float | None = field(default=None, init=False)
    _listed_s: float | None = field(default=None, init=False)
    _rows_due_s: float = field(default=0.0, init=False)
    _restless_s: float = field(default=0.0, init=False)  # until then the shards' rows are read at every look
    _lanes: frozenset[int] = field(default=frozenset(), init=False)  # the home lanes of the living, at the last look
    _last: "tuple[View, Mapping[str, ShardRow], Moves, bool] | None" = field(default=None, init=False)
    _orphans: dict[int, float] = field(default_factory=dict, init=False)  # lane -> when it was first seen to be one

    def __post_init__(self) -> None:
        self.name = self.context.new_id()
        self._vigil = Vigil(self.context.limits.worker_expiry_s)

    # ------------------------------------------------------------------------------------------- a home

    def claim(self) -> Lane | None:
        """Try once to get a home lane; None if the living hold as many as there may be.

        Raises: as `Lane.take`.
        """
        if self.row is None:
            self._beat()
        seen = self._look()
        lane = self._choose(seen)
        if lane is None:
            return None
        taken = self._take(seen, lane)
        self.home = taken.head.lane if taken else -1
        return taken

    def _choose(self, seen: View) -> int | None:
        ours = {lane: head for lane, head in seen.heads.items() if head.source in ("", self.source)}
        for lane, head in ours.items():
            if not head.owner or self._is_dead(head.owner, seen):
                return lane
        return self._grown() if len(ours) < self.context.limits.lanes_max else None

    def _grown(self) -> int | None:
        registry = reading.read_registry(self.context.journal)
        assert registry is not None
        with suppress(Conflict):  # somebody else added one just now, and takes it
            self.context.journal.transact(operations.grow(registry))
            return registry.lanes
        return None

    def _take(self, seen: View, lane: int) -> Lane | None:
        head = seen.heads.get(lane) or Head(lane, 0, "", "", "")  # one that was not there was added just now
        owner = head.owner
        old = seen.beats.get(owner) if owner != self.name else None
        try:
            taken = Lane.take(self.context, lane, self.name, self.source, old, expected=head)
        except Conflict:  # somebody else was first, or its owner has moved
            return None
        self.observer.took(lane, owner, len(taken.state.shards))
        return taken

    # --------------------------------------------------------------------------------------- at every round

    def attend(self, lane: Lane) -> Moves:
        """Give a sign of life, look at the others, bury the dead; say which shards to take in and to let go.

        Raises: LaneLost if somebody else has buried this worker; as `Lane.release`.
        """
        self.pulse()
        now_s, limits = self.context.clock.monotonic_s(), self.context.limits
        every_s = limits.look_s if lane.state.shards else limits.look_s * EAGER
        if self._looked_s is not None and now_s - self._looked_s < every_s:
            return Moves()
        if self._listed_s is None or now_s - self._listed_s >= limits.discover_s:
            self.discover(self.listing(founding=not self._is_founded()))
            self._listed_s = now_s
        seen = self._look()
        self._looked_s = now_s
        living = self._living(seen)
        if frozenset(living) != self._lanes:
            self._lanes, self._restless_s = frozenset(living), now_s + limits.worker_expiry_s
        if now_s >= self._restless_s and now_s < self._rows_due_s:
            return Moves()
        shards = self._source_shards()
        self._rows_due_s = now_s + len(shards) / limits.look_rows_per_s
        orphans = self._orphaned(seen, shards)
        for other in self._mine_to_empty(orphans, living, now_s):
            self._empty(seen, other)
        moves = assign(self.home, living, shards)
        self._last = seen, shards, moves, bool(orphans)
        if moves:
            self._restless_s = now_s + limits.worker_expiry_s
        return moves

    def pulse(self) -> None:
        """Give a sign of life, if it is time. It is called between the steps of long work, never by a thread.

        Raises: LaneLost if somebody else has buried this worker.
        """
        now_s = self.context.clock.monotonic_s()
        if now_s - self._beaten_s >= self.context.limits.heartbeat_s:
            with suppress(Transient, OutcomeUnknown):  # the next one tells, or somebody's take-over
                self._beat()

    def committed(self) -> None:
        """Take note of a commit, which is a sign of life too."""
        self._beaten_s = self.context.clock.monotonic_s()

    @property
    def awaits_others(self) -> bool:
        """Tell whether shards may come to this worker: free ones, or those of somebody who is dead, or may be."""
        if self._last is None:
            return False
        seen, shards, moves, has_orphans = self._last
        if has_orphans or moves.release or not set(adoptable(shards)) <= set(moves.adopt):
            return True
        lately_s = OVERDUE * self.context.limits.heartbeat_s
        return not all(self._vigil.is_alive(owner, seen.at_s, lately_s) for owner in self._others(seen))

    # ----------------------------------------------------------------------------------------------- discovery

    def discover(self, listing: Listing) -> None:
        """Make shards known, each after its parents.

        A parent that is neither known nor listed has expired. When the source is first read that is no loss, and it is
        left out, with its ancestors, for ever; later it gets a row, so that whoever tries to read it tells of the loss.
        Raises: Transient if it has not expired: a listing may lack for a moment what is there.
        """
        is_founding = not self._is_founded()
        known = reading.read_shards(self.context.journal)
        missing = {parent for parents in listing.values() for parent in parents} - known.keys() - listing.keys()
        if missing and not is_founding:
            listing = {**dict.fromkeys(sorted(missing), ()), **self.listing(), **listing}
        left_out = _left_out(listing, known)
        self._check_gone(missing - left_out)
        waiting = {s: parents for s, parents in listing.items() if s not in known and s not in left_out}
        if waiting:
            self._restless_s = self.context.clock.monotonic_s() + self.context.limits.worker_expiry_s
            self.observer.found(len(waiting))
            self._discover(waiting, set(known))
        if is_founding:
            self._found()

    def _discover(self, waiting: dict[ShardId, tuple[ShardId, ...]], known: set[str]) -> None:
        """Write rows, some at a time; workers that do so together begin at different places."""
        journal, most = self.context.journal, self.context.limits.ends_max
        while waiting:
            ready = [s for s, parents in waiting.items() if not set(parents) & waiting.keys()]
            start = max(self.home, 0) * most % len(ready)
            together = (*ready[start:], *ready[:start])[:most]
            parents = {shard: tuple(p for p in waiting[shard] if p in known) for shard in together}
            try:
                journal.transact([operations.discover(shard, self.source, parents[shard]) for shard in together])
            except Conflict:  # somebody else was first with one of them
                known |= reading.read_shards(journal).keys()
            else:
                known.update(together)
            waiting = {shard: of for shard, of in waiting.items() if shard not in known}
            if self.row is not None:
                self.pulse()

    def _check_gone(self, missing: Collection[ShardId]) -> None:
        """See that parents which a listing lacks have expired: else they, or their own parents, would never be read."""
        for shard in sorted(missing):
            if not self.is_gone(shard):
                raise Transient(f"shard {shard} is there, and the listing lacks it: it will be listed again")

    def _is_founded(self) -> bool:
        """Tell whether it was noted when the shards were known that the source had when it was first read."""
        if not self.founded_us:
            key = rows.source_key(self.source)
            row = rows.decode(SourceRow, key, self.context.journal.get([key])[key])
            self.founded_us = int(row.settings.get(FOUNDED, "0"))
        return self.founded_us > 0

    def _found(self) -> None:
        journal, key = self.context.journal, rows.source_key(self.source)
        while not self._is_founded():  # somebody else may have noted it just now
            stored = journal.get([key])[key]
            row = rows.decode(SourceRow, key, stored)
            settled = SourceRow(row.source, {FOUNDED: str(self.context.clock.now_us()), **row.settings})
            with suppress(Conflict):
                journal.transact([Write(key, stored, rows.encode(settled))])

    def heirs(self, children: Listing) -> tuple[str, ...]:
        """Choose those of some children that can be read now: free, with all parents ended."""
        shards = reading.read_shards(self.context.journal)
        free = set(adoptable(shards))
        return tuple(child for child in children if child in free)

    def leave(self, lane: Lane) -> None:
        """Hand everything over: the lane has no owner, and this worker no heartbeat. Raises: as `Lane.leave`."""
        lane.leave(self.row)
        self.row = None

    # ------------------------------------------------------------------------------------------------ parts

    def _beat(self) -> None:
        self._beaten_s = self.context.clock.monotonic_s()
        write, row = operations.beat(self.row, self.name)
        try:
            self.context.journal.transact([write])
        except Conflict:
            # An answer that was lost: the row is as it was to become. Else somebody has buried us.
            found = self.context.journal.get([write.key]).get(write.key)
            if found != write.put:
                raise LaneLost(f"worker {self.name} was taken for dead, and its lanes were taken over") from None
        self.row = row

    def _look(self) -> View:
        journal = self.context.journal
        heads = reading.read_heads(journal)  # before the heartbeats: whoever owns a lane had one by then
        found = journal.scan("worker/")
        beats = {row.worker: row for row in (rows.decode(WorkerRow, key, value) for key, value in found)}
        seen = View(self.context.clock.monotonic_s(), heads, beats)
        self._vigil.look(seen.at_s, heads, beats)
        return seen

    def _is_dead(self, owner: str, seen: View) -> bool:
        # As of the look: what was done since may have taken long, and tells nothing of others.
        return owner != self.name and self._vigil.is_dead(owner, seen.at_s, seen.beats)

    def _orphaned(self, seen: View, shards: Mapping[str, ShardRow]) -> list[int]:
        """Lanes of this source with shards and without a living owner, and those that we took but did not empty."""
        holding = {row.lane for row in shards.values() if row.place == "held"}
        return [
            lane
            for lane, head in seen.heads.items()
            if lane != self.home
            and head.source == self.source
            and (lane in holding or head.owner)
            and (head.owner in ("", self.name) or self._is_dead(head.owner, seen))
        ]

    def _mine_to_empty(self, orphans: list[int], living: list[int], now_s: float) -> list[int]:
        """Choose which orphans to empty now: each is one worker's, and anybody's if that one does not come soon."""
        limits, hands = self.context.limits, sorted(living)
        self._orphans = {lane: self._orphans.get(lane, now_s) for lane in orphans}
        return [
            lane
            for i, lane in enumerate(orphans)
            if hands[i % len(hands)] == self.home or now_s - self._orphans[lane] >= OVERDUE * limits.heartbeat_s
        ]

    def _empty(self, seen: View, number: int) -> None:
        """Take a lane only to release what it holds."""
        lane = self._take(seen, number)
        if lane is None:
            return
        with suppress(Conflict):  # it was taken from us in turn
            committer = self.open(lane, self.pulse) if lane.state.shards else None
            for together in committer.batches(tuple(lane.state.shards)) if committer else ():
                assert committer is not None
                committer.release(*together)
                self.pulse()
            lane.leave()

    def _living(self, seen: View) -> list[int]:
        return [*self._others(seen).values(), self.home]

    def _others(self, seen: View) -> dict[str, int]:
        """The other living workers of this source, with their home lanes."""
        homes: dict[str, int] = {}
        for lane, head in sorted(seen.heads.items(), reverse=True):
            if head.owner and head.source == self.source and not self._is_dead(head.owner, seen):
                homes[head.owner] = lane
        homes.pop(self.name, None)
        return homes

    def _source_shards(self) -> dict[str, ShardRow]:
        found = reading.read_shards(self.context.journal)
        return {shard: row for shard, row in found.items() if row.source == self.source}


def _left_out(listing: Listing, known: Mapping[str, ShardRow]) -> set[ShardId]:
    """Name what a known shard's row does not have for a parent, with all its ancestors."""
    left = {p for shard, parents in listing.items() if shard in known for p in parents if p not in known[shard].parents}
    grown = left
    while grown:
        grown = {p for shard in grown for p in listing.get(ShardId(shard), ()) if p not in known} - left
        left |= grown
    return left - known.keys()
