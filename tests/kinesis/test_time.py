"""What time does: iterators expire, records go, streams take their time."""

import random
from typing import Any

import pytest

from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, ServiceError

HOUR_S = 3600
SHARD = "shardId-000000000000"


def put(kinesis: EmbeddedKinesis, *texts: str, index: int = 0) -> list[str]:
    """Put texts that are base64 already, and give their sequence numbers."""
    key = str(index * (1 << 127))
    entries = [{"Data": text, "PartitionKey": "k", "ExplicitHashKey": key} for text in texts]
    told = kinesis.ask("PutRecords", StreamName="s", Records=entries)["Records"]
    return [record["SequenceNumber"] for record in told]


def iterator(kinesis: EmbeddedKinesis, kind: str = "TRIM_HORIZON", shard_id: str = SHARD, **how: Any) -> str:
    wanted = {"StreamName": "s", "ShardId": shard_id, "ShardIteratorType": kind}
    made: str = kinesis.ask("GetShardIterator", **wanted, **how)["ShardIterator"]
    return made


def read(kinesis: EmbeddedKinesis, kind: str = "TRIM_HORIZON", **how: Any) -> list[str]:
    page = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis, kind, **how))
    return [record["Data"] for record in page["Records"]]


def status(kinesis: EmbeddedKinesis) -> str:
    found = kinesis.ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]["StreamStatus"]
    assert isinstance(found, str)
    return found


def split(kinesis: EmbeddedKinesis, shard_id: str = SHARD, at: int = 1000) -> None:
    kinesis.ask("SplitShard", StreamName="s", ShardToSplit=shard_id, NewStartingHashKey=str(at))


def ids(kinesis: EmbeddedKinesis, **wanted: Any) -> list[int]:
    found = kinesis.ask("ListShards", StreamName="s", **wanted)["Shards"]
    return [int(shard["ShardId"].removeprefix("shardId-")) for shard in found]


