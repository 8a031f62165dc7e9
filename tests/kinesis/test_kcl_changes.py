"""A KCL application that reads a table's changes, by the adapter for DynamoDB Streams, taken over by the command."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.stream_client import StreamsClient
from shardlake.adapters.kcl.identity import leased_name
from shardlake.adapters.kinesis.client import AwsSettings
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo
from shardlake.testing.dynamodb.server import Server, serve

pytestmark = pytest.mark.slow

APP = "changes-app"
PACK = """
format = "dynamodb"
event_time = "at"
[columns]
id = "VARCHAR"
n = "BIGINT"
at = { type = "TIMESTAMP", time = "s" }
"""
VIEW = "SELECT id, sum(n) AS n, count(*) AS items FROM items GROUP BY id"


def table(server: Server, name: str, key: str, **more: Any) -> None:
    server.ask(
        "CreateTable",
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        **more,
    )


def put(server: Server, name: str, number: int) -> None:
    item = {"id": {"S": name}, "n": {"N": str(number)}, "at": {"N": "1767225600"}}
    server.ask("PutItem", TableName="items", Item=item)


def lease(server: Server, stream: str, shard: str, checkpoint: str) -> None:
    item = {
        "leaseKey": {"S": f"{stream}:{shard}"},
        "streamName": {"S": stream},
        "shardId": {"S": shard},
        "leaseCounter": {"N": "5"},
        "checkpoint": {"S": checkpoint},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "startingHashKey": {"S": "0"},
        "endingHashKey": {"S": "1"},
    }
    server.ask("PutItem", TableName=APP, Item=item)


def test_changes_go_on_behind_the_last_one_that_was_processed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "items" / "views").mkdir(parents=True)
    (tmp_path / "items" / "pack.toml").write_text(PACK)
    (tmp_path / "items" / "views" / "totals.sql").write_text(VIEW)
    with serve(EmbeddedDynamo(SystemClock(), Random(6), Behaviour.unlimited())) as server:
        both = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        table(server, "items", "id", StreamSpecification=both)
        table(server, APP, "leaseKey")
        for number in (1, 2):
            put(server, "a", number)  # new, then changed: a record of two lines
        api = StreamsClient(AwsSettings("us-east-1", server.url))
        (stream,) = api.streams("items")
        identifier = f"000000000000:{leased_name(stream.arn)}:1"
        for info in api.list_shards(stream.arn):
            page = api.get_records(api.iterator(stream.arn, info.shard_id, "TRIM_HORIZON"))
            lease(server, identifier, info.shard_id, page.sequences[-1] if page.sequences else "TRIM_HORIZON")
        api.close()
        put(server, "a", 5)
        put(server, "b", 7)
        settings = {"endpoint": server.url, "table": "items", "region": "us-east-1", "name": "items"}
        settings |= {"pack": str(tmp_path / "items")}
        common = ["--json", "--root", str(tmp_path / "root")]
        common += [part for name, text in settings.items() for part in ("--set", f"source.{name}={text}")]

        assert run([*common, "lease", "import", "--table", APP, "--failover", "0.1"], Invocation()) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["identifier"] == identifier
        assert "rows are taken back that were never counted" in told["notes"][-1]
        assert run([*common, "stream", "run", "--once"], Invocation()) == 0
        capsys.readouterr()
        assert run([*common, "status"], Invocation()) == 0
        # The old and the new image of `a`, and `b`: the change before is not read again, not even half of it.
        assert json.loads(capsys.readouterr().out)["events"] == 3

        assert (
            run([*common, "lease", "export", "--table", APP, "--failover", "0.1", "--version", "2"], Invocation()) == 0
        )
        told = json.loads(capsys.readouterr().out)
        assert {one["doing"] for one in told["leases"]} <= {"moves", "stands"}
        assert "moves" in {one["doing"] for one in told["leases"]}
