"""Subscriptions over HTTP: botocore opens one, and hands over the connection; what comes out of it is read here.

botocore's event stream makes a dict and a few more objects of each record. Here the frames of the stream are cut and
checked, and each payload is parsed by the same typed structs as a page of GetRecords. AWS documents the call for
HTTP/2; botocore makes it over HTTP/1.1, with a connection for each shard.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from shardlake.adapters.aws import Aws, AwsSettings
from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.client import call, lost, refusal
from shardlake.adapters.kinesis.eventstream import Frames, Message
from shardlake.adapters.kinesis.faults import Fault, error_of, fault_of
from shardlake.adapters.kinesis.port import Subscription, SubscriptionEnded
from shardlake.adapters.kinesis.wire import Page
from shardlake.core.errors import Transient

ACTION: Final = "SubscribeToShard"
SILENT_S: Final = 40.0  # the service sends an event every few seconds, even if there is no record
_CONNECTIONS: Final = 1_000  # how many may be kept, not how many there are
_READ_BYTES: Final = 1 << 18
_EVENT: Final = "SubscribeToShardEvent"


def request(consumer: str, shard: str, kind: str, sequence: str, at_us: int) -> dict[str, Any]:
    """Write what a subscription is asked for with."""
    position: dict[str, Any] = {"Type": kind}
    if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        position["SequenceNumber"] = sequence
    elif kind == "AT_TIMESTAMP":
        position["Timestamp"] = at_us / 1e6
    return {"ConsumerARN": consumer, "ShardId": shard, "StartingPosition": position}


class Events:
    """Pages out of the bytes of a subscription; `params` is what it was opened with."""

    def __init__(self, params: dict[str, Any], region: str = "") -> None:
        self._frames, self._params, self._region = Frames(), params, region

    def add(self, data: bytes) -> None:
        """Take what came."""
        self._frames.add(data)

    def next(self) -> Page | None:
        """Give the next page; None until it is there whole. Raises: BrokenFrame; what the service complains of."""
        while (message := self._frames.next()) is not None:
            if message.headers.get(":message-type", "event") != "event":
                raise error_of(self._complaint(message))
            if message.headers.get(":event-type") == _EVENT:
                return wire.parse_event(message.payload)
        return None

    def end(self) -> Transient:
        """Choose the error for there being no more bytes."""
        if self._frames.is_amidst:
            return Transient("a subscription was cut amidst an event: it will be opened again")
        return SubscriptionEnded("a subscription has ended: it will be opened again")

    def _complaint(self, message: Message) -> Fault:
        code = message.headers.get(":exception-type") or message.headers.get(":error-code", "")
        told = fault_of(ACTION, self._params, 400, message.payload, self._region)
        return replace(told, code=code or told.code, message=told.message or message.headers.get(":error-message", ""))


class AwsSubscriber:
    """Opens subscriptions over HTTP. It may be shared by threads. Raises: as `KinesisClient`."""

    def __init__(self, settings: AwsSettings) -> None:
        settings = replace(settings, read_s=SILENT_S, connections=_CONNECTIONS)
        aws = Aws("kinesis", settings, lambda shape, status: status < 300 and shape == f"{ACTION}Output")
        self._region, self._section = aws.region, settings.section
        self._endpoint = settings.endpoint or f"Kinesis in {aws.region}"
        self._client = aws.client()

    def close(self) -> None:
        """Close the connections that are kept; not those of open subscriptions."""
        self._client.close()

    def open(self, consumer: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> Subscription:
        """Subscribe to a shard. See the port."""
        params = request(consumer, shard, kind, sequence, at_us)
        try:
            raw = call(self._client, "subscribe_to_shard", params)
        except ClientError as error:
            raise error_of(refusal(ACTION, params, error, self._region)) from None
        except BotoCoreError as error:
            raise lost(ACTION, error, self._endpoint, self._section) from None
        return HttpSubscription(raw, Events(params, self._region), self._endpoint)


class HttpSubscription:
    """A connection out of which events come; `raw` is urllib3's response."""

    def __init__(self, raw: Any, events: Events, endpoint: str) -> None:
        self._raw, self._events, self._endpoint = raw, events, endpoint
        self._read: Callable[[int], bytes] = raw.read1

    def next(self) -> Page | None:
        """Wait for the next event. See the port."""
        while (page := self._events.next()) is None:
            try:
                data = self._read(_READ_BYTES)
            except (HTTPError, OSError, ValueError, AttributeError) as error:  # the last two if it is closed meanwhile
                raise Transient(
                    f"{ACTION}: the connection to {self._endpoint} was lost ({type(error).__name__}): it will be opened"
                    " again"
                ) from None
            if not data:
                raise self._events.end()
            self._events.add(data)
        return page

    def close(self) -> None:
        """Let go of it: shut down for reading first, which wakes a thread that waits for bytes."""
        with suppress(OSError, ValueError, RuntimeError):
            self._raw.shutdown()
        with suppress(OSError):
            self._raw.close()
