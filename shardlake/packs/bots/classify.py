"""From a user agent to a verdict."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import attrgetter
from typing import Final

import re2

from shardlake.packs.bots import clients
from shardlake.packs.bots.attacks import RULES
from shardlake.packs.bots.naming import NAME_MAX, name_of
from shardlake.packs.bots.patterns import Category, Pattern, load, payloads, structural
from shardlake.packs.bots.purposes import WORDS

Match = Callable[[bytes], list[int] | None]

_MATCHER_BYTES: Final = 256 << 20  # what RE2 may use; with its default of 8 MiB it gives up on this many patterns
_AROUND: Final = " /();:+,"
_LITERAL: Final = re.compile(r"\^?((?:[\w ,:;@'!-]|\\[^\w])+)\$?")  # an expression that finds itself alone
# Where Android says which model it runs on, and what models and apps are called like bots.
_MODEL: Final = re.compile(r"(?i)(andr[o0]id[^;()]*;)(?!\s*compatible)[^()/@]*?(\)|Build/|/|$)")
_PLUS: Final = re.compile(r"\+ ?(?:http|www)")  # the toolbars of old browsers tell URLs too, but not like this
_NOT_BOTS: Final = re.compile(r"(?i)cubot|camscanner|developerpreview|Embedded Web ?Browser from: https?://[\w./]+")


PLAIN: Final = Pattern(clients.PLAIN, Category.UNKNOWN, "plain browser")
_RANK: Final = attrgetter("rank")
NO_CLIENT: Final = Pattern("^", Category.UNKNOWN, "rule no-client")
# What counts against an app on a device: it may name its maker's site, and products of others.
_OF_APPS: Final = frozenset(
    {
        "rule bot-word",
        "rule renderer",
        "rule copier",
        "rule hidden",
        "rule monitors",
        "rule out-of-band",
        *(f"rule {rule}" for rule, _, _ in RULES),
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a user agent tells about a client. `evidence` is the pattern or rule that told; NULLs are for people."""

    is_bot: bool
    category: str | None = None
    name: str | None = None
    evidence: str | None = None


PERSON: Final = Verdict(is_bot=False)
NO_USER_AGENT: Final = Verdict(is_bot=True, category="unknown", name="no user agent", evidence="rule no-user-agent")


def matcher(patterns: Sequence[str]) -> Match:
    """Make what says which of many patterns match a text, in one pass over it: their places, or None."""
    options = re2.Options()
    options.max_mem = _MATCHER_BYTES
    options.never_capture = True
    options.encoding = re2.Options.Encoding.LATIN1  # bytes: half as many instructions where case does not matter
    made = re2.Set.SearchSet(options)
    for pattern in patterns:
        made.Add(pattern)
    made.Compile()
    match: Match = made.Match
    return match


