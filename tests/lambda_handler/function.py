"""A function of AWS Lambda as a test calls it, and how it is set."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shardlake.adapters.aws_lambda.mappings import REPORTS, EventSourceMapping
from shardlake.app import compose
from shardlake.app.config import load
from shardlake.app.handler import Function, make_handler
from shardlake.app.settings import Config
from shardlake.testing.event_source import FUNCTION

SAFE = EventSourceMapping(
    uuid="14e0db71",
    parallelization_factor=1,
    maximum_retry_attempts=-1,
    maximum_record_age_in_seconds=-1,
    function_response_types=(REPORTS,),
)


@dataclass(slots=True)
class Context:
    """What Lambda tells of a call."""

    left_s: float = 60.0
    invoked_function_arn: str = FUNCTION

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_s * 1000)


@dataclass(slots=True)
class Set:
    """How the mapping is set, and who asked for it."""

    mappings: Sequence[EventSourceMapping] = (SAFE,)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def of(self, function: str, stream: str) -> Sequence[EventSourceMapping]:
        self.asked.append((function, stream))
        return self.mappings


def config(folder: Path, **settings: str) -> Config:
    given = {"root": str(folder / "root"), **{key.replace("__", "."): value for key, value in settings.items()}}
    return load({key: (value, "--set") for key, value in given.items()}, {}, folder).config


OPEN: list[Function] = []


def made(config: Config, mappings: Set | None = None, environ: Mapping[str, str] | None = None) -> Function:
    OPEN.append(make_handler(config, environ or {}, mappings or Set()))
    return OPEN[-1]


def answer(config: Config, sql: str) -> list[tuple[Any, ...]]:
    server = compose.server(config)
    with closing(server._journal):  # type: ignore[type-var]
        return [tuple(row) for row in server.rows(sql).rows]
