"""Kinesis over HTTP. botocore signs, finds endpoints and credentials, and retries; it never reads an answer.

botocore's parser makes a dict, a datetime and a few more objects of each record, at 36 to 58 thousand records a second
and core; the bytes of an answer parsed by typed structs are above half a million. So the parser of the session, which
is a component that may be replaced, hands over the bytes of Kinesis's answers and leaves the rest, errors above all, to
botocore's. Request bodies are written by `wire` and put in place before they are signed, because botocore's serializer
costs fifteen times more per record and may cut the fraction off a timestamp.

Only what reads the description of a stream is retried inside botocore. Reads of records and iterators are not: whoever
polls paces itself, with its own clock, and a failed read costs nothing. Puts are not: a lost response is a possible
duplicate, which the producer has to know of. Changes of a stream are not: the second try of one that was done fails.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name for it
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
from botocore.parsers import ResponseParserFactory

from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.calls import KinesisCalls
from shardlake.adapters.kinesis.faults import Fault, error_of
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal, Transient

_METHODS: Final = {
    "CreateStream": "create_stream",
    "DescribeStreamSummary": "describe_stream_summary",
    "GetRecords": "get_records",
    "GetShardIterator": "get_shard_iterator",
    "ListShards": "list_shards",
    "MergeShards": "merge_shards",
    "PutRecords": "put_records",
    "SplitShard": "split_shard",
}
_RETRIED: Final = ("DescribeStreamSummary", "ListShards")
_RAW: Final = frozenset(f"{action}Output" for action in _METHODS)
_BODY: Final = "shardlake.body"  # a request's body on its way to the hook, an answer's on its way back
_ROUTING: Final = ("StreamName", "StreamARN")  # what botocore's endpoint rules look at
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_NOWHERE: Final = "us-east-1"  # signatures name a region, even where nobody looks at it
_NOBODY: Final = "local"


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """Where AWS is and how long to wait for it. Empty texts leave the choice to the environment and profile.

    `attempts` bounds how often a description of a stream is asked for; `connections` how many are kept open.
    """

    region: str = ""
    endpoint: str = ""
    profile: str = ""
    connect_s: float = 3.0
    read_s: float = 10.0
    attempts: int = 4
    connections: int = 32


class KinesisClient(KinesisCalls):
    """The calls over HTTP. It may be shared by threads.

    With an endpoint on this machine, and neither a profile nor credentials in the environment, it signs with made-up
    ones. Raises: ConfigError without region and endpoint, or without credentials.
    """

    def __init__(self, settings: AwsSettings) -> None:
        _quiet()
        session = _session(settings)
        self._region = _region(session, settings)
        self._endpoint = settings.endpoint or f"Kinesis in {self._region}"
        _check_credentials(session, settings)
        self._once = self._make(session, settings, 1)
        self._retrying = self._make(session, settings, settings.attempts)

    def close(self) -> None:
        """Close the connections."""
        self._once.close()
        self._retrying.close()

    def service_time_us(self, stream: str) -> int | None:
        """Ask about a stream, and give the service's own time of day, to the second; None if it tells none.

        A refusal tells the time too: requests that are signed at another time are refused. Raises: Transient if there
        is no answer.
        """
        dates: list[str] = []

        def note(response_dict: Mapping[str, Any] | None = None, **_: Any) -> None:
            dates.extend([response_dict["headers"].get("Date", "")] if response_dict else [])

        events = self._retrying.meta.events
        events.register("response-received.kinesis", note)
        try:
            self.describe(stream)
        except ShardlakeError:
            if not dates:
                raise
        finally:
            events.unregister("response-received.kinesis", note)
        return _time_us(dates[-1]) if dates else None

    def _make(self, session: botocore.session.Session, settings: AwsSettings, attempts: int) -> Any:
        config = Config(
            connect_timeout=settings.connect_s,
            read_timeout=settings.read_s,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=settings.connections,
            parameter_validation=False,  # the body is ours
            tcp_keepalive=True,
            proxies={} if _is_local(settings.endpoint) else None,
        )
        try:
            client = session.create_client(
                "kinesis", region_name=self._region, endpoint_url=settings.endpoint or None, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"Kinesis cannot be reached as configured: {error}; correct source.endpoint") from error
        client.meta.events.register("before-parameter-build.kinesis", _take_body)
        client.meta.events.register("before-call.kinesis", _place_body)
        return client

    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        client = self._retrying if action in _RETRIED else self._once
        routing = {name: params[name] for name in _ROUTING if name in params}
        call = getattr(client, _METHODS[action])
        try:
            answer: Mapping[str, Any] = call(**routing, **{_BODY: wire.encode(params)})
        except ClientError as error:
            raise error_of(_fault(action, params, error, self._region)) from None
        except BotoCoreError as error:
            raise _lost(action, error, self._endpoint) from None
        body = answer.get(_BODY, b"")
        assert isinstance(body, bytes)
        return body


# ------------------------------------------------------------------------------------------- botocore's hooks


class _RawParserFactory(ResponseParserFactory):  # type: ignore[misc] # botocore has no types
    """Makes parsers that hand over the bytes of Kinesis's answers.

    Other services of the session are not touched: credentials may come from STS or SSO.
    """

    def create_parser(self, protocol_name: str) -> "_RawParser":
        """Wrap botocore's parser of a protocol."""
        return _RawParser(super().create_parser(protocol_name))


