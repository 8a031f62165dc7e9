"""A table's changes as a source, put together: which of its streams is read, and by what."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import Final

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.dynamodb.stream_client import StreamsClient
from shardlake.adapters.dynamodb.stream_wire import TableStream
from shardlake.app.logs import Log
from shardlake.app.metrics import CountedReads, ReadCounts
from shardlake.app.opening import fix_source
from shardlake.app.settings import Config, SourceSettings
from shardlake.app.viewset import load_pack
from shardlake.core.errors import ConfigError
from shardlake.core.journal import reading, rows
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import SourceRow
from streams.lane import LaneContext
from streams.sources.dynamodb.source import DynamoSource
from streams.sources.kinesis.source import KinesisSettings
from streams.sources.port import SourceGap

READ_S: Final = 4.0
_PINNED: Final = "_pinned_us"


@contextmanager
def opened_changes(
    config: Config,
    context: LaneContext,
    executor: Executor,
    reads: ReadCounts,
    log: Log,
    stopped: Callable[[SourceGap], None],
) -> Iterator[DynamoSource]:
    """The stream of a table, by our own client. Raises: ConfigError; as `StreamsClient`."""
    check(config)
    # Listings are asked for by the loop: two tries that time out must not be as long as a worker is waited for.
    aws = AwsSettings(config.source.region, config.source.endpoint, read_s=READ_S, attempts=2)
    clock, limits = context.clock, config.limits
    with closing(StreamsClient(aws)) as client:
        settings = stream_settings(config, context, client, log)
        api = CountedReads(client, reads, clock)
        yield DynamoSource(
            settings, api, client, executor, clock, limits, stopped, lambda: _is_done(context.journal, settings.name)
        )


def check(config: Config) -> None:
    """See that the settings of a source of changes go together. Raises: ConfigError."""
    source = config.source
    if source.path:
        raise ConfigError(f"source.path ({source.path}) is set, and {source.place} too: keep one of them")
    if not source.place:
        raise ConfigError('source.kind is "dynamodb", and no table is named: set source.table')
    if source.fan_out or source.engine != "shardlake":
        raise ConfigError("source.fan_out and source.engine are for Kinesis: leave them out for a table's changes")
    if not load_pack(config).schema.weighted:
        raise ConfigError(
            f"pack {source.pack} does not know that rows are taken back, and a table's changes do: give it format ="
            ' "dynamodb" in pack.toml, or choose another in source.pack'
        )


def stream_of(source: SourceSettings, client: StreamsClient, known: str = "") -> TableStream:
    """Find the stream that is read: that of the settings, one that was read before, or the table's newest.

    Raises: ConfigError if there is none.
    """
    if source.stream:
        return client.table_stream(source.stream)
    if known and _table_of(known) == source.table:
        return client.table_stream(known)
    streams = client.streams(source.table)
    if not streams:
        raise ConfigError(
            f"table {source.table} has no stream in this region: correct source.table and source.region, or enable it"
            f" with aws dynamodb update-table --table-name {source.table} --stream-specification"
            " StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        )
    return client.table_stream(streams[-1].arn)


def stream_settings(
    config: Config,
    context: LaneContext,
    client: StreamsClient,
    log: Log,
    more: Mapping[str, str] = MappingProxyType({}),
) -> KinesisSettings:
    """What is read, as it was when the source was first read; `more` is compared too. Raises: ConfigError."""
    source, known = config.source, _known(context.journal, config.source.name)
    found = stream_of(source, client, known)
    client.describe(found.arn)  # what shows too little is refused here
    if known and known != found.arn:
        raise ConfigError(
            f"{source.name} was read from {known}, and {found.arn} is another stream: what changed between them may be"
            " in neither; read the old one to its end, then begin anew from the table's contents with another root"
        )
    if found.status == "DISABLED" and not known:
        raise ConfigError(f"the stream {found.arn} is disabled: enable one with both images, which will be another")
    if known and not source.stream and (newer := client.streams(source.table)) and newer[-1].arn != known:
        log.warning("another_stream", reads=known, newest=newer[-1].arn)
    wanted = {
        "pack": load_pack(config).name,
        "stream": found.arn,
        "created": str(found.created_us),
        _PINNED: str(context.clock.now_us() if source.start == "latest" else 0),
        **more,
    }
    stored = fix_source(context.journal, config, wanted)
    return KinesisSettings(source.name, found.arn, source.on_gap, int(stored[_PINNED]))


def _known(journal: Journal, name: str) -> str:
    """The stream that the source was read from before; "" if it was not."""
    key = rows.source_key(name)
    stored = journal.get([key]).get(key)
    return rows.decode(SourceRow, key, stored).settings.get("stream", "") if stored is not None else ""


def _is_done(journal: Journal, name: str) -> bool:
    mine = [row for row in reading.read_shards(journal).values() if row.source == name]
    return bool(mine) and all(row.place == "end" for row in mine)


def _table_of(arn: str) -> str:
    """Name the table of a stream.

    >>> _table_of("arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000")
    'orders'
    """
    return arn.partition(":table/")[2].partition("/")[0]
