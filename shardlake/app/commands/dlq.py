"""`shardlake dlq`: the records that could not be read."""

import base64
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from shardlake.app.cli import Group, Invocation, pass_invocation
from shardlake.app.text import payload, printable

if TYPE_CHECKING:
    from shardlake.app.retrying import Tried

_WHY: Final = {
    "no_line": "tell of what is no line",
    "cut": "keep only the start of their line, by limits.letter_bytes_max",
    "other_source": "are of another source: see source.name",
}


@click.group(cls=Group, short_help="See the records that could not be read, and try them again.")
def dlq() -> None:
    """See the dead letters: records that could not be read, with their payload and the reason; and try them again."""


@dlq.command("list", short_help="Count the open dead letters by reason, or list them.")
@click.option("--reason", default="", metavar="WORD", help="The letters of this reason, one by one.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many letters to list.")
@click.option("--all", "retried", is_flag=True, help="Also those that were retried, and are counted since.")
@pass_invocation
def list_(invocation: Invocation, reason: str, limit: int, retried: bool) -> None:
    """Count the open dead letters by reason, with a sample; with --reason, list them."""
    from shardlake.app.letters import Letters
    from shardlake.app.retrying import check_reason

    letters = Letters(invocation.config)
    check_reason(letters, reason)
    done = letters.retried()
    if reason:
        _list_each(invocation, reason, letters.of(reason, limit, retried=retried), retried)
    else:
        _list_reasons(invocation, letters.reasons(retried=retried), retried, done)
    if done and not retried:
        retold = "dead letter was" if done == 1 else "dead letters were"
        invocation.output.note(f"{done:,} {retold} retried, and counted since: --all shows them too")


def _list_each(invocation: Invocation, reason: str, found: Any, retried: bool) -> None:
    columns = ("id", "origin", "line", "detail", *(("retried",) if retried else ()))
    rows = [
        (letter.id, letter.origin, letter.line, letter.detail, *((letter.retried or "no",) if retried else ()))
        for letter in found
    ]
    invocation.output.table(columns, rows, {"reason": reason, "letters": [_told(letter) for letter in found]})


def _list_reasons(invocation: Invocation, counted: Any, retried: bool, done: int) -> None:
    columns = ("reason", "letters", *(("retried",) if retried else ()), "first", "last", "sample")
    rows = [
        (r.reason, r.count, *((r.retried,) if retried else ()), r.first, r.last, payload(r.sample)) for r in counted
    ]
    reasons = [
        {
            "reason": r.reason,
            "count": r.count,
            "retried": r.retried,
            "first": r.first,
            "last": r.last,
            "sample": payload(r.sample),
        }
        for r in counted
    ]
    data = {"total": sum(r.count for r in counted), "retried": done, "reasons": reasons}
    if counted or invocation.json:
        invocation.output.table(columns, rows, data)
        invocation.output.note("`shardlake dlq show ID` shows one; --reason WORD lists the letters of a reason")
    else:
        invocation.output.note("no open dead letters" if done else "no dead letters")


@dlq.command(short_help="Show one dead letter.")
@click.argument("letter", metavar="ID")
@click.option("--raw", is_flag=True, help="Write the payload alone, byte by byte: for a file, not for a terminal.")
@pass_invocation
def show(invocation: Invocation, letter: str, raw: bool) -> None:
    """Show a dead letter: its position, its origin, why it could not be read, whether it was retried, its payload."""
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
        retried = f"it is counted, as {one.retried}" if one.retried else "no"
        invocation.output.facts(facts | {"retried": retried, "bytes": len(one.payload)}, None)
        click.echo(payload(one.payload))


@dlq.command(short_help="Try dead letters again.")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--reason", default="", metavar="WORD", help="Only the letters of this reason.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="How many letters to try at most.")
@click.option("--dry-run", is_flag=True, help="Only see which can be read now; store nothing.")
@pass_invocation
def retry(invocation: Invocation, ids: tuple[str, ...], reason: str, limit: int | None, dry_run: bool) -> None:
    """Read dead letters again, by the present pack and settings; what can be read now is counted, once.

    What still cannot be read stays as it is. A line is read by source.fields, or by the pack's fields of a stream: the
    header of its file is not kept with it. Streams, batch runs and queries go on meanwhile.
    """
    from shardlake.app.letters import Choice
    from shardlake.app.progress import shown
    from shardlake.app.retrying import retry as work

    with shown(invocation) as progress:
        tried = work(invocation.config, os.environ, Choice(reason, ids, limit), progress, dry_run=dry_run)
    if invocation.json:
        invocation.output.json(_tried(tried, dry_run))
        return
    can = "can be read now" if dry_run else "were read, and are counted now"
    duplicates = f"; {tried.duplicates:,} of them are duplicates" if tried.duplicates else ""
    click.echo(f"{tried.read:,} of {tried.letters:,} dead letters {can}{duplicates}")
    if tried.failing:
        failing = [
            (now if now == before else f"{now} (was {before})", count, tried.details[now, before])
            for (now, before), count in tried.failing.most_common()
        ]
        invocation.output.table(("reason now", "letters", "detail of the first"), failing, None)
    for note in _notes(tried):
        invocation.output.note(note)


def _notes(tried: "Tried") -> Iterator[str]:
    if any(now == "no_header" for now, _ in tried.failing):
        yield (
            "no_header: the header of a file is not kept with its lines: name its fields, in order, as in"
            " `shardlake --set source.fields=ONE,TWO dlq retry`"
        )
    for (reason, why), count in sorted(tried.others.items()):
        yield f"{count:,} {reason} cannot be retried: they {_WHY[why]}"
    if tried.before:
        yield f"{tried.before:,} were retried before"
    for view in sorted(tried.failed_views):
        yield f"view {view} could not be computed over what was read; its answers say why"


def _tried(tried: "Tried", dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "letters": tried.letters,
        "read": tried.read,
        "duplicates": tried.duplicates,
        "entries": tried.entries,
        "failing": [
            {"reason": reason, "count": sum(was.values()), "was": was, "detail": detail}
            for reason, (was, detail) in _by_reason(tried).items()
        ],
        "not_retried": [
            {"reason": reason, "why": why, "count": count} for (reason, why), count in sorted(tried.others.items())
        ],
        "retried_before": tried.before,
        "failed_views": sorted(tried.failed_views),
    }


def _by_reason(tried: "Tried") -> dict[str, tuple[dict[str, int], str]]:
    """For each reason now, the reasons before with their counts, and the detail of one letter."""
    found: dict[str, tuple[dict[str, int], str]] = {}
    for (now, before), count in tried.failing.most_common():
        was, _ = found.setdefault(now, ({}, tried.details[now, before]))
        was[before] = count
    return dict(sorted(found.items(), key=lambda item: -sum(item[1][0].values())))


def _told(letter: Any) -> dict[str, Any]:
    return {
        "id": letter.id,
        "origin": printable(letter.origin),
        "line": letter.line,
        "reason": letter.reason,
        "detail": letter.detail,
        "arrival": letter.arrival.isoformat(sep=" ") + " UTC",
        "retried": letter.retried or None,
        "payload": payload(letter.payload),
        "payload_base64": base64.b64encode(letter.payload).decode(),
    }
