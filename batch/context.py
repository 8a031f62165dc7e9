"""What a batch run works with, and what every step of it needs: adapters in, names and files out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from batch.passes import Pass
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import FINGERPRINT_PROPERTY, POSITIONS_PROPERTY, positions_property
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations
from shardlake.core.journal.objects import Positions
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import TableRow
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore, Snapshot, TableFile, Tables
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView


def _no_progress(_step: str) -> None:
    return


@dataclass(frozen=True, slots=True)
class Context:
    """The adapters and settings of a batch run. `new_id` gives random names; `progress` is told each step."""

    journal: Journal
    store: ObjectStore
    tables: Tables
    engine: Engine
    schema: SourceSchema
    sort: Sequence[str]
    new_id: Callable[[], str]
    limits: Limits = field(default_factory=Limits)
    progress: Callable[[str], None] = _no_progress

    def put_positions(self, positions: Positions) -> str:
        """Store the positions of a seam, and return what the snapshot says of them."""
        refs = self.store.put(f"positions/{self.new_id()}", {"positions.json": stored.encode(positions)})
        return positions_property(refs["positions.json"])

    def properties(self, positions: str, fingerprint: str) -> dict[str, str]:
        """The properties of a snapshot that carries a seam."""
        return {POSITIONS_PROPERTY: positions, FINGERPRINT_PROPERTY: fingerprint}

    def point(self, old: TableRow | None, new: TableRow) -> None:
        """Move a view's pointer. Raises: Conflict if somebody else moved it."""
        self.journal.transact([operations.point(old, new)])


class Files(Protocol):
    """How rows become files of tables: the part of a run that no commit, conflict or seam touches.

    There is one implementation for use, `batch.run.SQL`. A simulation of many runs has another, whose rows are plain.
    """

    def of_pass(self, context: Context, table: str, taken: Pass) -> list[TableFile]:
        """Write the rows of a pass as files of the master dataset."""

    def of_view(self, context: Context, view: CompiledView, base: Snapshot, taken: Pass) -> list[TableFile]:
        """Write a view's rows over a pass, each together with those of `base` that it must be added to.

        A file takes the place of the one that `base` has of its partition. Raises: AuditFailed if what the speed layer
        stored differs.
        """

    def of_master(self, context: Context, view: CompiledView, made: Snapshot, source: Snapshot) -> list[TableFile]:
        """Write a view's rows over the master dataset as files of a table that has none."""
