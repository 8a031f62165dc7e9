"""A table that is changed, read by `shardlake stream run` over HTTP, and asked: the answer is a fold of its items."""

import json
import random
import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo
from shardlake.testing.dynamodb.server import Server, serve
from shardlake.testing.runs import Program

PACK = """
format = "dynamodb"
event_time = "ordered_at"
[columns]
line = "VARCHAR"
category = "VARCHAR"
quantity = "BIGINT"
price = "DECIMAL(38,10)"
ordered_at = "TIMESTAMP"
item = { type = "VARCHAR", holds = "image" }
"""
VIEW = """-- description: what is sold, by hour and category
SELECT time_bucket(INTERVAL '1 hour', ordered_at) AS hour, category, count(*) AS lines, sum(quantity) AS units,
       sum(price) AS revenue
FROM shop GROUP BY ALL
"""
Items = dict[str, tuple[str, str, int, Decimal]]
BOTH = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.fixture(name="table")
def _table() -> Iterator[Server]:
    behaviour = Behaviour.unlimited().changed(roll_s=6.0, empty_pages=0.1, children_late_s=0.2)
    with serve(EmbeddedDynamo(SystemClock(), random.Random(5), behaviour)) as server:
        for name, more in (("orders", {"StreamSpecification": BOTH}), ("copy", {})):
            server.ask(
                "CreateTable",
                TableName=name,
                KeySchema=[{"AttributeName": "line", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "line", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
                **more,
            )
        yield server


@pytest.fixture(name="program")
def _program(tmp_path: Path, table: Server) -> Program:
    pack = tmp_path / "shop"
    (pack / "views").mkdir(parents=True)
    (pack / "pack.toml").write_text(PACK)
    (pack / "views" / "sales.sql").write_text(VIEW)
    source = {"path": "", "pack": str(pack), "name": "orders", "kind": "dynamodb", "table": "orders"}
    settings = {f"source.{key}": value for key, value in {**source, "endpoint": table.url}.items()}
    return Program(tmp_path / "root", tmp_path / "none", {**settings, "limits.discover_s": "1"})


def change(table: Server, rng: random.Random, items: Items, count: int) -> None:
    for _ in range(count):
        line = f"line-{rng.randrange(60)}"
        if rng.random() < 0.25:
            table.ask("DeleteItem", TableName="orders", Key={"line": {"S": line}})
            items.pop(line, None)
            continue
        found = (
            rng.choice("abc"),
            f"2026-03-01T{rng.randrange(6):02d}",
            rng.randint(1, 9),
            Decimal(rng.randrange(10**9)),
        )
        category, hour, units, price = items[line] = (*found[:3], found[3] / 7**2)
        item = {
            "line": {"S": line},
            "category": {"S": category},
            "quantity": {"N": str(units)},
            "price": {"N": f"{price:.10f}"},
            "ordered_at": {"S": f"{hour}:15:00Z"},
        }
        table.ask("PutItem", TableName="orders", Item=item)


def folded(items: Items) -> dict[tuple[str, str], tuple[int, int, Decimal]]:
    found: dict[tuple[str, str], tuple[int, int, Decimal]] = defaultdict(lambda: (0, 0, Decimal(0)))
    for category, hour, units, price in items.values():
        lines, total, revenue = found[hour, category]
        found[hour, category] = lines + 1, total + units, revenue + Decimal(f"{price:.10f}")
    return dict(found)


def answered(program: Program) -> dict[tuple[str, str], tuple[int, int, Decimal]]:
    done = program.run("query", "SELECT * FROM sales", "--format", "json").expect(0)
    rows = json.loads(done.out, parse_float=Decimal)
    return {
        (row["hour"][:13].replace(" ", "T"), row["category"]): (row["lines"], row["units"], Decimal(row["revenue"]))
        for row in rows
    }


def test_the_answer_is_the_fold_of_the_items_of_a_table_that_is_changed(table: Server, program: Program) -> None:
    rng, items = random.Random(8), Items()
    change(table, rng, items, 150)
    running = program.start("stream", "run", "--json")
    running.until("committed")
    change(table, rng, items, 150)  # while it is read
    assert running.end(15).code == 0
    change(table, rng, items, 50)
    program.run("stream", "run", "--once").expect(0)
    program.run("batch", "run").expect(0)
    change(table, rng, items, 50)
    program.run("stream", "run", "--once").expect(0)
    assert answered(program) == folded(items)


def scanned(table: Server, name: str) -> dict[str, dict[str, dict[str, str]]]:
    """The items of a table, without what is removed, and without what tells of versions."""
    found = table.ask("Scan", TableName=name, ConsistentRead=True)["Items"]
    return {
        item["line"]["S"]: {key: value for key, value in item.items() if not key.startswith("_shardlake")}
        for item in found
        if "_shardlake_removed" not in item
    }


def test_a_copy_that_two_keep_while_one_is_killed_is_the_table_as_far_as_it_passes(
    table: Server, program: Program
) -> None:
    rng, items = random.Random(4), Items()
    program = replace(program, settings={**program.settings, "limits.chunk_age_s": "0.3"})
    wanted = ("replicate", "--table", "copy", "--where", "category <> 'b' AND price > 0", "--json")
    change(table, rng, items, 60)
    stream = program.start("stream", "run", "--json")
    stream.until("committed")
    copying = [program.start(*wanted) for _ in range(2)]
    for one in copying:
        one.until("started")
    copying[0].until("replicated")
    change(table, rng, items, 100)
    assert copying[0].end(signal.SIGKILL).killed
    change(table, rng, items, 60)
    assert stream.end(signal.SIGTERM).code == 0
    assert copying[1].end(signal.SIGTERM).code == 0
    program.run("stream", "run", "--once").expect(0)
    program.run(*wanted, "--once").expect(0)
    source = scanned(table, "orders")
    assert scanned(table, "copy") == {
        name: item for name, item in source.items() if item["category"]["S"] != "b" and Decimal(item["price"]["N"]) > 0
    }


def test_a_stream_that_was_enabled_anew_is_another_and_the_old_one_is_read_on(table: Server, program: Program) -> None:
    rng, items = random.Random(2), Items()
    change(table, rng, items, 40)
    program.run("stream", "run", "--once").expect(0)
    change(table, rng, items, 40)
    table.ask("UpdateTable", TableName="orders", StreamSpecification={"StreamEnabled": False})
    table.ask("UpdateTable", TableName="orders", StreamSpecification=BOTH)
    done = program.run("stream", "run", "--once", "--json").expect(0)
    assert "another_stream" in done.err
    assert answered(program) == folded(items)
    newest = table.ask("ListStreams", TableName="orders")["Streams"][-1]["StreamArn"]
    explicit = replace(program, settings={**program.settings, "source.stream": newest})
    assert "is another stream" in explicit.run("stream", "run", "--once").expect(1).err
