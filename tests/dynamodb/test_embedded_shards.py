"""The shards of the embedded DynamoDB Streams: they roll, split and are described, and their numbers grow."""

from hypothesis import given
from hypothesis import strategies as st

from tests.dynamodb.embedded import HOUR_S, QUIET, Row, Streamed, is_open, number, one_shard

# ------------------------------------------------------------------------------------------------------- shards


def test_shards_roll_even_when_nothing_happens() -> None:
    world = Streamed(QUIET.changed(roll_s=4 * HOUR_S, roll_jitter=0.1, stream_shards=3))
    shards: list[Row] = []
    for hours in range(1, 21):
        world.clock.advance(HOUR_S)
        shards = world.shards()
        assert sum(map(is_open, shards)) == 3
        assert 3 * (1 + int(hours / 4.4)) <= len(shards) <= 3 * (1 + int(hours / 3.6))
    parents = [shard["ParentShardId"] for shard in shards if "ParentShardId" in shard]
    assert len(set(parents)) == len(parents)


def test_the_time_of_a_roll_is_its_own_however_late_somebody_looks() -> None:
    world = Streamed(QUIET.changed(roll_s=float(HOUR_S), roll_jitter=0.0, stream_shards=1))
    began_ms = world.clock.now_us() // 1000
    world.clock.advance(3.5 * HOUR_S)
    made = [int(shard["ShardId"].split("-")[1]) for shard in world.shards()]
    assert made == [began_ms + hour * HOUR_S * 1000 for hour in range(4)]
    assert all(len(shard["ShardId"].split("-")[1]) == 20 for shard in world.shards())


def test_a_key_stays_with_its_lineage() -> None:
    world = Streamed(QUIET.changed(stream_shards=4))
    where: dict[str, set[str]] = {}
    roots: dict[str, str] = {}
    for turn in range(3):
        for k in map(str, range(40)):
            world.put(k, n={"N": str(turn)})
        world.dynamo.roll("tab")
    for shard in world.shards():
        roots[shard["ShardId"]] = roots.get(shard.get("ParentShardId", ""), str(shard["ShardId"]))
        for record in world.page(shard["ShardId"])["Records"]:
            where.setdefault(record["dynamodb"]["Keys"]["k"]["S"], set()).add(roots[shard["ShardId"]])
    assert len(where) == 40
    assert all(len(lineages) == 1 for lineages in where.values())
    assert len(set.union(*where.values())) == 4


@given(st.integers(0, 1000), st.lists(st.sampled_from(["put", "roll", "split", "wait"]), max_size=40))
def test_numbers_grow_along_each_lineage(seed: int, acts: list[str]) -> None:
    world = Streamed(seed=seed)
    for turn, act in enumerate(acts):
        match act:
            case "put":
                for k in "abcdefgh":
                    world.put(k, n={"N": str(turn)})
            case "roll" if len(world.shards()) < 60:
                world.dynamo.roll("tab")
            case "split" if len(world.shards()) < 60:
                world.dynamo.split("tab", next(shard["ShardId"] for shard in world.shards() if is_open(shard)))
            case _:
                world.clock.advance(1)
    ends: dict[str, int] = {}
    for shard in world.shards():
        bounds = {name: int(value) for name, value in shard["SequenceNumberRange"].items()}
        found = [number(record) for record in world.page(shard["ShardId"])["Records"]]
        last = bounds.get("EndingSequenceNumber", 10**40)
        assert found == sorted(set(found))
        assert all(bounds["StartingSequenceNumber"] <= one <= last for one in found)
        assert all(21 <= len(str(one)) <= 40 for one in found)
        if "ParentShardId" in shard:
            assert bounds["StartingSequenceNumber"] > ends[shard["ParentShardId"]]
        ends[shard["ShardId"]] = last


def test_numbers_are_of_different_lengths() -> None:
    world, shard_id = one_shard()
    for n in range(40):
        world.put(n={"N": str(n)})
    lengths = {len(record["dynamodb"]["SequenceNumber"]) for record in world.page(shard_id)["Records"]}
    assert len(lengths) == 2


def test_a_shard_that_has_closed_ends_with_its_last_record() -> None:
    world, shard_id = one_shard()
    world.put()
    before = world.iterator(shard_id)
    at = world.ask("GetRecords", ShardIterator=before)["NextShardIterator"]
    assert "NextShardIterator" in world.ask("GetRecords", ShardIterator=at)
    world.dynamo.roll("tab")
    assert world.ask("GetRecords", ShardIterator=at) == {"Records": []}
    last = world.ask("GetRecords", ShardIterator=before)
    assert (len(last["Records"]), "NextShardIterator" in last) == (1, False)
    assert "NextShardIterator" in world.ask("GetRecords", ShardIterator=before, Limit=1) or len(last["Records"]) == 1
    world.dynamo.behaviour = QUIET.changed(end_apart=1.0)
    apart = world.ask("GetRecords", ShardIterator=before)
    assert world.ask("GetRecords", ShardIterator=apart["NextShardIterator"]) == {"Records": []}


