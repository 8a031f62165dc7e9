"""The requests. What a request holds that is not here is refused: nothing is passed over in silence."""

from typing import Any

import msgspec

Json = dict[str, Any]


class Request(msgspec.Struct, rename="pascal", kw_only=True, forbid_unknown_fields=True):
    """A request of any kind."""


class Expressed(Request, kw_only=True):
    """A request about one table, with expressions in it."""

    table_name: str
    expression_attribute_names: dict[str, str] | None = None
    expression_attribute_values: Json | None = None


class Conditional(Expressed):
    """A write of one item, under a condition."""

    condition_expression: str | None = None
    return_values_on_condition_check_failure: str = "NONE"


class Put(Conditional, kw_only=True):
    """A new item, as a part of a transaction."""

    item: Json


class Delete(Conditional, kw_only=True):
    """The end of an item, as a part of a transaction."""

    key: Json


class ConditionCheck(Conditional, kw_only=True):
    """A condition on an item that is not written, as a part of a transaction."""

    key: Json


class Update(Conditional, kw_only=True):
    """A change of an item, as a part of a transaction."""

    key: Json
    update_expression: str | None = None


class PutItem(Put):
    """Put an item."""

    return_values: str = "NONE"
    return_consumed_capacity: str = "NONE"
    return_item_collection_metrics: str = "NONE"


class DeleteItem(Delete):
    """Delete an item."""

    return_values: str = "NONE"
    return_consumed_capacity: str = "NONE"
    return_item_collection_metrics: str = "NONE"


class UpdateItem(Update):
    """Change an item, or make it."""

    return_values: str = "NONE"
    return_consumed_capacity: str = "NONE"
    return_item_collection_metrics: str = "NONE"


class TransactWrite(Request):
    """A write of a transaction: one of these."""

    put: Put | None = None
    update: Update | None = None
    delete: Delete | None = None
    condition_check: ConditionCheck | None = None


class TransactWriteItems(Request):
    """Write all of some items or none."""

    transact_items: list[TransactWrite]
    client_request_token: str | None = None
    return_consumed_capacity: str = "NONE"
    return_item_collection_metrics: str = "NONE"


class Get(Request):
    """A read of one item."""

    table_name: str
    key: Json
    projection_expression: str | None = None
    expression_attribute_names: dict[str, str] | None = None


class GetItem(Get):
    """Get an item."""

    consistent_read: bool = False
    return_consumed_capacity: str = "NONE"


class TransactGet(Request):
    """A read of a transaction."""

    get: Get


class TransactGetItems(Request):
    """Read some items as of one moment."""

    transact_items: list[TransactGet]
    return_consumed_capacity: str = "NONE"


class KeysAndAttributes(Request):
    """Items of one table to get."""

    keys: list[Json]
    consistent_read: bool = False
    projection_expression: str | None = None
    expression_attribute_names: dict[str, str] | None = None


class BatchGetItem(Request):
    """Get up to 100 items."""

    request_items: dict[str, KeysAndAttributes]
    return_consumed_capacity: str = "NONE"


class PutRequest(Request):
    """An item to put in a batch."""

    item: Json


class DeleteRequest(Request):
    """An item to delete in a batch."""

    key: Json


class WriteRequest(Request):
    """A write of a batch: one of these."""

    put_request: PutRequest | None = None
    delete_request: DeleteRequest | None = None


class BatchWriteItem(Request):
    """Put and delete up to 25 items, each by itself."""

    request_items: dict[str, list[WriteRequest]]
    return_consumed_capacity: str = "NONE"
    return_item_collection_metrics: str = "NONE"


class Listed(Expressed):
    """A read of many items, page by page."""

    index_name: str | None = None
    select: str | None = None
    limit: int | None = None
    consistent_read: bool = False
    exclusive_start_key: Json | None = None
    filter_expression: str | None = None
    projection_expression: str | None = None
    return_consumed_capacity: str = "NONE"


class Query(Listed):
    """Read the items of one partition key, in order."""

    key_condition_expression: str | None = None
    scan_index_forward: bool = True


class Scan(Listed):
    """Read all items, or those of one segment."""

    segment: int | None = None
    total_segments: int | None = None


class OnTable(Request):
    """A request about one table."""

    table_name: str


class StreamSpecification(Request):
    """Whether a table has a stream, and of what."""

    stream_enabled: bool
    stream_view_type: str | None = None


class KeySchemaElement(Request):
    """A half of a key."""

    attribute_name: str
    key_type: str


class AttributeDefinition(Request):
    """The type of a key attribute."""

    attribute_name: str
    attribute_type: str


class GlobalIndex(Request):
    """A global secondary index."""

    index_name: str
    key_schema: list[KeySchemaElement]
    projection: Json
    provisioned_throughput: Json | None = None
    on_demand_throughput: Json | None = None
    warm_throughput: Json | None = None


class CreateTable(Request):
    """Make a table."""

    table_name: str
    attribute_definitions: list[AttributeDefinition]
    key_schema: list[KeySchemaElement]
    billing_mode: str = "PROVISIONED"
    provisioned_throughput: Json | None = None
    global_secondary_indexes: list[GlobalIndex] | None = None
    stream_specification: StreamSpecification | None = None
    deletion_protection_enabled: bool = False
    table_class: str | None = None
    tags: list[Json] | None = None
    on_demand_throughput: Json | None = None
    warm_throughput: Json | None = None
    sse_specification: Json | None = msgspec.field(name="SSESpecification", default=None)


class UpdateTable(Request):
    """Change a table's settings: of these, the stream and the protection have an effect."""

    table_name: str
    stream_specification: StreamSpecification | None = None
    deletion_protection_enabled: bool | None = None
    billing_mode: str | None = None
    provisioned_throughput: Json | None = None
    attribute_definitions: list[AttributeDefinition] | None = None


class ListTables(Request):
    """List a page of the tables' names."""

    limit: int | None = None
    exclusive_start_table_name: str | None = None


class TimeToLive(Request):
    """Which attribute says when an item expires."""

    enabled: bool
    attribute_name: str


class UpdateTimeToLive(Request):
    """Let items expire, or not any more."""

    table_name: str
    time_to_live_specification: TimeToLive


class ListStreams(Request):
    """List a page of the streams, of one table or of all."""

    table_name: str | None = None
    limit: int | None = None
    exclusive_start_stream_arn: str | None = None


class ShardFilter(Request):
    """Which shards to describe."""

    type: str | None = None
    shard_id: str | None = None


class DescribeStream(Request):
    """Describe a stream and a page of its shards."""

    stream_arn: str
    limit: int | None = None
    exclusive_start_shard_id: str | None = None
    shard_filter: ShardFilter | None = None


class GetShardIterator(Request):
    """Ask for a place to read from."""

    stream_arn: str
    shard_id: str
    shard_iterator_type: str
    sequence_number: str | None = None
    timestamp: float | None = None


class GetRecords(Request):
    """Read a page of records."""

    shard_iterator: str
    limit: int | None = None
