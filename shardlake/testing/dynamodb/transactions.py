"""TransactWriteItems and TransactGetItems."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from shardlake.testing.dynamodb import errors
from shardlake.testing.dynamodb.errors import ConditionFailed, NotApplicable, ServiceError
from shardlake.testing.dynamodb.reading import got
from shardlake.testing.dynamodb.requests import TransactGetItems, TransactWrite, TransactWriteItems
from shardlake.testing.dynamodb.table import Key, Table
from shardlake.testing.dynamodb.world import World, consumed, read_units
from shardlake.testing.dynamodb.writing import Answer, Change, plan_delete, plan_put, plan_update

_KINDS: Final[dict[str, Callable[[World, Any], Change]]] = {
    "put": plan_put,
    "update": plan_update,
    "delete": plan_delete,
    "condition_check": plan_delete,
}
_NONE: Final = {"Code": "None"}
_FAILED: Final = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
_CONFLICT: Final = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
_TOKEN_LETTERS_MAX: Final = 36
_DOUBLE: Final = "Transaction request cannot include multiple operations on one item"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(TransactWriteItems).decode

Held = list[tuple[Table, Key]]  # the items of a transaction that goes on


def transact_write_items(world: World, request: TransactWriteItems) -> Answer:
    """Write all items or none. The same token within ten minutes does nothing more."""
    token = request.client_request_token
    if token is not None:
        if not 1 <= len(token) <= _TOKEN_LETTERS_MAX:
            raise errors.not_valid(
                "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: "
                f"Member must have length from 1 to {_TOKEN_LETTERS_MAX}",
            )
        told = _repeated(world, token, request)
        if told is not None:
            return told
    writes = request.transact_items
    _check_count(world, len(writes))
    found = [_place(world, write) for write in writes]
    if len({(table.name, key) for table, key in found}) < len(found):
        raise errors.not_valid(_DOUBLE)
    _check_going_on(request, found)
    changes = _planned(world, writes, found)
    if sum(max(c.new[1] if c.new else 0, c.old[1] if c.old else 0) for c in changes) > (
        world.behaviour.transaction_bytes_max
    ):
        raise errors.not_valid("Collection size of items in a transaction has exceeded 4 MB")
    units: dict[str, float] = {}
    for change in changes:
        change.apply(world)
        spent = world.consume(change.table, "write", 2 * change.units)
        units[change.table.name] = units.get(change.table.name, 0) + spent
    if token is not None:
        world.tokens[token] = (world.clock.monotonic_s(), _encode(request))
    return _told(world, request, units, "write")


# ------------------------------------------------------------------------------------ transactions that go on


def hold(world: World, body: bytes) -> Held | None:
    """Take the items of a transaction, so that others meet it; None if it cannot be, or another has them."""
    try:
        request = _decode(body)
        found = [_place(world, write) for write in request.transact_items]
    except (msgspec.DecodeError, ServiceError):
        return None
    if any(key in table.locked for table, key in found):
        return None
    for table, key in found:
        table.locked[key] = request.client_request_token
    return found


def release(world: World, held: Held) -> None:
    """Let items go again."""
    for table, key in held:
        if world.tables.get(table.name) is table:
            table.locked.pop(key, None)


def cancelled_by_another(body: bytes) -> ServiceError:
    """Make the error of a transaction that met another at its first item."""
    told: dict[str, Any] = msgspec.json.decode(body)
    return errors.cancelled([_CONFLICT, *[_NONE] * (len(told.get("TransactItems", [0])) - 1)])


def _check_going_on(request: TransactWriteItems, found: Held) -> None:
    """Raises: ServiceError if a transaction of the same token goes on."""
    token = request.client_request_token
    if token is not None and any(table.locked.get(key) == token for table, key in found):
        raise ServiceError(
            "TransactionInProgressException", "The transaction with the given request token is already in progress."
        )


def _check_count(world: World, count: int) -> None:
    most = world.behaviour.transaction_items_max
    if not 1 <= count <= most:
        bound = f"less than or equal to {most}" if count else "greater than or equal to 1"
        raise errors.not_valid(
            "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: "
            f"Member must have length {bound}",
        )


def _operation(write: TransactWrite) -> tuple[str, Any]:
    found = [(kind, getattr(write, kind)) for kind in _KINDS if getattr(write, kind) is not None]
    if len(found) != 1:
        raise errors.not_valid(
            "TransactItems can only contain one of Check, Put, Update or Delete"
            if found
            else "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
        )
    [(kind, operation)] = found
    if kind == "condition_check" and operation.condition_expression is None:
        raise errors.not_valid("ConditionExpression must be given for a ConditionCheck.")
    return kind, operation


def _place(world: World, write: TransactWrite) -> tuple[Table, Key]:
    """Find the item that a write is about. Raises: ServiceError."""
    kind, operation = _operation(write)
    table = world.table(operation.table_name)
    return table, table.key_of(operation.item) if kind == "put" else table.key(operation.key)


def _planned(world: World, writes: list[TransactWrite], found: Held) -> list[Change]:
    """Plan all writes. Raises: ServiceError with the reasons why it was cancelled."""
    changes: list[Change] = []
    reasons: list[dict[str, Any]] = []
    units: list[tuple[Table, int]] = []
    for write, (table, key) in zip(writes, found, strict=True):
        kind, operation = _operation(write)
        if key in table.locked:
            reasons.append(_CONFLICT)
            continue
        try:
            changes.append(_KINDS[kind](world, operation))
            units.append((table, changes[-1].units))
            reasons.append(_NONE)
        except ConditionFailed as failed:
            units.append((table, failed.units))
            reasons.append(_FAILED | failed.more)
        except NotApplicable as error:
            reasons.append({"Code": "ValidationError", "Message": error.message})
    if len(changes) == len(writes):
        return changes
    for table, spent in units:  # a transaction that is cancelled is paid for
        world.consume(table, "write", 2 * spent)
    raise errors.cancelled(reasons)


def _repeated(world: World, token: str, request: TransactWriteItems) -> Answer | None:
    """Answer a token that was used. Raises: ServiceError (IdempotentParameterMismatchException)."""
    known = world.tokens.get(token)
    if known is None:
        return None
    if world.clock.monotonic_s() - known[0] > world.behaviour.token_life_s:
        del world.tokens[token]
        return None
    if known[1] != _encode(request):
        raise ServiceError(
            "IdempotentParameterMismatchException",
            "The provided client token was used with another request within the last ten minutes.",
        )
    units: dict[str, float] = {}
    for write in request.transact_items:
        table, key = _place(world, write)
        stored = table.items.get(key)
        spent = 2 * read_units(stored[1] if stored else 0, consistent=True)
        units[table.name] = units.get(table.name, 0) + world.consume(table, "read", spent)
    return _told(world, request, units, "read")


def _told(world: World, request: TransactWriteItems | TransactGetItems, units: dict[str, float], kind: str) -> Answer:
    wanted = request.return_consumed_capacity
    if wanted == "NONE":
        return {}
    return {
        "ConsumedCapacity": [consumed(wanted, world.tables[name], spent, kind=kind) for name, spent in units.items()]
    }


def transact_get_items(world: World, request: TransactGetItems) -> Answer:
    """Read items as of one moment."""
    _check_count(world, len(request.transact_items))
    found = []
    for asked in request.transact_items:
        table = world.table(asked.get.table_name)
        found.append((table, table.key(asked.get.key)))
    if len({(table.name, key) for table, key in found}) < len(found):
        raise errors.not_valid(_DOUBLE)
    if any(key in table.locked for table, key in found):
        raise errors.cancelled([_CONFLICT if key in table.locked else _NONE for table, key in found])
    responses: list[Answer] = []
    units: dict[str, float] = {}
    for asked, (table, key) in zip(request.transact_items, found, strict=True):
        stored = table.items.get(key)
        spent = 2 * read_units(stored[1] if stored else 0, consistent=True)
        units[table.name] = units.get(table.name, 0) + world.consume(table, "read", spent)
        responses.append({} if stored is None else {"Item": got(asked.get, stored[0])})
    return {"Responses": responses} | _told(world, request, units, "read")
