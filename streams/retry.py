"""Retried dead letters: events of the source `dlq/<source>`, which is one shard in a lane of its own.

An entry of that lane holds the rows that letters became, and as its letters the markers of those letters: their old
positions and reasons. So a letter is open as long as no entry of the lane names it. Whoever retries has read all
entries up to the head that he then takes over, and every entry moves that head on: what somebody else retried
meanwhile makes him fail, and nothing is counted twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.adapters.arrow import constant, integers, longs, strings
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.core.errors import Conflict, OutcomeUnknown
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Carried, IdLog, LaneState, Manifest
from shardlake.core.journal.operations import Transaction
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Entry, EntryKey, Head, ObjectRef, Registry, ShardRow
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore
from shardlake.core.positions import Position, SeqRange, ShardId, encode_number
from streams.again import Again
from streams.chunk import LETTERS, Chunk, Piece
from streams.committer import Committer
from streams.dedup import Halves, hash_ids
from streams.lane import Lane, LaneContext, LaneLost, Prepared, read_state
from streams.memory import Memory

SYSTEM: Final = "dlq/"  # no source that is configured has a name with a slash
IDS_AT_ONCE: Final = 1_000_000


def retries_of(source: str) -> str:
    """Name the source of a source's retried letters, and its only shard."""
    return SYSTEM + source


def is_retry(manifest: Manifest) -> bool:
    """Tell whether an entry holds retried letters: what it names as letters are markers."""
    return manifest.source.startswith(SYSTEM)


# ------------------------------------------------------------------------------------------------------ the lane


@dataclass(frozen=True, slots=True)
class Standing:
    """How the lane of a source's retries stood when somebody looked; no head if there was none yet."""

    head: Head | None
    registry: Registry


def stand(journal: Journal, source: str) -> Standing:
    """Look at the lane of a source's retries."""
    registry = reading.read_registry(journal) or Registry(0)
    heads = (reading.read_head(journal, lane) for lane in range(registry.lanes))
    return Standing(next((head for head in heads if head.source == retries_of(source)), None), registry)


class RetryLane(Lane):
    """The lane of a source's retries. `needs` are the entries of the letters that the next commit marks."""

    needs: tuple[EntryKey, ...] = ()

    @classmethod
    def open(cls, context: LaneContext, source: str, standing: Standing) -> "RetryLane":
        """Become the lane's owner, whoever was, if it still stands as it was seen; make it if there is none.

        Raises: LaneLost if somebody else retried meanwhile; as `Lane.take`.
        """
        name = retries_of(source)
        head = standing.head or _made(context, source)
        try:
            lane = cls.take(context, head.lane, context.new_id(), name, expected=head)
        except LaneLost as error:
            raise rivalled(source) from error
        assert isinstance(lane, cls)
        if lane.position(name) is None:
            lane.adopt(name)
        return lane

    def _commit(self, prepared: Prepared) -> tuple[Transaction, LaneState]:
        def manifest(lane: int, number: int, refs: Mapping[str, ObjectRef]) -> Manifest:
            made = prepared.manifest(lane, number, refs)
            counts = msgspec.structs.replace(made.counts, letters=-made.counts.letters)
            return msgspec.structs.replace(made, source=self.head.source, counts=counts)

        transaction, state = super()._commit(replace(prepared, manifest=manifest))
        return _needing(transaction, self.needs), state


def rivalled(source: str) -> LaneLost:
    """Say that somebody else retries."""
    return LaneLost(
        f"another retry of {source} was at work just now; what it counted stays counted: run this one again"
    )


def _made(context: LaneContext, source: str) -> Head:
    """Make the lane, with its source from the start, so that no worker takes it for a free one; and its shard."""
    name = retries_of(source)
    for _ in range(context.limits.commit_retries_max):
        now = stand(context.journal, source)
        if now.head is not None:
            if now.head.n:
                raise rivalled(source)
            return now.head
        writes = (*operations.grow(now.registry, name), operations.discover(name, name, ()))
        with suppress(Conflict, OutcomeUnknown):  # a worker has added a lane just now, or what came of it is seen next
            context.journal.transact(writes)
    raise Conflict("the number of lanes changes all the time: try again")


def _needing(transaction: Transaction, needs: tuple[EntryKey, ...]) -> Transaction:
    entry: Entry = msgspec.structs.replace(transaction.entry, needs=needs)
    first, *others = transaction.writes
    return Transaction((replace(first, put=rows.encode(entry)), *others), transaction.head, entry)


# ----------------------------------------------------------------------------------------------------- the letters


