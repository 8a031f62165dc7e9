"""Writes of single items: each is planned first, under its condition, and applied afterwards."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from shardlake.testing.dynamodb import errors
from shardlake.testing.dynamodb.conditions import condition
from shardlake.testing.dynamodb.grammar import Path
from shardlake.testing.dynamodb.requests import (
    BatchWriteItem,
    Conditional,
    ConditionCheck,
    Delete,
    DeleteItem,
    Put,
    PutItem,
    Update,
    UpdateItem,
    WriteRequest,
)
from shardlake.testing.dynamodb.scope import Scope
from shardlake.testing.dynamodb.table import Key, Stored, Table
from shardlake.testing.dynamodb.updates import check_keys_untouched, projected, update
from shardlake.testing.dynamodb.values import Item, clean_item, item_size
from shardlake.testing.dynamodb.world import World, consumed, write_units

Answer = dict[str, Any]

_WHAT: Final = "ConditionExpression"


@dataclass(slots=True)
class Change:
    """What a write does: to one item of one table, where its condition held."""

    table: Table
    key: Key
    old: Stored | None
    new: Stored | None
    writes: bool = True
    paths: list[Path] = field(default_factory=list)

    @property
    def units(self) -> int:
        """The capacity that it consumes, outside a transaction."""
        return write_units(self.old[1] if self.old else 0, self.new[1] if self.new else 0)

    def apply(self, world: World) -> None:
        """Do it."""
        if self.writes:
            world.write(self.table, self.key, self.new)


# ------------------------------------------------------------------------------------------------------ planning


def plan_put(world: World, request: Put) -> Change:
    """Plan to put an item. Raises: ServiceError if it is none or too large; ConditionFailed."""
    table = world.table(request.table_name)
    new = clean_item(request.item)
    _check_size(world, new[1], "Item size has exceeded the maximum allowed size")
    key = table.key_of(new[0])
    old = table.items.get(key)
    _check(request, old, Scope(request, _WHAT, request.condition_expression))
    return Change(table, key, old, new)


def plan_delete(world: World, request: Delete | ConditionCheck) -> Change:
    """Plan to delete an item, or to check a condition alone. Raises: ServiceError; ConditionFailed."""
    table = world.table(request.table_name)
    key = table.key(request.key)
    old = table.items.get(key)
    _check(request, old, Scope(request, _WHAT, request.condition_expression))
    writes = isinstance(request, Delete)
    return Change(table, key, old, None if writes else old, writes)


def plan_update(world: World, request: Update) -> Change:
    """Plan to change an item, or to make it. Raises: ServiceError; ConditionFailed."""
    table = world.table(request.table_name)
    key = table.key(request.key)
    old = table.items.get(key)
    text = request.update_expression
    scope = Scope(request, _WHAT, request.condition_expression, update=text)
    _check(request, old, scope)
    before = old[0] if old is not None else clean_item(request.key)[0]
    if text is None:
        return Change(table, key, old, old or (before, item_size(before)))
    made, paths = update(text, before, scope.names, scope.values)
    check_keys_untouched(paths, table.keys)
    size = item_size(made)
    _check_size(world, size, "Item size to update has exceeded the maximum allowed size")
    return Change(table, key, old, (made, size), paths=paths)


def _check(request: Conditional, old: Stored | None, scope: Scope) -> None:
    text = request.condition_expression
    if text is not None and not condition(_WHAT, text)(old[0] if old else {}, scope.names, scope.values):
        wanted = request.return_values_on_condition_check_failure == "ALL_OLD"
        raise errors.ConditionFailed(write_units(old[1] if old else 0), old[0] if wanted and old else None)


def _check_size(world: World, size: int, message: str) -> None:
    if size > world.behaviour.item_bytes_max:
        raise errors.NotApplicable(message)


# --------------------------------------------------------------------------------------------------- the actions


def put_item(world: World, request: PutItem) -> Answer:
    """Put an item in the place of what was there."""
    return _done(world, request, plan_put, ("NONE", "ALL_OLD"))


def delete_item(world: World, request: DeleteItem) -> Answer:
    """Delete an item, if it is there."""
    return _done(world, request, plan_delete, ("NONE", "ALL_OLD"))


def update_item(world: World, request: UpdateItem) -> Answer:
    """Change an item, or make it."""
    return _done(world, request, plan_update, ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"))


def _done(
    world: World,
    request: PutItem | DeleteItem | UpdateItem,
    plan: Callable[[World, Any], Change],
    allowed: tuple[str, ...],
) -> Answer:
    if request.return_values not in allowed:
        raise errors.not_valid(f"ReturnValues can only be {' or '.join(allowed)}")
    try:
        change = plan(world, request)
    except errors.ConditionFailed as failed:
        world.consume(world.table(request.table_name), "write", failed.units)
        raise
    if change.table.locked and change.key in change.table.locked:
        raise errors.conflict()
    change.apply(world)
    units = world.consume(change.table, "write", change.units)
    answer: Answer = {}
    attributes = _returned(request.return_values, change)
    if attributes:
        answer["Attributes"] = attributes
    told = consumed(request.return_consumed_capacity, change.table, units)
    if told is not None:
        answer["ConsumedCapacity"] = told
    return answer


def _returned(wanted: str, change: Change) -> Item | None:
    if wanted == "NONE":
        return None
    stored = change.old if wanted.endswith("_OLD") else change.new
    if stored is None:
        return None
    return stored[0] if wanted.startswith("ALL") else projected(stored[0], change.paths)


def batch_write_item(world: World, request: BatchWriteItem) -> Answer:
    """Put and delete items, each by itself; some may be left to the caller."""
    writes = [(name, write) for name, listed in request.request_items.items() for write in listed]
    _check_batch(world, writes)
    changes = [(name, write, _batched(world, name, write)) for name, write in writes]
    places = [(change.table.name, change.key) for _, _, change in changes]
    if len(set(places)) < len(places):
        raise errors.not_valid("Provided list of item keys contains duplicates")
    left: dict[str, list[WriteRequest]] = {}
    units: dict[str, float] = {}
    for name, write, change in changes:
        if world.chances(world.behaviour.unprocessed) or change.key in change.table.locked:
            left.setdefault(name, []).append(write)
            continue
        change.apply(world)
        units[name] = units.get(name, 0) + world.consume(change.table, "write", change.units)
    told = [consumed(request.return_consumed_capacity, world.table(name), spent) for name, spent in units.items()]
    answer: Answer = {"UnprocessedItems": {name: [_as_sent(write) for write in kept] for name, kept in left.items()}}
    return answer | ({"ConsumedCapacity": told} if request.return_consumed_capacity != "NONE" else {})


def _check_batch(world: World, writes: Iterable[tuple[str, WriteRequest]]) -> None:
    count, most = sum(1 for _ in writes), world.behaviour.batch_writes_max
    if not count:
        raise errors.not_valid("The list of items of a batch must not be empty: at least one write is needed.")
    if count > most:
        raise errors.not_valid(f"Too many items requested for the BatchWriteItem call: at most {most}.")


def _batched(world: World, name: str, write: WriteRequest) -> Change:
    put, delete = write.put_request, write.delete_request
    if (put is None) == (delete is None):
        raise errors.not_valid("Supplied AttributeValue has more than one write request, or none.")
    if put is not None:
        return plan_put(world, Put(table_name=name, item=put.item))
    assert delete is not None
    return plan_delete(world, Delete(table_name=name, key=delete.key))


def _as_sent(write: WriteRequest) -> Answer:
    if write.put_request is not None:
        return {"PutRequest": {"Item": write.put_request.item}}
    assert write.delete_request is not None
    return {"DeleteRequest": {"Key": write.delete_request.key}}
