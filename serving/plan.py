"""From views to a read plan: table snapshots first, then the journal's heads, so that a cut never goes back.

A snapshot that was read before the heads cannot have counted an entry that the heads do not know. The
ranges of all entries beyond a seam are checked to continue the seam's positions: a hole is an error, never
an answer that lacks something.
"""

from collections.abc import Sequence

from shardlake.adapters.readers import MASTER, read_manifests, read_positions
from shardlake.core.chain import advance
from shardlake.core.errors import Missing
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import EntryKey, TableRow
from shardlake.core.ports import ObjectStore, Snapshot, Tables
from shardlake.core.readplan import Base, ReadPlan, plan_view
from shardlake.core.view import CompiledView

REPLANS_MAX = 5


def plan(journal: Journal, store: ObjectStore, tables: Tables, views: Sequence[CompiledView]) -> ReadPlan:
    """Plan the answer of a query over some views, at the newest cut.

    Raises: Corrupt if tables and journal contradict each other, Missing if files vanish faster than it can plan.
    """
    bases = _bases(journal, store, tables, views)
    beyond = reading.read_beyond(journal, *(base.seam for base in bases.values()))
    manifests = _by_entry(store, beyond, bases)
    plans = {}
    for view in views:
        base = bases[view.name]
        mine = [manifests[e.lane, e.n] for e in beyond.after(base.seam) if e.manifest is not None]
        plans[view.name] = plan_view(view, base, mine, advance(base.positions, mine))
    return ReadPlan(beyond.seam, plans)


def _bases(journal: Journal, store: ObjectStore, tables: Tables, views: Sequence[CompiledView]) -> dict[str, Base]:
    for _ in range(REPLANS_MAX):
        pointers = reading.read_pointers(journal)
        try:
            found = {view.name: _snapshot(tables, pointers.get(view.name), view.fingerprint) for view in views}
            master = None if all(found.values()) else _snapshot(tables, pointers.get(MASTER), None)
            return {name: _base(store, snapshot, master) for name, snapshot in found.items()}
        except Missing:
            continue
    raise Missing("batch tables are replaced faster than a query can be planned: try again")


def _snapshot(tables: Tables, pointer: TableRow | None, fingerprint: str | None) -> Snapshot | None:
    if pointer is None or (fingerprint is not None and pointer.fingerprint != fingerprint):
        return None
    snapshot = tables.load(pointer.table)
    if snapshot is None:
        raise Missing(f"table {pointer.table} is gone: its view was rebuilt")
    return snapshot


def _base(store: ObjectStore, snapshot: Snapshot | None, master: Snapshot | None) -> Base:
    chosen = snapshot or master
    return Base(chosen, read_positions(store, chosen), from_master=snapshot is None and master is not None)


def _by_entry(store: ObjectStore, beyond: reading.Beyond, bases: dict[str, Base]) -> dict[EntryKey, Manifest]:
    wanted = {(e.lane, e.n): e for base in bases.values() for e in beyond.after(base.seam)}
    return {(m.lane, m.n): m for m in read_manifests(store, wanted.values())}
