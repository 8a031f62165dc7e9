"""Items of KCL's lease tables, version by version, and how it is seen that nobody moves them."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.dynamodb.port import Throttled
from shardlake.adapters.kcl.identity import choose
from shardlake.adapters.kcl.lease import Lease, LeaseRefused, Version, new_item, read_lease
from shardlake.adapters.kcl.table import LeaseTable
from shardlake.adapters.kcl.watch import watch
from shardlake.core.errors import ConfigError, OutcomeUnknown
from shardlake.core.limits import Limits
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedCalls, EmbeddedDynamo

APP = "orders-app"
LOWER = ("0", "170141183460469231731687303715884105727")
UPPER = ("170141183460469231731687303715884105728", "340282366920938463463374607431768211455")
FIRST = ("0", "85070591730234615865843651857942052863")
SECOND = ("85070591730234615865843651857942052864", "170141183460469231731687303715884105727")
AT = "49590338271490256608559692540925702759324208523137515618"
OWNER = "ip-10-0-0-7:6f1c0b1e"
VERSIONS: list[Version] = ["2", "3.0", "3.5"]

STOPPED = (
    Lease("shardId-000000000000", "SHARD_END", counter=1873, hashes=LOWER,
          children=("shardId-000000000002", "shardId-000000000003")),
    Lease("shardId-000000000001", AT, 3, counter=902, switches=2, owner=OWNER, hashes=UPPER, pending=True),
    Lease("shardId-000000000002", "TRIM_HORIZON", counter=4, hashes=FIRST, pending=True,
          parents=("shardId-000000000000",)),
)  # fmt: skip
CREATED = (
    Lease("shardId-000000000002", f"{AT[:-2]}20", 2, parents=("shardId-000000000000",), hashes=FIRST),
    Lease("shardId-000000000003", "TRIM_HORIZON", parents=("shardId-000000000000",), hashes=SECOND),
    Lease("shardId-000000000000", "SHARD_END", children=("shardId-000000000003", "shardId-000000000002"), hashes=LOWER),
)


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "kcl" / f"kcl_{name}.json").read_text("utf-8"))
    return found


def text(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item whose sets are in order."""
    return {name: {kind: sorted(v) if kind == "SS" else v for kind, v in value.items()} for name, value in item.items()}


