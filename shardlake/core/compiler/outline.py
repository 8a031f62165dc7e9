"""The SELECT list and GROUP BY of a view -> its keys, and what else it gives."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from shardlake.core.algebra.state import Term
from shardlake.core.algebra.types import NULL
from shardlake.core.compiler.aggregates import has_aggregate
from shardlake.core.compiler.functions import bucket_us
from shardlake.core.compiler.scalar import Scope, Site, render
from shardlake.core.compiler.text import ViewText
from shardlake.core.schema import SourceSchema

_NAME: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Item:
    """One expression of the SELECT list, with its name."""

    name: str
    node: exp.Expr


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its item, the expression over a row, and the width of its window if it is a `time_bucket`."""

    item: Item
    term: Term
    window_us: int | None


def items_of(text: ViewText, select: exp.Select) -> list[Item]:
    """Name every expression of the SELECT list. Raises: ViewRefused for one without a name, or used twice."""
    items = [_item(text, node) for node in select.expressions]
    seen: set[str] = set()
    for item in items:
        if item.name.lower() in seen:
            text.refuse(item.node, f"two columns are named {item.name}", "name one of them otherwise with AS")
        seen.add(item.name.lower())
    return items


def _item(text: ViewText, node: exp.Expr) -> Item:
    if isinstance(node, exp.Alias):
        alias = node.args["alias"]
        if alias.name.upper() == "EXPORT_STATE" and not alias.quoted:
            text.refuse(alias, "EXPORT_STATE is no part of a view", "leave it out: partial forms are derived")
        if alias.name.startswith("_"):
            text.refuse(alias, f"{alias.name}: names with a leading _ are reserved", "choose another name")
        if not _NAME.fullmatch(alias.name):
            text.refuse(alias, f"{alias.name!r} is not a name that every engine can hold", "use letters, digits and _")
        return Item(alias.name, node.this)
    if isinstance(node, exp.Column):
        return Item(node.name, node)
    if isinstance(node, exp.Star):
        text.refuse(node, "a star does not say what the view holds", "name the columns")
    text.refuse(node, "this column has no name", "name it with AS")


def keys_of(rows: Scope, select: exp.Select, items: list[Item], schema: SourceSchema) -> list[Key]:
    """Find the keys of a view among its items. Raises: ViewRefused."""
    group = select.args["group"]
    for slot, value in group.args.items():
        if value and slot not in ("expressions", "all"):
            rows.text.refuse(group, f"GROUP BY with {slot.upper()} is not one set of keys", "write one view for each")
    plain = [i for i in items if not has_aggregate(i.node)]
    found = plain if group.args.get("all") else _named(rows, group, items, schema)
    keys = [_key(rows, item) for item in _once(found)]
    if not keys:
        rows.text.refuse(group, "a view needs at least one key", "add a time_bucket or another column")
    return keys


def _once(items: Iterable[Item]) -> list[Item]:
    return list({item.name: item for item in items}.values())


def _named(rows: Scope, group: exp.Group, items: list[Item], schema: SourceSchema) -> Iterable[Item]:
    for node in group.expressions:
        if isinstance(node, exp.Rollup | exp.Cube | exp.GroupingSets | exp.Tuple):
            rows.text.refuse(node, f"{node.key.upper()} is not one set of keys", "write one view for each set")
        if isinstance(node, exp.Literal):
            yield _by_ordinal(rows.text, node, items)
        elif isinstance(node, exp.Column) and schema.column(node.name) is None:
            yield _by_alias(rows, node, items)
        else:
            yield _by_expression(rows.text, node, items)


def _by_ordinal(text: ViewText, node: exp.Literal, items: list[Item]) -> Item:
    if not node.is_int or not 1 <= int(node.this) <= len(items):
        text.refuse(node, f"GROUP BY {node.this} is not the number of a column", f"count from 1 to {len(items)}")
    return items[int(node.this) - 1]


def _by_alias(rows: Scope, node: exp.Column, items: list[Item]) -> Item:
    for item in items:
        if item.name.lower() == node.name.lower() and not node.table:
            return item
    render(rows, node)
    raise AssertionError("a column that is not there was accepted")


def _by_expression(text: ViewText, node: exp.Expr, items: list[Item]) -> Item:
    for item in items:
        if item.node.unnest() == node.unnest():
            return item
    shadowed = isinstance(node, exp.Column) and any(i.name.lower() == node.name.lower() for i in items)
    if shadowed:
        text.refuse(node, f"{node.name} is both a column and the name of an expression", "write GROUP BY ALL")
    text.refuse(node, "this key is not in the SELECT list", "select it too: every key is a column of the view")


def _key(rows: Scope, item: Item) -> Key:
    if has_aggregate(item.node):
        rows.text.refuse(item.node, "an aggregate cannot be a key", "leave it out of GROUP BY")
    term = render(rows, item.node)
    if term.type == "DOUBLE":
        rewrite = "write TRY_CAST(floor(x) AS BIGINT) or TRY_CAST(x AS DECIMAL(18,3))"
        rows.text.refuse(item.node, "a DOUBLE key differs by a rounding between engines", rewrite)
    if term.type == NULL or not any(isinstance(n, exp.Column) for n in item.node.walk()):
        rows.text.refuse(item.node, "a constant is no key", "use a column, or leave it out")
    bucket = item.node.unnest()
    return Key(item, term, bucket_us(Site(rows, bucket)) if isinstance(bucket, exp.DateBin) else None)