class _RawParser:
    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        """Give the body of a successful answer, and what botocore's own parser makes of any other."""
        if response["status_code"] < 300 and shape is not None and shape.name in _RAW:
            return {_BODY: response["body"], "ResponseMetadata": {"HTTPStatusCode": response["status_code"]}}
        return self._parser.parse(response, shape)


def _take_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[_BODY] = params.pop(_BODY)


def _place_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    params["body"] = context.pop(_BODY)


def _quiet() -> None:
    """Keep request and response bodies, which botocore writes at level DEBUG, out of logs that do not ask for them."""
    log = logging.getLogger("botocore")
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)


# ----------------------------------------------------------------------------------------------- configuration


def _session(settings: AwsSettings) -> botocore.session.Session:
    session = botocore.session.Session(profile=settings.profile or None)
    session.register_component("response_parser_factory", _RawParserFactory())
    if _is_local(settings.endpoint) and not settings.profile and not os.environ.get("AWS_ACCESS_KEY_ID"):
        session.set_credentials(_NOBODY, _NOBODY)
    return session


def _region(session: botocore.session.Session, settings: AwsSettings) -> str:
    try:
        found = settings.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    except BotoCoreError as error:  # the profile is unknown, or a file is broken
        raise ConfigError(f"the AWS configuration cannot be read: {error}; correct AWS_PROFILE or the file") from error
    if found:
        return str(found)
    if settings.endpoint:
        return _NOWHERE
    raise ConfigError("no region is set: set source.region, or AWS_REGION, to the region of the stream")


def _check_credentials(session: botocore.session.Session, settings: AwsSettings) -> None:
    try:
        found = session.get_credentials()
    except BotoCoreError as error:
        raise ConfigError(f"the AWS credentials cannot be read: {error}") from error
    if found is None:
        where = f" for {settings.endpoint}" if settings.endpoint else ""
        raise ConfigError(
            f"there are no AWS credentials{where}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
            " give the machine a role; `aws sts get-caller-identity` shows what is found"
        )


def _time_us(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) * 1_000_000
    except ValueError:
        return None


def _is_local(endpoint: str) -> bool:
    return urlsplit(endpoint).hostname in _LOOPBACK if endpoint else False


# ------------------------------------------------------------------------------------------------------ errors


def _fault(action: str, params: dict[str, Any], error: ClientError, region: str) -> Fault:
    told = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return Fault(action, params, str(told.get("Code", "")), str(told.get("Message", "")), int(status), region)


def _lost(action: str, error: BotoCoreError, endpoint: str) -> ShardlakeError:
    kind = type(error).__name__
    if isinstance(error, HTTPClientError | ConnectionError | IncompleteReadError):
        return Transient(f"{action}: no whole answer from {endpoint} ({error}): it will be asked again")
    if isinstance(error, CredentialRetrievalError | MetadataRetrievalError):
        return Transient(f"{action}: credentials could not be renewed ({error}): it will be tried again")
    if any(word in kind for word in ("Credential", "Token", "SSO", "Login", "Profile")):
        return ConfigError(f"the AWS credentials cannot be used ({error}): renew them, or correct AWS_PROFILE")
    return Terminal(f"{action} cannot be sent to {endpoint} ({kind}): correct source.endpoint and source.region")
