"""Each entry of a cut is on exactly one side of its view's seam, whatever happens while an answer is planned."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from serving.answer import Server, view_parts
from serving.plan import plan
from shardlake.adapters.engine import Engine
from shardlake.core.combine import finalized_sql
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Corrupt, Missing
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading
from shardlake.core.journal.objects import Counts, Manifest, PartialRef, Positions, RangeRow
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.ports import Snapshot
from shardlake.core.readplan import Base, plan_view
from shardlake.core.seam import Mark, Seam
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.racing import RacingTables
from shardlake.testing.world import SCHEMA, World, position_of

ENGINE = Engine()
COMPILED = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}
NARROW = compile_view("pages", VIEWS["pages"].sql.replace("FROM clicks", "FROM clicks WHERE cost > 3"), SCHEMA)


def clicks(count: int, begin: int = 0) -> list[Click]:
    """Events of which every third is a duplicate of the one before."""
    return [
        Click((n * 7) % 40 - 3, n % 3 or None, "/ab"[: 1 + n % 3], n, n / 3, str(n - (n % 3 == 2)))
        for n in range(begin, begin + count)
    ]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make(tmp_path, "pages", "ever")


def make(folder: Path, *views: str, lanes: int = 2) -> World:
    """A world with a shard in each lane."""
    made = World.in_memory(folder, ENGINE, {name: COMPILED[name] for name in views}, lanes)
    for lane, shard in enumerate(("a", "b")[:lanes]):
        made.discover(shard)
        made.now[lane].committer.adopt(shard)
    return made


def commit(world: World, *shards: str, count: int = 9) -> None:
    """Commit some more events of shards, an entry each."""
    for shard in shards:
        world.produced[shard].extend(clicks(count, len(world.produced[shard])))
        worker = next(w for w in world.now.values() if w.committer.lane.position(shard) is not None)
        worker.committer.commit(world.chunk(worker, {shard: count}))


def check(world: World, made: Any = None, views: Sequence[str] | None = None) -> None:
    """Compare the answers of a plan with the plain evaluation at its positions."""
    made = made or world.plan()
    for name, rows in world.answers(made).items():
        if views is None or name in views:
            assert not (told := differences(VIEWS[name], world.covered(made.views[name].positions.upto), rows)), told


def sides(world: World, name: str = "pages") -> tuple[int, int, int]:
    """How many entries a view's plan counts in its batch table, as partials, and as segments."""
    made = world.plan().views[name]
    return sum(made.seam.cut().values()), len(made.partials), len(made.segments)


# --------------------------------------------------------------------------------------------------- the pure plan


def entry(n: int, *fingerprints: str, segment: bool = True) -> Manifest:
    partials = tuple(PartialRef("pages", f, ObjectRef(f"partial-{n}-{f}", 1, ""), 1) for f in fingerprints)
    ref = ObjectRef(f"segment-{n}", 1, "") if segment else None
    return Manifest(0, n, "clicks", (), Counts(), segment=ref, partials=partials)


def test_an_entry_is_its_partial_else_its_segment_and_never_both() -> None:
    view = COMPILED["pages"]
    mine, other = view.fingerprint, NARROW.fingerprint
    beyond = [entry(3, mine), entry(4, other), entry(5), entry(6, other, mine), entry(7, segment=False)]
    base = Base(Snapshot("t", "1", Seam({0: Mark(2, "c")})), Positions(), from_master=False)
    made = plan_view(view, base, beyond, Positions())
    assert [ref.object.name for ref in made.partials] == [f"partial-3-{mine}", f"partial-6-{mine}"]
    assert [ref.name for ref in made.segments] == ["segment-4", "segment-5"]
    assert (made.seam, made.batch) == (base.seam, base.snapshot)


# ------------------------------------------------------------------------------------------------------ both sides


def test_entries_before_and_after_a_seam_are_counted_once(world: World) -> None:
    for _ in range(3):
        commit(world, "a", "b")
        check(world)
        world.batch()
        check(world)
    assert sides(world) == (10, 0, 0)
    commit(world, "a", "a", "b")
    assert sides(world) == (10, 3, 0)
    check(world)


def test_a_view_without_its_partials_is_computed_from_segments(world: World) -> None:
    commit(world, "a", "b")
    world.views["heavy"] = COMPILED["heavy"]
    assert sides(world, "heavy") == (0, 0, 2)
    check(world)


def test_a_new_view_begins_with_the_rows_of_the_master_dataset(world: World) -> None:
    commit(world, "a", "b")
    world.batch()
    world.views["visitors"] = COMPILED["visitors"]
    commit(world, "a", "b")
    made = world.plan()
    assert (made.views["visitors"].from_master, made.views["pages"].from_master) == (True, False)
    assert sides(world, "visitors") == (6, 0, 2)
    check(world, made)


def test_a_partial_of_another_definition_is_not_merged(world: World) -> None:
    commit(world, "a", "b")
    world.batch()
    commit(world, "a")
    world.views["pages"] = NARROW
    rows = world.answers(world.plan())["pages"]
    assert sum(row["clicks"] for row in rows) == sum((c.cost or 0) > 3 for c in world.covered(dict.fromkeys("ab", "~")))
    assert sides(world) == (6, 0, 1)


def test_a_view_whose_table_lags_behind_another_is_complete(world: World) -> None:
    commit(world, "a", "b")
    world.batch()
    kept = dict(world.views)
    del world.views["ever"]
    commit(world, "a", "b")
    world.batch()
    world.views.update(kept)
    commit(world, "b")
    made = world.plan()
    assert made.views["pages"].seam != made.views["ever"].seam
    assert made.views["pages"].positions == made.views["ever"].positions
    check(world, made)


