"""`shardlake demo`: the whole of it on a laptop, killed in the middle, and compared with a plain count."""

from pathlib import Path

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import DIFFERENCE, OK


@click.command(cls=Command, short_help="See the whole of it on generated logs.")
@click.option("--files", is_flag=True, help="Log files that arrive in a folder, instead of a stream.")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Your own CloudFront logs instead of generated ones; implies --files.",
)
@click.option(
    "--requests", type=click.IntRange(1), default=300_000, show_default=True, help="How many requests to generate."
)
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR", help="Work in this folder and leave everything there."
)
@pass_invocation
def demo(invocation: Invocation, files: bool, logs: Path | None, requests: int, keep: Path | None) -> int:
    """See the whole of it: a stream and its workers, one of which is killed, batch runs, and every answer compared.

    It starts an embedded Kinesis with four shards and puts CloudFront log lines into it (late ones, copies and broken
    ones among them). Two worker processes read it. One of them is killed, another one starts, a shard is split, two
    are merged, and batch runs twice meanwhile. With --files, logs arrive in a folder instead, and one process reads
    them. In the end it shows the top viewers, the bots, the bandwidth and the certificate. The last line says whether
    every answer was exact; if one was not, the exit code is 4.
    """
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.demo.run import Wanted, run_demo

    exact = run_demo(Wanted(requests, files, logs, keep, invocation.json))
    return OK if exact else DIFFERENCE
