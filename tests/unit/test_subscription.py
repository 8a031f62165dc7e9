"""Event streams cut into messages, and feeds that threads read: what is broken is seen, and what waits is bounded."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import example, given
from hypothesis import strategies as st

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.eventstream import FRAME_BYTES_MAX, BrokenFrame, Frames, Message, frame
from shardlake.adapters.kinesis.port import SubscriptionEnded, Throttled
from shardlake.adapters.kinesis.subscribe import Events
from shardlake.adapters.kinesis.wire import Page
from shardlake.app.metrics import Exposition, Meter
from shardlake.core.errors import ConfigError, ShardlakeError, Transient
from shardlake.testing.clock import ManualClock
from streams.sources.kinesis.fetching import Fetched, Lag
from streams.sources.kinesis.subscription import Feed, Room

PATIENCE_S: Final = 60.0
EVENT: Final = {":message-type": "event", ":event-type": "SubscribeToShardEvent"}
NAMES = st.text(min_size=1, max_size=30)


def cut(data: bytes, sizes: list[int]) -> list[Message]:
    """Take bytes in pieces of some sizes, and the rest at once."""
    frames, found, at = Frames(), list[Message](), 0
    for size in [*sizes, len(data)]:
        frames.add(data[at : at + size])
        at += size
        while (message := frames.next()) is not None:
            found.append(message)
    return found


# ------------------------------------------------------------------------------------------------------- framing


@given(
    st.lists(st.tuples(st.dictionaries(NAMES, st.text(max_size=50), max_size=4), st.binary(max_size=300)), max_size=5),
    st.lists(st.integers(0, 60)),
)
def test_messages_are_what_botocore_reads_however_their_bytes_come(
    messages: list[tuple[dict[str, str], bytes]], sizes: list[int]
) -> None:
    data = b"".join(frame(headers, payload) for headers, payload in messages)
    found = cut(data, sizes)
    assert [(dict(m.headers), m.payload) for m in found] == messages
    theirs = EventStreamBuffer()
    theirs.add_data(data)
    assert [(m.headers, m.payload) for m in theirs] == messages


@given(st.integers(0, 10_000), st.integers(1, 255))
@example(3, 1)  # the length is wrong
@example(0, 255)
def test_a_changed_byte_is_never_a_message(at: int, change: int) -> None:
    data = bytearray(frame(EVENT, b'{"Records":[]}'))
    data[at % len(data)] ^= change
    with pytest.raises(BrokenFrame):
        cut(bytes(data), [])


def test_what_is_no_message_is_seen_by_its_first_bytes() -> None:
    with pytest.raises(BrokenFrame):
        cut(b"<html>a page of a proxy", [])
    too_long = bytearray(frame({}, b"x" * 10))
    too_long[:12] = frame({}, b"x" * FRAME_BYTES_MAX)[:12]
    with pytest.raises(BrokenFrame, match="a message of"):
        cut(bytes(too_long[:12]), [])


def test_headers_that_are_no_texts_are_passed_over() -> None:
    value = {0: b"", 2: b"\1", 3: b"ab", 4: b"abcd", 5: b"abcdefgh", 6: b"\0\3abc", 8: b"abcdefgh", 9: b"x" * 16}
    for kind, data in value.items():
        written = frame({"name": "n"}, b"p")
        headers = b"\1k" + bytes([kind]) + data + written[12:-5]
        lengths = (16 + len(headers) + 1).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
        whole = summed(summed(lengths) + headers + b"p")
        assert [(dict(m.headers), m.payload) for m in cut(whole, [])] == [({"name": "n"}, b"p")]


def summed(data: bytes) -> bytes:
    from zlib import crc32

    return data + crc32(data).to_bytes(4, "big")


# -------------------------------------------------------------------------------------------------------- events


def test_an_event_is_the_same_page_as_an_answer_of_getrecords() -> None:
    records = b'[{"SequenceNumber":"7","Data":"YWI=","ApproximateArrivalTimestamp":1767225600.123,"PartitionKey":"k"}]'
    events = Events({})
    events.add(frame({":message-type": "event", ":event-type": "initial-response"}, b"{}"))
    events.add(frame(EVENT, b'{"Records":' + records + b',"ContinuationSequenceNumber":"8","MillisBehindLatest":5}'))
    pushed = events.next()
    asked = wire.parse_page(b'{"Records":' + records + b',"NextShardIterator":"8","MillisBehindLatest":5}')
    assert pushed is not None
    assert (pushed.sequences, pushed.data, pushed.keys) == (asked.sequences, asked.data, asked.keys)
    assert pushed.arrivals_us.tolist() == asked.arrivals_us.tolist()
    assert (pushed.next_iterator, pushed.behind_ms) == ("8", 5)
    assert "ab" not in repr(pushed)
    assert events.next() is None


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({":message-type": "exception", ":exception-type": "ResourceInUseException"}, Transient),
        ({":message-type": "exception", ":exception-type": "KMSThrottlingException"}, Throttled),
        ({":message-type": "exception", ":exception-type": "KMSDisabledException"}, ConfigError),
        ({":message-type": "exception", ":exception-type": "InternalFailureException"}, Transient),
        ({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "oops"}, Transient),
    ],
)
def test_what_the_service_complains_of_is_the_same_error_as_of_any_call(
    headers: dict[str, str], kind: type[ShardlakeError]
) -> None:
    events = Events({"ConsumerARN": "arn:aws:kinesis:eu-west-1:1:stream/s/consumer/c:1", "ShardId": "a"})
    events.add(frame(headers, b'{"message":"oops"}'))
    with pytest.raises(kind, match="oops"):
        events.next()


def test_an_event_that_cannot_be_read_tells_nothing_of_what_it_holds() -> None:
    events = Events({})
    events.add(frame(EVENT, b'{"Records":[{"Data":"c2VjcmV0","SequenceNumber":1}]}'))
    with pytest.raises(Transient) as told:
        events.next()
    assert "c2VjcmV0" not in str(told.value)
    assert "secret" not in str(told.value)


# --------------------------------------------------------------------------------------------------------- feeds


@dataclass(slots=True)
class Scripted:
    """A subscription that gives what it was told to, and then waits until it is closed."""

    pages: Iterator[Page | ShardlakeError | Exception]
    closed: threading.Event = field(default_factory=threading.Event)

    def next(self) -> Page | None:
        for page in self.pages:
            if isinstance(page, Exception):
                raise page
            return page
        self.closed.wait()
        raise Transient("it was closed")

    def close(self) -> None:
        self.closed.set()


def page(number: int, size: int = 100) -> Page:
    return Page([str(number)], [b"x"], np.zeros(1, np.int64), [None], str(number), 0, (), size)


def feed_of(pages: list[Page | ShardlakeError | Exception], room: Room) -> tuple[Feed, Scripted, threading.Thread]:
    subscription = Scripted(iter(pages))
    feed = Feed(lambda: subscription, SystemClock(), room)
    thread = threading.Thread(target=feed.run)
    thread.start()
    return feed, subscription, thread


def until(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.002)


def taken(future: "Future[Fetched]") -> str:
    return future.result(PATIENCE_S).page.sequences[0]


def all_of(feed: Feed, count: int) -> list[str]:
    """Ask until so many records have come."""
    found: list[str] = []
    while len(found) < count:
        found += feed.ask().result(PATIENCE_S).page.sequences
    return found


def test_pages_come_in_order_and_the_end_after_all_of_them() -> None:
    room = Room(1_000)
    feed, subscription, thread = feed_of([*map(page, range(5)), SubscriptionEnded("over")], room)
    until(lambda: room.bytes == 500)
    together = feed.ask().result(PATIENCE_S)
    assert (together.page.sequences, together.page.next_iterator) == (list("01234"), "4")
    assert (len(together.page.data), len(together.page.arrivals_us), together.page.size) == (5, 5, 500)
    with pytest.raises(SubscriptionEnded):
        feed.ask().result(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert room.bytes == 0
    assert subscription.closed.is_set()


def test_reading_waits_where_there_is_no_room_and_each_feed_has_room_for_a_page() -> None:
    room = Room(250)
    first, _, one = feed_of([*map(page, range(50))], room)
    until(lambda: room.bytes == 300)
    second, _, two = feed_of([*map(page, range(50))], room)
    until(lambda: room.bytes == 400)
    assert (first.pages, second.pages) == (3, 1)
    assert all_of(second, 50) == [str(n) for n in range(50)]
    assert first.pages == 3, "it waits for as long as it takes"
    assert all_of(first, 50) == [str(n) for n in range(50)]
    first.close()
    second.close()
    one.join(PATIENCE_S)
    two.join(PATIENCE_S)
    assert room.bytes == 0
    assert not one.is_alive() and not two.is_alive()


def test_what_waits_is_one_page_as_far_as_that_may_be() -> None:
    clock, room = ManualClock(), Room(1 << 30)
    feed = Feed(lambda: Scripted(iter(map(page, range(9)))), clock, room, records_max=4)
    thread = threading.Thread(target=feed.run)
    thread.start()
    until(lambda: feed.pages == 9)
    assert [len(feed.ask().result(PATIENCE_S).page) for _ in range(3)] == [4, 4, 1]
    feed.close()
    thread.join(PATIENCE_S)


def test_who_asks_before_a_page_has_come_gets_it_and_the_end_too() -> None:
    room, gate = Room(1_000), threading.Event()

    def pages() -> Iterator[Page | ShardlakeError]:
        gate.wait()
        yield page(0)
        yield Transient("lost")

    feed = Feed(lambda: Scripted(pages()), SystemClock(), room)
    thread = threading.Thread(target=feed.run)
    thread.start()
    future = feed.ask()
    assert not future.done()
    gate.set()
    assert taken(future) == "0"
    with pytest.raises(Transient, match="lost"):
        feed.ask().result(PATIENCE_S)
    thread.join(PATIENCE_S)


def test_a_fault_of_our_own_ends_a_subscription_and_not_its_shard() -> None:
    feed, subscription, thread = feed_of([page(0), ZeroDivisionError("a payload")], Room(1_000))
    assert taken(feed.ask()) == "0"
    with pytest.raises(Transient, match="ZeroDivisionError") as told:
        feed.ask().result(PATIENCE_S)
    assert "payload" not in str(told.value)
    thread.join(PATIENCE_S)
    assert subscription.closed.is_set()


def test_what_is_let_go_while_it_is_opened_is_closed_at_once() -> None:
    opening, goes_on, subscription = threading.Event(), threading.Event(), Scripted(iter([page(0)]))

    def opened() -> Scripted:
        opening.set()
        goes_on.wait(PATIENCE_S)
        return subscription

    room = Room(1_000)
    feed = Feed(opened, SystemClock(), room)
    thread = threading.Thread(target=feed.run)
    thread.start()
    opening.wait(PATIENCE_S)
    feed.close()
    goes_on.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert subscription.closed.is_set()
    assert room.bytes == 0


def test_a_scrape_tells_which_shards_are_pushed() -> None:
    class Held:
        def lags(self) -> dict[str, Lag]:
            return {"s/one": Lag(is_pushed=True), "s/two": Lag()}

    meter = Meter()
    with meter.holding("w", 0, Held()):
        samples = [sample for family in Exposition(meter, SystemClock()).collect() for sample in family.samples]
    found = {s.labels["ShardId"]: s.value for s in samples if s.name == "shardlake_shard_pushed"}
    assert found == {"one": 1, "two": 0}
