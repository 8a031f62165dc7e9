"""Updates: what an update expression makes of an item, which it does not change."""

from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from shardlake.testing.dynamodb.conditions import Names, Values, getter, resolve, value_at
from shardlake.testing.dynamodb.errors import NotApplicable, bad_values, not_valid
from shardlake.testing.dynamodb.grammar import Node, Path, parse_update
from shardlake.testing.dynamodb.values import EXACT, Item, Value, decimal_text, in_order

_ABSENT: Final = "The provided expression refers to an attribute that does not exist in the item"
_WRONG_TYPE: Final = "An operand in the update expression has an incorrect data type"
_BAD_PATH: Final = "The document path provided in the update expression is invalid for update"
_SETS: Final = ("SS", "NS", "BS")


@lru_cache(maxsize=1024)
def _actions(text: str) -> tuple[Node, ...]:
    return parse_update("UpdateExpression", text)


def update(text: str, item: Item, names: Names, values: Values) -> tuple[Item, list[Path]]:
    """Give the item after an update, and the paths that it speaks of. Raises: ServiceError (ValidationException)."""
    actions = [(clause, resolve(path, names), *rest) for clause, path, *rest in _actions(text)]
    paths = [action[1] for action in actions]
    if len(paths) > 1:
        check_apart("UpdateExpression", paths)
    # Every source is computed from the item as it was.
    changes = [(path, _new_value(clause, path, rest, item, names, values)) for clause, path, *rest in actions]
    made = dict(item)
    if len(changes) > 1:
        changes.sort(key=_turn)
    for path, value in changes:
        if value is None:
            _remove(made, path)
        else:
            _set(made, path, value)
    return made, paths


def check_apart(what: str, paths: list[Path]) -> None:
    """Check that no path leads into another. Raises: ServiceError (ValidationException)."""
    ordered = sorted(paths, key=lambda path: [str(step) for step in path])
    for one, two in pairwise(ordered):
        if two[: len(one)] == one:
            raise not_valid(f"Invalid {what}: Two document paths overlap with each other; must remove or rewrite one;")


def _turn(change: tuple[Path, Value | None]) -> tuple[bool, tuple[int, ...]]:
    """Order changes: removals come last, and from the end of a list, so that they move no place still to come."""
    path, value = change
    sign = -1 if value is None else 1
    return value is None, tuple(step * sign if isinstance(step, int) else 0 for step in path)


# ------------------------------------------------------------------------------------------------------- values


def _new_value(clause: str, path: Path, rest: list[Any], item: Item, names: Names, values: Values) -> Value | None:
    """Give what shall stand at a path; None for nothing."""
    if clause == "REMOVE":
        return None
    if clause == "SET":
        return _computed(rest[0], item, names, values)
    present, given = value_at(item, path), values[rest[0]]
    return _added(present, given) if clause == "ADD" else _taken(present, given)


def _computed(node: Node, item: Item, names: Names, values: Values) -> Value:
    kind, *parts = node
    if kind == "if_not_exists":
        found = value_at(item, resolve(parts[0], names))
        return found if found is not None else _computed(parts[1], item, names, values)
    if kind in {"+", "-"}:
        return _sum(_computed(parts[0], item, names, values), _computed(parts[1], item, names, values), kind)
    if kind == "list_append":
        one, two = (_computed(part, item, names, values) for part in parts)
        if "L" not in one or "L" not in two:
            raise NotApplicable(_WRONG_TYPE)
        return {"L": [*one["L"], *two["L"]]}
    found = getter(node)(item, names, values)
    if found is None:
        raise NotApplicable(_ABSENT)
    return found


def _sum(one: Value, two: Value, sign: str) -> Value:
    if "N" not in one or "N" not in two:
        raise NotApplicable(_WRONG_TYPE)
    left, right = Decimal(one["N"]), Decimal(two["N"])
    return {"N": decimal_text(EXACT.add(left, right) if sign == "+" else EXACT.subtract(left, right))}


def _added(present: Value | None, given: Value) -> Value:
    [(kind, held)] = given.items()
    if kind == "N":
        return _sum(present or {"N": "0"}, given, "+")
    if kind not in _SETS:
        raise not_valid(
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, "
            f"operand type: {kind}",
        )
    if present is None:
        return given
    if kind not in present:
        raise NotApplicable(_WRONG_TYPE)
    return {kind: in_order(kind, list({*present[kind], *held}))}


def _taken(present: Value | None, given: Value) -> Value | None:
    [(kind, held)] = given.items()
    if kind not in _SETS:
        raise not_valid(
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: DELETE, "
            f"operand type: {kind}",
        )
    if present is None:
        return None
    if kind not in present:
        raise NotApplicable(_WRONG_TYPE)
    left = [member for member in present[kind] if member not in held]
    return {kind: left} if left else None


# ------------------------------------------------------------------------------------------------------- places


def _set(item: Item, path: Path, value: Value) -> None:
    holder, last = _parent(item, path)
    if isinstance(last, str) and isinstance(holder, dict):
        holder[last] = value
    elif isinstance(last, int) and isinstance(holder, list):
        if last < len(holder):
            holder[last] = value
        else:
            holder.append(value)
    else:
        raise NotApplicable(_BAD_PATH)


def _remove(item: Item, path: Path) -> None:
    if len(path) == 1:
        item.pop(str(path[0]), None)
        return
    holder, last = _parent(item, path)
    if isinstance(last, str) and isinstance(holder, dict):
        holder.pop(last, None)
    elif isinstance(last, int) and isinstance(holder, list):
        del holder[last : last + 1]
    else:
        raise NotApplicable(_BAD_PATH)


def _parent(item: Item, path: Path) -> tuple[Any, str | int]:
    """Give what holds the last step of a path, copied on the way. Raises: ServiceError (ValidationException)."""
    holder: Any = item
    for step in path[:-1]:
        found = None
        if isinstance(step, str):
            found = holder.get(step) if isinstance(holder, dict) else None
        elif isinstance(holder, list) and step < len(holder):
            found = holder[step]
        if found is None or not ("M" in found or "L" in found):
            raise NotApplicable(_BAD_PATH)
        [(kind, held)] = found.items()
        copied = dict(held) if kind == "M" else list(held)
        holder[step] = {kind: copied}
        holder = copied
    return holder, path[-1]


def check_keys_untouched(paths: list[Path], keys: tuple[str, ...]) -> None:
    """Check that an update leaves the key alone. Raises: ServiceError (ValidationException)."""
    for path in paths:
        if path[0] in keys:
            raise bad_values(f"Cannot update attribute {path[0]}. This attribute is part of the key")


def projected(item: Item, paths: list[Path]) -> Item:
    """Give the parts of an item that lie at some paths."""
    made: Item = {}
    for path in paths:
        found = value_at(item, path)
        if found is not None:
            _place(made, path, found)
    return {name: _packed(value) for name, value in made.items()}


def _place(made: dict[Any, Any], path: Path, value: Value) -> None:
    """Put a value into a tree of plain dicts, whose kind the next step tells."""
    holder = made
    for step, after in pairwise(path):
        holder = holder.setdefault(step, {"": isinstance(after, int)})
    holder[path[-1]] = value


def _packed(tree: dict[Any, Any]) -> Value:
    """Make a tree's dicts lists and maps again; lists hold no gaps."""
    if "" not in tree:
        return tree
    steps = [(step, _packed(value)) for step, value in tree.items() if step != ""]
    if tree[""]:
        return {"L": [value for _, value in sorted(steps, key=lambda each: each[0])]}
    return {"M": dict(steps)}
