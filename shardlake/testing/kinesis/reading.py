"""GetShardIterator and GetRecords."""

import math

import msgspec

from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.requests import GetRecords, GetShardIterator
from shardlake.testing.kinesis.shard import Shard
from shardlake.testing.kinesis.stream import Stream, hash_range
from shardlake.testing.kinesis.tokens import Iterator
from shardlake.testing.kinesis.world import World

_encode = msgspec.json.Encoder().encode
_EITHER = (
    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "
    "(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber."
)
_BY_NUMBER = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")


def get_shard_iterator(world: World, request: GetShardIterator) -> dict[str, str]:
    """Give an iterator for a place in a shard."""
    stream = world.ready_stream(request)
    shard = world.shard(stream, request.shard_id)
    place = place_of(world, stream, shard, request)
    now_s = world.clock.monotonic_s()
    if not shard.iterators.admits(now_s, world.behaviour.iterators_per_s):
        raise _too_fast(world, stream, shard)
    iterator = Iterator(stream.number, stream.name, shard.id, place, now_s)
    return {"ShardIterator": world.signer.seal_iterator(iterator)}


def place_of(world: World, stream: Stream, shard: Shard, request: GetShardIterator) -> int:
    """Give the place that a request means. Raises: ServiceError (InvalidArgumentException) if it means none."""
    kind, number = request.shard_iterator_type, request.starting_sequence_number
    if kind in _BY_NUMBER:
        if not number:
            raise errors.invalid(f"{_EITHER} Request specified {kind} and no StartingSequenceNumber.")
        serial = _serial(world, stream, shard, number)
        return shard.place_of_serial(serial + (kind == "AFTER_SEQUENCE_NUMBER"))
    if number:
        raise errors.invalid(f"{_EITHER} Request specified {kind} and also a StartingSequenceNumber.")
    if kind == "AT_TIMESTAMP":
        return shard.place_of_time(_past_ms(world, request.timestamp))
    return shard.first if kind == "TRIM_HORIZON" else shard.after


def _serial(world: World, stream: Stream, shard: Shard, number: str) -> int:
    """Read a sequence number. Raises: ServiceError (InvalidArgumentException) if the shard did not issue it."""
    value = int(number)
    serial = shard.numbering.serial(value)
    ends = not shard.is_open and value == shard.numbering.last()
    if serial is None or (serial > stream.serial and not ends):
        raise errors.invalid(
            f"StartingSequenceNumber {number} used in GetShardIterator on shard {shard.id} in stream {stream.name} "
            f"under account {world.behaviour.account} is invalid because it did not come from this stream.",
        )
    return serial


def _past_ms(world: World, timestamp: float | None) -> int:
    """Read a timestamp. Raises: ServiceError (InvalidArgumentException) if there is none or it lies in the future."""
    if timestamp is None:
        raise errors.invalid(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. "
            "Current request has no timestamp parameter.",
        )
    asked_ms, now_ms = milliseconds(timestamp), world.now_ms()
    if asked_ms > now_ms:
        raise errors.invalid(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
            f"timestampInMillis: {asked_ms}, currentTimestampInMillis: {now_ms}",
        )
    return asked_ms


def milliseconds(timestamp: float) -> int:
    """Give the whole milliseconds of a timestamp in seconds."""
    return math.floor(round(timestamp * 1000, 3))


def get_records(world: World, request: GetRecords) -> bytes:
    """Give a page: records, where to go on unless the shard ends here, and its children if it does."""
    now_s, behaviour = world.clock.monotonic_s(), world.behaviour
    stream, iterator = _opened(world, request, now_s)
    shard = world.shard(stream, iterator.shard_id)
    bytes_left = shard.read_bytes.refill(now_s, behaviour.read_bytes_per_s)
    if bytes_left <= 0 or not shard.reads.admits(now_s, behaviour.reads_per_s):
        raise _too_fast(world, stream, shard)
    place = max(iterator.place, shard.first)
    after, size = place, 0
    fragments: list[bytes] = []
    if not world.chances(behaviour.empty_pages):
        records_max = min(request.limit or behaviour.page_records_max, behaviour.page_records_max)
        after, fragments, size = shard.page(place, records_max, behaviour.page_bytes_max)
    _pay(shard, bytes_left, size, behaviour.read_bytes_per_s)
    tail = _tail(world, stream, shard, place, after, now_s)
    if not fragments:
        return b'{"Records":[' + tail
    # The page is copied once: what goes before and after it is glued to its first and last record.
    fragments[0] = b'{"Records":[' + fragments[0]
    fragments[-1] += tail
    return b",".join(fragments)


def _opened(world: World, request: GetRecords, now_s: float) -> tuple[Stream, Iterator]:
    """Read an iterator. Raises: ServiceError if it was not issued here, has expired, or its stream is gone."""
    iterator = world.signer.open_iterator(request.shard_iterator)
    if iterator is None:
        raise errors.invalid("Invalid ShardIterator.")
    age_s, life_s = now_s - iterator.issued_s, world.behaviour.iterator_life_s
    if age_s > life_s:
        raise errors.ServiceError(
            "ExpiredIteratorException",
            f"Iterator expired. It was created {age_s:.3f} seconds ago, "
            f"which is more than the tolerated delay of {life_s * 1000:.0f} milliseconds.",
        )
    stream = world.find(iterator.stream_name)
    if stream is None or stream.number != iterator.stream:
        raise errors.not_found(f"Stream {iterator.stream_name} under account {world.behaviour.account} not found.")
    if request.stream_arn is not None and request.stream_arn != stream.arn:
        raise errors.invalid("StreamARN and ShardIterator name two different streams.")
    return stream, iterator


def _pay(shard: Shard, bytes_left: float, size: int, per_s: int | None) -> None:
    """Take a page's bytes from the shard's budget. A page of more than a second's worth is paid for in full."""
    if per_s is not None:
        shard.read_bytes.leave(-float(size) if size >= per_s else bytes_left - size)


def _tail(world: World, stream: Stream, shard: Shard, place: int, after: int, now_s: float) -> bytes:
    """Write what follows a page's records."""
    at_tip = after == shard.after
    behind_ms = behind(world, shard, place, after)
    if at_tip and not shard.is_open and (after == place or not world.chances(world.behaviour.end_apart)):
        children = _encode(children_of(shard))
        return b'],"MillisBehindLatest":0,"ChildShards":' + children + b"}"
    iterator = Iterator(stream.number, stream.name, shard.id, after, now_s)
    token = world.signer.seal_iterator(iterator)
    return f'],"MillisBehindLatest":{behind_ms},"NextShardIterator":"{token}"}}'.encode()


def behind(world: World, shard: Shard, place: int, after: int) -> int:
    """Give the milliseconds that a page from one place to another is behind the tip."""
    if after == shard.after:
        return 0
    return max(1, world.now_ms() - shard.stored_ms(after - 1 if after > place else place))


def children_of(shard: Shard) -> list[dict[str, object]]:
    """Describe the shards that follow one."""
    return [
        {
            "ShardId": child.id,
            "ParentShards": [parent.id for parent in child.parents],
            "HashKeyRange": hash_range(child),
        }
        for child in shard.children
    ]


def _too_fast(world: World, stream: Stream, shard: Shard) -> errors.ServiceError:
    return errors.throughput_exceeded(
        f"Rate exceeded for shard {shard.id} in stream {stream.name} under account {world.behaviour.account}.",
    )
