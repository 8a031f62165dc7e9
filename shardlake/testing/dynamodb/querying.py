"""Query and Scan: pages of items, in order."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, Final

from shardlake.testing.dynamodb import errors
from shardlake.testing.dynamodb.conditions import condition, resolve
from shardlake.testing.dynamodb.grammar import Node, Path, parse_condition, parse_projection, paths_of
from shardlake.testing.dynamodb.requests import Listed, Query, Scan
from shardlake.testing.dynamodb.scope import Scope
from shardlake.testing.dynamodb.table import Key, Stored, Table, part_of
from shardlake.testing.dynamodb.updates import check_apart, projected
from shardlake.testing.dynamodb.values import Item, Value, clean_item, order_of
from shardlake.testing.dynamodb.world import Lagging, World, consumed, read_units

Answer = dict[str, Any]
Wanted = dict[str, tuple[str, list[Value]]]  # attribute -> sign and operands
_KEYS: Final = "KeyConditionExpression"
_FILTER: Final = "FilterExpression"
_HASHES: Final = 1 << 128
_AFTER_ALL: Final = b"\xff" * 17


# -------------------------------------------------------------------------------------------------------- pages


class _Page:
    """What a read of many items gives: from its candidates in order to an answer."""

    def __init__(self, world: World, request: Listed, table: Table, scope: Scope) -> None:
        self._world, self._request, self._table, self._scope = world, request, table, scope
        self._filter = None if request.filter_expression is None else condition(_FILTER, request.filter_expression)
        index = request.index_name
        names = table.keys if index is None else (*table.indexes[index], *table.keys)
        self._paths: list[Path] | None = [(name,) for name in dict.fromkeys(names)] if index is not None else None
        self._key_names = tuple(dict.fromkeys(names))
        if request.projection_expression is not None:
            text = request.projection_expression
            self._paths = [resolve(path, scope.names) for path in parse_projection("ProjectionExpression", text)]
            check_apart("ProjectionExpression", self._paths)
        if request.limit is not None and request.limit < 1:
            raise errors.not_valid(
                "1 validation error detected: Value at 'limit' failed to satisfy constraint: "
                "Member must have value greater than or equal to 1",
            )

    def check_filter(self, names: tuple[str, ...]) -> None:
        """Check that a query's filter leaves the key alone. Raises: ServiceError (ValidationException)."""
        text = self._request.filter_expression
        if text is None:
            return
        for path in paths_of(parse_condition(_FILTER, text)):
            [name, *_] = resolve(path, self._scope.names)
            if name in names:
                raise errors.not_valid(
                    f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {name}",
                )

    def answer(self, candidates: Iterable[Stored]) -> Answer:
        """Read until the limit, or 1 MB, or the end."""
        request, most = self._request, self._world.behaviour.page_bytes_max
        items: list[Item] = []
        scanned = size = 0
        last: Item | None = None
        more = False
        for item, its_size in candidates:
            if scanned and size + its_size > most:
                more = True
                break
            scanned, size, last = scanned + 1, size + its_size, item
            if self._filter is None or self._filter(item, self._scope.names, self._scope.values):
                items.append(item)
            if scanned == request.limit:
                more = True
                break
        units = self._world.consume(self._table, "read", read_units(size, consistent=request.consistent_read))
        return self._told(items, scanned, last if more else None, units)

    def _told(self, items: list[Item], scanned: int, last: Item | None, units: float) -> Answer:
        answer: Answer = {"Count": len(items), "ScannedCount": scanned}
        if self._request.select != "COUNT":
            answer["Items"] = items if self._paths is None else [projected(item, self._paths) for item in items]
        if last is not None:
            answer["LastEvaluatedKey"] = {name: last[name] for name in self._key_names}
        told = consumed(self._request.return_consumed_capacity, self._table, units)
        return answer if told is None else answer | {"ConsumedCapacity": told}


def _scope(request: Listed, what: str, text: str | None) -> Scope:
    others = {"filter": request.filter_expression, "projection": request.projection_expression}
    return Scope(request, what, text, **others)


