"""A batch run: one compiled form on both sides, files and seam in one commit, and each row in its place."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batch import views
from batch.run import run
from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Conflict, Corrupt
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading
from shardlake.core.journal.objects import Counts, Manifest, RangeRow
from shardlake.core.limits import Limits
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.seam import Seam
from shardlake.core.view import EVENTS
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.racing import RacingTables
from shardlake.testing.world import SCHEMA, World, position_of

ENGINE = Engine()
COMPILED = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}


@pytest.fixture(params=["pages", "visitors"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return make(tmp_path, request.param)


def make(folder: Path, *names: str) -> World:
    made = World.in_memory(folder, ENGINE, {name: COMPILED[name] for name in names}, 2)
    for lane, shard in enumerate(("a", "b")):
        made.discover(shard)
        made.now[lane].committer.adopt(shard)
    return made


def commit(world: World, shard: str = "a", count: int = 12) -> None:
    """Events over three days, some without a window, a third of them duplicates."""
    begin = len(world.produced[shard])
    for n in range(begin, begin + count):
        seen = None if n % 5 == 0 else n * 60
        world.produced[shard].append(Click(n * 300, seen, "/ab"[: n % 3], n, 0.5, str(n - n % 3)))
    worker = world.now[0 if shard == "a" else 1]
    worker.committer.commit(world.chunk(worker, {shard: count}))


def check(world: World) -> Any:
    made = world.plan()
    for name, rows in world.answers(made).items():
        covered = world.covered(made.views[name].positions.upto)
        assert not (told := differences(VIEWS[name], covered, rows)), told
    return made


def batch(world: World, tables: Any = None) -> None:
    run(world.context(tables), list(world.views.values()))


class Watched(RacingTables):
    """Notes every commit."""

    def __init__(self, world: World, *, fail_after: int = 99) -> None:
        super().__init__(world.tables, lambda: None)
        self.commits: list[tuple[Seam, Seam, int]] = []
        self._fail_after = fail_after

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        if len(self.commits) == self._fail_after:
            raise Conflict("the process died here")
        self.commits.append((base.seam, seam, len(add) + len(remove)))
        return super().commit(base, add, remove, seam, properties)


def test_each_side_is_counted_with_its_null_windows_and_without_duplicates(world: World) -> None:
    for _ in range(2):
        commit(world)
        commit(world, "b")
        batch(world)
        commit(world)
        check(world)
    made = check(world)
    assert all(found.seam.marks and found.partials for found in made.views.values())


def test_files_and_seam_move_in_one_commit(world: World) -> None:
    commit(world)
    commit(world, "b")
    watched = Watched(world)
    batch(world, watched)
    assert len(watched.commits) == 1 + len(world.views)
    assert all(files and before != after for before, after, files in watched.commits)
    assert {lane: n for _, after, _ in watched.commits for lane, n in after.cut().items()} == {0: 3, 1: 3}


@pytest.mark.parametrize("commits", [0, 1])
def test_a_run_that_stops_between_two_commits_is_repeated_exactly(world: World, commits: int) -> None:
    commit(world)
    batch(world)
    commit(world, "b")
    commit(world)
    with pytest.raises(Conflict):
        batch(world, Watched(world, fail_after=commits))
    check(world)
    batch(world)
    check(world)


def test_of_two_runs_over_the_same_entries_one_counts_them(world: World) -> None:
    commit(world)
    batch(world)
    for k in (1, 2):
        commit(world)
        with pytest.raises(Conflict):
            batch(world, RacingTables(world.tables, lambda: batch(world), commit=k))
        check(world)


def test_a_pass_over_a_long_backlog_is_bounded(world: World) -> None:
    world.limits = Limits(retry_first_s=0.0, batch_rows_max=20)
    for _ in range(5):
        commit(world)
    watched = Watched(world)
    batch(world, watched)
    assert [after.n(0) for _, after, _ in watched.commits[:3]] == [4, 6, 7]
    check(world)


def test_a_seam_never_loses_a_lane(world: World) -> None:
    commit(world, "b")
    batch(world)
    commit(world)
    batch(world)
    assert all(v.seam.cut() == {0: 3, 1: 3} for v in check(world).views.values())


def test_the_same_form_over_the_rows_of_the_master_dataset(world: World) -> None:
    """A rebuild counts what the table had counted, row by row."""
    commit(world)
    commit(world, "b")
    batch(world)
    (name,) = world.views
    before = world.answers(world.plan())[name]
    world.rebuild(name)
    check(world)
    assert sorted(map(repr, world.answers(world.plan())[name])) == sorted(map(repr, before))


def test_the_master_dataset_keeps_duplicates_flagged_with_their_entry(world: World) -> None:
    commit(world)
    commit(world)
    batch(world)
    pointer = reading.read_pointers(world.inner)["master"]
    snapshot = world.tables.load(pointer.table)
    assert snapshot is not None
    rows = [row for file in snapshot.files for row in pq.read_table(file.path).to_pylist()]
    assert len(rows) == 24
    assert sum(row["_duplicate"] for row in rows) == 16
    assert {(row["_lane"], row["_entry"]) for row in rows} == {(0, 3), (0, 4)}
    assert all(str(row["_date"]) == row["happened"].date().isoformat() for row in rows)


def test_a_hole_stops_the_run(world: World) -> None:
    commit(world)
    batch(world)
    head = reading.read_head(world.inner, 0)
    hole = RangeRow("a", position_of(30).encode(), position_of(31).encode())
    put = world.store.put("forged", {"m": stored.encode(Manifest(0, head.n + 1, "clicks", (hole,), Counts()))})
    assert head.state is not None
    world.inner.transact(operations.commit(head, "forged", put["m"], head.state, {}).writes)
    with pytest.raises(Corrupt, match=r"shard a: records between .* are missing"):
        batch(world)


def test_the_form_that_batch_computes_is_the_compiled_one() -> None:
    for view in COMPILED.values():
        assert views._partial(view, "rows") == view.partial.replace(EVENTS, "rows")
        assert view.partial.count(EVENTS) == 1


def test_a_table_of_another_definition_is_made_anew(world: World) -> None:
    commit(world)
    batch(world)
    (name,) = world.views
    narrow = compile_view(name, VIEWS[name].sql.replace("FROM clicks", "FROM clicks WHERE cost > 3"), SCHEMA)
    world.views[name] = narrow
    before = reading.read_pointers(world.inner)[name]
    batch(world)
    after = reading.read_pointers(world.inner)[name]
    assert (before.table != after.table, after.fingerprint) == (True, narrow.fingerprint)
    found = world.tables.load(after.table)
    assert found is not None
    assert found.seam.cut() == {0: 3, 1: 2}


def test_what_a_commit_adds_was_flushed_before_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and folder: a table must never name what a loss of power takes away."""
    flushed: set[tuple[int, int]] = set()
    fsync = os.fsync

    def noted(handle: int) -> None:
        found = os.fstat(handle)
        flushed.add((found.st_ino, found.st_size if found.st_mode & 0o100000 else 0))
        fsync(handle)

    class Flushed(RacingTables):
        def commit(
            self,
            base: Snapshot,
            add: Sequence[TableFile],
            remove: Sequence[TableFile],
            seam: Seam,
            properties: Mapping[str, str],
        ) -> Snapshot:
            for path in (Path(file.path) for file in add):
                assert (path.stat().st_ino, path.stat().st_size) in flushed, path
                assert (path.parent.stat().st_ino, 0) in flushed, path.parent
            return super().commit(base, add, remove, seam, properties)

    commit(world)
    monkeypatch.setattr(os, "fsync", noted)
    batch(world, Flushed(world.tables, lambda: None))


def test_windows_of_a_file_are_those_of_its_rows(world: World) -> None:
    commit(world)
    batch(world)
    commit(world)
    batch(world)
    (view,) = world.views.values()
    snapshot = world.plan().views[view.name].batch
    assert snapshot is not None
    for file in snapshot.files:
        starts = pq.read_table(file.path).column(view.window or "").to_pylist()
        assert (file.windows is None) == (None in starts)
        if file.windows is not None:
            whole = [int(start.timestamp() * 1_000_000) for start in (s.replace(tzinfo=UTC) for s in starts)]
            assert all(file.windows.contains(start) for start in whole)
