"""Which shards stand still: held, with something to read in them, and nothing read of it for too long.

A page of records is progress, and so is any answer that the shard was read to its tip, or that it is less far behind
than before. A shard that is stopped at a gap makes none. What was lost and taken again meanwhile, as after an error
that passes, goes on where it stood, so that a shard that fails again and again is told once, and in time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from streams.sources.kinesis.fetching import Lag

GAP: Final = "gap"
NOTHING_READ: Final = "nothing_read"


@dataclass(frozen=True, slots=True)
class Change:
    """A shard began to stand still, with a `reason`, or (if not `is_stuck`) moves again; `for_s` is since it moved."""

    shard: str
    is_stuck: bool
    for_s: float
    behind_ms: int | None = None
    reason: str = ""


@dataclass(slots=True)
class _Standing:
    """What is remembered of a shard; `moved_s` is when it was last seen to have moved."""

    moved_s: float
    held_s: float
    pages: int = 0
    behind_ms: int | None = None
    asked_s: float | None = None
    is_stuck: bool = False

    def take(self, lag: Lag, now_s: float) -> None:
        """Take note of what is seen now."""
        is_new = lag.asked_s is not None and (self.asked_s is None or lag.asked_s > self.asked_s)
        is_nearer = self.behind_ms is None or (lag.behind_ms is not None and lag.behind_ms < self.behind_ms)
        has_moved = lag.pages > self.pages or (is_new and (not lag.behind_ms or is_nearer))
        if has_moved and not lag.is_stopped:
            self.moved_s, self.behind_ms = now_s, lag.behind_ms
        self.held_s, self.pages = now_s, lag.pages
        self.asked_s = lag.asked_s if is_new else self.asked_s


@dataclass(slots=True)
class StuckShards:
    """Looks at lags again and again, by the caller's monotonic clock. It may be used from several threads."""

    _known: dict[str, _Standing] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def look(self, now_s: float, lags: Mapping[str, Lag], stuck_s: float) -> list[Change]:
        """Compare with the last look; tell which shards have stood still for `stuck_s` now, and which move again."""
        with self._lock:
            for shard, lag in lags.items():
                self._known.setdefault(shard, _Standing(now_s, now_s)).take(lag, now_s)
            gone = [s for s, known in self._known.items() if s not in lags and now_s - known.held_s > stuck_s]
            for shard in gone:
                del self._known[shard]
            return list(self._changes(now_s, lags, stuck_s))

    def forget(self, shards: Iterable[str]) -> None:
        """Forget shards that were let go in order: who reads them now begins to count anew."""
        with self._lock:
            for shard in shards:
                self._known.pop(shard, None)

    def names(self) -> frozenset[str]:
        """Name the shards that stand still."""
        with self._lock:
            return frozenset(shard for shard, known in self._known.items() if known.is_stuck)

    def _changes(self, now_s: float, lags: Mapping[str, Lag], stuck_s: float) -> Iterator[Change]:
        for shard, lag in lags.items():
            known = self._known[shard]
            still_s = now_s - known.moved_s
            is_stuck = lag.is_stopped or still_s >= stuck_s or (known.is_stuck and still_s > 0)  # until it moves
            if is_stuck == known.is_stuck:
                continue
            known.is_stuck = is_stuck
            reason = "" if not is_stuck else GAP if lag.is_stopped else NOTHING_READ
            yield Change(shard, is_stuck, still_s, lag.behind_ms, reason)
