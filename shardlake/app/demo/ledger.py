"""The producer's log, and the plain count over it.

The log holds, for each record that the service has acknowledged, its shard, its sequence number and its bytes, as the
answers of PutRecords told them. An event is inside a cut if its sequence number is at or below the cut's position for
its shard; it is a duplicate if its request id was seen before in that shard or in an ancestor of it. Nothing else of
the system under test is asked.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from shardlake.app.demo.lines import LINE_BYTES_MAX, Agents, Classify, Event, Layout
from shardlake.app.demo.oracle import Expected, Tally
from shardlake.app.demo.world import FIELDS_33
from shardlake.core.positions import END, ORIGIN, Position
from streams.producer import Acknowledged

Lineage = Callable[[], Mapping[str, tuple[str, ...]]]  # each shard's parents, as the service lists them


class Ledger:
    """The producer's log while it is written. `putting` is held while a request is under way.

    Whoever takes out of it waits for that request: what the service has stored is then in the log.
    """

    def __init__(self) -> None:
        self.putting = Lock()
        self._fresh: list[Acknowledged] = []

    def write(self, acknowledged: Acknowledged) -> None:
        """Add what one request brought in; it is called while `putting` is held."""
        self._fresh.append(acknowledged)

    def take(self) -> list[Acknowledged]:
        """Give what was added since the last time."""
        with self.putting:
            fresh, self._fresh = self._fresh, []
        return fresh


@dataclass(slots=True)
class _Log:
    """One shard: what waits to be inside of a cut, in order, up to where it was counted, and the ids until there."""

    waiting: deque[tuple[int, Event | None]] = field(default_factory=deque)
    last: int = 0
    upto: Position = ORIGIN
    seen: set[str] = field(default_factory=set)


class RecordTruth:
    """The plain count over a producer's log, at positions that never go back."""

    def __init__(self, ledger: Ledger, source: str, lineage: Lineage, classify: Classify) -> None:
        self._ledger, self._source, self._list = ledger, source, lineage
        self._agents, self._layout = Agents(classify), Layout(f"#Fields: {FIELDS_33}".encode(), None)
        self._logs: dict[str, _Log] = {}
        self._parents: Mapping[str, tuple[str, ...]] = {}
        self._tally = Tally()

    def at(self, positions: Mapping[str, str]) -> Expected:
        """Count what lies at or below the position of each shard, and say if these cannot be a cut."""
        for fresh in self._ledger.take():
            self._enter(fresh)
        places = {name.removeprefix(f"{self._source}/"): Position.decode(text) for name, text in positions.items()}
        if not self._parents.keys() >= {*places, *self._logs}:
            self._parents = self._list()
        problems = [f"{shard} is no shard of the stream" for shard in places if shard not in self._parents]
        done: dict[str, tuple[str, ...]] = {}
        for shard in self._parents:
            problems += self._advance(shard, places, done)
        return self._tally.expected(tuple(problems))

    def lacking(self) -> tuple[str, ...]:
        """Say how many acknowledged records were not inside of the last positions, by shard."""
        for fresh in self._ledger.take():
            self._enter(fresh)
        return tuple(
            f"{len(log.waiting):,} acknowledged records of {shard} are not in the cut"
            for shard, log in sorted(self._logs.items())
            if log.waiting
        )

    def _enter(self, found: Acknowledged) -> None:
        """Read what was acknowledged, and put it where it is waited for."""
        late: set[str] = set()
        for number, data in enumerate(found.data):
            record = found.record[number]
            shard, sequence = found.shards[record], int(found.sequences[record])
            log = self._logs.setdefault(shard, _Log())
            if sequence < log.last:  # a record that was not taken with its neighbours
                late.add(shard)
            log.last = max(log.last, sequence)
            log.waiting.append((sequence, self._read(data)))
        for shard in late:
            log = self._logs[shard]
            log.waiting = deque(sorted(log.waiting, key=lambda entry: entry[0]))

    def _read(self, line: bytes) -> Event | None:
        """Read a line; None if it is broken."""
        return self._layout.event(0, line, self._agents) if len(line) <= LINE_BYTES_MAX else None

    def _advance(self, shard: str, places: Mapping[str, Position], done: dict[str, tuple[str, ...]]) -> list[str]:
        """Count what a shard gained, after its parents; `done` collects the ancestors of each shard."""
        if shard in done:
            return []
        problems: list[str] = []
        parents = [parent for parent in self._parents[shard] if parent in self._parents]
        for parent in parents:
            problems += self._advance(parent, places, done)
        done[shard] = tuple(dict.fromkeys(name for parent in parents for name in (parent, *done[parent])))
        log, upto = self._logs.setdefault(shard, _Log()), places.get(shard, ORIGIN)
        open_parents = [parent for parent in parents if places.get(parent, ORIGIN) != END]
        if upto != ORIGIN and open_parents:
            problems.append(f"{shard} is inside, and its parent {open_parents[0]} not to its end")
        if upto < log.upto:
            return [*problems, f"the cut of {shard} went back from {log.upto} to {upto}"]
        log.upto = upto
        self._count(log, [log.seen, *(self._logs[name].seen for name in done[shard])])
        return problems

    def _count(self, log: _Log, scope: list[set[str]]) -> None:
        tally, waiting, upto = self._tally, log.waiting, log.upto
        while waiting and (upto == END or (upto != ORIGIN and waiting[0][0] <= upto.sequence)):
            _, event = waiting.popleft()
            if event is None:  # a broken line
                tally.broken += 1
                continue
            key = event[1]
            if key is not None:
                if any(key in seen for seen in scope):
                    tally.duplicates += 1
                    continue
                log.seen.add(key)
            tally.add(event)
