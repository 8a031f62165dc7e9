"""What services answer, as targets: JSON pages, KPL aggregates, and the frames of event streams.

A body that is none ends in `Transient`, and in nothing else. What is read is what a plain reader finds there.
"""

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import md5
from typing import Any, Final
from zlib import crc32

from shardlake.adapters.dynamodb import stream_wire
from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.aggregates import MAGIC, aggregate, expand
from shardlake.adapters.kinesis.eventstream import FRAME_BYTES_MAX, BrokenFrame, Frames, frame
from shardlake.core.errors import Transient
from tests.fuzz.decoding import is_utf8
from tests.fuzz.target import Choices, Target, pieces, seeds

Record = Mapping[str, Any]


def _plainly(body: bytes) -> Any:
    """Read JSON as Python does; None where it does not."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _parsed(parse: Callable[[bytes], Any], body: bytes) -> Any:
    """Read a body; None where it is refused as it should be."""
    try:
        return parse(body)
    except Transient:
        return None


def _edited(body: bytes, edits: bytes) -> bytes:
    """Change a body in a few places, so that most of it stays what it was: place, bytes to leave out, word to put in."""
    for at in range(0, min(len(edits) - 3, 12), 4):
        place = int.from_bytes(edits[at : at + 2]) % (len(body) + 1)
        word = _EDITS[edits[at + 3] % len(_EDITS)]
        body = body[:place] + word + body[place + edits[at + 2] % 24 :]
    return body


def _cut_is_refused(parse: Callable[[bytes], Any], body: bytes, at: int) -> None:
    assert _parsed(parse, body[:at]) is None, "an answer that was cut passes for a whole one"


# ------------------------------------------------------------------------------------------------------ kinesis


def _kinesis_page(data: bytes) -> None:
    """Read bytes as a page and as an event; or a page that holds them, whole and cut."""
    chosen = Choices(data, 2)
    if how := chosen.of(3):
        body = chosen.rest if how == 1 else _edited(_KINESIS_BODIES[chosen.of(2)], chosen.rest)
        _same_kinesis_records(_parsed(wire.parse_page, body), _plainly(body))
        _same_kinesis_records(_parsed(wire.parse_event, body), _plainly(body))
        return
    records = [_kinesis_record(at, one) for at, one in enumerate(pieces(chosen.rest))]
    body = json.dumps({"Records": records, "NextShardIterator": "i", "MillisBehindLatest": 0}).encode()
    page = wire.parse_page(body)
    _same_kinesis_records(page, json.loads(body))
    assert (page.next_iterator, page.behind_ms, page.children, page.size) == ("i", 0, (), len(body))
    _cut_is_refused(wire.parse_page, body, chosen.of(len(body)))


def _kinesis_record(at: int, data: bytes) -> Record:
    key = data.decode("latin-1")[:4]
    times = {"ApproximateArrivalTimestamp": 1_772_359_200.125 + at}
    return {"SequenceNumber": str(at), "Data": base64.b64encode(data).decode(), "PartitionKey": key, **times}


def _same_kinesis_records(page: wire.Page | None, plain: Any) -> None:
    if page is None or plain is None:
        return
    records = plain["Records"]
    assert page.sequences == [one["SequenceNumber"] for one in records]
    assert page.data == [base64.b64decode(one["Data"]) for one in records]
    assert page.keys == [one.get("PartitionKey") for one in records]
    arrivals = [one["ApproximateArrivalTimestamp"] * 1e6 for one in records]
    assert all(abs(ours - plain) <= 1 for ours, plain in zip(page.arrivals_us.tolist(), arrivals, strict=True))


_ANSWERS: Final[tuple[Callable[[bytes], Any], ...]] = (
    wire.parse_shards,
    wire.parse_iterator,
    wire.parse_description,
    wire.parse_consumer,
    lambda body: wire.parse_results(body, 1),
    stream_wire.parse_shards,
    stream_wire.parse_streams,
    stream_wire.parse_iterator,
)


def _answers(data: bytes) -> None:
    """Read bytes, or an answer that is changed in places, as each of the answers that hold no records."""
    chosen = Choices(data, 1)
    how = chosen.of(len(_ANSWER_BODIES) + 1)
    body = _edited(_ANSWER_BODIES[how - 1], chosen.rest) if how else chosen.rest
    for parse in _ANSWERS:
        _parsed(parse, body)


# ----------------------------------------------------------------------------------------------------- dynamodb


def _dynamodb_page(data: bytes) -> None:
    """Read bytes as a page; or a page whose images hold them, whole and cut."""
    chosen = Choices(data, 2)
    if how := chosen.of(3):
        body = chosen.rest if how == 1 else _edited(_DYNAMODB_BODIES[chosen.of(2)], chosen.rest)
        _same_changes(_parsed(stream_wire.parse_page, body), _plainly(body))
        return
    records = [_change(at, one) for at, one in enumerate(pieces(chosen.rest))]
    spaced = bool(len(data) % 2)
    body = json.dumps({"Records": records, "NextShardIterator": "i"}, indent=1 if spaced else None).encode()
    _same_changes(stream_wire.parse_page(body), json.loads(body))
    _cut_is_refused(stream_wire.parse_page, body, chosen.of(len(body)))


def _change(at: int, data: bytes) -> Record:
    image = {"id": {"S": data.decode("latin-1")}, "blob": {"B": base64.b64encode(data).decode()}}
    event = ("INSERT", "MODIFY", "REMOVE")[at % 3]
    images = {name: image | {"n": {"N": name}} for name in ("OldImage", "NewImage")}
    images.pop({"INSERT": "OldImage", "REMOVE": "NewImage"}.get(event, ""), None)
    change = {"ApproximateCreationDateTime": 1_772_359_200.0 + at, "SequenceNumber": str(at), **images}
    return {"eventName": event, "dynamodb": change}


def _same_changes(page: wire.Page | None, plain: Any) -> None:
    """Each change is a record, and each of its images a line that holds the image and its sign."""
    if page is None or plain is None:
        return
    changes = [one["dynamodb"] for one in plain["Records"]]
    assert page.sequences == [one["SequenceNumber"] for one in changes]
    for data, change in zip(page.data, changes, strict=True):
        lines = data.split(b"\n")
        told = [_plainly(line) for line in lines]
        if None in told:  # an image that only msgspec takes for JSON, as it stood in the page
            continue
        for image, weight in (("OldImage", -1), ("NewImage", 1)):
            found = [one["Image"] for one in told if one["Weight"] == weight]
            assert found == [change[image]] if image in change else all(one is None for one in found)


# --------------------------------------------------------------------------------------------------- aggregates


def _aggregates(data: bytes) -> None:
    """Take records apart: those that are marked get a digest that is right, or, every fourth time, one that is not."""
    chosen = Choices(data, 2)
    digests, marks = chosen.of(4), chosen.of(256)
    parts = pieces(chosen.rest, b"||")
    records = [_wrapped(one, digests > 0) if marks >> (at % 8) & 1 else one for at, one in enumerate(parts)]
    found = expand(records)
    if found is None:
        return
    of_record: list[list[bytes]] = [[] for _ in records]
    for at, sub, user in zip(found.record.tolist(), found.sub.tolist(), found.data, strict=True):
        assert sub == len(of_record[at]), "user records are numbered from 0, in order"
        of_record[at].append(user)
    assert len(found.hash_keys) == len(found)
    for record, users in zip(records, of_record, strict=True):
        whole = users == [record]
        assert whole or users == _users(record), "a record is whole, or the user records in it"
    keys = [key for key in found.hash_keys if key is not None]
    assert all(0 <= key <= wire.HASH_KEY_MAX for key in keys)
    assert not found.outside(0, wire.HASH_KEY_MAX).any()


def _wrapped(body: bytes, is_right: bool) -> bytes:  # noqa: FBT001 - chosen by a byte
    return MAGIC + body + md5(body if is_right else body + b"x").digest()


def _users(record: bytes) -> list[bytes] | None:
    """Find the data of user records by hand: fields 3 of the message, and the last field 3 of each."""
    assert record.startswith(MAGIC)
    body = record[len(MAGIC) : -16]
    assert md5(body).digest() == record[-16:], "an aggregate has its digest"
    return [dict(_fields(one))[3] for number, one in _fields(body) if number == 3]


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """Give the fields of a message that have a length, and pass over the others."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, number = tag & 7, (tag & 0xFFFFFFFF) >> 3
        if kind == 2:
            size, at = _varint(message, at)
            found.append((number, message[at : at + size]))
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at = _past_group(message, at, number)
    return found


