"""What DynamoDB complains of, as errors of ours: the same for every way to reach it.

What matters of a refused or lost write is whether it may have been applied. A throttled one was not, nor one whose
condition did not hold, nor a cancelled transaction, whatever the reason. After an error of the service, or none at
all, nobody knows; a read that met either may simply be sent again.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shardlake.adapters.dynamodb.port import ConditionFailed, NoTable, Throttled
from shardlake.core.errors import ConfigError, OutcomeUnknown, ShardlakeError, Terminal, Transient

WRITES: Final = frozenset(
    {
        "BatchWriteItem",
        "CreateTable",
        "DeleteItem",
        "DeleteTable",
        "PutItem",
        "TransactWriteItems",
        "UpdateItem",
        "UpdateTable",
        "UpdateTimeToLive",
    }
)
THROTTLES: Final = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TransactionConflictException",
    }
)
# Of a transaction's writes: it met another transaction, or there was no capacity for it.
_PASSING_REASONS: Final = frozenset(
    {"None", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingError", "TransactionConflict"}
)
_FAILED: Final = "ConditionalCheckFailed"
_CREDENTIALS: Final = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "UnrecognizedClientException",
    }
)
_DENIED: Final = ("AccessDenied", "AccessDeniedException")
_ECHO: Final = re.compile(r"Value '.*' at '", re.DOTALL)  # the service repeats the refused value
_MESSAGE_MAX: Final = 300


class _Reason(msgspec.Struct):
    Code: str = "None"
    Item: dict[str, dict[str, Any]] | None = None


class Refusal(msgspec.Struct):
    """The body of a refusal: its code, the service's words, and a reason for each write of a transaction."""

    type: str = msgspec.field(name="__type", default="")
    message: str = ""
    Message: str = ""
    CancellationReasons: tuple[_Reason, ...] = ()
    Item: dict[str, dict[str, Any]] | None = None

    def __repr__(self) -> str:
        """Tell the code; items are payloads."""
        return f"Refusal({self.type})"

    @property
    def code(self) -> str:
        """The code without its namespace."""
        return self.type.rpartition("#")[2].partition(":")[0]

    @property
    def said(self) -> str:
        """The service's own words, without values of the request."""
        return _ECHO.sub("Value at '", self.message or self.Message)[:_MESSAGE_MAX] or "no reason given"


def error_of(action: str, request: Mapping[str, Any], status: int, body: bytes) -> ShardlakeError:
    """Choose the error of an answer that is no success; a status of 0 means that none came."""
    if status == 0:
        return lost(action, "no answer")
    try:
        refusal = msgspec.json.decode(body, type=Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        refusal = Refusal()
    code = refusal.code or str(status)
    if code == "TransactionCanceledException":
        return _cancelled(refusal)
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(action, (_FAILED,), (refusal.Item,))
    if code in THROTTLES or status == 429:
        return Throttled(f"DynamoDB throttles {action} ({code}): {refusal.said}")
    if status >= 500 or code == "TransactionInProgressException":  # the very transaction, sent before, is under way
        return lost(action, f"{code}: {refusal.said}")
    return _refused(action, request, code, refusal)


def lost(action: str, why: str) -> ShardlakeError:
    """Make the error of a call that was sent, and of which nothing is known."""
    if action in WRITES:
        return OutcomeUnknown(f"{action}: {why}; it may have been done, or may be later: send the same again")
    return Transient(f"{action}: {why}; it is asked again")


def _cancelled(refusal: Refusal) -> ShardlakeError:
    """A cancelled transaction has applied nothing: a condition that did not hold is final, meeting others is not."""
    reasons = tuple(reason.Code for reason in refusal.CancellationReasons)
    if _FAILED in reasons:
        return ConditionFailed("TransactWriteItems", reasons, tuple(r.Item for r in refusal.CancellationReasons))
    told = ", ".join(sorted({*reasons} - {"None"})) or refusal.said
    if _PASSING_REASONS.issuperset(reasons):
        return Throttled(f"DynamoDB cancelled a transaction, which was not applied ({told}): it is sent again")
    return Terminal(f"DynamoDB will not accept a transaction ({told})")


def _refused(action: str, request: Mapping[str, Any], code: str, refusal: Refusal) -> ShardlakeError:
    table = request.get("TableName") or ", ".join(request.get("RequestItems", {}))
    on = f" on table {table}" if table else ""
    if code == "ResourceNotFoundException":
        return NoTable(
            f"there is no table{f' {table}' if table else ''} for {action}: create it, or correct its name and region"
        )
    if code in _DENIED:
        return ConfigError(f"AWS denies {action}{on}: allow it in the policy of this role ({refusal.said})")
    if code in _CREDENTIALS:
        return ConfigError(
            f"AWS does not accept the credentials ({code}): renew them, look at AWS_PROFILE, and compare this machine's"
            " clock with the true time"
        )
    if code == "ResourceInUseException":
        return Transient(f"{action}{on} has to wait: {refusal.said}")
    return Terminal(f"DynamoDB refuses {action}{on} ({code}): {refusal.said}")
