"""What the demo prints: who came, which bots, how much from where, the certificate, and whether it was exact.

The input is plain rows, so that the report can be looked at without an engine. Every text from a log is made
printable first: a user agent must not be able to steer the reader's terminal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shardlake.app.demo.grid import QUIET, Bar, Column, Grid

ACCENT: Final = "cyan"
COLOURS: Final = (ACCENT, "blue", "magenta", "green", QUIET)  # of distributions, the last one for all others
NAMES_PER_CATEGORY_MAX: Final = 8
DISTRIBUTIONS_MAX: Final = 4
EDGES_MAX: Final = 30
EXAMPLES_MAX: Final = 10
PLOT_HEIGHT: Final = 6
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_STEPS: Final = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many answers were compared with the plain count, over how many rows, and how many rows differ."""

    views: int
    answers: int
    compared: int
    differ: int
    examples: Sequence[str] = ()

    @property
    def line(self) -> str:
        """The last line of the demo; its shape is a contract."""
        word = "NO" if self.differ or not self.answers else "yes"
        return (
            f"exact: {word} ({self.views} views, {self.answers:,} answers, {self.compared:,} rows compared, "
            f"{self.differ:,} differ)"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Rows to show, in any order but `viewers`, whose first is the busiest. Bytes may be None, as may any key.

    `viewers` are (viewer, requests, bytes), `bots` (category, name, requests, bytes), `edges` (distribution, edge,
    requests, bytes), `minutes` (minute, bytes); `people` is how many requests no bot made.
    """

    viewers: Sequence[tuple[str | None, int, int | None]]
    bots: Sequence[tuple[str | None, str | None, int, int | None]]
    edges: Sequence[tuple[str | None, str | None, int, int | None]]
    minutes: Sequence[tuple[datetime, int | None]]
    certificate: Mapping[str, str] = field(default_factory=dict)
    people: int = 0


def show(console: Console, report: Report, verdict: Verdict) -> None:
    """Print the whole report; its last line is the verdict's."""
    plain = console.options.ascii_only
    width = min(console.width, 120)
    for title, part in (
        (f"Top {len(report.viewers)} viewers", viewers_table(report, width, plain=plain)),
        ("Bots by category and name", bots_table(report, width, plain=plain)),
        ("Bandwidth by distribution and edge location", edges_table(report, width, plain=plain)),
        ("Bandwidth per minute", minutes_plot(report, width, plain=plain)),
    ):
        console.print(_section(title, part))
    console.print(certificate_panel(report.certificate, width))
    for text in verdict.examples[:EXAMPLES_MAX] if verdict.differ else ():
        console.print(Text(f"  {printable(text)}", style="red"), soft_wrap=True)
    style = "bold green" if verdict.line.startswith("exact: yes") else "bold red"
    console.print(Text(verdict.line, style=style), soft_wrap=True)


def _section(title: str, part: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), Padding(part, (0, 0, 1, 0)))


def viewers_table(report: Report, width: int, *, plain: bool = False) -> Table:
    """The busiest viewers, with a bar of requests."""
    bars = Column("", "bar", max(width - 76, 6))
    grid = Grid(
        [Column("", "number"), Column("viewer", "name"), Column("requests", "number"), bars, Column("bytes", "number")]
    )
    most = max((requests for _, requests, _ in report.viewers), default=0)
    for rank, (viewer, requests, size) in enumerate(report.viewers, start=1):
        drawn = _bar(requests, most, plain=plain)
        grid.add(Text(str(rank), style=QUIET), cell(viewer), f"{requests:,}", drawn, amount(size))
    return grid.table(width)


def bots_table(report: Report, width: int, *, plain: bool = False) -> Table:
    """Bots under their categories, the busiest first; rare names of a category are folded into one row."""
    names, numbers = (Column("category", "name"), Column("name", "name")), Column("requests", "number")
    bars = Column("", "bar", max(width - 82, 6))
    grid = Grid([*names, numbers, Column("share", "number"), bars, Column("bytes", "number")])
    total = report.people + sum(requests for _, _, requests, _ in report.bots)
    shown = [(category, _folded(rows)) for category, rows in _by_category(report.bots)]
    most = max((requests for _, rows in shown for _, requests, _ in rows), default=0)
    for category, rows in shown:
        for place, (name, requests, size) in enumerate(rows):
            title = cell(category, "bold", 18) if place == 0 else Text("")
            drawn = _bar(requests, most, plain=plain)
            grid.add(title, name, f"{requests:,}", share(requests, total), drawn, amount(size))
        grid.part()
    sums = sum(requests for _, _, requests, _ in report.bots)
    grid.add("all bots", "", f"{sums:,}", share(sums, total), "", _sum_of(row[3] for row in report.bots))
    return grid.table(width)


