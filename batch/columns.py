"""The columns of events between Arrow and tables: what segments hold, and what a file of a table must hold."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from shardlake.adapters.iceberg.types import text_of_arrow
from shardlake.core.schema import Column

_PLAIN: Final = {
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
}


def columns_of(rows: pa.Table) -> tuple[Column, ...]:
    """The columns of some rows, with their types as DuckDB writes them."""
    return tuple(Column(field.name, text_of_arrow(field.type)) for field in rows.schema)


def shaped(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Give rows exactly these columns, in this order; those that they lack are NULL."""
    for column in columns:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, _arrow_type(column)))
    return rows.select([column.name for column in columns])


def _arrow_type(column: Column) -> pa.DataType:
    return pa.decimal128(*column.decimal) if column.decimal else _PLAIN[column.type]
