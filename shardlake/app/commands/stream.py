"""`shardlake stream run`: the process that keeps views current."""

import os
from pathlib import Path

import click

from shardlake.app.cli import Group, Invocation, pass_invocation


@click.group(cls=Group)
def stream() -> None:
    """Read a source, and keep its views current."""


@stream.command()
@click.option(
    "--source", type=click.Path(path_type=Path), metavar="PATH", help="The log files: a folder or a glob pattern."
)
@click.option("--once", is_flag=True, help="Read what is there now, commit it, and exit.")
@pass_invocation
def run(invocation: Invocation, source: Path | None, once: bool) -> None:
    """Read log files, new ones as they arrive, until it is stopped.

    What it has read is committed about every second, and can be asked from then on. Ctrl-C or SIGTERM commits the rest
    and exits with 0. A kill loses nothing: the next run goes on where the last commit was. One process at a time works
    on a root.
    """
    invocation.flag("source.path", source, "--source")
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.lock import only_one
    from shardlake.app.logs import make_log
    from shardlake.app.streaming import Stop, file_settings
    from shardlake.app.streaming import stream as work

    config = invocation.config
    file_settings(config)
    log = make_log(verbose=invocation.verbose, as_json=invocation.json)
    with Stop() as stop, only_one("a stream process", config.root, "stream"):
        done = work(config, os.environ, log, stop, once=once)
    log.info("stopped", signal=stop.signal or None, entries=done.entries, rows=done.rows)
    data = {"entries": done.entries, "rows": done.rows, "dead_letters": done.letters, "signal": stop.signal or None}
    text = f"{done.entries:,} entries with {done.rows:,} rows and {done.letters:,} dead letters committed"
    invocation.output.line(text, data)
