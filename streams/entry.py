"""From a chunk to the objects of one entry: duplicates marked, the segment, a partial for each view, letters.

Everything is computed from the same rows, so nothing can straddle a seam. What comes out is bytes; the lane
gives them names and commits them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shardlake.adapters.arrow import bools
from shardlake.adapters.engine import Engine
from shardlake.core.errors import SqlFailed
from shardlake.core.journal.objects import Counts, Manifest, PartialRef, RangeRow
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView
from shardlake.core.windows import Windows
from shardlake.packs.pack import Reason
from streams.chunk import Chunk
from streams.dedup import Halves, Seen, hash_ids
from streams.expelling import Failure, expelled, is_expelling, partial_of
from streams.lane import Prepared
from streams.poison import Isolated

SEGMENT, LETTERS_NAME, PAGE = "segment.parquet", "letters.parquet", "page.json"


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of a prepared chunk, to be remembered once it is committed."""

    slices: Sequence[tuple[str, int, int]]
    halves: Halves
    fresh: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Built:
    """A chunk's objects, the ids to remember after its commit, and the views that could not be computed over it."""

    prepared: Prepared
    ids: Ids | None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Partial:
    view: CompiledView
    rows: pa.Table
    windows: Windows | None

    @property
    def file(self) -> str:
        return f"partial-{self.view.name}-{self.view.fingerprint}.parquet"

    def ref(self, refs: Mapping[str, ObjectRef]) -> PartialRef:
        return PartialRef(self.view.name, self.view.fingerprint, refs[self.file], self.rows.num_rows, self.windows)


def build(
    chunk: Chunk,
    schema: SourceSchema,
    views: Sequence[CompiledView],
    seen: Seen,
    ancestors: Mapping[str, tuple[str, ...]],
    engine: Engine,
    limits: Limits,
    page: bytes | None = None,
) -> Built:
    """Compute the objects of an entry. `page` lists the files that were discovered with it, if any.

    Rows on which a view fails by itself become dead letters of the chunk. Raises: Transient.
    """
    allowed = dict.fromkeys((view.name for view in views), limits.poison_rows_max)
    while True:
        events, ids = _mark(chunk, schema, seen, ancestors, engine)
        partials, failed = _partials(events, views, engine, limits)
        if not _expel(chunk, events, failed, allowed, engine):
            break
    letters = chunk.letters()
    files: dict[str, bytes | memoryview] = {p.file: to_parquet(p.rows) for p in partials}
    if events.num_rows:
        files[SEGMENT] = _segment(events, schema)
    if letters.num_rows:
        files[LETTERS_NAME] = to_parquet(letters)
    if page is not None:
        files[PAGE] = page
    ranges = tuple(RangeRow.of(found) for found in chunk.ranges())
    counts = Counts(events.num_rows, events.num_rows - int(_fresh_count(events)), letters.num_rows)
    spans = _span(events, schema.event_time)

    def manifest(lane: int, number: int, refs: Mapping[str, ObjectRef]) -> Manifest:
        return Manifest(
            lane,
            number,
            schema.name,
            ranges,
            counts,
            dict(chunk.parents()),
            spans,
            refs.get(SEGMENT),
            tuple(p.ref(refs) for p in partials),
            refs.get(LETTERS_NAME),
            refs.get(PAGE),
        )

    arrival = _span(events, "_arrival")
    remembered = int(ids.fresh.sum()) if ids else 0
    prepared = Prepared(ranges, files, manifest, remembered, arrival[1] if arrival else 0)
    return Built(prepared, ids, tuple(one.view.name for one in failed))


