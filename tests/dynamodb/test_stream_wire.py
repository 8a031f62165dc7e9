"""Answers of DynamoDB Streams, read from their bytes: lines, listings, and refusals."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from shardlake.adapters.dynamodb import stream_wire as wire
from shardlake.adapters.dynamodb.stream_calls import DirectStreams, open_since
from shardlake.adapters.dynamodb.stream_port import Trimmed
from shardlake.adapters.kinesis.port import IteratorExpired, ShardGone, Throttled
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal, Transient

OLD, NEW = {"id": {"S": "x"}, "price": {"N": "2.50"}}, {"id": {"S": "x"}, "price": {"N": "2.55"}}
ARN = "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000"
SHARD = "shardId-00000001767225600000-aaaaaaaa"


def record(event: str, number: int = 1, **more: Any) -> dict[str, Any]:
    change = {"ApproximateCreationDateTime": 1_767_225_600 + number, "SequenceNumber": f"{number:021d}"}
    return {"eventName": event, "eventVersion": "1.1", "dynamodb": change | more}


def page(*records: dict[str, Any], spaced: bool = False, **more: Any) -> Any:
    body = {"Records": records, "NextShardIterator": "i"} | more
    text = json.dumps(body, indent=2) if spaced else json.dumps(body, separators=(",", ":"))
    return wire.parse_page(text.encode())


def lines(data: bytes) -> list[tuple[int, str, Any]]:
    found = [json.loads(line) for line in data.split(b"\n")]
    return [(one["Weight"], one["Event"], one["Image"]) for one in found]


def test_the_image_that_goes_stands_before_the_one_that_comes() -> None:
    inserted, removed = record("INSERT", 1, NewImage=NEW), record("REMOVE", 3, OldImage=OLD)
    found = page(inserted, record("MODIFY", 2, OldImage=OLD, NewImage=NEW), removed)
    assert [lines(data) for data in found.data] == [
        [(1, "INSERT", NEW)],
        [(-1, "MODIFY", OLD), (1, "MODIFY", NEW)],
        [(-1, "REMOVE", OLD)],
    ]
    assert [int(number) for number in found.sequences] == [1, 2, 3]
    assert found.arrivals_us.tolist() == [(1_767_225_600 + n) * 1_000_000 for n in (1, 2, 3)]


def test_the_bytes_of_an_image_are_copied_as_they_are() -> None:
    image = b'{"n":{"N":"1.50E+2"},"t":{"S":"\\u00e9\\/"} ,"n":{"N":"3"}}'
    change = b'{"ApproximateCreationDateTime":1.5,"SequenceNumber":"7","NewImage":%b}' % image
    found = wire.parse_page(b'{"Records":[{"eventName":"INSERT","dynamodb":%b}]}' % change)
    assert found.data == [b'{"Weight":1,"Event":"INSERT","Image":%b}' % image]
    assert found.arrivals_us.tolist() == [1_500_000]


@pytest.mark.parametrize(("principal", "kind"), [("PrincipalId", "Type"), ("principalId", "type")])
def test_what_dynamodb_itself_removes_is_told(principal: str, kind: str) -> None:
    by_ttl = {"userIdentity": {principal: "dynamodb.amazonaws.com", kind: "Service"}}
    by_user = {"userIdentity": {principal: "AIDA", kind: "User"}}
    found = page(record("REMOVE", OldImage=OLD) | by_ttl, record("REMOVE", OldImage=OLD) | by_user)
    assert [lines(data)[0][:2] for data in found.data] == [(-1, "TTL"), (-1, "REMOVE")]


def test_an_image_with_newlines_becomes_one_line() -> None:
    found = page(record("MODIFY", OldImage=OLD, NewImage={"t": {"S": "a\nb"}}), spaced=True)
    assert lines(found.data[0]) == [(-1, "MODIFY", OLD), (1, "MODIFY", {"t": {"S": "a\nb"}})]
    assert b"\n  " not in found.data[0]
    assert b"\r" not in found.data[0]


@pytest.mark.parametrize(
    ("event", "images", "told"),
    [
        ("MODIFY", {"NewImage": NEW}, [(-1, "MODIFY", None), (1, "MODIFY", NEW)]),
        ("MODIFY", {"OldImage": OLD}, [(-1, "MODIFY", OLD), (1, "MODIFY", None)]),
        ("INSERT", {}, [(1, "INSERT", None)]),
        ("REMOVE", {}, [(-1, "REMOVE", None)]),
        ("INSERT", {"OldImage": OLD, "NewImage": NEW}, [(-1, "INSERT", OLD), (1, "INSERT", NEW)]),
        ("REMOVE", {"OldImage": OLD, "NewImage": NEW}, [(-1, "REMOVE", OLD), (1, "REMOVE", NEW)]),
        ('OD"D', {"NewImage": NEW}, [(1, 'OD"D', NEW)]),
        ("", {"OldImage": OLD}, [(-1, "", OLD)]),
        ("", {}, [(1, "", None)]),
    ],
)
def test_no_image_that_lacks_or_surprises_passes_silently(event: str, images: Any, told: Any) -> None:
    assert lines(page(record(event, **images)).data[0]) == told


def test_only_the_end_of_a_shard_is_known_to_be_its_tip() -> None:
    assert page(record("INSERT", NewImage=NEW)).behind_ms is None
    assert page().behind_ms is None
    ended = page(NextShardIterator=None)
    assert (ended.next_iterator, ended.behind_ms, ended.children) == (None, 0, ())


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"Records":[{}]}', b'{"Records":[{"dynamodb":{}}]}', b"\xff"])
def test_what_is_no_answer_is_asked_again(body: bytes) -> None:
    with pytest.raises(Transient, match="GetRecords cannot be read"):
        wire.parse_page(body)


def test_a_page_shows_nothing_of_what_it_holds() -> None:
    assert "2.5" not in repr(page(record("MODIFY", OldImage=OLD, NewImage=NEW)))


def test_the_label_tells_when_a_stream_was_enabled() -> None:
    assert wire.TableStream(ARN, "orders", "2026-01-01T00:00:00.250").created_us == 1_767_225_600_250_000
    assert wire.TableStream(ARN, "orders", "2026-01-01T00:00:00.250+00:00").created_us == 1_767_225_600_250_000
    assert wire.TableStream(ARN, "orders", "latest").created_us == 0


# ------------------------------------------------------------------------------------------------------- calls


def shard(name: str, parent: str | None = None, end: str | None = None) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "100"} | ({"EndingSequenceNumber": end} if end else {})
    return {"ShardId": name, "SequenceNumberRange": numbers} | ({"ParentShardId": parent} if parent else {})


def described(*shards: dict[str, Any], last: str | None = None, view: str = wire.IMAGES) -> dict[str, Any]:
    stream = {"StreamArn": ARN, "TableName": "orders", "StreamLabel": "2026-01-01T00:00:00.000", "Shards": shards}
    more = {"LastEvaluatedShardId": last} if last else {}
    return {"StreamDescription": stream | {"StreamStatus": "ENABLED", "StreamViewType": view} | more}


class Answers:
    """A service that gives its answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: dict[str, Any] | tuple[str, str, int]) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, Any]]()
        self.api = DirectStreams(self._call)

    def _call(self, action: str, body: bytes) -> tuple[int, bytes]:
        self.asked.append((action, json.loads(body)))
        found = self.answers.pop(0)
        if isinstance(found, dict):
            return 200, msgspec.json.encode(found)
        code, message, status = found
        return status, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}).encode()


