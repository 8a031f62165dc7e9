"""What a stream tells of its shards and of single records, for those who take leases over or give them back."""

from dataclasses import dataclass
from typing import Final, Protocol

from shardlake.adapters.dynamodb.stream_port import Trimmed
from shardlake.adapters.kcl.lease import LeaseRefused
from shardlake.adapters.kcl.table import patiently
from shardlake.adapters.kinesis.aggregates import expand
from shardlake.adapters.kinesis.port import KinesisReader, ShardGone
from shardlake.adapters.kinesis.wire import ShardInfo
from shardlake.core.errors import ConfigError, Terminal, Transient
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock

_READS_MAX: Final = 20  # pages may be empty on the way


@dataclass(frozen=True, slots=True)
class Listed:
    """A shard as it is listed; `hashes` is None where the service has no hash keys, `last` while it is open."""

    shard: str
    parents: tuple[str, ...]
    hashes: tuple[int, int] | None
    first: int
    last: int | None

    @property
    def hash_texts(self) -> tuple[str, str]:
        """Its hash keys as a lease has them; of a DynamoDB stream all have the same."""
        start, end = self.hashes if self.hashes is not None else (0, 1)
        return str(start), str(end)


@dataclass(frozen=True, slots=True)
class Looked:
    """How many lines each user record of a record has, and when it arrived (UTC microseconds)."""

    lines: tuple[int, ...]
    arrived_us: int


class LeasedStream(Protocol):
    """The stream that leases are of. Raises: as the calls of its service."""

    def shards(self) -> tuple[Listed, ...]:
        """List all shards."""

    def look(self, shard: str, sequence: int) -> Looked | None:
        """Look at one record; None if it is not there any more. Raises: LeaseRefused if it cannot be of this shard."""


@dataclass(frozen=True, slots=True)
class LeasedShards:
    """A stream of Kinesis, or, without `hash_keys`, of a DynamoDB table.

    What fails in passing is tried again, in pauses of `clock`, within `limits`.
    """

    api: KinesisReader
    stream: str
    clock: Clock
    limits: Limits
    hash_keys: bool = True

    def shards(self) -> tuple[Listed, ...]:
        """List all shards."""
        found: tuple[ShardInfo, ...] = patiently(lambda: self.api.list_shards(self.stream), self.clock, self.limits)
        return tuple(
            Listed(
                info.shard_id,
                info.parents,
                (info.start_hash, info.end_hash) if self.hash_keys else None,
                int(info.start_sequence),
                None if info.end_sequence is None else int(info.end_sequence),
            )
            for info in found
        )

    def look(self, shard: str, sequence: int) -> Looked | None:
        """Read from the record on, as far as it takes to see it."""
        try:
            found: Looked | None = patiently(lambda: self._look(shard, sequence), self.clock, self.limits)
        except (ShardGone, Trimmed):
            return None
        except ConfigError:
            raise
        except Terminal as error:
            raise LeaseRefused(
                f"{sequence} cannot be a sequence number of shard {shard}: is this the table of another stream?"
                f" ({error})"
            ) from error
        return found

    def _look(self, shard: str, sequence: int) -> Looked | None:
        iterator: str | None = None
        for _ in range(_READS_MAX):
            iterator = iterator or self.api.iterator(self.stream, shard, "AT_SEQUENCE_NUMBER", str(sequence))
            page = self.api.get_records(iterator, 1, self.stream)
            if page.sequences:
                is_there = int(page.sequences[0]) == sequence
                return Looked(lines_of(page.data[0]), int(page.arrivals_us[0])) if is_there else None
            iterator = page.next_iterator
            if iterator is None or page.behind_ms == 0:
                return None
        raise Transient(f"shard {shard} gives {_READS_MAX} empty pages where record {sequence} should be")


def lines_of(record: bytes) -> tuple[int, ...]:
    r"""Count the lines of each user record of a record, as they are numbered when it is read.

    >>> lines_of(b"one"), lines_of(b"one\ntwo\n"), lines_of(b"")
    ((1,), (2,), (1,))
    """
    found = expand([record])
    return tuple(one.removesuffix(b"\n").count(b"\n") + 1 for one in (found.data if found else [record]))
