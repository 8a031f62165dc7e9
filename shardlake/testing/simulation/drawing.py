"""Schedules drawn from a seed: what may happen, how often, and inside of which calls."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from shardlake.adapters.crashpoints import POINTS
from shardlake.testing.simulation.schedule import Fault, Mode, Schedule, Setup, Step
from shardlake.testing.simulation.service import REFUSALS

REFUSALS_OF_TABLES: Final = ("fails", "refused as throttled", "refused as one too many")
STEPS: Final = (16, 26)
EXPIRY_S: Final = 1.5  # a round of others: ten of them are longer than anybody waits for a sign of life

# call -> what may go wrong with it, besides crash, pause and slow
EFFECTS: Final[dict[str, tuple[str, ...]]] = {
    "journal.transact": ("busy", "lost", "lost", "late", "late"),
    "journal.get": ("busy",),
    "journal.scan": ("busy",),
    "store.put": ("failed", "half", "half, then a crash"),
    "store.get": ("failed", "missing"),
    "tables.commit": ("lost", "failed"),
    "tables.load": ("failed",),
    "tables.create": ("failed",),
    "files.write": ("failed", "half"),
    "kinesis.GetRecords": (*REFUSALS, "is not answered", "names no children", "ends too early"),
    "kinesis.GetShardIterator": ("fails", "refused as throttled", "is not answered"),
    "kinesis.ListShards": (
        "fails",
        "refused as one too many",
        "refused as in use",
        "is stale",
        "lacks a child",
        "lacks a parent",
        "shows parents as open",
    ),
    "kinesis.DescribeStreamSummary": ("fails", "is not answered"),
    "streams.GetRecords": (*REFUSALS_OF_TABLES, "refused as expired", "is not answered"),
    "streams.GetShardIterator": ("fails", "refused as throttled", "is not answered"),
    "streams.DescribeStream": (
        "fails",
        "refused as one too many",
        "is not answered",
        "is stale",
        "lacks a child",
        "lacks a parent",
        "shows parents as open",
    ),
    "dynamo.TransactWriteItems": (
        "fails",
        "fails, and is done",
        "throttled",
        "meets another",
        "is not answered",
        "arrives late",
        *["goes on unheard"] * 2,
    ),
    "dynamo.PutItem": ("throttled", "is not answered", "arrives late"),
    "dynamo.Query": ("fails", "throttled"),
    "dynamo.BatchGetItem": ("fails", "throttled"),
    "compute": ("fails",),
}
_CALLS: Final = (
    *["store.put"] * 4,
    *["store.get"] * 2,
    *["tables.commit"] * 2,
    "tables.load",
    "tables.create",
    *["files.write"] * 4,
    "compute",
    *[f"point.{point}" for point in POINTS],
)
_JOURNALS: Final = {
    "memory": (*["journal.transact"] * 10, "journal.get", "journal.scan"),
    "dynamodb": (
        *["journal.transact"] * 5,
        *["dynamo.TransactWriteItems"] * 14,
        *["dynamo.PutItem"] * 4,
        *["dynamo.Query", "dynamo.BatchGetItem"] * 2,
    ),
}
_SOURCES: Final = {
    "kinesis": (
        *["kinesis.GetRecords"] * 7,
        *["kinesis.GetShardIterator"] * 3,
        *["kinesis.ListShards"] * 5,
        "kinesis.DescribeStreamSummary",
    ),
    "changes": (
        *["streams.GetRecords"] * 6,
        *["streams.GetShardIterator"] * 5,
        *["streams.DescribeStream"] * 8,
    ),
}


def draw(seed: int, mode: Mode = "multiset") -> Schedule:
    """Draw a schedule; a seed gives the same one for ever, as long as this module is the same."""
    return Drawing(Random(seed)).schedule(seed, mode)


class Drawing:
    """Draws everything from one generator, in one order."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._setup = Setup()
        self._calls: dict[str, Sequence[str]] = {}

    def schedule(self, seed: int, mode: Mode) -> Schedule:
        """Draw a world and what happens to it. Rows of a table's changes are played without SQL only."""
        setup = self._setup = self._drawn(changes=0.0 if mode == "duckdb" else 0.3)
        calls = (*_CALLS, *_JOURNALS[setup.journal], *_SOURCES[setup.source])
        self._calls = {
            **_BY,
            "": calls,
            "batch": tuple(c for c in calls if c.startswith(_OF_BATCH)),
            "planner": (*_BY["planner"], *(["dynamo.Query"] * (setup.journal == "dynamodb"))),
        }
        steps: list[Step] = []
        wanted = self._chance.randint(*STEPS)
        while len(steps) < wanted:
            steps += self._scene()
        return Schedule(seed, setup, tuple(steps), mode)

    def _drawn(self, changes: float) -> Setup:
        chance = self._chance
        is_table = chance.random() < changes
        return Setup(
            source="changes" if is_table else "kinesis",
            journal="dynamodb" if chance.random() < 0.25 else "memory",
            shards=chance.choice([1, 1, 2, 3]),
            workers=chance.choice([1, 2, 2, 3]),
            views=chance.choice([("one",), ("one", "two")]),
            page_records=chance.choice([1, 2, 3, 10_000]),
            empty_pages=chance.choice([0.0, 0.0, 0.3]),
            end_apart=chance.choice([0.0, 0.5]),
            failing_records=chance.choice([0.0, 0.0, 0.1]),
            reads_per_s=chance.choice([None, None, None, 1]),
            on_gap=chance.choice(["fail", "dlq", "continue"]),
            starts_late=chance.random() < 0.15,
            chunk_rows=chance.choice([3, 10, 100_000]),
            id_logs=chance.choice([2, 4, 256]),
            batch_rows=chance.choice([5, 20, 1_000_000]),
            ends=chance.choice([1, 50]),
            roll_s=chance.choice([7_200.0, 14_400.0]),
            late_s=chance.choice([0.0, 0.0, 2.0, 8.0]),
            expired_listed_s=chance.choice([0.0, 7_200.0]),
        )

    def _scene(self) -> Sequence[Step]:
        return self._chance.choices(_SCENES, _WEIGHTS)[0](self)

    def _who(self) -> int:
        return self._chance.randrange(6)

    # -------------------------------------------------------------------------------------------------- scenes

    def _put(self) -> list[Step]:
        together = self._chance.choice([1, 1, 1, 3])
        return [Step("put", self._chance.randrange(10), self._chance.randint(1, 8), float(together))]

    def _work(self) -> list[Step]:
        return [Step("work", self._who(), self._chance.randint(1, 3), 0.3, self._faults())]

    def _flow(self) -> list[Step]:
        return [*self._put(), Step("everybody", 0, self._chance.randint(1, 2), 0.3, self._faults())]

    def _reshard(self) -> list[Step]:
        step = Step(self._chance.choice(["split", "split", "merge"]), self._who())
        return [*self._put(), step, *(self._put() if self._chance.random() < 0.7 else ())]

    def _wait(self) -> list[Step]:
        hours = (9_000.0, 18_000.0) if self._setup.source == "changes" else ()
        return [Step("wait", seconds=self._chance.choice([0.1, 1.0, 5.0, 11.0, 301.0, *hours]))]

    def _doze(self) -> list[Step]:
        """Somebody does nothing for longer than an expiry, and then goes on."""
        who = self._who()
        return [*self._put(), self._absence(who), Step("work", who, 2, 0.3, self._faults())]

    def _absence(self, who: int) -> Step:
        return Step("others", who, self._chance.choice([3, 9, 10]), EXPIRY_S)

    def _people(self) -> list[Step]:
        return [Step(self._chance.choice(["start", "kill", "kill", "stop"]), self._who(), faults=self._faults(0.3))]

    def _jump(self) -> list[Step]:
        return [Step("jump", self._who(), seconds=self._chance.choice([-600.0, -5.0, 0.0, 30.0, 900.0]))]

    def _land(self) -> list[Step]:
        return [Step("land", self._who())]

    def _batch(self) -> list[Step]:
        return [Step("batch", faults=self._faults(0.6, "batch"))]

    def _rebuild(self) -> list[Step]:
        return [Step("batch"), Step("rebuild", self._who(), faults=self._faults(0.8, "rebuild"))]

    def _look(self) -> list[Step]:
        return [Step("look", faults=self._faults(0.3, "planner"))]

    def _day(self) -> list[Step]:
        """More than the retention goes by: what was not read is gone, and closed shards with it."""
        return [*self._put(), Step("wait", seconds=26 * 3600.0), *self._put(), Step("everybody", 0, 2, 0.3)]

    # -------------------------------------------------------------------------------------------------- faults

    def _faults(self, share: float = 0.8, by: str = "") -> tuple[Fault, ...]:
        if self._chance.random() >= share:
            return ()
        return tuple(self._fault(by) for _ in range(self._chance.choice([1, 2, 2])))

    def _fault(self, by: str) -> Fault:
        chance = self._chance
        call = chance.choice(self._calls[by])
        drawn = chance.random()
        often = (1, 1, 2, 3, 5) if call.startswith(_OFTEN) else (1, 1, 1, 2)
        nth, after = chance.choice(often), chance.random() < 0.5 and not call.startswith("point.")
        by = "batch" if by == "rebuild" else by
        effects = EFFECTS.get(call, ())
        if effects and drawn < 0.6:
            return Fault(call, chance.choice(effects), nth, chance.choice([1, 1, 1, 2, 4]), by=by)
        if call == "compute":
            return Fault(call, "fails", nth)
        if not effects:
            drawn = 0.6 + 0.4 * drawn
        if drawn < 0.76:
            return Fault(call, "crash", nth, after=after, by=by)
        if drawn < 0.82:
            return Fault(call, "slow", nth, after=after, by=by, seconds=chance.choice([0.5, 4.0, 12.0]))
        return Fault(call, "pause", nth, after=after, by=by, steps=self._meanwhile())

    def _meanwhile(self) -> tuple[Step, ...]:
        """What others do while somebody is inside of a call."""
        chance = self._chance
        drawn = chance.random()
        if drawn < 0.4:
            return (*self._put(), Step("others", 0, chance.choice([3, 9, 10]), EXPIRY_S))
        if drawn < 0.55:
            return (Step("look"),)
        if drawn < 0.7:
            return (Step(chance.choice(["batch", "batch", "rebuild"])),)
        if drawn < 0.8:
            return (Step("others", 0, 1, 0.3), Step("look"))
        return (self._reshard()[-1], Step("others", 0, 2, 0.5))


