"""How far a table's stream reaches now: the newest record of each open shard, found by reading to its tip.

The service does not say where a shard's tip is. A shard counts as read to it when a record came later than a moment
that is asked about, or when so many pages in a row were empty. An end is none: what follows it is looked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shardlake.adapters.dynamodb.stream_calls import StreamCalls, open_since
from shardlake.adapters.kinesis.port import IteratorExpired
from shardlake.core.errors import ConfigError, Transient
from shardlake.core.ports import Clock
from shardlake.core.positions import END, ORIGIN, Position

EMPTY_PAGES: Final = 10  # in a row: one alone may be a stretch without records
WAIT_S: Final = 600.0  # for so long shards that follow an ended one are waited for


@dataclass(slots=True)
class Tip:
    """The tip of an open shard: the number of its newest record, 0 if there is none; `parents` are listed too."""

    number: int
    parents: tuple[str, ...]

    def is_within(self, name: str, upto: Mapping[str, Position]) -> bool:
        """Tell whether everything up to the tip is counted, by how far shards are. What precedes a shard is first."""
        at = upto.get(name)
        if at is not None:
            return not self.number or at >= Position(self.number)
        return not self.number and all(upto.get(parent) == END for parent in self.parents)


@dataclass(slots=True)
class _Reading:
    tip: Tip
    iterator: str | None = None
    empty: int = 0
    has_ended: bool = False


@dataclass(slots=True)
class Tips:
    """Looks for the tips of a stream's open shards.

    `after_us` is a moment that everything is to be found of: a record that came later tells that its shard was read
    beyond it. `pinned_us` is when the source began, if it reads only what came from then on.
    """

    calls: StreamCalls
    stream: str
    clock: Clock
    after_us: int
    pinned_us: int = 0
    pause_s: float = 0.25
    _reading: dict[str, _Reading] = field(default_factory=dict)

    def find(self, reached: Mapping[str, Position]) -> dict[str, Tip]:
        """Give the tip of each open shard, by its name; reading begins where each is `reached`.

        Raises: Transient if a shard has ended, and what follows it is not listed; ConfigError if the stream takes no
        changes any more; as `StreamCalls`.
        """
        until_s = self.clock.monotonic_s() + WAIT_S
        while self.clock.monotonic_s() < until_s:
            leaves = self._leaves(reached)
            while leaves and (waiting := [name for name in leaves if self._is_open_below_tip(name)]):
                for name in waiting:
                    self._read(name)
                self.clock.sleep_s(self.pause_s)
            if leaves and not any(self._reading[name].has_ended for name in leaves):
                return {name: self._reading[name].tip for name in leaves}
            self.clock.sleep_s(self.pause_s)
        raise Transient("a shard of the stream has ended, and those that follow it are not listed: try again")

    def _leaves(self, reached: Mapping[str, Position]) -> list[str]:
        """The shards that nothing follows; none where one has ended, or nobody answers. Raises: ConfigError."""
        try:
            stream, found = self.calls.listing(self.stream)
        except Transient:
            return []
        if stream.status != "ENABLED":
            raise ConfigError(f"the stream of table {stream.table} is {stream.status or 'gone'}: enable another one")
        found = open_since(found, self.pinned_us) if self.pinned_us else found
        listed = {info.shard_id for info in found}
        parents = {parent for info in found for parent in info.parents}
        leaves = [info for info in found if info.shard_id not in parents]
        for info in leaves:
            at = reached.get(info.shard_id, ORIGIN)
            of = tuple(parent for parent in info.parents if parent in listed or parent in reached)
            self._reading.setdefault(info.shard_id, _Reading(Tip(at.sequence, of)))
        return [] if any(info.end_sequence is not None for info in leaves) else [info.shard_id for info in leaves]

    def _is_open_below_tip(self, name: str) -> bool:
        reading = self._reading[name]
        return not reading.has_ended and reading.empty < EMPTY_PAGES

    def _read(self, name: str) -> None:
        """Read a page of a shard."""
        reading = self._reading[name]
        try:
            page = self.calls.get_records(reading.iterator or self._iterator(name, reading.tip.number))
        except (IteratorExpired, Transient):
            reading.iterator = None
            return
        if page.sequences:
            reading.tip.number = int(page.sequences[-1])
        is_beyond = bool(page.sequences) and int(page.arrivals_us[-1]) > self.after_us
        reading.empty = EMPTY_PAGES if is_beyond else 0 if page.sequences else reading.empty + 1
        reading.iterator, reading.has_ended = page.next_iterator, page.next_iterator is None

    def _iterator(self, name: str, number: int) -> str:
        if number:
            return self.calls.iterator(self.stream, name, "AFTER_SEQUENCE_NUMBER", str(number))
        if self.pinned_us:
            return self.calls.iterator(self.stream, name, "AT_TIMESTAMP", at_us=self.pinned_us)
        return self.calls.iterator(self.stream, name, "TRIM_HORIZON")
