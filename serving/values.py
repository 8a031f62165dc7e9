"""Answers as Python values."""

from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

_HUGE: Final = "decimal128(38, 0)"  # what Arrow makes of DuckDB's HUGEINT, the type of a sum of integers


def rows(table: "pa.Table") -> list[tuple[Any, ...]]:
    """Give the rows of a table; whole numbers of 128 bits are integers, as they are where no Arrow is between."""
    columns = [_column(column) for column in table.columns]
    return list(islice(zip(*columns, strict=True), table.num_rows))


def _column(column: "pa.ChunkedArray") -> list[Any]:
    values: list[Any] = column.to_pylist()
    return [_whole(value) for value in values] if _HUGE in str(column.type) else values


def _whole(value: Any) -> Any:
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    if isinstance(value, list | tuple):  # a list, or an entry of a map
        return type(value)(map(_whole, value))
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value
