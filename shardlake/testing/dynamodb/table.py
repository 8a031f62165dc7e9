"""A table: its items by their keys, in the order of both halves of a key, and its life."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import md5
from typing import Any, Final

from shardlake.testing.dynamodb.errors import bad_values, not_serial, not_valid
from shardlake.testing.dynamodb.stream import Stream
from shardlake.testing.dynamodb.values import Item, clean, number, unbase64

Key = tuple[Any, ...]  # what items are found by: a text, a Decimal or bytes for each key attribute
Stored = tuple[Item, int]  # an item and its size in bytes

_NO_MATCH: Final = "The provided key element does not match the schema"
_BYTES_MAX: Final = (2_048, 1_024)


class Table:
    """One table. `keys` are the names of its key attributes, and `kinds` their types."""

    def __init__(self, name: str, arn: str, keys: tuple[tuple[str, str], ...], made_ms: int) -> None:
        self.name, self.arn, self.made_ms = name, arn, made_ms
        self.keys = tuple(key for key, _ in keys)
        self.kinds = tuple(kind for _, kind in keys)
        self.request: dict[str, Any] = {}
        self.indexes: dict[str, tuple[str, ...]] = {}
        self.status = "ACTIVE"
        self.due_s: float | None = None
        self.items: dict[Key, Stored] = {}
        self.stream: Stream | None = None
        self.latest: dict[str, str] = {}  # the stream that it has, or had last
        self.ttl: str | None = None
        self.sweep_s = float("inf")
        self.locked: dict[Key, str | None] = {}
        # The newest writes: when, where, and what stood there before; for replicas that lag.
        self.undo: deque[tuple[float, Key, Stored | None]] = deque()
        self._sorts: dict[Any, list[Any]] = {}
        self._hashes: list[tuple[bytes, Any]] | None = None
        self._then: Callable[[], object] = lambda: None

    # ---------------------------------------------------------------------------------------------------- life

    def become(self, status: str, due_s: float, then: Callable[[], object]) -> None:
        """Take a status for a while, after which `then` is called."""
        self.status, self.due_s, self._then = status, due_s, then

    def settle(self, now_s: float) -> None:
        """Do what is due."""
        if self.due_s is not None and now_s >= self.due_s:
            self.due_s, self.status = None, "ACTIVE"
            self._then()

    # ---------------------------------------------------------------------------------------------------- keys

    def key(self, given: dict[str, Any]) -> Key:
        """Read a key. Raises: ServiceError (ValidationException) if it is not one of this table."""
        if len(given) != len(self.keys):
            raise not_valid(_NO_MATCH)
        for name, kind in zip(self.keys, self.kinds, strict=True):
            if type(given.get(name)) is not dict or kind not in given[name]:
                raise not_valid(_NO_MATCH)
        return self.key_of(given)

    def key_of(self, item: dict[str, Any]) -> Key:
        """Read the key of an item. Raises: ServiceError (ValidationException) if it has none, or of another type."""
        if len(self.keys) == 1:
            return (self._part(item, 0),)
        return self._part(item, 0), self._part(item, 1)

    def _part(self, item: dict[str, Any], place: int) -> Any:
        name, kind = self.keys[place], self.kinds[place]
        value = item.get(name)
        if value is None:
            raise bad_values(f"Missing the key {name} in the item")
        if type(value) is not dict or len(value) != 1:
            clean(value)  # it says what is wrong
        held = value.get(kind)
        if held is None:
            raise bad_values(f"Type mismatch for key {name} expected: {kind} actual: {next(iter(value), None)}")
        return part_of(name, kind, held, _BYTES_MAX[place])

    def wire_key(self, item: Item) -> Item:
        """Give the key attributes of an item."""
        return {name: item[name] for name in self.keys}

    # --------------------------------------------------------------------------------------------------- items

    def write(self, key: Key, new: Stored | None) -> None:
        """Put an item into its place, or take it from there."""
        items = self.items
        if new is None:
            if items.pop(key, None) is not None:
                self._forget(key)
            return
        if key not in items:
            self._learn(key)
        items[key] = new

    def _learn(self, key: Key) -> None:
        first = key[0]
        sorts = self._sorts.get(first)
        if sorts is None:
            self._sorts[first] = list(key[1:])
            self._hashes = None
        else:
            insort(sorts, key[1])

    def _forget(self, key: Key) -> None:
        sorts = self._sorts[key[0]]
        if len(key) > 1:
            del sorts[bisect_left(sorts, key[1])]
        if not sorts:
            del self._sorts[key[0]]
            self._hashes = None

    def sorts(self, first: Any) -> list[Any]:
        """List the sort keys of one partition key, in order; not to be changed."""
        return self._sorts.get(first, [])

    def place(self, key: Key) -> tuple[bytes, Key]:
        """Give the place of a key in a scan."""
        return digest(self.kinds[0], key[0]), key

    def hashes(self) -> list[tuple[bytes, Any]]:
        """List the partition keys by their hashes: the order of a scan."""
        if self._hashes is None:
            self._hashes = sorted((digest(self.kinds[0], first), first) for first in self._sorts)
        return self._hashes

    def scanned(self, since: bytes, before: bytes) -> Iterator[Key]:
        """Give the keys whose hash is in a range, in the order of a scan."""
        for place, first in self.hashes():
            if since <= place < before:
                yield from ((first, sort) for sort in self._sorts[first]) if len(self.keys) > 1 else [(first,)]


def part_of(name: str, kind: str, held: Any, bytes_max: int) -> Any:
    """Give what a key attribute is ordered by. Raises: ServiceError (ValidationException)."""
    if type(held) is not str:
        raise not_serial(f"{kind} holds a text.")
    if kind == "N":
        return Decimal(number(held))
    part: Any = held if kind == "S" else unbase64(held)
    if not part:
        kind_told = "string" if kind == "S" else "binary"
        raise not_valid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            f"empty {kind_told} value. Key: {name}",
        )
    if len(part.encode() if kind == "S" else part) > bytes_max:
        raise bad_values(f"Size of hashkey or rangekey has exceeded the maximum size limit of {bytes_max} bytes")
    return part


def digest(kind: str, first: Any) -> bytes:
    """Give the hash of a partition key: 16 bytes, the same for ever."""
    raw = first if kind == "B" else str(first).encode()
    return md5(raw, usedforsecurity=False).digest()
