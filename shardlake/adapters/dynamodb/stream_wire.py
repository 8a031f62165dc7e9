"""What DynamoDB Streams answers, read from the bytes of its JSON into the values that a stream's reader works with.

A change becomes the lines of one record. The images are never parsed here: their bytes are copied as they are.

    {"Weight":-1,"Event":"MODIFY","Image":{"id":{"S":"x"},"price":{"N":"2.50"}}}
    {"Weight":1,"Event":"MODIFY","Image":{"id":{"S":"x"},"price":{"N":"2.55"}}}

The image that goes has weight -1 and stands first, the one that comes has 1. INSERT and REMOVE have one line. The event
is TTL where DynamoDB itself removed an item that had expired.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
import numpy as np

from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, SECONDS_END, Page, ShardInfo, numbers, unreadable

RETENTION_S: Final = 86_400
IMAGES: Final = "NEW_AND_OLD_IMAGES"
_SERVICE: Final = ("dynamodb.amazonaws.com", "Service")
_NAME: Final = re.compile(r"shardId-(\d{20})-.*")
_NONE: Final = msgspec.Raw()
_T = TypeVar("_T")


# ------------------------------------------------------------------------------------------------------ values


@dataclass(frozen=True, slots=True)
class TableStream:
    """A stream of a table's changes. `label` is when it was enabled; `status` for example ENABLED or DISABLED."""

    arn: str
    table: str
    label: str
    status: str = ""
    view: str = ""

    @property
    def created_us(self) -> int:
        """When the stream was enabled, as its label says; 0 if it says nothing."""
        try:
            moment = datetime.fromisoformat(self.label)
        except ValueError:
            return 0
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


@dataclass(frozen=True, slots=True)
class Shards:
    """A page of the listing of a stream's shards. `last` is where the next one goes on, None if there is none."""

    stream: TableStream
    shards: tuple[ShardInfo, ...]
    last: str | None


# ------------------------------------------------------------------------------------------------- wire structs


class _Identity(msgspec.Struct, gc=False):
    # What Lambda hands over spells them small.
    principal: str = msgspec.field(name="PrincipalId", default="")
    kind: str = msgspec.field(name="Type", default="")
    small_principal: str = msgspec.field(name="principalId", default="")
    small_kind: str = msgspec.field(name="type", default="")

    def is_service(self) -> bool:
        """Tell whether DynamoDB itself made the change."""
        return (self.principal or self.small_principal, self.kind or self.small_kind) == _SERVICE


class _Change(msgspec.Struct, gc=False, rename="pascal"):
    sequence_number: str
    approximate_creation_date_time: float
    new_image: msgspec.Raw = _NONE
    old_image: msgspec.Raw = _NONE


class _Record(msgspec.Struct, gc=False):
    change: _Change = msgspec.field(name="dynamodb")
    event: str = msgspec.field(name="eventName", default="")
    identity: _Identity | None = msgspec.field(name="userIdentity", default=None)