def test_a_listing_goes_on_until_nothing_is_evaluated_any_more() -> None:
    service = Answers(described(shard("a"), last="a"), described(last="b"), described(shard("b", "a")))
    found = service.api.list_shards(ARN)
    assert [(info.shard_id, info.parents, info.end_hash) for info in found] == [
        ("a", (), HASH_KEY_MAX),
        ("b", ("a",), HASH_KEY_MAX),
    ]
    assert [asked.get("ExclusiveStartShardId") for _, asked in service.asked] == [None, "a", "b"]


def test_a_parent_whose_child_is_listed_has_ended_whatever_is_said_of_it() -> None:
    found = {
        info.shard_id: info.end_sequence
        for info in Answers(described(shard("a"), shard("b", "a"))).api.list_shards(ARN)
    }
    assert found["a"] is not None
    assert found["b"] is None


def test_children_are_asked_for_by_a_filter_and_others_are_left_out() -> None:
    service = Answers(described(shard("b", "a"), shard("c", "x"), shard("a")))
    assert [info.shard_id for info in service.api.children(ARN, "a")] == ["b"]
    assert service.asked[0][1]["ShardFilter"] == {"Type": "CHILD_SHARDS", "ShardId": "a"}


def test_shards_that_ended_before_a_moment_are_left_out() -> None:
    names = [f"shardId-{ms:020d}-aaaaaaaa" for ms in (1_000, 2_000, 3_000)]
    found = Answers(described(shard(names[0]), shard(names[1], names[0]), shard(names[2], names[1]))).api.list_shards(
        ARN
    )
    assert [info.shard_id for info in open_since(found, 2_500_000)] == names[1:]
    assert [info.shard_id for info in open_since(found, 500_000)] == names


