"""The embedded DynamoDB over HTTP, and the fixture of the plugin as a test of somebody else's project uses it."""

import json
import random
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from shardlake.adapters.clock import SystemClock
from shardlake.testing.dynamodb import LOST_AFTER, Behaviour, EmbeddedDynamo, Fault, Server, serve

TABLE: dict[str, Any] = {
    "TableName": "tab",
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(EmbeddedDynamo(SystemClock(), random.Random(0), Behaviour.unlimited())) as served:
        served.ask("CreateTable", **TABLE)
        yield served


@pytest.fixture
def connection(server: Server) -> Iterator[HTTPConnection]:
    made = HTTPConnection("127.0.0.1", server.port, timeout=30)
    yield made
    made.close()


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    config = Config(retries={"total_max_attempts": 1})
    made = boto3.client("dynamodb", endpoint_url=server.url, region_name="us-east-1", config=config)
    yield made
    made.close()


def post(connection: HTTPConnection, action: str, fields: Any, service: str = "DynamoDB") -> tuple[int, Any]:
    headers = {"X-Amz-Target": f"{service}_20120810.{action}"}
    connection.request("POST", "/", json.dumps(fields), headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.headers["x-amz-crc32"] == str(zlib.crc32(body))
    return answer.status, json.loads(body)


def test_a_connection_serves_both_services(connection: HTTPConnection) -> None:
    item = {"TableName": "tab", "Item": {"k": {"S": "a"}}}
    assert post(connection, "PutItem", item) == (200, {})
    assert post(connection, "ListStreams", {}, "DynamoDBStreams") == (200, {"Streams": []})
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")


@pytest.mark.parametrize(
    ("service", "action", "fields", "code"),
    [
        ("Kinesis", "ListStreams", {}, "UnknownOperationException"),
        ("DynamoDB", "ListStreams", {}, "UnknownOperationException"),
        ("DynamoDBStreams", "ListTables", {}, "UnknownOperationException"),
        ("DynamoDB", "Dance", {}, "UnknownOperationException"),
        ("DynamoDB", "PutItem", {"TableName": "tab"}, "ValidationException"),
        ("DynamoDB", "PutItem", {"TableName": 1, "Item": {}}, "ValidationException"),
    ],
)
def test_what_it_does_not_speak_is_refused(
    connection: HTTPConnection, service: str, action: str, fields: Any, code: str
) -> None:
    status, answer = post(connection, action, fields, service)
    assert (status, answer["__type"].rpartition("#")[2]) == (400, code)


def test_bytes_that_are_no_request_end_the_connection(server: Server) -> None:
    for request in (b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as made:
            made.sendall(request)
            assert b" 400 " in b"".join(iter(lambda: made.recv(65_536), b""))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as made:
        made.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        made.shutdown(socket.SHUT_WR)
        assert made.recv(1) == b""


def test_a_fault_reaches_boto3(server: Server, client: Any) -> None:
    put = {"TableName": "tab", "Item": {"k": {"S": "a"}}}
    server.dynamo.inject(LOST_AFTER)
    with pytest.raises(ConnectionClosedError):
        client.put_item(**put)
    assert server.ask("Scan", TableName="tab")["Count"] == 1
    server.dynamo.inject(Fault())
    with pytest.raises(ClientError) as caught:
        client.put_item(**put)
    assert caught.value.response["Error"]["Code"] == "InternalServerError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    server.dynamo.inject(Fault(code=None, delay_s=0.05))
    assert client.put_item(**put)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_of_many_writers_one_wins(server: Server) -> None:
    won: list[str] = []

    def write(name: str) -> None:
        made = HTTPConnection("127.0.0.1", server.port, timeout=30)
        for n in range(20):
            item = {"k": {"S": str(n)}, "by": {"S": name}}
            put = {"TableName": "tab", "Item": item, "ConditionExpression": "attribute_not_exists(k)"}
            if post(made, "PutItem", put)[0] == 200:
                won.append(f"{n} {name}")
        made.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = server.ask("Scan", TableName="tab")["Items"]
    assert sorted(won) == sorted(f"{item['k']['S']} {item['by']['S']}" for item in found)
    assert len(won) == 20


def test_a_server_stops_with_connections_open_and_replies_held_back(server: Server) -> None:
    server.dynamo.inject(Fault(code=None, delay_s=600), action="ListTables")
    head = b"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.%b\r\nContent-Length: 2\r\n\r\n{}"
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as idle,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as waiting,
    ):
        idle.sendall(head % b"DescribeLimits")
        assert idle.recv(65_536).startswith(b"HTTP/1.1 400")
        waiting.sendall(head % b"ListTables")
        while server.dynamo._faults:
            threading.Event().wait(0.005)
        server.close()
        assert idle.recv(65_536) == b""
        assert b" 500 " not in waiting.recv(65_536)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=30)


# -------------------------------------------------------------------------------------------------- the fixture

THEIRS = """
import boto3
import pytest
from shardlake.testing.dynamodb import Behaviour


@pytest.fixture
def embedded_dynamo_behaviour():
    return Behaviour(transaction_items_max=2, stream_shards=3)


def test_boto3_finds_both(embedded_dynamo):
    client = boto3.client("dynamodb")
    client.create_table(
        TableName="tab",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    writes = [{"Put": {"TableName": "tab", "Item": {"k": {"S": str(n)}}}} for n in range(3)]
    client.transact_write_items(TransactItems=writes[:2])
    with pytest.raises(client.exceptions.ClientError):
        client.transact_write_items(TransactItems=writes)
    streams = boto3.client("dynamodbstreams")
    [stream] = streams.list_streams()["Streams"]
    told = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]
    assert len(told["Shards"]) == 3
    assert client.meta.endpoint_url == streams.meta.endpoint_url == embedded_dynamo.url
    client.close()
    streams.close()


def test_each_test_has_its_own(embedded_dynamo):
    assert embedded_dynamo.ask("ListTables")["TableNames"] == []
"""


def test_a_test_elsewhere_gets_a_service_that_boto3_finds(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:shardlake"]
    ran = subprocess.run(
        [*command, "-p", "shardlake.testing.plugin", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_it_imports_little() -> None:
    listing = "import sys, shardlake.testing.dynamodb; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not loaded & {"boto3", "botocore", "pyarrow", "duckdb", "numpy", "pandas", "pytest", "structlog"}
