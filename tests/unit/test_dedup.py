"""Duplicates are decided once, by position, in a shard and its ancestors, and known across entries and restarts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from shardlake.adapters.engine import Engine
from shardlake.core.errors import OutcomeUnknown
from shardlake.core.journal.objects import IdLog
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.testing.plain import Click
from shardlake.testing.world import World
from streams.committer import Committer
from streams.dedup import RUNS_MAX, Halves, Seen, ShardIds, hash_ids
from streams.lane import union, within_horizon
from streams.memory import Memory

Ids = Sequence[str | None]
ENGINE = Engine()


def clicks(ids: Ids) -> list[Click]:
    return [Click(n, None, "/", n, None, found) for n, found in enumerate(ids)]


def marked(
    seen: Seen,
    shards: Mapping[str, Ids],
    ancestors: Mapping[str, tuple[str, ...]] | None = None,
    *,
    remember: bool = True,
) -> list[bool]:
    """Mark a chunk of some shards' ids, and remember what was new."""
    slices, at = [], 0
    for shard, ids in shards.items():
        slices.append((shard, at, at + len(ids)))
        at += len(ids)
    column = pa.chunked_array([pa.array([found for ids in shards.values() for found in ids], pa.string())])
    halves, known = hash_ids(ENGINE, column)
    duplicate = seen.mark(slices, ancestors or {}, halves, known)
    if remember:
        seen.remember(slices, halves, known & ~duplicate)
    found: list[bool] = duplicate.tolist()
    return found


def halves_of(low: Sequence[int], high: Sequence[int]) -> Halves:
    return np.array([low, high], dtype=np.uint64)


def mark_halves(seen: Seen, halves: Halves) -> list[bool]:
    known: npt.NDArray[np.bool_] = np.ones(halves.shape[1], dtype=bool)
    slices = [("a", 0, halves.shape[1])]
    duplicate = seen.mark(slices, {}, halves, known)
    seen.remember(slices, halves, ~duplicate)
    found: list[bool] = duplicate.tolist()
    return found


def test_within_a_chunk_the_first_by_position_wins() -> None:
    assert marked(Seen(), {"a": ["x", "y", "x", "z", "y", "x"]}) == [False, False, True, False, True, True]


def test_a_shards_slices_are_one_scope() -> None:
    column = pa.chunked_array([pa.array(["x", "x", "x", "y"])])
    halves, known = hash_ids(ENGINE, column)
    found = Seen().mark([("a", 0, 1), ("b", 1, 2), ("a", 2, 4)], {}, halves, known)
    assert found.tolist() == [False, False, True, False]


def test_an_id_is_remembered_across_chunks() -> None:
    seen = Seen()
    assert marked(seen, {"a": ["x", "y"]}) == [False, False]
    assert marked(seen, {"a": ["y", "z", "x"]}) == [True, False, True]
    assert seen.count == 3


def test_marking_remembers_nothing() -> None:
    seen = Seen()
    marked(seen, {"a": ["x"]}, remember=False)
    assert marked(seen, {"a": ["x"]}) == [False]


def test_another_shard_is_another_scope() -> None:
    seen = Seen()
    marked(seen, {"a": ["x"]})
    assert marked(seen, {"b": ["x"], "a": ["x"]}) == [False, True]


def test_ancestors_are_in_the_scope_and_children_are_not() -> None:
    seen, ancestors = Seen(), {"c": ("a", "b")}
    marked(seen, {"a": ["x"], "b": ["y"]})
    assert marked(seen, {"c": ["x", "y", "z"]}, ancestors) == [True, True, False]
    assert marked(seen, {"a": ["z"]}, ancestors) == [False]


def test_a_row_without_an_id_is_never_a_duplicate() -> None:
    seen = Seen()
    assert marked(seen, {"a": [None, "x", None, "x"]}) == [False, False, False, True]
    assert marked(seen, {"a": [None, None]}) == [False, False]
    assert seen.count == 1


def test_ids_that_share_a_half_are_two_ids() -> None:
    seen = Seen()
    assert mark_halves(seen, halves_of([7, 7, 7, 8, 7], [1, 2, 1, 1, 2])) == [False, False, True, False, True]
    assert mark_halves(seen, halves_of([7, 7, 7, 8, 9], [3, 2, 1, 2, 1])) == [False, True, True, False, False]
    assert mark_halves(seen, halves_of([7, 8, 8, 7], [3, 1, 2, 4])) == [True, True, True, False]


def test_ids_of_any_text_are_told_apart_and_an_empty_one_is_none() -> None:
    assert marked(Seen(), {"a": ["", "\0", " ", "ä", "", " "]}) == [False, False, False, False, False, True]


