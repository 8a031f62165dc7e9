"""The newest snapshot of a batch table, read without a table format's library: what every query begins with.

A table's state is in the catalog's row (of a SQLite file on the local disk, or of a journal that machines share), which
names the table's metadata file, which names its newest snapshot. What that snapshot holds stands in a sidecar,
`index/<snapshot id>.json`, that a commit writes before it becomes visible. A snapshot that somebody else made has none;
then the caller's `rebuild` reads the table's manifests.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from shardlake.adapters.disk import translated
from shardlake.adapters.table_storage import TableStorage
from shardlake.core.errors import Corrupt, FormatTooNew, Missing, Transient
from shardlake.core.journal import rows
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import CatalogRow
from shardlake.core.ports import Snapshot
from shardlake.core.seam import NOTHING, Seam

FORMAT: Final = 1
CATALOG_FILE: Final = "catalog.sqlite"
CATALOG: Final = "shardlake"
NAMESPACE: Final = "shardlake"
INDEX_FOLDER: Final = "index"
PREFIX: Final = "shardlake."  # of a snapshot's properties that are ours
FORMAT_PROPERTY: Final = "shardlake.format"
SEAM_PROPERTY: Final = "shardlake.seam"
BUSY_S: Final = 5.0
_TRIES: Final = 3  # a metadata file that ten later commits removed while it was being opened is looked up again

_ROW: Final = (
    "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?"
)


class Dropped(msgspec.Struct, frozen=True, array_like=True):
    """Files that a commit no longer references; they may go when no kept snapshot is older than it."""

    sequence: int
    paths: tuple[str, ...]


class Sidecar(msgspec.Struct, frozen=True):
    """A snapshot as a query needs it, the metadata files that it consists of, and what it and others left behind."""

    snapshot: Snapshot
    metadata: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    format: int = FORMAT


class SnapshotHead(msgspec.Struct, frozen=True, rename="kebab"):
    """What a table's metadata file tells of a snapshot."""

    snapshot_id: int
    summary: dict[str, str] = {}


class MetadataHead(msgspec.Struct, frozen=True, rename="kebab"):
    """What is wanted of a table's metadata file."""

    table_uuid: str
    current_snapshot_id: int | None = None
    snapshots: tuple[SnapshotHead, ...] = ()

    def current(self) -> SnapshotHead | None:
        """Find the newest snapshot; a table that was only created has none."""
        return next((s for s in self.snapshots if s.snapshot_id == self.current_snapshot_id), None)


Rebuild = Callable[[str], Snapshot | None]
Find = Callable[[str], str | None]  # table -> the location of its newest metadata file


def load(find: Find, storage: TableStorage, table: str, rebuild: Rebuild) -> Snapshot | None:
    """Read a table's current snapshot, or None if its catalog, which `find` asks, has no such table. Changes nothing.

    `rebuild` reads it the slow way, for snapshots without a sidecar. Raises: FormatTooNew, Corrupt, Transient.
    """
    found = _metadata(find, storage, table)
    if found is None:
        return None
    newest = found.current()
    if newest is None:
        return Snapshot(table, new_token(found.table_uuid), NOTHING)
    sidecar = read_sidecar(storage, table, newest.snapshot_id)
    if sidecar is None or sidecar.snapshot.seam != seam_of(table, newest.summary):
        return rebuild(table)
    return storage.readable(sidecar.snapshot)


def new_token(table_uuid: str) -> str:
    """Name the state of a table that was created and never committed to."""
    return f"new-{table_uuid}"


def seam_of(table: str, summary: Mapping[str, str | None]) -> Seam | None:
    """Read the seam in a snapshot's properties; None if it has none. Raises: FormatTooNew, Corrupt."""
    text, version = summary.get(SEAM_PROPERTY), summary.get(FORMAT_PROPERTY)
    if text is None:
        return None
    if version is None or not version.isdecimal():
        raise Corrupt(f"the newest snapshot of table {table} has a seam but no format: rebuild the table")
    if int(version) > FORMAT:
        raise FormatTooNew(f"table {table}", int(version), FORMAT)
    try:
        return Seam.from_json(text)
    except msgspec.DecodeError as error:
        raise Corrupt(f"the newest snapshot of table {table} has no readable seam: {error}; rebuild it") from error


def sidecar_location(storage: TableStorage, table: str, snapshot_id: int | str) -> str:
    """Tell where a snapshot's sidecar is."""
    return f"{storage.root}/{table}/{INDEX_FOLDER}/{snapshot_id}.json"


def encode_sidecar(sidecar: Sidecar) -> bytes:
    """Write a sidecar: a line with the SHA-256 of the rest, then JSON."""
    data = msgspec.json.encode(sidecar)
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def read_sidecar(storage: TableStorage, table: str, snapshot_id: int) -> Sidecar | None:
    """Read a snapshot's sidecar; None if it is missing, damaged or of another version: it can be made again."""
    try:
        with translated(f"read the index of table {table}"):
            checksum, _, data = storage.read(sidecar_location(storage, table, snapshot_id)).partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != checksum:
            return None
        found = msgspec.json.decode(data, type=Sidecar)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return found if found.format == FORMAT and found.snapshot.token == str(snapshot_id) else None


def finder(folder: Path, journal: Journal | None) -> Find:
    """Ask the catalog in a folder, or that in a journal, where a table's newest metadata is."""
    return partial(_location, folder / CATALOG_FILE) if journal is None else partial(_pointer, journal)


def _metadata(find: Find, storage: TableStorage, table: str) -> MetadataHead | None:
    for _ in range(_TRIES):
        location = find(table)
        if location is None:
            return None
        _check_place(storage, location)
        try:
            with translated(f"read the metadata of table {table}"):
                return msgspec.json.decode(storage.read(location), type=MetadataHead)
        except FileNotFoundError:
            continue
        except msgspec.DecodeError as error:
            raise Corrupt(f"{location} is not the metadata of table {table}: {error}; rebuild the table") from error
    raise Missing(f"the metadata of table {table} is not there: plan again; if that persists, rebuild the table")


def _check_place(storage: TableStorage, location: str) -> None:
    """See that a table's files are where its catalog is: a copy must not answer with the files of the original."""
    if not storage.holds(location):
        there = storage.plain(location).rpartition("/metadata/")[0].rpartition("/")[0]
        raise Corrupt(
            f"the tables in {storage.root} name their files in {there}: they were moved or copied. Move "
            "the root back to where it was made; a table format names its files by absolute paths"
        )


def _pointer(journal: Journal, table: str) -> str | None:
    key = rows.catalog_key(table)
    value = journal.get([key]).get(key)
    return None if value is None else rows.decode(CatalogRow, key, value).location


def _location(catalog: Path, table: str) -> str | None:
    if not catalog.exists():
        return None
    uri = f"file:{quote(str(catalog))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)) as db:
            found = db.execute(_ROW, (CATALOG, NAMESPACE, table)).fetchall()
    except sqlite3.OperationalError as error:
        raise Transient(f"catalog {catalog}: {error}; wait, then read again") from error
    except sqlite3.DatabaseError as error:
        raise Corrupt(f"catalog {catalog}: {error}; restore it from a backup") from error
    return str(found[0][0]) if found else None
