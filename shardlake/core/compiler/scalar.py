"""A parsed scalar expression -> DuckDB SQL and a type, through a closed table of rules.

A node type without a rule is refused, and so is every argument of a node that its rule does not name. The SQL is
written here, fully parenthesised, and not by the parser's own generator.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from sqlglot import exp

from shardlake.core.algebra.state import Term
from shardlake.core.algebra.types import NoCommonType
from shardlake.core.compiler.text import ViewText


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands: `leaf` resolves columns, and keys and aggregates where they are allowed."""

    text: ViewText
    rules: Mapping[type[exp.Expr], "Rule"]
    named: Mapping[str, "Rule"]
    leaf: Callable[[exp.Expr], Term | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of node is written.

    `slots` are the arguments it understands; `fixed` those that the parser sets by itself, with the only value
    that is accepted.
    """

    build: Callable[["Site"], Term]
    slots: tuple[str, ...] = ("this",)
    fixed: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """One node being written."""

    scope: Scope
    node: exp.Expr

    def has(self, slot: str) -> bool:
        """Tell whether an argument is given."""
        return bool(self.node.args.get(slot))

    def term(self, slot: str) -> Term:
        """Write one argument. Raises: ViewRefused if it is not there."""
        child = self.node.args.get(slot)
        if not isinstance(child, exp.Expr):
            self.refuse("an argument is missing", "complete the call")
        return render(self.scope, child)

    def terms(self, slot: str = "expressions") -> list[Term]:
        """Write a list of arguments."""
        return [render(self.scope, child) for child in self.node.args.get(slot) or []]

    def positional(self, least: int, most: int) -> list[Term]:
        """Write all arguments of a function that is known by its name only."""
        terms = self.terms()
        if not least <= len(terms) <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            self.refuse(f"{name_of(self.node)} takes {expected} arguments, not {len(terms)}", "correct the call")
        return terms

    def integer(self, slot: str) -> int:
        """Read an argument that has to be an integer constant."""
        term = self.term(slot)
        if term.constant is None or term.type != "INTEGER":
            self.refuse(f"an argument of {name_of(self.node)} is not an integer constant", "write a number")
        return int(term.constant)

    def pattern(self, slot: str) -> Term:
        """Write an argument that has to be a text constant."""
        term = self.term(slot)
        if term.constant is None or term.type != "VARCHAR":
            self.refuse(f"an argument of {name_of(self.node)} is not a text constant", "write it in quotes")
        return term

    def expect(self, term: Term, *types: str, rewrite: str = "convert it first with TRY_CAST") -> Term:
        """Check an argument's type."""
        if term.type not in types:
            self.refuse(f"{name_of(self.node)} takes {' or '.join(types)}, not {term.type}", rewrite)
        return term

    def refuse(self, reason: str, rewrite: str) -> NoReturn:
        """Refuse the view because of this node. Raises: ViewRefused."""
        self.scope.text.refuse(self.node, reason, rewrite)


def render(scope: Scope, node: exp.Expr) -> Term:
    """Write an expression and infer its type. Raises: ViewRefused."""
    if (found := scope.leaf(node)) is not None:
        return found
    rule = _rule(scope, node)
    if rule is None:
        scope.text.refuse(node, f"{name_of(node)} is not in the portable core of functions", _suggestion(node))
    _check_arguments(scope, node, rule)
    try:
        return rule.build(Site(scope, node))
    except NoCommonType as error:
        scope.text.refuse(node, f"{name_of(node)}: {error}", "convert one side with TRY_CAST")


def _rule(scope: Scope, node: exp.Expr) -> Rule | None:
    if isinstance(node, exp.Anonymous):
        return scope.named.get(str(node.this).lower())
    return scope.rules.get(type(node))


def _check_arguments(scope: Scope, node: exp.Expr, rule: Rule) -> None:
    allowed = ("this", "expressions") if isinstance(node, exp.Anonymous) else rule.slots
    for slot, value in node.args.items():
        if slot in allowed or value is None or value is False or value == []:
            continue
        if slot not in rule.fixed or rule.fixed[slot] != value:
            place = value if isinstance(value, exp.Expr) else node
            reason = f"{name_of(node)} with another argument ({slot.strip('_')}) is not in the portable core"
            scope.text.refuse(place, reason, "leave it out")


def name_of(node: exp.Expr) -> str:
    """Name a node as its author would: the function, operator or clause."""
    if type(node) in _SPOKEN:
        return _SPOKEN[type(node)]
    if "word" in node.meta:
        return str(node.meta["word"])
    if isinstance(node, exp.Func) and not isinstance(node, (exp.Case, exp.Cast, exp.And, exp.Or)):
        return str(node.sql(dialect="duckdb")).split("(")[0].lower().strip()
    return node.key.upper()


_SPOKEN: Final[dict[type[exp.Expr], str]] = {
    exp.Subquery: "a subquery", exp.Select: "a subquery", exp.Window: "a window function", exp.Star: "a star",
    exp.Lambda: "a lambda", exp.Placeholder: "a parameter", exp.Parameter: "a parameter", exp.Bracket: "x[i]",
    exp.Struct: "a struct", exp.Array: "a list", exp.Distinct: "DISTINCT", exp.AtTimeZone: "AT TIME ZONE",
    exp.Collate: "COLLATE",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.IntDiv: "//", exp.Pow: "power",
    exp.DPipe: "||", exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.IgnoreNulls: "IGNORE NULLS",
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_CLOCK: Final = "the time of computing differs between layers; use the event's own time"
_HINTS: Final[dict[str, str]] = {
    "now": _CLOCK,
    "current_timestamp": _CLOCK,
    "current_date": _CLOCK,
    "today": _CLOCK,
    "random": "it differs each time; filter by the text of a column, such as its last digit",
    "a subquery": "a view reads one source; join above the view when you query it",
    "a window function": "apply it above the view when you query it",
    "a star": "name the columns",
    "median": "write approx_quantile(x, 0.5)",
}


def _suggestion(node: exp.Expr) -> str:
    return _HINTS.get(name_of(node), "use another function of the core, or apply it above the view")
