"""What every Kinesis does: run against the embedded one, and against kinesis-local where it is there.

Nothing here is about limits per second or about time that passes: other stand-ins have neither.
"""

# long: one file says what every endpoint must do

import hashlib
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

# What kinesis-local 0.6.2 does otherwise than AWS. A test named here must fail there; if it does not, strike it out.
KINESIS_LOCAL_DIFFERS = {
    "test_shards_begin_with_even_parts_of_the_hash_keys": "it divides 2^128 - 1",
    "test_a_name_with_a_blank_is_refused": "InvalidArgumentException",
    "test_streams_are_listed_on_by_a_token": "ListStreams gives no token",
    "test_501_records_are_refused": "they are taken",
    "test_a_request_of_more_than_ten_mebibytes_is_refused": "it is taken",
    "test_a_time_in_the_future_is_refused": "it is taken",
    "test_an_iterator_does_not_take_a_sequence_number_that_it_does_not_need": "it is ignored",
    "test_a_sequence_number_of_nobody_is_refused": "it is taken",
    "test_a_sequence_number_of_another_shard_is_refused": "it is taken",
    "test_an_iterator_that_nobody_issued_is_refused": "status 500",
    "test_how_far_behind_is_told_by_the_present": "it tells the distance to the newest record",
    "test_a_parent_ends_between_its_records_and_those_of_its_children": "EndingSequenceNumber is 2^63 - 1",
    "test_a_split_at_the_beginning_of_a_shard_is_refused": "it is taken",
    "test_a_split_at_the_end_of_a_shard_or_beyond_is_refused": "it is taken at the end",
    "test_an_odd_shard_count_is_reached_by_splits_and_merges": "the parts are not even",
    "test_filters_tell_shards_by_their_lives": "AT_TIMESTAMP lists shards that were made later",
    "test_the_shards_at_the_trim_horizon_are_those_with_which_the_stream_began": "it lists all shards",
}


@pytest.fixture(autouse=True)
def _expected_differences(request: pytest.FixtureRequest) -> None:
    name = request.node.originalname
    if name == test_kinesis_local_takes_part.__name__:
        return
    if "kinesis-local" in request.node.callspec.id and name in KINESIS_LOCAL_DIFFERS:
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=KINESIS_LOCAL_DIFFERS[name]))


def test_kinesis_local_takes_part(endpoints: list[str]) -> None:
    if "kinesis-local" not in endpoints:
        pytest.skip("SHARDLAKE_KINESIS_LOCAL names no folder with node_modules/kinesis-local, or there is no node")


