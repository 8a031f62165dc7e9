"""Values over time as lines: dots of Braille by plotille, or letters where the terminal knows ASCII only."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from shardlake.app.plotting.clockmarks import marks
from shardlake.app.plotting.paper import Paper, cells
from shardlake.app.plotting.units import tick_labels, ticks
from shardlake.app.times import Zone

_COLOURS: Final = (
    "cyan", "yellow", "green", "magenta", "bright_blue", "red", "bright_white", "bright_green", "bright_black",
)  # fmt: skip
_NAME_WIDTH: Final = 24
_LEGEND_LINES: Final = 3
_EMPTY: Final = 0x2800  # a Braille character without dots
_LETTERS: Final = "abcdefghi"
_LETTER_EVERY: Final = 24
_SLOTS_PER_TIME: Final = 4

Point = tuple[float, float]  # seconds since 1970, and a value; NaN where there is none
Cell = tuple[str, str]  # a character and its colour
Frame = tuple[float, float, float, float]  # the times and values at the edges: from, to, lowest, highest


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines by their names, the greatest first; each has its points in order of time."""

    value: str
    time: str
    unit: str
    lines: Sequence[tuple[str, Sequence[Point]]]
    zone: Zone


def draw(curves: Curves, paper: Paper) -> list[str]:
    """Draw lines with their axes and a legend, in exactly the paper's height."""
    known = [(at, value) for _, line in curves.lines for at, value in line if math.isfinite(value)]
    if not known:
        return ["no values to draw"]
    head = [f"{curves.value} by {curves.time} ({curves.zone.name})", *_legend(curves, paper)]
    height = paper.height - len(head) - 3
    scale = _scale([value for _, value in known], height)
    labels = tick_labels(scale, curves.unit)
    margin = max(map(len, labels)) + 1
    first, last = _span([at for at, _ in known])
    frame = (first, last, scale[0], scale[-1])
    size = (paper.width - margin - 1, height)
    times = sorted({at for _, line in curves.lines for at, _ in line})
    sheets = [_sheet(_stretches(line, times), frame, size) for _, line in curves.lines]
    grid = _composed(sheets, paper, size)
    rows = dict(zip((_row(value, frame, height) for value in scale), labels, strict=True))
    body = [_axis_left(rows.get(row, ""), margin, paper) + _painted(cells_, paper) for row, cells_ in enumerate(grid)]
    return [*head, *body, *_axis_below(frame, margin, size[0], curves.zone, paper)]


