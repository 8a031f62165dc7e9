"""What a batch run works with, and what every step of it needs: adapters in, names and files out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import FINGERPRINT_PROPERTY, POSITIONS_PROPERTY, positions_property
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations
from shardlake.core.journal.objects import Positions
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import TableRow
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore, Tables
from shardlake.core.schema import SourceSchema


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
