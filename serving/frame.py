"""Answers as pandas frames: the one module that imports pandas."""

from typing import TYPE_CHECKING

import pandas as pd

DataFrame = pd.DataFrame

if TYPE_CHECKING:
    import pyarrow as pa


def to_pandas(table: "pa.Table") -> DataFrame:
    """Turn an answer into a frame whose columns keep their Arrow types: integers with NULLs stay integers."""
    return table.to_pandas(types_mapper=pd.ArrowDtype)
