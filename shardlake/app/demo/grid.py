"""The report's tables, fitted to a terminal: bars give way first, then names, and numbers never."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

QUIET: Final = "bright_black"
BAR_MIN: Final = 4  # a shorter bar tells nothing, and its column is left out
NAME_MIN: Final = 4
_FRAME: Final = 3  # a space on either side of a column, and one between two

Kind = Literal["name", "number", "bar"]
Bar = Callable[[int], Text]
Cell = str | Text | Bar


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, what it holds, and, of bars, how long they are at most."""

    title: str
    kind: Kind
    longest: int = 0
    style: str = QUIET


@dataclass(slots=True)
class Grid:
    """Rows to be shown in so many columns of a terminal; a cell of bars draws itself as long as it may be."""

    columns: Sequence[Column]
    rows: list[Sequence[Cell] | None] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        self.rows.append(cells)

    def part(self) -> None:
        """End a group of rows."""
        self.rows.append(None)

    def table(self, width: int) -> Table:
        """Make a quiet table: a rule under the header and nothing else."""
        widths = self._widths(width)
        shown = [at for at, wide in enumerate(widths) if wide]
        table = Table(box=box.SIMPLE_HEAD, header_style=QUIET, border_style=QUIET, show_edge=False, padding=(0, 1))
        for at in shown:
            column = self.columns[at]
            side: Literal["left", "right"] = "right" if column.kind == "number" else "left"
            title = Text(column.title)
            table.add_column(
                title, justify=side, no_wrap=True, vertical="bottom", width=widths[at], header_style=column.style
            )
        for row in self.rows:
            if row is None:
                table.add_section()
            else:
                table.add_row(*(_drawn(row[at], widths[at]) for at in shown))
        return table

    def _widths(self, width: int) -> list[int]:
        """Say how wide each column is; 0 for one that is left out."""
        widths = [self._natural(at) for at in range(len(self.columns))]
        over = sum(widths) + _FRAME * len(widths) - 1 - width
        for at in self._of("bar"):
            kept = widths[at] - max(0, over)
            kept = 0 if kept < min(BAR_MIN, widths[at]) else min(kept, widths[at])
            over -= widths[at] - kept + (0 if kept else _FRAME)
            widths[at] = kept
        names = self._of("name")
        while over > 0 and names and max(widths[at] for at in names) > NAME_MIN:
            widths[max(names, key=lambda at: widths[at])] -= 1
            over -= 1
        return widths

    def _of(self, kind: Kind) -> list[int]:
        return [at for at, column in enumerate(self.columns) if column.kind == kind]

    def _natural(self, at: int) -> int:
        column = self.columns[at]
        cells = [row[at] for row in self.rows if row is not None]
        texts = [*column.title.split("\n"), *(str(cell) for cell in cells if not callable(cell))]
        drawn = [cell_len(cell(column.longest).plain) for cell in cells if callable(cell)]
        return max([*map(cell_len, texts), *drawn])


def _drawn(cell: Cell, width: int) -> str | Text:
    return cell(width) if callable(cell) else cell
