"""What a function of AWS Lambda keeps open between its calls, put together."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Final

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.aws_lambda.envelopes import HandedOver
from shardlake.adapters.aws_lambda.mappings import Mappings, check
from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.port import KinesisReader
from shardlake.app import compose
from shardlake.app.columns import fix_columns
from shardlake.app.logs import Log
from shardlake.app.opening import Progress, fix_source, refuse_given_away
from shardlake.app.settings import Config
from shardlake.app.streaming import file_settings, protect
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError
from shardlake.core.journal.rows import READ_BY
from shardlake.core.positions import ShardId
from streams.assignment import Moves
from streams.committer import Committer
from streams.decode import Decoding
from streams.handling import OWNER, Handling
from streams.handling_files import FileHandling, Given
from streams.lane import Lane, LaneContext
from streams.sources.dynamodb.finding import ShardFinder
from streams.sources.files import FileSource
from streams.sources.handed import HandedReader
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.port import SourceGap
from streams.worker import Worker

READ_S: Final = 4.0
ASK_S: Final = 60.0  # between two looks at the event source mappings


@dataclass(frozen=True, slots=True)
class _Told:
    """Tells a function's log what becomes known."""

    log: Log

    def took(self, lane: int, owner: str, shards: int) -> None:
        """Lanes are taken by whoever is called: nothing to tell."""

    def moved(self, moves: Moves) -> None:
        """Shards stay where they are."""

    def found(self, shards: int) -> None:
        """Shards were discovered."""
        self.log.info("shards_found", shards=shards)


@dataclass(slots=True)
class Reading:
    """A stream as a function reads it. `finder` tells whose records they are where events do not."""

    handling: Handling
    arn: str
    name: str
    mappings: Mappings
    finder: ShardFinder | None = None
    _asked: dict[str, float] = field(default_factory=dict)

    def check(self, stream: str, function: str) -> None:
        """See that records come from this stream, and that its mapping leaves none out. Raises: ConfigError, Transient.

        The mapping is asked for again each minute.
        """
        if stream != self.arn:
            raise ConfigError(f"the event is of {stream}, and source.stream is {self.arn}: correct one of them")
        now_s = self.handling.context.clock.monotonic_s()
        if self.handling.takes and now_s - self._asked.get(function, -ASK_S) >= ASK_S:
            check(self.mappings.of(function, stream), function, stream)
            self._asked[function] = now_s

    def take(self, handed: HandedOver, until_s: float) -> str | None:
        """Count records. See `Handling.take`."""
        shard = handed.shard or self._found(handed)
        return self.handling.take(ShardId(f"{self.name}/{shard}"), handed.page, until_s)

    def _found(self, handed: HandedOver) -> str:
        assert self.finder is not None, "only changes of a table come without their shard"
        return self.finder.shard_of(handed.page.sequences[0])


def open_stream(
    config: Config, environ: Mapping[str, str], context: LaneContext, mappings: Mappings, log: Log, stack: ExitStack
) -> Reading:
    """Open a stream. Raises: ConfigError; as the journal and the clients."""
    if config.source.fan_out or config.source.engine != "shardlake":
        raise ConfigError("source.fan_out and source.engine are for stream processes: leave them out for a function")
    stopped: list[SourceGap] = []
    executor = stack.enter_context(ThreadPoolExecutor(1, "fetch"))
    opened = _changes if config.source.is_dynamodb else _kinesis
    reader, source, settings, arn, finder = opened(config, context, executor, stopped, log, stack)
    committer_of, decoding, progress, allowed = _shared(config, environ, context, log, stack)
    worker = Worker(context, settings.name, source.list, lambda lane, _: committer_of(lane), _Told(log), source.is_gone)
    handling = Handling(
        context,
        source,
        reader,
        worker,
        decoding,
        committer_of,
        progress,
        progress.told,
        allowed,
        stopped,
        config.handler.records == "handed",
    )
    return Reading(handling, arn, settings.name, mappings, finder)


_Opened = tuple[HandedReader, KinesisSource, KinesisSettings, str, ShardFinder | None]


def _kinesis(
    config: Config,
    context: LaneContext,
    executor: ThreadPoolExecutor,
    stopped: list[SourceGap],
    log: Log,
    stack: ExitStack,
) -> _Opened:
    from shardlake.adapters.kinesis.client import KinesisClient
    from shardlake.app.shared import stream_settings

    del log
    client = stack.enter_context(closing(KinesisClient(_aws(config))))
    settings = stream_settings(config, context, client, {READ_BY: OWNER})
    arn = client.describe(config.source.stream).arn
    reader = HandedReader(client)
    source = KinesisSource(settings, reader, executor, context.clock, config.limits, stopped.append)
    return reader, source, settings, arn, None


def _changes(
    config: Config,
    context: LaneContext,
    executor: ThreadPoolExecutor,
    stopped: list[SourceGap],
    log: Log,
    stack: ExitStack,
) -> _Opened:
    from shardlake.adapters.dynamodb.stream_client import StreamsClient
    from shardlake.app.changes import check as check_changes
    from shardlake.app.changes import stream_settings
    from streams.sources.dynamodb.source import DynamoSource

    check_changes(config)
    client = stack.enter_context(closing(StreamsClient(_aws(config))))
    settings = stream_settings(config, context, client, log, {READ_BY: OWNER})
    reader: HandedReader = HandedReader(client)
    source = DynamoSource(settings, reader, client, executor, context.clock, config.limits, stopped.append)
    api: KinesisReader = client
    return reader, source, settings, settings.stream, ShardFinder(api, settings.stream)


def open_files(
    config: Config, environ: Mapping[str, str], context: LaneContext, log: Log, stack: ExitStack
) -> FileHandling:
    """Open a source of log files. Raises: ConfigError; as the journal."""
    if config.source.queue:
        raise ConfigError("source.queue is for a stream process: leave it empty, and let Lambda read the queue")
    given = Given()
    store = compose.source_store(config, given)
    pack = load_pack(config)
    source = FileSource(file_settings(config), pack.bucket_key, config.limits, store)
    fixed = {"pack": pack.name, "buckets": str(config.source.buckets), READ_BY: OWNER}
    if config.source.path.startswith("s3://"):
        fixed["bucket"] = config.source.path.split("/")[2]
    fix_source(context.journal, config, fixed)
    committer_of, decoding, progress, allowed = _shared(config, environ, context, log, stack)
    return FileHandling(
        context, config.source.name, source, given, decoding, committer_of, progress, progress.told, allowed
    )


def _shared(
    config: Config, environ: Mapping[str, str], context: LaneContext, log: Log, stack: ExitStack
) -> tuple[Callable[[Lane], Committer], Decoding, Progress, Callable[[], None]]:
    """What every source has: committers, a decoder, and who is told."""
    pack, limits, name = load_pack(config), config.limits, config.source.name
    fields = config.source.fields or (pack.stream_fields if config.source.is_stream else None)
    pack.open("", fields)  # wrong fields and lookups are told before anything is read
    fix_columns(context.journal, name, pack.schema)
    engine = stack.enter_context(closing(Engine(threads=1)))
    views = list(compiled_views(config).values())

    def committer_of(lane: Lane) -> Committer:
        return Committer(lane, context.store, pack.schema, views, engine, limits)

    def allowed() -> None:
        refuse_given_away(context.journal, name)

    decoding = Decoding(pack, protect(config, pack, environ), limits, fields)
    return committer_of, decoding, Progress(log), allowed


def _aws(config: Config) -> AwsSettings:
    return AwsSettings(config.source.region, config.source.endpoint, read_s=READ_S, attempts=3)
