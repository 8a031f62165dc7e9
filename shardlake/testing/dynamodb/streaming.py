"""The actions of DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords."""

from typing import Any, Final

from shardlake.testing.dynamodb import errors
from shardlake.testing.dynamodb.requests import (
    DescribeStream,
    GetRecords,
    GetShardIterator,
    ListStreams,
    ShardFilter,
)
from shardlake.testing.dynamodb.shard import Shard
from shardlake.testing.dynamodb.stream import Stream, described
from shardlake.testing.dynamodb.world import World

Answer = dict[str, Any]
_BY_NUMBER: Final = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")
_KINDS: Final = (*_BY_NUMBER, "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")
_LIST_PAGE_MAX: Final = 100
_TRIMMED: Final = "The operation attempted to read past the oldest stream record in a shard."


# ------------------------------------------------------------------------------------------------------- listing


def list_streams(world: World, request: ListStreams) -> Answer:
    """List a page of the streams, the disabled ones that can still be read included."""
    world.admit("ListStreams", "", world.behaviour.lists_per_s)
    after = request.exclusive_start_stream_arn or ""
    _forget(world)
    found = [
        stream
        for arn, stream in sorted(world.streams.items())
        if arn > after and request.table_name in {None, stream.table}
    ]
    most = min(request.limit or _LIST_PAGE_MAX, _LIST_PAGE_MAX)
    told: Answer = {
        "Streams": [
            {"StreamArn": stream.arn, "TableName": stream.table, "StreamLabel": stream.label} for stream in found[:most]
        ]
    }
    return told | ({"LastEvaluatedStreamArn": found[most - 1].arn} if len(found) > most else {})


def describe_stream(world: World, request: DescribeStream) -> Answer:
    """Describe a stream and a page of its shards. That a page was full does not say that there are more."""
    world.admit("DescribeStream", "", world.behaviour.describes_per_s)
    stream = _stream(world, request.stream_arn)
    most = request.limit if request.limit is not None else world.behaviour.describe_page_max
    if not 1 <= most <= world.behaviour.describe_page_max:
        raise errors.not_valid(f"Limit must be from 1 to {world.behaviour.describe_page_max}.")
    after = request.exclusive_start_shard_id or ""
    found = [shard for shard in _visible(world, stream, request.shard_filter) if shard.id > after][:most]
    told: Answer = {
        "StreamArn": stream.arn,
        "StreamLabel": stream.label,
        "StreamStatus": "DISABLED" if stream.disabled_s < float("inf") else "ENABLED",
        "StreamViewType": stream.view,
        "CreationRequestDateTime": stream.made_ms / 1000,
        "TableName": stream.table,
        "KeySchema": stream.keys,
        "Shards": [described(shard, as_open=_told_open(world, stream, shard)) for shard in found],
    }
    if len(found) == most:
        told["LastEvaluatedShardId"] = found[-1].id
    return {"StreamDescription": told}


def _visible(world: World, stream: Stream, wanted: ShardFilter | None) -> list[Shard]:
    """List the shards that are described now. Raises: ServiceError if the filter is none, or names no shard."""
    seen_s = world.clock.monotonic_s() - world.behaviour.children_late_s
    shards = [stream.shards[shard_id] for shard_id in stream.ids]
    shown = [shard for shard in shards if shard.parent is None or shard.made_s <= seen_s]
    if wanted is None:
        return shown
    if wanted.type != "CHILD_SHARDS" or wanted.shard_id is None:
        raise errors.not_valid("ShardFilter needs the Type CHILD_SHARDS and a ShardId.")
    children = [shard for shard in shown if shard.parent == wanted.shard_id]
    if not children and wanted.shard_id not in stream.shards:
        raise _no_shard(wanted.shard_id, stream)
    return children


def _told_open(world: World, stream: Stream, shard: Shard) -> bool:
    if shard.is_open:
        return True
    if shard.closed_s == stream.disabled_s and world.behaviour.disabled_open:
        return True
    fresh = world.clock.monotonic_s() - shard.closed_s < world.behaviour.parents_open_s
    return bool(shard.children) and fresh and world.chances(world.behaviour.parents_open)


# ------------------------------------------------------------------------------------------------------- finding


def _forget(world: World) -> None:
    """Forget the streams that were disabled more than a day ago."""
    if world.behaviour.trims:
        horizon_s = world.clock.monotonic_s() - world.behaviour.retention_s
        for arn in [arn for arn, stream in world.streams.items() if stream.disabled_s < horizon_s]:
            del world.streams[arn]


def _stream(world: World, arn: str) -> Stream:
    """Find a stream, without the shards that are gone. Raises: ServiceError (ResourceNotFoundException)."""
    _forget(world)
    stream = world.streams.get(arn)
    if stream is None:
        raise errors.not_found(f"Requested resource not found: Stream: {arn} not found")
    if world.behaviour.trims:
        kept_s = world.behaviour.retention_s + world.behaviour.expired_listed_s
        stream.forget(world.clock.monotonic_s() - kept_s)
    return stream


