"""The bar `bots`: bots told by their user agents, how fast, and how well on what others have labelled.

Speed is that of one thread that remembers no verdict, over user agents that it has not seen, after as many others: the
automata that match are built while they match, and take a fifth of a second of a process's life. Accuracy needs the
sources that benchmarks/bots_sources.py names; without them it is not judged, and the last lines say how to get them.

`python -m benchmarks.bots --write docs/bots.md` measures other detectors too, and writes the page.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.bots_browsers import BROWSERS
from benchmarks.bots_mix import draw
from benchmarks.bots_pace import pace
from benchmarks.bots_page import page
from benchmarks.bots_score import score
from benchmarks.bots_sources import HOW, Sample, Sources
from benchmarks.harness import verdict
from shardlake.packs.bots.classify import Classifier

SPEED_BAR: Final = 200_000
F1_BAR: Final = 0.90
PRECISION_BAR: Final = 0.96
DRAWN: Final = 60_000


def main() -> int:
    """Measure and judge. Each line with a bar is a verdict; the worst of them counts."""
    sources = Sources.from_environment()
    codes = [_browsers(), _speed()]
    if sources is None:
        print(HOW)
        return max(codes)
    held_out = [sample for sample in sources.samples if sample.held_out]
    judged = pace([sample.text for sample in held_out if sample.label != "old"])
    print(f"{judged.texts:,} that are judged below, per CPU-second: {judged.told()}")
    return max(*codes, *_accuracy(held_out))


def _browsers() -> int:
    classify = Classifier().verdict
    flagged = [text for text in BROWSERS if classify(text).is_bot]
    for text in flagged:
        print(f"  taken for a bot: {text}")
    return verdict(f"bots, common browsers taken for one (of {len(BROWSERS)})", len(flagged), at_most=0)


def _speed() -> int:
    found = pace(draw(DRAWN))
    print(f"{found.texts:,} as a site gets them, per CPU-second: {found.told()}")
    return verdict("bots, distinct user agents per CPU-second", found.later, at_least=SPEED_BAR)


def _accuracy(held_out: Sequence[Sample]) -> list[int]:
    classify = Classifier().verdict
    found = score(lambda text: classify(text).is_bot, held_out)
    found.show()
    return [
        verdict("bots, precision", found.precision, at_least=PRECISION_BAR),
        verdict("bots, F1", found.f1, at_least=F1_BAR),
    ]


def write(path: Path) -> int:
    """Measure all detectors and write the page."""
    sources = Sources.from_environment()
    if sources is None:
        print(HOW)
        return 2
    path.write_text(page(sources), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(write(Path(sys.argv[2])) if sys.argv[1:2] == ["--write"] else main())
