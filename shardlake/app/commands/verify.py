"""`shardlake verify`: every view recomputed from the rows, and compared with what answers it."""

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import DIFFERENCE, OK


@click.command(cls=Command, short_help="Recompute each view from the rows, and compare.")
@click.option("--view", "names", multiple=True, metavar="NAME", help="Only this view; again for more.")
@pass_invocation
def verify(invocation: Invocation, names: tuple[str, ...]) -> int:
    """Recompute each view from the master dataset and the segments beyond it, and compare.

    It reads every row, so it takes a while. A difference ends in exit code 4.
    """
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.adapters.engine import Engine
    from shardlake.app import compose
    from shardlake.app.progress import shown
    from shardlake.app.verify import verify as work
    from shardlake.app.viewset import named_views

    config = invocation.config
    views = named_views(config, names)
    with shown(invocation) as progress, compose.opened_journal(config) as journal:
        progress(f"recomputing {', '.join(view.name for view in views)}")
        engine = Engine(config.batch.threads, config.limits.query_memory)
        found = work(journal, compose.objects(config), compose.tables(config), views, engine)
    rows = [(f.view, f.rows, f.differing, "DIFFERS" if f.differing else "equal") for f in found]
    data = [{"view": f.view, "rows": f.rows, "differing": f.differing, "sample": list(f.sample)} for f in found]
    invocation.output.table(("view", "rows", "differing", "result"), rows, {"views": data})
    return DIFFERENCE if any(f.differing for f in found) else OK
