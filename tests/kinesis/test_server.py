"""The service over HTTP: what clients of any kind send, and what a process of its own does."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from shardlake.testing.kinesis import Fault, Server

ENTRY = {"StreamName": "s", "Data": "aaaa", "PartitionKey": "k", "ExplicitHashKey": "0"}


@pytest.fixture
def server(served: Server) -> Server:
    served.ask("CreateStream", StreamName="s", ShardCount=1)
    return served


@pytest.fixture
def client(server: Server, make_client: Callable[[str], Any]) -> Iterator[Any]:
    made = make_client(server.url)
    yield made
    made.close()


def stored(server: Server) -> list[str]:
    wanted = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    at = server.ask("GetShardIterator", **wanted)["ShardIterator"]
    return [record["SequenceNumber"] for record in server.ask("GetRecords", ShardIterator=at)["Records"]]


def post(connection: HTTPConnection, action: str, fields: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    headers = {"X-Amz-Target": f"Kinesis_20131202.{action}"} | headers
    connection.request("POST", "/", json.dumps(fields), headers)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if body else {}


@pytest.fixture
def connection(server: Server) -> Iterator[HTTPConnection]:
    made = HTTPConnection("127.0.0.1", server.port, timeout=10)
    yield made
    made.close()


def raw(server: Server, request: bytes) -> bytes:
    """Send bytes, and give all that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as made:
        made.sendall(request)
        return b"".join(iter(lambda: made.recv(65_536), b""))


def test_it_listens_on_the_loopback_address_only(server: Server) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert server._listener.getsockname() == ("127.0.0.1", server.port)


def test_a_connection_serves_many_requests(connection: HTTPConnection) -> None:
    status, answer = post(connection, "PutRecord", ENTRY)
    made = connection.sock
    assert (status, answer["ShardId"]) == (200, "shardId-000000000000")
    assert post(connection, "CreateStream", {"StreamName": "t", "ShardCount": 1}) == (200, {})
    assert post(connection, "ListStreams", {})[1]["StreamNames"] == ["s", "t"]
    assert connection.sock is made


def test_a_connection_ends_when_the_client_says_so(server: Server, connection: HTTPConnection) -> None:
    post(connection, "ListStreams", {}, Connection="close")
    head = b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\nConnection: close\r\n\r\n"
    assert raw(server, head).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_error_has_its_type_and_status(connection: HTTPConnection) -> None:
    status, answer = post(connection, "ListShards", {"StreamName": "nobody"})
    assert (status, answer["__type"]) == (400, "ResourceNotFoundException")
    assert answer["message"] == "Stream nobody under account 000000000000 not found."


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Amz-Target": "DynamoDB_20120810.PutItem"}, "UnknownOperationException"),
        ({"X-Amz-Target": ""}, "UnknownOperationException"),
        ({"Content-Type": "application/x-amz-cbor-1.1"}, "SerializationException"),
    ],
)
def test_what_it_does_not_speak_is_refused(connection: HTTPConnection, headers: dict[str, str], code: str) -> None:
    status, answer = post(connection, "ListStreams", {}, **headers)
    assert (status, answer["__type"]) == (400, code)


def test_a_get_tells_that_it_is_there(connection: HTTPConnection) -> None:
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    ],
)
def test_bytes_that_are_no_request_end_the_connection(server: Server, request_: bytes, status: int) -> None:
    assert raw(server, request_).startswith(b"HTTP/1.1 %d " % status)


def test_a_request_that_breaks_off_is_passed_over(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as made:
        made.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        made.shutdown(socket.SHUT_WR)
        assert made.recv(1) == b""


def test_a_client_that_asks_first_is_told_to_go_on(server: Server) -> None:
    body = json.dumps(ENTRY).encode()
    head = (
        b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecord\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    answer = raw(server, head + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert len(stored(server)) == 1


def test_concurrent_producers_lose_nothing(server: Server, switching: None) -> None:
    told: list[str] = []
    batch = {"StreamName": "s", "Records": [{name: ENTRY[name] for name in ("Data", "PartitionKey")}] * 20}

    def produce() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        answers = [post(connection, "PutRecords", batch)[1] for _ in range(20)]
        connection.close()
        told.extend(record["SequenceNumber"] for answer in answers for record in answer["Records"])

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1600
    assert sorted(told, key=int) == stored(server)


@pytest.fixture
def switching() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_dropped_connection_may_have_stored_its_record(server: Server, client: Any) -> None:
    server.kinesis.inject(Fault(applied=True, dropped=True))
    with pytest.raises(ConnectionClosedError):
        client.put_record(StreamName="s", Data=b"x", PartitionKey="k")
    assert len(stored(server)) == 1


def test_a_fault_reaches_boto3_by_its_name(server: Server, client: Any) -> None:
    server.kinesis.inject(Fault())
    with pytest.raises(ClientError) as caught:
        client.put_record(StreamName="s", Data=b"x", PartitionKey="k")
    assert caught.value.response["Error"] == {"Code": "InternalFailure", "Message": "Internal Service Failure"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_slow_reply_holds_up_nobody_else(server: Server, connection: HTTPConnection) -> None:
    server.kinesis.inject(Fault(code=None, delay_s=0.5), action="PutRecord")
    ended: list[float] = []

    def slow() -> None:
        other = HTTPConnection("127.0.0.1", server.port, timeout=10)
        post(other, "PutRecord", ENTRY)
        other.close()
        ended.append(time.monotonic())

    began = time.monotonic()
    thread = threading.Thread(target=slow)
    thread.start()
    while not stored(server):
        time.sleep(0.005)
    post(connection, "ListStreams", {})
    answered = time.monotonic()
    thread.join()
    assert answered < ended[0]
    assert ended[0] - began >= 0.5


def test_a_server_stops_with_connections_open_and_replies_held_back(server: Server) -> None:
    server.kinesis.inject(Fault(code=None, delay_s=60), action="ListStreams")
    idle = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    waiting = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    waiting.sendall(b"POST / HTTP/1.1\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\n\r\n")
    time.sleep(0.05)
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 30
    for made in (idle, waiting):
        with made:
            assert b"HTTP/1.1 500" not in made.recv(65_536)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=10)


# ------------------------------------------------------------------------------------------------ the process


def run(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "shardlake.testing.kinesis", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_process_serves_until_it_is_told_to_stop() -> None:
    with run("--stream", "clicks:3", "--stream", "views:1", "--unlimited") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["streams"] == ["clicks", "views"]
        connection = HTTPConnection(told["url"].removeprefix("http://"), timeout=10)
        assert len(post(connection, "ListShards", {"StreamName": "clicks"})[1]["Shards"]) == 3
        assert all(post(connection, "ListStreams", {})[0] == 200 for _ in range(10))
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize("wanted", ["clicks", "clicks:many", "two words:1", "clicks:0"])
def test_a_stream_that_cannot_be_is_refused_with_its_reason(wanted: str) -> None:
    with run("--stream", wanted) as process:
        _, said = process.communicate(timeout=10)
        assert process.returncode == 2
        assert f"--stream {wanted}: " in said


def test_it_imports_little() -> None:
    listing = "import sys, shardlake.testing.kinesis.__main__; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not loaded & {"boto3", "botocore", "pyarrow", "duckdb", "numpy", "pandas", "asyncio", "pytest", "structlog"}
