"""Each view once more from the rows themselves, compared with what a query is answered from.

The rows are the master dataset's, and beyond its seam those of the segments: everything that was ever committed.
A difference means that a stored partial or a batch file is not what its rows say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batch.audit import differing
from serving.answer import view_parts
from serving.plan import plan
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import MASTER, read_manifests
from shardlake.adapters.table_files import checked
from shardlake.core.combine import Part, combined_sql, read_events
from shardlake.core.journal import reading
from shardlake.core.journal.port import Journal
from shardlake.core.ports import ObjectStore, Snapshot, Tables
from shardlake.core.seam import NOTHING, Seam
from shardlake.core.view import EVENTS, CompiledView


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found for one view: how many of its rows were compared, how many differ, and a few of those."""

    view: str
    rows: int
    differing: int
    sample: Sequence[Any]


def verify(
    journal: Journal, store: ObjectStore, tables: Tables, views: Sequence[CompiledView], engine: Engine
) -> list[Verified]:
    """Recompute views and compare, all at one cut. Raises: Corrupt if tables and journal contradict each other."""
    pointer = reading.read_pointers(journal).get(MASTER)
    master = tables.load(pointer.table) if pointer else None  # before the plan, so that its seam lies within the cut
    made = plan(journal, store, tables, views)
    sources = _sources(journal, store, master, made.cut)
    found = []
    for name, view_plan in made.views.items():
        view = view_plan.view
        answered = f"({combined_sql(view, view_parts(view_plan, store))})"
        recomputed = [Part(f"({view.partial.replace(EVENTS, read_events(view, files))})") for files in sources]
        rows = engine.table(f"SELECT count(*) AS n FROM {answered}")["n"][0].as_py()
        count, sample = differing(engine, view, f"({combined_sql(view, recomputed)})", answered)
        found.append(Verified(name, rows, count, sample))
    return found


def _sources(journal: Journal, store: ObjectStore, master: Snapshot | None, cut: Seam) -> list[list[str]]:
    """The files of all rows of a cut: the master's, and the segments of the entries beyond its seam."""
    seam = master.seam if master else NOTHING
    entries = [e for lane in cut.marks for e in reading.read_entries(journal, lane, seam.n(lane), cut.n(lane))]
    segments = [store.path(m.segment) for m in read_manifests(store, entries) if m.segment is not None]
    files = [checked(file) for file in master.files] if master else []
    return [paths for paths in (files, segments) if paths]
