"""The law of the cut over a stream of changes: an answer is the view over the last image of each item up to its cut.

Every answer is strict: a group of which more was taken back than came fails it.
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
from shardlake.testing.changes import SCHEMA, VIEWS, Table
from shardlake.testing.plain import Click, differences
from shardlake.testing.world import Worker
from tests.simulation.machines import examples

ENGINE = Engine()
COMPILED = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}
images = st.builds(
    Click,
    minute=st.one_of(st.integers(0, 12), st.integers(-3000, 3000)),
    seen=st.one_of(st.none(), st.integers(0, 12), st.integers(-3000, 3000)),
    page=st.sampled_from(["/", "/a", None]),
    cost=st.one_of(st.none(), st.integers(-3, 9), st.just(2**60)),
    weight=st.one_of(st.none(), st.sampled_from([0.1, -0.3, 1e12, 7.5])),
    click_id=st.none(),
)
edits = st.lists(st.tuples(st.integers(0, 6), st.none() | images), min_size=1, max_size=12)
lanes, sizes = st.integers(0, 2), st.integers(1, 9)


class Changes(RuleBasedStateMachine):
    """A table that is changed while lanes move, batches run and views are rebuilt."""

    on_disk: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="changes-"))
        self.world: Table

    @initialize(count=st.integers(1, 2), first=edits)
    def begin(self, count: int, first: list[tuple[int, Click | None]]) -> None:
        """Start with two shards that are held, and a few items."""
        self.world = Table.made(self.folder, ENGINE, COMPILED, count, on_disk=self.on_disk)
        for lane, shard in enumerate(("a", "b")):
            self.world.discover(shard)
            self.worker(lane).committer.adopt(shard)
        self.edit(first)

    def worker(self, lane: int) -> Worker:
        """The present worker of some lane."""
        return self.world.now[lane % self.world.lanes]

    @rule(made=edits)
    def edit(self, made: list[tuple[int, Click | None]]) -> None:
        """Change some items."""
        for item, new in made:
            self.world.put(item, new)

    @rule(made=edits, lane=lanes, size=sizes)
    def flow(self, made: list[tuple[int, Click | None]], lane: int, size: int) -> None:
        """Change some items, adopt what is free, and commit some records."""
        self.edit(made)
        for shard in self.world.adoptable():
            self.world.attempt(self.worker(lane), methodcaller("adopt", shard))
        self.commit(lane, size)

    @rule(lane=lanes, size=sizes)
    def commit(self, lane: int, size: int) -> None:
        """Commit the next records of a lane's shards."""
        worker = self.worker(lane)
        chunk = self.world.records(worker, size)
        if chunk.pieces:
            self.world.attempt(worker, lambda committer: committer.commit(chunk))

    @rule(index=st.integers(0, 3))
    def close(self, index: int) -> None:
        """End a shard, which makes its children known."""
        if shards := self.world.open_shards():
            self.world.closed.add(shards[index % len(shards)])
            for child in self.world.open_shards():
                self.world.discover(child)

    @rule(fault=st.sampled_from(["lost", "late", "busy", "gone"]))
    def disturb(self, fault: Any) -> None:
        """Something will go wrong with the next transaction."""
        self.world.journal.fault = fault

    @rule()
    def batch(self) -> None:
        """Run the batch layer."""
        self.world.batch()

    @rule(name=st.sampled_from(sorted(VIEWS)))
    def rebuild(self, name: str) -> None:
        """Rebuild a view from the master dataset."""
        self.world.rebuild(name)

    @rule()
    def answer(self) -> None:
        """Answer all views, and compare."""
        made = self.world.plan()
        for name, rows in self.world.answers(made).items():
            there = self.world.images(made.views[name].positions.upto)
            assert not (told := differences(VIEWS[name], there, rows)), f"{name}: {told}"
            assert not self.world.recomputed(made, name)

    def teardown(self) -> None:
        """One last answer over everything, before and after a batch run."""
        if hasattr(self, "world"):
            self.answer()
            self.batch()
            self.answer()
        shutil.rmtree(self.folder, ignore_errors=True)


class ChangesOnDisk(Changes):
    """The same with the adapters of a laptop: SQLite and Iceberg."""

    on_disk = True


@pytest.mark.parametrize("number", range(2))
def test_every_answer_is_the_fold_of_the_changes_up_to_its_cut(number: int) -> None:
    examples(Changes, 6, 15, number)


def test_the_fold_holds_with_sqlite_and_iceberg() -> None:
    examples(ChangesOnDisk, 2, 12, 100)
