"""What our own clients of AWS share: settings, a session of botocore, bodies in and out as they are, and lost calls.

botocore signs, finds endpoints and credentials. Its serializer and its parsers cost more than all the rest, so request
bodies are put in place before they are signed, and the parser of the session, which is a component that may be
replaced, hands over the bytes of answers.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, CredentialRetrievalError, MetadataRetrievalError
from botocore.parsers import ResponseParserFactory

from shardlake.core.errors import ConfigError, ShardlakeError, Terminal, Transient

BODY: Final = "shardlake.body"  # a request's body on its way to the hook, an answer's on its way back
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_NOWHERE: Final = "us-east-1"  # signatures name a region, even where nobody looks at it
_NOBODY: Final = "local"


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """Where AWS is and how long to wait for it. Empty texts leave the choice to the environment and profile.

    `attempts` bounds how often a description of a stream is asked for; `connections` how many are kept open. `section`
    is that of the settings which errors name.
    """

    region: str = ""
    endpoint: str = ""
    profile: str = ""
    connect_s: float = 3.0
    read_s: float = 10.0
    attempts: int = 4
    connections: int = 32
    section: str = "source"


Raw = Callable[[str, int], bool]  # (name of the output's shape, HTTP status) -> whether its bytes are handed over


class Aws:
    """A session of botocore, from which clients of one service are made.

    With an endpoint on this machine, and neither a profile nor credentials in the environment, it signs with made-up
    ones. `raw` tells which answers are handed over as bytes: other services of the session are not touched, since
    credentials may come from STS or SSO. Raises: ConfigError without region and endpoint, or without credentials.
    """

    def __init__(self, service: str, settings: AwsSettings, raw: Raw) -> None:
        _quiet()
        self._service, self._settings = service, settings
        self._session = botocore.session.Session(profile=settings.profile or None)
        self._session.register_component("response_parser_factory", _RawParserFactory(raw))
        if is_local(settings.endpoint) and not settings.profile and not os.environ.get("AWS_ACCESS_KEY_ID"):
            self._session.set_credentials(_NOBODY, _NOBODY)
        self.region = _region(self._session, settings)
        _check_credentials(self._session, settings)

    def client(self, attempts: int = 1) -> Any:
        """Make a client whose calls take their body as the parameter BODY. Raises: ConfigError."""
        settings, service = self._settings, self._service
        config = Config(
            connect_timeout=settings.connect_s,
            read_timeout=settings.read_s,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=settings.connections,
            parameter_validation=False,  # the body is ours
            tcp_keepalive=True,
            proxies={} if is_local(settings.endpoint) else None,
        )
        try:
            client = self._session.create_client(
                service, region_name=self.region, endpoint_url=settings.endpoint or None, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"{service} cannot be reached as configured: {error}; correct {settings.section}.endpoint"
            ) from error
        client.meta.events.register(f"before-parameter-build.{service}", _take_body)
        client.meta.events.register(f"before-call.{service}", _place_body)
        return client


def not_sent(action: str, error: BotoCoreError, endpoint: str, section: str) -> ShardlakeError:
    """Choose the error of a call that did not get as far as a connection."""
    kind = type(error).__name__
    if isinstance(error, CredentialRetrievalError | MetadataRetrievalError):
        return Transient(f"{action}: credentials could not be renewed ({error}): it will be tried again")
    if any(word in kind for word in ("Credential", "Token", "SSO", "Login", "Profile")):
        return ConfigError(f"the AWS credentials cannot be used ({error}): renew them, or correct AWS_PROFILE")
    return Terminal(f"{action} cannot be sent to {endpoint} ({kind}): correct {section}.endpoint and {section}.region")


def is_local(endpoint: str) -> bool:
    """Tell whether an endpoint is on this machine."""
    return urlsplit(endpoint).hostname in _LOOPBACK if endpoint else False


# ------------------------------------------------------------------------------------------- botocore's hooks


class _RawParserFactory(ResponseParserFactory):  # type: ignore[misc] # botocore has no types
    """Makes parsers that hand over the bytes of some answers."""

    def __init__(self, raw: Raw) -> None:
        super().__init__()
        self._raw = raw

    def create_parser(self, protocol_name: str) -> "_RawParser":
        """Wrap botocore's parser of a protocol."""
        return _RawParser(super().create_parser(protocol_name), self._raw)


class _RawParser:
    def __init__(self, parser: Any, raw: Raw) -> None:
        self._parser, self._raw = parser, raw

    def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        """Give the body of an answer, or what botocore's own parser makes of it."""
        status = response["status_code"]
        if shape is not None and self._raw(shape.name, status):
            return {BODY: response["body"], "ResponseMetadata": {"HTTPStatusCode": status}}
        return self._parser.parse(response, shape)


def _take_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[BODY] = params.pop(BODY)


def _place_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    params["body"] = context.pop(BODY)


def _quiet() -> None:
    """Keep request and response bodies, which botocore writes at level DEBUG, out of logs that do not ask for them."""
    log = logging.getLogger("botocore")
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)


# ----------------------------------------------------------------------------------------------- configuration


def _region(session: botocore.session.Session, settings: AwsSettings) -> str:
    try:
        found = settings.region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    except BotoCoreError as error:  # the profile is unknown, or a file is broken
        raise ConfigError(f"the AWS configuration cannot be read: {error}; correct AWS_PROFILE or the file") from error
    if found:
        return str(found)
    if settings.endpoint:
        return _NOWHERE
    section = settings.section
    what = "the stream" if section == "source" else "its table"
    raise ConfigError(f"no region is set: set {section}.region, or AWS_REGION, to the region of {what}")


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
