"""How Lambda is set to read a stream for a function: its event source mappings, and which of their settings are safe.

What Lambda gives up on, or begins behind, is found and read with the next batch. What stands inside of a batch is taken
as it is, so nothing may be left out there; and of what is given up last nobody would hear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from shardlake.adapters.s3.client import S3Settings, client, errors
from shardlake.core.errors import ConfigError

REPORTS: Final = "ReportBatchItemFailures"
READ_INSTEAD: Final = 'or set handler.records to "read"'


class EventSourceMapping(msgspec.Struct, frozen=True, rename="pascal"):
    """A mapping, as far as it decides what a function is given, and when."""

    uuid: str = msgspec.field(name="UUID", default="")
    parallelization_factor: int | None = None
    maximum_retry_attempts: int | None = None
    maximum_record_age_in_seconds: int | None = None
    tumbling_window_in_seconds: int | None = None
    filter_criteria: dict[str, Any] | None = None
    function_response_types: tuple[str, ...] | None = None


class Mappings(Protocol):
    """Tells of the event source mappings of functions."""

    def of(self, function: str, stream: str) -> Sequence[EventSourceMapping]:
        """List those from a stream to a function, both named by their ARNs. Raises: Transient, ConfigError."""


@dataclass(frozen=True, slots=True)
class _Rule:
    setting: str
    found: str
    accepted: str


def check(mappings: Sequence[EventSourceMapping], function: str, stream: str) -> None:
    """See that Lambda leaves nothing out of a batch, and gives up on none. Raises: ConfigError naming the setting."""
    if not mappings:
        raise ConfigError(
            f"function {function} has no event source mapping of {stream}, so nobody knows what it leaves out: make"
            f" one, {READ_INSTEAD}"
        )
    for mapping in mappings:
        for rule in _broken(mapping):
            raise ConfigError(
                f"{rule.setting} of event source mapping {mapping.uuid} is {rule.found}, and Lambda would leave records"
                f" out, or out of their order; accepted: {rule.accepted}. Set it so (aws lambda"
                f" update-event-source-mapping --uuid {mapping.uuid}), {READ_INSTEAD}"
            )


def _broken(mapping: EventSourceMapping) -> list[_Rule]:
    factor, window = mapping.parallelization_factor or 1, mapping.tumbling_window_in_seconds or 0
    retries, age_s = _unset(mapping.maximum_retry_attempts), _unset(mapping.maximum_record_age_in_seconds)
    types, filters = mapping.function_response_types or (), (mapping.filter_criteria or {}).get("Filters") or ()
    rules = (
        (factor == 1, _Rule("ParallelizationFactor", str(factor), "1")),
        (not filters, _Rule("FilterCriteria", f"{len(filters)} filters", "none")),
        (window == 0, _Rule("TumblingWindowInSeconds", str(window), "0")),
        (retries == -1, _Rule("MaximumRetryAttempts", str(retries), "-1")),
        (age_s == -1, _Rule("MaximumRecordAgeInSeconds", str(age_s), "-1")),
        (REPORTS in types, _Rule("FunctionResponseTypes", ", ".join(types) or "not set", REPORTS)),
    )
    return [rule for is_kept, rule in rules if not is_kept]


def _unset(number: int | None) -> int:
    return -1 if number is None else number


@dataclass(frozen=True, slots=True)
class MappingClient:
    """The calls to AWS Lambda, by a client of botocore, which is made when it is needed if none is given."""

    region: str = ""
    given: Any = None

    def of(self, function: str, stream: str) -> Sequence[EventSourceMapping]:
        """List the mappings from a stream to a function. See the port."""
        found: list[Mapping[str, Any]] = []
        params = {"FunctionName": function, "EventSourceArn": stream}
        asked = self.given or client(S3Settings(region=self.region), "lambda")
        with errors(f"list the event source mappings of {function}"):
            for page in asked.get_paginator("list_event_source_mappings").paginate(**params):
                found += page.get("EventSourceMappings", ())
        return msgspec.convert(found, list[EventSourceMapping])
