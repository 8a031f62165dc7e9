"""The program with the pack `orders`, over HTTP: killed, asked in between, and batch runs beside it."""

import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

import serving
from shardlake.adapters.clock import SystemClock
from shardlake.core.limits import Limits
from shardlake.testing.dynamodb import Behaviour, Change, EmbeddedDynamo
from shardlake.testing.dynamodb.server import Server, serve
from shardlake.testing.orders import TABLE, Sale, Shop, creation, drawn_sales
from shardlake.testing.runs import Program
from tests.orders import plain
from tests.orders.following import PACK

PATIENCE_S = 60.0


@dataclass(slots=True)
class Live:
    """A shop whose table is behind HTTP, and the program that follows it."""

    server: Server
    program: Program
    shop: Shop
    told: list[Change] = field(default_factory=list)
    before: list[plain.Item] = field(default_factory=list)  # items that were there before there was a stream

    def sell(self, sales: list[Sale]) -> None:
        for sale in sales:
            for action, request in self.shop.changes(sale):
                self.server.ask(action, **request)

    def check(self) -> int:
        """Compare a view and a query with folds of the log up to their certificates; say how many lines are counted."""
        with serving.connect(self.program.root, limits=Limits()) as connection:
            hours, items = self._answered(connection, PACK.queries["sales_by_hour"])
            assert hours == plain.sales_by_hour(items)
            found, items = self._answered(connection, "SELECT * FROM baskets")
        assert found == plain.views(items)["baskets"]
        return sum(row["lines"] for row in found)

    def _answered(self, connection: serving.Connection, sql: str) -> tuple[list[plain.Row], list[plain.Item]]:
        """Ask, and give the rows in order, and the items that there were at the answer's certificate."""
        answer = connection.query(sql)
        rows = plain.in_order(dict(zip(answer.columns, row, strict=True)) for row in answer.rows)
        return rows, plain.folded(self.told, TABLE, answer.certificate.positions, self.before)

    def items(self) -> list[plain.Item]:
        return list(self.server.ask("Scan", TableName=TABLE, ConsistentRead=True)["Items"])

    def check_all(self) -> None:
        """Wait until the answer holds every change."""
        until_s = time.monotonic() + PATIENCE_S
        while self.check() != len(self.items()):
            assert time.monotonic() < until_s, "not every change was read"
            time.sleep(0.1)


@contextmanager
def served(folder: Path, earlier: list[Sale], roll_s: float = 3.0) -> Iterator[Live]:
    """Serve the table of a shop, which has sold something before the table has a stream."""
    clock = SystemClock()
    behaviour = Behaviour.unlimited().changed(roll_s=roll_s, empty_pages=0.1)
    dynamo = EmbeddedDynamo(clock, random.Random(5), behaviour)
    with serve(dynamo) as server:
        server.ask("CreateTable", **creation(view=""))
        source = {"path": "", "pack": "orders", "name": TABLE, "kind": "dynamodb", "table": TABLE}
        settings = {f"source.{key}": value for key, value in {**source, "endpoint": server.url}.items()}
        limits = {"discover_s": "1", "chunk_age_s": "0.2", "worker_expiry_s": "2", "heartbeat_s": "0.2"}
        settings |= {f"limits.{key}": value for key, value in limits.items()}
        shop = Shop(TABLE, random.Random(5), lambda: clock.now_us() // 1_000_000, corrected=0.3, expiring=0.0)
        made = Live(server, Program(folder / "root", folder / "none", settings), shop)
        made.sell(earlier)
        made.before = made.items()
        spec = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        server.ask("UpdateTable", TableName=TABLE, StreamSpecification=spec)
        dynamo.watch(made.told.append)
        yield made


@pytest.fixture(name="live")
def _live(tmp_path: Path) -> Iterator[Live]:
    with served(tmp_path, []) as live:
        yield live


def test_a_table_is_loaded_while_it_is_changed_and_followed(tmp_path: Path) -> None:
    with served(tmp_path, drawn_sales(random.Random(2), 150), roll_s=30.0) as live:
        live.sell(drawn_sales(random.Random(3), 50))
        running = live.program.start("stream", "run", "--json")
        running.until("committed")
        loading = live.program.start("--json", "stream", "bootstrap", "--settle", "0.5")
        for at in range(4):
            live.sell(drawn_sales(random.Random(10 + at), 20))
            time.sleep(0.3)
        done = loading.end().expect(0)
        told = json.loads(done.out)
        assert told["added"] >= len(live.before) // 2
        live.check_all()
        assert not live.program.ask("sales").certificate.views[0].incomplete
        assert running.end(signal.SIGTERM).code == 0


def test_answers_are_folds_of_the_log_while_a_worker_is_killed_and_batch_runs(live: Live) -> None:
    sales = drawn_sales(random.Random(1), 400)
    live.sell(sales[:100])
    running = live.program.start("stream", "run", "--json", crash_at="stream:after-transaction:5")
    running.until("committed")
    live.sell(sales[100:200])
    live.check()
    live.sell(sales[200:250])
    assert running.end().killed
    live.check()
    after = live.program.start("stream", "run", "--json")
    after.until("committed")
    live.program.run("batch", "run").expect(0)
    live.check()
    live.sell(sales[250:])
    live.check_all()
    assert after.end(signal.SIGTERM).code == 0

    done = live.program.run("query", "@sales_by_hour", "--format", "json").expect(0)
    rows = [
        row | {"bucket": datetime.fromisoformat(row["bucket"]).replace(tzinfo=None)}
        for row in json.loads(done.out, parse_float=Decimal)
    ]
    rows = [row | {"revenue": Decimal(row["revenue"])} for row in rows]
    assert plain.in_order(rows) == plain.sales_by_hour(live.items())
