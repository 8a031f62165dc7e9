"""KCL's positions and ours: both name a record, and a part of it, but KCL counts user records and we count lines.

A lease at (sequence, sub) tells that the user record `sub` of the record was processed; a position at (sequence, sub)
that the line `sub` was read. The two are the same where each user record is one line. Where one holds several, only the
record itself tells how many: `lines` has their number for each of its user records, and is None if it is gone, when
nothing after it depends on the second half.
"""

from collections.abc import Sequence
from itertools import accumulate

from shardlake.adapters.kcl.lease import BEGINNINGS, SHARD_END, TRIM_HORIZON, LeaseRefused
from shardlake.core.positions import END, ORIGIN, Position


def to_position(checkpoint: str, sub: int, lines: Sequence[int] | None) -> Position:
    """Say where a lease stands. Raises: ValueError for another text than KCL writes.

    >>> to_position("7", 1, [2, 3, 1])
    Position('0017.0014')
    """
    if checkpoint == SHARD_END:
        return END
    if checkpoint in BEGINNINGS:
        return ORIGIN
    return Position(int(checkpoint), sub if lines is None else sum(lines[: sub + 1]) - 1)


def from_position(shard: str, at: Position, lines: Sequence[int] | None) -> tuple[str, int]:
    """Say what a lease has that stands at a position.

    A user record is never read in part, so a position inside of one is none of ours, and is not rounded: rounded up it
    would lose lines, rounded down count them twice.
    Raises: LeaseRefused for one.

    >>> from_position("s", Position(7, 4), [2, 3, 1])
    ('7', 1)
    """
    if at in (ORIGIN, END):
        return (SHARD_END if at == END else TRIM_HORIZON), 0
    if lines is None:
        return str(at.sequence), at.sub
    ends = [upto - 1 for upto in accumulate(lines)]
    if at.sub >= ends[-1]:
        return str(at.sequence), len(lines) - 1
    if at.sub not in ends:
        raise LeaseRefused(
            f"shard {shard} stands in the middle of a record ({at.sequence}, line {at.sub}), which a lease cannot say:"
            " let `shardlake stream run` read it to its end, then export again"
        )
    return str(at.sequence), ends.index(at.sub)
