"""A load of a table's content, put together as the settings say."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.client import DynamoClient
from shardlake.adapters.dynamodb.scan import TableScan
from shardlake.adapters.dynamodb.stream_client import StreamsClient
from shardlake.adapters.engine import Engine
from shardlake.app import compose
from shardlake.app.bootstrapping import SETTLE_S, WAIT_S, Loaded, Loading, key_columns
from shardlake.app.changes import check
from shardlake.app.columns import fix_columns
from shardlake.app.lock import only_one
from shardlake.app.opening import lane_context
from shardlake.app.settings import Config
from shardlake.app.streaming import protect
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError
from shardlake.core.journal import rows
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import SourceRow

LOCK: Final = "bootstrap"
PINNED: Final = "_pinned_us"


def load(
    config: Config,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
    *,
    settle_s: float | None = None,
    wait_s: float | None = None,
) -> Loaded:
    """Count what the source's table holds. Raises: ConfigError; Locked if another load is at work; as `Loading.run`."""
    if not config.source.is_dynamodb:
        raise ConfigError("only a DynamoDB table has content to load: name it in source.table")
    check(config)
    pack, clock = load_pack(config), SystemClock()
    protection = protect(config, pack, environ)
    with ExitStack() as stack:
        compose.journal(config, exists=True).close()
        stack.enter_context(only_one("a load of a table", config.root, LOCK))
        context = stack.enter_context(lane_context(config, clock))
        known = _known(context.journal, config)
        stream = known["stream"]
        fix_columns(context.journal, config.source.name, pack.schema)
        aws = AwsSettings(config.source.region, config.source.endpoint)
        streams = stack.enter_context(closing(StreamsClient(aws)))
        table = streams.table_stream(stream).table
        scan = TableScan(stack.enter_context(closing(DynamoClient(aws))), table, clock)
        keys = key_columns(config.source.pack, scan.keys(), protection)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bootstrap-", dir=config.root))
        return Loading(
            context,
            compose.table_reader(config),
            stack.enter_context(closing(Engine(config.batch.threads, config.limits.query_memory))),
            pack,
            protection,
            list(compiled_views(config).values()),
            config.source.name,
            stream,
            scan,
            streams,
            keys,
            Path(folder),
            SETTLE_S if settle_s is None else settle_s,
            WAIT_S if wait_s is None else wait_s,
            int(known.get(PINNED, "0")),
            progress,
        ).run()


def _known(journal: Journal, config: Config) -> Mapping[str, str]:
    """What the source is read from, and from when on. Raises: ConfigError if nothing of it was read yet."""
    name, key = config.source.name, rows.source_key(config.source.name)
    stored = journal.get([key]).get(key)
    if stored is None:
        raise ConfigError(
            f"nothing of {name} was read yet: begin `shardlake stream run` first, so that no change is missed"
        )
    return rows.decode(SourceRow, key, stored).settings
