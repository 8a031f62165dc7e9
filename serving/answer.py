"""From a read plan to an answer: combine, finalize, the user's SQL on top, and the certificate with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from serving.certificate import Certificate, certify
from serving.plan import plan
from serving.session import Session
from shardlake.adapters.table_files import checked
from shardlake.core.combine import OVERDRAWN, Part, finalized_sql, overdrawn_sql, read_events
from shardlake.core.errors import Corrupt, Missing, QueryRefused
from shardlake.core.journal.port import Journal
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore, Tables
from shardlake.core.readplan import ViewPlan
from shardlake.core.view import EVENTS, CompiledView

if TYPE_CHECKING:
    import pyarrow as pa

REPLANS_MAX = 5
Found = TypeVar("Found")


class UnknownView(QueryRefused):
    """A query names a view that there is none of; `view` is its name."""

    def __init__(self, view: str, views: Iterable[str]) -> None:
        from difflib import get_close_matches  # noqa: PLC0415 - only an error needs it

        known = {name.lower(): name for name in sorted(views)}
        near = get_close_matches(view.lower(), known, n=1)
        hint = f"; did you mean {known[near[0]]}? views are: " if near else "; views are: "
        super().__init__(f"there is no view {view}{hint}{', '.join(known.values())}")
        self.view = view


class Overdrawn(Corrupt):
    """Of some groups of a view over a stream of changes more was taken back than came; `groups` says of how many."""

    def __init__(self, view: str, groups: int) -> None:
        super().__init__(
            f"view {view}: in {groups:,} groups {OVERDRAWN}, so their first rows were never read: load what the"
            " table held before with `shardlake stream bootstrap`, or see docs/operations.md"
        )
        self.view, self.groups = view, groups


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer as Python values, for printing."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]
    certificate: Certificate


class Server:
    """Answers queries over views. `threads` is for one query; queries run one after the other."""

    def __init__(
        self,
        journal: Journal,
        store: ObjectStore,
        tables: Tables,
        views: Mapping[str, CompiledView],
        limits: Limits,
        threads: int = 2,
    ) -> None:
        self._journal, self._store, self._tables = journal, store, tables
        self._views, self._limits, self._threads = views, limits, threads

    def rows(self, sql: str) -> Rows:
        """Answer a SELECT over views as Python values. Raises: QueryRefused, Corrupt, Timeout."""
        (columns, found), certificate = self._answer(sql, Session.rows)
        return Rows(columns, found, certificate)

    def arrow(self, sql: str) -> "tuple[pa.Table, Certificate]":
        """Answer a SELECT over views as an Arrow table. Raises: as `rows`."""
        return self._answer(sql, Session.arrow)

    def _answer(self, sql: str, run: Callable[[Session, str], Found]) -> tuple[Found, Certificate]:
        """Plan, and run; a planned file that vanished meanwhile means to plan again, never to answer with less."""
        for _ in range(REPLANS_MAX):
            session = Session(self._threads, self._limits.query_memory, self._limits.query_timeout_s)
            try:
                views = self._named(session.names(sql, self._views))
                made = plan(self._journal, self._store, self._tables, views)
                parts = {name: view_parts(found, self._store) for name, found in made.views.items()}
                relations = {
                    name: finalized_sql(found.view, parts[name], is_whole=found.is_whole)
                    for name, found in made.views.items()
                }
                session.define(relations, [path for found in parts.values() for part in found for path in part.paths])
                return _run(session, sql, run, made.views, parts), certify(made)
            except Missing:
                continue
            finally:
                session.close()
        raise Missing("files are replaced faster than a query can be planned: try again")

    def _named(self, names: set[str]) -> list[CompiledView]:
        by_name = {name.lower(): view for name, view in self._views.items()}
        unknown = sorted(name for name in names if name.lower() not in by_name)
        if unknown:
            raise UnknownView(unknown[0], self._views)
        if not names:
            raise QueryRefused(f"the query names no view; views are: {', '.join(sorted(self._views))}")
        return [by_name[name.lower()] for name in sorted(names)]


def _run(
    session: Session,
    sql: str,
    run: Callable[[Session, str], Found],
    views: Mapping[str, ViewPlan],
    parts: Mapping[str, Sequence[Part]],
) -> Found:
    """Run a query. Raises: Overdrawn, naming the first view by which it failed for that; what `run` raises."""
    try:
        return run(session, sql)
    except QueryRefused as error:
        changing = [plan for plan in views.values() if plan.view.weight is not None and plan.is_whole]
        for plan in changing if OVERDRAWN in str(error) else ():
            groups = session.rows(overdrawn_sql(plan.view, parts[plan.view.name]))[1][0][0]
            if groups:
                raise Overdrawn(plan.view.name, groups) from error
        raise


def view_parts(plan: ViewPlan, store: ObjectStore) -> list[Part]:
    """The relations whose rows make up a view at its cut: batch files, stored partials, and rows without either."""
    view = plan.view
    parts = [Part.file(store.path(p.object), p.windows, p.rows) for p in plan.partials]
    files = plan.batch.files if plan.batch else ()
    if plan.from_master:
        parts += [_computed(view, [checked(file) for file in files])] if files else []
    else:
        parts += [Part.file(checked(file), file.windows, file.rows) for file in files]
    if plan.segments:
        parts.append(_computed(view, [store.path(ref) for ref in plan.segments]))
    return parts


def _computed(view: CompiledView, paths: Sequence[str]) -> Part:
    return Part(f"({view.partial.replace(EVENTS, read_events(view, paths))})", tuple(paths), None)
