"""The columns of a proposal: of each field its name and type, and which of them are the event's time and id."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.app.proposal import names
from shardlake.app.proposal.kinds import Kind, Shape, kind_of, shape_of
from shardlake.app.proposal.seen import Field, Seen
from shardlake.app.text import printable
from shardlake.core.errors import ConfigError

_TIMES: Final = (
    "ISO 8601 (2026-03-01T10:00:00Z, or 2026-03-01 10:00:00), seconds, milliseconds, microseconds or nanoseconds since"
    " 1970 in a field whose name tells that it is a time (ts, time, created_at), and times such as"
    " 01/Mar/2026:10:00:00 +0000"
)
_SHOWN_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Proposed:
    """A column: its field, what its values are, and its name; without a type it is left out."""

    name: str
    field: Field
    shape: Shape
    kind: Kind
    place: int

    @property
    def is_kept(self) -> bool:
        """Tell whether the pack has the column."""
        return bool(self.kind.type)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns, and by name the event's time and id, each with the reason. An id may be missing: ""."""

    columns: tuple[Proposed, ...]
    event_time: str
    time_reason: str
    event_id: str
    id_reason: str
    rows: int

    @property
    def kept(self) -> list[Proposed]:
        """The columns that the pack has."""
        return [one for one in self.columns if one.is_kept]


def shown(text: str) -> str:
    """Write a name out of the sample on one line, for comments and messages."""
    plain = printable(text)
    return plain if len(plain) <= _SHOWN_MAX else f"{plain[:_SHOWN_MAX]}..."


def choose(seen: Seen, engine: Engine) -> Chosen:
    """Choose names, types, time and id. Raises: ConfigError if nothing tells the time of an event."""
    columns: list[Proposed] = []
    for at, one in enumerate(seen.fields):
        shape = shape_of(seen.texts, at, engine)
        kind = kind_of(one, shape, seen.texts, at, engine)
        name = names.unused(names.column_name(one.steps, at), {c.name.lower() for c in columns})
        columns.append(Proposed(name, one, shape, kind, at))
    rows = seen.texts.num_rows
    time, reason = _event_time(columns, rows)
    columns[time.place] = time
    by_id, id_reason = _event_id(columns, seen.texts, engine)
    if by_id is not None:
        columns[by_id.place] = by_id
    return Chosen(tuple(columns), time.name, reason, by_id.name if by_id else "", id_reason, rows)


# --------------------------------------------------------------------------------------------------------- time


def _event_time(columns: Sequence[Proposed], rows: int) -> tuple[Proposed, str]:
    times = [c for c in columns if c.kind.type == "TIMESTAMP"]
    others = [c for c in columns if c.kind.type == "DATE" or c.kind.nearly]
    best = min(times or others, key=lambda c: _rank(c, rows), default=None)
    if best is None:
        seen = ", ".join(shown(".".join(c.field.steps)) for c in columns[:20])
        raise ConfigError(f"no field tells the time of an event; there are: {seen}; accepted as times: {_TIMES}")
    kind = best.kind
    if kind.nearly:
        time = "" if kind.nearly == "iso" else kind.nearly
        note = f"{kind.misfits:,} of {best.shape.n:,} are not times: their lines will be dead letters"
        best = replace(best, kind=Kind("TIMESTAMP", time, note))
    elif kind.type == "DATE":
        best = replace(best, kind=Kind("TIMESTAMP", "", "days, of which the time is midnight UTC"))
    reason = "chosen by its name" if _named(best) < len(names.EVENT_TIMES) else "the first column that is a time"
    more = [c.name for c in columns if c.name != best.name and c.kind.type in ("TIMESTAMP", "DATE")]
    if best.field.present < rows:
        reason += f"; {rows - best.field.present:,} of {rows:,} lines lack it, and will be dead letters"
    return best, reason + (f". Other times: {', '.join(more)}" if more else "")


def _rank(one: Proposed, rows: int) -> tuple[bool, int, int, int]:
    """Order candidates: those that all lines have, those named like the time of an event, the outer, the first."""
    return one.field.present < rows, _named(one), len(one.field.steps), one.place


def _named(one: Proposed) -> int:
    names_of = (names.joined(one.field.steps[-1]), names.joined(".".join(one.field.steps)))
    found = [names.EVENT_TIMES.index(name) for name in names_of if name in names.EVENT_TIMES]
    return min(found, default=len(names.EVENT_TIMES))


# ----------------------------------------------------------------------------------------------------------- id


def _event_id(columns: Sequence[Proposed], texts: pa.Table, engine: Engine) -> tuple[Proposed | None, str]:
    likely = [c for c in columns if _can_be_id(c, texts.num_rows)]
    different = [c for c in likely if _is_different(c, columns, texts, engine)]
    ranked = sorted((c for c in different if _id_rank(c) < len(names.EVENT_IDS)), key=lambda c: (_id_rank(c), c.place))
    if not ranked:
        maybe = f" What differs on every line: {', '.join(c.name for c in different[:5])}." if different else ""
        return None, maybe
    best = ranked[0]
    note = "whole numbers, as text: ids are compared as texts" if best.kind.type != "VARCHAR" else ""
    copies = texts.num_rows - best.shape.distinct
    reason = f"{copies:,} lines of the sample are copies" if copies else "it differs on every line of the sample"
    more = [c.name for c in different if c is not best]
    others = f". Others like it: {', '.join(more[:5])}" if more else ""
    return (replace(best, kind=Kind("VARCHAR", "", note or best.kind.note)), f"chosen by its name; {reason}{others}")


def _can_be_id(one: Proposed, rows: int) -> bool:
    """Texts, and whole numbers that may be read as texts; on every line."""
    is_plain = one.field.kinds.keys() <= {"VARCHAR", "UBIGINT", "BIGINT"}
    is_text = one.kind.type in ("VARCHAR", "BIGINT", "DECIMAL(20,0)")
    return is_plain and is_text and one.shape.n == rows and not one.shape.empty


def _is_different(one: Proposed, columns: Sequence[Proposed], texts: pa.Table, engine: Engine) -> bool:
    """Tell whether only lines that are copies of one another share a value."""
    if one.kind.type != "VARCHAR" and _id_rank(one) == len(names.EVENT_IDS):
        return False
    if one.shape.distinct == texts.num_rows:
        return True
    if one.shape.distinct * 2 < texts.num_rows:
        return False
    whole = ", ".join(f"t{c.place}" for c in columns)
    sql = f"SELECT count(*) AS n FROM (SELECT DISTINCT {whole} FROM texts)"
    return bool(engine.table(sql, {"texts": texts}).to_pylist()[0]["n"] == one.shape.distinct)


def _id_rank(one: Proposed) -> int:
    name = names.joined(".".join(one.field.steps))
    return names.EVENT_IDS.index(name) if name in names.EVENT_IDS else len(names.EVENT_IDS)
