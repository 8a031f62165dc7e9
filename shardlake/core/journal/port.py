"""The journal's port: a map from text keys to small values, with conditional transactions.

An adapter knows nothing of lanes or shards; the protocol is in `operations`. What it must promise is short:
a read sees every transaction that was acknowledged before it began, and a transaction applies all of its
writes or none, only if every expectation holds at that moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

REMOVED: Final = b"\0removed"  # what is put in place of a row to remove it; rows are JSON


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a transaction: what is expected under a key (None: nothing), and what to put there.

    `put` of None leaves the row as it is: the write is a check only. `put` of REMOVED takes the row away.
    """

    key: str
    expect: bytes | None
    put: bytes | None


class Journal(Protocol):
    """Where the rows are. Implementations are safe to use from one thread at a time."""

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read the rows that exist under these keys, each strongly consistent, not together.

        Raises: Transient.
        """

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read the rows whose key begins with `prefix` and lies in `(after, upto]`, in order of keys.

        The prefix holds a whole part of the key, with its slash, and of entries the lane: `shard/`, `entry/0003/`.
        Adapters need not read across such a part. Each row is strongly consistent, not all together. Raises: Transient.
        """

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply all writes if every expectation holds.

        Raises: Conflict if one does not hold (nothing was applied); Transient if it was not applied and may
        be sent again; OutcomeUnknown if it may have been applied, or may be later.
        """
