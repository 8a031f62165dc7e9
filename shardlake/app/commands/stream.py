"""`shardlake stream run`: the process that keeps views current."""

import os
from contextlib import nullcontext

import click

from shardlake.app.cli import Group, Invocation, pass_invocation
from shardlake.app.counted import counted


@click.group(cls=Group, lazy={"bootstrap": "shardlake.app.commands.bootstrap:bootstrap"})
def stream() -> None:
    """Read a source, and keep its views current."""


@stream.command(short_help="Read log files or a Kinesis stream, until it is stopped.")
@click.option("--source", metavar="PATH", help="The log files: a folder or a glob pattern, also s3://bucket/prefix.")
@click.option("--stream", metavar="NAME", help="A Kinesis stream, by its name or ARN, instead of files.")
@click.option("--endpoint", metavar="URL", help="A service that speaks like AWS, instead of AWS.")
@click.option("--once", is_flag=True, help="Read what is there now, commit it, and exit.")
@pass_invocation
def run(invocation: Invocation, source: str | None, stream: str | None, endpoint: str | None, once: bool) -> None:
    """Read log files or a Kinesis stream, what is new as it arrives, until it is stopped.

    What it has read is committed about every second, and can be asked from then on. Ctrl-C or SIGTERM commits the rest
    and exits with 0. A kill loses nothing: the next run goes on where the last commit was. Of files one process at a
    time works on a root; of a stream any number of them, which share its shards.
    """
    invocation.flag("source.path", source, "--source")
    invocation.flag("source.stream", stream, "--stream")
    invocation.flag("source.endpoint", endpoint, "--endpoint")
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.lock import only_one
    from shardlake.app.logs import make_log
    from shardlake.app.streaming import Stop, file_settings
    from shardlake.app.streaming import stream as work

    config = invocation.config
    if not config.source.is_stream:
        file_settings(config)
    alone = nullcontext() if config.source.is_stream else only_one("a stream process", config.root, "stream")
    log = make_log(verbose=invocation.verbose, as_json=invocation.json)
    with Stop() as stopped, alone:
        done = work(config, os.environ, log, stopped, once=once)
    log.info("stopped", signal=stopped.signal or None, entries=done.entries, rows=done.rows)
    data = {"entries": done.entries, "rows": done.rows, "dead_letters": done.letters, "signal": stopped.signal or None}
    entries = counted(done.entries, "entry", "entries")
    text = f"{entries} of events with {counted(done.rows, 'row')} and {counted(done.letters, 'dead letter')} committed"
    invocation.output.line(text, data)
