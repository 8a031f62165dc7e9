"""Takes answers while everything runs, and compares each with the plain count at its own cut."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import serving
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL, OBJECTS
from shardlake.app.demo.lines import Bot
from shardlake.app.demo.oracle import Covered, Cut, Expected, Oracle, compare, reached
from shardlake.core.journal import reading
from shardlake.core.positions import Position
from shardlake.packs.bots.classify import Classifier
from streams.lane import read_state
from streams.sources import pages

VIEWS: Final = ("bots", "bandwidth", "viewers")


@dataclass(slots=True)
class Checker:
    """Asks the three views of a root, and counts what was compared and what differs."""

    root: Path
    source: Path
    answers: int = 0
    compared: int = 0
    differ: int = 0
    examples: list[str] = field(default_factory=list)
    _oracle: Oracle = field(init=False)

    def __post_init__(self) -> None:
        classifier = Classifier()

        def classify(user_agent: str | None) -> Bot:
            verdict = classifier.verdict(user_agent)
            return verdict.is_bot, verdict.category, verdict.name

        self._oracle = Oracle(self.source, classify)

    def look(self) -> tuple[int, "serving.Answer"]:
        """Ask each view once, each at its own cut; return how many events the last one covers, and that answer."""
        with serving.connect(self.root) as connection:
            answers = [self._asked(connection, name) for name in VIEWS]
        return answers[-1].certificate.events, answers[-1]

    def expected(self, positions: Mapping[str, str]) -> tuple[Cut, Expected]:
        """What the plain count finds at some positions."""
        cut = self.cut(positions)
        return cut, self._oracle.at(cut)

    def cut(self, positions: Mapping[str, str]) -> Cut:
        """Which lines of which files lie at or below some positions: told by what was discovered, in its order."""
        names = self._names()
        cut: dict[str, tuple[Covered, ...]] = {}
        for shard, text in positions.items():
            if text != "-":
                at = Position.decode(text)
                cut[shard] = reached(names.get(shard, []), at.sequence, at.sub)
        return cut

    def _names(self) -> dict[str, list[str]]:
        journal, store = SqliteJournal(self.root / JOURNAL, read_only=True), LocalObjects(self.root / OBJECTS)
        try:
            head = reading.read_head(journal, 0)
        finally:
            journal.close()
        names: dict[str, list[str]] = {}
        for ref in read_state(store, head).pages:
            for row in pages.decode(store.get(ref)).rows:
                names.setdefault(f"{head.source}/{row.bucket:04d}", []).append(row.key)
        return names

    def _asked(self, connection: "serving.Connection", name: str) -> "serving.Answer":
        answer = connection.query(f"SELECT * FROM {name}")
        self._compare(name, answer)
        return answer

    def _compare(self, name: str, answer: "serving.Answer") -> None:
        _, expected = self.expected(answer.certificate.positions)
        found = compare(expected.views[name], answer.rows)
        self.answers += 1
        self.compared += found.compared
        self.differ += found.total
        self.examples += [f"{name} at cut {dict(answer.certificate.cut)}: {text}" for text in found.examples]

    def add(self, problems: Any) -> None:
        """Count problems that are not of one answer."""
        self.differ += len(problems)
        self.examples += list(problems)
