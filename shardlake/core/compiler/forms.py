"""Keys, states and outputs -> the three forms, laid out for reading."""

from collections.abc import Sequence
from dataclasses import dataclass

from shardlake.core.algebra.state import Term
from shardlake.core.compiler.outline import Key
from shardlake.core.compiler.states import NamedState
from shardlake.core.sql import identifier
from shardlake.core.view import COMBINED, EVENTS, PARTIALS


@dataclass(frozen=True, slots=True)
class Outline:
    """All that the forms are written from; `weight` names the partial column with a group's weight, if it has one."""

    keys: tuple[Key, ...]
    states: tuple[NamedState, ...]
    row_steps: tuple[tuple[str, str], ...]
    steps: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, Term], ...]
    where: str | None
    weight: str | None = None


def partial_form(view: Outline) -> str:
    """Write the form that aggregates events, leaving out duplicates."""
    keys = [(k.item.name, k.term.sql) for k in view.keys]
    columns = [(s.name, s.state.partial) for s in view.states]
    condition = 'NOT "_duplicate"' + (f"\n    AND {view.where}" if view.where else "")
    source = f"{_stepped(EVENTS, view.row_steps)}\nWHERE {condition}"
    inner = _select([*keys, *columns], source, _group_by(view))
    return _projected(view, inner, [s.text(s.state.partial_post) for s in view.states])


def combine_form(view: Outline) -> str:
    """Write the form that aggregates partial rows."""
    keys = [(k.item.name, identifier(k.item.name)) for k in view.keys]
    columns = [(s.name, s.text(s.state.combine)) for s in view.states]
    inner = _select([*keys, *columns], PARTIALS, _group_by(view))
    return _projected(view, inner, [s.text(s.state.combine_post) for s in view.states])


def finalize_form(view: Outline) -> str:
    """Write the form that turns combined rows into the view's columns; a group without rows has none."""
    some = f"WHERE {identifier(view.weight)} <> 0" if view.weight else ""
    outputs = [(name, term.sql) for name, term in view.outputs]
    if not view.steps:
        return _select(outputs, COMBINED, some)
    return _select(outputs, _stepped(f"{COMBINED}\n{some}" if some else COMBINED, view.steps), "")


def _stepped(source: str, steps: Sequence[tuple[str, str]]) -> str:
    if not steps:
        return source
    listed = ",\n".join(f"    {sql} AS {identifier(name)}" for name, sql in steps)
    return "(\n" + _indented(f"SELECT\n    *,\n{listed}\nFROM {source}") + "\n)"


def _projected(view: Outline, inner: str, posts: Sequence[str]) -> str:
    if not any(posts):
        return inner
    keys = [(k.item.name, identifier(k.item.name)) for k in view.keys]
    columns = [(s.name, post or identifier(s.name)) for s, post in zip(view.states, posts, strict=True)]
    return _select([*keys, *columns], "(\n" + _indented(inner) + "\n)", "")


def _select(columns: Sequence[tuple[str, str]], source: str, tail: str) -> str:
    listed = [sql if sql == identifier(name) else f"{sql} AS {identifier(name)}" for name, sql in columns]
    return "SELECT\n    " + ",\n    ".join(listed) + f"\nFROM {source}" + (f"\n{tail}" if tail else "")


def _group_by(view: Outline) -> str:
    return "GROUP BY " + ", ".join(str(n) for n in range(1, len(view.keys) + 1))


def _indented(sql: str) -> str:
    return "\n".join("    " + line for line in sql.splitlines())