def test_an_iterator_lives_five_minutes(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    at = iterator(kinesis)
    clock.advance(300)
    following = kinesis.ask("GetRecords", ShardIterator=at)["NextShardIterator"]
    clock.advance(0.001)
    with pytest.raises(ServiceError) as caught:
        kinesis.ask("GetRecords", ShardIterator=at)
    assert caught.value.code == "ExpiredIteratorException"
    clock.advance(299)
    kinesis.ask("GetRecords", ShardIterator=following)


def test_an_iterators_life_does_not_hang_on_the_wall_clock(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    at = iterator(kinesis)
    clock.jump_us(3600 * 1_000_000)
    kinesis.ask("GetRecords", ShardIterator=at)


def test_a_token_of_a_list_lives_five_minutes(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    token = kinesis.ask("ListShards", StreamName="s", MaxResults=1)["NextToken"]
    clock.advance(301)
    with pytest.raises(ServiceError) as caught:
        kinesis.ask("ListShards", NextToken=token)
    assert caught.value.code == "ExpiredNextTokenException"


def test_records_go_when_their_time_has_passed(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    put(kinesis, "aaaa", "bbbb")
    clock.advance(12 * HOUR_S)
    put(kinesis, "cccc")
    clock.advance(12 * HOUR_S)
    assert read(kinesis) == ["aaaa", "bbbb", "cccc"]
    clock.advance(1)
    assert read(kinesis) == ["cccc"]


def test_retention_can_be_switched_off(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    kinesis.behaviour = Behaviour(trims=False)
    put(kinesis, "aaaa")
    clock.advance(9999 * HOUR_S)
    assert read(kinesis) == ["aaaa"]


def test_longer_retention_keeps_and_does_not_bring_back(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    put(kinesis, "aaaa")
    clock.advance(25 * HOUR_S)
    kinesis.ask("IncreaseStreamRetentionPeriod", StreamName="s", RetentionPeriodHours=48)
    assert read(kinesis) == []
    put(kinesis, "bbbb")
    clock.advance(47 * HOUR_S)
    assert read(kinesis) == ["bbbb"]
    clock.advance(1)
    kinesis.ask("DecreaseStreamRetentionPeriod", StreamName="s", RetentionPeriodHours=24)
    assert read(kinesis) == []


def test_a_trimmed_sequence_number_silently_gives_the_oldest_record(
    kinesis: EmbeddedKinesis, clock: ManualClock
) -> None:
    first, _ = put(kinesis, "aaaa", "bbbb")
    clock.advance(20 * HOUR_S)
    put(kinesis, "cccc", "dddd")
    clock.advance(5 * HOUR_S)
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        assert read(kinesis, kind, StartingSequenceNumber=first) == ["cccc", "dddd"]
    assert read(kinesis, "AT_TIMESTAMP", Timestamp=0) == ["cccc", "dddd"]


def test_a_sequence_number_that_was_not_issued_yet_is_refused(kinesis: EmbeddedKinesis) -> None:
    (number,) = put(kinesis, "aaaa")
    assert read(kinesis, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number) == []
    with pytest.raises(ServiceError) as caught:
        read(kinesis, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=str(int(number) + (1 << 80)))
    assert caught.value.code == "InvalidArgumentException"


def test_an_iterator_behind_the_trim_horizon_goes_on_with_the_oldest_record(
    kinesis: EmbeddedKinesis, clock: ManualClock
) -> None:
    kinesis.behaviour = Behaviour(iterator_life_s=1e9)
    put(kinesis, "aaaa", "bbbb")
    at = kinesis.ask("GetRecords", ShardIterator=iterator(kinesis), Limit=1)["NextShardIterator"]
    clock.advance(20 * HOUR_S)
    put(kinesis, "cccc")
    clock.advance(5 * HOUR_S)
    page = kinesis.ask("GetRecords", ShardIterator=at)
    assert [record["Data"] for record in page["Records"]] == ["cccc"]


def test_positions_survive_any_trimming() -> None:
    clock = ManualClock()
    kinesis = EmbeddedKinesis(clock, random.Random(1), Behaviour.unlimited().changed(iterator_life_s=1e9))
    kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
    numbers: list[str] = []
    for minute in range(300):
        numbers += put(kinesis, *[f"{minute * 3 + part:04d}" for part in range(3)])
        clock.advance(600)
        oldest = max(0, (minute + 1 - 144) * 3)
        found = read(kinesis)
        assert found == [f"{number:04d}" for number in range(oldest, len(numbers))]
        place = (oldest + len(numbers)) // 2
        at = read(kinesis, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[place])
        assert at == found[place - oldest :]


def test_pages_are_as_large_as_ever_after_trimming(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    kinesis.behaviour = Behaviour(page_bytes_max=12)
    put(kinesis, *["aaaa"] * 9)
    clock.advance(20 * HOUR_S)
    put(kinesis, *["bbbb"] * 4)
    clock.advance(5 * HOUR_S)
    assert read(kinesis) == ["bbbb"] * 3
    clock.advance(20 * HOUR_S)
    put(kinesis, *["cccc"] * 4)
    assert read(kinesis) == ["cccc"] * 3


def test_a_closed_shard_vanishes_when_its_last_record_must_have(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    put(kinesis, "aaaa")
    split(kinesis)
    clock.advance(24 * HOUR_S)
    assert ids(kinesis) == [0, 1, 2, 3]
    at = iterator(kinesis)
    clock.advance(1)
    assert ids(kinesis) == [1, 2, 3]
    assert [shard.get("ParentShardId") for shard in kinesis.ask("ListShards", StreamName="s")["Shards"]] == [
        None,
        SHARD,
        SHARD,
    ]
    for action, fields in (
        ("GetRecords", {"ShardIterator": at}),
        ("GetShardIterator", {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}),
    ):
        with pytest.raises(ServiceError) as caught:
            kinesis.ask(action, **fields)
        assert caught.value.code == "ResourceNotFoundException"


def test_filters_follow_the_trim_horizon(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    began_s = clock.now_us() / 1e6
    clock.advance(HOUR_S)
    split(kinesis)
    clock.advance(HOUR_S)
    split(kinesis, "shardId-000000000003", 5000)
    assert ids(kinesis, ShardFilter={"Type": "AT_TRIM_HORIZON"}) == [0, 1]
    clock.advance(22.5 * HOUR_S)
    assert ids(kinesis, ShardFilter={"Type": "AT_TRIM_HORIZON"}) == [0, 1]
    clock.advance(0.5 * HOUR_S + 1)
    assert ids(kinesis, ShardFilter={"Type": "AT_TRIM_HORIZON"}) == [1, 2, 3]
    for kind in ("FROM_TIMESTAMP", "AT_TIMESTAMP"):
        expected = [1, 2, 3, 4, 5] if kind == "FROM_TIMESTAMP" else [1, 2, 3]
        assert ids(kinesis, ShardFilter={"Type": kind, "Timestamp": began_s}) == expected
    assert ids(kinesis, ShardFilter={"Type": "AT_LATEST"}) == [1, 2, 4, 5]


def test_a_filter_in_the_future_is_refused(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    with pytest.raises(ServiceError) as caught:
        ids(kinesis, ShardFilter={"Type": "AT_TIMESTAMP", "Timestamp": clock.now_us() / 1e6 + 1})
    assert caught.value.code == "InvalidArgumentException"


def test_a_filter_holds_for_all_pages(kinesis: EmbeddedKinesis, clock: ManualClock) -> None:
    split(kinesis, "shardId-000000000001", (1 << 127) + 1000)
    clock.advance(1)
    then_s = clock.now_us() / 1e6
    clock.advance(1)
    split(kinesis)

    def paged(**wanted: object) -> list[str]:
        page = kinesis.ask("ListShards", StreamName="s", MaxResults=1, ShardFilter=wanted)
        found = [shard["ShardId"][-1] for shard in page["Shards"]]
        while "NextToken" in page:
            page = kinesis.ask("ListShards", NextToken=page["NextToken"], MaxResults=1)
            found += [shard["ShardId"][-1] for shard in page["Shards"]]
        return found

    assert paged(Type="AT_LATEST") == ["2", "3", "4", "5"]
    assert paged(Type="AT_TIMESTAMP", Timestamp=then_s) == ["0", "2", "3"]
    assert paged(Type="FROM_TIMESTAMP", Timestamp=then_s) == ["0", "2", "3", "4", "5"]
    assert paged(Type="AFTER_SHARD_ID", ShardId="shardId-000000000001") == ["2", "3", "4", "5"]


def test_a_stream_is_made_in_time(clock: ManualClock) -> None:
    kinesis = EmbeddedKinesis(clock, random.Random(1), Behaviour(creating_s=2, updating_s=3, deleting_s=4))
    kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
    assert status(kinesis) == "CREATING"
    with pytest.raises(ServiceError) as caught:
        put(kinesis, "aaaa")
    assert caught.value.code == "ResourceNotFoundException"
    clock.advance(2)
    assert status(kinesis) == "ACTIVE"
    put(kinesis, "aaaa")


def test_a_split_takes_time_and_the_parent_works_meanwhile(clock: ManualClock) -> None:
    kinesis = EmbeddedKinesis(clock, random.Random(1), Behaviour(updating_s=3))
    kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
    split(kinesis)
    assert status(kinesis) == "UPDATING"
    put(kinesis, "aaaa")
    with pytest.raises(ServiceError) as caught:
        split(kinesis)
    assert caught.value.code == "ResourceInUseException"
    assert ids(kinesis) == [0]
    clock.advance(3)
    assert ids(kinesis) == [0, 1, 2]
    assert status(kinesis) == "ACTIVE"
    assert read(kinesis) == ["aaaa"]


def test_a_stream_is_deleted_in_time_and_its_name_is_free_again(clock: ManualClock) -> None:
    kinesis = EmbeddedKinesis(clock, random.Random(1), Behaviour(deleting_s=4))
    kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
    put(kinesis, "aaaa")
    at = iterator(kinesis)
    kinesis.ask("DeleteStream", StreamName="s")
    assert status(kinesis) == "DELETING"
    clock.advance(4)
    assert kinesis.ask("ListStreams")["StreamNames"] == []
    kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
    with pytest.raises(ServiceError) as caught:
        kinesis.ask("GetRecords", ShardIterator=at)
    assert caught.value.code == "ResourceNotFoundException"
    assert read(kinesis) == []


def test_numbers_and_times_of_storing_grow_while_the_wall_clock_goes_back(
    kinesis: EmbeddedKinesis, clock: ManualClock
) -> None:
    numbers = put(kinesis, "aaaa")
    clock.jump_us(-7200 * 1_000_000)
    numbers += put(kinesis, "bbbb")
    split(kinesis)
    numbers += put(kinesis, "cccc")
    assert numbers == sorted(numbers, key=int)
    assert read(kinesis) == ["aaaa", "bbbb"]
    clock.advance(2 * HOUR_S)
    assert read(kinesis, "AT_TIMESTAMP", Timestamp=clock.now_us() / 1e6 - HOUR_S) == ["aaaa", "bbbb"]


def test_how_far_behind_a_page_ends_is_measured_from_its_last_record(
    kinesis: EmbeddedKinesis, clock: ManualClock
) -> None:
    put(kinesis, "aaaa")
    clock.advance(2)
    put(kinesis, "bbbb", "cccc")
    clock.advance(5)
    behind = [
        kinesis.ask("GetRecords", ShardIterator=iterator(kinesis), Limit=limit)["MillisBehindLatest"]
        for limit in (1, 2, 3)
    ]
    assert behind == [7000, 5000, 0]


def test_a_record_of_this_very_millisecond_still_counts_as_behind(kinesis: EmbeddedKinesis) -> None:
    put(kinesis, "aaaa", "bbbb")
    assert kinesis.ask("GetRecords", ShardIterator=iterator(kinesis), Limit=1)["MillisBehindLatest"] == 1