def test_what_is_remembered_stays_when_runs_are_joined() -> None:
    ids, rng = ShardIds(), np.random.default_rng(1)
    every = rng.integers(0, 40, (2, 30 * RUNS_MAX), dtype=np.uint64)
    for part in np.split(every, 3 * RUNS_MAX, axis=1):
        ids.add(part)
    assert len(ids.runs) <= RUNS_MAX
    assert ids.holds(every).all()
    known = {tuple(pair) for pair in every.T.tolist()}
    probes = np.stack(np.meshgrid(np.arange(40), np.arange(40))).reshape(2, -1).astype(np.uint64)
    assert ids.holds(probes).tolist() == [tuple(pair) in known for pair in probes.T.tolist()]


# ------------------------------------------------------------------------------------- in a lane's memory


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.in_memory(tmp_path, ENGINE, {}, lanes=2)
    made.discover("a")
    made.now[0].committer.adopt("a")
    return made


def commit(world: World, shard: str, ids: Ids, lane: int = 0) -> int:
    """Commit events with these ids; give how many are new."""
    world.produced[shard].extend(clicks(ids))
    worker = world.now[lane]
    before = worker.committer._memory.seen.count
    worker.committer.commit(world.chunk(worker, {shard: len(ids)}))
    return worker.committer._memory.seen.count - before


def stored(world: World, committer: Committer) -> list[tuple[str, str]]:
    """The (shard, id) pairs that a lane's state names, in order."""
    made = {click.click_id for clicks in world.produced.values() for click in clicks} - {None}
    names = sorted(str(name) for name in made)
    halves, _ = hash_ids(ENGINE, pa.chunked_array([pa.array(names, pa.string())]))
    known = dict(zip(halves[0].tolist(), names, strict=True))
    memory = Memory(world.store, "click_id", ENGINE)
    memory.recall(committer.lane.state.ids, set(world.produced))
    return [(s, known[low]) for s in world.produced for run in memory.seen.runs(s) for low in run[0].tolist()]


def holds(committer: Committer, shard: str, ids: Ids) -> list[bool]:
    return marked(committer._memory.seen, {shard: ids}, remember=False)


def test_memory_moves_only_after_the_commit(world: World) -> None:
    world.produced["a"].extend(clicks(["x", "y"]))
    worker = world.now[0]
    world.journal.fault = "gone"
    with pytest.raises(OutcomeUnknown):
        worker.committer.commit(world.chunk(worker, {"a": 2}))
    world.journal.fault = "none"
    assert worker.committer._memory.seen.count == 0
    worker.committer.commit(world.chunk(worker, {"a": 2}))
    assert [world.covered({"a": "~"}), worker.committer._memory.seen.count] == [world.produced["a"], 2]


def test_a_restart_remembers_what_the_process_knew(world: World) -> None:
    assert [commit(world, "a", ids) for ids in (["x", "y", "x"], ["y", None], ["z", "x", None])] == [2, 0, 1]
    before = world.now[0].committer
    world.take(0)
    after = world.now[0].committer
    assert sorted(stored(world, after)) == [("a", "x"), ("a", "y"), ("a", "z")]
    assert holds(after, "a", ["x", "y", "z", "new"]) == holds(before, "a", ["x", "y", "z", "new"])
    assert holds(after, "a", ["x", "y", "z", "new"]) == [True, True, True, False]
    assert after._memory.seen.count == before._memory.seen.count == 3
    assert commit(world, "a", ["z", "w"]) == 1


def test_an_adopted_shard_comes_with_its_memory(world: World) -> None:
    commit(world, "a", ["x", "y"])
    world.now[0].committer.release("a")
    world.now[1].committer.adopt("a")
    assert commit(world, "a", ["y", "z"], lane=1) == 1


def test_a_child_knows_what_its_parent_committed_last(world: World) -> None:
    commit(world, "a", ["x"])
    world.closed.add("a")
    commit(world, "a", ["y"])
    world.discover("c")
    world.now[1].committer.adopt("c")
    assert commit(world, "c", ["x", "y", "z"], lane=1) == 1


def test_a_shard_that_moves_takes_the_memory_of_its_scope_and_no_more(world: World) -> None:
    world.discover("b")
    world.now[0].committer.adopt("b")
    commit(world, "a", ["x", "y"])
    commit(world, "b", ["p", "q", "r"])
    for turn in range(6):
        world.now[turn % 2].committer.release("a")
        world.now[(turn + 1) % 2].committer.adopt("a")
    assert world.now[0].committer._memory.seen.count == 3 + 2
    assert world.now[1].committer._memory.seen.count == 0
    assert len(world.now[0].committer.lane.state.ids) == 2 + 3, "an object for each adoption"
    assert {log.ids for log in world.now[0].committer.lane.state.ids} == {2, 3}
    world.take(0)
    assert commit(world, "a", ["y", "x", "z"]) == 1


