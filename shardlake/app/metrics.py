"""What a stream process has done, as plain numbers, and how Prometheus is told.

The numbers are kept in any case: an addition for each page or entry, never for a record. What is known of each shard is
asked of the source when somebody looks, so a shard that is let go or ends is told of no more. Names that are KCL's have
KCL's units, which are milliseconds; those of Shardlake begin with its name.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from shardlake.adapters.kinesis.port import RECORDS_MAX, IteratorExpired, KinesisReader, Throttled
from shardlake.adapters.kinesis.wire import Page, ShardInfo, StreamInfo
from shardlake.app.logs import Log
from shardlake.app.settings import Config, MetricsSettings
from shardlake.app.stuck import StuckShards
from shardlake.core.errors import ConfigError, ShardlakeError
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from streams.committer import Committer
from streams.lane import LaneLost
from streams.sources.kinesis.fetching import Lag

if TYPE_CHECKING:
    from prometheus_client.core import Metric

LOOK_SHARE: Final = 9  # a shard that stands still is told after stuck_s and a ninth of it: 50 s where stuck_s is 45
SHARD: Final = "ShardId"  # the dimensions' names are KCL's
WORKER: Final = "WorkerIdentifier"


class Lagging(Protocol):
    """A source that knows how far behind its shards are."""

    def lags(self) -> Mapping[Any, Lag]:
        """Tell of each shard that is held, from any thread."""


@dataclass(frozen=True, slots=True)
class _Nothing:
    def lags(self) -> Mapping[Any, Lag]:
        return {}


NOTHING: Final = _Nothing()


@dataclass(slots=True)
class Timing:
    """How often something was done, and how long that took altogether."""

    count: int = 0
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Take note of one time."""
        self.count, self.total_s = self.count + 1, self.total_s + seconds


@dataclass(slots=True)
class ReadCounts:
    """What came of GetRecords; several threads count."""

    timing: Timing = field(default_factory=Timing)
    good: int = 0
    expired: int = 0
    throttled: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, seconds: float, error: ShardlakeError | None) -> None:
        """Take note of a call."""
        with self._lock:
            self.timing.add(seconds)
            self.good += error is None
            self.expired += isinstance(error, IteratorExpired)
            self.throttled += isinstance(error, Throttled)


@dataclass(slots=True)
class Meter:
    """The numbers of a process, through all the lanes that it has had one after another."""

    worker: str = ""
    lane: int = -1
    entries: int = 0
    rows: int = 0
    letters: int = 0
    failed_views: int = 0
    retries: int = 0
    lanes_taken: int = 0
    adopted: int = 0
    released: int = 0
    lost: int = 0
    gaps: int = 0
    committed_us: int = 0
    commits: Timing = field(default_factory=Timing)
    reads: ReadCounts = field(default_factory=ReadCounts)
    stuck: StuckShards = field(default_factory=StuckShards)
    _source: Lagging | None = None
    _last: Mapping[Any, Lag] = field(default_factory=dict)

    @contextmanager
    def holding(self, worker: str, lane: int, source: Lagging) -> Iterator[None]:
        """Know whose lane it is meanwhile, and of its shards.

        After an error they count as held until a lane is held again: nobody knows yet who reads them. After a loss it
        is known that somebody else does.
        """
        self.worker, self.lane, self._source = worker, lane, source
        try:
            yield
        except LaneLost:
            self.lost += len(source.lags())
            source = NOTHING
            raise
        finally:
            self._last = source.lags()
            self._source = None

    def stands_by(self) -> None:
        """Hear that others hold all lanes, and so what this process held before."""
        self._last = {}

    def committed(self, rows: int, letters: int, failed_views: int) -> None:
        """Take note of an entry."""
        self.entries, self.rows, self.letters = self.entries + 1, self.rows + rows, self.letters + letters
        self.failed_views += failed_views

    def moved(self, adopted: Collection[str], released: Collection[str]) -> None:
        """Take note of shards that were taken in, and of those that were let go, which others read from now on."""
        self.adopted, self.released = self.adopted + len(adopted), self.released + len(released)
        self.stuck.forget(released)

    def lags(self) -> Mapping[Any, Lag]:
        """Tell of each shard that is held, or was when something failed."""
        return self._last if self._source is None else self._source.lags()

    def look(self, now_s: float, stuck_s: float, log: Log) -> None:
        """Log, once, which shards begin to stand still, and which move again."""
        for change in self.stuck.look(now_s, self.lags(), stuck_s):
            name, for_s = change.shard, round(change.for_s, 1)
            if change.is_stuck:
                log.warning("shard_stuck", shard=name, reason=change.reason, behind_ms=change.behind_ms, for_s=for_s)
            else:
                log.info("shard_moves", shard=name, behind_ms=change.behind_ms)


