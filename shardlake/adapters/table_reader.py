"""Batch tables for those who only read, and who must not reach for a table format's library."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from shardlake.adapters import table_index
from shardlake.adapters.table_storage import LocalStorage, TableStorage
from shardlake.core.errors import Terminal
from shardlake.core.journal.port import Journal
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import Seam


class TableReader:
    """The tables whose catalog is in a folder, as far as `load` goes; every change is refused.

    Their files are in the same folder, unless another storage is named, and so is their catalog, unless a journal is.
    """

    def __init__(self, root: str | Path, storage: TableStorage | None = None, journal: Journal | None = None) -> None:
        folder = Path(root).absolute()
        self._storage: TableStorage = LocalStorage(folder) if storage is None else storage
        self._find = table_index.finder(folder, journal)

    def load(self, table: str) -> Snapshot | None:
        """Read a table's current snapshot, or None. Raises: as `Tables.load`; Terminal if it has no index."""
        return table_index.load(self._find, self._storage, table, _not_indexed)

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Refuse. Raises: Terminal."""
        del columns, partition
        _refuse(table)

    def widen(self, table: str, columns: Sequence[Column]) -> Sequence[Column]:
        """Refuse. Raises: Terminal."""
        del columns
        _refuse(table)

    def new_file(self, table: str, partition: str) -> str:
        """Refuse. Raises: Terminal."""
        del partition
        _refuse(table)

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Refuse. Raises: Terminal."""
        del add, remove, seam, properties
        _refuse(base.table)

    def drop(self, table: str) -> None:
        """Refuse. Raises: Terminal."""
        _refuse(table)


def _not_indexed(table: str) -> NoReturn:
    raise Terminal(
        f"the newest snapshot of table {table} was made by another program and has no index yet: run `shardlake "
        "status` once, which makes it"
    )


def _refuse(table: str) -> NoReturn:
    raise Terminal(f"table {table} is open for reading only: change it with a batch run")
