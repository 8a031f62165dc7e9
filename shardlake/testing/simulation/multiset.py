"""A multiset in place of SQL: a view is the numbers of the events that it counts, each as often as it was counted.

Everything else is real: what is read, when, by whom, what is a duplicate, what is committed and in which order, what a
batch run takes and what a plan adds up. So a world costs milliseconds, and a number that is lost or counted twice is
seen as such.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np

from batch.audit import AuditFailed
from batch.context import Context
from batch.passes import Pass
from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.journal.objects import Counts, Manifest, PartialRef, RangeRow
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.positions import decode_number
from shardlake.core.readplan import ReadPlan, ViewPlan
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import CompiledView
from shardlake.testing.clicks import Clicks
from shardlake.testing.simulation.modes import Event, Failing, Row
from shardlake.testing.simulation.storage import MemoryObjects, PlainTables
from streams.chunk import Chunk, Piece
from streams.decode import Decoding
from streams.dedup import Halves, Seen
from streams.entry import Built, Ids
from streams.lane import Prepared, Remembered
from streams.memory import IdObjects
from streams.poison import Patience
from streams.protect import Protection
from streams.sources.port import Block, Records

SCHEMA: Final = SourceSchema(
    "numbers",
    (Column("at", "TIMESTAMP"), Column("serial", "BIGINT"), Column("id", "VARCHAR")),
    event_time="at",
    event_id="id",
)
CHANGES: Final = replace(SCHEMA, event_id=None, weighted=True)
SEGMENT: Final = "segment.json"
DATES: Final = ("2026-01-01", "2026-01-02")  # the partitions of a view's table, by turns
_MASK: Final = (1 << 64) - 1
_SPREAD: Final = 0x9E3779B97F4A7C15


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of a segment or of the master dataset."""

    shard: str
    sequence: str
    sub: int
    serial: int
    id: int | None
    is_duplicate: bool = False


class _Change(msgspec.Struct):
    Weight: int
    Image: dict[str, dict[str, str]]


_encode = msgspec.json.Encoder().encode
_change_of = msgspec.json.Decoder(_Change).decode
_lines_of = msgspec.json.Decoder(list[Line]).decode
_numbers_of = msgspec.json.Decoder(list[int]).decode
_hashes_of = msgspec.json.Decoder(list[tuple[str, list[int], list[int]]]).decode


