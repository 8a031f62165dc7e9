"""The physical lines of a block, and what is wrong with them as lines, by comparing positions of bytes.

Nothing here depends on what a format makes of a line. A line ends before its newline, and before a carriage return that
stands there; a byte order mark before it is not part of it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.packs import arrays
from shardlake.packs.pack import Letter, Reason

BOM = b"\xef\xbb\xbf"
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a block: where each begins and ends, and where the next one begins."""

    block: bytes
    starts: Indices
    ends: Indices
    nexts: Indices

    @staticmethod
    def of(block: bytes) -> "Lines":
        """Cut a block at its newlines; the last line may lack one."""
        data = _bytes(block)
        breaks = np.flatnonzero(data == ord("\n")).astype(np.int64)
        if len(block) and (not len(breaks) or breaks[-1] != len(block) - 1):
            breaks = np.append(breaks, len(block))
        starts = np.concatenate([np.zeros(1, np.int64), breaks[:-1] + 1]) if len(breaks) else breaks
        ends = breaks.copy()
        if len(breaks) and b"\r" in block:
            ends -= (ends > starts) & (data[np.maximum(ends - 1, 0)] == ord("\r"))
        if _has_marks(block):
            marked = [block.startswith(BOM, at) for at in starts.tolist()]
            starts = np.minimum(starts + len(BOM) * np.array(marked, np.int64), ends)
        return Lines(block, starts, ends, np.minimum(breaks + 1, len(block)))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Indices:
        """The bytes of each line."""
        return self.ends - self.starts

    def one(self, at: int) -> bytes:
        """Give a line."""
        return self.block[self.starts[at] : self.ends[at]]

    def raw(self, at: int) -> bytes:
        """Give a line with what stands before its newline, for a dead letter."""
        first = int(self.nexts[at - 1]) if at else 0
        return self.block[first : int(self.nexts[at])].removesuffix(b"\n")

    def blank(self) -> Flags:
        """Tell which lines hold nothing but spaces and tabs."""
        blank: Flags = self.lengths == 0
        data = _bytes(self.block)
        first = data[np.minimum(self.starts, max(len(data) - 1, 0))] if len(data) else data
        likely = (first == ord(" ")) | (first == ord("\t")) | (first == ord("\r"))
        for at in np.flatnonzero(~blank & likely).tolist():
            blank[at] = not self.one(at).strip(b" \t\r")
        return blank

    def starting_with(self, mark: bytes) -> Flags:
        """Tell which lines begin with some bytes."""
        found = np.zeros(len(self), np.bool_)
        data = _bytes(self.block)
        likely = np.flatnonzero((self.lengths > 0) & (data[np.minimum(self.starts, len(data) - 1)] == mark[0]))
        found[likely] = [self.block.startswith(mark, at) for at in self.starts[likely].tolist()]
        return found

    def not_utf8(self) -> Flags:
        """Tell which lines are not UTF-8."""
        found = np.zeros(len(self), np.bool_)
        if self.block.isascii() or _is_utf8(self.block):
            return found
        high = np.flatnonzero(_bytes(self.block) >= 0x80)
        for at in np.unique(np.searchsorted(self.nexts, high, side="right")).tolist():
            found[at] = not _is_utf8(self.one(at))
        return found

    def texts(self, rows: Indices, stops: Indices | None = None) -> pa.Array:
        """Give some lines, in order, up to `stops` if given, as texts with what ends them; they must be UTF-8."""
        ends = (self.ends if stops is None else stops)[rows]
        if _has_marks(self.block) or (ends < self.ends[rows]).any():
            places = zip(self.starts[rows].tolist(), ends.tolist(), strict=True)
            data = b"".join([piece for first, last in places for piece in (self.block[first:last], b"\n")])
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(ends - self.starts[rows] + 1)])
            return _texts(data, offsets)
        whole = _texts(self.block, np.concatenate([np.zeros(1, np.int64), self.nexts]))
        return whole if len(rows) == len(self) else whole.take(arrays.from_numpy(rows, pa.int64()))

    def letter(self, at: int, reason: Reason, detail: str) -> Letter:
        """Make a dead letter of a line."""
        return Letter(at, reason, detail, self.raw(at))


def _has_marks(block: bytes) -> bool:
    return not block.isascii() and BOM in block  # the first is far quicker


def _bytes(block: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(block, np.uint8)


def _texts(data: bytes, offsets: Indices) -> pa.Array:
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _is_utf8(data: bytes) -> bool:
    """Have Arrow look at bytes as if they were one value: it does so without a copy."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int64))
    value = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(data)])
    try:
        value.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True
