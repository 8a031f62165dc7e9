"""Workers of a stream whose journal is in DynamoDB: what each of them writes, and that none meets another."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from shardlake.adapters.engine import Engine
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Manifest, decode
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from shardlake.testing.dynamodb import CONFLICT, LOST_AFTER, LOST_BEFORE, THROTTLES
from shardlake.testing.fleet import Fleet
from shardlake.testing.plain import Click
from tests.dynamodb.wired import Wired

WORKERS, SHARDS, SECONDS, STEP_S = 4, 8, 5, 0.25
LIMITS = Limits(retry_first_s=0.05, commit_retries_max=4, fetch_threads_max=2, discover_s=5.0)
WRITE = "TransactWriteItems"


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(threads=1)
    yield engine
    engine.close()


class Site:
    """Workers of a stream whose every shard gets a record a second."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.wired = Wired()
        journal = cast("Any", self.wired.journal())
        self.fleet = Fleet(folder, engine, {}, SHARDS, clock=self.wired.clock, limits=LIMITS, inner=journal)
        for _ in range(WORKERS):
            self.fleet.spawn()

    def run(self, seconds: float) -> None:
        for step in range(round(seconds / STEP_S)):
            if step % 4 == 0:
                for key in range(8 * SHARDS):  # so that every shard has one, wherever their hashes fall
                    self.fleet.put(str(key), [Click(0, None, "a", 1, None, None)])
            for member in tuple(self.fleet.members):
                self.fleet.step(member)
            self.wired.clock.advance(STEP_S)

    def spread(self) -> None:
        """Let every worker have its share."""
        self.run(15)
        held = self.fleet.held()
        assert (len(held), len(set(held.values()))) == (SHARDS, WORKERS)
        self.wired.sent.clear()

    def counted(self) -> int:
        """How many rows all entries have."""
        journal, store = self.wired.journal(), self.fleet.store
        entries = [e for lane, head in reading.read_heads(journal).items() for e in read(journal, lane, head.n)]
        manifests = [decode(Manifest, ref.name, store.get(ref)) for e in entries if (ref := e.manifest) is not None]
        return sum(manifest.counts.rows for manifest in manifests)


def read(journal: Journal, lane: int, upto: int) -> list[Entry]:
    return reading.read_entries(journal, lane, 0, upto)


def items(request: Mapping[str, Any]) -> set[str]:
    """The items that a transaction writes or expects."""
    found = set()
    for write in request["TransactItems"]:
        [one] = write.values()
        found.add((one.get("Item") or one["Key"])["sk"]["S"])
    return found


def test_commits_of_workers_have_no_item_in_common_and_none_is_sent_twice(tmp_path: Path, engine: Engine) -> None:
    site = Site(tmp_path, engine)
    site.spread()
    before = site.fleet.told.entries
    site.run(SECONDS)
    commits = [items(request) for action, request in site.wired.sent if action == WRITE]
    assert len(commits) == site.fleet.told.entries - before >= WORKERS * (SECONDS - 1), "each was sent once"
    lanes: dict[str, set[str]] = {}
    for written in commits:
        [head] = [key for key in written if key.startswith("lane/")]
        lane = head.removeprefix("lane/")
        assert {key.rpartition("/")[0] for key in written} == {"lane", f"entry/{lane}"}
        assert len(written) == 2
        lanes.setdefault(lane, set()).update(written)
    assert len(lanes) == WORKERS
    assert len(set[str]().union(*lanes.values())) == sum(map(len, lanes.values())), "an item is one lane's"


def test_a_second_of_a_worker_costs_five_units(tmp_path: Path, engine: Engine) -> None:
    site = Site(tmp_path, engine)
    site.spread()
    before = site.wired.units("write")
    site.run(SECONDS)
    assert site.wired.units("write") - before <= 5 * WORKERS * SECONDS
    assert site.wired.actions().count("PutItem") <= WORKERS * SECONDS, "one sign of life a second"


def test_workers_read_everything_once_whatever_becomes_of_answers(tmp_path: Path, engine: Engine) -> None:
    site = Site(tmp_path, engine)
    faults = (LOST_AFTER, CONFLICT, LOST_BEFORE, *THROTTLES)
    for n in range(20):
        site.wired.dynamo.inject(faults[n % len(faults)], (WRITE, "PutItem", "Query", "BatchGetItem")[n % 4])
        site.run(1)
        site.wired.dynamo.land()
    site.run(15)
    assert len(site.fleet.held()) == SHARDS
    assert site.counted() == len(site.fleet.log) > 0
