"""Batch tables in Iceberg. Loading needs no PyIceberg, whose import costs more than a query: the rest fetches it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shardlake.adapters import table_index
from shardlake.adapters.table_files import SNAPSHOTS_KEPT, check_name
from shardlake.adapters.table_storage import LocalStorage, TableStorage
from shardlake.core.journal.port import Journal
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import Seam

if TYPE_CHECKING:
    from shardlake.adapters.iceberg.writer import Writer


class IcebergTables:
    """Tables whose catalog is in a folder, which is made by the first change. Not for two threads at once.

    Their files are in the same folder, unless another storage is named, and their catalog is in a journal, if one is
    named. `keep` snapshots of a table stay readable; the
    files that only older ones hold go with each commit. `sync=False` gives up durability, for tests. A reader may hold
    one on a folder that does not exist.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        keep: int = SNAPSHOTS_KEPT,
        sync: bool = True,
        storage: TableStorage | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._root = Path(root).absolute()
        self._storage: TableStorage = LocalStorage(self._root, sync) if storage is None else storage
        self._keep, self._journal = keep, journal
        self._find = table_index.finder(self._root, journal)
        self._opened: Writer | None = None

    def close(self) -> None:
        """Let go of the catalog."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Make an empty table with the seam of nothing. Raises: Conflict if it exists, ConfigError, Transient."""
        check_name(table)
        return self._writer().create(table, columns, partition)

    def load(self, table: str) -> Snapshot | None:
        """Read a table's current snapshot, or None. Raises: Corrupt, FormatTooNew, Transient."""
        check_name(table)
        return table_index.load(self._find, self._storage, table, lambda name: self._writer().rebuild(name))

    def widen(self, table: str, columns: Sequence[Column]) -> Sequence[Column]:
        """Add the columns that a table lacks, and give all that it has. Raises: as `Tables.widen`; Transient."""
        check_name(table)
        return self._writer().widen(table, columns)

    def new_file(self, table: str, partition: str) -> str:
        """Give a path, never used before, where a data file of a partition is to be written. Its folder is made."""
        check_name(table)
        return self._storage.new_file(table, partition)

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Add and remove files and move the seam, in one snapshot, if the table is still as `base`.

        Raises: Conflict if the table moved on, Transient if nothing was changed, OutcomeUnknown if the commit may
        have happened, Corrupt if a file is not as told.
        """
        return self._writer().commit(base, add, remove, seam, properties)

    def drop(self, table: str) -> None:
        """Remove a table and its files; one that is not there is passed over."""
        check_name(table)
        self._writer().drop(table)

    def sweep(self, table: str) -> int:
        """Remove the files of lost attempts, which no kept snapshot references. Raises: Conflict: sweep again later."""
        base = self.load(table)
        return self._writer().sweep(base) if base else 0

    def _writer(self) -> "Writer":
        if self._opened is None:
            from shardlake.adapters.iceberg.writer import Writer  # noqa: PLC0415 - a second of CPU, not for queries

            self._opened = Writer(self._root, self._storage, self._keep, self._journal)
        return self._opened
