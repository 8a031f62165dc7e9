"""Where the fields of delimited lines stand, by positions of bytes, and whether their quotes are in order."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shardlake.packs.declared.lines import Flags, Indices, Lines

_PASSED: Final = "\x1f"  # begins the name of a piece that is not kept, and no name of a field
_QUOTE: Final = ord('"')


@dataclass(frozen=True, slots=True)
class Layout:
    """How a line is cut, and which of its fields are kept.

    `names` has one name for each field, "" for one to pass over. The CSV reader sees two pieces of a field in brackets,
    which has a space inside. `quotes` are the fields that may be in quotes, if that is told. A line has at least
    `least` fields, and at most as many as there are names unless there may be `more`.
    """

    names: tuple[str, ...]
    brackets: frozenset[int]
    quotes: frozenset[int]
    delimiter: str
    is_quoted: bool
    is_doubled: bool
    nulls: tuple[str, ...]
    least: int
    more: bool

    def pieces(self, width: int) -> list[str]:
        """Name the pieces of a line of so many pieces; what is passed over has a name with a mark."""
        found: list[str] = []
        for place, name in enumerate(self.names):
            kept = name or f"{_PASSED}{place}"
            found += [f"{kept}[", f"{kept}]"] if place in self.brackets else [kept]
        found += [f"{_PASSED}{place}" for place in range(len(found), width)]
        return found[:width]

    def widths(self) -> tuple[int, int]:
        """Give the least and the greatest number of pieces of a line."""
        extra = len(self.brackets)
        return self.least + extra, len(self.names) + extra

    def columns(self) -> tuple[str, ...]:
        """Name the pieces that are kept."""
        most = self.widths()[1]
        return tuple(name for name in self.pieces(most) if not name.startswith(_PASSED))


@dataclass(frozen=True, slots=True)
class Shape:
    """Of each line, its number of pieces, where what is read of it stops, and whether it has to be read by itself.

    That is so if its quotes stand elsewhere than at the edges of fields, or a carriage return inside of it, which to
    the CSV reader is a newline. Spaces at the end of a line end no field. Of pieces that nobody names, none is read.
    """

    widths: Indices
    stops: Indices
    is_odd: Flags

    @staticmethod
    def of(lines: Lines, layout: Layout) -> "Shape":
        """Find the shape of all lines of a block."""
        data = np.frombuffer(lines.block, np.uint8)
        cuts = np.flatnonzero(data == ord(layout.delimiter)).astype(np.int64)
        is_odd = np.zeros(len(lines), np.bool_)
        if b"\r" in lines.block:
            inner = np.flatnonzero(data == ord("\r"))
            at = np.searchsorted(lines.nexts, inner, side="right")
            is_odd[at[inner < lines.ends[at]]] = True
        if layout.is_quoted and b'"' in lines.block:
            quotes = np.flatnonzero(data == _QUOTE).astype(np.int64)
            is_odd |= _odd_quotes(lines, data, quotes, layout)
            before = np.searchsorted(quotes, lines.starts)
            inside = (np.searchsorted(quotes, cuts) - before[np.searchsorted(lines.nexts, cuts, side="right")]) & 1
            cuts = cuts[inside == 0]
            if layout.quotes:
                is_odd |= _misplaced(lines, quotes, cuts, layout)
        stops = _without_spaces(lines, data) if layout.delimiter == " " else lines.ends
        first = np.searchsorted(cuts, lines.starts)
        widths = np.searchsorted(cuts, stops) - first + 1
        most = layout.widths()[1]
        if layout.more and (wide := np.flatnonzero(widths > most)).size:
            stops = stops.copy()
            stops[wide] = cuts[first[wide] + most - 1]
            widths[wide] = most
        return Shape(widths.astype(np.int64), stops, is_odd)


def _without_spaces(lines: Lines, data: npt.NDArray[np.uint8]) -> Indices:
    stops = lines.ends.copy()
    ending = (
        (lines.lengths > 0) & (data[np.maximum(lines.ends - 1, 0)] == ord(" ")) if len(lines) else lines.lengths > 0
    )
    for at in np.flatnonzero(ending).tolist():
        stops[at] = lines.starts[at] + len(lines.one(at).rstrip(b" "))
    return stops


def _odd_quotes(lines: Lines, data: npt.NDArray[np.uint8], quotes: Indices, layout: Layout) -> Flags:
    """Tell which lines have quotes that neither open a field at its start nor close it at its end."""
    owner = np.searchsorted(lines.nexts, quotes, side="right")
    first = np.searchsorted(quotes, lines.starts)
    closes = ((np.arange(len(quotes)) - first[owner]) & 1) == 1
    before = data[np.maximum(quotes - 1, 0)]
    after = data[np.minimum(quotes + 1, len(data) - 1)]
    cut = ord(layout.delimiter)
    opens_well = (quotes == lines.starts[owner]) | (before == cut)
    closes_well = (quotes + 1 >= lines.ends[owner]) | (after == cut)
    if layout.is_doubled:
        opens_well |= before == _QUOTE
        closes_well |= after == _QUOTE
    is_odd = np.zeros(len(lines), np.bool_)
    is_odd[owner[np.where(closes, ~closes_well, ~opens_well)]] = True
    counts = np.searchsorted(quotes, lines.ends) - first
    is_odd |= (counts & 1) == 1
    return is_odd


def _misplaced(lines: Lines, quotes: Indices, cuts: Indices, layout: Layout) -> Flags:
    """Tell which lines have quotes around a field that is not written so: a client's text may have put them there."""
    owner = np.searchsorted(lines.nexts, quotes, side="right")
    piece = np.searchsorted(cuts, quotes) - np.searchsorted(cuts, lines.starts)[owner]
    may = np.zeros(int(piece.max(initial=0)) + len(layout.names) + len(layout.brackets) + 1, np.bool_)
    places = [place for place, name in enumerate(_by_piece(layout)) if name in layout.quotes]
    may[places] = True
    is_odd = np.zeros(len(lines), np.bool_)
    is_odd[owner[~may[piece]]] = True
    return is_odd


def _by_piece(layout: Layout) -> list[int]:
    """Give the field of each piece."""
    return [place for place in range(len(layout.names)) for _ in range(2 if place in layout.brackets else 1)]
