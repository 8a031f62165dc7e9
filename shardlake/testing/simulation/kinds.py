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
    "roll-over",
    "roll-over with records left",
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
    "streams.GetRecords ExpiredIteratorException",
    "streams.GetShardIterator TrimmedDataAccessException",
    "dynamo.TransactWriteItems TransactionInProgressException",
    "dynamo.TransactWriteItems TransactionConflict",
    "a page is empty before the tip",
    "an end is told by an empty page",
    "a new shard is listed late",
    "an expired shard is listed",
    "records are trimmed before they are read",
    "a gap is told",
    "a duplicate is not counted",
    "producer hears nothing, and sends again",
    "a part of a put fails, and is sent again",
)


# What a broken rule means for whoever counts on it; each rule that is not named here is something else.
VERDICTS: Final = {
    "lost, or out of order in a shard": (
        "a record in a range is a row of its entry, in order",
        "everything is read in the end",
        "ranges tile a shard",
        "only a closed shard ends",
        "a shard is made known with its parents",
    ),
    "counted twice": (
        "a duplicate is what was seen in a shard or its ancestors",
        "rows lie in their entry's ranges",
        "an entry has the rows that it says",
        "a lane is dense",
    ),
    "a child before its parents": ("no child before its parents' ends",),
    "an answer that is not the log at its cut": (
        "an answer is the producer's log at its cut",
        "an answer is the table as it was at its cut",
        "an answer holds what was committed before it began",
        "positions tell what is inside",
        "gaps are told",
    ),
}


def kinds() -> tuple[str, ...]:
    """Name them all, as `Faults` counts them."""
    drawn = {f"{call} {effect}" for call, effects in EFFECTS.items() for effect in effects}
    families = sorted(set(FAMILIES.values()))
    crashes = {
        f"{what} {when} {family}" for what in ("crash", "pause") for when in ("before", "after") for family in families
    }
    steps = {f"{what} before step {point}" for what in ("crash", "pause") for point in POINTS}
    return (*_WORLD, *sorted(drawn | crashes | steps | {f"slow {where}" for where in SLOW.values()}))
