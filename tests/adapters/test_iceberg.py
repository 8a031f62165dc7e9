"""What other writers and readers see and do in the Iceberg tables: files, types, names, and foreign snapshots."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update import AddSnapshotUpdate
from pyiceberg.table.update.snapshot import _FastAppendFiles

from shardlake.adapters.iceberg import commit as commits
from shardlake.core.errors import ConfigError, Conflict, Corrupt, FormatTooNew
from shardlake.core.schema import Column

if TYPE_CHECKING:
    from tests.adapters.conftest import Lake


# ------------------------------------------------------------------------------------------- what others see


def test_pyiceberg_reads_the_same_rows_as_duckdb(lake: "Lake") -> None:
    base = lake.started()
    more = lake.copied(lake.rows(4, "2026-01-02"), day="2026-01-02")
    base = lake.tables.commit(base, [more, lake.written(2)], base.files, lake.seam(2), lake.properties)
    paths = [file.path for file in base.files]
    assert lake.scanned() == lake.plainly(paths)
    filtered = lake.foreign().scan(row_filter="day = '2026-01-02'")
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


def test_every_type_survives(lake: "Lake") -> None:
    columns = [replace_type(f"c{i}", type_) for i, type_ in enumerate(TYPES)]
    values = ", ".join(f"{value} AS c{i}" for i, value in enumerate(TYPES.values()))
    # PyIceberg reads a NULL list of structs as an empty one, so there is none here.
    nulls = ", ".join(f"{'[]' if ')[]' in type_ else 'NULL'}::{type_} AS c{i}" for i, type_ in enumerate(TYPES))
    base = lake.tables.create("typed", columns, None)
    file = lake.copied(f"SELECT {values} UNION ALL SELECT {nulls}", "typed", "")
    lake.tables.commit(base, [file], [], lake.seam(1), {})
    assert lake.scanned("typed") == lake.plainly([file.path])


def replace_type(name: str, type_: str) -> Column:
    """A column whose type a source cannot have, but a view's partial form can."""
    column = Column(name, "BIGINT")
    object.__setattr__(column, "type", type_)
    return column


@pytest.mark.parametrize("type_", ["HUGEINT", "STRUCT(x)", "BIGINT[", "DECIMAL", "TIMESTAMPTZ", "STRUCT(a FLOAT)[]"])
def test_types_without_a_counterpart_are_refused(lake: "Lake", type_: str) -> None:
    with pytest.raises(ConfigError, match=r"type|field"):
        lake.tables.create("typed", [replace_type("c", type_)], None)


@pytest.mark.parametrize("partition", ["none", "n"])
def test_a_partition_is_a_date(lake: "Lake", partition: str) -> None:
    with pytest.raises(ConfigError, match="DATE"):
        lake.tables.create("view", lake.columns, partition)


def test_names_on_disk_are_pinned(lake: "Lake") -> None:
    after = lake.started()
    table = lake.foreign()
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
    sidecar = json.loads((lake.folder / "view" / "index" / f"{after.token}.json").read_bytes().partition(b"\n")[2])
    assert sorted(sidecar) == ["dropped", "format", "metadata", "snapshot"]
    assert sidecar["format"] == 1
    assert Path(after.files[0].path).parent == lake.folder / "view" / "data" / "2026-01-01"
    assert (lake.folder / "catalog.sqlite").exists()


# ------------------------------------------------------------------------------------------ what others did


def append_foreign(lake: "Lake", operation: Operation, properties: dict[str, str] | None = None) -> None:
    """Make a snapshot of the same files as some other writer does; PyIceberg itself writes no `replace`."""
    table = lake.foreign()
    transaction = table.transaction()
    producer = _FastAppendFiles(Operation.APPEND, transaction, table.io, snapshot_properties=properties or {})
    (add, move), requirements = producer._commit()
    assert isinstance(add, AddSnapshotUpdate)
    summary = Summary(operation, **(properties or {}))
    add = AddSnapshotUpdate(snapshot=add.snapshot.model_copy(update={"summary": summary}))
    transaction._stage((add, move), requirements)
    transaction.commit_transaction()


def test_a_rewrite_by_somebody_else_inherits_the_seam_and_the_next_run_restamps_it(lake: "Lake") -> None:
    base = lake.started()
    append_foreign(lake, Operation.REPLACE)
    append_foreign(lake, Operation.REPLACE)
    seen = lake.tables.load("view")
    assert seen is not None
    assert (seen.seam, seen.properties) == (base.seam, base.properties)
    assert [file.path for file in seen.files] == [file.path for file in base.files]
    assert seen.files[0].windows is None, "unknown: a reader combines all of it"
    with pytest.raises(Conflict):
        lake.commit(base, 2)
    after = lake.commit(seen, 2, 9, remove=seen.files)
    assert lake.tables.load("view") == after
    assert len(lake.scanned()) == 9


@pytest.mark.parametrize("operation", [Operation.APPEND, Operation.OVERWRITE, Operation.DELETE])
def test_rows_changed_by_somebody_else_are_refused(lake: "Lake", operation: Operation) -> None:
    base = lake.started()
    append_foreign(lake, operation)
    append_foreign(lake, Operation.REPLACE)
    with pytest.raises(Corrupt, match="no seam"):
        lake.tables.load("view")
    with pytest.raises(Conflict):
        lake.commit(base, 2)


def test_rows_deleted_by_somebody_else_are_refused(lake: "Lake") -> None:
    lake.started()
    lake.foreign().delete("n = 1")
    with pytest.raises(Corrupt, match="no seam"):
        lake.tables.load("view")


def test_a_first_snapshot_without_a_seam_is_refused(lake: "Lake") -> None:
    lake.created()
    append_foreign(lake, Operation.REPLACE)
    with pytest.raises(Corrupt, match="no kept snapshot"):
        lake.tables.load("view")


@pytest.mark.parametrize(
    ("properties", "error"),
    [
        ({"shardlake.format": "2", "shardlake.seam": "{}"}, FormatTooNew),
        ({"shardlake.format": "x", "shardlake.seam": "{}"}, Corrupt),
        ({"shardlake.seam": "{}"}, Corrupt),
        ({"shardlake.format": "1", "shardlake.seam": "{"}, Corrupt),
    ],
)
def test_a_seam_of_another_format_is_refused(lake: "Lake", properties: dict[str, str], error: type[Exception]) -> None:
    lake.started()
    append_foreign(lake, Operation.APPEND, properties)
    with pytest.raises(error):
        lake.tables.load("view")


def test_changed_settings_of_the_table_do_not_bring_retries_back(lake: "Lake", monkeypatch: pytest.MonkeyPatch) -> None:
    base = lake.started()
    with lake.foreign().transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4", "commit.retry.min-wait-ms": "1"})
    assert lake.tables.load("view") == base, "settings are no part of the state"
    other = lake.other()
    real = commits._staged

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(commits, "_staged", real)
        other.commit(base, [lake.written(1)], [], lake.seam(2), lake.properties)
        return real(*given)

    monkeypatch.setattr(commits, "_staged", overtaken)
    with pytest.raises(Conflict, match="moved on"):
        lake.commit(base, 2, 1)
    assert len(lake.scanned()) == 4
    other.close()
