"""One shard's pages, fetched ahead: where it stands, when it may be asked again, and what a request came back with.

`fetch` is all that runs in a thread: two calls of the service, and parsing. Everything else is the loop's.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np

from shardlake.adapters.kinesis.port import KinesisReader
from shardlake.adapters.kinesis.wire import Page
from shardlake.core.journal.objects import Arrived, HeldShard
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import END, ORIGIN, Position, ShardId

RECOVERY: Final = 0.9  # what a good read leaves of a pause


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins: an iterator that is there, or what to ask for one with."""

    iterator: str | None
    kind: str
    sequence: str = ""
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page, and when it was asked for, or came unasked: UTC microseconds, and monotonic seconds.

    `tip_us` is the time for which it speaks if it reaches the tip: what had arrived by then is in it, or was before it.
    A page that was asked for speaks for when it was; one that was pushed may have been under way for as long as its
    subscription had been open.
    """

    page: Page
    asked_us: int
    asked_s: float
    tip_us: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the reading of a shard is, as plain numbers.

    `behind_ms` is how far the last page was behind the shard's tip (None if the service did not say) and `asked_s` when
    it was asked for, in monotonic seconds (None before the first one). `lines`, `bytes` and `pages` were handed over
    since the shard is held, and took `work_s` seconds of whoever took them. `is_stopped` is a shard that stands still
    at a gap, `is_pushed` one whose pages come over a subscription.
    """

    behind_ms: int | None = None
    asked_s: float | None = None
    lines: int = 0
    bytes: int = 0
    pages: int = 0
    work_s: float = 0.0
    is_stopped: bool = False
    is_pushed: bool = False


@dataclass(slots=True)
class Reader:
    """One shard being read.

    `at` is the end of what was handed over, `seen` what had arrived and was in it. `repeats` tells that the next record
    will be the one at `at`, unless it was trimmed. `is_pinned` is a shard that is read from where its source began.
    While it `is_pushed`, `future` is its subscription's next page, and `iterator` the number with which it would go on.
    """

    shard: ShardId
    at: Position
    seen: Arrived | None
    repeats: bool
    is_pinned: bool
    iterator: str | None = None
    due_s: float = 0.0
    pause_s: float = 0.0
    rest_s: float = 0.05
    failures: int = 0
    turn: int = 0
    is_at_tip: bool = False
    is_stopped: bool = False
    is_pushed: bool = False
    future: "Future[Fetched] | None" = None
    behind_ms: int | None = None
    asked_s: float | None = None
    lines: int = 0
    bytes: int = 0
    pages: int = 0
    work_s: float = 0.0
    last_work_s: float = 0.0

    @staticmethod
    def of(shard: ShardId, held: HeldShard) -> "Reader":
        """Begin where a held shard stands."""
        at = Position.decode(held.at)
        return Reader(shard, at, held.seen, at != ORIGIN, at == ORIGIN and not held.parents)

    @property
    def name(self) -> str:
        """The shard's name in its stream."""
        return self.shard.rpartition("/")[2]

    def start(self, pinned_us: int) -> Start:
        """Where to read on: never LATEST, since an iterator that expires unread would lose what came between."""
        if self.at != ORIGIN:
            return Start(self.iterator, "AT_SEQUENCE_NUMBER", sequence=str(self.at.sequence))
        if self.is_pinned and pinned_us:
            return Start(self.iterator, "AT_TIMESTAMP", at_us=pinned_us)
        return Start(self.iterator, "TRIM_HORIZON")

    def begin_anew(self) -> None:
        """Let the next request take an iterator of its own."""
        self.iterator, self.repeats = None, self.at != ORIGIN

    def throttled(self, now_s: float, limits: Limits) -> None:
        """Wait twice as long as before."""
        self.pause_s = min(max(2 * self.pause_s, 1 / limits.shard_reads_per_s), limits.retry_longest_s)
        self.due_s = now_s + self.pause_s

    def succeeded(self, fetched: Fetched, limits: Limits) -> None:
        """Take note of a page: when the shard may be asked again, and whether it was read to its tip."""
        page = fetched.page
        self.failures, self.iterator = 0, page.next_iterator
        self.pause_s = self.pause_s * RECOVERY if self.pause_s > 1 / limits.shard_reads_per_s else 0.0
        self.is_at_tip = page.behind_ms == 0
        self.behind_ms, self.asked_s = page.behind_ms, fetched.asked_s
        self.rest_s = min(2 * self.rest_s, limits.poll_longest_s) if not page.sequences else limits.poll_interval_s
        usual_s = self.rest_s if self.is_at_tip else 1 / limits.shard_reads_per_s
        paid_s = sum(map(len, page.data)) / limits.shard_bytes_per_s
        self.due_s = fetched.asked_s + max(usual_s, paid_s, self.pause_s)

    def handed_over(self, lines: int, size: int, work_s: float) -> None:
        """Take note of what somebody took, and of how long that had work with it."""
        self.lines, self.bytes, self.pages = self.lines + lines, self.bytes + size, self.pages + 1
        self.work_s, self.last_work_s = self.work_s + work_s, work_s

    def lag(self) -> Lag:
        """Tell how far the reading is."""
        stopped = self.is_stopped and self.at != END
        return Lag(
            self.behind_ms, self.asked_s, self.lines, self.bytes, self.pages, self.work_s, stopped, self.is_pushed
        )


def together(found: Sequence[Fetched]) -> Fetched:
    """Make one of pages that came one after another over one subscription."""
    if len(found) == 1:
        return found[0]
    pages, last = [fetched.page for fetched in found], found[-1]
    page = replace(
        last.page,
        sequences=[*chain.from_iterable(page.sequences for page in pages)],
        data=[*chain.from_iterable(page.data for page in pages)],
        arrivals_us=np.concatenate([page.arrivals_us for page in pages]),
        keys=[*chain.from_iterable(page.keys for page in pages)],
        size=sum(page.size for page in pages),
    )
    return replace(last, page=page)


def fetch(api: KinesisReader, clock: Clock, stream: str, shard: str, start: Start, limit: int) -> Fetched:
    """Read a page, with a new iterator if there is none. Raises: as `KinesisReader.iterator` and `get_records`."""
    iterator = start.iterator or api.iterator(stream, shard, start.kind, start.sequence, start.at_us)
    asked_us, asked_s = clock.now_us(), clock.monotonic_s()
    return Fetched(api.get_records(iterator, limit, stream), asked_us, asked_s, asked_us)
