"""The composition root: adapters and layers put together as a configuration says. Imports wait until needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.adapters import journal_file, journals
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.place import JournalPlace
from shardlake.adapters.journals import OpenJournal
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.s3.place import Place, is_s3
from shardlake.adapters.storage_file import Storage, checked, remember
from shardlake.adapters.stored import JOURNAL, OBJECTS, TABLES
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError, Transient
from shardlake.core.ports import ObjectStore

if TYPE_CHECKING:
    from batch.context import Context
    from serving.answer import Server
    from shardlake.adapters.iceberg.tables import IcebergTables
    from shardlake.adapters.s3.queue import Queue
    from shardlake.adapters.s3.root import S3Root
    from shardlake.adapters.table_reader import TableReader
    from shardlake.core.journal.port import Journal
    from streams.sources.listing import Store


def journal_place(config: Config) -> Storage:
    """Where the journal is, as the settings say. Raises: ConfigError if the root's is elsewhere."""
    chosen = config.journal
    url = JournalPlace.of(chosen.url).url if chosen.url else ""
    return journal_file.checked(Path(config.root), Storage(url, chosen.endpoint, chosen.region))


def begun(config: Config) -> bool:
    """Tell whether there is a journal. Raises: ConfigError, FormatTooNew, Corrupt, Transient."""
    return journals.exists(Path(config.root), journal_place(config))


def journal(config: Config, *, read_only: bool = False, exists: bool = False) -> OpenJournal:
    """Open the journal; with `read_only` nothing is changed, with `exists` nothing is created.

    A root whose journal is in DynamoDB then knows where that is. Raises: ConfigError, FormatTooNew, Corrupt, Transient.
    """
    root, where = Path(config.root), journal_place(config)
    if (exists or (read_only and not where.url)) and not journals.exists(root, where):
        place = f"at {where.url}" if where.url else f"in {config.root}"
        option = "journal.url" if where.url else "--root"
        raise ConfigError(f"nothing was stored {place} yet: begin with `shardlake stream run`, or correct {option}")
    objects = storage(config) if where.url else Storage()
    found = journals.open_journal(root, where, objects.url, read_only=read_only)
    with suppress(ConfigError, Transient) if read_only else nullcontext():  # who only reads may not be able to write
        if where.url:
            journal_file.remember(root, where)
            remember(root, objects)
    return found


@contextmanager
def opened_journal(config: Config) -> Iterator[OpenJournal]:
    """The journal, for reading, until the end of the block. Raises: as `journal`."""
    found = journal(config, read_only=True)
    try:
        yield found
    finally:
        found.close()


def storage(config: Config) -> Storage:
    """Where objects and tables are, as the settings say. Raises: ConfigError if the root's are elsewhere."""
    chosen = config.storage
    wanted = Storage(Place.of(chosen.url).url if chosen.url else "", chosen.endpoint, chosen.region)
    return checked(Path(config.root), wanted, begun=(Path(config.root) / JOURNAL).exists())


def _remote(config: Config) -> "S3Root | None":
    where = storage(config)
    if not where.url:
        return None
    from shardlake.adapters.s3.root import S3Root

    return S3Root.at(Path(config.root), where, SystemClock(), config.limits.cache_bytes_max)


def objects(config: Config) -> ObjectStore:
    """The object storage: below the root, or in S3. Raises: ConfigError."""
    remote = _remote(config)
    return LocalObjects(Path(config.root) / OBJECTS) if remote is None else remote.objects()


def tables(config: Config) -> "IcebergTables":
    """The batch tables. Loading them is cheap; changing them imports a table format. Raises: ConfigError."""
    from shardlake.adapters.iceberg.tables import IcebergTables

    remote, folder = _remote(config), Path(config.root) / TABLES
    files = None if remote is None else remote.tables()
    return IcebergTables(folder, keep=config.limits.snapshots_max, storage=files, journal=_catalog(config))


def _catalog(config: Config) -> "Journal | None":
    """The journal that holds the tables' catalog; None if that is a file."""
    where = journal_place(config)
    return journals.in_dynamodb(where) if where.url else None


def table_reader(config: Config) -> "TableReader":
    """The batch tables, for those who only read them. Raises: ConfigError."""
    from shardlake.adapters.table_reader import TableReader

    remote = _remote(config)
    return TableReader(Path(config.root) / TABLES, None if remote is None else remote.tables(), _catalog(config))


def source_store(config: Config, queue: "Queue | None" = None) -> "Store | None":
    """Where the log files are, if they are not on the local disk. Raises: ConfigError.

    `queue` is one that is asked as often as files are looked for, in place of that of the settings.
    """
    source = config.source
    if not is_s3(source.path):
        return None
    from shardlake.adapters.s3.client import S3Settings
    from shardlake.adapters.s3.queue import Queue
    from streams.sources.s3 import Keys, Pace, s3_files

    reached = S3Settings(source.endpoint, source.region)
    asked = queue or (Queue.of(source.queue, reached) if source.queue else None)
    pace = Pace(config.limits.relist_s, config.limits.poll_interval_s if queue is None else 0.0)
    return s3_files(Keys.of(source.path), reached, SystemClock(), pace, asked)


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
