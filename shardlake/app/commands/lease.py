"""`shardlake lease`: what a consumer of Amazon's Kinesis Client Library (KCL) had read, taken over and given back."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import click

from shardlake.app.cli import Group, Invocation, pass_invocation
from shardlake.app.counted import counted

if TYPE_CHECKING:
    from shardlake.adapters.kcl.exporting import Change
    from shardlake.adapters.kcl.lease import Version
    from shardlake.app.leases import Exported, Imported, Terms

    _Type = click.ParamType[int]
else:
    _Type = click.ParamType  # it takes no parameter before click 8.3


class Moment(_Type):
    """A moment, as microseconds since the epoch."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read an ISO time, UTC unless it says otherwise."""
        if isinstance(value, int):
            return value
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value} is not a time such as 2026-03-17T10:00:00Z", param, ctx)
        known = found if found.tzinfo else found.replace(tzinfo=UTC)
        return round(known.timestamp() * 1e6)


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that both directions take."""
    for option in reversed(
        (
            click.option("--table", required=True, metavar="APP", help="The lease table: the application's name."),
            click.option("--stream", metavar="NAME", help="The Kinesis stream, by its name or ARN."),
            click.option("--identifier", default="", metavar="ID", help="The stream's name in a table of several."),
            click.option("--endpoint", metavar="URL", help="A service that speaks like AWS, instead of AWS."),
            click.option("--table-endpoint", default="", metavar="URL", help="The same for the table alone."),
            click.option(
                "--failover",
                type=click.FloatRange(0.1, 3600),
                default=10.0,
                show_default=True,
                metavar="SECONDS",
                help="failoverTimeMillis of the application; the table is watched for twice that time.",
            ),
            click.option("--dry-run", is_flag=True, help="Only see what would be written."),
        )
    ):
        command = option(command)
    return command


@click.group(cls=Group, short_help="Take over from the Kinesis Client Library, or give back to it.")
def lease() -> None:
    """Take over what a stopped application of the Kinesis Client Library (KCL) had read, or give it back."""


@lease.command("import", short_help="Go on where a stopped application of KCL has ended.")
@_options
@click.option("--at-timestamp", type=Moment(), metavar="TIME", help="Where leases at AT_TIMESTAMP begin.")
@click.option(
    "--latest-as",
    type=click.Choice(["trim_horizon", "timestamp"]),
    default=None,
    help="Where leases at LATEST begin: at the oldest record, or at --at-timestamp.",
)
@click.option("--read-holes", is_flag=True, help="Read shards of which nobody knows anything from their beginning.")
@pass_invocation
def import_(
    invocation: Invocation, /, at_timestamp: int | None, latest_as: str | None, read_holes: bool, **given: Any
) -> None:
    """Go on where a stopped application of KCL has ended: `shardlake stream run` then reads what it has not.

    The table is only read. It is watched first: if anything in it moves, it is refused. The root must be one that has
    read nothing of this stream. What KCL keeps no note of, this command asks for.
    """
    from shardlake.adapters.kcl.importing import Choices
    from shardlake.app.leases import take_over, world
    from shardlake.app.progress import shown

    terms = _terms(invocation, given)
    choices = Choices(at_timestamp, cast("Any", latest_as or ""), read_holes)
    with shown(invocation) as progress, world(invocation.config, terms, progress) as found:
        done = take_over(found, choices)
    _tell_import(invocation, terms, done)


def _tell_import(invocation: Invocation, terms: "Terms", done: "Imported") -> None:
    rows = [(one.shard, one.was or "-", one.place, one.at.encode(), ", ".join(one.parents)) for one in done.plan.shards]
    data = {
        "dry_run": terms.dry_run,
        "table": terms.table,
        "identifier": done.identifier or None,
        "begins_us": done.plan.pinned_us or None,
        "written": done.written,
        "shards": [
            {"shard": one.shard, "lease": one.was or None, "place": one.place, "position": one.at.encode()}
            for one in done.plan.shards
        ],
        "notes": list(done.plan.notes),
    }
    columns = ("shard", "lease", "goes on", "position", "after")
    invocation.output.table(columns, rows, data)
    if invocation.json:
        return
    would = "would be" if terms.dry_run else "are"
    click.echo(f"{counted(len(rows), 'shard')} of {terms.table} {would} taken over")
    for note in done.plan.notes:
        invocation.output.note(note)
    invocation.output.note("events from before are in no view, and a copy of one that comes later is not told as one")
    if not terms.dry_run:
        invocation.output.note(f"keep {terms.table} stopped: both would read the same records")


@lease.command("export", short_help="Let an application of KCL go on where this root has ended.")
@_options
@click.option(
    "--version",
    type=click.Choice(["2", "3.0", "3.5"]),
    help="Which KCL will read it: 2.x, 3.0 to 3.4, or 3.5 and later.",
)
@click.option("--evict", is_flag=True, help="Take leases from owners that did not move: stopped ones.")
@click.option("--take-back", is_flag=True, help="Let this root go on instead, if nobody has read from the table since.")
@pass_invocation
def export(invocation: Invocation, /, version: str | None, evict: bool, take_back: bool, **given: Any) -> None:
    """Let an application of KCL go on where this root has ended; the root then reads this stream no more.

    Every process that reads the stream must be stopped, and the table exist. A lease is written only if it is as it was
    read, and is never moved back.
    """
    from shardlake.app import leases
    from shardlake.app.progress import shown

    terms = _terms(invocation, given)
    if not take_back and version is None:
        raise click.UsageError("say which KCL will read it: --version 2, 3.0 or 3.5")
    with shown(invocation) as progress, leases.world(invocation.config, terms, progress) as found:
        if not take_back:
            done = leases.give_back(found, cast("Version", version), evict=evict)
            _tell_export(invocation, terms, done)
            return
        count = leases.take_back(found, evict=evict)
    can = "can go on" if terms.dry_run else "goes on"
    text = f"{counted(count, 'lease')} of {terms.table} were looked at, and none is further: this root {can}"
    invocation.output.line(text, {"dry_run": terms.dry_run, "table": terms.table, "leases": count})


def _tell_export(invocation: Invocation, terms: "Terms", done: "Exported") -> None:
    changes = done.plan.changes
    rows = [(c.lease.key, c.before.told if c.before else "-", c.lease.told, _doing(c)) for c in changes]
    data = {
        "dry_run": terms.dry_run,
        "table": terms.table,
        "identifier": done.identifier or None,
        "written": len(done.written),
        "leases": [
            {"lease": c.lease.key, "before": c.before and c.before.told, "after": c.lease.told, "doing": _doing(c)}
            for c in changes
        ],
        "notes": list(done.plan.notes),
    }
    invocation.output.table(("lease", "before", "after", "doing"), rows, data)
    if invocation.json:
        return
    would = "would be written" if terms.dry_run else "were written"
    count = sum(not change.is_done for change in changes)
    click.echo(f"{counted(count, 'lease')} of {terms.table} {would}")
    for note in done.plan.notes:
        invocation.output.note(note)
    if not terms.dry_run:
        invocation.output.note("this root reads the stream no more; its views and answers stay")


def _doing(change: "Change") -> str:
    return "stands" if change.is_done else "moves" if change.before else "new"


def _terms(invocation: Invocation, given: dict[str, Any]) -> "Terms":
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.leases import Terms

    invocation.flag("source.stream", given["stream"], "--stream")
    invocation.flag("source.endpoint", given["endpoint"], "--endpoint")
    return Terms(given["table"], given["identifier"], given["failover"], given["table_endpoint"], given["dry_run"])
