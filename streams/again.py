"""Dead letters read once more: each line by itself, by the present pack and configuration.

A letter keeps its line and nothing of what stood above it. So a line is read by the fields that are configured, or by
those that the pack has for a stream; where a header is needed, it is told that there is none. A line on which the pack
fails stays a letter, as does one on whose row a view fails.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.adapters.arrow import bools
from shardlake.adapters.engine import Engine
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, SeqRange, ShardId, encode_number
from shardlake.core.view import CompiledView
from shardlake.packs.pack import Decoded, Decoder, Pack, Reason
from streams.chunk import Chunk, Piece
from streams.expelling import expelled, failing, is_expelling
from streams.poison import Culprit, Part, Search, explained, failed_with, is_poison, refuse
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
    weights: npt.NDArray[np.int32] | None = None

    def without(self, rows: Mapping[int, str]) -> "Again":
        """Let the letters of some rows be none of its rows, each with what is to be told of it."""
        is_kept = np.ones(self.rows.num_rows, dtype=bool)
        is_kept[sorted(rows)] = False
        more = [Failing(int(self.letters[row]), Reason.POISON_VIEW.value, detail) for row, detail in rows.items()]
        return Again(
            self.rows.filter(bools(is_kept)),
            self.letters[is_kept],
            tuple(sorted((*self.failing, *more), key=lambda one: one.index)),
            None if self.weights is None else self.weights[is_kept],
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """What some of the letters became: rows of the lines `at`, and lines that are none, with reason and detail."""

    rows: pa.Table
    at: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int32] | None
    failing: Sequence[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Rereading:
    """Reads letters once more. `fields` are those of lines without a header; None leaves it to the pack."""

    pack: Pack
    protection: Protection
    limits: Limits
    fields: tuple[str, ...] | None

    def read(self, letters: pa.Table) -> Again:
        """Read letters, which are whole lines of LINES' reasons.

        Raises: ConfigError for fields that are none; Transient if the pack fails over no line at all.
        """
        lines = letters["payload"].to_pylist()
        rows, places, none = [self._empty()], [np.zeros(0, np.int64)], list[Failing]()
        weights = [np.zeros(0, np.int32)]
        for origin, of in _by_origin(letters["origin"].to_pylist()):
            index = np.array(of, dtype=np.int64)
            for part in self._parts(origin, [lines[at] for at in of]):
                rows.append(part.rows)
                places.append(index[part.at])
                weights += [part.weights] if part.weights is not None else []
                none += [Failing(of[at], reason, detail) for at, reason, detail in part.failing]
        return Again(
            pa.concat_tables(rows),
            np.concatenate(places),
            tuple(sorted(none, key=lambda one: one.index)),
            np.concatenate(weights) if self.pack.schema.weighted else None,
        )

    def _parts(self, origin: str, lines: Sequence[bytes]) -> Iterator[_Part]:
        """Read lines of one origin: together, or, if the pack fails on some, those alone and the others."""
        trial = _Tries(self, origin, lines)
        try:
            yield trial.attempt(0, len(lines))
        except Exception as error:
            if not is_poison(error):
                raise
            failed = error
        else:
            return
        with explained():
            for one in Search(len(lines), trial).run(failed):
                if isinstance(one, Part):
                    yield one.result
                elif isinstance(one, Culprit):
                    detail = Reason.POISON_DECODE.value, failed_with(one.error)
                    yield _Part(self._empty(), np.zeros(0, np.int64), None, [(one.at, *detail)])

    def part(self, origin: str, lines: Sequence[bytes], first: int) -> _Part:
        """Read lines of one origin, numbered from `first`. Raises: what the pack fails with."""
        try:
            decoded, kept, silent = self._decoded(origin, lines)
            rows = self._rows(decoded)
        except Exception as error:
            refuse(error)
            raise
        failing = [(int(kept[found.index]) + first, found.reason.value, found.detail) for found in decoded.letters]
        failing += [(at + first, reason, detail) for at, reason, detail in silent]
        return _Part(rows, kept[decoded.lines] + first, decoded.weights, failing)

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


@dataclass(frozen=True, slots=True)
class _Tries:
    """Lines of one origin, read over and over; see `streams.poison.Trial`."""

    rereading: Rereading
    origin: str
    lines: Sequence[bytes]

    def attempt(self, start: int, stop: int) -> _Part:
        """Read some of them."""
        return self.rereading.part(self.origin, self.lines[start:stop], start)

    def pass_over(self, at: int) -> None:
        """A line tells nothing of another."""


def sift(again: Again, views: Sequence[CompiledView], engine: Engine, limits: Limits) -> Again:
    """Leave letters what they are whose rows make a view fail by themselves. Raises: Transient."""
    if not again.rows.num_rows or not is_expelling(limits):
        return again
    count = again.rows.num_rows
    piece = Piece(
        SeqRange(ShardId("letters"), ORIGIN, END),
        again.rows,
        encode_number(0),
        np.arange(count, dtype=np.int64),
        0,
        weights=again.weights,
    )
    chunk = Chunk(limits)
    chunk.add(piece, 0.0)
    events = chunk.events().append_column("_duplicate", bools(np.zeros(count, dtype=bool)))
    rows: dict[int, str] = {}
    for failure in failing(views, events, engine):
        found = expelled(failure, events, engine, None)
        rows |= dict.fromkeys(found.rows, found.detail) if found is not None else {}
    return again.without(rows) if rows else again


def is_cut_sql(detail: str) -> str:
    """Say in SQL whether a letter keeps only the start of its line, as `streams.letters.told` writes its detail."""
    return f"regexp_matches({detail}, '{_CUT}')"


def _by_origin(origins: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    places: dict[str, list[int]] = {}
    for at, origin in enumerate(origins):
        places.setdefault(origin, []).append(at)
    yield from places.items()
