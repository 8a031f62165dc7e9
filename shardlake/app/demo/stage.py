"""What every demo has on its stage: commands on one root, batch runs, looks at the answers, and somebody who tells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import serving
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL
from shardlake.adapters.stored import VIEWS as STORED_VIEWS
from shardlake.app.demo.checker import VIEWS, Checker
from shardlake.app.demo.processes import Commands, Running
from shardlake.app.demo.story import Story
from shardlake.core.journal import reading

LOOK_EVERY_S: Final = 1.0
LOOKS_MIN: Final = 8  # of three answers each
PATIENCE_S: Final = 120.0
SEED: Final = 20_260_317


@dataclass(slots=True)
class Stage:
    """What is common to the demos; `events` and `positions` are those of the last look."""

    clock: SystemClock
    story: Story
    commands: Commands
    checker: Checker
    batches: list[Running] = field(default_factory=list)
    looks: int = 0
    events: int = 0
    positions: Mapping[str, str] = field(default_factory=dict)
    _unasked: list[str] = field(default_factory=lambda: list(VIEWS))

    def has_begun(self) -> bool:
        """Tell whether a stream process has come so far that its root can be asked."""
        journal = self.commands.root / JOURNAL
        if not (journal.exists() and (self.commands.root / STORED_VIEWS).exists()):
            return False
        rows = SqliteJournal(journal, read_only=True)
        try:
            return reading.read_registry(rows) is not None
        finally:
            rows.close()

    def look(self) -> int:
        """Take three answers and compare them; return how many events they cover."""
        while not self.look_on():
            pass
        return self.events

    def look_on(self) -> bool:
        """Take the next one of a look's three answers; tell whether it was the last."""
        answer = self.checker.ask(self._unasked.pop(0))
        if self._unasked:
            return False
        self._unasked = list(VIEWS)
        self.looks += 1
        self.events, self.positions = answer.certificate.events, answer.certificate.positions
        right = "equal" if not self.checker.differ else f"{self.checker.differ} DIFFER"
        self.story.tell(f"{self.events:>9,} events inside; {self.checker.answers} answers compared, {right}")
        return True

    def can_batch(self) -> bool:
        """Tell whether the batch runs so far are over. Raises: Terminal if one failed."""
        return all(batch.is_over for batch in self.batches)

    def batch(self) -> None:
        """Begin a batch run."""
        self.batches.append(self.commands.start("batch", "run"))
        self.story.tell(f"batch run {len(self.batches)} begins")


class Play(Protocol):
    """One demo from its beginning to its end, and what is known of what it produced."""

    stage: Stage

    def run(self) -> None:
        """Play it until everything was read and every process but those that serve has stopped. Raises: Terminal."""

    def problems(self, last: "serving.Answer") -> Iterable[str]:
        """Say what the last answer lacks, or what was counted otherwise than it was produced."""

    def close(self) -> None:
        """Kill what still runs."""


def killed(*running: Running) -> None:
    """Kill what still runs."""
    for one in running:
        if one.process.poll() is None:
            one.kill()
