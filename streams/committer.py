"""The owner of a lane at work: chunks in, entries out, and the memory of ids that goes with it.

What the lane's state names must stay short however long it lives: pages of discovered files are merged, and
the ids of many small segments are folded into one object, as part of an ordinary commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from shardlake.adapters.engine import Engine
from shardlake.core.errors import Conflict
from shardlake.core.journal.objects import Arrived
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore
from shardlake.core.positions import END
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView
from streams.chunk import Chunk
from streams.dedup import Halves, by_shard
from streams.entry import Ids
from streams.lane import FOLDED, Fold, Lane, LaneLost, Prepared, Remembered
from streams.memory import Memory, nothing
from streams.sources import pages
from streams.steps import SqlSteps, Steps


class Committer:
    """Commits chunks to one lane. `failed` names the views that the last chunk could not be computed for.

    `steps` are what is computed of a chunk, where that is not done by SQL.
    """

    def __init__(
        self,
        lane: Lane,
        store: ObjectStore,
        schema: SourceSchema,
        views: Sequence[CompiledView],
        engine: Engine,
        limits: Limits,
        pulse: Callable[[], None] = nothing,
        steps: Steps | None = None,
    ) -> None:
        self.lane = lane
        self._store, self._schema, self._engine, self._limits = store, schema, engine, limits
        self._steps: Steps = steps or SqlSteps(schema, views, engine, limits)
        self._memory = Memory(store, schema.event_id, engine, self._steps.ids)
        self._memory.recall(lane.state.ids, self._scope(), pulse)
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
        built = self._steps.build(chunk, self._memory.seen, ancestors, page)
        leaving = self._leaving(chunk, built.ids)
        entry = self.lane.commit(_with(replace(built.prepared, seen=seen, remembered=leaving), keep, fold))
        self._remember(built.ids)
        if chunk.ends:
            self._memory.forget(self._scope())
        self.failed = built.failed
        return entry

    def adopt(self, *shards: str, seen: Arrived | None = None, pulse: Callable[[], None] = nothing) -> list[str]:
        """Take in free shards, with the memory of their scopes; name those that nobody else was first to take.

        `seen` is for those that nobody has held before; `pulse` is called between two. Raises: LaneLost if the lane is
        not ours any more; as `Lane.adopt`.
        """
        taken: list[str] = []
        for together in self.batches(shards):
            wanted = together
            while wanted and not self._adopted(wanted, seen, pulse):  # somebody else was first to take one of them
                left = self.lane.adoptable(wanted)
                wanted = left if len(left) < len(wanted) else ()
            taken += wanted
        return taken

    def batches(self, shards: Sequence[str]) -> list[Sequence[str]]:
        """Cut shards into those that may move in one entry."""
        most = self._limits.moves_max
        return [shards[start : start + most] for start in range(0, len(shards), most)]

    def _adopted(self, shards: Sequence[str], seen: Arrived | None, pulse: Callable[[], None]) -> bool:
        try:
            self.lane.adopt(*shards, seen=seen)
        except LaneLost:
            raise
        except Conflict:
            return False
        inherited = self.lane.inherited
        if all(log.hashed for log in inherited):
            self._memory.learn(inherited, self._scope(), pulse)
        else:  # segments of another lane, read before for other shards perhaps
            self._memory.recall(self.lane.state.ids, self._scope(), pulse)
        pulse()
        return True

    def release(self, *shards: str) -> Entry:
        """Let shards go free, in one entry, with the memory of their scopes. Raises: as `Lane.release`."""
        remembered = {shard: self._memory.of(self._scope_of(shard), {}) for shard in shards}
        entry = self.lane.release(*shards, remembered={s: found for s, found in remembered.items() if found})
        self._memory.forget(self._scope())
        return entry

    def pages(self) -> list[bytes]:
        """The pages of discovered files that the lane's state names, in order."""
        return [self._store.get(ref) for ref in self.lane.state.pages]

    def _remember(self, ids: Ids | None) -> None:
        """Remember new ids; memory that holds twice the horizon is read anew from what the state still names."""
        if ids is None:
            return
        self._memory.seen.remember(ids.slices, ids.halves, ids.fresh)
        if self._memory.seen.count > 2 * self._limits.ids_max:
            self._memory.recall(self.lane.state.ids, self._scope())

    def _scope_of(self, shard: str) -> list[str]:
        held = self.lane.state.shards.get(shard)
        return [shard, *(held.ancestors if held else ())]

    def _scope(self) -> set[str]:
        """The shards whose ids matter here: those that are held, and their ancestors."""
        return {name for shard in self.lane.state.shards for name in self._scope_of(shard)}

    def _leaving(self, chunk: Chunk, ids: Ids | None) -> dict[str, Remembered]:
        """What goes with the shards that end in a chunk: what is remembered of their scopes, and what is new in it."""
        ended = [str(found.shard) for found in chunk.ranges() if found.upto == END]
        rows = by_shard(ids.slices) if ids is not None and ended else {}
        leaving: dict[str, Remembered] = {}
        for shard in ended:
            new: dict[str, Halves] = {}
            if ids is not None and shard in rows:
                new[shard] = ids.halves[:, rows[shard][ids.fresh[rows[shard]]]]
            found = self._memory.of(self._scope_of(shard), new)
            if found is not None:
                leaving[shard] = found
        return leaving

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
        if len(logs) < self._limits.id_logs_max:
            return None
        return self._memory.fold(logs[: max(1, len(logs) // 2)], self._scope())


def _with(prepared: Prepared, keep_pages: int | None, fold: Fold | None) -> Prepared:
    files = prepared.files if fold is None else {**prepared.files, FOLDED: fold.rows}
    return replace(prepared, files=files, keep_pages=keep_pages, fold=fold)
