"""`shardlake verify`: every view recomputed from the rows, and compared with what answers it."""

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import DIFFERENCE, OK


@click.command(cls=Command)
@click.option("--view", "names", multiple=True, metavar="NAME", help="Only this view; again for more.")
@pass_invocation
def verify(invocation: Invocation, names: tuple[str, ...]) -> int:
    """Recompute each view from the master dataset and the segments beyond it, and compare.

    It reads every row, so it takes a while. A difference ends in exit code 4.
    """
    from shardlake.app import compose
    from shardlake.app.progress import shown
    from shardlake.app.viewset import named_views

    views = named_views(invocation.config, names)
    with shown(invocation) as progress, compose.batch_context(invocation.config, progress) as context:
        from batch.verify import verify as work

        found = [work(context, view) for view in views]
    rows = [(f.view, f.rows, f.differing, "equal" if not f.differing else "DIFFERS") for f in found]
    data = {"views": [{"view": f.view, "rows": f.rows, "differing": f.differing} for f in found]}
    invocation.output.table(("view", "rows", "differing", "result"), rows, data)
    return DIFFERENCE if any(f.differing for f in found) else OK
