"""What a lane remembers of event ids, and the objects that hold it: its segments, and objects of hashes.

A lane's own segments are named by its state, one by one, and folded into one object of hashes when they are many. A
shard that leaves takes an object with it that holds the hashes of its own dedup scope and nothing else: so what a lane
remembers does not grow by how often shards have moved.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shardlake.adapters.arrow import integers, ints, strings, unsigned, unsigned_longs
from shardlake.adapters.engine import Engine
from shardlake.core.journal.objects import IdLog
from shardlake.core.ports import ObjectStore
from streams.dedup import Halves, Seen, hash_ids
from streams.entry import to_parquet
from streams.lane import Fold, Remembered

AT_ONCE: Final = 32  # segments that are hashed together
TOGETHER: Final = 8  # objects that are fetched together


def nothing() -> None:
    """Do nothing."""


class IdObjects(Protocol):
    """How ids stand in objects: pairs of a shard and hashes."""

    def of_segments(self, segments: Iterable[bytes]) -> Iterable[tuple[str, Halves]]:
        """Hash the ids of those rows of some segments that are not duplicates."""

    def read(self, data: bytes) -> Iterable[tuple[str, Halves]]:
        """Read an object of hashes."""

    def write(self, found: Iterable[tuple[str, Halves]]) -> Remembered:
        """Write an object of hashes, each of a shard once."""


class ParquetIds:
    """Ids in Parquet: a column of segments, and columns of hashes."""

    def __init__(self, id_column: str, engine: Engine) -> None:
        self._id_column, self._engine = id_column, engine

    def of_segments(self, segments: Iterable[bytes]) -> Iterator[tuple[str, Halves]]:
        """Hash the ids of those rows of some segments that are not duplicates."""
        table = pa.concat_tables([self._fresh(data) for data in segments])
        halves, known = hash_ids(self._engine, table[self._id_column])
        for shard, first, last in _runs_of(table["_shard"]):
            yield shard, halves[:, first:last][:, known[first:last]]

    def read(self, data: bytes) -> Iterator[tuple[str, Halves]]:
        """Read an object of hashes."""
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        halves = np.vstack([unsigned(table["low"]), unsigned(table["high"])])
        for shard, first, last in _runs_of(table["_shard"]):
            yield shard, halves[:, first:last]

    def write(self, found: Iterable[tuple[str, Halves]]) -> Remembered:
        """Write an object of hashes, each of a shard once."""
        return _written(found)

    def _fresh(self, segment: bytes) -> pa.Table:
        """Read the rows of a segment that are not duplicates: their shards and ids."""
        file = pq.ParquetFile(pa.BufferReader(segment))
        table = file.read(columns=["_shard", self._id_column, "_duplicate"])
        return table.filter(pc.invert(table["_duplicate"])).select(["_shard", self._id_column])


class Memory:
    """The ids of a lane's dedup scopes, within the horizon; none of a source without ids. `seen` decides.

    `objects` is for a simulation, whose segments are no Parquet.
    """

    def __init__(
        self, store: ObjectStore, id_column: str | None, engine: Engine, objects: IdObjects | None = None
    ) -> None:
        self._store = store
        self._objects = None if id_column is None else objects or ParquetIds(id_column, engine)
        self.seen = Seen()
        self._whole: set[IdLog] = set()  # objects of hashes all of which are remembered

    def recall(self, logs: Sequence[IdLog], scope: Collection[str], pulse: Callable[[], None] = nothing) -> None:
        """Forget everything, and read what some logs hold of the shards in `scope`; `pulse` is called between two."""
        self.seen, self._whole = Seen(), set()
        if self._objects is not None:
            self._learn(self._segments(self._objects, [log for log in logs if not log.hashed], pulse), scope)
            self.learn([log for log in logs if log.hashed], scope, pulse)

    def learn(self, logs: Sequence[IdLog], scope: Collection[str], pulse: Callable[[], None] = nothing) -> None:
        """Read what objects of hashes hold of the shards in `scope`, if it is not remembered."""
        for log, data in self._near([log for log in dict.fromkeys(logs) if log not in self._whole]):
            if self._learn(self._hashes(data), scope):
                self._whole.add(log)
            pulse()

    def _learn(self, found: Iterable[tuple[str, Halves]], scope: Collection[str]) -> bool:
        whole = True
        for shard, halves in found:
            if shard in scope:
                self.seen.learn(shard, halves)
            whole &= shard in scope
        return whole

    def forget(self, scope: Collection[str]) -> None:
        """Forget all shards that are not in `scope`."""
        self.seen.keep(scope)
        self._whole.clear()

    def of(self, shards: Sequence[str], more: Mapping[str, Halves]) -> Remembered | None:
        """Write what is remembered of some shards, and `more`, which was not remembered yet; None without ids."""
        if self._objects is None:
            return None
        found = [(shard, halves) for shard in shards for halves in self.seen.runs(shard)]
        return self._objects.write([*found, *more.items()])

    def fold(self, logs: Sequence[IdLog], scope: Collection[str]) -> Fold | None:
        """Write what some logs hold of the shards in `scope` into one object; None without ids."""
        if self._objects is None:
            return None
        segments = self._segments(self._objects, [log for log in logs if not log.hashed], nothing)
        hashed = self._near([log for log in logs if log.hashed])
        hashes = (found for _, data in hashed for found in self._hashes(data))
        written = self._objects.write([(shard, halves) for shard, halves in chain(hashes, segments) if shard in scope])
        return Fold(len(logs), written.rows, written.ids, max(log.arrival_us for log in logs))

    def _segments(
        self, objects: IdObjects, logs: Sequence[IdLog], pulse: Callable[[], None]
    ) -> Iterator[tuple[str, Halves]]:
        for start in range(0, len(logs), AT_ONCE):
            yield from objects.of_segments(self._read(logs[start : start + AT_ONCE], pulse))

    def _read(self, logs: Sequence[IdLog], pulse: Callable[[], None]) -> Iterator[bytes]:
        for log, data in self._near(logs):
            del log
            yield data
            pulse()

    def _near(self, logs: Sequence[IdLog]) -> Iterator[tuple[IdLog, bytes]]:
        """Read logs' objects, a few of them fetched together: whoever reads them gives a sign of life in between."""
        for start in range(0, len(logs), TOGETHER):
            together = logs[start : start + TOGETHER]
            self._store.fetch([log.segment for log in together])
            for log in together:
                yield log, self._store.get(log.segment)

    def _hashes(self, data: bytes) -> Iterable[tuple[str, Halves]]:
        return () if self._objects is None else self._objects.read(data)


