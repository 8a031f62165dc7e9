"""The calls of DynamoDB Streams, once for every transport: a request is written, sent somehow, and its answer read."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from shardlake.adapters.dynamodb import faults, stream_wire
from shardlake.adapters.dynamodb.faults import Refusal
from shardlake.adapters.dynamodb.port import Throttled as TableThrottled
from shardlake.adapters.dynamodb.stream_port import RECORDS_MAX, Trimmed
from shardlake.adapters.dynamodb.stream_wire import IMAGES, RETENTION_S, Shards, TableStream, created_us
from shardlake.adapters.kinesis.port import IteratorExpired, ShardGone, Throttled
from shardlake.adapters.kinesis.wire import Page, ShardInfo, StreamInfo
from shardlake.core.errors import ConfigError, ShardlakeError, Transient

LIST_PAGES_MAX: Final = 10_000  # of up to 100 shards each: far beyond any table, and an end to a loop
_BY_SEQUENCE: Final = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")


class StreamCalls(ABC):
    """The methods of `stream_port.StreamsReader` over `_send`. Raises: as the port says."""

    @abstractmethod
    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        """Send a request; return the body of the answer. Raises: the errors of `error_of`, Transient."""

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        """List the shards, all pages; with FROM_TIMESTAMP those that were open at a moment or later."""
        if filter == "CHILD_SHARDS":
            return self.children(stream, shard or "")
        found = self.listing(stream)[1]
        return open_since(found, at_us or 0) if filter == "FROM_TIMESTAMP" else found

    def listing(self, stream: str) -> tuple[TableStream, tuple[ShardInfo, ...]]:
        """Describe a stream and list its shards, all pages. A parent whose child is listed has ended."""
        params: dict[str, Any] = {"StreamArn": stream}
        found: dict[str, ShardInfo] = {}
        for _ in range(LIST_PAGES_MAX):
            page = self._described(params)
            found |= {info.shard_id: info for info in page.shards}
            if page.last is None or page.last == params.get("ExclusiveStartShardId"):
                return _checked(page.stream), _with_ends(found)
            params = {"StreamArn": stream, "ExclusiveStartShardId": page.last}
        raise Transient(f"the list of the shards of {stream} does not end after {LIST_PAGES_MAX} pages")

    def children(self, stream: str, shard: str) -> tuple[ShardInfo, ...]:
        """List the shards that follow one: a single call. They may be told only a while after its end."""
        params = {"StreamArn": stream, "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": shard}}
        return tuple(info for info in self._described(params).shards if shard in info.parents)

    def table_stream(self, stream: str) -> TableStream:
        """Describe a stream, whatever its state and view."""
        return self._described({"StreamArn": stream, "Limit": 1}).stream

    def describe(self, stream: str) -> StreamInfo:
        """Summarise a stream, without its shards. Raises: ConfigError if it does not show both images."""
        found = _checked(self.table_stream(stream))
        return StreamInfo(found.table, found.arn, found.status, RETENTION_S, 0, found.view, found.created_us)

    def streams(self, table: str) -> tuple[TableStream, ...]:
        """List a table's streams, the one that was enabled last at the end."""
        params: dict[str, Any] = {"TableName": table}
        found: list[TableStream] = []
        for _ in range(LIST_PAGES_MAX):
            streams, last = stream_wire.parse_streams(self._send("ListStreams", params))
            found += [stream for stream in streams if stream.table in ("", table)]
            if last is None:
                return tuple(sorted(found, key=lambda stream: stream.created_us))
            params = {"TableName": table, "ExclusiveStartStreamArn": last}
        raise Transient(f"the list of the streams of {table} does not end after {LIST_PAGES_MAX} pages")

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        """Get an iterator. `kind` is a ShardIteratorType; `sequence` and `at_us` are what some types need."""
        params: dict[str, Any] = {"StreamArn": stream, "ShardId": shard, "ShardIteratorType": kind}
        if kind in _BY_SEQUENCE:
            params["SequenceNumber"] = sequence.zfill(_DIGITS_MIN)
        elif kind == "AT_TIMESTAMP":
            params["Timestamp"] = at_us / 1e6
        return stream_wire.parse_iterator(self._send("GetShardIterator", params))

    def get_records(self, iterator: str, limit: int = RECORDS_MAX, stream: str = "") -> Page:
        """Read a page; the iterator names the stream."""
        del stream
        params = {"ShardIterator": iterator, "Limit": min(limit, RECORDS_MAX)}
        return stream_wire.parse_page(self._send("GetRecords", params))

    def _described(self, params: dict[str, Any]) -> Shards:
        return stream_wire.parse_shards(self._send("DescribeStream", params))


