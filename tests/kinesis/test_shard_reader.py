"""kinesis-python's ShardReader as it is, beside what is mended of it; and what becomes of botocore's answers."""

import multiprocessing
import pickle
import signal
from multiprocessing.connection import Connection
from typing import Any, Final
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError, ParamValidationError
from kinesis.consumer import ShardReader

from shardlake.adapters.kinesis.client import AwsSettings
from shardlake.adapters.kinesis.wire import parse_page
from shardlake.core.errors import ConfigError, Terminal, Transient
from streams.sources.kinesis.shard_reader import Question, RepairedShardReader, Session, lost, page_of

STREAM: Final = "s"
FIRST: Final = "shardId-000000000000"


class Stub:
    """boto3's session and client, with answers that are given, or raised."""

    region_name = "eu-west-1"

    def __init__(self, *answers: Any) -> None:
        self._answers = iter(answers)

    def client(self, name: str) -> "Stub":
        assert name == "kinesis"
        return self

    def get_records(self, **_: Any) -> Any:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


RECORD: Final = {"SequenceNumber": "7", "Data": b"abc", "ApproximateArrivalTimestamp": 1.0, "PartitionKey": "k"}
CHILDREN: Final = [
    {"ShardId": "c", "ParentShards": [FIRST], "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"}}
]
LAST: Final = {"Records": [RECORD], "ChildShards": CHILDREN}
REFUSED: Final = ClientError({"Error": {"Code": "InternalFailure", "Message": ""}}, "GetRecords")


class _Queue(list[Any]):
    put = list.append


def library(*answers: Any) -> Any:
    """The library's own reader, in this process."""
    with patch.object(ShardReader, "start"):
        reader = ShardReader(FIRST, "at", _Queue(), _Queue(), Stub(*answers))
    reader.begin()
    return reader


def repaired(*answers: Any) -> tuple[Connection, RepairedShardReader]:
    ours, theirs = multiprocessing.Pipe()
    reader = RepairedShardReader(theirs, Stub(*answers), FIRST)
    reader.alive = True
    reader.begin()
    for _ in answers:
        ours.send(Question("at", 10, STREAM))
    return ours, reader


def said(talk: Connection) -> Any:
    assert talk.poll(1), "nothing was said"
    return talk.recv()


def test_the_library_drops_a_closed_shards_last_page_and_here_it_comes() -> None:
    theirs = library({**LAST, "NextShardIterator": None})
    assert theirs.loop() is False
    assert theirs.record_queue == []
    talk, reader = repaired(dict(LAST))
    assert reader.loop() is False
    page = said(talk)
    assert (page.data, page.next_iterator, [child.shard_id for child in page.children]) == ([b"abc"], None, ["c"])


def test_the_library_dies_of_an_iterator_that_botocore_leaves_out() -> None:
    with pytest.raises(KeyError):
        library(dict(LAST)).loop()


def test_the_library_ends_at_an_error_and_tells_nobody_and_here_it_is_told() -> None:
    theirs = library(REFUSED)
    assert theirs.loop() is False
    assert theirs.error_queue == []
    talk, reader = repaired(REFUSED, HTTPClientError(error="cut"), ZeroDivisionError("secret"), dict(LAST))
    for _ in range(3):
        assert reader.loop() is not False
        told = said(talk)
        assert type(told) is Transient
        assert "secret" not in str(told)
    assert reader.loop() is False
    assert said(talk).data == [b"abc"]


def test_the_librarys_pause_after_throttles_never_grows() -> None:
    slow = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "GetRecords")
    theirs = library(slow, slow, slow)
    assert [theirs.loop() for _ in range(3)] == [2, 2, 2]
    _, reader = repaired(slow)
    assert 0 < reader.loop() < 0.001  # whoever asks waits, and longer each time


def test_the_library_ends_in_silence_whatever_it_dies_of() -> None:
    theirs = library(ZeroDivisionError())
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            theirs.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code is None


def test_the_librarys_own_start_works_by_plain_forking_alone() -> None:
    spawn = multiprocessing.get_context("spawn")
    theirs = library()
    with (
        patch("offspring.process.multiprocessing", spawn),
        pytest.raises((AttributeError, pickle.PicklingError), match="bootstrap"),
    ):
        theirs.start()
    theirs.process = None  # the library would end it with this process


def test_a_page_of_something_else_is_no_end() -> None:
    talk, reader = repaired({"message": "<html>"}, dict(LAST))
    assert reader.loop() is not False
    told = said(talk)
    assert (type(told), "cannot be read" in str(told)) == (Transient, True)
    assert reader.loop() is False
    assert len(said(talk)) == 1


def test_a_reader_ends_when_nobody_listens() -> None:
    talk, reader = repaired({**LAST, "NextShardIterator": "more"})
    talk.close()
    assert reader.loop() is False


# --------------------------------------------------------------------------------------------------- answers


def test_a_page_need_not_have_partition_keys_or_a_lag_or_a_length() -> None:
    record = {"SequenceNumber": "7", "Data": b"abc", "ApproximateArrivalTimestamp": 1767225600.123}
    page = page_of({"Records": [record], "NextShardIterator": "more"})
    assert (page.keys, page.behind_ms, page.size, page.next_iterator) == ([None], None, 3, "more")
    body = b'{"Records":[{"SequenceNumber":"7","Data":"YWJj","ApproximateArrivalTimestamp":1767225600.123}]}'
    assert page.arrivals_us.tolist() == parse_page(body).arrivals_us.tolist()


def test_what_botocore_says_without_an_answer_has_a_kind() -> None:
    assert type(lost(HTTPClientError(error="cut"))) is Transient
    assert type(lost(NoCredentialsError())) is ConfigError
    assert type(lost(ParamValidationError(report="odd"))) is Terminal


def test_times_stay_numbers_and_the_texts_of_other_services_are_read() -> None:
    core = Session(AwsSettings(region="eu-west-1"))._session
    parser = core.get_component("response_parser_factory").create_parser("json")
    assert parser._timestamp_parser(1.5) == 1.5
    assert parser._timestamp_parser("2026-01-01T00:00:00Z").year == 2026
