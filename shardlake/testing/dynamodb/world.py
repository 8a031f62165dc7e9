"""What all actions share: the tables, time, chance, the behaviour in force and what has been consumed."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from shardlake.core.ports import Clock
from shardlake.testing.dynamodb import errors
from shardlake.testing.dynamodb.behaviour import Behaviour
from shardlake.testing.dynamodb.stream import Change, Stream
from shardlake.testing.dynamodb.table import Key, Stored, Table, digest
from shardlake.testing.kinesis.throttle import Window
from shardlake.testing.kinesis.tokens import Signer

Lagging = Mapping[Key, Stored | None]  # what stood in some places a while ago


class World:
    """The state of the service.

    `units` counts the capacity that was consumed, by table and kind ("read", "write").
    """

    def __init__(self, clock: Clock, chance: random.Random, behaviour: Behaviour) -> None:
        self.clock, self.chance, self.behaviour = clock, chance, behaviour
        self.tables: dict[str, Table] = {}
        self.streams: dict[str, Stream] = {}
        self.watcher: Callable[[Change], object] | None = None
        self.due_s = float("inf")  # when something is due by itself
        self.units: Counter[tuple[str, str]] = Counter()
        self.tokens: dict[str, tuple[float, bytes]] = {}
        self.signer = Signer(chance.randbytes(16))
        self._windows: dict[str, Window] = {}

    def now_ms(self) -> int:
        """Give the wall-clock time in milliseconds."""
        return self.clock.now_us() // 1000

    def arn(self, name: str) -> str:
        """Give the ARN of a table of this account and region."""
        return f"arn:aws:dynamodb:{self.behaviour.region}:{self.behaviour.account}:table/{name}"

    def find(self, name: str) -> Table | None:
        """Find a table by its name or its ARN, as it is now."""
        told = name.rpartition("/")[2] if name.startswith("arn:") else name
        table = self.tables.get(told)
        if table is not None and table.due_s is not None:
            table.settle(self.clock.monotonic_s())
            table = self.tables.get(told)
        return table

    def table(self, name: str) -> Table:
        """Find a table whose items can be reached. Raises: ServiceError (ResourceNotFoundException)."""
        table = self.find(name)
        if table is None or table.status in {"CREATING", "DELETING"}:
            raise errors.not_found("Requested resource not found")
        return table

    def described_table(self, name: str) -> Table:
        """Find a table in any state. Raises: ServiceError (ResourceNotFoundException)."""
        table = self.find(name)
        if table is None:
            raise errors.not_found(f"Requested resource not found: Table: {name} not found")
        return table

    # --------------------------------------------------------------------------------------------- what is written

    def write(self, table: Table, key: Key, new: Stored | None, *, expired: bool = False) -> None:
        """Put an item into its place, or take it from there, and tell the stream."""
        old = table.items.get(key)
        if self.behaviour.stale_reads:
            self._remember(table, key, old)
        table.write(key, new)
        if table.stream is not None and (old[0] if old else None) != (new[0] if new else None):
            self._tell(table.stream, digest(table.kinds[0], key[0]), old, new, expired=expired)

    def _tell(self, stream: Stream, place: bytes, old: Stored | None, new: Stored | None, *, expired: bool) -> None:
        now = self.clock.now_us(), self.clock.monotonic_s()
        shard, number = stream.append(place, (old, new), self.chance, now, expired=expired)
        if self.watcher is not None:
            images = old[0] if old else None, new[0] if new else None
            self.watcher(Change(stream.arn, shard.id, number, *images, expired))

    def _remember(self, table: Table, key: Key, old: Stored | None) -> None:
        undo, now_s = table.undo, self.clock.monotonic_s()
        undo.append((now_s, key, old))
        self._forget(table, now_s)

    def _forget(self, table: Table, now_s: float) -> None:
        undo, horizon_s = table.undo, now_s - self.behaviour.stale_s
        while undo and undo[0][0] < horizon_s:
            undo.popleft()

    def lagging(self, table: Table, *, consistent: bool) -> Lagging:
        """Give the items that a read sees as they were a while ago: most often none.

        A replica lags by some of the newest writes, in their order; it may have seen a part of a transaction.
        """
        if consistent or not table.undo or not self.chances(self.behaviour.stale_reads):
            return {}
        self._forget(table, self.clock.monotonic_s())
        if not table.undo:
            return {}
        seen: dict[Key, Stored | None] = {}
        newest = reversed(table.undo)
        for _ in range(self.chance.randint(1, len(table.undo))):
            _, key, old = next(newest)
            seen[key] = old
        return seen

    # ----------------------------------------------------------------------------------------------------- limits

    def admit(self, action: str, scope: str, limit: int | None) -> None:
        """Count a call. Raises: ServiceError (LimitExceededException) if there are too many."""
        if limit is None:
            return
        window = self._windows.setdefault(f"{action} {scope}", Window())
        if not window.admits(self.clock.monotonic_s(), limit):
            raise errors.limit_exceeded(f"Rate exceeded for {action}: slow down.")

    def chances(self, chance: float) -> bool:
        """Draw whether something happens; what has no chance draws nothing."""
        return chance > 0 and self.chance.random() < chance

    # -------------------------------------------------------------------------------------------------- capacity

    def consume(self, table: Table, kind: str, units: float) -> float:
        """Count capacity that was consumed, and give it back."""
        self.units[table.name, kind] += units  # type: ignore[assignment]
        return units


def consumed(wanted: str, table: Table, units: float, *, kind: str = "") -> dict[str, Any] | None:
    """Describe consumed capacity, if a caller wants to hear of it; `kind` is told by transactions only."""
    if wanted == "NONE":
        return None
    told: dict[str, Any] = {"TableName": table.name, "CapacityUnits": float(units)}
    if kind:
        told[f"{kind.title()}CapacityUnits"] = float(units)
    if wanted == "INDEXES":
        told["Table"] = {"CapacityUnits": float(units)}
    return told


def write_units(*sizes: int) -> int:
    """Give the units of a write: one for each 1 KB of the larger of what was there and what is."""
    return max(1, -(-max(sizes) // 1024))


def read_units(size: int, *, consistent: bool) -> float:
    """Give the units of a read: one for each 4 KB, or a half if it need not be consistent."""
    whole = max(1, -(-size // 4096))
    return float(whole) if consistent else whole / 2
