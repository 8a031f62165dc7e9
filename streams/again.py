"""Dead letters read once more: each line by itself, by the present pack and configuration.

A letter keeps its line and nothing of what stood above it. So a line is read by the fields that are configured, or by
those that the pack has for a stream; where a header is needed, it is told that there is none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.core.limits import Limits
from shardlake.packs.pack import Decoded, Decoder, Pack, Reason
from streams.protect import Protection

# What a decoder says of a line; all other letters tell of something that is no line.
LINES: Final = frozenset(reason.value for reason in Reason) - {Reason.TRUNCATED_GZIP.value}
NO_EVENT: Final = "no_event"
_CUT: Final = r"\(the first [0-9]+ of [0-9]+ bytes are kept; sha256 [0-9a-f]*\)$"
_PASSES_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Failing:
    """A letter, by its place among those that were tried, that cannot be read, and why not now."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Again:
    """The rows that letters became: row i is that of letter `letters[i]`; and the letters that are still none."""

    rows: pa.Table
    letters: npt.NDArray[np.int64]
    failing: tuple[Failing, ...]


@dataclass(frozen=True, slots=True)
class Rereading:
    """Reads letters once more. `fields` are those of lines without a header; None leaves it to the pack."""

    pack: Pack
    protection: Protection
    limits: Limits
    fields: tuple[str, ...] | None

    def read(self, letters: pa.Table) -> Again:
        """Read letters, which are whole lines of LINES' reasons. Raises: ConfigError for fields that are none."""
        lines = letters["payload"].to_pylist()
        rows, places, failing = [self._empty()], [np.zeros(0, np.int64)], []
        for origin, of in _by_origin(letters["origin"].to_pylist()):
            decoded, kept, silent = self._decoded(origin, [lines[at] for at in of])
            index = np.array(of, dtype=np.int64)
            rows.append(self._rows(decoded))
            places.append(index[kept[decoded.lines]])
            failing += [Failing(of[kept[found.index]], found.reason.value, found.detail) for found in decoded.letters]
            failing += [Failing(of[at], reason, detail) for at, reason, detail in silent]
        return Again(pa.concat_tables(rows), np.concatenate(places), tuple(sorted(failing, key=lambda one: one.index)))

    def _decoded(
        self, origin: str, lines: Sequence[bytes]
    ) -> tuple[Decoded, npt.NDArray[np.int64], list[tuple[int, str, str]]]:
        """Decode lines, none of which tells how to read another: what is neither row nor letter is left out first.

        Give what was decoded, which line each of its lines is, and what was left out, with the reason.
        """
        kept = np.array([at for at, line in enumerate(lines) if b"\n" not in line], dtype=np.int64)
        silent = [(at, NO_EVENT, "it is more than a line") for at, line in enumerate(lines) if b"\n" in line]
        for _ in range(_PASSES_MAX):
            decoded = self._decoder(origin).decode(b"\n".join(lines[at] for at in kept.tolist()))
            told = np.zeros(len(kept), dtype=bool)
            told[decoded.lines] = True
            told[[found.index for found in decoded.letters]] = True
            if told.all():
                return decoded, kept, silent
            silent += [(at, NO_EVENT, "it is a header, or empty, and no event") for at in kept[~told].tolist()]
            kept = kept[told]
        why = "it is read by the header of its file, which is not kept with it"
        silent = [(at, Reason.NO_HEADER.value, why) for at in range(len(lines))]
        return self._decoder(origin).decode(b""), kept[:0], silent

    def _rows(self, decoded: Decoded) -> pa.Table:
        return self.protection.apply(self.pack.enrich(decoded.rows))

    def _empty(self) -> pa.Table:
        return self._rows(self._decoder("").decode(b""))

    def _decoder(self, origin: str) -> Decoder:
        return self.pack.open(origin, self.fields, line_bytes_max=self.limits.line_bytes_max)


def is_cut_sql(detail: str) -> str:
    """Say in SQL whether a letter keeps only the start of its line, as `streams.decode.told` writes its detail."""
    return f"regexp_matches({detail}, '{_CUT}')"


def _by_origin(origins: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    places: dict[str, list[int]] = {}
    for at, origin in enumerate(origins):
        places.setdefault(origin, []).append(at)
    yield from places.items()
