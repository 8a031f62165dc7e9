"""What services answer in JSON, as targets.

A body that is none ends in `Transient`, and in nothing else. What is read is what a plain reader finds there.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from shardlake.adapters.dynamodb import stream_wire
from shardlake.adapters.kinesis import wire
from shardlake.core.errors import Transient
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
    """Change a body in a few places: two bytes for each, then how much is left out, and which word is put in."""
    for at in range(0, min(len(edits) - 3, 12), 4):
        place = int.from_bytes(edits[at : at + 2]) % (len(body) + 1)
        word = _EDITS[edits[at + 3] % len(_EDITS)]
        body = body[:place] + word + body[place + edits[at + 2] % 24 :]
    return body


def _replaced(body: bytes, edits: bytes) -> bytes:
    """Put other values into a body's JSON, or leave some out: it stays JSON."""
    tree = json.loads(body)
    for at in range(0, min(len(edits) - 1, 6), 2):
        places = list(_places(tree))
        if places:
            holder, key = places[edits[at] % len(places)]
            if text := _VALUES[edits[at + 1] % len(_VALUES)]:
                holder[key] = json.loads(text)
            else:
                del holder[key]
    return json.dumps(tree, indent=1 if len(edits) % 2 else None).encode()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Give the holder and key of each value inside of a tree."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from _places(tree[key])


def _changed(how: int, which: int, bodies: Sequence[bytes], data: bytes) -> bytes:
    """Give bytes as they are, or a body of which they change bytes or values."""
    if how == 0:
        return data
    return (_edited if how == 1 else _replaced)(bodies[which % len(bodies)], data)


def _cut_is_refused(parse: Callable[[bytes], Any], body: bytes, at: int) -> None:
    assert _parsed(parse, body[:at]) is None, "an answer that was cut passes for a whole one"


# ------------------------------------------------------------------------------------------------------ kinesis


def _kinesis_page(data: bytes) -> None:
    """Read bytes as a page and as an event; or a page that holds them, whole and cut."""
    chosen = Choices(data, 2)
    if how := chosen.of(4):
        body = _changed(how - 1, chosen.of(2), _KINESIS_BODIES, chosen.rest)
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
    chosen = Choices(data, 2)
    body = _changed(chosen.of(3), chosen.of(len(_ANSWER_BODIES)), _ANSWER_BODIES, chosen.rest)
    for parse in _ANSWERS:
        _parsed(parse, body)


# ----------------------------------------------------------------------------------------------------- dynamodb


def _dynamodb_page(data: bytes) -> None:
    """Read bytes as a page; or a page whose images hold them, whole and cut."""
    chosen = Choices(data, 2)
    if how := chosen.of(4):
        body = _changed(how - 1, chosen.of(2), _DYNAMODB_BODIES, chosen.rest)
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
    removed = dict(_change(2, b"abc")) | {"userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}}
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
    edits = seeds([(2, 0), (3, 0), (3, 1)], [b"\0\x10\0\x01", b"\0\x20\x05\x02\x01\0\0\x03"])
    return (*seeds([(1, 0)], bodies), *edits, *seeds([(0, 9)], [b"a|b|\xff\0|", b""]))


_WORDS: Final = (
    b"null", b'"', b"{", b"}", b"[", b"]", b"1e400", b"1e300", b"-1", b"99999999999999999999", b'"\\ud800"', b"\\u0000",
    b"\n", b"\r",
)  # fmt: skip
_NAMES: Final = (b'"Records"', b'"Data"', b'"SequenceNumber"', b'"ChildShards"', b'"ShardId"', b'"NewImage"')
_EDITS: Final = (b"", *_WORDS, *_NAMES, b"[" * 5000, b"\xff", b"0", b" ", b",", b":", b"x", b"==", b"true", b'"",')
# As JSON, so that each is a new one; the empty text leaves a value out.
_VALUES: Final = (
    "null", "true", "0", "-1", "1.5", "1e15", "1e300", str(2**70), '""', '"x"', '"7"', '"1e3"', '"\\u0663"', '"\\n\\r"',
    '"\\ud800"', '"A==="', f'"{"9" * 5000}"', "[]", "{}", "[null]", '{"S":"x"}', '{"S":1}', "[" * 50 + "]" * 50, "",
)  # fmt: skip
_KINESIS_BODIES: Final = _kinesis_bodies()
_DYNAMODB_BODIES: Final = _dynamodb_bodies()
_ANSWER_BODIES: Final = _answer_bodies()
_ANSWER_SEEDS: Final = (
    *seeds([(0, 0)], _ANSWER_BODIES),
    *seeds([(how, at) for how in (1, 2) for at in range(len(_ANSWER_BODIES))], [b"\0\x01\0\x01", b"\x05\x03"]),
)
WIRES: Final = (
    Target("kinesis_page", _kinesis_page, _page_seeds(_KINESIS_BODIES), (*_WORDS, *_NAMES)),
    Target("dynamodb_page", _dynamodb_page, _page_seeds(_DYNAMODB_BODIES), (*_WORDS, *_NAMES)),
    Target("answers", _answers, _ANSWER_SEEDS, _WORDS),
)
