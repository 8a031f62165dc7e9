# long: one case after another, on one desk
"""Workers on a stream that forgets after an hour, in simulated time: what is lost is told, and what is not is not."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.aggregates import aggregate, hash_of
from shardlake.adapters.kinesis.port import KinesisReader, Throttled
from shardlake.adapters.kinesis.wire import Page, Put
from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError
from shardlake.core.journal import objects as stored
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Arrived, Manifest, RangeRow
from shardlake.core.limits import Limits
from shardlake.core.positions import Position
from shardlake.core.readplan import ViewPlan
from shardlake.testing.clicks import line_of
from shardlake.testing.clock import ManualClock
from shardlake.testing.fleet import STREAM, Fleet, Member
from shardlake.testing.kinesis import Behaviour
from shardlake.testing.plain import VIEWS, Click
from shardlake.testing.world import SCHEMA
from streams.lane import read_state
from streams.sources.kinesis.source import OnGap

ENGINE: Final = Engine()
PAGES: Final = {"pages": compile_view("pages", VIEWS["pages"].sql, SCHEMA)}
HOUR_S: Final = 3_600
MARK_S: Final = 300
QUIET: Final = Limits(
    retry_first_s=0.0, commit_retries_max=3, chunk_age_s=0.3, fetch_threads_max=2, discover_s=5.0, idle_mark_s=MARK_S
)


@dataclass(slots=True)
class Choked:
    """The service, of which some shards are throttled for as long as a test wants."""

    inner: KinesisReader
    shards: set[str] = field(default_factory=set)
    throttled: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        self._refuse(shard)
        return f"{shard} {self.inner.iterator(stream, shard, kind, sequence, at_us)}"

    def get_records(self, iterator: str, limit: int = 10_000, stream: str = "") -> Page:
        shard, _, token = iterator.partition(" ")
        self._refuse(shard)
        try:
            found = self.inner.get_records(token, limit, stream)
        except Throttled:
            self.throttled += 1
            raise
        return replace(found, next_iterator=found.next_iterator and f"{shard} {found.next_iterator}")

    def _refuse(self, shard: str) -> None:
        if shard in self.shards:
            raise Throttled(f"shard {shard} is throttled")


@dataclass(slots=True)
class Case:
    """A fleet, a producer whose events have names, and time that passes while workers work or rest."""

    fleet: Fleet
    choked: Choked = field(init=False)
    _names: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.choked = Choked(self.fleet.api)
        self.fleet.api = self.choked  # type: ignore[assignment] # it does all that the other does

    # ------------------------------------------------------------------------------------------- the producer

    def put(self, shard: str, events: int = 1) -> list[str]:
        """Put events into a shard; give their names."""
        names = [f"/{next(self._names):04d}" for _ in range(events)]
        self.fleet.put(self.key_of(shard), [Click(0, None, name, 1, None, name) for name in names])
        return names

    def key_of(self, shard: str) -> str:
        """A partition key that belongs to a shard."""
        found = next(s for s in self.fleet.api.list_shards(STREAM) if s.shard_id == shard)
        return next(str(i) for i in count() if found.start_hash <= hash_of(str(i)) <= found.end_hash)

    def open(self) -> list[str]:
        return self.fleet.open_shards()

    # ------------------------------------------------------------------------------------------------- time

    def work(self, seconds: float, every_s: float = 0.25) -> None:
        """Let workers work, and rest where there is nothing to do, as their loops do."""
        until_s = self.fleet.clock.monotonic_s() + seconds
        while self.fleet.clock.monotonic_s() < until_s:
            self.fleet.clock.advance(every_s)
            for member in tuple(self.fleet.members):
                self.step(member)

    def step(self, member: Member) -> None:
        if not self.fleet.step(member) and member in self.fleet.members and member.loop is not None:
            member.loop.rest()

    def away(self, seconds: float) -> None:
        """Kill all workers, and let time pass."""
        for member in tuple(self.fleet.members):
            self.fleet.kill(member)
        self.fleet.clock.advance(seconds)

    def back(self, seconds: float = 30) -> Member:
        """Start a worker, and let it work: longer than it takes to find that the one before is dead."""
        member = self.fleet.spawn()
        self.work(seconds)
        return member

    # --------------------------------------------------------------------------------------------- what came of it

    def plan(self) -> ViewPlan:
        return self.fleet.plan().views["pages"]

    def read(self) -> list[str]:
        """The names of all events in an answer. Raises: AssertionError if one is counted twice."""
        made = self.fleet.plan()
        found = Counter({row["page"]: row["clicks"] for row in self.fleet.answers(made)["pages"]})
        assert all(n == 1 for n in found.values()), found
        return sorted(found)

    def gaps(self) -> list[tuple[str, str, str]]:
        """The ranges that are known to be lost, by the shard's number and the numbers of their records."""
        return sorted((gap.shard.rpartition("-")[2], gap.after, gap.upto) for gap in self.plan().positions.gaps)

    def letters(self) -> int:
        return self.plan().positions.counts.letters

    def ranges(self, shard: str) -> list[RangeRow]:
        """All ranges of a shard, in the order in which they follow one another."""
        found = [row for manifest in self.manifests() for row in manifest.ranges if row.shard == f"{STREAM}/{shard}"]
        return sorted(found, key=lambda row: (Position.decode(row.after), Position.decode(row.upto)))

    def manifests(self) -> Iterator[Manifest]:
        for lane, head in reading.read_heads(self.fleet.inner).items():
            for entry in reading.read_entries(self.fleet.inner, lane, 0, head.n):
                if entry.manifest is not None:
                    yield stored.decode(Manifest, entry.manifest.name, self.fleet.store.get(entry.manifest))

    def stored(self, shard: str) -> Arrived | None:
        """Up to when a held shard was read, as its lane's state tells."""
        heads = reading.read_heads(self.fleet.inner)
        lane = self.fleet.held()[f"{STREAM}/{shard}"]
        return read_state(self.fleet.store, heads[lane]).shards[f"{STREAM}/{shard}"].seen

    def stopped(self) -> list[str]:
        return [gap.shard.rpartition("/")[2] for gap in self.fleet.told.gaps]


