"""The actions of AWS that the program calls, role by role, as policies name them."""

import inspect
import random
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from shardlake.adapters.aws_lambda.mappings import MappingClient
from shardlake.adapters.dynamodb.scan import TableScan
from shardlake.adapters.dynamodb.stream_calls import StreamCalls
from shardlake.adapters.dynamodb.stream_port import StreamsReader
from shardlake.adapters.dynamodb.versioned import ItemVersion, VersionedTable, describe
from shardlake.adapters.kcl.lease import Lease
from shardlake.adapters.kcl.table import LeaseTable
from shardlake.adapters.kinesis.calls import KinesisCalls
from shardlake.adapters.kinesis.port import KinesisConsumers, KinesisReader, KinesisWriter
from shardlake.adapters.kinesis.subscribe import ACTION as SUBSCRIBE
from shardlake.adapters.s3.bucket import Bucket
from shardlake.adapters.s3.queue import Message, Queue
from shardlake.core.errors import ShardlakeError
from shardlake.core.journal.port import REMOVED, Write
from shardlake.core.limits import Limits
from tests.dynamodb.wired import Wired

# An action of a policy is the operation's name, but for these.
OTHER_ACTIONS = {
    "dynamodb:TransactWriteItems": "dynamodb:ConditionCheckItem",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
}


@cache
def model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


class Told(Exception):
    """A call was made, which is all that is asked."""


class Noted(KinesisCalls):
    """Notes the actions of calls."""

    service = "kinesis"

    def __init__(self) -> None:
        self.actions: set[str] = set()

    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        del params
        self.actions.add(f"{self.service}:{action}")
        raise Told


class NotedStreams(StreamCalls):
    """The same for the streams of tables."""

    service = "dynamodb"
    __init__, _send = Noted.__init__, Noted._send


def stream_actions(protocol: type, made: type = Noted) -> set[str]:
    """The actions that the methods of a port make."""
    noted, dummies = made(), {str: "x", int: 1}
    for name in [name for name in dir(protocol) if not name.startswith("_")]:
        method = getattr(noted, name)
        needed = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
        with pytest.raises(Told):
            method(*(dummies.get(parameter.annotation, ()) for parameter in needed))
    return set(noted.actions)


class Recorder:
    """A client of botocore that notes what is asked, and refuses it with one error after another."""

    def __init__(self, service: str, code: str = "SlowDown") -> None:
        self.service, self.code, self.operations = service, code, set[str]()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**_: Any) -> Any:
            names = {snake(name): name for name in model(self.service).operation_names}
            self.operations.add(f"{self.service}:{names[method]}")
            raise ClientError({"Error": {"Code": self.code, "Message": ""}}, names[method])

        return call

    def get_paginator(self, method: str) -> Any:
        class Paginator:
            paginate = staticmethod(getattr(self, method))

        return Paginator()

    @property
    def actions(self) -> set[str]:
        return {OTHER_ACTIONS.get(operation, operation) for operation in self.operations}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def s3_actions(*methods: str) -> set[str]:
    """The actions that some methods of a bucket make, also where what they write is there already."""
    found: set[str] = set()
    given: dict[str, tuple[Any, ...]] = {
        "create": ("k", b"", "00"), "write": ("k", b"", "00"), "read": ("k",), "download": ("k", None),
        "open": ("k", "e"), "head": ("k",), "list": ("k",), "delete": (["k"],),
    }  # fmt: skip
    public = {name for name, _ in inspect.getmembers(Bucket, inspect.isfunction) if not name.startswith("_")}
    assert public - {"url"} == set(given), "a new method of a bucket: which role calls it?"
    for code in ("SlowDown", "ConditionalRequestConflict"):
        recorder = Recorder("s3", code)
        bucket = Bucket(recorder, "b")
        for method in methods:
            with suppress(ShardlakeError, ClientError):
                list(getattr(bucket, method)(*given[method]))
        found |= recorder.actions
    return found


