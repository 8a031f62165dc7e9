"""`shardlake batch`: what was committed goes into the master dataset and the batch views."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from shardlake.app.cli import Group, Invocation, pass_invocation

if TYPE_CHECKING:
    from batch.context import Context
    from batch.run import Counted


@click.group(cls=Group)
def batch() -> None:
    """Bring the master dataset and the batch views up to date."""


@batch.command()
@click.option(
    "--view", "names", multiple=True, metavar="NAME", help="Only this view (and the master dataset); again for more."
)
@pass_invocation
def run(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Count everything that was committed since the last run.

    Each view is computed again from the rows and compared with what the stream process had stored: a difference is not
    published, and ends in exit code 4. Run it as often as you like, for example every hour; streams and queries go on
    meanwhile. Of two runs at once, one wins, and the other ends in exit code 3 at most.
    """
    from shardlake.app.viewset import named_views

    views = named_views(invocation.config, names)
    with _working(invocation) as context:
        from batch.run import run as work

        _write(invocation, work(context, views))


@batch.command(short_help="Make the batch table of a view anew.")
@click.argument("view")
@pass_invocation
def rebuild(invocation: Invocation, view: str) -> None:
    """Make the batch table of a view anew from the master dataset, while the old one goes on answering."""
    from shardlake.app.viewset import named_views

    views = named_views(invocation.config, (view,))
    with _working(invocation) as context:
        from batch.rebuild import rebuild as work

        _write(invocation, [work(context, views[0])])


@contextmanager
def _working(invocation: Invocation) -> "Iterator[Context]":
    """A context whose progress is shown; what its audit finds is an error of its own kind."""
    from shardlake.app import compose
    from shardlake.app.exits import Difference
    from shardlake.app.progress import shown

    with shown(invocation) as progress, compose.batch_context(invocation.config, progress) as context:
        from batch.audit import AuditFailed

        try:
            yield context
        except AuditFailed as error:
            raise Difference(str(error)) from error


def _write(invocation: Invocation, counted: "Sequence[Counted]") -> None:
    rows = [(c.table, c.entries, c.rows, c.passes) for c in counted]
    data = [{"table": c.table, "entries": c.entries, "rows": c.rows, "passes": c.passes} for c in counted]
    invocation.output.table(("table", "entries", "rows", "passes"), rows, {"counted": data})
