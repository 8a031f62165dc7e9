"""Decoded events on their way to one entry: bounded by rows, bytes and age.

A chunk is cut once and everything is computed from that cut: one segment, and one partial for each view, over
the same ranges. Rows keep their order of position within a shard until duplicates have been marked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.adapters.arrow import bools, constant, ints, longs, timestamps
from shardlake.core.limits import Limits
from shardlake.core.positions import END, Position, SeqRange, decode_number
from streams.letters import LETTERS, fault_of, letters_of
from streams.poison import Isolated

__all__ = ["LETTERS", "Chunk", "Piece", "Raw"]

_NEWLINE: Final = 10


@dataclass(frozen=True, slots=True)
class Raw:
    """The lines that rows came of: row i is line `at[i]` of `data`, read from `origin`."""

    data: bytes
    at: npt.NDArray[np.int64]
    origin: str

    def lines(self, rows: Sequence[int]) -> list[bytes]:
        """Give the lines of some rows."""
        newlines = np.flatnonzero(np.frombuffer(self.data, np.uint8) == _NEWLINE)
        starts, stops = np.append(0, newlines + 1), np.append(newlines, len(self.data))
        places = self.at[np.array(rows, dtype=np.int64)].tolist()
        return [self.data[int(starts[at]) : int(stops[at])] for at in places]


@dataclass(frozen=True, slots=True)
class Piece:
    """The events and dead letters of one range of one shard.

    `rows` has the source's columns, in order of position; `sequence` the encoded sequence number, one for all rows or
    one a row; `sub` the sub-sequence numbers; `arrival_us` one for all rows or one a row. `letters` has the columns of
    LETTERS. `weights` has one number a row; None means 1. `raw` holds the lines, so that a row can still become a
    letter; None where they are not known. `isolated` tells of lines on which decoding failed.
    """

    range: SeqRange
    rows: pa.Table
    sequence: str | pa.Array
    sub: npt.NDArray[np.int64]
    arrival_us: int | npt.NDArray[np.int64]
    letters: pa.Table | None = None
    parents: tuple[str, ...] = ()
    weights: npt.NDArray[np.int32] | None = None
    raw: Raw | None = None
    isolated: tuple[Isolated, ...] = ()

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        letters, lines = self.letters, self.raw
        return int(
            self.rows.nbytes + (letters.nbytes if letters is not None else 0) + (len(lines.data) if lines else 0)
        )

    def without(self, rows: Mapping[int, str], reason: str, kept_max: int) -> "Piece":
        """Make dead letters of some rows, each with its detail. Raises: ValueError if the lines are not known."""
        if self.raw is None:
            raise ValueError(f"the lines of {self.range} are not known")
        at = sorted(rows)
        faults = [
            fault_of(int(self.sub[row]), reason, rows[row], line, kept_max, self._sequence(row), self._arrival(row))
            for row, line in zip(at, self.raw.lines(at), strict=True)
        ]
        is_kept = np.ones(self.rows.num_rows, dtype=bool)
        is_kept[at] = False
        flags = bools(is_kept)
        found = [self.letters, letters_of(self.range.shard, self.raw.origin, faults, kept_max)]
        return replace(
            self,
            rows=self.rows.filter(flags),
            sequence=self.sequence if isinstance(self.sequence, str) else self.sequence.filter(flags),
            sub=self.sub[is_kept],
            arrival_us=self.arrival_us if isinstance(self.arrival_us, int) else self.arrival_us[is_kept],
            letters=pa.concat_tables([table for table in found if table is not None]),
            weights=None if self.weights is None else self.weights[is_kept],
            raw=replace(self.raw, at=self.raw.at[is_kept]),
        )

    def place(self, row: int) -> str:
        """Name a row as its dead letter would be."""
        return f"{self.range.shard}:{decode_number(self._sequence(row))}:{int(self.sub[row])}"

    def _sequence(self, row: int) -> str:
        return self.sequence if isinstance(self.sequence, str) else str(self.sequence[row].as_py())

    def _arrival(self, row: int) -> int:
        return self.arrival_us if isinstance(self.arrival_us, int) else int(self.arrival_us[row])

    def event_columns(self) -> Iterator[tuple[str, pa.Array]]:
        """The columns that every event has, but for whether it is a duplicate."""
        count = self.rows.num_rows
        yield "_shard", constant(self.range.shard, count)
        yield "_sequence", constant(self.sequence, count) if isinstance(self.sequence, str) else self.sequence
        yield "_sub", longs(self.sub)
        arrival = np.full(count, self.arrival_us) if isinstance(self.arrival_us, int) else self.arrival_us
        yield "_arrival", timestamps(arrival)
        yield "_weight", ints(np.ones(count, dtype=np.int32) if self.weights is None else self.weights)


@dataclass(slots=True)
class Chunk:
    """Pieces that will be one entry. `opened_s` is when the first one came, on the monotonic clock."""

    limits: Limits
    pieces: list[Piece] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    ends: int = 0
    opened_s: float = 0.0
    isolated: list[Isolated] = field(default_factory=list)

    def add(self, piece: Piece, since_s: float) -> None:
        """Take a piece in that waits since then; it continues its shard where the last piece of that shard ended."""
        self.opened_s = min(self.opened_s, since_s) if self.pieces else since_s
        self.pieces.append(piece)
        self.rows += piece.rows.num_rows
        self.ends += piece.range.upto == END
        self.size += piece.size
        self.isolated += piece.isolated

    def is_full(self) -> bool:
        """Tell whether a limit of rows, bytes or ended shards is reached."""
        limits = self.limits
        return self.rows >= limits.chunk_rows_max or self.size >= limits.chunk_bytes_max or self.ends >= limits.ends_max

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is to be committed as it is: old enough, or with an end for which children wait."""
        return self.ends > 0 or (bool(self.pieces) and now_s - self.opened_s >= self.limits.chunk_age_s)

    def due_in(self, now_s: float) -> float:
        """Seconds until it is due; infinite if there is nothing in it."""
        return max(0.0, self.opened_s + self.limits.chunk_age_s - now_s) if self.pieces else inf

    def ranges(self) -> tuple[SeqRange, ...]:
        """The ranges of each shard: its pieces continue one another, and those of one kind are one range."""
        joined: dict[str, list[SeqRange]] = {}
        for piece in self.pieces:
            mine, ranges = piece.range, joined.setdefault(piece.range.shard, [])
            if ranges and not mine.follows(ranges[-1]):
                raise ValueError(f"{mine} does not continue {ranges[-1]}")
            if ranges and ranges[-1].kind == mine.kind:
                ranges[-1] = SeqRange(mine.shard, ranges[-1].after, mine.upto, mine.kind)
            else:
                ranges.append(mine)
        return tuple(found for ranges in joined.values() for found in ranges)

    def upto(self, shard: str) -> Position | None:
        """How far a shard was read into this chunk; None if it is not in it."""
        return next((p.range.upto for p in reversed(self.pieces) if p.range.shard == shard), None)

    def slices(self) -> list[tuple[str, int, int]]:
        """Which rows of `events` came from which shard: (shard, start, stop)."""
        stops = np.cumsum([piece.rows.num_rows for piece in self.pieces]).tolist()
        starts = [0, *stops[:-1]]
        return [(p.range.shard, a, b) for p, a, b in zip(self.pieces, starts, stops, strict=True)]

    def events(self) -> pa.Table:
        """All rows with their event columns, duplicates not yet marked."""
        return pa.concat_tables(_with_columns(piece) for piece in self.pieces)

    def expel(self, rows: Mapping[int, str], reason: str) -> None:
        """Make dead letters of some rows of `events`, each with its detail: from now on they are none of its events.

        Raises: ValueError where the lines that they came of are not known.
        """
        for at, (_, start, stop) in enumerate(self.slices()):
            mine = {row - start: detail for row, detail in rows.items() if start <= row < stop}
            if mine:
                self.pieces[at] = self.pieces[at].without(mine, reason, self.limits.letter_bytes_max)
        self.rows -= len(rows)

    def place(self, row: int) -> str:
        """Name a row of `events` as its dead letter would be."""
        at, start = next((at, a) for at, (_, a, b) in enumerate(self.slices()) if a <= row < b)
        return self.pieces[at].place(row - start)

    def letters(self) -> pa.Table:
        """The dead letters of all pieces."""
        return pa.concat_tables([LETTERS.empty_table(), *(p.letters for p in self.pieces if p.letters is not None)])

    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """The parents of the shards that begin in this chunk."""
        return {p.range.shard: p.parents for p in self.pieces if p.parents}


def _with_columns(piece: Piece) -> pa.Table:
    table = piece.rows
    for name, column in piece.event_columns():
        table = table.append_column(name, column)
    return table
