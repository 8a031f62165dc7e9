"""One chunk, one cut: its segment, its partials, its letters and its ranges are all of the very same rows."""

import io
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.journal.objects import Manifest, RangeRow
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position, SeqRange, ShardId
from shardlake.core.view import EVENTS, CompiledView
from shardlake.core.windows import Windows
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.testing.plain import EPOCH_US, VIEWS, Click
from shardlake.testing.world import ARROW, SCHEMA
from streams.chunk import LETTERS, Chunk, Piece
from streams.dedup import Seen
from streams.entry import Built, build

ENGINE = Engine()
COMPILED = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}
LIMITS = Limits()


def click(minute: int, page: str = "/", cost: int | None = 1, click_id: str | None = None) -> Click:
    return Click(minute, minute, page, cost, 0.5, click_id)


def piece(
    clicks: Sequence[Click], after: Position = ORIGIN, upto: Position | None = None, shard: str = "a", letters: int = 0
) -> Piece:
    rows = pa.Table.from_pylist([c.row() for c in clicks], ARROW)
    last = upto or Position(1, len(clicks))
    refused = [
        {"_shard": shard, "_sequence": "0011", "_sub": n, "_arrival": 0, "origin": "", "reason": "", "detail": ""}
        for n in range(letters)
    ]
    letter = pa.Table.from_pylist([{**row, "payload": b"no click"} for row in refused], LETTERS) if letters else None
    sub = np.arange(len(clicks), dtype=np.int64)
    return Piece(SeqRange(ShardId(shard), after, last), rows, "0011", sub, EPOCH_US, letter)


def chunk_of(*pieces: Piece, limits: Limits = LIMITS, now_s: float = 0.0) -> Chunk:
    chunk = Chunk(limits)
    for one in pieces:
        chunk.add(one, now_s)
    return chunk


def built(chunk: Chunk, *views: str, schema: Any = SCHEMA, page: bytes | None = None) -> Built:
    return build(chunk, schema, [COMPILED[name] for name in views], Seen(), {}, ENGINE, LIMITS, page)


def manifest(made: Built) -> Manifest:
    refs = {name: ObjectRef(name, len(data), "") for name, data in made.prepared.files.items()}
    return made.prepared.manifest(3, 14, refs)


def read(made: Built, name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(bytes(made.prepared.files[name])))


def same(one: pa.Table, two: pa.Table) -> bool:
    return sorted(map(repr, one.to_pylist())) == sorted(map(repr, two.to_pylist()))


TWO_PIECES = (
    piece([click(0, cost=5, click_id="x"), click(1, "/a", None), click(2, click_id="x")], letters=2),
    piece([click(9, cost=7), click(11, "/b", click_id="y")], Position(1, 3), Position(2, 2), letters=1),
    piece([click(9, cost=1, click_id="y")], shard="b", upto=END),
)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_a_partial_is_the_partial_form_over_the_segments_rows(name: str) -> None:
    made = built(chunk_of(*TWO_PIECES), name)
    view, segment = COMPILED[name], read(made, "segment.parquet")
    expected = ENGINE.table(view.partial.replace(EVENTS, "rows"), {"rows": segment})
    assert expected.num_rows
    assert same(read(made, f"partial-{name}-{view.fingerprint}.parquet"), expected)


def test_a_segment_has_every_row_of_the_chunk_with_its_position_and_its_flag() -> None:
    rows = read(built(chunk_of(*TWO_PIECES)), "segment.parquet").to_pylist()
    assert [(r["_shard"], r["_sub"], r["click_id"], r["_duplicate"]) for r in rows] == [
        ("a", 0, "x", False),
        ("a", 1, None, False),
        ("a", 2, "x", True),
        ("a", 0, None, False),
        ("a", 1, "y", False),
        ("b", 0, "y", False),
    ]
    assert {(r["_weight"], r["_sequence"]) for r in rows} == {(1, "0011")}


