"""How well a detector tells bots: counts over labelled user agents, and what follows from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.bots_sources import Label, Sample


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a kind were flagged."""

    flagged: int
    of: int

    @property
    def part(self) -> float:
        """The part that was flagged; 0 of nothing."""
        return self.flagged / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """What a detector flagged, by label. Tools count as bots unless `tools` is False; a person stands for so many."""

    shares: dict[Label, Share]
    tools: bool = True
    people_weight: int = 1

    @property
    def precision(self) -> float:
        """Of the bots and people that were flagged, the part that are bots."""
        flagged = self._bots.flagged + self.shares["person"].flagged * self.people_weight
        return self._bots.flagged / flagged if flagged else 0.0

    @property
    def recall(self) -> float:
        """Of the bots, the part that was flagged."""
        return self._bots.part

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def _bots(self) -> Share:
        bots, tools = self.shares["bot"], self.shares["tool"]
        return Share(bots.flagged + tools.flagged, bots.of + tools.of) if self.tools else bots

    def show(self) -> None:
        """Print what the figures are made of."""
        print(f"precision {self.precision:.4f}, recall {self.recall:.4f}, F1 {self.f1:.4f}; flagged:")
        for label, share in self.shares.items():
            print(f"  {label:8} {share.flagged:6,} of {share.of:6,}  {share.part:.4%}")


def score(
    is_bot: Callable[[str], bool], samples: Sequence[Sample], *, tools: bool = True, people_weight: int = 1
) -> Score:
    """Ask a detector about each sample."""
    shares: dict[Label, Share] = {}
    for label in ("bot", "tool", "person", "program", "old"):
        texts = [sample.text for sample in samples if sample.label == label]
        shares[label] = Share(sum(map(is_bot, texts)), len(texts))
    return Score(shares, tools, people_weight)
