"""What the journal's rows reference: manifests of entries, states of lanes, what a shard carries.

All are immutable JSON objects with a format version.
"""

from typing import Final, TypeVar

import msgspec

from shardlake.core import formats
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.positions import Position, SeqRange, ShardId
from shardlake.core.windows import Windows

FORMAT: Final = 1


class RangeRow(msgspec.Struct, frozen=True, array_like=True):
    """A SeqRange as it is stored."""

    shard: str
    after: str
    upto: str
    kind: str = "data"

    @staticmethod
    def of(found: SeqRange) -> "RangeRow":
        """Write a range."""
        return RangeRow(found.shard, found.after.encode(), found.upto.encode(), found.kind)

    def range(self) -> SeqRange:
        """Read the range."""
        return SeqRange(ShardId(self.shard), Position.decode(self.after), Position.decode(self.upto), self.kind)


class PartialRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One view's partial aggregates over an entry, for one fingerprint, and the windows that they touch."""

    view: str
    fingerprint: str
    object: ObjectRef
    rows: int
    windows: Windows | None = None


class Counts(msgspec.Struct, frozen=True):
    """How many rows an entry has (duplicates among them), and how many dead letters."""

    rows: int = 0
    duplicates: int = 0
    letters: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Add two counts."""
        return Counts(self.rows + other.rows, self.duplicates + other.duplicates, self.letters + other.letters)


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The contents of a data entry: its ranges, counts, event times (UTC microseconds) and objects."""

    lane: int
    n: int
    source: str
    ranges: tuple[RangeRow, ...]
    counts: Counts
    parents: dict[str, tuple[str, ...]] = {}
    event_us: tuple[int, int] | None = None
    segment: ObjectRef | None = None
    partials: tuple[PartialRef, ...] = ()
    letters: ObjectRef | None = None
    pages: ObjectRef | None = None
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written

    def partial(self, fingerprint: str) -> PartialRef | None:
        """Find the partial of a fingerprint."""
        return next((p for p in self.partials if p.fingerprint == fingerprint), None)


class IdLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object with event ids that are within the horizon: a segment, or (`hashed`) one of their hashes by shard."""

    segment: ObjectRef
    ids: int
    arrival_us: int
    hashed: bool = False


class Arrived(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Everything of a shard that had arrived at `us` (UTC microseconds) was read, when it was kept for `kept_s`."""

    us: int
    kept_s: int


class HeldShard(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shard in a lane: how far it was read, its parents, its dedup scope (itself and its ancestors)."""

    at: str
    parents: tuple[str, ...] = ()
    ancestors: tuple[str, ...] = ()
    seen: Arrived | None = None


class Carried(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes with shards that leave a lane: logs of ids, pages of discovered files, ancestors, when it was seen."""

    ids: tuple[IdLog, ...] = ()
    pages: tuple[ObjectRef, ...] = ()
    ancestors: tuple[str, ...] = ()
    seen: Arrived | None = None
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class LaneState(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a lane's owner must know to go on: the shards that it holds, and what their scopes remember."""

    shards: dict[str, HeldShard] = {}
    ids: tuple[IdLog, ...] = ()
    pages: tuple[ObjectRef, ...] = ()
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class Positions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far each shard is counted at a seam, and its parents: against this the next ranges are checked.

    With the totals up to there, the newest event time (UTC microseconds), and the ranges that are known lost.
    """

    upto: dict[str, str] = {}
    parents: dict[str, tuple[str, ...]] = {}
    counts: Counts = Counts()
    newest_us: int | None = None
    gaps: tuple[RangeRow, ...] = ()
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


Stored = Manifest | Carried | LaneState | Positions
S = TypeVar("S", Manifest, Carried, LaneState, Positions)


def encode(value: Stored) -> bytes:
    """Write an object as JSON."""
    return msgspec.json.encode(value)


def decode(kind: type[S], name: str, data: bytes) -> S:
    """Read an object of a kind.

    Raises: FormatTooNew if a later version wrote it; Corrupt if it is something else.
    """
    return formats.decode(kind, f"object {name}", data, FORMAT)