# ------------------------------------------------------------------------------------------------- cuts and races


@pytest.mark.parametrize("load", [1, 2])
def test_a_batch_run_between_two_loads_changes_no_answer(world: World, load: int) -> None:
    """Tables are read before heads: so no seam lies beyond the cut."""
    commit(world, "a", "b")
    world.batch()

    def meanwhile() -> None:
        commit(world, "a", "b")
        world.batch()

    made = world.plan(RacingTables(world.tables, meanwhile, load=load))
    for found in made.views.values():
        assert all(made.cut.covers(lane, n) for lane, n in found.seam.cut().items())
        assert found.positions == made.views["pages"].positions
    assert made.cut.cut() == {0: 4, 1: 4}, "what was acknowledged before the heads were read is inside"
    check(world, made)


def test_a_cut_holds_every_acknowledged_commit_and_never_goes_back(world: World) -> None:
    for _ in range(3):
        commit(world, "a", "b")
        cut = world.plan().cut
        assert all(cut.covers(lane, worker.committer.lane.head.n) for lane, worker in world.now.items())
        world.batch()
        assert world.plan().cut == cut


def test_a_table_that_was_replaced_meanwhile_means_to_plan_again(world: World) -> None:
    commit(world, "a", "b")
    world.batch()

    class Replaced(RacingTables):
        def load(self, table: str) -> Snapshot | None:
            old, found = table, super().load(table)
            return None if old not in {row.table for row in reading.read_pointers(world.inner).values()} else found

    def meanwhile() -> None:
        world.rebuild("pages")

    commit(world, "a")
    check(world, world.plan(Replaced(world.tables, meanwhile, load=1)))


def test_tables_that_vanish_for_good_are_an_error(world: World) -> None:
    commit(world, "a")
    world.batch()
    for row in reading.read_pointers(world.inner).values():
        world.tables.drop(row.table)
    with pytest.raises(Missing, match="replaced faster"):
        world.plan()


class Vanishing:
    """An object store in which a partial is not there for a while: retired, say, between plan and reading."""

    def __init__(self, world: World, times: int) -> None:
        self._inner, self.times = world.store, times

    def path(self, ref: ObjectRef) -> str:
        if "partial" in ref.name and self.times:
            self.times -= 1
            raise Missing(f"object {ref.name} is not there")
        return self._inner.path(ref)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._inner, name)
        return found


def test_a_missing_file_is_never_answered_with_less(world: World) -> None:
    commit(world, "a", "b")
    for times in (1, 1000):
        store: Any = Vanishing(world, times)
        server = Server(world.inner, store, world.tables, world.views, Limits())
        if times == 1:
            rows = server.rows("SELECT sum(clicks) AS n FROM pages").rows
            assert rows == [(len(world.covered(dict.fromkeys("ab", "~"))),)]
        else:
            with pytest.raises(Missing, match="replaced faster"):
                server.rows("SELECT sum(clicks) AS n FROM pages")


# ------------------------------------------------------------------------------------------------- contradictions


def forge(world: World, *ranges: RangeRow, lane: int = 0) -> None:
    """Commit an entry that no writer would: its ranges do not follow."""
    head = reading.read_head(world.inner, lane)
    manifest = Manifest(lane, head.n + 1, "clicks", ranges, Counts())
    refs = world.store.put(f"forged/{world.new_id()}", {"manifest.json": stored.encode(manifest)})
    assert head.state is not None
    forged = operations.commit(head, world.new_id(), refs["manifest.json"], head.state, {})
    world.inner.transact(forged.writes)


BROKEN: Mapping[str, RangeRow] = {
    "hole": RangeRow("a", position_of(20).encode(), position_of(22).encode()),
    "overlap": RangeRow("a", position_of(3).encode(), position_of(22).encode()),
}


@pytest.mark.parametrize("fault", ["hole", "overlap"])
@pytest.mark.parametrize("batched", [False, True])
def test_a_hole_or_overlap_is_an_error_and_never_an_answer(world: World, fault: str, batched: bool) -> None:
    commit(world, "a", "b")
    if batched:
        world.batch()
    check(world)
    forge(world, BROKEN[fault])
    with pytest.raises(Corrupt, match="shard a: records between"):
        plan(world.inner, world.store, world.tables, list(world.views.values()))


def test_a_journal_older_than_the_tables_is_an_error(world: World) -> None:
    commit(world, "a", "b")
    world.batch()
    backup = deepcopy(world.inner)
    commit(world, "a")
    world.batch()
    views = list(world.views.values())
    with pytest.raises(Corrupt, match="restored from an older backup"):
        plan(backup, world.store, world.tables, views)
    backup.transact(operations.fence(reading.read_head(backup, 0), "another commit").writes)
    with pytest.raises(Corrupt, match="restored from an older backup"):
        plan(backup, world.store, world.tables, views)


def test_parts_are_the_files_that_the_plan_names(world: World) -> None:
    commit(world, "a", "b")
    world.batch()
    commit(world, "a")
    made = world.plan().views["pages"]
    parts = view_parts(made, world.store)
    assert made.batch is not None
    assert {path for part in parts for path in part.paths} == {
        *(file.path for file in made.batch.files),
        *(world.store.path(p.object) for p in made.partials),
    }
    assert "read_parquet" in finalized_sql(made.view, parts)
