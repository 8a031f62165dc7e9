"""A journal whose answers get lost and whose transactions may land late, for tests of the commit protocol."""

from collections.abc import Mapping, Sequence
from typing import Literal

from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal.port import Journal, Write

Fault = Literal["none", "lost", "late", "busy", "gone"]


class LateJournal:
    """Passes everything on to another journal, but for what `fault` says of the next transaction.

    `lost`: it is applied, and the answer is lost. `late`: the answer is lost and it stays in flight, to land at any
    later time by `land`, or never. `gone`: so do all that follow, until `fault` is set again. `busy`: it is refused
    for now.
    """

    def __init__(self, inner: Journal) -> None:
        self._inner = inner
        self.fault: Fault = "none"
        self.in_flight: list[Sequence[Write]] = []

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read rows."""
        return self._inner.get(keys)

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read rows in order of keys."""
        return self._inner.scan(prefix, after, upto)

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply the writes, as far as the fault lets them. Raises: Conflict, Transient, OutcomeUnknown."""
        fault = self.fault
        if fault != "gone":
            self.fault = "none"
        if fault == "busy":
            raise Transient("the journal is busy")
        if fault in ("late", "gone"):
            self.in_flight.append(writes)
            raise OutcomeUnknown("nothing was heard")
        self._inner.transact(writes)
        if fault == "lost":
            raise OutcomeUnknown("the answer was lost")

    def land(self, index: int) -> bool:
        """Let a transaction that is in flight arrive; tell whether it was applied."""
        writes = self.in_flight.pop(index)
        try:
            self._inner.transact(writes)
        except Conflict:
            return False
        return True
