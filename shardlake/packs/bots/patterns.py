"""The patterns and rules that tell bots, in one list.

Most come from the list `crawler-user-agents`, which names single bots and says what they are there for. The rest are
rules of structure: payloads of attacks, tools, and texts that no browser sends. All are matched in one pass.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from shardlake.packs.bots import attacks, rules


class Category(StrEnum):
    """What a bot is there for. The words are stored and shown; where several fit, the first one here counts."""

    ATTACK = "attack"
    AI = "ai"
    SEARCH = "search"
    PREVIEW = "preview"
    ADVERTISING = "advertising"
    MONITOR = "monitor"
    FEED = "feed"
    ARCHIVE = "archive"
    RESEARCH = "research"
    SEO = "seo"
    SCANNER = "scanner"
    AUTOMATION = "automation"
    LIBRARY = "library"
    UNKNOWN = "unknown"


RANK: Final = {category: rank for rank, category in enumerate(Category)}
_TAGS: Final = {
    "academic": Category.RESEARCH,
    "advertising": Category.ADVERTISING,
    "ai-crawler": Category.AI,
    "archiver": Category.ARCHIVE,
    "browser-automation": Category.AUTOMATION,
    "feed-reader": Category.FEED,
    "http-library": Category.LIBRARY,
    "monitoring": Category.MONITOR,
    "scanner": Category.SCANNER,
    "search-engine": Category.SEARCH,
    "seo": Category.SEO,
    "social-preview": Category.PREVIEW,
}
# Entries that find people: a build of Android, browsers within apps, editors, apps, and a maker of browsers whose
# crawlers are all called spiders. What they meant to find is found by its URL, or because it names no device.
LEFT_OUT: Final = frozenset(
    {
        *(
            r"AP3A\.240617\.008",
            r"008\/",
            "Sonic",
            "MetaIAB Facebook",
            r"Code\/1\.",
            r"Trae\/",
            r"Notion\/",
            "Sogou",
            "Viber",
        ),
        *(
            "WhatsApp",
            r"Freespoke\/",
            "Blackboard",
            "Fluid",
            r"Overcast\/",
            "Podimo",
            r"PocketCasts\/",
            r"Instapaper\/",
        ),
    }
)

_ATTACKS: Final = {f"rule {rule}": place for place, (rule, _, _) in enumerate(attacks.RULES)}


@dataclass(frozen=True)
class Pattern:
    """A pattern in RE2's syntax.

    The bot's name is `title`; without one it is what the pattern finds in `example`; without that either, what it finds
    in the user agent itself.
    """

    expression: str
    category: Category
    evidence: str
    title: str = ""
    example: str = ""

    @cached_property
    def rank(self) -> tuple[bool, bool, int, int]:
        """Its place where several match: attacks, single bots, rules; by category, and the longest first."""
        attack, rule = self.category is Category.ATTACK, self.evidence.startswith("rule")
        return (not attack, rule, RANK[self.category], _ATTACKS.get(self.evidence, -len(self.expression)))


# The rule, what a bot that it finds is there for, its expression, and a name for the bot.
_RULES: Final = (
    ("sogou", Category.SEARCH, rules.SOGOU, ""),
    ("messenger", Category.PREVIEW, rules.MESSENGER, ""),
    ("monitors", Category.MONITOR, rules.MONITORS, ""),
    ("out-of-band", Category.SCANNER, rules.OUT_OF_BAND, ""),
    ("copier", Category.ARCHIVE, rules.COPIER, ""),
    ("renderer", Category.AUTOMATION, rules.RENDERER, ""),
    ("scanner", Category.SCANNER, rules.SCANNER, ""),
    ("probe", Category.MONITOR, rules.PROBE, ""),
    ("tool", Category.LIBRARY, rules.LIBRARY, ""),
    ("bot-word", Category.UNKNOWN, rules.BOT_WORD, ""),
    ("task-word", Category.UNKNOWN, rules.TASK_WORD, ""),
    ("contact", Category.UNKNOWN, rules.CONTACT, ""),
    ("hidden", Category.UNKNOWN, rules.HIDDEN, ""),
    ("forged", Category.UNKNOWN, rules.FORGED, "forged browser"),
)


def structural() -> list[Pattern]:
    """Give the rules of structure but for those of attacks."""
    return [Pattern(expression, category, f"rule {rule}", title) for rule, category, expression, title in _RULES]


def payloads() -> list[Pattern]:
    """Give the rules that find attacks."""
    return [Pattern(text, Category.ATTACK, f"rule {rule}", title) for rule, title, text in attacks.RULES]


def load() -> list[Pattern]:
    """Give the patterns of single bots."""
    return [_listed(entry) for entry in CRAWLER_USER_AGENTS_DATA if entry["pattern"] not in LEFT_OUT]


def _listed(entry: dict[str, Any]) -> Pattern:
    """Take over an entry of the list."""
    categories = [_TAGS[tag] for tag in entry.get("tags", ()) if tag in _TAGS] or [Category.UNKNOWN]
    pattern = entry["pattern"]
    best = min(categories, key=RANK.__getitem__)
    return Pattern(pattern, best, f"pattern {pattern}", example=next(iter(entry.get("instances", ())), ""))
