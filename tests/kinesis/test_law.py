"""The law of the stream: whoever follows children reads each acknowledged record once, in order, and misses none."""

import base64
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, ServiceError

HASH_KEYS = 1 << 128
# Errors after which a client tries again.
TRANSIENT = {"ProvisionedThroughputExceededException", "InternalFailure", "LimitExceededException"}

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "split", "merge", "count", "read", "read", "reader", "wait", "fault"]),
        st.integers(0, (1 << 32) - 1),
    ),
    max_size=60,
)
BEHAVIOURS = st.builds(
    Behaviour,
    empty_pages=st.sampled_from([0.0, 0.4]),
    end_apart=st.sampled_from([0.0, 0.5]),
    failing_records=st.sampled_from([0.0, 0.2]),
    arrival_jitter_ms=st.sampled_from([0, 500]),
    write_records_per_s=st.sampled_from([None, 5]),
    reads_per_s=st.sampled_from([None, 5]),
    page_bytes_max=st.sampled_from([1, 60, 10 << 20]),
    updating_s=st.sampled_from([0.0, 2.0]),
    count_changes_per_day=st.none(),
)


@dataclass
class Reader:
    """Reads shards from their parents on: a child begins when all its parents have ended."""

    at: dict[str, str | None] = field(default_factory=dict)
    read: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, set[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


@dataclass
class Play:
    """A service, its readers, and what it has acknowledged by shard."""

    clock: ManualClock
    kinesis: EmbeddedKinesis
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)

    def ask(self, action: str, **fields: Any) -> dict[str, Any]:
        """Ask until it is no longer a matter of time."""
        while True:
            try:
                return self.kinesis.ask(action, **fields)
            except ServiceError as error:
                if error.code not in TRANSIENT:
                    raise
                self.clock.advance(0.3)

    def put(self, number: int) -> None:
        chance = random.Random(number)
        texts = [
            base64.b64encode(chance.randbytes(chance.randrange(40))).decode() for _ in range(chance.randrange(1, 12))
        ]
        entries = [{"Data": text, "PartitionKey": str(chance.randrange(50))} for text in texts]
        while entries:
            told = self.ask("PutRecords", StreamName="s", Records=entries)["Records"]
            for entry, record in zip(entries, told, strict=True):
                if "SequenceNumber" in record:
                    self.acknowledged.setdefault(record["ShardId"], []).append(record["SequenceNumber"])
                    self.sent[record["SequenceNumber"]] = entry["Data"]
            entries = [entry for entry, record in zip(entries, told, strict=True) if "ErrorCode" in record]
            self.clock.advance(0.2)

    def shards(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("ListShards", StreamName="s", ShardFilter={"Type": kind})["Shards"]
        return found

    def open_shards(self) -> list[tuple[int, int, str]]:
        ranges = [(shard["HashKeyRange"], shard["ShardId"]) for shard in self.shards("AT_LATEST")]
        return sorted((int(told["StartingHashKey"]), int(told["EndingHashKey"]), name) for told, name in ranges)

    def settle(self) -> None:
        while self.ask("DescribeStream", StreamName="s")["StreamDescription"]["StreamStatus"] != "ACTIVE":
            self.clock.advance(0.5)

    def split(self, number: int) -> None:
        self.settle()
        chance, shards = random.Random(number), self.open_shards()
        begin, end, name = shards[chance.randrange(len(shards))]
        if end - begin > 2:
            at = chance.randrange(begin + 2, end)
            self.ask("SplitShard", StreamName="s", ShardToSplit=name, NewStartingHashKey=str(at))

    def merge(self, number: int) -> None:
        self.settle()
        pairs = list(pairwise(self.open_shards()))
        if pairs:
            left, right = random.Random(number).choice(pairs)
            one, other = random.Random(number).sample([left[2], right[2]], 2)
            self.ask("MergeShards", StreamName="s", ShardToMerge=one, AdjacentShardToMerge=other)

    def count(self, number: int) -> None:
        self.settle()
        now = len(self.open_shards())
        target = random.Random(number).randrange((now + 1) // 2, min(2 * now, 12) + 1)
        self.ask("UpdateShardCount", StreamName="s", TargetShardCount=target, ScalingType="UNIFORM_SCALING")

    def reader(self, _: int) -> None:
        """Let another reader begin, as late as it is, with the shards that the stream began with."""
        self.readers.append(Reader(at={shard["ShardId"]: None for shard in self.shards("AT_TRIM_HORIZON")}))

    def read(self, number: int) -> None:
        chance = random.Random(number)
        if self.readers:
            reader = chance.choice(self.readers)
            if reader.at:
                self.read_page(reader, chance.choice(sorted(reader.at)), chance.choice([1, 3, 10_000]))

    def read_page(self, reader: Reader, name: str, limit: int) -> None:
        try:
            at = reader.at[name] or self.iterator(reader, name)
            page = self.ask("GetRecords", ShardIterator=at, Limit=limit)
        except ServiceError as error:
            if error.code != "ExpiredIteratorException":
                raise
            reader.at[name] = None
            return
        numbers = reader.read.setdefault(name, [])
        for record in page["Records"]:
            assert self.sent[record["SequenceNumber"]] == record["Data"]
            numbers.append(record["SequenceNumber"])
        if "NextShardIterator" in page:
            reader.at[name] = page["NextShardIterator"]
            return
        del reader.at[name]
        reader.ended.add(name)
        for child in page["ChildShards"]:
            assert name in child["ParentShards"]
            if set(child["ParentShards"]) <= reader.ended:
                reader.at[child["ShardId"]] = None

    def iterator(self, reader: Reader, name: str) -> str:
        numbers = reader.read.get(name)
        where = (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[-1]}
            if numbers
            else {"ShardIteratorType": "TRIM_HORIZON"}
        )
        made: str = self.ask("GetShardIterator", StreamName="s", ShardId=name, **where)["ShardIterator"]
        return made

    def wait(self, number: int) -> None:
        self.clock.advance(random.Random(number).choice([0.1, 5, 400]))

    def fault(self, number: int) -> None:
        self.kinesis.inject(Fault(), times=random.Random(number).randrange(1, 4))

    def check_tiles(self) -> None:
        shards = self.open_shards()
        assert (shards[0][0], shards[-1][1]) == (0, HASH_KEYS - 1)
        assert all(left[1] + 1 == right[0] for left, right in pairwise(shards))

    def check_numbers(self) -> None:
        listed = {shard["ShardId"]: shard for shard in self.shards("FROM_TRIM_HORIZON")}
        assert len(self.sent) == sum(map(len, self.acknowledged.values()))
        for name, shard in listed.items():
            numbers = [int(number) for number in self.acknowledged.get(name, [])]
            assert numbers == sorted(numbers)
            begin = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
            assert all(begin < number for number in numbers)
            for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
                if parent is not None:
                    end = int(listed[parent]["SequenceNumberRange"]["EndingSequenceNumber"])
                    assert all(int(number) < end for number in self.acknowledged.get(parent, []))
                    assert end < begin


@settings(max_examples=150)
@given(STEPS, BEHAVIOURS, st.integers(1, 5))
def test_every_acknowledged_record_is_read_once_in_order_by_all_who_follow_children(
    steps: list[Step], behaviour: Behaviour, shards: int
) -> None:
    clock = ManualClock()
    play = Play(clock, EmbeddedKinesis(clock, random.Random(0), behaviour))
    play.ask("CreateStream", StreamName="s", ShardCount=shards)
    play.reader(0)
    clock.advance(1)
    for action, number in [*steps, ("reader", 0)]:
        getattr(play, action)(number)
        play.check_tiles()
    play.settle()
    play.check_numbers()
    open_now = {name for _, _, name in play.open_shards()}
    for reader in play.readers:
        for _ in range(3_000):
            behind = [name for name in sorted(reader.at) if name not in open_now]
            behind += [
                name for name in reader.at if len(reader.read.get(name, ())) < len(play.acknowledged.get(name, ()))
            ]
            if not behind:
                break
            play.read_page(reader, behind[0], 10_000)
        assert {name: read for name, read in reader.read.items() if read} == play.acknowledged
        assert set(reader.at) == open_now
