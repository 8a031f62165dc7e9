"""`shardlake query`: one SELECT over views, and what its answer covers."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from shardlake.app import answers, compose
from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.exits import OK
from shardlake.app.text import printable_lines
from shardlake.app.times import Zone, shown, zone
from shardlake.app.unknown import explained
from shardlake.app.watching import EVERY_S, Seconds

if TYPE_CHECKING:
    from serving.answer import Rows, Server
    from serving.certificate import Certificate

TABLE_ROWS: Final = 1000
SAVED: Final = "@"
EPILOG: Final = """\b
Examples:
  shardlake query "SELECT bucket, sum(bytes) FROM bandwidth GROUP BY 1" --plot
  shardlake query "SELECT edge, sum(bytes) FROM bandwidth GROUP BY 1" --plot
  shardlake query "SELECT sum(requests) FROM viewers" --watch
  shardlake query @                    (the saved queries there are)
  shardlake query @NAME --plot --column bytes
  shardlake query @NAME --tz Europe/Berlin -f csv -o out.csv
"""


@dataclass(frozen=True, slots=True)
class _Wishes:
    """How an answer is to be shown. `how` is None where no format was named."""

    how: str | None
    plot: bool
    column: str | None
    tz: str | None
    watch: float | None
    output: Path | None
    limit: int | None
    certificate: bool

    def check(self, as_json: bool) -> None:
        """See that they go together. Raises: click.UsageError."""
        data = self.how in ("json", "jsonl", "parquet")
        if self.how == "parquet" and self.output is None:
            raise click.UsageError("--format parquet needs --output FILE")
        if self.plot and (self.how or self.output or as_json):
            raise click.UsageError("--plot is drawn for people: leave out --format, --output and --json")
        if self.column is not None and not self.plot:
            raise click.UsageError("--column names the number that --plot draws: add --plot")
        if self.tz is not None and (data or as_json):
            raise click.UsageError("--tz is for tables, csv and plots; json, jsonl and parquet stay UTC")
        if self.watch is not None and (self.how not in (None, "table") or self.output):
            raise click.UsageError("--watch shows tables, plots, and with --json one line for each answer")


class _Query(Command):
    """The command, whose --watch takes what follows as its seconds only if that is a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give --watch its default where no number follows."""
        spelled = [
            f"--watch={EVERY_S:g}" if word == "--watch" and not _is_number(following) else word
            for word, following in zip(args, [*args[1:], ""], strict=False)
        ]
        return super().parse_args(ctx, spelled)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@click.command(cls=_Query, short_help="Ask a SELECT over the views.", epilog=EPILOG)
@click.argument("sql")
@click.option("-f", "--format", "how", type=click.Choice(answers.FORMATS), help="How to write the rows.  [table]")
@click.option("--plot", is_flag=True, help="Draw the rows: values over time as lines, names with values as bars.")
@click.option("--column", metavar="NAME", help="The number that --plot draws, where there are several.")
@click.option("--tz", metavar="ZONE", help="Show times in this zone, such as Europe/Berlin, local, UTC or +05:30.")
@click.option(
    "--watch",
    type=Seconds(0.1, 86_400),
    is_flag=False,
    flag_value=EVERY_S,
    metavar="[SECONDS]",
    help=f"Ask again, every {EVERY_S:g} seconds if none are given, until Ctrl-C.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the rows to this file; parquet needs it.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"Rows that a table ({TABLE_ROWS}) or bars (20) show; 0 for all.",
)
@click.option("--certificate", is_flag=True, help="Show all that the answer's certificate says.")
@click.option("--threads", type=click.IntRange(1), help="Threads of this query.")
@pass_invocation
def query(invocation: Invocation, /, sql: str, threads: int | None, **given: Any) -> int:
    """Ask a SELECT over the views, such as "SELECT * FROM bots LIMIT 10"; "-" reads it from stdin.

    "@NAME" is a saved query, of the pack or of your folder (query.folder); "@" alone lists them. `shardlake views list`
    names the views and their columns. Any SELECT of DuckDB is allowed above them: ORDER BY, LIMIT, joins, window
    functions. The answer covers everything that was committed before the question was asked, and the line below it
    says how far that is: its cut, the seam between batch and realtime, the newest event, and whether it is exact.
    """
    wishes = _Wishes(**given)
    wishes.check(invocation.json)
    invocation.flag("query.threads", threads, "--threads")
    invocation.flag("query.timezone", wishes.tz, "--tz")
    _write_any_text()
    if sql == SAVED:
        return _list(invocation)
    times = zone(invocation.config.query.timezone, invocation.resolved().values["query.timezone"].origin)
    text = _text(invocation, sql)
    with explained(invocation.config):
        if wishes.watch is not None:
            return _watch(invocation, text, wishes, times, wishes.watch)
        return _once(invocation, text, wishes, times)


def _once(invocation: Invocation, text: str, wishes: _Wishes, times: Zone) -> int:
    invocation.die_at_ctrl_c()
    server = compose.server(invocation.config)
    if invocation.json:
        invocation.output.json(_json(invocation, server, text))
        return OK
    if wishes.how == "parquet" and wishes.output is not None:
        _tell(_parquet(server, text, wishes.output), wishes, times)
    else:
        _rows(invocation, _asked(server, text, wishes, times), wishes, times)
    for line in _sampling(invocation):
        click.secho(line, dim=True, err=not sys.stdout.isatty())
    return OK


def _write_any_text() -> None:
    """Let a terminal that knows ASCII only show other characters as escapes, in place of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower() not in ("utf-8", "utf8"):
            stream.reconfigure(errors="backslashreplace")


