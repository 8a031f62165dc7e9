"""GetItem and BatchGetItem."""

from typing import Any

from shardlake.testing.dynamodb import errors
from shardlake.testing.dynamodb.conditions import resolve
from shardlake.testing.dynamodb.grammar import parse_projection
from shardlake.testing.dynamodb.requests import BatchGetItem, Get, GetItem, KeysAndAttributes
from shardlake.testing.dynamodb.scope import Scope
from shardlake.testing.dynamodb.updates import check_apart, projected
from shardlake.testing.dynamodb.values import Item
from shardlake.testing.dynamodb.world import World, consumed, read_units

Answer = dict[str, Any]
_WHAT = "ProjectionExpression"


def got(request: Get | KeysAndAttributes, item: Item) -> Item:
    """Give the parts of an item that were asked for. Raises: ServiceError (ValidationException)."""
    text = request.projection_expression
    scope = Scope(request, _WHAT, text)
    if text is None:
        return item
    paths = [resolve(path, scope.names) for path in parse_projection(_WHAT, text)]
    check_apart(_WHAT, paths)
    return projected(item, paths)


def get_item(world: World, request: GetItem) -> Answer:
    """Get an item; one that need not be consistent may be as it was a moment ago."""
    table = world.table(request.table_name)
    key = table.key(request.key)
    stored = table.items.get(key)
    if table.undo:
        stored = world.lagging(table, consistent=request.consistent_read).get(key, stored)
    found = got(request, stored[0] if stored else {})
    units = world.consume(table, "read", read_units(stored[1] if stored else 0, consistent=request.consistent_read))
    answer: Answer = {} if stored is None else {"Item": found}
    told = consumed(request.return_consumed_capacity, table, units)
    return answer if told is None else answer | {"ConsumedCapacity": told}


def batch_get_item(world: World, request: BatchGetItem) -> Answer:
    """Get items, each by itself and in no order; some may be left to the caller."""
    count, most = sum(len(wanted.keys) for wanted in request.request_items.values()), world.behaviour.batch_gets_max
    if not count:
        raise errors.not_valid("The list of keys of a batch must not be empty: at least one is needed.")
    if count > most:
        raise errors.not_valid(f"Too many items requested for the BatchGetItem call: at most {most}.")
    answer: Answer = {"Responses": {}, "UnprocessedKeys": {}}
    capacity = []
    room = world.behaviour.batch_get_bytes_max
    for name, wanted in request.request_items.items():
        found, left, size, units = _batched(world, name, wanted, room)
        room -= size
        answer["Responses"][name] = found
        if left:
            answer["UnprocessedKeys"][name] = _as_sent(wanted, left)
        capacity.append(consumed(request.return_consumed_capacity, world.table(name), units))
    return answer | ({} if request.return_consumed_capacity == "NONE" else {"ConsumedCapacity": capacity})


def _batched(
    world: World, name: str, wanted: KeysAndAttributes, room: int
) -> tuple[list[Item], list[Item], int, float]:
    """Give items found, keys left, bytes read and units of one table's part of a batch."""
    table = world.table(name)
    keys = [table.key(key) for key in wanted.keys]
    if len(set(keys)) < len(keys):
        raise errors.not_valid("Provided list of item keys contains duplicates")
    lagging = world.lagging(table, consistent=wanted.consistent_read)
    found: list[Item] = []
    left: list[Item] = []
    total, units = 0, 0.0
    for given, key in zip(wanted.keys, keys, strict=True):
        stored = lagging.get(key, table.items.get(key))
        size = stored[1] if stored else 0
        if total + size > room or world.chances(world.behaviour.unprocessed):
            left.append(given)
            continue
        total += size
        units += world.consume(table, "read", read_units(size, consistent=wanted.consistent_read))
        if stored:
            found.append(got(wanted, stored[0]))
    return found, left, total, units


def _as_sent(wanted: KeysAndAttributes, left: list[Item]) -> Answer:
    sent: Answer = {"Keys": left, "ConsistentRead": wanted.consistent_read}
    if wanted.projection_expression is not None:
        sent["ProjectionExpression"] = wanted.projection_expression
    if wanted.expression_attribute_names is not None:
        sent["ExpressionAttributeNames"] = wanted.expression_attribute_names
    return sent
