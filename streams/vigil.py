"""Who is alive, as one observer sees it: whatever moved lately by the observer's own clock.

Neither wall clocks nor anybody's word are asked. An owner moves by its heartbeat, and by whatever gives its lanes
another state, as fences do not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardlake.core.journal.rows import Head, WorkerRow


@dataclass(frozen=True, slots=True)
class _Owner:
    signs: tuple[object, ...]
    moved_s: float
    has_moved: bool  # since it was first seen, or by coming


@dataclass(slots=True)
class Vigil:
    """Remembers when each owner of a lane was last seen to move. `expiry_s` without a move is death."""

    expiry_s: float
    _has_looked: bool = False
    _owners: dict[str, _Owner] = field(default_factory=dict)

    def look(self, now_s: float, heads: Mapping[int, Head], beats: Mapping[str, WorkerRow]) -> None:
        """Take note of what the journal shows now; what is seen for the first time has just moved."""
        found: dict[str, _Owner] = {}
        owned: dict[str, list[Head]] = {}
        for head in heads.values():
            if head.owner:
                owned.setdefault(head.owner, []).append(head)
        for name, lanes in owned.items():
            signs = (beats.get(name), *((head.lane, head.state) for head in lanes))
            known = self._owners.get(name)
            found[name] = known if known and known.signs == signs else _Owner(signs, now_s, self._has_looked)
        self._owners, self._has_looked = found, True

    def is_alive(self, owner: str, now_s: float, within_s: float) -> bool:
        """Tell whether an owner has moved within so many seconds. Who came after the first look has moved by that."""
        known = self._owners.get(owner)
        return known is not None and known.has_moved and now_s - known.moved_s <= within_s

    def is_dead(self, owner: str, now_s: float, beats: Mapping[str, WorkerRow]) -> bool:
        """Tell whether an owner has not moved for too long, or has lost its heartbeat to somebody who saw that."""
        known = self._owners.get(owner)
        return owner not in beats or (known is not None and now_s - known.moved_s >= self.expiry_s)
