"""The function that AWS Lambda calls, over real sockets: changes of a table, and notices of files in S3."""

import base64
import gzip
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.tables import creation
from shardlake.app import handler as function
from shardlake.app.config import load
from shardlake.app.settings import Config
from shardlake.core.errors import ConfigError, Transient
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo
from shardlake.testing.dynamodb.server import Server, serve
from shardlake.testing.event_source import ChangeSource, EventSource
from shardlake.testing.kinesis import Behaviour as KinesisBehaviour
from shardlake.testing.kinesis import EmbeddedKinesis
from shardlake.testing.kinesis import serve as serve_kinesis
from tests.lambda_handler.function import OPEN, Context, Set, answer, config, made
from tests.lambda_handler.test_function import CHANGES, PACK, SUMS, line, pack_in
from tests.s3.conftest import s3
from tests.s3.standin import StandIn

__all__ = ["s3"]


@pytest.fixture(name="table")
def _table() -> Iterator[Server]:
    with serve(EmbeddedDynamo(SystemClock(), random.Random(5), Behaviour.unlimited())) as server:
        server.ask(
            "CreateTable",
            TableName="visits",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        yield server


def test_changes_of_a_table_are_in_the_answer_with_their_weights(table: Server, tmp_path: Path) -> None:
    settings = config(
        tmp_path,
        source__table="visits",
        source__endpoint=table.url,
        source__region="us-east-1",
        source__pack=pack_in(tmp_path, CHANGES),
    )
    arn = table.ask("DescribeTable", TableName="visits")["Table"]["LatestStreamArn"]
    mapping, told = ChangeSource(table.dynamo, arn), Set()
    handler = made(settings, told)
    for cost in ("1.25", "2.5"):
        for page in ("/", "/a", "/b"):
            item = {"id": {"S": page}, "page": {"S": page}, "cost": {"N": cost}, "at": {"N": "1767225600"}}
            table.ask("PutItem", TableName="visits", Item=item)
    table.ask("DeleteItem", TableName="visits", Key={"id": {"S": "/b"}})
    for shard in mapping.shards():
        event = mapping.next(shard)
        if event is not None:
            assert handler(event, Context()) == {"batchItemFailures": []}
            assert handler(event, Context()) == {"batchItemFailures": []}
    assert answer(settings, SUMS) == [("/", 1, Decimal("2.50")), ("/a", 1, Decimal("2.50"))]
    assert {stream for _, stream in told.asked} == {arn}


# ------------------------------------------------------------------------------------------------------------ S3


@pytest.fixture(name="bucket")
def _bucket(s3: StandIn, monkeypatch: pytest.MonkeyPatch) -> str:
    return s3.new_place().bucket


def of(s3: StandIn, bucket: str, folder: Path, **settings: str) -> Config:
    return config(
        folder,
        source__path=f"s3://{bucket}/cf/",
        source__endpoint=s3.settings.endpoint,
        source__region="us-east-1",
        source__pack=pack_in(folder, PACK),
        source__buckets="2",
        **settings,
    )


def notice(bucket: str, key: str) -> dict[str, Any]:
    s3 = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "eTag": "e"}}
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}


def message(id_: str, body: Any) -> dict[str, Any]:
    return {"eventSource": "aws:sqs", "messageId": id_, "body": json.dumps(body)}


def write(s3: StandIn, bucket: str, key: str, *lines: bytes) -> None:
    s3.client().put_object(Bucket=bucket, Key=key, Body=gzip.compress(b"\n".join(lines) + b"\n"))


def test_files_that_notices_tell_of_are_counted_once(s3: StandIn, bucket: str, tmp_path: Path) -> None:
    settings = of(s3, bucket, tmp_path)
    handler = made(settings)
    write(s3, bucket, "cf/a.gz", line("/", 1), line("/", 2))
    first = {"Records": [notice(bucket, "cf/a.gz")]}
    assert handler(first, Context()) == {"batchItemFailures": []}
    assert handler(first, Context()) == {"batchItemFailures": []}
    listings = s3.count("GET", "list-type=2")
    write(s3, bucket, "cf/b.gz", line("/", 3))
    write(s3, bucket, "elsewhere/c.gz", line("/", 100))
    over_a_queue = {
        "Records": [
            message("1", {"Records": [notice(bucket, "cf/b.gz")]}),
            message("2", {"Records": [notice(bucket, "elsewhere/c.gz")]}),
            message("3", {"Service": "Amazon S3", "Event": "s3:TestEvent"}),
            message("4", "somebody else's"),
        ]
    }
    assert handler(over_a_queue, Context()) == {"batchItemFailures": [{"itemIdentifier": "4"}]}
    assert s3.count("GET", "list-type=2") == listings, "a notice is enough"
    assert answer(settings, SUMS) == [("/", 3, 6)]


