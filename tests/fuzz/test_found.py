"""Inputs that fuzzers found, and that failed then."""

import json
from hashlib import md5
from typing import Any

import pytest

from shardlake.adapters.dynamodb import stream_wire
from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.aggregates import MAGIC, expand
from shardlake.core.errors import Transient
from shardlake.packs.pack import Reason
from shardlake.packs.registry import load

DEEP = b"[" * 100_000
ODD_TIMES = (1e300, 1e15, -1)
ODD_KEYS = ("?", "", "-1", "1e3", "\u0663", "9" * 5000)


def record(arrival: float) -> dict[str, Any]:
    return {"SequenceNumber": "1", "Data": "YQ==", "ApproximateArrivalTimestamp": arrival}


def keys(one: str) -> dict[str, Any]:
    return {"HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": one}}


@pytest.mark.parametrize("marked", [b"\xef\xbb\xbf", b"\xef\xbb\xbf \r"])
@pytest.mark.parametrize("above", [b"", b"1772359200.123\n"])
def test_a_byte_order_mark_alone_is_a_letter_where_lines_have_one_field(marked: bytes, above: bytes) -> None:
    decoded = load("cloudfront_realtime").open("x", ("timestamp",)).decode(above + marked)
    assert decoded.lines.tolist() == list(range(above.count(b"\n")))
    [letter] = decoded.letters
    assert (letter.reason, letter.payload) == (Reason.TOO_FEW_FIELDS, marked)


def test_an_aggregate_of_a_user_record_without_data_is_a_plain_record() -> None:
    body = b"\x0a\x01k" + b"\x1a\x02\x08\x00"  # one partition key, and a user record that names it and nothing else
    assert expand([MAGIC + body + md5(body).digest()]) is None
    whole = b"\x0a\x01k" + b"\x1a\x04\x08\x00\x1a\x00"  # the same with data, of no bytes
    found = expand([MAGIC + whole + md5(whole).digest()])
    assert found is not None
    assert found.data == [b""]


@pytest.mark.parametrize("arrival", ODD_TIMES)
@pytest.mark.parametrize("parse", [wire.parse_page, wire.parse_event])
def test_a_page_whose_times_are_none_is_asked_for_again(parse: Any, arrival: float) -> None:
    body = json.dumps({"Records": [record(1.5), record(arrival)]}).encode()
    with pytest.raises(Transient, match=r"no time; \d+ bytes"):
        parse(body)
    assert len(parse(json.dumps({"Records": [record(1.5), record(2)]}).encode())) == 2


@pytest.mark.parametrize("key", ODD_KEYS)
def test_hash_keys_that_are_no_numbers_make_an_answer_unreadable(key: str) -> None:
    child = {"ShardId": "s", "ParentShards": [], **keys(key)}
    shard = {"ShardId": "s", "SequenceNumberRange": {"StartingSequenceNumber": "1"}, **keys(key)}
    for parse, answer in (
        (wire.parse_page, {"Records": [], "ChildShards": [child]}),
        (wire.parse_shards, {"Shards": [shard]}),
    ):
        with pytest.raises(Transient, match="cannot be read"):
            parse(json.dumps(answer).encode())


@pytest.mark.parametrize("body", [DEEP, b'{"Records":[],"Odd":' + DEEP, b'{"Records":[],"ChildShards":' + DEEP])
def test_an_answer_nested_too_deep_is_asked_for_again(body: bytes) -> None:
    for parse in (wire.parse_page, wire.parse_event, wire.parse_shards, wire.parse_description):
        with pytest.raises(Transient, match="cannot be read"):
            parse(body)


def test_a_stream_made_at_no_time_is_asked_for_again() -> None:
    summary = {"StreamName": "s", "StreamARN": "a", "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24}
    summary |= {"OpenShardCount": 1, "StreamCreationTimestamp": 1e308}
    with pytest.raises(Transient, match="StreamCreationTimestamp"):
        wire.parse_description(json.dumps({"StreamDescriptionSummary": summary}).encode())


@pytest.mark.parametrize("number", ["", "x", "1e3", "-1", "\u0661"])
def test_sequence_numbers_that_are_none_make_a_page_unreadable(number: str) -> None:
    record = {"SequenceNumber": number, "ApproximateArrivalTimestamp": 1, "Data": "", "PartitionKey": "k"}
    change = {"SequenceNumber": number, "ApproximateCreationDateTime": 1, "NewImage": {}}
    for parse, found in (
        (wire.parse_page, record),
        (stream_wire.parse_page, {"eventName": "INSERT", "dynamodb": change}),
    ):
        with pytest.raises(Transient, match="SequenceNumber is no number"):
            parse(json.dumps({"Records": [found], "MillisBehindLatest": 0}).encode())


@pytest.mark.parametrize("arrival", ODD_TIMES)
def test_changes_whose_times_are_none_are_asked_for_again(arrival: float) -> None:
    change = {"SequenceNumber": "1", "ApproximateCreationDateTime": arrival, "NewImage": {}}
    with pytest.raises(Transient, match=r"no time; \d+ bytes"):
        stream_wire.parse_page(json.dumps({"Records": [{"eventName": "INSERT", "dynamodb": change}]}).encode())


def test_changes_nested_too_deep_are_asked_for_again() -> None:
    change = b'{"SequenceNumber":"1","ApproximateCreationDateTime":1,"NewImage":'
    for parse in (stream_wire.parse_page, stream_wire.parse_shards, stream_wire.parse_streams):
        for body in (DEEP, b'{"Odd":' + DEEP, b'{"Records":[{"dynamodb":' + change + DEEP):
            with pytest.raises(Transient, match="cannot be read"):
                parse(body)
