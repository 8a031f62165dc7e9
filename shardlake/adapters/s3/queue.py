"""An SQS queue: messages are received, and deleted when they have served."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from shardlake.adapters.s3.client import S3Settings, client, errors
from shardlake.core.errors import ConfigError

MESSAGES_MAX: Final = 10  # what one request may receive or delete
_REGION: Final = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class Message:
    """A received message: its text, and the handle by which it is deleted."""

    handle: str
    body: str


class Queue:
    """A queue by its URL, through a client of botocore."""

    def __init__(self, client: Any, url: str) -> None:
        self._client, self._url = client, url

    @staticmethod
    def of(url: str, settings: S3Settings) -> "Queue":
        """Reach a queue at the host, and in the region, that its URL names. Raises: ConfigError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.count("/") < 2:
            raise ConfigError(f"{url!r} is not the URL of a queue: copy it from SQS, it begins with https://sqs.")
        named = _REGION.fullmatch(parts.hostname)
        region = named[1] if named else settings.region
        return Queue(client(replace(settings, endpoint=f"{parts.scheme}://{parts.netloc}", region=region), "sqs"), url)

    def receive(self) -> list[Message]:
        """Take some messages out of sight, for the queue's visibility timeout. Raises: Transient, ConfigError."""
        with errors(f"receive from {self._url}"):
            found = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=MESSAGES_MAX)
        return [Message(str(m["ReceiptHandle"]), str(m["Body"])) for m in found.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete messages; those that cannot be come again. Raises: Transient, ConfigError."""
        for at in range(0, len(messages), MESSAGES_MAX):
            some = messages[at : at + MESSAGES_MAX]
            entries = [{"Id": str(i), "ReceiptHandle": message.handle} for i, message in enumerate(some)]
            with errors(f"delete from {self._url}"):
                self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
