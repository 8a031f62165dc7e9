"""Columns are added to a table beside its snapshots: files from before are NULL in them, files and seam do not move."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyiceberg.table.name_mapping import parse_mapping_from_json

from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.adapters.table_reader import TableReader
from shardlake.core.errors import ConfigError, Conflict, Corrupt, Terminal
from shardlake.core.ports import Tables
from shardlake.core.schema import Column
from tests.adapters.conftest import Lake

CITY = Column("city", "VARCHAR", "where it was")
TYPES = ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP", "DATE", "DECIMAL(9,2)")
FIRST = (Column("day", "DATE"), Column("n", "BIGINT"))


@pytest.fixture(name="tables", params=[IcebergTables, MemoryTables])
def _tables(request: pytest.FixtureRequest, folder: Path) -> Iterator[Tables]:
    made = IcebergTables(folder, sync=False) if request.param is IcebergTables else MemoryTables(folder)
    yield made
    if isinstance(made, IcebergTables):
        made.close()


def named(columns: object) -> list[tuple[str, str]]:
    assert isinstance(columns, tuple)
    return [(column.name, column.type) for column in columns]


# --------------------------------------------------------------------------------------------- of every adapter


def test_what_a_table_lacks_is_added_behind_what_it_has(tables: Tables) -> None:
    tables.create("t", FIRST, "day")
    assert named(tables.widen("t", FIRST)) == named(FIRST)
    assert named(tables.widen("t", (CITY, FIRST[1]))) == [*named(FIRST), ("city", "VARCHAR")]
    assert named(tables.widen("t", (Column("x", "DOUBLE"),)))[3:] == [("x", "DOUBLE")]
    assert len(tables.widen("t", ())) == 4


@pytest.mark.parametrize("wrong", [Column("n", "DOUBLE"), Column("N", "BIGINT"), Column("day", "VARCHAR")])
def test_a_column_keeps_its_type_and_its_spelling(tables: Tables, wrong: Column) -> None:
    tables.create("t", FIRST, "day")
    with pytest.raises(ConfigError, match=f"column {wrong.name} {wrong.type} is .* in table t: a column keeps its"):
        tables.widen("t", (CITY, wrong))
    assert named(tables.widen("t", ())) == named(FIRST)


def test_the_state_of_a_table_is_the_same_after(tables: Tables) -> None:
    before = tables.create("t", FIRST, "day")
    tables.widen("t", (CITY,))
    assert tables.load("t") == before
    tables.commit(before, (), (), Lake.seam(1), {})


def test_a_table_that_is_gone_cannot_be_widened(tables: Tables) -> None:
    with pytest.raises(Conflict, match="gone"):
        tables.widen("t", (CITY,))


def test_a_reader_adds_nothing(folder: Path) -> None:
    with pytest.raises(Terminal, match="open for reading only"):
        TableReader(folder).widen("t", (CITY,))


# --------------------------------------------------------------------------------------------------- of Iceberg


def test_others_see_null_in_files_from_before(lake: Lake) -> None:
    base = lake.started(2)
    lake.tables.widen("view", (CITY,))
    assert lake.tables.load("view") == base
    new = lake.copied("SELECT DATE '2026-01-01' AS day, 'p' AS page, 9::BIGINT AS n, 'Rome' AS city")
    after = lake.tables.commit(base, [new], (), lake.seam(2), lake.properties)
    assert [row["city"] for row in lake.scanned()] == ["Rome", None, None]  # by page, then number
    assert lake.other().load("view") == after
    mapping = parse_mapping_from_json(lake.foreign().properties["schema.name-mapping.default"])
    assert {name for field in mapping for name in field.names} == {"day", "page", "n", "city"}


def test_every_type_can_be_added(lake: Lake) -> None:
    base = lake.started(1)
    added = tuple(Column(f"c{i}", kind) for i, kind in enumerate(TYPES))
    assert named(lake.tables.widen("view", added))[3:] == named(added)
    assert named(lake.other().widen("view", added))[3:] == named(added)
    values = ", ".join(f"NULL::{column.type} AS {column.name}" for column in added)
    new = lake.copied(f"SELECT DATE '2026-01-01' AS day, 'p' AS page, 9::BIGINT AS n, {values}")
    lake.tables.commit(base, [new], (), lake.seam(2), lake.properties)
    assert len(lake.scanned()) == 2


def test_a_run_that_began_before_may_lack_what_was_added_and_nothing_else(lake: Lake) -> None:
    base = lake.started(2)
    lake.other().widen("view", (CITY,))
    after = lake.commit(base, 2, 3)
    assert [row["city"] for row in lake.scanned()] == [None] * 5
    short = lake.copied("SELECT DATE '2026-01-01' AS day, 'Rome' AS city, 9::BIGINT AS n")
    with pytest.raises(Corrupt, match="page missing"):
        lake.tables.commit(after, [short], (), lake.seam(3), lake.properties)
    wide = lake.copied("SELECT DATE '2026-01-01' AS day, 'p' AS page, 9::BIGINT AS n, 1 AS more")
    with pytest.raises(Corrupt, match="more INTEGER"):
        lake.tables.commit(after, [wide], (), lake.seam(3), lake.properties)
    odd = lake.copied("SELECT DATE '2026-01-01' AS day, 'p' AS page, 9::BIGINT AS n, 1 AS city")
    with pytest.raises(Corrupt, match=r"city INTEGER \(not VARCHAR\)"):
        lake.tables.commit(after, [odd], (), lake.seam(3), lake.properties)


def test_files_from_before_can_be_replaced(lake: Lake) -> None:
    base = lake.started(2)
    lake.tables.widen("view", (CITY,))
    new = lake.copied("SELECT DATE '2026-01-01' AS day, 'p' AS page, 9::BIGINT AS n, 'Rome' AS city")
    lake.tables.commit(base, [new], base.files, lake.seam(2), lake.properties)
    assert [row["city"] for row in lake.scanned()] == ["Rome"]


def test_of_two_who_add_at_once_one_reads_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.started(1)
    writer = lake.tables._writer()
    stale = writer._table("view")
    lake.other().widen("view", (Column("first", "BIGINT"),))
    with monkeypatch.context() as patched:
        patched.setattr(writer, "_table", lambda _: stale)
        with pytest.raises(Conflict, match="cannot add columns to table view"):
            lake.tables.widen("view", (CITY,))
    assert named(lake.tables.widen("view", (CITY,)))[3:] == [("first", "BIGINT"), ("city", "VARCHAR")]


@pytest.fixture(name="lost_index")
def _lost_index(lake: Lake) -> Callable[[], None]:
    def lose() -> None:
        for path in (lake.folder / "view" / "index").iterdir():
            path.unlink()

    return lose


def test_a_widened_table_is_read_without_its_index(lake: Lake, lost_index: Callable[[], None]) -> None:
    base = lake.started(2)
    lake.tables.widen("view", (CITY,))
    after = lake.commit(base, 2, 3)
    lost_index()
    found = lake.other().load("view")
    assert found is not None
    unknown = [replace(file, windows=None, sha256="") for file in after.files]
    assert (found.token, found.seam) == (after.token, after.seam)
    assert sorted(found.files, key=str) == sorted(unknown, key=str)
    lake.commit(found, 3, 1)
    assert len(lake.scanned()) == 6