class DirectStreams(StreamCalls):
    """The calls over `call(action, JSON body) -> (HTTP status, JSON body)`: for simulations.

    A status of 0 means that no answer came. What `call` raises, callers see as it is.
    """

    def __init__(self, call: Callable[[str, bytes], tuple[int, bytes]]) -> None:
        self._call = call

    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        status, body = self._call(action, msgspec.json.encode(params))
        if status == 0 or status >= 300:
            raise error_of(action, params, status, body)
        return body


_DIGITS_MIN: Final = 21  # the service takes no sequence number that has fewer


def error_of(action: str, params: dict[str, Any], status: int, body: bytes) -> ShardlakeError:
    """Choose the error of an answer that is no success; a status of 0 means that none came."""
    try:
        refusal = msgspec.json.decode(body, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        refusal = Refusal()
    if refusal.code == "ExpiredIteratorException":
        return IteratorExpired(f"the iterator of {action} has expired: take another one")
    if refusal.code == "TrimmedDataAccessException":
        return Trimmed()
    if refusal.code == "ResourceNotFoundException":
        return _missing(params, refusal)
    error = faults.error_of(action, params, status, body)
    return Throttled(str(error)) if isinstance(error, TableThrottled) else error


def _missing(params: dict[str, Any], refusal: Refusal) -> ShardlakeError:
    stream = str(params.get("StreamArn") or "")
    shard = str(params.get("ShardId") or params.get("ShardFilter", {}).get("ShardId") or "")  # that, or its children
    if shard and "stream" not in refusal.said.lower().replace(stream.lower(), "").replace("streams", ""):
        return ShardGone(stream, shard)
    if table := params.get("TableName"):
        return ConfigError(f"there is no table {table}: correct source.table, or source.region (AWS_REGION)")
    if not stream:
        return ConfigError("the stream that was read is gone: its table was deleted, or it was disabled a day ago")
    return ConfigError(
        f"there is no stream {stream}: its table was deleted, or it was disabled more than a day ago, and what it still"
        " held is lost; begin anew from the table's contents with another root"
    )


def _checked(stream: TableStream) -> TableStream:
    if stream.view == IMAGES:
        return stream
    table = stream.table or stream.arn
    raise ConfigError(
        f"the stream of table {table} shows {stream.view or 'no images'}, and both images of an item are needed to take"
        " back the one that goes: disable it, then enable another one with aws dynamodb update-table --table-name"
        f" {table} --stream-specification StreamEnabled=true,StreamViewType={IMAGES}"
    )


def _with_ends(found: dict[str, ShardInfo]) -> tuple[ShardInfo, ...]:
    """Let those have ended whose children are listed, whatever the listing says of themselves."""
    for info in tuple(found.values()):
        for parent in info.parents:
            if parent in found and found[parent].end_sequence is None:
                found[parent] = replace(found[parent], end_sequence=info.start_sequence)
    return tuple(found.values())


def open_since(found: tuple[ShardInfo, ...], at_us: int) -> tuple[ShardInfo, ...]:
    """Leave out shards that had ended at a moment: those whose children had begun, as their names say."""
    ended = {p for info in found if (began := created_us(info.shard_id)) is not None and began <= at_us
             for p in info.parents}  # fmt: skip
    return tuple(info for info in found if info.shard_id not in ended)
