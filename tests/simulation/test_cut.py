"""The law of the cut: every answer equals the plain evaluation over the events that its cut covers.

Whatever came before: shards that end and have children, lanes that release, adopt and are taken over, transactions
whose answers are lost or that land late, zombies, duplicates, late events, batch runs that race, rebuilds, new views.
"""

import shutil
import tempfile
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.view import CompiledView
from shardlake.testing.plain import REDEFINED, VIEWS, Click, differences
from shardlake.testing.racing import RacingTables
from shardlake.testing.world import PARENTS, SCHEMA, World
from tests.simulation.machines import examples

ENGINE = Engine()
COMPILED: dict[str, CompiledView] = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}
NEW_HEAVY = compile_view("heavy", REDEFINED.sql, SCHEMA)

clicks = st.builds(
    Click,
    minute=st.one_of(st.integers(0, 12), st.integers(-3000, 3000)),
    seen=st.one_of(st.none(), st.integers(0, 12)),
    page=st.sampled_from(["/", "/a", "/b", None]),
    cost=st.one_of(st.none(), st.integers(-3, 9), st.just(2**40)),
    weight=st.one_of(st.none(), st.sampled_from([0.1, -0.3, 1e12, 7.5])),
    click_id=st.one_of(st.none(), st.integers(0, 25).map(str)),
)
lanes = st.integers(0, 2)
sizes = st.integers(1, 25)