def test_a_split_gives_two_children_that_share_the_keys() -> None:
    world, shard_id = one_shard()
    world.dynamo.split("tab", shard_id)
    children = world.shards()[1:]
    assert [child["ParentShardId"] for child in children] == [shard_id] * 2
    for k in map(str, range(40)):
        world.put(k)
    counts = [len(world.page(child["ShardId"])["Records"]) for child in children]
    assert sum(counts) == 40
    assert min(counts) > 5


# ------------------------------------------------------------------------------------------------------- listing


def test_shards_are_described_a_hundred_at_a_time() -> None:
    world, _ = one_shard()
    for _ in range(249):
        world.clock.advance(1)
        world.dynamo.roll("tab")
    assert len(world.describe()["Shards"]) == 100
    assert len(world.shards()) == 250
    assert world.refusal("DescribeStream", StreamArn=world.arn, Limit=101) == "ValidationException"
    page = world.describe(ExclusiveStartShardId=world.shards()[239]["ShardId"], Limit=10)
    assert len(page["Shards"]) == 10
    assert world.describe(ExclusiveStartShardId=page["LastEvaluatedShardId"])["Shards"] == []


def test_children_are_asked_for_by_their_parent_and_may_be_late() -> None:
    world, shard_id = one_shard(children_late_s=2.0)
    wanted = {"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": shard_id}}
    world.dynamo.split("tab", shard_id)
    assert world.describe(**wanted)["Shards"] == []
    assert len(world.shards()) == 1
    world.clock.advance(2)
    assert [child["ParentShardId"] for child in world.describe(**wanted)["Shards"]] == [shard_id] * 2
    assert len(world.describe(**wanted, Limit=1)["Shards"]) == 1
    nobody = {"ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": "shardId-00000000000000000000-00000000"}}
    assert world.refusal("DescribeStream", StreamArn=world.arn, **nobody) == "ResourceNotFoundException"


def test_a_parent_may_look_open_beside_its_child() -> None:
    world, shard_id = one_shard(parents_open=0.5, parents_open_s=10.0)
    world.dynamo.roll("tab")
    seen = {tuple(map(is_open, world.shards())) for _ in range(50)}
    assert seen == {(True, True), (False, True)}
    assert "NextShardIterator" not in world.page(shard_id)
    world.clock.advance(10)
    assert {tuple(map(is_open, world.shards())) for _ in range(50)} == {(False, True)}


def test_a_stream_that_is_enabled_anew_is_another() -> None:
    world, shard_id = one_shard()
    world.put()
    off: Row = {"StreamEnabled": False}
    world.ask("UpdateTable", TableName="tab", StreamSpecification=off)
    assert world.ask("DescribeTable", TableName="tab")["Table"]["LatestStreamArn"] == world.arn
    world.put("b")
    on: Row = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    world.ask("UpdateTable", TableName="tab", StreamSpecification=on)
    world.put("c")
    old, new = world.ask("ListStreams", TableName="tab")["Streams"]
    assert (old["StreamArn"], old["StreamLabel"] < new["StreamLabel"]) == (world.arn, True)
    assert world.describe()["StreamStatus"] == "DISABLED"
    assert not any(map(is_open, world.shards()))
    last = world.page(shard_id)
    assert (len(last["Records"]), "NextShardIterator" in last) == (1, False)
    world.dynamo.behaviour = QUIET.changed(disabled_open=True)
    assert all(map(is_open, world.shards()))
    world.arn = new["StreamArn"]
    assert [record["dynamodb"]["Keys"]["k"]["S"] for record in world.records()] == ["c"]
    world.clock.advance(24 * HOUR_S + 1)
    assert [each["StreamArn"] for each in world.ask("ListStreams")["Streams"]] == [world.arn]


def test_a_table_that_is_deleted_leaves_its_stream_for_a_day() -> None:
    world = Streamed()
    world.put()
    world.ask("DeleteTable", TableName="tab")
    assert len(world.records()) == 1
    world.clock.advance(24 * HOUR_S + 1)
    assert world.refusal("DescribeStream", StreamArn=world.arn) == "ResourceNotFoundException"
