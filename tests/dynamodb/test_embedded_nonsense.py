"""Requests of the embedded DynamoDB with nonsense in any place are refused, and nothing worse."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.dynamodb.embedded import Row, Tabled, key, put_of

_TEXTS = ["", "tab", "p = :v", "#", "1", "ALL_OLD"]
_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(_TEXTS))
_NAMES = ["p", "s", "x", "tab", ":v", "#n", "Put", "Update", "Key", "Keys", "Item"]
_FIELDS = st.sampled_from([*_NAMES, "S", "N", "B", "L", "M", "NS", "BS", "BOOL", "NULL"])
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_FIELDS, inner, max_size=3)),
    max_leaves=6,
)
_A: Row = {"ExpressionAttributeValues": {":v": {"S": "a"}}}
_ON_TABLE: list[tuple[str, Row]] = [
    ("PutItem", {"Item": key() | {"x": {"L": [{"B": "YQ=="}]}}, "ConditionExpression": "p = :v"} | _A),
    ("UpdateItem", {"Key": key(), "UpdateExpression": "SET #n = :v", "ExpressionAttributeNames": {"#n": "n"}} | _A),
    ("DeleteItem", {"Key": key(), "ReturnValues": "ALL_OLD"}),
    ("GetItem", {"Key": key(), "ProjectionExpression": "x"}),
    ("Query", {"KeyConditionExpression": "p = :v", "ExclusiveStartKey": key(), "Limit": 2} | _A),
    ("Scan", {"Segment": 0, "TotalSegments": 2, "ExclusiveStartKey": key(), "FilterExpression": "attribute_exists(x)"}),
    ("UpdateTable", {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}),
    ("UpdateTimeToLive", {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "x"}}),
]
_SENSIBLE: list[tuple[str, Row]] = [
    *((action, {"TableName": "tab"} | request) for action, request in _ON_TABLE),
    ("TransactWriteItems", {"TransactItems": [put_of(1)], "ClientRequestToken": "t"}),
    ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "tab", "Key": key()}}]}),
    ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": key()}}]}}),
    ("BatchGetItem", {"RequestItems": {"tab": {"Keys": [key()]}}}),
    ("GetShardIterator", {"StreamArn": "x", "ShardId": "y", "ShardIteratorType": "LATEST", "SequenceNumber": "1"}),
    ("DescribeStream", {"StreamArn": "x", "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": "y"}, "Limit": 1}),
    ("GetRecords", {"ShardIterator": "x", "Limit": 1}),
]


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the way to each part of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for step, held in inner for place in _places(held, (*at, step)))]


def _replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[place[0]] = _replaced(copied[place[0]], place[1:], new)
    return copied


@given(st.data(), _JSON)
def test_nonsense_is_refused_and_nothing_worse(data: st.DataObject, new: Any) -> None:
    world = Tabled()
    world.put(x={"S": "a"})
    action, request = data.draw(st.sampled_from(_SENSIBLE))
    place = data.draw(st.sampled_from(_places(request)))
    response = world.dynamo.call(action, msgspec.json.encode(_replaced(request, place, new)))
    assert response.status in {200, 400}


def test_what_is_sensible_is_not_refused() -> None:
    for action, request in _SENSIBLE[:-3]:
        assert Tabled().dynamo.call(action, msgspec.json.encode(request)).status == (
            400 if "ConditionExpression" in request else 200
        )
