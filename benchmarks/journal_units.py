"""Capacity units that a journal in DynamoDB consumes in a day, beside what KCL writes to renew its leases.

Workers, loops, sources and the journal are the real ones, on an embedded Kinesis and an embedded DynamoDB in simulated
time; what is counted is what the table consumed in a minute, after all shards were spread. Every shard gets records
all the time, and a worker commits every `limits.chunk_age_s` (1 s), which is the most that it ever commits.

KCL renews each lease about every 3.3 s, a unit each; its checkpoints and the scans of its lease table come on top.
"""

import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.harness import verdict
from shardlake.adapters.dynamodb.journal import DynamoJournal
from shardlake.adapters.dynamodb.tables import creation
from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.wire import Put
from shardlake.core.limits import Limits
from shardlake.testing.clicks import line_of
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedCalls, EmbeddedDynamo
from shardlake.testing.fleet import STREAM, Fleet
from shardlake.testing.plain import Click

TABLE: Final = "journal"
DAY_S: Final = 86_400
KCL_RENEWAL_S: Final = 3.3
STEP_S: Final = 0.25
COUNTED_S: Final = 60
CASES: Final = ((10, 2), (100, 4), (1_000, 16))  # shards, workers; the last one in `long`
UNITS_MAX: Final = 5.0  # a second and worker, for a commit and all else that it writes


@dataclass(frozen=True, slots=True)
class Consumed:
    """Units of a day, and how many entries were committed in one."""

    write: float
    read: float
    idle_write: float
    entries: float


def play(shards: int, workers: int, folder: Path) -> Consumed:
    """Let workers read a stream whose every shard has something new every second, and then nothing more."""
    clock = ManualClock()
    dynamo = EmbeddedDynamo(clock, random.Random(1), Behaviour.unlimited())
    dynamo.ask("CreateTable", **creation(TABLE))
    journal = DynamoJournal(EmbeddedCalls(dynamo), TABLE, "app", clock, random.Random(2))
    limits = Limits(fetch_threads_max=2)
    engine = Engine(threads=1)
    fleet = Fleet(folder, engine, {}, shards, clock=clock, limits=limits, inner=cast("Any", journal))
    for _ in range(workers):
        fleet.spawn()
    line = line_of(Click(0, None, "a", 1, None, None))
    keys = [str(n) for n in range(shards)]

    def run(seconds: float, *, busy: bool) -> tuple[float, float, int]:
        before = dynamo.units[TABLE, "write"], dynamo.units[TABLE, "read"], fleet.told.entries
        for step in range(round(seconds / STEP_S)):
            if busy and step % round(1 / STEP_S) == 0:
                for at in range(0, shards, 500):
                    fleet.api.put_records(STREAM, [Put(line, key) for key in keys[at : at + 500]])
            for member in tuple(fleet.members):
                fleet.step(member)
            clock.advance(STEP_S)
        return (
            dynamo.units[TABLE, "write"] - before[0],
            dynamo.units[TABLE, "read"] - before[1],
            fleet.told.entries - before[2],
        )

    run(60, busy=True)
    held = fleet.held()
    assert len(held) == shards, f"{len(held)} shards of {shards} are held"
    assert len(set(held.values())) == workers, f"{len(set(held.values()))} workers of {workers} have shards"
    a_day = DAY_S / COUNTED_S
    write, read, entries = run(COUNTED_S, busy=True)
    run(10, busy=False)
    idle, _, _ = run(COUNTED_S, busy=False)
    engine.close()
    return Consumed(write * a_day, read * a_day, idle * a_day, entries * a_day)


def main() -> int:
    """Count for streams of some shards, and hold what a worker writes in a second against the bar."""
    return _count(CASES[:2])


def long() -> int:
    """Count for a stream of very many shards too."""
    return _count(CASES)


def _count(cases: Sequence[tuple[int, int]]) -> int:
    worst = 0.0
    print(
        f"{'shards':>6}  {'workers':>7}  {'commits':>9}  {'written':>10}  {'when idle':>10}  {'read':>12}  {'KCL':>12}"
    )
    for shards, workers in cases:
        with tempfile.TemporaryDirectory() as folder:
            found = play(shards, workers, Path(folder))
        renewals = shards * DAY_S / KCL_RENEWAL_S
        ours = f"{found.entries:>9,.0f}  {found.write:>10,.0f}  {found.idle_write:>10,.0f}  {found.read:>12,.0f}"
        print(f"{shards:>6,}  {workers:>7}  {ours}  {renewals:>12,.0f}", flush=True)
        worst = max(worst, found.write / workers / DAY_S)
    print("a day: entries, units written, units written where nothing is read, units read; KCL's renewals of leases")
    return verdict("journal_units", worst, at_most=UNITS_MAX)


if __name__ == "__main__":
    sys.exit(main())
