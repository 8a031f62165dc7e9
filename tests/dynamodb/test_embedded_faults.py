"""What goes wrong on demand with the embedded DynamoDB, and how the port tells of it."""

from typing import Any

import pytest

from shardlake.adapters.dynamodb.port import ConditionFailed, Throttled
from shardlake.core.errors import ConfigError, OutcomeUnknown, Terminal, Transient
from shardlake.testing.dynamodb import (
    CONFLICT,
    INTERNAL,
    LATE,
    LOST_AFTER,
    LOST_BEFORE,
    ONGOING,
    THROTTLES,
    Behaviour,
    EmbeddedCalls,
    Fault,
    raw_call,
)
from tests.dynamodb.embedded import Row, Tabled, key, put_of

GUARD: Row = {"ConditionExpression": "attribute_not_exists(p)"}


@pytest.fixture
def world() -> Tabled:
    return Tabled()


@pytest.fixture
def calls(world: Tabled) -> EmbeddedCalls:
    return EmbeddedCalls(world.dynamo)


def put(calls: EmbeddedCalls, s: int = 1, **more: Any) -> None:
    calls.call("PutItem", {"TableName": "tab", "Item": key(s)} | more)


def there(world: Tabled) -> list[str]:
    return [item["s"]["N"] for item in world.ask("Scan", TableName="tab", ConsistentRead=True)["Items"]]


# -------------------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("fault", [LOST_BEFORE, LOST_AFTER, INTERNAL, Fault(applied=True)])
def test_a_write_of_which_nothing_is_heard_is_unknown(world: Tabled, calls: EmbeddedCalls, fault: Fault) -> None:
    world.dynamo.inject(fault, "PutItem")
    with pytest.raises(OutcomeUnknown):
        put(calls)
    assert there(world) == (["1"] if fault.applied else [])


@pytest.mark.parametrize("fault", [LOST_BEFORE, INTERNAL])
def test_a_read_of_which_nothing_is_heard_may_be_asked_again(world: Tabled, calls: EmbeddedCalls, fault: Fault) -> None:
    world.dynamo.inject(fault, "GetItem")
    put(calls)
    request = {"TableName": "tab", "Key": key()}
    with pytest.raises(Transient):
        calls.call("GetItem", request)
    assert calls.call("GetItem", request) == {"Item": key()}


@pytest.mark.parametrize("fault", [*THROTTLES, CONFLICT])
def test_a_throttled_write_was_not_done(world: Tabled, calls: EmbeddedCalls, fault: Fault) -> None:
    world.dynamo.inject(fault, times=2)
    with pytest.raises(Throttled):
        put(calls)
    with pytest.raises(Throttled):
        calls.call("TransactWriteItems", {"TransactItems": [put_of(1), put_of(2)]})
    assert there(world) == []
    put(calls)


def test_a_condition_that_does_not_hold_says_what_stood_there(calls: EmbeddedCalls) -> None:
    put(calls)
    wants = GUARD | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    with pytest.raises(ConditionFailed) as caught:
        put(calls, **wants)
    assert (caught.value.reasons, caught.value.items) == (("ConditionalCheckFailed",), (key(),))
    with pytest.raises(ConditionFailed) as caught:
        calls.call("TransactWriteItems", {"TransactItems": [put_of(2), put_of(1, **wants), put_of(3)]})
    assert caught.value.reasons == ("None", "ConditionalCheckFailed", "None")
    assert caught.value.items == (None, key(), None)


def test_what_no_repetition_mends_is_told_apart(world: Tabled, calls: EmbeddedCalls) -> None:
    with pytest.raises(ConfigError):
        calls.call("GetItem", {"TableName": "nobody", "Key": key()})
    with pytest.raises(Terminal):
        calls.call("PutItem", {"TableName": "tab", "Item": {}})
    with pytest.raises(Terminal):
        calls.call("DoSomething", {})
    world.dynamo.inject(LOST_BEFORE)
    with pytest.raises(Transient):
        raw_call(world.dynamo)("ListStreams", b"{}")
    assert raw_call(world.dynamo)("ListStreams", b"{}") == (200, b'{"Streams":[]}')


