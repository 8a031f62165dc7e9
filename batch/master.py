"""The master dataset: all committed events, by date, sorted, with the entry that each came from.

A pass adds one file for each date that it touches. Duplicates are kept, flagged.
"""

from collections.abc import Sequence
from typing import Final

from batch.context import Context, identifier, quoted
from batch.passes import Pass
from shardlake.adapters.crashpoints import reach
from shardlake.adapters.readers import MASTER
from shardlake.core.combine import read_parquet
from shardlake.core.errors import Corrupt
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.rows import TableRow
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import EVENT_COLUMNS, MASTER_COLUMNS, Column

PARTITION: Final = "_date"


def columns(context: Context) -> tuple[Column, ...]:
    """The columns of the master dataset: the source's, every event's, and where it was committed."""
    return (*context.schema.columns, *EVENT_COLUMNS, *MASTER_COLUMNS)


def open_master(context: Context) -> Snapshot:
    """Load the master dataset, making it if there is none. Raises: Conflict if somebody else makes it now."""
    pointer = reading.read_pointers(context.journal).get(MASTER)
    if pointer is None:
        table = f"{MASTER}_{context.new_id()}"
        made = context.tables.create(table, columns(context), PARTITION)
        context.point(None, TableRow(MASTER, table, ""))
        return made
    snapshot = context.tables.load(pointer.table)
    if snapshot is None:
        raise Corrupt(f"the master dataset's table {pointer.table} is gone: restore {pointer.table} from a backup")
    return snapshot


def append(context: Context, base: Snapshot, taken: Pass, positions: str) -> Snapshot:
    """Add a pass to the master dataset and move its seam. Raises: Conflict if another run was first."""
    files = [_write(context, base.table, date, taken.manifests) for date in _dates(context, taken.manifests)]
    reach("batch:after-master-files")
    after = context.tables.commit(base, files, (), taken.seam, context.properties(positions, ""))
    reach("batch:after-master-commit")
    return after


def _rows(context: Context, manifests: Sequence[Manifest]) -> str:
    names = ", ".join(identifier(c.name) for c in (*context.schema.columns, *EVENT_COLUMNS))
    return " UNION ALL ".join(
        f"SELECT {names}, {m.lane}::INTEGER AS _lane, {m.n}::BIGINT AS _entry,"
        f" CAST({identifier(context.schema.event_time)} AS DATE) AS {PARTITION}"
        f" FROM {read_parquet([context.store.path(m.segment)])}"
        for m in manifests
        if m.segment is not None
    )


def _dates(context: Context, manifests: Sequence[Manifest]) -> list[str]:
    rows = _rows(context, manifests)
    if not rows:
        return []
    found = context.engine.table(f"SELECT DISTINCT {PARTITION}::VARCHAR AS d FROM ({rows}) ORDER BY d")
    return [str(date) for date in found["d"].to_pylist()]


def _write(context: Context, table: str, date: str, manifests: Sequence[Manifest]) -> TableFile:
    order = ", ".join(map(identifier, context.sort))
    sql = f"SELECT * FROM ({_rows(context, manifests)}) WHERE {PARTITION} = DATE {quoted(date)} ORDER BY {order}"
    path = context.tables.new_file(table, date)
    rows, length = context.engine.copy(sql, path)
    return TableFile(path, rows, length, date)
