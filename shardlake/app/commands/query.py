"""`shardlake query`: one SELECT over views, and what its answer covers."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shardlake.app import answers, compose
from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.text import printable_lines

if TYPE_CHECKING:
    from serving.answer import Server
    from serving.certificate import Certificate

TABLE_ROWS = 1000


@click.command(cls=Command, short_help="Ask a SELECT over the views.")
@click.argument("sql")
@click.option(
    "-f",
    "--format",
    "how",
    type=click.Choice(answers.FORMATS),
    default="table",
    show_default=True,
    help="How to write the rows.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the rows to this file; parquet needs it.")
@click.option(
    "--limit", type=click.IntRange(0), default=TABLE_ROWS, show_default=True, help="Rows that a table shows; 0 for all."
)
@click.option("--certificate", is_flag=True, help="Show all that the answer's certificate says.")
@click.option("--threads", type=click.IntRange(1), help="Threads of this query.")
@pass_invocation
def query(
    invocation: Invocation, sql: str, how: str, output: Path | None, limit: int, certificate: bool, threads: int | None
) -> None:
    """Ask a SELECT over the views, such as "SELECT * FROM bots LIMIT 10"; "-" reads it from stdin.

    `shardlake views list` names the views and their columns. Any SELECT of DuckDB is allowed above them: ORDER BY,
    LIMIT, joins, window functions. The answer covers everything that was committed before the question was asked, and
    the line below it says how far that is: its cut, the seam between batch and realtime, the newest event, and whether
    it is exact.
    """
    invocation.flag("query.threads", threads, "--threads")
    if how == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE")
    invocation.die_at_ctrl_c()
    server = compose.server(invocation.config)
    text = sys.stdin.read() if sql == "-" else sql
    if invocation.json:
        _json(invocation, server, text)
    elif how == "parquet" and output is not None:
        _told(_parquet(server, text, output), certificate)
    else:
        _rows(server, text, how, output, limit, certificate)
    rate = invocation.config.source.sampling_rate
    if rate < 100 and not invocation.json:
        click.secho(answers.sampling_line(rate), dim=True, err=not sys.stdout.isatty())


def _json(invocation: Invocation, server: "Server", sql: str) -> None:
    rate = invocation.config.source.sampling_rate
    invocation.output.json(answers.as_json(server.rows(sql)) | ({"sampling_rate": rate} if rate < 100 else {}))


def _parquet(server: "Server", sql: str, output: Path) -> "Certificate":
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    table, certificate = server.arrow(sql)
    answers.write_parquet(table, output)
    return certificate


def _rows(server: "Server", sql: str, how: str, output: Path | None, limit: int, certificate: bool) -> None:
    answer = server.rows(sql)
    if how == "table" and output is None:
        answers.write_table(answer, limit)
        _told(answer.certificate, certificate)
        return
    written = "csv" if how == "table" else how
    shown = output is None and sys.stdout.isatty()
    with click.open_file(str(output) if output else "-", "w", encoding="utf-8") as file:
        for piece in answers.lines(answer, written):
            file.write(printable_lines(piece) if shown else piece)
    if certificate:
        _told(answer.certificate, certificate)


def _told(certificate: "Certificate", whole: bool) -> None:
    """Say what the answer covers, apart from the rows: on stderr unless they are a table on a terminal."""
    apart = not sys.stdout.isatty()
    if not whole:
        click.secho(answers.certificate_line(certificate), dim=True, err=apart)
        return
    facts = answers.certificate_facts(certificate)
    width = max(map(len, facts))
    for name, value in facts.items():
        click.secho(f"{name:<{width}}  {value}", dim=True, err=apart)
