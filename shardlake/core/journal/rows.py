"""The rows of the journal: what is stored under which key.

Every value is JSON with a format version (any new field is a new format, since conditions compare whole rows), and
small enough (under 1 KiB) that a transaction costs the same whatever a lane holds; what grows lives in objects, which
rows reference by name, length and SHA-256.
"""

from typing import Final, Literal, NewType, TypeVar

import msgspec

from shardlake.core import formats
from shardlake.core.positions import ShardId

FORMAT: Final = 1
READ_BY: Final = "read_by"  # in the settings of a source's row: who reads it, if not workers that have heartbeats

LaneId = NewType("LaneId", int)
CommitId = NewType("CommitId", str)
WorkerId = NewType("WorkerId", str)
EntryKey = tuple[int, int]  # (lane, number)

EntryKind = Literal["data", "take", "adopt", "release", "fence"]
Place = Literal["free", "held", "end"]


class ObjectRef(msgspec.Struct, frozen=True, array_like=True):
    """An immutable object: its name, its length in bytes, and its SHA-256 in hexadecimal."""

    name: str
    length: int
    sha256: str


class Registry(msgspec.Struct, frozen=True):
    """How many lanes there are, numbered from 0; the number only grows."""

    lanes: int
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a lane: its last entry's number and commit id, its owner, its source and its state object."""

    lane: int
    n: int
    commit: str
    owner: str
    source: str
    state: ObjectRef | None = None
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a lane.

    `manifest` references the objects of a data entry. `shard` and `at` name the first shard that an adoption or a
    release moved (the row of each tells which entry did), and `needs` the entries that any cut holding this one must
    hold too.
    """

    lane: int
    n: int
    commit: str
    kind: EntryKind
    manifest: ObjectRef | None = None
    shard: str = ""
    at: str = ""
    needs: tuple[EntryKey, ...] = ()
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class ShardRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a shard is: free at a position, held by a lane, or at its end.

    `by` is the entry that put it there (absent for a shard that was only discovered), `carried` the object
    with what its next owner or its children inherit.
    """

    shard: str
    source: str
    place: Place
    parents: tuple[str, ...] = ()
    lane: int = -1
    at: str = "-"
    by: EntryKey | None = None
    carried: ObjectRef | None = None
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class SourceRow(msgspec.Struct, frozen=True):
    """What a source's shards depend on, fixed when it was first read: a change would count everything again."""

    source: str
    settings: dict[str, str]
    format: int = msgspec.field(default_factory=lambda: FORMAT)


class ColumnsRow(msgspec.Struct, frozen=True):
    """Every column that events of a source ever had, name -> type: it only grows, and no type changes.

    It is written when a source begins to be read with a new column, never by a commit, and may be longer than 1 KiB.
    """

    source: str
    columns: dict[str, str]
    format: int = msgspec.field(default_factory=lambda: FORMAT)


class WorkerRow(msgspec.Struct, frozen=True):
    """A worker's heartbeat: a counter, judged by each observer's own clock."""

    worker: str
    beat: int
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class TableRow(msgspec.Struct, frozen=True):
    """Which batch table a view now reads, and for which fingerprint it was made."""

    view: str
    table: str
    fingerprint: str
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


class CatalogRow(msgspec.Struct, frozen=True):
    """Where a batch table's newest metadata is, in a journal that several machines share."""

    table: str
    location: str
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


Row = Registry | Head | Entry | ShardRow | SourceRow | ColumnsRow | WorkerRow | TableRow | CatalogRow
R = TypeVar("R", Registry, Head, Entry, ShardRow, SourceRow, ColumnsRow, WorkerRow, TableRow, CatalogRow)

REGISTRY_KEY: Final = "registry"


def lane_key(lane: int) -> str:
    """Key of a lane's head."""
    return f"lane/{lane:04d}"


def entry_key(lane: int, number: int) -> str:
    """Key of an entry; the order of keys is the order of entries."""
    return f"entry/{lane:04d}/{number:012d}"


def shard_key(shard: ShardId | str) -> str:
    """Key of a shard's row."""
    return f"shard/{shard}"


def source_key(source: str) -> str:
    """Key of a source's settings."""
    return f"source/{source}"


def columns_key(source: str) -> str:
    """Key of the columns of a source's events."""
    return f"columns/{source}"


def worker_key(worker: str) -> str:
    """Key of a worker's heartbeat."""
    return f"worker/{worker}"


def table_key(view: str) -> str:
    """Key of the pointer to a view's table."""
    return f"table/{view}"


def catalog_key(table: str) -> str:
    """Key of where a batch table's newest metadata is."""
    return f"catalog/{table}"


def encode(row: Row) -> bytes:
    """Write a row; equal rows are equal bytes, which conditions compare."""
    return msgspec.json.encode(row)


def decode(kind: type[R], key: str, value: bytes) -> R:
    """Read a row of a kind.

    Raises: FormatTooNew if a later version wrote it; Corrupt if it is something else.
    """
    return formats.decode(kind, f"journal row {key}", value, FORMAT)
