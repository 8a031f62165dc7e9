# long: one source in simulated time, and all that may end its subscriptions
"""Pages that are pushed, in simulated time: whatever ends a subscription, each record is handed over once, in order."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.kinesis.port import Subscription
from shardlake.adapters.kinesis.wire import Put
from shardlake.core.errors import ShardlakeError
from shardlake.core.journal.objects import HeldShard
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position, ShardId, decode_number
from shardlake.testing.clock import ManualClock
from shardlake.testing.fleet import Inline
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault
from shardlake.testing.kinesis.subscriber import EmbeddedSubscriber
from streams.sources.kinesis.source import KinesisSettings, KinesisSource, OnGap
from streams.sources.kinesis.subscription import FanOut
from streams.sources.port import SourceGap

# A service that is as picky about subscriptions as AWS, and else makes nobody wait.
PICKY = Behaviour.unlimited().changed(subscribes_per_s=1)
LIMITS = Limits(fetch_bytes_max=20_000)
HOUR_S = 3_600


@dataclass(slots=True)
class Reading:
    """One source over one stream, and all that it gave: (sequence number, line) of each shard."""

    behaviour: Behaviour = PICKY
    on_gap: OnGap = "fail"
    limits: Limits = LIMITS
    clock: ManualClock = field(default_factory=ManualClock)
    kinesis: EmbeddedKinesis = field(init=False)
    source: KinesisSource = field(init=False)
    log: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    read: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    at: dict[str, Position] = field(default_factory=dict)
    held: dict[str, HeldShard] = field(default_factory=dict)
    ends: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    opened: list[tuple[float, str, str]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    gaps: list[SourceGap] = field(default_factory=list)
    arn: str = ""
    count: int = 0
    work_s: float = 0.0

    def __post_init__(self) -> None:
        self.kinesis = EmbeddedKinesis(self.clock, random.Random(3), self.behaviour)
        self.kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
        arn = self.kinesis.ask("DescribeStreamSummary", StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
        self.arn = self.kinesis.ask("RegisterStreamConsumer", StreamARN=arn, ConsumerName="c")["Consumer"][
            "ConsumerARN"
        ]
        self.begin()
        self.hold({shard: HeldShard("-", parents) for shard, parents in self.source.list().items()})

    def begin(self) -> None:
        """Be another process, which knows nothing but positions."""
        api, fan_out = CallApi(self._call, "eu-west-1"), FanOut(self.arn, self, self)
        settings = KinesisSettings("s", "s", self.on_gap)
        self.source = KinesisSource(settings, api, Inline(), self.clock, self.limits, self.gaps.append, fan_out)

    def restart(self) -> None:
        """Be killed, and begin anew at the positions."""
        seen = self.source.seen()
        self.begin()
        self.hold({s: HeldShard(self.at[s].encode(), (), seen=seen.get(s)) for s in self.held})

    def hold(self, held: dict[str, HeldShard]) -> None:
        self.held = held
        self.at = {shard: self.at.get(shard, ORIGIN) for shard in held}
        self.source.hold(held)

    def _call(self, action: str, body: bytes) -> tuple[int, bytes]:
        self.calls.append(action)
        response = self.kinesis.call(action, body)
        return int(response.status), response.body

    def open(self, consumer: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> Subscription:
        self.opened.append((self.clock.monotonic_s() - 1_000, kind, sequence))
        return EmbeddedSubscriber(self.kinesis).open(consumer, shard, kind, sequence, at_us)

    def polled(self, shard: ShardId, error: ShardlakeError) -> None:
        self.told.append((shard, str(error)))

    def pushed(self, shard: ShardId) -> None:
        self.told.append((shard, ""))

    def put(self, count: int = 1, size: int = 10) -> None:
        lines = [b"%d %s" % (self.count + n, b"x" * size) for n in range(count)]
        self.count += count
        puts = [Put(line, "k", str((37 * n << 120) % (1 << 128))) for n, line in enumerate(lines)]
        results = CallApi(lambda a, b: (200, self.kinesis.call(a, b).body)).put_records("s", puts)
        for shard, number, line in zip(results.shards, results.sequences, lines, strict=True):
            self.log.setdefault(f"s/{shard}", []).append((int(number), line))

    def step(self, take: int = 1) -> bool:
        """Discover, and read so many shards once. Tell whether anything came."""
        self.source.discover(0)
        came = False
        for shard in list(self.source.shards())[:take]:
            for records in self.source.read(shard, self.at[shard]):
                lines = records.data.split(b"\n")[: len(records.arrivals_us)]
                numbers = [decode_number(number) for number in records.sequences.to_pylist()]
                assert records.after == self.at[shard], "ranges follow one another"
                if lines:
                    self.read.setdefault(shard, []).extend(zip(numbers, lines, strict=True))
                self.at[shard], came = records.upto, True
                self.clock.advance(self.work_s)
                if records.upto == END:
                    self._ended(shard, records.children)
        return came

    def _ended(self, shard: str, children: Any) -> None:
        self.ends[shard] = sorted(children)
        left = {name: held for name, held in self.held.items() if name != shard}
        done = {*self.ends}
        left |= {child: HeldShard("-", parents) for child, parents in children.items() if done >= {*parents}}
        self.hold(left)

    def run(self, seconds: float, step_s: float = 0.25) -> None:
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            while self.step(99):
                pass
            self.clock.advance(step_s)

    def polls(self) -> int:
        return self.calls.count("GetRecords")

    def assert_whole(self) -> None:
        for _ in range(400):
            if self.read == self.log:
                return
            self.run(1)
        assert self.read == self.log


def test_pages_are_pushed_and_nothing_is_polled() -> None:
    reading = Reading()
    reading.put(3)
    reading.run(2)
    reading.put(200, 50)
    reading.run(10)
    assert reading.read == reading.log
    assert reading.polls() == 0
    assert reading.opened == [(0.0, "TRIM_HORIZON", "")]
    assert reading.source.lags()[ShardId("s/shardId-000000000000")].is_pushed


def test_a_subscription_that_ended_is_opened_again_and_its_shard_goes_on() -> None:
    reading = Reading()
    reading.put()
    reading.run(301)
    reading.put()
    reading.run(301)
    reading.assert_whole()
    assert not reading.ends, "the end of a subscription is not the end of its shard"
    assert [round(at_s) for at_s, _, _ in reading.opened] == [0, 300, 600]
    assert reading.polls() == 0


def test_an_idle_shard_goes_on_from_where_it_has_looked_and_not_from_its_last_record() -> None:
    reading = Reading()
    reading.put()
    reading.run(600)
    [_, (_, kind, number), *_] = reading.opened
    [(last, _)] = reading.log["s/shardId-000000000000"]
    assert kind == "AT_SEQUENCE_NUMBER"
    assert int(number) > last
    assert reading.source.seen()[ShardId("s/shardId-000000000000")].us >= reading.clock.now_us() - 601_000_000


def test_what_was_read_ahead_and_not_handed_over_is_read_again() -> None:
    reading = Reading()
    reading.put(500, 100)
    for _ in range(3):
        reading.step()
    assert 0 < len(reading.read) <= len(reading.log)
    reading.put(5)
    reading.kinesis.behaviour = reading.behaviour.changed(push_life_s=0)  # what waits is all that comes of it
    reading.clock.advance(1)
    reading.step()
    reading.kinesis.behaviour = reading.behaviour
    reading.assert_whole()


def test_work_of_twenty_minutes_on_one_page_loses_nothing_and_brings_nothing_twice() -> None:
    reading = Reading(behaviour=PICKY.changed(push_bytes_max=500))
    reading.put(100)
    reading.step()
    for _ in range(20):
        reading.clock.advance(60)
        reading.put(30)
    assert reading.read != reading.log
    reading.assert_whole()
    assert reading.polls() == 0, "a subscription that was not read is opened again, and not given up"


def test_only_so_many_bytes_wait_and_one_page_of_each_shard() -> None:
    reading = Reading(behaviour=PICKY.changed(push_bytes_max=500))
    reading.put(500)
    reading.source.discover(0)
    reading.source.discover(0)  # what waited is asked for, and gives room
    feeds = reading.source._pushes
    assert feeds is not None
    assert 10_000 < feeds.bytes < 30_000
    reading.assert_whole()
    assert feeds.bytes == 0


def test_events_of_few_records_are_taken_together_so_that_half_of_the_time_is_left() -> None:
    reading = Reading()
    reading.step()
    reading.work_s, began_s = 0.1, reading.clock.monotonic_s()
    for _ in range(50):
        reading.put()
        reading.step()
        reading.clock.advance(0.02)
    [lag] = reading.source.lags().values()
    assert lag.work_s <= 0.55 * (reading.clock.monotonic_s() - began_s)
    assert lag.pages < 12
    reading.work_s = 0.0
    reading.assert_whole()


@pytest.mark.parametrize("cut", [True, False])
def test_a_frame_that_is_cut_or_changed_on_its_way_is_asked_for_again(cut: bool) -> None:
    reading, chance = Reading(), random.Random(5)

    def spoil(frame: bytes) -> bytes:
        if chance.random() > 0.4:
            return frame
        at = chance.randrange(len(frame))
        return frame[:at] if cut else frame[:at] + bytes([frame[at] ^ 1 << chance.randrange(8)]) + frame[at + 1 :]

    reading.kinesis.behaviour = reading.behaviour.changed(spoil=spoil)
    for _ in range(40):
        reading.put(3)
        reading.run(2)
    reading.assert_whole()
    assert len(reading.opened) > 3


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_a_closed_shard_ends_with_its_children_and_they_are_pushed_too(apart: float) -> None:
    reading = Reading(behaviour=PICKY.changed(end_apart=apart))
    reading.put(5)
    reading.run(6)
    reading.kinesis.ask(
        "SplitShard", StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(1 << 127)
    )
    reading.put(50)
    reading.run(6)
    reading.assert_whole()
    assert reading.ends == {"s/shardId-000000000000": ["s/shardId-000000000001", "s/shardId-000000000002"]}
    reading.kinesis.ask(
        "MergeShards", StreamName="s", ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002"
    )
    reading.put(50)
    reading.assert_whole()
    assert [*reading.held] == ["s/shardId-000000000003"]
    assert reading.polls() == 0


REFUSALS = {
    "ResourceInUseException": 400,
    "LimitExceededException": 400,
    "InternalFailureException": 500,
    "ResourceNotFoundException": 400,
    "AccessDeniedException": 400,
    "UnknownOperationException": 400,
    "": 0,
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_shard_that_cannot_be_subscribed_to_is_polled_and_that_is_told_once(code: str) -> None:
    reading = Reading()
    reading.kinesis.inject(Fault(code, "no", REFUSALS[code], dropped=not code), "SubscribeToShard", times=1_000)
    reading.put(3)
    reading.run(0.5)
    assert reading.read == reading.log, "it is polled at once"
    reading.run(HOUR_S, 5)
    assert len(reading.told) == 1
    assert 10 < len(reading.opened) < 20, "a subscription is tried again, and not too often"
    reading.kinesis.clear_faults()
    reading.put(3)
    reading.run(301, 1)
    assert reading.told[1:] == [("s/shardId-000000000000", "")]
    before = reading.polls()
    reading.put(3)
    reading.run(60)
    assert reading.polls() == before
    reading.assert_whole()


def test_a_consumer_that_is_let_go_is_told_with_what_to_do() -> None:
    reading = Reading()
    reading.put(3)
    reading.run(10)
    reading.kinesis.ask("DeregisterStreamConsumer", ConsumerARN=reading.arn)
    reading.put(3)
    reading.run(30)
    reading.assert_whole()
    [(_, told)] = reading.told
    assert "aws kinesis register-stream-consumer" in told
    assert "--consumer-name c" in told


def test_who_is_taken_over_polls_and_does_not_fight() -> None:
    reading = Reading()
    rival = EmbeddedSubscriber(reading.kinesis)
    reading.run(10)
    rival.open(reading.arn, "shardId-000000000000", "TRIM_HORIZON")
    reading.put(3)
    reading.run(4)
    reading.assert_whole()
    assert reading.polls() > 0
    assert len(reading.opened) <= 3


def test_a_new_process_takes_the_subscription_over_after_five_seconds_and_polls_until_then() -> None:
    reading = Reading()
    reading.put(3)
    reading.run(1)
    reading.restart()
    reading.put(3)
    reading.run(3)
    reading.assert_whole()
    polled = reading.polls()
    assert polled > 0
    reading.run(10)
    polled = reading.polls()
    reading.put(3)
    reading.run(60)
    reading.assert_whole()
    assert reading.polls() == polled


@pytest.mark.parametrize("on_gap", ["fail", "dlq"])
def test_records_that_were_trimmed_before_they_were_pushed_are_a_gap(on_gap: OnGap) -> None:
    reading = Reading(on_gap=on_gap)
    reading.put(3)
    reading.run(10)
    reading.put(3)
    reading.clock.advance(25 * HOUR_S)
    reading.put(3)
    reading.run(10)
    if on_gap == "fail":
        assert len(reading.gaps) == 1
        assert len(reading.read["s/shardId-000000000000"]) == 3
    else:
        assert [n for n, _ in reading.read["s/shardId-000000000000"]] == [
            n for n, _ in (reading.log["s/shardId-000000000000"][i] for i in (0, 1, 2, 6, 7, 8))
        ]


def test_an_idle_day_is_no_gap() -> None:
    reading = Reading()
    reading.put(3)
    reading.run(30 * HOUR_S, 30)
    reading.put(3)
    reading.run(10)
    reading.assert_whole()
    assert not reading.gaps


# ------------------------------------------------------------------------------------------------ the law of switches


def spoilt(reading: Reading, seed: int) -> None:
    """Change some bit of some frame from now on, or cut it there, for as long as the run of good luck lasts."""
    chance = random.Random(seed)

    def spoil(frame: bytes) -> bytes:
        kind, at = chance.randrange(8), chance.randrange(len(frame))
        if kind == 0:
            return frame[:at]
        return frame[:at] + bytes([frame[at] ^ 4]) + frame[at + 1 :] if kind == 1 else frame

    reading.kinesis.behaviour = reading.behaviour.changed(spoil=spoil if seed % 3 else None, end_apart=seed % 2)


def rival(reading: Reading) -> None:
    """Subscribe with the same consumer, as a process that is believed dead does."""
    for shard in reading.held:
        try:
            EmbeddedSubscriber(reading.kinesis).open(reading.arn, shard.partition("/")[2], "TRIM_HORIZON")
        except ShardlakeError:
            continue


def split(reading: Reading, seed: int) -> None:
    shards = reading.kinesis.ask("ListShards", StreamName="s")["Shards"]
    still = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
    chosen = still[seed % len(still)]
    start, end = (int(chosen["HashKeyRange"][f"{name}HashKey"]) for name in ("Starting", "Ending"))
    if len(shards) < 12:
        reading.kinesis.ask(
            "SplitShard", StreamName="s", ShardToSplit=chosen["ShardId"], NewStartingHashKey=str((start + end) // 2)
        )


STEPS: dict[str, Callable[[Reading, int], object]] = {
    "put": lambda reading, n: reading.put(1 + n % 40, n % 90),
    "step": lambda reading, n: reading.step(1 + n % 3),
    "wait": lambda reading, n: reading.clock.advance((0.1, 1.0, 6.0, 301.0)[n % 4]),
    "run": lambda reading, n: reading.run(1 + n % 3, 0.5),
    "refuse": lambda reading, n: reading.kinesis.inject(
        Fault([*REFUSALS][n % 6], "no", 400), "SubscribeToShard", 1 + n % 4
    ),
    "lose": lambda reading, n: reading.kinesis.inject(Fault(dropped=True, applied=n % 2 == 0), "SubscribeToShard"),
    "spoil": spoilt,
    "rival": lambda reading, _: rival(reading),
    "restart": lambda reading, _: reading.restart(),
    "split": split,
    "throttle": lambda reading, n: reading.kinesis.inject(
        Fault("ProvisionedThroughputExceededException", "slow", 400), "GetRecords", 1 + n % 3
    ),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([*STEPS]), st.integers(0, 1_000)), max_size=40),
    st.sampled_from([100, 700, 1 << 20]),
)
def test_whatever_a_shard_is_switched_by_each_record_comes_once_and_in_order(
    steps: Sequence[tuple[str, int]], push_bytes: int
) -> None:
    reading = Reading(behaviour=PICKY.changed(push_bytes_max=push_bytes))
    reading.put(20)
    for name, number in steps:
        STEPS[name](reading, number)
        for shard, found in reading.read.items():
            assert found == reading.log[shard][: len(found)]
    reading.kinesis.clear_faults()
    reading.kinesis.behaviour = reading.behaviour
    reading.assert_whole()
    assert all(left < right for found in reading.read.values() for (left, _), (right, _) in pairwise(found))
    assert not reading.gaps
