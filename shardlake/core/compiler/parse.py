"""SQL text -> the parsed SELECT, with every clause that a view may not have refused."""

from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from shardlake.core.compiler.text import ViewText
from shardlake.core.schema import SourceSchema

_SHAPE: Final = "write SELECT keys, aggregates FROM source [WHERE ...] GROUP BY keys"
_ABOVE: Final = "leave it out, and apply it above the view when you query it"
_CLAUSES: Final = {"expressions", "from_", "where", "group"}
_REFUSED: Final = {
    "joins": ("a view reads one source and joins nothing", "join above the view when you query it"),
    "laterals": ("a view reads one source and joins nothing", "join above the view when you query it"),
    "having": ("HAVING cannot be decided from a part of the events", _ABOVE),
    "order": ("a view has no order", _ABOVE),
    "limit": ("a LIMIT cannot be decided from a part of the events", _ABOVE),
    "offset": ("an OFFSET cannot be decided from a part of the events", _ABOVE),
    "qualify": ("QUALIFY cannot be decided from a part of the events", _ABOVE),
    "windows": ("window functions cannot be decided from a part of the events", _ABOVE),
    "distinct": ("SELECT DISTINCT is not needed: every key occurs once", "leave DISTINCT out"),
    "with_": ("a view has no WITH clause", _SHAPE),
    "sample": ("a sample is random", "leave it out, or filter by a hash of a column"),
}
_TABLE_SLOTS: Final = {"this"}


def parse_select(text: ViewText, schema: SourceSchema) -> exp.Select:
    """Parse a view's text, down to its clauses. Raises: ViewRefused."""
    statements = [s for s in _parse(text) if s is not None and not isinstance(s, exp.Semicolon)]
    if len(statements) != 1:
        text.refuse(0, f"a view is one statement, not {len(statements)}", _SHAPE)
    select = statements[0]
    if not isinstance(select, exp.Select):
        text.refuse(select, f"a view is a SELECT, not {select.key.upper()}", _SHAPE)
    _remember_words(text, select)
    _check_clauses(text, select)
    _check_source(text, select, schema)
    return select


def parse_expression(text: ViewText) -> exp.Expr:
    """Parse the text of one expression. Raises: ViewRefused."""
    found = [s for s in _parse(text) if s is not None and not isinstance(s, exp.Semicolon)]
    if len(found) != 1:
        text.refuse(0, f"this is one expression, not {len(found)}", "write one expression over the columns")
    _remember_words(text, found[0])
    return found[0]


def _parse(text: ViewText) -> list[exp.Expr | None]:
    try:
        return list(sqlglot.parse(text.sql, dialect="duckdb"))
    except ParseError as error:
        detail = error.errors[0]
        offset = _offset_of(text.sql, detail["line"], detail["col"] - len(detail["highlight"] or ""))
        reason = str(detail["description"]).rstrip(".")
        reason = "an argument or a clause is missing" if reason.startswith("Required keyword") else reason
        text.refuse(offset, f"syntax error: {reason}", _SHAPE)
    except SqlglotError as error:
        text.refuse(0, f"syntax error: {error}", _SHAPE)


def _remember_words(text: ViewText, tree: exp.Expr) -> None:
    """Keep each function's name as it was written, since the parser knows many by another one."""
    for node in tree.find_all(exp.Func):
        if isinstance(node.meta.get("start"), int):
            node.meta["word"] = text.sql[node.meta["start"] : node.meta["end"] + 1].lower()


def _offset_of(sql: str, line: int, column: int) -> int:
    lines = sql.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + max(column, 0)


def _check_clauses(text: ViewText, select: exp.Select) -> None:
    for clause, value in select.args.items():
        if value and clause not in _CLAUSES:
            reason, rewrite = _REFUSED.get(clause, (f"a view has no {clause.strip('_').upper()} clause", _SHAPE))
            first = value[0] if isinstance(value, list) else value
            text.refuse(first if isinstance(first, exp.Expr) else select, reason, rewrite)
    if select.args.get("group") is None:
        text.refuse(select, "a view needs at least one key", "add GROUP BY with a time_bucket or another column")


def _check_source(text: ViewText, select: exp.Select, schema: SourceSchema) -> None:
    source = select.args.get("from_")
    table = source.this if source else None
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        text.refuse(table or select, "a view reads one source by its name", f"write FROM {schema.name}")
    if extra := [slot for slot, value in table.args.items() if value and slot not in _TABLE_SLOTS]:
        text.refuse(table, f"a source is only named, without {extra[0]}", f"write FROM {schema.name}")
    if table.name.lower() != schema.name.lower():
        text.refuse(table, f"{table.name} is not the source of this view", f"write FROM {schema.name}")
