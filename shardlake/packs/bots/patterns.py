"""The patterns and rules that tell bots, in one list.

Most come from the list `crawler-user-agents`, which names single bots and says what they are there for. The rest are
rules of structure: payloads of attacks, tools, and texts that no browser sends. All are matched in one pass.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from shardlake.packs.bots import rules


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


@dataclass(frozen=True, slots=True)
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


# The rule, what a bot that it finds is there for, its expression, and a name for the bot.
_RULES: Final = (
    ("log4shell", Category.ATTACK, rules.LOG4SHELL, "log4shell"),
    ("shellshock", Category.ATTACK, rules.SHELLSHOCK, "shellshock"),
    ("sql-injection", Category.ATTACK, rules.SQL_INJECTION, "SQL injection"),
    ("path-traversal", Category.ATTACK, rules.PATH_TRAVERSAL, "path traversal"),
    ("markup", Category.ATTACK, rules.MARKUP, "script injection"),
    ("command", Category.ATTACK, rules.COMMAND, "command injection"),
    ("tool", Category.LIBRARY, rules.TOOL, ""),
    ("renderer", Category.AUTOMATION, rules.RENDERER, ""),
    ("bot-word", Category.UNKNOWN, rules.BOT_WORD, ""),
    ("contact", Category.UNKNOWN, rules.CONTACT, ""),
    ("forged", Category.UNKNOWN, rules.FORGED, "forged browser"),
    ("no-form", Category.UNKNOWN, rules.NO_FORM, ""),
)
# Phones whose maker's name ends like a bot's.
NOT_BOTS: Final = re.compile(r"(?i)\bcubot\b")


def load() -> list[Pattern]:
    """Give all patterns: those that name single bots first."""
    listed = [_listed(entry) for entry in CRAWLER_USER_AGENTS_DATA]
    ruled = [Pattern(expression, category, f"rule {rule}", title) for rule, category, expression, title in _RULES]
    return [*listed, *ruled]


def _listed(entry: dict[str, Any]) -> Pattern:
    """Take over an entry of the list."""
    categories = [_TAGS[tag] for tag in entry.get("tags", ()) if tag in _TAGS] or [Category.UNKNOWN]
    pattern = entry["pattern"]
    best = min(categories, key=RANK.__getitem__)
    return Pattern(pattern, best, f"pattern {pattern}", example=next(iter(entry.get("instances", ())), ""))
