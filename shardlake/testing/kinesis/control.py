"""What changes a stream: its making, its end, its shards, its settings."""

from collections.abc import Callable

from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.listing import open_shards
from shardlake.testing.kinesis.requests import (
    AddTags,
    ChangeRetention,
    CreateStream,
    ListTags,
    MergeShards,
    OnStream,
    RemoveTags,
    SplitShard,
    UpdateDistribution,
    UpdateMaxRecordSize,
    UpdateShardCount,
)
from shardlake.testing.kinesis.resharding import begin_even, make_even, merge, split
from shardlake.testing.kinesis.shard import HASH_KEYS, Shard
from shardlake.testing.kinesis.stream import Stream
from shardlake.testing.kinesis.world import World

_ON_DEMAND_SHARDS = 4
_RETENTION_HOURS = (24, 8_760)
_TAGS_MAX = 50


def create_stream(world: World, request: CreateStream) -> None:
    """Make a stream, of as many shards as asked for or, on demand, of four."""
    name = request.stream_name
    assert name is not None, "a request without a name got past its check"
    world.admit("CreateStream", "", world.behaviour.changes_per_s)
    if world.find(name) is not None:
        raise errors.in_use(f"Stream {name} under account {world.behaviour.account} already exists.")
    on_demand = request.stream_mode_details is not None and request.stream_mode_details.stream_mode == "ON_DEMAND"
    if on_demand and request.shard_count is not None:
        raise errors.not_valid("ShardCount must not be given for a stream in mode ON_DEMAND.")
    if not on_demand and request.shard_count is None:
        raise errors.not_valid("ShardCount must be given for a stream in mode PROVISIONED.")
    strategy = request.record_distribution_strategy or "USER_PARTITION_KEY"
    if strategy == "AUTO" and not on_demand:
        raise errors.not_valid("RecordDistributionStrategy AUTO needs a stream in mode ON_DEMAND.")
    count = _ON_DEMAND_SHARDS if on_demand else request.shard_count or 0
    _check_room(world, count)
    world.streams_made += 1
    stream = Stream(name, world.streams_made, world.arn(name), world.now_ms())
    stream.mode = "ON_DEMAND" if on_demand else "PROVISIONED"
    stream.distribution = strategy
    stream.retention_hours = world.behaviour.retention_hours
    stream.record_kib = request.max_record_size_in_ki_b or world.behaviour.record_kib
    stream.tags = dict(request.tags or {})
    world.streams[name] = stream
    _later(world, stream, "CREATING", world.behaviour.creating_s, lambda now_ms: begin_even(stream, count, now_ms))


def delete_stream(world: World, request: OnStream) -> None:
    """Remove a stream with all that is in it."""
    world.admit("DeleteStream", "", world.behaviour.changes_per_s)
    stream = world.stream(request)
    if stream.status == "DELETING":
        return
    _later(world, stream, "DELETING", world.behaviour.deleting_s, lambda _: world.streams.pop(stream.name, None))


def split_shard(world: World, request: SplitShard) -> None:
    """Make two shards of one."""
    world.admit("SplitShard", "", world.behaviour.changes_per_s)
    stream = _provisioned(world, request)
    shard = _whole(world, stream, request.shard_to_split)
    at = int(request.new_starting_hash_key)
    if not shard.begin + 1 < at < shard.end:
        raise errors.invalid(
            f"NewStartingHashKey {at} used in SplitShard() on shard {shard.id} in stream {stream.name} under account "
            f"{world.behaviour.account} is not both greater than one plus the shard's StartingHashKey {shard.begin} "
            f"and less than the shard's EndingHashKey {shard.end}.",
        )
    _check_room(world, 1)
    _later(world, stream, "UPDATING", world.behaviour.updating_s, lambda now_ms: split(stream, shard, at, now_ms))


def merge_shards(world: World, request: MergeShards) -> None:
    """Make one shard of two that meet."""
    world.admit("MergeShards", "", world.behaviour.changes_per_s)
    stream = _provisioned(world, request)
    shard = _whole(world, stream, request.shard_to_merge)
    other = _whole(world, stream, request.adjacent_shard_to_merge)
    if shard.end + 1 != other.begin and other.end + 1 != shard.begin:
        raise errors.invalid(
            f"Shards {shard.id} and {other.id} in stream {stream.name} under account {world.behaviour.account} "
            "are not an adjacent pair of shards eligible for merging",
        )
    _later(world, stream, "UPDATING", world.behaviour.updating_s, lambda now_ms: merge(stream, shard, other, now_ms))


def update_shard_count(world: World, request: UpdateShardCount) -> dict[str, object]:
    """Bring a stream to so many even shards: at most twice, at least half as many as there are."""
    world.admit("UpdateShardCount", "", world.behaviour.changes_per_s)
    stream = _provisioned(world, request)
    now, target = len(stream.open_shards()), request.target_shard_count
    if target > 2 * now or 2 * target < now:
        raise errors.invalid(
            f"UpdateShardCount cannot take stream {stream.name} from {now} to {target} open shards: "
            "at most double, at least half of them.",
        )
    _check_room(world, target - now)
    most = world.behaviour.count_changes_per_day
    if not stream.count_changes.admits(world.clock.monotonic_s(), most):
        raise errors.limit_exceeded(f"UpdateShardCount was called {most} times for stream {stream.name} in 24 hours.")
    _later(world, stream, "UPDATING", world.behaviour.updating_s, lambda now_ms: make_even(stream, target, now_ms))
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": now,
        "TargetShardCount": target,
    }