def _scale(values: Sequence[float], height: int) -> list[float]:
    """The marks of the axis, zero among them."""
    low, high = min(0.0, *values), max(0.0, *values)
    return ticks(low, high if high > low else low + 1.0, max(2, height // 3))


def _span(times: Sequence[float]) -> tuple[float, float]:
    first, last = min(times), max(times)
    return (first, last) if last > first else (first - 30.0, last + 30.0)


def _stretches(line: Sequence[Point], times: Sequence[float]) -> Iterator[list[Point]]:
    """Cut a line where values are NULL, and where a row is missing of times that are evenly spaced."""
    step = _step(times)
    stretch: list[Point] = []
    for at, value in line:
        broken = not math.isfinite(value) or (bool(stretch) and bool(step) and at - stretch[-1][0] > step * 1.5)
        if broken and stretch:
            yield stretch
            stretch = []
        if math.isfinite(value):
            stretch.append((at, value))
    if stretch:
        yield stretch


def _step(times: Sequence[float]) -> float:
    """Tell how far times are apart if they are those of buckets, or 0."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    if len(steps) < 2:
        return 0.0
    least = min(steps)
    even = all(abs(step / least - round(step / least)) < 1e-6 for step in steps)
    return least if even and sum(steps) / least <= _SLOTS_PER_TIME * len(times) else 0.0


# ----------------------------------------------------------------------------------------------------- drawing


def _sheet(stretches: Iterator[list[Point]], frame: Frame, size: tuple[int, int]) -> list[str]:
    """Draw one line alone, as rows of Braille from the top."""
    canvas = _canvas(frame, size)
    across, up = (frame[1] - frame[0]) / (size[0] * 2), (frame[3] - frame[2]) / (size[1] * 4)
    for stretch in stretches:
        if len(stretch) == 1:  # a single dot would be overlooked
            ((x, y),) = stretch
            canvas.line(x - across, y, x + across, y)
            canvas.line(x, y - up, x, y + up)
        for (x0, y0), (x1, y1) in pairwise(stretch):
            canvas.line(x0, y0, x1, y1)
    drawn: str = canvas.plot(linesep="\n")
    return drawn.split("\n")


def _canvas(frame: Frame, size: tuple[int, int]) -> Any:
    """Make a canvas whose last dots are the frame's upper edges: plotille's own lie a dot further."""
    from plotille import Canvas  # 0.05 s, for those who ask for lines

    first, last, low, high = frame
    across, up = size[0] * 2, size[1] * 4
    right = first + (last - first) * across / (across - 1)
    return Canvas(*size, xmin=first, ymin=low, xmax=right, ymax=low + (high - low) * up / (up - 1))


def _composed(sheets: Sequence[list[str]], paper: Paper, size: tuple[int, int]) -> list[list[Cell]]:
    """Lay the lines above one another, the greatest on top, and letter them if there are several."""
    grid: list[list[Cell]] = [[(" ", "")] * size[0] for _ in range(size[1])]
    lettered = len(sheets) > 1
    for index in reversed(range(len(sheets))):
        colour = _COLOURS[index % len(_COLOURS)]
        for row, column, character in _dots(sheets[index]):
            below = grid[row][column][0]
            if paper.wide_characters:
                grid[row][column] = (_joined(below, character), colour)
            elif below == " " or (column - index) % 2:  # where two lines meet, both are seen
                grid[row][column] = (_LETTERS[index] if lettered else "*", colour)
    if lettered and paper.wide_characters:
        for index, sheet in enumerate(sheets):
            for row, column in _letter_places(sheet, index, len(sheets)):
                grid[row][column] = (_LETTERS[index], _COLOURS[index % len(_COLOURS)])
    return grid


def _dots(sheet: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    for row, text in enumerate(sheet):
        for column, character in enumerate(text):
            if ord(character) != _EMPTY:
                yield row, column, character


def _joined(below: str, above: str) -> str:
    return chr(ord(above) | (ord(below) - _EMPTY if ord(below) > _EMPTY else 0))


def _letter_places(sheet: Sequence[str], index: int, count: int) -> Iterator[tuple[int, int]]:
    """Choose where a line bears its letter: now and then, and where the other lines do not bear theirs."""
    drawn: dict[int, list[int]] = {}
    for row, column, _ in _dots(sheet):
        drawn.setdefault(column, []).append(row)
    last = -_LETTER_EVERY
    offset = index * _LETTER_EVERY // count
    for column in sorted(drawn):
        if column - last >= _LETTER_EVERY and (column % _LETTER_EVERY >= offset or column + 1 not in drawn):
            last = column
            yield drawn[column][len(drawn[column]) // 2], column


def _painted(row: Sequence[Cell], paper: Paper) -> str:
    """Write a row, each stretch of one colour at once."""
    parts: list[tuple[str, str]] = []
    for character, colour in row:
        if parts and (parts[-1][1] == colour or character == " "):
            parts[-1] = (parts[-1][0] + character, parts[-1][1])
        else:
            parts.append((character, colour))
    if parts:
        parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
    return "".join(paper.painted(text, colour) for text, colour in parts)


def _legend(curves: Curves, paper: Paper) -> list[str]:
    """Name the lines by their letters, in columns."""
    if len(curves.lines) == 1:
        name = curves.lines[0][0]
        return [paper.fitted(name, paper.width).rstrip()] if name else []
    width = min(max(cells(name) for name, _ in curves.lines), max(_NAME_WIDTH, paper.width // _LEGEND_LINES - 5))
    across = max(1, (paper.width + 3) // (width + 5), -(-len(curves.lines) // _LEGEND_LINES))
    width = min(width, (paper.width + 3) // across - 5)
    entries = [
        paper.painted(_LETTERS[index], _COLOURS[index % len(_COLOURS)]) + " " + paper.fitted(name, width)
        for index, (name, _) in enumerate(curves.lines)
    ]
    return ["   ".join(entries[n : n + across]).rstrip() for n in range(0, len(entries), across)]


# -------------------------------------------------------------------------------------------------------- axes


def _row(value: float, frame: Frame, height: int) -> int:
    """Tell the row, from the top, whose dots a value is among."""
    return height - 1 - round((value - frame[2]) / (frame[3] - frame[2]) * (height * 4 - 1)) // 4


def _axis_left(label: str, margin: int, paper: Paper) -> str:
    plain, marked = "│┤" if paper.wide_characters else "|+"
    return label.rjust(margin - 1) + " " + (marked if label else plain)


def _axis_below(frame: Frame, margin: int, width: int, zone: Zone, paper: Paper) -> list[str]:
    """Draw the axis of time: marks, times, and below them the dates where they change."""
    corner, line, marked = "└─┬" if paper.wide_characters else "+-+"
    axis, times, dates = [line] * width, [" "] * (margin + 1 + width), [" "] * (margin + 1 + width)
    shown, free, free_below = "", 0, 0
    for at, time, day in marks(frame[0], frame[1], width // 11, zone):
        column = round((at - frame[0]) / (frame[1] - frame[0]) * (width * 2 - 1)) // 2
        begin = _placed(times, time, margin + 1 + column, free)
        if begin is None:
            continue
        axis[column] = marked
        free = begin + len(time) + 2
        if day and day != shown:
            place = _placed(dates, day, margin + 1 + column, free_below)
            if place is not None:
                shown, free_below = day, place + len(day) + 2
    below = [" " * margin + corner + "".join(axis), "".join(times).rstrip(), "".join(dates).rstrip()]
    return [*below[:2], *(text for text in below[2:] if text)]


def _placed(line: list[str], text: str, centre: int, free: int) -> int | None:
    """Write a text around a column, if it is free; tell where it begins."""
    begin = min(max(0, centre - len(text) // 2), len(line) - len(text))
    if begin < free:
        return None
    line[begin : begin + len(text)] = text
    return begin
