"""What the embedded DynamoDB and moto's both do, seen through boto3: where they agree, AWS is likely to."""

from typing import Any

import pytest

from tests.dynamodb.endpoints import (
    client,
    code,
    embedded,
    get,
    key,
    put,
    refused,
    streams,
    table,
    update,
    url,
)

__all__ = ["client", "embedded", "streams", "table", "url"]  # fixtures


# -------------------------------------------------------------------------------------------------------- items


def test_an_item_comes_back_as_it_was_put(client: Any, table: str) -> None:
    every: dict[str, Any] = {
        "n": {"N": "-12.5"},
        "b": {"B": b"\x00\xff"},
        "t": {"BOOL": False},
        "z": {"NULL": True},
        "l": {"L": [{"S": ""}, {"M": {"x": {"N": "1"}}}]},
        "ss": {"SS": ["x"]},
    }
    put(client, table, **every)
    assert get(client, table) == key() | every
    assert get(client, table, "2") is None


def test_a_condition_guards_a_put(client: Any, table: str) -> None:
    request = {"TableName": table, "Item": key() | {"v": {"N": "1"}}, "ConditionExpression": "attribute_not_exists(p)"}
    client.put_item(**request)
    told = refused(client.put_item, **request, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert code(told) == "ConditionalCheckFailedException"
    assert told["Item"] == key() | {"v": {"N": "1"}}


CONDITIONS = [
    ("v = :one", True),
    ("v <> :one", False),
    ("absent <> :one", True),
    ("absent = :one", False),
    ("v < :two AND NOT v < :one", True),
    ("v BETWEEN :one AND :two", True),
    ("v IN (:two, :one)", True),
    ("attribute_exists(m.x) OR attribute_exists(absent)", True),
    ("attribute_not_exists(m.y)", True),
    ("begins_with(s, :text)", False),
    ("contains(w, :text)", True),
    ("size(w) > :two", True),
    ("NOT (v = :one AND size(w) > :two)", False),
    ("#v >= :one", True),
    ("l[1] = :two", True),
    ("attribute_type(l, :kind)", True),
]


@pytest.mark.parametrize(("text", "holds"), CONDITIONS)
def test_a_condition_holds_or_does_not(client: Any, table: str, text: str, holds: bool) -> None:
    item: dict[str, Any] = {
        "v": {"N": "1.0"},
        "w": {"S": "a word"},
        "m": {"M": {"x": {"N": "1"}}},
        "l": {"L": [{"N": "1"}, {"N": "2"}]},
    }
    put(client, table, **item)
    values = {":one": {"N": "1"}, ":two": {"N": "2"}, ":text": {"S": "word"}, ":kind": {"S": "L"}}
    used = {name: value for name, value in values.items() if name in text}
    more = {"ExpressionAttributeNames": {"#v": "v"}} if "#v" in text else {}
    request = {"TableName": table, "Key": key(), "ConditionExpression": text, **more}
    if used:
        request["ExpressionAttributeValues"] = used
    if holds:
        client.delete_item(**request)
        assert get(client, table) is None
    else:
        assert code(refused(client.delete_item, **request)) == "ConditionalCheckFailedException"


def test_updates_compute_from_what_stood_there(client: Any, table: str) -> None:
    assert update(client, table, "SET v = if_not_exists(v, :z) + :o", z={"N": "0"}, o={"N": "1"}) == key() | {
        "v": {"N": "1"}
    }
    made = update(client, table, "SET w = v, v = v - :d ADD n :d REMOVE absent", d={"N": "2.5"})
    assert made == key() | {"v": {"N": "-1.5"}, "w": {"N": "1"}, "n": {"N": "2.5"}}
    made = update(client, table, "SET l = list_append(:l, :l) ADD ss :ss", l={"L": [{"S": "x"}]}, ss={"SS": ["a"]})
    assert made["l"] == {"L": [{"S": "x"}, {"S": "x"}]}
    assert update(client, table, "REMOVE l[0] DELETE ss :ss", ss={"SS": ["a"]})["l"] == {"L": [{"S": "x"}]}
    assert "ss" not in get(client, table)


def test_an_update_gives_what_was_asked_for(client: Any, table: str) -> None:
    put(client, table, v={"N": "1"}, w={"N": "2"})
    assert update(client, table, "SET v = :x", "UPDATED_OLD", x={"N": "5"}) == {"v": {"N": "1"}}
    assert update(client, table, "SET v = :x", "UPDATED_NEW", x={"N": "6"}) == {"v": {"N": "6"}}
    assert update(client, table, "SET v = :x", "ALL_OLD", x={"N": "7"}) == key() | {"v": {"N": "6"}, "w": {"N": "2"}}
    assert update(client, table, "SET v = :x", "NONE", x={"N": "7"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "SET p = :v",
        "SET x = absent",
        "SET x = v + :v, x = :v",
        "SET status = :v",
        "SET x :v",
        "ADD w :v",
        "SET m.x = :v",
        "NOTHING x",
    ],
)
def test_an_update_that_cannot_be_is_refused(client: Any, table: str, text: str) -> None:
    put(client, table, w={"S": "text"})
    given = {"ExpressionAttributeValues": {":v": {"N": "1"}}} if ":v" in text else {}
    told = refused(client.update_item, TableName=table, Key=key(), UpdateExpression=text, **given)
    assert code(told) == "ValidationException"


@pytest.mark.parametrize(
    "request_",
    [
        {"Item": {"p": {"S": "a"}}},
        {"Item": {"p": {"N": "1"}, "s": {"S": "1"}}},
        {"Item": key(s="")},
        {"Item": key() | {"big": {"S": "x" * (400 << 10)}}},
    ],
)
def test_a_put_that_cannot_be_is_refused(client: Any, table: str, request_: dict[str, Any]) -> None:
    assert code(refused(client.put_item, TableName=table, **request_)) == "ValidationException"


def test_a_table_that_is_not_there_is_told(client: Any) -> None:
    assert code(refused(client.get_item, TableName="nobody", Key=key())) == "ResourceNotFoundException"
    assert code(refused(client.describe_table, TableName="nobody")) == "ResourceNotFoundException"


# ------------------------------------------------------------------------------------------------- transactions


def write(kind: str, table: str, s: str, **more: Any) -> dict[str, Any]:
    where = {"Item": key(s)} if kind == "Put" else {"Key": key(s)}
    return {kind: {"TableName": table} | where | more}


def test_a_transaction_writes_all(client: Any, table: str) -> None:
    put(client, table, "2", v={"N": "1"})
    put(client, table, "3")
    put(client, table, "4")
    given = {"ExpressionAttributeValues": {":o": {"N": "1"}}}
    writes = [
        write("Put", table, "1", ConditionExpression="attribute_not_exists(p)"),
        write("Update", table, "2", UpdateExpression="SET v = v + :o", ConditionExpression="v = :o", **given),
        write("Delete", table, "3"),
        write("ConditionCheck", table, "4", ConditionExpression="attribute_exists(p)"),
    ]
    client.transact_write_items(TransactItems=writes)
    assert [get(client, table, s) is not None for s in "1234"] == [True, True, False, True]
    assert get(client, table, "2")["v"] == {"N": "2"}


def test_a_transaction_writes_nothing_and_says_why(client: Any, table: str) -> None:
    put(client, table, "2", v={"N": "1"})
    held = {"ConditionExpression": "attribute_not_exists(p)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    told = refused(
        client.transact_write_items, TransactItems=[write("Put", table, "1"), write("Put", table, "2", **held)]
    )
    assert code(told) == "TransactionCanceledException"
    assert told["Error"]["Message"].endswith("[None, ConditionalCheckFailed]")
    first, second = told["CancellationReasons"]
    assert first == {"Code": "None"}
    assert second["Code"] == "ConditionalCheckFailed"
    assert second["Item"] == key("2") | {"v": {"N": "1"}}
    assert get(client, table, "1") is None


def test_a_transaction_has_at_most_100_items(client: Any, table: str) -> None:
    writes = [write("Put", table, str(index)) for index in range(101)]
    assert code(refused(client.transact_write_items, TransactItems=writes)) == "ValidationException"


def test_a_transaction_has_no_item_twice(client: Any, table: str) -> None:
    writes = [write("Put", table, "1"), write("Delete", table, "1")]
    assert code(refused(client.transact_write_items, TransactItems=writes)) == "ValidationException"


def test_a_transaction_reads_in_order(client: Any, table: str) -> None:
    put(client, table, "1", v={"N": "1"})
    gets = [{"Get": {"TableName": table, "Key": key(s)}} for s in ("2", "1")]
    found = client.transact_get_items(TransactItems=gets)["Responses"]
    assert [answer.get("Item") for answer in found] == [None, key("1") | {"v": {"N": "1"}}]


# ------------------------------------------------------------------------------------------------ batches, pages


def test_a_batch_puts_and_deletes(client: Any, table: str) -> None:
    put(client, table, "9")
    writes: list[Any] = [{"PutRequest": {"Item": key(str(index))}} for index in range(5)]
    answer = client.batch_write_item(RequestItems={table: [*writes, {"DeleteRequest": {"Key": key("9")}}]})
    assert answer["UnprocessedItems"] == {}
    asked = [key(str(index)) for index in (0, 4, 9)]
    found = client.batch_get_item(RequestItems={table: {"Keys": asked, "ConsistentRead": True}})
    assert sorted(item["s"]["S"] for item in found["Responses"][table]) == ["0", "4"]
    assert found["UnprocessedKeys"] == {}


def test_a_batch_has_no_item_twice(client: Any, table: str) -> None:
    writes = [{"PutRequest": {"Item": key("1")}}] * 2
    assert code(refused(client.batch_write_item, RequestItems={table: writes})) == "ValidationException"
    keys = {"Keys": [key("1")] * 2}
    assert code(refused(client.batch_get_item, RequestItems={table: keys})) == "ValidationException"


KEY_CONDITIONS = [
    ("p = :p", "0123456789"),
    ("p = :p AND s < :s", "012"),
    ("p = :p AND s <= :s", "0123"),
    ("p = :p AND s > :s", "456789"),
    ("p = :p AND s >= :s", "3456789"),
    ("p = :p AND s = :s", "3"),
    ("p = :p AND s BETWEEN :s AND :t", "345"),
    ("p = :p AND begins_with(s, :s)", "3"),
]


@pytest.mark.parametrize(("text", "found"), KEY_CONDITIONS)
def test_a_query_reads_in_order_and_backwards(client: Any, table: str, text: str, found: str) -> None:
    client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": key(s)}} for s in "3719248605"]})
    client.put_item(TableName=table, Item=key(p="other"))
    values = {":p": {"S": "a"}, ":s": {"S": "3"}, ":t": {"S": "5"}}
    given = {name: value for name, value in values.items() if name in text}
    request = {"TableName": table, "KeyConditionExpression": text, "ExpressionAttributeValues": given}
    forth = client.query(**request)
    assert "".join(item["s"]["S"] for item in forth["Items"]) == found
    assert forth["Count"] == forth["ScannedCount"] == len(found)
    back = client.query(**request, ScanIndexForward=False)
    assert "".join(item["s"]["S"] for item in back["Items"]) == found[::-1]


@pytest.mark.parametrize("forth", [True, False])
def test_a_query_goes_on_where_it_ended(client: Any, table: str, forth: bool) -> None:
    writes = [{"PutRequest": {"Item": key(s) | {"even": {"BOOL": int(s) % 2 == 0}}}} for s in "0123456789"]
    client.batch_write_item(RequestItems={table: writes})
    request: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": "p = :p",
        "FilterExpression": "even = :e",
        "ExpressionAttributeValues": {":p": {"S": "a"}, ":e": {"BOOL": True}},
        "ProjectionExpression": "s",
        "Limit": 3,
        "ScanIndexForward": forth,
    }
    found, pages = [], 0
    while True:
        page = client.query(**request)
        found += page["Items"]
        pages += 1
        if "LastEvaluatedKey" not in page:
            break
        assert page["ScannedCount"] == 3
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert pages == 4
    assert found == [{"s": {"S": s}} for s in ("02468" if forth else "86420")]


