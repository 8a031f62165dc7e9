"""A schedule that fails, cut down while it still breaks the same rule: fewer steps, fewer faults."""

from collections.abc import Iterator

import msgspec

from shardlake.testing.simulation.running import Outcome, run
from shardlake.testing.simulation.schedule import Schedule

TRIES_MAX = 400


def shrunk(failed: Outcome) -> Outcome:
    """Leave out what is not needed: halves of the steps, then quarters, then single steps, then single faults."""
    if failed.violation is None:
        return failed
    best, rule = failed, failed.violation.rule
    tries = 0
    progress = True
    while progress and tries < TRIES_MAX:
        progress = False
        for smaller in _smaller(best.schedule):
            tries += 1
            outcome = run(smaller)
            if outcome.violation is not None and outcome.violation.rule == rule:
                best, progress = outcome, True
                break
            if tries >= TRIES_MAX:
                break
    return best


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    count = len(schedule.steps)
    size = count
    while size:
        yield from (schedule.without(first, size) for first in range(0, count, size) if size < count)
        size //= 2
    for number, step in enumerate(schedule.steps):
        for fault in range(len(step.faults)):
            faults = step.faults[:fault] + step.faults[fault + 1 :]
            steps = (
                *schedule.steps[:number],
                msgspec.structs.replace(step, faults=faults),
                *schedule.steps[number + 1 :],
            )
            yield msgspec.structs.replace(schedule, steps=steps)
