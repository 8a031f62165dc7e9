"""What Kinesis answers, read from the bytes of its JSON into values. Pure, and fast where records are.

A page is parsed by typed structs: one small object a record inside the parser, and lists outside of it. Times are UTC
microseconds; hash keys are integers of 0 to 2**128 - 1; sequence numbers stay the digits that they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shardlake.core.errors import Transient

HASH_KEY_MAX: Final = 2**128 - 1
SECONDS_END: Final = 253_402_300_800  # the year 10000, which no date can name
_T = TypeVar("_T")
_HashKey = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,39}\Z")]
_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=SECONDS_END)]


# ------------------------------------------------------------------------------------------------------ values


@dataclass(frozen=True, slots=True)
class Child:
    """A shard that goes on where its parents ended; it takes the hash keys from `start_hash` to `end_hash`."""

    shard_id: str
    parents: tuple[str, ...]
    start_hash: int
    end_hash: int


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """The records of one answer to GetRecords, as columns of equal length, in the order of the shard.

    `keys` has None where the service gives no partition key. `next_iterator` is None when the shard is closed and this
    was its last page: it may hold records, and `children` then name the shards that follow. `behind_ms` is how far the
    page is behind the shard's tip, None if the service did not say; `size` is the answer's length in bytes.

    An event of a subscription is a page too. Its `next_iterator` is no iterator but a sequence number: everything
    before it has come.
    """

    sequences: list[str]
    data: list[bytes]
    arrivals_us: NDArray[np.int64]
    keys: list[str | None]
    next_iterator: str | None
    behind_ms: int | None
    children: tuple[Child, ...]
    size: int

    def __len__(self) -> int:
        return len(self.sequences)

    def __repr__(self) -> str:
        """Tell of the page, and nothing of what its records hold."""
        end = "closed" if self.next_iterator is None else "open"
        return f"Page({len(self)} records, {self.size} bytes, behind_ms={self.behind_ms}, {end})"


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard as it is listed. `parents` may name shards that are listed no more; `end_sequence` is None while open."""

    shard_id: str
    parents: tuple[str, ...]
    start_hash: int
    end_hash: int
    start_sequence: str
    end_sequence: str | None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream's summary. `mode` is PROVISIONED or ON_DEMAND, `status` for example ACTIVE or UPDATING.

    `consumers` counts the applications that are registered for enhanced fan-out.
    """

    name: str
    arn: str
    status: str
    retention_s: int
    open_shards: int
    mode: str
    created_us: int
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class ConsumerInfo:
    """An application that is registered with a stream. `status` is CREATING, ACTIVE or DELETING."""

    name: str
    arn: str
    status: str


class Put(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """A record to be put: its bytes, its partition key, and a hash key (decimal digits) in place of the key's MD5."""

    data: bytes = msgspec.field(name="Data")
    key: str = msgspec.field(name="PartitionKey")
    hash_key: str | None = msgspec.field(name="ExplicitHashKey", default=None)

    def __repr__(self) -> str:
        """Tell the size, and nothing of what the record holds."""
        return f"Put({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class PutResults:
    """What became of each record of a PutRecords, as columns in the order of the request.

    A record that was taken has a shard and a sequence number and the code ""; one that was not has "" for both and the
    service's code, such as ProvisionedThroughputExceededException. `failed` counts the latter.
    """

    shards: list[str]
    sequences: list[str]
    codes: list[str]
    failed: int


# ------------------------------------------------------------------------------------------------- wire structs


class _HashKeyRange(msgspec.Struct, gc=False, rename="pascal"):
    starting_hash_key: _HashKey
    ending_hash_key: _HashKey


class _SequenceNumberRange(msgspec.Struct, gc=False, rename="pascal"):
    starting_sequence_number: str
    ending_sequence_number: str | None = None


class _Record(msgspec.Struct, gc=False, rename="pascal"):
    sequence_number: str
    data: bytes
    approximate_arrival_timestamp: float
    partition_key: str | None = None


