"""A worker of a Kinesis stream, put together: its client, its lane among those of others, and its loop."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.port import KinesisReader
from shardlake.app.columns import fix_columns
from shardlake.app.logs import Log
from shardlake.app.metrics import CountedReads, Meter, TimedCommitter
from shardlake.app.opening import Progress, fix_source, lane_context, refuse_given_away
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal
from shardlake.core.positions import ShardId
from streams.assignment import Moves
from streams.committer import Committer
from streams.decode import Decoding
from streams.lane import Lane, LaneContext
from streams.loop import Loop
from streams.protect import Protection
from streams.sharing import Sharing
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.kinesis.subscription import FanOut, in_threads
from streams.sources.port import SourceGap
from streams.worker import Worker

CLAIM_EVERY_S: Final = 0.1
READ_S: Final = 4.0
_PINNED: Final = "_pinned_us"


@dataclass(frozen=True, slots=True)
class Told:
    """Writes what happens among workers to the log, and counts it."""

    progress: Progress

    @property
    def log(self) -> Log:
        """The process's log."""
        return self.progress.log

    @property
    def meter(self) -> Meter:
        """The process's numbers."""
        return self.progress.meter

    def took(self, lane: int, owner: str, shards: int) -> None:
        """A lane was taken."""
        self.meter.lanes_taken += 1
        self.log.info("lane_taken", lane=lane, shards=shards, from_worker=owner or None)

    def moved(self, moves: Moves) -> None:
        """Shards were moved."""
        self.meter.moved(moves.adopt, moves.release)
        self.log.info("shards_moved", adopted=len(moves.adopt), released=len(moves.release))

    def found(self, shards: int) -> None:
        """Shards were discovered."""
        self.log.info("shards_found", shards=shards)

    def stopped(self, gap: SourceGap) -> None:
        """A shard stands still."""
        self.meter.gaps += 1
        self.progress.stopped = gap
        self.log.error("shard_stopped", shard=gap.shard, error=str(gap))

    def polled(self, shard: ShardId, error: ShardlakeError) -> None:
        """A shard cannot be subscribed to, and is polled."""
        self.log.warning("shard_polled", shard=shard, error=str(error))

    def pushed(self, shard: ShardId) -> None:
        """A shard is subscribed to again."""
        self.log.info("shard_subscribed", shard=shard)


@contextmanager
def opened_worker(
    config: Config, protection: Protection, stop: Callable[[], bool], progress: Progress
) -> Iterator[Loop | None]:
    """Be a worker, with a lane and all that its loop needs; None if told to stop before a lane was free.

    When the block ends well, the lane is handed over. Raises: as the journal, `KinesisClient`, `Worker.claim`.
    """
    pack, limits, clock, told = load_pack(config), config.limits, SystemClock(), Told(progress)
    fields = config.source.fields or pack.stream_fields
    pack.open("", fields)  # wrong fields and lookups are told before anything is read
    meter = progress.meter
    with (
        lane_context(config, clock) as context,
        closing(Engine(threads=1)) as engine,
        _threads(limits.fetch_threads_max) as executor,
        _source(config, context, executor, told) as source,
    ):
        fix_columns(context.journal, config.source.name, pack.schema)
        views = list(compiled_views(config).values())

        def committer_of(lane: Lane, pulse: Callable[[], None]) -> Committer:
            return TimedCommitter(meter, clock, lane, context.store, pack.schema, views, engine, limits, pulse)

        worker = Worker(context, config.source.name, source.list, committer_of, told, source.is_gone)
        lane = _claimed(worker, stop, meter)
        if lane is None:
            yield None
            return
        with _handed_over(worker, lane), meter.holding(worker.name, lane.head.lane, source):
            refuse_given_away(context.journal, config.source.name)
            committer = committer_of(lane, worker.pulse)
            source.hold(lane.state.shards)
            decoding = Decoding(pack, protection, limits, fields)
            yield Loop(
                source, decoding, committer, clock, limits, stop, progress, Sharing(worker, source), progress.told
            )