def _no_shard(shard_id: str, stream: Stream) -> errors.ServiceError:
    return errors.not_found(f"Requested resource not found: Shard does not exist: {shard_id} of {stream.arn}")


def _shard(world: World, stream: Stream, shard_id: str) -> Shard:
    """Find a shard, trimmed. Raises: ServiceError (ResourceNotFoundException)."""
    shard = stream.shards.get(shard_id)
    if shard is None:
        raise _no_shard(shard_id, stream)
    if world.behaviour.trims:
        shard.trim(world.clock.monotonic_s() - world.behaviour.retention_s)
    return shard


def _trimmed() -> errors.ServiceError:
    return errors.ServiceError("TrimmedDataAccessException", _TRIMMED)


# ------------------------------------------------------------------------------------------------------- reading


def get_shard_iterator(world: World, request: GetShardIterator) -> Answer:
    """Give an iterator for a place in a shard."""
    stream = _stream(world, request.stream_arn)
    shard = _shard(world, stream, request.shard_id)
    return {"ShardIterator": _seal(world, stream, shard, _place(world, shard, request))}


def _seal(world: World, stream: Stream, shard: Shard, place: int) -> str:
    return world.signer.seal("i", stream.arn, shard.id, place, world.clock.monotonic_s())


def _place(world: World, shard: Shard, request: GetShardIterator) -> int:
    kind, number = request.shard_iterator_type, request.sequence_number
    if kind not in _KINDS:
        raise errors.not_valid(f"ShardIteratorType must be one of {', '.join(_KINDS)}.")
    if kind in _BY_NUMBER:
        if number is None:
            raise errors.not_valid(f"ShardIteratorType {kind} needs a SequenceNumber.")
        return _place_of_number(shard, number, after=kind == "AFTER_SEQUENCE_NUMBER")
    if number is not None:
        raise errors.not_valid(f"ShardIteratorType {kind} takes no SequenceNumber.")
    if kind == "AT_TIMESTAMP":
        if request.timestamp is None or request.timestamp * 1000 > world.now_ms():
            raise errors.not_valid("ShardIteratorType AT_TIMESTAMP needs a Timestamp that is not in the future.")
        return max(shard.first, shard.place_of_time(request.timestamp))
    return shard.first if kind == "TRIM_HORIZON" else shard.after


def _place_of_number(shard: Shard, number: str, *, after: bool) -> int:
    """Give the place of a number. Raises: ServiceError if the shard cannot have it, or has it no more."""
    if not number.isascii() or not number.isdecimal() or not 21 <= len(number) <= 40:
        raise errors.not_valid("SequenceNumber has 21 to 40 digits.")
    value = int(number)
    if not shard.starting <= value <= shard.ending:
        raise errors.not_valid(f"SequenceNumber {value} did not come from shard {shard.id}.")
    if value <= shard.trimmed:
        raise _trimmed()
    return shard.place_of_number(value + after)


def get_records(world: World, request: GetRecords) -> bytes:
    """Give a page: records, and where to go on unless the shard has ended here."""
    behaviour = world.behaviour
    most = request.limit if request.limit is not None else behaviour.records_max
    if most > behaviour.records_max:
        raise errors.limit_exceeded(f"Limit must be at most {behaviour.records_max}.")
    if most < 1:
        raise errors.not_valid("Limit must be at least 1.")
    stream, shard, place = _opened(world, request.shard_iterator)
    world.admit("GetRecords", shard.id, behaviour.reads_per_s)
    if place < shard.first:
        raise _trimmed()
    after = place
    fragments: list[bytes] = []
    if not world.chances(behaviour.empty_pages):
        after, fragments = shard.page(place, most, behaviour.records_bytes_max)
    page = b'{"Records":[' + b",".join(fragments) + b"]"
    ended = after == shard.after and not shard.is_open
    if ended and (not fragments or not world.chances(behaviour.end_apart)):
        return page + b"}"
    return page + b',"NextShardIterator":"' + _seal(world, stream, shard, after).encode() + b'"}'


def _opened(world: World, token: str) -> tuple[Stream, Shard, int]:
    """Read an iterator. Raises: ServiceError if it is none, has expired, or names what is gone."""
    fields = world.signer.open(token)
    if fields is None or len(fields) != 5 or fields[0] != "i":
        raise errors.not_valid("Invalid ShardIterator.")
    _, arn, shard_id, place, issued_s = fields
    if world.clock.monotonic_s() - float(issued_s) > world.behaviour.iterator_life_s:
        raise errors.ServiceError(
            "ExpiredIteratorException", "Iterator expired. The iterator was created more than 15 minutes ago."
        )
    stream = _stream(world, arn)
    return stream, _shard(world, stream, shard_id), int(place)
