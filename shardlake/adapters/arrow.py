"""Arrow columns as numpy arrays and back, without pandas.

pyarrow imports pandas, where it is installed, at the first `to_numpy`, `pa.array` or comparison with a Python
value: almost a second of CPU per process, and consumers must not depend on it. These few functions go through
buffers instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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


def plain_type(column: Column) -> pa.DataType:
    """The Arrow type in which a column's values are kept, one by one."""
    return pa.decimal128(*column.decimal) if column.decimal else _PLAIN[column.type]


def integers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A column of integers, dates or timestamps as int64; NULL is 0."""
    return _values(column, pa.int64(), np.dtype(np.int64))


def unsigned(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A column of unsigned integers as uint64; NULL is 0."""
    return _values(column, pa.uint64(), np.dtype(np.uint64))


def booleans(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """A column of booleans; NULL is false."""
    return integers(column.cast(pa.int8())).astype(bool)


def timestamps(micros: npt.NDArray[np.int64]) -> pa.Array:
    """Microseconds since the epoch, UTC, as a TIMESTAMP column."""
    return pa.Array.from_buffers(pa.timestamp("us"), micros.size, [None, pa.py_buffer(np.ascontiguousarray(micros))])


def longs(values: npt.NDArray[np.int64]) -> pa.Array:
    """Integers as a BIGINT column."""
    return pa.Array.from_buffers(pa.int64(), values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])


def unsigned_longs(values: npt.NDArray[np.uint64]) -> pa.Array:
    """Unsigned integers as a UBIGINT column."""
    return pa.Array.from_buffers(pa.uint64(), values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])


def ints(values: npt.NDArray[np.int32]) -> pa.Array:
    """Integers as an INTEGER column."""
    return pa.Array.from_buffers(pa.int32(), values.size, [None, pa.py_buffer(np.ascontiguousarray(values))])


def bools(values: npt.NDArray[np.bool_]) -> pa.Array:
    """Booleans as a BOOLEAN column."""
    return ints(values.astype(np.int32)).cast(pa.bool_())


def constant(value: str, count: int) -> pa.Array:
    """The same text in every row, stored once."""
    return pa.DictionaryArray.from_arrays(ints(np.zeros(count, dtype=np.int32)), strings([value]))


def strings(values: list[str]) -> pa.Array:
    """Some texts as a VARCHAR column."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *(len(e) for e in encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def binaries(values: list[bytes]) -> pa.Array:
    """Some byte strings as a BLOB column."""
    offsets = np.cumsum([0, *(len(value) for value in values)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


@contextmanager
def small_pages() -> Iterator[None]:
    """Let Arrow take memory for a few large tables from the system's allocator, until the end of the block.

    Arrow's own asks for huge pages. Where these must be found and cleared first, tables of hundreds of MB cost up to
    two CPU-seconds for a million rows; for small blocks that come and go it is the faster one.
    """
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _values(column: pa.Array | pa.ChunkedArray, kind: pa.DataType, dtype: np.dtype) -> npt.NDArray:  # type: ignore[type-arg]
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    plain = pc.coalesce(array.cast(kind), _ZERO[kind]) if array.null_count else array.cast(kind)
    data = plain.buffers()[1]
    if data is None:
        return np.zeros(0, dtype=dtype)
    return np.frombuffer(data, dtype=dtype, count=len(plain) + plain.offset)[plain.offset :]


_ZERO = {kind: pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(bytes(8))])[0] for kind in (pa.int64(), pa.uint64())}
