"""The speed layer at work on one lane: discover, read, decode, chunk, commit, until told to stop.

A stop commits what was read. A kill loses nothing: what was not committed is read again from the positions of
the lane's state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from shardlake.adapters.crashpoints import reach
from shardlake.core.journal import operations, reading
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import Position, ShardId
from streams.chunk import Chunk
from streams.committer import Committer
from streams.decode import Decoding
from streams.sources.port import Source

LOOK_SHARE: Final = 10  # idle, the source is looked at for at most a tenth of the time, however many files it has


class Observer(Protocol):
    """Who is told what happens; payloads are never told."""

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """An entry was committed. `failed` names views that could not be computed over it."""

    def idle(self) -> None:
        """There is nothing to read now."""


@dataclass(slots=True)
class Loop:
    """One lane's loop. `stop` is asked between blocks; at its word what was read is committed, and the loop ends."""

    source: Source
    decoding: Decoding
    committer: Committer
    clock: Clock
    limits: Limits
    stop: Callable[[], bool]
    observer: Observer
    _chunk: Chunk = field(init=False)
    _page: bytes | None = field(default=None, init=False)
    _looked_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._chunk = Chunk(self.limits)
        self.source.open(self.committer.pages())

    def run(self, *, once: bool = False) -> None:
        """Work until stopped; with `once`, until nothing is left to read. Raises: as `Lane.commit` and the source."""
        while not self.stop():
            self._discover()
            worked = self._round()
            if worked and not self._chunk.is_due(self.clock.monotonic_s()):
                continue
            self._commit()
            if not worked:
                if once and not self.source.waiting:
                    break
                self.observer.idle()
                self.clock.sleep_s(max(self.limits.poll_interval_s, LOOK_SHARE * self._looked_s))
        self._commit()

    def _discover(self) -> None:
        began_s = self.clock.monotonic_s()
        page = self.source.discover(self.clock.now_us())
        self._looked_s = self.clock.monotonic_s() - began_s
        if page is not None:
            self._page = page if self._page is None else self.source.merge([self._page, page])

    def _round(self) -> bool:
        """Read every shard once, as far as it was discovered; tell whether there was anything."""
        worked = False
        for shard in self.source.shards():
            for _ in self._pieces(shard):
                worked = True
                if self._chunk.is_full() or self._chunk.is_due(self.clock.monotonic_s()):
                    self._commit()
                if self.stop():
                    return worked
        return worked

    def _pieces(self, shard: ShardId) -> Iterator[None]:
        blocks = self.source.read(shard, self._position(shard))
        for block in blocks:
            piece = self.decoding.piece(block)
            if piece is not None:
                reach("stream:after-read")
                self._chunk.add(piece, self.clock.monotonic_s())
                yield

    def _position(self, shard: ShardId) -> Position:
        """How far a shard was read: in the chunk, or else in the lane's state."""
        pending = self._chunk.upto(shard)
        return pending if pending is not None else Position.decode(self.committer.lane.position(shard) or "-")

    def _commit(self) -> None:
        if not self._chunk.pieces and self._page is None:
            return
        chunk, page = self._chunk, self._page
        entry = self.committer.commit(chunk, page)
        self._chunk, self._page = Chunk(self.limits), None
        self.observer.committed(entry, chunk.rows, chunk.letters().num_rows, self.committer.failed)


def hold_all(journal: Journal, source: Source, name: str, committer: Committer) -> None:
    """Make all shards of a source known, and take those into the lane that are free."""
    known = reading.read_shards(journal)
    missing = [shard for shard in source.shards() if shard not in known]
    for shard in missing:
        journal.transact([operations.discover(shard, name, ())])
    for shard in source.shards():
        if committer.lane.position(shard) is None:
            committer.adopt(shard)