class _Page(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    next_shard_iterator: str | None = None


class _Range(msgspec.Struct, gc=False, rename="pascal"):
    starting_sequence_number: str = "0"
    ending_sequence_number: str | None = None


class _Shard(msgspec.Struct, gc=False, rename="pascal"):
    shard_id: str
    sequence_number_range: _Range
    parent_shard_id: str | None = None


class _Stream(msgspec.Struct, rename="pascal"):
    stream_arn: str
    table_name: str = ""
    stream_label: str = ""
    stream_status: str = ""
    stream_view_type: str = ""
    shards: list[_Shard] = []
    last_evaluated_shard_id: str | None = None


class _Description(msgspec.Struct, rename="pascal"):
    stream_description: _Stream


class _Streams(msgspec.Struct, rename="pascal"):
    streams: list[_Stream]
    last_evaluated_stream_arn: str | None = None


class _Iterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


_PAGE: Final = msgspec.json.Decoder(_Page)
_DESCRIPTION: Final = msgspec.json.Decoder(_Description)
_STREAMS: Final = msgspec.json.Decoder(_Streams)
_ITERATOR: Final = msgspec.json.Decoder(_Iterator)


# ----------------------------------------------------------------------------------------------------- reading


def parse_page(body: bytes) -> Page:
    """Read an answer to GetRecords. Raises: Transient if it is none.

    The service never says how far a page is behind: `behind_ms` is 0 at a closed shard's end, and else None.
    """
    page = _decoded("GetRecords", _PAGE, body)
    records = page.records
    if b"\n" in body or b"\r" in body:  # each image has to be a line; AWS writes none
        for record in records:
            change = record.change
            change.new_image, change.old_image = _compact(change.new_image), _compact(change.old_image)
    seconds = np.fromiter((r.change.approximate_creation_date_time for r in records), np.float64, len(records))
    if not ((seconds >= 0) & (seconds < SECONDS_END)).all():
        raise unreadable("GetRecords", "an ApproximateCreationDateTime is no time", len(body))
    return Page(
        sequences=numbers("GetRecords", [r.change.sequence_number for r in records], len(body)),
        data=[_data(r.event, r.change.old_image, r.change.new_image, r.identity) for r in records],
        arrivals_us=np.rint(seconds * 1e6).astype(np.int64),
        keys=[None] * len(records),
        next_iterator=page.next_shard_iterator,
        behind_ms=None if page.next_shard_iterator is not None else 0,
        children=(),
        size=len(body),
    )


def parse_shards(body: bytes) -> Shards:
    """Read an answer to DescribeStream. Raises: Transient if it is none."""
    found = _decoded("DescribeStream", _DESCRIPTION, body).stream_description
    return Shards(_stream(found), tuple(map(_shard, found.shards)), found.last_evaluated_shard_id)


def parse_streams(body: bytes) -> tuple[tuple[TableStream, ...], str | None]:
    """Read an answer to ListStreams: its streams, and where the next page goes on. Raises: Transient if it is none."""
    found = _decoded("ListStreams", _STREAMS, body)
    return tuple(map(_stream, found.streams)), found.last_evaluated_stream_arn


def parse_iterator(body: bytes) -> str:
    """Read an answer to GetShardIterator. Raises: Transient if it is none."""
    return _decoded("GetShardIterator", _ITERATOR, body).shard_iterator


def created_us(shard: str) -> int | None:
    """When a shard began, as its name says, which names the millisecond; None if the name is of another form.

    >>> created_us("shardId-00000001414576573621-f55eea83")
    1414576573621000
    """
    found = _NAME.fullmatch(shard)
    return int(found[1]) * 1000 if found else None


def line(weight: int, event: str, image: bytes) -> bytes:
    """Write the line of one image, whose JSON holds no newline.

    >>> line(-1, "TTL", b'{"id":{"S":"x"}}')
    b'{"Weight":-1,"Event":"TTL","Image":{"id":{"S":"x"}}}'
    """
    return b'{"Weight":%d,"Event":%s,"Image":%b}' % (weight, msgspec.json.encode(event), image or b"null")


# ------------------------------------------------------------------------------------------------------- parts

_GOING: Final = b'{"Weight":-1,"Event":"MODIFY","Image":'
_COMING: Final = b'}\n{"Weight":1,"Event":"MODIFY","Image":'
_NEW: Final = b'{"Weight":1,"Event":"INSERT","Image":'
_GONE: Final[Mapping[bool, bytes]] = {
    False: b'{"Weight":-1,"Event":"REMOVE","Image":',
    True: b'{"Weight":-1,"Event":"TTL","Image":',
}


def _data(event: str, old: msgspec.Raw, new: msgspec.Raw, identity: _Identity | None) -> bytes:
    """Write the lines of a change. One that lacks an image becomes a line without, which nobody can read."""
    if event == "MODIFY" and old and new:
        return b"".join((_GOING, old, _COMING, new, b"}"))
    if event == "INSERT" and new and not old:
        return b"".join((_NEW, new, b"}"))
    if event == "REMOVE" and old and not new:
        return b"".join((_GONE[identity is not None and identity.is_service()], old, b"}"))
    goes, comes = old or event in ("MODIFY", "REMOVE"), new or event not in ("REMOVE", "")
    lines = [line(-1, event, bytes(old))] if goes else []
    lines += [line(1, event, bytes(new))] if comes or not goes else []
    return b"\n".join(lines)


def _compact(image: msgspec.Raw) -> msgspec.Raw:
    """Leave the white space out of JSON, as far as it could end a line."""
    given = bytes(image)
    return msgspec.Raw(msgspec.json.format(given, indent=-1)) if b"\n" in given or b"\r" in given else image


def _stream(found: _Stream) -> TableStream:
    label = found.stream_label or found.stream_arn.rpartition("/")[2]
    return TableStream(found.stream_arn, found.table_name, label, found.stream_status, found.stream_view_type)


def _shard(found: _Shard) -> ShardInfo:
    """Make a shard of its description; it names no hash keys, so it has all of them."""
    numbers, parents = found.sequence_number_range, (found.parent_shard_id,) if found.parent_shard_id else ()
    ends = numbers.ending_sequence_number
    return ShardInfo(found.shard_id, parents, 0, HASH_KEY_MAX, numbers.starting_sequence_number, ends)


def _decoded(action: str, decoder: "msgspec.json.Decoder[_T]", body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A proxy's page with status 200, or an answer that was cut; msgspec tells the place and the type, no contents.
        place = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise unreadable(action, place, len(body)) from None
