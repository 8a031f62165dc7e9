"""Rules of operators: arithmetic, comparison, logic, conditionals."""

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from shardlake.core.algebra.state import Term
from shardlake.core.algebra.types import (
    NULL,
    common_type,
    comparable,
    decimal_of,
    is_integer,
    is_number,
    product_type,
    sum_type,
)
from shardlake.core.compiler.scalar import Rule, Site, name_of

BOTH: Final = ("this", "expression")


def _arithmetic(sign: str, type_of: Callable[[str, str], str]) -> Rule:
    def build(site: Site) -> Term:
        left, right = _numbers(site)
        return Term(f"({left.sql} {sign} {right.sql})", type_of(left.type, right.type))

    return Rule(build, BOTH)


def _numbers(site: Site) -> tuple[Term, Term]:
    left, right = site.term("this"), site.term("expression")
    for side in (left, right):
        if not is_number(side.type):
            site.refuse(f"{name_of(site.node)} takes numbers, not {side.type}", "convert it with TRY_CAST(x AS BIGINT)")
    return left, right


def _divide(site: Site) -> Term:
    left, right = _numbers(site)
    return Term(f"({_double(left)} / {_double(right)})", "DOUBLE")


def _double(term: Term) -> str:
    return term.sql if term.type == "DOUBLE" else f"CAST({term.sql} AS DOUBLE)"


def _whole_division(sign: str) -> Rule:
    def build(site: Site) -> Term:
        left, right = _numbers(site)
        if not (is_integer(left.type) and is_integer(right.type)):
            site.refuse(f"{sign} takes integers, not {left.type} and {right.type}", "use /, which gives a DOUBLE")
        if not _never_zero(site, right):
            site.refuse(f"{sign} by zero is an error, which one event could cause", f"write x {sign} nullif(y, 0)")
        return Term(f"({left.sql} {sign} {right.sql})", common_type(left.type, right.type))

    return Rule(build, BOTH)


def _never_zero(site: Site, right: Term) -> bool:
    divisor = site.node.expression.unnest()
    if isinstance(divisor, exp.Nullif):
        return divisor.expression.is_int and int(divisor.expression.this) == 0
    return right.constant is not None and int(right.constant) != 0


def _negate(site: Site) -> Term:
    inner = site.term("this")
    if not is_number(inner.type):
        site.refuse(f"- takes a number, not {inner.type}", "convert it with TRY_CAST(x AS BIGINT)")
    return Term(f"(-{inner.sql})", inner.type, f"-{inner.constant}" if inner.constant else None)


def _comparison(sign: str) -> Rule:
    def build(site: Site) -> Term:
        left, right = site.term("this"), site.term("expression")
        _check_comparable(site, left, right)
        return Term(f"({left.sql} {sign} {right.sql})", "BOOLEAN")

    return Rule(build, BOTH)


def _check_comparable(site: Site, left: Term, right: Term) -> None:
    if not comparable(left.type, right.type):
        site.refuse(f"{left.type} is compared with {right.type}", _comparison_hint(left, right))


def _comparison_hint(left: Term, right: Term) -> str:
    for side, text in ((left, right), (right, left)):
        if side.type in ("DATE", "TIMESTAMP") and text.constant is not None:
            return f"write {side.type} {text.sql}"
        if is_number(side.type) and text.constant is not None:
            return "write the number without quotes"
    return "convert one side with TRY_CAST"


def _logic(word: str) -> Rule:
    def build(site: Site) -> Term:
        left, right = _conditions(site, site.term("this"), site.term("expression"))
        return Term(f"({left.sql} {word} {right.sql})", "BOOLEAN")

    return Rule(build, BOTH)


def _conditions(site: Site, *terms: Term) -> tuple[Term, ...]:
    for term in terms:
        site.expect(term, "BOOLEAN", NULL, rewrite="write a condition, such as x <> 0")
    return terms


def _not(site: Site) -> Term:
    (inner,) = _conditions(site, site.term("this"))
    return Term(f"(NOT {inner.sql})", "BOOLEAN")


def _is(site: Site) -> Term:
    inner, what = site.term("this"), site.node.expression
    if isinstance(what, exp.Boolean):
        _conditions(site, inner)
    elif not isinstance(what, exp.Null):
        site.refuse("IS is followed by NULL, TRUE or FALSE", "write IS NOT DISTINCT FROM")
    return Term(f"({inner.sql} IS {site.term('expression').sql})", "BOOLEAN")


def _between(site: Site) -> Term:
    inner, low, high = site.term("this"), site.term("low"), site.term("high")
    _check_comparable(site, inner, low)
    _check_comparable(site, inner, high)
    return Term(f"({inner.sql} BETWEEN {low.sql} AND {high.sql})", "BOOLEAN")