def test_a_file_that_no_notice_told_of_is_found_by_the_next_process(s3: StandIn, bucket: str, tmp_path: Path) -> None:
    settings = of(s3, bucket, tmp_path)
    for key, cost in (("cf/a.gz", 1), ("cf/b.gz", 2)):
        write(s3, bucket, key, line("/", cost))
    bridged = {
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": bucket}, "object": {"key": "cf/b.gz"}},
    }
    assert made(settings)(bridged, Context()) == {"batchItemFailures": []}
    assert answer(settings, SUMS) == [("/", 2, 3)]


def test_what_cannot_be_read_now_is_given_back(s3: StandIn, bucket: str, tmp_path: Path) -> None:
    settings = of(s3, bucket, tmp_path)
    handler = made(settings)
    write(s3, bucket, "cf/a.gz", line("/", 1))
    event = {"Records": [message("7", {"Records": [notice(bucket, "cf/a.gz")]})]}
    assert handler(event, Context(left_s=0.0)) == {"batchItemFailures": [{"itemIdentifier": "7"}]}
    with pytest.raises(Transient, match="handed over again"):
        handler({"Records": [notice(bucket, "cf/a.gz")]}, Context(left_s=0.0))
    assert handler(event, Context()) == {"batchItemFailures": []}
    write(s3, bucket, "cf/b.gz", line("/", 2))
    other = made(settings)
    assert other({"Records": [notice(bucket, "cf/b.gz")]}, Context()) == {"batchItemFailures": []}
    write(s3, bucket, "cf/c.gz", line("/", 3))
    assert handler({"Records": [notice(bucket, "cf/c.gz")]}, Context()) == {"batchItemFailures": []}
    assert answer(settings, SUMS) == [("/", 3, 6)]


def test_events_and_sources_have_to_fit(s3: StandIn, bucket: str, tmp_path: Path) -> None:
    files = of(s3, bucket, tmp_path)
    with pytest.raises(ConfigError, match=r"source\.stream"):
        made(files)({"Records": [{"eventSource": "aws:kinesis", "eventID": "s:1", "eventSourceARN": "a", "kinesis": {
            "sequenceNumber": "1", "data": "", "approximateArrivalTimestamp": 0.0}}]}, Context())  # fmt: skip
    with pytest.raises(ConfigError, match=r"source\.path"):
        made(config(tmp_path, source__stream="s"))({"Records": [notice(bucket, "k")]}, Context())
    with pytest.raises(ConfigError, match=r"source\.queue"):
        made(of(s3, bucket, tmp_path, source__queue="https://sqs.us-east-1.amazonaws.com/1/q"))(
            {"Records": [notice(bucket, "k")]}, Context()
        )


# ----------------------------------------------------------------------------------------------- as in AWS Lambda


def test_a_function_has_its_journal_in_dynamodb_its_objects_in_s3_and_its_settings_in_the_environment(
    s3: StandIn, table: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.ask("CreateTable", **creation("journal"))
    kinesis = EmbeddedKinesis(SystemClock(), random.Random(1), KinesisBehaviour.unlimited())
    kinesis.ask("CreateStream", StreamName="visits", ShardCount=1)
    lake, folders = s3.new_place("lake").url, [tmp_path / "one", tmp_path / "two"]
    with serve_kinesis(kinesis) as stream:
        environ = {
            "AWS_LAMBDA_FUNCTION_NAME": "shardlake",
            "SHARDLAKE_SOURCE_STREAM": "visits",
            "SHARDLAKE_SOURCE_ENDPOINT": stream.url,
            "SHARDLAKE_SOURCE_REGION": "us-east-1",
            "SHARDLAKE_SOURCE_PACK": pack_in(tmp_path, PACK),
            "SHARDLAKE_JOURNAL_URL": "dynamodb://journal/main",
            "SHARDLAKE_JOURNAL_ENDPOINT": table.url,
            "SHARDLAKE_JOURNAL_REGION": "us-east-1",
            "SHARDLAKE_STORAGE_URL": lake,
            "SHARDLAKE_STORAGE_ENDPOINT": s3.settings.endpoint,
            "SHARDLAKE_STORAGE_REGION": "us-east-1",
            "SHARDLAKE_HANDLER_RECORDS": "read",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        mapping = EventSource(kinesis, "visits")
        for at, folder in enumerate(folders * 2):  # two machines, in turns, which share nothing on their disks
            monkeypatch.setattr(function, "ROOT", str(folder))
            monkeypatch.chdir(tmp_path)
            data = base64.b64encode(line("/", at + 1)).decode()
            stream.ask("PutRecord", StreamName="visits", PartitionKey="k", Data=data)
            event = mapping.next("shardId-000000000000")
            assert event is not None
            assert function.handler(event, Context()) == {"batchItemFailures": []}
            mapping.answered("shardId-000000000000", {})
            if at < 2:
                OPEN.append(function._made())
                function._made.cache_clear()
        OPEN.append(function._made())
        function._made.cache_clear()
        settings = load({"root": (str(tmp_path / "asks"), "--root")}, environ, tmp_path).config
        assert answer(settings, SUMS) == [("/", 4, 10)]
