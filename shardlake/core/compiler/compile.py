"""One view, compiled: the whole pipeline on one screen."""

import hashlib
import json
import re
from dataclasses import dataclass

from sqlglot import exp

from shardlake.core.algebra import ALGEBRA_VERSION, Term, weight_state
from shardlake.core.algebra.types import NULL
from shardlake.core.compiler.aggregates import aggregation, is_aggregate
from shardlake.core.compiler.forms import Outline, combine_form, finalize_form, partial_form
from shardlake.core.compiler.functions import FUNCTIONS, NAMED
from shardlake.core.compiler.literals import LITERALS
from shardlake.core.compiler.names import canonical, source_column
from shardlake.core.compiler.operators import OPERATORS
from shardlake.core.compiler.outline import Item, Key, items_of, keys_of
from shardlake.core.compiler.parse import parse_select
from shardlake.core.compiler.scalar import Scope, name_of, render
from shardlake.core.compiler.states import NamedState, Result, StateTable
from shardlake.core.compiler.text import ViewText
from shardlake.core.errors import ViewRefused
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.sql import identifier
from shardlake.core.view import WEIGHT, CompiledView, OutputColumn, PartialColumn

RESERVED = ("master",)  # the master dataset's pointer stands among those of the views
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_RULES = {**OPERATORS, **LITERALS, **FUNCTIONS}


def compile_view(name: str, sql_text: str, schema: SourceSchema) -> CompiledView:
    """Derive the partial, combine and finalize forms of a view.

    `sql_text` is the content of its `.sql` file: a header of `-- description: ...`, then one SELECT. The
    result is a value; the same text and schema give the same value. Raises: ViewRefused, with the place.
    """
    _check_name(name)
    text = ViewText(name, sql_text)
    settings = text.settings()
    select = canonical(parse_select(text, schema), schema)
    rows = row_scope(text, schema)
    items = items_of(text, select)
    keys = keys_of(rows, select, items, schema)
    table = _no_states(keys, schema)
    outputs = [_output(rows, item, keys, table) for item in items]
    where = _where(rows, select)
    results = tuple((o.column.name, o.term) for o in outputs)
    weight = WEIGHT if schema.weighted else None
    outline = Outline(
        tuple(keys), tuple(table.states), tuple(table.row_steps), tuple(table.steps), results, where, weight
    )
    window = next((k for k in keys if k.window_us is not None), None)
    reads = _reads(select, schema)
    return CompiledView(
        name=name,
        source=schema.name,
        fingerprint=_fingerprint(outline, reads, schema),
        sql=sql_text,
        columns=_partial_columns(outline),
        outputs=tuple(o.column for o in outputs),
        partial=partial_form(outline),
        combine=combine_form(outline),
        finalize=finalize_form(outline),
        window=window.item.name if window else None,
        window_us=window.window_us if window else None,
        description=settings.get("description", ""),
        reads=reads,
        weight=weight,
    )


def _no_states(keys: list[Key], schema: SourceSchema) -> StateTable:
    """Begin the partial columns of a view: over a stream of changes, the first is the weight of a group."""
    table = StateTable({k.item.name.lower() for k in keys} | {c.name.lower() for c in schema.columns}, schema.weighted)
    if schema.weighted:
        state = weight_state()
        table.states.append(NamedState(WEIGHT, state, {state.suffix: WEIGHT}))
    return table


@dataclass(frozen=True, slots=True)
class _Output:
    column: OutputColumn
    term: Term


def _check_name(name: str) -> None:
    """A view's name is the name of a table, of files and of a row of the journal."""
    if not _NAME.fullmatch(name):
        rewrite = "name the file with letters, digits and _, a letter first, 63 at most"
        raise ViewRefused(name, 1, 1, f"{name!r} is no name for a view", rewrite)
    if name.lower() in RESERVED:
        raise ViewRefused(name, 1, 1, f"{name} is a name of Shardlake's own", "name the file otherwise")


def row_scope(text: ViewText, schema: SourceSchema) -> Scope:
    """Where an expression over one event stands."""

    def leaf(node: exp.Expr) -> Term | None:
        if isinstance(node, exp.Column):
            return source_column(text, schema, node)
        if is_aggregate(node):
            rewrite = "aggregate above the view when you query it"
            text.refuse(node, f"{name_of(node)} stands where there is only one event", rewrite)
        return None

    return Scope(text, _RULES, NAMED, leaf)


def _result_scope(rows: Scope, keys: list[Key], table: StateTable, result: Result) -> Scope:
    def leaf(node: exp.Expr) -> Term | None:
        if is_aggregate(node):
            return table.add(aggregation(rows, node, weighted=table.weighted), result)
        for key in keys:
            if key.item.node.unnest() == node.unnest():
                return Term(identifier(key.item.name), key.term.type)
        if isinstance(node, exp.Column):
            render(rows, node)
            rewrite = f"add it to GROUP BY, or write min({node.name})"
            rows.text.refuse(node, f"{node.name} is neither a key nor inside an aggregate", rewrite)
        return None

    return Scope(rows.text, rows.rules, rows.named, leaf)


def _output(rows: Scope, item: Item, keys: list[Key], table: StateTable) -> _Output:
    result = Result(item.name)
    term = render(_result_scope(rows, keys, table, result), item.node)
    if term.type == NULL or not any(isinstance(n, exp.Column | exp.Star | exp.Count) for n in item.node.walk()):
        rows.text.refuse(item.node, "a constant is not computed from events", "add it above the view")
    bound = " and ".join(result.bounds)
    return _Output(OutputColumn(item.name, term.type, result.exactness, bound), term)


def _where(rows: Scope, select: exp.Select) -> str | None:
    clause = select.args.get("where")
    if clause is None:
        return None
    condition = render(rows, clause.this)
    if condition.type != "BOOLEAN":
        rows.text.refuse(clause.this, f"WHERE takes a condition, not {condition.type}", "write x <> 0")
    return condition.sql


def _partial_columns(outline: Outline) -> tuple[PartialColumn, ...]:
    keys = [PartialColumn(k.item.name, k.term.type, "key") for k in outline.keys]
    states = [
        PartialColumn(s.name, s.state.type, "state", "bounded" if s.state.bound else "exact", s.text(s.state.bound))
        for s in outline.states
    ]
    return (*keys, *states)


def _reads(select: exp.Select, schema: SourceSchema) -> tuple[Column, ...]:
    used = {n.name for n in select.find_all(exp.Column)}
    return tuple(Column(c.name, c.type) for c in schema.columns if c.name in used)


def _fingerprint(outline: Outline, reads: tuple[Column, ...], schema: SourceSchema) -> str:
    columns = [(c.name, c.type) for c in reads]
    outputs = [(name, term.sql, term.type) for name, term in outline.outputs]
    keys = [(k.item.name, k.term.sql) for k in outline.keys]
    states = [(s.name, s.state.partial) for s in outline.states]
    steps = [outline.row_steps, outline.steps]
    parts = [ALGEBRA_VERSION, schema.name, columns, keys, states, steps, outputs, outline.where]
    parts += [outline.weight] if outline.weight else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
