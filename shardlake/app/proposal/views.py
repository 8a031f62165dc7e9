"""The views of a proposal: counts by the texts of few values, with sums; and how many there are of many values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shardlake.app.proposal import names
from shardlake.app.proposal.columns import Chosen, Proposed
from shardlake.core.compiler import compile_view
from shardlake.core.errors import ViewRefused
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.sql import identifier

_FEW: Final = 30  # values of a column that is worth a row a minute each
_KEYS_MAX: Final = 2
_SUMS_MAX: Final = 4
_NUMBERS: Final = ("BIGINT", "DOUBLE")


def views_of(pack: str, chosen: Chosen) -> Mapping[str, str]:
    """Write the views, by name; the first one is that to ask first."""
    keys = _keys(chosen)
    name = f"{pack}_by_{'_'.join(one.name.lower() for one in keys)}" if keys else f"{pack}_per_minute"
    name = name if len(name) <= names.NAME_MAX else f"{pack}_counts"
    found = {name: _accepted(name, chosen, _counts(pack, chosen, keys))}
    if many := _many(chosen, keys):
        hourly = f"{pack}_per_hour"
        found[hourly] = _accepted(hourly, chosen, _distinct(pack, chosen, many))
    return found


@dataclass(frozen=True, slots=True)
class _View:
    """A view to be written: its comments, what it gives, by what, and of which pack."""

    head: str
    items: Sequence[str]
    keys: Sequence[str]
    pack: str

    def written(self, columns: Sequence[str]) -> str:
        """Write it, with these columns in quotes."""
        quotes = {name: identifier(name) for name in columns}
        listed = ",\n    ".join(item.format_map(_Quoted(quotes)) for item in self.items)
        by = ", ".join(key.format_map(_Quoted(quotes)) for key in self.keys)
        pack = identifier(self.pack) if columns or names.is_reserved(self.pack) else self.pack
        return f"{self.head}SELECT\n    {listed}\nFROM {pack}\nGROUP BY {by}\n"


class _Quoted(dict[str, str]):
    """Names in braces: in quotes where they are listed, else as they are."""

    def __missing__(self, name: str) -> str:
        return name


def _accepted(name: str, chosen: Chosen, view: _View) -> str:
    """Write a view plainly if the compiler takes it so; some names are words to it, and want quotes."""
    columns = tuple(Column(one.name, one.kind.type) for one in chosen.kept)
    plain = view.written(())
    try:
        compile_view(name, plain, SourceSchema(view.pack, columns, chosen.event_time))
    except ViewRefused:
        return view.written([column.name for column in columns])
    return plain


def _keys(chosen: Chosen) -> list[Proposed]:
    """Choose columns of a few values that most lines have: texts first, then truths and codes."""
    likely = [
        one
        for one in chosen.kept
        if 1 < one.shape.distinct <= min(_FEW, max(chosen.rows // 4, 2))
        and one.name not in (chosen.event_time, chosen.event_id)
        and 2 * one.field.present >= chosen.rows
        and one.field.kinds.keys().isdisjoint({"OBJECT", "ARRAY"})
        and (one.kind.type in ("VARCHAR", "BOOLEAN") or (one.kind.type == "BIGINT" and not _is_summed(one)))
    ]
    order = {"VARCHAR": 0, "BIGINT": 1, "BOOLEAN": 2}
    return sorted(likely, key=lambda one: (order[one.kind.type], one.place))[:_KEYS_MAX]


def _is_summed(one: Proposed) -> bool:
    return names.is_summed(".".join(one.field.steps))


def _sums(chosen: Chosen, keys: Sequence[Proposed]) -> list[Proposed]:
    numbers = [c for c in chosen.kept if c.kind.type in _NUMBERS or c.kind.type.startswith("DECIMAL(15")]
    return [c for c in numbers if c not in keys and _is_summed(c)][:_SUMS_MAX]


def _many(chosen: Chosen, keys: Sequence[Proposed]) -> Proposed | None:
    """Choose a column whose different values are worth counting, such as users."""
    likely = [
        one
        for one in chosen.kept
        if one.kind.type in ("VARCHAR", "BIGINT")
        and one.name != chosen.event_id
        and one not in keys
        and _FEW < one.shape.distinct < one.shape.n
        and names.sounds_like_id(".".join(one.field.steps))
    ]
    return max(likely, key=lambda one: (one.field.present, -one.place), default=None)


class _Names:
    """Names for what a view gives: none of a column, so that GROUP BY means what it says."""

    def __init__(self, chosen: Chosen) -> None:
        self._taken = {one.name.lower() for one in chosen.columns}

    def new(self, name: str) -> str:
        found = names.unused(name, self._taken)
        self._taken.add(found.lower())
        return found


def _counts(pack: str, chosen: Chosen, keys: Sequence[Proposed]) -> _View:
    given = _Names(chosen)
    minute, events = given.new("minute"), given.new("events")
    sums = [(one.name, given.new(f"{one.name[:50]}_sum")) for one in _sums(chosen, keys)]
    items = [
        f"time_bucket(INTERVAL '1 minute', {{{chosen.event_time}}}) AS {minute}",
        *(f"{{{one.name}}}" for one in keys),
        f"count(*) AS {events}",
        *(f"sum({{{name}}}) AS {alias}" for name, alias in sums),
    ]
    by = f" by {' and '.join(one.name for one in keys)}" if keys else ""
    what = "events, and sums of numbers," if sums else "events"
    head = f"-- description: {what} per minute{by}\n"
    more = "-- To count a part: count(*) FILTER (WHERE ...). `shardlake views check` tells what is accepted.\n"
    return _View(head + more, items, [minute, *(f"{{{one.name}}}" for one in keys)], pack)


def _distinct(pack: str, chosen: Chosen, many: Proposed) -> _View:
    given = _Names(chosen)
    hour, events, count = given.new("hour"), given.new("events"), given.new(f"{many.name[:50]}_count")
    items = [
        f"time_bucket(INTERVAL '1 hour', {{{chosen.event_time}}}) AS {hour}",
        f"count(*) AS {events}",
        f"approx_count_distinct({{{many.name}}}) AS {count}",
    ]
    head = f"-- description: events, and about how many different {many.name}, per hour\n"
    return _View(head, items, [hour], pack)
