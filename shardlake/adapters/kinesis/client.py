"""Kinesis over HTTP. botocore signs, finds endpoints and credentials, and retries; it never reads an answer.

botocore's parser makes a dict, a datetime and a few more objects of each record, at 36 to 58 thousand records a second
and core; the bytes of an answer parsed by typed structs are above half a million. So the bytes of Kinesis's answers are
handed over, and the rest, errors above all, is left to botocore's parser. Request bodies are written by `wire`, because
botocore's serializer costs fifteen times more per record and may cut the fraction off a timestamp.

Only what reads the description of a stream is retried inside botocore. Reads of records and iterators are not: whoever
polls paces itself, with its own clock, and a failed read costs nothing. Puts are not: a lost response is a possible
duplicate, which the producer has to know of. Changes of a stream are not: the second try of one that was done fails.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name for it
    HTTPClientError,
    IncompleteReadError,
)

from shardlake.adapters.aws import BODY, Aws, AwsSettings, not_sent
from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.calls import KinesisCalls
from shardlake.adapters.kinesis.faults import Fault, error_of
from shardlake.core.errors import ShardlakeError, Transient

_METHODS: Final = {
    "CreateStream": "create_stream",
    "DescribeStreamConsumer": "describe_stream_consumer",
    "DescribeStreamSummary": "describe_stream_summary",
    "GetRecords": "get_records",
    "GetShardIterator": "get_shard_iterator",
    "ListShards": "list_shards",
    "MergeShards": "merge_shards",
    "PutRecords": "put_records",
    "SplitShard": "split_shard",
}
_RETRIED: Final = ("DescribeStreamConsumer", "DescribeStreamSummary", "ListShards")
_RAW: Final = frozenset(f"{action}Output" for action in _METHODS)
_ROUTING: Final = ("StreamName", "StreamARN", "ConsumerARN")  # what botocore's endpoint rules look at

__all__ = ["AwsSettings", "KinesisClient"]


class KinesisClient(KinesisCalls):
    """The calls over HTTP. It may be shared by threads.

    With an endpoint on this machine, and neither a profile nor credentials in the environment, it signs with made-up
    ones. Raises: ConfigError without region and endpoint, or without credentials.
    """

    def __init__(self, settings: AwsSettings) -> None:
        aws = Aws("kinesis", settings, lambda shape, status: status < 300 and shape in _RAW)
        self._region, self._section = aws.region, settings.section
        self._endpoint = settings.endpoint or f"Kinesis in {aws.region}"
        self._once = aws.client()
        self._retrying = aws.client(settings.attempts)

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

    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        client = self._retrying if action in _RETRIED else self._once
        try:
            body = call(client, _METHODS[action], params)
        except ClientError as error:
            raise error_of(refusal(action, params, error, self._region)) from None
        except BotoCoreError as error:
            raise lost(action, error, self._endpoint, self._section) from None
        assert isinstance(body, bytes)
        return body


def call(client: Any, method: str, params: dict[str, Any]) -> Any:
    """Call a method whose answers are handed over as they are, and give that. Raises: ClientError, BotoCoreError."""
    routing = {name: params[name] for name in _ROUTING if name in params}
    answer: Mapping[str, Any] = getattr(client, method)(**routing, **{BODY: wire.encode(params)})
    return answer.get(BODY, b"")


def _time_us(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) * 1_000_000
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------------ errors


def refusal(action: str, params: dict[str, Any], error: ClientError, region: str) -> Fault:
    """Read a refusal out of botocore's error."""
    told = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return Fault(action, params, str(told.get("Code", "")), str(told.get("Message", "")), int(status), region)


def lost(action: str, error: BotoCoreError, endpoint: str, section: str) -> ShardlakeError:
    """Choose the error of a call that had no whole answer."""
    if isinstance(error, HTTPClientError | ConnectionError | IncompleteReadError):
        return Transient(f"{action}: no whole answer from {endpoint} ({error}): it will be asked again")
    return not_sent(action, error, endpoint, section)
