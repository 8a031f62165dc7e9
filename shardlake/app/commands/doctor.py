"""`shardlake doctor`: what can be told of this installation, each with the next step."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import OK, REFUSED
from shardlake.app.text import printable
from shardlake.core.errors import ConfigError

if TYPE_CHECKING:
    from shardlake.app.checks import Check

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(cls=Command, short_help="Check settings, disk, permissions, clock and limits.")
@click.option(
    "--put", is_flag=True, help="Try writing too: a blank record into the stream, an object into storage.url."
)
@click.option(
    "--downtime",
    type=click.FloatRange(0, 8760),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="How long nobody may be reading the stream, at most.",
)
@pass_invocation
def doctor(invocation: Invocation, put: bool, downtime: float) -> int:
    """Check what a stream process, a batch run and a query need, and say what to do where something is missing.

    It looks at libraries, settings, views, root, disk and journal, and at the source: credentials, this machine's clock
    against the service's, each permission by using it once, and how long records are kept. If a check fails, the exit
    code is 1.
    """
    from shardlake.adapters.clock import SystemClock
    from shardlake.app.checks import Check, Visit
    from shardlake.app.doctor import examine, unreadable, verdict

    checks: list[Check] = []
    try:
        visit = Visit(invocation.resolved(), os.environ, SystemClock(), downtime, put)
    except ConfigError as error:
        checks.append(unreadable(error))
        _tell(invocation, checks[0])
    else:
        for check in examine(visit):
            checks.append(check)
            _tell(invocation, check)
    has_failed = any(check.state == "fail" for check in checks)
    data = {"well": not has_failed, "checks": [asdict(check) for check in checks]}
    invocation.output.line(verdict(checks), data)
    return REFUSED if has_failed else OK


def _tell(invocation: Invocation, check: "Check") -> None:
    """Show a check as soon as it is made."""
    if invocation.json:
        return
    state = click.style(f"{check.state:<4}", fg=_COLOURS[check.state])
    click.echo(f"{state}  {check.check:<22}{printable(check.found)}")
    if check.next:
        click.echo(f"{'':<28}-> {check.next}")
