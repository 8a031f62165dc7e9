"""The service as a function: the name of an action and a request in, a response out."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from shardlake.core.ports import Clock
from shardlake.testing.kinesis import consumers, control, errors, listing, pushing, reading, requests, writing
from shardlake.testing.kinesis.behaviour import Behaviour, Fault
from shardlake.testing.kinesis.errors import ServiceError
from shardlake.testing.kinesis.pushing import Push
from shardlake.testing.kinesis.world import World

_encode = msgspec.json.Encoder().encode
_Handler = Callable[[World, Any], object]

SUBSCRIBE = "SubscribeToShard"

# Requests whose fields their handlers check: they hold many records, or none of the fields that `check` knows.
_CHECKED_THERE = (requests.PutRecords, requests.PutRecord)

_HANDLERS: dict[str, tuple[type[requests.Request], _Handler]] = {
    "AddTagsToStream": (requests.AddTags, control.add_tags),
    "CreateStream": (requests.CreateStream, control.create_stream),
    "DecreaseStreamRetentionPeriod": (requests.ChangeRetention, control.decrease_retention),
    "DeleteStream": (requests.OnStream, control.delete_stream),
    "DeregisterStreamConsumer": (requests.OnConsumer, consumers.deregister),
    "DescribeLimits": (requests.DescribeLimits, listing.describe_limits),
    "DescribeStream": (requests.DescribeStream, listing.describe_stream),
    "DescribeStreamConsumer": (requests.OnConsumer, consumers.describe),
    "DescribeStreamSummary": (requests.OnStream, listing.describe_stream_summary),
    "GetRecords": (requests.GetRecords, reading.get_records),
    "GetShardIterator": (requests.GetShardIterator, reading.get_shard_iterator),
    "IncreaseStreamRetentionPeriod": (requests.ChangeRetention, control.increase_retention),
    "ListShards": (requests.ListShards, listing.list_shards),
    "ListStreamConsumers": (requests.ListConsumers, consumers.list_consumers),
    "ListStreams": (requests.ListStreams, listing.list_streams),
    "ListTagsForStream": (requests.ListTags, control.list_tags),
    "MergeShards": (requests.MergeShards, control.merge_shards),
    "PutRecord": (requests.PutRecord, writing.put_record),
    "PutRecords": (requests.PutRecords, writing.put_records),
    "RegisterStreamConsumer": (requests.RegisterConsumer, consumers.register),
    "RemoveTagsFromStream": (requests.RemoveTags, control.remove_tags),
    SUBSCRIBE: (requests.Subscribe, pushing.subscribe),
    "SplitShard": (requests.SplitShard, control.split_shard),
    "UpdateMaxRecordSize": (requests.UpdateMaxRecordSize, control.update_max_record_size),
    "UpdateShardCount": (requests.UpdateShardCount, control.update_shard_count),
    "UpdateStreamRecordDistributionStrategy": (requests.UpdateDistribution, control.update_distribution),
}
_ACTIONS = {
    action: (msgspec.json.Decoder(request), handler, issubclass(request, _CHECKED_THERE))
    for action, (request, handler) in _HANDLERS.items()
}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. With `dropped` it never arrives; otherwise it does, `delay_s` late."""

    status: int
    body: bytes
    delay_s: float = 0.0
    dropped: bool = False

    def fields(self) -> dict[str, Any]:
        """Give the answer's fields. Raises: ServiceError if it is an error, or never arrives."""
        answer: dict[str, Any] = msgspec.json.decode(self.body) if self.body else {}
        if self.status != 200:
            raise ServiceError(answer.get("__type", "dropped"), answer.get("message", ""), self.status)
        return answer


_DEFAULT = Behaviour()


class EmbeddedKinesis:
    """Kinesis Data Streams in memory, without threads, files or sockets, and not to be called by two threads at once.

    `behaviour` may be replaced at any time and holds from the next call on.
    """

    def __init__(self, clock: Clock, random: random.Random, behaviour: Behaviour = _DEFAULT) -> None:
        self._world = World(clock, random, behaviour)
        self._faults: list[tuple[Fault, str | None]] = []

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour in force."""
        return self._world.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._world.behaviour = behaviour

    def call(self, action: str, body: bytes) -> Response:
        """Answer a request, as the service would or as a fault makes it; never raises for what a request holds.

        Of a subscription that is opened here nothing comes: see `subscribe`.
        """
        answer = self._come_of(action, body)
        return answer if isinstance(answer, Response) else Response(200, b"")

    def subscribe(self, body: bytes) -> Push | Response:
        """Open a subscription, whose answer has no end; a response if it is refused, or as a fault makes it."""
        return self._come_of(SUBSCRIBE, body)

    def _come_of(self, action: str, body: bytes) -> Push | Response:
        fault = self._fault(action, body)
        if fault is None:
            return self._answer(action, body)
        harmless = fault.code is None and not fault.dropped
        answer = self._answer(action, body) if harmless or fault.applied else None
        if fault.dropped:
            return Response(0, b"", fault.delay_s, dropped=True)
        if answer is not None and fault.code is None:
            return Response(answer.status, answer.body, fault.delay_s) if isinstance(answer, Response) else answer
        return Response(fault.status, errors.error_body(fault.code or "", fault.message), fault.delay_s)

    def ask(self, action: str, **fields: object) -> dict[str, Any]:
        """Call an action with a request's fields and give its answer's. Raises: ServiceError if it is an error."""
        return self.call(action, _encode(fields)).fields()

    def inject(self, fault: Fault, action: str | None = None, times: int = 1) -> None:
        """Let the next calls (of one action, or of any) go wrong; faults that wait come in the order they were put."""
        self._faults.extend([(fault, action)] * times)

    def clear_faults(self) -> None:
        """Forget the faults that still wait."""
        self._faults.clear()

    def _fault(self, action: str, body: bytes) -> Fault | None:
        for place, (fault, wanted) in enumerate(self._faults):
            if wanted in (None, action):
                del self._faults[place]
                return fault
        hook = self._world.behaviour.fault
        return hook(action, body) if hook is not None else None

    def _answer(self, action: str, body: bytes) -> Push | Response:
        known = _ACTIONS.get(action)
        if known is None:
            return Response(400, errors.error_body("UnknownOperationException", f"There is no action {action[:64]}."))
        decoder, handler, checked_there = known
        try:
            request = decoder.decode(body or b"{}")
            if not checked_there:
                requests.check(request)
            answer = handler(self._world, request)
        except msgspec.DecodeError as error:
            missing = str(error).startswith("Object missing required field")
            code = "ValidationException" if missing else "SerializationException"
            return Response(400, errors.error_body(code, str(error)))
        except ServiceError as error:
            return Response(error.status, error.body())
        if isinstance(answer, Push):
            return answer
        if answer is None:
            return Response(200, b"")
        return Response(200, answer if isinstance(answer, bytes) else _encode(answer))
