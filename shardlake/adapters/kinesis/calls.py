"""The calls themselves, once for every transport: a request is written, sent somehow, and its answer read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.port import RECORDS_MAX
from shardlake.adapters.kinesis.wire import ConsumerInfo, Page, Put, PutResults, ShardInfo, StreamInfo
from shardlake.core.errors import Transient

LIST_PAGES_MAX: Final = 1_000  # of up to 1,000 shards each: far beyond any stream, and an end to a loop


class KinesisCalls(ABC):
    """The methods of `port.KinesisAdmin` over `_send`. Raises: as the port says."""

    @abstractmethod
    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        """Send a request; return the body of the answer. Raises: the errors of `faults`, Transient."""

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        """List the shards, all pages. `filter` is a ShardFilter type; `at_us` and `shard` are what some types need."""
        params: dict[str, Any] = wire.target(stream)
        if filter is not None:
            given = {"Type": filter, "Timestamp": None if at_us is None else at_us / 1e6, "ShardId": shard}
            params["ShardFilter"] = {name: value for name, value in given.items() if value is not None}
        found: list[ShardInfo] = []
        for _ in range(LIST_PAGES_MAX):
            shards, token = wire.parse_shards(self._send("ListShards", params))
            found += shards
            if token is None:
                return tuple(found)
            params = {"NextToken": token}  # alone: it names the stream, and another name beside it is refused
        raise Transient(f"the list of the shards of {stream} does not end after {LIST_PAGES_MAX} pages")

    def describe(self, stream: str) -> StreamInfo:
        """Summarise a stream."""
        return wire.parse_description(self._send("DescribeStreamSummary", dict(wire.target(stream))))

    def describe_consumer(self, stream: str, consumer: str) -> ConsumerInfo:
        """Describe a consumer, by its ARN, or by its name and its stream's ARN."""
        by_name = {"StreamARN": stream, "ConsumerName": consumer}
        params = {"ConsumerARN": consumer} if consumer.startswith("arn:") else by_name
        return wire.parse_consumer(self._send("DescribeStreamConsumer", params))

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        """Get an iterator. `kind` is a ShardIteratorType; `sequence` and `at_us` are what some types need."""
        params: dict[str, Any] = {**wire.target(stream), "ShardId": shard, "ShardIteratorType": kind}
        if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            params["StartingSequenceNumber"] = sequence
        elif kind == "AT_TIMESTAMP":
            params["Timestamp"] = at_us / 1e6
        return wire.parse_iterator(self._send("GetShardIterator", params))

    def get_records(self, iterator: str, limit: int = RECORDS_MAX, stream: str = "") -> Page:
        """Read a page; `stream` is needed only for an ARN of another account."""
        params: dict[str, Any] = {"ShardIterator": iterator, "Limit": limit}
        if stream.startswith("arn:"):
            params["StreamARN"] = stream
        return wire.parse_page(self._send("GetRecords", params))

    def put_records(self, stream: str, entries: Sequence[Put]) -> PutResults:
        """Put up to 500 records in one request, once: some may fail. After a `Transient` all of them may be in."""
        params = {**wire.target(stream), "Records": entries}
        return wire.parse_results(self._send("PutRecords", params), len(entries))

    def create_stream(self, stream: str, shards: int | None) -> None:
        """Ask for a stream with so many shards, or on demand if None. It is ready once it is ACTIVE."""
        mode: dict[str, Any] = {"StreamModeDetails": {"StreamMode": "ON_DEMAND" if shards is None else "PROVISIONED"}}
        count = {} if shards is None else {"ShardCount": shards}
        self._send("CreateStream", {"StreamName": stream, **count, **mode})

    def split(self, stream: str, shard: str, at_hash: int) -> None:
        """Ask for a shard to be split: `at_hash` is the first hash key of the second child."""
        params = {**wire.target(stream), "ShardToSplit": shard, "NewStartingHashKey": str(at_hash)}
        self._send("SplitShard", params)

    def merge(self, stream: str, shard: str, adjacent: str) -> None:
        """Ask for two shards of adjacent hash keys to be merged."""
        params = {**wire.target(stream), "ShardToMerge": shard, "AdjacentShardToMerge": adjacent}
        self._send("MergeShards", params)
