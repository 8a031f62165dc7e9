"""The port to Kinesis: few methods, and the exact errors that their callers must be ready for.

Every method may raise, besides what its docstring names: `Throttled` (slow down, then ask again), `Transient` (a lost
connection, a time-out, an error of the service: the outcome of a write is then not known), `ConfigError` (no such
stream, no permission, no usable credentials or key), `Terminal` (a request that will never be accepted). No message
holds a payload, a partition key or an iterator.
"""

from collections.abc import Sequence
from typing import Protocol

from shardlake.adapters.kinesis.wire import ConsumerInfo, Page, Put, PutResults, ShardInfo, StreamInfo
from shardlake.core.errors import Terminal, Transient

RECORDS_MAX = 10_000  # of one GetRecords
PUTS_MAX = 500  # records of one PutRecords


class Throttled(Transient):
    """Kinesis asks for fewer calls or bytes. Nothing was read or changed."""


class IteratorExpired(Transient):
    """An iterator is older than five minutes: take another one at the position that was reached."""


class SubscriptionEnded(Transient):
    """A subscription is over, as each is after five minutes: open another one. That says nothing about its shard."""


class ShardGone(Terminal):
    """The stream does not have this shard (any more): it expired, or the stream was made anew under its old name."""

    def __init__(self, stream: str, shard: str) -> None:
        super().__init__(
            f"stream {stream} has no shard {shard}: it is older than the stream's retention, or the stream was deleted"
            " and created again; what it still held is lost"
        )
        self.stream, self.shard = stream, shard


class KinesisReader(Protocol):
    """Reads one service's streams. A `stream` is a name or an ARN (which another account's stream needs)."""

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        """List the shards, all pages. `filter` is a ShardFilter type; `at_us` and `shard` are what some types need."""

    def describe(self, stream: str) -> StreamInfo:
        """Summarise a stream."""

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        """Get an iterator. `kind` is a ShardIteratorType; `sequence` and `at_us` are what some types need.

        Raises: ShardGone.
        """

    def get_records(self, iterator: str, limit: int = RECORDS_MAX, stream: str = "") -> Page:
        """Read a page; `stream` is needed only for an ARN of another account. Raises: IteratorExpired."""


class KinesisConsumers(Protocol):
    """Tells of the applications that are registered with a stream for enhanced fan-out."""

    def describe_consumer(self, stream: str, consumer: str) -> ConsumerInfo:
        """Describe a consumer, by its ARN, or by its name and its stream's ARN."""


class Subscription(Protocol):
    """A shard's records as the service pushes them. One thread reads; any may close."""

    def next(self) -> Page | None:
        """Wait for the next event; one that does not wait gives None where there is none yet.

        The last event of a closed shard has no `next_iterator`. Raises: SubscriptionEnded; besides what any call
        raises, Transient if the connection was lost, if bytes of it were, or if nothing came for long.
        """

    def close(self) -> None:
        """Let go of it; a thread that waits in `next` hears of that soon, with an error."""


class Subscriber(Protocol):
    """Opens subscriptions. It may be shared by threads."""

    def open(self, consumer: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> Subscription:
        """Subscribe a consumer, named by its ARN, to a shard from a starting position, as `KinesisReader.iterator`.

        Raises: ShardGone; Transient too, if the consumer has a subscription of this shard that is seconds old: one that
        is older is taken from whoever has it.
        """


class KinesisWriter(Protocol):
    """Puts records into streams."""

    def put_records(self, stream: str, entries: Sequence[Put]) -> PutResults:
        """Put up to 500 records in one request, once: some may fail. After a `Transient` all of them may be in.

        A `Throttled` raised (in place of codes in the result) means that none is.
        """


class KinesisApi(KinesisReader, KinesisWriter, Protocol):
    """All that a stream's records need."""


class KinesisAdmin(KinesisApi, Protocol):
    """Changes streams, too: for demonstrations and tests."""

    def create_stream(self, stream: str, shards: int | None) -> None:
        """Ask for a stream with so many shards, or on demand if None. It is ready once it is ACTIVE."""

    def split(self, stream: str, shard: str, at_hash: int) -> None:
        """Ask for a shard to be split: `at_hash` is the first hash key of the second child."""

    def merge(self, stream: str, shard: str, adjacent: str) -> None:
        """Ask for two shards of adjacent hash keys to be merged."""
