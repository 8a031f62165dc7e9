"""The journal in memory, for tests and simulations: a sorted map."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence

from shardlake.core.errors import Conflict
from shardlake.core.journal.port import REMOVED, Write


class MemoryJournal:
    """Rows that last as long as this object does."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}
        self._keys: list[str] = []

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read the rows that exist under these keys."""
        return {key: self._rows[key] for key in keys if key in self._rows}

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read the rows whose key begins with `prefix` and lies in `(after, upto]`, in order of keys."""
        start = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        stop = min(bisect_right(self._keys, upto), bisect_right(self._keys, prefix + "\U0010ffff"))
        return [(key, self._rows[key]) for key in self._keys[start:stop]]

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply all writes if every expectation holds. Raises: Conflict if one does not."""
        for write in writes:
            if self._rows.get(write.key) != write.expect:
                raise Conflict(f"journal row {write.key} is not as expected: read it again")
        for write in writes:
            if write.put == REMOVED:
                self._remove(write.key)
            elif write.put is not None:
                self._put(write.key, write.put)

    def _put(self, key: str, value: bytes) -> None:
        if key not in self._rows:
            insort(self._keys, key)
        self._rows[key] = value

    def _remove(self, key: str) -> None:
        if self._rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