# ----------------------------------------------------------------------------------------------- what is measured


@dataclass(frozen=True, slots=True)
class CountedReads:
    """A reader of Kinesis whose GetRecords are counted and timed; all the rest is the other's."""

    api: KinesisReader
    counts: ReadCounts
    clock: Clock

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        """List the shards."""
        return self.api.list_shards(stream, filter, at_us, shard)

    def describe(self, stream: str) -> StreamInfo:
        """Summarise a stream."""
        return self.api.describe(stream)

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        """Get an iterator."""
        return self.api.iterator(stream, shard, kind, sequence, at_us)

    def get_records(self, iterator: str, limit: int = RECORDS_MAX, stream: str = "") -> Page:
        """Read a page."""
        began_s = self.clock.monotonic_s()
        try:
            page = self.api.get_records(iterator, limit, stream)
        except ShardlakeError as error:
            self.counts.add(self.clock.monotonic_s() - began_s, error)
            raise
        self.counts.add(self.clock.monotonic_s() - began_s, None)
        return page


class TimedCommitter(Committer):
    """A committer whose commits are timed. What follows the clock is what a committer is made of."""

    def __init__(self, meter: Meter, clock: Clock, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._meter, self._clock = meter, clock

    def commit(self, *given: Any, **named: Any) -> Any:
        """Count a chunk, as a committer does."""
        began_s = self._clock.monotonic_s()
        entry = super().commit(*given, **named)
        self._meter.commits.add(self._clock.monotonic_s() - began_s)
        self._meter.committed_us = self._clock.now_us()
        return entry


# ------------------------------------------------------------------------------------------------- how it is told


@contextmanager
def told(config: Config, meter: Meter, clock: Clock, log: Log) -> Iterator[None]:
    """Tell the numbers meanwhile, as far as is configured, and which shards stand still. Raises: ConfigError."""
    with ExitStack() as stack:
        if config.metrics.port:
            port = stack.enter_context(served(config.metrics, meter, clock))
            log.info("metrics_served", url=f"http://{config.metrics.host}:{port}/metrics")
        if config.source.is_stream:
            stack.enter_context(watched(meter, config.limits, clock, log))
        yield


@contextmanager
def watched(meter: Meter, limits: Limits, clock: Clock, log: Log) -> Iterator[None]:
    """Look for shards that stand still meanwhile, from a thread of its own: a loop that hangs does not look."""
    stopping = Event()

    def look() -> None:
        while not stopping.wait(limits.stuck_s / LOOK_SHARE):
            meter.look(clock.monotonic_s(), limits.stuck_s, log)

    thread = Thread(target=look, name="stuck", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@contextmanager
def served(settings: MetricsSettings, meter: Meter, clock: Clock) -> Iterator[int]:
    """Serve the numbers at `settings.port` meanwhile, 0 being a free one; give the port. Raises: ConfigError."""
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    registry.register(Exposition(meter, clock))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(settings.port, settings.host, registry)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"metrics cannot be served at metrics.host {settings.host}, metrics.port {settings.port} ({why}): choose"
            " another port, one for each process, or 0 for none"
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True, slots=True, eq=False)
class Exposition:
    """Makes metrics of the numbers, whenever they are asked for."""

    meter: Meter
    clock: Clock

    def collect(self) -> "Iterator[Metric]":
        """Give the metrics; those of shards and of reads only where a stream is read."""
        yield from _commits(self.meter)
        if self.meter.worker:
            yield from _reads(self.meter)
            yield from _moves(self.meter)
            yield from _shards(self.meter, self.clock.monotonic_s())


def _commits(meter: Meter) -> "Iterator[Metric]":
    yield _counter("RecordsFailedProcessing", "Records that could not be read and are dead letters", meter.letters)
    yield _counter("shardlake_entries", "Entries that were committed", meter.entries)
    yield _counter("shardlake_rows", "Rows that were committed, duplicates among them", meter.rows)
    yield _counter("shardlake_failed_views", "Views that could not be computed over an entry", meter.failed_views)
    yield _counter("shardlake_retries", "How often the lane was opened anew after an error", meter.retries)
    yield _summary("shardlake_commit_seconds", "Seconds of a commit, from rows to acknowledged", meter.commits)
    told = "When the last entry was committed, in seconds since 1970; 0 before the first"
    yield _gauge("shardlake_last_commit_timestamp_seconds", told, meter.committed_us / 1e6)


def _reads(meter: Meter) -> "Iterator[Metric]":
    reads = meter.reads
    timing = Timing(reads.timing.count, reads.timing.total_s * 1e3)
    good = Timing(timing.count, float(reads.good))
    yield _summary("KinesisDataFetcher_getRecords_Time", "Milliseconds of a GetRecords", timing)
    yield _summary("KinesisDataFetcher_getRecords_Success", "GetRecords: their number, and how many succeeded", good)
    yield _counter("ExpiredIterator", "GetRecords with an iterator that had expired", reads.expired)
    yield _counter("shardlake_throttled_reads", "GetRecords that the service asked to slow down", reads.throttled)


def _moves(meter: Meter) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily("shardlake_worker_info", "1 for the worker of this process", labels=[WORKER, "lane"])
    info.add_metric([meter.worker, str(meter.lane)], 1)
    yield info
    yield _gauge("CurrentLeases", "Shards that are held", len(meter.lags()))
    yield _counter("LostLeases", "Shards that were held when another worker took the lane", meter.lost)
    yield _counter("shardlake_shards_adopted", "Shards that were taken in", meter.adopted)
    yield _counter("shardlake_shards_released", "Shards that were let go for others", meter.released)
    yield _counter("shardlake_lanes_taken", "Lanes that were taken, of nobody or of the dead", meter.lanes_taken)
    yield _counter("shardlake_gaps", "Shards that were stopped at a gap", meter.gaps)


def _shards(meter: Meter, now_s: float) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

    name, labels, stuck = "RecordProcessor_processRecords_Time", [SHARD], meter.stuck.names()
    behind = GaugeMetricFamily("MillisBehindLatest", "How far the last page was behind the shard's tip", labels=labels)
    lines = CounterMetricFamily("RecordsProcessed", "Lines of records that were handed to the decoder", labels=labels)
    size = CounterMetricFamily("DataBytesProcessed", "Bytes of these lines", labels=labels)
    work = SummaryMetricFamily(name, "Milliseconds that a page had the worker at work", labels=labels)
    age = GaugeMetricFamily("shardlake_shard_read_age_seconds", "Seconds since it was last asked", labels=labels)
    still = GaugeMetricFamily("shardlake_shard_stuck", "1 if the shard stands still: see the log", labels=labels)
    pushed = GaugeMetricFamily("shardlake_shard_pushed", "1 if records are pushed, 0 if polled", labels=labels)
    for shard, lag in meter.lags().items():
        values = [str(shard).rpartition("/")[2]]
        if lag.behind_ms is not None:
            behind.add_metric(values, lag.behind_ms)
        if lag.asked_s is not None:
            age.add_metric(values, now_s - lag.asked_s)
        lines.add_metric(values, lag.lines)
        size.add_metric(values, lag.bytes)
        work.add_metric(values, lag.pages, lag.work_s * 1e3)
        still.add_metric(values, shard in stuck)
        pushed.add_metric(values, lag.is_pushed)
    yield from (behind, lines, size, work, age, still, pushed)


def _counter(name: str, about: str, value: float) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, about, value)


def _gauge(name: str, about: str, value: float) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value)


def _summary(name: str, about: str, timing: Timing) -> "Metric":
    from prometheus_client.core import SummaryMetricFamily

    return SummaryMetricFamily(name, about, timing.count, timing.total_s)
