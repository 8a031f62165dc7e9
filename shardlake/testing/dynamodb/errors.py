"""Errors as the service words them: a type, a status, a message, and what some of them carry besides."""

from typing import Any, Final

import msgspec

_OWN: Final = "com.amazonaws.dynamodb.v20120810#"
# What the service's own name does not stand before.
_SPACES: Final = {
    "ValidationException": "com.amazon.coral.validate#",
    "SerializationException": "com.amazon.coral.service#",
    "UnknownOperationException": "com.amazon.coral.service#",
    "AccessDeniedException": "com.amazon.coral.service#",
    "UnrecognizedClientException": "com.amazon.coral.service#",
}
# Errors of transactions spell their message with a capital.
_CAPITAL: Final = (
    "TransactionCanceledException",
    "TransactionInProgressException",
    "IdempotentParameterMismatchException",
)


class ServiceError(Exception):
    """An answer that is an error. `code` is its short name, `more` what stands beside the message."""

    def __init__(self, code: str, message: str, status: int = 400, more: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.more = code, message, status, more or {}

    def body(self) -> bytes:
        """Give the error as the service writes it."""
        return error_body(self.code, self.message, self.more)


class ConditionFailed(ServiceError):
    """A condition that does not hold: the capacity that finding out took, and what stood there if it was asked for."""

    def __init__(self, units: int, item: dict[str, Any] | None) -> None:
        self.units = units
        more = {} if item is None else {"Item": item}
        super().__init__("ConditionalCheckFailedException", "The conditional request failed", more=more)


class NotApplicable(ServiceError):
    """An update that what stands there does not allow: a transaction tells so by its reasons."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


def error_body(code: str, message: str, more: dict[str, Any] | None = None) -> bytes:
    """Write an error's JSON."""
    field = "Message" if code in _CAPITAL else "message"
    return msgspec.json.encode({"__type": _SPACES.get(code, _OWN) + code, field: message, **(more or {})})


def read_error(status: int, body: bytes) -> ServiceError:
    """Read an error's JSON; one without a body is a dropped answer."""
    told: dict[str, Any] = msgspec.json.decode(body) if body else {}
    code = str(told.pop("__type", "dropped")).rpartition("#")[2]
    message = str(told.pop("message", told.pop("Message", "")))
    return ServiceError(code, message, status, told)


def not_valid(message: str) -> ServiceError:
    """Make the error for what breaks a constraint of the interface."""
    return ServiceError("ValidationException", message)


def bad_values(message: str) -> ServiceError:
    """Make the error for a value that cannot be what it is given for."""
    return not_valid(f"One or more parameter values were invalid: {message}")


def not_serial(message: str) -> ServiceError:
    """Make the error for JSON of another shape."""
    return ServiceError("SerializationException", message)


def not_found(message: str) -> ServiceError:
    """Make the error for a table, stream or shard that is not there."""
    return ServiceError("ResourceNotFoundException", message)


def in_use(message: str) -> ServiceError:
    """Make the error for a table that is not in the state that a call needs."""
    return ServiceError("ResourceInUseException", message)


def limit_exceeded(message: str) -> ServiceError:
    """Make the error for too many calls or readers."""
    return ServiceError("LimitExceededException", message)


def conflict() -> ServiceError:
    """Make the error of a single write that meets a transaction."""
    return ServiceError("TransactionConflictException", "Transaction is ongoing for the item")


def cancelled(reasons: list[dict[str, Any]]) -> ServiceError:
    """Make the error of a transaction: a reason for each of its items."""
    words = ", ".join(reason["Code"] for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{words}]"
    return ServiceError("TransactionCanceledException", message, more={"CancellationReasons": reasons})
