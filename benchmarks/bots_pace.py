"""How fast user agents are classified that were not seen before, by one thread that remembers no verdict."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.bots_browsers import BROWSERS
from shardlake.packs.bots.classify import Classifier

ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """User agents per CPU-second: medians of several new classifiers."""

    texts: int
    first: float
    later: float
    again: float

    def told(self) -> str:
        """Put it into words."""
        return f"{self.first:,.0f} of the first half, {self.later:,.0f} of the second, {self.again:,.0f} of that again"


def pace(texts: Sequence[str]) -> Pace:
    """Classify one half of some texts, then the other, then the other again."""
    rounds = []
    for _ in range(ROUNDS):
        classify = fresh()
        rounds.append([per_second(classify, part) for part in (texts[::2], texts[1::2], texts[1::2])])
    return Pace(len(texts), *(median(column) for column in zip(*rounds, strict=True)))


def fresh() -> Callable[[str], object]:
    """Make a classifier that has compiled its patterns and has seen no text that matters."""
    classifier = Classifier()
    for text in ("curl/8.4.0", BROWSERS[0], "Nokia6230i/2.0", "A Bot +https://bot.example"):
        classifier.verdict(text)
    return classifier.verdict


def per_second(classify: Callable[[str], object], texts: Sequence[str]) -> float:
    """Classify each once; how many there were for each second of CPU."""
    started = time.process_time()
    for text in texts:
        classify(text)
    return len(texts) / (time.process_time() - started)
