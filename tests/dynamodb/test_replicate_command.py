"""`shardlake replicate` over HTTP, and the history of items that the master dataset keeps."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
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
price = "DECIMAL(38,4)"
at = { type = "TIMESTAMP", time = "s" }
note = "VARCHAR"
item = { type = "VARCHAR", holds = "image" }
_event = { type = "VARCHAR", holds = "event" }
"""
# What docs/dynamodb.md shows.
HISTORY = """
SELECT _event, _weight, _arrival, _sequence, item
FROM read_parquet('ROOT/tables/master_*/data/**/*.parquet')
WHERE id = 'a'
ORDER BY _sequence, _sub
"""
Command = Callable[..., Any]


@pytest.fixture(name="table")
def _table() -> Iterator[Server]:
    behaviour = Behaviour.unlimited().changed(stream_shards=1, roll_s=None)
    with serve(EmbeddedDynamo(SystemClock(), random.Random(5), behaviour)) as server:
        for name in ("items", "copy"):
            server.ask(
                "CreateTable",
                TableName=name,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        both = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        server.ask("UpdateTable", TableName="items", StreamSpecification=both)
        yield server


@pytest.fixture(name="command")
def _command(tmp_path: Path, table: Server, capsys: pytest.CaptureFixture[str]) -> Command:
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "pack.toml").write_text(PACK)
    settings = {
        "root": tmp_path / "root",
        "source.name": "shop",
        "source.pack": tmp_path / "items",
        "source.table": "items",
        "source.endpoint": table.url,
        "views.folder": "views",
        "limits.chunk_age_s": 0.2,
        "limits.poll_interval_s": 0.05,
    }

    def called(*args: str, code: int = 0, **more: object) -> Any:
        given = [f"{key}={value}" for key, value in {**settings, **more}.items()]
        done = run([*(part for one in given for part in ("--set", one)), "--json", *args], Invocation())
        told = capsys.readouterr()
        assert done == code, told.err
        return json.loads(told.out) if code == 0 else told.err

    return called


def put(table: Server, name: str, price: str, **more: Any) -> None:
    item = {"id": {"S": name}, "price": {"N": price}, "at": {"N": "1767225600"}, "tags": {"SS": ["x", "y"]}}
    table.ask("PutItem", TableName="items", Item=item | more)


def remove(table: Server, name: str) -> None:
    table.ask("DeleteItem", TableName="items", Key={"id": {"S": name}})


def copied(table: Server) -> dict[str, dict[str, Any]]:
    return {item["id"]["S"]: item for item in table.ask("Scan", TableName="copy", ConsistentRead=True)["Items"]}


def test_a_copy_holds_the_items_for_which_a_condition_holds(table: Server, command: Command) -> None:
    put(table, "a", "10.5")
    put(table, "b", "200")
    put(table, "c", "300")
    command("stream", "run", "--once")
    wanted = ("replicate", "--source", "shop", "--table", "copy", "--where", "price > 100", "--once")
    assert command(*wanted)["put"] == 2
    put(table, "a", "100.0001")  # now it passes, and b does not
    put(table, "b", "100")
    remove(table, "c")
    command("stream", "run", "--once")
    done = command(*wanted)
    assert (done["put"], done["removed"], done["there"], done["newer"]) == (1, 2, 0, 0)
    found = copied(table)
    [source] = [item for item in table.ask("Scan", TableName="items")["Items"] if item["id"]["S"] == "a"]
    assert found["a"] == source | {"_shardlake_version": found["a"]["_shardlake_version"]}
    assert all("price" not in found[name] and found[name]["_shardlake_removed"] == {"BOOL": True} for name in "bc")
    assert command(*wanted)["entries"] == 0
    assert command(*wanted, "--anew")["there"] == 3


def test_a_letter_that_can_be_read_again_takes_the_place_of_its_change(
    table: Server, command: Command, tmp_path: Path
) -> None:
    put(table, "a", "1", note={"N": "7"})  # its note is no text: a letter
    put(table, "b", "1", note={"N": "8"})
    put(table, "b", "2")
    put(table, "c", "1")
    put(table, "c", "2", note={"N": "9"})  # what goes can be read, what comes cannot
    command("stream", "run", "--once")
    done = command("replicate", "--table", "copy", "--once")
    assert (done["put"], done["removed"], done["dead_letters"]) == (1, 1, 4)
    assert [name for name, item in copied(table).items() if "_shardlake_removed" not in item] == ["b"]
    (tmp_path / "items" / "pack.toml").write_text(
        PACK.replace('note = "VARCHAR"', 'note = { type = "VARCHAR", holds = "any" }')
    )
    assert command("dlq", "retry")["read"] == 4
    done = command("replicate", "--table", "copy", "--once")
    assert (done["put"], done["newer"]) == (2, 1)
    found = copied(table)
    assert [(name, item["price"]["N"]) for name, item in sorted(found.items())] == [("a", "1"), ("b", "2"), ("c", "2")]
    assert found["a"]["_shardlake_version"]["S"] < found["b"]["_shardlake_version"]["S"]


def test_every_version_of_an_item_is_in_the_master_dataset_in_order(
    table: Server, command: Command, tmp_path: Path
) -> None:
    put(table, "a", "1.50")
    command("stream", "run", "--once")
    command("batch", "run")
    put(table, "b", "9")
    put(table, "a", "2.5")
    remove(table, "a")
    put(table, "a", "3")
    command("stream", "run", "--once")
    command("batch", "run")
    found = duckdb.connect().execute(HISTORY.replace("ROOT", str(tmp_path / "root"))).fetchall()
    prices = [(event, weight, json.loads(item)["price"]["N"]) for event, weight, _, _, item in found]
    assert prices == [
        ("INSERT", 1, "1.5"),
        ("MODIFY", -1, "1.5"),
        ("MODIFY", 1, "2.5"),
        ("REMOVE", -1, "2.5"),
        ("INSERT", 1, "3"),
    ]
    assert [sequence for _, _, _, sequence, _ in found] == sorted(row[3] for row in found)
    assert all(json.loads(row[4])["tags"] == {"SS": ["x", "y"]} for row in found)
    assert HISTORY.strip().replace("ROOT", ".shardlake") in documented()


def documented() -> str:
    return (Path(__file__).parents[2] / "docs" / "dynamodb.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--table", "items"), "is the one whose changes are read"),
        (("--table", "nowhere"), "there is no table nowhere"),
        (("--table", "copy", "--where", "price + 1"), "write a condition"),
        (("--table", "copy", "--where", "now() > at"), "--where: "),
        (("--table", "copy", "--where", "_event = 'TTL'"), "--where: "),
    ],
)
def test_what_cannot_be_copied_is_refused(table: Server, command: Command, args: tuple[str, ...], told: str) -> None:
    put(table, "a", "1")
    command("stream", "run", "--once")
    assert told in command("replicate", *args, "--once", code=1)


def test_a_pack_without_whole_images_is_refused(table: Server, command: Command, tmp_path: Path) -> None:
    command("stream", "run", "--once")
    pack = tmp_path / "items" / "pack.toml"
    pack.write_text("".join(line for line in PACK.splitlines(keepends=True) if not line.startswith("item")))
    assert 'holds = \\"image\\"' in command("replicate", "--table", "copy", "--once", code=1)