def test_two_children_of_one_parent_in_one_lane_both_know_it(world: World) -> None:
    commit(world, "a", ["x"])
    world.closed.add("a")
    commit(world, "a", ["y"])
    lane = world.now[1].committer
    for child in ("c", "d"):
        world.discover(child)
    world.discover("b")
    world.closed.add("b")
    world.now[0].committer.adopt("b")
    world.now[0].committer.commit(world.chunk(world.now[0], {"b": 0}))
    lane.adopt("c")
    lane.release("c")
    lane.adopt("d")
    assert commit(world, "d", ["x", "y", "z"], lane=1) == 1


def test_a_full_lane_does_not_forget_first_what_it_took_over(world: World) -> None:
    world.discover("b")
    world.now[0].committer.adopt("b")
    world.limits = Limits(retry_first_s=0.0, ids_max=4)
    for lane in (0, 1):
        world.take(lane)
    for n in range(4):
        commit(world, "b", [f"{n}.0", f"{n}.1"])
    world.now[0].committer.release("a")
    world.now[1].committer.adopt("a")
    commit(world, "a", ["x"], lane=1)
    world.now[1].committer.release("a")
    world.now[0].committer.adopt("a")
    commit(world, "b", ["new"])
    world.take(0)
    assert commit(world, "a", ["x", "y"]) == 1


def test_folding_logs_forgets_nothing(tmp_path: Path) -> None:
    ids = [[f"{shard}{n}", f"{shard}{n + 1}", None] for n in range(12) for shard in ("a", "b")]
    found = {}
    for logs_max in (4, 256):
        world = World.in_memory(tmp_path / str(logs_max), ENGINE, {}, lanes=1)
        world.limits = Limits(retry_first_s=0.0, id_logs_max=logs_max)
        world.take(0)
        for shard in ("a", "b"):
            world.discover(shard)
            world.now[0].committer.adopt(shard)
        fresh = [commit(world, "ab"[i % 2], its) for i, its in enumerate(ids)]
        world.take(0)
        committer = world.now[0].committer
        assert len(committer.lane.state.ids) <= logs_max
        assert sum(log.ids for log in committer.lane.state.ids) == len(stored(world, committer)) == sum(fresh)
        known = [holds(committer, shard, [f"{shard}{n}" for n in range(14)]) for shard in ("a", "b")]
        found[logs_max] = (fresh, sorted(stored(world, committer)), known)
    assert found[4] == found[256]
    assert found[4][2] == [[True] * 13 + [False]] * 2


def test_memory_is_bounded_by_the_horizon(world: World) -> None:
    world.limits = Limits(retry_first_s=0.0, ids_max=4)
    world.take(0)
    counts = []
    for n in range(12):
        commit(world, "a", [f"{n}.{i}" for i in range(2)])
        counts.append(world.now[0].committer._memory.seen.count)
    assert max(counts) <= 2 * 4
    committer = world.now[0].committer
    assert [log.ids for log in committer.lane.state.ids] == [2, 2]
    assert sorted(stored(world, committer)) == [("a", f"{n}.{i}") for n in (10, 11) for i in (0, 1)]
    assert holds(committer, "a", ["0.0", "11.1"]) == [False, True]
    world.take(0)
    assert holds(world.now[0].committer, "a", ["9.0", "10.0"]) == [False, True]


# --------------------------------------------------------------------------------------------------- the horizon


def log(ids: int, arrival_us: int) -> IdLog:
    return IdLog(ObjectRef(f"{arrival_us}", 1, ""), ids, arrival_us)


def test_the_horizon_forgets_what_newer_ids_alone_fill() -> None:
    logs = [log(4, 1), log(4, 2), log(4, 3), log(4, 4)]
    kept = within_horizon(logs, Limits(ids_max=8))
    assert kept == (logs[2], logs[3]), "at least the limit, and not one log more"
    assert within_horizon(logs, Limits(ids_max=9)) == tuple(logs[1:])
    assert within_horizon(logs, Limits(ids_max=100)) == tuple(logs)


def test_the_horizon_forgets_what_arrived_too_long_ago() -> None:
    logs = [log(1, 0), log(1, 1_000_000), log(1, 2_000_000)]
    assert within_horizon(logs, Limits(ids_age_s=1.0)) == tuple(logs[1:])
    assert within_horizon(logs, Limits(ids_age_s=2.0)) == tuple(logs)


def test_a_shard_that_is_read_from_its_beginning_keeps_its_own() -> None:
    """What was committed last is never too old, however long ago it arrived."""
    logs = [log(1, 9_000_000), log(1, 0), log(1, 500_000)]
    assert within_horizon(logs, Limits(ids_age_s=1.0)) == tuple(logs)
    assert within_horizon(logs, Limits(ids_age_s=1.0, ids_max=2)) == tuple(logs[1:])


def test_joined_logs_are_each_there_once_in_their_first_place() -> None:
    one, two, three = log(1, 1), log(1, 2), log(1, 3)
    assert union((one, two), (two, three, one)) == (one, two, three)
