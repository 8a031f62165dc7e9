"""One expression over the columns of an event: what a pack computes when it reads a line, in the views' own SQL."""

from dataclasses import dataclass

from sqlglot import exp

from shardlake.core.algebra.types import NULL
from shardlake.core.compiler.compile import row_scope
from shardlake.core.compiler.names import canonical
from shardlake.core.compiler.parse import parse_expression
from shardlake.core.compiler.scalar import render
from shardlake.core.compiler.text import ViewText
from shardlake.core.schema import SourceSchema


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """An expression as DuckDB's SQL, its type, and the columns that it reads."""

    sql: str
    type: str
    columns: tuple[str, ...]


def compile_expression(name: str, sql: str, schema: SourceSchema) -> CompiledExpression:
    """Compile the expression called `name` over the columns of an event, by the rules of a view's expressions.

    Raises: ViewRefused, with the place.
    """
    text = ViewText(name, sql)
    node = canonical(parse_expression(text), schema)
    term = render(row_scope(text, schema), node)
    columns = tuple(sorted({n.name for n in node.find_all(exp.Column)}))
    if term.type == NULL or not columns:
        text.refuse(node, "a constant says nothing of an event", f"use a column of {schema.name}")
    return CompiledExpression(term.sql, term.type, columns)
