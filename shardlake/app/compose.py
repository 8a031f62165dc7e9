"""The composition root: adapters and layers put together as a configuration says. Imports wait until needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL, OBJECTS, TABLES
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError

if TYPE_CHECKING:
    from batch.context import Context
    from serving.answer import Server
    from shardlake.adapters.iceberg.tables import IcebergTables


def journal(config: Config, *, read_only: bool = False, exists: bool = False) -> SqliteJournal:
    """Open the journal; with `read_only` nothing is changed, with `exists` nothing is created.

    Raises: ConfigError, FormatTooNew, Corrupt, Transient.
    """
    path = Path(config.root) / JOURNAL
    if (read_only or exists) and not path.exists():
        raise ConfigError(
            f"nothing was stored in {config.root} yet: begin with `shardlake stream run`, or correct --root"
        )
    return SqliteJournal(path, read_only=read_only)


@contextmanager
def opened_journal(config: Config) -> Iterator[SqliteJournal]:
    """The journal, for reading, until the end of the block. Raises: as `journal`."""
    found = journal(config, read_only=True)
    try:
        yield found
    finally:
        found.close()


def objects(config: Config) -> LocalObjects:
    """The object storage."""
    return LocalObjects(Path(config.root) / OBJECTS)


def tables(config: Config) -> "IcebergTables":
    """The batch tables. Loading them is cheap; changing them imports a table format."""
    from shardlake.adapters.iceberg.tables import IcebergTables

    return IcebergTables(Path(config.root) / TABLES, keep=config.limits.snapshots_max)


def server(config: Config) -> "Server":
    """What answers queries. Raises: ConfigError, ViewRefused."""
    from serving.answer import Server

    rows = journal(config, read_only=True)
    return Server(rows, objects(config), tables(config), compiled_views(config), config.limits, config.query.threads)


@contextmanager
def batch_context(config: Config, progress: Callable[[str], None]) -> "Iterator[Context]":
    """What a batch run works with. Raises: ConfigError."""
    chosen = load_pack(config)
    from batch.context import Context
    from shardlake.adapters.clock import random_name
    from shardlake.adapters.engine import Engine

    rows, iceberg = journal(config, exists=True), tables(config)
    engine = Engine(config.batch.threads, config.limits.query_memory)
    try:
        yield Context(
            rows,
            objects(config),
            iceberg,
            engine,
            chosen.schema,
            chosen.sort_keys,
            random_name,
            config.limits,
            progress,
        )
    finally:
        engine.close()
        iceberg.close()
        rows.close()
