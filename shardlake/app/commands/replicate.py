"""`shardlake replicate`: the changes of a table, filtered, into another table."""

from typing import Any

import click

from shardlake.app.cli import Command, Invocation, pass_invocation


@click.command(cls=Command, short_help="Keep a filtered copy of a followed table in another DynamoDB table.")
@click.option(
    "--source", "name", metavar="NAME", help="The source whose changes are copied, by its name in the journal."
)
@click.option("--table", required=True, metavar="TABLE", help="The table that becomes the copy; it has the same key.")
@click.option("--where", default="", metavar="SQL", help='Only items for which this holds, such as "price > 100".')
@click.option("--region", default="", metavar="REGION", help="The AWS region of the copy, if it is another.")
@click.option("--endpoint", default="", metavar="URL", help="A service that speaks like DynamoDB, for the copy.")
@click.option(
    "--removed-days",
    type=click.IntRange(1),
    metavar="N",
    help="Let what tells of a removed item expire after so many days.",
)
@click.option("--anew", is_flag=True, help="Put everything again, from the journal's beginning.")
@click.option("--once", is_flag=True, help="Put what is committed now, and exit.")
@pass_invocation
def replicate(invocation: Invocation, /, name: str | None, once: bool, **given: Any) -> None:
    """Keep a copy of a table in another one, of the items for which a condition holds, until it is stopped.

    It reads what `shardlake stream run` has committed. Each version of an item is put once and never over a newer one,
    removals included, whatever comes twice or late; so it may be stopped, killed, or run several times at once. A
    removed item stays as its key and a mark, _shardlake_removed.
    """
    invocation.flag("source.name", name, "--source")
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.logs import make_log
    from shardlake.app.replicating import Wanted
    from shardlake.app.replicating import replicate as work
    from shardlake.app.streaming import Stop

    log = make_log(verbose=invocation.verbose, as_json=invocation.json)
    with Stop() as stopped:
        done = work(invocation.config, Wanted(**given), log, stopped, once=once)
    log.info("stopped", signal=stopped.signal or None)
    data = {key: getattr(done, key) for key in ("entries", "rows", "put", "removed", "there", "newer", "gaps")}
    text = (
        f"{done.put:,} items and {done.removed:,} removals were put, of {done.rows:,} rows; {done.there:,} stood there"
        f" already, and {done.newer:,} came after a newer one"
    )
    invocation.output.line(text, data | {"dead_letters": done.letters, "signal": stopped.signal or None})
    if done.gaps or done.letters:
        invocation.output.note(
            f"the copy may lack items: {done.gaps:,} ranges of changes were lost before they were read, and"
            f" {done.letters:,} images are dead letters"
        )
