"""Views that fail over a chunk, and the rows on which they fail by themselves.

A row is taken out of a chunk, for all its views and its segment, because one view fails on it, and only if

1. the view fails over the chunk, for another reason than memory,
2. it fails over that row alone, and
3. no more than `limits.poison_rows_max` rows of the chunk are such, and not the view over no row at all.

In all other cases no row is at fault: a sum that overflows over many rows, a view that fails on whatever comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.core.errors import SqlFailed
from shardlake.core.limits import Limits
from shardlake.core.view import EVENTS, CompiledView
from streams.poison import FOR_EVER, Culprit, Joint, NoLineToBlame, Search, is_poison, kind


@dataclass(frozen=True, slots=True)
class Failure:
    """A view that failed over a chunk's rows."""

    view: CompiledView
    error: SqlFailed


@dataclass(frozen=True, slots=True)
class Expelled:
    """The rows on which a view fails by itself, after so many attempts, and how."""

    view: str
    rows: tuple[int, ...]
    attempts: int
    kind: str

    @property
    def detail(self) -> str:
        """What a dead letter of such a row says."""
        return f"the view {self.view} failed on it: {self.kind}"


@dataclass(frozen=True, slots=True)
class _Rows:
    """A view tried over some of the rows; see `streams.poison.Trial`."""

    view: CompiledView
    events: pa.Table
    engine: Engine

    def attempt(self, start: int, stop: int) -> None:
        """Compute the view's partial form."""
        partial_of(self.view, self.events.slice(start, stop - start), self.engine)

    def pass_over(self, at: int) -> None:
        """A row tells nothing of another."""


def partial_of(view: CompiledView, events: pa.Table, engine: Engine) -> pa.Table:
    """Compute a view's partial form over rows. Raises: SqlFailed, Transient."""
    return engine.table(view.partial.replace(EVENTS, "events"), {"events": events})


def is_expelling(limits: Limits) -> bool:
    """Tell whether rows may become dead letters because a view fails: not where a record that fails is to wait."""
    return limits.bisect_batch_on_function_error and limits.maximum_retry_attempts != FOR_EVER


def expelled(failure: Failure, events: pa.Table, engine: Engine, rows_max: int | None) -> Expelled | None:
    """Find the rows that are at fault for a failure, None if none is; with `rows_max` None all, however long it takes.

    Raises: Transient.
    """
    if not is_poison(failure.error):
        return None
    search = Search(events.num_rows, _Rows(failure.view, events, engine), is_sure=True)
    found: list[Culprit] = []
    try:
        for one in search.run(failure.error):
            if isinstance(one, Joint) and rows_max is not None:
                break
            if isinstance(one, Culprit):
                found.append(one)
                if rows_max is not None and len(found) > rows_max:
                    return None
    except (NoLineToBlame, SqlFailed):  # the second one is for want of memory
        return None
    if not found:
        return None
    return Expelled(failure.view.name, tuple(one.at for one in found), search.attempts, kind(found[0].error))


def failing(views: Sequence[CompiledView], events: pa.Table, engine: Engine) -> list[Failure]:
    """Name the views that fail over rows. Raises: Transient."""
    found = []
    for view in views:
        try:
            partial_of(view, events, engine)
        except SqlFailed as error:
            found.append(Failure(view, error))
    return found
