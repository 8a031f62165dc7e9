"""Horizontal bars: a name, its value, its share of the total, and a bar in eighths of a character."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from shardlake.app.plotting.paper import BLOCKS, Paper, cells
from shardlake.app.plotting.units import humanised, number, unit_of
from shardlake.app.text import cell

ROWS: Final = 20  # with heading, rest and certificate they fill 24 lines
_COLOUR: Final = "cyan"
_BAR_MIN: Final = 10
_NAME_MIN: Final = 8
_HEAD_WIDTH: Final = 12


@dataclass(frozen=True, slots=True)
class Bars:
    """Names with their values, in the order in which they are drawn."""

    name: str
    value: str
    names: Sequence[str]
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Line:
    """What stands before a bar."""

    name: str
    value: str
    share: str

    def text(self, widths: Sequence[int], paper: Paper) -> str:
        """Write it in columns, numbers to the right."""
        room = widths[1] - 2
        value = self.value if cells(self.value) <= room else paper.fitted(self.value, room).strip()
        return (
            paper.fitted(self.name, widths[0]) + " " * (widths[1] - cells(value)) + value + self.share.rjust(widths[2])
        )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where zero is: `left` characters are for values below it, `right` for those above."""

    left: int
    right: int
    least: float
    most: float


def draw(bars: Bars, paper: Paper, limit: int | None) -> list[str]:
    """Draw the first `limit` bars (0: all; None: what the paper has room for), and tell what the rest comes to."""
    numbers = [number(value) for value in bars.values]
    count = (min(ROWS, paper.height - 2) if limit is None else limit) or len(numbers)
    finite = [value for value in numbers if math.isfinite(value)]
    shares = _shares(numbers, finite)
    values = [_value(*pair, unit_of(bars.value)) for pair in zip(bars.values, numbers, strict=True)][:count]
    lines = [_Line(*line) for line in zip(bars.names, values, shares or [""] * len(values), strict=False)]
    rest = _rest(numbers[count:], unit_of(bars.value), sum(finite) if shares else 0)
    head = _Line(bars.name, bars.value, "share" if shares else "")
    widths = _widths([*lines, *rest], head, paper)
    axis = _axis([value for value in numbers[:count] if math.isfinite(value)], paper.width - sum(widths) - 2)
    drawn = [paper.painted(_bar(value, axis, paper), _COLOUR) for value in numbers[:count]]
    return [
        paper.dim(head.text(widths, paper).rstrip()),
        *(f"{line.text(widths, paper)}  {bar}".rstrip() for line, bar in zip(lines, drawn, strict=True)),
        *(paper.dim(f"{line.text(widths, paper)}  (--limit 0 shows all)") for line in rest),
    ]


def _shares(numbers: Sequence[float], finite: Sequence[float]) -> list[str]:
    """Write each value's share of the total, or nothing where shares mean nothing."""
    total = math.fsum(finite)
    if total <= 0 or min(finite) < 0:
        return []
    return [f"{100 * value / total:.1f} %" if math.isfinite(value) else "" for value in numbers]


def _value(value: Any, as_number: float, unit: str) -> str:
    return humanised(as_number, unit) if math.isfinite(as_number) else cell(value)


def _widths(lines: Sequence[_Line], head: _Line, paper: Paper) -> list[int]:
    """Give each column its width: names give way to numbers, and leave room for bars."""
    share = 9 if head.share else 0
    value = 2 + max([len(line.value) for line in lines] + [min(len(head.value), _HEAD_WIDTH)])
    names = max(cells(line.name) for line in (*lines, head))
    room = paper.width - value - share - 2 - _BAR_MIN
    return [min(names, max(_NAME_MIN, min(room, paper.width // 2))), value, share]


def _axis(values: Sequence[float], width: int) -> _Axis:
    least, most = min([0.0, *values]), max([0.0, *values])
    if least == 0:
        return _Axis(0, width, 0, most)
    left = round((width - 1) * (least / (least - most)))
    left = min(max(left, 1), width - (2 if most else 1))
    return _Axis(left, width - 1 - left, least, most)


def _bar(value: float, axis: _Axis, paper: Paper) -> str:
    below = ""
    if axis.left:
        size = round(value / axis.least * axis.left * 2) if value < 0 and math.isfinite(value) else 0
        whole, half = divmod(size, 2)
        below = (("▐" * half + "█" * whole) if paper.wide_characters else "#" * (whole + half)).rjust(axis.left)
        below += "│" if paper.wide_characters else "|"
    share = value / axis.most if value > 0 and math.isfinite(value) else 0.0
    return below + _above(share * axis.right, paper)


def _above(length: float, paper: Paper) -> str:
    """Draw so many characters; what is more than nothing is seen."""
    if not paper.wide_characters:
        return "#" * round(length) or ("." if length else "")
    whole, eighths = divmod(max(round(length * 8), 1 if length else 0), 8)
    return "█" * whole + BLOCKS[eighths].strip()


def _rest(numbers: Sequence[float], unit: str, total: float) -> list[_Line]:
    """Tell how many bars are left out, and what they come to where that means something."""
    if not numbers:
        return []
    rest = math.fsum(value for value in numbers if math.isfinite(value))
    name = f"{len(numbers):,} more"
    return [_Line(name, humanised(rest, unit), f"{100 * rest / total:.1f} %") if total else _Line(name, "", "")]
