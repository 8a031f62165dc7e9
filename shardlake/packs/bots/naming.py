"""What a bot calls itself, where no list knows it."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import re2

from shardlake.packs.bots import rules

NAME_MAX: Final = 64
_AROUND: Final = " /();:+,'\"<>[]-_."
_COMPATIBLE: Final = re.compile(r"(?:compatible;|like Gecko;)\s*([^/;()+,:]+)")
_WORD: Final = re2.compile(rules.NAME)
_FIRST: Final = re.compile(r"\s*([^/;()+,]+)")
_URL: Final = re.compile(r"(?:https?://)[^\s;),\]]+")
_BROWSERS: Final = ("mozilla", "msie", "opera", "compatible", "http", "like gecko")


def name_of(user_agent: str) -> str:
    """Give the word after `compatible;`, a word for what bots do, the first word, or where its URL leads.

    >>> name_of("Mozilla/5.0 (Windows NT 10.0) Chrome/99.0 ProxyChecker/2.0")
    'ProxyChecker'
    """
    for name in _candidates(user_agent.encode("utf-8", "replace").decode()):
        stripped = name.strip(_AROUND)
        if stripped and not stripped.lower().startswith(_BROWSERS):
            return stripped[:NAME_MAX]
    return "unnamed"


def _candidates(user_agent: str) -> Iterator[str]:
    for found in _COMPATIBLE.finditer(user_agent):
        yield found[1]
    if not user_agent.startswith("Mozilla/") and (first := _FIRST.match(user_agent)):
        yield first[1]
    if word := _WORD.search(user_agent):
        yield word[0]
    if url := _URL.search(user_agent):
        yield _host(url[0])


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
