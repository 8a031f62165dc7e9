"""Rows that make up for what a table held before its stream was followed: events of the source `bootstrap/<source>`.

It is one shard in a lane of its own, as retried letters are (see `streams.retry`). Its position tells whether its rows
are complete. Whoever takes the lane over reads only then what is counted, and the owner before can commit no more: so
what is missing is never added twice.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.adapters.arrow import strings
from shardlake.core.bootstrap import COMPLETE, UNDER_WAY, bootstrap_of
from shardlake.core.errors import Conflict, OutcomeUnknown
from shardlake.core.journal import operations, reading
from shardlake.core.journal.objects import LaneState, Manifest
from shardlake.core.journal.operations import Transaction
from shardlake.core.journal.rows import Head, ObjectRef, Registry
from shardlake.core.positions import ORIGIN, Position, SeqRange, ShardId, encode_number
from streams.chunk import Chunk, Piece
from streams.committer import Committer
from streams.lane import Lane, LaneContext, LaneLost, Prepared


class BootstrapLane(Lane):
    """The lane of a source's rows from its table."""

    @classmethod
    def open(cls, context: LaneContext, source: str) -> "BootstrapLane":
        """Become the lane's owner, whoever was; make it if there is none. Raises: as `Lane.take`."""
        name = bootstrap_of(source)
        head = _found(context, name) or _made(context, name)
        lane = cls.take(context, head.lane, context.new_id(), name)
        assert isinstance(lane, cls)
        if lane.position(name) is None:
            lane.adopt(name)
        return lane

    def _commit(self, prepared: Prepared) -> tuple[Transaction, LaneState]:
        def manifest(lane: int, number: int, refs: Mapping[str, ObjectRef]) -> Manifest:
            return msgspec.structs.replace(prepared.manifest(lane, number, refs), source=self.head.source)

        return super()._commit(replace(prepared, manifest=manifest))


def rivalled(source: str) -> LaneLost:
    """Say that somebody else has begun to load the table."""
    return LaneLost(
        f"somebody else has begun to load the table of {source}, and this run gave up: let that one come to its end"
    )


def _found(context: LaneContext, name: str) -> Head | None:
    registry = reading.read_registry(context.journal) or Registry(0)
    heads = (reading.read_head(context.journal, lane) for lane in range(registry.lanes))
    return next((head for head in heads if head.source == name), None)


def _made(context: LaneContext, name: str) -> Head:
    """Make the lane, with its source from the start, so that no worker takes it for a free one; and its shard."""
    for _ in range(context.limits.commit_retries_max):
        if (head := _found(context, name)) is not None:
            return head
        registry = reading.read_registry(context.journal) or Registry(0)
        writes = (*operations.grow(registry, name), operations.discover(name, name, ()))
        with suppress(Conflict, OutcomeUnknown):  # a worker has added a lane just now, or what came of it is seen next
            context.journal.transact(writes)
    raise Conflict("the number of lanes changes all the time: try again")


class BootstrapCommitter(Committer):
    """Commits the rows from a table, a chunk at a time."""

    def begin(self) -> None:
        """Note that the content of the table is on its way, from which on answers are told to be incomplete."""
        at = self._at
        if at == ORIGIN or at.sub == COMPLETE:
            self._put(Position(at.sequence + 1, UNDER_WAY), None, None, 0)

    def add(self, rows: pa.Table, weights: npt.NDArray[np.int32], arrival_us: int, *, is_last: bool) -> None:
        """Count rows, the last ones of all together with the note that they are complete. Raises: as `commit`."""
        sub = COMPLETE if is_last else UNDER_WAY
        self._put(Position(self._at.sequence + rows.num_rows, sub), rows, weights, arrival_us)

    @property
    def _at(self) -> Position:
        return Position.decode(self.lane.position(self.lane.head.source) or "-")

    def _put(
        self, upto: Position, rows: pa.Table | None, weights: npt.NDArray[np.int32] | None, arrival_us: int
    ) -> None:
        after, shard = self._at, ShardId(self.lane.head.source)
        count = rows.num_rows if rows is not None else 0
        numbers = strings([encode_number(after.sequence + 1 + at) for at in range(count)])
        piece = Piece(
            SeqRange(shard, after, upto),
            rows if rows is not None else _empty(),
            numbers,
            np.zeros(count, np.int64),
            arrival_us,
            weights=weights,
        )
        chunk = Chunk(self._limits)
        chunk.add(piece, 0.0)
        self.commit(chunk)


def _empty() -> pa.Table:
    return pa.table({})
