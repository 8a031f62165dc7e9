"""What only the Iceberg tables must do: what others read and write there, races, bounds and repairs."""

import errno
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update import AddSnapshotUpdate
from pyiceberg.table.update.snapshot import _FastAppendFiles

from shardlake.adapters import table_index
from shardlake.adapters.iceberg import commit as commits
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.core.errors import ConfigError, Conflict, Corrupt, FormatTooNew, OutcomeUnknown, Transient
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import NOTHING, Mark, Seam
from shardlake.core.windows import Windows

COLUMNS = (Column("day", "DATE"), Column("page", "VARCHAR"), Column("n", "BIGINT"))
PROPERTIES = {"shardlake.positions": "p 1 ab"}
KEEP = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tables"


@pytest.fixture
def tables(folder: Path) -> Iterator[IcebergTables]:
    found = IcebergTables(folder, keep=KEEP, sync=False)
    yield found
    found.close()


def seam(n: int) -> Seam:
    return Seam({0: Mark(n, f"commit-{n}")})


def copied(tables: IcebergTables, select: str, table: str = "view", day: str = "2026-01-01") -> TableFile:
    path = tables.new_file(table, day)
    duckdb.connect().execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    ((rows,),) = duckdb.connect().execute(f"SELECT count(*) FROM '{path}'").fetchall()
    return TableFile(path, rows, Path(path).stat().st_size, day, Windows(5, ((0, 5),)))


def rows(n: int, day: str = "2026-01-01") -> str:
    return f"SELECT DATE '{day}' AS day, 'page' || range AS page, range AS n FROM range({n})"


def foreign(folder: Path, table: str = "view") -> Table:
    """Open a table as any other PyIceberg does."""
    catalog = SqlCatalog("shardlake", uri=f"sqlite:///{folder}/catalog.sqlite", warehouse=str(folder))
    found = catalog.load_table(("shardlake", table))
    catalog.engine.dispose()
    return found


def scanned(folder: Path, table: str = "view") -> list[dict[str, Any]]:
    found = foreign(folder, table).scan().to_arrow()
    order = [(name, "ascending") for name in found.column_names if not pa.types.is_nested(found[name].type)]
    rows: list[dict[str, Any]] = found.sort_by(order).to_pylist()
    return rows


def plainly(paths: list[str]) -> list[dict[str, Any]]:
    with duckdb.connect() as db:
        rows: list[dict[str, Any]] = (
            db.sql(f"SELECT * FROM read_parquet({paths}) ORDER BY ALL").to_arrow_table().to_pylist()
        )
    return rows


def started(tables: IcebergTables, n: int = 3) -> Snapshot:
    return tables.commit(tables.create("view", COLUMNS, "day"), [copied(tables, rows(n))], [], seam(1), PROPERTIES)


# ------------------------------------------------------------------------------------------- what others see


def test_pyiceberg_reads_the_same_rows_as_duckdb(tables: IcebergTables, folder: Path) -> None:
    base = started(tables)
    more = copied(tables, rows(4, "2026-01-02"), day="2026-01-02")
    base = tables.commit(base, [more, copied(tables, rows(2))], base.files, seam(2), PROPERTIES)
    paths = [file.path for file in base.files]
    assert scanned(folder) == plainly(paths)
    filtered = foreign(folder).scan(row_filter="day = '2026-01-02'")
    assert [task.file.file_path for task in filtered.plan_files()] == [more.path]


TYPES = {
    "BOOLEAN": "true",
    "INTEGER": "7::INTEGER",
    "BIGINT": "9::BIGINT",
    "DOUBLE": "0.1::DOUBLE",
    "VARCHAR": "'é'",
    "TIMESTAMP": "TIMESTAMP '2026-01-01 12:34:56.789012'",
    "DATE": "DATE '2026-01-01'",
    "DECIMAL(4,1)": "1.5::DECIMAL(4,1)",
    "DECIMAL(9,2)": "-1.50::DECIMAL(9,2)",
    "DECIMAL(18,3)": "1.555::DECIMAL(18,3)",
    "DECIMAL(38,6)": "1.5::DECIMAL(38,6)",
    "BIGINT[]": "[1, 2]::BIGINT[]",
    'STRUCT("by" TIMESTAMP, arg VARCHAR)': "{'by': TIMESTAMP '2026-01-01', 'arg': 'x'}",
    'STRUCT("the bin" BIGINT, n DECIMAL(38,2))[]': "[{'the bin': 1::BIGINT, 'n': 2::DECIMAL(38,2)}]",
}


