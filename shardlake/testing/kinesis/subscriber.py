"""Subscriptions in process: no thread waits, and the clock of the service decides what has come."""

from collections.abc import Callable

import msgspec

from shardlake.adapters.kinesis.faults import error_of, fault_of
from shardlake.adapters.kinesis.port import Subscription
from shardlake.adapters.kinesis.subscribe import ACTION, Events, request
from shardlake.adapters.kinesis.wire import Page
from shardlake.core.errors import Transient
from shardlake.testing.kinesis.model import EmbeddedKinesis
from shardlake.testing.kinesis.pushing import Push


class EmbeddedSubscriber:
    """The port's Subscriber over an embedded Kinesis. What is pushed passes through the real framing and parsing."""

    def __init__(self, kinesis: EmbeddedKinesis) -> None:
        self._kinesis = kinesis

    def open(self, consumer: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> Subscription:
        """Subscribe to a shard. See the port."""
        params = request(consumer, shard, kind, sequence, at_us)
        opened = self._kinesis.subscribe(msgspec.json.encode(params))
        if isinstance(opened, Push):
            return EmbeddedSubscription(opened.next, lambda: opened.is_over, Events(params))
        if opened.dropped:
            raise Transient(f"{ACTION}: no answer: it will be asked again")
        raise error_of(fault_of(ACTION, params, opened.status, opened.body, ""))


class EmbeddedSubscription:
    """The port's Subscription; it does not wait."""

    def __init__(self, more: Callable[[], bytes | None], is_over: Callable[[], bool], events: Events) -> None:
        self._more, self._is_over, self._events = more, is_over, events
        self._is_closed = False

    def next(self) -> Page | None:
        """Give the next event; None if there is none yet. See the port."""
        if self._is_closed:
            raise Transient("the subscription was closed")
        while (page := self._events.next()) is None:
            frame = self._more()
            if frame is not None:
                self._events.add(frame)
            elif self._is_over():
                raise self._events.end()
            else:
                return None
        return page

    def close(self) -> None:
        """Let go of it."""
        self._is_closed = True
