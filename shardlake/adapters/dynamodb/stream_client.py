"""DynamoDB Streams over HTTP: botocore signs and finds endpoints and credentials, and never reads an answer.

Only what reads descriptions is retried inside botocore, as for Kinesis: whoever polls paces itself.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as AnyConnectionError

from shardlake.adapters.aws import BODY, Aws, AwsSettings, not_sent
from shardlake.adapters.dynamodb.stream_calls import StreamCalls, error_of
from shardlake.core.errors import ShardlakeError, Transient

_RETRIED: Final = ("DescribeStream", "ListStreams")
_OUTPUTS: Final = frozenset(f"{action}Output" for action in (*_RETRIED, "GetRecords", "GetShardIterator"))
_ROUTING: Final = ("StreamArn", "TableName", "ShardIterator")  # what botocore's endpoint rules look at


class StreamsClient(StreamCalls):
    """The calls over HTTP. It may be shared by threads.

    With an endpoint on this machine, and neither a profile nor credentials in the environment, it signs with made-up
    ones. Raises: ConfigError without region and endpoint, or without credentials.
    """

    def __init__(self, settings: AwsSettings) -> None:
        aws = Aws("dynamodbstreams", settings, lambda shape, status: shape in _OUTPUTS or status >= 300)
        self._endpoint = settings.endpoint or f"DynamoDB Streams in {aws.region}"
        self._section = settings.section
        self._once, self._retrying = aws.client(), aws.client(settings.attempts)

    def close(self) -> None:
        """Close the connections."""
        self._once.close()
        self._retrying.close()

    def service_time_us(self, stream: str) -> int | None:
        """Ask about a stream, and give the service's own time of day, to the second; None if it tells none.

        A refusal tells the time too. Raises: Transient if there is no answer.
        """
        dates: list[str] = []

        def note(response_dict: Mapping[str, Any] | None = None, **_: Any) -> None:
            dates.extend([response_dict["headers"].get("Date", "")] if response_dict else [])

        events = self._retrying.meta.events
        events.register("response-received.dynamodb-streams", note)
        try:
            self.table_stream(stream)
        except ShardlakeError:
            if not dates:
                raise
        finally:
            events.unregister("response-received.dynamodb-streams", note)
        try:
            return int(parsedate_to_datetime(dates[-1]).timestamp()) * 1_000_000 if dates else None
        except ValueError:
            return None

    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        client = self._retrying if action in _RETRIED else self._once
        routing = {name: params[name] for name in _ROUTING if name in params}
        try:
            answer = getattr(client, xform_name(action))(**routing, **{BODY: msgspec.json.encode(params)})
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise error_of(action, params, status, error.response.get(BODY, b"")) from None
        except BotoCoreError as error:
            raise self._lost(action, error) from None
        body = answer.get(BODY, b"")
        assert isinstance(body, bytes)
        return body

    def _lost(self, action: str, error: BotoCoreError) -> ShardlakeError:
        if isinstance(error, HTTPClientError | AnyConnectionError | IncompleteReadError):
            what = type(error).__name__
            return Transient(f"{action}: no whole answer from {self._endpoint} ({what}): it will be asked again")
        return not_sent(action, error, self._endpoint, self._section)
