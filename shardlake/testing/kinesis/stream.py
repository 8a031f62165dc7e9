"""A stream: its shards, which of them takes a key, and its life."""

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.shard import HASH_KEYS, Shard
from shardlake.testing.kinesis.throttle import Window

MS_PER_HOUR = 3_600_000
SECONDS_PER_DAY = 86_400


@dataclass(slots=True, eq=False)
class Consumer:
    """An application that is registered. `due_s` is when it is ready or, if it `leaves`, gone.

    `windows` counts its calls for each shard, and `newest` is the subscription that each shard has now: an object that
    its maker knows.
    """

    name: str
    arn: str
    made_ms: int
    due_s: float
    leaves: bool = False
    windows: dict[str, Window] = field(default_factory=dict)
    newest: dict[str, object] = field(default_factory=dict)

    def status(self, now_s: float) -> str:
        """Tell what state it is in."""
        return "DELETING" if self.leaves else "ACTIVE" if now_s >= self.due_s else "CREATING"


class Stream:
    """A stream and all its shards, those that vanished included (their ids are never used again)."""

    def __init__(self, name: str, number: int, arn: str, now_ms: int) -> None:
        self.name, self.number, self.arn = name, number, arn
        self.made_ms = now_ms
        self.status = "ACTIVE"
        self.mode = "PROVISIONED"
        self.distribution = "USER_PARTITION_KEY"
        self.retention_hours = 24
        self.record_kib = 1_024
        self.tags: dict[str, str] = {}
        self.serial = 0
        self.count_changes = Window(SECONDS_PER_DAY)
        self.consumers: dict[str, Consumer] = {}
        self.shards: dict[str, Shard] = {}
        # What happens when the present state ends: at a monotonic second, with the wall-clock time of that moment.
        self.due_s: float | None = None
        self.due_ms = now_ms
        self._then: Callable[[int], object] = lambda _: None
        self._shards_made = 0
        self._open: list[Shard] = []
        self._begins: list[bytes] = []

    # -------------------------------------------------------------------------------------------------- life

    def become(self, status: str, then: Callable[[int], object], due_s: float, due_ms: int) -> None:
        """Take a status for a while, after which `then` is called with the time at which it ended."""
        self.status, self._then, self.due_s, self.due_ms = status, then, due_s, due_ms

    def settle(self, now_s: float) -> None:
        """Do what is due."""
        if self.due_s is not None and now_s >= self.due_s:
            self.due_s = None
            self.status = "ACTIVE"
            self._then(self.due_ms)
        for name in [c.name for c in self.consumers.values() if c.leaves and now_s >= c.due_s]:
            del self.consumers[name]

    def horizon_ms(self, now_ms: int) -> int:
        """Give the time before which nothing is kept."""
        return now_ms - self.retention_hours * MS_PER_HOUR

    # ------------------------------------------------------------------------------------------------ shards

    def shard(self, shard_id: str, account: str, horizon_ms: int | None) -> Shard:
        """Find a shard by its id.

        Raises: ServiceError (ResourceNotFoundException) if it never was, or if it closed before the horizon.
        """
        found = self.shards.get(shard_id)
        if found is None or _vanished(found, horizon_ms):
            raise errors.not_found(
                f"Could not find shard {shard_id} in stream {self.name} under account {account}.",
            )
        return found

    def visible(self, horizon_ms: int | None) -> list[Shard]:
        """List the shards that have not vanished, in the order of their ids."""
        return [shard for shard in self.shards.values() if not _vanished(shard, horizon_ms)]

    def open_shards(self) -> list[Shard]:
        """List the shards that take records, by their hash keys."""
        return self._open

    def route(self, key: bytes) -> Shard:
        """Give the open shard that holds a hash key (16 bytes, big endian)."""
        return self._open[bisect_right(self._begins, key) - 1]

    def any_shard(self, chance: random.Random) -> Shard:
        """Give an open shard, as the service does where it chooses by itself."""
        return self._open[chance.randrange(len(self._open))]

    def add_shard(self, begin: int, end: int, now_ms: int, parents: tuple[Shard, ...] = ()) -> Shard:
        """Open a shard and close its parents. The open shards must tile the hash keys again before the next put."""
        made = Shard(self._shards_made, begin, end, now_ms, parents)
        self._shards_made += 1
        self.shards[made.id] = made
        for parent in parents:
            parent.closed_ms = now_ms
            parent.children.append(made)
        self._open = sorted((shard for shard in (*self._open, made) if shard.is_open), key=lambda shard: shard.begin)
        self._begins = [shard.begin.to_bytes(16, "big") for shard in self._open]
        return made

    def assert_tiled(self) -> None:
        """Check that each hash key belongs to one open shard."""
        borders = [(shard.begin, shard.end + 1) for shard in self._open]
        assert borders[0][0] == 0, "no shard holds the first hash key"
        assert borders[-1][1] == HASH_KEYS, "no shard holds the last hash key"
        assert all(left[1] == right[0] for left, right in pairwise(borders)), "shards overlap"


def _vanished(shard: Shard, horizon_ms: int | None) -> bool:
    return horizon_ms is not None and shard.closed_ms is not None and shard.closed_ms < horizon_ms


def hash_range(shard: Shard) -> Mapping[str, str]:
    """Give a shard's range as the service writes it."""
    return {"StartingHashKey": str(shard.begin), "EndingHashKey": str(shard.end)}


def described(shard: Shard) -> dict[str, object]:
    """Describe a shard as ListShards does."""
    numbers = {"StartingSequenceNumber": str(shard.numbering.first())}
    if not shard.is_open:
        numbers["EndingSequenceNumber"] = str(shard.numbering.last())
    found: dict[str, object] = {"ShardId": shard.id}
    for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False):
        found[name] = parent.id
    found["HashKeyRange"] = hash_range(shard)
    found["SequenceNumberRange"] = numbers
    return found
