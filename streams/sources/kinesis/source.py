"""A Kinesis stream as a source: the shards that a lane holds, each read as far as its pages are there.

    source = KinesisSource(settings, api, executor, clock, limits, stopped)
    source.hold(lane.state.shards)
    source.discover(now_us)                       # asks for pages that are due, and returns at once
    for records in source.read(shard, position): ...

A position is (sequence number, part of the record). What retention has trimmed before it was read is a gap: it is
told, or it stops the shard.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from shardlake.adapters.kinesis.port import RECORDS_MAX, IteratorExpired, KinesisReader, ShardGone, Throttled
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Page, ShardInfo, StreamInfo
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal, Transient
from shardlake.core.journal.objects import Arrived, HeldShard
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import END, ORIGIN, Position, ShardId, encode_number
from streams.sources.kinesis.fetching import Fetched, Lag, Reader, fetch
from streams.sources.kinesis.records import Lines, beyond, end_of, lines_of, only, sequences
from streams.sources.kinesis.subscription import FanOut, Subscriptions
from streams.sources.port import Fault, Records, SourceGap

OnGap = Literal["fail", "dlq", "continue"]
SKEW_US: Final = 60_000_000  # for so long a moment that was "now" here may lie in the service's future


@dataclass(frozen=True, slots=True)
class KinesisSettings:
    """What a user sets of a Kinesis source. `pinned_us` is where reading began, if not at the oldest record."""

    name: str
    stream: str
    on_gap: OnGap = "fail"
    pinned_us: int = 0


class KinesisSource:
    """A running Kinesis source; see the port for its contract. Its threads only fetch.

    With `fan_out` pages are pushed over subscriptions, and polled wherever there is none just now.
    """

    def __init__(
        self,
        settings: KinesisSettings,
        api: KinesisReader,
        executor: Executor,
        clock: Clock,
        limits: Limits,
        stopped: Callable[[SourceGap], None],
        fan_out: FanOut | None = None,
    ) -> None:
        self._settings, self._api, self._executor = settings, api, executor
        self._clock, self._limits, self._stopped = clock, limits, stopped
        self._readers: dict[ShardId, Reader] = {}
        self._listed: dict[ShardId, ShardInfo] = {}
        self._stream: StreamInfo | None = None
        self._listed_us = 0
        self._turn = 0
        self._is_waited_for = fan_out is None or fan_out.spawn is not None  # a page may come while this one waits
        self._pushes = None if fan_out is None else Subscriptions(fan_out, clock, limits)

    # ------------------------------------------------------------------------------------------- what there is

    def first_seen(self, founded_us: int) -> Arrived:
        """What counts as read of a shard that nobody has held, of a source that was first read at `founded_us`."""
        return Arrived(self._settings.pinned_us or founded_us, self.kept_s)

    @property
    def kept_s(self) -> int:
        """How long the stream keeps a record, in seconds, as of the last listing."""
        return self._stream.retention_s if self._stream else 0

    def list(self, *, founding: bool = False) -> Mapping[ShardId, tuple[ShardId, ...]]:
        """List all shards with their parents, and look at the stream's retention.

        When the source is first read (`founding`), and only what comes from some moment on is wanted, those are the
        shards that were open at that moment or later. Raises: as `KinesisReader`; ConfigError if the stream was deleted
        and made anew.
        """
        stream = self._api.describe(self._settings.stream)
        if self._stream is not None and stream.created_us != self._stream.created_us:
            raise ConfigError(
                f"stream {stream.name} was deleted and made anew since it was first read: its shards have the same"
                " names and other records; begin with another root"
            )
        self._stream, self._listed_us = stream, self._clock.now_us()
        found: Sequence[ShardInfo] = self._api.list_shards(self._settings.stream)
        self._listed = {self._shard(info.shard_id): info for info in found}
        if founding and self._settings.pinned_us:
            found = self._since_pinned(found)
        return {self._shard(info.shard_id): tuple(map(self._shard, info.parents)) for info in found}

    def is_gone(self, shard: ShardId) -> bool:
        """Tell whether a shard that a listing lacks expired, or closed before reading began. Raises: as `list`."""
        with suppress(ShardGone):
            if shard not in self._listed:
                self._api.iterator(self._settings.stream, shard.rpartition("/")[2], "TRIM_HORIZON")
                return False
        return True

    def _since_pinned(self, found: Sequence[ShardInfo]) -> Sequence[ShardInfo]:
        try:
            return self._api.list_shards(self._settings.stream, "FROM_TIMESTAMP", self._settings.pinned_us)
        except ConfigError:
            raise
        except Terminal:  # that moment lies in the service's future: nothing has closed since
            return [info for info in found if info.end_sequence is None]

    def shards(self) -> Sequence[ShardId]:
        """The shards that are held and may be read, the one that was served longest ago first."""
        readers = [reader for reader in self._readers.values() if not reader.is_stopped]
        return [reader.shard for reader in sorted(readers, key=lambda reader: reader.turn)]

    def hold(self, held: Mapping[str, HeldShard]) -> None:
        """Read these shards and no others; what was fetched of a shard that is held on stays. Raises: as `list`."""
        if not self._listed.keys() >= held.keys():
            self.list()  # their hash keys
        self._readers = {
            ShardId(shard): self._readers.get(ShardId(shard)) or Reader.of(ShardId(shard), row)
            for shard, row in held.items()
        }
        if self._pushes is not None:
            self._pushes.keep(self._readers.keys())

    def at(self, shard: ShardId) -> Position:
        """Up to where a shard that is held was handed over."""
        return self._readers[shard].at

    def close(self) -> None:
        """Let go of all subscriptions."""
        if self._pushes is not None:
            self._pushes.keep(())

    def seen(self) -> Mapping[str, Arrived]:
        """Up to when everything that had arrived was handed over, for each shard that is held and was read."""
        return {shard: reader.seen for shard, reader in self._readers.items() if reader.seen is not None}

    def open(self, pages: Sequence[bytes]) -> None:
        """Know nothing but what is held: a stream has no pages of discovered files."""

    def merge(self, pages: Sequence[bytes]) -> bytes:
        """Refuse: there are no pages of discovered files. Raises: NotImplementedError."""
        raise NotImplementedError(f"{len(pages)} pages of discovered files, where nothing is discovered")

    def committed(self) -> None:
        """Nothing waits for a page of discovered files."""

    @property
    def paces_itself(self) -> bool:
        """It does."""
        return True

    @property
    def waiting(self) -> int:
        """How many shards have not been read to their tip."""
        return sum(not reader.is_at_tip and not reader.is_stopped for reader in self._readers.values())

    def lags(self) -> Mapping[ShardId, Lag]:
        """How far each shard that is held is behind its tip. It may be asked from any thread."""
        readers = self._readers  # another dict takes its place; none is changed
        return {shard: reader.lag() for shard, reader in readers.items()}

    # ------------------------------------------------------------------------------------------------ reading

    def discover(self, now_us: int) -> bytes | None:
        """Ask for the pages that are due, as far as the threads and the bytes that wait allow."""
        del now_us
        if self._pushes is not None:
            self._pushes.attend(self._readers.values(), self._settings.pinned_us)
        now_s, limits = self._clock.monotonic_s(), self._limits
        polled = [reader for reader in self._readers.values() if not reader.is_pushed]
        asked = [reader.future for reader in polled if reader.future is not None]
        free = limits.fetch_threads_max - sum(not future.done() for future in asked)
        ready = sum(f.result().page.size for f in asked if f.done() and f.exception() is None)
        ready += 0 if self._pushes is None else self._pushes.bytes
        due = [r for r in polled if r.future is None and not r.is_stopped and r.due_s <= now_s]
        for reader in sorted(due, key=lambda reader: reader.due_s)[: max(0, free)]:
            if ready >= limits.fetch_bytes_max:
                break
            self._ask(reader)
        return None

    def wait(self, seconds: float) -> None:
        """Wait for a page, for so long at most, and not beyond the time when the next one may be asked for."""
        now_s = self._clock.monotonic_s()
        readers = [reader for reader in self._readers.values() if not reader.is_stopped]
        polled = [reader for reader in readers if not reader.is_pushed]
        pending = [reader.future for reader in polled if reader.future is not None]
        has_thread = len(pending) < self._limits.fetch_threads_max
        due = [r.due_s - now_s for r in readers if r.future is None and (has_thread or r.is_pushed)]
        patience = max(0.0, min([seconds, *due]))
        if self._is_waited_for:
            pending += [reader.future for reader in readers if reader.is_pushed and reader.future is not None]
        if pending:
            wait(pending, timeout=patience, return_when=FIRST_COMPLETED)
        else:
            self._clock.sleep_s(patience)

    def read(self, shard: ShardId, after: Position) -> Iterator[Records]:
        """Give what was fetched of a shard, which is a page or nothing.

        Raises: Transient, if the shard could not be read several times in a row; ConfigError, Terminal.
        """
        reader = self._readers[shard]
        if reader.at != after:
            raise AssertionError(f"shard {shard} was read to {reader.at}, and is asked for from {after}")
        seen, records = reader.seen, self._next(reader)
        seen, reader.seen = reader.seen, seen if len(records) > 1 else reader.seen
        if records:
            self._turn += 1
            reader.at, reader.turn = records[-1].upto, self._turn
            reader.is_stopped = reader.at == END  # until its end is committed, and it is held no more
            self.discover(0)  # its next page can be fetched while this one is decoded
        for one in records:
            given_s = self._clock.monotonic_s()
            if one is records[-1]:
                reader.seen = seen  # a commit between two of them must not tell of what it does not hold
            yield one
            reader.handed_over(len(one.arrivals_us), len(one.data), self._clock.monotonic_s() - given_s)

    def _ask(self, reader: Reader) -> None:
        start, stream = reader.start(self._settings.pinned_us), self._settings.stream
        limit = min(RECORDS_MAX, self._limits.chunk_rows_max)
        reader.future = self._executor.submit(fetch, self._api, self._clock, stream, reader.name, start, limit)

    def _next(self, reader: Reader) -> Sequence[Records]:
        """Take what a request came back with; what passes is asked again, after a pause, and not for ever."""
        if reader.future is None or not reader.future.done():
            return ()
        future, reader.future = reader.future, None
        if self._pushes is not None and reader.is_pushed:
            return self._pushed(self._pushes, reader, future)
        now_s = self._clock.monotonic_s()
        try:
            fetched = future.result()
        except IteratorExpired:
            reader.begin_anew()
            reader.due_s = now_s + 1 / self._limits.shard_reads_per_s
        except ShardGone as error:
            return self._vanished(reader, error)
        except Terminal as error:
            self._refused(reader, error)
            reader.begin_anew()
            reader.throttled(now_s, self._limits)
        except Throttled:
            reader.throttled(now_s, self._limits)
        except Transient:
            reader.failures += 1
            if reader.failures >= self._limits.commit_retries_max:
                raise
            reader.throttled(now_s, self._limits)
        else:
            reader.succeeded(fetched, self._limits)
            return self._records(reader, fetched)
        return ()

    def _pushed(self, pushes: Subscriptions, reader: Reader, future: "Future[Fetched]") -> Sequence[Records]:
        """Take a page that was pushed. A subscription that ended, however it did, tells nothing of its shard."""
        try:
            fetched = future.result()
        except ShardlakeError as error:
            pushes.over(reader, error)
            return ()
        reader.succeeded(fetched, self._limits)
        pushes.took(reader, self._readers.values())
        return self._records(reader, fetched)

    def _refused(self, reader: Reader, error: Terminal) -> None:
        """Raise what a request was refused with, but for two refusals that may pass.

        A read by an iterator does not say whether the stream is gone or the shard alone: the next one names both. And
        the moment from which reading begins may lie in the service's future, by a clock of ours that is ahead.
        """
        if isinstance(error, ConfigError):
            if reader.iterator is None:
                raise error
            self.list()  # another stream of the same name is not read
        elif not reader.is_pinned or reader.at != ORIGIN or self._clock.now_us() > self._settings.pinned_us + SKEW_US:
            raise error

    def _records(self, reader: Reader, fetched: Fetched) -> Sequence[Records]:
        """Turn a page into records beyond the reader's position; none if there is nothing to tell."""
        page, at = fetched.page, reader.at
        is_repeated = bool(reader.repeats and page.sequences and int(page.sequences[0]) == at.sequence)
        is_lost = not is_repeated and self._is_lost(reader, fetched)
        if is_lost and self._has_stopped(reader):
            return ()
        children = self._children(reader.shard, page) if page.next_iterator is None else None
        if page.next_iterator is None and children is None:
            reader.begin_anew()  # it is still open, whatever the answer said
        if not page.sequences and children is None:
            if reader.is_at_tip and not is_lost:  # a loss is told with what comes next
                reader.seen = self._seen(reader, fetched)
            return ()
        every = self._lines(reader.shard, page)
        lines = beyond(page, every, at) if at != ORIGIN else every
        reader.repeats, reader.seen = False, self._seen(reader, fetched)
        count = len(page.sequences)
        cuts = [(0, 1, "gap"), (1, count, "data")] if is_lost and count else [(0, count, "gap" if is_lost else "data")]
        found: list[Records] = []
        for start, stop, kind in cuts:
            upto = max(at, end_of(page, every, stop - 1)) if stop else at
            is_last = stop == count and children is not None and (start, stop, kind) == cuts[-1]
            part = only(page, lines, start, stop) if is_lost else lines
            faults = (*self._loss(reader, fetched.asked_us), *part.faults) if kind == "gap" else part.faults
            records = Records(
                reader.shard,
                at,
                END if is_last else upto,
                self._settings.stream,
                part.data,
                sequences(page, part.record),
                part.subs,
                page.arrivals_us[part.record],
                faults,
                kind,
                (children or {}) if is_last else {},
                reader.is_at_tip,
            )
            at = records.upto
            found.append(records)
        return [records for records in found if records.upto > records.after or records.kind == "gap"]

    def _lines(self, shard: ShardId, page: Page) -> Lines:
        info = self._listed.get(shard)
        return lines_of(page, info.start_hash if info else 0, info.end_hash if info else HASH_KEY_MAX)

    def _children(self, shard: ShardId, page: Page) -> Mapping[ShardId, tuple[ShardId, ...]] | None:
        """The shards that follow a closed one; None if it is not closed, as a complete listing tells."""
        if page.children:
            return {self._shard(c.shard_id): tuple(map(self._shard, c.parents)) for c in page.children}
        listing, info = self.list(), self._listed.get(shard)
        if info.end_sequence is None if info is not None else not self.is_gone(shard):
            return None  # open, or there while the listing lacks it
        return _following(shard, listing)

    def _shard(self, name: str) -> ShardId:
        return ShardId(f"{self._settings.name}/{name}")

    def _is_lost(self, reader: Reader, fetched: Fetched) -> bool:
        """Tell whether something may have been trimmed before it was read, as far as times tell."""
        page, seen = fetched.page, reader.seen
        if not page.sequences and page.next_iterator is not None and not reader.is_at_tip:
            return False  # an empty page on the way: the next one tells
        if seen is None:  # nobody knows when it was read to where it stands
            return reader.at != ORIGIN
        return fetched.asked_us - seen.us > min(seen.kept_s, self.kept_s) * 1_000_000

    def _seen(self, reader: Reader, fetched: Fetched) -> Arrived | None:
        """What is known to have been read by now.

        At the tip of an open shard everything that had arrived when it was asked. A closed shard's children may have
        begun long before its end was read: for their sake it counts as read up to its last record, or to when it was
        last listed as open.
        """
        arrivals, info = fetched.page.arrivals_us, self._listed.get(reader.shard)
        is_open = info is not None and info.end_sequence is None
        known = [reader.seen.us] if reader.seen is not None else []
        known += [int(arrivals[-1])] if len(arrivals) else []
        if reader.is_at_tip and is_open:
            known.append(fetched.tip_us if fetched.page.next_iterator else min(self._listed_us, fetched.tip_us))
        return Arrived(max(known), self.kept_s) if known else None

    def _vanished(self, reader: Reader, error: ShardGone) -> Sequence[Records]:
        """End a shard that expired before it was read to its end. Raises: ConfigError if the stream is another one."""
        listing = self.list()
        if reader.shard in listing:
            raise error
        if self._has_stopped(reader):
            return ()
        faults, origin = self._loss(reader, self._clock.now_us()), self._settings.stream
        children = _following(reader.shard, listing)
        return (Records(reader.shard, reader.at, END, origin, faults=faults, kind="gap", children=children),)

    def _has_stopped(self, reader: Reader) -> bool:
        """Let a shard stand still where something was lost, if that is asked for; the others go on."""
        if self._settings.on_gap == "fail":
            reader.is_stopped = True
            lost = "no longer holds what comes after the last record that was read"
            self._stopped(SourceGap(self._settings.stream, reader.shard, reader.at, lost))
        return reader.is_stopped

    def _loss(self, reader: Reader, now_us: int) -> tuple[Fault, ...]:
        if self._settings.on_gap != "dlq":
            return ()
        detail = "records after this position were trimmed before they were read"
        sequence = encode_number(reader.at.sequence)
        return (Fault(reader.at.sub, "records_trimmed", detail, b"", 0, "", sequence, now_us),)


def _following(shard: ShardId, listing: Mapping[ShardId, tuple[ShardId, ...]]) -> dict[ShardId, tuple[ShardId, ...]]:
    return {child: parents for child, parents in listing.items() if shard in parents}