class Classifier:
    """Tells bots from people: what most browsers send is known for it in one pass, anything else takes a few.

    >>> Classifier().verdict("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)").name
    'Googlebot'
    """

    def verdict(self, user_agent: str | None) -> Verdict:
        """Judge one decoded user agent. Every browser sends one, so that a request without is a bot's."""
        if not user_agent:
            return NO_USER_AGENT
        encoded = user_agent.encode("utf-8", "replace")
        rules = self._rules(encoded)
        if rules == self._plain:
            return PERSON
        suspected = self._suspected(encoded, rules)
        if self._is_client(user_agent, encoded):
            if suspected:
                suspected = self._confirmed(user_agent, suspected)
            if not suspected:
                return PERSON
        return self._bot(user_agent, min(suspected, key=_RANK, default=NO_CLIENT))

    def _is_client(self, user_agent: str, encoded: bytes) -> bool:
        """Whether a browser or a device is named: by the words that most have, else by all that are known."""
        if user_agent.startswith(clients.CLIENT_STARTS):
            return True
        small = user_agent.lower()
        return any(map(small.__contains__, clients.CLIENT_WORDS)) or self._clients(encoded) is not None

    def _suspected(self, encoded: bytes, rules: list[int] | None) -> list[Pattern]:
        """What matches: of the rules, which are known already, of the names, and of the payloads."""
        names, payloads = self._named(encoded), self._attacks(encoded)
        if not (rules or names or payloads):
            return []
        found = [*map(self._structural.__getitem__, rules or ()), *map(self._names.__getitem__, names or ())]
        found += map(self._payloads.__getitem__, payloads or ())
        return [pattern for pattern in found if pattern is not PLAIN]

    def _confirmed(self, user_agent: str, suspected: list[Pattern]) -> list[Pattern]:
        """What still tells of a bot in the text of a browser or an app, without what its device is called."""
        cleared = _NOT_BOTS.sub("", _MODEL.sub(r"\1\2", user_agent))
        if cleared != user_agent:
            attacks = [pattern for pattern in suspected if pattern.category is Category.ATTACK]
            encoded = cleared.encode("utf-8", "replace")
            suspected = attacks + self._suspected(encoded, self._rules(encoded))
        browser = any(mark in user_agent for mark in clients.BROWSERS)
        if not browser and self._devices(user_agent.encode("utf-8", "replace")):
            return [pattern for pattern in suspected if pattern.evidence in _OF_APPS]
        toolbar = "(compatible; MSIE " in user_agent and not _PLUS.search(user_agent)
        return [
            pattern
            for pattern in suspected
            if not (toolbar and pattern.evidence == "rule contact") and _begins_a_word(pattern, cleared)
        ]

    def _bot(self, user_agent: str, pattern: Pattern) -> Verdict:
        """Say which bot it is, and what for: once, where the pattern alone tells."""
        known = self._known.get(pattern.evidence)
        if known is not None:
            return known
        if pattern.title or pattern.example:
            name = pattern.title or _found(pattern) or name_of(pattern.example)
            known = Verdict(
                is_bot=True, category=self._purpose(pattern, pattern.example), name=name, evidence=pattern.evidence
            )
            self._known[pattern.evidence] = known
            return known
        return Verdict(
            is_bot=True,
            category=self._purpose(pattern, user_agent),
            name=name_of(user_agent),
            evidence=pattern.evidence,
        )

    def _purpose(self, pattern: Pattern, text: str) -> str:
        """What a bot is for: by its words where nobody says, or where the list says `seo` for want of better."""
        if pattern.category not in {Category.UNKNOWN, Category.SEO}:
            return pattern.category.value
        found = self._purposes(text.encode("utf-8", "replace"))
        return WORDS[min(found)][0] if found else pattern.category.value

    @cached_property
    def _structural(self) -> list[Pattern]:
        return [*structural(), PLAIN]

    @cached_property
    def _plain(self) -> list[int]:
        return [len(self._structural) - 1]

    @cached_property
    def _names(self) -> list[Pattern]:
        return load()

    @cached_property
    def _payloads(self) -> list[Pattern]:
        return payloads()

    @cached_property
    def _known(self) -> dict[str, Verdict]:
        return {}

    @cached_property
    def _rules(self) -> Match:
        return matcher([pattern.expression for pattern in self._structural])

    @cached_property
    def _named(self) -> Match:
        return matcher([pattern.expression for pattern in self._names])

    @cached_property
    def _attacks(self) -> Match:
        return matcher([pattern.expression for pattern in self._payloads])

    @cached_property
    def _devices(self) -> Match:
        return matcher([clients.DEVICE])

    @cached_property
    def _purposes(self) -> Match:
        return matcher([words for _, words in WORDS])

    @cached_property
    def _clients(self) -> Match:
        return matcher([clients.CLIENT])


def _begins_a_word(pattern: Pattern, text: str) -> bool:
    """Whether the name of a bot stands for itself in a text: `Sonic` is not in `ViewSonic`."""
    return pattern.evidence.startswith("rule") or _alone(pattern).search(text) is not None


@cache
def _alone(pattern: Pattern) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z])(?:{pattern.expression})")


def _found(pattern: Pattern) -> str:
    """Give what a pattern finds in its example; that of most is the pattern itself."""
    literal = _LITERAL.fullmatch(pattern.expression)
    if literal:
        return re.sub(r"\\(.)", r"\1", literal[1]).strip(_AROUND)[:NAME_MAX]
    found = re2.search(pattern.expression, pattern.example)
    return found[0].strip(_AROUND)[:NAME_MAX] if found else ""
