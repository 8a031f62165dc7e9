"""Other detectors of bots for Python, as their makers ship them. They are imported when they are asked."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from benchmarks.bots_sources import MATOMO, UAP

IsBot = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector: `made_from` is the source that its own lists are tested with, and that it is therefore not judged on.

    `sampled` asks it about one person in so many, for those that take a twentieth of a second for each.
    """

    name: str
    make: Callable[[], IsBot]
    tells: str
    made_from: str = ""
    sampled: int = 1


def _shardlake() -> IsBot:
    from shardlake.packs.bots.classify import Classifier

    classify = Classifier().verdict
    return lambda text: classify(text).is_bot


def _called(module: str, *path: str) -> Callable[..., Any]:
    """Find a function of a package that ships no types."""
    found: Any = importlib.import_module(module)
    for name in path:
        found = getattr(found, name)
    assert callable(found)
    return partial(found)


def _crawler_user_agents() -> IsBot:
    is_crawler = _called("crawleruseragents", "is_crawler")
    return lambda text: bool(is_crawler(text))


def _ua_parser() -> IsBot:
    parse = _called("ua_parser", "parse_device")

    def is_bot(text: str) -> bool:
        device = parse(text)
        return device is not None and device.family == "Spider"

    return is_bot


def _user_agents() -> IsBot:
    parse = _called("user_agents", "parse")
    return lambda text: bool(parse(text).is_bot)


def _device_detector() -> IsBot:
    detector = _called("device_detector", "DeviceDetector")
    return lambda text: bool(detector(text).parse().is_bot())


def _words() -> IsBot:
    found = re.compile("bot|crawl|spider", re.IGNORECASE).search
    return lambda text: found(text) is not None


DETECTORS: Final = (
    Detector("shardlake", _shardlake, "bot or not, one of 14 purposes, a name, the pattern or rule that told"),
    Detector("device-detector", _device_detector, "name, category, producer", MATOMO, sampled=40),
    Detector("crawler-user-agents", _crawler_user_agents, "bot or not; the list has purposes and URLs"),
    Detector("ua-parser, device `Spider`", _ua_parser, "bot or not", UAP),
    Detector("user-agents, `is_bot`", _user_agents, "bot or not", UAP, sampled=4),
    Detector("the words bot, crawl, spider", _words, "bot or not"),
)
