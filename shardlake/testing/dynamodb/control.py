"""What makes, changes, describes and ends a table."""

from collections.abc import Callable
from typing import Any, Final

from shardlake.testing.dynamodb import errors, life
from shardlake.testing.dynamodb.requests import (
    CreateTable,
    KeySchemaElement,
    ListTables,
    OnTable,
    StreamSpecification,
    UpdateTable,
    UpdateTimeToLive,
)
from shardlake.testing.dynamodb.table import Table
from shardlake.testing.dynamodb.world import World

Answer = dict[str, Any]
_NAME_BYTES: Final = (3, 255)
_NAME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_PAGE_MAX: Final = 100


def create_table(world: World, request: CreateTable) -> Answer:
    """Make a table."""
    name = request.table_name
    _check_name(name)
    if world.find(name) is not None:
        raise errors.in_use(f"Table already exists: {name}")
    if request.billing_mode == "PROVISIONED" and request.provisioned_throughput is None:
        raise errors.bad_values(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )
    types = {each.attribute_name: each.attribute_type for each in request.attribute_definitions}
    keys = _keys(request.key_schema, types)
    indexes = {index.index_name: _keys(index.key_schema, types) for index in request.global_secondary_indexes or ()}
    used = {key for key, _ in keys} | {key for listed in indexes.values() for key, _ in listed}
    if used != set(types):
        raise errors.bad_values(
            "Some AttributeDefinitions are not used. AttributeDefinitions: "
            f"[{', '.join(types)}], keys used: [{', '.join(sorted(used))}]",
        )
    for index in request.global_secondary_indexes or ():
        if index.projection.get("ProjectionType") != "KEYS_ONLY":
            raise errors.not_valid(f"Index {index.index_name}: this service has indexes of KEYS_ONLY alone.")
    table = Table(name, world.arn(name), keys, world.now_ms())
    table.request = _as_told(request)
    table.indexes = {index: tuple(key for key, _ in listed) for index, listed in indexes.items()}
    world.tables[name] = table
    if request.stream_specification is not None:
        _change_stream(world, table, request.stream_specification)
    _later(world, table, "CREATING", world.behaviour.creating_s, lambda: None)
    return {"TableDescription": described(table)}


def _as_told(request: CreateTable) -> Answer:
    """Keep what a description repeats."""
    told: Answer = {
        "AttributeDefinitions": [
            {"AttributeName": each.attribute_name, "AttributeType": each.attribute_type}
            for each in request.attribute_definitions
        ],
        "KeySchema": _schema(request.key_schema),
        "BillingModeSummary": {"BillingMode": request.billing_mode},
        "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0, "NumberOfDecreasesToday": 0}
        | (request.provisioned_throughput or {}),
        "DeletionProtectionEnabled": request.deletion_protection_enabled,
    }
    if request.global_secondary_indexes:
        told["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.index_name,
                "KeySchema": _schema(index.key_schema),
                "Projection": index.projection,
                "IndexStatus": "ACTIVE",
            }
            for index in request.global_secondary_indexes
        ]
    return told


def _schema(elements: list[KeySchemaElement]) -> list[Answer]:
    return [{"AttributeName": each.attribute_name, "KeyType": each.key_type} for each in elements]


