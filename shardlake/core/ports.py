"""The ports besides the journal and the source: object storage, batch tables, the clock.

Each lists the exact errors that its callers must be ready for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shardlake.core.journal.rows import ObjectRef
from shardlake.core.schema import Column
from shardlake.core.seam import Seam
from shardlake.core.windows import Windows


class ObjectStore(Protocol):
    """Immutable objects under names with slashes. A name is written once and never again."""

    def put(self, folder: str, objects: Mapping[str, bytes | memoryview]) -> Mapping[str, ObjectRef]:
        """Create `folder/name` for each object, and return their references.

        They are durable, names included, when this returns. Raises: Conflict if a name exists; Transient if
        the storage is full or out of reach (some of the objects may then exist).
        """

    def get(self, ref: ObjectRef) -> bytes:
        """Read an object whole. Raises: Corrupt if its length or hash differs, Missing if it is not there."""

    def fetch(self, refs: Iterable[ObjectRef]) -> None:
        """Bring objects near, several at once, for those who then read them one by one. Raises: as `get`."""

    def path(self, ref: ObjectRef) -> str:
        """Give the local path of an object that was checked as `get` does. Raises: as `get`."""

    def list(self, prefix: str) -> Sequence[str]:
        """Name the objects whose name begins with `prefix`, in order."""

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there are passed over."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A Parquet file of a batch table: its path, its rows, its partition (an ISO date, or "") and its windows.

    `sha256` is computed by the commit that adds the file; "" where that is not known any more.
    """

    path: str
    rows: int
    length: int
    partition: str = ""
    windows: Windows | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A batch table as one commit left it. `token` names the commit: equal tokens are equal snapshots."""

    table: str
    token: str
    seam: Seam
    files: tuple[TableFile, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


class Tables(Protocol):
    """Batch tables: sets of immutable Parquet files, and a seam, that change together or not at all."""

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Make an empty table with the seam of nothing; `partition` names a DATE column.

        Raises: Conflict if it exists.
        """

    def load(self, table: str) -> Snapshot | None:
        """Read a table's current snapshot, or None.

        Raises: Corrupt if its newest snapshot has no seam that can be trusted.
        """

    def widen(self, table: str, columns: Sequence[Column]) -> Sequence[Column]:
        """Add the columns that a table lacks, as a change of its own, and give all that it has.

        Rows that it holds already are NULL in them. No column ever goes. Raises: ConfigError if the table has one of
        them with another type; Conflict if somebody else changed the table meanwhile, or it does not exist.
        """

    def new_file(self, table: str, partition: str) -> str:
        """Give a path, never used before, where a data file of a partition is to be written."""

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Add and remove files and move the seam, in one snapshot, if the table is still as `base`.

        Added files are durable when this is called. Raises: Conflict if the table moved on (nothing was changed,
        never retried inside); OutcomeUnknown if the commit may have happened.
        """

    def drop(self, table: str) -> None:
        """Remove a table and its files; one that is not there is passed over."""


class Clock(Protocol):
    """Time as an argument."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since the epoch, UTC: for stamps, never for liveness."""

    def monotonic_s(self) -> float:
        """Seconds that only grow: for intervals and liveness."""

    def sleep_s(self, seconds: float) -> None:
        """Wait for so many seconds."""
