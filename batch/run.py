"""A batch run: everything committed since the last one goes into the master dataset, then into each batch view.

Each table is brought forward by itself: its snapshot is loaded first, then the journal is read beyond that very
seam, so a seam can never go back in any lane. A pass is one commit; two runs at once cannot both land one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from batch import master, views
from batch.audit import AuditFailed
from batch.context import Context, Files
from batch.passes import Pass, next_pass
from shardlake.adapters.readers import FINGERPRINT_PROPERTY, read_manifests, read_positions
from shardlake.core.chain import advance
from shardlake.core.errors import Conflict, SqlFailed, Terminal
from shardlake.core.journal import reading
from shardlake.core.journal.rows import TableRow
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.view import CompiledView

Step = Callable[[Snapshot, Pass, str], Snapshot]
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Counted:
    """What a run added to one table: how many entries and rows, in how many passes."""

    table: str
    entries: int
    rows: int
    passes: int


class SqlFiles:
    """Views by DuckDB, rows in Parquet. See `batch.context.Files` for the contract."""

    def of_pass(self, context: Context, table: str, taken: Pass) -> list[TableFile]:
        """Write the rows of a pass as files of the master dataset."""
        return master.written(context, table, taken)

    def of_view(self, context: Context, view: CompiledView, base: Snapshot, taken: Pass) -> list[TableFile]:
        """Write a view's rows over a pass, each together with those of `base` that it must be added to."""
        return views.updated(context, view, base, taken)

    def of_master(self, context: Context, view: CompiledView, made: Snapshot, source: Snapshot) -> list[TableFile]:
        """Write a view's rows over the master dataset."""
        return views.filled(context, view, made, source)


SQL: Final = SqlFiles()


def run(context: Context, compiled: Sequence[CompiledView], files: Files = SQL) -> list[Counted]:
    """Bring the master dataset and all views forward to the journal's newest cut.

    A view that cannot be brought forward does not hold up the others; its error is raised when they are done.

    Raises: Conflict if another run was first (what this one had committed stays; run again), AuditFailed if the
    layers disagree, SqlFailed if a view fails on its rows, Corrupt if what is stored contradicts itself.
    """
    base = master.open_master(context)
    failed: list[Terminal] = []
    bases = [(view, _or_fail(failed, partial(open_view, context, view, base, files))) for view in compiled]
    counted = [_forward(context, "master", base, lambda *step: master.append(context, files, *step))]
    for view, opened in bases:
        if opened is not None:
            done = _or_fail(failed, partial(forward_view, context, view, opened, files))
            counted += [done] if done else []
    if failed:
        raise failed[0]
    return counted


def _or_fail(failed: list[Terminal], work: Callable[[], Done]) -> Done | None:
    try:
        return work()
    except (SqlFailed, AuditFailed) as error:
        failed.append(error)
        return None


def forward_view(context: Context, view: CompiledView, base: Snapshot, files: Files = SQL) -> Counted:
    """Bring one batch view forward."""
    return _forward(context, view.name, base, lambda *step: views.update(context, files, view, *step))


def _forward(context: Context, name: str, base: Snapshot, step: Step) -> Counted:
    entries, rows, passes = 0, 0, 0
    while (found := _take(context, base)) is not None:
        taken, positions = found
        base = step(base, taken, positions)
        entries, rows, passes = entries + len(taken.entries), rows + taken.rows, passes + 1
        context.progress(f"{name}: {entries} entries, {rows:,} rows")
    return Counted(name, entries, rows, passes)


def _take(context: Context, base: Snapshot) -> tuple[Pass, str] | None:
    """The next pass beyond a snapshot's seam and the positions it will leave, or None if there is no data beyond."""
    beyond = reading.read_beyond(context.journal, base.seam)
    manifests = {(m.lane, m.n): m for m in read_manifests(context.store, beyond.after(base.seam))}
    if not manifests:
        return None
    taken = next_pass(base.seam, beyond, manifests, context.limits.batch_rows_max)
    positions = advance(read_positions(context.store, base), taken.manifests)
    return taken, context.put_positions(positions)


def open_view(context: Context, view: CompiledView, source: Snapshot, files: Files = SQL) -> Snapshot:
    """Load a view's batch table, making it if there is none for this fingerprint.

    A new table, of a new view or of one whose definition changed, counts what the master dataset has counted so
    far. What lies beyond comes from the entries themselves, audited, as always.
    """
    pointer = reading.read_pointers(context.journal).get(view.name)
    if pointer is not None and pointer.fingerprint == view.fingerprint:
        snapshot = context.tables.load(pointer.table)
        if snapshot is None:
            raise Conflict(f"the table of view {view.name} was replaced: run again")
        if snapshot.properties.get(FINGERPRINT_PROPERTY, view.fingerprint) != view.fingerprint:
            raise Conflict(f"the table of view {view.name} is of another definition: run again")
        return snapshot
    made = views.fill(context, files, view, source)
    context.point(pointer, TableRow(view.name, made.table, view.fingerprint))
    return made
