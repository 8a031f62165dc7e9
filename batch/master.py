"""The master dataset: all committed events, by date, sorted, with the entry that each came from.

A pass adds one file for each date that it touches. Duplicates are kept, flagged. The columns of its table only grow:
a file has all that the table has then, those of the source as it is configured now, and those that its segments hold
from before, when it was configured otherwise.
"""

from datetime import date, timedelta
from typing import Final

from batch.context import Context, Files
from batch.passes import Pass
from batch.sorting import Segment, Sorted
from shardlake.adapters.crashpoints import reach
from shardlake.adapters.readers import MASTER
from shardlake.adapters.table_files import lacking
from shardlake.core.errors import Corrupt
from shardlake.core.journal import reading
from shardlake.core.journal.rows import TableRow
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import EVENT_COLUMNS, MASTER_COLUMNS, Column

PARTITION: Final = "_date"
EPOCH: Final = date(1970, 1, 1)


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


def append(context: Context, files: Files, base: Snapshot, taken: Pass, positions: str) -> Snapshot:
    """Add a pass to the master dataset and move its seam.

    Raises: Conflict if another run was first; Corrupt if the segments do not have the rows that their entries say.
    """
    add = files.of_pass(context, base.table, taken)
    if sum(file.rows for file in add) != taken.rows:
        raise Corrupt(f"segments hold {sum(file.rows for file in add)} rows, their entries say {taken.rows}")
    reach("batch:after-master-files")
    after = context.tables.commit(base, add, (), taken.seam, context.properties(positions, ""))
    reach("batch:after-master-commit")
    return after


def written(context: Context, table: str, taken: Pass) -> list[TableFile]:
    """Write the rows of a pass, a file for each date that it touches."""
    segments = [Segment(context.store.path(m.segment), m.lane, m.n) for m in taken.manifests if m.segment is not None]
    if not segments:
        return []
    rows = Sorted(segments, context.schema.event_time, context.sort)
    known = columns(context)
    there = context.tables.widen(table, (*known, *lacking("the source as it is configured now", known, rows.columns)))
    statistics = [*context.sort, context.schema.event_time, "_lane", "_entry", PARTITION]
    files = []
    for day in rows.dates:
        partition = (EPOCH + timedelta(days=day)).isoformat()
        path = context.tables.new_file(table, partition)
        count, length = rows.write(path, day, there, list(dict.fromkeys(statistics)))
        files.append(TableFile(path, count, length, partition))
    return files
