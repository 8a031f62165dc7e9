"""The columns that follow from a column of user agents, each distinct one decoded and judged once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.packs import arrays
from shardlake.packs.bots.classify import Classifier, Verdict

KNOWN_MAX: Final = 65_536  # user agents that are remembered from chunk to chunk; a day of a busy site has thousands
KNOWN_CHARS_MAX: Final = 2_048  # longer ones are not worth the memory


def plain(logged: str) -> str:
    """URL-decode a user agent until it does not change, at most twice: real logs encode once or twice.

    >>> plain("Mozilla/5.0%2520(X11)")
    'Mozilla/5.0 (X11)'
    """
    once = unquote(logged)
    return unquote(once) if once != logged else once


@dataclass(frozen=True, slots=True)
class _Agent:
    text: str | None
    verdict: Verdict


class Agents:
    """Remembers what it made of the user agents that it saw, up to a limit."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._classifier = Classifier()
        self._known: dict[str, _Agent] = {}
        self._known_max = known_max
        self._nobody = _Agent(None, self._classifier.verdict(None))

    def columns(self, logged: pa.DictionaryArray) -> dict[str, pa.Array]:
        """Make user_agent, is_bot, bot_category, bot_name and bot_evidence from user agents as they were logged."""
        # A NULL's code is -1, which is the last of the distinct ones.
        agents = [*map(self._agent, logged.dictionary.to_pylist()), self._nobody]
        codes = arrays.codes_of(logged)
        is_bot = np.array([agent.verdict.is_bot for agent in agents], np.bool_)
        verdicts = [agent.verdict for agent in agents]
        return {
            "user_agent": _column([agent.text for agent in agents], codes),
            "is_bot": arrays.from_flags(is_bot[codes]),
            "bot_category": _column([v.category for v in verdicts], codes),
            "bot_name": _column([v.name for v in verdicts], codes),
            "bot_evidence": _column([v.evidence for v in verdicts], codes),
        }

    def _agent(self, logged: str) -> _Agent:
        agent = self._known.get(logged)
        if agent is None:
            text = plain(logged)
            agent = _Agent(text, self._classifier.verdict(text))
            if len(self._known) >= self._known_max:
                self._known.clear()
            if len(logged) <= KNOWN_CHARS_MAX:
                self._known[logged] = agent
        return agent


def _column(values: Sequence[str | None], codes: npt.NDArray[np.int32]) -> pa.DictionaryArray:
    """Spread distinct values over the rows; equal values get one code."""
    places: dict[str, int] = {}
    renamed = [-1 if value is None else places.setdefault(value, len(places)) for value in values]
    return arrays.coded(np.array(renamed, np.int32)[codes], tuple(places))
