"""A batch view: a view's partials over all entries up to its seam, one row a key, one file for each date.

A pass computes the partial form over the raw rows of its entries, audits it against what the speed layer had
stored, puts the two sides of each touched date together in one new file, and commits files and seam at once.
Dates that the pass does not touch keep their files. Of a stream of changes, groups of which everything was taken back
are left out, and a date that has no others loses its file.
"""

from collections.abc import Sequence
from typing import Final

from batch import audit
from batch.context import Context, Files
from batch.passes import Pass
from shardlake.adapters.crashpoints import reach
from shardlake.adapters.readers import POSITIONS_PROPERTY
from shardlake.adapters.table_files import checked
from shardlake.core.combine import Part, combined_sql, kept_sql, read_events
from shardlake.core.journal.objects import Manifest
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.sql import identifier, literal
from shardlake.core.view import EVENTS, CompiledView
from shardlake.core.windows import Windows

PARTITION: Final = "_date"
FRESH: Final = "_fresh"


def columns(view: CompiledView) -> tuple[Column, ...]:
    """The columns of a view's batch table: its partial columns, and the date of its window if it has one."""
    own = tuple(Column(c.name, c.type) for c in view.columns)
    return own if view.window is None else (*own, Column(PARTITION, "DATE", f"the date of {view.window}"))


def update(context: Context, files: Files, view: CompiledView, base: Snapshot, taken: Pass, positions: str) -> Snapshot:
    """Count a pass in a batch view. Raises: Conflict if another run was first, AuditFailed if the layers disagree."""
    return commit(context, view, base, taken, positions, files.of_view(context, view, base, taken))


def updated(context: Context, view: CompiledView, base: Snapshot, taken: Pass) -> list[TableFile]:
    """Write a view's rows over a pass, put together with those of the dates that it touches. Raises: AuditFailed."""
    compute(context, view, taken.manifests)
    try:
        check(context, view, taken.manifests)
        return written(context, view, base)
    finally:
        context.engine.run(f"DROP TABLE IF EXISTS {FRESH}")


def compute(context: Context, view: CompiledView, manifests: Sequence[Manifest]) -> None:
    """Compute the partial form over the rows of some entries, as the table FRESH."""
    segments = [context.store.path(m.segment) for m in manifests if m.segment is not None]
    context.engine.run(
        f"CREATE OR REPLACE TEMP TABLE {FRESH} AS {_partial(view, read_events(view, segments) if segments else '')}"
    )


def _partial(view: CompiledView, rows: str) -> str:
    if rows:
        return view.partial.replace(EVENTS, rows)
    return combined_sql(view, ())


def check(context: Context, view: CompiledView, manifests: Sequence[Manifest]) -> None:
    """Audit FRESH against the stored partials of the same entries; entries without one are left out on both sides.

    Raises: AuditFailed, which names the smallest entry that differs.
    """
    covered = [m for m in manifests if m.partial(view.fingerprint) is not None]
    if len(covered) == sum(m.segment is not None for m in manifests):
        differing, _ = _compare(context, view, covered, FRESH)
    else:
        differing, _ = _compare(context, view, covered, None)
    if differing:
        _blame(context, view, covered)


def _compare(
    context: Context, view: CompiledView, manifests: Sequence[Manifest], ours: str | None
) -> tuple[int, Sequence[object]]:
    if not manifests:
        return 0, ()
    refs = [partial for m in manifests if (partial := m.partial(view.fingerprint)) is not None]
    stored = combined_sql(view, [Part.file(context.store.path(p.object), p.windows, p.rows) for p in refs])
    segments = [context.store.path(m.segment) for m in manifests if m.segment is not None]
    computed = ours or f"({_partial(view, read_events(view, segments))})"
    return audit.differing(context.engine, view, computed, f"({stored})")


def _blame(context: Context, view: CompiledView, manifests: Sequence[Manifest]) -> None:
    for manifest in manifests:
        differing, sample = _compare(context, view, [manifest], None)
        if differing:
            raise audit.AuditFailed(view.name, f"lane {manifest.lane} entry {manifest.n}", differing, sample)
    raise audit.AuditFailed(view.name, "several entries together", 1, ())


