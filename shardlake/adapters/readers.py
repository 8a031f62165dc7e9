"""What more than one layer reads of the journal's objects: manifests, and the positions of a seam."""

from collections.abc import Iterable
from typing import Final

from shardlake.core.errors import Corrupt
from shardlake.core.journal import objects as stored
from shardlake.core.journal.objects import Manifest, Positions
from shardlake.core.journal.rows import Entry, ObjectRef
from shardlake.core.ports import ObjectStore, Snapshot

POSITIONS_PROPERTY: Final = "shardlake.positions"
FINGERPRINT_PROPERTY: Final = "shardlake.fingerprint"
MASTER: Final = "master"  # the pointer's name of the master dataset


def read_manifests(store: ObjectStore, entries: Iterable[Entry]) -> list[Manifest]:
    """Read the manifests of the entries that have one (data entries do; takes, fences and moves have none)."""
    return [stored.decode(Manifest, e.manifest.name, store.get(e.manifest)) for e in entries if e.manifest is not None]


def read_positions(store: ObjectStore, snapshot: Snapshot | None) -> Positions:
    """Read how far each shard is counted at a snapshot's seam; nothing is where there is no snapshot yet."""
    if snapshot is None or not snapshot.seam.marks:
        return Positions()
    text = snapshot.properties.get(POSITIONS_PROPERTY)
    if text is None:
        raise Corrupt(f"the snapshot of {snapshot.table} carries a seam but no positions: rebuild the table")
    name, length, sha256 = text.split(" ")
    return stored.decode(Positions, name, store.get(ObjectRef(name, int(length), sha256)))


def positions_property(ref: ObjectRef) -> str:
    """Write the reference of a positions object as it stands in a snapshot's properties."""
    return f"{ref.name} {ref.length} {ref.sha256}"
