"""`shardlake dlq`: the records that could not be read."""

import base64
import sys
from typing import Any

import click

from shardlake.app.cli import Group, Invocation, pass_invocation
from shardlake.app.text import payload, printable


@click.group(cls=Group, short_help="See the records that could not be read.")
def dlq() -> None:
    """See the dead letters: records that could not be read, with their payload and the reason."""


@dlq.command("list")
@click.option("--reason", default="", metavar="WORD", help="The letters of this reason, one by one.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many letters to list.")
@pass_invocation
def list_(invocation: Invocation, reason: str, limit: int) -> None:
    """Count the dead letters by reason; with --reason, list them."""
    from shardlake.app.letters import Letters

    letters = Letters(invocation.config)
    if reason:
        found = letters.of(reason, limit)
        listed = [(letter.id, letter.origin, letter.line, letter.detail) for letter in found]
        invocation.output.table(
            ("id", "origin", "line", "detail"),
            listed,
            {"reason": reason, "letters": [_told(letter) for letter in found]},
        )
        return
    counted = letters.reasons()
    rows = [(r.reason, r.count, r.first, r.last) for r in counted]
    reasons = [{"reason": r.reason, "count": r.count, "first": r.first, "last": r.last} for r in counted]
    data = {"total": sum(r.count for r in counted), "reasons": reasons}
    if counted or invocation.json:
        invocation.output.table(("reason", "letters", "first", "last"), rows, data)
        invocation.output.note("`shardlake dlq show ID` shows one; --reason WORD lists the letters of a reason")
    else:
        invocation.output.note("no dead letters")


@dlq.command(short_help="Show one dead letter.")
@click.argument("letter", metavar="ID")
@click.option("--raw", is_flag=True, help="Write the payload alone, byte by byte: for a file, not for a terminal.")
@pass_invocation
def show(invocation: Invocation, letter: str, raw: bool) -> None:
    """Show a dead letter: its position, where it came from, why it could not be read, and its payload."""
    from shardlake.app.letters import Letters

    found = Letters(invocation.config).find(letter)
    if raw:
        for one in found:
            sys.stdout.buffer.write(one.payload)
        return
    if invocation.json:
        invocation.output.json({"letters": [_told(one) for one in found]})
        return
    for one in found:
        facts = {name: value for name, value in _told(one).items() if not name.startswith("payload")}
        invocation.output.facts(facts | {"bytes": len(one.payload)}, None)
        click.echo(payload(one.payload))


def _told(letter: Any) -> dict[str, Any]:
    return {
        "id": letter.id,
        "origin": printable(letter.origin),
        "line": letter.line,
        "reason": letter.reason,
        "detail": letter.detail,
        "arrival": letter.arrival.isoformat(sep=" ") + " UTC",
        "payload": payload(letter.payload),
        "payload_base64": base64.b64encode(letter.payload).decode(),
    }
