"""The law of the cut with an embedded Kinesis: every answer equals the producer's log, plainly evaluated at its cut.

Whatever came before: shards that split and merge, workers that are killed, left for dead, stopped and started, lost
answers of the journal and of the service, expired iterators, empty pages, duplicates, broken lines, batch runs.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.view import CompiledView
from shardlake.testing.fleet import Fleet
from shardlake.testing.kinesis import Behaviour, Fault
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.world import SCHEMA

ENGINE = Engine()
COMPILED: dict[str, CompiledView] = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}

clicks = st.builds(
    Click,
    minute=st.integers(0, 12),
    seen=st.one_of(st.none(), st.integers(0, 12)),
    page=st.sampled_from(["/", "/a", None]),
    cost=st.one_of(st.none(), st.integers(-3, 9)),
    weight=st.one_of(st.none(), st.sampled_from([0.1, 7.5])),
    click_id=st.one_of(st.none(), st.integers(0, 25).map(str)),
)
records = st.lists(st.one_of(clicks, clicks, clicks, st.none()), min_size=1, max_size=12)
keys = st.integers(0, 9).map(str)
numbers = st.integers(0, 5)
FAULTS = {
    "500": Fault(),
    "nothing heard": Fault(dropped=True),
    "expired": Fault("ExpiredIteratorException", "expired", 400),
    "throttled": Fault("ProvisionedThroughputExceededException", "slow down", 400),
}


class Sharing(RuleBasedStateMachine):
    """A fleet, with everything that may happen to it, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-"))
        self.fleet: Fleet

    @initialize(
        shards=st.integers(1, 3),
        members=st.integers(1, 3),
        name=st.sampled_from(sorted(VIEWS)),
        number=st.integers(0, 999),
        page=st.sampled_from([1, 3, 10_000]),
        empty=st.sampled_from([0.0, 0.3]),
        apart=st.sampled_from([0.0, 0.5]),
    )
    def begin(self, shards: int, members: int, name: str, number: int, page: int, empty: float, apart: float) -> None:
        """Start with a stream and some workers."""
        behaviour = replace(Behaviour.unlimited(), page_records_max=page, empty_pages=empty, end_apart=apart)
        views = {name: COMPILED[name]}
        self.fleet = Fleet(self.folder, ENGINE, views, shards, seed=number, behaviour=behaviour)
        for _ in range(members):
            self.fleet.spawn()

    def member(self, index: int) -> Any:
        """Some process; one is started if there is none."""
        if not self.fleet.members:
            self.fleet.spawn()
        return self.fleet.members[index % len(self.fleet.members)]

    @rule(key=keys, events=records, together=st.integers(1, 3))
    def put(self, key: str, events: list[Click | None], together: int) -> None:
        """Put events."""
        self.fleet.put(key, events, together=together)

    @rule(index=numbers, rounds=st.integers(1, 3))
    def work(self, index: int, rounds: int) -> None:
        """Let one process do some rounds."""
        for _ in range(rounds):
            self.fleet.step(self.member(index))
            self.fleet.clock.advance(0.3)

    @rule(rounds=st.integers(1, 4), key=keys, events=records)
    def flow(self, rounds: int, key: str, events: list[Click | None]) -> None:
        """Put events while everybody works."""
        for _ in range(rounds):
            self.fleet.put(key, events)
            for member in tuple(self.fleet.members):
                self.fleet.step(member)
            self.fleet.clock.advance(0.3)

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0, 301.0]))
    def wait(self, seconds: float) -> None:
        """Time passes: owners are believed dead, iterators expire."""
        self.fleet.clock.advance(seconds)

    @rule(index=numbers)
    def split(self, index: int) -> None:
        """A shard splits."""
        if len(self.fleet.open_shards()) < 6:
            self.fleet.split(index)

    @rule(index=numbers)
    def merge(self, index: int) -> None:
        """Two shards merge."""
        self.fleet.merge(index)

    @rule()
    def spawn(self) -> None:
        """Another process starts."""
        if len(self.fleet.members) < 4:
            self.fleet.spawn()

    @rule(index=numbers, zombie=st.booleans())
    def kill(self, index: int, zombie: bool) -> None:
        """A process dies, or seems to."""
        self.fleet.kill(self.member(index), zombie=zombie)

    @rule(index=numbers)
    def stop(self, index: int) -> None:
        """A process is stopped in order."""
        self.fleet.stop(self.member(index))

    @rule(index=numbers)
    def zombie(self, index: int) -> None:
        """A process that was believed dead goes on."""
        if self.fleet.zombies:
            self.fleet.step(self.fleet.zombies[index % len(self.fleet.zombies)])

    @rule(fault=st.sampled_from(["lost", "late", "busy", "gone"]))
    def disturb_the_journal(self, fault: Any) -> None:
        """Something will go wrong with the next transaction."""
        self.fleet.journal.fault = fault

    @rule(index=numbers)
    def land(self, index: int) -> None:
        """A transaction that was given up arrives after all."""
        if self.fleet.journal.in_flight:
            self.fleet.journal.land(index % len(self.fleet.journal.in_flight))

    @rule(name=st.sampled_from(sorted(FAULTS)), times=st.integers(1, 3))
    def disturb_the_service(self, name: str, times: int) -> None:
        """Something will go wrong with the next reads."""
        self.fleet.kinesis.inject(FAULTS[name], "GetRecords", times)

    @rule()
    def batch(self) -> None:
        """Run the batch layer."""
        self.fleet.batch()

    @rule()
    def answer(self) -> None:
        """Answer, and compare with the producer's log."""
        made = self.fleet.plan()
        for name, found in self.fleet.answers(made).items():
            covered = self.fleet.covered(made.views[name].positions.upto)
            assert not (told := differences(VIEWS[name], covered, found)), f"{name}: {told}"

    def teardown(self) -> None:
        """In the end everything that was put is read, once."""
        if hasattr(self, "fleet"):
            self.fleet.kinesis.clear_faults()
            self.answer()
            self.fleet.catch_up()
            self.answer()
            assert not self.fleet.told.gaps, "a gap where nothing was trimmed"
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.parametrize("number", range(4))
def test_every_answer_equals_the_producers_log_at_its_cut(number: int) -> None:
    checks = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(seed(number)(Sharing), settings=checks)
