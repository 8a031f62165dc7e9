# long: an application, its table, a fleet, and each way from one to the other
"""From a KCL application to a fleet of ours and back, on an embedded Kinesis and DynamoDB: each event exactly once."""

import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardlake.adapters.engine import Engine
from shardlake.adapters.kcl.exporting import Given, plan_export
from shardlake.adapters.kcl.importing import Choices, ImportPlan, plan_import
from shardlake.adapters.kcl.lease import Lease
from shardlake.adapters.kcl.stream import LeasedShards
from shardlake.adapters.kcl.table import LeaseTable
from shardlake.adapters.kcl.watch import watch
from shardlake.adapters.kinesis.aggregates import aggregate, expand
from shardlake.adapters.kinesis.wire import Put
from shardlake.adapters.readers import read_manifests
from shardlake.core.compiler import compile_view
from shardlake.core.journal import reading, rows
from shardlake.core.journal.objects import Arrived
from shardlake.core.journal.port import REMOVED, Write
from shardlake.core.journal.rows import SourceRow
from shardlake.core.positions import END, ORIGIN, Position
from shardlake.testing.clicks import line_of
from shardlake.testing.dynamodb import EmbeddedCalls, EmbeddedDynamo
from shardlake.testing.fleet import LIMITS, STREAM, Fleet
from shardlake.testing.plain import VIEWS, Click
from shardlake.testing.world import SCHEMA
from streams import handover
from streams.handover import Brought
from streams.lane import LaneContext

