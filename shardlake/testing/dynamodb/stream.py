"""A table's stream: its shards, which of them takes a change, and what a change looks like there."""

import random
from bisect import bisect_right, insort
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shardlake.testing.dynamodb.shard import HASHES, Shard
from shardlake.testing.dynamodb.values import Item, clean_item

_IMAGES: Final = {
    "KEYS_ONLY": (False, False),
    "NEW_IMAGE": (True, False),
    "OLD_IMAGE": (False, True),
    "NEW_AND_OLD_IMAGES": (True, True),
}
# What DynamoDB itself deletes says so.
_EXPIRED: Final = b',"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}}'
# A stream's numbers begin a few records before one digit more.
_DIGITS: Final = (21, 27)
_BEFORE_MAX: Final = 4_000
_STEP_MAX: Final = 1_000
_GAP_MAX: Final = 100_000
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Change:
    """A change as a stream has it: where it stands, and the item before and after, None where there was none."""

    arn: str
    shard_id: str
    number: int
    old: Item | None
    new: Item | None
    expired: bool


class Stream:
    """A stream and all its shards that are still known. A disabled one takes no changes and can be read on."""

    def __init__(self, table: str, arn: str, label: str, view: str, keys: list[dict[str, str]], made_ms: int) -> None:
        self.table, self.arn, self.label, self.view, self.keys = table, arn, label, view, keys
        self.made_ms = made_ms
        self.region = arn.split(":")[3].encode()
        self.disabled_s = float("inf")
        self.shards: dict[str, Shard] = {}
        self.ids: list[str] = []
        self._open: list[Shard] = []
        self._begins: list[bytes] = []
        self._newest_ms = made_ms
        self._closed_s = float("inf")  # when the first of the closed shards closed

    def begin(self, count: int, chance: random.Random, now_s: float) -> None:
        """Open the first shards, which share the hashes evenly."""
        for index in range(count):
            starting = 10 ** chance.randint(*_DIGITS) - 1 - chance.randint(_STEP_MAX, _BEFORE_MAX)
            begin, end = index * HASHES // count, (index + 1) * HASHES // count
            self._add(Shard(self._new_id(chance, self.made_ms), begin, end, starting, now_s))

    def follow(self, parent: Shard, count: int, chance: random.Random, now_ms: int, now_s: float) -> None:
        """Close a shard and open its children: one that follows it, or two that share its hashes."""
        assert parent.is_open
        parent.closed_s = now_s
        self._closed_s = min(self._closed_s, now_s)
        if chance.random() < 0.5:
            parent.number(1 + chance.randrange(_STEP_MAX))  # a number at which it ends, and that no record has
        self._open.remove(parent)
        span = parent.end - parent.begin
        now_ms = max(now_ms, int(parent.id.split("-")[1]) + 1)  # a child's id follows its parent's
        for index in range(count):
            begin, end = parent.begin + index * span // count, parent.begin + (index + 1) * span // count
            starting = parent.ending + 1 + chance.randrange(_GAP_MAX)
            child = Shard(self._new_id(chance, now_ms), begin, end, starting, now_s)
            child.parent = parent.id
            parent.children.append(child)
            self._add(child)

    def disable(self, now_s: float) -> None:
        """Close all shards: from now on there are no changes."""
        self.disabled_s = now_s
        for shard in self._open:
            shard.closed_s = now_s
        self._closed_s = min(self._closed_s, now_s)
        self._open = []

    def forget(self, horizon_s: float) -> None:
        """Forget the shards that closed before a time."""
        if self._closed_s >= horizon_s:
            return
        for shard_id in [shard_id for shard_id in self.ids if self.shards[shard_id].closed_s < horizon_s]:
            del self.shards[shard_id]
        self.ids = sorted(self.shards)
        self._closed_s = min((shard.closed_s for shard in self.shards.values()), default=float("inf"))

    def open_shards(self) -> list[Shard]:
        """List the shards that take changes, by their hashes."""
        return self._open

    def _new_id(self, chance: random.Random, now_ms: int) -> str:
        self._newest_ms = max(self._newest_ms, now_ms)
        return f"shardId-{self._newest_ms:020d}-{chance.getrandbits(32):08x}"

    def _add(self, shard: Shard) -> None:
        self.shards[shard.id] = shard
        insort(self.ids, shard.id)
        insort(self._open, shard, key=lambda each: each.begin)
        self._begins = [each.begin.to_bytes(16, "big") for each in self._open]

    def append(
        self,
        digest: bytes,
        images: tuple[tuple[Item, int] | None, tuple[Item, int] | None],
        chance: random.Random,
        now: tuple[int, float],
        *,
        expired: bool,
    ) -> tuple[Shard, int]:
        """Append a change: the item before and after it, each with its size. Gives where it stands."""
        old, new = images
        present = new or old
        assert present is not None
        shard = self._open[bisect_right(self._begins, digest) - 1]
        keys = {each["AttributeName"]: present[0][each["AttributeName"]] for each in self.keys}
        body, size = self._body(keys, old, new)
        number = shard.number(1 + int(chance.random() * _STEP_MAX))
        now_us, now_s = now
        created_s = now_us // 1_000_000
        event = b"MODIFY" if old and new else b"INSERT" if new else b"REMOVE"
        fragment = (
            b'{"awsRegion":"%b","dynamodb":{"ApproximateCreationDateTime":%rE9,%b,"SequenceNumber":"%d","SizeBytes":%d,'
            b'"StreamViewType":"%b"},"eventID":"%032x","eventName":"%b","eventSource":"aws:dynamodb","eventVersion":"1.1"'
            % (
                self.region,
                created_s / 1e9,  # as the service writes it: 1.7672256E9
                body,
                number,
                size,
                self.view.encode(),
                chance.getrandbits(128),
                event,
            )
        )
        shard.append(fragment + (_EXPIRED if expired else b"}"), number, now_s, created_s, size)
        return shard, number

    def _body(self, keys: Item, old: tuple[Item, int] | None, new: tuple[Item, int] | None) -> tuple[bytes, int]:
        parts, size = [b'"Keys":' + _encode(keys)], clean_item(keys)[1]
        with_new, with_old = _IMAGES[self.view]
        if with_new and new is not None:
            parts.append(b'"NewImage":' + _encode(new[0]))
            size += new[1]
        if with_old and old is not None:
            parts.append(b'"OldImage":' + _encode(old[0]))
            size += old[1]
        return b",".join(parts), size


def described(shard: Shard, *, as_open: bool) -> dict[str, Any]:
    """Describe a shard; one that has closed may be told to be open still."""
    numbers = {"StartingSequenceNumber": str(shard.starting)}
    if not as_open:
        numbers["EndingSequenceNumber"] = str(shard.ending)
    told: dict[str, Any] = {"ShardId": shard.id, "SequenceNumberRange": numbers}
    return told if shard.parent is None else told | {"ParentShardId": shard.parent}