def _seen(table: Table, lagging: Lagging, keys: Iterable[Key]) -> Iterator[Stored]:
    """Give the items of some keys as a read sees them."""
    for key in keys:
        stored = lagging[key] if key in lagging else table.items.get(key)
        if stored is not None:
            yield stored


# ------------------------------------------------------------------------------------------------------ queries


def query(world: World, request: Query) -> Answer:
    """Read the items of one partition key, in the order of their sort keys or backwards."""
    table = world.table(request.table_name)
    if request.key_condition_expression is None:
        raise errors.not_valid("Either the KeyConditions or KeyConditionExpression parameter must be specified.")
    scope = _scope(request, _KEYS, request.key_condition_expression)
    names = _index(request, table)
    wanted = _wanted(request, scope, names)
    page = _Page(world, request, table, scope)
    page.check_filter(names)
    lagging = world.lagging(table, consistent=request.consistent_read)
    if request.index_name is None:
        return page.answer(_seen(table, lagging, _range(request, table, wanted, lagging)))
    return page.answer(_indexed(request, table, scope, names, lagging))


def _index(request: Listed, table: Table) -> tuple[str, ...]:
    """Give the key attributes of a table, or of its index. Raises: ServiceError (ValidationException)."""
    if request.index_name is None:
        return table.keys
    if request.index_name not in table.indexes:
        raise errors.not_valid(f"The table does not have the specified index: {request.index_name}")
    if request.consistent_read:
        raise errors.not_valid("Consistent reads are not supported on global secondary indexes")
    return table.indexes[request.index_name]


def _wanted(request: Query, scope: Scope, names: tuple[str, ...]) -> Wanted:
    """Read a key condition. Raises: ServiceError (ValidationException)."""
    assert request.key_condition_expression is not None
    node = parse_condition(_KEYS, request.key_condition_expression)
    parts = [node[1], node[2]] if node[0] == "and" else [node]
    found: Wanted = {}
    for part in parts:
        name, sign, operands = _simple(part, scope)
        if name in found:
            raise errors.not_valid("KeyConditionExpressions must only contain one condition per key")
        found[name] = (sign, operands)
    if names[0] not in found:
        raise errors.not_valid(f"Query condition missed key schema element: {names[0]}")
    if found[names[0]][0] != "=":
        raise errors.not_valid("Query key condition not supported")
    for name in found:
        if name not in names:
            raise errors.not_valid(f"Query condition missed key schema element: {names[-1]}")
    return found


def _simple(node: Node, scope: Scope) -> tuple[str, str, list[Value]]:
    sign, path, *rest = node
    simple = sign in {"=", "<", "<=", ">", ">=", "between", "begins_with"} and path[0] == "path" and len(path[1]) == 1
    if not simple or any(operand[0] != "value" for operand in rest):
        raise errors.not_valid(f"Invalid operator used in {_KEYS}: {sign}")
    [name] = resolve(path[1], scope.names)
    return str(name), sign, [scope.values[operand[1]] for operand in rest]


def _key_value(table: Table, place: int, value: Value) -> Any:
    kind, name = table.kinds[place], table.keys[place]
    if kind not in value:
        raise errors.bad_values("Condition parameter type does not match schema type")
    return part_of(name, kind, value[kind], 2_048)


def _range(request: Query, table: Table, wanted: Wanted, lagging: Lagging) -> Iterable[Key]:
    """Give the keys that a key condition accepts, from where the last page ended."""
    first = _key_value(table, 0, wanted[table.keys[0]][1][0])
    after = None if request.exclusive_start_key is None else table.key(request.exclusive_start_key)
    if after is not None and after[0] != first:
        raise errors.not_valid("The provided starting key is outside query boundaries based on provided conditions")
    if len(table.keys) == 1:
        return [(first,)] if after is None else []
    sorts = table.sorts(first)
    if lagging:  # a replica may have what is gone since
        sorts = sorted({*sorts, *(key[1] for key in lagging if key[0] == first)})
    low, high = _bounds(table, sorts, *wanted[table.keys[1]]) if table.keys[1] in wanted else (0, len(sorts))
    if request.scan_index_forward:
        low = low if after is None else max(low, bisect_right(sorts, after[1]))
        return ((first, sorts[place]) for place in range(low, high))
    high = high if after is None else min(high, bisect_left(sorts, after[1]))
    return ((first, sorts[place]) for place in range(high - 1, low - 1, -1))


