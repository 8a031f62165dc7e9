"""Arrow arrays from numpy arrays and lists, and back, without a detour.

`pa.array`, `pa.scalar` and `Array.to_numpy` import pandas when it is installed: 0.9 CPU-seconds for each process, as
much as decoding a million lines. Whatever runs for every block is built from buffers instead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def from_numpy(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Wrap a contiguous array, without NULLs and without a copy; `kind` is a fixed-width type of the same width."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def to_numpy(array: pa.Array, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """View a fixed-width array without a copy; what stands in place of a NULL is any value."""
    data = array.buffers()[1]
    if data is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(data, kind)[array.offset : array.offset + len(array)]


def column_to_numpy(column: pa.ChunkedArray, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """Join the chunks of a fixed-width column into one array."""
    chunks = [to_numpy(chunk, kind) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.zeros(0, kind)


def from_texts(values: Sequence[str]) -> pa.Array:
    """Make a string array of a few values, none of them NULL."""
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def from_flags(values: npt.NDArray[np.bool_]) -> pa.Array:
    """Make a boolean array without NULLs."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))])


def coded(codes: npt.NDArray[np.int32], values: Sequence[str]) -> pa.DictionaryArray:
    """Make a dictionary array; a code of -1 is NULL. NULLs stand in the codes: Parquet refuses them in the values."""
    if (codes >= 0).all():
        return pa.DictionaryArray.from_arrays(from_numpy(codes, pa.int32()), from_texts(values))
    known = pa.py_buffer(np.packbits(codes >= 0, bitorder="little"))
    indices = pa.Array.from_buffers(pa.int32(), len(codes), [known, pa.py_buffer(np.maximum(codes, 0))])
    # An array of NULLs alone still has a value, because a code of 0 must lead somewhere.
    return pa.DictionaryArray.from_arrays(indices, from_texts(values or ("",)))


def encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Give a column of texts as one dictionary array."""
    found = column.dictionary_encode().combine_chunks()
    if isinstance(found, pa.ChunkedArray):  # what a column of no chunks stays
        return pa.DictionaryArray.from_arrays(pa.nulls(0, pa.int32()), from_texts(()))
    return found


def codes_of(array: pa.DictionaryArray) -> npt.NDArray[np.int32]:
    """Read the codes of a dictionary array, with -1 for NULL."""
    codes: npt.NDArray[np.int32] = to_numpy(array.indices, np.int32)
    if not array.indices.null_count:
        return codes
    return np.where(to_flags(array.indices.is_valid()), codes, np.int32(-1))


def to_flags(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Unpack a boolean array; NULL is False."""
    size = array.offset + len(array)
    flags = _bits(array.buffers()[1], size)
    if array.null_count:
        flags = flags & _bits(array.buffers()[0], size)
    return flags[array.offset :]


def _bits(data: pa.Buffer | None, size: int) -> npt.NDArray[np.bool_]:
    if data is None:
        return np.zeros(size, np.bool_)
    return np.unpackbits(np.frombuffer(data, np.uint8), count=size, bitorder="little").astype(np.bool_)
