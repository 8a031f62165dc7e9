"""A compiled view: one SQL definition and the three forms that were derived from it.

The forms are DuckDB SQL with one placeholder each. With `events` for all non-duplicate events of a source:

    finalize(combine(partial(events of part 1) + partial(events of part 2) + ...)) == the view over all events

A compiled view is a value: it is stored as JSON under its fingerprint, so that a query needs no compiler.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from shardlake.core import formats
from shardlake.core.errors import Corrupt
from shardlake.core.schema import Column

EVENTS: Final = "{events}"  # in `partial`: a relation with the source's columns; the form leaves out duplicates
PARTIALS: Final = "{partials}"  # in `combine`: a relation with the partial columns, several rows a key
COMBINED: Final = "{combined}"  # in `finalize`: a relation with the partial columns, one row a key
WEIGHT: Final = "_weight"  # the partial column that says how many rows a group has, of a stream of changes
VIEW_FORMAT: Final = 1  # of the JSON that a compiled view is stored as


@dataclass(frozen=True, slots=True)
class PartialColumn:
    """A column of the partial form.

    `role` is "key" or "state". `audit` says how a difference between two computations is judged: "exact"
    (bit for bit) or "bounded" (a sum of doubles: within the stated bound). `bound` is SQL over the partial
    columns: two values `a` and `b` agree if `a IS NOT DISTINCT FROM b OR abs(a - b) <= bound`.
    """

    name: str
    type: str
    role: str
    audit: str = "exact"
    bound: str = ""


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of the view as its users see it, with its exactness: exact, bounded or sketch, and the bound.

    The bound of a "bounded" column is SQL over the partial columns of its row; that of a "sketch" is a sentence.
    """

    name: str
    type: str
    exactness: str = "exact"
    bound: str = ""


@dataclass(frozen=True, slots=True)
class CompiledView:
    """One view in its three forms.

    `window` names the key of its first `time_bucket`, by which partials are partitioned and passed through,
    and `window_us` is that bucket's width in microseconds; both are None for a view without one. `reads` are the
    columns of the source that the view names; a view that was compiled before they were noted has none. `weight` names
    the partial column that says how many rows a group has, of a view over a stream of changes; it has no group of none.
    """

    name: str
    source: str
    fingerprint: str
    sql: str
    columns: tuple[PartialColumn, ...]
    outputs: tuple[OutputColumn, ...]
    partial: str
    combine: str
    finalize: str
    window: str | None = None
    window_us: int | None = None
    description: str = ""
    reads: tuple[Column, ...] = ()
    weight: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the key columns, in their order in the view."""
        return tuple(c.name for c in self.columns if c.role == "key")


class _Stored(msgspec.Struct, frozen=True):
    """The JSON of a compiled view: the format first, so that a newer one is told from a broken one."""

    format: int
    view: CompiledView


def view_to_json(view: CompiledView) -> bytes:
    """Write a compiled view as JSON, with the format's version."""
    return msgspec.json.encode(_Stored(VIEW_FORMAT, view))


def view_from_json(data: bytes) -> CompiledView:
    """Read what `view_to_json` wrote. Raises: FormatTooNew, Corrupt."""
    try:
        return formats.decode(_Stored, "a compiled view", data, VIEW_FORMAT).view
    except Corrupt as error:
        raise Corrupt(f"{error}; compile the view again") from error
