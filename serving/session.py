"""A DuckDB session for SQL that is not ours: it reads the planned files and nothing else.

External access is off but for the exact files of the plan, settings are locked, and only a single SELECT is run.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import duckdb

from shardlake.core.errors import Missing, QueryRefused, SumOverflow, Terminal
from shardlake.core.sql import identifier, literal

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS: Final = {
    "TimeZone": "'UTC'",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "preserve_insertion_order": "false",
    "max_temp_directory_size": "'10GB'",
}


Found = TypeVar("Found")


class Timeout(Terminal):
    """A query ran longer than it may; the setting is `limits.query_timeout_s`."""


class Session:
    """One query's connection: views are defined, the door is closed, then the user's SELECT runs."""

    def __init__(self, threads: int, memory: str, timeout_s: float) -> None:
        self._connection = duckdb.connect()
        self._timeout_s = timeout_s
        self._paths: tuple[str, ...] = ()
        for name, value in SETTINGS.items():
            self._connection.execute(f"SET {name} = {value}")
        # In a notebook without ipywidgets it is off, and DuckDB refuses to touch it, even to turn it off.
        if self._connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
            self._connection.execute("SET enable_progress_bar = false")
        self._connection.execute(f"SET threads = {threads}")
        self._connection.execute(f"SET memory_limit = '{memory}'")

    def names(self, sql: str, views: Iterable[str]) -> set[str]:
        """The tables that a query names. Raises: QueryRefused unless it is a single SELECT.

        Where that cannot be told before the tables are there (a join's USING), it is the views that the text names.
        """
        try:
            statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise QueryRefused(f"the query cannot be read: {error}") from error
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryRefused("a query is one SELECT (or WITH ... SELECT); views are defined in .sql files")
        closed = duckdb.connect(config={"enable_external_access": "false"})  # binding would open files that are named
        try:
            with _Limit(closed, self._timeout_s):
                return {str(name) for name in closed.get_table_names(sql)}
        except duckdb.Error:
            words = {word.lower() for word in re.findall(r"\w+", sql)}
            return {view for view in views if view.lower() in words}
        finally:
            closed.close()

    def define(self, relations: Mapping[str, str], paths: Sequence[str]) -> None:
        """Define each view by its SQL over some files, and close the door to everything else."""
        self._paths = tuple(paths)
        allowed = ", ".join(map(literal, paths))
        self._connection.execute(f"SET allowed_paths = [{allowed}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")
        for name, sql in relations.items():
            self._run(partial(self._connection.execute, f"CREATE TEMP VIEW {identifier(name)} AS {sql}"))

    def rows(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a SELECT: names of its columns, and its rows as Python values."""
        with self._limit():
            self._run(partial(self._connection.execute, sql))
            names = [str(column[0]) for column in self._connection.description or ()]
            return names, self._run(self._connection.fetchall)

    def arrow(self, sql: str) -> "pa.Table":
        """Run a SELECT and return its rows as an Arrow table."""
        with self._limit():
            return self._run(lambda: self._connection.sql(sql).to_arrow_table())

    def close(self) -> None:
        """Give its memory back."""
        self._connection.close()

    def _limit(self) -> "_Limit":
        return _Limit(self._connection, self._timeout_s)

    def _run(self, work: Callable[[], Found]) -> Found:
        try:
            return work()
        except duckdb.InterruptException as error:
            raise Timeout(f"the query ran for more than {self._timeout_s:g} s (limits.query_timeout_s)") from error
        except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
            raise SumOverflow(f"a value does not fit its column: {str(error).splitlines()[0]}") from error
        except duckdb.Error as error:
            if any(not Path(path).exists() for path in self._paths):  # behind closed doors that is a permission error
                raise Missing(f"a planned file is gone: {error}") from error
            if "pytz" in str(error):  # DuckDB's way of saying that Python has no value for it
                raise QueryRefused(
                    "a column of the answer is a TIMESTAMP WITH TIME ZONE: cast it, as in CAST(x AS TIMESTAMP), which"
                    " is UTC; `shardlake query --tz` shows times in a zone"
                ) from error
            raise QueryRefused(f"the query failed: {error}") from error


class _Limit:
    """Interrupts a connection that is still busy when the time is over."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
        self._timer = threading.Timer(seconds, connection.interrupt)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