Make = Callable[..., Case]
SOON_US: Final = ManualClock().now_us() + 500_000  # a moment shortly after a case begins


@pytest.fixture
def case(tmp_path: Path) -> Make:
    def make(shards: int = 1, on_gap: OnGap = "fail", *, hours: int = 1, **of: Any) -> Case:
        behaviour = replace(Behaviour.unlimited(), retention_hours=hours)
        return Case(Fleet(tmp_path, ENGINE, PAGES, shards, behaviour=behaviour, on_gap=on_gap, limits=QUIET, **of))

    return make


# --------------------------------------------------------------------------------------------- what is lost


def lost(found: Case) -> tuple[list[str], list[str]]:
    """One of two shards is out of reach for longer than its records are kept: what is read, what is lost."""
    a, b = found.open()
    kept = found.put(a, 2) + found.put(b)
    found.back(2)
    found.choked.shards.add(a)
    gone = found.put(a, 3)
    kept += found.put(b)
    found.work(HOUR_S + 60, every_s=5)
    kept += found.put(a, 3) + found.put(b)
    found.choked.shards.clear()
    found.work(30)
    return kept, gone


def test_a_gap_stops_its_shard_and_no_other(case: Make) -> None:
    found = case(2)
    kept, _ = lost(found)
    a, b = found.open()
    assert found.stopped() == [a]
    assert found.read() == sorted(set(kept) - set(kept[-4:-1]))
    more = found.put(a) + found.put(b)
    found.work(30)
    assert found.stopped() == [a] and more[1] in found.read()
    assert found.gaps() == []  # nothing is passed over as long as nobody said so


def test_a_gap_is_told_again_by_whoever_reads_next_and_can_be_passed(case: Make) -> None:
    found = case(2)
    kept, gone = lost(found)
    a, _ = found.open()
    found.away(1)
    found.back()
    assert found.stopped() == [a, a]
    found.away(1)
    found.fleet.on_gap = "continue"
    found.back()
    assert found.stopped() == [a, a]
    assert found.read() == kept and not set(gone) & set(found.read())


