"""What is asked of DynamoDB when a table is really followed, loaded and copied is what the policies allow."""

import random
import signal
from pathlib import Path

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo
from shardlake.testing.dynamodb.server import serve
from shardlake.testing.runs import Program
from tests.docs.test_deploy import actions, loaded

pytestmark = pytest.mark.slow

PACK = """
format = "dynamodb"
event_time = "at"
[columns]
id = "VARCHAR"
at = { type = "TIMESTAMP", time = "s" }
item = { type = "VARCHAR", holds = "image" }
"""
VIEW = "SELECT time_bucket(INTERVAL '1 hour', at) AS hour, count(*) AS n FROM shop GROUP BY ALL"


def test_a_table_is_followed_loaded_and_copied_with_what_the_policies_allow(root: Path, tmp_path: Path) -> None:
    asked: dict[str, set[str]] = {"followed": set(), "copy": set()}

    def note(action: str, body: bytes) -> None:
        asked["copy" if b'"copy"' in body else "followed"].add(f"dynamodb:{action}")

    (tmp_path / "shop" / "views").mkdir(parents=True)
    (tmp_path / "shop" / "pack.toml").write_text(PACK)
    (tmp_path / "shop" / "views" / "sales.sql").write_text(VIEW)
    with serve(EmbeddedDynamo(SystemClock(), random.Random(5), Behaviour.unlimited().changed(fault=note))) as server:
        for name in ("items", "copy"):
            server.ask(
                "CreateTable",
                TableName=name,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        server.ask("PutItem", TableName="items", Item={"id": {"S": "early"}, "at": {"N": "1767225600"}})
        both = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        server.ask("UpdateTable", TableName="items", StreamSpecification=both)
        server.ask("PutItem", TableName="items", Item={"id": {"S": "late"}, "at": {"N": "1767225600"}})
        for found in asked.values():
            found.clear()
        settings = {
            "source.name": "shop",
            "source.pack": str(tmp_path / "shop"),
            "source.path": "",
            "source.table": "items",
            "source.endpoint": server.url,
            "limits.chunk_age_s": "0.2",
        }
        program = Program(tmp_path / "root", tmp_path, settings)
        running = program.start("stream", "run", "--json")
        running.until("committed")
        program.run("--json", "stream", "bootstrap", "--settle", "0.2").expect(0)
        assert running.end(signal.SIGTERM).code == 0
        program.run("replicate", "--table", "copy", "--once").expect(0)

    policies = {path.stem: actions(loaded(path)) for path in (root / "docs" / "deploy" / "iam").glob("table-*.json")}
    assert asked == {
        "followed": policies["table-source"] | policies["table-bootstrap"],
        "copy": policies["table-copy"],
    }
