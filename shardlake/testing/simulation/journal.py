"""The journal as one process sees it: answers that are lost, transactions that land late, refusals for now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal.port import Journal, Write
from shardlake.testing.simulation.faults import Faults, Process


@dataclass(slots=True)
class Flights:
    """Transactions that their senders gave up, and that may still arrive."""

    journal: Journal
    faults: Faults
    waiting: list[Sequence[Write]] = field(default_factory=list)

    def land(self, index: int) -> None:
        """Let one arrive."""
        if not self.waiting:
            return
        try:
            self.journal.transact(self.waiting.pop(index % len(self.waiting)))
        except Conflict:
            self.faults.count("late transaction refused")
        else:
            self.faults.count("late transaction landed")


class FaultyJournal:
    """Passes everything on, but for what lies in wait."""

    def __init__(self, inner: Journal, flights: Flights, faults: Faults, process: Process) -> None:
        self._inner, self._flights, self._faults, self._process = inner, flights, faults, process

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read rows. Raises: Transient."""
        self._begin("journal.get", keys[0] if keys else "")
        found = self._inner.get(keys)
        self._faults.at(self._process, "journal.get", after=True)
        return found

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read rows in order of keys. Raises: Transient."""
        self._begin("journal.scan", prefix)
        found = self._inner.scan(prefix, after, upto)
        self._faults.at(self._process, "journal.scan", after=True)
        return found

    def _begin(self, call: str, what: str) -> None:
        if self._faults.at(self._process, call, what) is not None:
            raise Transient("the journal is busy")

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply the writes, as far as a fault lets them. Raises: Conflict, Transient, OutcomeUnknown."""
        fault = self._faults.at(self._process, "journal.transact", writes[0].key)
        effect = fault.effect if fault is not None else ""
        if effect == "busy":
            raise Transient("the journal is busy")
        if effect == "late":
            self._flights.waiting.append(writes)
            raise OutcomeUnknown("nothing was heard")
        try:
            self._inner.transact(writes)
        except Conflict:
            self._faults.count(f"conflict of a {self._process.kind}")
            raise
        if effect == "lost":
            raise OutcomeUnknown("the answer was lost")
        self._faults.at(self._process, "journal.transact", after=True)