@pytest.mark.parametrize("on_gap", ["dlq", "continue"])
def test_a_gap_ends_at_the_first_record_that_is_there(case: Make, on_gap: OnGap) -> None:
    found = case(2, on_gap)
    kept, gone = lost(found)
    a, _ = found.open()
    assert found.read() == kept and not set(gone) & set(kept)
    assert (found.stopped(), found.letters()) == ([], 1 if on_gap == "dlq" else 0)
    numbers = [put.number for put in found.fleet.log if put.shard.endswith(a)]
    [(shard, after, upto)] = found.gaps()
    assert (shard, after, upto) == (a[-12:], Position(numbers[1]).encode(), Position(numbers[5]).encode())
    kinds = [(row.kind, row.upto) for row in found.ranges(a)]
    assert kinds == [
        ("data", Position(numbers[1]).encode()),
        ("gap", Position(numbers[5]).encode()),
        ("data", Position(numbers[7]).encode()),
    ]
    found.fleet.batch()
    assert (found.read(), len(found.gaps())) == (kept, 1)


def test_a_worker_that_was_away_for_longer_than_that_finds_a_gap(case: Make) -> None:
    found = case(1, "dlq")
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.away(0)
    found.put(a)
    found.away(HOUR_S + 10)
    kept += found.put(a)
    found.back()
    assert (found.read(), len(found.gaps()), found.letters()) == (kept, 1, 1)


def test_the_end_of_a_shard_that_was_trimmed_is_a_gap_up_to_its_end(case: Make) -> None:
    found = case(1, "continue")
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.choked.shards.add(a)
    found.put(a)
    found.work(HOUR_S - 30, every_s=5)
    found.fleet.split(0)
    found.work(60, every_s=5)  # its last record is trimmed, and it is still there
    c, d = found.open()
    kept += found.put(c) + found.put(d)
    found.choked.shards.clear()
    found.work(30)
    assert found.ranges(a)[-1].upto == "~" and found.ranges(a)[-1].kind == "gap"
    assert found.read() == kept and [gap[0] for gap in found.gaps()] == [a[-12:], c[-12:], d[-12:]]


def test_a_shard_that_is_not_there_any_more_ends_with_a_gap_and_its_children_go_on(case: Make) -> None:
    found = case(1, "dlq")
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.away(0)
    found.put(a)
    found.fleet.split(0)
    c, d = found.open()
    found.put(c)
    found.away(HOUR_S + 10)
    kept += found.put(c) + found.put(d)
    found.back()
    assert found.read() == kept
    assert [(gap[0], gap[2] == "~") for gap in found.gaps()] == [(a[-12:], True), (c[-12:], False), (d[-12:], False)]
    assert found.letters() == 3
    kept += found.put(c)
    found.work(5)
    assert found.read() == kept and len(found.gaps()) == 3


def test_a_shard_that_is_not_there_any_more_stops_its_children_too(case: Make) -> None:
    found = case(1)
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.away(0)
    found.fleet.split(0)
    found.away(HOUR_S + 10)
    found.put(found.open()[0])
    found.back()
    assert (found.stopped(), found.read()) == ([a], kept)


def test_a_generation_that_came_and_went_unseen_is_told(case: Make) -> None:
    found = case(1, "dlq")
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.away(0)
    found.fleet.split(0)
    c, d = found.open()
    found.put(c), found.put(d)
    found.fleet.merge(0)
    [e] = found.open()
    found.away(HOUR_S + 10)
    kept += found.put(e, 2)
    found.back()
    assert found.read() == kept
    assert [(gap[0], gap[2]) for gap in found.gaps()][:3] == [(name[-12:], "~") for name in (a, c, d)]
    rows = reading.read_shards(found.fleet.inner)
    assert {name: rows[f"{STREAM}/{name}"].place for name in (a, c, d, e)} == {a: "end", c: "end", d: "end", e: "held"}
    found.fleet.batch()
    assert found.read() == kept