def test_faults_come_in_order_to_their_actions(world: Tabled, calls: EmbeddedCalls) -> None:
    world.dynamo.inject(INTERNAL, "DeleteItem")
    world.dynamo.inject(THROTTLES[0])
    with pytest.raises(Throttled):
        put(calls)
    put(calls)
    with pytest.raises(OutcomeUnknown):
        calls.call("DeleteItem", {"TableName": "tab", "Key": key()})
    world.dynamo.inject(INTERNAL, times=3)
    world.dynamo.clear_faults()
    assert there(world) == ["1"]
    world.dynamo.behaviour = Behaviour(fault=lambda action, _: INTERNAL if action == "Scan" else None)
    with pytest.raises(Transient):
        calls.call("Scan", {"TableName": "tab"})


# -------------------------------------------------------------------------------------------------- late writes


def test_a_late_write_lands_over_what_was_written_meanwhile(world: Tabled, calls: EmbeddedCalls) -> None:
    world.dynamo.inject(LATE, "PutItem")
    with pytest.raises(OutcomeUnknown):
        put(calls, Item=key() | {"by": {"S": "zombie"}})
    assert there(world) == []
    put(calls, Item=key() | {"by": {"S": "living"}})
    [landed] = world.dynamo.land()
    assert landed.status == 200
    assert world.get()["Item"]["by"] == {"S": "zombie"}
    assert world.dynamo.land() == []


def test_a_late_write_is_held_to_its_condition_where_it_lands(world: Tabled, calls: EmbeddedCalls) -> None:
    world.dynamo.inject(LATE)
    with pytest.raises(OutcomeUnknown):
        put(calls, Item=key() | {"by": {"S": "zombie"}}, **GUARD)
    put(calls, **GUARD)
    [landed] = world.dynamo.land()
    assert landed.status == 400
    assert world.get()["Item"] == key()


def test_a_late_write_lands_by_itself_when_its_time_has_come(world: Tabled, calls: EmbeddedCalls) -> None:
    world.dynamo.inject(Fault(dropped=True, late=True, delay_s=30.0))
    with pytest.raises(OutcomeUnknown):
        put(calls)
    world.clock.advance(29)
    assert there(world) == []
    world.clock.advance(1)
    assert there(world) == ["1"]


def test_a_late_transaction_with_a_token_lands_once(world: Tabled, calls: EmbeddedCalls) -> None:
    count = {"TableName": "tab", "Key": key(), "UpdateExpression": "ADD n :o"}
    count |= {"ExpressionAttributeValues": {":o": {"N": "1"}}}
    request = {"TransactItems": [{"Update": count}], "ClientRequestToken": "t"}
    world.dynamo.inject(LATE)
    with pytest.raises(OutcomeUnknown):
        calls.call("TransactWriteItems", request)
    calls.call("TransactWriteItems", request)
    world.dynamo.land()
    assert world.get()["Item"]["n"] == {"N": "1"}


# ------------------------------------------------------------------------------------- transactions that go on


def test_others_meet_a_transaction_that_goes_on(world: Tabled, calls: EmbeddedCalls) -> None:
    request = {"TransactItems": [put_of(1), put_of(2, **GUARD)], "ClientRequestToken": "t"}
    world.dynamo.inject(ONGOING)
    with pytest.raises(OutcomeUnknown):
        calls.call("TransactWriteItems", request)
    with pytest.raises(Throttled):
        put(calls, 2)
    with pytest.raises(Throttled):
        calls.call("TransactWriteItems", {"TransactItems": [put_of(2), put_of(3)]})
    with pytest.raises(Throttled):
        calls.call("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "tab", "Key": key(2)}}]})
    assert world.refusal("TransactWriteItems", **request).code == "TransactionInProgressException"
    left = calls.call("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": key(1)}}]}})
    assert left["UnprocessedItems"] == {"tab": [{"PutRequest": {"Item": key(1)}}]}
    put(calls, 3)
    assert calls.call("GetItem", {"TableName": "tab", "Key": key(2)}) == {}
    world.dynamo.land()
    assert sorted(there(world)) == ["1", "2", "3"]
    put(calls, 2)
    calls.call("TransactWriteItems", request)


def test_a_transaction_that_meets_another_at_once_never_lands(world: Tabled, calls: EmbeddedCalls) -> None:
    world.dynamo.inject(ONGOING, times=2)
    for s in (1, 2):
        with pytest.raises(OutcomeUnknown):
            calls.call("TransactWriteItems", {"TransactItems": [put_of(9), put_of(s)]})
    world.dynamo.land()
    assert sorted(there(world)) == ["1", "9"]
