"""The logs of processes that work for long: a line on a terminal, JSON otherwise, on stderr, and never a payload."""

import sys
from collections.abc import MutableMapping
from typing import Any, Protocol

import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30}


class Log(Protocol):
    """What is logged: the name of what happened, and facts about it."""

    def debug(self, event: str, **facts: Any) -> None:
        """Tell something that is seldom wanted."""

    def info(self, event: str, **facts: Any) -> None:
        """Tell what happened."""

    def warning(self, event: str, **facts: Any) -> None:
        """Tell what somebody should look at."""

    def error(self, event: str, **facts: Any) -> None:
        """Tell what somebody has to mend."""


def make_log(*, verbose: int, as_json: bool) -> Log:
    """Make a log on stderr. It is told what to leave out by its level alone: debug is for -v."""
    lines = sys.stderr.isatty() and not as_json
    renderer = structlog.dev.ConsoleRenderer(pad_event_to=12) if lines else structlog.processors.JSONRenderer()
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _event_first,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS["debug" if verbose else "info"]),
    )
    return log


def _event_first(_: object, __: str, facts: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put time, level and event before the facts, where people look for them."""
    first = {name: facts.pop(name) for name in ("timestamp", "level", "event")}
    return first | {name: value for name, value in facts.items() if value is not None}