# ------------------------------------------------------------------------------------------ what is not lost


def told_nothing(found: Case, kept: list[str]) -> None:
    assert (found.stopped(), found.gaps(), found.letters()) == ([], [], 0)
    assert found.read() == kept


def test_an_idle_shard_is_no_gap_for_a_worker_that_watches_it(case: Make) -> None:
    found = case(2)
    a, b = found.open()
    kept = found.put(a)
    found.back(2)
    found.work(3 * HOUR_S, every_s=20)
    kept += found.put(a) + found.put(b)
    found.work(5)
    told_nothing(found, kept)
    found.fleet.batch()
    told_nothing(found, kept)


def test_an_idle_shard_is_no_gap_beside_a_busy_one(case: Make) -> None:
    found = case(2)
    a, b = found.open()
    kept = found.put(a) + found.put(b)
    found.back(2)
    for _ in range(3 * 12):
        found.work(HOUR_S / 12, every_s=20)
        kept += found.put(b)
    found.work(2)
    found.away(HOUR_S - 60)
    kept += found.put(a) + found.put(b)
    found.back()
    told_nothing(found, sorted(kept))


def test_a_restart_after_idle_time_is_no_gap(case: Make) -> None:
    found = case()
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.work(3 * HOUR_S, every_s=20)
    found.away(HOUR_S - MARK_S - 60)  # what a worker knows is stored every now and then
    kept += found.put(a)
    found.back()
    told_nothing(found, kept)


def test_a_restart_behind_a_record_that_is_still_there_is_no_gap(case: Make) -> None:
    found = case(hours=24)
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.away(0)
    kept += found.put(a)
    found.fleet.kinesis.ask("IncreaseStreamRetentionPeriod", StreamName=STREAM, RetentionPeriodHours=72)
    found.away(60 * HOUR_S)  # longer than what was the retention when it was last read
    kept += found.put(a)
    found.back()
    told_nothing(found, kept)


@pytest.mark.parametrize(("away_h", "is_gap"), [(20, False), (30, True)])
def test_a_retention_that_was_lowered_counts_as_it_is_now(case: Make, away_h: int, is_gap: bool) -> None:
    found = case(on_gap="dlq", hours=48)
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.away(0)
    late = found.put(a)
    found.away(away_h * HOUR_S)
    found.fleet.kinesis.ask("DecreaseStreamRetentionPeriod", StreamName=STREAM, RetentionPeriodHours=24)
    more = found.put(a)
    found.back()
    assert bool(found.gaps()) is is_gap
    assert found.read() == kept + ([] if is_gap else late) + more


@pytest.mark.parametrize("merges", [False, True])
def test_children_of_idle_parents_have_lost_nothing(case: Make, merges: bool) -> None:
    found = case(2)
    a, b = found.open()
    kept = found.put(a) + found.put(b)
    found.back(2)
    found.work(2 * HOUR_S, every_s=20)
    found.fleet.merge(0) if merges else found.fleet.split(0)
    kept += [name for shard in found.open() for name in found.put(shard)]
    found.work(10)
    told_nothing(found, kept)


def test_children_of_idle_parents_that_ended_while_nobody_read_have_lost_nothing(case: Make) -> None:
    found = case(2)
    found.back(2)
    found.work(2 * HOUR_S, every_s=20)
    found.away(HOUR_S / 2 - MARK_S)
    found.fleet.merge(0)
    found.fleet.split(0)
    kept = [name for shard in found.open() for name in found.put(shard)]
    found.fleet.clock.advance(HOUR_S / 2 - 60)
    found.back()
    told_nothing(found, kept)


def test_a_shard_that_another_worker_takes_over_has_lost_nothing(case: Make) -> None:
    found = case(2)
    a, b = found.open()
    first = found.back(2)
    found.back(5)
    found.work(2 * HOUR_S, every_s=5)
    found.fleet.kill(first)
    kept = found.put(a) + found.put(b)
    found.work(30)
    told_nothing(found, kept)
    assert len(set(found.fleet.held().values())) == 1