ENGINE = Engine()
PAGES = {"pages": compile_view("pages", VIEWS["pages"].sql, SCHEMA)}
APP = "orders-app"
TABLE = {
    "TableName": APP,
    "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass
class Kcl:
    """As much of KCL as reads: it takes leases, delivers user records in order, and notes how far it is."""

    fleet: Fleet
    dynamo: EmbeddedDynamo
    delivered: Counter[bytes] = field(default_factory=Counter)

    def leases(self) -> dict[str, dict[str, Any]]:
        found = self.dynamo.ask("Scan", TableName=APP)["Items"]
        return {item["leaseKey"]["S"]: item for item in found}

    def sync(self) -> None:
        """Make leases for the shards that are there when the table is empty."""
        for shard in self.fleet.api.list_shards(STREAM):
            if not shard.parents:
                self._put(shard.shard_id, (), (shard.start_hash, shard.end_hash))

    def _put(self, name: str, parents: tuple[str, ...], hashes: tuple[int, int]) -> None:
        item: dict[str, Any] = {
            "leaseKey": {"S": name},
            "leaseCounter": {"N": "0"},
            "checkpoint": {"S": "TRIM_HORIZON"},
            "checkpointSubSequenceNumber": {"N": "0"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "startingHashKey": {"S": str(hashes[0])},
            "endingHashKey": {"S": str(hashes[1])},
        }
        if parents:
            item["parentShardId"] = {"SS": [*parents]}
        if name not in self.leases():
            self.dynamo.ask("PutItem", TableName=APP, Item=item)

    def read(self, name: str, most: int) -> None:
        """Deliver so many user records of a shard, or fewer, and note the last of them."""
        item = self.leases()[name]
        above = [self.leases().get(one) for one in item.get("parentShardId", {"SS": []})["SS"]]
        if item["checkpoint"]["S"] == "SHARD_END" or any(p and p["checkpoint"]["S"] != "SHARD_END" for p in above):
            return
        done = _place(item)
        kind = ("AT_SEQUENCE_NUMBER", str(done[0])) if done[0] >= 0 else ("TRIM_HORIZON", "")
        iterator: str | None = self.fleet.api.iterator(STREAM, name, *kind)
        while iterator is not None and most > 0:
            page = self.fleet.api.get_records(iterator, 7)
            for sequence, data in zip(page.sequences, page.data, strict=True):
                users = expand([data])
                for sub, user in enumerate(users.data if users else [data]):
                    if (int(sequence), sub) > done and most > 0:
                        done, most = (int(sequence), sub), most - 1
                        self.delivered[user] += 1
                        self._note(item, sequence, sub)
            if page.next_iterator is None and most > 0:
                self._end(item, page.children)
            if not page.sequences and page.behind_ms == 0:
                return
            iterator = page.next_iterator

    def _note(self, item: dict[str, Any], checkpoint: str, sub: int = 0) -> None:
        item["checkpoint"], item["checkpointSubSequenceNumber"] = {"S": checkpoint}, {"N": str(sub)}
        item["leaseCounter"] = {"N": str(int(item["leaseCounter"]["N"]) + 1)}
        item["leaseOwner"] = {"S": "worker-1"}
        self.dynamo.ask("PutItem", TableName=APP, Item=item)

    def _end(self, item: dict[str, Any], children: Any) -> None:
        if any(parent not in self.leases() for child in children for parent in child.parents):
            return  # of a merge, until both parents have leases
        for child in children:
            self._put(child.shard_id, child.parents, (child.start_hash, child.end_hash))
        item["childShardIds"] = {"SS": [child.shard_id for child in children]}
        self._note(item, "SHARD_END")

    def run(self, most: int = 0) -> None:
        """Read so many user records of each shard, or everything."""
        before = None
        while before != (before := self.leases()):
            for name in sorted(self.leases()):
                self.read(name, most or 10_000)
            if most:
                return

    def stop(self) -> None:
        """Leave every lease, as a shutdown in order does."""
        for item in self.leases().values():
            item.pop("leaseOwner", None)
            item["leaseCounter"] = {"N": str(int(item["leaseCounter"]["N"]) + 1)}
            self.dynamo.ask("PutItem", TableName=APP, Item=item)


def _place(item: Mapping[str, Any]) -> tuple[int, int]:
    text = item["checkpoint"]["S"]
    return (int(text), int(item["checkpointSubSequenceNumber"]["N"])) if text.isdecimal() else (-1, 0)


@dataclass
class Move:
    """A stream, the application that reads it, and the root that it moves to and from."""

    fleet: Fleet
    kcl: Kcl
    table: LeaseTable
    stream: LeasedShards
    put: list[bytes] = field(default_factory=list)

    @property
    def context(self) -> LaneContext:
        return LaneContext(self.fleet.journal, self.fleet.store, self.fleet.clock, self.fleet._name, LIMITS)

    def clicks(self, key: str, count: int, *, together: int = 1, aggregated: int = 0) -> None:
        """Put events; `together` lines make a user record, and of those `aggregated` a record."""
        start = len(self.put)
        texts = [line_of(Click(n, None, f"p{n % 3}", n, None, f"id{n}")) for n in range(start, start + count)]
        self.put += texts
        users = [b"\n".join(texts[at : at + together]) for at in range(0, count, together)]
        puts = [Put(user, key) for user in users]
        if aggregated:
            groups = [puts[at : at + aggregated] for at in range(0, len(puts), aggregated)]
            puts = [Put(aggregate(group), key) for group in groups]
        assert not self.fleet.api.put_records(STREAM, puts).failed

    def planned(self) -> ImportPlan:
        contents = watch(self.table, self.fleet.clock, 10.0, silent)
        return plan_import(contents.leases, self.stream.shards(), self.stream.look, Choices())

    def take_over(self) -> None:
        """As `shardlake lease import` does."""
        plan = self.planned()
        settings = {"pack": "clicks", handover.COMING: APP}
        key, journal = rows.source_key(STREAM), self.fleet.inner
        if key in journal.get([key]):
            journal.transact([Write(key, journal.get([key])[key], REMOVED)])
        journal.transact([Write(key, None, rows.encode(SourceRow(STREAM, settings)))])
        handover.bring(self.context, STREAM, brought(plan), silent)
        handover.arrive(self.context, STREAM)

    def give_back(self) -> None:
        """As `shardlake lease export` does."""
        handover.rest(self.context, STREAM, silent)
        contents = watch(self.table, self.fleet.clock, 10.0, silent)
        handover.hand_over(self.context, STREAM, APP)
        for change in self.exported(contents.leases):
            if change.before is None:
                self.table.create(change.lease, "2")
            elif not change.is_done:
                self.table.update(change.before, change.lease, "2")

    def exported(self, there: tuple[Lease, ...]) -> Any:
        found = handover.positions(self.fleet.journal, self.fleet.store, STREAM)
        given_back = [Given(name.rpartition("/")[2], at) for name, at in found.items()]
        return plan_export(given_back, self.stream.shards(), there, self.stream.look, "", evict=False).changes

    def read(self) -> Counter[bytes]:
        """The lines that the root has counted, by the rows of its segments."""
        self.fleet.plan()  # its ranges tile every shard
        heads = reading.read_heads(self.fleet.inner)
        entries = [e for lane, head in heads.items() for e in reading.read_entries(self.fleet.inner, lane, 0, head.n)]
        segments = [one.segment for one in read_manifests(self.fleet.store, entries) if one.segment is not None]
        ids = [
            name
            for segment in segments
            for name in ENGINE.table(f"SELECT click_id FROM read_parquet('{self.fleet.store.path(segment)}')")[
                "click_id"
            ]
        ]
        return Counter(self.put[int(name.as_py().removeprefix("id"))] for name in ids)

    def run(self) -> None:
        """Let a worker read until nothing comes any more, then leave in order."""
        member = self.fleet.spawn()
        quiet = 0
        while quiet < 12:
            quiet = 0 if self.fleet.step(member) else quiet + 1
            self.fleet.clock.advance(0.25)
        self.fleet.stop(member)

    def expect_once(self) -> None:
        """See that every line was delivered there or counted here, once."""
        lines: Counter[bytes] = Counter()
        for user, count in self.kcl.delivered.items():
            for line in user.split(b"\n"):
                lines[line] += count
        assert lines + self.read() == Counter(self.put)


def brought(plan: ImportPlan) -> list[Brought]:
    return [
        Brought(
            f"{STREAM}/{one.shard}",
            tuple(f"{STREAM}/{parent}" for parent in one.parents),
            one.at,
            Arrived(one.arrived_us, 86_400) if one.at not in (ORIGIN, END) else None,
        )
        for one in plan.shards
    ]


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return moved(tmp_path)


def moved(folder: Path) -> Move:
    fleet = Fleet(folder, ENGINE, PAGES)
    fleet.clock.advance(1)
    dynamo = EmbeddedDynamo(fleet.clock, random.Random(3))
    dynamo.ask("CreateTable", **TABLE)
    fleet.clock.advance(10)
    made = Move(
        fleet,
        Kcl(fleet, dynamo),
        LeaseTable(EmbeddedCalls(dynamo), APP, fleet.clock, LIMITS),
        LeasedShards(fleet.api, STREAM, fleet.clock, LIMITS),
    )
    made.kcl.sync()
    return made


def test_what_was_read_there_is_not_read_here_and_the_rest_is(move: Move) -> None:
    for key in "abcdef":
        move.clicks(key, 9)
    move.kcl.run(most=7)
    move.kcl.stop()
    move.take_over()
    assert 0 < sum(move.kcl.delivered.values()) < len(move.put)
    move.run()
    move.expect_once()
    assert move.fleet.told.gaps == []


def test_resharding_in_the_middle_of_it(move: Move) -> None:
    for key in "abcdef":
        move.clicks(key, 6)
    move.fleet.split(0)
    move.fleet.merge(1)
    for key in "abcdef":
        move.clicks(key, 6)
    move.kcl.run(most=15)
    move.kcl.run(most=9)
    move.kcl.stop()
    assert "SHARD_END" in {item["checkpoint"]["S"] for item in move.kcl.leases().values()}
    move.take_over()
    for key in "ghi":
        move.clicks(key, 4)
    move.fleet.split(0)
    for key in "jkl":
        move.clicks(key, 4)
    move.run()
    move.expect_once()
    assert move.fleet.told.gaps == []


def test_a_position_within_an_aggregate_is_taken_over_to_the_line(move: Move) -> None:
    move.clicks("a", 24, together=3, aggregated=4)
    move.kcl.run(most=6)  # two user records of three lines of the second aggregate
    move.kcl.stop()
    (one,) = [one for one in move.planned().shards if one.at not in (ORIGIN, END)]
    assert (one.was.rpartition("/")[2], one.at.sub) == ("1", 5)
    move.take_over()
    move.run()
    move.expect_once()


def test_it_goes_back_and_the_application_goes_on(move: Move) -> None:
    move.clicks("a", 12, together=2, aggregated=3)
    move.clicks("b", 12)
    move.kcl.run(most=3)
    move.kcl.stop()
    move.take_over()
    move.run()
    move.fleet.split(0)
    move.clicks("c", 6)
    move.clicks("d", 6)
    move.run()
    here = move.read()
    move.give_back()
    move.clicks("a", 5, together=2, aggregated=2)
    move.clicks("e", 5)
    move.kcl.run()
    assert move.read() == here
    move.expect_once()


def test_a_position_within_an_aggregate_goes_back_as_it_came(move: Move) -> None:
    move.clicks("a", 24, together=3, aggregated=4)
    move.kcl.run(most=6)
    move.kcl.stop()
    before = [(lease.shard, lease.checkpoint, lease.sub) for lease in move.table.read().leases]
    move.take_over()
    move.give_back()
    assert [(lease.shard, lease.checkpoint, lease.sub) for lease in move.table.read().leases] == before
    move.kcl.run()
    move.expect_once()


def test_what_was_trimmed_while_nobody_read_is_a_gap(move: Move) -> None:
    move.clicks("a", 9)
    move.kcl.run(most=4)
    move.kcl.stop()
    move.fleet.clock.advance(25 * 3600)
    move.clicks("a", 3)
    plan = move.planned()
    (one,) = [one for one in plan.shards if one.at != ORIGIN]
    assert one.is_gone
    assert "is gone, so what came after it may be lost" in plan.notes[0]
    move.take_over()
    move.run()
    assert [gap.shard for gap in move.fleet.told.gaps] == [f"{STREAM}/{one.shard}"]


def test_batch_runs_count_what_was_read_here(move: Move) -> None:
    move.clicks("a", 9)
    move.kcl.run(most=4)
    move.kcl.stop()
    move.take_over()
    move.fleet.batch()
    move.run()
    move.fleet.batch()
    made = move.fleet.plan()
    (counted,) = [sum(row["clicks"] for row in rows_) for rows_ in move.fleet.answers(made).values()]
    assert counted == 5


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "split", "merge", "kcl", "kcl"]), st.integers(0, 9)),
    min_size=2,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, STEPS)
def test_there_and_back_each_event_is_read_once(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        move = moved(Path(folder))
        played(move, before)
        move.kcl.stop()
        move.take_over()
        played(move, [step for step in after if step[0] != "kcl"])
        if len(before) % 2:
            move.run()
        state = standing(move)
        move.give_back()
        assert returned(move) == state
        move.kcl.run()
        move.expect_once()


def played(move: Move, steps: list[tuple[str, int]]) -> None:
    for step, number in steps:
        if step == "put":
            move.clicks(f"k{number}", number + 1, together=number % 3 + 1, aggregated=number % 4)
        elif step == "kcl":
            move.kcl.run(most=number + 1)
        else:
            (move.fleet.split if step == "split" else move.fleet.merge)(number)


def standing(move: Move) -> dict[str, Position]:
    return {
        n.rpartition("/")[2]: at for n, at in handover.positions(move.fleet.journal, move.fleet.store, STREAM).items()
    }


def returned(move: Move) -> dict[str, Position]:
    """What an import would make of the table; shards of which nothing was known here begin at their first record."""
    known, found = standing(move), move.planned().shards
    assert {one.at for one in found if one.shard not in known} <= {ORIGIN}
    return {one.shard: one.at for one in found if one.shard in known}
