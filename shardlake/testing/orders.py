"""Orders of a shop as changes of a DynamoDB table: lines come, are corrected, taken back, and expire.

    python -m shardlake.testing.orders FOLDER --endpoint http://127.0.0.1:8000

plays the files of a folder, or without one drawn orders, into the table `orders`, which it makes. In a program:

    shop = Shop("orders", random.Random(7), now_s)
    for sale in read_sales(folder):          # or drawn_sales(rng, 500)
        for action, request in shop.changes(sale):
            dynamo.ask(action, **request)

Files are CSV with the columns of the data set Online Retail: an invoice whose number begins with C takes back.
"""

import argparse
import csv
import gzip
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, Final

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.client import DynamoClient
from shardlake.adapters.dynamodb.port import DynamoCalls
from shardlake.core.errors import ConfigError
from shardlake.core.ports import Clock

TABLE: Final = "orders"
Request = tuple[str, Mapping[str, Any]]
LineKey = tuple[str, int]
_WORDS: Final = (
    ("RED", "WHITE HANGING", "SET OF 3", "VINTAGE", "Ünique"),
    ("HEART", "CHRISTMAS", "RETROSPOT", "GLASS", "PAPER"),
    ("BAG", "T-LIGHT HOLDER", "MUG", "CARDS", "NECKLACE", "DOORMAT", "LANTERN", "JAM MAKING"),
)
_CODES: Final = ("POST", "DOT", "M")


@dataclass(frozen=True, slots=True)
class Sale:
    """A row of such a file; `description` and `customer` are "" where there is none."""

    invoice: str
    stock_code: str
    description: str
    quantity: int
    ordered_at: datetime
    unit_price: Decimal
    customer: str
    country: str

    @property
    def cancels(self) -> bool:
        """Tell whether it takes back."""
        return self.invoice.startswith("C")


@dataclass(slots=True)
class _Line:
    sale: Sale
    quantity: int
    expires_s: int | None


