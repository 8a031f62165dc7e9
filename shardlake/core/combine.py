"""Putting a view's partials together: combine what several parts hold, pass the rest through.

A part holds one row a key, so a key needs combining only if two parts hold it; and two parts can hold the same
key only in a window that both have. With the windows of each part known, most rows of a batch file are read as
they are, which costs a third of combining everything.

Both sides are chosen by ranges of windows joined with OR, the passed side too: DuckDB pushes that form into the
scan, where whole row groups are left out, but neither `NOT (ranges)` nor `IS NOT TRUE` (30 to 250 times slower).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from shardlake.core.schema import EVENT_COLUMNS, Column
from shardlake.core.sql import identifier, literal
from shardlake.core.view import COMBINED, PARTIALS, CompiledView, PartialColumn
from shardlake.core.windows import ALL, Run, Windows, shared

# A large part that shares windows with small ones is split by their keys instead, if it has this many times
# their rows: a semi and an anti join cost about as much as combining three rows for each one probed.
SPLIT_BY_KEYS_FACTOR: Final = 3

OVERDRAWN: Final = "more was taken back than came"  # part of an error's message

_FINITE_MAX_US: Final = 2**63 - 2  # a later or earlier TIMESTAMP is an infinity
_FINITE_MIN_US: Final = -9_223_372_022_400_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a view's partials, one row a key: a relation as SQL, or, if that is empty, the Parquet files `paths`.

    `paths` are the files that the relation reads. `windows` are those of its rows, None if that is not known.
    `rows` may be an estimate: it decides how parts are combined, never what comes out.
    """

    relation: str
    paths: tuple[str, ...] = ()
    windows: Windows | None = None
    rows: int = 0

    @staticmethod
    def file(path: str, windows: Windows | None = None, rows: int = 0) -> "Part":
        """Take one Parquet file."""
        return Part("", (path,), windows, rows)


def finalized_sql(view: CompiledView, parts: Sequence[Part], *, is_whole: bool = True) -> str:
    """Write the view over parts, as its users see it.

    `is_whole` says that every record of its source was read, up to the parts' cut: then an overdrawn group, of which
    more was taken back than came, is an error when it is read, whose message contains OVERDRAWN. Else it is shown.
    """
    combined = combined_sql(view, parts)
    if view.weight is not None and is_whole:
        weight = identifier(view.weight)
        found = f"CASE WHEN {_is_overdrawn(view)} THEN error('{OVERDRAWN}') ELSE {weight} END"
        combined = f"SELECT * REPLACE ({found} AS {weight}) FROM ({combined})"
    return view.finalize.replace(COMBINED, f"({combined})")


def overdrawn_sql(view: CompiledView, parts: Sequence[Part]) -> str:
    """Write a SELECT of how many groups are overdrawn; only a view over a stream of changes may have some."""
    return f"SELECT count(*) FROM ({combined_sql(view, parts)}) WHERE {_is_overdrawn(view)}"


def kept_sql(view: CompiledView, combined: str) -> str:
    """Leave out of combined rows the groups of which everything was taken back: without them all answers are the same.

    A view with sums of doubles keeps them, as they tell how much its sums may be off.
    """
    return f"SELECT * FROM {combined}" + (f" WHERE NOT ({_is_nothing(view)})" if _can_vanish(view) else "")


def _can_vanish(view: CompiledView) -> bool:
    return view.weight is not None and all(column.audit == "exact" for column in view.columns)


def _is_overdrawn(view: CompiledView) -> str:
    """Less than no rows, or no rows and yet something that they would hold."""
    weight = identifier(view.weight or "")
    remains = f" OR ({weight} = 0 AND NOT ({_is_nothing(view)}))" if _can_vanish(view) else ""
    return f"{weight} < 0{remains}"


def _is_nothing(view: CompiledView) -> str:
    return " AND ".join(_nothing_of(column) for column in view.columns if column.role == "state")


def _nothing_of(column: PartialColumn) -> str:
    name = identifier(column.name)
    return f"len({name}) = 0" if column.type.endswith("[]") else f"{name} = 0"


def combined_sql(view: CompiledView, parts: Sequence[Part]) -> str:
    """Write a SELECT of the partial columns over parts, with one row a key.

    A row whose window is NULL is on the combined side; no row is on both sides or on none.
    """
    if not parts:
        return _empty(view)
    held = shared([part.windows if _is_ranged(view) else None for part in parts])
    if held is ALL:
        return _combine(view, parts)
    return _split(view, parts, held) if held.runs else _union(_reads(view, parts))


def _is_ranged(view: CompiledView) -> bool:
    """Tell whether windows can be told apart by ranges of the window key: only TIMESTAMP counts microseconds."""
    return any(column.name == view.window and column.type == "TIMESTAMP" for column in view.columns)


class _Side(Enum):
    INSIDE = "inside"
    OUTSIDE = "outside"
    MIXED = "mixed"


def _side(part: Part, held: Windows) -> _Side:
    if part.windows is None:
        return _Side.MIXED
    if not part.windows.intersects(held):
        return _Side.OUTSIDE
    return _Side.INSIDE if part.windows.within(held) else _Side.MIXED


