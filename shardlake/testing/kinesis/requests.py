"""The requests, and the constraints that the interface puts on their fields."""

import re
from typing import ClassVar

import msgspec

from shardlake.testing.kinesis import errors


class Request(msgspec.Struct, rename="pascal", kw_only=True):
    """A request. Fields that a caller must give are in `required`; all others may be absent."""

    required: ClassVar[tuple[str, ...]] = ()


class OnStream(Request):
    """A request about one stream, by its name, its ARN or both."""

    stream_name: str | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)


class StreamMode(msgspec.Struct, rename="pascal"):
    """Whether the caller or the service decides about shards."""

    stream_mode: str


class CreateStream(Request):
    """Make a stream."""

    required = ("stream_name",)
    stream_name: str | None = None
    shard_count: int | None = None
    stream_mode_details: StreamMode | None = None
    tags: dict[str, str] | None = None
    max_record_size_in_ki_b: int | None = msgspec.field(name="MaxRecordSizeInKiB", default=None)
    record_distribution_strategy: str | None = None


class DescribeStream(OnStream):
    """Describe a stream and a page of its shards."""

    limit: int | None = None
    exclusive_start_shard_id: str | None = None


class DescribeLimits(Request):
    """Tell the limits of the account."""


class ListStreams(Request):
    """List a page of the streams' names."""

    limit: int | None = None
    exclusive_start_stream_name: str | None = None
    next_token: str | None = None


class ShardFilter(msgspec.Struct, rename="pascal"):
    """Which shards to list."""

    type: str
    shard_id: str | None = None
    timestamp: float | None = None


class ListShards(OnStream):
    """List a page of shards."""

    next_token: str | None = None
    exclusive_start_shard_id: str | None = None
    max_results: int | None = None
    stream_creation_timestamp: float | None = None
    shard_filter: ShardFilter | None = None


class GetShardIterator(OnStream):
    """Ask for a place to read from."""

    required = ("shard_id", "shard_iterator_type")
    shard_id: str = ""
    shard_iterator_type: str = ""
    starting_sequence_number: str | None = None
    timestamp: float | None = None


class GetRecords(Request):
    """Read a page of records."""

    required = ("shard_iterator",)
    shard_iterator: str = ""
    limit: int | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)


class Entry(msgspec.Struct, rename="pascal", gc=False):
    """A record to put; its data stay the base64 text that they came as."""

    data: str
    partition_key: str | None = None
    explicit_hash_key: str | None = None


class PutRecords(OnStream):
    """Put up to 500 records."""

    records: list[Entry] = []


class PutRecord(OnStream, kw_only=True):
    """Put one record."""

    data: str
    partition_key: str | None = None
    explicit_hash_key: str | None = None
    sequence_number_for_ordering: str | None = None


class SplitShard(OnStream):
    """Make two shards of one."""

    required = ("shard_to_split", "new_starting_hash_key")
    shard_to_split: str = ""
    new_starting_hash_key: str = ""


class MergeShards(OnStream):
    """Make one shard of two that meet."""

    required = ("shard_to_merge", "adjacent_shard_to_merge")
    shard_to_merge: str = ""
    adjacent_shard_to_merge: str = ""


class UpdateShardCount(OnStream):
    """Bring a stream to so many even shards."""

    required = ("target_shard_count", "scaling_type")
    target_shard_count: int = 0
    scaling_type: str = ""


class ChangeRetention(OnStream):
    """Keep records for longer, or less long."""

    required = ("retention_period_hours",)
    retention_period_hours: int = 0


class UpdateMaxRecordSize(OnStream):
    """Allow larger records, or forbid them again."""

    required = ("max_record_size_in_ki_b",)
    max_record_size_in_ki_b: int = msgspec.field(name="MaxRecordSizeInKiB", default=0)


class UpdateDistribution(OnStream):
    """Let keys decide about the shard, or the service."""

    required = ("record_distribution_strategy",)
    record_distribution_strategy: str = ""


class AddTags(OnStream):
    """Add tags to a stream."""

    required = ("tags",)
    tags: dict[str, str] = {}


class RemoveTags(OnStream):
    """Take tags from a stream."""

    required = ("tag_keys",)
    tag_keys: list[str] = []


class ListTags(OnStream):
    """List a stream's tags."""

    exclusive_start_tag_key: str | None = None
    limit: int | None = None


class OnConsumer(Request):
    """A request about one consumer: by its ARN, or by its name and the ARN of its stream."""

    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    consumer_name: str | None = None
    consumer_arn: str | None = msgspec.field(name="ConsumerARN", default=None)


class RegisterConsumer(OnStream):
    """Register a consumer with a stream."""

    required = ("stream_arn", "consumer_name")
    consumer_name: str = ""


class ListConsumers(OnStream):
    """List a page of the consumers of a stream."""

    required = ("stream_arn",)
    next_token: str | None = None
    max_results: int | None = None


