"""The speed layer at work on one lane: discover, read, decode, chunk, commit, until told to stop.

A stop commits what was read. A kill loses nothing: what was not committed is read again from the positions of
the lane's state.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, Protocol

from shardlake.adapters.crashpoints import reach
from shardlake.core.journal import operations, reading
from shardlake.core.journal.objects import Arrived
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import END, ORIGIN, Position, ShardId
from streams.chunk import Chunk, Piece
from streams.committer import Committer
from streams.decode import Decoding, Waits
from streams.poison import FOR_EVER, Patience, ShardBlocked, Told, Waiting, silent
from streams.sources.port import Block, Records, Source

LOOK_SHARE: Final = 10  # idle, the source is looked at for at most a tenth of the time, however many files it has


class Observer(Protocol):
    """Who is told what happens; payloads are never told."""

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """An entry was committed. `failed` names views that could not be computed over it."""

    def idle(self) -> None:
        """There is nothing to read now."""


class Keeper(Protocol):
    """Who decides which shards a lane holds, between two rounds of its loop.

    A patient one lets what was read be committed only when it is due.
    """

    @property
    def is_patient(self) -> bool:
        """Tell whether more is always on its way."""

    @property
    def awaits_others(self) -> bool:
        """Tell whether shards may come: free ones, or of somebody who has died, or may have."""

    def attend(self, committer: Committer, settle: Callable[[], None]) -> None:
        """Take shards in and let them go, where that is due; `settle` commits what was read, and comes before.

        Raises: LaneLost; as `Lane.adopt` and `Lane.release`.
        """

    def seen(self) -> Mapping[str, Arrived]:
        """Up to when everything that had arrived was read, to be stored with the next commit."""

    def ending(self, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Make the children of shards known whose ends are about to be committed."""

    def ended(self, committer: Committer, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Take in children whose parents have all ended. Raises: as `attend`."""

    def wait(self, seconds: float) -> None:
        """Wait for something to read, for so long at most."""


@dataclass(frozen=True, slots=True)
class Alone:
    """The keeper of a source whose shards never change, read by one process: they are held from the start."""

    clock: Clock
    is_patient: bool = False
    awaits_others: bool = False

    def attend(self, committer: Committer, settle: Callable[[], None]) -> None:
        """Change nothing."""

    def seen(self) -> Mapping[str, Arrived]:
        """Files are not trimmed."""
        return {}

    def ending(self, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Nothing ends."""

    def ended(self, committer: Committer, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Nothing ends."""

    def wait(self, seconds: float) -> None:
        """Wait so long."""
        self.clock.sleep_s(seconds)


@dataclass(slots=True)
class _Reading:
    """A shard that waits: the block that failed, what comes behind it, how often it failed, and when it is tried."""

    block: Block | Records
    blocks: Iterator[Block | Records]
    waiting: Waiting
    due_s: float


@dataclass(slots=True)
class Loop:
    """One lane's loop. `stop` is asked between blocks; at its word what was read is committed, and the loop ends.

    `told` hears of lines that were set apart, once they are committed, and of shards that wait because of one. What is
    held of a shard that waits is in memory alone: whoever begins anew reads it again.
    """

    source: Source
    decoding: Decoding
    committer: Committer
    clock: Clock
    limits: Limits
    stop: Callable[[], bool]
    observer: Observer
    keeper: Keeper
    told: Callable[[Told], None] = silent
    _chunk: Chunk = field(init=False)
    _page: bytes | None = field(default=None, init=False)
    _children: dict[ShardId, tuple[ShardId, ...]] = field(default_factory=dict, init=False)
    _readings: dict[ShardId, _Reading] = field(default_factory=dict, init=False)
    _looked_s: float = field(default=0.0, init=False)
    _committed_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._chunk = Chunk(self.limits)
        self._committed_s = self.clock.monotonic_s() - self.limits.chunk_age_s  # what comes first is due at once
        self.source.open(self.committer.pages())

    def run(self, *, once: bool = False) -> None:
        """Work until stopped; with `once`, until nothing is left to read.

        Raises: as `Lane.commit` and the source; with `once`, ShardBlocked if all that is left waits for ever.
        """
        blocked = None
        while not self.stop():
            if self.step():
                continue
            waiting = self._blocked()
            is_done = waiting is not None or not (self.source.waiting or self._readings)
            if once and is_done and not self.keeper.awaits_others:
                blocked = waiting
                break
            self.rest()
        self.settle()
        if blocked is not None:
            raise ShardBlocked(blocked.range, blocked.kind)

    def _blocked(self) -> Waiting | None:
        """Give a shard that waits for ever, if no other one has anything to read."""
        readings = list(self._readings.values())
        if not readings or not all(reading.waiting.is_blocked for reading in readings):
            return None
        return readings[0].waiting if self.source.waiting <= sum(map(_counts, readings)) else None

    @property
    def is_waiting(self) -> bool:
        """Tell whether a shard waits to be tried again."""
        return bool(self._readings)

    def step(self) -> bool:
        """Do one round: read each shard once, commit what is due. Tell whether there was anything to read."""
        self.keeper.attend(self.committer, self.settle)
        held = self.committer.lane.state.shards
        self._readings = {shard: reading for shard, reading in self._readings.items() if shard in held}
        self._discover()
        worked = self._round()
        if self._chunk.is_due(self.clock.monotonic_s()) or not (worked or self.keeper.is_patient):
            self.settle()
        return worked

    def rest(self) -> None:
        """Wait until it is worth another round."""
        if not self._readings:
            self.observer.idle()
        if self._is_mark_due():
            self.settle(mark=True)
        share = 0 if self.source.paces_itself else LOOK_SHARE
        wait_s = max(self.limits.poll_interval_s, share * self._looked_s)
        now_s = self.clock.monotonic_s()
        due_s = [max(0.0, reading.due_s - now_s) for reading in self._readings.values()]
        self.keeper.wait(min([wait_s, self._chunk.due_in(now_s), *due_s]))

    def _is_mark_due(self) -> bool:
        """Tell whether the lane's state is long behind what is known to have been read of a shard."""
        stored, behind_us = self.committer.lane.state.shards, self.limits.idle_mark_s * 1_000_000
        return any(
            (held := stored.get(shard)) is not None and (held.seen is None or seen.us - held.seen.us >= behind_us)
            for shard, seen in self._seen().items()
        )

    def _seen(self) -> Mapping[str, Arrived]:
        """Up to when everything was read, but of shards that wait: of these something was handed over and not read."""
        return {shard: seen for shard, seen in self.keeper.seen().items() if shard not in self._readings}

    def _discover(self) -> None:
        began_s = self.clock.monotonic_s()
        page = self.source.discover(self.clock.now_us())
        self._looked_s = self.clock.monotonic_s() - began_s
        if page is not None:
            self._page = page if self._page is None else self.source.merge([self._page, page])

    def _round(self) -> bool:
        """Read every shard once, as far as it was discovered; tell whether there was anything."""
        worked = False
        for shard in dict.fromkeys((*self.source.shards(), *self._readings)):  # the last of a shard may wait too
            for _ in self._pieces(shard):
                worked = True
                if self._chunk.is_full() or self._chunk.ends or self._is_overdue():
                    self.settle()
                if self.stop():
                    return worked
        return worked

    def _pieces(self, shard: ShardId) -> Iterator[None]:
        reading = self._readings.get(shard)
        if reading is not None and reading.due_s > self.clock.monotonic_s():
            return
        blocks: Iterator[Block | Records]
        if reading is None:
            blocks = self.source.read(shard, self._position(shard))
        else:
            blocks = chain([reading.block], reading.blocks)
            del self._readings[shard]
        tries = reading.waiting.tries if reading is not None else 0
        for block in blocks:
            try:
                piece = self.decoding.piece(block, Patience(tries, self.clock.now_us()))
            except Waits as waits:
                if waits.done is not None:
                    self._add(block, waits.done)
                self._wait(shard, waits, tries if waits.done is None else 0, blocks)
                if waits.done is not None:
                    yield
                return
            tries = 0
            if piece is not None:
                reach("stream:after-read")
                self._add(block, piece)
                yield

    def _wait(self, shard: ShardId, waits: Waits, tries: int, blocks: Iterator[Block | Records]) -> None:
        """Let a shard wait, with what was handed over of it, while others are read."""
        limits = self.limits
        in_s = min(limits.retry_first_s * 2.0 ** min(tries, 60), limits.retry_longest_s)
        is_blocked = limits.maximum_retry_attempts == FOR_EVER
        waiting = Waiting(waits.rest.range, tries + 1, in_s, waits.kind, is_blocked)
        self._readings[shard] = _Reading(waits.rest, blocks, waiting, self.clock.monotonic_s() + in_s)
        self.told(waiting)

    def _add(self, block: Block | Records, piece: Piece) -> None:
        if piece.range.after == ORIGIN:
            piece = replace(piece, parents=self.committer.lane.state.shards[piece.range.shard].parents)
        if isinstance(block, Records) and piece.range.upto == END:
            self._children.update(block.children)
        now_s = self.clock.monotonic_s()
        # What has just come to a shard's tip is committed a chunk's age after the last commit. What has waited long is
        # read on for a chunk's age, however long a commit takes: else entries would hold a page each.
        is_fresh = isinstance(block, Records) and block.reaches_tip
        self._chunk.add(piece, self._committed_s if is_fresh else now_s)

    def _is_overdue(self) -> bool:
        """Tell whether to commit before the round is over: where more is always on its way, a round is short."""
        return not self.keeper.is_patient and self._chunk.is_due(self.clock.monotonic_s())

    def _position(self, shard: ShardId) -> Position:
        """How far a shard was read: in the chunk, or else in the lane's state."""
        pending = self._chunk.upto(shard)
        return pending if pending is not None else Position.decode(self.committer.lane.position(shard) or "-")

    def settle(self, *, mark: bool = False) -> None:
        """Commit what was read, if there is any; with `mark` in any case. Raises: as `run`."""
        if not self._chunk.pieces and self._page is None and not mark:
            return
        chunk, page, children = self._chunk, self._page, self._children
        if chunk.ends:
            self.keeper.ending(children)
        self._committed_s = self.clock.monotonic_s()
        entry = self.committer.commit(chunk, page, self._seen())
        self._chunk, self._page, self._children = Chunk(self.limits), None, {}
        if page is not None:
            self.source.committed()
        self.observer.committed(entry, chunk.rows, chunk.letters().num_rows, self.committer.failed)
        for isolated in chunk.isolated:
            self.told(isolated)
        if chunk.ends:
            self.keeper.ended(self.committer, children)


def _counts(reading: _Reading) -> bool:
    """Tell whether the source counts a shard that waits among those that it has more of."""
    block = reading.block
    return isinstance(block, Records) and not block.reaches_tip and block.upto != END


def hold_all(journal: Journal, shards: Sequence[ShardId], name: str, committer: Committer) -> None:
    """Make all shards of a source known, and take those into the lane that are free."""
    known = reading.read_shards(journal)
    for shard in shards:
        if shard not in known:
            journal.transact([operations.discover(shard, name, ())])
    committer.adopt(*(shard for shard in shards if committer.lane.position(shard) is None))
