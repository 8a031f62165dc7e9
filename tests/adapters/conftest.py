"""A folder of Iceberg tables: as we write it, and as others see it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import Mark, Seam
from shardlake.core.windows import Windows
from tests.s3.standin import s3

__all__ = ["s3"]


@dataclass
class Lake:
    """Tables under a folder, of which `keep` snapshots stay."""

    folder: Path
    tables: IcebergTables
    columns: tuple[Column, ...] = (Column("day", "DATE"), Column("page", "VARCHAR"), Column("n", "BIGINT"))
    properties: dict[str, str] = field(default_factory=lambda: {"shardlake.positions": "p 1 ab"})
    keep: int = 5

    @staticmethod
    def seam(n: int) -> Seam:
        return Seam({0: Mark(n, f"commit-{n}")})

    @staticmethod
    def rows(n: int, day: str = "2026-01-01") -> str:
        return f"SELECT DATE '{day}' AS day, 'page' || range AS page, range AS n FROM range({n})"

    def created(self) -> Snapshot:
        return self.tables.create("view", self.columns, "day")

    def started(self, n: int = 3) -> Snapshot:
        """A table of one commit with some rows."""
        return self.commit(self.created(), 1, n)

    def commit(self, base: Snapshot, n: int, *added: int, remove: tuple[TableFile, ...] = ()) -> Snapshot:
        """Move the seam to `n`, with a new file for each number of rows."""
        files = [self.written(rows) for rows in added]
        return self.tables.commit(base, files, remove, self.seam(n), self.properties)

    def written(self, n: int, day: str = "2026-01-01") -> TableFile:
        return self.copied(self.rows(n, day), day=day)

    def copied(self, select: str, table: str = "view", day: str = "2026-01-01") -> TableFile:
        """Write the rows of a SELECT to a data file."""
        path = self.tables.new_file(table, day)
        with duckdb.connect() as db:
            db.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
            ((rows,),) = db.execute(f"SELECT count(*) FROM '{path}'").fetchall()
        return TableFile(path, rows, Path(path).stat().st_size, day, Windows(5, ((0, 5),)))

    def other(self) -> IcebergTables:
        """The tables as another process holds them."""
        return IcebergTables(self.folder, keep=self.keep, sync=False)

    def foreign(self, table: str = "view") -> Table:
        """Open a table as any other PyIceberg does."""
        catalog = SqlCatalog("shardlake", uri=f"sqlite:///{self.folder}/catalog.sqlite", warehouse=str(self.folder))
        found = catalog.load_table(("shardlake", table))
        catalog.engine.dispose()
        return found

    def scanned(self, table: str = "view") -> list[dict[str, Any]]:
        """Read a table's rows as any other PyIceberg does."""
        found = self.foreign(table).scan().to_arrow()
        order = [(name, "ascending") for name in found.column_names if not pa.types.is_nested(found[name].type)]
        rows: list[dict[str, Any]] = found.sort_by(order).to_pylist()
        return rows

    @staticmethod
    def plainly(paths: list[str]) -> list[dict[str, Any]]:
        """Read files as a query does."""
        with duckdb.connect() as db:
            found = db.sql(f"SELECT * FROM read_parquet({paths}) ORDER BY ALL").to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tables"


@pytest.fixture
def lake(folder: Path) -> Iterator[Lake]:
    tables = IcebergTables(folder, keep=Lake.keep, sync=False)
    yield Lake(folder, tables)
    tables.close()


@pytest.fixture
def durable(folder: Path) -> Iterator[Lake]:
    """The same, with every file flushed."""
    tables = IcebergTables(folder, keep=Lake.keep)
    yield Lake(folder, tables)
    tables.close()
