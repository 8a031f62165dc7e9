"""A table's changes as a source: the shards of its stream that a lane holds, read as those of a Kinesis stream are.

What differs is what the service tells. It says when records were trimmed, and never how far a page is behind the tip;
shards roll over every few hours, idle or not, and their names tell when they began; a listing may be behind, or
contradict itself, for a while.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from shardlake.adapters.dynamodb.stream_calls import StreamCalls, open_since
from shardlake.adapters.dynamodb.stream_port import RECORDS_MAX, Trimmed
from shardlake.adapters.dynamodb.stream_wire import RETENTION_S, TableStream, created_us
from shardlake.adapters.kinesis.port import KinesisReader, ShardGone
from shardlake.adapters.kinesis.wire import Page
from shardlake.core.errors import ConfigError, Terminal, Transient
from shardlake.core.journal.objects import Arrived, HeldShard
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from shardlake.core.positions import END, ORIGIN, ShardId
from streams.sources.dynamodb.listing import name_of, whole
from streams.sources.dynamodb.records import change_lines_of
from streams.sources.kinesis.fetching import Fetched, Reader, Start, fetch
from streams.sources.kinesis.records import Lines
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.port import Records, SourceGap

TIP_PAGES: Final = 3  # so many empty pages in a row count as the tip: one alone may be a stretch without records
FULL_BYTES: Final = 500_000  # a page is cut at 1 MB
CHILDREN_S: Final = 10.0  # for so long an ended shard's children are looked for before its end is told without them
MISSED_S: Final = 600.0  # for so long a shard that cannot have expired is waited for, whatever is said of it
DISABLED_S: Final = 60.0  # a disabled stream may list its last shards a while after it was disabled


class DynamoSource(KinesisSource):
    """A running source of a table's changes; see the port for its contract.

    `streams` makes the calls that only DynamoDB Streams has, `api` those that are counted. `is_done` tells whether all
    shards that anybody knows of were read to their ends.
    """

    def __init__(
        self,
        settings: KinesisSettings,
        api: KinesisReader,
        streams: StreamCalls,
        executor: Executor,
        clock: Clock,
        limits: Limits,
        stopped: Callable[[SourceGap], None],
        is_done: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(settings, api, executor, clock, limits, stopped)
        self._streams, self._is_done = streams, is_done
        self._fresh: set[ShardId] = set()  # asked for by an iterator of their own, at their position
        self._lost: set[ShardId] = set()  # something of them was trimmed, which the next records will tell
        self._empty: dict[ShardId, int] = {}  # how many pages in a row were empty
        self._ended_s: dict[ShardId, float] = {}  # since when they are known to have ended, without children
        self._missed_s: dict[str, float] = {}  # since when they are listed without a parent that must be there
        self._gone_s: dict[ShardId, float] = {}  # since when they are said not to be there
        self._disabled_s: float | None = None  # since when the stream is known to be disabled

    # ------------------------------------------------------------------------------------------- what there is

    @property
    def kept_s(self) -> int:
        """How long the stream keeps a record, in seconds: a day, whatever the table."""
        return RETENTION_S

    def list(self, *, founding: bool = False) -> Mapping[ShardId, tuple[ShardId, ...]]:
        """List all shards with their parents, but for those that a listing shows without a parent that must be there.

        Raises: as `KinesisReader`; ConfigError if the stream was disabled, and everything in it was read.
        """
        stream, found = self._streams.listing(self._settings.stream)
        self._listed_us = self._clock.now_us()
        if self._is_over(stream):
            raise ConfigError(
                f"the stream {stream.arn} was disabled and is read to its end: what changed in table {stream.table}"
                " since then is in no stream that was read; enable it, and begin anew from the table's contents with"
                " another root"
            )
        now_s = self._clock.monotonic_s()
        taken = {name for name, since_s in self._missed_s.items() if now_s - since_s >= MISSED_S}
        listed = whole(found, self._listed_us, taken)
        missed = {info.shard_id for info in found} - {info.shard_id for info in listed}
        self._missed_s = {name: self._missed_s.get(name, now_s) for name in missed | taken}
        self._listed = {self._shard(info.shard_id): info for info in listed}
        if founding and self._settings.pinned_us:
            listed = open_since(listed, self._settings.pinned_us)
        return {self._shard(info.shard_id): tuple(map(self._shard, info.parents)) for info in listed}

    def _is_over(self, stream: TableStream) -> bool:
        """Tell whether a stream was disabled, and nothing of it is left to read."""
        if stream.status != "DISABLED":
            return False
        now_s = self._clock.monotonic_s()
        self._disabled_s = now_s if self._disabled_s is None else self._disabled_s
        return now_s - self._disabled_s >= DISABLED_S and not self._readers and self._is_done()

    def hold(self, held: Mapping[str, HeldShard]) -> None:
        """Read these shards and no others; what was fetched of a shard that is held on stays."""
        before = self._readers
        self._readers = {
            ShardId(shard): before.get(ShardId(shard)) or Reader.of(ShardId(shard), row) for shard, row in held.items()
        }
        for gone in before.keys() - self._readers.keys():
            self._fresh.discard(gone)
            self._lost.discard(gone)
            self._empty.pop(gone, None)
            self._ended_s.pop(gone, None)
            self._gone_s.pop(gone, None)

    # ------------------------------------------------------------------------------------------------ reading

    def _ask(self, reader: Reader) -> None:
        start, stream = reader.start(self._settings.pinned_us), self._settings.stream
        if reader.iterator is not None:
            self._fresh.discard(reader.shard)
        else:
            self._fresh.add(reader.shard)
            if reader.shard in self._lost:
                start = Start(None, "TRIM_HORIZON")
        limit = min(RECORDS_MAX, self._limits.chunk_rows_max)
        reader.future = self._executor.submit(fetch, self._api, self._clock, stream, reader.name, start, limit)

    def _next(self, reader: Reader) -> Sequence[Records]:
        future = reader.future
        if future is None or not future.done() or not isinstance(future.exception(), Trimmed):
            return super()._next(reader)
        reader.future = None
        reader.due_s = self._clock.monotonic_s() + 1 / self._limits.shard_reads_per_s
        # An iterator that stood still for long says it too: then the position tells. Of a shard that was there when the
        # source was first read, what went before it was read was never promised.
        if reader.shard in self._fresh and not (reader.is_pinned and reader.at == ORIGIN):
            self._lost.add(reader.shard)
            self._has_stopped(reader)
        reader.begin_anew()
        return ()

    def _records(self, reader: Reader, fetched: Fetched) -> Sequence[Records]:
        self._gone_s.pop(reader.shard, None)
        self._note_tip(reader, fetched)
        found = super()._records(reader, fetched)
        if found or fetched.page.sequences:
            self._lost.discard(reader.shard)
        return found

    def _note_tip(self, reader: Reader, fetched: Fetched) -> None:
        """Judge whether an open shard was read to its tip, which the service does not say.

        Only the pace, and when a reading `once` is over, depend on it: nothing is concluded from it about losses.
        """
        page, before = fetched.page, self._empty.get(reader.shard, 0)
        if page.next_iterator is None:
            return
        is_full = len(page) >= RECORDS_MAX or page.size >= FULL_BYTES
        empty = before + 1 if not page.sequences else 0 if is_full else before
        self._empty[reader.shard] = empty
        reader.is_at_tip = empty >= TIP_PAGES
        if page.sequences:
            reader.behind_ms = max(0, fetched.asked_us - int(page.arrivals_us[-1])) // 1000
        if reader.is_at_tip:
            reader.behind_ms = 0
            reader.due_s = max(reader.due_s, fetched.asked_s + reader.rest_s)

    # --------------------------------------------------------------------------------------------- what it means

    def _lines(self, shard: ShardId, page: Page) -> Lines:
        del shard
        return change_lines_of(page)

    def _children(self, shard: ShardId, page: Page) -> Mapping[ShardId, tuple[ShardId, ...]] | None:
        """The shards that follow one whose end was read; None to ask again, since they may be told late.

        An end that is told without its children strands nobody: a complete listing finds them too. A shard that such
        a listing shows as open has not ended, whatever an answer said, while the stream is not disabled.
        """
        del page
        now_s = self._clock.monotonic_s()
        since_s = self._ended_s.setdefault(shard, now_s)
        try:
            found = self._following(shard)
        except Transient:  # the calls that describe a stream are few, and all who read it share them
            return None
        listed = self._listed.get(shard)
        is_open = listed is not None and listed.end_sequence is None and self._disabled_s is None
        return found if found or (now_s - since_s >= CHILDREN_S and not is_open) else None

    def _following(self, shard: ShardId) -> Mapping[ShardId, tuple[ShardId, ...]]:
        try:
            found = self._streams.children(self._settings.stream, name_of(shard))
        except ConfigError:
            raise
        except Terminal:  # a service that knows no filter
            found = ()
        if found:
            return {self._shard(info.shard_id): tuple(map(self._shard, info.parents)) for info in found}
        return {child: parents for child, parents in self.list().items() if shard in parents}

    # -------------------------------------------------------------------------------------------------- losses

    def _is_lost(self, reader: Reader, fetched: Fetched) -> bool:
        """Tell whether something was trimmed before it was read.

        Beyond a position the service itself says so, or the position's record does not come again. From the beginning
        of a shard it does not: there it is told by time, when the first page of an iterator was asked for.
        """
        page = fetched.page
        if reader.shard in self._fresh and reader.at == ORIGIN and self._is_late(reader, fetched.asked_us):
            self._lost.add(reader.shard)
        if reader.repeats and page.sequences:
            self._lost.add(reader.shard)
        return reader.shard in self._lost and (bool(page.sequences) or page.next_iterator is None)

    def _is_late(self, reader: Reader, now_us: int) -> bool:
        """Tell whether a shard of which nothing was read has lost something: it began, or was known, too long ago."""
        known = [us for us in (created_us(reader.name), reader.seen.us if reader.seen else None) if us is not None]
        return not known or now_us - max(known) > self.kept_s * 1_000_000

    def _seen(self, reader: Reader, fetched: Fetched) -> Arrived | None:
        """What is known to have been read by now; while nothing came of a shard no more than before: see `_is_late`."""
        page, arrivals = fetched.page, fetched.page.arrivals_us
        known = [reader.seen.us] if reader.seen is not None else []
        known += [int(arrivals[-1])] if len(arrivals) else []
        if not len(arrivals) and reader.is_at_tip and reader.at != ORIGIN and page.next_iterator is not None:
            known.append(fetched.asked_us)
        return Arrived(max(known), self.kept_s) if known else None

    def _vanished(self, reader: Reader, error: ShardGone) -> Sequence[Records]:
        """End a shard that expired before it was read to its end, whether it is still listed or not.

        One that is younger than the retention has not expired: it is asked for again, for a while.
        """
        del error
        now_us, now_s, began_us = self._clock.now_us(), self._clock.monotonic_s(), created_us(reader.name)
        is_young = began_us is not None and now_us - began_us <= self.kept_s * 1_000_000
        if is_young and now_s - self._gone_s.setdefault(reader.shard, now_s) < MISSED_S:
            reader.throttled(now_s, self._limits)
            return ()
        children = {child: parents for child, parents in self.list().items() if reader.shard in parents}
        origin = self._settings.stream
        if reader.at == ORIGIN and not is_young and not self._is_late(reader, now_us):
            # It expired before anybody was to read it.
            return (Records(reader.shard, reader.at, END, origin, children=children),)
        if self._has_stopped(reader):
            return ()
        faults = self._loss(reader, now_us)
        return (Records(reader.shard, reader.at, END, origin, faults=faults, kind="gap", children=children),)
