"""The catalog: a SQLite file that names each table's newest metadata file, and the errors of going through it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from pyiceberg.catalog import WAREHOUSE_LOCATION
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError, ValidationException
from pyiceberg.io import PY_IO_IMPL
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from shardlake.adapters.clock import random_name
from shardlake.adapters.disk import make_folder, remove_database, sync_file, sync_folder, translated
from shardlake.adapters.iceberg.files import IMPLEMENTATION, STORAGE
from shardlake.adapters.table_index import CATALOG, CATALOG_FILE, NAMESPACE
from shardlake.adapters.table_storage import TableStorage
from shardlake.core.errors import Conflict, Corrupt, Missing, OutcomeUnknown, ShardlakeError, Transient

_NOT_APPLIED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


def open_catalog(root: Path, storage: TableStorage) -> SqlCatalog:
    """Open the catalog under a folder; it and its folder are made if absent. Raises: Transient, ConfigError."""
    path = root / CATALOG_FILE
    if not path.exists():
        _create(path, storage)
    with errors("open the catalog"):
        return _catalog(path, storage)


def identifier(table: str) -> tuple[str, str]:
    """Name a table as the catalog does."""
    return (NAMESPACE, table)


def _catalog(path: Path, storage: TableStorage) -> SqlCatalog:
    properties: dict[str, Any] = {
        "uri": URL.create("sqlite", database=str(path)).render_as_string(),
        WAREHOUSE_LOCATION: storage.root,
        PY_IO_IMPL: IMPLEMENTATION,
        STORAGE: storage,
    }
    return SqlCatalog(CATALOG, **properties)


def _create(path: Path, storage: TableStorage) -> None:
    """Make an empty catalog aside and link it into place, so that two processes may begin at once."""
    make_folder(path.parent)
    aside = path.with_name(f"{path.name}.new-{random_name()}")
    try:
        with errors("make the catalog"):
            catalog = _catalog(aside, storage)
            catalog.create_namespace(NAMESPACE)
            catalog.engine.dispose()
            # Last: what a WAL still holds when it is closed on a full disk stays behind, and nothing tells.
            with closing(sqlite3.connect(aside)) as db:
                db.execute("PRAGMA journal_mode = WAL")
            sync_file(aside)
            _link(aside, path)
            sync_folder(path.parent)
    finally:
        remove_database(aside)


def _link(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:  # another process made it first
        return


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Raise PyIceberg's, the catalog's and the disk's errors by their kind; `what` completes "cannot ..."."""
    try:
        with translated(what):
            yield
    except ShardlakeError:
        raise
    except (CommitFailedException, NoSuchTableError, TableAlreadyExistsError) as error:
        raise Conflict(f"cannot {what}: {error}; read the table again") from error
    except ValidationException as error:
        raise Corrupt(f"cannot {what}: {error}; read the table again, and rebuild it if that persists") from error
    except FileNotFoundError as error:
        raise Missing(f"cannot {what}: {error.filename} is not there; read the table again") from error
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", -1) & 0xFF
        if code in _NOT_APPLIED:
            raise Transient(f"cannot {what}: {cause}; nothing was changed, send it again") from error
        raise OutcomeUnknown(f"cannot {what}: {cause}; read the table again to see whether it happened") from error