def increase_retention(world: World, request: ChangeRetention) -> None:
    """Keep records for longer."""
    _change_retention(world, request, 1)


def decrease_retention(world: World, request: ChangeRetention) -> None:
    """Keep records less long: those that are older than that go at once."""
    _change_retention(world, request, -1)


def _change_retention(world: World, request: ChangeRetention, sign: int) -> None:
    world.admit("StreamRetentionPeriod", "", world.behaviour.changes_per_s)
    stream = world.idle_stream(request)
    asked, (least, most) = request.retention_period_hours, _RETENTION_HOURS
    if not least <= asked <= most:
        raise errors.invalid(f"RetentionPeriodHours must be from {least} to {most}; {asked} is not.")
    if (asked - stream.retention_hours) * sign < 0:
        raise errors.invalid(
            f"Requested retention period ({asked} hours) for stream {stream.name} can not be "
            f"{'shorter' if sign > 0 else 'longer'} than existing retention period ({stream.retention_hours} hours). "
            f"Use {'Decrease' if sign > 0 else 'Increase'}RetentionPeriod API.",
        )
    horizon_ms = world.horizon_ms(stream)
    if horizon_ms is not None:
        for shard in stream.shards.values():
            shard.trim(horizon_ms)
    stream.retention_hours = asked


def update_max_record_size(world: World, request: UpdateMaxRecordSize) -> None:
    """Change the size of the largest record that a stream takes."""
    world.admit("UpdateMaxRecordSize", "", world.behaviour.changes_per_s)
    world.idle_stream(request).record_kib = request.max_record_size_in_ki_b


def update_distribution(world: World, request: UpdateDistribution) -> None:
    """Let keys decide about the shard, or the service."""
    world.admit("UpdateStreamRecordDistributionStrategy", "", world.behaviour.changes_per_s)
    stream = world.idle_stream(request)
    if request.record_distribution_strategy == "AUTO" and stream.mode != "ON_DEMAND":
        raise errors.not_valid("RecordDistributionStrategy AUTO needs a stream in mode ON_DEMAND.")
    stream.distribution = request.record_distribution_strategy


def add_tags(world: World, request: AddTags) -> None:
    """Add tags to a stream."""
    world.admit("AddTagsToStream", "", world.behaviour.changes_per_s)
    stream = world.stream(request)
    tags = stream.tags | request.tags
    if len(tags) > _TAGS_MAX:
        raise errors.invalid(f"Stream {stream.name} can have at most {_TAGS_MAX} tags.")
    stream.tags = tags


def remove_tags(world: World, request: RemoveTags) -> None:
    """Take tags from a stream."""
    world.admit("RemoveTagsFromStream", "", world.behaviour.changes_per_s)
    stream = world.stream(request)
    stream.tags = {key: value for key, value in stream.tags.items() if key not in request.tag_keys}


def list_tags(world: World, request: ListTags) -> dict[str, object]:
    """List a stream's tags by key."""
    world.admit("ListTagsForStream", "", world.behaviour.changes_per_s)
    after = request.exclusive_start_tag_key or ""
    found = sorted((key, value) for key, value in world.stream(request).tags.items() if key > after)
    most = min(request.limit or _TAGS_MAX, _TAGS_MAX)
    tags = [{"Key": key, "Value": value} for key, value in found[:most]]
    return {"Tags": tags, "HasMoreTags": len(found) > most}


def _later(world: World, stream: Stream, status: str, delay_s: float, then: Callable[[int], object]) -> None:
    """Let a status last for a while and then do something; with no delay, at once."""
    now_s = world.clock.monotonic_s()
    stream.become(status, then, now_s + delay_s, world.now_ms() + round(delay_s * 1000))
    stream.settle(now_s)


def _check_room(world: World, more: int) -> None:
    """Check the account's limit of shards. Raises: ServiceError (LimitExceededException)."""
    now, most = open_shards(world.all_streams()), world.behaviour.shards_max
    if now + more > most:
        raise errors.limit_exceeded(
            f"This request would exceed the shard limit for the account {world.behaviour.account} in "
            f"{world.behaviour.region}. Current shard count for the account: {now}. Limit: {most}. "
            f"Number of additional shards that would have resulted from this request: {more}.",
        )


def _provisioned(world: World, request: OnStream) -> Stream:
    """Find a stream whose shards its owner may change. Raises: ServiceError if it is busy or on demand."""
    stream = world.idle_stream(request)
    if stream.mode != "PROVISIONED":
        raise errors.not_valid(f"Stream {stream.name} is in mode {stream.mode}: the service decides about its shards.")
    return stream


def _whole(world: World, stream: Stream, shard_id: str) -> Shard:
    """Find an open shard. Raises: ServiceError if it is not there or closed."""
    shard = world.shard(stream, shard_id)
    assert 0 <= shard.begin <= shard.end < HASH_KEYS
    if not shard.is_open:
        raise errors.invalid(
            f"Shard {shard.id} in stream {stream.name} under account {world.behaviour.account} has already been "
            "merged or split, and thus is not eligible for merging or splitting.",
        )
    return shard