def test_every_type_survives(tables: IcebergTables, folder: Path) -> None:
    columns = [replace_type(f"c{i}", type_) for i, type_ in enumerate(TYPES)]
    values = ", ".join(f"{value} AS c{i}" for i, value in enumerate(TYPES.values()))
    # PyIceberg reads a NULL list of structs as an empty one, so there is none here.
    nulls = ", ".join(f"{'[]' if ')[]' in type_ else 'NULL'}::{type_} AS c{i}" for i, type_ in enumerate(TYPES))
    base = tables.create("typed", columns, None)
    file = copied(tables, f"SELECT {values} UNION ALL SELECT {nulls}", "typed", "")
    tables.commit(base, [file], [], seam(1), {})
    assert scanned(folder, "typed") == plainly([file.path])


def replace_type(name: str, type_: str) -> Column:
    """A column whose type a source cannot have, but a view's partial form can."""
    column = Column(name, "BIGINT")
    object.__setattr__(column, "type", type_)
    return column


@pytest.mark.parametrize("type_", ["HUGEINT", "STRUCT(x)", "BIGINT[", "DECIMAL", "TIMESTAMPTZ", "STRUCT(a FLOAT)[]"])
def test_types_without_a_counterpart_are_refused(tables: IcebergTables, type_: str) -> None:
    with pytest.raises(ConfigError, match=r"type|field"):
        tables.create("typed", [replace_type("c", type_)], None)


@pytest.mark.parametrize("partition", ["none", "n"])
def test_a_partition_is_a_date(tables: IcebergTables, partition: str) -> None:
    with pytest.raises(ConfigError, match="DATE"):
        tables.create("view", COLUMNS, partition)


def test_names_on_disk_are_pinned(tables: IcebergTables, folder: Path) -> None:
    after = started(tables)
    table = foreign(folder)
    summary = table.metadata.snapshots[0].summary
    assert summary is not None
    own = {key: value for key, value in summary.additional_properties.items() if key.startswith("shardlake")}
    assert own == {
        "shardlake.format": "1",
        "shardlake.seam": '{"marks":{"0":[1,"commit-1"]}}',
        "shardlake.positions": "p 1 ab",
    }
    assert table.properties["shardlake.format"] == "1"
    assert table.properties["commit.retry.num-retries"] == "0"
    sidecar = json.loads((folder / "view" / "index" / f"{after.token}.json").read_bytes())
    assert sorted(sidecar) == ["dropped", "format", "metadata", "snapshot"]
    assert sidecar["format"] == 1
    assert Path(after.files[0].path).parent == folder / "view" / "data" / "2026-01-01"
    assert (folder / "catalog.sqlite").exists()


# ------------------------------------------------------------------------------------------ what others did


def append_foreign(folder: Path, operation: Operation, properties: dict[str, str] | None = None) -> None:
    """Make a snapshot of the same files as some other writer does; PyIceberg itself writes no `replace`."""
    table = foreign(folder)
    transaction = table.transaction()
    producer = _FastAppendFiles(Operation.APPEND, transaction, table.io, snapshot_properties=properties or {})
    (add, move), requirements = producer._commit()
    assert isinstance(add, AddSnapshotUpdate)
    summary = Summary(operation, **(properties or {}))
    add = AddSnapshotUpdate(snapshot=add.snapshot.model_copy(update={"summary": summary}))
    transaction._stage((add, move), requirements)
    transaction.commit_transaction()


def test_a_rewrite_by_somebody_else_inherits_the_seam_and_the_next_run_restamps_it(
    tables: IcebergTables, folder: Path
) -> None:
    base = started(tables)
    append_foreign(folder, Operation.REPLACE)
    append_foreign(folder, Operation.REPLACE)
    seen = tables.load("view")
    assert seen is not None
    assert (seen.seam, seen.properties) == (base.seam, base.properties)
    assert [file.path for file in seen.files] == [file.path for file in base.files]
    assert seen.files[0].windows is None, "unknown: a reader combines all of it"
    with pytest.raises(Conflict):
        tables.commit(base, [], [], seam(2), PROPERTIES)
    after = tables.commit(seen, [copied(tables, rows(9))], seen.files, seam(2), PROPERTIES)
    assert tables.load("view") == after
    assert len(scanned(folder)) == 9


@pytest.mark.parametrize("operation", [Operation.APPEND, Operation.OVERWRITE, Operation.DELETE])
def test_rows_changed_by_somebody_else_are_refused(tables: IcebergTables, folder: Path, operation: Operation) -> None:
    base = started(tables)
    append_foreign(folder, operation)
    append_foreign(folder, Operation.REPLACE)
    with pytest.raises(Corrupt, match="no seam"):
        tables.load("view")
    with pytest.raises(Conflict):
        tables.commit(base, [], [], seam(2), PROPERTIES)