class Position(msgspec.Struct, rename="pascal"):
    """Where a subscription begins."""

    type: str
    sequence_number: str | None = None
    timestamp: float | None = None


class Subscribe(Request):
    """Have the records of a shard pushed."""

    required = ("consumer_arn", "shard_id", "starting_position")
    consumer_arn: str = msgspec.field(name="ConsumerARN", default="")
    shard_id: str = ""
    starting_position: Position | None = None


HASH_KEY = re.compile(r"0|[1-9]\d{0,38}", re.ASCII)
_NAME = (1, 128, re.compile(r"[a-zA-Z0-9_.-]+"))
_SEQUENCE_NUMBER = (0, 129, re.compile(r"0|([1-9]\d{0,128})", re.ASCII))
_TEXTS = {
    "stream_name": _NAME,
    "exclusive_start_stream_name": _NAME,
    "shard_id": _NAME,
    "consumer_name": _NAME,
    "consumer_arn": (1, 2048, re.compile(r"arn:aws.*:kinesis:.*:\d{12}:stream/[\w.-]+/consumer/[\w.-]+:\d+", re.ASCII)),
    "exclusive_start_shard_id": _NAME,
    "shard_to_split": _NAME,
    "shard_to_merge": _NAME,
    "adjacent_shard_to_merge": _NAME,
    "stream_arn": (1, 2048, re.compile(r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+", re.ASCII)),
    "shard_iterator": (1, 512, re.compile(r".*", re.DOTALL)),
    "starting_sequence_number": _SEQUENCE_NUMBER,
    "sequence_number_for_ordering": _SEQUENCE_NUMBER,
    "new_starting_hash_key": (0, 39, HASH_KEY),
}
_NUMBERS = {
    "limit": (1, 10_000),
    "max_results": (1, 10_000),
    "shard_count": (1, 1 << 31),
    "target_shard_count": (1, 1 << 31),
    "max_record_size_in_ki_b": (1_024, 10_240),
}
_CHOICES = {
    "shard_iterator_type": (
        "AFTER_SEQUENCE_NUMBER",
        "LATEST",
        "AT_TIMESTAMP",
        "AT_SEQUENCE_NUMBER",
        "TRIM_HORIZON",
    ),
    "scaling_type": ("UNIFORM_SCALING",),
    "record_distribution_strategy": ("AUTO", "USER_PARTITION_KEY"),
}
_FILTERS = ("AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP")
_MODES = ("PROVISIONED", "ON_DEMAND")
_KINDS: dict[type, tuple[str, ...]] = {
    StreamMode: _MODES,
    Position: _CHOICES["shard_iterator_type"],
    ShardFilter: _FILTERS,
}


def check(request: Request) -> None:
    """Check each field by itself. Raises: ServiceError (ValidationException) that names every fault."""
    faults = []
    for name, wire in zip(request.__struct_fields__, request.__struct_encode_fields__, strict=True):
        value = getattr(request, name)
        fault = _fault(name, value, needed=name in request.required)
        if fault is not None:
            shown = "null" if _absent(value) else f"'{value}'"
            faults.append(f"Value {shown} at '{wire[0].lower()}{wire[1:]}' failed to satisfy constraint: {fault}")
    if faults:
        plural = "" if len(faults) == 1 else "s"
        raise errors.not_valid(f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}")


def _absent(value: object) -> bool:
    return value in (None, "", 0)


def _fault(name: str, value: object, *, needed: bool) -> str | None:
    """Say how a value breaks its field's constraint, if it does."""
    if needed and _absent(value):
        return "Member must not be null"
    match value:
        case str():
            return _fault_of_text(name, value) if value or name in {"stream_name", "stream_arn"} else None
        case int() if name in _NUMBERS:
            return _fault_of_number(value, *_NUMBERS[name])
        case StreamMode(stream_mode=kind) | Position(type=kind) | ShardFilter(type=kind):
            return _fault_of_choice(kind, _KINDS[type(value)])
    return None


def _fault_of_choice(value: str, choices: tuple[str, ...]) -> str | None:
    return None if value in choices else f"Member must satisfy enum value set: [{', '.join(choices)}]"


def _fault_of_number(value: int, least: int, most: int) -> str | None:
    if value < least:
        return f"Member must have value greater than or equal to {least}"
    if value > most:
        return f"Member must have value less than or equal to {most}"
    return None


def _fault_of_text(name: str, value: str) -> str | None:
    if name in _CHOICES:
        return _fault_of_choice(value, _CHOICES[name])
    if name not in _TEXTS:
        return None
    least, most, pattern = _TEXTS[name]
    if len(value) < least:
        return f"Member must have length greater than or equal to {least}"
    if len(value) > most:
        return f"Member must have length less than or equal to {most}"
    return None if pattern.fullmatch(value) else f"Member must satisfy regular expression pattern: {pattern.pattern}"
