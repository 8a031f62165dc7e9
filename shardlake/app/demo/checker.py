"""Takes answers while everything runs, and compares each with the plain count at its own cut."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import serving
from serving.certificate import Certificate
from shardlake.app.demo.lines import Bot, Classify
from shardlake.app.demo.oracle import Expected, compare
from shardlake.packs.bots.classify import Classifier

VIEWS: Final = {"bots": 4, "bandwidth": 3, "viewers": 2}  # with the number of their keys


class Truth(Protocol):
    """Counts plainly what lies inside some positions, out of the producer's log."""

    def at(self, positions: Mapping[str, str]) -> Expected:
        """Count what lies at or below the position of each shard."""


@dataclass(slots=True)
class Checker:
    """Asks the three views of a root, and counts what was compared and what differs."""

    root: Path
    truth: Truth
    answers: int = 0
    compared: int = 0
    differ: int = 0
    examples: list[str] = field(default_factory=list)

    def look(self) -> "serving.Answer":
        """Ask each view once, each at its own cut; return the last answer."""
        return [self.ask(name) for name in VIEWS][-1]

    def ask(self, name: str) -> "serving.Answer":
        """Ask a view, and compare its answer."""
        with serving.connect(self.root) as connection:
            answer = connection.query(f"SELECT * FROM {name}")
        at = f"{name} at cut {dict(answer.certificate.cut)}"
        expected = self.truth.at(answer.certificate.positions)
        found = compare(expected.views[name], answer.rows, VIEWS[name])
        self.answers += 1
        self.compared += found.compared
        self.differ += found.total
        self.examples += [f"{at}: {text}" for text in found.examples]
        self.add(f"{at}: {text}" for text in (*expected.problems, *miscertified(answer.certificate, expected)))
        return answer

    def add(self, problems: Iterable[str]) -> None:
        """Count problems that are not of a view's rows."""
        found = list(problems)
        self.differ += len(found)
        self.examples += found


def miscertified(found: Certificate, expected: Expected) -> Iterable[str]:
    """What a certificate says of its cut otherwise than the plain count."""
    counts = {
        "events": (expected.events + expected.duplicates, found.events),
        "duplicates": (expected.duplicates, found.duplicates),
        "dead letters": (expected.broken, found.letters),
        "gaps": (0, found.gaps),
    }
    return (
        f"{what}: {right:,} expected, {told:,} certified" for what, (right, told) in counts.items() if right != told
    )


def classifying() -> Classify:
    """What kind of client a user agent is, as the pack judges it: all that a plain count takes from it."""
    classifier = Classifier()

    def classify(user_agent: str | None) -> Bot:
        verdict = classifier.verdict(user_agent)
        return verdict.is_bot, verdict.category, verdict.name

    return classify