def test_what_is_as_old_as_the_retention_when_a_source_is_first_read_is_no_gap(case: Make) -> None:
    found = case()
    [a] = found.open()
    names: list[str] = []
    for _ in range(14):
        found.fleet.clock.advance(HOUR_S / 12)
        names += found.put(a)
    found.back(5)
    assert (found.stopped(), found.gaps()) == ([], [])
    assert found.read() == names[-12:]  # of the last hour


def test_a_pause_that_outlives_the_iterators_loses_nothing(case: Make) -> None:
    found = case(2, pinned_us=SOON_US)
    a, b = found.open()
    found.fleet.clock.advance(1)
    found.back(5)
    found.fleet.clock.advance(
        400
    )  # the process stands still: iterators expire, of which one was never used for a record
    kept = found.put(a) + found.put(b)
    found.fleet.clock.advance(400)
    found.work(10)
    told_nothing(found, kept)


# ------------------------------------------------------------------------------------------ where reading begins


def test_from_latest_on_nothing_is_lost_also_where_shards_split_before_the_first_read(case: Make) -> None:
    found = case(2, pinned_us=SOON_US)
    a, b = found.open()
    found.put(a), found.put(b)
    found.fleet.clock.advance(1)  # here somebody began to read, and died before he knew the shards
    kept = found.put(a) + found.put(b)
    found.fleet.split(0)
    kept += [name for shard in found.open() for name in found.put(shard)]
    found.fleet.clock.advance(60)
    found.fleet.split(0)
    kept += [name for shard in found.open() for name in found.put(shard)]
    found.back(10)
    told_nothing(found, kept)


def test_from_latest_on_what_was_trimmed_before_the_first_read_is_a_gap(case: Make) -> None:
    found = case(1, "continue", pinned_us=SOON_US)
    [a] = found.open()
    found.fleet.clock.advance(1)
    found.put(a)
    found.fleet.clock.advance(HOUR_S + 1)
    kept = found.put(a)
    found.back(5)
    assert (found.read(), [gap[:2] for gap in found.gaps()]) == (kept, [(a[-12:], "-")])


def test_from_latest_on_older_generations_are_left_out(case: Make) -> None:
    now_us = SOON_US + 60_000_000
    found = case(2, pinned_us=now_us)
    [found.put(shard) for shard in found.open()]
    found.fleet.split(0)
    found.fleet.merge(1)
    [found.put(shard) for shard in found.open()]
    found.fleet.clock.advance(61)
    kept = [name for shard in found.open() for name in found.put(shard)]
    found.back(20)
    told_nothing(found, kept)
    assert len(reading.read_shards(found.fleet.inner)) == 2


# ----------------------------------------------------------------------------------------------- the rest of it


def test_what_is_learned_after_a_pause_is_stored_too(case: Make) -> None:
    found = case()
    [a] = found.open()
    kept = found.put(a)
    found.back(3)
    found.fleet.clock.advance(HOUR_S / 2)  # the process stands still
    found.work(10)
    found.away(HOUR_S / 2 + 60)
    kept += found.put(a)
    found.back()
    told_nothing(found, kept)


def test_an_idle_lane_stores_how_far_it_was_read(case: Make) -> None:
    found = case()
    [a] = found.open()
    found.put(a)
    found.back(2)
    before = found.stored(a)
    found.work(MARK_S + 60, every_s=5)
    after = found.stored(a)
    assert before is not None and after is not None
    assert after.us - before.us >= 60_000_000 and after.kept_s == HOUR_S
    assert found.fleet.clock.now_us() - after.us < (MARK_S + 10) * 1_000_000


