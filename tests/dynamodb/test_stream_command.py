"""What `shardlake stream run` and `doctor` say of a table whose changes cannot be followed, or can."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo
from shardlake.testing.dynamodb.server import Server, serve

PACK = """
format = "dynamodb"
event_time = "at"
[columns]
id = "VARCHAR"
at = { type = "TIMESTAMP", time = "s" }
"""
Said = Callable[..., str]


@pytest.fixture(name="table")
def _table() -> Iterator[Server]:
    with serve(EmbeddedDynamo(SystemClock(), random.Random(5), Behaviour.unlimited())) as server:
        server.ask(
            "CreateTable",
            TableName="items",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield server


@pytest.fixture(name="said")
def _said(tmp_path: Path, table: Server, capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command writes, once it ended with the code that is expected."""
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "pack.toml").write_text(PACK)
    settings = {
        "root": tmp_path / "root",
        "source.name": "items",
        "source.pack": tmp_path / "items",
        "source.table": "items",
        "source.endpoint": table.url,
    }

    def said(*args: str, code: int = 0, **more: object) -> str:
        given = [f"{key}={value}" for key, value in {**settings, **more}.items()]
        done = run([*(part for one in given for part in ("--set", one)), *args], Invocation())
        told = capsys.readouterr()
        assert done == code, told.err
        return told.out + told.err

    return said


def enable(table: Server, view: str) -> None:
    table.ask("UpdateTable", TableName="items", StreamSpecification={"StreamEnabled": True, "StreamViewType": view})


@pytest.mark.parametrize("view", ["NEW_IMAGE", "KEYS_ONLY"])
def test_a_stream_that_lacks_an_image_is_refused_before_anything_is_read(table: Server, said: Said, view: str) -> None:
    enable(table, view)
    told = said("stream", "run", "--once", code=1)
    assert f"shows {view}" in told
    assert "StreamViewType=NEW_AND_OLD_IMAGES" in told.replace("\n", " ")


def test_a_table_without_a_stream_is_refused_with_the_command_that_makes_one(said: Said) -> None:
    assert "table items has no stream" in said("stream", "run", "--once", code=1)


def test_settings_of_kinesis_are_refused(table: Server, said: Said) -> None:
    enable(table, "NEW_AND_OLD_IMAGES")
    told = said("stream", "run", "--once", code=1, **{"source.fan_out": "consumer"})
    assert "source.fan_out and source.engine are for Kinesis" in told


def test_the_doctor_sees_whether_a_table_can_be_followed(table: Server, said: Said) -> None:
    def states(code: int) -> dict[str, str]:
        text = said("--json", "doctor", code=code)
        return {check["check"]: check["state"] for check in json.loads(text[text.index("{") :])["checks"]}

    enable(table, "NEW_IMAGE")
    assert states(1)["stream"] == "fail"
    table.ask("UpdateTable", TableName="items", StreamSpecification={"StreamEnabled": False})
    enable(table, "NEW_AND_OLD_IMAGES")
    found = states(0)
    assert {found[name] for name in ("stream", "DescribeStream", "GetShardIterator", "GetRecords")} == {"ok"}