def test_a_segment_of_pieces_of_several_shards_names_each_shard_once() -> None:
    names = [f"clicks/shard-{n:040d}" for n in range(4)]
    made = built(chunk_of(*(piece([click(n) for n in range(250)], shard=name) for name in names)))
    assert read(made, "segment.parquet")["_shard"].to_pylist() == [name for name in names for _ in range(250)]
    file = pq.ParquetFile(io.BytesIO(bytes(made.prepared.files["segment.parquet"])))
    [shard] = [c for c in file.metadata.row_group(0).to_dict()["columns"] if c["path_in_schema"] == "_shard"]
    assert shard["total_uncompressed_size"] < 1_000  # written in full they are 50 kB


def test_a_manifest_says_what_the_objects_hold() -> None:
    made = built(chunk_of(*TWO_PIECES), "pages", "ever", page=b"page")
    found = manifest(made)
    ranges = (RangeRow("a", "-", Position(2, 2).encode()), RangeRow("b", "-", "~"))
    assert (found.lane, found.n, found.source, found.ranges) == (3, 14, "clicks", ranges)
    assert made.prepared.ranges == ranges
    assert (found.counts.rows, found.counts.duplicates, found.counts.letters) == (6, 1, 3)
    assert found.event_us == (EPOCH_US, EPOCH_US + 11 * 60_000_000)
    assert [(p.view, p.fingerprint, p.rows) for p in found.partials] == [
        (name, COMPILED[name].fingerprint, read(made, p.object.name).num_rows)
        for name, p in zip(("pages", "ever"), found.partials, strict=True)
    ]
    assert [ref.name for ref in (found.segment, found.letters, found.pages) if ref] == [
        "segment.parquet",
        "letters.parquet",
        "page.json",
    ]
    assert read(made, "letters.parquet").num_rows == 3
    assert made.prepared.ids == 3


def test_a_partial_names_the_windows_of_its_rows() -> None:
    partials = {p.view: p for p in manifest(built(chunk_of(*TWO_PIECES), "pages", "ever", "visitors")).partials}
    start = EPOCH_US - EPOCH_US % 300_000_000
    starts = {start + n * 300_000_000 for n in range(4)} & {
        us - us % 300_000_000 for us in (EPOCH_US + m * 60_000_000 for m in (0, 1, 9, 11))
    }
    assert partials["pages"].windows == Windows.of(starts, 300_000_000)
    assert partials["ever"].windows is None
    unknown = manifest(built(chunk_of(piece([Click(0, None, "/", 1, None, None), click(3)])), "visitors")).partials
    assert unknown[0].windows is None, "a row whose window is NULL is in no set of windows"


def test_a_chunk_of_nothing_but_letters_is_an_entry_too() -> None:
    made = built(chunk_of(piece([], letters=2)), "pages")
    found = manifest(made)
    assert (found.segment, found.partials, found.counts.letters) == (None, (), 2)
    assert found.ranges == (RangeRow("a", "-", Position(1, 0).encode()),)


def test_an_entry_that_only_discovers_has_a_page() -> None:
    made = built(Chunk(LIMITS), "pages", page=b"page")
    assert (sorted(made.prepared.files), made.prepared.ranges, made.ids) == (["page.json"], (), None)


def test_a_source_without_ids_has_no_duplicates() -> None:
    plain = replace(SCHEMA, event_id=None)
    made = build(chunk_of(*TWO_PIECES), plain, [COMPILED["pages"]], Seen(), {}, ENGINE, LIMITS)
    assert (manifest(made).counts.duplicates, made.prepared.ids, made.ids) == (0, 0, None)


def test_a_view_that_overflows_has_no_partial_and_the_others_have() -> None:
    sql = "SELECT page, sum(cost) AS total FROM clicks GROUP BY page"
    wide: CompiledView = compile_view("wide", sql, SCHEMA)
    chunk = chunk_of(piece([click(0, cost=2**62), click(1, cost=2**62)]))
    made = build(chunk, SCHEMA, [wide, COMPILED["pages"], COMPILED["heavy"]], Seen(), {}, ENGINE, LIMITS)
    assert made.failed == ("wide", "pages")
    assert [p.view for p in manifest(made).partials] == ["heavy"]


