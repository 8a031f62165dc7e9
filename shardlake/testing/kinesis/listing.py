"""What there is: shards, streams, limits."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.reading import milliseconds
from shardlake.testing.kinesis.requests import (
    DescribeLimits,
    DescribeStream,
    ListShards,
    ListStreams,
    OnStream,
    ShardFilter,
)
from shardlake.testing.kinesis.shard import Shard
from shardlake.testing.kinesis.stream import Stream, described
from shardlake.testing.kinesis.world import World

_ON_DEMAND_STREAMS_MAX = 50
_T = TypeVar("_T")


def list_shards(world: World, request: ListShards) -> dict[str, object]:
    """List a page of the shards that a filter lets through, in the order of their ids."""
    if request.next_token is None:
        stream, wanted, after = world.stream(request), request.shard_filter, request.exclusive_start_shard_id
    else:
        stream, wanted, after = _continued(world, request)
    world.admit("ListShards", stream.name, world.behaviour.list_shards_per_s)
    if stream.status == "CREATING":
        raise errors.in_use(f"Stream {stream.name} under account {world.behaviour.account} not ACTIVE.")
    if wanted is not None and wanted.type == "AFTER_SHARD_ID":
        after = max(after or "", _told(wanted.shard_id, "ShardId", wanted.type))
    passes = _filter(world, stream, wanted)
    found = [shard for shard in _visible(world, stream) if passes(shard) and (after is None or shard.id > after)]
    most = min(request.max_results or world.behaviour.list_page_max, world.behaviour.list_page_max)
    page: dict[str, object] = {"Shards": [described(shard) for shard in found[:most]]}
    if len(found) > most:
        kind, timestamp = ("", "") if wanted is None else (wanted.type, wanted.timestamp)
        fields = (stream.name, stream.number, found[most - 1].id, kind, timestamp, world.clock.monotonic_s())
        page["NextToken"] = world.signer.seal("l", *fields)
    return page


def _continued(world: World, request: ListShards) -> tuple[Stream, ShardFilter | None, str]:
    """Read a token. Raises: ServiceError if there are other arguments, or the token is not ours or too old."""
    if request.stream_name or request.stream_arn:
        raise errors.invalid("NextToken and StreamName cannot be provided together.")
    if request.exclusive_start_shard_id or request.shard_filter or request.stream_creation_timestamp:
        raise errors.invalid("NextToken cannot be provided together with where or what to list.")
    match world.signer.open(request.next_token or ""):
        case ["l", name, number, after, kind, timestamp, issued_s]:
            _check_age(world, issued_s)
            stream = world.find(name)
            if stream is None or stream.number != int(number):
                raise errors.not_found(f"Stream {name} under account {world.behaviour.account} not found.")
            told = None if timestamp in {"", "None"} else float(timestamp)
            # The page before has passed the shard that AFTER_SHARD_ID named.
            wanted = ShardFilter(kind, shard_id=after, timestamp=told) if kind else None
            return stream, wanted, after
        case _:
            raise errors.invalid("Invalid NextToken.")


def _check_age(world: World, issued_s: str) -> None:
    if world.clock.monotonic_s() - float(issued_s) > world.behaviour.token_life_s:
        raise errors.ServiceError("ExpiredNextTokenException", "NextToken expired: list again from the beginning.")


def _filter(world: World, stream: Stream, wanted: ShardFilter | None) -> Callable[[Shard], bool]:
    match wanted.type if wanted is not None else "FROM_TRIM_HORIZON":
        case "AT_LATEST":
            return lambda shard: shard.is_open
        case "AT_TRIM_HORIZON":
            return _open_at(_horizon_ms(world, stream))
        case "AT_TIMESTAMP":
            return _open_at(_filter_ms(world, stream, wanted))
        case "FROM_TIMESTAMP":
            since_ms = _filter_ms(world, stream, wanted)
            return lambda shard: shard.closed_ms is None or shard.closed_ms >= since_ms
    return lambda _: True


def _open_at(moment_ms: int) -> Callable[[Shard], bool]:
    """Let a shard through that was open at a moment: its first and its last one count."""
    return lambda shard: shard.made_ms <= moment_ms and (shard.closed_ms is None or shard.closed_ms >= moment_ms)


def _horizon_ms(world: World, stream: Stream) -> int:
    return max(stream.made_ms, world.horizon_ms(stream) or 0)


def _filter_ms(world: World, stream: Stream, wanted: ShardFilter | None) -> int:
    """Give a filter's moment, no earlier than the stream's oldest.

    Raises: ServiceError (InvalidArgumentException) if it has none, or one in the future.
    """
    assert wanted is not None, "no filter asks for its moment"
    asked_ms = milliseconds(_told(wanted.timestamp, "Timestamp", wanted.type))
    if asked_ms > world.now_ms():
        raise errors.invalid(f"The Timestamp of a filter {wanted.type} cannot be in the future.")
    return max(asked_ms, _horizon_ms(world, stream))


def _told(value: _T | None, name: str, kind: str) -> _T:
    if value is None:
        raise errors.invalid(f"A filter {kind} must have a {name}.")
    return value


def _visible(world: World, stream: Stream) -> list[Shard]:
    horizon_ms = world.horizon_ms(stream)
    if horizon_ms is not None:
        for shard in stream.shards.values():
            shard.trim(horizon_ms)
    return stream.visible(horizon_ms)


def describe_stream(world: World, request: DescribeStream) -> dict[str, object]:
    """Describe a stream with a page of its shards."""
    world.admit("DescribeStream", "", world.behaviour.describes_per_s)
    stream = world.stream(request)
    after = request.exclusive_start_shard_id or ""
    found = [shard for shard in _visible(world, stream) if shard.id > after]
    most = min(request.limit or world.behaviour.describe_page_max, world.behaviour.describe_page_max)
    description = _common(stream) | {
        "Shards": [described(shard) for shard in found[:most]],
        "HasMoreShards": len(found) > most,
    }
    return {"StreamDescription": description}


def describe_stream_summary(world: World, request: OnStream) -> dict[str, object]:
    """Describe a stream without its shards."""
    world.admit("DescribeStreamSummary", "", world.behaviour.summaries_per_s)
    stream = world.stream(request)
    summary = _common(stream) | {
        "OpenShardCount": len(stream.open_shards()),
        "ConsumerCount": len(stream.consumers),
        "MaxRecordSizeInKiB": stream.record_kib,
        "RecordDistributionStrategy": stream.distribution,
    }
    return {"StreamDescriptionSummary": summary}


def _common(stream: Stream) -> dict[str, object]:
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status,
        "StreamModeDetails": {"StreamMode": stream.mode},
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": stream.made_ms / 1000,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def list_streams(world: World, request: ListStreams) -> dict[str, object]:
    """List a page of the streams, by name."""
    world.admit("ListStreams", "", world.behaviour.changes_per_s)
    after = request.exclusive_start_stream_name or ""
    if request.next_token is not None:
        match world.signer.open(request.next_token):
            case ["s", after, issued_s]:
                _check_age(world, issued_s)
            case _:
                raise errors.invalid("Invalid NextToken.")
    found = [stream for stream in world.all_streams() if stream.name > after]
    most = min(request.limit or 100, 100)
    page: dict[str, object] = {
        "StreamNames": [stream.name for stream in found[:most]],
        "HasMoreStreams": len(found) > most,
        "StreamSummaries": [_summary(stream) for stream in found[:most]],
    }
    if len(found) > most:
        page["NextToken"] = world.signer.seal("s", found[most - 1].name, world.clock.monotonic_s())
    return page


def _summary(stream: Stream) -> dict[str, object]:
    names = ("StreamName", "StreamARN", "StreamStatus", "StreamModeDetails", "StreamCreationTimestamp")
    common = _common(stream)
    return {name: common[name] for name in names}


def describe_limits(world: World, _: DescribeLimits) -> dict[str, object]:
    """Tell how many shards and streams there are, and may be."""
    world.admit("DescribeLimits", "", world.behaviour.changes_per_s)
    streams = world.all_streams()
    return {
        "ShardLimit": world.behaviour.shards_max,
        "OpenShardCount": open_shards(streams),
        "OnDemandStreamCount": sum(stream.mode == "ON_DEMAND" for stream in streams),
        "OnDemandStreamCountLimit": _ON_DEMAND_STREAMS_MAX,
    }


def open_shards(streams: Iterable[Stream]) -> int:
    """Count open shards."""
    return sum(len(stream.open_shards()) for stream in streams)