def _split(view: CompiledView, parts: Sequence[Part], held: Windows) -> str:
    """Combine in the windows that are held twice, pass through the others; each part only where it can have rows."""
    sides = [_side(part, held) for part in parts]
    inside, outside, mixed = ([p for p, its in zip(parts, sides, strict=True) if its is side] for side in _Side)
    key = identifier(view.window or "")
    combined = _combine(view, inside, mixed, _within(key, held.runs), held)
    return _union([combined, *_reads(view, outside), *_reads(view, mixed, _without(key, held.runs))])


def _combine(
    view: CompiledView, whole: Sequence[Part], mixed: Sequence[Part] = (), where: str = "", held: Windows | None = None
) -> str:
    """Combine whole parts and, of mixed ones, the rows in the windows `held`, which `where` selects."""
    rows = [part.rows for part in whole] + [_rows_within(part, held) for part in mixed]
    largest = max(range(len(rows)), key=rows.__getitem__)
    known = all(part.rows for part in (*whole, *mixed))
    if known and rows[largest] > SPLIT_BY_KEYS_FACTOR * (sum(rows) - rows[largest]):
        everything = [*((part, "") for part in whole), *((part, where) for part in mixed)]
        large, condition = everything.pop(largest)
        small = [read for part, its in everything for read in _reads(view, [part], its)]
        return _by_keys(view, _union(_reads(view, [large], condition)), _union(small))
    return _form(view, _union([*_reads(view, whole), *_reads(view, mixed, where)]))


def _rows_within(part: Part, held: Windows | None) -> int:
    """Estimate how many of a part's rows lie in some windows, as if they were spread evenly."""
    if part.windows is None or held is None:
        return part.rows
    return part.rows * part.windows.intersection(held).count // max(part.windows.count, 1)


def _by_keys(view: CompiledView, large: str, small: str) -> str:
    """Combine the large relation's rows with the small one's only where they have a key in common."""
    same = " AND ".join(f"l.{key} IS NOT DISTINCT FROM s.{key}" for key in map(identifier, view.keys))
    met, alone = (f"SELECT l.* FROM ({large}) l {join} JOIN _small s ON {same}" for join in ("SEMI", "ANTI"))
    return f"WITH _small AS MATERIALIZED ({small}) {_form(view, _union(['FROM _small', met]))} UNION ALL {alone}"


def _form(view: CompiledView, partials: str) -> str:
    return f"SELECT {_columns(view)} FROM ({view.combine.replace(PARTIALS, f'({partials})')})"


def _reads(view: CompiledView, parts: Sequence[Part], where: str = "") -> list[str]:
    """Write a SELECT for all plain files together, and one for each other relation."""
    paths = [path for part in parts if not part.relation for path in part.paths]
    relations = [read_parquet(paths)] if paths else []
    relations += [part.relation for part in parts if part.relation]
    condition = f" WHERE {where}" if where else ""
    return [f"SELECT {_columns(view)} FROM {relation}{condition}" for relation in relations]


def read_parquet(paths: Sequence[str]) -> str:
    """Write files as one relation. A folder like `date=2026-03-01` must not add a column to them.

    >>> read_parquet(["a.parquet", "it's.parquet"])
    "read_parquet(['a.parquet', 'it''s.parquet'], hive_partitioning = false)"
    """
    listed = ", ".join(map(literal, paths))
    return f"read_parquet([{listed}], hive_partitioning = false)"


def read_events(view: CompiledView, paths: Sequence[str]) -> str:
    """Write files of events as one relation with the columns that a view reads.

    A file that was written before the source had a column holds NULL in it; columns that the view does not read may
    differ from file to file.
    """
    if not view.reads:  # compiled before they were noted
        return read_parquet(paths)
    columns = ", ".join(_told(column) for column in (*view.reads, *EVENT_COLUMNS))
    return read_parquet(paths).removesuffix(")") + f", schema = MAP {{{columns}}})"


def _told(column: Column) -> str:
    name = literal(column.name)
    return f"{name}: {{'name': {name}, 'type': '{column.type}', 'default_value': NULL}}"


def _within(key: str, runs: Sequence[Run]) -> str:
    ranges = [f"{key} BETWEEN {_at(first)} AND {_at(last)}" for first, last in runs]
    return " OR ".join((*ranges, f"{key} IS NULL"))


def _without(key: str, runs: Sequence[Run]) -> str:
    gaps = [f"({key} > {_at(one[1])} AND {key} < {_at(two[0])})" for one, two in pairwise(runs)]
    return " OR ".join((f"{key} < {_at(runs[0][0])}", *gaps, f"{key} > {_at(runs[-1][1])}"))


def _at(us: int) -> str:
    if us > _FINITE_MAX_US:
        return "TIMESTAMP 'infinity'"
    return f"make_timestamp({us})" if us >= _FINITE_MIN_US else "TIMESTAMP '-infinity'"


def _empty(view: CompiledView) -> str:
    columns = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in view.columns)
    return f"SELECT {columns} WHERE false"


def _columns(view: CompiledView) -> str:
    return ", ".join(identifier(column.name) for column in view.columns)


def _union(selects: Sequence[str]) -> str:
    return " UNION ALL ".join(selects)
