"""Consumers: the applications that are registered with a stream for enhanced fan-out."""

from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.requests import ListConsumers, OnConsumer, OnStream, RegisterConsumer
from shardlake.testing.kinesis.stream import Consumer, Stream
from shardlake.testing.kinesis.world import World

_CREATING_MAX = 5
_PAGE = 100


def register(world: World, request: RegisterConsumer) -> dict[str, object]:
    """Register a consumer; it is ready as soon as a stream that is made is."""
    stream, now_s = world.ready_stream(request), world.clock.monotonic_s()
    world.admit("RegisterStreamConsumer", "", world.behaviour.changes_per_s)
    name, most = request.consumer_name, world.behaviour.consumers_max
    if name in stream.consumers:
        raise errors.in_use(f"Consumer {name} under stream {stream.name} already exists.")
    if len(stream.consumers) >= most:
        raise errors.limit_exceeded(f"Stream {stream.name} has {most} consumers, and can have no more.")
    if sum(one.status(now_s) == "CREATING" for one in stream.consumers.values()) >= _CREATING_MAX:
        raise errors.limit_exceeded(f"{_CREATING_MAX} consumers of stream {stream.name} are being created.")
    made_ms = world.now_ms()
    arn = f"{stream.arn}/consumer/{name}:{made_ms // 1000}"
    consumer = Consumer(name, arn, made_ms, now_s + world.behaviour.creating_s)
    stream.consumers[name] = consumer
    return {"Consumer": {**_told(consumer, now_s), "ConsumerStatus": "CREATING"}}


def describe(world: World, request: OnConsumer) -> dict[str, object]:
    """Describe a consumer."""
    stream, consumer = find(world, request)
    world.admit("DescribeStreamConsumer", stream.name, world.behaviour.consumer_describes_per_s)
    return {"ConsumerDescription": {**_told(consumer, world.clock.monotonic_s()), "StreamARN": stream.arn}}


def deregister(world: World, request: OnConsumer) -> None:
    """Let a consumer go: what is pushed to it ends."""
    world.admit("DeregisterStreamConsumer", "", world.behaviour.changes_per_s)
    stream, consumer = find(world, request)
    now_s = world.clock.monotonic_s()
    consumer.leaves, consumer.due_s = True, now_s + world.behaviour.deleting_s
    stream.settle(now_s)


def list_consumers(world: World, request: ListConsumers) -> dict[str, object]:
    """List a page of a stream's consumers, by name."""
    stream, after = world.stream(request), ""
    world.admit("ListStreamConsumers", stream.name, world.behaviour.changes_per_s)
    if request.next_token is not None:
        match world.signer.open(request.next_token):
            case ["c", after]:
                pass
            case _:
                raise errors.invalid("Invalid NextToken.")
    found = [stream.consumers[name] for name in sorted(stream.consumers) if name > after]
    most, now_s = min(request.max_results or _PAGE, _PAGE), world.clock.monotonic_s()
    page: dict[str, object] = {"Consumers": [_told(consumer, now_s) for consumer in found[:most]]}
    if len(found) > most:
        page["NextToken"] = world.signer.seal("c", found[most - 1].name)
    return page


def find(world: World, request: OnConsumer) -> tuple[Stream, Consumer]:
    """Find a consumer. Raises: ServiceError if it is not there (ResourceNotFoundException), or not named."""
    stream_arn, name, arn = request.stream_arn, request.consumer_name, request.consumer_arn
    if arn is not None:
        stream_arn, _, named = arn.partition("/consumer/")
        name = named.partition(":")[0]
    if stream_arn is None or name is None:
        raise errors.invalid("Either ConsumerARN, or StreamARN and ConsumerName, must be given.")
    stream = world.stream(OnStream(stream_arn=stream_arn))
    consumer = stream.consumers.get(name)
    if consumer is None or arn not in (None, consumer.arn):
        raise errors.not_found(
            f"Consumer {name} under stream {stream.name} under account {world.behaviour.account} not found."
        )
    return stream, consumer


def _told(consumer: Consumer, now_s: float) -> dict[str, object]:
    return {
        "ConsumerName": consumer.name,
        "ConsumerARN": consumer.arn,
        "ConsumerStatus": consumer.status(now_s),
        "ConsumerCreationTimestamp": consumer.made_ms / 1000,
    }