def test_rows_deleted_by_somebody_else_are_refused(tables: IcebergTables, folder: Path) -> None:
    started(tables)
    foreign(folder).delete("n = 1")
    with pytest.raises(Corrupt, match="no seam"):
        tables.load("view")


def test_a_first_snapshot_without_a_seam_is_refused(tables: IcebergTables, folder: Path) -> None:
    tables.create("view", COLUMNS, "day")
    append_foreign(folder, Operation.REPLACE)
    with pytest.raises(Corrupt, match="no kept snapshot"):
        tables.load("view")


@pytest.mark.parametrize(
    ("properties", "error"),
    [
        ({"shardlake.format": "2", "shardlake.seam": "{}"}, FormatTooNew),
        ({"shardlake.format": "x", "shardlake.seam": "{}"}, Corrupt),
        ({"shardlake.seam": "{}"}, Corrupt),
        ({"shardlake.format": "1", "shardlake.seam": "{"}, Corrupt),
    ],
)
def test_a_seam_of_another_format_is_refused(
    tables: IcebergTables, folder: Path, properties: dict[str, str], error: type[Exception]
) -> None:
    started(tables)
    append_foreign(folder, Operation.APPEND, properties)
    with pytest.raises(error):
        tables.load("view")


def test_changed_settings_of_the_table_do_not_bring_retries_back(
    tables: IcebergTables, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = started(tables)
    with foreign(folder).transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4", "commit.retry.min-wait-ms": "1"})
    assert tables.load("view") == base, "settings are no part of the state"
    other = IcebergTables(folder, sync=False)
    real = commits._staged

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(commits, "_staged", real)
        other.commit(base, [copied(other, rows(1))], [], seam(2), PROPERTIES)
        return real(*given)

    monkeypatch.setattr(commits, "_staged", overtaken)
    with pytest.raises(Conflict, match="moved on"):
        tables.commit(base, [copied(tables, rows(1))], [], seam(2), PROPERTIES)
    assert len(scanned(folder)) == 4
    other.close()


# ----------------------------------------------------------------------------------------- crashes and races


def test_a_commit_is_one_snapshot_and_one_change_of_the_catalog(tables: IcebergTables, folder: Path) -> None:
    base = started(tables)
    before = foreign(folder)
    tables.commit(base, [copied(tables, rows(1))], base.files, seam(2), PROPERTIES)
    after = foreign(folder)
    assert len(after.metadata.snapshots) == len(before.metadata.snapshots) + 1
    assert after.metadata.metadata_log[-1].metadata_file == before.metadata_location


def test_a_lost_race_leaves_no_file_behind(
    tables: IcebergTables, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = started(tables)
    other = IcebergTables(folder, sync=False)
    real = commits._staged

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(commits, "_staged", real)
        other.commit(base, [], [], seam(2), PROPERTIES)
        return real(*given)

    monkeypatch.setattr(commits, "_staged", overtaken)
    with pytest.raises(Conflict):
        tables.commit(base, [], [], seam(2), PROPERTIES)
    now = tables.load("view")
    assert now is not None
    assert sorted(path.stem for path in (folder / "view" / "index").iterdir()) == sorted([base.token, now.token])
    assert tables.sweep("view") == 0
    other.close()


RACE = """
import sys
from pathlib import Path
import duckdb
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.core.errors import Conflict
from shardlake.core.ports import TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import Mark, Seam
tables = IcebergTables(sys.argv[1])
try:
    tables.create("view", [Column("day", "DATE"), Column("n", "BIGINT")], "day")
except Conflict:
    pass
won = 0
while (base := tables.load("view")).seam.n(0) < 8:
    n = base.seam.n(0) + 1
    path = tables.new_file("view", "2026-01-01")
    duckdb.execute(f"COPY (SELECT DATE '2026-01-01' AS day, {n}::BIGINT AS n) TO '{path}' (FORMAT parquet)")
    file = TableFile(path, 1, Path(path).stat().st_size, "2026-01-01")
    try:
        tables.commit(base, [file], [], Seam({0: Mark(n, sys.argv[2])}), {})
        won += 1
    except Conflict:
        pass
print(won)
"""


@pytest.mark.slow
def test_processes_race_and_every_seam_has_one_winner(folder: Path) -> None:
    command = [sys.executable, "-c", RACE, str(folder)]
    racers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE) for name in "AB"]
    won = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert sum(won) == 8
    assert [row["n"] for row in scanned(folder)] == list(range(1, 9))