def _keys(schema: list[KeySchemaElement], types: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Read a key schema: names and types. Raises: ServiceError (ValidationException)."""
    if [each.key_type for each in schema] not in (["HASH"], ["HASH", "RANGE"]):
        raise errors.not_valid("Invalid KeySchema: The first KeySchemaElement must be HASH, a second one RANGE")
    for each in schema:
        if types.get(each.attribute_name) not in {"S", "N", "B"}:
            raise errors.bad_values(
                "Some index key attributes are not defined in AttributeDefinitions, or have a type that is no key's. "
                f"Key: {each.attribute_name}",
            )
    return tuple((each.attribute_name, types[each.attribute_name]) for each in schema)


def _check_name(name: str) -> None:
    least, most = _NAME_BYTES
    if not least <= len(name) <= most or not _NAME_LETTERS.issuperset(name):
        raise errors.not_valid(
            f"TableName must be at least {least} characters long and at most {most} characters long, "
            "and hold letters, digits, '_', '-' and '.' alone",
        )


def _later(world: World, table: Table, status: str, delay_s: float, then: Callable[[], object]) -> None:
    """Let a status last for a while and then do something; with no delay, at once."""
    now_s = world.clock.monotonic_s()
    table.become(status, now_s + delay_s, then)
    table.settle(now_s)


def delete_table(world: World, request: OnTable) -> Answer:
    """Remove a table with all that is in it; its stream can be read on for a day."""
    table = world.described_table(request.table_name)
    if table.status != "ACTIVE":
        raise errors.in_use(f"Attempt to change a resource which is still in use: Table: {table.name}")
    if table.request.get("DeletionProtectionEnabled"):
        raise errors.not_valid(
            f"Resource cannot be deleted as it is currently protected against deletion: {table.name}"
        )
    if table.stream is not None:
        life.disable(world, table)
    told = described(table) | {"TableStatus": "DELETING"}
    _later(world, table, "DELETING", world.behaviour.deleting_s, lambda: world.tables.pop(table.name, None))
    return {"TableDescription": told}


def describe_table(world: World, request: OnTable) -> Answer:
    """Describe a table."""
    return {"Table": described(world.described_table(request.table_name))}


def described(table: Table) -> Answer:
    """Describe a table as it is now."""
    told = (
        table.request
        | table.latest
        | {
            "TableName": table.name,
            "TableArn": table.arn,
            "TableStatus": table.status,
            "CreationDateTime": table.made_ms / 1000,
            "ItemCount": len(table.items),
            "TableSizeBytes": sum(size for _, size in table.items.values()),
        }
    )
    if table.stream is not None:
        told["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream.view}
    return told


def list_tables(world: World, request: ListTables) -> Answer:
    """List a page of the tables' names."""
    most = min(request.limit or _PAGE_MAX, _PAGE_MAX)
    after = request.exclusive_start_table_name or ""
    found = [name for name in sorted(world.tables) if name > after and world.find(name) is not None]
    page: Answer = {"TableNames": found[:most]}
    return page | ({"LastEvaluatedTableName": found[most - 1]} if len(found) > most else {})


def update_table(world: World, request: UpdateTable) -> Answer:
    """Change a table's settings."""
    table = world.described_table(request.table_name)
    if table.status != "ACTIVE":
        raise errors.in_use(f"Attempt to change a resource which is still in use: Table is being updated: {table.name}")
    if request.stream_specification is not None:
        _change_stream(world, table, request.stream_specification)
    if request.deletion_protection_enabled is not None:
        table.request["DeletionProtectionEnabled"] = request.deletion_protection_enabled
    return {"TableDescription": described(table)}


def _change_stream(world: World, table: Table, wanted: StreamSpecification) -> None:
    if not wanted.stream_enabled:
        if table.stream is None:
            raise errors.not_valid("Table already has a disabled stream")
        life.disable(world, table)
        return
    if table.stream is not None:
        raise errors.not_valid(f"Table already has an enabled stream: TableName: {table.name}")
    if wanted.stream_view_type not in {"KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"}:
        raise errors.bad_values("StreamViewType is required when StreamEnabled is true, and one of four")
    life.enable(world, table, wanted.stream_view_type)


def update_time_to_live(world: World, request: UpdateTimeToLive) -> Answer:
    """Let items expire by an attribute, or not any more."""
    table = world.table(request.table_name)
    wanted = request.time_to_live_specification
    if wanted.enabled == (table.ttl is not None):
        raise errors.not_valid(f"TimeToLive is already {'enabled' if wanted.enabled else 'disabled'}")
    life.expire(world, table, wanted.attribute_name if wanted.enabled else None)
    return {"TimeToLiveSpecification": {"Enabled": wanted.enabled, "AttributeName": wanted.attribute_name}}


def describe_time_to_live(world: World, request: OnTable) -> Answer:
    """Tell by which attribute items expire."""
    table = world.table(request.table_name)
    told = {"TimeToLiveStatus": "DISABLED"}
    if table.ttl is not None:
        told = {"TimeToLiveStatus": "ENABLED", "AttributeName": table.ttl}
    return {"TimeToLiveDescription": told}
