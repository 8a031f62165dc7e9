"""Tables between whose steps something else happens, for tests of races."""

from collections.abc import Callable, Mapping, Sequence

from shardlake.core.ports import Snapshot, TableFile, Tables
from shardlake.core.seam import Seam
from shardlake.testing.passing import PassingTables


class RacingTables(PassingTables):
    """Passes everything on, and calls `meanwhile` once: before the K-th commit, or after the K-th load."""

    def __init__(self, inner: Tables, meanwhile: Callable[[], None], *, commit: int = 0, load: int = 0) -> None:
        super().__init__(inner)
        self._meanwhile = meanwhile
        self._commits_left, self._loads_left = commit, load

    def load(self, table: str) -> Snapshot | None:
        """Load a table, after which something may happen."""
        found = super().load(table)
        self._loads_left -= 1
        if self._loads_left == 0:
            self._meanwhile()
        return found

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
        return super().commit(base, add, remove, seam, properties)