def _bounds(table: Table, sorts: list[Any], sign: str, operands: list[Value]) -> tuple[int, int]:
    """Give the places between which sort keys fulfil a condition. Raises: ServiceError (ValidationException)."""
    one, *two = (_key_value(table, 1, operand) for operand in operands)
    low, high = bisect_left(sorts, one), bisect_right(sorts, one)
    if sign == "begins_with":
        if table.kinds[1] == "N":
            raise errors.bad_values("begins_with is not supported for a key of type N")
        return low, bisect_right(sorts, one, low, key=lambda sort: sort[: len(one)])
    if sign == "between":
        if one > two[0]:
            raise errors.not_valid(
                f"Invalid {_KEYS}: The BETWEEN operator requires upper bound to be greater than or equal to "
                "lower bound;",
            )
        return low, bisect_right(sorts, two[0])
    ranges = {"=": (low, high), "<": (0, low), "<=": (0, high), ">": (high, len(sorts)), ">=": (low, len(sorts))}
    return ranges[sign]


def _indexed(request: Query, table: Table, scope: Scope, names: tuple[str, ...], lagging: Lagging) -> Iterable[Stored]:
    """Find items by an index, which is no more than a look at all of them."""
    assert request.key_condition_expression is not None
    test = condition(_KEYS, request.key_condition_expression)
    found = [
        (_index_place(table, names, stored[0]), stored)
        for stored in _seen(table, lagging, table.items.keys() | lagging.keys())
        if all(name in stored[0] for name in names) and test(stored[0], scope.names, scope.values)
    ]
    found.sort(key=lambda each: each[0], reverse=not request.scan_index_forward)
    start = request.exclusive_start_key
    if start is not None:
        if any(name not in start for name in (*names, *table.keys)):
            raise errors.not_valid("The provided starting key is invalid")
        after = _index_place(table, names, clean_item(start)[0])
        found = [each for each in found if (each[0] > after if request.scan_index_forward else each[0] < after)]
    return [stored for _, stored in found]


def _index_place(table: Table, names: tuple[str, ...], item: Item) -> tuple[Any, ...]:
    return tuple(order_of(item[name]) for name in (*names, *table.keys))


# -------------------------------------------------------------------------------------------------------- scans


def scan(world: World, request: Scan) -> Answer:
    """Read all items in the order of their hashes, or those of one segment of the hashes."""
    table = world.table(request.table_name)
    scope = _scope(request, _FILTER, request.filter_expression)
    page = _Page(world, request, table, scope)
    since, before = _segment(request)
    lagging = world.lagging(table, consistent=request.consistent_read)
    keys: Iterable[Key] = table.scanned(since, before)
    if lagging:  # a replica may have what is gone since
        also = {key for key in lagging if since <= table.place(key)[0] < before}
        keys = sorted({*keys, *also}, key=table.place)
    if request.exclusive_start_key is not None:
        after = table.place(table.key(request.exclusive_start_key))
        keys = (key for key in keys if table.place(key) > after)
    return page.answer(_seen(table, lagging, keys))


def _segment(request: Scan) -> tuple[bytes, bytes]:
    """Give the hashes between which a segment lies. Raises: ServiceError (ValidationException)."""
    total, segment = request.total_segments, request.segment
    if (total is None) != (segment is None):
        raise errors.not_valid("Segment and TotalSegments are given together.")
    if total is None or segment is None:
        return b"", _AFTER_ALL
    if not 1 <= total <= 1_000_000 or not 0 <= segment < total:
        raise errors.not_valid(f"The Segment parameter is zero-based and less than TotalSegments: {segment}, {total}")
    since = (segment * _HASHES // total).to_bytes(16, "big")
    return since, _AFTER_ALL if segment + 1 == total else ((segment + 1) * _HASHES // total).to_bytes(16, "big")
