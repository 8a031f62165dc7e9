"""The pack `orders`: images of a table's items, what they sell, and the numbers of four real days."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from shardlake.adapters.engine import Engine
from shardlake.packs.pack import Decoded, Reason
from shardlake.packs.registry import load
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, Change, EmbeddedDynamo
from shardlake.testing.dynamodb.server import serve
from shardlake.testing.orders import TABLE, Sale, Shop, creation, drawn_sales, item_of, main, read_sales
from tests.orders import plain

PACK = load("orders")
Row = dict[str, Any]


def line(item: plain.Item, weight: int = 1, event: str = "INSERT") -> bytes:
    return msgspec.json.encode({"Weight": weight, "Event": event, "Image": item})


def decoded(lines: Iterable[bytes]) -> Decoded:
    return PACK.open(TABLE).decode(b"\n".join(lines))


def events(lines: Iterable[bytes]) -> pa.Table:
    found = decoded(lines)
    assert not found.letters
    weights = pa.array(found.weights if found.weights is not None else [], pa.int32())
    return PACK.enrich(found.rows).append_column("_weight", weights)


def row_of(item: plain.Item) -> Row:
    [row] = events([line(item)]).to_pylist()
    return dict(row)


def answered(sql: str, rows: pa.Table) -> list[Row]:
    """A view of the pack, or a query over it, of the rows that are there: every other one was taken back."""
    engine = Engine()
    names = ", ".join(name for name in rows.column_names if not name.startswith("_"))
    left = engine.table(f"SELECT {names} FROM rows GROUP BY ALL HAVING sum(_weight) <> 0", {"rows": rows})
    views = ", ".join(f"{name} AS (\n{view})" for name, view in PACK.views.items())
    found = engine.table(f"WITH {views} SELECT * FROM (\n{sql})", {"orders": left}).to_pylist()
    engine.close()
    return list(found)


def played(sales: Iterable[Sale], *, corrected: float = 0.0) -> tuple[Shop, EmbeddedDynamo, list[Change]]:
    """Let a shop change a table."""
    clock, told = ManualClock(), list[Change]()
    dynamo = EmbeddedDynamo(clock, random.Random(1), Behaviour.unlimited())
    dynamo.ask("CreateTable", **creation())
    dynamo.watch(told.append)
    shop = Shop(TABLE, random.Random(1), lambda: clock.now_us() // 1_000_000, corrected, expiring=0.0)
    for sale in sales:
        for action, request in shop.changes(sale):
            dynamo.ask(action, **request)
    return shop, dynamo, told


# ---------------------------------------------------------------------------------------------------- images


SALE = Sale(
    "536365",
    "85123A",
    "WHITE HANGING HEART T-LIGHT HOLDER",
    6,
    datetime(2010, 12, 1, 8, 26),
    Decimal("2.55"),
    "17850",
    "United Kingdom",
)


def test_an_image_becomes_a_row() -> None:
    assert row_of(item_of(SALE, 1, expires_s=1_291_200_000)) == {
        "invoice": "536365",
        "line": 1,
        "ordered_at": datetime(2010, 12, 1, 8, 26),
        "stock_code": "85123A",
        "description": "WHITE HANGING HEART T-LIGHT HOLDER",
        "quantity": 6,
        "unit_price": Decimal("2.5500"),
        "customer": "17850",
        "country": "United Kingdom",
        "expires": datetime(2010, 12, 1, 10, 40),
        "_event": "INSERT",
        "category": "lights",
        "_weight": 1,
    }


@pytest.mark.parametrize("name", ["invoice", "line", "quantity", "unit_price", "ordered_at"])
def test_an_image_that_lacks_what_is_counted_is_a_letter(name: str) -> None:
    item = {key: value for key, value in item_of(SALE, 1).items() if key != name}
    found = decoded([line(item), line(item, -1, "REMOVE")])
    assert [letter.reason for letter in found.letters] == [Reason.MISSING, Reason.MISSING]


@pytest.mark.parametrize(("price", "is_read"), [("0.0001", True), ("99999999999.9999", True), ("1.00001", False)])
def test_a_price_is_exact_or_refused(price: str, is_read: bool) -> None:
    found = decoded([line(item_of(SALE, 1) | {"unit_price": {"N": price}})])
    assert bool(found.letters) is not is_read
    if is_read:
        assert found.rows["unit_price"].to_pylist() == [Decimal(price)]


@pytest.mark.parametrize(
    ("code", "description", "category"),
    [
        ("22731", "3D CHRISTMAS STAMPS STICKERS ", "christmas"),
        ("20712", "JUMBO BAG WOODLAND ANIMALS", "bags"),
        ("21731", "RED TOADSTOOL LED NIGHT LIGHT", "lights"),
        ("37444A", "YELLOW BREAKFAST CUP AND SAUCER", "kitchen"),
        ("84836", "ZINC METAL HEART DECORATION", "home"),
        ("90185B", "AMETHYST DIAMANTE EXPANDABLE RING", "jewellery"),
        ("22041", 'RECORD FRAME 7" SINGLE SIZE ', "home"),
        ("21121", "SET/10 red polkadot paper", "paper"),
        ("POST", "POSTAGE", "charges"),
        ("22139", "", "unnamed"),
    ],
)
def test_the_kind_of_goods_is_told_from_the_name(code: str, description: str, category: str) -> None:
    sale = Sale("1", code, description, 1, SALE.ordered_at, Decimal(1), "", "France")
    assert row_of(item_of(sale, 1))["category"] == category == plain.category(item_of(sale, 1))


# Kind of goods, revenue, units, orders.
REAL = [
    ("home", "113161.9000", 48_502, 402),
    ("kitchen", "31095.5600", 12_424, 291),
    ("lights", "20726.6500", 10_490, 210),
    ("christmas", "15121.4800", 8_617, 168),
    ("bags", "12498.1400", 6_168, 171),
    ("paper", "7808.6300", 9_295, 170),
    ("charges", "6434.2200", 61, 34),
    ("jewellery", "1293.9600", 437, 34),
    ("unnamed", "0.0000", -1_003, 52),
]


# ------------------------------------------------------------------------------------- what the shop does, and sells


def sale(invoice: str, quantity: int, price: str = "2.50", code: str = "22041", customer: str = "7") -> Sale:
    return Sale(invoice, code, "RECORD FRAME", quantity, SALE.ordered_at, Decimal(price), customer, "France")


def items(dynamo: EmbeddedDynamo) -> dict[tuple[str, int], int]:
    return {(item["invoice"]["S"], int(item["line"]["N"])): int(item["quantity"]["N"]) for item in dynamo.items(TABLE)}


def test_a_cancellation_takes_from_what_was_sold_last() -> None:
    shop, dynamo, told = played([sale("1", 6), sale("1", 4), sale("2", 5), sale("C3", -7)])
    assert items(dynamo) == {("1", 1): 6, ("1", 2): 2}
    assert [(change.old is None, change.new is None) for change in told[3:]] == [(False, True), (False, False)]
    assert not shop.unmatched


def test_a_cancellation_of_what_nobody_sold_changes_nothing() -> None:
    others = [sale("C2", -1, code="other"), sale("C3", -1, customer="8"), sale("C4", -9)]
    shop, dynamo, _ = played([sale("1", 6), *others])
    assert shop.unmatched == 3
    assert not items(dynamo)  # the last one found six of nine


def test_an_order_counts_while_one_of_its_lines_is_there() -> None:
    bought = [sale("1", 6), sale("1", 4, code="POST"), sale("2", 5)]
    query = PACK.queries["sales_by_hour"]

    def orders(*sales: Sale) -> dict[str, tuple[int, Decimal]]:
        _, dynamo, _ = played(sales)
        rows = answered(query, events(map(line, dynamo.items(TABLE))))
        return {row["category"]: (row["orders"], row["revenue"]) for row in rows}

    assert orders(*bought) == {"home": (2, Decimal("27.5")), "charges": (1, Decimal(10))}
    assert orders(*bought, sale("C3", -5)) == {"home": (1, Decimal(15)), "charges": (1, Decimal(10))}
    assert orders(*bought, sale("C3", -11)) == {"charges": (1, Decimal(10))}


def changes_as_events(told: Iterable[Change]) -> pa.Table:
    images = [(image, weight) for change in told for image, weight in ((change.old, -1), (change.new, 1)) if image]
    return events(line(image, weight, "MODIFY") for image, weight in images)


def test_drawn_orders_give_what_plain_python_gives() -> None:
    _, dynamo, told = played(drawn_sales(random.Random(4), 400), corrected=0.4)
    rows = changes_as_events(told)
    for name, expected in plain.views(dynamo.items(TABLE)).items():
        assert plain.in_order(answered(PACK.views[name], rows)) == expected
    found = plain.in_order(answered(PACK.queries["sales_by_hour"], rows))
    assert found == plain.sales_by_hour(dynamo.items(TABLE))


def test_four_real_days_are_worth_what_they_are_worth(real_data: Path | None) -> None:
    if real_data is None or not (real_data / "orders").is_dir():
        pytest.skip("SHARDLAKE_TEST_DATA has no folder orders")
    shop, dynamo, told = played(read_sales(real_data / "orders"))
    rows = changes_as_events(told)
    assert plain.in_order(answered(PACK.queries["sales_by_hour"], rows)) == plain.sales_by_hour(dynamo.items(TABLE))
    kinds = Counter((change.old is not None, change.new is not None) for change in told)
    assert kinds == {(False, True): 11_164, (True, True): 7, (True, False): 5}
    assert shop.unmatched == 121  # of 133 lines that take back, most were sold before the first of these days
    top = answered(PACK.queries["top_categories"], rows)
    assert [(row["category"], str(row["revenue"]), row["units"], row["orders"]) for row in top] == REAL
    days = answered(PACK.queries["orders_by_hour"], rows)
    assert (len(days), sum(row["orders"] for row in days)) == (42, 497)
    assert sum(row["revenue"] for row in days) == Decimal("208140.54")


def test_orders_are_played_into_a_table_that_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    dynamo = EmbeddedDynamo(ManualClock(), random.Random(1), Behaviour.unlimited())
    with serve(dynamo) as server:
        for _ in range(2):
            assert main(["--endpoint", server.url, "--region", "us-east-1", "--table", "mine", "--rows", "30"]) == 0
    told = capsys.readouterr().out
    assert re.fullmatch(r"(\d+ changes of table mine; \d+ rows found nothing to take back\n){2}", told)
    assert dynamo.items("mine")
    described = dynamo.ask("DescribeTable", TableName="mine")["Table"]
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"


def test_views_compile_and_queries_name_views() -> None:
    for sql in PACK.queries.values():
        description, views = sql.splitlines()[:2]
        assert description.startswith("-- description: ")
        assert set(views.removeprefix("-- views: ").split(", ")) <= PACK.views.keys()
