"""A table's changes, followed by workers in simulated time: nothing is lost, or it is told; nothing comes twice."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.dynamodb.stream_calls import DirectStreams
from shardlake.adapters.dynamodb.stream_wire import TableStream
from shardlake.adapters.kinesis.wire import ShardInfo
from shardlake.core.errors import ConfigError
from shardlake.core.journal import reading
from shardlake.testing.dynamodb import INTERNAL, LOST_AFTER, LOST_BEFORE, THROTTLES, Behaviour, Fault
from shardlake.testing.fleet import Member
from streams.sources.dynamodb.listing import whole
from streams.sources.dynamodb.source import DISABLED_S, MISSED_S
from streams.sources.kinesis.source import OnGap
from tests.dynamodb.changing import LIMITS, SOURCE, TABLE, Changing

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
FAULTS = (LOST_AFTER, LOST_BEFORE, INTERNAL, *THROTTLES)
READS = ("GetRecords", "DescribeStream", "GetShardIterator")
ODD = {"empty_pages": 0.3, "end_apart": 0.5, "parents_open": 0.5, "parents_open_s": 30.0, "expired_listed_s": HOUR_S}
Make = Callable[..., Changing]


@pytest.fixture(name="make")
def _make(tmp_path: Path) -> Make:
    def made(on_gap: OnGap = "fail", pinned_us: int = 0, seed: int = 0, **behaviour: Any) -> Changing:
        one = {"stream_shards": 1, **behaviour}
        return Changing(tmp_path, seed, Behaviour().changed(**one), on_gap, pinned_us)

    return made


def shards(table: Changing) -> int:
    return len(reading.read_shards(table.journal))


def read(table: Changing) -> list[tuple[str, int]]:
    return [(row["id"], row["_weight"]) for row in table.rows()]


def test_a_day_of_shards_that_roll_over_loses_nothing(make: Make) -> None:
    table, rng = make(roll_s=1_800.0, children_late_s=20.0, **ODD), random.Random(3)
    table.spawn()
    table.run(DAY_S, 120.0, lambda: table.change(rng) if rng.random() < 0.15 else None)
    table.catch_up()
    assert shards(table) > 45
    assert not table.gaps()
    table.check()


def test_shards_may_roll_every_few_seconds(make: Make) -> None:
    table, rng = make(roll_s=4.0, stream_shards=2), random.Random(1)
    table.spawn()
    table.spawn()
    table.run(60, 1.0, lambda: table.change(rng))
    table.catch_up()
    assert shards(table) > 20
    table.check()


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_workers_come_and_go_while_calls_fail_and_listings_lie(make: Make, seed: int) -> None:
    rng = random.Random(seed)
    table = make(seed=seed, roll_s=120.0, stream_shards=2, children_late_s=rng.choice([0.0, 5.0, 40.0]), **ODD)
    table.spawn()
    table.spawn()

    def happens() -> None:
        for _ in range(rng.randrange(2)):
            table.change(rng)
        if rng.random() < 0.15:
            table.dynamo.inject(rng.choice(FAULTS), rng.choice(READS), rng.choice([1, 2]))
        if rng.random() < 0.03:
            rng.choice((table.kill, table.stop))(rng.choice(table.members))
            table.spawn()

    table.run(1_500, 10.0, happens)
    table.dynamo.clear_faults()
    table.catch_up()
    assert not table.gaps()
    assert not table.told.gaps
    table.check()


def test_a_table_that_is_idle_for_days_has_no_gap(make: Make) -> None:
    table = make(roll_s=4 * HOUR_S)
    table.spawn()
    table.run(3 * DAY_S, 600.0)
    table.put("a")
    table.catch_up()
    assert not table.gaps()
    assert not table.told.gaps
    table.check()


def test_a_shard_that_never_rolls_is_read_on_after_days(make: Make) -> None:
    table = make(roll_s=None)
    table.spawn()
    table.put("a")
    table.run(2 * DAY_S, 600.0)
    table.put("a")
    table.catch_up()
    assert not table.gaps()
    table.check()


# ------------------------------------------------------------------------------------------------------- losses


def behind(table: Changing) -> Member:
    """Let somebody read, then nobody for 25 hours, in the first of which something changes."""
    member = table.spawn()
    table.put("a")
    table.put("b")
    table.catch_up()
    table.kill(member)
    table.put("lost")
    table.clock.advance(HOUR_S)
    table.put("lost")
    table.clock.advance(DAY_S)
    table.put("kept")
    return table.spawn()


def test_what_was_trimmed_stops_its_shard(make: Make) -> None:
    table = make(roll_s=4 * HOUR_S)
    behind(table)
    table.run(600)
    assert read(table) == [("a", 1), ("b", 1)]
    assert not table.gaps()
    assert "no longer holds what comes after the last record that was read" in str(table.told.gaps[0])
    assert table.refusals["TrimmedDataAccessException"] > 0


@pytest.mark.parametrize(("on_gap", "letters"), [("dlq", 1), ("continue", 0)])
@pytest.mark.parametrize("expired_listed_s", [0.0, 3.0 * HOUR_S])
def test_what_was_trimmed_is_a_gap(make: Make, on_gap: OnGap, letters: int, expired_listed_s: float) -> None:
    table = make(on_gap, roll_s=4 * HOUR_S, expired_listed_s=expired_listed_s)
    behind(table)
    table.run(600)
    assert read(table) == [("a", 1), ("b", 1), ("kept", 1)]
    assert len(table.gaps()) == 1
    assert table.reasons() == ({"records_trimmed": 1} if letters else {})
    table.check_order()


@pytest.mark.parametrize("on_gap", ["dlq", "fail"])
def test_what_a_shard_lost_before_it_was_begun_is_told(make: Make, on_gap: OnGap) -> None:
    table = make(on_gap, roll_s=4 * HOUR_S, roll_jitter=0.0)
    member = table.spawn()
    table.put("a")
    table.catch_up()
    table.clock.advance(4 * HOUR_S)  # the first shard ends behind the position, and another begins
    table.run(60, 10.0)
    table.kill(member)
    table.put("lost")
    table.clock.advance(2 * HOUR_S)
    table.put("there")
    table.clock.advance(22.5 * HOUR_S)
    table.spawn()
    table.run(600)
    if on_gap == "dlq":
        assert read(table) == [("a", 1), ("there", 1)]
        assert table.reasons() == {"records_trimmed": len(table.gaps())}
        assert table.gaps()
    else:
        assert read(table) == [("a", 1)]
        assert table.told.gaps


def test_what_expired_before_the_source_was_first_read_is_no_loss(make: Make) -> None:
    table = make(roll_s=4 * HOUR_S, expired_listed_s=20.0 * HOUR_S)
    table.put("old")
    table.run(30 * HOUR_S, HOUR_S)
    table.put("new")
    table.spawn()
    table.run(600)
    assert read(table) == [("new", 1)]
    assert not table.gaps()
    assert not table.told.gaps


def test_an_iterator_that_expired_is_replaced(make: Make) -> None:
    table, rng = make(roll_s=4 * HOUR_S), random.Random(4)
    table.spawn()
    for _ in range(20):
        table.change(rng)
        table.run(30)
        table.clock.advance(1_000)
    table.catch_up()
    assert table.refusals["ExpiredIteratorException"] > 5
    table.check()


def test_a_young_shard_that_is_not_found_is_asked_for_again(make: Make) -> None:
    table = make(roll_s=None)
    table.put("a")
    gone = Fault("ResourceNotFoundException", "Requested resource not found: Shard does not exist", 400)
    table.dynamo.inject(gone, "GetShardIterator", 3)
    table.spawn()
    table.catch_up()
    assert table.refusals["ResourceNotFoundException"] == 3
    assert not table.gaps()
    table.check()


# ----------------------------------------------------------------------------------------------- where it begins


def test_reading_may_begin_with_what_comes_from_now_on(make: Make) -> None:
    table, rng = make(roll_s=600.0), random.Random(9)
    table.run(2_000, 60.0, lambda: table.change(rng))
    table.clock.advance(2)  # the service counts whole seconds
    table.pinned_us = table.clock.now_us()
    before = len(table.log)
    table.clock.advance(2)
    for _ in range(3):
        table.put(f"new-{_}")
    table.spawn()
    table.run(1_500, 30.0, lambda: table.change(rng))
    table.run(300, 10.0)
    assert [(row["id"], row["n"], row["_weight"]) for row in table.rows()] == table.log[before:]


def test_a_parent_that_must_be_there_is_waited_for_with_all_its_descendants() -> None:
    now_us = 10 * DAY_S * 1_000_000

    def shard(hours: int, parent: int | None = None) -> ShardInfo:
        names = [f"shardId-{now_us // 1_000 - h * HOUR_S * 1_000:020d}-a" for h in (hours, parent or 0)]
        return ShardInfo(names[0], (names[1],) if parent else (), 0, 1, "1", None)

    oldest, old, young, youngest = shard(30, 34), shard(20, 30), shard(16, 20), shard(12, 16)
    assert whole((oldest, old, young, youngest), now_us) == (oldest, old, young, youngest)
    assert whole((oldest, young, youngest), now_us) == (oldest,)
    assert whole((old, young, youngest), now_us) == ()


def hidden(table: Changing, name: str) -> dict[str, str]:
    """Let listings of the stream leave out a shard, as long as it is named."""
    whole, without = table.api.listing, {"name": name}

    def listing(stream: str) -> tuple[TableStream, tuple[ShardInfo, ...]]:
        told, found = whole(stream)
        return told, tuple(info for info in found if info.shard_id != without["name"])

    table.api.listing = listing  # type: ignore[method-assign]
    table.api.children = lambda *_: ()  # type: ignore[method-assign]
    return without


def test_a_shard_that_is_listed_late_is_read_before_the_one_that_follows_it(make: Make) -> None:
    table = make(roll_s=600.0, roll_jitter=0.0)
    without = hidden(table, "")
    table.put("a")
    table.clock.advance(700)
    table.put("b")
    table.clock.advance(600)
    table.put("c")
    without["name"] = table.api.list_shards(table.arn)[1].shard_id
    table.spawn()
    table.run(200)
    assert read(table) == [("a", 1)]
    without["name"] = ""
    table.catch_up()
    assert not table.gaps()
    table.check()


def test_a_shard_that_is_never_listed_and_not_there_is_a_gap(make: Make) -> None:
    table = make("dlq", roll_s=600.0, roll_jitter=0.0)
    without = hidden(table, "")
    table.put("a")
    table.spawn()
    table.catch_up()
    table.clock.advance(700)
    table.put("b")
    table.clock.advance(600)
    table.put("c")
    name = without["name"] = table.api.list_shards(table.arn)[1].shard_id
    gone = Fault("ResourceNotFoundException", "Requested resource not found: Shard does not exist", 400)
    is_of_it = f'"ShardId":"{name}"'.encode()
    table.dynamo.behaviour = table.behaviour.changed(fault=lambda _, body: gone if is_of_it in body else None)
    table.run(3 * MISSED_S, 20.0)
    assert read(table) == [("a", 1), ("c", 1)]
    assert table.gaps() == [f"{SOURCE}/{name}"]
    table.check_order()


# ---------------------------------------------------------------------------------------------------- its end


@pytest.mark.parametrize("told_open", [True, False])
def test_a_disabled_stream_is_read_to_its_end_and_then_refused(make: Make, told_open: bool) -> None:
    table, rng = make(roll_s=600.0, disabled_open=told_open), random.Random(2)
    first = table.arn
    table.run(900, 60.0, lambda: table.change(rng))
    table.disable()
    member = table.spawn()
    table.catch_up()
    table.check()
    with pytest.raises(ConfigError, match=r"was disabled and is read to its end: .* another root"):
        table.run(2 * DISABLED_S + 60, 5.0)
    assert not member.source.shards()
    table.enable()
    assert table.arn != first


def test_an_open_shard_does_not_end_whatever_answers_say(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    table, told = make(roll_s=None), DirectStreams.get_records
    table.put("a")
    table.spawn()
    monkeypatch.setattr(DirectStreams, "get_records", lambda *a, **k: replace(told(*a, **k), next_iterator=None))
    table.run(90, 1.0)
    monkeypatch.undo()
    table.put("b")
    table.run(90, 1.0)
    assert read(table) == [("a", 1), ("b", 1)]


def test_changes_of_a_stream_that_was_enabled_anew_are_not_taken_for_those_of_the_old_one(make: Make) -> None:
    table = make(roll_s=None)
    table.put("a")
    table.spawn()
    table.catch_up()
    table.disable()
    table.enable()
    table.put("b")
    table.run(40)
    assert read(table) == [("a", 1)]


# ------------------------------------------------------------------------------------------------------ changes


def test_an_item_that_expired_is_taken_back(make: Make) -> None:
    table = make(roll_s=None, ttl_sweep_s=30.0)
    spec = {"AttributeName": "at", "Enabled": True}
    table.dynamo.ask("UpdateTimeToLive", TableName=TABLE, TimeToLiveSpecification=spec)
    table.put("a")
    table.spawn()
    table.run(120)
    assert [(row["id"], row["_weight"], row["_event"]) for row in table.rows()] == [
        ("a", 1, "INSERT"),
        ("a", -1, "TTL"),
    ]


def test_an_image_that_cannot_be_read_is_a_letter_when_it_comes_and_when_it_goes(make: Make) -> None:
    table = make(roll_s=None)
    table.dynamo.ask("PutItem", TableName=TABLE, Item={"id": {"S": "x"}, "n": {"N": "1"}})
    table.dynamo.ask("PutItem", TableName=TABLE, Item={"id": {"S": "x"}, "n": {"N": "2"}, "at": {"N": "1767225600"}})
    table.dynamo.ask("DeleteItem", TableName=TABLE, Key={"id": {"S": "x"}})
    table.spawn()
    table.run(60)
    assert [(row["n"], row["_weight"], row["_sub"]) for row in table.rows()] == [(2, 1, 1), (2, -1, 0)]
    assert table.reasons() == {"missing": 2}


# ------------------------------------------------------------------------------------------------------- its tip


def test_one_empty_page_is_not_the_tip(make: Make) -> None:
    table = make(roll_s=None)
    member = table.spawn()
    table.step(member)
    seen: list[int] = []
    for _ in range(12):
        seen.append(member.source.waiting)
        table.clock.advance(1 / LIMITS.shard_reads_per_s)
        table.step(member)
    assert seen[-1] == 0
    assert sum(seen) >= 2
    [lag] = member.source.lags().values()
    assert lag.behind_ms == 0


def test_shards_are_named_after_the_source(make: Make) -> None:
    table = make()
    table.spawn()
    table.run(30)
    assert all(name.startswith(f"{SOURCE}/shardId-") for name in reading.read_shards(table.journal))