class _Child(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shards: list[str]
    hash_key_range: _HashKeyRange


class _Page(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    next_shard_iterator: str | None = None
    millis_behind_latest: int | None = None
    child_shards: list[_Child] | None = None


class _Event(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    continuation_sequence_number: str | None = None
    millis_behind_latest: int | None = None
    child_shards: list[_Child] | None = None


class _Shard(msgspec.Struct, rename="pascal"):
    shard_id: str
    hash_key_range: _HashKeyRange
    sequence_number_range: _SequenceNumberRange
    parent_shard_id: str | None = None
    adjacent_parent_shard_id: str | None = None


class _Shards(msgspec.Struct, rename="pascal"):
    shards: list[_Shard]
    next_token: str | None = None


class _Iterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


class _Mode(msgspec.Struct, rename="pascal"):
    stream_mode: str


class _Summary(msgspec.Struct, rename="pascal"):
    stream_name: str
    stream_status: str
    retention_period_hours: int
    stream_creation_timestamp: _Seconds
    open_shard_count: int
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_mode_details: _Mode | None = None
    consumer_count: int = 0


class _Description(msgspec.Struct, rename="pascal"):
    stream_description_summary: _Summary


class _Consumer(msgspec.Struct, rename="pascal"):
    consumer_name: str
    consumer_status: str
    consumer_arn: str = msgspec.field(name="ConsumerARN")


class _ConsumerDescription(msgspec.Struct, rename="pascal"):
    consumer_description: _Consumer


class _Result(msgspec.Struct, gc=False, rename="pascal"):
    sequence_number: str | None = None
    shard_id: str | None = None
    error_code: str | None = None


class _Results(msgspec.Struct, rename="pascal"):
    records: list[_Result]


_PAGE: Final = msgspec.json.Decoder(_Page)
_EVENT: Final = msgspec.json.Decoder(_Event)
_SHARDS: Final = msgspec.json.Decoder(_Shards)
_ITERATOR: Final = msgspec.json.Decoder(_Iterator)
_DESCRIPTION: Final = msgspec.json.Decoder(_Description)
_CONSUMER: Final = msgspec.json.Decoder(_ConsumerDescription)
_RESULTS: Final = msgspec.json.Decoder(_Results)
_ENCODER: Final = msgspec.json.Encoder()


# ----------------------------------------------------------------------------------------------------- reading


def parse_page(body: bytes) -> Page:
    """Read an answer to GetRecords. Raises: Transient if it is none."""
    page = _decoded("GetRecords", _PAGE, body)
    return _page("GetRecords", page.records, page.next_shard_iterator, page, len(body))


def parse_event(body: bytes) -> Page:
    """Read a SubscribeToShardEvent. Raises: Transient if it is none."""
    event = _decoded("SubscribeToShard", _EVENT, body)
    return _page("SubscribeToShard", event.records, event.continuation_sequence_number or None, event, len(body))


def _page(action: str, records: list[_Record], following: str | None, told: _Page | _Event, size: int) -> Page:
    seconds = np.fromiter((r.approximate_arrival_timestamp for r in records), np.float64, len(records))
    if not ((seconds >= 0) & (seconds < SECONDS_END)).all():
        raise unreadable(action, "an ApproximateArrivalTimestamp is no time", size)
    return Page(
        sequences=numbers(action, [r.sequence_number for r in records], size),
        data=[r.data for r in records],
        arrivals_us=np.rint(seconds * 1e6).astype(np.int64),
        keys=[r.partition_key for r in records],
        next_iterator=following,
        behind_ms=told.millis_behind_latest,
        children=tuple(map(_child, told.child_shards or ())),
        size=size,
    )


def parse_shards(body: bytes) -> tuple[tuple[ShardInfo, ...], str | None]:
    """Read an answer to ListShards: its shards, and the token of the next page. Raises: Transient if it is none."""
    answer = _decoded("ListShards", _SHARDS, body)
    return tuple(map(_shard, answer.shards)), answer.next_token


def parse_iterator(body: bytes) -> str:
    """Read an answer to GetShardIterator. Raises: Transient if it is none."""
    return _decoded("GetShardIterator", _ITERATOR, body).shard_iterator


def parse_description(body: bytes) -> StreamInfo:
    """Read an answer to DescribeStreamSummary. Raises: Transient if it is none."""
    found = _decoded("DescribeStreamSummary", _DESCRIPTION, body).stream_description_summary
    return StreamInfo(
        name=found.stream_name,
        arn=found.stream_arn,
        status=found.stream_status,
        retention_s=found.retention_period_hours * 3600,
        open_shards=found.open_shard_count,
        mode=found.stream_mode_details.stream_mode if found.stream_mode_details else "PROVISIONED",
        created_us=round(found.stream_creation_timestamp * 1e6),
        consumers=found.consumer_count,
    )


def parse_consumer(body: bytes) -> ConsumerInfo:
    """Read an answer to DescribeStreamConsumer. Raises: Transient if it is none."""
    found = _decoded("DescribeStreamConsumer", _CONSUMER, body).consumer_description
    return ConsumerInfo(found.consumer_name, found.consumer_arn, found.consumer_status)


def parse_results(body: bytes, count: int) -> PutResults:
    """Read an answer to PutRecords of `count` records. Raises: Transient if it is none, or of another length."""
    results = _decoded("PutRecords", _RESULTS, body).records
    if len(results) != count:
        raise Transient(f"PutRecords of {count} records was answered with {len(results)} results: send them again")
    codes = [result.error_code or "" for result in results]
    return PutResults(
        shards=[result.shard_id or "" for result in results],
        sequences=[result.sequence_number or "" for result in results],
        codes=codes,
        failed=count - codes.count(""),
    )


def _child(child: _Child) -> Child:
    keys = child.hash_key_range
    return Child(child.shard_id, tuple(child.parent_shards), int(keys.starting_hash_key), int(keys.ending_hash_key))


def _shard(shard: _Shard) -> ShardInfo:
    return ShardInfo(
        shard_id=shard.shard_id,
        parents=tuple(p for p in (shard.parent_shard_id, shard.adjacent_parent_shard_id) if p),
        start_hash=int(shard.hash_key_range.starting_hash_key),
        end_hash=int(shard.hash_key_range.ending_hash_key),
        start_sequence=shard.sequence_number_range.starting_sequence_number,
        end_sequence=shard.sequence_number_range.ending_sequence_number,
    )


def _decoded(action: str, decoder: "msgspec.json.Decoder[_T]", body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A proxy's page with status 200, or an answer that was cut; msgspec tells the place and the type, no contents.
        place = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise unreadable(action, place, len(body)) from None


def numbers(action: str, sequences: list[str], size: int) -> list[str]:
    """See that sequence numbers are numbers. Raises: Transient."""
    joined = "".join(sequences)
    if sequences and not (joined.isascii() and joined.isdigit() and all(sequences)):
        raise unreadable(action, "a SequenceNumber is no number", size)
    return sequences


def unreadable(action: str, place: str, size: int) -> Transient:
    """Choose the error for an answer that is none, because of what was found at some place of it."""
    return Transient(
        f"the answer to {action} cannot be read ({place}; {size} bytes): it will be asked again; if it stays,"
        " look for a proxy between here and the endpoint"
    )


# ----------------------------------------------------------------------------------------------------- writing


def encode(params: dict[str, Any]) -> bytes:
    """Write the body of a request: bytes become base64, a `Put` its record."""
    return _ENCODER.encode(params)


def target(stream: str) -> dict[str, str]:
    """Name a stream in a request, by its name or its ARN.

    >>> target("logs"), target("arn:aws:kinesis:eu-west-1:123456789012:stream/logs")
    ({'StreamName': 'logs'}, {'StreamARN': 'arn:aws:kinesis:eu-west-1:123456789012:stream/logs'})
    """
    return {"StreamARN" if stream.startswith("arn:") else "StreamName": stream}


def put_size(put: Put) -> int:
    """The bytes of a record that count for the service's limits: data and partition key."""
    return len(put.data) + len(put.key.encode())


def total_size(puts: Sequence[Put]) -> int:
    """The bytes of records that count for the service's limits."""
    return sum(map(put_size, puts))