@pytest.mark.parametrize("view", ["NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY"])
def test_a_stream_without_both_images_is_refused_with_the_command_that_changes_it(view: str) -> None:
    for ask in (DirectStreams.describe, DirectStreams.listing):
        with pytest.raises(ConfigError, match=rf"shows {view}.*update-table --table-name orders .*NEW_AND_OLD_IMAGES"):
            ask(Answers(described(view=view)).api, ARN)


def test_a_number_is_sent_with_as_many_digits_as_the_service_wants() -> None:
    service = Answers({"ShardIterator": "i"})
    service.api.iterator(ARN, SHARD, "AT_SEQUENCE_NUMBER", "42")
    assert service.asked[0][1]["SequenceNumber"] == "000000000000000000042"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("TrimmedDataAccessException", 400, Trimmed),
        ("ExpiredIteratorException", 400, IteratorExpired),
        ("LimitExceededException", 400, Throttled),
        ("ThrottlingException", 400, Throttled),
        ("InternalServerError", 500, Transient),
        ("AccessDeniedException", 400, ConfigError),
        ("ValidationException", 400, Terminal),
        ("ResourceNotFoundException", 400, ConfigError),
    ],
)
def test_each_refusal_has_its_kind(code: str, status: int, error: type[ShardlakeError]) -> None:
    with pytest.raises(error) as caught:
        Answers((code, "Rate exceeded", status)).api.get_records("secret-iterator")
    assert "secret" not in str(caught.value)


def test_a_shard_that_is_gone_is_told_from_a_stream_that_is_gone() -> None:
    gone = ("ResourceNotFoundException", f"Requested resource not found: Shard does not exist: {SHARD} of {ARN}", 400)
    with pytest.raises(ShardGone):
        Answers(gone).api.iterator(ARN, SHARD, "TRIM_HORIZON")
    missing = ("ResourceNotFoundException", f"Requested resource not found: Stream: {ARN} not found", 400)
    asks: list[Callable[[DirectStreams], object]] = [
        lambda api: api.iterator(ARN, SHARD, "TRIM_HORIZON"),
        lambda api: api.list_shards(ARN),
    ]
    for ask in asks:
        with pytest.raises(ConfigError, match=r"there is no stream .*another root"):
            ask(Answers(missing).api)
    with pytest.raises(ConfigError, match=r"no table orders: correct source\.table"):
        Answers(("ResourceNotFoundException", "Requested resource not found", 400)).api.streams("orders")


def test_the_newest_stream_of_a_table_is_the_last() -> None:
    def stream(day: int) -> dict[str, str]:
        label = f"2026-01-{day:02d}T00:00:00.000"
        return {"StreamArn": ARN[:-23] + label, "TableName": "orders", "StreamLabel": label}

    service = Answers({"Streams": [stream(3), stream(1)], "LastEvaluatedStreamArn": "x"}, {"Streams": [stream(2)]})
    assert [found.label[8:10] for found in service.api.streams("orders")] == ["01", "02", "03"]
