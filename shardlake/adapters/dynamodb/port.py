"""The port to DynamoDB: one method, because its requests and answers are small JSON, and the exact errors of it.

An answer's numbers are texts in `{"N": "..."}`, as the service writes them. No message holds a payload or a key.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from shardlake.core.errors import ConfigError, Conflict, Transient

Item = Mapping[str, Mapping[str, Any]]  # attribute -> its typed value: {"S": "text"}, {"N": "1"}, ...


class Throttled(Transient):
    """DynamoDB asks for fewer calls, or two transactions met. Nothing was read or changed."""


class ConditionFailed(Conflict):
    """A condition does not hold, and nothing was written.

    `reasons` has a word for each write of a transaction ("None", "ConditionalCheckFailed"), or one for a single write;
    `items` what stood there, in the same order, where it was asked for.
    """

    def __init__(self, what: str, reasons: tuple[str, ...], items: tuple[Item | None, ...] = ()) -> None:
        super().__init__(f"{what}: a condition does not hold; read again before you decide")
        self.reasons, self.items = reasons, items


class NoTable(ConfigError):
    """A table that a request names is not there."""


class DynamoCalls(Protocol):
    """Sends one request, once, and reads its answer. It may be shared by threads."""

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request of the API, such as ("GetItem", {"TableName": ..., "Key": ...}), and give its answer.

        Raises: Throttled; ConditionFailed; Transient if it was not applied and may be sent again; OutcomeUnknown if a
        write may have been applied, or may be later (a time-out, a lost connection, an error of the service);
        NoTable; ConfigError (no permission, no usable credentials); Terminal (it will never be accepted).
        """
