"""SubscribeToShard: a shard's records as frames of an event stream, whenever somebody asks for the next one."""

import msgspec

from shardlake.adapters.kinesis.eventstream import frame
from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.consumers import find
from shardlake.testing.kinesis.errors import ServiceError
from shardlake.testing.kinesis.reading import behind, children_of, place_of
from shardlake.testing.kinesis.requests import GetShardIterator, OnConsumer, OnStream, Position, Subscribe
from shardlake.testing.kinesis.shard import Shard
from shardlake.testing.kinesis.stream import Consumer, Stream
from shardlake.testing.kinesis.throttle import Bucket, Window
from shardlake.testing.kinesis.world import World

_encode = msgspec.json.Encoder().encode
_KIND = ":event-type"
_INITIAL = frame({_KIND: "initial-response", ":content-type": "application/json", ":message-type": "event"}, b"{}")
_EVENT = {_KIND: "SubscribeToShardEvent", ":content-type": "application/json", ":message-type": "event"}


class Push:
    """One subscription, by the clock of its world. It costs nothing while nobody asks.

    `is_over` tells that nothing more comes, `is_cut` that the last frame was lost in part, and the connection with it.
    """

    def __init__(self, world: World, stream: Stream, shard: Shard, place: int, consumer: Consumer) -> None:
        self._world, self._stream, self._shard, self._consumer = world, stream, shard, consumer
        self._place = place
        self.began_s = world.clock.monotonic_s()
        self._told_s: float | None = None  # when the last event was sent
        self._flow = Bucket()
        self._has_begun = False
        self.is_over = self.is_cut = False

    def next(self) -> bytes | None:
        """Give the next frame; None if there is none yet, or none any more."""
        if not self._has_begun:
            self._has_begun = True
            return self._sent(_INITIAL)
        if self.is_over or self._world.clock.monotonic_s() - self.began_s >= self._world.behaviour.push_life_s:
            self.is_over = True
            return None
        try:
            self._check()
            event = self._event()
        except ServiceError as error:
            self.is_over = True
            return self._sent(frame({":message-type": "exception", ":exception-type": error.code}, error.body()))
        return None if event is None else self._sent(frame(_EVENT, event))

    def _sent(self, frame: bytes) -> bytes:
        spoil = self._world.behaviour.spoil
        arrives = frame if spoil is None else spoil(frame)
        self.is_cut = len(arrives) < len(frame)
        self.is_over |= self.is_cut
        return arrives

    def _check(self) -> None:
        """See that all is as it was at the start. Raises: ServiceError."""
        world, stream = self._world, self._stream
        if world.find(stream.name) is not stream or self._consumer.name not in stream.consumers:
            raise errors.not_found(f"Consumer {self._consumer.name} under stream {stream.name} not found.")
        world.shard(stream, self._shard.id)
        if self._consumer.newest.get(self._shard.id) is not self:
            raise errors.in_use(f"Another consumer has taken over the subscription to shard {self._shard.id}.")

    def _event(self) -> bytes | None:
        world, shard, behaviour = self._world, self._shard, self._world.behaviour
        now_s = world.clock.monotonic_s()
        left = self._flow.refill(now_s, behaviour.push_bytes_per_s)
        place = max(self._place, shard.first)
        after, size = place, 0
        fragments: list[bytes] = []
        if left > 0 and not world.chances(behaviour.empty_pages):
            after, fragments, size = shard.page(place, behaviour.page_records_max, behaviour.push_bytes_max)
            self._flow.leave(left - size)
        ends = after == shard.after and not shard.is_open
        is_due = self._told_s is None or now_s - self._told_s >= behaviour.push_idle_s
        if not fragments and not ends and not is_due:
            return None
        self._told_s, self._place, self.is_over = now_s, after, ends
        behind_ms = behind(world, shard, place, after)
        told = {"ContinuationSequenceNumber": self._continuation(fragments), "MillisBehindLatest": behind_ms}
        if ends:
            told = {"MillisBehindLatest": 0, "ContinuationSequenceNumber": None, "ChildShards": children_of(shard)}
        return b'{"Records":[' + b",".join(fragments) + b"]," + _encode(told)[1:]

    def _continuation(self, fragments: list[bytes]) -> str:
        """Give the number of the last record, or at the tip the newest one that a record of the shard may have.

        Where nothing has been read yet, and there is something, the number at which the shard begins.
        """
        shard, numbering = self._shard, self._shard.numbering
        if fragments:
            return fragments[-1].split(b'"', 4)[3].decode()
        if self._place == shard.after:
            return str(numbering.number(self._stream.serial, self._world.now_ms() // 1000))
        return str(numbering.number(shard.serial(self._place), numbering.made_s))


def subscribe(world: World, request: Subscribe) -> Push:
    """Open a subscription. Raises: ServiceError."""
    stream, consumer = find(world, OnConsumer(consumer_arn=request.consumer_arn))
    shard = world.shard(world.ready_stream(OnStream(stream_arn=stream.arn)), request.shard_id)
    now_s, behaviour = world.clock.monotonic_s(), world.behaviour
    if not consumer.windows.setdefault(shard.id, Window()).admits(now_s, behaviour.subscribes_per_s):
        raise errors.limit_exceeded(f"Rate exceeded for consumer {consumer.arn} and shard {shard.id}.")
    if consumer.status(now_s) != "ACTIVE":
        raise errors.in_use(f"Consumer {consumer.arn} is not ACTIVE, instead in state {consumer.status(now_s)}.")
    newest = consumer.newest.get(shard.id)
    if isinstance(newest, Push) and now_s - newest.began_s < behaviour.push_young_s:
        raise errors.in_use(f"Another active subscription exists for consumer {consumer.arn} and shard {shard.id}.")
    start = request.starting_position or Position("")
    place = place_of(
        world,
        stream,
        shard,
        GetShardIterator(
            shard_id=shard.id,
            shard_iterator_type=start.type,
            starting_sequence_number=start.sequence_number,
            timestamp=start.timestamp,
        ),
    )
    push = consumer.newest[shard.id] = Push(world, stream, shard, place, consumer)
    return push
