"""The views of the pack `orders` in plain Python, over a fold of a table's change log."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from shardlake.testing.dynamodb import Change
from shardlake.testing.fleet import is_covered

Item = Mapping[str, Any]
Row = dict[str, Any]
KINDS = {
    "christmas": "CHRISTMAS XMAS ADVENT SANTA REINDEER SNOWFLAKE",
    "bags": "BAG BAGS SHOPPER PURSE",
    "lights": "LIGHT LIGHTS LANTERN LAMP CANDLE CANDLES",
    "kitchen": "MUG CUP CUPS PLATE BOWL TEA CAKE JAM KITCHEN LUNCH BOTTLE",
    "jewellery": "NECKLACE BRACELET RING EARRINGS HAIR CHARM",
    "paper": "CARD CARDS PAPER WRAP TISSUES NOTEBOOK PENCIL PENCILS",
}


def folded(changes: Iterable[Change], source: str, upto: Mapping[str, str], before: Iterable[Item] = ()) -> list[Item]:
    """The items that are there after all changes at or below some positions, out of the producer's log."""
    found: dict[tuple[str, str], Item] = {(item["invoice"]["S"], item["line"]["N"]): item for item in before}
    for change in changes:
        if not is_covered(upto.get(f"{source}/{change.shard_id}", "-"), change.number):
            continue
        image = change.new or change.old
        assert image is not None
        key = image["invoice"]["S"], image["line"]["N"]
        assert found.get(key) == change.old, "a change before another one of its item"
        found.pop(key, None)
        found |= {} if change.new is None else {key: change.new}
    return list(found.values())


def category(item: Item) -> str:
    if "description" not in item:
        return "unnamed"
    return "charges" if not item["stock_code"]["S"][0].isdigit() else kind_of(item["description"]["S"])


@cache
def kind_of(description: str) -> str:
    words = set(re.split(r"[^A-Z0-9_]+", description.upper()))
    return next((kind for kind, named in KINDS.items() if words & set(named.split())), "home")


@cache
def hour_of(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(minute=0, second=0)


def counted(items: Iterable[Item], *more: str) -> list[Row]:
    """Lines, units and revenue by hour and kind of goods, and by what else is named; in the order of these."""
    groups: dict[tuple[Any, ...], list[Item]] = defaultdict(list)
    for item in items:
        groups[hour_of(item["ordered_at"]["S"]), category(item), *(item[name]["S"] for name in more)].append(item)
    return [
        dict(zip(("bucket", "category", *more), key, strict=True))
        | {
            "lines": len(group),
            "units": sum(int(item["quantity"]["N"]) for item in group),
            "revenue": sum(int(item["quantity"]["N"]) * Decimal(item["unit_price"]["N"]) for item in group),
        }
        for key, group in sorted(groups.items())
    ]


def views(items: Iterable[Item]) -> dict[str, list[Row]]:
    """Both views of the pack."""
    kept = list(items)
    return {"sales": counted(kept), "baskets": counted(kept, "invoice")}


def sales_by_hour(items: Iterable[Item]) -> list[Row]:
    """What the query of that name answers: orders are counted as sets of invoices."""
    kept = list(items)
    invoices: dict[tuple[datetime, str], set[str]] = defaultdict(set)
    for item in kept:
        invoices[hour_of(item["ordered_at"]["S"]), category(item)].add(item["invoice"]["S"])
    return [row | {"orders": len(invoices[row["bucket"], row["category"]])} for row in counted(kept)]


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of their keys."""
    return sorted(rows, key=lambda row: (row["bucket"], row["category"], row.get("invoice", "")))
