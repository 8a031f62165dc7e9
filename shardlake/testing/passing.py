"""Batch tables that pass everything on to others, for tests that let something happen on the way."""

from collections.abc import Mapping, Sequence

from shardlake.core.ports import Snapshot, TableFile, Tables
from shardlake.core.schema import Column
from shardlake.core.seam import Seam


class PassingTables:
    """Passes every call on to `inner`, and its answer back. Raises: as that."""

    def __init__(self, inner: Tables) -> None:
        self._inner = inner

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Make a table."""
        return self._inner.create(table, columns, partition)

    def load(self, table: str) -> Snapshot | None:
        """Load a table."""
        return self._inner.load(table)

    def widen(self, table: str, columns: Sequence[Column]) -> Sequence[Column]:
        """Add columns."""
        return self._inner.widen(table, columns)

    def new_file(self, table: str, partition: str) -> str:
        """Give a path."""
        return self._inner.new_file(table, partition)

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Add and remove files and move the seam."""
        return self._inner.commit(base, add, remove, seam, properties)

    def drop(self, table: str) -> None:
        """Drop a table."""
        self._inner.drop(table)
