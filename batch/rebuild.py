"""A view's batch table made anew from the master dataset, while the old one goes on answering.

The new table is filled, caught up, and then one pointer moves. The old table stays for readers that planned
with it, until it is swept.
"""

from batch import master, views
from batch.context import Context, Files
from batch.run import SQL, Counted, forward_view
from shardlake.adapters.crashpoints import reach
from shardlake.core.journal import reading
from shardlake.core.journal.rows import TableRow
from shardlake.core.view import CompiledView


def rebuild(context: Context, view: CompiledView, files: Files = SQL) -> Counted:
    """Rebuild one view. Raises: Conflict if its pointer moved meanwhile; AuditFailed, Corrupt."""
    pointer = reading.read_pointers(context.journal).get(view.name)
    made = views.fill(context, files, view, master.open_master(context))
    reach("rebuild:after-table")
    counted = forward_view(context, view, made, files)
    reach("rebuild:before-pointer")
    context.point(pointer, TableRow(view.name, made.table, view.fingerprint))
    return counted