_SCENES: Final[tuple[Callable[[Drawing], list[Step]], ...]] = (
    Drawing._put,  # noqa: SLF001
    Drawing._work,  # noqa: SLF001
    Drawing._flow,  # noqa: SLF001
    Drawing._reshard,  # noqa: SLF001
    Drawing._wait,  # noqa: SLF001
    Drawing._doze,  # noqa: SLF001
    Drawing._people,  # noqa: SLF001
    Drawing._jump,  # noqa: SLF001
    Drawing._land,  # noqa: SLF001
    Drawing._batch,  # noqa: SLF001
    Drawing._rebuild,  # noqa: SLF001
    Drawing._look,  # noqa: SLF001
    Drawing._day,  # noqa: SLF001
)
_WEIGHTS: Final = (3, 10, 8, 5, 3, 2, 4, 1, 3, 6, 2, 4, 0.9)
_OFTEN: Final = ("journal", "dynamo", "store", "kinesis", "streams")
_OF_BATCH: Final = ("journal", "dynamo", "store", "tables", "files", "point.batch", "point.rebuild")
_BY: Final = {
    "rebuild": ("point.rebuild:after-table", "point.rebuild:before-pointer", "tables.commit", "journal.transact"),
    "planner": ("journal.get", "journal.scan", "store.get", "tables.load", "tables.load"),
}
