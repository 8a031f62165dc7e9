"""How far everything is, as plain data: the cut, the lanes with their owners and shards, the views and their lag.

Whether an owner is alive can only be seen by looking twice: one that moves is, and one that does not for
`worker_expiry_s` of the observer's own clock is dead. Nothing here is a payload.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shardlake.app import compose
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views
from shardlake.core.journal import objects as stored
from shardlake.core.journal import reading, rows
from shardlake.core.journal.objects import LaneState
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Head, ShardRow, SourceRow, WorkerRow
from shardlake.core.ports import Clock, ObjectStore
from streams.vigil import Vigil

if TYPE_CHECKING:
    from serving.certificate import Certificate

PLACES = {"held": "held", "free": "free", "end": "ended"}


@dataclass(slots=True)
class Overview:
    """Looks at a root. Look again with the same one to learn who is alive."""

    config: Config
    clock: Clock
    _signs: dict[str, object] = field(default_factory=dict)
    _vigil: Vigil = field(init=False)

    def __post_init__(self) -> None:
        self._vigil = Vigil(self.config.limits.worker_expiry_s)

    def look(self) -> dict[str, Any]:
        """Tell how far everything is now. Raises: ConfigError if nothing was stored yet; as `serving.plan`."""
        from serving.certificate import certify
        from serving.plan import plan

        config = self.config
        with compose.opened_journal(config) as journal:
            store, views = compose.objects(config), list(compiled_views(config).values())
            certificate = certify(plan(journal, store, compose.tables(config), views))
            heads, shards = reading.read_heads(journal), reading.read_shards(journal)
            alive = self._alive(heads, _beats(journal), _streams(journal))
            states = {head.lane: _state(store, head) for head in heads.values()}
        return {
            "now_us": self.clock.now_us(),
            "root": config.root,
            "source": config.source.place,
            "sampling_rate": config.source.sampling_rate,
            **_answered(certificate),
            "lanes": [_lane(head, alive[head.lane], states[head.lane]) for head in heads.values()],
            "shards": _places(shards.values()),
        }

    def _alive(
        self, heads: Mapping[int, Head], beats: Mapping[str, WorkerRow], streams: frozenset[str]
    ) -> dict[int, bool | None]:
        """Lane -> whether its owner is alive; None where there is none, or where it was not seen for long enough."""
        now_s = self.clock.monotonic_s()
        self._vigil.look(now_s, heads, beats)
        owned = {head.owner: head for head in heads.values() if head.owner}
        found: dict[str, bool | None] = {"": None}
        for owner, head in owned.items():
            states = tuple(h.state for h in heads.values() if h.owner == owner)
            has_moved = self._signs.setdefault(owner, (beats.get(owner), states)) != (beats.get(owner), states)
            is_silent = self._vigil.is_dead(owner, now_s, {owner: WorkerRow(owner, 0)})
            if head.source in streams:
                found[owner] = False if is_silent or owner not in beats else has_moved or None
            else:  # who reads files has no heartbeat, and may have nothing to commit
                found[owner] = (has_moved and not is_silent) or None
        return {lane: found[head.owner] for lane, head in heads.items()}


def _beats(journal: Journal) -> dict[str, WorkerRow]:
    found = (rows.decode(WorkerRow, key, value) for key, value in journal.scan("worker/"))
    return {row.worker: row for row in found}


def _streams(journal: Journal) -> frozenset[str]:
    """Name the sources whose shards are shared by workers."""
    found = (rows.decode(SourceRow, key, value) for key, value in journal.scan("source/"))
    return frozenset(row.source for row in found if "stream" in row.settings and rows.READ_BY not in row.settings)


def _state(store: ObjectStore, head: Head) -> LaneState:
    return LaneState() if head.state is None else stored.decode(LaneState, head.state.name, store.get(head.state))


def _lane(head: Head, alive: bool | None, state: LaneState) -> dict[str, Any]:
    seen = [held.seen for held in state.shards.values()]
    return {
        "lane": head.lane,
        "entry": head.n,
        "source": head.source,
        "owner": head.owner,
        "alive": alive,
        "shards": len(state.shards),
        # Everything that had arrived until then was read, of each of its shards; as of the lane's last entry.
        "read_upto_us": min((found.us for found in seen if found is not None), default=None) if all(seen) else None,
    }


def _places(shards: Iterable[ShardRow]) -> list[dict[str, Any]]:
    """Count shards by source and place."""
    found: Counter[tuple[str, str]] = Counter((row.source, row.place) for row in shards)
    sources = sorted({source for source, _ in found})
    return [{"source": s, **{name: found[s, place] for place, name in PLACES.items()}} for s in sources]


def _answered(certificate: "Certificate") -> dict[str, Any]:
    cut = dict(certificate.cut)
    return {
        "cut": cut,
        "events": certificate.events,
        "duplicates": certificate.duplicates,
        "dead_letters": certificate.letters,
        "gaps": certificate.gaps,
        "newest_event_us": certificate.newest_event_us,
        "views": [
            {
                "name": view.name,
                "seam": dict(view.seam),
                "lag_entries": sum(n - view.seam.get(lane, 0) for lane, n in cut.items()),
                "batch_rows": view.batch_rows,
                "realtime_entries": view.realtime_entries,
                "recomputed_entries": view.recomputed_entries,
                "fingerprint": view.fingerprint,
                "exactness": view.exactness,
            }
            for view in certificate.views
        ],
        "positions": dict(certificate.positions),
    }
