"""Positions in a shard, and the ranges between them.

A position is a sequence number and a sub-sequence number, as in KCL's extended sequence number: for
Kinesis the record's number and its place in an aggregate, for files the object's ordinal in its bucket and
the physical line. Kinesis numbers have up to 129 digits, so no integer type of a database holds them; as
text they carry their length first, so that the order of the texts is the order of the numbers.

>>> Position(7, 2).encode() < Position(10, 1).encode()
True
>>> [Position(7, 2).encode(), ORIGIN.encode(), END.encode()]
['0017.0012', '-', '~']
"""

from dataclasses import dataclass
from typing import Final, NewType

from shardlake.core.errors import Corrupt

ShardId = NewType("ShardId", str)

_ORIGIN_RANK, _AT_RANK, _END_RANK = 0, 1, 2


@dataclass(frozen=True, slots=True, order=True)
class _Ordered:
    rank: int
    sequence: int
    sub: int


class Position(_Ordered):
    """A place in a shard: everything at or before it has been read. ORIGIN is before all, END after all."""

    __slots__ = ()

    def __init__(self, sequence: int, sub: int = 0, *, rank: int = _AT_RANK) -> None:
        if sequence < 0 or sub < 0:
            raise ValueError(f"a position counts from 0, not ({sequence}, {sub})")
        super().__init__(rank, sequence, sub)

    def encode(self) -> str:
        """Write the position as text whose order is the order of positions."""
        if self.rank != _AT_RANK:
            return "-" if self.rank == _ORIGIN_RANK else "~"
        return f"{encode_number(self.sequence)}.{encode_number(self.sub)}"

    @staticmethod
    def decode(text: str) -> "Position":
        """Read what `encode` wrote. Raises: Corrupt for any other text."""
        if text in ("-", "~"):
            return ORIGIN if text == "-" else END
        sequence, dot, sub = text.partition(".")
        if not dot:
            raise Corrupt(f"{text!r} is not a position")
        return Position(decode_number(sequence), decode_number(sub))

    def __repr__(self) -> str:
        return f"Position({self.encode()!r})"


ORIGIN: Final = Position(0, 0, rank=_ORIGIN_RANK)
END: Final = Position(0, 0, rank=_END_RANK)


def encode_number(number: int) -> str:
    """Write a number as three digits of length and its digits."""
    digits = str(number)
    return f"{len(digits):03d}{digits}"


def decode_number(text: str) -> int:
    """Read what `encode_number` wrote. Raises: Corrupt for any other text."""
    length, digits = text[:3], text[3:]
    if not (length.isdecimal() and digits.isdecimal() and int(length) == len(digits)):
        raise Corrupt(f"{text!r} is not a length and that many digits")
    return int(digits)


@dataclass(frozen=True, slots=True)
class SeqRange:
    """What lies in `(after, upto]` of one shard: the only way a range is written.

    It may be empty of rows, and of kind `gap` where records are known to be lost. An `upto` of END means
    that the shard has no more.
    """

    shard: ShardId
    after: Position
    upto: Position
    kind: str = "data"

    def __post_init__(self) -> None:
        if self.upto < self.after:
            raise ValueError(f"the range of {self.shard} ends before it begins: ({self.after}, {self.upto}]")

    def follows(self, other: "SeqRange") -> bool:
        """Tell whether this range begins where the other one of the same shard ended."""
        return self.shard == other.shard and self.after == other.upto
