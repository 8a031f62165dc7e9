"""Conditions as functions: `test(item, names, values)`, compiled once for each text."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from shardlake.testing.dynamodb.errors import not_valid
from shardlake.testing.dynamodb.grammar import Node, Path, parse_condition
from shardlake.testing.dynamodb.values import Item, Value, order_of

Names = Mapping[str, str]
Values = Mapping[str, Value]
Get = Callable[[Item, Names, Values], Value | None]
Test = Callable[[Item, Names, Values], bool]


def resolve(path: Path, names: Names) -> Path:
    """Give a path with the names that its placeholders stand for."""
    return tuple(names[step] if isinstance(step, str) and step[0] == "#" else step for step in path)


def value_at(item: Item, path: Path) -> Value | None:
    """Give the value at a resolved path of an item, or None."""
    found: Value | None = {"M": item}
    for step in path:
        if found is None:
            return None
        if isinstance(step, int):
            listed = found.get("L", ())
            found = listed[step] if step < len(listed) else None
        else:
            found = found.get("M", {}).get(step)
    return found


# ----------------------------------------------------------------------------------------------------- operands


def getter(node: Node) -> Get:
    """Make the function that gives an operand's value."""
    kind, what = node[0], node[1]
    if kind == "value":
        return lambda _item, _names, values: values[what]
    if kind == "size":
        return lambda item, names, _values: _size(value_at(item, resolve(what, names)))
    if len(what) > 1:
        return lambda item, names, _values: value_at(item, resolve(what, names))
    [name] = what
    if name[0] == "#":
        return lambda item, names, _values: item.get(names[name])
    return lambda item, _names, _values: item.get(name)


def _size(value: Value | None) -> Value | None:
    if value is None:
        return None
    [(kind, held)] = value.items()
    if kind in {"N", "BOOL", "NULL"}:
        return None
    if kind == "B":
        return {"N": str(len(held) // 4 * 3 - held[-2:].count("="))}
    return {"N": str(len(held))}


# -------------------------------------------------------------------------------------------------------- tests


def _compared(left: Value | None, right: Value | None) -> int | None:
    """Give -1, 0 or 1 for two values of one type that has an order, None for any others."""
    if left is None or right is None:
        return None
    one, two = order_of(left), order_of(right)
    if one is None or two is None or one[0] != two[0]:
        return None
    return int(one[1] > two[1]) - int(one[1] < two[1])


_BY_ORDER: Final[dict[str, frozenset[int]]] = {
    "<": frozenset({-1}),
    "<=": frozenset({-1, 0}),
    ">": frozenset({1}),
    ">=": frozenset({0, 1}),
}


def _comparison(sign: str, one: Node, two: Node) -> Test:
    left, right = getter(one), getter(two)
    if sign == "=":

        def same(item: Item, names: Names, values: Values) -> bool:
            found = left(item, names, values)
            return found is not None and found == right(item, names, values)

        return same
    if sign == "<>":
        return lambda item, names, values: left(item, names, values) != right(item, names, values)
    accepted = _BY_ORDER[sign]
    return lambda item, names, values: _compared(left(item, names, values), right(item, names, values)) in accepted


def _between(one: Node, low: Node, high: Node) -> Test:
    left, least, most = getter(one), getter(low), getter(high)

    def test(item: Item, names: Names, values: Values) -> bool:
        found = left(item, names, values)
        return _compared(least(item, names, values), found) in {-1, 0} and _compared(
            found, most(item, names, values)
        ) in {-1, 0}

    return test


def _among(one: Node, choices: tuple[Node, ...]) -> Test:
    left, among = getter(one), [getter(choice) for choice in choices]

    def test(item: Item, names: Names, values: Values) -> bool:
        found = left(item, names, values)
        return found is not None and any(found == choice(item, names, values) for choice in among)

    return test


def _begins_with(value: Value | None, start: Value | None) -> bool:
    if value is None or start is None:
        return False
    one, two = order_of(value), order_of(start)
    if one is None or two is None or one[0] != two[0] or one[0] == "N":
        return False
    return bool(one[1].startswith(two[1]))


def _contains(value: Value | None, part: Value | None) -> bool:
    if value is None or part is None:
        return False
    [(kind, held)] = value.items()
    [(wanted, sought)] = part.items()
    if kind == "L":
        return part in held
    if kind in {"S", "SS", "NS", "BS"}:
        return kind[0] == wanted and sought in held
    one, two = order_of(value), order_of(part)
    return kind == wanted == "B" and one is not None and two is not None and two[1] in one[1]


def _of_type(value: Value | None, kind: Value | None) -> bool:
    if kind is None or kind.get("S") not in _TYPES:
        raise not_valid(f"Invalid attribute type name found; type: attribute_type, valid types: {', '.join(_TYPES)}")
    return value is not None and kind["S"] in value


_TYPES: Final = ("B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M")
_OF_TWO: Final[dict[str, Callable[[Value | None, Value | None], bool]]] = {
    "begins_with": _begins_with,
    "contains": _contains,
    "attribute_type": _of_type,
}


def _function(name: str, parts: tuple[Any, ...]) -> Test:
    if name in _OF_TWO:
        test, left, right = _OF_TWO[name], getter(parts[0]), getter(parts[1])
        return lambda item, names, values: test(left(item, names, values), right(item, names, values))
    get = getter(("path", parts[0]))
    if name == "attribute_exists":
        return lambda item, names, values: get(item, names, values) is not None
    return lambda item, names, values: get(item, names, values) is None


def _both(left: Node, right: Node) -> Test:
    one, two = compile_test(left), compile_test(right)
    return lambda item, names, values: one(item, names, values) and two(item, names, values)


def _either(left: Node, right: Node) -> Test:
    one, two = compile_test(left), compile_test(right)
    return lambda item, names, values: one(item, names, values) or two(item, names, values)


def _negated(node: Node) -> Test:
    test = compile_test(node)
    return lambda item, names, values: not test(item, names, values)


_COMPILERS: Final[dict[str, Callable[..., Test]]] = {
    "and": _both,
    "or": _either,
    "not": _negated,
    "between": _between,
    "in": _among,
}


def compile_test(node: Node) -> Test:
    """Make the function of a condition's tree."""
    kind, parts = node[0], node[1:]
    if kind in _COMPILERS:
        return _COMPILERS[kind](*parts)
    if kind in _OF_TWO or kind.startswith("attribute_"):
        return _function(kind, parts)
    return _comparison(kind, *parts)


@lru_cache(maxsize=1024)
def condition(what: str, text: str) -> Test:
    """Compile a condition. Raises: ServiceError (ValidationException)."""
    return compile_test(parse_condition(what, text))
