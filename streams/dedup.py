"""Which rows repeat an event id that was seen earlier in their shard or its ancestors.

A row is a duplicate if its id stands earlier, by position, in its dedup scope: in an entry within the
horizon, or in the same chunk. A row without an id is never one. The decision is stored with the row and never
taken again.

Ids are compared as 128-bit hashes (MD5, which is about chance here: 10^12 events against a horizon of 2
million collide with a chance of 10^-20). They are kept per shard as sorted runs: two columns of 64 bits.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.adapters.arrow import booleans, unsigned
from shardlake.adapters.engine import Engine

Halves = npt.NDArray[np.uint64]  # shape (2, n): the low halves, sorted, above the high halves
RUNS_MAX = 6


def hash_ids(engine: Engine, ids: pa.ChunkedArray) -> tuple[Halves, npt.NDArray[np.bool_]]:
    """Hash a column of ids: two halves a row (shape (2, n)), and which rows have an id: an empty text is none."""
    halves = engine.table(
        "SELECT (h & 18446744073709551615::UHUGEINT)::UBIGINT AS low, (h >> 64)::UBIGINT AS high,"
        " h IS NOT NULL AS known FROM (SELECT md5_number(nullif(id::VARCHAR, ''))::UHUGEINT AS h FROM ids)",
        {"ids": pa.table({"id": ids})},
    )
    return np.vstack([unsigned(halves["low"]), unsigned(halves["high"])]), booleans(halves["known"])


@dataclass(slots=True)
class ShardIds:
    """The ids that one shard has shown, as sorted runs."""

    runs: list[Halves] = field(default_factory=list)

    def add(self, halves: Halves) -> None:
        """Remember ids."""
        self.runs.append(halves[:, np.argsort(halves[0], kind="stable")])
        if len(self.runs) > RUNS_MAX:
            joined = np.hstack(self.runs)
            self.runs = [joined[:, np.argsort(joined[0], kind="stable")]]

    def holds(self, halves: Halves) -> npt.NDArray[np.bool_]:
        """Tell which ids are remembered."""
        found = np.zeros(halves.shape[1], dtype=bool)
        for run in self.runs:
            found |= _holds(run, halves)
        return found


def _holds(run: Halves, halves: Halves) -> npt.NDArray[np.bool_]:
    at = np.searchsorted(run[0], halves[0])
    found = np.zeros(halves.shape[1], dtype=bool)
    pending = np.flatnonzero(at < run.shape[1])
    while pending.size:  # more than once only where two ids share their low half
        same_low = run[0][at[pending]] == halves[0][pending]
        pending = pending[same_low]
        found[pending] |= run[1][at[pending]] == halves[1][pending]
        at[pending] += 1
        pending = pending[(at[pending] < run.shape[1]) & ~found[pending]]
    return found


class Seen:
    """The ids of a lane's shards within the horizon."""

    def __init__(self) -> None:
        self._shards: dict[str, ShardIds] = {}
        self.count = 0

    def mark(
        self,
        shards: Iterable[tuple[str, int, int]],
        ancestors: Mapping[str, tuple[str, ...]],
        halves: Halves,
        known: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.bool_]:
        """Tell which rows of a chunk are duplicates; nothing is remembered yet.

        `shards` names slices of rows (shard, start, stop), in order of position within each shard.
        """
        duplicate = np.zeros(known.size, dtype=bool)
        for shard, everything in by_shard(shards).items():
            with_id = everything[known[everything]]
            rows = with_id[np.argsort(halves[0, with_id], kind="stable")]  # a sorted search is five times a random one
            mine = halves[:, rows]
            repeated = _repeats(mine)
            for scope in (shard, *ancestors.get(shard, ())):
                if scope in self._shards:
                    repeated |= self._shards[scope].holds(mine)
            duplicate[rows] = repeated
        return duplicate

    def runs(self, shard: str) -> Sequence[Halves]:
        """What is remembered of one shard."""
        return self._shards[shard].runs if shard in self._shards else ()

    def keep(self, shards: Collection[str]) -> None:
        """Forget all shards but these."""
        self._shards = {shard: ids for shard, ids in self._shards.items() if shard in shards}
        self.count = sum(run.shape[1] for ids in self._shards.values() for run in ids.runs)

    def learn(self, shard: str, halves: Halves) -> None:
        """Remember ids of one shard that were committed before."""
        if halves.shape[1]:
            self.count += halves.shape[1]
            self._shards.setdefault(shard, ShardIds()).add(halves)

    def remember(self, shards: Iterable[tuple[str, int, int]], halves: Halves, fresh: npt.NDArray[np.bool_]) -> None:
        """Remember the ids of the rows that are `fresh`: known and not duplicates. Only after they were committed."""
        for shard, everything in by_shard(shards).items():
            rows = everything[fresh[everything]]
            self.learn(shard, halves[:, rows])


def by_shard(shards: Iterable[tuple[str, int, int]]) -> dict[str, npt.NDArray[np.intp]]:
    """Name the rows of each shard, out of slices (shard, start, stop)."""
    slices: dict[str, list[npt.NDArray[np.intp]]] = {}
    for shard, start, stop in shards:
        slices.setdefault(shard, []).append(np.arange(start, stop))
    return {shard: np.concatenate(parts) for shard, parts in slices.items()}


def _repeats(halves: Halves) -> npt.NDArray[np.bool_]:
    """Tell which columns stand earlier in the same array, which is in stable order of its low halves."""
    repeated = np.zeros(halves.shape[1], dtype=bool)
    same_low = np.flatnonzero(halves[0, 1:] == halves[0, :-1])
    if same_low.size:
        order = np.lexsort((halves[1], halves[0]))  # stable too: the first of equals keeps its place
        ordered = halves[:, order]
        repeated[order[1:]] = (ordered[:, 1:] == ordered[:, :-1]).all(axis=0)
    return repeated
