"""Column names: which there are, which a view may use, and what was probably meant."""

from difflib import get_close_matches
from typing import Final, TypeVar

from sqlglot import exp

from shardlake.core.algebra.state import Term
from shardlake.core.compiler.text import ViewText
from shardlake.core.schema import SourceSchema
from shardlake.core.sql import identifier

_LISTED_MAX: Final = 20
_LIKELY: Final = 5

Tree = TypeVar("Tree", bound=exp.Expr)


def canonical(tree: Tree, schema: SourceSchema) -> Tree:
    """Give every column the spelling of the schema, so that equal expressions are equal trees."""
    for node in tree.find_all(exp.Column):
        column = schema.column(node.name)
        if column is None or node.table.lower() not in ("", schema.name.lower()):
            continue
        node.set("this", _keeping_place(node.this, exp.to_identifier(column.name, quoted=False)))
        node.set("table", None)
    return tree


def _keeping_place(old: exp.Expr, new: exp.Identifier) -> exp.Identifier:
    new.meta.update(old.meta)
    return new


def source_column(text: ViewText, schema: SourceSchema, node: exp.Column) -> Term:
    """Resolve a column of the source. Raises: ViewRefused if there is none, or a view may not use it."""
    if node.table:
        text.refuse(node, f"{node.table}.{node.name} is not a column of {schema.name}", f"write {node.name}")
    if node.name.startswith("_"):
        reason = f"{node.name} says how the event was read, which differs when it is read again"
        text.refuse(node, reason, f"use a column of {schema.name}")
    column = schema.column(node.name)
    if column is None:
        text.refuse(node, f"{schema.name} has no column {node.name}", _nearest(node.name, schema))
    return Term(identifier(column.name), column.type)


def _nearest(name: str, schema: SourceSchema) -> str:
    names = {c.name.lower(): c.name for c in schema.columns}
    near = get_close_matches(name.lower(), names, n=1)
    if near:
        return f"did you mean {names[near[0]]}?"
    if len(names) <= _LISTED_MAX:
        return f"its columns are {', '.join(names.values())}"
    likely = [names[one] for one in get_close_matches(name.lower(), names, n=_LIKELY, cutoff=0)]
    return f"of its {len(names)} columns, the likeliest are {', '.join(likely)}"
