"""Rules of literals and casts.

A CAST that can fail is refused: one event with an odd text would stop the view. TRY_CAST gives NULL instead.
"""

import re
from datetime import datetime
from typing import Final

from sqlglot import exp

from shardlake.core.algebra.state import Term
from shardlake.core.algebra.types import NULL, decimal_of, decimal_type, is_exact_number, is_integer
from shardlake.core.compiler.scalar import Rule, Site
from shardlake.core.schema import PLAIN_TYPES

_INTEGER_MAX: Final = 2**31 - 1
_BIGINT_MAX: Final = 2**63 - 1
_PLACEHOLDER: Final = re.compile(r"\{[a-z_0-9]*[a-z][a-z_0-9]*\}")
_ROUNDED: Final = (exp.Floor, exp.Ceil, exp.Round)
_TYPES: Final = {
    "BOOLEAN": "BOOLEAN",
    "INT": "INTEGER",
    "BIGINT": "BIGINT",
    "DOUBLE": "DOUBLE",
    "TEXT": "VARCHAR",
    "VARCHAR": "VARCHAR",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPNTZ": "TIMESTAMP",
    "DATE": "DATE",
}
_SAFE: Final = {
    ("INTEGER", "BIGINT"),
    ("INTEGER", "DOUBLE"),
    ("BIGINT", "DOUBLE"),
    ("INTEGER", "VARCHAR"),
    ("BIGINT", "VARCHAR"),
    ("BOOLEAN", "INTEGER"),
    ("BOOLEAN", "BIGINT"),
    ("BOOLEAN", "VARCHAR"),
    ("DATE", "TIMESTAMP"),
    ("DATE", "VARCHAR"),
    ("TIMESTAMP", "DATE"),
}
_NOT_PORTABLE: Final = {("DOUBLE", "VARCHAR"), ("TIMESTAMP", "VARCHAR"), ("DOUBLE", "BOOLEAN")}


def _literal(site: Site) -> Term:
    value = str(site.node.this)
    if site.node.is_string:
        if _PLACEHOLDER.search(value):
            site.refuse("{name} in braces has a meaning in the forms of a view", "split it: '{' || 'name}'")
        return Term("'" + value.replace("'", "''") + "'", "VARCHAR", value)
    if value.isdigit():
        return _integer(site, value)
    if re.fullmatch(r"\d*\.\d*", value):
        return _decimal(site, value)
    return Term(f"CAST({value} AS DOUBLE)", "DOUBLE", value)


def _integer(site: Site, digits: str) -> Term:
    if int(digits) > _BIGINT_MAX:
        site.refuse(f"{digits} is greater than a BIGINT", "use a smaller number")
    return Term(digits, "INTEGER" if int(digits) <= _INTEGER_MAX else "BIGINT", digits)


def _decimal(site: Site, text: str) -> Term:
    whole, _, places = text.partition(".")
    width, scale = len(whole) + len(places), len(places)
    if width > 38:
        site.refuse(f"{text} has more than 38 digits", "use fewer digits")
    type_ = decimal_type(width, scale)
    return Term(f"CAST({text} AS {type_})", type_, text)


def _boolean(site: Site) -> Term:
    return Term("true" if site.node.this else "false", "BOOLEAN")


def type_named(site: Site, wanted: exp.Expr) -> str:
    """Read the type of a cast. Raises: ViewRefused for a type outside the closed set."""
    name = wanted.this.name if isinstance(wanted, exp.DataType) else str(wanted)
    if name == "DECIMAL":
        return _decimal_named(site, wanted)
    if name not in _TYPES or wanted.expressions:
        accepted = f"use one of {', '.join(PLAIN_TYPES)}, DECIMAL(p,s)"
        site.refuse(f"{_spoken(wanted)} is not a type of a view", accepted)
    return _TYPES[name]


def _spoken(wanted: exp.Expr) -> str:
    return str(wanted.sql(dialect="duckdb")).replace("INT128", "HUGEINT")


def _decimal_named(site: Site, wanted: exp.Expr) -> str:
    parts = [int(p.name) for p in wanted.expressions if p.name.isdigit()]
    if len(parts) != 2 or not 0 <= parts[1] <= parts[0] <= 38 or parts[0] == 0:
        site.refuse("DECIMAL needs a width and a scale", "write DECIMAL(18,2)")
    return decimal_type(parts[0], parts[1])


def _cast(site: Site) -> Term:
    wanted = type_named(site, site.node.args["to"])
    inner = site.term("this")
    if wanted == inner.type:
        return inner
    if inner.constant is not None and inner.type == "VARCHAR" and wanted in ("DATE", "TIMESTAMP"):
        return _moment(site, inner.constant, wanted)
    _check_portable(site, inner, wanted)
    if not _cannot_fail(inner, wanted):
        site.refuse(f"a CAST of {inner.type} to {wanted} can fail on one event", f"write TRY_CAST(x AS {wanted})")
    return Term(f"CAST({inner.sql} AS {wanted})", wanted)


def _try_cast(site: Site) -> Term:
    wanted = type_named(site, site.node.args["to"])
    inner = site.term("this")
    _check_portable(site, inner, wanted)
    return Term(f"TRY_CAST({inner.sql} AS {wanted})", wanted)


def _check_portable(site: Site, inner: Term, wanted: str) -> None:
    if (inner.type, wanted) in _NOT_PORTABLE:
        site.refuse(f"{inner.type} as {wanted} differs between engines", "compare or truncate the value itself")
    if inner.type == "DOUBLE" and is_integer(wanted) and not isinstance(site.node.this.unnest(), _ROUNDED):
        rewrite = f"write TRY_CAST(floor(x) AS {wanted}), or round, or ceil"
        site.refuse(f"engines round a DOUBLE to {wanted} in different ways", rewrite)


def _cannot_fail(inner: Term, wanted: str) -> bool:
    if inner.type == NULL or (inner.type, wanted) in _SAFE:
        return True
    if decimal_of(inner.type) and wanted in ("DOUBLE", "VARCHAR"):
        return True
    target = decimal_of(wanted)
    if target is None or not is_exact_number(inner.type):
        return False
    width, scale = decimal_of(inner.type) or ({"INTEGER": 10, "BIGINT": 19}[inner.type], 0)
    return target[0] - target[1] >= width - scale + (1 if target[1] < scale else 0)


def _moment(site: Site, text: str, wanted: str) -> Term:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        site.refuse(f"'{text}' is not a {wanted}", "write TIMESTAMP '2024-12-31 23:59:59' or DATE '2024-12-31'")
    if moment.tzinfo is not None:
        site.refuse(f"'{text}' has a time zone", "write it in UTC, without a zone")
    return Term(f"{wanted} '{moment.date() if wanted == 'DATE' else moment}'", wanted)


LITERALS: Final[dict[type[exp.Expr], Rule]] = {
    exp.Literal: Rule(_literal, ("this", "is_string")),
    exp.Boolean: Rule(_boolean),
    exp.Null: Rule(lambda _: Term("NULL", NULL), ()),
    exp.Cast: Rule(_cast, ("this", "to", "_type")),
    exp.TryCast: Rule(_try_cast, ("this", "to", "_type"), {"safe": True}),
}