@dataclass
class Desk:
    """A lease table in an embedded DynamoDB, and what happens while somebody waits."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    clock: ManualClock = field(default_factory=ManualClock)
    told: list[str] = field(default_factory=list)
    happens: Callable[[], None] | None = None
    dynamo: EmbeddedDynamo = field(init=False)
    table: LeaseTable = field(init=False)

    def __post_init__(self) -> None:
        self.dynamo = EmbeddedDynamo(self.clock, random.Random(5), self.behaviour)
        self.make(APP, "leaseKey")
        self.table = LeaseTable(EmbeddedCalls(self.dynamo), APP, self.clock, Limits(retry_first_s=0.01))

    def make(self, name: str, key: str) -> None:
        self.dynamo.ask(
            "CreateTable",
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.clock.advance(10)

    def fill(self, version: str) -> None:
        found = golden(version)
        for side, items in {"": found["stopped"], **found.get("sides", {})}.items():
            if side:
                self.make(f"{APP}-{side}", "wid" if side == "WorkerMetricStats" else "key")
            for item in items:
                self.put(item, side)

    def put(self, item: Mapping[str, Any], side: str = "") -> None:
        self.dynamo.ask("PutItem", TableName=f"{APP}-{side}" if side else APP, Item=item)

    def progress(self, step: str) -> None:
        self.told.append(step)
        if self.happens is not None:
            self.happens()

    def items(self) -> dict[str, dict[str, Any]]:
        return {item["leaseKey"]["S"]: text(item) for item in self.dynamo.ask("Scan", TableName=APP)["Items"]}


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("version", VERSIONS)
def test_leases_of_each_version_are_read(version: Version, desk: Desk) -> None:
    desk.fill(version)
    found = desk.table.read()
    assert found.leases == STOPPED
    assert {key for _, key in found.others} >= ({"Leader", OWNER} if version != "2" else set())
    assert found.is_single == (version == "3.5")


def test_a_table_of_many_pages_is_read_whole() -> None:
    desk = Desk(Behaviour(page_bytes_max=400))
    names = [f"shardId-{n:012d}" for n in range(30)]
    for name in names:
        desk.put(new_item(Lease(name, "TRIM_HORIZON"), "2"))
    assert [lease.shard for lease in desk.table.read().leases] == names


@pytest.mark.parametrize(
    "item",
    [
        {"leaseKey": {"S": "a"}},
        {"leaseKey": {"S": "a"}, "checkpoint": {"S": "soon"}, "leaseCounter": {"N": "1"}},
        {"leaseKey": {"S": "a"}, "checkpoint": {"S": "7"}},
    ],
)
def test_what_is_no_lease_is_refused(item: dict[str, Any], desk: Desk) -> None:
    desk.put(item)
    with pytest.raises(LeaseRefused, match="the item a is no lease"):
        desk.table.read()


def test_a_table_that_is_not_there_is_told(desk: Desk) -> None:
    with pytest.raises(ConfigError):
        LeaseTable(desk.table.calls, "elsewhere", desk.clock, Limits()).read()


# ------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("version", VERSIONS)
def test_leases_are_created_as_each_version_does(version: Version, desk: Desk) -> None:
    for lease in CREATED:
        desk.table.create(lease, version)
    assert desk.items() == {item["leaseKey"]["S"]: text(item) for item in golden(version)["created"]}


def test_a_lease_of_several_streams_names_its_own(desk: Desk) -> None:
    (item,) = golden("several")["created"]
    lease = read_lease(item)
    assert (lease.stream, lease.shard, lease.key) == (
        "123456789012:orders:1767200000", "shardId-000000000002", item["leaseKey"]["S"],
    )  # fmt: skip
    desk.table.create(lease, "3.0")
    assert desk.items() == {lease.key: item}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lease_is_moved_and_nothing_else_of_it_changes(version: Version, desk: Desk) -> None:
    desk.fill(version)
    before, wanted = STOPPED[1], Lease(STOPPED[1].shard, "SHARD_END", counter=903, children=("shardId-000000000009",))
    desk.table.update(before, wanted, version)
    was = text(golden(version)["stopped"][1])
    gone = {"leaseOwner", "pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"}
    assert desk.items()[before.key] == {name: value for name, value in was.items() if name not in gone} | {
        "leaseCounter": {"N": "903"},
        "checkpoint": {"S": "SHARD_END"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "childShardIds": {"SS": ["shardId-000000000009"]},
    }


def test_a_lease_that_moved_is_not_written(desk: Desk) -> None:
    desk.fill("2")
    moved = golden("2")["stopped"][1] | {"leaseCounter": {"N": "903"}}
    desk.put(moved)
    with pytest.raises(LeaseRefused, match="changed while it was being written"):
        desk.table.update(STOPPED[1], Lease(STOPPED[1].shard, "SHARD_END", counter=903), "2")
    with pytest.raises(LeaseRefused, match="changed while it was being written"):
        desk.table.create(Lease(STOPPED[1].shard, "TRIM_HORIZON"), "2")
    assert desk.items()[STOPPED[1].key] == text(moved)


@dataclass
class Lossy:
    """Calls of which some fail in passing: before or after they were done."""

    inner: Any
    faults: list[str]

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "throttled":
            raise Throttled("later")
        answer: Mapping[str, Any] = self.inner.call(action, request)
        if fault == "lost":
            raise OutcomeUnknown("nothing was heard")
        return answer


def test_a_lost_answer_is_no_other_worker(desk: Desk) -> None:
    desk.fill("2")
    calls = Lossy(desk.table.calls, ["throttled", "lost"])
    table = LeaseTable(calls, APP, desk.clock, Limits(retry_first_s=0.01))
    table.update(STOPPED[1], Lease(STOPPED[1].shard, "SHARD_END", counter=903), "2")
    calls.faults += ["lost"]
    table.create(CREATED[1], "2")
    found = {lease.shard: (lease.checkpoint, lease.counter) for lease in table.read().leases}
    assert found[STOPPED[1].shard] == ("SHARD_END", 903)
    assert found[CREATED[1].shard] == ("TRIM_HORIZON", 0)


def test_what_never_gets_through_is_told(desk: Desk) -> None:
    table = LeaseTable(Lossy(desk.table.calls, ["throttled"] * 99), APP, desk.clock, Limits(commit_retries_max=3))
    with pytest.raises(Throttled):
        table.read()


# ------------------------------------------------------------------------------------------------------ watching


@pytest.mark.parametrize("version", VERSIONS)
def test_a_table_in_which_nothing_moves_is_a_stopped_ones(version: Version, desk: Desk) -> None:
    desk.fill(version)
    begun = desk.clock.monotonic_s()
    assert watch(desk.table, desk.clock, 10.0, desk.progress).leases == STOPPED
    assert desk.clock.monotonic_s() - begun == pytest.approx(20.1)
    assert "20 s to go" in desk.told[0]


def later(desk: Desk, at_s: float, *items: Mapping[str, Any], side: str = "") -> Callable[[], None]:
    """Put items once so much time has passed."""
    until = desk.clock.monotonic_s() + at_s

    def happen() -> None:
        if desk.clock.monotonic_s() >= until:
            desk.happens = None
            for item in items:
                desk.put(item, side)

    return happen


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"leaseCounter": {"N": "903"}}, f"lease {STOPPED[1].key} moved under worker {OWNER}"),
        ({"leaseKey": {"S": "shardId-000000000009"}}, "lease shardId-000000000009 appeared"),
        ({"checkpointOwner": {"S": "old"}, "leaseOwner": {"S": "new"}}, "handed over from worker old to new"),
    ],
)
def test_a_fleet_at_work_is_refused(change: dict[str, Any], said: str, desk: Desk) -> None:
    desk.fill("2")
    desk.happens = later(desk, 18, golden("2")["stopped"][1] | change)
    with pytest.raises(LeaseRefused, match=said):
        watch(desk.table, desk.clock, 10.0, desk.progress)


def test_a_handover_that_is_pending_is_refused_at_once(desk: Desk) -> None:
    desk.fill("3.0")
    desk.put(golden("3.0")["stopped"][1] | {"checkpointOwner": {"S": "old"}})
    with pytest.raises(LeaseRefused, match=f"from worker old to {OWNER}"):
        watch(desk.table, desk.clock, 10.0, desk.progress)
    assert desk.told == []


@pytest.mark.parametrize("version", ["3.0", "3.5"])
def test_a_worker_that_told_of_itself_lately_is_watched_for_longer(version: Version, desk: Desk) -> None:
    desk.fill(version)
    side = "WorkerMetricStats" if version == "3.0" else ""
    items = golden(version)["sides"][side] if side else golden(version)["stopped"]
    (metrics,) = [item for item in items if "lut" in item]

    def fresh() -> dict[str, Any]:
        return {**metrics, "lut": {"N": str(desk.clock.now_us() // 1_000_000)}}

    desk.put(fresh(), side)
    begun = desk.clock.monotonic_s()
    watch(desk.table, desk.clock, 10.0, desk.progress)
    assert desk.clock.monotonic_s() - begun == pytest.approx(60.1)

    desk.put(fresh(), side)
    desk.happens = later(desk, 30, fresh() | {"lut": {"N": "1767229999"}}, side=side)
    with pytest.raises(LeaseRefused, match=f"the item {OWNER} moved"):
        watch(desk.table, desk.clock, 10.0, desk.progress)


def test_a_leader_that_was_not_released_is_watched_for_longer(desk: Desk) -> None:
    desk.fill("3.5")
    (leader,) = [item for item in golden("3.5")["stopped"] if item["leaseKey"]["S"] == "Leader"]
    held = {name: value for name, value in leader.items() if name != "isReleased"}
    desk.put(held)
    desk.happens = later(desk, 28, held | {"recordVersionNumber": {"S": "another"}})
    with pytest.raises(LeaseRefused, match="the leader moved"):
        watch(desk.table, desk.clock, 10.0, desk.progress)


def test_a_lease_that_vanishes_is_somebodys_work(desk: Desk) -> None:
    desk.fill("2")

    def delete() -> None:
        desk.happens = None
        desk.dynamo.ask("DeleteItem", TableName=APP, Key={"leaseKey": {"S": STOPPED[0].key}})

    desk.happens = delete
    with pytest.raises(LeaseRefused, match=f"lease {STOPPED[0].key} vanished"):
        watch(desk.table, desk.clock, 10.0, desk.progress)


# ---------------------------------------------------------------------------------------------------- which stream


def leases(*streams: str) -> list[Lease]:
    return [Lease("shardId-000000000000", "TRIM_HORIZON", stream=stream) for stream in streams]


def test_the_leases_of_a_stream_are_found_among_several() -> None:
    there = [read_lease(item) for item in golden("several")["stopped"]]
    assert choose(there, "orders", 0) == "123456789012:orders:1767200000"
    assert choose(leases(""), "orders", 0) == ""
    again = leases("1:orders:5", "1:orders:9", "1:other:9")
    assert choose(again, "orders", 9) == "1:orders:9"
    assert choose(again, "orders", 9, "1:orders:5") == "1:orders:5"


@pytest.mark.parametrize(
    ("there", "identifier", "said"),
    [
        (("1:other:9",), "", "no lease is of stream orders; the table is of 1:other:9"),
        (("1:orders:5", "1:orders:6"), "", "several may be of stream orders"),
        (("",), "1:orders:9", "no lease is of 1:orders:9; the table is of one stream alone"),
    ],
)
def test_another_streams_leases_are_refused(there: tuple[str, ...], identifier: str, said: str) -> None:
    with pytest.raises(LeaseRefused, match=said):
        choose(leases(*there), "orders", 9, identifier)
