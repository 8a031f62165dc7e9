"""What goes wrong on purpose, and what AWS may do at any time."""

import base64
import random
from typing import Any

import msgspec
import pytest

from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import KMS_FAULTS, Behaviour, EmbeddedKinesis, Fault, Response, ServiceError
from shardlake.testing.kinesis.sequence import Numbering

SHARD = "shardId-000000000000"
ENTRY = {"Data": "aaaa", "PartitionKey": "k", "ExplicitHashKey": "0"}


def call(kinesis: EmbeddedKinesis, action: str, **fields: Any) -> Response:
    return kinesis.call(action, msgspec.json.encode(fields))


def put(kinesis: EmbeddedKinesis) -> Response:
    return call(kinesis, "PutRecord", StreamName="s", **ENTRY)


def stored(kinesis: EmbeddedKinesis) -> int:
    wanted = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    at = kinesis.ask("GetShardIterator", **wanted)["ShardIterator"]
    return len(kinesis.ask("GetRecords", ShardIterator=at)["Records"])


def code(response: Response) -> str:
    found = msgspec.json.decode(response.body)["__type"]
    assert isinstance(found, str)
    return found


def test_a_fault_hits_one_call_and_stores_nothing(kinesis: EmbeddedKinesis) -> None:
    kinesis.inject(Fault())
    response = put(kinesis)
    assert (response.status, code(response)) == (500, "InternalFailure")
    assert stored(kinesis) == 0
    assert put(kinesis).status == 200


def test_a_fault_waits_for_its_action(kinesis: EmbeddedKinesis) -> None:
    kinesis.inject(Fault(), action="GetRecords", times=2)
    assert put(kinesis).status == 200
    for _ in range(2):
        with pytest.raises(ServiceError):
            stored(kinesis)
    assert stored(kinesis) == 1


def test_faults_come_in_the_order_in_which_they_were_injected(kinesis: EmbeddedKinesis) -> None:
    for fault in KMS_FAULTS:
        kinesis.inject(fault)
    told = [put(kinesis) for _ in KMS_FAULTS]
    assert [code(response) for response in told] == [fault.code for fault in KMS_FAULTS]
    assert {response.status for response in told} == {400}


def test_faults_that_wait_can_be_forgotten(kinesis: EmbeddedKinesis) -> None:
    kinesis.inject(Fault(), times=9)
    kinesis.clear_faults()
    assert put(kinesis).status == 200


def test_a_lost_response_leaves_its_record(kinesis: EmbeddedKinesis) -> None:
    kinesis.inject(Fault(applied=True))
    assert put(kinesis).status == 500
    kinesis.inject(Fault(applied=True, dropped=True))
    response = put(kinesis)
    assert (response.dropped, response.body) == (True, b"")
    assert stored(kinesis) == 2


def test_a_dropped_request_leaves_nothing(kinesis: EmbeddedKinesis) -> None:
    kinesis.inject(Fault(dropped=True))
    assert put(kinesis).dropped
    assert stored(kinesis) == 0


def test_a_slow_reply_is_a_whole_one(kinesis: EmbeddedKinesis) -> None:
    kinesis.inject(Fault(code=None, delay_s=2.5))
    response = put(kinesis)
    assert (response.status, response.delay_s) == (200, 2.5)
    assert stored(kinesis) == 1


def test_a_hook_decides_by_action_and_request(kinesis: EmbeddedKinesis) -> None:
    seen = []

    def hook(action: str, body: bytes) -> Fault | None:
        seen.append((action, msgspec.json.decode(body)["StreamName"]))
        return Fault() if len(seen) == 2 else None

    kinesis.behaviour = Behaviour(fault=hook)
    assert [put(kinesis).status for _ in range(3)] == [200, 500, 200]
    assert seen == [("PutRecord", "s")] * 3


