"""Aggregates as they stand in the tree -> the algebra's; everything else is refused."""

from typing import Final

from sqlglot import exp

from shardlake.core.algebra import AGGREGATES, REFUSED, Aggregation, Call, NotMergeable
from shardlake.core.compiler.scalar import Scope, name_of, render
from shardlake.core.compiler.text import ViewText

_NODES: Final[dict[type[exp.Expr], tuple[str, tuple[str, ...]]]] = {
    exp.Count: ("count", ("this",)),
    exp.CountIf: ("count_if", ("this",)),
    exp.Sum: ("sum", ("this",)),
    exp.Avg: ("avg", ("this",)),
    exp.Min: ("min", ("this",)),
    exp.Max: ("max", ("this",)),
    exp.LogicalAnd: ("bool_and", ("this",)),
    exp.LogicalOr: ("bool_or", ("this",)),
    exp.Variance: ("var_samp", ("this",)),
    exp.VariancePop: ("var_pop", ("this",)),
    exp.Stddev: ("stddev_samp", ("this",)),
    exp.StddevSamp: ("stddev_samp", ("this",)),
    exp.StddevPop: ("stddev_pop", ("this",)),
    exp.ArgMax: ("arg_max", ("this", "expression")),
    exp.ArgMin: ("arg_min", ("this", "expression")),
    exp.ApproxDistinct: ("approx_count_distinct", ("this",)),
    exp.ApproxQuantile: ("approx_quantile", ("this", "quantile")),
}
_HARMLESS: Final = {"big_int"}
_REFUSED_NODES: Final[dict[type[exp.Expr], str]] = {
    exp.AnyValue: "any_value",
    exp.ApproxTopK: "approx_top_k",
    exp.ArrayAgg: "array_agg",
    exp.First: "first",
    exp.Last: "last",
    exp.List: "list",
    exp.Median: "median",
    exp.Mode: "mode",
    exp.PercentileCont: "quantile_cont",
    exp.PercentileDisc: "quantile_disc",
    exp.GroupConcat: "string_agg",
}
_OF_DISTINCT: Final = {
    "count": "write approx_count_distinct(x), or make x a key of the view and count above it",
    "min": "leave DISTINCT out",
    "max": "leave DISTINCT out",
}


def is_aggregate(node: exp.Expr) -> bool:
    """Tell whether a node aggregates rows, in the algebra or not."""
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in REFUSED
    return isinstance(node, (*_NODES, *_REFUSED_NODES, exp.AggFunc, exp.Filter, exp.IgnoreNulls, exp.WithinGroup))


def has_aggregate(node: exp.Expr) -> bool:
    """Tell whether there is an aggregate in an expression."""
    return any(is_aggregate(n) for n in node.walk())


def aggregation(scope: Scope, node: exp.Expr, *, weighted: bool = False) -> Aggregation:
    """Build an aggregate, with its FILTER if it has one. Raises: ViewRefused.

    `scope` is that of rows: it resolves the source's columns. `weighted` says that these may be taken back.
    """
    where = None
    if isinstance(node, exp.Filter):
        condition = render(scope, node.expression.this)
        if condition.type != "BOOLEAN":
            scope.text.refuse(node.expression, f"FILTER takes a condition, not {condition.type}", "write x <> 0")
        node, where = node.this, condition.sql
    name, slots = _known(scope.text, node)
    _check_arguments(scope.text, node, name, slots)
    args = tuple(render(scope, node.args[s]) for s in slots if not isinstance(node.args.get(s), (exp.Star, type(None))))
    try:
        return AGGREGATES[name].build(Call(name, args, where), weighted=weighted)
    except NotMergeable as error:
        scope.text.refuse(node, error.reason, error.rewrite)


def _known(text: ViewText, node: exp.Expr) -> tuple[str, tuple[str, ...]]:
    if isinstance(node, exp.IgnoreNulls) and isinstance(node.this, exp.AnyValue):
        node = node.this  # the parser adds IGNORE NULLS to any_value by itself
    known = _NODES.get(type(node))
    if known and known[0] in AGGREGATES:
        return known
    name = _REFUSED_NODES.get(type(node)) or name_of(node)
    reason, rewrite = REFUSED.get(name, ("its parts do not merge exactly", f"use one of {', '.join(AGGREGATES)}"))
    text.refuse(node, f"{name} is not in the algebra: {reason}", rewrite)


def _check_arguments(text: ViewText, node: exp.Expr, name: str, slots: tuple[str, ...]) -> None:
    for slot, value in node.args.items():
        if value and slot not in slots and slot not in _HARMLESS:
            place = value[0] if isinstance(value, list) else value
            at = place if isinstance(place, exp.Expr) else node
            rewrite = f"write {name}({', '.join('xyz'[: len(slots)])})"
            text.refuse(at, f"{name} with another argument ({slot}) is not in the algebra", rewrite)
    for slot in slots:
        _check_argument(text, node, name, node.args.get(slot))


def _check_argument(text: ViewText, node: exp.Expr, name: str, value: object) -> None:
    if isinstance(value, exp.Distinct):
        rewrite = _OF_DISTINCT.get(name, "make x a key of the view, and aggregate above it")
        text.refuse(node, f"{name}(DISTINCT x) has no partial form that merges", rewrite)
    if isinstance(value, exp.Order):
        text.refuse(node, f"{name} with ORDER BY is not in the algebra", "leave it out, or write arg_min or arg_max")
    if isinstance(value, exp.Star) and (name != "count" or any(value.args.values())):
        text.refuse(node, f"{name} of a star is not in the algebra", f"name a column: {name}(x)")
    if value is None and name != "count":
        text.refuse(node, f"{name} lacks an argument", f"write {name}(x)")
