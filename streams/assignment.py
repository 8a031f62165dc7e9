"""Who should hold which shard: a pure function that every worker computes for itself, out of what it sees.

Two workers may see different things for a moment; what one takes, the journal refuses to the other.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from shardlake.core.journal.rows import ShardRow


@dataclass(frozen=True, slots=True)
class Moves:
    """What a worker should do now with shards: take these in, let those go."""

    adopt: tuple[str, ...] = ()
    release: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.adopt or self.release)


def adoptable(shards: Mapping[str, ShardRow]) -> list[str]:
    """Name the free shards whose parents have all ended."""
    return [s for s, row in shards.items() if row.place == "free" and _may_begin(row, shards)]


def assign(home: int, living: Collection[int], shards: Mapping[str, ShardRow]) -> Moves:
    """Say what the worker of lane `home` should do; `living` are the home lanes of living workers, that one included.

    Each should hold floor(n / workers) or ceil(n / workers) of the n shards that can be read.
    """
    held = Counter(dict.fromkeys(living, 0))
    held.update(row.lane for row in shards.values() if row.place == "held")
    free = adoptable(shards)
    least, rest = divmod(len(free) + held.total(), len(living))
    most = least + (rest > 0)
    mine = sorted(s for s, row in shards.items() if row.place == "held" and row.lane == home)
    if len(mine) > most:
        return Moves(release=tuple(mine[most:]))
    if free:
        dealt = _dealt(free, {lane: held[lane] for lane in living}, least, most)
        return Moves(adopt=tuple(sorted(shard for shard, lane in dealt if lane == home)))
    lowest, fullest = min(held[lane] for lane in living), max(held[lane] for lane in living)
    is_fullest = home == min(lane for lane in living if held[lane] == fullest)
    return Moves(release=(mine[-1],)) if is_fullest and lowest < least and len(mine) > least else Moves()


def _may_begin(row: ShardRow, shards: Mapping[str, ShardRow]) -> bool:
    return all(parent in shards and shards[parent].place == "end" for parent in row.parents)


def _dealt(free: list[str], held: dict[int, int], least: int, most: int) -> Iterator[tuple[str, int]]:
    """Deal free shards: each to the next lane on a ring of hashes that has room, at first up to `least`.

    Who sees a few shards or lanes otherwise deals nearly all to the same lanes, so that few reach for one shard.
    (Consistent hashing with bounded loads: Mirrokni, Thorup and Zadimoghaddam, 2018.)
    """
    left = sorted(free, reverse=True)
    for bound in (least, most):
        ring = sorted((_hash(str(lane)), lane) for lane, count in held.items() if count < bound)
        while left and ring:
            shard = left.pop()
            at = bisect_left(ring, (_hash(shard), 0)) % len(ring)
            lane = ring[at][1]
            held[lane] += 1
            if held[lane] == bound:
                del ring[at]
            yield shard, lane


@lru_cache(maxsize=1 << 16)
def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
