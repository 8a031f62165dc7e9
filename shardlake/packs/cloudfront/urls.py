"""Whole URLs, as real-time logs have them, to stems and queries, as standard logs have them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shardlake.packs import arrays


def stems(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give what stands before the first question mark of each URL."""
    return pa.chunked_array([_stems(chunk) for chunk in urls.chunks], pa.string())


def queries(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give what stands after the first question mark of each URL; NULL where that is nothing."""
    return pa.chunked_array([_queries(chunk) for chunk in urls.chunks], pa.string())


def _stems(urls: pa.Array) -> pa.Array:
    parts, first, counts = _cut(urls)
    return _pick(parts, first, counts > 0)


def _queries(urls: pa.Array) -> pa.Array:
    parts, first, counts = _cut(urls)
    is_query = counts == 2
    lengths = arrays.to_numpy(pc.binary_length(parts), np.int32)
    is_query[is_query] = lengths[first[is_query] + 1] > 0
    return _pick(parts, first + 1, is_query)


def _cut(urls: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Give the parts of all URLs, where those of each begin, and how many there are: two, one, or none of a NULL."""
    lists = pc.split_pattern(urls, pattern="?", max_splits=1)
    places = arrays.to_numpy(lists.offsets, np.int32)
    return lists.values, places[:-1], np.diff(places)


def _pick(parts: pa.Array, places: npt.NDArray[np.int32], is_there: npt.NDArray[np.bool_]) -> pa.Array:
    known = None if is_there.all() else pa.py_buffer(np.packbits(is_there, bitorder="little"))
    return parts.take(pa.Array.from_buffers(pa.int32(), len(places), [known, pa.py_buffer(places)]))