@pytest.fixture
def stream(client: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the name of a new stream of two shards."""
    name = request.node.originalname[:120]
    client.create_stream(StreamName=name, ShardCount=2)
    wait(client, name)
    yield name
    client.delete_stream(StreamName=name)


def wait(client: Any, stream: str) -> None:
    for _ in range(500):
        if client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
            return
        time.sleep(0.01)
    pytest.fail(f"stream {stream} did not become ACTIVE")


def shards(client: Any, stream: str, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.list_shards(StreamName=stream, **wanted)["Shards"]
    return found


def ids(client: Any, stream: str, kind: str, **wanted: Any) -> list[int]:
    found = shards(client, stream, ShardFilter={"Type": kind, **wanted})
    return [int(shard["ShardId"].removeprefix("shardId-")) for shard in found]


def shard_id(index: int) -> str:
    return f"shardId-{index:012d}"


def put(client: Any, stream: str, data: bytes, key: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = client.put_record(StreamName=stream, Data=data, PartitionKey="k", ExplicitHashKey=str(key))
    return answer


def iterator(client: Any, stream: str, index: int, kind: str = "TRIM_HORIZON", **how: Any) -> str:
    wanted = {"StreamName": stream, "ShardId": shard_id(index), "ShardIteratorType": kind}
    made: str = client.get_shard_iterator(**wanted, **how)["ShardIterator"]
    return made


def read(client: Any, stream: str, index: int, kind: str = "TRIM_HORIZON", **how: Any) -> list[bytes]:
    page = client.get_records(ShardIterator=iterator(client, stream, index, kind, **how))
    return [record["Data"] for record in page["Records"]]


def refused(what: Any, *codes: str, **arguments: Any) -> None:
    with pytest.raises(ClientError) as caught:
        what(**arguments)
    assert caught.value.response["Error"]["Code"] in codes, caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


HALF = 1 << 127
LAST = (1 << 128) - 1


# ---------------------------------------------------------------------------------------------------- streams


def test_a_new_stream_is_described(client: Any, stream: str) -> None:
    described = client.describe_stream(StreamName=stream)["StreamDescription"]
    assert described["StreamName"] == stream
    assert described["StreamARN"] == f"arn:aws:kinesis:us-east-1:000000000000:stream/{stream}"
    assert described["StreamStatus"] == "ACTIVE"
    assert described["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
    assert described["RetentionPeriodHours"] == 24
    assert described["HasMoreShards"] is False
    assert [shard["ShardId"] for shard in described["Shards"]] == [shard_id(0), shard_id(1)]
    assert all("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in described["Shards"])


def test_shards_begin_with_even_parts_of_the_hash_keys(client: Any, stream: str) -> None:
    assert [shard["HashKeyRange"] for shard in shards(client, stream)] == [
        {"StartingHashKey": "0", "EndingHashKey": str(HALF - 1)},
        {"StartingHashKey": str(HALF), "EndingHashKey": str(LAST)},
    ]


def test_a_summary_counts_open_shards(client: Any, stream: str) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    assert client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["OpenShardCount"] == 3


def test_a_stream_on_demand_has_four_shards(client: Any) -> None:
    client.create_stream(StreamName="on-demand", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    wait(client, "on-demand")
    assert len(shards(client, "on-demand")) == 4
    client.delete_stream(StreamName="on-demand")


def test_a_name_is_used_once(client: Any, stream: str) -> None:
    refused(client.create_stream, "ResourceInUseException", StreamName=stream, ShardCount=1)


def test_a_name_with_a_blank_is_refused(client: Any) -> None:
    refused(client.create_stream, "ValidationException", StreamName="a b", ShardCount=1)


def test_a_stream_that_is_not_there_is_not_found(client: Any) -> None:
    for what in (client.describe_stream, client.describe_stream_summary, client.list_shards, client.delete_stream):
        refused(what, "ResourceNotFoundException", StreamName="nobody")
    refused(client.put_record, "ResourceNotFoundException", StreamName="nobody", Data=b"x", PartitionKey="k")


def test_a_deleted_stream_is_gone(client: Any) -> None:
    client.create_stream(StreamName="short-lived", ShardCount=1)
    wait(client, "short-lived")
    client.delete_stream(StreamName="short-lived")
    for _ in range(500):
        if "short-lived" not in client.list_streams()["StreamNames"]:
            break
        time.sleep(0.01)
    refused(client.describe_stream, "ResourceNotFoundException", StreamName="short-lived")


def test_streams_are_listed_in_pages(client: Any) -> None:
    names = [f"listed-{number}" for number in range(3)]
    for name in names:
        client.create_stream(StreamName=name, ShardCount=1)
        wait(client, name)
    page = client.list_streams(ExclusiveStartStreamName="listed-", Limit=2)
    assert (page["StreamNames"], page["HasMoreStreams"]) == (names[:2], True)
    rest = client.list_streams(ExclusiveStartStreamName=names[1])
    assert rest["StreamNames"][0] == names[2]
    for name in names:
        client.delete_stream(StreamName=name)


def test_streams_are_listed_on_by_a_token(client: Any, stream: str) -> None:
    client.create_stream(StreamName="zzz", ShardCount=1)
    wait(client, "zzz")
    page = client.list_streams(ExclusiveStartStreamName=stream[:-1], Limit=1)
    assert page["StreamNames"] == [stream]
    assert client.list_streams(NextToken=page["NextToken"])["StreamNames"][-1] == "zzz"
    client.delete_stream(StreamName="zzz")


def test_a_stream_goes_by_its_arn(client: Any, stream: str) -> None:
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    client.put_record(StreamARN=arn, Data=b"by arn", PartitionKey="k", ExplicitHashKey="0")
    assert len(client.list_shards(StreamARN=arn)["Shards"]) == 2
    wanted = {"StreamARN": arn, "ShardId": shard_id(0), "ShardIteratorType": "TRIM_HORIZON"}
    page = client.get_records(ShardIterator=client.get_shard_iterator(**wanted)["ShardIterator"], StreamARN=arn)
    assert [record["Data"] for record in page["Records"]] == [b"by arn"]


def test_a_stream_is_described_in_pages(client: Any, stream: str) -> None:
    page = client.describe_stream(StreamName=stream, Limit=1)["StreamDescription"]
    assert (len(page["Shards"]), page["HasMoreShards"]) == (1, True)
    rest = client.describe_stream(StreamName=stream, Limit=1, ExclusiveStartShardId=shard_id(0))["StreamDescription"]
    assert (rest["Shards"][0]["ShardId"], rest["HasMoreShards"]) == (shard_id(1), False)


def test_retention_grows_and_shrinks(client: Any, stream: str) -> None:
    client.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
    assert client.describe_stream(StreamName=stream)["StreamDescription"]["RetentionPeriodHours"] == 48
    client.decrease_stream_retention_period(StreamName=stream, RetentionPeriodHours=25)
    assert client.describe_stream(StreamName=stream)["StreamDescription"]["RetentionPeriodHours"] == 25


def test_retention_does_not_grow_downwards_or_out_of_bounds(client: Any, stream: str) -> None:
    client.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
    grow, shrink = client.increase_stream_retention_period, client.decrease_stream_retention_period
    refused(grow, "InvalidArgumentException", StreamName=stream, RetentionPeriodHours=47)
    refused(shrink, "InvalidArgumentException", StreamName=stream, RetentionPeriodHours=49)
    refused(grow, "InvalidArgumentException", StreamName=stream, RetentionPeriodHours=8761)
    refused(shrink, "InvalidArgumentException", StreamName=stream, RetentionPeriodHours=23)


def test_tags_are_kept(client: Any, stream: str) -> None:
    client.add_tags_to_stream(StreamName=stream, Tags={"b": "2", "a": "1"})
    client.remove_tags_from_stream(StreamName=stream, TagKeys=["b"])
    assert client.list_tags_for_stream(StreamName=stream)["Tags"] == [{"Key": "a", "Value": "1"}]


# ---------------------------------------------------------------------------------------------------- writing


def test_a_record_goes_to_the_shard_of_its_keys_md5(client: Any, stream: str) -> None:
    for key in ("a", "b", "kéy", "日本", 'quo"te\\', "\n"):
        digest = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        put_to = client.put_record(StreamName=stream, Data=b"x", PartitionKey=key)["ShardId"]
        assert put_to == shard_id(int(digest >= HALF))


def test_an_explicit_hash_key_rules_and_both_ends_of_a_range_belong_to_it(client: Any, stream: str) -> None:
    for shard in shards(client, stream):
        for end in shard["HashKeyRange"].values():
            assert put(client, stream, b"x", int(end))["ShardId"] == shard["ShardId"]


def test_an_explicit_hash_key_beyond_the_last_one_is_refused(client: Any, stream: str) -> None:
    refused(
        client.put_record,
        "InvalidArgumentException",
        "ValidationException",
        StreamName=stream,
        Data=b"x",
        PartitionKey="k",
        ExplicitHashKey=str(LAST + 1),
    )


def test_what_was_put_comes_back(client: Any, stream: str) -> None:
    entries = [
        {"Data": data, "PartitionKey": key, "ExplicitHashKey": "5"}
        for data, key in ((b"", "k"), (bytes(range(256)), 'quo"te\\'), ("日本".encode(), "日本"), (b"z", "a" * 256))
    ]
    before = time.time()
    answer = client.put_records(StreamName=stream, Records=entries)
    assert answer["FailedRecordCount"] == 0
    records = client.get_records(ShardIterator=iterator(client, stream, 0))["Records"]
    assert [(record["Data"], record["PartitionKey"]) for record in records] == [
        (entry["Data"], entry["PartitionKey"]) for entry in entries
    ]
    assert [record["SequenceNumber"] for record in records] == [told["SequenceNumber"] for told in answer["Records"]]
    assert all(before - 1 <= record["ApproximateArrivalTimestamp"].timestamp() <= time.time() for record in records)


def test_results_stand_in_the_order_of_the_request(client: Any, stream: str) -> None:
    keys = [0, LAST, 1, HALF + 1000, HALF - 1000]
    entries = [{"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": str(key)} for key in keys]
    told = client.put_records(StreamName=stream, Records=entries)["Records"]
    assert [record["ShardId"] for record in told] == [shard_id(int(key >= HALF)) for key in keys]


def test_sequence_numbers_have_56_digits_and_grow_within_a_shard(client: Any, stream: str) -> None:
    entries = [{"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": "0"}] * 20
    numbers = [told["SequenceNumber"] for told in client.put_records(StreamName=stream, Records=entries)["Records"]]
    numbers += [put(client, stream, b"x")["SequenceNumber"] for _ in range(5)]
    assert all(len(number) == 56 for number in numbers)
    assert numbers == sorted(set(numbers), key=int)
    begin = shards(client, stream)[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert int(begin) <= int(numbers[0])


def test_501_records_are_refused(client: Any, stream: str) -> None:
    entries = [{"Data": b"x", "PartitionKey": "k"}] * 501
    refused(client.put_records, "ValidationException", "InvalidArgumentException", StreamName=stream, Records=entries)


def test_a_record_of_more_than_a_mebibyte_is_refused(client: Any, stream: str) -> None:
    wrong = ("ValidationException", "InvalidArgumentException")
    refused(client.put_record, *wrong, StreamName=stream, Data=b"x" * ((1 << 20) + 1), PartitionKey="k")


def test_a_record_of_a_mebibyte_with_its_key_is_taken(client: Any, stream: str) -> None:
    client.put_record(StreamName=stream, Data=b"x" * ((1 << 20) - 1), PartitionKey="k")


def test_a_request_of_more_than_ten_mebibytes_is_refused(client: Any, stream: str) -> None:
    entries = [{"Data": b"x" * 1_000_000, "PartitionKey": "k"}] * 11
    refused(client.put_records, "InvalidArgumentException", "ValidationException", StreamName=stream, Records=entries)


def test_a_key_of_257_characters_is_refused(client: Any, stream: str) -> None:
    wrong = ("ValidationException", "InvalidArgumentException")
    refused(client.put_record, *wrong, StreamName=stream, Data=b"x", PartitionKey="k" * 257)


# ---------------------------------------------------------------------------------------------------- reading


@pytest.fixture
def five(client: Any, stream: str) -> list[str]:
    """Put five records into shard 0, and give their sequence numbers."""
    return [put(client, stream, b"%d" % number)["SequenceNumber"] for number in range(5)]


def test_iterators_of_all_types_begin_where_they_say(client: Any, stream: str, five: list[str]) -> None:
    latest = iterator(client, stream, 0, "LATEST")
    assert read(client, stream, 0) == [b"0", b"1", b"2", b"3", b"4"]
    assert read(client, stream, 0, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=five[3]) == [b"3", b"4"]
    assert read(client, stream, 0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=five[3]) == [b"4"]
    assert client.get_records(ShardIterator=latest)["Records"] == []
    put(client, stream, b"new")
    assert [record["Data"] for record in client.get_records(ShardIterator=latest)["Records"]] == [b"new"]


def test_a_timestamp_begins_with_what_arrived_then_or_later(client: Any, stream: str, five: list[str]) -> None:
    time.sleep(0.02)
    put(client, stream, b"later")
    records = client.get_records(ShardIterator=iterator(client, stream, 0))["Records"]
    arrived = records[-1]["ApproximateArrivalTimestamp"].timestamp()
    assert read(client, stream, 0, "AT_TIMESTAMP", Timestamp=arrived) == [b"later"]
    assert read(client, stream, 0, "AT_TIMESTAMP", Timestamp=arrived - 0.005) == [b"later"]
    assert len(read(client, stream, 0, "AT_TIMESTAMP", Timestamp=arrived - 3600)) == 6


def test_the_starting_number_of_a_shard_is_its_beginning(client: Any, stream: str, five: list[str]) -> None:
    begin = shards(client, stream)[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    assert len(read(client, stream, 0, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=begin)) == 5
    assert len(read(client, stream, 0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=begin)) == 5


def test_a_time_in_the_future_is_refused(client: Any, stream: str) -> None:
    wanted = {"StreamName": stream, "ShardId": shard_id(0), "ShardIteratorType": "AT_TIMESTAMP"}
    refused(client.get_shard_iterator, "InvalidArgumentException", **wanted, Timestamp=time.time() + 3600)


@pytest.mark.parametrize("kind", ["AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"])
def test_an_iterator_needs_to_know_where(client: Any, stream: str, kind: str) -> None:
    wanted = {"StreamName": stream, "ShardId": shard_id(0), "ShardIteratorType": kind}
    refused(client.get_shard_iterator, "InvalidArgumentException", **wanted)


@pytest.mark.parametrize("kind", ["TRIM_HORIZON", "LATEST"])
def test_an_iterator_does_not_take_a_sequence_number_that_it_does_not_need(
    client: Any, stream: str, five: list[str], kind: str
) -> None:
    wanted = {"StreamName": stream, "ShardId": shard_id(0), "ShardIteratorType": kind}
    refused(client.get_shard_iterator, "InvalidArgumentException", **wanted, StartingSequenceNumber=five[0])


def test_a_sequence_number_of_nobody_is_refused(client: Any, stream: str) -> None:
    wanted = {"StreamName": stream, "ShardId": shard_id(0), "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    refused(client.get_shard_iterator, "InvalidArgumentException", **wanted, StartingSequenceNumber="12345")


def test_a_sequence_number_of_another_shard_is_refused(client: Any, stream: str) -> None:
    number = put(client, stream, b"x", LAST)["SequenceNumber"]
    wanted = {"StreamName": stream, "ShardId": shard_id(0), "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    refused(client.get_shard_iterator, "InvalidArgumentException", **wanted, StartingSequenceNumber=number)


def test_an_iterator_that_nobody_issued_is_refused(client: Any) -> None:
    refused(client.get_records, "InvalidArgumentException", ShardIterator="bm90IGFuIGl0ZXJhdG9y")


def test_a_shard_that_is_not_there_is_not_found(client: Any, stream: str) -> None:
    wanted = {"StreamName": stream, "ShardId": shard_id(9), "ShardIteratorType": "LATEST"}
    refused(client.get_shard_iterator, "ResourceNotFoundException", **wanted)


def test_pages_follow_each_other_without_loss(client: Any, stream: str, five: list[str]) -> None:
    at, found = iterator(client, stream, 0), []
    for _ in range(4):
        page = client.get_records(ShardIterator=at, Limit=2)
        found.append([record["Data"] for record in page["Records"]])
        at = page["NextShardIterator"]
    assert found == [[b"0", b"1"], [b"2", b"3"], [b"4"], []]


def test_an_iterator_can_be_used_twice(client: Any, stream: str, five: list[str]) -> None:
    at = iterator(client, stream, 0)
    assert client.get_records(ShardIterator=at)["Records"] == client.get_records(ShardIterator=at)["Records"]


def test_a_limit_of_10001_is_refused(client: Any, stream: str) -> None:
    wrong = ("ValidationException", "InvalidArgumentException")
    refused(client.get_records, *wrong, ShardIterator=iterator(client, stream, 0), Limit=10_001)


def test_nothing_is_behind_at_the_tip(client: Any, stream: str, five: list[str]) -> None:
    time.sleep(0.02)
    page = client.get_records(ShardIterator=iterator(client, stream, 0), Limit=2)
    assert page["MillisBehindLatest"] > 0
    assert client.get_records(ShardIterator=page["NextShardIterator"])["MillisBehindLatest"] == 0


def test_how_far_behind_is_told_by_the_present(client: Any, stream: str, five: list[str]) -> None:
    time.sleep(0.3)
    page = client.get_records(ShardIterator=iterator(client, stream, 0), Limit=2)
    assert 300 <= page["MillisBehindLatest"] < 60_000


def test_a_page_has_at_most_ten_mebibytes(client: Any, stream: str) -> None:
    for _ in range(11):
        put(client, stream, b"x" * 1_000_000)
    page = client.get_records(ShardIterator=iterator(client, stream, 0))
    assert len(page["Records"]) == 10
    assert len(client.get_records(ShardIterator=page["NextShardIterator"])["Records"]) == 1


# ------------------------------------------------------------------------------------------------- resharding


def test_a_split_parent_ends_with_its_children(client: Any, stream: str, five: list[str]) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    assert put(client, stream, b"left", 999)["ShardId"] == shard_id(2)
    assert put(client, stream, b"right", 1000)["ShardId"] == shard_id(3)
    page = client.get_records(ShardIterator=iterator(client, stream, 0))
    assert len(page["Records"]) == 5
    while "NextShardIterator" in page:
        page = client.get_records(ShardIterator=page["NextShardIterator"])
    assert page["MillisBehindLatest"] == 0
    end = shards(client, stream)[0]["HashKeyRange"]["EndingHashKey"]
    ranges = {
        shard_id(2): {"StartingHashKey": "0", "EndingHashKey": "999"},
        shard_id(3): {"StartingHashKey": "1000", "EndingHashKey": end},
    }
    assert {child["ShardId"]: child["HashKeyRange"] for child in page["ChildShards"]} == ranges
    assert all(child["ParentShards"] == [shard_id(0)] for child in page["ChildShards"])
    assert read(client, stream, 2) == [b"left"]
    assert read(client, stream, 3) == [b"right"]


def test_a_parents_end_comes_with_its_last_records(client: Any, stream: str, five: list[str]) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    page = client.get_records(ShardIterator=iterator(client, stream, 0))
    assert len(page["Records"]) == 5
    assert "NextShardIterator" not in page
    assert len(page["ChildShards"]) == 2


def test_shards_are_listed_with_their_parents_and_ends(client: Any, stream: str, five: list[str]) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    client.merge_shards(StreamName=stream, ShardToMerge=shard_id(3), AdjacentShardToMerge=shard_id(1))
    wait(client, stream)
    found = shards(client, stream)
    parents = [(shard.get("ParentShardId"), shard.get("AdjacentParentShardId")) for shard in found]
    assert parents[:4] == [(None, None), (None, None), (shard_id(0), None), (shard_id(0), None)]
    assert set(parents[4]) == {shard_id(3), shard_id(1)}
    ends = [shard["SequenceNumberRange"].get("EndingSequenceNumber") for shard in found]
    assert [end is None for end in ends] == [False, False, True, False, True]
    assert found[4]["HashKeyRange"]["StartingHashKey"] == "1000"
    assert found[4]["HashKeyRange"]["EndingHashKey"] == found[1]["HashKeyRange"]["EndingHashKey"]


def test_the_numbers_of_children_follow_those_of_their_parent(client: Any, stream: str, five: list[str]) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    number = int(put(client, stream, b"x", 0)["SequenceNumber"])
    parent, child = (shards(client, stream)[index]["SequenceNumberRange"] for index in (0, 2))
    assert int(five[-1]) < number
    assert int(five[-1]) < int(child["StartingSequenceNumber"]) <= number
    assert int(parent["StartingSequenceNumber"]) <= int(five[0])


def test_a_parent_ends_between_its_records_and_those_of_its_children(client: Any, stream: str, five: list[str]) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    parent, child = (shards(client, stream)[index]["SequenceNumberRange"] for index in (0, 2))
    assert int(five[-1]) <= int(parent["EndingSequenceNumber"]) < int(child["StartingSequenceNumber"])
    at_end = iterator(client, stream, 0, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=parent["EndingSequenceNumber"])
    assert len(client.get_records(ShardIterator=at_end)["ChildShards"]) == 2


def test_merged_parents_both_end_with_their_child(client: Any, stream: str, five: list[str]) -> None:
    client.merge_shards(StreamName=stream, ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(1))
    wait(client, stream)
    for parent in (0, 1):
        page = client.get_records(ShardIterator=iterator(client, stream, parent))
        while "NextShardIterator" in page:
            page = client.get_records(ShardIterator=page["NextShardIterator"])
        (child,) = page["ChildShards"]
        assert child["ShardId"] == shard_id(2)
        assert sorted(child["ParentShards"]) == [shard_id(0), shard_id(1)]
    assert put(client, stream, b"x", LAST)["ShardId"] == shard_id(2)


def test_a_closed_shard_is_not_resharded_again(client: Any, stream: str) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    wrong = ("InvalidArgumentException", "ResourceInUseException")
    refused(client.split_shard, *wrong, StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="500")
    refused(client.merge_shards, *wrong, StreamName=stream, ShardToMerge=shard_id(0), AdjacentShardToMerge=shard_id(1))


@pytest.mark.parametrize("at", [0, 1])
def test_a_split_at_the_beginning_of_a_shard_is_refused(client: Any, stream: str, at: int) -> None:
    wanted = {"StreamName": stream, "ShardToSplit": shard_id(0), "NewStartingHashKey": str(at)}
    refused(client.split_shard, "InvalidArgumentException", **wanted)


def test_a_split_at_the_end_of_a_shard_or_beyond_is_refused(client: Any, stream: str) -> None:
    end = int(shards(client, stream)[0]["HashKeyRange"]["EndingHashKey"])
    for at in (end, end + 1, LAST):
        wanted = {"StreamName": stream, "ShardToSplit": shard_id(0), "NewStartingHashKey": str(at)}
        refused(client.split_shard, "InvalidArgumentException", **wanted)


def test_only_neighbours_are_merged(client: Any, stream: str) -> None:
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    wanted = {"StreamName": stream, "ShardToMerge": shard_id(2), "AdjacentShardToMerge": shard_id(1)}
    refused(client.merge_shards, "InvalidArgumentException", **wanted)


def open_ranges(client: Any, stream: str) -> list[tuple[int, int]]:
    found = shards(client, stream, ShardFilter={"Type": "AT_LATEST"})
    ranges = [shard["HashKeyRange"] for shard in found]
    return sorted((int(told["StartingHashKey"]), int(told["EndingHashKey"])) for told in ranges)


def test_a_shard_count_is_reached_and_left_again(client: Any, stream: str) -> None:
    for target in (4, 2):
        client.update_shard_count(StreamName=stream, TargetShardCount=target, ScalingType="UNIFORM_SCALING")
        wait(client, stream)
        ranges = open_ranges(client, stream)
        assert len(ranges) == target
        assert (ranges[0][0], ranges[-1][1]) == (0, LAST)
        assert all(left[1] + 1 == right[0] for left, right in pairwise(ranges))


def test_an_odd_shard_count_is_reached_by_splits_and_merges(client: Any, stream: str) -> None:
    client.update_shard_count(StreamName=stream, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    wait(client, stream)
    begins = [begin for begin, _ in open_ranges(client, stream)]
    assert begins == [(part << 128) // 3 for part in range(3)]


def test_a_shard_count_may_not_more_than_double_or_less_than_halve(client: Any, stream: str) -> None:
    wanted = {"StreamName": stream, "ScalingType": "UNIFORM_SCALING"}
    wrong = ("InvalidArgumentException", "LimitExceededException", "ValidationException")
    refused(client.update_shard_count, *wrong, **wanted, TargetShardCount=5)
    client.update_shard_count(**wanted, TargetShardCount=4)
    wait(client, stream)
    refused(client.update_shard_count, *wrong, **wanted, TargetShardCount=1)


# ---------------------------------------------------------------------------------------------------- listing


def test_shards_are_listed_in_pages(client: Any, stream: str) -> None:
    client.update_shard_count(StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    wait(client, stream)
    page = client.list_shards(StreamName=stream, MaxResults=4)
    found = [shard["ShardId"] for shard in page["Shards"]]
    while "NextToken" in page:
        page = client.list_shards(NextToken=page["NextToken"], MaxResults=4)
        found += [shard["ShardId"] for shard in page["Shards"]]
    assert found == [shard_id(index) for index in range(6)]
    after = shards(client, stream, ExclusiveStartShardId=shard_id(3))
    assert [shard["ShardId"] for shard in after] == [shard_id(4), shard_id(5)]


def test_a_token_and_a_name_exclude_each_other(client: Any, stream: str) -> None:
    token = client.list_shards(StreamName=stream, MaxResults=1)["NextToken"]
    refused(client.list_shards, "InvalidArgumentException", StreamName=stream, NextToken=token)


def test_a_token_that_nobody_issued_is_refused(client: Any) -> None:
    refused(client.list_shards, "InvalidArgumentException", NextToken="bm90IGEgdG9rZW4=")


def test_filters_tell_shards_by_their_lives(client: Any, stream: str) -> None:
    time.sleep(0.05)
    before = time.time()
    time.sleep(0.05)
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    time.sleep(0.05)
    after = time.time()
    time.sleep(0.01)
    assert ids(client, stream, "AT_LATEST") == [1, 2, 3]
    assert ids(client, stream, "FROM_TRIM_HORIZON") == [0, 1, 2, 3]
    assert ids(client, stream, "AFTER_SHARD_ID", ShardId=shard_id(1)) == [2, 3]
    assert ids(client, stream, "AT_TIMESTAMP", Timestamp=before) == [0, 1]
    assert ids(client, stream, "AT_TIMESTAMP", Timestamp=after) == [1, 2, 3]
    assert ids(client, stream, "FROM_TIMESTAMP", Timestamp=before) == [0, 1, 2, 3]
    assert ids(client, stream, "FROM_TIMESTAMP", Timestamp=after) == [1, 2, 3]


def test_the_shards_at_the_trim_horizon_are_those_with_which_the_stream_began(client: Any, stream: str) -> None:
    time.sleep(0.02)
    client.split_shard(StreamName=stream, ShardToSplit=shard_id(0), NewStartingHashKey="1000")
    wait(client, stream)
    assert ids(client, stream, "AT_TRIM_HORIZON") == [0, 1]


def test_a_filter_without_what_it_needs_is_refused(client: Any, stream: str) -> None:
    for kind in ("AFTER_SHARD_ID", "AT_TIMESTAMP", "FROM_TIMESTAMP"):
        wrong = ("InvalidArgumentException", "ValidationException")
        refused(client.list_shards, *wrong, StreamName=stream, ShardFilter={"Type": kind})
