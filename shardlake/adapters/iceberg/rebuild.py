"""A table's snapshot out of its metadata and manifests: for snapshots that have no sidecar."""

from collections.abc import Iterator
from datetime import date, timedelta

from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot

from shardlake.adapters.table_index import (
    FORMAT_PROPERTY,
    PREFIX,
    SEAM_PROPERTY,
    Sidecar,
    new_token,
    seam_of,
    sidecar_location,
)
from shardlake.adapters.table_storage import TableStorage
from shardlake.core.errors import Corrupt
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.seam import NOTHING

_EPOCH = date(1970, 1, 1)


def token_of(table: Table) -> str:
    """Name a table's present state."""
    snapshot = table.metadata.current_snapshot()
    return str(snapshot.snapshot_id) if snapshot else new_token(str(table.metadata.table_uuid))


def rebuild(name: str, table: Table) -> Sidecar:
    """Read a table's newest snapshot. Raises: Corrupt if it has no seam that can be trusted, FormatTooNew.

    The windows of its files are not known any more, so a reader combines all of their rows. What earlier
    commits left behind is not known either; a sweep finds it.
    """
    newest = table.metadata.current_snapshot()
    if newest is None:
        return Sidecar(Snapshot(name, token_of(table), NOTHING))
    stamped = _stamped(name, table, newest)
    seam = seam_of(name, _summary(stamped))
    assert seam is not None, "a stamped snapshot has a seam"
    manifests = newest.manifests(table.io)
    files = tuple(_table_file(file) for file in _data_files(name, table, manifests))
    metadata = (newest.manifest_list, *(m.manifest_path for m in manifests))
    return Sidecar(Snapshot(name, token_of(table), seam, files, properties_of(_summary(stamped))), metadata)


def references(name: str, table: Table, storage: TableStorage) -> set[str]:
    """Name every file that a kept snapshot needs: data, manifests, metadata and sidecars."""
    metadata = table.metadata
    named = [table.metadata_location, *(log.metadata_file for log in metadata.metadata_log)]
    named += [file.statistics_path for file in (*metadata.statistics, *metadata.partition_statistics)]
    for snapshot in metadata.snapshots:
        manifests = snapshot.manifests(table.io)
        named += [sidecar_location(storage, name, snapshot.snapshot_id), snapshot.manifest_list]
        named += [manifest.manifest_path for manifest in manifests]
        for manifest in manifests:
            named += [e.data_file.file_path for e in manifest.fetch_manifest_entry(table.io, discard_deleted=True)]
    return {storage.plain(location) for location in named}


def properties_of(summary: dict[str, str]) -> dict[str, str]:
    """Pick the properties that a commit was given out of a snapshot's summary."""
    own = (SEAM_PROPERTY, FORMAT_PROPERTY)
    return {key: value for key, value in summary.items() if key.startswith(PREFIX) and key not in own}


def partition_date(text: str) -> date | None:
    """Give the value of a partition; "" is NULL, or a table without partitions."""
    return date.fromisoformat(text) if text else None


def partition_days(text: str) -> int | None:
    """Give the value of a partition as Iceberg stores it, in days since 1970."""
    day = partition_date(text)
    return None if day is None else (day - _EPOCH).days


def _stamped(name: str, table: Table, newest: IcebergSnapshot) -> IcebergSnapshot:
    """Find the snapshot whose seam holds: the newest, or the one below those that only rewrote the same rows."""
    found: IcebergSnapshot | None = newest
    while found is not None:
        if SEAM_PROPERTY in _summary(found):
            return found
        operation = found.summary.operation if found.summary else None
        if operation != Operation.REPLACE:
            said = operation.value if operation else "unknown"
            raise Corrupt(
                f"snapshot {found.snapshot_id} of table {name} has no seam and is of kind {said}: somebody else "
                f"changed its rows; roll the table back to the snapshot before it, or rebuild it"
            )
        parent = found.parent_snapshot_id
        found = table.metadata.snapshot_by_id(parent) if parent is not None else None
    raise Corrupt(f"no kept snapshot of table {name} has a seam: rebuild the table")


def _summary(snapshot: IcebergSnapshot) -> dict[str, str]:
    return dict(snapshot.summary.additional_properties) if snapshot.summary else {}


def _data_files(name: str, table: Table, manifests: list[ManifestFile]) -> Iterator[DataFile]:
    for manifest in manifests:
        if manifest.content != ManifestContent.DATA:
            raise Corrupt(f"table {name} has delete files, which somebody else wrote: compact or rebuild it")
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield entry.data_file


def _table_file(file: DataFile) -> TableFile:
    value = file.partition[0] if len(file.partition) else None
    day = _EPOCH + timedelta(days=value) if isinstance(value, int) else value
    return TableFile(file.file_path, file.record_count, file.file_size_in_bytes, day.isoformat() if day else "")
