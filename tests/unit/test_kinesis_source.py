# long: one scripted service, and all that it may answer
"""A Kinesis stream as a source: what is asked for and when, what an odd answer means, and what counts as lost."""

import base64
import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from shardlake.adapters.kinesis.aggregates import aggregate
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.kinesis.port import IteratorExpired, ShardGone, Throttled
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Child, Page, Put, ShardInfo, StreamInfo
from shardlake.core.errors import ConfigError, Terminal, Transient
from shardlake.core.journal.objects import Arrived, HeldShard
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position, ShardId
from shardlake.testing.clock import ManualClock
from shardlake.testing.fleet import Inline
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.port import Records, SourceGap

DAY_S = 86_400
NOW_US = ManualClock().now_us()
Answer = Page | Exception


def page(
    *numbers: int, arrivals: list[int] | None = None, ends: bool = False, behind_ms: int | None = 0, **of: Any
) -> Page:
    """An answer with records of these numbers, each a line `r<number>`."""
    us = np.array(arrivals if arrivals is not None else [NOW_US] * len(numbers), dtype=np.int64)
    data: list[bytes] = of.get("data") or [f"r{n}".encode() for n in numbers]
    keys: list[str | None] = [None] * len(numbers)
    children: tuple[Child, ...] = of.get("children", ())
    return Page(
        list(map(str, numbers)), data, us, keys, None if ends else "next", behind_ms, children, of.get("size", 100)
    )


def info(name: str, *parents: str, is_open: bool = True) -> ShardInfo:
    return ShardInfo(name, parents, 0, HASH_KEY_MAX, "0", None if is_open else "9")


def child(name: str, *parents: str) -> Child:
    return Child(name, parents, 0, HASH_KEY_MAX)


@dataclass(slots=True)
class Service:
    """Answers as it was told, shard by shard; the last answer comes again and again."""

    clock: ManualClock
    shards: list[ShardInfo] = field(default_factory=lambda: [info("a"), info("b")])
    retention_s: int = DAY_S
    created_us: int = 7
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    iterators: list[Exception] = field(default_factory=list)
    since: list[ShardInfo] | Exception | None = None
    asked: list[tuple[float, str]] = field(default_factory=list)
    listings: int = 0

    def describe(self, stream: str) -> StreamInfo:
        return StreamInfo(stream, "arn", "ACTIVE", self.retention_s, len(self.shards), "PROVISIONED", self.created_us)

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        del stream, shard
        self.listings += 1
        if filter is None:
            return tuple(self.shards)
        self._note(f"list {filter} {at_us}")
        if isinstance(self.since, Exception):
            raise self.since
        return tuple(self.since or ())

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        del stream
        self._note(f"{shard} {kind} {sequence or at_us or ''}".strip())
        if self.iterators:
            raise self.iterators.pop(0)
        return f"{shard} first"

    def get_records(self, iterator: str, limit: int = 10_000, stream: str = "") -> Page:
        del limit, stream
        shard = iterator.partition(" ")[0]
        self._note(f"{shard} read")
        answers = self.answers.get(shard) or [page()]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return replace(answer, next_iterator=answer.next_iterator and f"{shard} next")

    def _note(self, what: str) -> None:
        self.asked.append((self.clock.monotonic_s(), what))

    def words(self) -> list[str]:
        return [what for _, what in self.asked]

    def times(self, what: str) -> list[float]:
        return [round(at - self.asked[0][0], 2) for at, asked in self.asked if asked == what]


