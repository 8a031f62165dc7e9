"""Errors as the service words them: a type, a status, a message."""

import msgspec


class ServiceError(Exception):
    """An answer that is an error. `code` is what AWS puts into `__type`; the message never holds a payload."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def body(self) -> bytes:
        """Give the error as the service writes it."""
        return error_body(self.code, self.message)


def error_body(code: str, message: str) -> bytes:
    """Write an error's JSON."""
    return msgspec.json.encode({"__type": code, "message": message})


def invalid(message: str) -> ServiceError:
    """Make the error for an argument whose form is right and whose value is not."""
    return ServiceError("InvalidArgumentException", message)


def not_valid(message: str) -> ServiceError:
    """Make the error for an argument that breaks a constraint of the interface."""
    return ServiceError("ValidationException", message)


def not_found(message: str) -> ServiceError:
    """Make the error for a stream or shard that is not there."""
    return ServiceError("ResourceNotFoundException", message)


def in_use(message: str) -> ServiceError:
    """Make the error for a stream that is not in the state that a call needs."""
    return ServiceError("ResourceInUseException", message)


def limit_exceeded(message: str) -> ServiceError:
    """Make the error for too many calls, streams or shards."""
    return ServiceError("LimitExceededException", message)


def throughput_exceeded(message: str) -> ServiceError:
    """Make the error for a shard whose throughput is used up."""
    return ServiceError("ProvisionedThroughputExceededException", message)