class Lines(list[Line]):
    """Rows, where the code under test knows a table by its number of rows and of bytes."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self)

    @property
    def nbytes(self) -> int:
        """What they would take."""
        return 64 * len(self)


@cache
def compiled(name: str, schema: SourceSchema) -> CompiledView:
    """A view for its name and fingerprint; its SQL is never run."""
    return compile_view(name, f"SELECT serial AS {name}, count(*) AS n FROM numbers GROUP BY serial", schema)


@cache
def _engine() -> Engine:
    return Engine()  # asked for by signatures, and never used


def line_of(event: Event) -> bytes:
    """Write an event as a producer would."""
    if event.is_broken:
        return b"?%d" % event.serial
    return b"%d" % event.serial if event.id is None else b"%d %d" % (event.serial, event.id)


def _event_of(text: bytes) -> tuple[int, int | None] | None:
    """Read a line: a number and perhaps an id, or an image of a table, which is below zero when it is taken back."""
    if text.startswith(b"{"):
        change = _change_of(text)
        return None if "N" not in change.Image["serial"] else (change.Weight * int(change.Image["made"]["N"]), None)
    if text.startswith(b"?"):
        return None
    serial, _, event_id = text.partition(b" ")
    return int(serial), int(event_id) if event_id else None


class PlainDecoding(Decoding):
    """Reads lines of numbers."""

    def __init__(self) -> None:
        super().__init__(Clicks(), Protection(), Limits())

    def piece(self, block: Block | Records, patience: Patience = Patience()) -> Piece:  # noqa: B008 - frozen
        """Decode a block."""
        del patience
        assert isinstance(block, Records)
        lines = Lines()
        if block.data:
            sequences, subs = block.sequences.to_pylist(), block.subs.tolist()
            for text, sequence, sub in zip(block.data.removesuffix(b"\n").split(b"\n"), sequences, subs, strict=True):
                event = _event_of(text)
                if event is not None:
                    lines.append(Line(block.shard, sequence, sub, *event))
        arrival_us = int(block.arrivals_us[-1]) if len(block.arrivals_us) else 0
        return Piece(block.range, lines, "", block.subs, arrival_us)


def _halves(ids: Sequence[int]) -> Halves:
    low = [(number * _SPREAD) & _MASK for number in ids]
    return np.array([low, ids], dtype=np.uint64).reshape(2, len(ids))


class PlainIds:
    """Ids as JSON. See `streams.memory.IdObjects` for the contract."""

    def of_segments(self, segments: Iterable[bytes]) -> Iterator[tuple[str, Halves]]:
        """Hash the ids of those rows that are not duplicates."""
        by_shard: dict[str, list[int]] = {}
        for line in (line for data in segments for line in _lines_of(data)):
            if line.id is not None and not line.is_duplicate:
                by_shard.setdefault(line.shard, []).append(line.id)
        yield from ((shard, _halves(ids)) for shard, ids in by_shard.items())

    def read(self, data: bytes) -> Iterator[tuple[str, Halves]]:
        """Read an object of hashes."""
        for shard, low, high in _hashes_of(data):
            yield shard, np.array([low, high], dtype=np.uint64).reshape(2, len(low))

    def write(self, found: Iterable[tuple[str, Halves]]) -> Remembered:
        """Write an object of hashes, each of a shard once."""
        by_shard: dict[str, dict[int, int]] = {}
        for shard, halves in found:
            low, high = halves.tolist()
            by_shard.setdefault(shard, {}).update(zip(low, high, strict=True))
        rows = [(shard, list(pairs), list(pairs.values())) for shard, pairs in by_shard.items()]
        return Remembered(memoryview(_encode(rows)), sum(len(low) for _, low, _ in rows))


class PlainSteps:
    """An entry of numbers. See `streams.steps.Steps` for the contract."""

    ids: IdObjects | None = PlainIds()

    def __init__(self, views: Sequence[CompiledView], fails: Failing) -> None:
        self._views, self._fails = views, fails

    def build(self, chunk: Chunk, seen: Seen, ancestors: Mapping[str, tuple[str, ...]], page: bytes | None) -> Built:
        """Make the objects of an entry."""
        assert page is None
        lines = [line for piece in chunk.pieces for line in piece.rows]
        ids, duplicate = _ids(chunk, lines, seen, ancestors) if lines else (None, [])
        marked = [
            msgspec.structs.replace(line, is_duplicate=True) if again else line
            for line, again in zip(lines, duplicate, strict=True)
        ]
        fresh = [line.serial for line in marked if not line.is_duplicate]
        done = [view for view in self._views if marked and not self._fails()]
        files: dict[str, bytes | memoryview] = {_partial_name(view): _encode(fresh) for view in done}
        if marked:
            files[SEGMENT] = _encode(marked)
        arrival_us = max((piece.arrival_us for piece in chunk.pieces if isinstance(piece.arrival_us, int)), default=0)
        counts = Counts(len(marked), len(marked) - len(fresh), 0)
        failed = tuple(view.name for view in self._views if marked and view not in done)
        remembered = int(ids.fresh.sum()) if ids is not None else 0
        return Built(_prepared(chunk, done, files, counts, remembered, arrival_us), ids, failed)


def _ids(
    chunk: Chunk, lines: Sequence[Line], seen: Seen, ancestors: Mapping[str, tuple[str, ...]]
) -> tuple[Ids, list[bool]]:
    """The hashes of the ids of some lines, and which lines are duplicates."""
    slices, halves = chunk.slices(), _halves([line.id or 0 for line in lines])
    known = np.array([line.id is not None for line in lines], dtype=bool)
    duplicate = seen.mark(slices, ancestors, halves, known)
    return Ids(slices, halves, known & ~duplicate), duplicate.tolist()


def _partial_name(view: CompiledView) -> str:
    return f"partial-{view.name}.json"


def _prepared(
    chunk: Chunk,
    done: Sequence[CompiledView],
    files: Mapping[str, bytes | memoryview],
    counts: Counts,
    remembered: int,
    arrival_us: int,
) -> Prepared:
    ranges = tuple(RangeRow.of(found) for found in chunk.ranges())

    def manifest(lane: int, number: int, refs: Mapping[str, ObjectRef]) -> Manifest:
        partials = (
            PartialRef(view.name, view.fingerprint, refs[_partial_name(view)], counts.rows - counts.duplicates)
            for view in done
        )
        segment = refs.get(SEGMENT)
        return Manifest(lane, number, "numbers", ranges, counts, dict(chunk.parents()), None, segment, tuple(partials))

    return Prepared(ranges, files, manifest, remembered, arrival_us)


@dataclass(slots=True)
class PlainFiles:
    """Files of tables that are lists of numbers. See `batch.context.Files` for the contract."""

    tables: PlainTables

    def of_pass(self, context: Context, table: str, taken: Pass) -> list[TableFile]:
        """Write the rows of a pass."""
        segments = [context.store.get(m.segment) for m in taken.manifests if m.segment is not None]
        lines = [line for segment in segments for line in _lines_of(segment)]
        return [self._file(table, "", _encode(lines), len(lines))] if lines else []

    def of_view(self, context: Context, view: CompiledView, base: Snapshot, taken: Pass) -> list[TableFile]:
        """Write a view's numbers over a pass. Raises: AuditFailed."""
        found: list[int] = []
        for manifest in taken.manifests:
            fresh = _fresh(context.store.get(manifest.segment)) if manifest.segment is not None else []
            partial = manifest.partial(view.fingerprint)
            if partial is not None and _numbers_of(context.store.get(partial.object)) != fresh:
                raise AuditFailed(view.name, f"lane {manifest.lane} entry {manifest.n}", 1, ())
            found += fresh
        return self._together(base, found)

    def of_master(self, context: Context, view: CompiledView, made: Snapshot, source: Snapshot) -> list[TableFile]:
        """Write a view's numbers over the master dataset."""
        del context, view
        numbers = [number for file in source.files for number in _fresh(self.tables.files[file.path])]
        return self._together(made, numbers)

    def _together(self, base: Snapshot, numbers: Sequence[int]) -> list[TableFile]:
        old = {file.partition: _numbers_of(self.tables.files[file.path]) for file in base.files}
        files = []
        for turn, date in enumerate(DATES):
            mine = [number for number in numbers if number % len(DATES) == turn]
            if mine:
                both = old.get(date, []) + mine
                files.append(self._file(base.table, date, _encode(both), len(both)))
        return files

    def _file(self, table: str, partition: str, data: bytes, rows: int) -> TableFile:
        path = self.tables.new_file(table, partition)
        self.tables.files[path] = data
        return TableFile(path, rows, len(data), partition, None, hashlib.sha256(data).hexdigest())