def fill(context: Context, files: Files, view: CompiledView, source: Snapshot) -> Snapshot:
    """Make a new table of a view that counts what the master dataset has counted, at its seam."""
    made = context.tables.create(f"{view.name}_{context.new_id()}", columns(view), PARTITION if view.window else None)
    if not source.seam.marks:
        return made
    add, everything = files.of_master(context, view, made, source), Pass((), (), source.seam)
    return commit(context, view, made, everything, source.properties[POSITIONS_PROPERTY], add)


def filled(context: Context, view: CompiledView, made: Snapshot, source: Snapshot) -> list[TableFile]:
    """Write a view's rows over the master dataset as files of a table that has none."""
    rows = read_events(view, [checked(file) for file in source.files]) if source.files else ""
    context.engine.run(f"CREATE OR REPLACE TEMP TABLE {FRESH} AS {_partial(view, rows)}")
    try:
        return written(context, view, made)
    finally:
        context.engine.run(f"DROP TABLE IF EXISTS {FRESH}")


def publish(context: Context, view: CompiledView, base: Snapshot, taken: Pass, positions: str) -> Snapshot:
    """Write FRESH together with the files of the dates that it touches, and commit."""
    return commit(context, view, base, taken, positions, written(context, view, base))


def written(context: Context, view: CompiledView, base: Snapshot) -> list[TableFile]:
    """Write FRESH together with the files of the dates that it touches."""
    old = {file.partition: file for file in base.files}
    return [_write(context, view, base, date, old.get(date)) for date in _dates(context, view)]


def commit(
    context: Context, view: CompiledView, base: Snapshot, taken: Pass, positions: str, add: Sequence[TableFile]
) -> Snapshot:
    """Commit files, each in the place of the one of its date, and the seam; one without rows just takes it away.

    Raises: Conflict.
    """
    old = {file.partition: file for file in base.files}
    remove = [old[file.partition] for file in add if file.partition in old]
    some = [file for file in add if file.rows]
    reach("batch:after-view-files")
    after = context.tables.commit(base, some, remove, taken.seam, context.properties(positions, view.fingerprint))
    reach("batch:after-view-commit")
    return after


def _dates(context: Context, view: CompiledView) -> list[str]:
    if view.window is None:
        return [""] if context.engine.table(f"SELECT 1 FROM {FRESH} LIMIT 1").num_rows else []
    found = context.engine.table(f"SELECT DISTINCT {_date(view.window)}::VARCHAR AS d FROM {FRESH} ORDER BY d")
    return [str(date) for date in found["d"].to_pylist()]


def _write(context: Context, view: CompiledView, base: Snapshot, date: str, old: TableFile | None) -> TableFile:
    own = f"{_date(view.window)} = DATE {literal(date)}" if view.window else "true"
    fresh = f"(SELECT * FROM {FRESH} WHERE {own})"
    windows = _windows(context, view, fresh)
    parts = [Part(fresh, (), windows)]
    if old is not None:
        parts.append(Part.file(checked(old), old.windows, old.rows))
    extra = f", DATE {literal(date)} AS {PARTITION}" if view.window else ""
    order = ", ".join(map(identifier, view.keys))
    kept = kept_sql(view, f"({combined_sql(view, parts)})")
    sql = f"SELECT *{extra} FROM ({kept}) ORDER BY {order}"
    path = context.tables.new_file(base.table, date)
    rows, length = context.engine.copy(sql, path)
    both = windows if old is None or windows is None or old.windows is None else windows.union(old.windows)
    return TableFile(path, rows, length, date, both)


def _windows(context: Context, view: CompiledView, fresh: str) -> Windows | None:
    if view.window is None or view.window_us is None:
        return None
    found = context.engine.table(f"SELECT DISTINCT epoch_us({identifier(view.window)}) AS w FROM {fresh}")
    starts = found["w"].to_pylist()
    return None if None in starts else Windows.of(starts, view.window_us, context.limits.windows_runs_max)


def _date(window: str) -> str:
    """The date by which a row is partitioned; a row whose window is NULL, infinite or far away has a place too."""
    name = identifier(window)
    known = f"{name} >= TIMESTAMP '0001-01-01' AND {name} < TIMESTAMP '9999-12-31'"
    return f"(CASE WHEN {known} THEN CAST({name} AS DATE) ELSE DATE '1970-01-01' END)"
