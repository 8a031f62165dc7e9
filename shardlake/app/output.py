"""What commands write to stdout: tables for people, JSON for programs. rich is imported for a terminal only."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from shardlake.app.text import cell, is_number, plain, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

CELL_WIDTH: Final = 100  # of a terminal's table; what is longer is folded
RECORDS_MAX: Final = 48  # rows of a table too wide for a terminal that are written one below the other

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Output:
    """Writes either for people or, `as_json`, one JSON value for the whole command."""

    as_json: bool = False

    def table(self, columns: Sequence[str], rows: Sequence[Row], data: Any, title: str = "") -> None:
        """Write rows as a table, or `data` as JSON."""
        if self.as_json:
            self.json(data)
        else:
            show_table(columns, rows, title)

    def facts(self, facts: Mapping[str, Any], data: Any, title: str = "") -> None:
        """Write names and values below one another, or `data` as JSON."""
        if self.as_json:
            self.json(data)
            return
        if title:
            click.secho(title, bold=True)
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            click.echo(f"{name:<{width}}  {cell(value)}")

    def line(self, text: str, data: Any) -> None:
        """Write a sentence, or `data` as JSON."""
        if self.as_json:
            self.json(data)
        else:
            click.echo(text)

    def note(self, text: str) -> None:
        """Write something that people want to know and programs do not."""
        if not self.as_json:
            click.secho(text, dim=True)

    def json(self, data: Any) -> None:
        """Write JSON, indented."""
        text = msgspec.json.format(msgspec.json.encode(plain(data)), indent=2).decode()
        click.echo(printable_lines(text) if sys.stdout.isatty() else text)


def show_table(columns: Sequence[str], rows: Sequence[Row], title: str = "") -> None:
    """Write a table: ruled and coloured on a terminal, plain columns anywhere else.

    On a terminal that is too narrow a few rows have one line for each column instead.
    """
    if sys.stdout.isatty():
        _rich_table(columns, rows, title)
    else:
        click.echo("\n".join(plain_table(columns, rows, title)))


def plain_table(columns: Sequence[str], rows: Sequence[Row], title: str = "") -> list[str]:
    r"""Write rows as aligned lines.

    >>> print("\n".join(plain_table(("edge", "bytes"), [("FRA56", 1200), ("LHR", 7)])))
    edge   bytes
    -----  -----
    FRA56   1200
    LHR        7
    """
    names = [*map(printable, columns)]  # they may come out of data: PIVOT makes columns of it
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *texts, strict=True)]
    right = _right(columns, rows)
    lines = [names, ["-" * width for width in widths], *texts]
    aligned = ("  ".join(_pad(*item) for item in zip(line, widths, right, strict=True)).rstrip() for line in lines)
    return [*([title] if title else []), *aligned]


def _pad(text: str, width: int, to_right: bool) -> str:
    return text.rjust(width) if to_right else text.ljust(width)


def _right(columns: Sequence[str], rows: Sequence[Row]) -> list[bool]:
    found = []
    for index in range(len(columns)):
        values = [row[index] for row in rows if row[index] is not None]
        found.append(bool(values) and all(map(is_number, values)))
    return found


def _rich_table(columns: Sequence[str], rows: Sequence[Row], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name, right in zip(columns, _right(columns, rows), strict=True):
        table.add_column(
            Text(printable(name)), justify="right" if right else "left", overflow="fold", max_width=CELL_WIDTH
        )
    for row in rows:
        table.add_row(*map(_styled, row))
    console = Console()
    width = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    if width <= console.width or len(columns) == 1:
        console.print(table)
    elif len(rows) <= RECORDS_MAX:
        _records(console, columns, rows, title)
    else:  # the terminal wraps it: many columns of folded cells cannot be read
        Console(width=width).print(table)


def _records(console: "Console", columns: Sequence[str], rows: Sequence[Row], title: str) -> None:
    """Write each row as names and values below one another."""
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    if title:
        console.print(Text(title))
    for number, row in enumerate(rows, 1):
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in zip(columns, row, strict=True):
            grid.add_row(Text(printable(name)), _styled(value))
        console.print(Rule(Text(f"{number:,} of {len(rows):,}"), align="left", style="dim"), grid)


def _styled(value: Any) -> "Text":
    from rich.text import Text

    return Text(cell(value), style="dim" if value is None else "")
