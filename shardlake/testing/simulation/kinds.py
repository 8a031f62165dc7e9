"""The kinds of what goes wrong, by name: each must meet a call in at least one schedule of a hundred."""

from typing import Final

from shardlake.adapters.crashpoints import POINTS
from shardlake.testing.simulation.drawing import EFFECTS
from shardlake.testing.simulation.faults import FAMILIES, SLOW

_WORLD: Final = (
    "split",
    "split with records left",
    "merge",
    "merge with records left",
    "a worker starts",
    "a worker is stopped in order",
    "a worker is killed between two rounds",
    "a wall clock jumps back",
    "a wall clock jumps forth",
    "late transaction landed",
    "late transaction refused",
    "conflict of a worker",
    "conflict of two batch runs",
    "a worker begins anew after LaneLost",
    "kinesis.GetRecords ExpiredIteratorException",
    "kinesis.GetRecords ProvisionedThroughputExceededException",
    "records are trimmed before they are read",
    "a gap is told",
    "a duplicate is not counted",
    "producer hears nothing, and sends again",
    "a part of a put fails, and is sent again",
)


def kinds() -> tuple[str, ...]:
    """Name them all, as `Faults` counts them."""
    drawn = {f"{call} {effect}" for call, effects in EFFECTS.items() for effect in effects}
    families = sorted(set(FAMILIES.values()))
    crashes = {
        f"{what} {when} {family}" for what in ("crash", "pause") for when in ("before", "after") for family in families
    }
    steps = {f"{what} before step {point}" for what in ("crash", "pause") for point in POINTS}
    return (*_WORLD, *sorted(drawn | crashes | steps | {f"slow {where}" for where in SLOW.values()}))
