r"""Cutting a stream of bytes into spans of whole lines, with their numbers.

No Python code runs per line: newlines are counted with numpy, a third of the time that `bytes.count` takes.

>>> [(s.first_line, s.data) for s in cut(iter([b"a\nb", b"b\nc"]), Cuts(4, 9, 9))]
[(1, b'a\n'), (2, b'bb\nc')]
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streams.sources.port import Fault

_NEWLINE: Final = 10


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where to cut: bytes and lines of a span, and the longest line that is handed over (at least a span's bytes)."""

    bytes_max: int
    lines_max: int
    line_bytes_max: int

    def __post_init__(self) -> None:
        if min(self.bytes_max, self.lines_max) < 1 or self.line_bytes_max < self.bytes_max:
            raise ValueError(f"a span has at least a byte and a line, and no more bytes than the longest line: {self}")


class Broken(Exception):
    """The stream ends here although it should go on. `lost` is what could not be decoded, if anything is there.

    With `inside` false all that came before is whole, with the last line; with `inside` true a line that lacks its
    newline was cut.
    """

    def __init__(self, reason: str, detail: str, *, inside: bool = True, lost: "Sample | None" = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.inside, self.lost = reason, detail, inside, lost


@dataclass(frozen=True, slots=True)
class Sample:
    """The start of some bytes, their length and their SHA-256."""

    start: bytes
    length: int
    sha256: str

    @staticmethod
    def of(pieces: Iterable[bytes], bytes_max: int) -> "Sample":
        """Take a sample without holding more than `bytes_max` and a piece."""
        start, length, digest = bytearray(), 0, hashlib.sha256()
        for piece in pieces:
            start += piece[: bytes_max - len(start)]
            length += len(piece)
            digest.update(piece)
        return Sample(bytes(start), length, digest.hexdigest())

    def fault(self, line: int, reason: str, detail: str) -> Fault:
        """Make a fault of it."""
        return Fault(line, reason, detail, self.start, self.length, self.sha256)


@dataclass(frozen=True, slots=True)
class Span:
    """Whole lines, then faults; each fault takes the number of one line. `last` is the end of the stream."""

    first_line: int
    lines: int
    data: bytes
    faults: tuple[Fault, ...] = ()
    last: bool = False

    @property
    def last_line(self) -> int:
        """The number of the last line or fault; that before the first if there is none."""
        return self.first_line + self.lines + len(self.faults) - 1


def count_lines(data: bytes) -> int:
    """Count lines; the last one may lack its newline."""
    ended = int(np.count_nonzero(np.frombuffer(data, np.uint8) == _NEWLINE))
    return ended + (data[-1:] not in (b"", b"\n"))


def offset_of_line(data: bytes, index: int) -> int:
    """Find where the line of an index (from 0, at most the number of newlines) begins."""
    if index == 0:
        return 0
    return int(np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)[index - 1]) + 1


def split_after(span: Span, line: int) -> tuple[Span | None, Span]:
    """Split into what is numbered up to `line`, without its faults, and the rest; None if nothing is."""
    if line < span.first_line:
        return None, span
    if line >= span.first_line + span.lines - 1:
        rest = tuple(f for f in span.faults if f.line > line)
        return replace(span, faults=(), last=False), Span(line + 1, 0, b"", rest, span.last)
    known = line - span.first_line + 1
    at = offset_of_line(span.data, known)
    head = Span(span.first_line, known, span.data[:at])
    return head, replace(span, first_line=line + 1, lines=span.lines - known, data=span.data[at:])


def cut(pieces: Iterator[bytes], cuts: Cuts) -> Iterator[Span]:
    """Cut pieces into spans. The pieces may end with `Broken`: then the good lines come, and faults for the rest.

    A line longer than `line_bytes_max` becomes a fault with its first bytes. At most one span, one such line and one
    piece are held in memory. Exactly one span, the last, has `last`.
    """
    cutter = _Cutter(cuts)
    try:
        for piece in pieces:
            yield from cutter.take(piece)
    except Broken as broken:
        yield from cutter.end(broken)
    else:
        yield from cutter.end(None)


