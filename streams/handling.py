"""The speed layer where each batch of records comes with a call, and the process sleeps in between: as in AWS Lambda.

    handling = Handling(context, source, reader, worker, decoding, open, observer, told, allowed)
    left = handling.take(shard, page, until_s)      # None: all of it is counted

Calls for different shards may come at once, in processes that know nothing of one another. All of them own lanes under
one name: what they commit is kept apart by the heads alone. A shard's position decides what of a batch is new, so a
batch may come again, whole or in part, and a process that slept for long finds that its lane has moved on.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from shardlake.adapters.kinesis.wire import Page
from shardlake.core.errors import Conflict, Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Arrived
from shardlake.core.journal.rows import Entry, ShardRow
from shardlake.core.ports import Clock
from shardlake.core.positions import END, ORIGIN, Position, ShardId
from streams.committer import Committer
from streams.decode import Decoding
from streams.lane import Lane, LaneContext
from streams.loop import Loop, Observer
from streams.poison import Told, Waiting
from streams.sources.handed import HandedReader
from streams.sources.kinesis.source import KinesisSource
from streams.sources.port import SourceGap
from streams.worker import Worker

OWNER: Final = "lambda"  # of all lanes whose shards are read so: there is no process that could be dead
TICK_S: Final = 0.001
T = TypeVar("T")


@dataclass(slots=True)
class _Reading:
    """One shard in one call, as the keeper of its loop. It is read up to `last`, or to its end, or to its tip."""

    clock: Clock
    source: KinesisSource
    worker: Worker
    shard: ShardId
    last: Position | None
    is_to_tip: bool
    is_done: bool = False
    loop: Loop | None = None

    @property
    def is_patient(self) -> bool:
        """What was read is committed at the end."""
        return True

    @property
    def awaits_others(self) -> bool:
        """A call is about one shard."""
        return False

    def attend(self, committer: Committer, settle: Callable[[], None]) -> None:
        """See whether everything was read; nothing else comes in or goes."""
        del settle
        held = committer.lane.position(self.shard)
        is_read = self.last is not None and held is not None and self.source.at(self.shard) >= self.last
        if self.is_to_tip and held is not None and self.source.at(self.shard) != END:
            is_read = not self.source.waiting
        waits = self.loop is not None and self.loop.is_waiting
        self.is_done = held is None or (is_read and not waits)

    def seen(self) -> Mapping[str, Arrived]:
        """Up to when the source has read everything."""
        return self.source.seen()

    def ending(self, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Make children known."""
        self.worker.discover(children)

    def ended(self, committer: Committer, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Leave children to the calls that bring their records."""

    def wait(self, seconds: float) -> None:
        """Wait for a page, if one is wanted."""
        if not self.is_done:
            before_s = self.clock.monotonic_s()
            self.source.wait(seconds)
            if self.clock.monotonic_s() == before_s:  # a simulated clock takes no steps below its precision
                self.clock.sleep_s(TICK_S)


@dataclass(frozen=True, slots=True)
class _Busy:
    """Tells of commits, and not that there is nothing to read: the next call tells what there is."""

    observer: Observer

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        self.observer.committed(entry, rows, letters, failed)

    def idle(self) -> None:
        return


@dataclass(slots=True)
class Handling:
    """Counts records that are handed over, each once. Not safe for several threads.

    `reader` is what `source` reads with. `open` makes the committer of a lane, and `allowed` raises if the source is
    not to be read here (any more): it is asked whenever a lane was taken. `stopped` are gaps that the source told.
    """

    context: LaneContext
    source: KinesisSource
    reader: HandedReader
    worker: Worker
    decoding: Decoding
    open: Callable[[Lane], Committer]
    observer: Observer
    told: Callable[[Told], None]
    allowed: Callable[[], None]
    stopped: list[SourceGap] = field(default_factory=list)
    takes: bool = True
    _committers: dict[int, Committer] = field(default_factory=dict)
    _is_known: bool = False
    _is_blocked: bool = False

    def take(self, shard: ShardId, page: Page, until_s: float) -> str | None:
        """Count the records of a page that are new, until a moment of the monotonic clock at the latest.

        Give the lowest number that is not counted, None if all are. What is missing before them is read and counted
        first; so is the rest of parents that have ended. Without `takes` all is read, and the page only tells up to
        where. Raises: SourceGap where something is lost, Corrupt if the shard does not have them; Transient, Conflict,
        OutcomeUnknown: then a part may be counted, and the same page may be given again.
        """
        return self._again(lambda: self._taken(shard, page, until_s))

    def _taken(self, shard: ShardId, page: Page, until_s: float) -> str | None:
        committer = self._committer_of(shard, until_s)
        if committer is None:
            return None
        if self.takes:
            self.reader.hand(shard.rpartition("/")[2], page)
        try:
            self._read(committer, shard, Position(int(page.sequences[-1])), until_s)
        finally:
            self.reader.drop()
        held = committer.lane.position(shard)
        at = Position.decode(held) if held is not None else None
        return next((number for number in page.sequences if at is not None and _is_new(number, at)), None)

    def look(self, until_s: float) -> bool:
        """Read every shard to its tip: what no call told of is counted, and that an idle one was looked at is stored.

        Tell whether the time sufficed for all. Raises: as `take`.
        """
        self._list()
        known = reading.read_shards(self.context.journal)
        mine = {ShardId(shard): row for shard, row in known.items() if row.source == self.worker.source}
        looked: set[ShardId] = {shard for shard, row in mine.items() if row.place == "end"}
        while ready := [shard for shard in mine if shard not in looked and looked >= {*mine[shard].parents} & {*mine}]:
            for shard in ready:
                if self.context.clock.monotonic_s() >= until_s:
                    return False
                self._again(partial(self._looked, shard, until_s))
                looked.add(shard)
        return True

    def _looked(self, shard: ShardId, until_s: float) -> None:
        row = self._known(shard)
        if row is None or row.place == "end" or not self._has_ended(row.parents):
            return
        committer = self._committer_of(shard, until_s)
        if committer is not None:
            self._read(committer, shard, None, until_s, is_to_tip=True)

    def _has_ended(self, parents: Iterable[str]) -> bool:
        rows_of = (self._known(ShardId(parent)) for parent in parents)
        return all(row is not None and row.place == "end" for row in rows_of)

    def _again(self, work: Callable[[], T]) -> T:
        """Do work that other calls may be in the way of. Raises: Conflict if they are each time."""
        conflict: Conflict | None = None
        for _ in range(self.context.limits.commit_retries_max):
            try:
                return work()
            except Conflict as error:  # another call was first, with this shard or another one of its lane
                conflict = error
                self._committers.clear()
        assert conflict is not None
        raise conflict

    # ---------------------------------------------------------------------------------------- whose shard it is

    def _committer_of(self, shard: ShardId, until_s: float) -> Committer | None:
        """Give the committer of the lane that holds a shard, which it takes in if nobody does; None at its end."""
        row = self._row(shard)
        if row.place == "end":
            return None
        if row.place == "held":
            return self._committer(row.lane)
        for parent in row.parents:
            self._end(ShardId(parent), until_s)
        committer = self._committer(self._lane())
        if not committer.adopt(shard, seen=self.source.first_seen(self.worker.founded_us)):
            raise Conflict(f"shard {shard} was taken in by another call just now")
        return committer

    def _end(self, parent: ShardId, until_s: float) -> None:
        """Read a parent to its end: it has one, since a child of it has records. Raises: Transient if time is up."""
        committer = self._committer_of(parent, until_s)
        if committer is None:
            return
        self._read(committer, parent, None, until_s)
        if committer.lane.position(parent) is not None:
            raise Transient(f"shard {parent} is not read to its end yet, and its children wait: it is read on")

    def _row(self, shard: ShardId) -> ShardRow:
        if not self._is_known:
            self._list()
        found = self._known(shard)
        if found is None:
            self._list()
            found = self._known(shard)
        if found is None:
            raise Transient(f"shard {shard} is not listed yet: it is listed again with the next call")
        return found

    def _list(self) -> None:
        self.worker.discover(self.source.list(founding=not self.worker.founded_us))
        self._is_known = True

    def _known(self, shard: ShardId) -> ShardRow | None:
        key = rows.shard_key(shard)
        value = self.context.journal.get([key]).get(key)
        return None if value is None else rows.decode(ShardRow, key, value)

    # ------------------------------------------------------------------------------------------------- lanes

    def _committer(self, number: int) -> Committer:
        """Give a lane's committer: the one of the last call, if nobody has moved its head since."""
        context, head = self.context, reading.read_head(self.context.journal, number)
        known = self._committers.get(number)
        if known is not None and known.lane.head == head:
            return known
        if head.owner == OWNER:
            lane = Lane(context, head)
        else:
            lane = Lane.take(context, number, OWNER, self.worker.source, expected=head)
        self.allowed()
        self._committers[number] = committer = self.open(lane)
        return committer

    def _lane(self) -> int:
        """Choose a lane for a shard that comes in: one that holds none, a new one, or that with the fewest."""
        journal, source = self.context.journal, self.worker.source
        heads = [head for head in reading.read_heads(journal).values() if head.source in ("", source)]
        held = Counter(row.lane for row in reading.read_shards(journal).values() if row.place == "held")
        fewest = min(heads, key=lambda head: (held[head.lane], head.lane), default=None)
        if fewest is not None and (not held[fewest.lane] or len(heads) >= self.context.limits.lanes_max):
            return fewest.lane
        registry = reading.read_registry(journal)
        assert registry is not None, "the journal was founded"
        journal.transact(operations.grow(registry, source))
        return registry.lanes

    # ----------------------------------------------------------------------------------------------- reading

    def _read(
        self,
        committer: Committer,
        shard: ShardId,
        last: Position | None,
        until_s: float,
        *,
        is_to_tip: bool = False,
    ) -> None:
        """Read and commit a shard up to a position, to its tip or to its end, as far as the time allows."""
        clock = self.context.clock
        keeper = _Reading(clock, self.source, self.worker, shard, last, is_to_tip)
        self.stopped.clear()
        self._is_blocked = False
        held = committer.lane.state.shards.get(shard)
        if held is None:
            raise Conflict(f"shard {shard} was read to its end by another call just now")
        self.source.hold({})  # what a call before this one had read ahead, and did not commit
        self.source.hold({shard: held})

        def stop() -> bool:
            return keeper.is_done or self._is_blocked or bool(self.stopped) or clock.monotonic_s() >= until_s

        limits, observer = self.context.limits, _Busy(self.observer)
        keeper.loop = Loop(self.source, self.decoding, committer, clock, limits, stop, observer, keeper, self._hear)
        keeper.loop.run()
        if self.stopped:
            raise self.stopped[0]

    def _hear(self, told: Told) -> None:
        """Pass on what is told; a record that is to be tried for ever is left to the next call."""
        self._is_blocked = self._is_blocked or (isinstance(told, Waiting) and told.is_blocked)
        self.told(told)


def _is_new(number: str, at: Position) -> bool:
    return at == ORIGIN or int(number) > at.sequence