def to_parquet(table: pa.Table, **options: Sequence[str]) -> memoryview:
    """Write a table as one Parquet file in memory; `options` are the writer's own."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1, store_schema=False, **options)
    return memoryview(sink.getvalue())


def _segment(events: pa.Table, schema: SourceSchema) -> memoryview:
    """Write events for readers that take whole entries: numbers and ids as they are, statistics of the time alone.

    Dictionaries of numbers and of ids are made and thrown away again, and nobody looks for anything else than times
    in a segment: a third less CPU than with the writer's defaults. A chunk's pieces bring dictionaries of their own,
    after the first of which the writer would write each text in full: another third, and a seventh of the bytes.
    """
    texts = [
        field.name
        for field in events.schema
        if pa.types.is_dictionary(field.type) or (pa.types.is_string(field.type) and field.name != schema.event_id)
    ]
    return to_parquet(events.unify_dictionaries(), use_dictionary=texts, write_statistics=[schema.event_time])


def _mark(
    chunk: Chunk, schema: SourceSchema, seen: Seen, ancestors: Mapping[str, tuple[str, ...]], engine: Engine
) -> tuple[pa.Table, Ids | None]:
    events = chunk.events() if chunk.pieces else pa.table({})
    if not events.num_rows:
        return events, None
    if schema.event_id is None:
        return events.append_column("_duplicate", bools(np.zeros(events.num_rows, dtype=bool))), None
    slices = chunk.slices()
    halves, known = hash_ids(engine, events[schema.event_id])
    duplicate = seen.mark(slices, ancestors, halves, known)
    return events.append_column("_duplicate", bools(duplicate)), Ids(slices, halves, known & ~duplicate)


def _partials(
    events: pa.Table, views: Sequence[CompiledView], engine: Engine, limits: Limits
) -> tuple[list[_Partial], list[Failure]]:
    done: list[_Partial] = []
    failed: list[Failure] = []
    for view in views if events.num_rows else ():
        try:
            rows = partial_of(view, events, engine)
        except SqlFailed as error:  # without its partial, if no row is at fault: the view's answers say why they fail
            failed.append(Failure(view, error))
        else:
            done.append(_Partial(view, rows, windows_of(rows, view, limits)))
    return done, failed


def _expel(chunk: Chunk, events: pa.Table, failed: Sequence[Failure], allowed: dict[str, int], engine: Engine) -> bool:
    """Take rows out of a chunk that are at fault for failures, of each view as many as are allowed. Tell if any was.

    Then everything is computed anew: a copy of such a row is no duplicate any more.
    """
    if not failed or not is_expelling(chunk.limits):
        return False
    if any(piece.raw is None for piece in chunk.pieces if piece.rows.num_rows):  # their lines are not known
        return False
    rows: dict[int, str] = {}
    for failure in (one for one in failed if one.view.name in allowed):
        name = failure.view.name
        found = expelled(failure, events, engine, allowed[name])
        if found is None:  # no row is at fault, and none will be
            del allowed[name]
            continue
        allowed[name] -= len(found.rows)
        rows |= {row: found.detail for row in found.rows if row not in rows}
        first = chunk.place(found.rows[0])
        chunk.isolated.append(Isolated(name, len(found.rows), found.attempts, found.kind, first))
    chunk.expel(rows, Reason.POISON_VIEW.value)
    return bool(rows)


def windows_of(rows: pa.Table, view: CompiledView, limits: Limits) -> Windows | None:
    """The windows that a view's partial rows touch; None if the view has none, or a row's window is NULL."""
    if view.window is None or view.window_us is None or rows[view.window].null_count:
        return None
    starts = pc.unique(rows[view.window]).cast(pa.int64()).to_pylist()
    return Windows.of(starts, view.window_us, limits.windows_runs_max)


def _fresh_count(events: pa.Table) -> int:
    if not events.num_rows:
        return 0
    return int(pc.sum(pc.invert(events["_duplicate"]).cast("int64")).as_py())


def _span(events: pa.Table, column: str) -> tuple[int, int] | None:
    if not events.num_rows:
        return None
    span = pc.min_max(events[column].cast(pa.int64())).as_py()
    return (span["min"], span["max"])