def test_an_unknown_outcome_is_told_and_can_be_looked_up(
    tables: IcebergTables, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = started(tables)
    real = SqlCatalog.commit_table

    def lost(*given: Any) -> Any:
        real(*given)
        raise lost_answer()

    monkeypatch.setattr(SqlCatalog, "commit_table", lost)
    with pytest.raises(OutcomeUnknown):
        tables.commit(base, [copied(tables, rows(1))], [], seam(2), PROPERTIES)
    monkeypatch.undo()
    now = tables.load("view")
    assert now is not None
    assert (now.seam, len(now.files), len(scanned(folder))) == (seam(2), 2, 4)


def lost_answer() -> Exception:
    from sqlalchemy.exc import OperationalError

    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return OperationalError("UPDATE", None, error)


def test_a_locked_catalog_is_transient(tables: IcebergTables, folder: Path) -> None:
    base = started(tables)
    tables._writer()._catalog.engine.dispose()
    other = sqlite3.connect(folder / "catalog.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert tables.load("view") == base, "readers go on"
    with pytest.MonkeyPatch.context() as patch:
        short = sqlite3.connect
        patch.setattr(sqlite3.dbapi2, "connect", lambda *given, **named: short(*given, **{**named, "timeout": 0.05}))
        with pytest.raises(Transient, match="locked"):
            tables.commit(base, [], [], seam(2), PROPERTIES)
    other.execute("ROLLBACK")
    other.close()
    assert tables.load("view") == base


@pytest.mark.parametrize("flushes", range(1, 9))
def test_a_full_disk_at_any_file_leaves_the_old_snapshot(
    folder: Path, monkeypatch: pytest.MonkeyPatch, flushes: int
) -> None:
    tables = IcebergTables(folder, keep=KEEP)
    base = started(tables)
    file = copied(tables, rows(1))
    real, done = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal done
        done += 1
        if done == flushes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Transient, match="No space"):
        tables.commit(base, [file], base.files, seam(2), PROPERTIES)
    assert tables.load("view") == base
    assert len(scanned(folder)) == 3
    monkeypatch.undo()
    after = tables.commit(base, [file], base.files, seam(2), PROPERTIES)
    assert tables.load("view") == after
    tables.close()


def test_everything_that_a_row_of_the_catalog_names_is_flushed_before_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = IcebergTables(folder)
    base = started(tables)
    flushed: set[str] = set()
    real_fsync, real_commit = os.fsync, SqlCatalog._write_metadata

    def fsync(handle: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    before = {str(path) for path in (folder / "view").rglob("*")}
    file = copied(tables, rows(1))
    tables.commit(base, [file], [], seam(2), PROPERTIES)
    made = {str(path) for path in (folder / "view").rglob("*")} - before - {file.path}
    sidecars = {path for path in made if "/index/" in path}
    assert made - sidecars <= flushed
    assert {str(folder / "view" / name) for name in ("metadata", "index")} <= flushed
    assert real_commit is SqlCatalog._write_metadata
    tables.close()


# ---------------------------------------------------------------------------------------- bounds and repairs


def test_metadata_stays_bounded(tables: IcebergTables, folder: Path) -> None:
    base = tables.create("view", COLUMNS, "day")
    sizes = []
    for n in range(30):
        base = tables.commit(base, [copied(tables, rows(1))], base.files[:1] if n % 3 else [], seam(n), PROPERTIES)
        sizes.append(sum(1 for path in (folder / "view" / "metadata").iterdir()))
    table = foreign(folder)
    assert len(table.metadata.snapshots) == KEEP
    assert len(table.metadata.snapshot_log) <= KEEP
    newest = table.metadata.current_snapshot()
    assert newest is not None
    assert len(newest.manifests(table.io)) <= commits.MANIFESTS_MERGED + 2
    assert max(sizes[15:]) <= 50
    assert len(list((folder / "view" / "index").iterdir())) == KEEP
    assert tables.sweep("view") == 0, "the commits left nothing behind"
    assert [row["n"] for row in scanned(folder)] == [0] * len(base.files)
    swept = foreign(folder)
    for snapshot in swept.metadata.snapshots:
        assert snapshot.summary is not None
        rows_of = swept.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows
        assert rows_of == int(snapshot.summary["total-records"] or 0)


def test_a_tagged_snapshot_keeps_its_files(tables: IcebergTables, folder: Path) -> None:
    base = started(tables)
    table = foreign(folder)
    table.manage_snapshots().create_tag(int(base.token), "kept").commit()
    for n in range(2, 2 * KEEP):
        newest = tables.load("view")
        assert newest is not None
        tables.commit(newest, [copied(tables, rows(n))], newest.files, seam(n), PROPERTIES)
    assert foreign(folder).scan(snapshot_id=int(base.token)).to_arrow().num_rows == 3
    tables.sweep("view")
    assert foreign(folder).scan(snapshot_id=int(base.token)).to_arrow().num_rows == 3


def test_a_sweep_removes_the_files_of_lost_attempts_only(tables: IcebergTables, folder: Path) -> None:
    base = started(tables)
    lost = copied(tables, rows(7))
    stale = folder / "view" / "metadata" / "lost.avro"
    stale.write_bytes(b"lost")
    older = tables.commit(base, [copied(tables, rows(2))], base.files, seam(2), PROPERTIES)
    assert tables.sweep("view") == 2
    assert not Path(lost.path).exists()
    assert not stale.exists()
    now = tables.load("view")
    assert now is not None
    assert (now.files, now.seam) == (older.files, older.seam)
    assert Path(base.files[0].path).exists(), "a kept snapshot still has it"
    with pytest.raises(Conflict):
        tables.commit(older, [lost], [], seam(3), PROPERTIES)
    assert tables.sweep("none") == 0


@pytest.mark.parametrize("damage", ["gone", "not json", '{"snapshot": 1}', "future", "other seam"])
def test_a_snapshot_is_rebuilt_where_its_sidecar_is_damaged(tables: IcebergTables, folder: Path, damage: str) -> None:
    base = started(tables)
    sidecar = folder / "view" / "index" / f"{base.token}.json"
    written = json.loads(sidecar.read_bytes())
    texts = {
        "future": json.dumps({**written, "format": 2}),
        "other seam": json.dumps({**written, "snapshot": {**written["snapshot"], "seam": {"marks": {}}}}),
    }
    sidecar.write_text(texts.get(damage, damage)) if damage != "gone" else sidecar.unlink()
    unknown = tuple(replace(file, windows=None) for file in base.files)
    reader = IcebergTables(folder, sync=False)
    assert reader.load("view") == replace(base, files=unknown)
    assert json.loads(sidecar.read_bytes())["snapshot"]["token"] == base.token
    reader.close()


def test_a_file_that_is_not_as_told_is_refused(tables: IcebergTables) -> None:
    base = started(tables)
    file = copied(tables, rows(2))
    wrong_day = copied(tables, rows(2, "2026-01-05"))
    two_days = copied(tables, f"{rows(1)} UNION ALL {rows(1, '2026-01-02')}")
    wrong_type = copied(tables, "SELECT DATE '2026-01-01' AS day, 1 AS page, 1::BIGINT AS n")
    strange = copied(tables, "SELECT DATE '2026-01-01' AS day, 'x' AS page, 1::BIGINT AS n, 1 AS other")
    told_wrong = (replace(file, rows=3), replace(file, length=1), wrong_day, two_days, wrong_type, strange)
    for bad in told_wrong:
        with pytest.raises(Corrupt):
            tables.commit(base, [bad], [], seam(2), PROPERTIES)
    assert tables.load("view") == base
    tables.commit(base, [file], [], seam(2), PROPERTIES)


def test_a_missing_partition_is_null(tables: IcebergTables, folder: Path) -> None:
    base = started(tables)
    nulls = copied(tables, "SELECT NULL::DATE AS day, 'x' AS page, 77::BIGINT AS n", day="")
    base = tables.commit(base, [nulls], [], seam(2), PROPERTIES)
    assert len(scanned(folder)) == 4
    after = tables.commit(base, [], [nulls], seam(3), PROPERTIES)
    assert tables.load("view") == after
    assert len(scanned(folder)) == 3


LIGHT = """
import sys
from shardlake.adapters.iceberg.tables import IcebergTables
found = IcebergTables(sys.argv[1]).load("view")
assert len(found.files) == 1 and found.files[0].windows is not None
heavy = {"pyiceberg", "sqlalchemy", "pyarrow", "pandas", "duckdb"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_loading_imports_no_table_format(tables: IcebergTables, folder: Path) -> None:
    started(tables)
    ran = subprocess.run([sys.executable, "-c", LIGHT, str(folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_catalog_of_something_else_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / table_index.CATALOG_FILE).write_text("not a database " * 100)
    with pytest.raises(Corrupt):
        IcebergTables(folder).load("view")


def test_a_new_table_has_counted_nothing(tables: IcebergTables) -> None:
    assert tables.create("view", COLUMNS, "day").seam == NOTHING
