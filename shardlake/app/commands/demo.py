"""`shardlake demo`: the whole of it on a laptop, killed in the middle, and compared with a plain count."""

from pathlib import Path

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import DIFFERENCE, OK


@click.command(cls=Command, short_help="See the whole of it on generated logs.")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Your own CloudFront logs instead of generated ones.",
)
@click.option(
    "--requests", type=click.IntRange(1), default=300_000, show_default=True, help="How many requests to generate."
)
@click.option(
    "--keep", type=click.Path(path_type=Path), metavar="DIR", help="Work in this folder and leave everything there."
)
@pass_invocation
def demo(invocation: Invocation, logs: Path | None, requests: int, keep: Path | None) -> int:
    """See the whole of it: logs that arrive, a process that is killed, batch runs, and every answer compared.

    It writes CloudFront logs (late ones, copies and broken lines among them), reads them with a process of its own,
    kills that in the middle, runs batch twice meanwhile, and shows the top viewers, the bots, the bandwidth and the
    certificate. The last line says whether every answer was exact; if one was not, the exit code is 4.
    """
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.demo.run import run_demo

    exact = run_demo(logs=logs, requests=requests, keep=keep, as_json=invocation.json)
    return OK if exact else DIFFERENCE
