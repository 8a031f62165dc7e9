"""A pack tried over parts of a block: each part is read by a copy of the decoder, which is kept if the part passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.packs.pack import Decoder, Letter, Pack, Reason
from streams.poison import cloned, failed_with, refuse
from streams.protect import Protection

_NEWLINE: Final = 10


@dataclass(frozen=True, slots=True)
class Read:
    """What lines became: see `shardlake.packs.pack.Decoded`, with rows that are enriched and protected."""

    rows: pa.Table
    lines: npt.NDArray[np.int64]
    letters: tuple[Letter, ...]
    weights: npt.NDArray[np.int32] | None

    def up_to(self, line: int) -> "Read":
        """Leave out what comes of a line and those behind it."""
        count = int(np.searchsorted(self.lines, line))
        letters = tuple(letter for letter in self.letters if letter.index < line)
        weights = None if self.weights is None else self.weights[:count]
        return Read(self.rows.slice(0, count), self.lines[:count], letters, weights)


def joined(parts: Sequence[Read], letters: Sequence[Letter]) -> Read:
    """Put parts together that stand in order, with letters of lines between them; there is one part at least."""
    found = sorted([letter for part in parts for letter in part.letters] + list(letters), key=lambda one: one.index)
    weights = [part.weights for part in parts if part.weights is not None]
    return Read(
        pa.concat_tables([part.rows for part in parts]),
        np.concatenate([part.lines for part in parts]),
        tuple(found),
        np.concatenate(weights) if weights else None,
    )


@dataclass(slots=True)
class Lines:
    """A block's bytes by their lines. `decoder` stands before the first line that was neither read nor passed over."""

    opened: Callable[[], Decoder]
    decoder: Decoder
    data: bytes
    lines: int
    _stops: npt.NDArray[np.int64] | None = None

    def part(self, start: int, stop: int) -> bytes:
        """Give some lines, each with its newline, if it has one."""
        if (start, stop) == (0, self.lines):
            return self.data
        return self.data[self._at(start) : self._at(stop)]

    def line(self, at: int) -> bytes:
        """Give one line as it stood there, without its newline."""
        return self.part(at, at + 1).removesuffix(b"\n")

    def pass_over(self, at: int) -> None:
        """Go on behind a line that cannot be read.

        It may be a header, which `skip` heeds. If that fails too, nothing is known of the lines below: they are read as
        if no header stood above them, rather than by another one.
        """
        decoder = cloned(self.decoder)
        try:
            decoder.skip(self.line(at))
        except Exception as error:  # noqa: BLE001 - a pack is somebody's code, and may raise anything
            refuse(error)
            decoder = self.opened()
        self.decoder = decoder

    def _at(self, line: int) -> int:
        if line in (0, self.lines):
            return 0 if line == 0 else len(self.data)
        if self._stops is None:
            self._stops = np.flatnonzero(np.frombuffer(self.data, np.uint8) == _NEWLINE) + 1
        return int(self._stops[line - 1])


@dataclass(slots=True)
class Skips(Lines):
    """Passing over lines that were read before, so that their headers are heeded; see `streams.poison.Trial`."""

    def attempt(self, start: int, stop: int) -> None:
        """Heed the headers of some lines."""
        decoder = cloned(self.decoder)
        try:
            decoder.skip(self.part(start, stop))
        except Exception as error:
            refuse(error)
            raise
        self.decoder = decoder


@dataclass(slots=True, kw_only=True)
class Attempts(Lines):
    """Reading lines; see `streams.poison.Trial`."""

    pack: Pack
    protection: Protection

    def attempt(self, start: int, stop: int) -> Read:
        """Decode, enrich and protect some lines."""
        decoder = cloned(self.decoder)
        try:
            decoded = decoder.decode(self.part(start, stop))
            rows = self.protection.apply(self.pack.enrich(decoded.rows))
        except Exception as error:
            refuse(error)
            raise
        self.decoder = decoder
        if start == 0:
            return Read(rows, decoded.lines, decoded.letters, decoded.weights)
        letters = tuple(replace(letter, index=letter.index + start) for letter in decoded.letters)
        return Read(rows, decoded.lines + start, letters, decoded.weights)

    def letter(self, at: int, error: Exception) -> Letter:
        """Make a dead letter of a line that fails."""
        return Letter(at, Reason.POISON_DECODE, failed_with(error), self.line(at))
