"""The columns of events between Arrow and tables: what segments hold, and what a file of a table must hold."""

from collections.abc import Sequence

import pyarrow as pa

from shardlake.adapters.arrow import plain_type
from shardlake.adapters.iceberg.types import text_of_arrow
from shardlake.core.schema import Column


def columns_of(rows: pa.Table) -> tuple[Column, ...]:
    """The columns of some rows, with their types as DuckDB writes them."""
    return tuple(Column(field.name, text_of_arrow(field.type)) for field in rows.schema)


def shaped(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Give rows exactly these columns, in this order; those that they lack are NULL."""
    for column in columns:
        if column.name not in rows.column_names:
            rows = rows.append_column(column.name, pa.nulls(rows.num_rows, plain_type(column)))
    return rows.select([column.name for column in columns])
