"""The port to DynamoDB Streams: that of Kinesis, for the streams of tables, and what only they have.

A `stream` is an ARN. Shards have all hash keys and no more than one parent; the only retention is a day.
"""

from typing import Protocol

from shardlake.adapters.dynamodb.stream_wire import TableStream
from shardlake.adapters.kinesis.port import KinesisReader
from shardlake.adapters.kinesis.wire import ShardInfo
from shardlake.core.errors import Terminal

RECORDS_MAX = 1_000  # of one GetRecords, and up to 1 MB


class Trimmed(Terminal):
    """What comes after the place where a shard was to be read on is gone, as the service says: it kept it for a day."""

    def __init__(self) -> None:
        super().__init__("records were trimmed before they were read: the stream keeps them for 24 hours")


class StreamsReader(KinesisReader, Protocol):
    """Reads streams of tables. Besides what Kinesis's port names, `iterator` and `get_records` raise `Trimmed`.

    `list_shards` takes the filters FROM_TIMESTAMP and CHILD_SHARDS. `describe` refuses a stream without both images.
    """

    def children(self, stream: str, shard: str) -> tuple[ShardInfo, ...]:
        """List the shards that follow one: a single call. They may be told only a while after its end."""

    def table_stream(self, stream: str) -> TableStream:
        """Describe a stream, whatever its state and view."""

    def streams(self, table: str) -> tuple[TableStream, ...]:
        """List a table's streams, the one that was enabled last at the end; those of the last day are among them."""
