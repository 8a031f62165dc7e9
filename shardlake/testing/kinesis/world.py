"""What all actions share: the streams, time, chance and the behaviour in force."""

import random

from shardlake.core.ports import Clock
from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.behaviour import Behaviour
from shardlake.testing.kinesis.requests import GetRecords, OnStream
from shardlake.testing.kinesis.shard import Shard
from shardlake.testing.kinesis.stream import Stream
from shardlake.testing.kinesis.throttle import Window
from shardlake.testing.kinesis.tokens import Signer


class World:
    """The state of the service."""

    def __init__(self, clock: Clock, chance: random.Random, behaviour: Behaviour) -> None:
        self.clock, self.chance, self.behaviour = clock, chance, behaviour
        self.streams: dict[str, Stream] = {}
        self.streams_made = 0
        self.signer = Signer(chance.randbytes(16))
        self._windows: dict[str, Window] = {}

    def now_ms(self) -> int:
        """Give the wall-clock time in milliseconds."""
        return self.clock.now_us() // 1000

    def arn(self, name: str) -> str:
        """Give the ARN of a stream of this account and region."""
        return f"arn:aws:kinesis:{self.behaviour.region}:{self.behaviour.account}:stream/{name}"

    def find(self, name: str) -> Stream | None:
        """Find a stream by its name, as it is now."""
        stream = self.streams.get(name)
        if stream is not None:
            stream.settle(self.clock.monotonic_s())
            stream = self.streams.get(name)
        return stream

    def all_streams(self) -> list[Stream]:
        """List the streams by name, as they are now."""
        found = (self.find(name) for name in sorted(self.streams))
        return [stream for stream in found if stream is not None]

    def stream(self, request: OnStream | GetRecords) -> Stream:
        """Find the stream that a request names.

        Raises: ServiceError if it names none (InvalidArgumentException) or one that is not there
        (ResourceNotFoundException).
        """
        name = request.stream_name if isinstance(request, OnStream) else None
        arn = request.stream_arn
        if name is None and arn is None:
            raise errors.invalid("Either StreamName or StreamARN must be given.")
        told = arn.partition("/")[2] if arn is not None else name
        if name is not None and told != name:
            raise errors.invalid("StreamName and StreamARN name two different streams.")
        stream = self.find(told) if told else None
        if stream is None or (arn is not None and arn != stream.arn):
            raise errors.not_found(f"Stream {told} under account {self.behaviour.account} not found.")
        return stream

    def ready_stream(self, request: OnStream) -> Stream:
        """Find a stream that has shards. Raises: ServiceError (ResourceNotFoundException) while it is made."""
        stream = self.stream(request)
        if stream.status == "CREATING":
            raise errors.not_found(f"Stream {stream.name} under account {self.behaviour.account} not found.")
        return stream

    def idle_stream(self, request: OnStream) -> Stream:
        """Find a stream that may be changed. Raises: ServiceError (ResourceInUseException) while it is not ACTIVE."""
        stream = self.stream(request)
        if stream.status != "ACTIVE":
            raise errors.in_use(
                f"Stream {stream.name} under account {self.behaviour.account} not ACTIVE, "
                f"instead in state {stream.status}",
            )
        return stream

    def horizon_ms(self, stream: Stream) -> int | None:
        """Give the time before which a stream keeps nothing; None where nothing is ever trimmed."""
        return stream.horizon_ms(self.now_ms()) if self.behaviour.trims else None

    def shard(self, stream: Stream, shard_id: str) -> Shard:
        """Find a shard, trimmed. Raises: ServiceError (ResourceNotFoundException) if it is not there (any more)."""
        horizon_ms = self.horizon_ms(stream)
        shard = stream.shard(shard_id, self.behaviour.account, horizon_ms)
        if horizon_ms is not None:
            shard.trim(horizon_ms)
        return shard

    def admit(self, action: str, scope: str, limit: int | None) -> None:
        """Count a call of the control plane. Raises: ServiceError (LimitExceededException) if there are too many."""
        window = self._windows.setdefault(f"{action} {scope}", Window())
        if not window.admits(self.clock.monotonic_s(), limit):
            raise errors.limit_exceeded(f"Rate exceeded for {action} under account {self.behaviour.account}.")

    def chances(self, chance: float) -> bool:
        """Draw whether something happens; what has no chance draws nothing."""
        return chance > 0 and self.chance.random() < chance
