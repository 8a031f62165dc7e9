"""A deterministic world in which workers, batch runs and planners are disturbed at every call, and judged.

    outcome = run(draw(7))                       # a seed is a schedule, and a schedule is data
    assert outcome.violation is None, outcome.told()

`python -m shardlake.testing.simulation --seed 7` tells a schedule, what happened, and the verdict.
"""

from shardlake.testing.simulation.auditor import Auditor, Violation
from shardlake.testing.simulation.counting import Tally, counted
from shardlake.testing.simulation.drawing import draw
from shardlake.testing.simulation.modes import Event, Rows
from shardlake.testing.simulation.running import Outcome, run
from shardlake.testing.simulation.schedule import Fault, Mode, Schedule, Setup, Step
from shardlake.testing.simulation.shrinking import shrunk

__all__ = [
    "Auditor",
    "Event",
    "Fault",
    "Mode",
    "Outcome",
    "Rows",
    "Schedule",
    "Setup",
    "Step",
    "Tally",
    "Violation",
    "counted",
    "draw",
    "run",
    "shrunk",
]
