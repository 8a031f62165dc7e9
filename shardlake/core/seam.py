"""Cuts and seams: which entries of which lane are meant.

A cut is what an answer covers, lane -> number of the last entry. A seam is what a batch table has counted:
a closed cut together with the commit id of each lane's entry, so that a journal that was restored from an
older backup is noticed.
"""

from collections.abc import Mapping, Sequence

import msgspec

Cut = Mapping[int, int]  # lane -> number of its last entry that is inside; absent: none


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A place in a lane: an entry's number, and its commit id."""

    n: int
    commit: str


class Seam(msgspec.Struct, frozen=True):
    """Lane -> mark of the last entry that is counted, inclusive. A lane that is absent has counted nothing."""

    marks: dict[int, Mark] = {}

    def n(self, lane: int) -> int:
        """Number of the lane's last counted entry; 0 if there is none."""
        mark = self.marks.get(lane)
        return mark.n if mark else 0

    def cut(self) -> dict[int, int]:
        """Leave the commit ids out."""
        return {lane: mark.n for lane, mark in self.marks.items()}

    def covers(self, lane: int, n: int) -> bool:
        """Tell whether an entry is counted."""
        return n <= self.n(lane)

    def to_json(self) -> str:
        """Write the seam as it stands in a snapshot's properties."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str) -> "Seam":
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=Seam)


NOTHING = Seam()


def is_within(inner: Cut, outer: Cut) -> bool:
    """Tell whether every entry of one cut is in the other."""
    return all(n <= outer.get(lane, 0) for lane, n in inner.items())


def lowest(seams: Sequence[Seam]) -> Seam:
    """The seam above which nothing is covered by all: lane by lane the lowest mark, or none."""
    if not seams:
        return NOTHING
    shared = set.intersection(*({*seam.marks} for seam in seams))
    return Seam({lane: min((seam.marks[lane] for seam in seams), key=lambda mark: mark.n) for lane in shared})