def _fresh(segment: bytes) -> list[int]:
    return [line.serial for line in _lines_of(segment) if not line.is_duplicate]


class Multiset:
    """See `Rows` for the contract."""

    def __init__(self, views: Sequence[str], schema: SourceSchema = SCHEMA) -> None:
        self.schema, self.store, self.tables = schema, MemoryObjects(), PlainTables()
        self.views: Mapping[str, CompiledView] = {name: compiled(name, schema) for name in views}
        self.files = PlainFiles(self.tables)
        self.engine = _engine()

    def line(self, event: Event) -> bytes:
        """Write an event as a producer does."""
        return line_of(event)

    def decoding(self) -> Decoding:
        """Make a worker's decoding."""
        return PlainDecoding()

    def steps(self, fails: Failing) -> PlainSteps:
        """Make a worker's steps."""
        return PlainSteps(list(self.views.values()), fails)

    def rows(self, segment: ObjectRef) -> Sequence[Row]:
        """Read a segment, in its order."""
        lines = _lines_of(self.store.get(segment))
        return [Row(line.shard, decode_number(line.sequence), line.sub, line.is_duplicate) for line in lines]

    def differences(self, plan: ReadPlan, expected: Sequence[Event]) -> list[str]:
        """Compare the numbers that a plan adds up with those of some events."""
        wanted = Counter(event.serial for event in expected)
        told: list[str] = []
        for name, view in plan.views.items():
            found = Counter(self._answer(view))
            told += [f"{name}: {n} is there {found[n]} times, not {wanted[n]}" for n in _unlike(found, wanted)]
        return told

    def _answer(self, plan: ViewPlan) -> Iterator[int]:
        read: Any = _fresh if plan.from_master else _numbers_of
        for file in plan.batch.files if plan.batch else ():
            yield from read(self.tables.files[file.path])
        for partial in plan.partials:
            yield from _numbers_of(self.store.get(partial.object))
        for segment in plan.segments:
            yield from _fresh(self.store.get(segment))

    def close(self) -> None:
        """Nothing is kept."""


def _unlike(found: Counter[int], wanted: Counter[int]) -> list[int]:
    return [] if found == wanted else sorted(n for n in found | wanted if found[n] != wanted[n])
