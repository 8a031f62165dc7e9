"""Answers as pandas frames: the one module that imports pandas."""

from typing import TYPE_CHECKING

from pandas import ArrowDtype, DataFrame

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DataFrame", "to_pandas"]


def to_pandas(table: "pa.Table") -> DataFrame:
    """Turn an answer into a frame whose columns keep their Arrow types: integers with NULLs stay integers."""
    frame: DataFrame = table.to_pandas(types_mapper=ArrowDtype)
    return frame
