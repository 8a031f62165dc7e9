"""Batch tables in memory, for tests and simulations; their data files are in a folder that is given."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from shardlake.adapters.disk import make_folder
from shardlake.adapters.table_files import SNAPSHOTS_KEPT, changed, check_name, data_file, lacking
from shardlake.core.errors import Conflict
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import NOTHING, Seam


class MemoryTables:
    """Tables that last as long as this object does. It keeps the files of the newest `keep` snapshots."""

    def __init__(self, root: str | Path, *, keep: int = SNAPSHOTS_KEPT) -> None:
        self._root = Path(root).absolute()
        self._keep = keep
        self._newest: dict[str, Snapshot] = {}
        self._removed: dict[str, list[tuple[str, ...]]] = {}  # by table, for each kept snapshot but the oldest
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._numbers = count(1)

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:  # noqa: ARG002 - no files here
        """Make an empty table with the seam of nothing. Raises: Conflict if it exists."""
        check_name(table)
        if table in self._newest:
            raise Conflict(f"table {table} exists: load it")
        self._newest[table] = Snapshot(table, self._token(), NOTHING)
        self._removed[table] = []
        self._columns[table] = tuple(columns)
        return self._newest[table]

    def load(self, table: str) -> Snapshot | None:
        """Read a table's current snapshot, or None."""
        return self._newest.get(table)

    def widen(self, table: str, columns: Sequence[Column]) -> Sequence[Column]:
        """Add the columns that a table lacks, and give all that it has. Raises: ConfigError, Conflict."""
        if table not in self._newest:
            raise Conflict(f"table {table} is gone: read it again")
        self._columns[table] += lacking(f"table {table}", self._columns[table], columns)
        return self._columns[table]

    def new_file(self, table: str, partition: str) -> str:
        """Give a path, never used before, where a data file of a partition is to be written."""
        path = data_file(self._root, table, partition, self._token())
        make_folder(path.parent, sync=False)
        return str(path)

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Add and remove files and move the seam, if the table is still as `base`. Raises: Conflict, Corrupt."""
        newest = self._newest.get(base.table)
        if newest is None or newest.token != base.token:
            raise Conflict(f"table {base.table} is no longer at {base.token}: read it again")
        files = changed(newest, add, remove)
        after = Snapshot(base.table, self._token(), seam, files, dict(properties))
        self._newest[base.table] = after
        self._forget(base.table, remove)
        return after

    def drop(self, table: str) -> None:
        """Remove a table and its files; one that is not there is passed over."""
        self._newest.pop(table, None)
        self._removed.pop(table, None)
        self._remove_all(table)

    def _forget(self, table: str, remove: Sequence[TableFile]) -> None:
        removed = self._removed[table]
        removed.append(tuple(file.path for file in remove))
        while len(removed) >= self._keep:
            for path in removed.pop(0):
                self._remove(path)

    def _remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def _remove_all(self, table: str) -> None:
        shutil.rmtree(self._root / table, ignore_errors=True)

    def _token(self) -> str:
        return f"{next(self._numbers):08d}"