def _by_category(
    rows: Sequence[tuple[str | None, str | None, int, int | None]],
) -> list[tuple[str | None, list[tuple[str | None, int, int | None]]]]:
    """Categories, the busiest first, each with its (name, requests, bytes), the busiest first."""
    found: dict[str | None, list[tuple[str | None, int, int | None]]] = {}
    for category, name, requests, size in rows:
        found.setdefault(category, []).append((name, requests, size))
    for names in found.values():
        names.sort(key=lambda row: (-row[1], row[0] or ""))
    return sorted(found.items(), key=lambda item: -sum(row[1] for row in item[1]))


def _folded(rows: list[tuple[str | None, int, int | None]]) -> list[tuple[Text, int, int | None]]:
    """The first rows as they are, the others as one, if there are at least two of them."""
    first, rest = rows[:NAMES_PER_CATEGORY_MAX], rows[NAMES_PER_CATEGORY_MAX:]
    if len(rest) == 1:
        first, rest = rows, []
    shown = [(cell(name, longest=30), requests, size) for name, requests, size in first]
    if rest:
        sizes = [size for _, _, size in rest if size is not None]
        others = (Text(f"{len(rest)} others", style=QUIET), sum(row[1] for row in rest), sum(sizes) if sizes else None)
        shown.append(others)
    return shown


