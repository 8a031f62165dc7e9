"""What the embedded DynamoDB Streams tell of changes, and how they are read and trimmed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.testing.dynamodb import Change
from tests.dynamodb.embedded import HOUR_S, QUIET, Row, Streamed, number, one_shard

# ------------------------------------------------------------------------------------------------------ changes


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_a_stream_has_the_images_it_was_asked_for(view: str, images: set[str]) -> None:
    world = Streamed(view=view)
    world.put(v={"N": "1"})
    world.put(v={"N": "2"})
    world.delete()
    inserted, modified, removed = (record["dynamodb"] for record in world.records())
    assert {name for name in modified if name.endswith("Image")} == images
    assert {name for name in inserted if name.endswith("Image")} == images - {"OldImage"}
    assert {name for name in removed if name.endswith("Image")} == images - {"NewImage"}
    assert all(
        change["Keys"] == {"k": {"S": "a"}} and change["StreamViewType"] == view for change in (inserted, removed)
    )


def test_what_changes_nothing_is_not_told() -> None:
    world = Streamed()
    world.put(n={"N": "1.0"}, s={"SS": ["a", "b"]})
    world.put(n={"N": "1"}, s={"SS": ["b", "a"]})
    world.delete("nobody")
    world.ask("UpdateItem", TableName="tab", Key={"k": {"S": "a"}}, UpdateExpression="SET n = n")
    assert [record["eventName"] for record in world.records()] == ["INSERT"]


def test_transactions_and_batches_are_told_like_single_writes() -> None:
    world = Streamed()
    put = {"Put": {"TableName": "tab", "Item": {"k": {"S": "a"}}}}
    world.ask("TransactWriteItems", TransactItems=[put])
    world.ask("BatchWriteItem", RequestItems={"tab": [{"PutRequest": {"Item": {"k": {"S": "b"}}}}]})
    assert sorted(record["dynamodb"]["Keys"]["k"]["S"] for record in world.records()) == ["a", "b"]


def test_a_record_is_complete_and_of_its_time() -> None:
    world = Streamed()
    world.put(n={"N": "1"})
    [record] = world.records()
    change = record["dynamodb"]
    assert (record["eventSource"], record["awsRegion"], record["eventVersion"]) == ("aws:dynamodb", "us-east-1", "1.1")
    assert change["ApproximateCreationDateTime"] == world.clock.now_us() // 1_000_000
    assert change["SizeBytes"] == len("k" + "a") * 2 + len("n") + 2
    assert len(record["eventID"]) == 32
    assert "userIdentity" not in record


def test_an_auditor_hears_of_each_change_where_it_stands() -> None:
    world = Streamed()
    heard: list[Change] = []
    world.dynamo.watch(heard.append)
    world.put(n={"N": "1"})
    world.put(n={"N": "1.0"})
    world.put(n={"N": "2"})
    assert world.dynamo.items("tab") == [{"k": {"S": "a"}, "n": {"N": "2"}}]
    world.delete()
    told = [
        (number(record), record["dynamodb"].get("OldImage"), record["dynamodb"].get("NewImage"))
        for record in world.records()
    ]
    assert [(change.number, change.old, change.new) for change in heard] == told
    assert {change.arn for change in heard} == {world.arn}
    assert {change.shard_id for change in heard} <= {shard["ShardId"] for shard in world.shards()}


def test_what_the_service_deletes_says_so() -> None:
    world = Streamed(QUIET.changed(ttl_sweep_s=60.0, ttl_lag_s=30.0))
    now_s = world.clock.now_us() // 1_000_000
    wanted = {"Enabled": True, "AttributeName": "until"}
    world.ask("UpdateTimeToLive", TableName="tab", TimeToLiveSpecification=wanted)
    for k, until in [("soon", now_s + 20), ("late", now_s + 1000), ("old", now_s - 6 * 365 * 86_400)]:
        world.put(k, until={"N": str(until)})
    world.put("text", until={"S": "1"})
    world.clock.advance(30)
    assert world.ask("Scan", TableName="tab")["Count"] == 4
    world.clock.advance(30)
    assert world.ask("Scan", TableName="tab")["Count"] == 3
    [removed] = [record for record in world.records() if record["eventName"] == "REMOVE"]
    assert removed["dynamodb"]["Keys"] == {"k": {"S": "soon"}}
    assert removed["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    world.clock.advance(2_000)
    world.ask("UpdateTimeToLive", TableName="tab", TimeToLiveSpecification=wanted | {"Enabled": False})
    world.put("never", until={"N": "1767225600"})
    world.clock.advance(2_000)
    kept = {item["k"]["S"] for item in world.ask("Scan", TableName="tab")["Items"]}
    assert kept == {"old", "text", "never"}


# ------------------------------------------------------------------------------------------------------- reading


def test_a_reader_begins_where_it_says() -> None:
    world, shard_id = one_shard()
    for n in range(6):
        world.put(n={"N": str(n)})
        world.clock.advance(10)
    numbers = [number(record) for record in world.page(shard_id)["Records"]]

    def seen(kind: str, **more: Any) -> list[int]:
        return [numbers.index(number(record)) for record in world.page(shard_id, kind, **more)["Records"]]

    assert seen("TRIM_HORIZON") == [0, 1, 2, 3, 4, 5]
    assert seen("LATEST") == []
    assert seen("AT_SEQUENCE_NUMBER", SequenceNumber=str(numbers[2])) == [2, 3, 4, 5]
    assert seen("AFTER_SEQUENCE_NUMBER", SequenceNumber=str(numbers[2])) == [3, 4, 5]
    assert seen("AFTER_SEQUENCE_NUMBER", SequenceNumber=str(numbers[5])) == []
    began_s = world.clock.now_us() / 1e6 - 60
    assert seen("AT_TIMESTAMP", Timestamp=began_s + 20) == [2, 3, 4, 5]
    assert seen("AT_TIMESTAMP", Timestamp=began_s + 20.5) == [3, 4, 5]
    assert seen("AT_TIMESTAMP", Timestamp=began_s - 86_400) == [0, 1, 2, 3, 4, 5]
    latest = world.iterator(shard_id, "LATEST")
    world.put("new")
    assert len(world.ask("GetRecords", ShardIterator=latest)["Records"]) == 1


@pytest.mark.parametrize(
    "request_",
    [
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "TRIM_HORIZON", "SequenceNumber": "1" * 21},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "1" * 40},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "x" * 21},
        {"ShardIteratorType": "AT_TIMESTAMP"},
        {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 4e9},
        {"ShardIteratorType": "SOMEWHERE"},
    ],
)
def test_a_place_that_is_none_is_refused(request_: Row) -> None:
    world, shard_id = one_shard()
    told = world.refusal("GetShardIterator", StreamArn=world.arn, ShardId=shard_id, **request_)
    assert told == "ValidationException"


def test_an_iterator_lives_for_fifteen_minutes() -> None:
    world, shard_id = one_shard()
    at = world.iterator(shard_id)
    world.clock.advance(900)
    world.ask("GetRecords", ShardIterator=at)
    world.clock.advance(1)
    assert world.refusal("GetRecords", ShardIterator=at) == "ExpiredIteratorException"
    assert world.refusal("GetRecords", ShardIterator="made up") == "ValidationException"


def test_a_page_has_a_thousand_records_or_a_megabyte() -> None:
    world, shard_id = one_shard()
    for n in range(1_100):
        world.put(n={"N": str(n)})
    assert len(world.page(shard_id)["Records"]) == 1_000
    at = world.iterator(shard_id)
    assert world.refusal("GetRecords", ShardIterator=at, Limit=1_001) == "LimitExceededException"
    assert len(world.ask("GetRecords", ShardIterator=at, Limit=7)["Records"]) == 7
    large, large_id = one_shard()
    for n in range(5):
        large.put(str(n), big={"S": "x" * 390_000})
    assert len(large.page(large_id)["Records"]) == 2
    large.put("0", big={"S": "y" * 390_000})
    assert sum(record["dynamodb"]["SizeBytes"] for record in large.records()) > 6 * 390_000


def test_an_empty_page_says_nothing_about_the_next() -> None:
    world, shard_id = one_shard(empty_pages=0.5)
    world.put()
    world.dynamo.roll("tab")
    at: str | None = world.iterator(shard_id)
    found = []
    while at is not None:
        page = world.ask("GetRecords", ShardIterator=at)
        found += page["Records"]
        at = page.get("NextShardIterator")
    assert len(found) == 1


def test_five_reads_of_a_shard_in_a_second_are_enough() -> None:
    world, shard_id = one_shard(reads_per_s=5)
    at = world.iterator(shard_id)
    for _ in range(5):
        world.ask("GetRecords", ShardIterator=at)
    assert world.refusal("GetRecords", ShardIterator=at) == "LimitExceededException"
    world.clock.advance(1)
    world.ask("GetRecords", ShardIterator=at)


# ------------------------------------------------------------------------------------------------------ trimming


def test_what_is_a_day_old_is_trimmed_and_not_in_silence() -> None:
    world, shard_id = one_shard()
    for n in range(2):
        world.put(n={"N": str(n)})
        world.clock.advance(12 * HOUR_S)
    old, kept = (record["dynamodb"]["SequenceNumber"] for record in world.page(shard_id)["Records"])
    behind = world.iterator(shard_id)
    world.clock.advance(1)
    assert world.refusal("GetRecords", ShardIterator=behind) == "TrimmedDataAccessException"
    where = {"StreamArn": world.arn, "ShardId": shard_id}
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        told = world.refusal("GetShardIterator", **where, ShardIteratorType=kind, SequenceNumber=old)
        assert told == "TrimmedDataAccessException"
    assert len(world.page(shard_id)["Records"]) == 1
    assert len(world.page(shard_id, "AT_SEQUENCE_NUMBER", SequenceNumber=kept)["Records"]) == 1


def test_a_shard_is_described_for_a_day_after_it_closed_or_longer() -> None:
    world, shard_id = one_shard(expired_listed_s=float(HOUR_S))
    world.put()
    world.dynamo.roll("tab")
    world.clock.advance(24 * HOUR_S + 1)
    assert world.shards()[0]["ShardId"] == shard_id
    assert world.page(shard_id) == {"Records": []}
    world.clock.advance(HOUR_S)
    [child] = world.shards()
    assert child["ParentShardId"] == shard_id
    where = {"StreamArn": world.arn, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
    assert world.refusal("GetShardIterator", **where) == "ResourceNotFoundException"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0, 1, 5, 24])), min_size=1, max_size=20))
def test_what_is_left_is_what_is_younger_than_a_day(turns: list[tuple[int, int]]) -> None:
    world, shard_id = one_shard()
    put: list[tuple[float, str]] = []
    for count, hours in turns:
        for _ in range(count):
            world.put(n={"N": str(len(put))})
            put.append((world.clock.monotonic_s(), str(len(put))))
        world.clock.advance(hours * HOUR_S)
        left = [n for at_s, n in put if at_s >= world.clock.monotonic_s() - 24 * HOUR_S]
        assert [record["dynamodb"]["NewImage"]["n"]["N"] for record in world.page(shard_id)["Records"]] == left
