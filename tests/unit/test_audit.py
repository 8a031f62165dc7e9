"""What batch computes is compared with what was stored, and nothing that differs is published."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.audit import AuditFailed, differing
from batch.run import run
from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Corrupt
from shardlake.core.journal import objects as stored
from shardlake.core.journal import reading, rows
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Entry
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.world import SCHEMA, World
from streams.entry import to_parquet

ENGINE = Engine()
COMPILED = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.in_memory(tmp_path, ENGINE, {name: COMPILED[name] for name in ("pages", "ever")}, 2)
    for lane, shard in enumerate(("a", "b")):
        made.discover(shard)
        made.now[lane].committer.adopt(shard)
    return made


def commit(world: World, lane: int, *, minute: int = 0) -> int:
    """Commit an entry of three events and a duplicate; give its number."""
    shard = ("a", "b")[lane]
    begin = len(world.produced[shard])
    pages, ids = ("/", "/a", None, "/"), (f"{begin}", None, f"{begin}x", f"{begin}")
    world.produced[shard].extend(
        Click(minute, None, page, 2, 0.1, found) for page, found in zip(pages, ids, strict=True)
    )
    worker = world.now[lane]
    return worker.committer.commit(world.chunk(worker, {shard: 4})).n


def tamper(world: World, lane: int, n: int, view: str, change: str | None) -> None:
    """Change the stored partial of an entry by SQL over `rows`; or take it away."""
    entry = reading.read_entry(world.inner, lane, n)
    assert entry is not None
    assert entry.manifest is not None
    manifest = stored.decode(Manifest, "m", world.store.get(entry.manifest))
    partial = next(p for p in manifest.partials if p.view == view)
    others = tuple(p for p in manifest.partials if p.view != view)
    folder = f"tampered/{world.new_id()}"
    if change is not None:
        table = pq.read_table(io.BytesIO(world.store.get(partial.object)))
        changed = ENGINE.table(change, {"rows": table})
        put = world.store.put(folder, {"partial.parquet": to_parquet(changed)})["partial.parquet"]
        found = stored.PartialRef(view, partial.fingerprint, put, changed.num_rows, partial.windows)
        others = (*others, found)
    fields = {name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"partials": others}
    ref = world.store.put(folder, {"manifest.json": stored.encode(Manifest(**fields))})["manifest.json"]
    key = rows.entry_key(lane, n)
    new = Entry(entry.lane, entry.n, entry.commit, entry.kind, ref, entry.shard, entry.at, entry.needs)
    world.inner.transact([Write(key, rows.encode(entry), rows.encode(new))])


def audited(world: World) -> None:
    run(world.context(), list(world.views.values()))


def published(world: World, view: str) -> int:
    """How many entries a view's batch table counts."""
    return sum(world.plan().views[view].seam.cut().values())


TAMPERINGS = {
    "a count": "SELECT * REPLACE (clicks__count + 1 AS clicks__count) FROM rows",
    "one count": "SELECT * REPLACE (clicks__count + (page = '/a')::INTEGER AS clicks__count) FROM rows",
    "a key": "SELECT * REPLACE (coalesce(page, '/z') AS page) FROM rows",
    "a lost row": "SELECT * FROM rows WHERE page IS DISTINCT FROM '/a'",
    "a surplus row": "SELECT * FROM rows UNION ALL SELECT * REPLACE ('/z' AS page) FROM rows WHERE page = '/a'",
    "a maximum": "SELECT * REPLACE (high__max + 1 AS high__max) FROM rows",
    "nothing left": "SELECT * FROM rows WHERE false",
}