@dataclass(slots=True)
class Batch:
    """Letters that are tried together, and per lane the newest entry that one of them is in."""

    parts: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    entries: dict[int, int] = field(default_factory=dict)

    def has_room(self, part: pa.Table, limits: Limits) -> bool:
        """Tell whether there is room for more; the first part always has it."""
        fits = self.rows + part.num_rows <= limits.chunk_rows_max and self.size + part.nbytes <= limits.chunk_bytes_max
        return fits or not self.rows

    def add(self, part: pa.Table, entry: EntryKey) -> None:
        """Take letters of an entry in."""
        self.parts.append(part)
        self.rows, self.size = self.rows + part.num_rows, self.size + part.nbytes
        lane, n = entry
        self.entries[lane] = max(n, self.entries.get(lane, 0))

    @property
    def letters(self) -> pa.Table:
        """All of them, with the columns of LETTERS."""
        return pa.concat_tables([LETTERS.empty_table(), *self.parts])

    @property
    def needs(self) -> tuple[EntryKey, ...]:
        """The entries that a cut with their retries must hold."""
        return tuple(sorted(self.entries.items()))


class RetryCommitter(Committer):
    """Commits what letters became, with their markers."""

    lane: RetryLane

    def retry(self, batch: Batch, again: Again, elsewhere: Callable[[Halves], Halves]) -> Manifest:
        """Count the rows, and mark their letters. `elsewhere` gives those ids of some that the source has counted.

        Raises: as `Committer.commit`.
        """
        shard = ShardId(self.lane.head.source)
        if self._schema.event_id is not None:
            halves, known = hash_ids(self._engine, again.rows[self._schema.event_id])
            self._memory.seen.learn(shard, elsewhere(np.unique(halves[:, known], axis=1)))
        chunk = Chunk(self._limits)
        chunk.add(self._piece(shard, batch.letters.take(longs(again.letters)), again), 0.0)
        self.lane.needs = batch.needs
        (manifest,) = read_manifests(self._store, [self.commit(chunk)])
        return manifest

    def _piece(self, shard: ShardId, letters: pa.Table, again: Again) -> Piece:
        after, count = Position.decode(self.lane.position(shard) or "-"), again.rows.num_rows
        numbers = range(after.sequence + 1, after.sequence + count + 1)
        markers = letters.drop_columns(["detail", "payload"])
        markers = markers.append_column("detail", strings([f"{shard}:{number}:0" for number in numbers]))
        markers = markers.append_column("payload", constant("", count).cast(pa.binary()))
        return Piece(
            SeqRange(shard, after, Position(after.sequence + count)),
            again.rows,
            strings([encode_number(number) for number in numbers]),
            np.zeros(count, np.int64),
            integers(letters["_arrival"].cast(pa.int64())),
            markers.select(LETTERS.names).cast(LETTERS),
            weights=again.weights,
        )


# ---------------------------------------------------------------------------------------------- what else is counted


@dataclass(frozen=True, slots=True)
class Counted:
    """The event ids that a source's shards remember, read anew for each question and never all at once."""

    journal: Journal
    store: ObjectStore
    engine: Engine
    source: str
    id_column: str

    def __call__(self, halves: Halves) -> Halves:
        """Choose those of some different ids that an event of the source has."""
        shards = {name: row for name, row in reading.read_shards(self.journal).items() if row.source == self.source}
        found = np.zeros(halves.shape[1], dtype=bool)
        for logs in _in_groups(self._logs(shards)):
            memory = Memory(self.store, self.id_column, self.engine)
            memory.recall(logs, shards.keys())
            found |= self._known(memory, tuple(shards), halves)
        return halves[:, found]

    def _known(self, memory: Memory, shards: tuple[str, ...], halves: Halves) -> npt.NDArray[np.bool_]:
        count, here = halves.shape[1], retries_of(self.source)
        return memory.seen.mark([(here, 0, count)], {here: shards}, halves, np.ones(count, dtype=bool))

    def _logs(self, shards: Mapping[str, ShardRow]) -> list[IdLog]:
        """What the lanes remember, and what those shards took along that nobody holds, and the parents of such."""
        heads = reading.read_heads(self.journal).values()
        logs = [log for head in heads if head.source == self.source for log in read_state(self.store, head).ids]
        free = [row for row in shards.values() if row.place == "free"]
        left = [*free, *(shards[parent] for row in free for parent in row.parents)]
        for ref in (row.carried for row in left if row.carried is not None):
            logs += stored.decode(Carried, ref.name, self.store.get(ref)).ids
        return list(dict.fromkeys(logs))


def _in_groups(logs: Sequence[IdLog]) -> Iterator[list[IdLog]]:
    """Cut into parts of so many ids, or of one log."""
    group: list[IdLog] = []
    for log in logs:
        if group and sum(one.ids for one in group) + log.ids > IDS_AT_ONCE:
            yield group
            group = []
        group.append(log)
    if group:
        yield group