def test_who_is_stopped_in_order_leaves_nothing_to_read_again(case: Make) -> None:
    found = case(2)
    a, b = found.open()
    first = found.back(3)
    found.back(5)
    kept = found.put(a, 4) + found.put(b, 4)
    for member in tuple(found.fleet.members):
        found.fleet.step(member)
    found.fleet.clock.advance(0.25)
    for member in tuple(found.fleet.members):
        found.fleet.step(member)
    found.fleet.stop(first)
    ended = {s: row.at for s, row in reading.read_shards(found.fleet.inner).items()}
    kept += found.put(a, 4) + found.put(b, 4)
    found.work(1.5)  # no longer than two looks: nobody has to be found dead
    told_nothing(found, sorted(kept))
    assert set(ended) == {f"{STREAM}/{a}", f"{STREAM}/{b}"}
    assert len(set(found.fleet.held().values())) == 1


def test_a_consumer_beside_us_costs_patience_and_no_record(case: Make) -> None:
    found = case()
    [a] = found.open()
    found.fleet.kinesis.behaviour = Behaviour(retention_hours=1)  # all limits of a real shard
    found.back(2)
    kept: list[str] = []
    for turn in range(120):
        kept += found.put(a)
        for _ in range(3):
            with suppress(Throttled):
                iterator = found.choked.inner.iterator(STREAM, a, "TRIM_HORIZON")
                found.choked.inner.get_records(iterator)
        found.work(0.5, every_s=0.125)
        if turn % 40 == 39:
            told_nothing(found, kept[: len(found.read())])
    found.work(20)
    told_nothing(found, kept)


def test_large_records_are_read_as_fast_as_a_shard_allows_and_no_faster(case: Make) -> None:
    found = case()
    limits = Behaviour.unlimited().changed(
        read_bytes_per_s=2 << 20, reads_per_s=5, record_kib=10_240, retention_hours=1
    )
    found.fleet.kinesis.behaviour = limits
    found.fleet.kinesis.ask("UpdateMaxRecordSize", StreamName=STREAM, MaxRecordSizeInKiB=10_240)
    names = [letter * (6 << 20) for letter in "ab"]
    for name in names:
        assert not found.fleet.api.put_records(STREAM, [Put(line_of(Click(0, None, name, 1, None, None)), "k")]).failed
    found.back(6.5)
    assert [len(name) for name in found.read()] == [6 << 20] * 2
    assert found.choked.throttled == 0


def test_a_producers_aggregate_from_before_a_split_is_counted_once(case: Make) -> None:
    found = case()
    [a] = found.open()
    found.back(2)
    found.fleet.split(0)
    c, d = found.open()
    keys = {shard: found.key_of(shard) for shard in (c, d)}
    lines = {shard: line_of(Click(0, None, shard, 1, None, shard)) for shard in (c, d)}
    stale = aggregate([Put(lines[shard], keys[shard]) for shard in (c, d)])
    fresh = aggregate([Put(lines[d], keys[d])])
    found.fleet.api.put_records(STREAM, [Put(stale, keys[c]), Put(fresh, keys[d])])
    found.work(10)
    assert found.read() == sorted([c, d]) and found.letters() == 1
    assert a not in found.read()


def test_a_stream_that_was_deleted_and_made_anew_is_refused(case: Make) -> None:
    found = case()
    [a] = found.open()
    kept = found.put(a)
    found.back(2)
    found.fleet.kinesis.ask("DeleteStream", StreamName=STREAM)
    found.fleet.clock.advance(1)
    found.fleet.kinesis.ask("CreateStream", StreamName=STREAM, ShardCount=1)
    found.fleet.put("1", [Click(0, None, "/foreign", 1, None, "foreign")])
    with pytest.raises(ConfigError, match="made anew"):
        found.work(30)
    assert found.read() == kept


def test_a_worker_that_slept_for_minutes_does_no_harm(case: Make) -> None:
    found = case(2)
    a, b = found.open()
    first = found.back(3)
    found.back(5)
    kept = found.put(a, 3) + found.put(b, 3)
    found.fleet.step(first)  # it has read, and not yet committed
    found.fleet.kill(first, zombie=True)
    found.work(15)
    kept += found.put(a, 3) + found.put(b, 3)
    found.work(3)
    found.fleet.step(first)
    found.work(15)
    told_nothing(found, sorted(kept))


