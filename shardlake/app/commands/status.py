"""`shardlake status`: how far everything is, once, or again and again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from shardlake.app import watching
from shardlake.app.answers import cut_text, sampling_line
from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import OK
from shardlake.app.text import NONE, ago, cell, utc

_OWNER_WIDTH: Final = 8  # of a name of 32 characters: enough to tell workers apart
_ALIVE: Final = {True: "alive", False: "dead", None: NONE}

Table = tuple[Sequence[str], list[Sequence[Any]]]


@click.command(cls=Command, short_help="Show how far everything is.")
@click.option(
    "--watch",
    type=watching.Seconds(0.1, 86_400),
    is_flag=False,
    flag_value=watching.EVERY_S,
    metavar="[SECONDS]",
    help=f"Show it anew, every {watching.EVERY_S:g} seconds if none are given, until Ctrl-C.",
)
@pass_invocation
def status(invocation: Invocation, watch: float | None) -> int:
    """Show the cut, the lanes and their shards, how far each view's batch side is behind, and what did not go well.

    The lag is in entries: those that a view's answers still read one by one. A batch run brings it to 0. Who is alive
    is seen by looking more than once: with --watch. With --watch and --json each look is one line.
    """
    from shardlake.adapters.clock import SystemClock
    from shardlake.app.overview import Overview

    clock = SystemClock()
    overview = Overview(invocation.config, clock)
    if watch is not None and invocation.json:
        return watching.watch_lines(overview.look, watch, clock)
    if watch is not None:
        with watching.screen() as show:
            return watching.watch(lambda: _lines(overview.look()), show, watch, clock)
    data = overview.look()
    if invocation.json:
        invocation.output.json(data)
        return OK
    invocation.output.facts(_facts(data), None)
    for columns, rows in _tables(data):
        click.echo()
        invocation.output.table(columns, rows, None)
    return OK


# ------------------------------------------------------------------------------------------------------- as text


def _lines(data: Mapping[str, Any]) -> list[str]:
    from shardlake.app.output import plain_table

    facts = {"time": utc(data["now_us"]), **_facts(data)}
    width = max(map(len, facts))
    lines = [f"{name:<{width}}  {cell(value)}" for name, value in facts.items()]
    for columns, rows in _tables(data):
        lines += ["", *plain_table(columns, rows)]
    return lines


def _facts(data: Mapping[str, Any]) -> dict[str, Any]:
    newest = data["newest_event_us"]
    age = f" ({_since(data, newest)})" if newest is not None else ""
    facts = {
        "root": data["root"],
        "source": data["source"] or "not set",
        "cut": cut_text(data["cut"]),
        "newest event": utc(newest) + age,
        "events": f"{data['events']:,}",
        "duplicates": f"{data['duplicates']:,}",
        "dead letters": f"{data['dead_letters']:,}" + (" (see `shardlake dlq list`)" if data["dead_letters"] else ""),
        "gaps": data["gaps"],
        "shards": "; ".join(_shards(found, len(data["shards"])) for found in data["shards"]) or "none",
    }
    if data["sampling_rate"] < 100:
        facts["sampling"] = sampling_line(data["sampling_rate"])
    return facts


def _shards(found: Mapping[str, Any], sources: int) -> str:
    name = f"{found['source']}: " if sources > 1 else ""
    return f"{name}{found['held']} held, {found['free']} free, {found['ended']} ended"


def _tables(data: Mapping[str, Any]) -> Iterator[Table]:
    lanes = [
        (
            lane["lane"],
            lane["entry"],
            lane["source"] or NONE,
            lane["owner"][:_OWNER_WIDTH] or NONE,
            _ALIVE[lane["alive"]],
            lane["shards"],
            NONE if lane["read_upto_us"] is None else _since(data, lane["read_upto_us"]),
        )
        for lane in data["lanes"]
    ]
    yield ("lane", "entry", "source", "owner", "life", "shards", "read up to"), list(lanes)
    views = [
        (
            v["name"],
            cut_text(v["seam"]),
            v["lag_entries"],
            v["batch_rows"],
            v["realtime_entries"],
            v["recomputed_entries"],
        )
        for v in data["views"]
    ]
    yield ("view", "seam", "lag (entries)", "batch rows", "realtime entries", "recomputed"), list(views)


def _since(data: Mapping[str, Any], then_us: int) -> str:
    return f"{ago(max(0, data['now_us'] - then_us) / 1e6)} ago"
