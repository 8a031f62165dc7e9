"""The source port: blocks of whole lines, with their positions, out of shards.

A source hands over bytes and never a record. What it could not hand over is a `Fault`, with its own position,
so that it becomes a dead letter and no line that follows has another number than before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.core.errors import Terminal
from shardlake.core.positions import Position, SeqRange, ShardId


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64)


class ObjectChanged(Terminal):
    """An object of a source has new contents under its old name. `key` names it, `before` and `after` its versions."""

    def __init__(self, key: str, before: str, after: str) -> None:
        super().__init__(
            f"{key} has changed since it was discovered (from {before} to {after}), and on_change is fail: put the old"
            " file back, or set on_change to new (read it again, as a new object) or to dlq (a dead letter tells of it)"
        )
        self.key, self.before, self.after = key, before, after


class SourceGap(Terminal):
    """What was to be read is lost. `key` names the object or stream, `at` how far the shard was read."""

    def __init__(self, key: str, shard: ShardId, at: Position, lost: str = "was removed before it was read") -> None:
        super().__init__(
            f"{key} {lost}: shard {shard} stops at {at.encode()}; put back what is missing, or set on_gap to dlq (go"
            " on, with a dead letter and a range of kind gap) or to continue (the same without the letter)"
        )
        self.key, self.shard, self.at = key, shard, at


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of an object that cannot be decoded: one dead letter. It counts as one line, numbered `line`.

    Of a stream, `sequence` and `arrival_us` are the record's; else they are empty, and the block's hold.

    `reason` is one of a small set of words, `detail` a sentence. `payload` is the start of the part, as far as
    `letter_bytes_max` allows, `length` the whole part's length in bytes and `sha256` its hash.
    """

    line: int
    reason: str
    detail: str
    payload: bytes
    length: int
    sha256: str
    sequence: str = ""
    arrival_us: int = -1


@dataclass(frozen=True, slots=True)
class Block:
    r"""Whole physical lines of one object of one shard, that lie in `(after, upto]`.

    A line ends with `\n`; only at the end of the object may the last one lack it. `first_line` is the number,
    from 1, of the first line of `data`, `lines` how many there are; a line's position is (`ordinal`, its number).
    `upto` is (`ordinal` + 1, 0) when the object has been read to its end.

    A block with `skip` was counted before: the range is empty, and its lines only tell the decoder of the directives
    in them. `starts` marks an object's first block in this reading: the place to open a decoder. `faults` come at or
    after the last line. `kind` is "gap" if part of the object is known to be lost.
    """

    shard: ShardId
    after: Position
    upto: Position
    origin: str
    ordinal: int
    arrival_us: int
    first_line: int = 1
    lines: int = 0
    data: bytes = b""
    faults: tuple[Fault, ...] = ()
    starts: bool = False
    skip: bool = False
    kind: str = "data"

    @property
    def ends(self) -> bool:
        """Tell whether the object has been read to its end: the place to close its decoder."""
        return self.upto >= Position(self.ordinal + 1)

    @property
    def range(self) -> SeqRange:
        """The range that the block covers."""
        return SeqRange(self.shard, self.after, self.upto, self.kind)


@dataclass(frozen=True, slots=True)
class Records:
    """Whole records of a stream's shard that lie in `(after, upto]`, as lines; every line is one record's, or its part.

    Line i of `data` has the encoded sequence number `sequences[i]`, the place `subs[i]` in its record, from 0, and
    arrived at `arrivals_us[i]`. `kind` is "gap" if records before these are known to be lost. Where `upto` is END,
    `children` names the shards that follow, each with its parents. `reaches_tip` tells that nothing is left to read.
    """

    shard: ShardId
    after: Position
    upto: Position
    origin: str
    data: bytes = b""
    sequences: pa.Array = None
    subs: npt.NDArray[np.int64] = field(default_factory=_none)
    arrivals_us: npt.NDArray[np.int64] = field(default_factory=_none)
    faults: tuple[Fault, ...] = ()
    kind: str = "data"
    children: Mapping[ShardId, tuple[ShardId, ...]] = field(default_factory=dict)
    reaches_tip: bool = False

    @property
    def range(self) -> SeqRange:
        """The range that the records cover."""
        return SeqRange(self.shard, self.after, self.upto, self.kind)


class Source(Protocol):
    """A running source, in the hands of the owner of its lane.

    The owner opens it with the pages of its lane's state, then again and again discovers and reads. A page that
    `discover` gave is committed in the first entry that reads from its objects, or before; after a lost lane the
    source is opened anew.
    """

    def shards(self) -> Sequence[ShardId]:
        """All shards, which never change."""

    def open(self, pages: Sequence[bytes]) -> None:
        """Know what was discovered, and nothing else. Raises: Corrupt, FormatTooNew, ConfigError."""

    def discover(self, now_us: int) -> bytes | None:
        """Look for new objects, and give the page that lists them, or None.

        Raises: ObjectChanged; ConfigError if there is no such source; Transient if it is out of reach.
        """

    def committed(self) -> None:
        """Hear that the pages that `discover` gave so far are committed."""

    @property
    def paces_itself(self) -> bool:
        """Tell whether `discover` may be called as often as one likes, because it looks only when it is time."""

    @property
    def waiting(self) -> int:
        """How many objects were seen by the last `discover` that cannot be read yet."""

    def merge(self, pages: Sequence[bytes]) -> bytes:
        """Make one page out of several: of two discoveries that go into one entry, or to keep a state short."""

    def read(self, shard: ShardId, after: Position) -> Iterator[Block | Records]:
        """Read a shard on from a position, to the end of what was discovered when this is called.

        The ranges of its blocks follow one another from `after`. An object stays open between two blocks: close
        the iterator if you do not exhaust it. Raises: ObjectChanged, SourceGap; Transient if an object is out of reach.
        """
