"""`shardlake stream bootstrap`: what a table held before its stream was read, counted."""

import os

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.counted import counted


@click.command(cls=Command, short_help="Count what a DynamoDB table held before its stream was read.")
@click.option(
    "--settle", type=click.FloatRange(0), metavar="S", help="Seconds after which a change is in the stream: 10."
)
@click.option("--wait", type=click.FloatRange(0), metavar="S", help="Seconds to wait for `stream run` at most: 3600.")
@pass_invocation
def bootstrap(invocation: Invocation, settle: float | None, wait: float | None) -> None:
    """Scan a DynamoDB table, and add the rows that make its views equal to it.

    `shardlake stream run` has to be at work meanwhile: changes go on, and are counted once. From the beginning until it
    is complete, answers say that they are not. What was killed is begun again; where nothing is lacking, nothing is
    added. It also makes good what was lost in a gap of the stream.
    """
    from shardlake.app.loading import load
    from shardlake.app.progress import shown

    with shown(invocation) as progress:
        done = load(invocation.config, os.environ, progress, settle_s=settle, wait_s=wait)
    data = {"items": done.items, "added": done.added, "taken_back": done.taken_back, "entries": done.entries}
    took = f", and {counted(done.taken_back, 'row')} too many taken back" if done.taken_back else ""
    text = f"{counted(done.items, 'item')} scanned: {counted(done.added, 'row')} added{took}"
    invocation.output.line(text, data)
