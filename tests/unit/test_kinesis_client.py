"""The calls to Kinesis, over HTTP and direct: what is sent, what is read, what is complained of, what is not told."""

# long: one scripted service answers both ways of calling, so that they cannot differ
import base64
import json
import logging
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import astuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import botocore.parsers
import numpy as np
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from shardlake.adapters.kinesis.calls import KinesisCalls
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.kinesis.port import IteratorExpired, KinesisAdmin, ShardGone, Throttled
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Child, Put, parse_page, parse_results
from shardlake.core.errors import ConfigError, Terminal, Transient
from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, serve

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs"
SECRET = "AAAAAAAAAAHSywljv0zEgPX4NyKdZ5wryMzP9yALs8NeKbUjp1IxtZs1Sp"
SEQUENCE = "49590338271490256608559692538361571095921575989136588898"

Answer = tuple[int, Any]


class Service:
    """Gives the answers that a test has put into it, last one again and again, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: dict[str, str] = {}
        self.raw = b""
        self.echo: Callable[[dict[str, Any]], Any] | None = None

    def answer(self, status: int, body: Any) -> None:
        self.answers.append((status, body))

    def refuse(self, code: str, message: str = "", status: int = 400) -> None:
        self.answer(status, {"__type": code, "message": message})

    def call(self, action: str, body: bytes) -> tuple[int, bytes]:
        params = json.loads(body)
        self.asked.append((action, params))
        if self.echo is not None:
            return 200, json.dumps(self.echo(params)).encode()
        status, told = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return status, told if isinstance(told, bytes) else json.dumps(told).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def do_POST(self) -> None:
        self.service.headers = dict(self.headers.items())
        self.service.raw = self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.service.call(self.headers["X-Amz-Target"].partition(".")[2], self.service.raw)
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nContent-Type: application/x-amz-json-1.1\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def http_client(endpoint: str) -> Iterator[KinesisClient]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        client = KinesisClient(AwsSettings(endpoint=endpoint, region="eu-west-1"))
    yield client
    client.close()


@pytest.fixture
def service() -> Service:
    Handler.service = Service()
    return Handler.service


@pytest.fixture(params=["http", "direct"])
def api(request: pytest.FixtureRequest, service: Service) -> KinesisAdmin:
    if request.param == "direct":
        return CallApi(service.call, region="eu-west-1")
    client: KinesisClient = request.getfixturevalue("http_client")
    return client


def record(data: bytes, sequence: str = SEQUENCE, arrival: float = 1700000000.123, **more: Any) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"SequenceNumber": sequence, "Data": text, "ApproximateArrivalTimestamp": arrival, **more}


def shard(name: str, low: int = 0, high: int = HASH_KEY_MAX, end: str | None = None, **more: Any) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "1", **({"EndingSequenceNumber": end} if end else {})}
    keys = {"StartingHashKey": str(low), "EndingHashKey": str(high)}
    return {"ShardId": name, "HashKeyRange": keys, "SequenceNumberRange": numbers, **more}


# ----------------------------------------------------------------------------------------------------- reading


def test_a_page_is_columns(api: KinesisAdmin, service: Service) -> None:
    records = [record(b"a\x00\xff", "7", 1700000000.123, PartitionKey="k"), record(b"", "129", 1700000000.124001)]
    service.answer(200, {"Records": records, "NextShardIterator": SECRET, "MillisBehindLatest": 12})
    page = api.get_records("it", 100)
    assert (page.sequences, page.data, page.keys) == (["7", "129"], [b"a\x00\xff", b""], ["k", None])
    assert page.arrivals_us.tolist() == [1_700_000_000_123_000, 1_700_000_000_124_001]
    assert (page.next_iterator, page.behind_ms, page.children, len(page)) == (SECRET, 12, (), 2)
    assert service.asked == [("GetRecords", {"ShardIterator": "it", "Limit": 100})]


@pytest.mark.parametrize("end", [{}, {"NextShardIterator": None}])
def test_the_last_page_of_a_shard_has_records_and_children(
    api: KinesisAdmin, service: Service, end: dict[str, None]
) -> None:
    keys = {"StartingHashKey": "0", "EndingHashKey": str(HASH_KEY_MAX)}
    children = [{"ShardId": "c", "ParentShards": ["a", "b"], "HashKeyRange": keys}]
    service.answer(200, {"Records": [record(b"x")], "ChildShards": children, **end})
    page = api.get_records("it")
    assert (page.next_iterator, page.behind_ms, page.data) == (None, None, [b"x"])
    assert page.children == (Child("c", ("a", "b"), 0, HASH_KEY_MAX),)


TIMES = st.integers(0, 4_000_000_000_000_000)


@given(st.lists(st.tuples(st.binary(max_size=50), TIMES, st.none() | st.text(max_size=9), st.integers(0, 10**129 - 1))))
def test_a_page_is_what_was_written(drawn: list[tuple[bytes, int, str | None, int]]) -> None:
    keyed = [{} if key is None else {"PartitionKey": key} for _, _, key, _ in drawn]
    records = [record(d, str(n), us / 1e6, **key) for (d, us, _, n), key in zip(drawn, keyed, strict=True)]
    body = json.dumps({"Records": records, "NextShardIterator": "n"}).encode()
    page = parse_page(body)
    assert page.data == [data for data, _, _, _ in drawn]
    assert page.keys == [key for _, _, key, _ in drawn]
    assert page.sequences == [str(number) for _, _, _, number in drawn]
    assert page.arrivals_us.dtype == np.int64
    assert page.arrivals_us.tolist() == [us for _, us, _, _ in drawn]
    assert page.size == len(body)


def test_botocore_never_reads_records(
    http_client: KinesisClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    parse = botocore.parsers.ResponseParser.parse

    def counted(parser: Any, response: Any, shape: Any) -> Any:
        read.append(response["status_code"])
        return parse(parser, response, shape)

    monkeypatch.setattr(botocore.parsers.ResponseParser, "parse", counted)
    service.answer(200, {"Records": [record(b"x")]})
    http_client.get_records("it")
    assert read == []
    service.answers = []
    service.refuse("ExpiredIteratorException")
    with pytest.raises(IteratorExpired):
        http_client.get_records("it")
    assert set(read) == {400}


def test_shards_are_listed_to_the_last_page(api: KinesisAdmin, service: Service) -> None:
    service.answer(200, {"Shards": [shard("s-0", 0, 9, "77")], "NextToken": "t1"})
    service.answer(200, {"Shards": [], "NextToken": "t2"})
    merged: Any = {"ParentShardId": "s-0", "AdjacentParentShardId": "s-1"}
    service.answer(200, {"Shards": [shard("s-2", 10, **merged)]})
    first, last = api.list_shards("logs")
    assert (first.shard_id, first.parents, first.start_hash, first.end_hash) == ("s-0", (), 0, 9)
    assert (first.start_sequence, first.end_sequence) == ("1", "77")
    assert (last.parents, last.end_hash, last.end_sequence) == (("s-0", "s-1"), HASH_KEY_MAX, None)
    assert [params for _, params in service.asked] == [
        {"StreamName": "logs"},
        {"NextToken": "t1"},
        {"NextToken": "t2"},
    ]


def test_a_filter_is_sent_with_what_it_needs(api: KinesisAdmin, service: Service) -> None:
    service.answer(200, {"Shards": []})
    api.list_shards(ARN, "AFTER_SHARD_ID", shard="s-3")
    api.list_shards("logs", "FROM_TIMESTAMP", at_us=1_700_000_000_000_250)
    api.list_shards("logs", "AT_LATEST")
    assert [params for _, params in service.asked] == [
        {"StreamARN": ARN, "ShardFilter": {"Type": "AFTER_SHARD_ID", "ShardId": "s-3"}},
        {"StreamName": "logs", "ShardFilter": {"Type": "FROM_TIMESTAMP", "Timestamp": 1700000000.00025}},
        {"StreamName": "logs", "ShardFilter": {"Type": "AT_LATEST"}},
    ]


def test_a_list_without_end_is_an_error(service: Service, api: KinesisAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardlake.adapters.kinesis.calls.LIST_PAGES_MAX", 3)
    service.answer(200, {"Shards": [], "NextToken": "t"})
    with pytest.raises(Transient, match="does not end after 3 pages"):
        api.list_shards("logs")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("TRIM_HORIZON", {}),
        ("LATEST", {}),
        ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": SEQUENCE}),
        ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": SEQUENCE}),
        ("AT_TIMESTAMP", {"Timestamp": 1700000000.000001}),
    ],
)
def test_an_iterator_is_asked_for_with_what_its_kind_needs(
    api: KinesisAdmin, service: Service, kind: str, expected: dict[str, Any]
) -> None:
    service.answer(200, {"ShardIterator": SECRET})
    assert api.iterator("logs", "s-1", kind, SEQUENCE, 1_700_000_000_000_001) == SECRET
    common = {"StreamName": "logs", "ShardId": "s-1", "ShardIteratorType": kind}
    assert service.asked == [("GetShardIterator", common | expected)]


def test_an_arn_goes_with_each_read_of_another_account(api: KinesisAdmin, service: Service) -> None:
    service.answer(200, {"Records": []})
    api.get_records("it", stream=ARN)
    api.get_records("it", stream="logs")
    assert [params.get("StreamARN") for _, params in service.asked] == [ARN, None]


@pytest.mark.parametrize("mode", [None, "ON_DEMAND"])
def test_a_stream_is_described(api: KinesisAdmin, service: Service, mode: str | None) -> None:
    summary = {
        "StreamName": "logs",
        "StreamARN": ARN,
        "StreamStatus": "UPDATING",
        "RetentionPeriodHours": 25,
        "OpenShardCount": 4,
        "StreamCreationTimestamp": 1700000000.5,
        **({"StreamModeDetails": {"StreamMode": mode}} if mode else {}),
    }
    service.answer(200, {"StreamDescriptionSummary": summary})
    found = api.describe(ARN)
    assert (found.name, found.arn, found.status, found.retention_s) == ("logs", ARN, "UPDATING", 90_000)
    assert (found.open_shards, found.mode, found.created_us) == (4, mode or "PROVISIONED", 1_700_000_000_500_000)


# ----------------------------------------------------------------------------------------------------- writing


def test_records_are_put_and_each_has_its_result(api: KinesisAdmin, service: Service) -> None:
    results = [{"SequenceNumber": "5", "ShardId": "s-1"}, {"ErrorCode": "InternalFailure", "ErrorMessage": "x"}]
    service.answer(200, {"FailedRecordCount": 1, "Records": results})
    found = api.put_records("logs", [Put(b"\xff\x00", "k"), Put(b"", "l", "17")])
    assert (found.shards, found.sequences, found.codes) == (["s-1", ""], ["5", ""], ["", "InternalFailure"])
    assert found.failed == 1
    sent = [{"Data": "/wA=", "PartitionKey": "k"}, {"Data": "", "PartitionKey": "l", "ExplicitHashKey": "17"}]
    assert service.asked == [("PutRecords", {"StreamName": "logs", "Records": sent})]


def test_results_of_another_count_are_not_believed() -> None:
    with pytest.raises(Transient, match="of 2 records was answered with 1 results"):
        parse_results(b'{"Records":[{"SequenceNumber":"1","ShardId":"s"}]}', 2)


def test_streams_are_created_split_and_merged(api: KinesisAdmin, service: Service) -> None:
    service.answer(200, b"")
    api.create_stream("logs", 3)
    api.create_stream("more", None)
    api.split("logs", "s-0", 2**127)
    api.merge("logs", "s-1", "s-2")
    assert service.asked == [
        (
            "CreateStream",
            {"StreamName": "logs", "ShardCount": 3, "StreamModeDetails": {"StreamMode": "PROVISIONED"}},
        ),
        ("CreateStream", {"StreamName": "more", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}),
        ("SplitShard", {"StreamName": "logs", "ShardToSplit": "s-0", "NewStartingHashKey": str(2**127)}),
        ("MergeShards", {"StreamName": "logs", "ShardToMerge": "s-1", "AdjacentShardToMerge": "s-2"}),
    ]


def test_what_is_sent_is_what_was_signed(http_client: KinesisClient, service: Service) -> None:
    service.answer(200, {"FailedRecordCount": 0, "Records": [{"SequenceNumber": "5", "ShardId": "s-1"}]})
    http_client.put_records("logs", [Put(b"payload", "k")])
    headers = service.headers
    told = dict(part.partition("=")[::2] for part in headers["Authorization"].replace(",", "").split()[1:])
    request = AWSRequest("POST", f"http://{headers['Host']}/", data=service.raw)
    for name, value in headers.items():
        if name.lower() in told["SignedHeaders"].split(";"):
            request.headers[name] = value
    request.context["timestamp"] = headers["X-Amz-Date"]
    auth = SigV4Auth(Credentials("local", "local"), "kinesis", "eu-west-1")
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert told["Signature"] == expected
    assert told["Credential"].startswith("local/")


def test_threads_share_a_client_and_get_their_own_answers(http_client: KinesisClient, service: Service) -> None:
    service.echo = lambda params: {"Records": [], "NextShardIterator": params["ShardIterator"]}
    names = [f"it-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(http_client.get_records, names))
    assert [page.next_iterator for page in pages] == names


def test_a_service_agrees_with_all_calls() -> None:
    clock = ManualClock()
    kinesis = EmbeddedKinesis(clock, random.Random(1), Behaviour.unlimited().changed(list_page_max=2))
    with serve(kinesis) as server, closing(KinesisClient(AwsSettings(endpoint=server.url))) as client:
        direct = CallApi(lambda action, body: astuple(server.call(action, body))[:2])
        _live(client, "one", clock)
        _live(direct, "two", clock)


def _live(api: KinesisAdmin, stream: str, clock: ManualClock) -> None:
    begin = clock.now_us()
    api.create_stream(stream, 2)
    arn = api.describe(stream).arn
    assert (api.describe(arn).name, api.describe(arn).open_shards) == (stream, 2)
    low, high = api.list_shards(stream, "AT_LATEST")
    clock.advance(1.25)
    put = api.put_records(arn, [Put(b"low", "k", "0"), Put(b"high", "k", str(HASH_KEY_MAX))])
    assert (put.failed, put.shards) == (0, [low.shard_id, high.shard_id])
    api.split(stream, low.shard_id, 2**126)
    listed = api.list_shards(arn)
    assert [shard.parents for shard in listed] == [(), (), (low.shard_id,), (low.shard_id,)]
    assert listed[0].end_sequence is not None
    assert {shard.shard_id for shard in api.list_shards(stream, "AFTER_SHARD_ID", shard=low.shard_id)} == {
        shard.shard_id for shard in listed[1:]
    }
    page = api.get_records(api.iterator(arn, low.shard_id, "AT_TIMESTAMP", at_us=begin), stream=arn)
    assert (page.data, page.sequences, page.keys) == ([b"low"], put.sequences[:1], ["k"])
    assert page.arrivals_us.tolist() == [begin + 1_250_000]
    assert {child.shard_id for child in page.children} == {shard.shard_id for shard in listed[2:]}
    assert page.next_iterator is None
    after = api.get_records(api.iterator(stream, low.shard_id, "AFTER_SEQUENCE_NUMBER", put.sequences[0]))
    assert after.data == []
    first, second = listed[2:]
    api.merge(stream, first.shard_id, second.shard_id)
    assert api.list_shards(stream)[-1].parents == (first.shard_id, second.shard_id)
    assert [shard.shard_id for shard in api.list_shards(stream, "AT_TIMESTAMP", at_us=begin)] == [
        low.shard_id,
        high.shard_id,
    ]


# ------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("ProvisionedThroughputExceededException", 400, Throttled, "throttles GetShardIterator"),
        ("LimitExceededException", 400, Throttled, "throttles"),
        ("KMSThrottlingException", 400, Throttled, "throttles"),
        ("SomethingNew", 429, Throttled, "throttles"),
        ("ExpiredIteratorException", 400, IteratorExpired, "take another one"),
        ("ResourceNotFoundException", 400, ConfigError, "there is no stream logs in region eu-west-1: .*AWS_REGION"),
        ("AccessDeniedException", 400, ConfigError, "denies kinesis:GetShardIterator on logs: allow it"),
        ("UnrecognizedClientException", 400, ConfigError, "does not accept the credentials"),
        ("InvalidSignatureException", 403, ConfigError, "clock"),
        ("KMSDisabledException", 400, ConfigError, "the key of logs"),
        ("InvalidArgumentException", 400, Terminal, "refuses GetShardIterator"),
        ("ValidationException", 400, Terminal, "refuses"),
        ("ResourceInUseException", 400, Transient, "could not do"),
        ("InternalFailure", 500, Transient, "could not do"),
        ("SomethingElse", 503, Transient, "could not do"),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(
    api: KinesisAdmin, service: Service, code: str, status: int, kind: type[Exception], says: str
) -> None:
    service.refuse(code, "in its words", status)
    with pytest.raises(kind, match=says) as caught:
        api.iterator("logs", "s-1", "LATEST")
    assert type(caught.value) is kind


def test_a_qualified_code_is_the_same_code(api: KinesisAdmin, service: Service) -> None:
    service.refuse("com.amazonaws.kinesis.v20131202#ExpiredIteratorException")
    with pytest.raises(IteratorExpired):
        api.get_records("it")


def test_a_shard_that_is_gone_is_told_from_a_stream_that_is_not_there(api: KinesisAdmin, service: Service) -> None:
    service.refuse("ResourceNotFoundException", "Shard s-9 in stream logs under account 123456789012 does not exist")
    with pytest.raises(ShardGone, match="stream logs has no shard s-9") as caught:
        api.iterator("logs", "s-9", "TRIM_HORIZON")
    assert (caught.value.stream, caught.value.shard) == ("logs", "s-9")


@pytest.mark.parametrize("code", ["InvalidArgumentException", "ValidationException", "ResourceNotFoundException"])
def test_no_message_tells_an_iterator_or_a_record(api: KinesisAdmin, service: Service, code: str) -> None:
    service.refuse(code, f"1 validation error: Value '{SECRET}' at 'shardIterator' failed; {SECRET} is wrong")
    with pytest.raises(Terminal) as caught:
        api.get_records(SECRET)
    assert SECRET not in str(caught.value)
    service.answers = []
    service.refuse(code, "Value '[java.nio.HeapByteBuffer, my-key's, {data=x}]' at 'records' failed to satisfy: <= 500")
    with pytest.raises(Terminal) as caught:
        api.put_records("logs", [Put(b"payload", "my-key's")])
    assert "my-key" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b'{"Records": [{"Data": 7}]}', b'{"Records": [\xff]}'])
def test_an_answer_that_is_none_is_asked_for_again(api: KinesisAdmin, service: Service, body: bytes) -> None:
    service.answer(200, body)
    with pytest.raises(Transient, match="the answer to GetRecords cannot be read"):
        api.get_records("it")


def test_neither_reads_nor_puts_are_retried_unseen(api: KinesisAdmin, service: Service) -> None:
    service.refuse("ProvisionedThroughputExceededException")
    for ask in (lambda: api.get_records("it"), lambda: api.put_records("logs", [])):
        with pytest.raises(Throttled):
            ask()
    with pytest.raises(Throttled):
        api.split("logs", "s-0", 7)
    assert len(service.asked) == 3


def test_a_description_is_retried_within_bounds(
    http_client: KinesisClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=waited.append))
    service.refuse("LimitExceededException")
    service.refuse("InternalFailure", status=500)
    service.answer(200, {"Shards": [shard("s-0")]})
    assert [found.shard_id for found in http_client.list_shards("logs")] == ["s-0"]
    assert len(waited) == 2
    service.answers = []
    service.refuse("LimitExceededException")
    with pytest.raises(Throttled):
        http_client.list_shards("logs")
    assert len(service.asked) == 3 + AwsSettings().attempts


def test_nobody_at_the_endpoint_is_transient() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = KinesisClient(AwsSettings(endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(Transient, match="GetRecords: no whole answer"):
            client.get_records(SECRET)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_an_answer_that_is_late_or_cut_is_transient(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection = server.accept()[0]
            with connection:
                connection.recv(65_536)
                if answer:
                    connection.sendall(answer)
                else:
                    connection.recv(1)  # until the client gives up

        thread = threading.Thread(target=serve)
        thread.start()
        client = KinesisClient(AwsSettings(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}", read_s=0.1))
        with pytest.raises(Transient, match=r"no whole answer|cannot be read"):
            client.put_records("logs", [Put(b"payload", "k")])
        client.close()
        thread.join()


# ----------------------------------------------------------------------------------------------- configuration


def test_no_region_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match=r"source\.region, or AWS_REGION"):
        KinesisClient(AwsSettings())


def test_no_credentials_are_an_error_that_names_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="no AWS credentials: set AWS_PROFILE"):
        KinesisClient(AwsSettings(region="eu-west-1"))


def test_an_unknown_profile_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nobody"):
        KinesisClient(AwsSettings(region="eu-west-1", profile="nobody"))


def test_an_endpoint_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"source\.endpoint"):
        KinesisClient(AwsSettings(region="eu-west-1", endpoint="localhost:4567"))


def test_the_environment_names_region_and_credentials(
    endpoint: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    client = KinesisClient(AwsSettings(endpoint=endpoint))
    service.answer(200, {"Records": []})
    client.get_records("it")
    client.close()
    assert "Credential=somebody/" in service.headers["Authorization"]
    assert "/ap-south-1/kinesis/" in service.headers["Authorization"]


def test_an_endpoint_on_this_machine_is_not_asked_through_a_proxy(
    endpoint: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    service.answer(200, {"Records": []})
    with closing(KinesisClient(AwsSettings(endpoint=endpoint))) as client:
        assert client.get_records("it").data == []


# ------------------------------------------------------------------------------------------------------ silence


def test_nothing_that_is_shown_holds_a_record() -> None:
    page = parse_page(json.dumps({"Records": [record(b"payload")], "NextShardIterator": SECRET}).encode())
    shown = f"{page!r} {Put(b'payload', 'my-key')!r}"
    assert "payload" not in shown
    assert SECRET not in shown
    assert "my-key" not in shown


def test_the_log_holds_no_record_even_at_debug(
    http_client: KinesisClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.answer(200, {"FailedRecordCount": 0, "Records": [{"SequenceNumber": "5", "ShardId": "s-1"}]})
    with caplog.at_level(logging.DEBUG):
        http_client.put_records("logs", [Put(b"payload", "k")])
    assert base64.b64encode(b"payload").decode() not in caplog.text


def test_the_direct_way_needs_no_botocore() -> None:
    code = "import sys, shardlake.adapters.kinesis.direct; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_call_of_the_port_is_there() -> None:
    api: KinesisAdmin = CallApi(Service().call)
    assert isinstance(api, KinesisCalls)
