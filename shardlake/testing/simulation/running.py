"""A schedule played to its end: its steps, then all faults off, then everything that was put must be in, once."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from shardlake.adapters.crashpoints import watched
from shardlake.testing.simulation.auditor import Violation
from shardlake.testing.simulation.modes import Rows
from shardlake.testing.simulation.multiset import CHANGES, SCHEMA, Multiset
from shardlake.testing.simulation.schedule import Schedule, Step
from shardlake.testing.simulation.sql import Sql
from shardlake.testing.simulation.world import World

ROUNDS_MAX: Final = 4_000
ROUND_S: Final = 1.0
DEATH_S: Final = 10.5
LAST: Final = 40


@dataclass(slots=True)
class Outcome:
    """What came of a schedule. `fired` counts the faults that met a call, by kind."""

    schedule: Schedule
    violation: Violation | None = None
    at_step: int = -1
    fired: Counter[str] = field(default_factory=Counter)
    events: list[tuple[object, ...]] = field(default_factory=list)
    records: int = 0

    def trace(self, last: int = 0) -> list[str]:
        """Tell what happened, or the end of it: `#` a step, `!` a fault that fired, else a process and its call."""
        return [" ".join(map(str, event)).rstrip() for event in self.events[-last:]]

    @property
    def calls(self) -> int:
        """How many calls were made."""
        return sum(event[0] not in ("!", "#") for event in self.events)

    @property
    def digest(self) -> str:
        """A hash of everything that happened: equal for two runs of one schedule."""
        return sha256("\n".join(self.trace()).encode()).hexdigest()

    def told(self, last: int = LAST) -> str:
        """Say what came of it; of a violation with the last calls before it."""
        if self.violation is None:
            return (
                f"seed {self.schedule.seed}: ok, {self.records} records, {self.calls} calls, trace {self.digest[:12]}"
            )
        where = f"step {self.at_step}" if self.at_step < len(self.schedule.steps) else "the end, with no more faults"
        lines = [*(self.trace(last) if last else ()), f"seed {self.schedule.seed}: {self.violation.rule}"]
        return "\n".join([*lines, f"  {self.violation.what}", f"  in {where}"])


def run(schedule: Schedule, rows: Rows | None = None) -> Outcome:
    """Play a schedule. What it does depends on nothing else; `rows` are of another kind than its mode says."""
    outcome = Outcome(schedule)
    rows = rows or _opened(schedule)
    try:
        _played(schedule, rows, outcome)
    except Violation as violation:
        outcome.violation = violation
    finally:
        rows.close()
    return outcome


def _opened(schedule: Schedule) -> Rows:
    views = schedule.setup.views
    if schedule.mode == "duckdb":
        return Sql(views, schedule.seed)
    return Multiset(views, CHANGES if schedule.setup.source == "changes" else SCHEMA)


def _played(schedule: Schedule, rows: Rows, outcome: Outcome) -> None:
    world = World(schedule.setup, rows, schedule.seed)
    outcome.fired, outcome.events = world.faults.fired, world.faults.trace
    with watched(world.faults.reached):
        for outcome.at_step, step in enumerate(schedule.steps):
            world.play(step)
        outcome.at_step += 1
        _ended(world)
    outcome.records = world.stream.made


def _ended(world: World) -> None:
    """Switch all faults off, and let everything be read, counted and answered. Raises: Violation."""
    world.calm()
    world.stream.put_everywhere()
    stopped = world.stopped()
    for turn in range(ROUNDS_MAX):
        if not world.members:
            world.start()
        # After the first look nobody moves for so long that whoever died before it is known to be dead.
        world.play(Step("everybody", seconds=DEATH_S if turn == 1 else ROUND_S))
        stopped = world.stopped()
        if not world.auditor.lacking(stopped) and not world.auditor.unfinished(stopped):
            break
    else:
        lacking = f"{world.auditor.lacking(stopped)} records, {world.auditor.unfinished(stopped)} without an end"
        world.auditor.fail("everything is read in the end", f"after {ROUNDS_MAX} rounds lack {lacking}")
    for do in ("look", "batch", "look"):
        world.play(Step(do))
