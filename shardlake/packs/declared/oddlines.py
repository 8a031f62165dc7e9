"""Lines whose quotes stand elsewhere than at the edges of fields, one by one.

Servers write what clients send: a user agent may hold quotes, and nothing tells them from those around it. A regular
expression, made from the fields, reads such a line: what is quoted may hold anything, the rest looks like its type.
Where the first split that fits is not the last one too, a client's text could pass for fields, and it is not read. Nor
is it where one field stands in quotes and another, which could, does not: a split could shift by one. RE2 takes time
that grows with the line and not faster.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import re2

from shardlake.packs.declared.shape import Layout

_SHAPES: Final[Mapping[str, str]] = {
    "INTEGER": r"-?[0-9]+",
    "BIGINT": r"-?[0-9]+",
    "DOUBLE": r"-?[0-9.]+(?:[eE][-+]?[0-9]+)?",
}
_MEMORY: Final = 64 << 20


class OddLog:
    """Reads odd lines of a `log`: `types` are those of the fields that are kept."""

    def __init__(self, layout: Layout, types: Mapping[str, str]) -> None:
        self._layout, self._types = layout, types
        self._pairs: dict[bool, tuple[Any, ...]]
        options = re2.Options()
        options.max_mem = _MEMORY
        self._pairs = {
            bare: tuple(re2.compile(self._expression(lazy, bare=bare), options) for lazy in ("?", ""))
            for bare in (False, True)
        }

    def __call__(self, line: bytes) -> list[str | None] | None:
        """Read a line: its pieces that are kept, None if no split fits, or more than one."""
        text = line.decode()
        first, last = self._pairs[not self._layout.quotes or '"' not in text]
        found = first.fullmatch(text)
        if found is None or found.groups() != last.fullmatch(text).groups():
            return None
        return [self._cell(found[i + 1]) for i in range(len(self._layout.columns()))]

    def _cell(self, text: str | None) -> str | None:
        if text is None:
            return None
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        return None if text in self._layout.nulls else text

    def _expression(self, lazy: str, *, bare: bool) -> str:
        """Write it so that quoted fields end as early as they can (`lazy` is ?), or as late; `bare`: or are NULL."""
        optional = len(self._layout.names) - self._layout.least
        fields = [self._field(place, name, lazy, bare=bare) for place, name in enumerate(self._layout.names)]
        needed, others = fields[: len(fields) - optional], fields[len(fields) - optional :]
        tail = r"(?: .*)?" if self._layout.more else ""
        for one in reversed(others):
            tail = rf"(?: {one}{tail})?"
        return " ".join(needed) + tail + r"[ \r]*"

    def _field(self, place: int, name: str, lazy: str, *, bare: bool) -> str:
        if place in self._layout.brackets:
            return r"(\[[^\] ]*) ([^\] ]*\])" if name else r"\[[^\]]*\]"
        nulls = "|".join(re.escape(null) for null in self._layout.nulls)
        kind = _SHAPES.get(self._types.get(name, ""))
        if place in self._layout.quotes:
            shape = rf'".*{lazy}"|{nulls}' if bare else rf'".*{lazy}"'
        elif self._layout.quotes:
            shape = rf"{kind}|{nulls}" if kind else r'[^ "]*'
        else:
            shape = rf'".*{lazy}"|[^ "]*'
        return f"({shape})" if name else f"(?:{shape})"


class OddCsv:
    """Reads odd lines of `csv`: Python's reader decides, where it sees no fault."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __call__(self, line: bytes) -> list[str | None] | None:
        """Read a line: its pieces that are kept, None if its quotes do not match or it has too few or many fields."""
        cells = self._cells(line.decode())
        if cells is None:
            return None
        least, most = self._layout.widths()
        if not least <= len(cells) <= most:
            return None
        return self._kept(cells)

    def _cells(self, line: str) -> list[str] | None:
        """Cut a line; a carriage return, which ends a line to the reader, is a mark meanwhile."""
        cut = self._layout.delimiter
        text = line.rstrip(cut) if cut == " " else line
        if not self._layout.is_quoted:
            return text.split(cut)
        try:
            mark = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark not in text)
            [cells] = csv.reader([text.replace("\r", mark)], delimiter=cut, strict=True)
        except (csv.Error, ValueError, StopIteration):
            return None
        return [cell.replace(mark, "\r") for cell in cells]

    def _kept(self, cells: Sequence[str]) -> list[str | None]:
        names = self._layout.pieces(self._layout.widths()[1])
        there = dict(zip(names, cells, strict=False))
        kept = [there.get(name) for name in self._layout.columns()]
        return [None if cell in self._layout.nulls else cell for cell in kept]
