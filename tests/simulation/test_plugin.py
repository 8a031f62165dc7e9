"""The fixture `simulation`, as a test of somebody else's project uses it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from shardlake.core.readplan import ReadPlan
from shardlake.testing.plugin import Simulation
from shardlake.testing.simulation import Event, Schedule, Setup, Step, draw
from shardlake.testing.simulation.multiset import Multiset

PUT = Step("put", 1, 8, 1.0)
SCHEDULE = Schedule(0, Setup(shards=1, workers=1), (PUT, Step("everybody", count=4, seconds=0.5), Step("look")))

THEIRS = """
from shardlake.testing.simulation import Schedule, Setup, Step, draw
from shardlake.testing.simulation.multiset import Multiset, PlainDecoding
from streams.memory import Memory

SETUP = Setup(shards=1, workers=1)
PUT, EVERYBODY = Step("put", 1, 200, 1.0), Step("everybody", count=4, seconds=0.5)


def test_passes(simulation):
    assert simulation(Schedule(0, SETUP, (PUT, EVERYBODY))).records > 200
    assert simulation(3).schedule == draw(3)


def test_ids_are_forgotten(simulation, monkeypatch):
    monkeypatch.setattr(Memory, "recall", lambda *_: None)
    simulation(Schedule(41, SETUP, (PUT, EVERYBODY, Step("kill"), PUT)))


class Loses(PlainDecoding):
    def piece(self, block, *others):
        piece = super().piece(block, *others)
        piece.rows[:] = [line for line in piece.rows if line.serial != 5]
        return piece


class Mine(Multiset):
    def decoding(self):
        return Loses()


def test_lines_are_lost(simulation):
    simulation(Schedule(42, SETUP, (PUT, EVERYBODY)), Mine(("one",)))
"""


class Own(Multiset):
    """Rows that evaluate with an offset, and note what is asked of them."""

    def __init__(self, skipped: int = 0) -> None:
        super().__init__(("mine",))
        self.skipped, self.judged, self.is_closed = skipped, 0, False

    def differences(self, plan: ReadPlan, expected: Sequence[Event]) -> list[str]:
        """Compare the numbers, but for the first ones."""
        assert set(plan.views) <= {"mine"}
        self.judged += len(expected)
        return super().differences(plan, expected[self.skipped :])

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


@pytest.mark.slow
def test_a_foreign_test_fails_with_the_rule_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]  # and no plugin by name
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "2 failed, 1 passed" in ran.stdout
    assert "seed 41: a duplicate is what was seen in a shard or its ancestors\n" in ran.stdout
    assert "seed 42: a record in a range is a row of its entry, in order\n" in ran.stdout
    assert "Traceback" not in ran.stdout


def test_rows_of_ones_own_are_played_judged_and_closed(simulation: Simulation) -> None:
    rows = Own()
    outcome = simulation(SCHEDULE, rows)
    assert outcome.schedule == SCHEDULE
    assert rows.judged > 0
    assert rows.is_closed


def test_the_evaluation_of_ones_own_rows_is_what_is_right(simulation: Simulation) -> None:
    with pytest.raises(pytest.fail.Exception, match="seed 0: an answer is the producer's log at its cut\n  mine: "):
        simulation(SCHEDULE, Own(skipped=1))


def test_a_seed_draws_a_stream_of_kinesis_for_rows_of_ones_own(simulation: Simulation) -> None:
    changes = next(seed for seed in range(100) if draw(seed).setup.source == "changes")
    rows = Own()
    outcome = simulation(changes, rows)
    assert outcome.schedule == draw(changes, "duckdb")
    assert outcome.schedule.setup.source == "kinesis"
    assert rows.judged > 0