def _past_group(message: bytes, at: int, number: int) -> int:
    """Pass over a group, which no producer writes and every reader knows."""
    depth = [number]
    while depth:
        tag, at = _varint(message, at)
        kind, number = tag & 7, (tag & 0xFFFFFFFF) >> 3
        if kind == 3:
            depth.append(number)
        elif kind == 4:
            assert depth.pop() == number
        elif kind == 2:
            size, at = _varint(message, at)
            at += size
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at += 8 if kind == 1 else 4
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return number, at


# ------------------------------------------------------------------------------------------------------- frames


def _frames(data: bytes) -> None:
    """Cut a stream of bytes into messages, given at once and in parts; the bytes may be frames made of pieces."""
    chosen = Choices(data, 4)
    made, size, flip, bit = chosen.of(3), chosen.of(256) + 1, chosen.of(256), chosen.of(8)
    parts = pieces(chosen.rest, b"||")
    stream = chosen.rest if made == 0 else b"".join(map(_framed, parts))
    if made == 2 and flip < len(stream):
        stream = stream[:flip] + bytes([stream[flip] ^ 1 << bit]) + stream[flip + 1 :]
    whole = _messages([stream])
    assert whole == _messages([stream[at : at + size] for at in range(0, len(stream), size)])
    assert whole == _plain_messages(stream)


