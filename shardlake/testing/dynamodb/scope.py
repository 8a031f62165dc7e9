"""The names and values of a request, checked against the expressions that use them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from shardlake.testing.dynamodb.errors import not_valid
from shardlake.testing.dynamodb.grammar import parse_condition, parse_projection, parse_update, placeholders
from shardlake.testing.dynamodb.values import Value, clean

_NONE: dict[str, Any] = {}


@lru_cache(maxsize=1024)
def used(what: str, text: str) -> frozenset[str]:
    """Give the placeholders of an expression. Raises: ServiceError if it cannot be parsed."""
    if what == "ProjectionExpression":
        return frozenset(placeholders(parse_projection(what, text)))
    if what == "UpdateExpression":
        return frozenset(placeholders(parse_update(what, text)))
    return frozenset(placeholders(parse_condition(what, text)))


class Scope:
    """What the placeholders of a request stand for: names as they are, values in normal form."""

    __slots__ = ("names", "values")

    def __init__(self, request: Any, what: str, text: str | None, **others: str | None) -> None:
        """Raises: ServiceError if a placeholder is not defined, or defined and not used."""
        names: Mapping[str, str] | None = request.expression_attribute_names
        values = getattr(request, "expression_attribute_values", None)
        texts = {what: text} if text is not None else {}
        texts |= {f"{name.title()}Expression": other for name, other in others.items() if other is not None}
        self.names = names or _NONE
        self.values: Mapping[str, Value] = (
            {name: clean(value)[0] for name, value in values.items()} if values else _NONE
        )
        _check(texts, names, values)


def _check(texts: Mapping[str, str], names: Mapping[str, str] | None, values: Mapping[str, Any] | None) -> None:
    if not texts:
        if names is not None or values is not None:
            field = "ExpressionAttributeNames" if names is not None else "ExpressionAttributeValues"
            raise not_valid(f"{field} can only be specified when using expressions")
        return
    wanted: set[str] = set()
    for what, text in texts.items():
        speaks = used(what, text)
        for one in speaks:
            _check_defined(what, one, names, values)
        wanted |= speaks
    for field, given in (("ExpressionAttributeNames", names), ("ExpressionAttributeValues", values)):
        if given is None:
            continue
        if not given:
            raise not_valid(f"{field} must not be empty")
        unused = sorted(set(given) - wanted)
        if unused:
            raise not_valid(f"Value provided in {field} unused in expressions: keys: {{{', '.join(unused)}}}")


def _check_defined(what: str, one: str, names: Mapping[str, str] | None, values: Mapping[str, Any] | None) -> None:
    if one[0] == "#" and (names is None or one not in names):
        raise not_valid(
            f"Invalid {what}: An expression attribute name used in the document path is not defined; "
            f"attribute name: {one}",
        )
    if one[0] == ":" and (values is None or one not in values):
        raise not_valid(
            f"Invalid {what}: An expression attribute value used in expression is not defined; attribute value: {one}",
        )
