"""Tables between whose steps something else happens, for tests of races."""

from collections.abc import Callable, Mapping, Sequence

from shardlake.core.ports import Snapshot, TableFile, Tables
from shardlake.core.schema import Column
from shardlake.core.seam import Seam


class RacingTables:
    """Passes everything on, and calls `meanwhile` once: before the K-th commit, or after the K-th load."""

    def __init__(self, inner: Tables, meanwhile: Callable[[], None], *, commit: int = 0, load: int = 0) -> None:
        self._inner, self._meanwhile = inner, meanwhile
        self._commits_left, self._loads_left = commit, load

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Make a table."""
        return self._inner.create(table, columns, partition)

    def load(self, table: str) -> Snapshot | None:
        """Load a table, after which something may happen."""
        found = self._inner.load(table)
        self._loads_left -= 1
        if self._loads_left == 0:
            self._meanwhile()
        return found

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
        """Commit, before which something may happen."""
        self._commits_left -= 1
        if self._commits_left == 0:
            self._meanwhile()
        return self._inner.commit(base, add, remove, seam, properties)

    def drop(self, table: str) -> None:
        """Drop a table."""
        self._inner.drop(table)
