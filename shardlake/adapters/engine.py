"""The SQL engine: DuckDB, with the settings that make results repeatable and errors ours."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from shardlake.adapters.disk import sync_folder, translated
from shardlake.core.errors import MemoryExhausted, SqlFailed, SumOverflow, Transient

if TYPE_CHECKING:
    import pyarrow as pa  # a query that prints its answer does without it

SETTINGS: Final = {
    "TimeZone": "UTC",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_progress_bar": "false",
    "python_enable_replacements": "false",  # a name in SQL must never resolve to a variable of ours
}


class Engine:
    """One DuckDB connection, for one thread."""

    def __init__(self, threads: int = 1, memory: str | None = None) -> None:
        self._connection = duckdb.connect()
        self._prepared: dict[str, Prepared] = {}
        self._given: dict[str, _Given] = {}
        for name, value in SETTINGS.items():
            self._connection.execute(f"SET {name} = '{value}'")
        self._connection.execute(f"SET threads = {threads}")
        if memory is not None:
            self._connection.execute(f"SET memory_limit = '{memory}'")

    def table(self, sql: str, tables: Mapping[str, "pa.Table"] | None = None) -> "pa.Table":
        """Run a SELECT, in which each of `tables` can be named, and return its rows.

        Raises: SumOverflow if a value does not fit its column; SqlFailed if it fails otherwise; Transient.
        """
        given = tables or {}
        for name, table in given.items():
            self._connection.register(name, table)
        try:
            with _translated():
                return self._connection.sql(sql).to_arrow_table()
        finally:
            for name in given:
                self._connection.unregister(name)

    def prepared(self, sql: str, name: str, schema: "pa.Schema") -> "Prepared":
        """Give the SELECT `sql` over a table called `name`, planned once; no table of `table` may have that name.

        Raises: as `table`.
        """
        if name not in self._given:
            self._given[name] = _Given(schema.empty_table())
            self._connection.register(name, self._given[name])
        if sql not in self._prepared:
            statement = f"prepared_{len(self._prepared)}"
            self.run(f"PREPARE {statement} AS {sql}")
            self._prepared[sql] = Prepared(self._connection, statement, self._given[name])
        return self._prepared[sql]

    def run(self, sql: str) -> None:
        """Run a statement whose result nobody wants. Raises: as `table`."""
        with _translated():
            self._connection.execute(sql)

    def copy(self, sql: str, path: str) -> tuple[int, int]:
        """Write a SELECT's rows to a new Parquet file, durably; return rows and bytes.

        Raises: SumOverflow, Transient.
        """
        target = path.replace("'", "''")
        with translated(f"write {path}"):
            self.run(f"COPY ({sql}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)")
            with Path(path).open("rb+") as file:
                os.fsync(file.fileno())
                length = os.fstat(file.fileno()).st_size
            sync_folder(Path(path).parent)
        found = self._connection.execute(f"SELECT num_rows FROM parquet_file_metadata('{target}')").fetchall()
        return int(found[0][0]), length

    def close(self) -> None:
        """Give its memory back."""
        self._connection.close()


@dataclass(slots=True)
class _Given:
    """A table's place: DuckDB asks it for its rows each time that a statement runs."""

    rows: "pa.Table"

    def __arrow_c_schema__(self) -> object:
        return self.rows.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.rows.__arrow_c_stream__(requested_schema)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A SELECT that was planned, to be run over many tables of one schema: planning costs what thousands of rows do."""

    _connection: duckdb.DuckDBPyConnection
    _statement: str
    _given: _Given

    def table(self, rows: "pa.Table") -> "pa.Table":
        """Run it over these rows. Raises: as `Engine.table`."""
        self._given.rows = rows
        try:
            with _translated():
                return self._connection.sql(f"EXECUTE {self._statement}").to_arrow_table()
        finally:
            self._given.rows = rows.slice(0, 0)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
        raise SumOverflow(f"a value does not fit its column: {_first_line(error)}") from error
    except duckdb.IOException as error:
        raise Transient(f"files cannot be read or written: {_first_line(error)}; free space, then try again") from error
    except duckdb.OutOfMemoryException as error:
        raise MemoryExhausted(f"the engine cannot run this: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise SqlFailed(f"the engine cannot run this: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
