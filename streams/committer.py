"""The owner of a lane at work: chunks in, entries out, and the memory of ids that goes with it.

What the lane's state names must stay short however long it lives: pages of discovered files are merged, and
the ids of many small segments are folded into one object, as part of an ordinary commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.core.errors import Conflict
from shardlake.core.journal.objects import Arrived
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView
from streams.chunk import Chunk
from streams.dedup import Seen, fresh_ids, recall
from streams.entry import Ids, build, to_parquet
from streams.lane import FOLDED, Fold, Lane, LaneLost, Prepared
from streams.sources import pages


def _nothing() -> None:
    """Do nothing."""


class Committer:
    """Commits chunks to one lane. `failed` names the views that the last chunk could not be computed for."""

    def __init__(
        self,
        lane: Lane,
        store: ObjectStore,
        schema: SourceSchema,
        views: Sequence[CompiledView],
        engine: Engine,
        limits: Limits,
    ) -> None:
        self.lane = lane
        self._store, self._schema, self._views = store, schema, views
        self._engine, self._limits = engine, limits
        self._seen = self._recall()
        self.failed: tuple[str, ...] = ()

    def commit(
        self, chunk: Chunk, page: bytes | None = None, seen: Mapping[str, Arrived] = MappingProxyType({})
    ) -> Entry:
        """Count a chunk, and remember its ids once that is certain.

        `seen` tells for held shards up to when everything that arrived was read. Raises: as `Lane.commit`.
        """
        ancestors = {shard: held.ancestors for shard, held in self.lane.state.shards.items()}
        page, keep = self._merged(page)
        fold = self._fold()
        built = build(chunk, self._schema, self._views, self._seen, ancestors, self._engine, self._limits, page)
        entry = self.lane.commit(_with(built.prepared, keep, fold, seen))
        self._remember(built.ids)
        self.failed = built.failed
        return entry

    def adopt(self, *shards: str, seen: Arrived | None = None, pulse: Callable[[], None] = _nothing) -> list[str]:
        """Take in free shards, with the memory of their scopes; name those that nobody else was first to take.

        `seen` is for those that nobody has held before; `pulse` is called between two. Raises: LaneLost if the lane is
        not ours any more; as `Lane.adopt`.
        """
        before = self.lane.state.ids
        try:
            return [shard for shard in shards if self._adopted(shard, seen, pulse)]
        finally:
            if self.lane.state.ids != before:
                self._seen = self._recall()

    def _adopted(self, shard: str, seen: Arrived | None, pulse: Callable[[], None]) -> bool:
        try:
            self.lane.adopt(shard, seen)
            pulse()
        except LaneLost:
            raise
        except Conflict:
            return False
        return True

    def release(self, shard: str) -> Entry:
        """Let a shard go free."""
        return self.lane.release(shard)

    def pages(self) -> list[bytes]:
        """The pages of discovered files that the lane's state names, in order."""
        return [self._store.get(ref) for ref in self.lane.state.pages]

    def _remember(self, ids: Ids | None) -> None:
        """Remember new ids; memory that holds twice the horizon is read anew from what the state still names."""
        if ids is None:
            return
        self._seen.remember(ids.slices, ids.halves, ids.fresh)
        if self._seen.count > 2 * self._limits.ids_max:
            self._seen = self._recall()

    def _merged(self, page: bytes | None) -> tuple[bytes | None, int | None]:
        """Merge a new page with the newer ones of the state, if these are many: the page, and how many stay."""
        refs = self.lane.state.pages
        if page is None:
            return None, None
        start = pages.merge_from([*(ref.length for ref in refs), len(page)], self._limits.pages_max)
        if start >= len(refs):
            return page, None
        return pages.merge([*(self._store.get(ref) for ref in refs[start:]), page]), start

    def _fold(self) -> Fold | None:
        """Put the ids of the older half of many logs into one object."""
        logs = self.lane.state.ids
        if self._schema.event_id is None or len(logs) < self._limits.id_logs_max:
            return None
        half = logs[: max(1, len(logs) // 2)]
        tables = [fresh_ids(self._store, log, self._schema.event_id) for log in half]
        rows = to_parquet(pa.concat_tables(tables))
        return Fold(len(half), rows, sum(log.ids for log in half), max(log.arrival_us for log in half))

    def _recall(self) -> Seen:
        if self._schema.event_id is None:
            return Seen()
        return recall(self._store, self.lane.state.ids, self._schema.event_id, self._engine)


def _with(prepared: Prepared, keep_pages: int | None, fold: Fold | None, seen: Mapping[str, Arrived]) -> Prepared:
    files = prepared.files if fold is None else {**prepared.files, FOLDED: fold.rows}
    return replace(prepared, files=files, keep_pages=keep_pages, fold=fold, seen=seen)
