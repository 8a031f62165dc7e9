"""Log files, where each call tells of some that are new: as in AWS Lambda, for notices of S3.

What a notice tells is a hint where to look, as it is for a stream process. The first call of a process lists all that
is there, and so do later ones every `relist_s`: so what no notice told is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shardlake.adapters.s3.queue import Message, Queue
from shardlake.core.errors import Conflict
from shardlake.core.journal import reading
from streams.committer import Committer
from streams.decode import Decoding
from streams.handling import OWNER
from streams.lane import Lane, LaneContext
from streams.loop import Alone, Loop, Observer, hold_all
from streams.poison import Told
from streams.sources.files import FileSource
from streams.sources.s3_notices import keys_of

LANE: Final = 0  # files are read on one lane
ROUNDS_MAX: Final = 3  # the first one may list everything, and look at no notice


class Given(Queue):
    """Notices that came with a call, as a queue of messages that are received once."""

    def __init__(self) -> None:
        self._new: list[Message] = []
        self._left: set[str] = set()

    def give(self, bodies: Sequence[str]) -> None:
        """Hold these, but for those that are no notices, and no others."""
        self._new = [Message(str(at), body) for at, body in enumerate(bodies) if keys_of(body) is not None]
        self._left = {message.handle for message in self._new}

    @property
    def is_served(self) -> bool:
        """Tell whether every object that was told of is known for ever."""
        return not self._left

    def receive(self) -> list[Message]:
        """Give what is new."""
        new, self._new = self._new, []
        return new

    def delete(self, messages: Sequence[Message]) -> None:
        """Hear that messages have served."""
        self._left -= {message.handle for message in messages}


@dataclass(slots=True)
class FileHandling:
    """Counts the files that notices tell of. Not safe for several threads; `given` is the queue of the source's store.

    `open` makes the committer of a lane, and `allowed` raises if the source is not to be read here (any more).
    """

    context: LaneContext
    name: str
    source: FileSource
    given: Given
    decoding: Decoding
    open: Callable[[Lane], Committer]
    observer: Observer
    told: Callable[[Told], None]
    allowed: Callable[[], None]
    _loop: Loop | None = None
    _until_s: float = field(default=0.0)

    def take(self, bodies: Sequence[str], until_s: float) -> bool:
        """Count all that there is to read, until a moment of the monotonic clock; tell whether that is all of it.

        Raises: as `Loop.run`; Conflict if other calls are always first.
        """
        self._until_s = until_s
        self.given.give(bodies)
        conflict: Conflict | None = None
        for _ in range(self.context.limits.commit_retries_max):
            try:
                return self._taken()
            except Conflict as error:
                conflict, self._loop = error, None
                self.given.give(bodies)
            except BaseException:
                self._loop = None  # what was read of files and not committed is read again
                raise
        assert conflict is not None
        raise conflict

    def _taken(self) -> bool:
        """Read all there is, in a few rounds; a folder is listed in each, and needs no notice."""
        loop = self._opened()
        for _ in range(ROUNDS_MAX):
            loop.run(once=True)
            if self._is_late() or self.given.is_served:
                break
        return not self._is_late() and (self.given.is_served or not self.source.paces_itself)

    def _is_late(self) -> bool:
        return self.context.clock.monotonic_s() >= self._until_s

    def _opened(self) -> Loop:
        """Give the loop of the last call, if nobody has moved the lane since, or another one, which lists all."""
        context, head = self.context, reading.read_head(self.context.journal, LANE)
        if self._loop is not None and self._loop.committer.lane.head == head:
            return self._loop
        taken = head.owner == OWNER and head.source == self.name
        lane = Lane(context, head) if taken else Lane.take(context, LANE, OWNER, self.name, expected=head)
        self.allowed()
        committer = self.open(lane)
        hold_all(context.journal, self.source.shards(), self.name, committer)
        self._loop = Loop(
            self.source,
            self.decoding,
            committer,
            context.clock,
            context.limits,
            self._is_late,
            self.observer,
            Alone(context.clock),
            self.told,
        )
        return self._loop
