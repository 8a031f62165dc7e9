"""Which windows a file's rows lie in, so that a reader combines only those that several files hold.

Window starts are UTC microseconds. They are kept as runs, because the windows of a stretch of a stream are
mostly neighbours; past a limit the nearest runs are joined. A set may say too much but never too little: a
window that is called shared and is not costs time, one that is shared and is not called so costs the answer.

>>> Windows.of([0, 5, 10, 40], width_us=5)
Windows(width_us=5, runs=((0, 10), (40, 40)))
>>> shared([Windows(5, ((0, 20),)), Windows(5, ((15, 40),)), Windows(5, ((40, 40),))])
Windows(width_us=5, runs=((15, 20), (40, 40)))
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final, Literal

Run = tuple[int, int]  # the first and the last start of neighbouring windows, both inclusive


@dataclass(frozen=True, slots=True)
class Windows:
    """A set of windows of one width, as sorted, disjoint runs of starts. As JSON it is its two fields.

    A run counts as everything between its ends, so that starts of another phase are never missed. Rows whose
    window is NULL are in no set: a file that has some has no `Windows` but None, which means unknown.
    """

    width_us: int
    runs: tuple[Run, ...] = ()

    def __post_init__(self) -> None:
        if self.width_us < 1:
            raise ValueError(f"a window is at least 1 us wide, not {self.width_us}")
        if any(first > last for first, last in self.runs) or any(a[1] >= b[0] for a, b in pairwise(self.runs)):
            raise ValueError(f"runs are sorted and disjoint, unlike {self.runs}")

    @staticmethod
    def of(starts: Iterable[int], width_us: int, runs_max: int | None = None) -> "Windows":
        """Gather window starts, in any order and repeated, into at most `runs_max` runs."""
        return _gathered(((start, start) for start in starts), width_us, runs_max)

    def union(self, other: "Windows", runs_max: int | None = None) -> "Windows":
        """The windows of either set. Raises: ValueError if the widths differ."""
        return _gathered((*self.runs, *other.runs), _one_width((self, other)), runs_max)

    def contains(self, start: int) -> bool:
        """Tell whether the window that begins at `start` may be in the set."""
        return _covers(self.runs, (start, start))

    def intersection(self, other: "Windows") -> "Windows":
        """The windows that may be in both sets. Raises: ValueError if the widths differ."""
        return Windows(_one_width((self, other)), _twice((self, other)))

    def intersects(self, other: "Windows") -> bool:
        """Tell whether a window may be in both sets. Raises: ValueError if the widths differ."""
        return bool(self.intersection(other).runs)

    def within(self, other: "Windows") -> bool:
        """Tell whether every window of this set is in one run of the other."""
        return all(_covers(other.runs, run) for run in self.runs)

    @property
    def count(self) -> int:
        """How many windows there are."""
        return sum((last - first) // self.width_us + 1 for first, last in self.runs)


class All(Enum):
    """The set of all windows, and of the rows that have none."""

    ALL = "all"


ALL: Final = All.ALL
NO_WINDOWS: Final = Windows(1)


def shared(parts: Sequence[Windows | None]) -> Windows | Literal[All.ALL]:
    """The windows that at least two parts hold. None is a part that may hold any, so it shares with every other.

    Raises: ValueError if the widths differ.
    """
    if len(parts) < 2:
        return NO_WINDOWS
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return ALL
    return Windows(_one_width(known), _twice(known))


def _covers(runs: tuple[Run, ...], run: Run) -> bool:
    at = bisect_right(runs, run[0], key=lambda own: own[0]) - 1
    return at >= 0 and run[1] <= runs[at][1]


def _one_width(parts: Sequence[Windows]) -> int:
    widths = {part.width_us for part in parts}
    if len(widths) != 1:
        raise ValueError(f"windows of one view have one width, not {sorted(widths)}")
    return widths.pop()


def _twice(parts: Sequence[Windows]) -> tuple[Run, ...]:
    """Sweep over the ends of all runs, openings first where two meet, and keep what two or more cover."""
    opened = [(first, 0) for part in parts for first, _ in part.runs]
    closed = [(last, 1) for part in parts for _, last in part.runs]
    found: list[Run] = []
    depth, begin = 0, 0
    for at, closes in sorted(opened + closed):
        depth += -1 if closes else 1
        if depth == 2 and not closes:
            begin = at
        elif depth == 1 and closes:
            found.append((begin, at))
    return _joined(found, _one_width(parts))


def _gathered(runs: Iterable[Run], width_us: int, runs_max: int | None) -> Windows:
    joined = _joined(sorted(runs), width_us)
    if runs_max is not None and len(joined) > max(runs_max, 1):
        joined = _fewer(joined, max(runs_max, 1))
    return Windows(width_us, joined)


def _joined(ordered: Iterable[Run], width_us: int) -> tuple[Run, ...]:
    """Join runs that overlap or are neighbours. They come ordered by their first."""
    joined: list[Run] = []
    for first, last in ordered:
        if joined and first - joined[-1][1] <= width_us:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


def _fewer(runs: tuple[Run, ...], runs_max: int) -> tuple[Run, ...]:
    """Keep the widest gaps between runs, and join across the others."""
    gaps = sorted(range(1, len(runs)), key=lambda i: runs[i][0] - runs[i - 1][1], reverse=True)
    begins = sorted((0, *gaps[: runs_max - 1]))
    ends = (*begins[1:], len(runs))
    return tuple((runs[begin][0], runs[end - 1][1]) for begin, end in zip(begins, ends, strict=True))