def sqs_actions() -> set[str]:
    recorder = Recorder("sqs")
    queue = Queue(recorder, "https://sqs.eu-west-1.amazonaws.com/1/q")
    for call in (queue.receive, lambda: queue.delete([Message("h", "b")])):
        with pytest.raises(ShardlakeError):
            call()
    return recorder.actions


def lambda_actions() -> set[str]:
    recorder = Recorder("lambda")
    with pytest.raises(ShardlakeError):
        MappingClient(given=recorder).of("f", "s")
    return recorder.actions


def dynamodb_actions(*, writes: bool) -> set[str]:
    """The actions that a journal makes; those of a transaction are those of its writes."""
    wired = Wired()
    journal = wired.journal()
    if writes:
        journal.warnings(journal.check())
        journal.make("s3://lake/x")
        checked = [Write("t/a", None, None), Write("t/b", None, b"1"), Write("t/c", None, b"1")]
        for written in ([Write("t/c", None, b"1")], [Write("t/c", b"1", REMOVED)], checked):
            journal.transact(written)
    journal.layout()
    journal.scan("shard/")
    found = set(wired.actions()) - {"TransactWriteItems"}
    parts = [part for _, request in wired.sent for part in request.get("TransactItems", ())]
    single = {"ConditionCheck": "ConditionCheckItem", "Delete": "DeleteItem", "Put": "PutItem"}
    return {f"dynamodb:{action}" for action in found | {single[kind] for part in parts for kind in part}}


def keyed(name: str) -> Wired:
    """Calls of a service that has a table with one text as its key, too."""
    wired = Wired()
    wired.dynamo.ask(
        "CreateTable",
        TableName="tab",
        KeySchema=[{"AttributeName": name, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return wired


def asked(wired: Wired) -> set[str]:
    return {f"dynamodb:{action}" for action in wired.actions()}


def bootstrap_actions() -> set[str]:
    wired = keyed("id")
    scan = TableScan(wired, "tab", wired.clock)
    scan.keys()
    list(scan.pages())
    return asked(wired)


def copy_actions() -> set[str]:
    """The actions that a copy makes, also where a version comes too late."""
    wired = keyed("id")
    table = VersionedTable(wired, describe(wired, "tab"), wired.clock, random.Random(0))
    assert [table.put(ItemVersion(version, {"id": {"S": "x"}})) for version in "21"] == ["put", "newer"]
    return asked(wired)


def lease_actions() -> set[str]:
    """The actions of an import and of an export, also where a lease stands there already."""
    wired = keyed("leaseKey")
    table = LeaseTable(wired, "tab", wired.clock, Limits())
    before, after = Lease("s", "1", hashes=("0", "1")), Lease("s", "2", counter=1, hashes=("0", "1"))
    table.create(before, "2")
    table.create(before, "2")
    table.update(before, after, "2")
    table.read()
    return asked(wired)


# Which methods of a bucket each role needs; listing is also what tells it that an object is not there.
STORED = ("create", "write", "read", "download", "list", "delete")
CALLED: dict[str, Callable[[], set[str]]] = {
    "batch": lambda: s3_actions(*STORED),
    "fan-out": lambda: stream_actions(KinesisConsumers) | {f"kinesis:{SUBSCRIBE}"},
    "file-source": lambda: s3_actions("list", "open", "head") | sqs_actions(),
    "function": lambda_actions,
    "journal": lambda: dynamodb_actions(writes=True),
    "journal-reader": lambda: dynamodb_actions(writes=False),
    "lease-table": lease_actions,
    "producer": lambda: stream_actions(KinesisWriter) | {"kinesis:DescribeStreamSummary"},
    "query": lambda: s3_actions("read", "download", "list"),
    "stream-worker": lambda: stream_actions(KinesisReader) | s3_actions(*STORED),
    "table-bootstrap": bootstrap_actions,
    "table-copy": copy_actions,
    "table-source": lambda: stream_actions(StreamsReader, NotedStreams),
}
ROLES = tuple(CALLED)
