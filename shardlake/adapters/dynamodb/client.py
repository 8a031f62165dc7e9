"""DynamoDB over HTTP: botocore signs and finds endpoints and credentials, and each call is sent once.

Retries are the caller's, which alone knows whether what it sent may be sent again.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from botocore import xform_name
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ProxyConnectionError,
)
from botocore.exceptions import ConnectionError as AnyConnectionError

from shardlake.adapters.aws import BODY, Aws, AwsSettings, not_sent
from shardlake.adapters.dynamodb.faults import error_of, lost
from shardlake.core.errors import ShardlakeError, Transient

# Nothing was sent yet: the name was not found, nobody listened, or the connection took too long to be made.
_NEVER_SENT: Final = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)


class DynamoClient:
    """The calls over HTTP. It may be shared by threads.

    With an endpoint on this machine, and neither a profile nor credentials in the environment, it signs with made-up
    ones. Raises: ConfigError without region and endpoint, or without credentials.
    """

    def __init__(self, settings: AwsSettings) -> None:
        aws = Aws("dynamodb", settings, lambda _shape, _status: True)
        self._endpoint = settings.endpoint or f"DynamoDB in {aws.region}"
        self._section = settings.section
        self._client = aws.client()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request and read its answer. Raises: as `DynamoCalls.call`."""
        method = getattr(self._client, xform_name(action))
        try:
            body = method(**_routing(request), **{BODY: msgspec.json.encode(request)})[BODY]
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise error_of(action, request, status, error.response.get(BODY, b"")) from None
        except BotoCoreError as error:
            raise self._lost(action, error) from None
        try:
            answer: Mapping[str, Any] = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy's page, or half an answer
            raise lost(action, f"no answer of DynamoDB came from {self._endpoint}") from None
        return answer

    def _lost(self, action: str, error: BotoCoreError) -> ShardlakeError:
        if isinstance(error, _NEVER_SENT):
            return Transient(f"{action} was not sent: {self._endpoint} cannot be reached; it is tried again")
        if isinstance(error, HTTPClientError | AnyConnectionError | IncompleteReadError):
            return lost(action, f"no whole answer from {self._endpoint} ({type(error).__name__})")
        return not_sent(action, error, self._endpoint, self._section)


@lru_cache(maxsize=8)
def shared(region: str, endpoint: str) -> DynamoClient:
    """Make the client of a journal, or give the one that was made before, which costs a third of a second.

    A call that takes longer than this is given up: a worker that waits gives no sign of life. Raises: as DynamoClient.
    """
    return DynamoClient(AwsSettings(region, endpoint, connect_s=2.0, read_s=3.0, connections=4, section="journal"))


def _routing(request: Mapping[str, Any]) -> dict[str, Any]:
    """What botocore's endpoint rules look at: the names of tables."""
    if "RequestItems" in request:
        return {"RequestItems": {table: {} for table in request["RequestItems"]}}
    return {name: request[name] for name in ("TableName", "ResourceArn") if name in request}