@contextmanager
def _source(config: Config, context: LaneContext, executor: Executor, told: Told) -> Iterator[KinesisSource]:
    """The stream, read by our own client, or by the processes of another library."""
    if config.source.is_dynamodb:
        from shardlake.app.changes import opened_changes

        with opened_changes(config, context, executor, told.meter.reads, told.log, told.stopped) as changes:
            yield changes
        return
    # Listings are asked for by the loop: two tries that time out must not be as long as a worker is waited for.
    aws = AwsSettings(config.source.region, config.source.endpoint, read_s=READ_S, attempts=2)
    clock, limits = context.clock, config.limits
    reads = told.meter.reads
    with closing(KinesisClient(aws)) as client, ExitStack() as stack:
        settings = stream_settings(config, context, client)
        fan_out = _fan_out(config, client, aws, told, stack) if config.source.fan_out else None
        if config.source.engine == "shardlake":
            api = CountedReads(client, reads, clock)
            source = KinesisSource(settings, api, executor, clock, limits, told.stopped, fan_out)
            with closing(source):
                yield source
            return
        from streams.sources.kinesis.process_source import ProcessSource
        from streams.sources.kinesis.shard_processes import ShardProcesses

        with closing(ShardProcesses(client, aws)) as processes:
            api = CountedReads(processes, reads, clock)
            yield ProcessSource(settings, api, executor, clock, limits, told.stopped, processes)


def _fan_out(config: Config, client: KinesisClient, aws: AwsSettings, told: Told, stack: ExitStack) -> FanOut:
    """What subscriptions are opened with. Raises: ConfigError if there is no such consumer."""
    if config.source.engine != "shardlake":
        raise ConfigError(
            f"source.fan_out ({config.source.fan_out}) is set, and source.engine {config.source.engine} can only poll:"
            " keep one of them"
        )
    from shardlake.adapters.kinesis.subscribe import AwsSubscriber

    stream = client.describe(config.source.stream)
    try:
        consumer = client.describe_consumer(stream.arn, config.source.fan_out)
    except ConfigError:
        raise
    except Terminal as error:
        raise ConfigError(f"{error}; correct source.fan_out, or leave it empty to poll") from error
    subscriber = stack.enter_context(closing(AwsSubscriber(aws)))
    return FanOut(consumer.arn, subscriber, told, in_threads)


@contextmanager
def _handed_over(worker: Worker, lane: Lane) -> Iterator[None]:
    """Leave the lane at the end, also after an error: who begins anew, here or elsewhere, need not wait."""
    try:
        yield
    except ShardlakeError:
        with suppress(ShardlakeError):  # a lane that was lost, or a journal out of reach: then others wait
            worker.leave(lane)
        raise
    worker.leave(lane)


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that fetch; at the end what they still wait for is not waited for."""
    executor = ThreadPoolExecutor(count, "fetch")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def stream_settings(
    config: Config, context: LaneContext, api: KinesisReader, more: Mapping[str, str] = MappingProxyType({})
) -> KinesisSettings:
    """What is read, as it was when the source was first read; `more` is compared too. Raises: ConfigError."""
    source, stream = config.source, api.describe(config.source.stream)
    if source.path:
        raise ConfigError(
            f"source.path ({source.path}) and source.stream ({source.stream}) are both set: keep one of them"
        )
    pinned_us = context.clock.now_us() if source.start == "latest" else 0
    wanted = {
        "pack": load_pack(config).name,
        "stream": stream.arn,
        "created": str(stream.created_us),
        _PINNED: str(pinned_us),
        **more,
    }
    stored = fix_source(context.journal, config, wanted)
    return KinesisSettings(source.name, source.stream, source.on_gap, int(stored[_PINNED]))


def _claimed(worker: Worker, stop: Callable[[], bool], meter: Meter) -> Lane | None:
    """Wait for a lane; the living keep theirs, and whether an owner is alive takes time to see."""
    lane = worker.claim()
    while lane is None and not stop():
        meter.stands_by()
        worker.context.clock.sleep_s(CLAIM_EVERY_S)
        lane = worker.claim()
    return lane
