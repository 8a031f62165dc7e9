"""Events of AWS Lambda, as its runtime gives them to a function, read into records of shards and notices of objects.

An event of Kinesis names the shard of each record, one of DynamoDB Streams does not. What a record holds is in no
message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from shardlake.adapters.dynamodb import stream_wire
from shardlake.adapters.dynamodb.stream_wire import IMAGES
from shardlake.adapters.kinesis.wire import Page
from shardlake.core.errors import ConfigError, Terminal

KINESIS, DYNAMODB, S3, SQS = "aws:kinesis", "aws:dynamodb", "aws:s3", "aws:sqs"
SCHEDULE: Final = "aws:events"  # a rule of EventBridge that runs every so often
_HELP: Final = "let an event source mapping of Kinesis, DynamoDB Streams or SQS, or notices of S3, invoke the function"


class NoEnvelope(Terminal):
    """An event that is none of those that are read here."""

    def __init__(self, why: str) -> None:
        super().__init__(f"this event cannot be read ({why}): {_HELP}")


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Records of one shard in their order; `shard` is its name, "" where the event does not tell it."""

    stream: str
    shard: str
    page: Page


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that may tell of new objects; `id` is the message's where it came over a queue, or ""."""

    id: str
    body: str


Envelope = tuple[HandedOver, ...] | tuple[Notice, ...]


class _Data(msgspec.Struct, rename="camel"):
    sequence_number: str
    data: bytes
    approximate_arrival_timestamp: float
    partition_key: str | None = None


class _Record(msgspec.Struct):
    kinesis: _Data
    event_id: str = msgspec.field(name="eventID")
    stream: str = msgspec.field(name="eventSourceARN")


class _Message(msgspec.Struct, rename="camel"):
    message_id: str
    body: str


def kind_of(event: Mapping[str, Any]) -> str:
    """Tell what an event is of: KINESIS, DYNAMODB, S3, SQS or SCHEDULE. Raises: NoEnvelope."""
    if event.get("detail-type") == "Scheduled Event":
        return SCHEDULE
    if event.get("detail-type") == "Object Created":
        return S3
    records = event.get("Records")
    if not isinstance(records, Sequence) or not records:
        raise NoEnvelope("it is of Firehose" if "deliveryStreamArn" in event else "it has no Records")
    kinds = {record.get("eventSource") for record in records if isinstance(record, Mapping)}
    found = next(iter(kinds), None)
    if len(kinds) != 1 or found not in (KINESIS, DYNAMODB, S3, SQS):
        raise NoEnvelope(f"its Records are of {', '.join(sorted(map(str, kinds))) or 'nothing'}")
    return str(found)


def records_of(event: Mapping[str, Any], now_us: int) -> tuple[HandedOver, ...]:
    """Read an event of Kinesis or DynamoDB Streams; `now_us` stands for an arrival that is not told.

    Raises: NoEnvelope; ConfigError if changes come without both images.
    """
    try:
        return _kinesis(event) if kind_of(event) == KINESIS else (_dynamodb(event, now_us),)
    except (msgspec.ValidationError, ValueError, KeyError, TypeError) as error:
        # msgspec tells the place and the type, no contents; of the others only the kind is told.
        why = str(error) if isinstance(error, msgspec.ValidationError) else type(error).__name__
        raise NoEnvelope(why) from None


def notices_of(event: Mapping[str, Any]) -> tuple[Notice, ...]:
    """Read an event of S3, by itself, over SQS or through EventBridge. Raises: NoEnvelope."""
    if kind_of(event) != SQS:
        return (Notice("", msgspec.json.encode(event).decode()),)
    try:
        found = msgspec.convert(event["Records"], list[_Message])
    except msgspec.ValidationError as error:
        raise NoEnvelope(str(error)) from None
    return tuple(Notice(message.message_id, message.body) for message in found)


def _kinesis(event: Mapping[str, Any]) -> tuple[HandedOver, ...]:
    shards: dict[tuple[str, str], dict[int, _Data]] = {}
    for record in msgspec.convert(event["Records"], list[_Record]):
        shard, _, number = record.event_id.rpartition(":")
        if not shard or number != record.kinesis.sequence_number:
            raise NoEnvelope("a record's eventID does not tell its shard")
        shards.setdefault((record.stream, shard), {})[int(number)] = record.kinesis
    return tuple(HandedOver(stream, shard, _page(found)) for (stream, shard), found in shards.items())


def _page(found: Mapping[int, _Data]) -> Page:
    records = [found[number] for number in sorted(found)]
    seconds = np.array([record.approximate_arrival_timestamp for record in records], np.float64)
    return Page(
        sequences=[record.sequence_number for record in records],
        data=[record.data for record in records],
        arrivals_us=np.rint(seconds * 1e6).astype(np.int64),
        keys=[record.partition_key for record in records],
        next_iterator="",
        behind_ms=None,
        children=(),
        size=sum(len(record.data) for record in records),
    )


def _dynamodb(event: Mapping[str, Any], now_us: int) -> HandedOver:
    records = event["Records"]
    changes, at_s = [], now_us / 1e6
    for record in sorted(records, key=lambda record: int(record["dynamodb"]["SequenceNumber"])):
        change = record["dynamodb"]
        if change.get("StreamViewType", IMAGES) != IMAGES:
            raise ConfigError(
                f"changes come with {change['StreamViewType']}, and both images of an item are needed to take back the"
                f" one that goes: enable a stream with StreamViewType={IMAGES}"
            )
        at_s = float(change.get("ApproximateCreationDateTime", at_s))
        changes.append({**record, "dynamodb": {**change, "ApproximateCreationDateTime": at_s}})
    page = stream_wire.parse_page(msgspec.json.encode({"Records": changes, "NextShardIterator": ""}))
    return HandedOver(str(records[0].get("eventSourceARN", "")), "", page)