def read_sales(folder: Path) -> Iterator[Sale]:
    """Read the rows of all `*.csv.gz` of a folder, file by file in the order of their names."""
    for path in sorted(folder.glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield Sale(
                    row["InvoiceNo"],
                    row["StockCode"],
                    row["Description"],
                    int(row["Quantity"]),
                    datetime.fromisoformat(row["InvoiceDate"]),
                    Decimal(row["UnitPrice"]),
                    row["CustomerID"].removesuffix(".0"),
                    row["Country"],
                )


def drawn_sales(rng: random.Random, count: int) -> list[Sale]:
    """Draw rows as the real ones are: several lines an order, codes twice in one, no names, cancellations."""
    start, found = datetime(2010, 12, 1, 8), list[Sale]()
    while len(found) < count:
        number = 536_365 + len(found)
        when = start + timedelta(minutes=rng.randrange(6 * 60))
        customer = rng.choice(("17850", "12583", "14527", ""))
        if found and rng.random() < 0.3:
            sold = rng.choice(found)
            taken = -rng.randint(1, abs(sold.quantity) + 3)
            found.append(replace(sold, invoice=f"C{number}", quantity=taken, ordered_at=when))
            continue
        for _ in range(rng.randint(1, 4)):
            code = rng.choice(_CODES) if rng.random() < 0.1 else str(20_000 + rng.randrange(12))
            name = "" if rng.random() < 0.1 else " ".join(rng.choice(words) for words in _WORDS)
            count_of = -rng.randint(1, 9) if not name else rng.randint(1, 48)
            price = Decimal(rng.randrange(10**7)).scaleb(-rng.choice((0, 1, 2, 4)))
            found.append(Sale(str(number), code, name, count_of, when, price, customer, "France"))
    return found[:count]


@dataclass(slots=True)
class Shop:
    """What keeps the table: it knows which lines are there, as far as they have not expired.

    A cancellation takes its quantity from the lines of that customer and stock code, the one that was sold last first;
    of which nothing is left is removed. What is not found was sold before the first row: it is counted in `unmatched`,
    and changes nothing. `corrected` and `expiring` are the chances that a row is followed by a correction of some line,
    and that a new order is one that expires after `life_s` unless it is changed.
    """

    table: str
    chance: random.Random
    now_s: Callable[[], int]
    corrected: float = 0.05
    expiring: float = 0.05
    life_s: int = 600
    unmatched: int = 0
    _lines: dict[LineKey, _Line] = field(default_factory=dict)
    _sold: dict[tuple[str, str], list[LineKey]] = field(default_factory=lambda: defaultdict(list))
    _last: tuple[str, int, int | None] = ("", 0, None)

    def changes(self, sale: Sale) -> Iterator[Request]:
        """Give the requests that a row leads to, each to be sent before the next one is asked for."""
        if sale.cancels:
            yield from self._cancelled(sale)
        else:
            yield self._sold_line(sale)
        if self._lines and self.chance.random() < self.corrected:
            yield from self._corrected()

    def _sold_line(self, sale: Sale) -> Request:
        invoice, number, expires_s = self._last
        if invoice != sale.invoice:
            number = 0
            expires_s = self.now_s() + self.life_s if self.chance.random() < self.expiring else None
        self._last = sale.invoice, number + 1, expires_s
        key = sale.invoice, number + 1
        self._lines[key] = _Line(sale, sale.quantity, expires_s)
        self._sold[sale.customer, sale.stock_code].append(key)
        return "PutItem", {"TableName": self.table, "Item": item_of(sale, number + 1, expires_s)}

    def _cancelled(self, sale: Sale) -> Iterator[Request]:
        left, sold = -sale.quantity, self._sold[sale.customer, sale.stock_code]
        for key in reversed(sold if sale.customer else ()):
            line = self._lines.get(key)
            if left <= 0 or line is None or line.quantity <= 0 or self._is_expired(line):
                continue
            taken = min(left, line.quantity)
            left, line.quantity = left - taken, line.quantity - taken
            if line.quantity:
                yield self._set(key, "quantity", {"N": str(line.quantity)})
            else:
                del self._lines[key]
                yield "DeleteItem", {"TableName": self.table, "Key": key_of(key)}
        self.unmatched += left > 0

    def _corrected(self) -> Iterator[Request]:
        """Correct the price of a line, or its name, which may make it goods of another kind."""
        key = self.chance.choice(list(self._lines))
        if self._is_expired(self._lines[key]):
            del self._lines[key]
        elif self.chance.random() < 0.7:
            price = Decimal(self.chance.randrange(1, 10**5)).scaleb(-2)
            yield self._set(key, "unit_price", {"N": str(price)})
        else:
            yield self._set(key, "description", {"S": " ".join(self.chance.choice(words) for words in _WORDS)})

    def _is_expired(self, line: _Line) -> bool:
        return line.expires_s is not None and line.expires_s <= self.now_s() + 1

    def _set(self, key: LineKey, name: str, value: Mapping[str, Any]) -> Request:
        return "UpdateItem", {
            "TableName": self.table,
            "Key": key_of(key),
            "UpdateExpression": "SET #a = :v",
            "ExpressionAttributeNames": {"#a": name},
            "ExpressionAttributeValues": {":v": value},
        }


def key_of(key: LineKey) -> dict[str, Any]:
    """Write the key of an order's line as DynamoDB has it."""
    return {"invoice": {"S": key[0]}, "line": {"N": str(key[1])}}


def item_of(sale: Sale, line: int, expires_s: int | None = None) -> dict[str, Any]:
    """Write a line of an order as an item of the pack `orders`."""
    item = key_of((sale.invoice, line)) | {
        "ordered_at": {"S": sale.ordered_at.isoformat()},
        "stock_code": {"S": sale.stock_code},
        "quantity": {"N": str(sale.quantity)},
        "unit_price": {"N": f"{sale.unit_price:f}"},
        "country": {"S": sale.country},
    }
    item |= {"description": {"S": sale.description}} if sale.description else {}
    item |= {"customer": {"S": sale.customer}} if sale.customer else {}
    return item | ({"expires": {"N": str(expires_s)}} if expires_s is not None else {})


def creation(table: str = TABLE, view: str = "NEW_AND_OLD_IMAGES") -> dict[str, Any]:
    """Give the request that makes such a table, with a stream that shows this view of it; "" for none."""
    keys = (("invoice", "HASH", "S"), ("line", "RANGE", "N"))
    stream = {"StreamEnabled": True, "StreamViewType": view}
    return {
        "TableName": table,
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind, _ in keys],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": type_} for name, _, type_ in keys],
        "BillingMode": "PAY_PER_REQUEST",
        **({"StreamSpecification": stream} if view else {}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Play orders into a table, and print how many requests were sent and how many rows found nothing to take back."""
    parser = argparse.ArgumentParser(prog="python -m shardlake.testing.orders", description="Play orders into a table.")
    parser.add_argument("folder", nargs="?", type=Path, help="a folder with *.csv.gz; without one orders are drawn")
    parser.add_argument("--endpoint", default="", help="a service that speaks like AWS, instead of AWS")
    parser.add_argument("--region", default="", help="the region of the table, instead of AWS_REGION")
    parser.add_argument("--table", default=TABLE, help="the table; it is made if it is not there")
    parser.add_argument("--rows", type=int, default=10_000, help="how many rows are played at most")
    parser.add_argument("--seed", type=int, default=0, help="what chance begins with")
    options = parser.parse_args(arguments)
    chance, clock = random.Random(options.seed), SystemClock()
    sales = read_sales(options.folder) if options.folder else iter(drawn_sales(chance, options.rows))
    shop, sent = Shop(options.table, chance, lambda: clock.now_us() // 1_000_000), 0
    with closing(DynamoClient(AwsSettings(options.region, options.endpoint))) as client:
        _make(client, options.table, clock)
        for sale in islice(sales, options.rows):
            for action, request in shop.changes(sale):
                client.call(action, request)
                sent += 1
    sys.stdout.write(f"{sent:,} changes of table {options.table}; {shop.unmatched:,} rows found nothing to take back\n")
    return 0


def _make(client: DynamoCalls, table: str, clock: Clock) -> None:
    """Make the table if it is not there, and wait until it takes changes."""
    try:
        client.call("DescribeTable", {"TableName": table})
    except ConfigError:
        client.call("CreateTable", creation(table))
    while client.call("DescribeTable", {"TableName": table})["Table"]["TableStatus"] != "ACTIVE":
        clock.sleep_s(1.0)


if __name__ == "__main__":
    sys.exit(main())
