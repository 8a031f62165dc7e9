"""What of an answer is drawn: values over time as lines, or names with values as bars."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import click

from shardlake.app.plotting.bars import Bars
from shardlake.app.plotting.bars import draw as draw_bars
from shardlake.app.plotting.curves import Curves, Point
from shardlake.app.plotting.curves import draw as draw_curves
from shardlake.app.plotting.paper import Paper
from shardlake.app.plotting.units import number, unit_of
from shardlake.app.text import cell, is_number, printable
from shardlake.app.times import AS_STORED, Zone

CURVES_MAX: Final = 8
_WANTED: Final = "--plot draws a time and a number over time (with text: a line for each), or text and a number as bars"

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the answer: where it stands, and whether it is a time, a number, text, or NULL throughout."""

    index: int
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Wish:
    """How many bars to draw (None: what there is room for; 0: all), and which number where there are several."""

    limit: int | None = None
    column: str | None = None


def plot(columns: Sequence[str], rows: Rows, paper: Paper, zone: Zone, wish: Wish) -> list[str]:
    """Draw an answer, line by line. Raises: click.UsageError saying what the columns should be."""
    if not rows:
        return ["no rows"]
    found = [_Column(i, printable(name), _kind([row[i] for row in rows])) for i, name in enumerate(columns)]
    if wish.column is not None:
        found = _with_one_number(found, wish.column)
    times = [column for column in found if column.kind == "time"]
    if not times or (times[0].index and _is_list(found, rows)):
        return draw_bars(_bars(found, rows), paper, wish.limit)
    if times[0].index and len(times) > 1:
        raise _unfit(found, "put the time to be drawn first")
    return draw_curves(_curves(found, times[0], rows, zone), paper)


def _is_list(columns: Sequence[_Column], rows: Rows) -> bool:
    """Tell whether every row has a name of its own: a time then says something of it, such as when it was last seen."""
    names = [column for column in columns if column.kind == "text"]
    return bool(names) and len({_name(row, names) for row in rows}) == len(rows)


def _with_one_number(columns: Sequence[_Column], name: str) -> list[_Column]:
    if not any(column.name.lower() == name.lower() and column.kind in ("number", "NULL") for column in columns):
        raise _unfit(columns, f"--column {name} is no number of it")
    return [column for column in columns if column.kind != "number" or column.name.lower() == name.lower()]


def _kind(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "NULL"
    if all(map(is_number, known)):
        return "number"
    return "time" if all(isinstance(value, date) for value in known) else "text"


def _unfit(columns: Sequence[_Column], what_next: str) -> click.UsageError:
    told = ", ".join(f"{column.name} ({column.kind})" for column in columns)
    return click.UsageError(f"{_WANTED}; this answer has {told}: {what_next}")


def _numbers(columns: Sequence[_Column]) -> list[_Column]:
    """The columns of numbers; where there is none, one that holds nothing but NULL is taken for one."""
    found = [column for column in columns if column.kind == "number"]
    return found or [column for column in columns if column.kind == "NULL"][-1:]


def _choose(values: Sequence[_Column]) -> str:
    return f"choose a number, such as with --column {values[-1].name}"


def _name(row: Sequence[Any], columns: Sequence[_Column]) -> str:
    return " / ".join(_told(row[column.index], column) for column in columns)


def _told(value: Any, column: _Column) -> str:
    return f"{column.name} {cell(value)}" if isinstance(value, bool) else cell(value)


# -------------------------------------------------------------------------------------------------------- bars


def _bars(columns: Sequence[_Column], rows: Rows) -> Bars:
    values = _numbers(columns)
    names = [column for column in columns if column.kind in ("text", "NULL") and column not in values]
    if not names and len(values) == 2 and all(isinstance(row[values[0].index], int | None) for row in rows):
        names, values = values[:1], values[1:]  # such as hours with their requests
    if not names:
        raise _unfit(columns, "add what the values belong to")
    if len(values) != 1:
        raise _unfit(columns, _choose(values) if values else "add a number")
    drawn = [row[values[0].index] for row in rows]
    return Bars(" / ".join(c.name for c in names), values[0].name, [_name(row, names) for row in rows], drawn)


# ------------------------------------------------------------------------------------------------------ curves


def _curves(columns: Sequence[_Column], time: _Column, rows: Rows, zone: Zone) -> Curves:
    values = _numbers([column for column in columns if column is not time])
    names = [column for column in columns if column.kind in ("text", "NULL") and column not in values]
    if not values:
        raise _unfit(columns, "add a number")
    if len(values) > 1 and (names or len({unit_of(column.name) for column in values}) > 1):
        raise _unfit(columns, _choose(values))
    days = all(not isinstance(row[time.index], datetime) for row in rows)
    lines: dict[str, dict[float, float]] = {}
    for row in rows:
        at = _seconds(row[time.index])
        for column in values if math.isfinite(at) else ():
            name = _name(row, names) if names else column.name if len(values) > 1 else ""
            line = lines.setdefault(name, {})
            if at in line:
                raise _unfit(columns, f"two values are of one time{' and ' + name if name else ''}: {_sum(columns)}")
            line[at] = number(row[column.index])
    title = ", ".join(column.name for column in values)
    return Curves(title, time.name, unit_of(values[0].name), _most(lines), AS_STORED if days else zone)


def _sum(columns: Sequence[_Column]) -> str:
    rest = ", ".join(column.name for column in columns if column.kind != "number")
    return f"put them together, such as with sum() and GROUP BY {rest}"


def _seconds(value: Any) -> float:
    if value is None or value.year in (date.min.year, date.max.year):  # as DuckDB gives -infinity and infinity
        return math.nan
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _most(lines: dict[str, dict[float, float]]) -> list[tuple[str, list[Point]]]:
    """Give the lines, the greatest total first; what is beyond the first few becomes one line, their sum."""
    ranked = sorted(lines.items(), key=lambda item: (-_total(item[1]), item[0]))
    # One line less than the sum stands for is no gain: nine are drawn as nine.
    first, others = (ranked, []) if len(ranked) <= CURVES_MAX + 1 else (ranked[:CURVES_MAX], ranked[CURVES_MAX:])
    drawn = [(name, sorted(line.items())) for name, line in first]
    if others:
        summed: dict[float, float] = {}
        for _, line in others:
            for at, value in line.items():
                if math.isfinite(value):
                    summed[at] = summed.get(at, 0.0) + value
        drawn.append((f"{len(others):,} others, summed", sorted(summed.items())))
    return drawn


def _total(line: dict[float, float]) -> float:
    return math.fsum(abs(value) for value in line.values() if math.isfinite(value))