def _in(site: Site) -> Term:
    inner, members = site.term("this"), site.terms()
    for member in members:
        _check_comparable(site, inner, member)
    return Term(f"({inner.sql} IN ({', '.join(m.sql for m in members)}))", "BOOLEAN")


def _like(word: str) -> Rule:
    def build(site: Site) -> Term:
        inner, pattern = site.expect(site.term("this"), "VARCHAR"), site.pattern("expression")
        negated = "NOT " if site.has("negate") else ""
        return Term(f"({inner.sql} {negated}{word} {pattern.sql})", "BOOLEAN")

    return Rule(build, (*BOTH, "negate"))


def _concatenate(site: Site) -> Term:
    left, right = site.expect(site.term("this"), "VARCHAR"), site.expect(site.term("expression"), "VARCHAR")
    return Term(f"({left.sql} || {right.sql})", "VARCHAR")


def _case(site: Site) -> Term:
    compared = site.term("this") if site.has("this") else None
    branches = [Site(site.scope, branch) for branch in site.node.args["ifs"]]
    results = [branch.term("true") for branch in branches]
    otherwise = site.term("default") if site.has("default") else None
    text = " ".join(f"WHEN {_when(b, compared)} THEN {r.sql}" for b, r in zip(branches, results, strict=True))
    last = f" ELSE {otherwise.sql}" if otherwise else ""
    return Term(f"CASE {text}{last} END", joined(*results, *([otherwise] if otherwise else [])))


def _when(branch: Site, compared: Term | None) -> str:
    condition = branch.term("this")
    if compared is None:
        _conditions(branch, condition)
        return condition.sql
    _check_comparable(branch, compared, condition)
    return f"({compared.sql} = {condition.sql})"


def _if(site: Site) -> Term:
    (condition,) = _conditions(site, site.term("this"))
    yes = site.term("true")
    no = site.term("false") if site.has("false") else Term("NULL", NULL)
    return Term(f"CASE WHEN {condition.sql} THEN {yes.sql} ELSE {no.sql} END", joined(yes, no))


def joined(*terms: Term) -> str:
    """Give the common type of several terms. Raises: NoCommonType."""
    type_ = NULL
    for term in terms:
        type_ = common_type(type_, term.type)
    return type_


def _paren(site: Site) -> Term:
    return site.term("this")


def _one_of(function: str) -> Rule:
    def build(site: Site) -> Term:
        terms = [site.term("this"), *site.terms()]
        return Term(f"{function}({', '.join(t.sql for t in terms)})", joined(*terms))

    return Rule(build, ("this", "expressions"), {"ignore_nulls": True})


def _nullif(site: Site) -> Term:
    left, right = site.term("this"), site.term("expression")
    _check_comparable(site, left, right)
    if left.type != right.type and not (is_integer(left.type) and is_integer(right.type)) and decimal_of(left.type):
        site.refuse(f"nullif takes two values of one type, not {left.type} and {right.type}", "convert one side")
    return Term(f"nullif({left.sql}, {right.sql})", left.type)


OPERATORS: Final[dict[type[exp.Expr], Rule]] = {
    exp.Paren: Rule(_paren),
    exp.Add: _arithmetic("+", sum_type),
    exp.Sub: _arithmetic("-", sum_type),
    exp.Mul: _arithmetic("*", product_type),
    exp.Div: Rule(_divide, BOTH),
    exp.IntDiv: _whole_division("//"),
    exp.Mod: _whole_division("%"),
    exp.Neg: Rule(_negate),
    exp.EQ: _comparison("="),
    exp.NEQ: _comparison("<>"),
    exp.LT: _comparison("<"),
    exp.LTE: _comparison("<="),
    exp.GT: _comparison(">"),
    exp.GTE: _comparison(">="),
    exp.NullSafeEQ: _comparison("IS NOT DISTINCT FROM"),
    exp.NullSafeNEQ: _comparison("IS DISTINCT FROM"),
    exp.And: _logic("AND"),
    exp.Or: _logic("OR"),
    exp.Not: Rule(_not),
    exp.Is: Rule(_is, BOTH),
    exp.Between: Rule(_between, ("this", "low", "high")),
    exp.In: Rule(_in, ("this", "expressions")),
    exp.Like: _like("LIKE"),
    exp.ILike: _like("ILIKE"),
    exp.DPipe: Rule(_concatenate, BOTH, {"safe": True}),
    exp.Case: Rule(_case, ("this", "ifs", "default")),
    exp.If: Rule(_if, ("this", "true", "false")),
    exp.Coalesce: _one_of("coalesce"),
    exp.Greatest: _one_of("greatest"),
    exp.Least: _one_of("least"),
    exp.Nullif: Rule(_nullif, BOTH),
}