def _framed(piece: bytes) -> bytes:
    """Make a message of which the first byte says how many of the others are its headers; or a good one of it all."""
    if len(piece) % 2:
        return frame({":event-type": piece.decode("latin-1")[:100]}, piece)
    count = min(piece[0], len(piece) - 1) if piece else 0
    lengths = struct.pack(">II", 16 + max(len(piece) - 1, 0), count)
    message = lengths + struct.pack(">I", crc32(lengths)) + piece[1:]
    return message + struct.pack(">I", crc32(message))


def _messages(parts: Sequence[bytes]) -> tuple[list[tuple[dict[str, str], bytes]], str]:
    """Read all there is: the messages, and whether the rest is nothing, part of one, or broken."""
    frames, found = Frames(), []
    for part in parts:
        frames.add(part)
        try:
            while (message := frames.next()) is not None:
                found.append((dict(message.headers), message.payload))
        except BrokenFrame:
            return found, "broken"
    return found, "amidst" if frames.is_amidst else ""


def _plain_messages(stream: bytes) -> tuple[list[tuple[dict[str, str], bytes]], str]:
    """Read the same by hand, from bytes that are all there."""
    found: list[tuple[dict[str, str], bytes]] = []
    while len(stream) >= 12:
        total, size, crc = struct.unpack(">III", stream[:12])
        if crc != crc32(stream[:8]) or not 16 + size <= total <= FRAME_BYTES_MAX:
            return found, "broken"
        if len(stream) < total:
            return found, "amidst"
        headers = _plain_headers(stream[12 : 12 + size])
        if headers is None or struct.unpack(">I", stream[total - 4 : total])[0] != crc32(stream[: total - 4]):
            return found, "broken"
        found.append((headers, stream[12 + size : total - 4]))
        stream = stream[total:]
    return found, "amidst" if stream else ""


def _plain_headers(data: bytes) -> dict[str, str] | None:
    """Read headers one after the other: the texts among them, None if one does not fit."""
    found: dict[str, str] = {}
    while data:
        name, rest = data[1 : 1 + data[0]], data[1 + data[0] :]
        if not rest or rest[0] > 9:
            return None
        kind, rest = rest[0], rest[1:]
        size = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}.get(kind, 0)
        if kind in (6, 7):
            if len(rest) < 2:
                return None
            size, rest = int.from_bytes(rest[:2]), rest[2:]
        if len(rest) < size:
            return None
        if not is_utf8(name) or (kind == 7 and not is_utf8(rest[:size])):
            return None
        if kind == 7:
            found[name.decode()] = rest[:size].decode()
        data = rest[size:]
    return found


# ------------------------------------------------------------------------------------------------------- targets


def _json(*values: object, indent: int | None = None) -> tuple[bytes, ...]:
    return tuple(json.dumps(value, indent=indent).encode() for value in values)


def _kinesis_bodies() -> tuple[bytes, ...]:
    keys = {"StartingHashKey": "0", "EndingHashKey": str(wire.HASH_KEY_MAX)}
    children = [{"ShardId": "s1", "ParentShards": ["s0"], "HashKeyRange": keys}]
    records = [_kinesis_record(at, data) for at, data in enumerate((b"abc", b"", b"\0\xff"))]
    page = {"Records": records, "NextShardIterator": None, "MillisBehindLatest": 5, "ChildShards": children}
    return _json(page, {"Records": records, "ContinuationSequenceNumber": "7", "ChildShards": children})