def test_a_scan_finds_all_page_by_page_and_segment_by_segment(client: Any, table: str) -> None:
    writes = [{"PutRequest": {"Item": key(s, p=f"p{s}")}} for s in "0123456789"]
    client.batch_write_item(RequestItems={table: writes})
    found = []
    for segment in range(3):
        request: dict[str, Any] = {"TableName": table, "Limit": 2, "Segment": segment, "TotalSegments": 3}
        while True:
            page = client.scan(**request)
            found += [item["s"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert sorted(found) == list("0123456789")
    assert client.scan(TableName=table, Select="COUNT")["Count"] == 10


def test_a_page_ends_at_one_megabyte(client: Any, table: str) -> None:
    for s in "01234":
        put(client, table, s, big={"S": "x" * 300_000})
    request = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    page = client.query(TableName=table, **request)
    assert 3 <= page["Count"] < 5
    rest = client.query(TableName=table, **request, ExclusiveStartKey=page["LastEvaluatedKey"])
    assert page["Count"] + rest["Count"] == 5


# ------------------------------------------------------------------------------------------------------- streams


def test_a_stream_tells_each_change_with_both_images(client: Any, table: str, streams: Any) -> None:
    put(client, table, v={"N": "1"})
    update(client, table, "SET v = :v", v={"N": "2"})
    client.delete_item(TableName=table, Key=key())
    client.delete_item(TableName=table, Key=key())
    [listed] = streams.list_streams(TableName=table)["Streams"]
    told = streams.describe_stream(StreamArn=listed["StreamArn"])["StreamDescription"]
    assert (told["StreamStatus"], told["StreamViewType"], told["TableName"]) == ("ENABLED", "NEW_AND_OLD_IMAGES", table)
    records = []
    for shard in told["Shards"]:
        where = {"StreamArn": listed["StreamArn"], "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        page = streams.get_records(ShardIterator=streams.get_shard_iterator(**where)["ShardIterator"])
        assert page["NextShardIterator"]
        records += page["Records"]
    seen = [
        (
            record["eventName"],
            record["dynamodb"].get("OldImage", {}).get("v"),
            record["dynamodb"].get("NewImage", {}).get("v"),
        )
        for record in records
    ]
    assert seen == [("INSERT", None, {"N": "1"}), ("MODIFY", {"N": "1"}, {"N": "2"}), ("REMOVE", {"N": "2"}, None)]
    assert all(record["dynamodb"]["Keys"] == key() and record["eventSource"] == "aws:dynamodb" for record in records)


def test_a_stream_is_described_by_its_table(client: Any, table: str, streams: Any) -> None:
    arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    assert [each["StreamArn"] for each in streams.list_streams(TableName=table)["Streams"]] == [arn]
    client.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    told = client.describe_table(TableName=table)["Table"]
    assert "StreamSpecification" not in told


# -------------------------------------------------------------------------------------------------------- tables


def names(client: Any) -> list[str]:
    return [name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]]


def test_a_table_lives_once(client: Any, table: str) -> None:
    told = client.describe_table(TableName=table)["Table"]
    assert told["TableStatus"] == "ACTIVE"
    assert [each["KeyType"] for each in told["KeySchema"]] == ["HASH", "RANGE"]
    again = {name: told[name] for name in ("TableName", "AttributeDefinitions", "KeySchema")}
    assert code(refused(client.create_table, **again, BillingMode="PAY_PER_REQUEST")) == "ResourceInUseException"
    assert table in names(client)
    client.delete_table(TableName=table)
    assert table not in names(client)


def test_items_expire_by_an_attribute(client: Any, table: str) -> None:
    wanted = {"Enabled": True, "AttributeName": "expires"}
    assert client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"
    client.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted)
    told = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert told == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
