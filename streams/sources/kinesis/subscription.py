"""Enhanced fan-out: shards whose pages are pushed over subscriptions, and polled while there is none.

    subscriptions = Subscriptions(FanOut(consumer, subscriber, told, in_threads), clock, limits)
    subscriptions.attend(readers, pinned_us)        # opens what is due, and gives each reader a future of its next page
    subscriptions.over(reader, error)               # its subscription ended: it is polled until the next one

A feed reads one subscription ahead, from its opening to its end. What counts is what was handed over: another feed, or
a poll, begins at the reader's position, whatever the feed before had read.

A page costs whoever takes it some time, however little is in it, and the service pushes an event for each few records.
So events that wait are handed over as one page, and at the tip a shard's pages are taken twice the time apart that the
work with one page of each shard takes: half of the time is spent with them at most, and pages become as large as that
makes them.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Protocol

from shardlake.adapters.kinesis.port import RECORDS_MAX, Subscriber, Subscription, SubscriptionEnded
from shardlake.core.errors import ShardlakeError, Transient
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import Position, ShardId
from streams.sources.kinesis.fetching import Fetched, Reader, Start, together

YOUNG_S: Final = 5.0  # a subscription that is younger cannot be replaced: the service refuses the next one
LONGEST_S: Final = 300.0  # between two tries to subscribe
TOGETHER_BYTES: Final = 10 << 20  # of events that are handed over as one page, as many as GetRecords gives
TOGETHER_US: Final = 60_000_000  # between them: whether something was lost is told by when a page came
TRIES: Final = 3  # after so many that failed it is told that the shard is polled

Spawn = Callable[[Callable[[], None], str], None]  # (work, name): lets the work be done by a thread of its own


class FanOutObserver(Protocol):
    """Who is told, once each, how a shard's records come."""

    def polled(self, shard: ShardId, error: ShardlakeError) -> None:
        """A shard is polled until further notice, because it cannot be subscribed to."""

    def pushed(self, shard: ShardId) -> None:
        """A shard of which that was told is subscribed to again."""


def in_threads(work: Callable[[], None], name: str) -> None:
    """Do work in a thread that the process does not wait for at its end."""
    threading.Thread(target=work, name=name, daemon=True).start()


@dataclass(frozen=True, slots=True)
class FanOut:
    """What subscriptions are opened with: the consumer's ARN, and who opens them.

    With `spawn` each is read by a thread. Without, whoever attends reads what has come: for those that never wait.
    """

    consumer: str
    subscriber: Subscriber
    told: FanOutObserver
    spawn: Spawn | None = None


@dataclass(slots=True)
class Room:
    """The bytes of pages that wait in all feeds; `changed` guards them, and all that feeds and askers share."""

    bytes_max: int
    bytes: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)