class _Cutter:
    """What was read and not yet given: whole lines, the start of a line, or a line that is too long to be kept."""

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self._line = 1  # the number of the first line that was not given
        self._whole: list[memoryview | bytes] = []
        self._whole_size = 0
        self._tail: list[memoryview | bytes] = []
        self._tail_size = 0
        self._long: _LongLine | None = None

    def take(self, piece: bytes) -> Iterator[Span]:
        if self._long is not None:
            piece = self._long.swallow(piece)
            if not self._long.ended:
                return
            yield self._give_long(self._long)
        newline = piece.rfind(b"\n") + 1
        if newline:
            if self._whole_size + self._tail_size + newline > self._cuts.bytes_max:
                yield from self._give()
            self._whole += [*self._tail, memoryview(piece)[:newline]]
            self._whole_size += self._tail_size + newline
            self._tail, self._tail_size = [], 0
        if newline < len(piece):
            self._tail.append(memoryview(piece)[newline:])
            self._tail_size += len(piece) - newline
        if self._tail_size > self._cuts.line_bytes_max:
            yield from self._give()
            self._long = _LongLine(self._cuts.line_bytes_max)
            self._long.swallow(b"".join(self._tail))
            self._tail, self._tail_size = [], 0

    def end(self, broken: Broken | None) -> Iterator[Span]:
        if broken is None or not broken.inside:
            self._whole += self._tail
            self._tail = []
            if self._long is not None:
                yield self._give_long(self._long)
        *spans, last = list(self._give()) or [Span(self._line, 0, b"")]
        yield from spans
        faults = self._faults(broken) if broken is not None else ()
        yield replace(last, faults=(*last.faults, *faults), last=True)

    def _faults(self, broken: Broken) -> list[Fault]:
        partial = Sample.of((bytes(part) for part in self._tail), self._cuts.line_bytes_max)
        if self._long is not None:
            partial = self._long.sample()
        if broken.lost is None:
            return [partial.fault(self._line, broken.reason, broken.detail)]
        cut_line = (
            [partial.fault(self._line, "cut_line", "the object breaks inside this line")] if partial.length else []
        )
        return [*cut_line, broken.lost.fault(self._line + len(cut_line), broken.reason, broken.detail)]

    def _give(self) -> Iterator[Span]:
        """Give the whole lines; more than one span only if a single piece is larger than a span may be."""
        data = b"".join(self._whole)
        self._whole, self._whole_size = [], 0
        while data:
            span = self._first_span(data)
            data = data[len(span.data) :]
            if len(span.data) - 1 > self._cuts.line_bytes_max:
                long = _LongLine(self._cuts.line_bytes_max)
                long.swallow(span.data)
                yield self._give_long(long)
                continue
            self._line += span.lines
            yield span

    def _first_span(self, data: bytes) -> Span:
        """Find the largest prefix of whole lines within the limits, or else the first line."""
        if len(data) > self._cuts.bytes_max:
            end = data.rfind(b"\n", 0, self._cuts.bytes_max) + 1 or data.find(b"\n") + 1
            data = data[: end or len(data)]
        lines = count_lines(data)
        if lines > self._cuts.lines_max:
            lines = self._cuts.lines_max
            data = data[: offset_of_line(data, lines)]
        return Span(self._line, lines, data)

    def _give_long(self, long: "_LongLine") -> Span:
        self._long = None
        self._line += 1
        sample = long.sample()
        fault = sample.fault(self._line - 1, "line_too_long", f"a line of {sample.length} bytes")
        return Span(fault.line, 0, b"", (fault,))


class _LongLine:
    """A line of which only the first bytes are kept; its newline is not part of it."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max, self._start, self._length, self._digest = bytes_max, bytearray(), 0, hashlib.sha256()
        self.ended = False

    def swallow(self, piece: bytes) -> bytes:
        """Take in the line's part of a piece, and give back the rest."""
        at = piece.find(b"\n")
        self.ended = at >= 0
        part, rest = (piece[:at], piece[at + 1 :]) if self.ended else (piece, b"")
        self._start += part[: max(0, self._bytes_max - len(self._start))]
        self._length += len(part)
        self._digest.update(part)
        return rest

    def sample(self) -> Sample:
        """What is known of the line."""
        return Sample(bytes(self._start), self._length, self._digest.hexdigest())
