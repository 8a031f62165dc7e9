"""What Kinesis complains of, as errors of ours: the same for every way to reach it."""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shardlake.adapters.kinesis.port import IteratorExpired, ShardGone, Throttled
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal, Transient

THROTTLES: Final = frozenset(
    {
        "KMSThrottlingException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_CREDENTIALS: Final = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "UnrecognizedClientException",
    }
)
_PASSING: Final = frozenset(
    {
        "ExpiredNextTokenException",
        "InternalFailure",
        "InternalFailureException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceInUseException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_SECRETS: Final = ("ShardIterator", "NextToken")
# The service repeats the refused value: "Value '...' at 'shardIterator' failed to satisfy constraint".
_ECHO: Final = re.compile(r"Value '.*' at '", re.DOTALL)
_MESSAGE_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal of the service: the code of its error, its words, the HTTP status, the call, and the region."""

    action: str
    params: dict[str, Any]
    code: str
    message: str
    status: int
    region: str

    def __repr__(self) -> str:
        """Tell the code; the parameters may hold payloads."""
        return f"Fault({self.action}: {self.status} {self.code})"

    @property
    def stream(self) -> str:
        """The stream that the call named; "" if it went by an iterator or a token alone."""
        named = self.params.get("StreamName") or self.params.get("StreamARN")
        return str(named or self.params.get("ConsumerARN", "").partition("/consumer/")[0])

    @property
    def said(self) -> str:
        """The service's own words, without what the request held."""
        text = _ECHO.sub("Value at '", self.message)
        for name in _SECRETS:
            text = text.replace(str(self.params.get(name) or "\0"), "…")
        return text[:_MESSAGE_MAX] or "no reason given"


class _Refusal(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""
    Message: str = ""


def fault_of(action: str, params: dict[str, Any], status: int, body: bytes, region: str) -> Fault:
    """Read a refusal from the body of an answer."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        refusal = _Refusal()
    code = refusal.type.rpartition("#")[2].partition(":")[0]
    return Fault(action, params, code or str(status), refusal.message or refusal.Message, status, region)


def error_of(fault: Fault) -> ShardlakeError:
    """Choose the error of a refusal."""
    for codes, make in _BY_CODE:
        if fault.code in codes:
            return make(fault)
    if fault.status == 429:
        return _throttled(fault)
    if fault.status >= 500:
        return _passing(fault)
    return _key(fault) if fault.code.startswith("KMS") else _refused(fault)


def _throttled(fault: Fault) -> ShardlakeError:
    return Throttled(f"Kinesis throttles {fault.action}: {fault.said}")


def _expired(fault: Fault) -> ShardlakeError:
    return IteratorExpired(f"the iterator of {fault.action} has expired: take another one")


def _missing(fault: Fault) -> ShardlakeError:
    shard = str(fault.params.get("ShardId") or "")
    if shard and shard in fault.message:
        return ShardGone(fault.stream, shard)
    where = f" in region {fault.region}" if fault.region else ""
    consumer = str(fault.params.get("ConsumerName") or fault.params.get("ConsumerARN") or "")
    if consumer:
        name = consumer.rpartition("/")[2].partition(":")[0]
        return ConfigError(
            f"there is no consumer {consumer}{where}: correct source.fan_out, or register it with aws kinesis"
            f" register-stream-consumer --stream-arn {fault.stream} --consumer-name {name}"
        )
    if not fault.stream:
        return ConfigError(f"the stream that was read is gone{where}: it was deleted, or made anew under its old name")
    return ConfigError(
        f"there is no stream {fault.stream}{where}: correct source.stream, or source.region (AWS_REGION), or create it"
    )


def _denied(fault: Fault) -> ShardlakeError:
    on = f" on {fault.stream}" if fault.stream else ""
    return ConfigError(f"AWS denies kinesis:{fault.action}{on}: allow it in the policy of this role ({fault.said})")


def _not_accepted(fault: Fault) -> ShardlakeError:
    return ConfigError(
        f"AWS does not accept the credentials ({fault.code}): renew them, look at AWS_PROFILE, and compare this"
        " machine's clock with the true time"
    )


def _passing(fault: Fault) -> ShardlakeError:
    return Transient(f"Kinesis could not do {fault.action} now ({fault.code}): {fault.said}")


def _key(fault: Fault) -> ShardlakeError:
    return ConfigError(f"the key of {fault.stream or 'the stream'} cannot be used ({fault.code}): {fault.said}")


def _refused(fault: Fault) -> ShardlakeError:
    return Terminal(f"Kinesis refuses {fault.action} ({fault.code}): {fault.said}")


_BY_CODE: Final = (
    (THROTTLES, _throttled),
    (("ExpiredIteratorException",), _expired),
    (("ResourceNotFoundException",), _missing),
    (_DENIED, _denied),
    (_CREDENTIALS, _not_accepted),
    (_PASSING, _passing),
)