def test_single_records_fail_by_chance(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour.unlimited().changed(failing_records=0.3)
    answer = kinesis.ask("PutRecords", StreamName="s", Records=[ENTRY] * 500)
    failed = [record for record in answer["Records"] if "ErrorCode" in record]
    assert failed[0] == {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal Service Failure"}
    assert 100 < len(failed) == answer["FailedRecordCount"] < 200
    assert stored(kinesis) == 500 - len(failed)


def test_a_single_record_that_fails_by_chance_is_an_error_500(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour(failing_records=1.0)
    response = put(kinesis)
    assert (response.status, code(response)) == (500, "InternalFailure")


def test_empty_pages_come_before_data_and_lose_nothing(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    kinesis.ask("PutRecords", StreamName="s", Records=[ENTRY] * 50)
    kinesis.behaviour = Behaviour.unlimited().changed(empty_pages=0.5)
    wanted = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    at = kinesis.ask("GetShardIterator", **wanted)["ShardIterator"]
    clock.advance(7)
    sizes: list[int] = []
    while sum(sizes) < 50:
        page = kinesis.ask("GetRecords", ShardIterator=at, Limit=1)
        sizes.append(len(page["Records"]))
        assert page["MillisBehindLatest"] == (0 if sum(sizes) == 50 else 7000)
        at = page["NextShardIterator"]
    assert 20 < sizes.count(0) < 100


@pytest.mark.parametrize(("chance", "apart"), [(0.0, False), (1.0, True)])
def test_a_closed_shard_ends_with_its_last_records_or_apart(
    kinesis: EmbeddedKinesis, chance: float, apart: bool
) -> None:
    put(kinesis)
    kinesis.behaviour = Behaviour(end_apart=chance)
    kinesis.ask("SplitShard", StreamName="s", ShardToSplit=SHARD, NewStartingHashKey="1000")
    wanted = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    page = kinesis.ask("GetRecords", ShardIterator=kinesis.ask("GetShardIterator", **wanted)["ShardIterator"])
    assert len(page["Records"]) == 1
    assert ("NextShardIterator" in page, "ChildShards" in page) == (apart, not apart)
    if apart:
        page = kinesis.ask("GetRecords", ShardIterator=page["NextShardIterator"])
        assert ("NextShardIterator" in page, len(page["ChildShards"])) == (False, 2)


def test_arrivals_may_be_out_of_order(kinesis: EmbeddedKinesis) -> None:
    kinesis.behaviour = Behaviour(arrival_jitter_ms=50)
    kinesis.ask("PutRecords", StreamName="s", Records=[ENTRY] * 20)
    wanted = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    page = kinesis.ask("GetRecords", ShardIterator=kinesis.ask("GetShardIterator", **wanted)["ShardIterator"])
    arrivals = [record["ApproximateArrivalTimestamp"] for record in page["Records"]]
    assert arrivals != sorted(arrivals)
    assert max(arrivals) - min(arrivals) <= 0.1


# --------------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "SerializationException"),
        (b"\xff\xfe", "SerializationException"),
        (b"[]", "SerializationException"),
        (b'{"StreamName": 5, "Data": "aaaa", "PartitionKey": "k"}', "SerializationException"),
        (b'{"StreamName": "s", "Data": "a", "PartitionKey": "k"}', "SerializationException"),
        (b'{"StreamName": "s", "Data": "a\\"aa", "PartitionKey": "k"}', "SerializationException"),
        (b'{"StreamName": "s", "Data": "=aaa", "PartitionKey": "k"}', "SerializationException"),
        (b'{"StreamName": "s", "PartitionKey": "k"}', "ValidationException"),
        (b'{"StreamName": "s", "Data": "aaaa"}', "ValidationException"),
        (b'{"StreamName": "s", "Data": "aaaa", "PartitionKey": ""}', "ValidationException"),
        (b'{"StreamName": "s", "Data": "aaaa", "PartitionKey": "k", "ExplicitHashKey": "01"}', "ValidationException"),
        (b'{"Data": "aaaa", "PartitionKey": "k"}', "InvalidArgumentException"),
        (b"", "ValidationException"),
    ],
)
def test_a_request_that_is_none_is_refused_and_stores_nothing(
    kinesis: EmbeddedKinesis, body: bytes, expected: str
) -> None:
    response = kinesis.call("PutRecord", body)
    assert (response.status, code(response)) == (400, expected)
    assert stored(kinesis) == 0


def test_one_wrong_record_refuses_the_whole_request(kinesis: EmbeddedKinesis) -> None:
    with pytest.raises(ServiceError, match=r"records\.2\.member\.partitionKey"):
        kinesis.ask("PutRecords", StreamName="s", Records=[ENTRY, {"Data": "aaaa"}])
    assert stored(kinesis) == 0


def test_an_action_that_is_none_is_refused(kinesis: EmbeddedKinesis) -> None:
    response = call(kinesis, "Sing")
    assert (response.status, code(response)) == (400, "UnknownOperationException")


def test_every_fault_of_a_request_is_named(kinesis: EmbeddedKinesis) -> None:
    with pytest.raises(ServiceError) as caught:
        kinesis.ask("GetShardIterator", StreamName="a b", ShardIteratorType="SOON")
    assert caught.value.message.startswith("3 validation errors detected: ")
    for field in ("streamName", "shardId", "shardIteratorType"):
        assert f"at '{field}' failed to satisfy constraint" in caught.value.message


def test_an_iterator_that_was_tampered_with_is_refused(kinesis: EmbeddedKinesis) -> None:
    wanted = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    sealed = bytearray(base64.urlsafe_b64decode(kinesis.ask("GetShardIterator", **wanted)["ShardIterator"]))
    assert b"shardId-000000000000\n0\n" in sealed
    other = sealed.replace(b"shardId-000000000000\n0\n", b"shardId-000000000001\n0\n")
    with pytest.raises(ServiceError, match="Invalid ShardIterator"):
        kinesis.ask("GetRecords", ShardIterator=base64.urlsafe_b64encode(other).decode())
    kinesis.ask("GetRecords", ShardIterator=base64.urlsafe_b64encode(sealed).decode())


def test_two_names_of_two_streams_are_refused(kinesis: EmbeddedKinesis) -> None:
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/other"
    with pytest.raises(ServiceError, match="two different streams"):
        kinesis.ask("ListShards", StreamName="s", StreamARN=arn)
    with pytest.raises(ServiceError, match="not found"):
        kinesis.ask("ListShards", StreamARN="arn:aws:kinesis:eu-west-1:000000000000:stream/s")


def test_no_payload_gets_into_a_message(kinesis: EmbeddedKinesis) -> None:
    secret = base64.b64encode(b"secret secret").decode()
    for data, key in ((secret + "?", "k"), (secret * 80_000, "k"), (secret, "secret" * 60)):
        response = call(kinesis, "PutRecord", StreamName="s", Data=data, PartitionKey=key)
        assert response.status == 400
        assert b"secret" not in response.body
        assert secret.encode() not in response.body


def test_the_layout_of_a_sequence_number_is_that_of_aws() -> None:
    number = Numbering(0x12, 0x123456789).number(0xABC, 0x987654321)
    assert f"{number:x}" == "2" + "123456789" + "2" + "0000000000000abc" + "00" + "987654321" + "00000012" + "2"
    assert len(str(number)) == 56


# ----------------------------------------------------------------------------------------------- distribution


def test_without_a_key_the_service_chooses_the_shard_and_gives_no_key_back(clock: ManualClock) -> None:
    kinesis = EmbeddedKinesis(clock, random.Random(3), Behaviour.unlimited())
    wanted = {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "RecordDistributionStrategy": "AUTO"}
    kinesis.ask("CreateStream", StreamName="s", **wanted)
    entries = [{"Data": "aaaa"}, {"Data": "bbbb", "PartitionKey": "k"}] * 100
    told = kinesis.ask("PutRecords", StreamName="s", Records=entries)["Records"]
    assert {record["ShardId"][-1] for record in told} == {"0", "1", "2", "3"}
    wanted = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    page = kinesis.ask("GetRecords", ShardIterator=kinesis.ask("GetShardIterator", **wanted)["ShardIterator"])
    assert {(record["Data"], record.get("PartitionKey")) for record in page["Records"]} == {
        ("aaaa", None),
        ("bbbb", "k"),
    }
    kinesis.ask(
        "UpdateStreamRecordDistributionStrategy", StreamName="s", RecordDistributionStrategy="USER_PARTITION_KEY"
    )
    with pytest.raises(ServiceError, match="partitionKey"):
        kinesis.ask("PutRecords", StreamName="s", Records=entries)


def test_a_stream_on_demand_is_not_resharded_by_its_owner(clock: ManualClock) -> None:
    kinesis = EmbeddedKinesis(clock, random.Random(3), Behaviour())
    kinesis.ask("CreateStream", StreamName="s", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    for action, fields in (
        ("SplitShard", {"ShardToSplit": SHARD, "NewStartingHashKey": "1000"}),
        ("UpdateShardCount", {"TargetShardCount": 8, "ScalingType": "UNIFORM_SCALING"}),
    ):
        with pytest.raises(ServiceError) as caught:
            kinesis.ask(action, StreamName="s", **fields)
        assert caught.value.code == "ValidationException"