class Feed:
    """One subscription, read ahead by one thread, or by nobody but `pump`. Asked and closed by another one.

    When there is no room for more, the reading waits, for as long as that takes; a feed always has room for one page.
    """

    def __init__(
        self,
        open: Callable[[], Subscription],  # noqa: A002 - what it does
        clock: Clock,
        room: Room,
        records_max: int = RECORDS_MAX,
    ) -> None:
        self._open, self._clock, self._room, self._records_max = open, clock, room, records_max
        self._subscription: Subscription | None = None
        self._waiting: deque[Fetched] = deque()
        self._asked: Future[Fetched] | None = None
        self._error: ShardlakeError | None = None
        self._is_closed = False
        self._tip_us = 0
        self.opened_s: float | None = None
        self.pages = 0

    # ----------------------------------------------------------------------------------------- whoever takes pages

    def ask(self) -> "Future[Fetched]":
        """Ask for what waits, as one page, or the next that comes, or how the subscription ended.

        After one answer another one may be asked for.
        """
        future: Future[Fetched] = Future()
        with self._room.changed:
            assert self._asked is None, "it is asked for one page at a time"
            if self._waiting:
                future.set_result(together(self._taken()))
            elif self._error is not None:
                future.set_exception(self._error)
            else:
                self._asked = future
        return future

    @property
    def is_behind(self) -> bool:
        """Tell whether something waits."""
        return bool(self._waiting)

    def _taken(self) -> list[Fetched]:
        """Take the first page that waits, and those after it that go together with it."""
        first = self._waiting[0]
        records, size, found = 0, 0, list[Fetched]()
        while self._waiting:
            fetched = self._waiting[0]
            records, size = records + len(fetched.page), size + fetched.page.size
            is_too_much = records > self._records_max or size > TOGETHER_BYTES
            if found and (is_too_much or fetched.asked_us - first.asked_us > TOGETHER_US):
                break
            found.append(self._waiting.popleft())
            self._room.bytes -= fetched.page.size
        self._room.changed.notify_all()
        return found

    def close(self) -> None:
        """Let go of it, with what waits."""
        with self._room.changed:
            self._is_closed, self._asked = True, None
            self._room.bytes -= sum(fetched.page.size for fetched in self._waiting)
            self._waiting.clear()
            self._room.changed.notify_all()
            subscription = self._subscription
        if subscription is not None:
            subscription.close()

    # --------------------------------------------------------------------------------------------- whoever reads

    def run(self) -> None:
        """Read the subscription to its end: the work of a thread."""
        while self._waits_for_room():
            self._step()
        if self._subscription is not None:
            self._subscription.close()

    def pump(self) -> None:
        """Read what has come, as far as there is room."""
        while self._has_room() and self._step():
            pass

    def _has_room(self) -> bool:
        return self._is_reading and (not self._waiting or self._room.bytes < self._room.bytes_max)

    @property
    def _is_reading(self) -> bool:
        return self._error is None and not self._is_closed

    def _waits_for_room(self) -> bool:
        with self._room.changed:
            while self._is_reading and not self._has_room():
                self._room.changed.wait()
            return self._is_reading

    def _step(self) -> bool:
        """Read one event; False if none has come."""
        try:
            page = self._opened().next()
            came_us, came_s = self._clock.now_us(), self._clock.monotonic_s()
        except ShardlakeError as error:
            self._ends(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies without a word would leave its shard unread
            self._ends(Transient(f"reading a subscription failed with {type(error).__name__}"))
        else:
            if page is None:
                return False
            self._takes(Fetched(page, came_us, came_s, self._tip_us))
            if page.next_iterator is None:
                self._ends(SubscriptionEnded("the shard has ended"))
        return True

    def _opened(self) -> Subscription:
        if self._subscription is None:
            self._tip_us = self._clock.now_us()
            subscription = self._open()
            self.opened_s = self._clock.monotonic_s()
            with self._room.changed:
                self._subscription = subscription
                if self._is_closed:  # while it was being opened: nobody wants it any more
                    raise SubscriptionEnded("the shard was let go")
        return self._subscription

    def _takes(self, fetched: Fetched) -> None:
        self.pages += 1
        with self._room.changed:
            asked, self._asked = self._asked, None
            if asked is None and not self._is_closed:
                self._waiting.append(fetched)
                self._room.bytes += fetched.page.size
        if asked is not None:
            asked.set_result(fetched)

    def _ends(self, error: ShardlakeError) -> None:
        if self._subscription is not None:
            self._subscription.close()
        with self._room.changed:
            self._error = error
            asked, self._asked = self._asked, None
        if asked is not None:
            asked.set_exception(error)


@dataclass(slots=True)
class _Line:
    """What is known of one shard's subscriptions; `again_s` is when the next one may be opened.

    `resume` is a sequence number before which everything has been handed over, for a reader that still stands at
    `resume_at`: at the position of the last record an idle shard might have to be looked through from far behind.
    """

    feed: Feed | None = None
    again_s: float = 0.0
    failures: int = 0
    is_told: bool = False
    resume: str = ""
    resume_at: Position | None = None


class Subscriptions:
    """The subscriptions of all shards that a source holds. Used by one thread, as the source is."""

    def __init__(self, fan_out: FanOut, clock: Clock, limits: Limits) -> None:
        self._fan_out, self._clock = fan_out, clock
        self._room, self._records_max = Room(limits.fetch_bytes_max), min(RECORDS_MAX, limits.chunk_rows_max)
        self._lines: dict[ShardId, _Line] = {}

    @property
    def bytes(self) -> int:
        """How many bytes of pages wait."""
        return self._room.bytes

    def attend(self, readers: Iterable[Reader], pinned_us: int) -> None:
        """Subscribe to shards whose time has come; ask for the next page of each that is subscribed to."""
        now_s = self._clock.monotonic_s()
        for reader in readers:
            line = self._lines.setdefault(reader.shard, _Line())
            if reader.is_stopped:
                self._drop(line)
                if reader.is_pushed:
                    reader.is_pushed, reader.future = False, None
                continue
            if line.feed is None and reader.future is None and line.again_s <= now_s:
                self._subscribe(reader, line, pinned_us)
            if line.feed is not None and self._fan_out.spawn is None:
                line.feed.pump()
            if line.feed is not None and reader.future is None and reader.due_s <= now_s:
                reader.future = line.feed.ask()

    def took(self, reader: Reader, readers: Iterable[Reader]) -> None:
        """Hear that a page that was pushed was handed over, to whom it is one of several readers."""
        line = self._lines[reader.shard]
        is_behind = not reader.is_at_tip or (line.feed is not None and line.feed.is_behind)
        apart_s = 0.0 if is_behind else 2 * sum(one.last_work_s for one in readers if one.is_pushed)
        reader.due_s = self._clock.monotonic_s() + apart_s
        if line.is_told:
            self._fan_out.told.pushed(reader.shard)
            line.is_told = False

    def over(self, reader: Reader, error: ShardlakeError) -> None:
        """Hear that a reader's subscription has ended, after all that came of it was handed over."""
        line, now_s = self._lines[reader.shard], self._clock.monotonic_s()
        feed, line.feed = line.feed, None
        assert feed is not None, "what has ended had begun"
        lived_s = 0.0 if feed.opened_s is None else now_s - feed.opened_s
        if feed.pages and (isinstance(error, SubscriptionEnded) or lived_s >= YOUNG_S):
            line.failures, line.again_s = 0, now_s + max(0.0, YOUNG_S - lived_s)
            line.resume, line.resume_at = reader.iterator or "", reader.at
        else:
            line.failures += 1
            line.again_s = now_s + min(YOUNG_S * 2 ** (line.failures - 1), LONGEST_S)
            self._tell(reader, line, error)
        reader.is_pushed, reader.due_s = False, now_s
        reader.begin_anew()

    def keep(self, shards: Collection[ShardId]) -> None:
        """Let go of all shards but these."""
        for shard in self._lines.keys() - set(shards):
            self._drop(self._lines.pop(shard))

    def _subscribe(self, reader: Reader, line: _Line, pinned_us: int) -> None:
        reader.begin_anew()
        start = reader.start(pinned_us)
        if line.resume and line.resume_at == reader.at:
            start = Start(None, "AT_SEQUENCE_NUMBER", sequence=line.resume)
        given, name = self._fan_out, reader.name

        def opened() -> Subscription:
            return given.subscriber.open(given.consumer, name, start.kind, start.sequence, start.at_us)

        line.feed, reader.is_pushed = Feed(opened, self._clock, self._room, self._records_max), True
        if given.spawn is not None:
            given.spawn(line.feed.run, f"push-{name}")

    def _tell(self, reader: Reader, line: _Line, error: ShardlakeError) -> None:
        if not line.is_told and (line.failures >= TRIES or not isinstance(error, Transient)):
            line.is_told = True
            self._fan_out.told.polled(reader.shard, error)

    def _drop(self, line: _Line) -> None:
        if line.feed is not None:
            line.feed.close()
            line.feed = None