def _text(invocation: Invocation, sql: str) -> str:
    if sql == "-":
        return sys.stdin.read()
    if not sql.startswith(SAVED):
        return sql
    from shardlake.app import saved

    return saved.find(invocation.config, sql.removeprefix(SAVED)).sql


def _list(invocation: Invocation) -> int:
    from shardlake.app import saved

    found = saved.every(invocation.config).values()
    if not found and not invocation.json:
        click.echo(f"no saved queries: put one .sql file each into {invocation.config.query.folder}")
        return OK
    if invocation.json:
        names = ("name", "description", "views", "origin", "sql")
        invocation.output.json({"queries": [{name: getattr(one, name) for name in names} for one in found]})
        return OK
    for one in found:
        views = f", of {', '.join(one.views)}" if one.views else ""
        click.echo(f"{click.style(SAVED + one.name, bold=True)}  ({one.place}{views})")
        if one.description:
            click.echo(click.wrap_text(one.description, 100, "    ", "    "))
    return OK


def _asked(server: "Server", sql: str, wishes: _Wishes, times: Zone) -> "Rows":
    """Ask, and give the rows with times in their zone, unless they are data that stays UTC; a plot does it itself."""
    answer = server.rows(sql)
    return answer if wishes.plot or wishes.how in ("json", "jsonl") else replace(answer, rows=shown(answer.rows, times))


def _sampling(invocation: Invocation) -> list[str]:
    rate = invocation.config.source.sampling_rate
    return [answers.sampling_line(rate)] if rate < 100 else []


def _json(invocation: Invocation, server: "Server", sql: str) -> dict[str, Any]:
    rate = invocation.config.source.sampling_rate
    return answers.as_json(server.rows(sql)) | ({"sampling_rate": rate} if rate < 100 else {})


def _parquet(server: "Server", sql: str, output: Path) -> "Certificate":
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    table, certificate = server.arrow(sql)
    answers.write_parquet(table, output)
    return certificate


def _rows(invocation: Invocation, answer: "Rows", wishes: _Wishes, times: Zone) -> None:
    if wishes.plot:
        below = [*_told(answer.certificate, wishes.certificate, times), *_sampling(invocation)]
        click.echo("\n".join(_plot(answer, wishes, times, below, 1)))
        _tell(answer.certificate, wishes, times)
        return
    if wishes.how in (None, "table") and wishes.output is None:
        answers.write_table(answer, TABLE_ROWS if wishes.limit is None else wishes.limit)
        _tell(answer.certificate, wishes, times)
        return
    written = "csv" if wishes.how in (None, "table") else wishes.how
    on_screen = wishes.output is None and sys.stdout.isatty()
    with click.open_file(str(wishes.output) if wishes.output else "-", "w", encoding="utf-8") as file:
        for piece in answers.lines(answer, written or "csv"):
            file.write(printable_lines(piece) if on_screen else piece)
    if wishes.certificate:
        _tell(answer.certificate, wishes, times)


def _plot(answer: "Rows", wishes: _Wishes, times: Zone, below: list[str], besides: int) -> list[str]:
    """Draw an answer so that what stands below it, and so many lines besides, are seen with it."""
    from shardlake.app.plotting.paper import folded, paper
    from shardlake.app.plotting.plots import Wish, plot

    drawn_on = paper(len(folded(below)) + besides)
    return plot(answer.columns, answer.rows, drawn_on, times, Wish(wishes.limit, wishes.column))


def _tell(certificate: "Certificate", wishes: _Wishes, times: Zone) -> None:
    """Say what the answer covers, apart from the rows: on stderr unless they are a table on a terminal."""
    for line in _told(certificate, wishes.certificate, times):
        click.secho(line, dim=True, err=not sys.stdout.isatty())


def _told(certificate: "Certificate", whole: bool, times: Zone) -> list[str]:
    if not whole:
        return [answers.certificate_line(certificate, times)]
    facts = answers.certificate_facts(certificate, times)
    width = max(map(len, facts))
    return [f"{name:<{width}}  {value}" for name, value in facts.items()]


# --------------------------------------------------------------------------------------------------- again and again


def _watch(invocation: Invocation, sql: str, wishes: _Wishes, times: Zone, every_s: float) -> int:
    """Ask again and again, by one server: what it has opened stays open."""
    from shardlake.adapters.clock import SystemClock
    from shardlake.app import watching
    from shardlake.app.plotting.paper import folded

    clock = SystemClock()
    server = compose.server(invocation.config)
    if invocation.json:
        return watching.watch_lines(lambda: _json(invocation, server, sql), every_s, clock)
    with watching.screen() as show:

        def frame() -> list[str]:
            answer = _asked(server, sql, wishes, times)
            below = [*_told(answer.certificate, wishes.certificate, times), *_sampling(invocation)]
            if sys.stdout.isatty():  # where what is drawn anew must not be wrapped by the terminal
                below = folded(below)
            head = f"{times.text(clock.now_us())}, every {every_s:g} s"
            return [head, *_body(answer, wishes, times, below), *below]

        return watching.watch(frame, show, every_s, clock)


def _body(answer: "Rows", wishes: _Wishes, times: Zone, below: list[str]) -> list[str]:
    """Write an answer so that it fits on the screen, where there is one."""
    if wishes.plot:
        return _plot(answer, wishes, times, below, 2)
    from shardlake.app.output import plain_table
    from shardlake.app.plotting.paper import lines_left

    limit = TABLE_ROWS if wishes.limit is None else wishes.limit or len(answer.rows)
    if sys.stdout.isatty():  # less head, heading with its rule, the line about more rows, and the cursor's
        limit = min(limit, lines_left(len(below) + 5))
    more = len(answer.rows) - limit
    return [*plain_table(answer.columns, answer.rows[:limit]), *([answers.more_line(more)] if more > 0 else [])]
