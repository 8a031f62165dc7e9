"""The keeper of a lane whose worker shares a stream's shards with others: what the worker decides, carried out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shardlake.core.journal.objects import Arrived
from shardlake.core.positions import ShardId
from streams.assignment import Moves
from streams.committer import Committer
from streams.sources.kinesis.source import KinesisSource
from streams.worker import Worker


@dataclass(frozen=True, slots=True)
class Sharing:
    """See `streams.loop.Keeper` for the contract."""

    worker: Worker
    source: KinesisSource
    is_patient: bool = True

    def attend(self, committer: Committer, settle: Callable[[], None]) -> None:
        """Release what is above this worker's share, after what was read of it is committed; adopt what is missing."""
        moves = self.worker.attend(committer.lane)
        if not moves:
            return
        if moves.release:
            settle()
        released = tuple(shard for shard in moves.release if committer.lane.position(shard) is not None)
        for together in committer.batches(released):
            committer.release(*together)
            self.worker.pulse()
        self._adopted(committer, moves.adopt, released)

    @property
    def awaits_others(self) -> bool:
        """Tell whether somebody's shards may come."""
        return self.worker.awaits_others

    def seen(self) -> Mapping[str, Arrived]:
        """Up to when the source has read everything."""
        return self.source.seen()

    def ending(self, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Make children known."""
        self.worker.discover(children)

    def ended(self, committer: Committer, children: Mapping[ShardId, tuple[ShardId, ...]]) -> None:
        """Take in what can be read now."""
        self.worker.committed()
        self._adopted(committer, self.worker.heirs(children))

    def wait(self, seconds: float) -> None:
        """Wait for a page."""
        self.source.wait(seconds)

    def _adopted(self, committer: Committer, wanted: tuple[str, ...], released: tuple[str, ...] = ()) -> None:
        first = self.source.first_seen(self.worker.founded_us)
        taken = committer.adopt(*wanted, seen=first, pulse=self.worker.pulse) if wanted else []
        self.source.hold(committer.lane.state.shards)
        if taken or released:
            self.worker.observer.moved(Moves(tuple(taken), released))
