"""Clients of S3 and SQS, and their errors by kind.

botocore alone: boto3 adds a tenth of a second to the start of a process and nothing that is needed here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, which is no OSError
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
from botocore.httpsession import URLLib3SSLError  # what the body of an answer lets through as it is

from shardlake.core.errors import ConfigError, Conflict, Missing, ShardlakeError, Terminal, Transient

CONNECTIONS_MAX: Final = 16
_PASSING: Final = (
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    URLLib3SSLError,
)
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_PASSING_CODES: Final = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
# What to do about the refusals that people meet.
_ADVICE: Final[Mapping[str, str]] = {
    "AccessDenied": "allow it in the role's policy (without s3:ListBucket a missing object looks like a forbidden one)",
    "403": "allow it in the role's policy (without s3:ListBucket a missing object looks like a forbidden one)",
    "NoSuchBucket": "create the bucket, or correct its name",
    "PermanentRedirect": "set the region of the bucket",
    "AuthorizationHeaderMalformed": "set the region of the bucket",
    "301": "set the region of the bucket",
    "ExpiredToken": "renew the credentials",
    "RequestTimeTooSkewed": "set this machine's clock",
    "InvalidObjectState": "restore the object from its archive first",
}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How to reach S3. An empty endpoint is AWS's own, an empty region that of the environment.

    `attempts_max` counts the first try along; between tries the client waits longer and longer, with jitter.
    """

    endpoint: str = ""
    region: str = ""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    attempts_max: int = 4


@lru_cache(maxsize=16)
def client(settings: S3Settings, service: str = "s3") -> Any:
    """Make a client, or give the one that was made before: it is safe for threads, and costs a tenth of a second.

    Raises: ConfigError if settings or environment are not those of a client.
    """
    config = Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": settings.attempts_max},
        max_pool_connections=CONNECTIONS_MAX,
        # The content's SHA-256 is known and sent along: another checksum would only cost time.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if settings.endpoint else "auto"},
        user_agent_extra="shardlake",
    )
    try:
        return botocore.session.Session().create_client(
            service, region_name=settings.region or None, endpoint_url=settings.endpoint or None, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"cannot make a client of {service}: {error}; correct endpoint and region") from error


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Raise botocore's errors by their kind; `what` completes "cannot ...".

    An object that is not there is `Missing`, a condition that does not hold `Conflict`.
    """
    try:
        yield
    except ClientError as error:
        raise of_answer(what, error) from error
    except _PASSING as error:
        raise Transient(f"cannot {what}: {_first_line(error)}; it is tried again") from error
    except BotoCoreError as error:
        raise ConfigError(f"cannot {what}: {_first_line(error)}; correct the settings or the credentials") from error


def of_answer(what: str, error: ClientError) -> ShardlakeError:
    """Give an answer that is no success its kind."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return of_code(what, code_of(error), str(error.response.get("Error", {}).get("Message", "")), status)


def of_code(what: str, code: str, message: str, status: int = 0) -> ShardlakeError:
    """Give a code of S3 or SQS its kind; an answer without a body has its HTTP status for a code."""
    said = f"cannot {what}: {code} {message}".rstrip(" .")
    if code in _MISSING:
        return Missing(f"{said}; read the rows again, then plan again")
    if code in ("PreconditionFailed", "412"):
        return Conflict(f"{said}; look at it again")
    if code in _PASSING_CODES or status >= 500 or status == 429:
        return Transient(f"{said}; it is tried again")
    if code == "InvalidObjectState":
        return Terminal(f"{said}; {_ADVICE[code]}")
    return ConfigError(f"{said}; {_ADVICE.get(code, 'correct the settings or the permissions')}")


def code_of(error: ClientError) -> str:
    """Give the code of an answer; that of one without a body is its HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def resent(error: ClientError) -> bool:
    """Tell whether the client had sent the request before: then an earlier try may have done what this one met."""
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