class Cut(RuleBasedStateMachine):
    """The world, with everything that may happen to it, in any order."""

    sql: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cut-"))
        self.world: World

    @initialize(
        count=st.integers(1, 3),
        names=st.sets(st.sampled_from(sorted(VIEWS)), min_size=1, max_size=2),
        first=st.lists(clicks, min_size=5, max_size=40),
        second=st.lists(clicks, max_size=20),
    )
    def begin(self, count: int, names: set[str], first: list[Click], second: list[Click]) -> None:
        """Start with some lanes and views, two shards that are held, and events in them."""
        views = {name: COMPILED[name] for name in sorted(names)}
        make = World.on_disk if self.sql else World.in_memory
        self.world = make(self.folder, ENGINE, views, count)
        self.world.produced |= {"a": first, "b": second}
        for lane, shard in enumerate(("a", "b")):
            self.world.discover(shard)
            self.worker(lane).committer.adopt(shard)

    def worker(self, lane: int) -> Any:
        """The present worker of some lane."""
        return self.world.now[lane % self.world.lanes]

    def open_shards(self) -> list[str]:
        """The shards that still get events: their parents have closed, and they have not."""
        closed = self.world.closed
        return [s for s in PARENTS if s not in closed and set(PARENTS[s]) <= closed]

    @rule(index=st.integers(0, 3), events=st.lists(clicks, min_size=1, max_size=20), lane=lanes, size=sizes)
    def flow(self, index: int, events: list[Click], lane: int, size: int) -> None:
        """Put events into an open shard, adopt what is free, and commit some."""
        if shards := self.open_shards():
            self.world.produced[shards[index % len(shards)]].extend(events)
        self.adopt(lane)
        self.commit(lane, [size])

    @rule(index=st.integers(0, 3))
    def close(self, index: int) -> None:
        """End a shard, which makes its children known."""
        if shards := self.open_shards():
            self.world.closed.add(shards[index % len(shards)])
            for child in self.open_shards():
                self.world.discover(child)

    @rule(lane=lanes)
    def adopt(self, lane: int) -> None:
        """Take in whatever is free."""
        for shard in self.world.adoptable():
            self.world.attempt(self.worker(lane), methodcaller("adopt", shard))

    @rule(lane=lanes, take=st.lists(sizes, min_size=1, max_size=4))
    def commit(self, lane: int, take: list[int]) -> None:
        """Commit some of the next events of the shards that a lane holds."""
        worker = self.worker(lane)
        held = sorted(worker.committer.lane.state.shards)
        self.commit_by(worker, dict(zip(held, take * len(held), strict=False)))

    def commit_by(self, worker: Any, take: dict[str, int]) -> None:
        """Commit what a worker believes to be next."""
        chunk = self.world.chunk(worker, take)
        if chunk.pieces:
            self.world.attempt(worker, lambda committer: committer.commit(chunk))

    @rule(lane=lanes, index=st.integers(0, 3))
    def release(self, lane: int, index: int) -> None:
        """Let a held shard go."""
        worker = self.worker(lane)
        if held := sorted(worker.committer.lane.state.shards):
            shard = held[index % len(held)]
            self.world.attempt(worker, lambda committer: committer.release(shard))

    @rule(lane=lanes)
    def take_over(self, lane: int) -> None:
        """Another worker takes a lane, or the same one restarts; the old one lives on as a zombie."""
        self.world.take(lane % self.world.lanes)

    @rule(lane=lanes)
    def fence(self, lane: int) -> None:
        """Somebody fills the next slot of a lane."""
        worker = self.worker(lane)
        self.world.attempt(worker, lambda committer: committer.lane.fence())

    @rule(index=st.integers(0, 5), size=sizes)
    def zombie(self, index: int, size: int) -> None:
        """A worker that lost its lane and does not know tries to commit."""
        if self.world.zombies:
            worker = self.world.zombies[index % len(self.world.zombies)]
            self.commit_by(worker, dict.fromkeys(worker.committer.lane.state.shards, size))

    @rule(fault=st.sampled_from(["lost", "late", "busy", "gone"]))
    def disturb(self, fault: Any) -> None:
        """Something will go wrong with the next transaction."""
        self.world.journal.fault = fault

    @rule(index=st.integers(0, 5))
    def land(self, index: int) -> None:
        """A transaction that was given up arrives after all."""
        if self.world.journal.in_flight:
            self.world.journal.land(index % len(self.world.journal.in_flight))

    @rule()
    def batch(self) -> None:
        """Run the batch layer."""
        self.world.batch()

    @rule(commit=st.integers(1, 3))
    def batches_race(self, commit: int) -> None:
        """A second batch run comes between the first one's reading and its commit."""
        self.world.batch(RacingTables(self.world.tables, self.world.batch, commit=commit))

    @rule(name=st.sampled_from(sorted(VIEWS)))
    def rebuild(self, name: str) -> None:
        """Rebuild a view from the master dataset."""
        if name in self.world.views:
            self.world.rebuild(name)

    @rule(name=st.sampled_from(sorted(VIEWS)))
    def new_view(self, name: str) -> None:
        """Define another view; workers that run already do not compute it."""
        if len(self.world.views) < 2:
            self.world.views[name] = COMPILED[name]

    @rule()
    def redefine(self) -> None:
        """A view gets another definition under its old name; what was computed of the old one may not be used."""
        if "heavy" in self.world.views:
            self.world.views["heavy"] = NEW_HEAVY

    @rule(load=st.integers(1, 3))
    def answer_during_batch(self, load: int) -> None:
        """A batch run comes between two steps of planning an answer."""
        self.check(self.world.plan(RacingTables(self.world.tables, self.world.batch, load=load)))

    @rule()
    def answer(self) -> None:
        """Answer all views, and compare."""
        self.check(self.world.plan())

    def check(self, made: Any) -> None:
        """Compare the answers of a plan with the plain evaluation over the events of its cut."""
        for name, rows in self.world.answers(made).items():
            covered = self.world.covered(made.views[name].positions.upto)
            plain = REDEFINED if made.views[name].view is NEW_HEAVY else VIEWS[name]
            assert not (told := differences(plain, covered, rows)), f"{name}: {told}"

    def teardown(self) -> None:
        """One last answer over everything."""
        if hasattr(self, "world"):
            self.answer()
            inside = self.world.plan().cut
            for worker in self.world.now.values():
                assert inside.covers(worker.lane, worker.committer.lane.head.n), "an acknowledged commit is not inside"
        shutil.rmtree(self.folder, ignore_errors=True)


class CutOnDisk(Cut):
    """The same with the adapters of a laptop: SQLite and Iceberg."""

    sql = True


@pytest.mark.parametrize("number", range(4))
def test_every_answer_equals_the_plain_evaluation_at_its_cut(number: int) -> None:
    examples(Cut, 250, 25, number)


@pytest.mark.parametrize("number", range(4))
def test_the_law_holds_with_sqlite_and_iceberg(number: int) -> None:
    examples(CutOnDisk, 25, 20, 100 + number)
