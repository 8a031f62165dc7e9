"""What leases mean for shards here, and shards for leases: every rule, and whatever is refused."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.adapters.dynamodb.stream_calls import DirectStreams
from shardlake.adapters.kcl.exporting import Change, ExportPlan, Given, plan_export
from shardlake.adapters.kcl.importing import Choices, ImportPlan, Taken, plan_import
from shardlake.adapters.kcl.lease import Lease, LeaseRefused
from shardlake.adapters.kcl.positions import from_position, to_position
from shardlake.adapters.kcl.stream import LeasedShards, Listed, Looked, lines_of
from shardlake.adapters.kinesis.aggregates import aggregate
from shardlake.adapters.kinesis.wire import Page, Put
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import EmbeddedDynamo

from streams.sources.kinesis.records import end_of, lines_of as lines_read  # isort: skip

import numpy as np  # isort: skip

# A split into b and c; b and c merged into d; e was there all the time.
SHARDS = (
    Listed("a", (), (0, 7), 100, 199),
    Listed("b", ("a",), (0, 3), 200, 299),
    Listed("c", ("a",), (4, 7), 200, 299),
    Listed("d", ("b", "c"), (0, 7), 300, None),
    Listed("e", (), (8, 15), 100, None),
)
HASHES = {one.shard: one.hash_texts for one in SHARDS}
PLAIN = Looked((1,), 5_000_000)
NO_CHOICES = Choices()
USERS = st.sampled_from([b"one", b"two\n", b"1\n2", b"1\n2\n3\n", b"", b"\n"])


def lease(shard: str, checkpoint: str, sub: int = 0, **more: object) -> Lease:
    return replace(Lease(shard, checkpoint, sub, hashes=HASHES.get(shard, ("0", "1"))), **more)  # type: ignore[arg-type]


def planned(*leases: Lease, looked: Looked | None = PLAIN, choices: Choices = NO_CHOICES) -> ImportPlan:
    return plan_import(leases, SHARDS, lambda _shard, _sequence: looked, choices)


def places(plan: ImportPlan) -> dict[str, Position]:
    return {one.shard: one.at for one in plan.shards}


def parents(plan: ImportPlan) -> dict[str, tuple[str, ...]]:
    return {one.shard: one.parents for one in plan.shards if one.parents}


# ---------------------------------------------------------------------------------------------------- positions


@pytest.mark.parametrize(
    ("checkpoint", "sub", "lines", "at"),
    [
        ("TRIM_HORIZON", 0, None, ORIGIN),
        ("AT_TIMESTAMP", 0, None, ORIGIN),
        ("LATEST", 0, None, ORIGIN),
        ("SHARD_END", 0, None, END),
        ("7", 0, [1], Position(7, 0)),
        ("7", 0, [5], Position(7, 4)),
        ("7", 2, [1, 1, 1, 1], Position(7, 2)),
        ("7", 0, [2, 3, 1], Position(7, 1)),
        ("7", 1, [2, 3, 1], Position(7, 4)),
        ("7", 9, [2, 3, 1], Position(7, 5)),
        ("7", 2, None, Position(7, 2)),
    ],
)
def test_a_lease_tells_user_records_and_a_position_lines(
    checkpoint: str, sub: int, lines: list[int] | None, at: Position
) -> None:
    assert to_position(checkpoint, sub, lines) == at


@given(st.integers(0, 10**128), st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_a_position_comes_back_as_it_went(sequence: int, lines: list[int], data: st.DataObject) -> None:
    sub = data.draw(st.integers(0, len(lines) - 1))
    at = to_position(str(sequence), sub, lines)
    assert from_position("s", at, lines) == (str(sequence), sub)
    assert to_position(*from_position("s", at, None), None) == at


def test_a_position_inside_of_a_user_record_is_refused() -> None:
    for sub in (0, 2, 3):
        with pytest.raises(LeaseRefused, match=f"shard s stands in the middle of a record .7, line {sub}"):
            from_position("s", Position(7, sub), [2, 3, 1])


@settings(max_examples=40, deadline=None)
@given(st.lists(USERS, min_size=1, max_size=5), st.booleans())
def test_lines_are_counted_as_they_are_read(users: list[bytes], together: bool) -> None:
    users = users if together else users[:1]
    record = aggregate([Put(user, "k") for user in users]) if together else users[0]
    page = Page(["7"], [record], np.zeros(1, np.int64), ["k"], None, 0, (), 0)
    read = lines_read(page, 0, 2**128 - 1)
    assert sum(lines_of(record)) == len(read.subs)
    assert to_position("7", len(users) - 1, lines_of(record)) == end_of(page, read, 0)


# ------------------------------------------------------------------------------------------------------- import


def test_each_lease_becomes_a_shard_after_its_parents() -> None:
    plan = planned(
        lease("a", "SHARD_END"),
        lease("b", "250", 1),
        lease("c", "TRIM_HORIZON"),
        lease("e", "123"),
        looked=Looked((1, 4), 77),
    )
    assert places(plan) == {
        "a": END, "b": Position(250, 4), "c": ORIGIN, "d": ORIGIN, "e": Position(123, 0),
    }  # fmt: skip
    assert parents(plan) == {"b": ("a",), "c": ("a",), "d": ("b", "c")}
    order = [one.shard for one in plan.shards]
    assert all(order.index(parent) < order.index(one.shard) for one in plan.shards for parent in one.parents)
    assert {one.shard: one.arrived_us for one in plan.shards if one.arrived_us} == {"b": 77, "e": 77}


def test_what_was_cleaned_up_is_left_out() -> None:
    plan = planned(lease("d", "320"), lease("e", "LATEST"), choices=Choices(latest_as="trim_horizon"))
    assert places(plan) == {"d": Position(320), "e": ORIGIN}
    assert parents(plan) == {}


def test_what_lies_between_an_end_and_a_shard_that_was_begun_was_read() -> None:
    assert places(planned(lease("a", "SHARD_END"), lease("b", "SHARD_END"), lease("d", "320"), lease("e", "123"))) == {
        "a": END, "b": END, "d": Position(320), "e": Position(123),
    }  # fmt: skip


def test_what_lies_between_an_end_and_a_shard_that_was_not_begun_was_not_read() -> None:
    found = planned(lease("a", "SHARD_END"), lease("b", "SHARD_END"), lease("d", "TRIM_HORIZON"), lease("e", "123"))
    assert places(found)["c"] == ORIGIN
    assert parents(found)["d"] == ("b", "c")


def test_holes_are_refused_or_read() -> None:
    leases = [lease("a", "SHARD_END"), lease("b", "250"), lease("c", "TRIM_HORIZON")]
    with pytest.raises(LeaseRefused, match=r"nothing tells whether e was read.*--read-holes"):
        planned(*leases)
    plan = planned(*leases, choices=Choices(read_holes=True))
    assert places(plan)["e"] == ORIGIN
    assert "e had no lease" in plan.notes[-1]


def test_a_shard_between_one_that_is_read_and_one_that_was_begun_is_a_hole() -> None:
    with pytest.raises(LeaseRefused, match="whether b, c was read"):
        planned(lease("a", "150"), lease("d", "320"), lease("e", "123"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lease("e", "123", hashes=("9", "15")), "has other hash keys"),
        (lease("e", "99"), "stands outside of its shard's sequence numbers"),
        (lease("b", "300"), "stands outside of its shard's sequence numbers"),
        (lease("e", "SHARD_END"), "has ended, and its shard is open"),
    ],
)
def test_leases_of_another_stream_are_refused(wrong: Lease, said: str) -> None:
    leases = {one.shard: one for one in (lease("a", "SHARD_END"), lease("b", "250"), lease("e", "123"), wrong)}
    with pytest.raises(LeaseRefused, match=said):
        planned(*leases.values())


def test_a_table_without_a_shard_of_the_stream_is_refused() -> None:
    with pytest.raises(LeaseRefused, match=r"the table is another stream's \(x\)"):
        planned(lease("x", "5"))
    with pytest.raises(LeaseRefused, match="no lease in the table"):
        planned()


def test_what_was_read_out_of_order_is_refused() -> None:
    with pytest.raises(LeaseRefused, match="lease d was read before its parent b ended"):
        planned(
            lease("a", "SHARD_END"), lease("b", "250"), lease("c", "SHARD_END"), lease("d", "320"), lease("e", "123")
        )


def test_a_lease_at_latest_wants_a_decision() -> None:
    leases = lease("d", "LATEST"), lease("e", "123")
    with pytest.raises(LeaseRefused, match=r"lease d is at LATEST.*--latest-as"):
        planned(*leases)
    with pytest.raises(LeaseRefused, match="--at-timestamp"):
        planned(*leases, choices=Choices(latest_as="timestamp"))
    plan = planned(*leases, choices=Choices(55, "timestamp"))
    assert (places(plan)["d"], plan.pinned_us) == (ORIGIN, 55)
    plan = planned(*leases, choices=Choices(55, "trim_horizon"))
    assert (places(plan)["d"], plan.pinned_us) == (ORIGIN, 0)


def test_a_lease_at_a_timestamp_wants_the_moment() -> None:
    leases = lease("a", "SHARD_END"), lease("b", "AT_TIMESTAMP"), lease("c", "AT_TIMESTAMP"), lease("e", "AT_TIMESTAMP")
    with pytest.raises(LeaseRefused, match="--at-timestamp"):
        planned(*leases)
    plan = planned(*leases, choices=Choices(55))
    assert plan.pinned_us == 55
    # With parents they would begin at their first record; the child of shards that are yet to be read does.
    assert parents(plan) == {"d": ("b", "c")}
    with pytest.raises(LeaseRefused, match="e would begin at TRIM_HORIZON, and others at a moment"):
        planned(*leases[:3], lease("e", "TRIM_HORIZON"), choices=Choices(55))


def test_a_child_at_a_moment_follows_its_open_parent_from_its_first_record() -> None:
    plan = planned(
        lease("a", "AT_TIMESTAMP"),
        lease("b", "AT_TIMESTAMP"),
        lease("c", "TRIM_HORIZON"),
        lease("e", "123"),
        choices=Choices(55),
    )
    assert parents(plan)["b"] == ("a",)
    assert {one.shard for one in plan.shards if one.is_pinned} == {"a"}


def test_notes_tell_what_a_person_should_know() -> None:
    plan = planned(
        lease("d", "320", owner="w2", pending=True), lease("e", "123", owner="w1"), lease("x", "5"), looked=None
    )
    assert [one for one in plan.shards if one.is_gone] == [
        Taken(name, (), Position(n), str(n), is_gone=True) for name, n in (("d", 320), ("e", 123), ("x", 5))
    ]
    told = "\n".join(plan.notes)
    for said in (
        "at which d, e, x stands is gone",
        "the stream has x no more",
        "of d a further position",
        "still name w1, w2",
    ):
        assert said in told


def test_a_shard_that_expired_is_not_looked_at() -> None:
    def look(shard: str, _: int) -> Looked:
        assert shard != "x"
        return PLAIN

    plan = plan_import([lease("d", "320"), lease("e", "123"), lease("x", "5")], SHARDS, look, Choices())
    assert places(plan)["x"] == Position(5)


def test_leases_of_a_dynamodb_stream_are_taken_over_to_the_change() -> None:
    clock = ManualClock()
    dynamo = EmbeddedDynamo(clock, random.Random(4))
    dynamo.ask(
        "CreateTable",
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    clock.advance(10)
    for n in range(3):
        dynamo.ask("PutItem", TableName="orders", Item={"id": {"S": "a"}, "n": {"N": str(n)}})

    def send(action: str, body: bytes) -> tuple[int, bytes]:
        answer = dynamo.call(action, body)
        return int(answer.status), answer.body

    api = DirectStreams(send)
    (made,) = api.streams("orders")
    stream = LeasedShards(api, made.arn, clock, Limits(), hash_keys=False)
    listed = stream.shards()
    (used,) = [one for one in listed if api.get_records(api.iterator(made.arn, one.shard, "TRIM_HORIZON")).sequences]
    inserted, changed, _ = api.get_records(api.iterator(made.arn, used.shard, "TRIM_HORIZON")).sequences
    for sequence, sub in ((inserted, 0), (changed, 1)):  # a change has two lines: both images
        leases = [Lease(one.shard, "TRIM_HORIZON", hashes=("0", "1")) for one in listed if one != used]
        leases.append(Lease(used.shard, sequence, hashes=("0", "1")))
        plan = plan_import(leases, listed, stream.look, Choices())
        assert places(plan)[used.shard] == Position(int(sequence), sub)
        given_back = [Given(one.shard, one.at) for one in plan.shards]
        back = plan_export(given_back, listed, (), stream.look, "", evict=False)
        assert {c.lease.shard: (c.lease.told, c.lease.hashes) for c in back.changes} == {
            lease.shard: (lease.told, ("0", "1")) for lease in leases
        }


# ------------------------------------------------------------------------------------------------------- export


def exported(
    given_back: Mapping[str, Position],
    *there: Lease,
    lines: tuple[int, ...] | None = (1,),
    evict: bool = False,
    pinned: str = "",
) -> ExportPlan:
    looked = None if lines is None else Looked(lines, 0)
    known = [Given(name, at, is_pinned=name in pinned) for name, at in given_back.items()]
    return plan_export(known, SHARDS, there, lambda *_: looked, "", evict=evict)


ALL = {"a": END, "b": Position(250, 3), "c": END, "d": ORIGIN, "e": Position(123)}


def test_each_shard_becomes_a_lease_and_ends_come_last() -> None:
    plan = exported(ALL, lines=(1, 3, 2))
    assert [(c.lease.shard, c.lease.told, c.lease.parents, c.lease.children) for c in plan.changes] == [
        ("b", "250/1", ("a",), ()),
        ("d", "TRIM_HORIZON", ("b", "c"), ()),
        ("e", "123", (), ()),
        ("c", "SHARD_END", ("a",), ("d",)),
        ("a", "SHARD_END", (), ("b", "c")),
    ]
    assert all(
        c.lease.hashes == HASHES[c.lease.shard] and not c.lease.counter and c.before is None for c in plan.changes
    )
    assert plan.notes == ()


def test_a_child_that_is_not_known_here_gets_a_lease_with_its_parents_end() -> None:
    found = {c.lease.shard: c.lease.checkpoint for c in exported({"a": END, "e": END}).changes}
    assert found == {"a": "SHARD_END", "b": "TRIM_HORIZON", "c": "TRIM_HORIZON", "e": "SHARD_END"}


def test_a_lease_that_is_there_is_moved_by_one() -> None:
    plan = exported(ALL, lease("e", "122", counter=9, parents=("z",)), lines=(1, 3, 2))
    (change,) = [c for c in plan.changes if c.lease.shard == "e"]
    assert (change.lease.counter, change.before and change.before.counter, change.is_done) == (10, 9, False)


def test_what_was_written_already_is_done() -> None:
    first = exported(ALL, lines=(1, 3, 2))
    again = exported(ALL, *(c.lease for c in first.changes), lines=(1, 3, 2))
    assert all(c.is_done for c in again.changes)
    assert not Change(first.changes[0].lease, replace(first.changes[0].lease, owner="w")).is_done


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (lease("e", "124"), "the table is further than this root in e"),
        (lease("e", "123", 1), "the table is further than this root in e"),
        (lease("e", "SHARD_END"), "the table is further than this root in e"),
        (lease("d", "301"), "the table is further than this root in d"),
        (lease("e", "100", owner="w"), "lease e is owned by worker w.*--evict"),
    ],
)
def test_a_table_that_somebody_else_uses_is_refused(there: Lease, said: str) -> None:
    with pytest.raises(LeaseRefused, match=said):
        exported(ALL, there)


def test_a_lease_of_a_shard_that_is_not_known_here_is_refused_once_it_was_used() -> None:
    known = {name: at for name, at in ALL.items() if name != "d"}
    for used in ("LATEST", "320"):
        with pytest.raises(LeaseRefused, match="leases of d, of which nothing is known here"):
            exported(known, lease("d", used))
    assert all(c.lease.shard != "d" or c.is_done for c in exported(known, lease("d", "TRIM_HORIZON")).changes)


def test_leases_lose_their_owners_if_that_was_said() -> None:
    plan = exported(ALL, lease("e", "100", owner="w"), evict=True)
    assert [c.lease.owner for c in plan.changes if c.lease.shard == "e"] == [""]
    assert plan.notes == ("w lost their leases",)


def test_an_end_that_was_cleaned_up_there_is_no_conflict() -> None:
    assert exported(ALL, lease("x", "SHARD_END"), lease("y", "5")).changes


def test_a_shard_that_begins_at_a_moment_says_so() -> None:
    plan = exported({"e": ORIGIN, "d": Position(320)}, pinned="e")
    assert {c.lease.shard: c.lease.checkpoint for c in plan.changes} == {"d": "320", "e": "AT_TIMESTAMP"}
    assert "set the application's initial position" in plan.notes[0]


def test_a_shard_that_expired_gets_no_lease_and_that_is_told() -> None:
    plan = exported({"e": Position(123), "x": Position(5), "y": END})
    assert [c.lease.shard for c in plan.changes] == ["e"]
    assert plan.notes == ("the stream has x no more: what was not read of them is lost, and they get no lease",)


def test_a_record_that_is_gone_goes_back_as_it_came() -> None:
    plan = exported({"e": Position(123, 4)}, lines=None)
    assert plan.changes[0].lease.told == "123/4"