@pytest.mark.parametrize("change", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_partial_that_differs_stops_the_publication_and_names_the_smallest_entry(world: World, change: str) -> None:
    entries = [(lane, commit(world, lane)) for lane in (0, 1, 0, 1)]
    tamper(world, *entries[2], "pages", change)
    with pytest.raises(AuditFailed, match=f"view pages: .* of lane 0 entry {entries[2][1]};") as caught:
        audited(world)
    assert caught.value.differing >= 1
    assert caught.value.sample
    assert published(world, "pages") == 0
    world.engine.run("CREATE TEMP TABLE _fresh AS SELECT 1")  # no table of the failed run is left
    world.engine.run("DROP TABLE _fresh")


def test_a_value_that_became_null_is_noticed(world: World) -> None:
    n = commit(world, 0)
    tamper(world, 0, n, "pages", "SELECT * REPLACE (CAST(NULL AS BIGINT) AS high__max) FROM rows")
    with pytest.raises(AuditFailed, match=f"of lane 0 entry {n};"):
        audited(world)


def test_sides_that_are_equal_are_published(world: World) -> None:
    for lane in (0, 1, 0):
        commit(world, lane)
    audited(world)
    assert published(world, "pages") == published(world, "ever") == 7


def test_entries_without_a_partial_are_left_out_on_both_sides(world: World) -> None:
    entries = [(lane, commit(world, lane)) for lane in (0, 1, 0)]
    tamper(world, *entries[0], "pages", None)
    audited(world)
    made = world.plan()
    assert published(world, "pages") == 7
    covered = world.covered(made.views["pages"].positions.upto)
    assert differences(VIEWS["pages"], covered, world.answers(made)["pages"]) == []


def test_the_entries_that_have_a_partial_are_audited_beside_one_without(world: World) -> None:
    entries = [(lane, commit(world, lane)) for lane in (0, 1, 0)]
    tamper(world, *entries[0], "pages", None)
    tamper(world, *entries[1], "pages", TAMPERINGS["one count"])
    with pytest.raises(AuditFailed, match=f"of lane 1 entry {entries[1][1]};"):
        audited(world)


def test_a_segment_that_lost_rows_is_noticed(world: World) -> None:
    n = commit(world, 0)
    entry = reading.read_entry(world.inner, 0, n)
    assert entry is not None
    assert entry.manifest is not None
    manifest = stored.decode(Manifest, "m", world.store.get(entry.manifest))
    assert manifest.segment is not None
    lacking = pq.read_table(io.BytesIO(world.store.get(manifest.segment))).slice(0, 2)
    put = world.store.put("tampered/segment", {"segment.parquet": to_parquet(lacking)})["segment.parquet"]
    fields = {name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"segment": put}
    ref = world.store.put("tampered/m", {"manifest.json": stored.encode(Manifest(**fields))})["manifest.json"]
    new = Entry(entry.lane, entry.n, entry.commit, entry.kind, ref)
    world.inner.transact([Write(rows.entry_key(0, n), rows.encode(entry), rows.encode(new))])
    with pytest.raises(Corrupt, match="segments hold 2 rows, their entries say 4"):
        audited(world)


# ------------------------------------------------------------------------------------------------- single values

DOUBLES = compile_view("doubles", "SELECT page, sum(weight) AS w, min(weight) AS low FROM clicks GROUP BY page", SCHEMA)


def side(name: str, values: Sequence[tuple[str | None, float | None, int, float, float | None]]) -> str:
    """Partial rows of DOUBLES as a table of the engine: page, sum, n, sum of absolutes, min."""
    names = [c.name for c in DOUBLES.columns]
    kinds = [pa.string(), pa.float64(), pa.int64(), pa.float64(), pa.float64()]
    assert len(names) == len(kinds), names
    columns = [pa.array([row[i] for row in values], kind) for i, kind in enumerate(kinds)]
    table = pa.Table.from_arrays(columns, names=names)
    ENGINE._connection.register("given", table)
    ENGINE.run(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given")
    ENGINE._connection.unregister("given")
    return name


BASE = [("/", 0.3, 3, 0.3, 0.1), (None, None, 0, 0.0, None), ("/n", math.nan, 2, math.nan, 0.1)]
OFF = 2 * 3 * 2**-53 * 0.3


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (BASE, 0),
        (list(reversed(BASE)), 0),
        ([("/", 0.3 + OFF / 2, 3, 0.3, 0.1), *BASE[1:]], 0),
        ([("/", 0.3 + 10 * OFF, 3, 0.3, 0.1), *BASE[1:]], 1),
        ([("/", math.nan, 3, 0.3, 0.1), *BASE[1:]], 1),
        ([("/", None, 3, 0.3, 0.1), *BASE[1:]], 1),
        ([BASE[0], (None, 0.0, 0, 0.0, None), BASE[2]], 1),
        ([*BASE[:2], ("/n", 0.2, 2, 0.2, 0.1)], 1),
        ([("/", math.inf, 3, math.inf, 0.1), *BASE[1:]], 1),
        (BASE[:2], 1),
        ([*BASE, ("/x", 0.0, 0, 0.0, None)], 1),
        ([("/", 0.3, 4, 0.3, 0.1), *BASE[1:]], 2),
    ],
    ids=[
        "equal",
        "another order",
        "within the bound",
        "beyond the bound",
        "NaN for a number",
        "NULL for a number",
        "a number for NULL",
        "a number for NaN",
        "an infinity for a number",
        "a row less",
        "a row more",
        "another count",
    ],
)
def test_doubles_agree_within_their_bound_and_all_else_exactly(
    theirs: list[tuple[str | None, float | None, int, float, float | None]], expected: int
) -> None:
    for one, two in ((BASE, theirs), (theirs, BASE)):
        count, sample = differing(ENGINE, DOUBLES, side("ours", one), side("theirs", two))
        assert (count, len(sample)) == (expected, min(expected, 3))


def test_sums_beyond_the_range_of_doubles_have_no_bound() -> None:
    """In another order they may overflow or not; their stated bound, of sum(|x|), is infinite on both sides."""
    huge = [("/", value, 3, math.inf, 0.1) for value in (1e308, math.inf)]
    assert differing(ENGINE, DOUBLES, side("ours", huge[:1]), side("theirs", huge[1:]))[0] == 0


def test_the_columns_of_doubles_are_as_the_cases_say() -> None:
    assert [(c.type, c.audit) for c in DOUBLES.columns] == [
        ("VARCHAR", "exact"),
        ("DOUBLE", "bounded"),
        ("BIGINT", "exact"),
        ("DOUBLE", "bounded"),
        ("DOUBLE", "exact"),
    ]


def test_equal_rows_in_another_number_differ() -> None:
    """A multiset, not a set: the same row once and twice."""
    view = COMPILED["heavy"]
    with duckdb.connect() as db:
        columns = ", ".join(f"CAST(NULL AS {c.type}) AS {c.name}" for c in view.columns)
        table = db.sql(f"SELECT {columns}").to_arrow_table()
    once = ENGINE.table("SELECT * FROM t", {"t": table})
    assert once.num_rows == 1
    ENGINE._connection.register("once", table)
    try:
        twice = "(SELECT * FROM once UNION ALL SELECT * FROM once)"
        assert differing(ENGINE, view, "once", "once")[0] == 0
        assert differing(ENGINE, view, twice, "once")[0] == 1
        assert differing(ENGINE, view, "once", twice)[0] == 1
    finally:
        ENGINE._connection.unregister("once")
