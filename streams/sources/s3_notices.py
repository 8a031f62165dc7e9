"""What S3 tells of new objects: the messages that it sends to a queue, by itself, through SNS or through EventBridge.

>>> keys_of('{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a+b%21.gz"}}}]}')
[('b', 'a b!.gz')]
"""

from urllib.parse import unquote_plus

import msgspec


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str


class _Change(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct, rename="camel"):
    event_name: str
    s3: _Change


class _Message(msgspec.Struct):
    """Any of the three; S3 also sends a test event, with none of these fields."""

    Records: tuple[_Record, ...] = ()
    Message: str | None = None  # SNS, around the first
    detail_type: str = msgspec.field(name="detail-type", default="")  # EventBridge
    detail: _Change | None = None
    Event: str = ""  # "s3:TestEvent"


def keys_of(text: str) -> list[tuple[str, str]] | None:
    """Give the bucket and key of each object that a message says was created; None if it is no such message."""
    try:
        message = msgspec.json.decode(text, type=_Message)
    except msgspec.DecodeError:
        return None
    if message.Message is not None:
        return keys_of(message.Message)
    if message.detail is not None:
        created = message.detail_type == "Object Created"
        return [(message.detail.bucket.name, message.detail.object.key)] if created else []
    if not message.Records and message.Event != "s3:TestEvent":
        return None
    # S3 writes keys as in the query of a URL, EventBridge as they are.
    return [
        (record.s3.bucket.name, unquote_plus(record.s3.object.key))
        for record in message.Records
        if record.event_name.removeprefix("s3:").startswith("ObjectCreated:")
    ]