# ------------------------------------------------------------------------------------------------------ any walk


def choke(found: Case, number: int) -> None:
    found.choked.shards.add(found.open()[number % len(found.open())])


def split(found: Case, number: int) -> None:
    if len(found.open()) < 5:
        found.fleet.split(number)


def kill(found: Case, number: int) -> None:
    for member in found.fleet.members[number : number + 1]:
        found.fleet.kill(member)


def stop(found: Case, number: int) -> None:
    for member in found.fleet.members[number : number + 1]:
        found.fleet.stop(member)


def spawn(found: Case, number: int) -> None:
    if len(found.fleet.members) <= number:
        found.fleet.spawn()


STEPS: Final[dict[str, Callable[[Case, int], object]]] = {
    "put": lambda found, number: found.put(found.open()[number % len(found.open())]),
    "work": lambda found, number: found.work(10.0 ** (number / 2), every_s=0.25 + number),
    "sleep": lambda found, number: found.fleet.clock.advance(100 + 600 * number),
    "split": split,
    "merge": lambda found, number: found.fleet.merge(number),
    "kill": kill,
    "stop": stop,
    "spawn": spawn,
    "choke": choke,
    "free": lambda found, _: found.choked.shards.clear(),
}
steps = st.tuples(st.sampled_from([*STEPS, "put", "put", "sleep"]), st.integers(0, 5))


def unaccounted(found: Case) -> list[str]:
    """The records that are neither in the answer nor in a range that is told to be lost.

    Of a shard that came and went with its children, while nobody looked, there is no trace but its parents' gap.
    """
    counted, gaps = set(found.read()), found.plan().positions.gaps
    known = reading.read_shards(found.fleet.inner)
    lost: list[str] = []
    for put in found.fleet.log:
        at = Position(put.number)
        mine = (gap for gap in gaps if gap.shard == put.shard)
        told = any(Position.decode(gap.after) < at <= Position.decode(gap.upto) for gap in mine)
        told = told or (put.shard not in known and any(gap.upto == "~" for gap in gaps))
        if put.click is not None and put.click.page not in counted and not told:
            lost.append(f"{put.shard} {put.click.page}")
    return lost


@settings(max_examples=20, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(steps, max_size=14), st.integers(0, 99), st.booleans())
def test_whatever_happens_a_record_is_counted_or_told_to_be_lost(
    drawn: list[tuple[str, int]], number: int, merges: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        behaviour = replace(Behaviour.unlimited(), retention_hours=1, empty_pages=0.2)
        found = Case(Fleet(Path(folder), ENGINE, PAGES, 2, number, QUIET, behaviour, "continue"))
        found.back(3)
        for word, step in drawn:
            STEPS[word](found, step)
        found.choked.shards.clear()
        if merges:
            found.fleet.merge(0)
        [found.put(shard) for shard in found.open()]  # a loss is told with what comes next
        found.back(40)
        assert unaccounted(found) == []
        found.fleet.batch()
        assert unaccounted(found) == []


CALM: Final = ("put", "put", "split", "merge", "kill", "stop", "spawn", "idle", "away")
calm_steps = st.tuples(st.sampled_from(CALM), st.integers(0, 5))


@settings(max_examples=12, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(calm_steps, max_size=12), st.integers(0, 99))
def test_while_somebody_looks_often_enough_nothing_is_called_lost(drawn: list[tuple[str, int]], number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        behaviour = replace(Behaviour.unlimited(), retention_hours=1, empty_pages=0.2)
        found = Case(Fleet(Path(folder), ENGINE, PAGES, 2, number, QUIET, behaviour))
        found.back(3)
        for word, step in drawn:
            if word == "idle":
                spawn(found, 0)  # somebody is there
                found.work(600 * (step + 1), every_s=30)
            elif word == "away":
                found.fleet.clock.advance(500 * step)
                found.back(25)
            else:
                STEPS[word](found, step)
        found.back(30)
        told_nothing(found, sorted(put.click.page for put in found.fleet.log if put.click and put.click.page))
