"""The page docs/bots.md: benchmarks/bots_page.md, filled with what was measured."""

import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from benchmarks.bots_browsers import BROWSERS
from benchmarks.bots_mix import draw
from benchmarks.bots_pace import pace
from benchmarks.bots_peers import DETECTORS, Detector, IsBot
from benchmarks.bots_score import Score, score
from benchmarks.bots_sources import MATOMO, UAP, Sample, Sources
from shardlake.packs.bots.classify import Classifier
from shardlake.packs.bots.patterns import load

TEMPLATE: Final = Path(__file__).with_suffix(".md")
_TIMED: Final = 40_000
_TIMED_S: Final = 6.0
# Matomo's words for what bots are there for, where ours has one word for the same.
_PURPOSES: Final = {
    "Search bot": "search",
    "Site Monitor": "monitor",
    "Security Checker": "scanner",
    "Feed Fetcher": "feed",
    "Feed Reader": "feed",
    "Feed Parser": "feed",
    "AI Data Scraper": "ai",
    "AI Search Crawler": "ai",
    "AI Assistant": "ai",
    "AI Agent": "ai",
    "Social Media Agent": "preview",
}


def page(sources: Sources) -> str:
    """Measure everything and fill the page."""
    held_out = [sample for sample in sources.samples if sample.held_out]
    other = [sample for sample in sources.samples if not sample.held_out]
    ours = DETECTORS[0].make()
    examples = {text for entry in CRAWLER_USER_AGENTS_DATA for text in entry["instances"]}
    unshared = [sample for sample in held_out if sample.label != "bot" or sample.text not in examples]
    mix, judged = pace(draw(60_000)), pace([sample.text for sample in held_out if sample.label != "old"])
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        matomo=sources.commit(MATOMO),
        uap=sources.commit(UAP),
        labels=_labels(held_out, ours),
        detectors="\n".join(_row(detector, held_out) for detector in DETECTORS),
        looked_at=_figures(score(ours, other)),
        held_bots=sum(sample.label == "bot" for sample in held_out),
        shared=len(held_out) - len(unshared),
        unshared=_figures(score(ours, unshared)),
        purposes=_purposes(held_out),
        crawlers=version("crawler-user-agents"),
        crawlers_patterns=f"{len(load()):,}",
        browsers=len(BROWSERS),
        **{f"mix_{name}": f"{getattr(mix, name):,.0f}" for name in ("first", "later", "again")},
        **{f"judged_{name}": f"{getattr(judged, name):,.0f}" for name in ("first", "later", "again")},
    )


def _labels(samples: Sequence[Sample], ours: IsBot) -> str:
    """One row for each label of each source: how many, and how many of them we flag."""
    rows = []
    for source in (MATOMO, UAP):
        for label, share in score(ours, [s for s in samples if s.source == source]).shares.items():
            if share.of:
                rows.append(f"| {source} | {label} | {share.of:,} | {share.flagged:,} | {share.part:.2%} |")
    return "\n".join(rows)


def _row(detector: Detector, held_out: Sequence[Sample]) -> str:
    is_bot = detector.make()
    judged = {source: _judged(detector, is_bot, held_out, source) for source in (MATOMO, UAP)}
    both = "own source" if detector.made_from else _figures(_judged(detector, is_bot, held_out, ""))
    cells = ["own source" if detector.made_from == s else _figures(found) for s, found in judged.items()]
    return f"| {detector.name} | {both} | {' | '.join(cells)} | {_speed(is_bot):,.0f} | {detector.tells} |"


def _judged(detector: Detector, is_bot: IsBot, held_out: Sequence[Sample], source: str) -> Score:
    """Judge crawlers and people alone: not all of these detectors take tools for bots."""
    chosen = [s for s in held_out if source in ("", s.source) and s.label in ("bot", "person")]
    bots = [s for s in chosen if s.label == "bot"]
    people = [s for s in chosen if s.label == "person"]
    return score(is_bot, [*bots, *people[:: detector.sampled]], tools=False, people_weight=detector.sampled)


def _figures(found: Score) -> str:
    return f"{found.precision:.3f} / {found.recall:.3f} / **{found.f1:.3f}**"


def _speed(is_bot: IsBot) -> float:
    """Classify different user agents, until there are none left or the time is up; the first thousand do not count."""
    texts = draw(_TIMED + 1000, seed=2)
    for text in texts[:20]:
        is_bot(text)
    started, done = time.process_time(), 0
    for text in texts[20:]:
        is_bot(text)
        done += 1
        if done % 20 == 0 and time.process_time() - started > _TIMED_S:
            break
    return done / (time.process_time() - started)


def _purposes(samples: Sequence[Sample]) -> str:
    """One row for each purpose that both know: how often they agree, and what else ours says."""
    classify = Classifier().verdict
    rows = []
    for wanted in sorted(set(_PURPOSES.values())):
        texts = [s.text for s in samples if _PURPOSES.get(s.purpose) == wanted]
        said = Counter(classify(text).category or "a person" for text in texts)
        others = ", ".join(f"{name} {count}" for name, count in said.most_common(5) if name != wanted)
        rows.append(f"| {wanted} | {len(texts)} | {said[wanted]} | {others} |")
    return "\n".join(rows)