# -------------------------------------------------------------------------------------------------- chunks


def test_pieces_of_a_shard_join_to_one_range() -> None:
    assert [(r.shard, r.after, r.upto) for r in chunk_of(*TWO_PIECES).ranges()] == [
        ("a", ORIGIN, Position(2, 2)),
        ("b", ORIGIN, END),
    ]


def test_pieces_that_do_not_continue_one_another_are_refused() -> None:
    hole = piece([click(1)], Position(1, 9), Position(2, 1))
    with pytest.raises(ValueError, match="does not continue"):
        chunk_of(TWO_PIECES[0], hole).ranges()


def test_a_gap_is_a_range_of_its_own() -> None:
    gap = replace(TWO_PIECES[1], range=replace(TWO_PIECES[1].range, kind="gap"))
    first, second = chunk_of(TWO_PIECES[0], gap).ranges()
    assert (first.kind, second.kind) == ("data", "gap")
    assert second.follows(first)


def test_a_chunk_is_full_by_rows_by_bytes_and_due_by_age() -> None:
    rows = piece([click(n) for n in range(10)])
    assert not chunk_of(rows, limits=Limits(chunk_rows_max=11)).is_full()
    assert chunk_of(rows, limits=Limits(chunk_rows_max=10)).is_full()
    assert chunk_of(rows, limits=Limits(chunk_bytes_max=rows.rows.nbytes)).is_full()
    assert not chunk_of(rows, limits=Limits(chunk_bytes_max=rows.rows.nbytes + 1)).is_full()
    due = chunk_of(rows, limits=Limits(chunk_age_s=2.0), now_s=5.0)
    due.add(piece([click(1)], Position(1, 10), Position(1, 11)), 6.5)
    assert (due.is_due(6.9), due.is_due(7.0), Chunk(LIMITS).is_due(99.0)) == (False, True, False)


# -------------------------------------------------------------------------------------------------- time is UTC


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process lives in Nepal, a quarter of an hour off any other zone."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_log_times_are_utc_wherever_the_process_lives(far_from_utc: None) -> None:
    assert os.environ["TZ"] == "Asia/Kathmandu"
    log = b"#Version: 1.0\n#Fields: date time x-edge-location\n2026-03-01\t00:00:59\tFRA56\n"
    for block in (log, log + b"broken\n"):  # the second goes another way, line by line
        rows = CloudFront().open("E2EXAMPLE1234.2026-03-01-00.ab12cd34.gz").decode(block).rows
        assert rows["event_time"].cast(pa.int64()).to_pylist() == [1_772_323_259_000_000]


def test_the_engine_works_in_utc_wherever_the_process_lives(far_from_utc: None) -> None:
    engine = Engine()
    found = engine.table(
        "SELECT CAST(TIMESTAMPTZ '2026-03-01 00:00:00+00' AS VARCHAR) AS t, current_setting('TimeZone') z"
    )
    assert found.to_pylist() == [{"t": "2026-03-01 00:00:00+00", "z": "UTC"}]
    engine.close()


def test_a_chunk_remembers_how_far_each_shard_was_read() -> None:
    chunk = chunk_of(*TWO_PIECES)
    assert (chunk.upto("a"), chunk.upto("b"), chunk.upto("c")) == (Position(2, 2), END, None)


def test_nothing_is_written_besides_what_the_manifest_names(tmp_path: Path) -> None:
    made = built(chunk_of(*TWO_PIECES), "pages", page=b"page")
    found = manifest(made)
    named = [found.segment, found.letters, found.pages, *(p.object for p in found.partials)]
    assert sorted(ref.name for ref in named if ref) == sorted(made.prepared.files)