def _dynamodb_bodies() -> tuple[bytes, ...]:
    removed = dict(_change(2, b"abc")) | {
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    }
    page = {"Records": [_change(0, b"abc"), _change(1, b"\xff"), removed], "NextShardIterator": "i"}
    return (*_json(page), *_json(page, indent=1))


def _answer_bodies() -> tuple[bytes, ...]:
    keys = {"StartingHashKey": "0", "EndingHashKey": "9"}
    shard = {"ShardId": "s", "HashKeyRange": keys, "SequenceNumberRange": {"StartingSequenceNumber": "1"}}
    summary = {
        "StreamName": "s", "StreamARN": "arn", "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1772359200.5, "OpenShardCount": 1, "ConsumerCount": 0,
    }  # fmt: skip
    consumer = {"ConsumerName": "c", "ConsumerARN": "arn", "ConsumerStatus": "ACTIVE"}
    stream = {"StreamArn": "arn/2026-01-01T00:00:00.000", "TableName": "t", "Shards": [shard]}
    return _json(
        {"Shards": [shard], "NextToken": "t"}, {"ShardIterator": "i"}, {"StreamDescriptionSummary": summary},
        {"ConsumerDescription": consumer}, {"Records": [{"SequenceNumber": "1", "ShardId": "s"}]},
        {"StreamDescription": stream}, {"Streams": [stream]},
    )  # fmt: skip


def _page_seeds(bodies: tuple[bytes, ...]) -> tuple[bytes, ...]:
    edits = seeds([(2, 0), (2, 1)], [b"\0\x10\0\x01", b"\0\x20\x05\x02\x01\0\0\x03"])
    return (*seeds([(1, 0)], bodies), *edits, *seeds([(0, 9)], [b"a|b|\xff\0|", b""]))


def _aggregate_seeds() -> tuple[bytes, ...]:
    puts = [wire.Put(b"one", "k"), wire.Put(b"two", "k", "7"), wire.Put(b"", "l")]
    body = aggregate(puts)[len(MAGIC) : -16]
    return (*seeds([(1, 1), (0, 3)], [body, body + b"||plain||" + body]), *seeds([(1, 0)], [b"plain", aggregate(puts)]))


def _frame_seeds() -> tuple[bytes, ...]:
    one = frame({":event-type": "SubscribeToShardEvent", ":message-type": "event"}, b'{"Records":[]}')
    typed = b"\x07" + b"\x01b\x00" + b"\x01l\x05" + b"\0" * 8
    return (*seeds([(0, 255), (0, 3)], [b"\0\0" + one + one]), *seeds([(1, 9, 0, 0), (2, 9, 5, 1)], [b"odd||" + typed]))


_WORDS: Final = (
    b"null", b'"', b"{", b"}", b"[", b"]", b"1e400", b"1e300", b"-1", b"99999999999999999999", b'"\\ud800"', b"\\u0000",
    b"\n", b"\r",
)  # fmt: skip
_NAMES: Final = (b'"Records"', b'"Data"', b'"SequenceNumber"', b'"ChildShards"', b'"ShardId"', b'"NewImage"')
_EDITS: Final = (b"", *_WORDS, *_NAMES, b"[" * 5000, b"\xff", b"0", b" ", b",", b":", b"x", b"==", b"true", b'"",')
_KINESIS_BODIES: Final = _kinesis_bodies()
_DYNAMODB_BODIES: Final = _dynamodb_bodies()
_ANSWER_BODIES: Final = _answer_bodies()
_ANSWER_SEEDS: Final = (*seeds([(0,)], _ANSWER_BODIES), *seeds([(at,) for at in range(1, 8)], [b"\0\x10\0\x01"]))
WIRES: Final = (
    Target("kinesis_page", _kinesis_page, _page_seeds(_KINESIS_BODIES), (*_WORDS, *_NAMES)),
    Target("dynamodb_page", _dynamodb_page, _page_seeds(_DYNAMODB_BODIES), (*_WORDS, *_NAMES)),
    Target("answers", _answers, _ANSWER_SEEDS, _WORDS),
    Target("aggregates", _aggregates, _aggregate_seeds(), (MAGIC, b"||", b"\x1a\x04", b"\x08\x00")),
    Target("frames", _frames, _frame_seeds(), (b"||", b"\0\0\0\x10", b"\x07", b"\x09")),
)