def edges_table(report: Report, width: int, *, plain: bool = False) -> Table:
    """Bytes by edge location (rows) and distribution (columns), and stacked bars in the distributions' colours."""
    totals, cells = _sums(report.edges)
    groups = _groups(_busiest(report.edges, 0), min(DISTRIBUTIONS_MAX, max((width - 50) // 10, 1)))
    edges = _busiest(report.edges, 1)
    shown, most = edges[:EDGES_MAX], max(totals.values(), default=0)
    sizes_of = (Column(title, "number", style=colour) for (title, _), colour in zip(groups, COLOURS, strict=False))
    bars = Column("", "bar", max(width - 27 - 10 * len(groups), 6))
    grid = Grid([Column("edge", "name"), *sizes_of, Column("all", "number"), bars])
    for edge in shown:
        sizes = [_sum_of(cells.get((d, edge)) for d in members) for _, members in groups]
        parts = [sum(cells.get((d, edge), 0) for d in members) for _, members in groups]
        grid.add(cell(edge), *sizes, amount(totals[edge]), _stack(parts, most, plain=plain))
    grid.part()
    sums = [_sum_of(row[3] for row in report.edges if row[0] in members) for _, members in groups]
    grid.add("all", *sums, _sum_of(row[3] for row in report.edges), _rest(len(edges) - len(shown)))
    return grid.table(width)


def _groups(known: list[str | None], room: int) -> list[tuple[str, set[str | None]]]:
    """Distributions as columns, with their titles; those that find no room are one column together."""
    groups: list[tuple[str, set[str | None]]] = [(_title(d), {d}) for d in known[:room]]
    hidden = set(known[room:])
    return [*groups, (f"{len(hidden)} others", hidden)] if hidden else groups


def _rest(hidden: int) -> Text:
    return Text(f"with {hidden} more edges" if hidden > 0 else "", style=QUIET)


def _sums(
    rows: Sequence[tuple[str | None, str | None, int, int | None]],
) -> tuple[dict[str | None, int], dict[tuple[str | None, str | None], int]]:
    """Bytes by edge, and by (distribution, edge)."""
    totals: dict[str | None, int] = {}
    cells: dict[tuple[str | None, str | None], int] = {}
    for distribution, edge, _, size in rows:
        totals[edge] = totals.get(edge, 0) + (size or 0)
        cells[distribution, edge] = cells.get((distribution, edge), 0) + (size or 0)
    return totals, cells


def _busiest(rows: Sequence[tuple[str | None, str | None, int, int | None]], place: int) -> list[str | None]:
    """The values of a key column, the one with the most bytes first."""
    sums: dict[str | None, int] = {}
    for row in rows:
        key = (row[0], row[1])[place]
        sums[key] = sums.get(key, 0) + (row[3] or 0)
    return sorted(sums, key=lambda key: (-sums[key], key or ""))


def minutes_plot(report: Report, width: int, *, plain: bool = False) -> RenderableType:
    """Bytes per minute as columns over time; a column stands for one minute, or for several where time is long."""
    if not report.minutes:
        return Text("nothing yet", style=QUIET)
    series, step = _series(report.minutes, max(width - 12, 10))
    most = max(series)
    label = f"{amount(most)} "
    lines = []
    for row in range(PLOT_HEIGHT, 0, -1):
        axis = f"{label if row == PLOT_HEIGHT else '0 ' if row == 1 else '':>11}"
        drawn = "".join(_step(value, most, row, plain=plain) for value in series)
        lines.append(Text.assemble((axis, QUIET), (drawn, ACCENT)))
    lines.append(_time_axis([minute for minute, _ in report.minutes], len(series)))
    unit = "one minute" if step == 1 else f"the mean of {step} minutes"
    lines.append(Text(f"{'':11}each column is {unit}, times are UTC", style=QUIET))
    return Group(*lines)


def _series(minutes: Sequence[tuple[datetime, int | None]], width: int) -> tuple[list[float], int]:
    """Means of as many whole minutes as fit a column; a minute without a row counts as 0."""
    first = min(minute for minute, _ in minutes)
    last = max(minute for minute, _ in minutes)
    count = int((last - first) / timedelta(minutes=1)) + 1
    step = -(-count // width)
    sums = [0] * -(-count // step)
    for minute, size in minutes:
        sums[int((minute - first) / timedelta(minutes=1)) // step] += size or 0
    spans = [min(step, count - place * step) for place in range(len(sums))]
    return [size / span for size, span in zip(sums, spans, strict=True)], step


def _step(value: float, most: float, row: int, *, plain: bool) -> str:
    """The part of a column that falls into a row; row 1 is the lowest."""
    filled = value / most * PLOT_HEIGHT - (row - 1) if most else 0.0
    if plain:
        return "#" if filled >= 0.5 else " "
    return _STEPS[round(max(0.0, min(filled, 1.0)) * 8)]


def _time_axis(minutes: Sequence[datetime], columns: int) -> Text:
    first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (min(minutes), max(minutes)))
    if columns < len(first) + 8:
        return Text(f"{'':11}{first}", style=QUIET)
    return Text(f"{'':11}{first}{last[-5:]:>{columns - len(first)}}", style=QUIET)


def certificate_panel(certificate: Mapping[str, str], width: int) -> Panel:
    """What the answers cover, as the serving layer certified it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=QUIET, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in certificate.items():
        grid.add_row(printable(name), Text(printable(value)))
    return Panel(grid, title="certificate", title_align="left", border_style=QUIET, width=width, padding=(0, 1))


def _bar(value: float, most: float, *, plain: bool) -> Bar:
    return lambda width: bar(value, most, width, plain=plain)


def _stack(parts: Sequence[int], most: int, *, plain: bool) -> Bar:
    return lambda width: stacked(parts, most, width, plain=plain)


def bar(value: float, most: float, width: int, *, plain: bool = False) -> Text:
    """A bar of at most `width` cells, exact to an eighth of a cell; what is not zero shows at least a trace."""
    eighths = round(value / most * width * 8) if most > 0 else 0
    if value > 0:
        eighths = max(eighths, 1)
    if plain:
        return Text("#" * -(-eighths // 8))
    return Text("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip(), style=ACCENT)


def stacked(parts: Sequence[int], most: int, width: int, *, plain: bool = False) -> Text:
    """A bar of several parts, each in the colour of its place; it is as long as `bar` would draw their sum."""
    whole = bar(sum(parts), most, width, plain=plain).plain
    drawn, after, so_far = Text(), 0, 0
    for place, part in enumerate(parts):
        so_far += part
        upto = round(len(whole) * so_far / sum(parts)) if so_far else 0
        drawn.append(whole[after:upto], style=COLOURS[place % len(COLOURS)])
        after = upto
    return drawn


def amount(size: float | None) -> str:
    """Bytes for a reader: three digits and a decimal unit.

    >>> amount(999), amount(12_345), amount(5_040_000_000), amount(None)
    ('999 B', '12.3 kB', '5.04 GB', '-')
    """
    if size is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:,.{digits}f} {unit}"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent; what is not zero is not shown as zero."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    return "<0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"


def _sum_of(sizes: Iterable[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    return amount(sum(known) if known else None)


def _title(text: str | None) -> str:
    """A distribution as a column's title: on two lines, because its numbers are half as wide."""
    title = "-" if text is None else printable(text)[:14]
    return f"{title[:7]}\n{title[7:]}" if len(title) > 9 else title


def cell(text: str | None, style: str = "", longest: int = 45) -> Text:
    """A text from a log as a table's cell: printable, of bounded length, and never read as markup."""
    if text is None:
        return Text("-", style=QUIET)
    return Text(printable(text)[:longest], style=style)


def printable(text: str) -> str:
    """Replace what a terminal would obey instead of show."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
