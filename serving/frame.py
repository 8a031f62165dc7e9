"""Answers as pandas frames: the one module that imports pandas."""

from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pandas import ArrowDtype, DataFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DataFrame", "to_pandas"]

_HUGE: Final = pa.decimal128(38, 0)  # what Arrow makes of DuckDB's HUGEINT, the type of a sum of integers


def to_pandas(table: pa.Table) -> DataFrame:
    """Turn an answer into a frame whose columns keep their Arrow types: integers with NULLs stay integers.

    Integers of 128 bits whose values fit become integers of 64, which pandas and matplotlib can compute with.
    """
    frame: DataFrame = pa.Table.from_arrays([*_columns(table)], names=table.column_names).to_pandas(
        types_mapper=ArrowDtype
    )
    return frame


def _columns(table: pa.Table) -> "Iterator[pa.ChunkedArray]":
    for column in table.columns:
        try:
            yield column.cast(pa.int64()) if column.type == _HUGE else column
        except pa.ArrowInvalid:
            yield column
