"""Limits that make callers wait, and those that make them give up."""

import base64
from typing import Any

import pytest

from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, ServiceError

KIB = 1024
MIB = 1024 * KIB


def entry(size: int = 10, hash_key: int = 0) -> dict[str, str]:
    return {"Data": base64.b64encode(b"x" * size).decode(), "PartitionKey": "k", "ExplicitHashKey": str(hash_key)}


def put(kinesis: EmbeddedKinesis, *entries: dict[str, str]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = kinesis.ask("PutRecords", StreamName="s", Records=list(entries))["Records"]
    return told


def iterator(kinesis: EmbeddedKinesis, index: int = 0, kind: str = "TRIM_HORIZON", **how: Any) -> str:
    shard_id = f"shardId-{index:012d}"
    made: str = kinesis.ask("GetShardIterator", StreamName="s", ShardId=shard_id, ShardIteratorType=kind, **how)[
        "ShardIterator"
    ]
    return made


def refused(code: str, kinesis: EmbeddedKinesis, action: str, **fields: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        kinesis.ask(action, **fields)
    assert caught.value.code == code
    return caught.value


def test_a_shard_takes_a_thousand_records_a_second(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    for count in (500, 499):
        assert not [record for record in put(kinesis, *[entry()] * count) if "ErrorCode" in record]
    answer = kinesis.ask("PutRecords", StreamName="s", Records=[entry(), entry(), entry(hash_key=1 << 127)])
    codes = [record.get("ErrorCode") for record in answer["Records"]]
    assert codes == [None, "ProvisionedThroughputExceededException", None]
    assert answer["FailedRecordCount"] == 1
    assert "shardId-000000000000 in stream s" in answer["Records"][1]["ErrorMessage"]
    assert "SequenceNumber" not in answer["Records"][1]
    clock.advance(0.125)
    assert sum("ErrorCode" in record for record in put(kinesis, *[entry()] * 150)) == 25


def test_a_shard_takes_a_mebibyte_a_second(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    told = put(kinesis, *[entry(512 * KIB - 1)] * 3)
    assert ["ErrorCode" in record for record in told] == [False, False, True]
    fault = refused(
        "ProvisionedThroughputExceededException",
        kinesis,
        "PutRecord",
        StreamName="s",
        **entry(),
    )
    assert fault.status == 400
    clock.advance(0.5)
    assert "ErrorCode" not in put(kinesis, entry(10))[0]


def test_what_was_refused_is_not_stored(kinesis: EmbeddedKinesis) -> None:
    told = put(kinesis, *[entry(512 * KIB - 1)] * 3)
    records = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis))["Records"]
    assert [record["SequenceNumber"] for record in records] == [
        record["SequenceNumber"] for record in told if "SequenceNumber" in record
    ]


def test_a_large_record_passes_and_is_paid_for_afterwards(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    kinesis.ask("UpdateMaxRecordSize", StreamName="s", MaxRecordSizeInKiB=10_240)
    assert "ErrorCode" not in put(kinesis, entry(10 * MIB - 1))[0]
    clock.advance(8.9)
    assert "ErrorCode" in put(kinesis, entry())[0]
    clock.advance(0.2)
    assert "ErrorCode" not in put(kinesis, entry())[0]


def test_a_shard_is_read_five_times_in_any_second(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    at = iterator(kinesis)
    for _ in range(5):
        kinesis.ask("GetRecords", ShardIterator=at)
        clock.advance(0.1)
    refused("ProvisionedThroughputExceededException", kinesis, "GetRecords", ShardIterator=at)
    kinesis.ask("GetRecords", ShardIterator=iterator(kinesis, 1))
    clock.advance(0.5)
    kinesis.ask("GetRecords", ShardIterator=at)
    refused("ProvisionedThroughputExceededException", kinesis, "GetRecords", ShardIterator=at)


def test_after_a_page_of_ten_mebibytes_a_shard_rests_five_seconds(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    for _ in range(12):
        put(kinesis, entry(MIB - 1))
        clock.advance(1)
    page = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis))
    assert len(page["Records"]) == 10
    clock.advance(4.99)
    refused("ProvisionedThroughputExceededException", kinesis, "GetRecords", ShardIterator=page["NextShardIterator"])
    clock.advance(0.02)
    rest = kinesis.ask("GetRecords", ShardIterator=page["NextShardIterator"])
    assert len(rest["Records"]) == 2


def test_two_mebibytes_may_be_read_in_a_second(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    for _ in range(4):
        put(kinesis, entry(MIB - 1))
        clock.advance(1)
    page = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis), Limit=1)
    page = kinesis.ask("GetRecords", ShardIterator=page["NextShardIterator"], Limit=1)
    refused("ProvisionedThroughputExceededException", kinesis, "GetRecords", ShardIterator=page["NextShardIterator"])
    clock.advance(0.1)
    assert kinesis.ask("GetRecords", ShardIterator=page["NextShardIterator"], Limit=1)["Records"]


def test_iterators_are_given_five_times_a_second(kinesis: EmbeddedKinesis) -> None:
    for _ in range(5):
        iterator(kinesis)
    with pytest.raises(ServiceError, match="Rate exceeded for shard"):
        iterator(kinesis)
    iterator(kinesis, 1)


@pytest.mark.parametrize(("action", "most"), [("DescribeStream", 10), ("DescribeStreamSummary", 20)])
def test_descriptions_are_limited(kinesis: EmbeddedKinesis, clock: ManualClock, action: str, most: int) -> None:
    for _ in range(most):
        kinesis.ask(action, StreamName="s")
    refused("LimitExceededException", kinesis, action, StreamName="s")
    clock.advance(1)
    kinesis.ask(action, StreamName="s")


def test_shard_counts_change_ten_times_a_day(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    wanted = {"StreamName": "s", "ScalingType": "UNIFORM_SCALING"}
    for turn in range(10):
        kinesis.ask("UpdateShardCount", TargetShardCount=3 - turn % 2, **wanted)
        clock.advance(1)
    refused("LimitExceededException", kinesis, "UpdateShardCount", TargetShardCount=3, **wanted)
    clock.advance(86_400)
    kinesis.ask("UpdateShardCount", TargetShardCount=3, **wanted)


def test_an_account_has_a_number_of_shards(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour(shards_max=3)
    fault = refused("LimitExceededException", kinesis, "CreateStream", StreamName="t", ShardCount=2)
    assert "Current shard count for the account: 2. Limit: 3." in fault.message
    kinesis.ask("CreateStream", StreamName="t", ShardCount=1)
    refused(
        "LimitExceededException",
        kinesis,
        "SplitShard",
        StreamName="s",
        ShardToSplit="shardId-000000000000",
        NewStartingHashKey="1000",
    )
    limits = kinesis.ask("DescribeLimits")
    assert (limits["ShardLimit"], limits["OpenShardCount"]) == (3, 3)


def test_every_limit_per_second_can_be_switched_off(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour.unlimited()
    for _ in range(4):
        assert not [record for record in put(kinesis, *[entry(10 * KIB)] * 500) if "ErrorCode" in record]
    for _ in range(30):
        kinesis.ask("GetRecords", ShardIterator=iterator(kinesis))
        kinesis.ask("DescribeStreamSummary", StreamName="s")
        kinesis.ask("DescribeStream", StreamName="s")
        kinesis.ask("ListStreams")


def test_a_record_is_as_large_as_its_stream_allows(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    refused("ValidationException", kinesis, "PutRecord", StreamName="s", **entry(MIB))
    kinesis.ask("UpdateMaxRecordSize", StreamName="s", MaxRecordSizeInKiB=2_048)
    put(kinesis, entry(2 * MIB - 1))
    clock.advance(2)
    refused("ValidationException", kinesis, "PutRecord", StreamName="s", **entry(2 * MIB))
    refused("ValidationException", kinesis, "UpdateMaxRecordSize", StreamName="s", MaxRecordSizeInKiB=10_241)
    summary = kinesis.ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]
    assert summary["MaxRecordSizeInKiB"] == 2_048


def test_a_page_has_one_record_however_large(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour.unlimited().changed(page_bytes_max=100)
    put(kinesis, entry(50), entry(200), entry(50), entry(40))
    sizes = []
    page = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis))
    while page["Records"]:
        sizes.append([len(base64.b64decode(record["Data"])) for record in page["Records"]])
        page = kinesis.ask("GetRecords", ShardIterator=page["NextShardIterator"])
    assert sizes == [[50], [200], [50, 40]]


def test_a_page_has_at_most_ten_thousand_records(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour.unlimited()
    for _ in range(21):
        put(kinesis, *[entry()] * 500)
    page = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis))
    assert len(page["Records"]) == 10_000
    assert len(kinesis.ask("GetRecords", ShardIterator=page["NextShardIterator"])["Records"]) == 500
