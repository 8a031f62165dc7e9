"""How far a table's stream reaches, where shards roll over while that is asked."""

import pytest

from shardlake.adapters.dynamodb.stream_calls import DirectStreams
from shardlake.core.errors import ConfigError, Transient
from shardlake.core.positions import END, ORIGIN, Position
from shardlake.testing.dynamodb import LOST_BEFORE, THROTTLES
from streams.sources.dynamodb.tips import Tip, Tips
from tests.dynamodb.embedded import Streamed, number, one_shard


def tips(world: Streamed, after_s: float = 1e6) -> Tips:
    def call(action: str, body: bytes) -> tuple[int, bytes]:
        response = world.dynamo.call(action, body)
        return (0, b"") if response.dropped else (response.status, response.body)

    return Tips(DirectStreams(call), world.arn, world.clock, world.clock.now_us() + round(after_s * 1e6))


def test_the_tip_of_a_shard_is_its_newest_record() -> None:
    world, shard = one_shard(empty_pages=0.4)
    for at in range(20):
        world.put(f"k{at}")
    newest = number(world.records()[-1])
    assert tips(world).find({}) == {shard: Tip(newest, ())}
    assert tips(world).find({shard: Position(newest)}) == {shard: Tip(newest, ())}


def test_a_shard_without_records_has_none() -> None:
    world, shard = one_shard()
    assert tips(world).find({}) == {shard: Tip(0, ())}


LATE, OPEN = {"children_late_s": 20.0}, {"parents_open": 1.0, "parents_open_s": 30.0}


@pytest.mark.parametrize("lies", [{}, LATE, OPEN, LATE | OPEN])
def test_what_follows_a_shard_that_has_ended_is_waited_for(lies: dict[str, float]) -> None:
    world, shard = one_shard(end_apart=1.0, **lies)
    world.put("a")
    world.dynamo.split("tab")
    for at in range(20):
        world.put(f"k{at}")
    found = tips(world).find({})
    newest = {number(record) for record in world.records()}
    assert len(found) == 2
    assert {tip.parents for tip in found.values()} == {(shard,)}
    assert {tip.number for tip in found.values()} < newest
    assert max(newest) in {tip.number for tip in found.values()}


def test_a_record_that_came_later_is_enough() -> None:
    world, _ = one_shard()
    found = tips(world, 10.0)
    world.clock.advance(12)
    for at in range(1_500):
        world.put(f"k{at}")
    [tip] = found.find({}).values()
    assert tip.number == number(world.records()[999])  # the end of the first page


def test_what_fails_in_passing_is_asked_again() -> None:
    world, shard = one_shard()
    world.put("a")
    for action in ("DescribeStream", "GetShardIterator", "GetRecords"):
        for fault in (LOST_BEFORE, *THROTTLES):
            world.dynamo.inject(fault, action)
    assert tips(world).find({})[shard].number


def test_what_never_follows_is_not_waited_for_without_end() -> None:
    world, _ = one_shard(children_late_s=1e6)
    world.dynamo.roll("tab")
    with pytest.raises(Transient, match="those that follow it are not listed"):
        tips(world).find({})


def test_a_disabled_stream_has_no_tips() -> None:
    world, _ = one_shard()
    world.ask("UpdateTable", TableName="tab", StreamSpecification={"StreamEnabled": False})
    with pytest.raises(ConfigError, match="DISABLED"):
        tips(world).find({})


def test_a_tip_is_counted_with_all_that_went_before_it() -> None:
    here, idle = Tip(70, ("before",)), Tip(0, ("before",))
    assert here.is_within("here", {"here": Position(70, 1)})
    assert not here.is_within("here", {"here": Position(69)})
    assert not here.is_within("here", {"before": END})
    assert idle.is_within("here", {"before": END})
    assert idle.is_within("here", {"here": ORIGIN})
    assert not idle.is_within("here", {"before": Position(69)})
    assert not idle.is_within("here", {})
    assert Tip(0, ()).is_within("here", {})
