"""What changes batch tables in Iceberg: creating, committing, dropping and sweeping them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table, TableProperties

from shardlake.adapters.disk import translated
from shardlake.adapters.iceberg.catalog import errors, identifier, open_catalog
from shardlake.adapters.iceberg.catalog_rows import JournalCatalog
from shardlake.adapters.iceberg.commit import Staged, stage
from shardlake.adapters.iceberg.rebuild import rebuild, references, token_of
from shardlake.adapters.iceberg.types import columns_of, iceberg_type, schema_of, spec_of
from shardlake.adapters.table_files import changed, lacking
from shardlake.adapters.table_index import (
    FORMAT,
    FORMAT_PROPERTY,
    Dropped,
    Sidecar,
    encode_sidecar,
    read_sidecar,
    sidecar_location,
)
from shardlake.adapters.table_storage import TableStorage
from shardlake.core.errors import Conflict, Terminal, Transient
from shardlake.core.journal.port import Journal
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import NOTHING, Seam

METADATA_FILES_MAX: Final = 10  # older metadata files go with each commit; a reader has opened its own long before


class Writer:
    """The tables of the catalog in a folder, or in a journal, for writing. Not for two threads at once."""

    def __init__(self, root: Path, storage: TableStorage, keep: int, journal: Journal | None) -> None:
        self._storage = storage
        self._keep = keep
        self._catalog: Catalog = open_catalog(root, storage) if journal is None else JournalCatalog(journal, storage)

    def close(self) -> None:
        """Let go of the catalog."""
        self._catalog.close()

    def create(self, name: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Make an empty table. Raises: Conflict if it exists, ConfigError, Transient."""
        schema = schema_of(columns)
        spec = spec_of(schema, partition)
        properties = {
            FORMAT_PROPERTY: str(FORMAT),
            TableProperties.COMMIT_NUM_RETRIES: "0",  # a try again would add this run's files to another run's seam
            TableProperties.DEFAULT_NAME_MAPPING: schema.name_mapping.model_dump_json(),
            TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
            TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: str(METADATA_FILES_MAX),
        }
        location = f"{self._storage.root}/{name}"
        with errors(f"create table {name}"):
            table = self._catalog.create_table(identifier(name), schema, location, spec, properties=properties)
        return Snapshot(name, token_of(table), NOTHING)

    def widen(self, name: str, columns: Sequence[Column]) -> Sequence[Column]:
        """Add the columns that a table lacks, and give all that it has.

        A change of the schema alone leaves snapshots, files and seam as they are, so whoever dies after it has changed
        nothing that anybody reads. Raises: ConfigError, Conflict, Transient.
        """
        what = f"add columns to table {name}"
        table = self._table(name)
        if table is None:
            raise Conflict(f"cannot {what}: it is gone; read it again")
        there = columns_of(table.schema())
        new = lacking(f"table {name}", there, columns)
        if new:
            with errors(what), table.update_schema() as update:
                for column in new:
                    update.add_column(column.name, iceberg_type(column.type, count(1)), column.comment or None)
        return (*there, *new)

    def rebuild(self, name: str) -> Snapshot | None:
        """Read a table's newest snapshot from its manifests, and write its sidecar. Raises: as `Tables.load`."""
        table = self._table(name)
        if table is None:
            return None
        with errors(f"read table {name}"):
            found = rebuild(name, table)
        if found.metadata:
            self._write_sidecar(found)
        return self._storage.readable(found.snapshot)

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Change files and seam in one snapshot. Raises: as `Tables.commit`; Transient if it surely did not happen."""
        what = f"commit to table {base.table}"
        table = self._table(base.table)
        if table is None or token_of(table) != base.token:
            raise Conflict(f"cannot {what}: it is no longer at {base.token}; read it again")
        listed = {file.path: self._storage.listed(base.table, file) for file in add}
        files = changed(base, [listed[file.path] for file in add], remove)
        with errors(what):
            before = self._sidecar(base.table, table)
            for path, file in listed.items():
                self._storage.publish(file, path)
            staged = stage(table, listed, remove, seam, properties, self._keep)
        after = Snapshot(base.table, staged.token, seam, files, dict(properties))
        sidecar = self._following(before, after, remove, staged)
        try:
            self._write_sidecar(sidecar)
            with errors(what):
                staged.commit()
        except (Conflict, Terminal, Transient):  # it surely did not happen; after any other error it may have
            self._storage.remove([*staged.written, self._location(after)])
            raise
        for path in listed:
            self._storage.discard(path)
        due = (d.paths for d in (*before.dropped, *sidecar.dropped) if d.sequence <= staged.oldest_kept)
        self._storage.remove(path for paths in due for path in paths)
        self._storage.remove(set(staged.written) - set(staged.metadata))  # they were merged in the same commit
        return self._storage.readable(after)

    def drop(self, name: str) -> None:
        """Remove a table and its files; one that is not there is passed over."""
        with errors(f"drop table {name}"):
            with suppress(NoSuchTableError):
                self._catalog.drop_table(identifier(name))
            self._storage.drop(name)

    def sweep(self, base: Snapshot) -> int:
        """Remove the files that no kept snapshot references, and tell how many there were.

        List, then an empty commit, then look: a run that wrote files before the listing has either committed
        them, so that they are referenced, or started from a snapshot that is no longer the newest, and fails.
        Raises: Conflict if a run committed meanwhile (sweep again later), and as `commit`.
        """
        name = base.table
        with errors(f"sweep table {name}"):
            listed = self._storage.list(name)
        self.commit(base, (), (), base.seam, base.properties)
        table = self._table(name)
        if table is None:
            return 0
        with errors(f"sweep table {name}"):
            unreferenced = listed - references(name, table, self._storage)
            garbage = unreferenced & self._storage.list(name)  # the commit has removed some already
        self._storage.remove(garbage)
        return len(garbage)

    def _table(self, name: str) -> Table | None:
        with errors(f"read table {name}"):
            try:
                return self._catalog.load_table(identifier(name))
            except NoSuchTableError:
                return None

    def _sidecar(self, name: str, table: Table) -> Sidecar:
        newest = table.metadata.current_snapshot()
        found = read_sidecar(self._storage, name, newest.snapshot_id) if newest else None
        return found or rebuild(name, table)

    def _following(self, before: Sidecar, after: Snapshot, remove: Sequence[TableFile], staged: Staged) -> Sidecar:
        """Write down what this commit leaves behind, and pass on what is not due yet.

        What was due at the commit before was removed then, or is now, if that commit's process died.
        """
        gone = [file.path for file in remove]
        gone += [path for path in (*before.metadata, *staged.written) if path not in staged.metadata]
        gone += [self._location(before.snapshot)] if before.metadata else []
        dropped = (*before.dropped, Dropped(staged.sequence, tuple(gone)))
        return Sidecar(after, staged.metadata, tuple(d for d in dropped if d.sequence > staged.oldest_before))

    def _location(self, snapshot: Snapshot) -> str:
        return sidecar_location(self._storage, snapshot.table, snapshot.token)

    def _write_sidecar(self, sidecar: Sidecar) -> None:
        location = self._location(sidecar.snapshot)
        with translated(f"write {location}"):
            self._storage.write(location, encode_sidecar(sidecar))
