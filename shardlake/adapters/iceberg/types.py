"""Column types as DuckDB writes them, and their counterparts in Iceberg.

>>> str(iceberg_type("STRUCT(by TIMESTAMP, arg DECIMAL(9,2))[]", itertools.count(1)))
'list<struct<2: by: optional timestamp, 3: arg: optional decimal(9, 2)>>'
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
)

from shardlake.core.errors import ConfigError
from shardlake.core.schema import Column

_PLAIN: Final[dict[str, IcebergType]] = {
    "BOOLEAN": BooleanType(),
    "INTEGER": IntegerType(),
    "BIGINT": LongType(),
    "DOUBLE": DoubleType(),
    "VARCHAR": StringType(),
    "TIMESTAMP": TimestampType(),
    "DATE": DateType(),
}
_ARROW: Final[dict[pa.DataType, str]] = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.timestamp("us"): "TIMESTAMP",
    pa.date32(): "DATE",
}
_DECIMAL: Final = re.compile(r"DECIMAL\((\d{1,2}), ?(\d{1,2})\)")
_STRUCT: Final = re.compile(r"STRUCT\((.*)\)")
_FIELD: Final = re.compile(r'(?:"([^"]+)"|(\w+)) +(.+)')
_FIRST_PARTITION_ID: Final = 1000  # where Iceberg's own field ids of partitions begin


def schema_of(columns: Sequence[Column]) -> Schema:
    """Give the columns as an Iceberg schema; all may be NULL. Raises: ConfigError for a type without a counterpart.

    The fields are numbered as a catalog numbers them when it makes a table, so that a name mapping of this
    schema is one of the table's.
    """
    ids = itertools.count(1)
    fields = (NestedField(next(ids), c.name, iceberg_type(c.type, ids), doc=c.comment or None) for c in columns)
    return assign_fresh_schema_ids(Schema(*fields))


def columns_of(schema: Schema) -> tuple[Column, ...]:
    """Give the fields of an Iceberg schema as columns."""
    return tuple(Column(field.name, text_of_iceberg(field.field_type), field.doc or "") for field in schema.fields)


def spec_of(schema: Schema, partition: str | None) -> PartitionSpec:
    """Partition by the identity of a DATE column, or not at all. Raises: ConfigError if there is no such column."""
    if partition is None:
        return UNPARTITIONED_PARTITION_SPEC
    field = next((f for f in schema.fields if f.name == partition), None)
    if field is None or not isinstance(field.field_type, DateType):
        raise ConfigError(f"partition {partition} is not a DATE column: name one")
    return PartitionSpec(PartitionField(field.field_id, _FIRST_PARTITION_ID, IdentityTransform(), partition))


def iceberg_type(text: str, ids: Iterator[int]) -> IcebergType:
    """Give the counterpart of a type; `ids` numbers the fields that it consists of. Raises: ConfigError."""
    if text in _PLAIN:
        return _PLAIN[text]
    if text.endswith("[]"):
        number = next(ids)
        return ListType(number, iceberg_type(text.removesuffix("[]"), ids), element_required=False)
    if decimal := _DECIMAL.fullmatch(text):
        return DecimalType(int(decimal[1]), int(decimal[2]))
    if struct := _STRUCT.fullmatch(text):
        return StructType(*(_field(field, ids) for field in _split(struct[1])))
    accepted = ", ".join(_PLAIN)
    raise ConfigError(
        f"type {text} has no counterpart in Iceberg; accepted: {accepted}, DECIMAL(p,s), T[], STRUCT(f T)"
    )


def text_of_iceberg(type_: IcebergType) -> str:
    """Write an Iceberg type as DuckDB does; "" for what is outside of the closed set."""
    if isinstance(type_, DecimalType):
        return f"DECIMAL({type_.precision},{type_.scale})"
    if isinstance(type_, ListType):
        return f"{text_of_iceberg(type_.element_type)}[]"
    if isinstance(type_, StructType):
        return f"STRUCT({', '.join(f'{f.name} {text_of_iceberg(f.field_type)}' for f in type_.fields)})"
    return next((text for text, plain in _PLAIN.items() if plain == type_), "")


def text_of_arrow(type_: pa.DataType) -> str:
    """Write an Arrow type as DuckDB does; Arrow's own name for what is outside of the closed set."""
    if pa.types.is_dictionary(type_):
        return text_of_arrow(type_.value_type)
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"{text_of_arrow(type_.value_type)}[]"
    if pa.types.is_struct(type_):
        return f"STRUCT({', '.join(f'{f.name} {text_of_arrow(f.type)}' for f in type_)})"
    return _ARROW.get(type_, str(type_))


def _field(text: str, ids: Iterator[int]) -> NestedField:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is not a field of a STRUCT: write a name and a type")
    return NestedField(next(ids), match[1] or match[2], iceberg_type(match[3], ids))


def _split(text: str) -> list[str]:
    """Split the fields of a STRUCT at the commas that stand in no brackets."""
    fields, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            fields.append("")
        else:
            fields[-1] += char
    return [field.strip() for field in fields]
