"""Puts records into a stream: batches, and again what was not taken, until everything is acknowledged or it gives up.

Payloads are sent as they are. What tells two copies of an event apart is the event id that the pack finds in the data
itself: a record whose acknowledgement was lost is sent again, may then be there twice, and is counted once. Without a
key of its own a record's key follows from its bytes, so that copies meet in one shard, where their ids are compared.

Order: at most one request is under way, and what it left unacknowledged is sent again before anything newer. Records
of one key therefore keep their order, except within one request of which the service took a part.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from itertools import chain
from types import TracebackType
from typing import Final, Self

from shardlake.adapters.kinesis.aggregates import aggregate, hash_of
from shardlake.adapters.kinesis.port import PUTS_MAX, KinesisWriter, Throttled
from shardlake.adapters.kinesis.wire import Put, PutResults, put_size
from shardlake.core.errors import Terminal, Transient
from shardlake.core.ports import Clock

KEY_CHARACTERS_MAX: Final = 256
_USER_OVERHEAD: Final = 64  # bytes at most of a user record in an aggregate, besides its data and its key
_CERTAIN: Final = ("ProvisionedThroughputExceededException", "KMSThrottlingException")  # refused, and not stored


class NotAcknowledged(Transient):
    """Records were sent as often as allowed, and the service did not take them all. They are kept in `unsent`.

    `count` is how many are not acknowledged, `tries` how many requests in a row had no success.
    """

    def __init__(self, stream: str, count: int, tries: int, why: str) -> None:
        super().__init__(
            f"{count} records for stream {stream} were not acknowledged after {tries} tries: put them again when this"
            f" is mended: {why}"
        )
        self.stream, self.count, self.tries = stream, count, tries


class RecordRefused(Terminal):
    """A record cannot be put: it is too large, or its key is not one. Nothing else was affected."""


class RecordTooLarge(RecordRefused):
    """A record of `size` bytes, key included, is above `bytes_max`."""

    def __init__(self, size: int, bytes_max: int) -> None:
        super().__init__(
            f"a record of {size} bytes, key included, is above {bytes_max}: split it, or raise the stream's largest"
            " record size and the producer's record_bytes_max"
        )
        self.size, self.bytes_max = size, bytes_max


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """The limits of a producer; sizes count data and keys, as the service does.

    `attempts_max` are requests in a row of which no record was taken; the pause before each grows from `first_s` to
    `longest_s`. A record waits for others at most `linger_s`, which is looked at when the next one comes. Aggregates
    hold up to `aggregate_bytes`, and each shard should have several of the `groups` that they are made in.
    """

    records_max: int = PUTS_MAX
    bytes_max: int = 5 << 20
    record_bytes_max: int = 1 << 20
    attempts_max: int = 10
    first_s: float = 0.1
    longest_s: float = 5.0
    linger_s: float = 0.25
    aggregate_bytes: int = 51_200
    groups: int = 64


@dataclass(frozen=True, slots=True, repr=False)
class Acknowledged:
    """What one request brought in, for a producer's log. Columns.

    Per Kinesis record: `shards`, `sequences`, and in `doubtful` whether an earlier try of it had no certain answer, so
    that another copy may lie before it. Per record that was given to `put`: `data`, and `record` and `sub`, the index
    of its Kinesis record and its number in that.
    """

    shards: list[str]
    sequences: list[str]
    doubtful: list[bool]
    data: list[bytes]
    record: list[int]
    sub: list[int]

    def __repr__(self) -> str:
        """Tell how many, and nothing of what they hold."""
        return f"Acknowledged({len(self.data)} records in {len(self.shards)} Kinesis records)"


@dataclass(slots=True)
class Produced:
    """What a producer has done so far. `records` and `bytes` count what is acknowledged, without copies.

    `again` counts records that were sent once more, `doubtful` those of them that may be there twice.
    """

    records: int = 0
    bytes: int = 0
    requests: int = 0
    again: int = 0
    doubtful: int = 0


@dataclass(slots=True, repr=False)
class _Item:
    """A Kinesis record to be put, and the records in it."""

    put: Put
    users: tuple[Put, ...]
    size: int
    doubtful: bool = False


@dataclass(slots=True, repr=False)
class _Group:
    users: list[Put] = field(default_factory=list)
    size: int = 0


class Producer:
    """Puts records into one stream, in the caller's thread. Leaving it as a context manager flushes.

    With `aggregate`, records go in aggregates of the Kinesis Producer Library's format. They are grouped by slices of
    the hash keys, and each aggregate and all in it carry one explicit hash key of its slice: records of one key stay
    in one shard, in order, and no resharding puts an aggregate where a consumer would not expect its records.
    """

    def __init__(
        self,
        api: KinesisWriter,
        stream: str,
        *,
        clock: Clock,
        chance: random.Random,
        settings: ProducerSettings | None = None,
        aggregate: bool = False,
        acknowledged: Callable[[Acknowledged], None] | None = None,
    ) -> None:
        self._api, self._stream, self._clock, self._chance = api, stream, clock, chance
        self._settings = settings or ProducerSettings()
        self._observer = acknowledged
        self._groups: list[_Group] = [_Group() for _ in range(self._settings.groups)] if aggregate else []
        self._queue: list[_Item] = []
        self._bytes = 0  # of the queue
        self._under_way: list[_Item] = []  # sent, and not acknowledged
        self._since: float | None = None  # when the oldest record that waits for others came
        self.produced = Produced()

    # ---------------------------------------------------------------------------------------------- public

    def put(self, data: bytes, key: str | None = None) -> None:
        """Take a record in, and send what fills a request.

        Raises: RecordRefused; NotAcknowledged, ConfigError, Terminal from sending: the record is then in `unsent`.
        """
        settings = self._settings
        put = Put(data, md5(data, usedforsecurity=False).hexdigest() if key is None else key)
        size = _checked_size(put, settings.record_bytes_max)
        if self._groups:
            self._group(put, size)
        else:
            self._enqueue(_Item(put, (put,), size))
        now = self._clock.monotonic_s()
        if self._since is None:
            self._since = now
        if now - self._since >= settings.linger_s:
            self.flush()
        elif self._full():
            self._send(everything=False)

    def flush(self) -> None:
        """Send all that waits, until it is acknowledged. Raises: NotAcknowledged, ConfigError, Terminal."""
        for group in self._groups:
            self._close(group)
        self._send(everything=True)

    @property
    def unsent(self) -> tuple[Put, ...]:
        """The records that are not acknowledged: waiting, or sent without success."""
        items = chain.from_iterable(item.users for item in chain(self._under_way, self._queue))
        return (*items, *chain.from_iterable(group.users for group in self._groups))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush, unless something failed: then what is left stays in `unsent`."""
        if kind is None:
            self.flush()

    # ------------------------------------------------------------------------------------------- gathering

    def _enqueue(self, item: _Item) -> None:
        self._queue.append(item)
        self._bytes += item.size

    def _full(self) -> bool:
        return len(self._queue) >= self._settings.records_max or self._bytes >= self._settings.bytes_max

    def _group(self, put: Put, size: int) -> None:
        slice_size = 2**128 // len(self._groups)
        index = min(hash_of(put.key) // slice_size, len(self._groups) - 1)
        routed = Put(put.data, put.key, str(index * slice_size + slice_size // 2))
        group = self._groups[index]
        if group.size + size + _USER_OVERHEAD > self._settings.aggregate_bytes:
            self._close(group)
        group.users.append(routed)
        group.size += size + _USER_OVERHEAD

    def _close(self, group: _Group) -> None:
        """Make a Kinesis record of a group; a single record needs no aggregate."""
        users, group.users, group.size = tuple(group.users), [], 0
        if users:
            first = users[0]
            put = first if len(users) == 1 else Put(aggregate(users), first.key, first.hash_key)
            self._enqueue(_Item(put, users, put_size(put)))

    # --------------------------------------------------------------------------------------------- sending

    def _send(self, *, everything: bool) -> None:
        """Send requests one after another: full ones, or all. Raises: as `flush`."""
        while self._under_way or self._full() or (everything and self._queue):
            if not self._under_way:
                self._under_way = self._next_batch()
            self._until_acknowledged()
        waiting = self._queue or any(group.users for group in self._groups)
        self._since = self._clock.monotonic_s() if waiting else None

    def _next_batch(self) -> list[_Item]:
        count = size = 0
        for item in self._queue[: self._settings.records_max]:
            if count and size + item.size > self._settings.bytes_max:
                break
            count, size = count + 1, size + item.size
        batch, self._queue = self._queue[:count], self._queue[count:]
        self._bytes -= size
        return batch

    def _until_acknowledged(self) -> None:
        tries, settings = 0, self._settings
        while True:
            taken, why = self._request()
            if not self._under_way:
                return
            tries = 0 if taken else tries + 1
            if tries >= settings.attempts_max:
                raise NotAcknowledged(self._stream, len(self.unsent), tries, why)
            self.produced.again += sum(len(item.users) for item in self._under_way)
            longest = min(settings.longest_s, settings.first_s * 2 ** max(tries - 1, 0))
            self._clock.sleep_s(longest * (0.5 + 0.5 * self._chance.random()))

    def _request(self) -> tuple[int, str]:
        """Send what is under way, once. Return how many Kinesis records were taken, and why not all."""
        self.produced.requests += 1
        batch = self._under_way
        try:
            results = self._api.put_records(self._stream, [item.put for item in batch])
        except Throttled as error:
            return 0, str(error)
        except Transient as error:
            self._doubt(batch)
            return 0, str(error)
        codes = results.codes
        if results.failed:
            self._under_way = [item for item, code in zip(batch, codes, strict=True) if code]
            self._doubt([item for item, code in zip(batch, codes, strict=True) if code and code not in _CERTAIN])
        else:
            self._under_way = []
        self._acknowledge(batch, results)
        return len(batch) - results.failed, next(filter(None, codes), "")

    def _doubt(self, items: list[_Item]) -> None:
        for item in items:
            if not item.doubtful:
                item.doubtful = True
                self.produced.doubtful += len(item.users)

    def _acknowledge(self, batch: list[_Item], results: PutResults) -> None:
        taken = [index for index, code in enumerate(results.codes) if not code]
        items = [batch[index] for index in taken]
        users = [item.users for item in items]
        data = [put.data for put in chain.from_iterable(users)]
        self.produced.records += len(data)
        self.produced.bytes += sum(map(len, data))
        if self._observer is not None and taken:
            self._observer(
                Acknowledged(
                    shards=[results.shards[index] for index in taken],
                    sequences=[results.sequences[index] for index in taken],
                    doubtful=[item.doubtful for item in items],
                    data=data,
                    record=[number for number, puts in enumerate(users) for _ in puts],
                    sub=list(chain.from_iterable(_numbers(users))),
                )
            )


def _numbers(users: list[tuple[Put, ...]]) -> Iterator[range]:
    return (range(len(puts)) for puts in users)


def _checked_size(put: Put, bytes_max: int) -> int:
    if not 1 <= len(put.key) <= KEY_CHARACTERS_MAX:
        raise RecordRefused(f"a partition key has 1 to {KEY_CHARACTERS_MAX} characters, not {len(put.key)}")
    size = put_size(put)
    if size > bytes_max:
        raise RecordTooLarge(size, bytes_max)
    return size