class Held(Executor):
    """Threads that do nothing until they are told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        self.jobs.append((future, lambda: fn(*args, **kwargs)))
        return future

    def finish(self, count: int = 1) -> None:
        for future, work in self.jobs[:count]:
            future.set_result(work())
        del self.jobs[:count]


@dataclass(slots=True)
class Desk:
    """A source over the service, read as its loop does."""

    settings: KinesisSettings = field(default_factory=lambda: KinesisSettings("s", "stream"))
    limits: Limits = field(default_factory=Limits)
    executor: Executor = field(default_factory=Inline)
    clock: ManualClock = field(default_factory=ManualClock)
    gaps: list[SourceGap] = field(default_factory=list)
    got: dict[str, list[Records]] = field(default_factory=dict)
    service: Service = field(init=False)
    source: KinesisSource = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service(self.clock)
        self.start()

    def start(self) -> None:
        """Begin with a source that knows nothing."""
        args = (self.settings, self.service, self.executor, self.clock, self.limits, self.gaps.append)
        self.source = KinesisSource(*args)

    def hold(self, **held: HeldShard | None) -> None:
        self.source.hold({f"s/{name}": row or fresh() for name, row in held.items()})

    def step(self, name: str = "a") -> list[Records]:
        """Ask, and read what is there."""
        self.source.discover(0)
        shard, found = ShardId(f"s/{name}"), list[Records]()
        if shard in self.source.shards():
            found = list(self.source.read(shard, self.source._readers[shard].at))
        self.got[name] = self.got.get(name, []) + found
        return found

    def run(self, seconds: float, name: str = "a") -> list[Records]:
        """Let time pass and read all shards meanwhile, whenever there is something to do; give what came of one."""
        until_s, found = self.clock.monotonic_s() + seconds, list[Records]()
        while (left_s := until_s - self.clock.monotonic_s()) > 0:
            worked = [self.step(shard.removeprefix("s/")) for shard in self.source.shards()]
            found += [one for records in worked for one in records if one.shard == f"s/{name}"]
            if not any(worked):
                self.source.wait(left_s)
        return found

    def seen(self, name: str = "a") -> int | None:
        arrived = self.source.seen().get(f"s/{name}")
        return None if arrived is None else arrived.us - NOW_US


def fresh(seen_us: int = NOW_US, *, parents: tuple[str, ...] = ()) -> HeldShard:
    return HeldShard("-", parents, seen=Arrived(seen_us, DAY_S))


def held(number: int, sub: int = 0, seen_us: int | None = NOW_US) -> HeldShard:
    return HeldShard(Position(number, sub).encode(), seen=None if seen_us is None else Arrived(seen_us, DAY_S))


def texts(found: list[Records]) -> list[str]:
    return [line for one in found for line in one.data.decode().split("\n") if line]


def ranges(found: list[Records]) -> list[tuple[Position, Position, str]]:
    return [(one.after, one.upto, one.kind) for one in found]


# --------------------------------------------------------------------------------------- where reading begins


def test_an_unread_shard_is_read_from_its_beginning() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(5, 6), page()]
    found = desk.step()
    assert ranges(found) == [(ORIGIN, Position(6), "data")] and texts(found) == ["r5", "r6"]
    assert desk.service.words() == ["a TRIM_HORIZON", "a read"]


def test_latest_is_the_moment_when_the_source_was_first_read() -> None:
    desk = Desk(KinesisSettings("s", "stream", pinned_us=NOW_US - 5))
    desk.hold(a=None, b=fresh(parents=("s/a",)))
    desk.step("a"), desk.step("b")
    assert [w for w in desk.service.words() if "read" not in w] == [f"a AT_TIMESTAMP {NOW_US - 5}", "b TRIM_HORIZON"]


def test_a_record_that_comes_again_is_passed_over() -> None:
    desk = Desk()
    desk.hold(a=held(5))
    desk.service.answers["a"] = [page(5, 6, 7), page()]
    found = desk.step()
    assert desk.service.words()[0] == "a AT_SEQUENCE_NUMBER 5"
    assert ranges(found) == [(Position(5), Position(7), "data")] and texts(found) == ["r6", "r7"]


def test_a_record_that_comes_again_alone_tells_nothing() -> None:
    desk = Desk()
    desk.hold(a=held(5))
    desk.service.answers["a"] = [page(5), page(6), page()]
    assert desk.step() == []
    assert texts(desk.run(1)) == ["r6"]


def test_a_page_that_begins_far_behind_is_cut_where_the_shard_stands() -> None:
    desk = Desk()
    desk.hold(a=held(5, 1))
    desk.service.answers["a"] = [page(3, 4, 5, 6, data=[b"x", b"y", b"a\nb\nc", b"d"]), page()]
    found = desk.step()
    assert texts(found) == ["c", "d"] and found[0].subs.tolist() == [2, 0]


def test_a_record_read_in_part_is_read_to_its_end() -> None:
    desk = Desk()
    desk.hold(a=held(5, 0))
    desk.service.answers["a"] = [page(5, data=[b"a\nb"]), page()]
    found = desk.step()
    assert (ranges(found), texts(found)) == ([(Position(5, 0), Position(5, 1), "data")], ["b"])


def test_whoever_asks_from_another_place_is_wrong() -> None:
    desk = Desk()
    desk.hold(a=held(5))
    with pytest.raises(AssertionError, match="asked for from"):
        next(desk.source.read(ShardId("s/a"), Position(6)))


# --------------------------------------------------------------------------------------- iterators that expire


def test_an_expired_iterator_is_taken_anew_at_the_position() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(5), page(6), IteratorExpired("old"), page(6, 7), page()]
    assert texts(desk.run(3)) == ["r5", "r6", "r7"]
    assert [w for w in desk.service.words() if "read" not in w] == ["a TRIM_HORIZON", "a AT_SEQUENCE_NUMBER 6"]


@pytest.mark.parametrize(("pinned_us", "kind"), [(NOW_US, f"AT_TIMESTAMP {NOW_US}"), (0, "TRIM_HORIZON")])
def test_an_iterator_that_expired_unread_begins_where_it_began(pinned_us: int, kind: str) -> None:
    desk = Desk(KinesisSettings("s", "stream", pinned_us=pinned_us))
    desk.hold(a=None)
    desk.service.answers["a"] = [page(), IteratorExpired("old"), page(5), page()]
    assert texts(desk.run(3)) == ["r5"]
    assert [w for w in desk.service.words() if "read" not in w] == [f"a {kind}"] * 2


def test_iterators_that_always_expire_are_not_asked_for_without_end() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [IteratorExpired("old")]
    desk.run(10)
    assert len(desk.service.times("a read")) <= 10 * desk.limits.shard_reads_per_s + 1


# ------------------------------------------------------------------------------------------------------- pace


def test_a_throttled_shard_waits_twice_as_long_each_time_and_for_ever() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [Throttled("slow")]
    desk.run(200)
    times = desk.service.times("a read")
    pauses = [round(b - a, 2) for a, b in pairwise(times)]
    assert pauses[:6] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0] and set(pauses[5:]) == {5.0}


def test_a_throttled_iterator_waits_too() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.iterators = [Throttled("slow"), Throttled("slow")]
    desk.service.answers["a"] = [page(5), page()]
    assert texts(desk.run(2)) == ["r5"]
    assert desk.service.times("a TRIM_HORIZON") == [0.0, 0.2, 0.6]


def test_each_good_read_takes_a_tenth_of_the_pause_back() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [*[Throttled("slow")] * 4, *(page(n, behind_ms=9) for n in range(1, 40)), page()]
    desk.run(40)
    times = desk.service.times("a read")
    pauses = [round(b - a, 2) for a, b in pairwise(times)]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert pauses[4:7] == pytest.approx([1.44, 1.3, 1.17], abs=0.02)
    assert pauses[26:30] == [0.2] * 4  # what a shard that is behind may have anyway


def test_what_fails_is_asked_again_and_raised_when_it_failed_too_often() -> None:
    desk = Desk()
    desk.hold(a=None)
    often = desk.limits.commit_retries_max
    desk.service.answers["a"] = [*[Transient("no")] * (often - 1), page(1), *[Transient("no")] * (often - 1), page(2)]
    desk.service.answers["a"] += [Throttled("slow")] * 3 + [Transient("no")] * often
    with pytest.raises(Transient, match="no"):
        desk.run(200)
    assert texts(desk.got["a"]) == ["r1", "r2"]
    assert len(desk.service.times("a read")) == 3 * often - 2 + 2 + 3


def test_bytes_are_paid_for_before_more_are_asked_for() -> None:
    desk = Desk()
    desk.hold(a=None)
    big = b"x" * (desk.limits.shard_bytes_per_s * 3)
    desk.service.answers["a"] = [page(1, data=[big], behind_ms=9), page(2, behind_ms=9), page(3, behind_ms=9)]
    desk.run(3.7)
    assert desk.service.times("a read") == [0.0, 3.0, 3.2, 3.4, 3.6]


def test_an_idle_shard_is_asked_less_and_less_often_until_something_comes() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [*[page()] * 8, page(1), page(), page()]
    desk.run(12)
    times = desk.service.times("a read")
    pauses = [round(b - a, 2) for a, b in pairwise(times)]
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]
    assert pauses[8:11] == [0.25, 0.5, 1.0]


def test_a_shard_that_is_behind_is_asked_as_often_as_it_may_be_also_where_pages_are_empty() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(behind_ms=9_000)]
    desk.run(2)
    assert len(desk.service.times("a read")) == 10


def test_no_more_pages_wait_than_there_is_room_for() -> None:
    threads = Held()
    desk = Desk(limits=Limits(fetch_threads_max=2, fetch_bytes_max=250), executor=threads)
    desk.service.shards = [info(name) for name in "abcdefgh"]
    desk.hold(**dict.fromkeys("abcdefgh"))
    desk.service.answers = {name: [page(1, size=100)] for name in "abcdefgh"}
    waiting = 0
    for _ in range(20):
        desk.source.discover(0)
        assert len(threads.jobs) <= 2
        waiting += 100 * len(threads.jobs)
        threads.finish(2)
    assert waiting == 400  # below the limit when the last two were asked for
    assert desk.step("a") and len(threads.jobs) == 0  # 300 bytes are still too many
    assert desk.step("b") and len(threads.jobs) == 2


def test_the_shard_that_was_served_longest_ago_comes_first() -> None:
    desk = Desk()
    desk.hold(a=None, b=None)
    desk.service.answers = {"a": [page(1), page(2), page()], "b": [page(1), page()]}
    assert desk.source.shards() == ["s/a", "s/b"]
    desk.step("a")
    assert desk.source.shards() == ["s/b", "s/a"]
    desk.step("b")
    assert desk.source.shards() == ["s/a", "s/b"]


def test_waiting_ends_when_the_next_page_may_be_asked_for() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.step()
    before_s = desk.clock.monotonic_s()
    desk.source.wait(5.0)
    assert desk.clock.monotonic_s() - before_s == pytest.approx(0.1)
    desk.source.wait(0.0)
    desk.hold()
    desk.source.wait(5.0)
    assert desk.clock.monotonic_s() - before_s == pytest.approx(5.1)


def test_waiting_ends_when_a_page_is_there() -> None:
    threads = Held()
    desk = Desk(executor=threads)
    desk.hold(a=None)
    desk.source.discover(0)
    desk.source.wait(0.01)  # nothing yet
    threads.finish()
    desk.source.wait(60.0)
    assert desk.step() == []


# ------------------------------------------------------------------------------------------- what is held


def test_what_was_fetched_of_a_shard_that_is_held_on_stays() -> None:
    desk = Desk()
    desk.hold(a=None, b=None)
    desk.service.answers["a"] = [page(1), page(2), page()]
    desk.source.discover(0)
    desk.hold(a=None)
    assert desk.source.shards() == ["s/a"] and texts(desk.step()) == ["r1"]
    desk.hold(a=None, b=None)
    assert texts(desk.run(1)) == ["r2"]


def test_a_shard_that_comes_back_is_read_from_where_it_stands_now() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(1), page(2), page(7, 8), page()]
    desk.step()
    desk.hold()
    desk.hold(a=held(7))
    assert texts(desk.run(1)) == ["r8"]
    assert desk.service.words()[-2:] != ["a read", "a read"] or "a AT_SEQUENCE_NUMBER 7" in desk.service.words()


def test_shards_that_are_known_are_not_listed_again() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.hold(a=None, b=None)
    assert desk.service.listings == 1


def test_what_waits_is_what_has_not_been_read_to_its_tip() -> None:
    desk = Desk()
    desk.hold(a=None, b=None)
    assert desk.source.waiting == 2
    desk.service.answers["b"] = [page(behind_ms=9)]
    desk.step("a"), desk.step("b")
    assert desk.source.waiting == 1


# ------------------------------------------------------------------------------------------------ closed shards


def test_a_closed_shard_ends_with_its_last_records_and_its_children() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(5, 6, ends=True, children=(child("c", "a"), child("d", "a", "b")))]
    [last] = desk.step()
    assert (last.upto, texts([last])) == (END, ["r5", "r6"])
    assert last.children == {"s/c": ("s/a",), "s/d": ("s/a", "s/b")}
    assert desk.source.shards() == [] and desk.run(3) == []
    assert desk.service.words() == ["a TRIM_HORIZON", "a read"]


def test_a_closed_shard_ends_without_records() -> None:
    desk = Desk()
    desk.hold(a=held(5))
    desk.service.answers["a"] = [page(5), page(ends=True, children=(child("c", "a"),))]
    [last] = desk.run(2)
    assert (last.after, last.upto, last.data, last.kind) == (Position(5), END, b"", "data")


def test_a_last_page_of_nothing_but_what_was_read_is_an_end() -> None:
    desk = Desk()
    desk.hold(a=held(5))
    desk.service.answers["a"] = [page(5, ends=True, children=(child("c", "a"),))]
    [last] = desk.step()
    assert (last.upto, last.data, set(last.children)) == (END, b"", {"s/c"})


def test_children_that_an_answer_does_not_name_are_those_of_the_listing() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.shards = [info("a", is_open=False), info("b"), info("c", "a"), info("d", "a", "b"), info("e", "b")]
    desk.service.answers["a"] = [page(5, ends=True)]
    [last] = desk.step()
    assert (last.upto, texts([last])) == (END, ["r5"])
    assert last.children == {"s/c": ("s/a",), "s/d": ("s/a", "s/b")}


@pytest.mark.parametrize("first", [page(5, ends=True), page(ends=True), page(5, ends=True, behind_ms=9)])
def test_an_open_shard_does_not_end_whatever_an_answer_says(first: Page) -> None:
    desk = Desk()
    desk.hold(a=None)
    again = page(5, 6, 7) if first.sequences else page(6, 7)
    desk.service.answers["a"] = [first, again, page(8), page()]
    found = desk.run(3)
    assert texts(found) == [*["r5"] * len(first.sequences), "r6", "r7", "r8"]
    assert all(one.upto != END for one in found) and not desk.gaps
    kinds = [w for w in desk.service.words() if "read" not in w]
    assert kinds == ["a TRIM_HORIZON", "a AT_SEQUENCE_NUMBER 5" if first.sequences else "a TRIM_HORIZON"]


def test_an_open_shard_that_a_listing_lacks_does_not_end_either() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.shards = [info("b")]
    desk.service.answers["a"] = [page(5, ends=True), page(5, 6), page(7)]
    found = desk.run(3)
    assert texts(found) == ["r5", "r6", "r7"]
    assert all(one.upto != END for one in found) and not desk.gaps


# ------------------------------------------------------------------------------------------------- the stream


def test_a_stream_that_was_made_anew_is_refused() -> None:
    desk = Desk()
    desk.source.list()
    desk.service.created_us = 8
    with pytest.raises(ConfigError, match="deleted and made anew"):
        desk.source.list()


def test_all_shards_are_listed_with_their_parents() -> None:
    desk = Desk()
    desk.service.shards = [info("a", is_open=False), info("b", "a"), info("c", "a", "x")]
    expected = {"s/a": (), "s/b": ("s/a",), "s/c": ("s/a", "s/x")}
    assert desk.source.list() == desk.source.list(founding=True) == expected


def test_what_closed_since_reading_was_to_begin_belongs_to_it() -> None:
    desk = Desk(KinesisSettings("s", "stream", pinned_us=NOW_US))
    since = [info("b", "a", is_open=False), info("c", "b"), info("d", "b")]
    desk.service.shards = [info("a", is_open=False), *since]
    desk.service.since = since
    assert set(desk.source.list(founding=True)) == {"s/b", "s/c", "s/d"}
    assert desk.service.words() == [f"list FROM_TIMESTAMP {NOW_US}"]
    assert set(desk.source.list()) == {"s/a", "s/b", "s/c", "s/d"}


def test_a_moment_that_the_services_clock_has_not_reached_leaves_what_is_open() -> None:
    desk = Desk(KinesisSettings("s", "stream", pinned_us=NOW_US))
    desk.service.shards = [info("a", is_open=False), info("b", "a")]
    desk.service.since = Terminal("it lies in the future")
    assert set(desk.source.list(founding=True)) == {"s/b"}


def test_a_clock_that_is_ahead_of_the_services_only_delays_the_first_read() -> None:
    desk = Desk(KinesisSettings("s", "stream", pinned_us=NOW_US))
    desk.hold(a=None)
    desk.service.iterators = [Terminal("the timestamp lies in the future")] * 12
    desk.service.answers["a"] = [page(5), page()]
    assert texts(desk.run(55)) == ["r5"]


def test_a_first_read_that_is_refused_for_long_is_raised() -> None:
    desk = Desk(KinesisSettings("s", "stream", pinned_us=NOW_US))
    desk.hold(a=None)
    desk.service.iterators = [Terminal("refused")] * 99
    with pytest.raises(Terminal, match="refused"):
        desk.run(80)


def test_what_is_refused_elsewhere_is_raised_at_once() -> None:
    for settings, row in ((KinesisSettings("s", "x"), fresh()), (KinesisSettings("s", "x", pinned_us=NOW_US), held(5))):
        desk = Desk(settings)
        desk.hold(a=row)
        desk.service.iterators = [Terminal("refused")]
        with pytest.raises(Terminal, match="refused"):
            desk.step()


def test_a_denied_permission_is_raised_at_once() -> None:
    for settings in (KinesisSettings("s", "x"), KinesisSettings("s", "x", pinned_us=NOW_US)):
        desk = Desk(settings)
        desk.hold(a=None)
        desk.service.iterators = [ConfigError("denied")]
        with pytest.raises(ConfigError, match="denied"):
            desk.step()


def test_a_shard_that_is_gone_while_it_is_read_is_a_gap_to_its_end() -> None:
    desk = Desk(KinesisSettings("s", "stream", "continue"))
    desk.hold(a=None)
    desk.service.answers["a"] = [page(5, behind_ms=9), ConfigError("nothing here has that iterator")]
    desk.run(0.1)
    desk.service.shards = [info("b"), info("c", "a")]
    desk.service.iterators = [ShardGone("stream", "a")]
    [last] = desk.run(2)
    assert (last.after, last.upto, last.kind, set(last.children)) == (Position(5), END, "gap", {"s/c"})


def test_a_stream_that_is_gone_while_it_is_read_is_an_error() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(behind_ms=9), ConfigError("the stream is gone")]
    desk.step()
    desk.service.created_us = 8
    with pytest.raises(ConfigError, match="made anew"):
        desk.run(2)


def test_a_read_that_is_denied_again_is_raised() -> None:
    desk = Desk()
    desk.hold(a=None)
    desk.service.answers["a"] = [page(5), ConfigError("denied")]
    with pytest.raises(ConfigError, match="denied"):
        desk.run(5)
    assert texts(desk.got["a"]) == ["r5"]


# ------------------------------------------------------------------------------------ up to when all was read


def test_at_the_tip_everything_was_read_that_had_arrived_when_it_was_asked_for() -> None:
    desk = Desk()
    desk.hold(a=fresh(NOW_US - 10**9))
    desk.clock.advance(7)
    desk.step()
    assert desk.seen() == 7_000_000
    desk.clock.advance(9)
    assert desk.seen() == 7_000_000
    desk.step()
    assert desk.seen() == 16_000_000


def test_behind_the_tip_it_is_the_last_records_arrival() -> None:
    desk = Desk()
    desk.hold(a=fresh(NOW_US - 10**9))
    desk.service.answers["a"] = [page(1, 2, arrivals=[NOW_US - 9, NOW_US - 5], behind_ms=7), page(behind_ms=7)]
    desk.clock.advance(60)
    desk.run(1)
    assert desk.seen() == -5


def test_it_never_goes_back() -> None:
    desk = Desk()
    desk.hold(a=fresh(NOW_US + 50))
    desk.service.answers["a"] = [page(1, arrivals=[NOW_US - 5], behind_ms=7)]
    desk.run(1)
    assert desk.seen() == 50


def test_a_shard_that_closed_counts_as_read_up_to_when_it_was_listed_as_open() -> None:
    desk = Desk()
    desk.hold(a=fresh(NOW_US - 10**9))
    desk.clock.advance(3)
    desk.source.list()
    desk.clock.advance(100)
    desk.service.answers["a"] = [page(ends=True, children=(child("c", "a"),))]
    desk.step()
    assert desk.seen() == 3_000_000


def test_a_shard_listed_as_closed_counts_as_read_up_to_its_last_record() -> None:
    desk = Desk()
    desk.service.shards = [info("a", is_open=False)]
    desk.hold(a=fresh(NOW_US - 10**9))
    desk.clock.advance(100)
    desk.service.answers["a"] = [page(1, arrivals=[NOW_US - 5]), page(), page(ends=True, children=(child("c", "a"),))]
    desk.run(2)
    assert desk.seen() == -5


def test_what_is_not_handed_over_does_not_count_as_read() -> None:
    desk = Desk(KinesisSettings("s", "stream", "continue"))
    desk.hold(a=held(5, seen_us=NOW_US - 2 * DAY_S * 10**6))
    desk.service.answers["a"] = [page(8, 9), page()]
    desk.source.discover(0)
    before = desk.seen()
    reading = desk.source.read(ShardId("s/a"), Position(5))
    assert next(reading).kind == "gap" and desk.seen() == before  # a commit may come here, and tells what it holds
    assert next(reading).kind == "data" and desk.seen() == 0


# -------------------------------------------------------------------------------------------------------- gaps

LONG_AGO = NOW_US - (DAY_S + 1) * 10**6
ON_GAP: dict[str, KinesisSettings] = {
    "fail": KinesisSettings("s", "stream", "fail"),
    "dlq": KinesisSettings("s", "stream", "dlq"),
    "continue": KinesisSettings("s", "stream", "continue"),
}


def test_a_gap_stops_its_shard_alone_and_is_told_once() -> None:
    desk = Desk(ON_GAP["fail"])
    desk.hold(a=held(5, seen_us=LONG_AGO), b=held(5))
    desk.service.answers = {"a": [page(8, 9)], "b": [page(5, 6), page()]}
    assert texts(desk.run(3, "b")) == ["r6"] and desk.got["a"] == []
    [gap] = desk.gaps
    assert (gap.shard, gap.at) == ("s/a", Position(5)) and Position(5).encode() in str(gap)
    assert desk.source.shards() == ["s/b"] and desk.source.waiting == 0
    assert desk.service.times("a read") == [0.0]
    assert desk.source.lags()[ShardId("s/a")].is_stopped


@pytest.mark.parametrize("word", ["dlq", "continue"])
def test_a_gap_ends_at_the_first_record_that_is_there(word: str) -> None:
    desk = Desk(ON_GAP[word])
    desk.hold(a=held(5, 2, seen_us=LONG_AGO))
    desk.service.answers["a"] = [page(8, 9, 10, data=[b"a\nb", b"c", b"d"]), page()]
    gap, rest = desk.step()
    assert ranges([gap, rest]) == [(Position(5, 2), Position(8, 1), "gap"), (Position(8, 1), Position(10), "data")]
    assert (texts([gap]), texts([rest])) == (["a", "b"], ["c", "d"])
    assert len(gap.sequences) == len(gap.subs) == len(gap.arrivals_us) == 2
    letters = [(f.reason, f.sequence, f.line, f.arrival_us) for f in gap.faults]
    assert letters == ([("records_trimmed", "0015", 2, NOW_US)] if word == "dlq" else [])
    assert not rest.faults and not desk.gaps
    assert desk.run(3) == []


def test_a_gap_before_a_single_record_is_one_range() -> None:
    desk = Desk(ON_GAP["continue"])
    desk.hold(a=held(5, seen_us=LONG_AGO))
    desk.service.answers["a"] = [page(8), page(9), page()]
    assert ranges(desk.run(2)) == [(Position(5), Position(8), "gap"), (Position(8), Position(9), "data")]


def test_a_loss_is_told_with_what_comes_next() -> None:
    desk = Desk(ON_GAP["continue"])
    desk.hold(a=held(5, seen_us=LONG_AGO))
    desk.service.answers["a"] = [page(), page(behind_ms=5), page(), page(8, 9), page()]
    assert [kind for *_, kind in ranges(desk.run(5))] == ["gap", "data"]
    assert (desk.seen() or -1) >= 0


def test_a_loss_before_the_end_reaches_to_the_end() -> None:
    desk = Desk(ON_GAP["dlq"])
    desk.hold(a=held(5, seen_us=LONG_AGO))
    desk.service.answers["a"] = [page(ends=True, children=(child("c", "a"),))]
    [last] = desk.step()
    assert ranges([last]) == [(Position(5), END, "gap")]
    assert [f.reason for f in last.faults] == ["records_trimmed"] and set(last.children) == {"s/c"}


def test_a_loss_before_the_last_records_is_a_gap_and_the_end_is_not() -> None:
    desk = Desk(ON_GAP["continue"])
    desk.hold(a=held(5, seen_us=LONG_AGO))
    desk.service.answers["a"] = [page(8, ends=True, children=(child("c", "a"),))]
    found = desk.step()
    assert ranges(found) == [(Position(5), Position(8), "gap"), (Position(8), END, "data")]
    assert not found[0].children and set(found[1].children) == {"s/c"}


def test_nothing_is_lost_behind_a_record_that_comes_again() -> None:
    desk = Desk(ON_GAP["fail"])
    desk.hold(a=held(5, seen_us=LONG_AGO - DAY_S * 10**6))
    desk.service.answers["a"] = [page(behind_ms=5), page(5, 6), page()]
    assert texts(desk.run(1)) == ["r6"] and not desk.gaps


def test_nothing_is_lost_within_the_retention() -> None:
    desk = Desk(ON_GAP["fail"])
    desk.hold(a=held(5, seen_us=LONG_AGO + 10**6))
    desk.service.answers["a"] = [page(8), page()]
    assert texts(desk.step()) == ["r8"] and not desk.gaps


@pytest.mark.parametrize(("then_s", "now_s", "is_gap"), [(DAY_S, 2 * DAY_S, True), (2 * DAY_S, DAY_S, True)])
def test_the_shorter_of_the_retentions_then_and_now_counts(then_s: int, now_s: int, is_gap: bool) -> None:
    desk = Desk(ON_GAP["fail"])
    desk.service.retention_s = now_s
    for away_s, expected in ((DAY_S + 1, is_gap), (DAY_S, False)):
        desk.gaps.clear()
        seen = Arrived(NOW_US - away_s * 10**6, then_s)
        desk.hold()
        desk.start()
        desk.source.hold({"s/a": HeldShard(Position(5).encode(), seen=seen)})
        desk.service.answers["a"] = [page(8)]
        desk.step()
        assert bool(desk.gaps) is expected


def test_where_nobody_knows_when_it_was_read_a_missing_record_is_a_gap() -> None:
    for answer, is_gap in ((page(5, 6), False), (page(6), True), (page(), True), (page(behind_ms=4), False)):
        desk = Desk(ON_GAP["fail"])
        desk.hold(a=held(5, seen_us=None))
        desk.service.answers["a"] = [answer]
        desk.step()
        assert bool(desk.gaps) is is_gap


def test_a_child_that_could_not_be_begun_in_time_has_lost_its_beginning() -> None:
    desk = Desk(ON_GAP["continue"])
    desk.hold(a=fresh(LONG_AGO, parents=("s/p",)))
    desk.service.answers["a"] = [page(8, 9), page()]
    assert ranges(desk.step()) == [(ORIGIN, Position(8), "gap"), (Position(8), Position(9), "data")]


@pytest.mark.parametrize("word", ["dlq", "continue"])
def test_a_shard_that_is_not_there_any_more_is_a_gap_up_to_its_end(word: str) -> None:
    desk = Desk(ON_GAP[word])
    desk.hold(a=held(5))
    desk.service.shards = [info("b"), info("c", "a"), info("d", "b", "a")]
    desk.service.iterators = [ShardGone("stream", "a")]
    [last] = desk.step()
    assert ranges([last]) == [(Position(5), END, "gap")]
    assert last.children == {"s/c": ("s/a",), "s/d": ("s/b", "s/a")}
    assert [f.reason for f in last.faults] == (["records_trimmed"] if word == "dlq" else [])


def test_a_shard_that_is_not_there_any_more_stops_if_that_is_asked_for() -> None:
    desk = Desk(ON_GAP["fail"])
    desk.hold(a=held(5), b=None)
    desk.service.shards = [info("b")]
    desk.service.iterators = [ShardGone("stream", "a")]
    assert desk.run(3, "a") == [] and len(desk.gaps) == 1
    assert desk.step("b") == []


def test_a_shard_that_is_listed_is_not_gone() -> None:
    desk = Desk(ON_GAP["continue"])
    desk.hold(a=held(5))
    desk.service.iterators = [ShardGone("stream", "a")]
    with pytest.raises(ShardGone):
        desk.step()


def test_user_records_of_another_shard_count_into_the_page() -> None:
    desk = Desk()
    desk.service.shards = [ShardInfo("a", (), 0, 10, "0", None)]
    desk.hold(a=held(5))
    packed = aggregate([Put(b"in", "k", "10"), Put(b"out", "k", "11")])
    desk.service.answers["a"] = [page(5, 6, data=[b"x", packed]), page()]
    [found] = desk.step()
    assert (texts([found]), found.upto) == (["in"], Position(6, 1))
    assert [(f.reason, f.line) for f in found.faults] == [("outside_shard", 1)]


def test_records_without_partition_keys_are_read() -> None:
    clock = ManualClock()
    kinesis = EmbeddedKinesis(clock, random.Random(0), Behaviour.unlimited())
    mode = {"StreamMode": "ON_DEMAND"}
    kinesis.ask("CreateStream", StreamName="s", StreamModeDetails=mode, RecordDistributionStrategy="AUTO")
    records = [{"Data": base64.b64encode(f"r{n}".encode()).decode()} for n in range(20)]
    put = kinesis.ask("PutRecords", StreamName="s", Records=records)
    assert put["FailedRecordCount"] == 0

    def call(action: str, body: bytes) -> tuple[int, bytes]:
        response = kinesis.call(action, body)
        return response.status, response.body

    api = CallApi(call)
    source = KinesisSource(KinesisSettings("s", "s"), api, Inline(), clock, Limits(), lambda _: None)
    listed = source.list()
    source.hold(dict.fromkeys(listed, fresh()))
    source.discover(0)
    found = [one for shard in source.shards() for one in source.read(shard, ORIGIN)]
    for _ in range(10):
        clock.advance(1)
        source.discover(0)
        found += [one for shard in source.shards() for one in source.read(shard, source._readers[shard].at)]
    assert sorted(texts(found)) == sorted(f"r{n}" for n in range(20))


def test_pages_of_files_are_none_of_its_business() -> None:
    desk = Desk()
    desk.source.open([b"page"])
    with pytest.raises(NotImplementedError):
        desk.source.merge([b"page"])


def test_payloads_are_in_no_gaps_message() -> None:
    desk = Desk(ON_GAP["fail"])
    desk.hold(a=held(5, seen_us=LONG_AGO))
    desk.service.answers["a"] = [page(8, data=[b"secret"])]
    desk.step()
    assert "secret" not in str(desk.gaps)