def _written(found: Iterable[tuple[str, Halves]]) -> Remembered:
    """Write hashes, each of a shard once: what comes back to a lane may be there already."""
    by_shard: dict[str, list[Halves]] = {}
    for shard, halves in found:
        by_shard.setdefault(shard, []).append(halves)
    once = {shard: _distinct(np.hstack(parts)) for shard, parts in by_shard.items()}
    lengths = [halves.shape[1] for halves in once.values()]
    codes = np.repeat(np.arange(len(once), dtype=np.int32), lengths)
    names = pa.DictionaryArray.from_arrays(ints(codes), strings(list(once)))
    joined = np.hstack([np.zeros((2, 0), np.uint64), *once.values()])
    columns = {"_shard": names, "low": unsigned_longs(joined[0]), "high": unsigned_longs(joined[1])}
    table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
    return Remembered(to_parquet(table, use_dictionary=["_shard"]), sum(lengths))


def _distinct(halves: Halves) -> Halves:
    ordered = halves[:, np.lexsort((halves[1], halves[0]))]
    if not ordered.shape[1]:
        return ordered
    is_new = np.concatenate([[True], (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)])
    return ordered[:, is_new]


def _runs_of(shards: pa.ChunkedArray) -> list[tuple[str, int, int]]:
    """Where the rows of each shard stand, as slices."""
    if not len(shards):
        return []
    codes = pa.concat_arrays(shards.cast(pa.string()).chunks).dictionary_encode()
    found = integers(codes.indices)
    edges = [0, *(np.flatnonzero(found[1:] != found[:-1]) + 1).tolist(), found.size]
    names = codes.dictionary.to_pylist()
    return [(names[found[a]], a, b) for a, b in pairwise(edges) if b > a]
