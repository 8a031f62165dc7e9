"""The speed layer as a function of AWS Lambda, for events of Kinesis, DynamoDB Streams and S3.

    shardlake.app.handler.handler                   # the function's handler: settings are SHARDLAKE_* variables
    make_handler(config, environ)                   # one of your own

What a function was given and could not count it names in `batchItemFailures`, and Lambda gives it that again, with all
that stands behind it. What will not pass by itself is raised.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

from shardlake.adapters.aws_lambda.envelopes import (
    DYNAMODB,
    KINESIS,
    SCHEDULE,
    HandedOver,
    kind_of,
    notices_of,
    records_of,
)
from shardlake.adapters.aws_lambda.mappings import MappingClient, Mappings
from shardlake.adapters.clock import SystemClock
from shardlake.app.config import DEFAULT, load
from shardlake.app.handling import Reading, open_files, open_stream
from shardlake.app.logs import Log, make_log
from shardlake.app.opening import lane_context, refuse_another_pack
from shardlake.app.settings import Config
from shardlake.app.viewset import load_pack
from shardlake.core.errors import ConfigError, Conflict, OutcomeUnknown, Transient
from shardlake.core.ports import Clock
from streams.handling_files import FileHandling
from streams.sources.s3_notices import keys_of

Answer = dict[str, list[dict[str, str]]]
ROOT: Final = "/tmp/shardlake"  # noqa: S108 - the only folder that a function may write
SHARE: Final = 0.8  # of the time that is left: what was read by then is committed in the rest
_PASSING: Final = (Transient, Conflict, OutcomeUnknown)


class Function:
    """A process of the function: what it has opened stays open between its calls."""

    def __init__(self, config: Config, environ: Mapping[str, str], mappings: Mappings, clock: Clock, log: Log) -> None:
        self._config, self._environ, self._mappings = config, environ, mappings
        self._clock, self._log, self._stack = clock, log, ExitStack()
        self._opened: Reading | FileHandling | None = None

    def __call__(self, event: Mapping[str, Any], context: Any) -> Answer:
        """Handle an event. Raises: NoEnvelope, ConfigError and what else does not pass by itself."""
        left_s = context.get_remaining_time_in_millis() / 1000
        until_s = self._clock.monotonic_s() + SHARE * left_s
        if kind_of(event) in (KINESIS, DYNAMODB):
            found = records_of(event, self._clock.now_us())
            return _failures([name for one in found for name in self._records(one, context, until_s)])
        return self._look(until_s) if kind_of(event) == SCHEDULE else self._notices(event, until_s)

    def close(self) -> None:
        """Let go of what is open. AWS Lambda ends processes without a word, and nothing is lost by it."""
        self._opened = None
        self._stack.close()

    def _records(self, handed: HandedOver, context: Any, until_s: float) -> list[str]:
        try:
            reading = self._stream()
            reading.check(handed.stream, context.invoked_function_arn)
            left = reading.take(handed, until_s)
        except _PASSING as error:  # a part may be counted, which is found when it comes again
            self._log.warning("given_back", error=str(error), records=len(handed.page))
            left = handed.page.sequences[0]
        return [] if left is None else [left]

    def _look(self, until_s: float) -> Answer:
        """Read what no other event told of. What the time does not suffice for is left to the next one."""
        try:
            is_stream = self._config.source.is_stream
            is_done = self._stream().handling.look(until_s) if is_stream else self._files().take([], until_s)
        except _PASSING as error:
            self._log.warning("look_broken_off", error=str(error))
        else:
            self._log.info("looked", is_done=is_done)
        return _failures([])

    def _notices(self, event: Mapping[str, Any], until_s: float) -> Answer:
        notices = notices_of(event)
        strange = [notice.id for notice in notices if keys_of(notice.body) is None]
        if strange:
            self._log.warning("no_notices", messages=len(strange))
        try:
            is_done, why = self._files().take([notice.body for notice in notices], until_s), "time is up"
        except _PASSING as error:
            is_done, why = False, str(error)
        if is_done:
            return _failures(strange)
        self._log.warning("given_back", error=why, notices=len(notices))
        if not all(
            notice.id for notice in notices
        ):  # nobody looks at what is returned: Lambda calls again after errors
            raise Transient(f"not everything was read ({why}): the same notice is to be handed over again")
        return _failures([notice.id for notice in notices])

    def _stream(self) -> Reading:
        if not isinstance(self._opened, Reading):
            config = self._config
            if not config.source.is_stream:
                raise ConfigError("this event is of a stream: name it in source.stream, or its table in source.table")
            context = self._stack.enter_context(self._context())
            self._opened = open_stream(config, self._environ, context, self._mappings, self._log, self._stack)
        return self._opened

    def _files(self) -> FileHandling:
        if not isinstance(self._opened, FileHandling):
            config = self._config
            if config.source.is_stream or not config.source.path:
                raise ConfigError("this event is of S3: name the log files in source.path, as s3://BUCKET/PREFIX")
            context = self._stack.enter_context(self._context())
            self._opened = open_files(config, self._environ, context, self._log, self._stack)
        return self._opened

    def _context(self) -> Any:
        self._stack.close()
        refuse_another_pack(self._config, load_pack(self._config).name)
        return lane_context(self._config, self._clock)


def make_handler(
    config: Config, environ: Mapping[str, str], mappings: Mappings | None = None, clock: Clock | None = None
) -> Function:
    """Make a handler out of settings; `environ` holds the key of the keyed hash. Raises: ConfigError.

    It opens what it needs with its first event, and is not safe for several threads. `mappings` tells how Lambda is
    set; by default AWS is asked.
    """
    if environ.get("AWS_LAMBDA_FUNCTION_NAME") and not (config.journal.url and config.storage.url):
        raise ConfigError(
            "what a function writes on its disk is gone with it: set journal.url (SHARDLAKE_JOURNAL_URL) to a table"
            " of DynamoDB, and storage.url (SHARDLAKE_STORAGE_URL) to a bucket"
        )
    if config.source.start != "trim_horizon":
        raise ConfigError(
            f"source.start is {config.source.start}, and a function reads a stream from its oldest record; accepted:"
            " trim_horizon"
        )
    asked = mappings or MappingClient(config.source.region)
    return Function(config, environ, asked, clock or SystemClock(), make_log(verbose=0, as_json=True))


@cache
def _made() -> Function:
    given, folder = dict(os.environ), Path.cwd()
    resolved = load({}, given, folder)
    config = resolved.config
    if resolved.values["root"].origin == DEFAULT:
        config = load({"root": (ROOT, "AWS Lambda")}, given, folder).config
    return make_handler(config, given)


def handler(event: Mapping[str, Any], context: Any) -> Answer:
    """Handle an event of AWS Lambda by the settings of the environment. Raises: as what `make_handler` makes."""
    return _made()(event, context)


def _failures(names: Sequence[str]) -> Answer:
    return {"batchItemFailures": [{"itemIdentifier": name} for name in names]}
