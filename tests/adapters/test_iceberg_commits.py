"""Commits of the Iceberg tables under crashes, races and full disks; their bounds, and their repairs."""

import errno
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException

from shardlake.adapters import table_index
from shardlake.adapters.iceberg import commit as commits
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.core.errors import Conflict, Corrupt, OutcomeUnknown, Transient

if TYPE_CHECKING:
    from tests.adapters.conftest import Lake


# ----------------------------------------------------------------------------------------- crashes and races


def test_a_commit_is_one_snapshot_and_one_change_of_the_catalog(lake: "Lake") -> None:
    base = lake.started()
    before = lake.foreign()
    lake.commit(base, 2, 1, remove=base.files)
    after = lake.foreign()
    assert len(after.metadata.snapshots) == len(before.metadata.snapshots) + 1
    assert after.metadata.metadata_log[-1].metadata_file == before.metadata_location


def test_the_requirement_alone_refuses_a_moved_seam(lake: "Lake") -> None:
    base = lake.started()
    required = commits.SeamUnmoved.of(lake.foreign())
    required.validate(lake.foreign().metadata)
    lake.commit(base, 2)
    for moved in (lake.foreign().metadata, None):
        with pytest.raises(CommitFailedException, match="seam moved"):
            required.validate(moved)


def test_a_lost_race_leaves_no_file_behind(lake: "Lake", monkeypatch: pytest.MonkeyPatch) -> None:
    base = lake.started()
    other = lake.other()
    real = commits._staged

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(commits, "_staged", real)
        other.commit(base, [], [], lake.seam(2), lake.properties)
        return real(*given)

    monkeypatch.setattr(commits, "_staged", overtaken)
    with pytest.raises(Conflict):
        lake.commit(base, 2)
    now = lake.tables.load("view")
    assert now is not None
    assert sorted(path.stem for path in (lake.folder / "view" / "index").iterdir()) == sorted([base.token, now.token])
    assert lake.tables.sweep("view") == 0
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
def test_processes_race_and_every_seam_has_one_winner(lake: "Lake") -> None:
    command = [sys.executable, "-c", RACE, str(lake.folder)]
    racers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE) for name in "AB"]
    won = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert sum(won) == 8
    assert [row["n"] for row in lake.scanned()] == list(range(1, 9))


def test_an_unknown_outcome_is_told_and_can_be_looked_up(lake: "Lake", monkeypatch: pytest.MonkeyPatch) -> None:
    base = lake.started()
    real = SqlCatalog.commit_table

    def lost(*given: Any) -> Any:
        real(*given)
        raise lost_answer()

    monkeypatch.setattr(SqlCatalog, "commit_table", lost)
    with pytest.raises(OutcomeUnknown):
        lake.commit(base, 2, 1)
    monkeypatch.undo()
    now = lake.tables.load("view")
    assert now is not None
    assert (now.seam, len(now.files), len(lake.scanned())) == (lake.seam(2), 2, 4)


def lost_answer() -> Exception:
    from sqlalchemy.exc import OperationalError

    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return OperationalError("UPDATE", None, error)


def test_a_locked_catalog_is_transient(lake: "Lake") -> None:
    base = lake.started()
    catalog = lake.tables._writer()._catalog
    assert isinstance(catalog, SqlCatalog)
    catalog.engine.dispose()
    other = sqlite3.connect(lake.folder / "catalog.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert lake.tables.load("view") == base, "readers go on"
    with pytest.MonkeyPatch.context() as patch:
        short = sqlite3.connect
        patch.setattr(sqlite3.dbapi2, "connect", lambda *given, **named: short(*given, **{**named, "timeout": 0.05}))
        with pytest.raises(Transient, match="locked"):
            lake.commit(base, 2)
    other.execute("ROLLBACK")
    other.close()
    assert lake.tables.load("view") == base


@pytest.mark.parametrize("flushes", range(1, 9))
def test_a_full_disk_at_any_file_leaves_the_old_snapshot(
    durable: "Lake", monkeypatch: pytest.MonkeyPatch, flushes: int
) -> None:
    lake = durable
    base = lake.started()
    file = lake.written(1)
    real, done = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal done
        done += 1
        if done == flushes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Transient, match="No space"):
        lake.tables.commit(base, [file], base.files, lake.seam(2), lake.properties)
    assert lake.tables.load("view") == base
    assert len(lake.scanned()) == 3
    monkeypatch.undo()
    after = lake.tables.commit(base, [file], base.files, lake.seam(2), lake.properties)
    assert lake.tables.load("view") == after


def test_everything_that_a_row_of_the_catalog_names_is_flushed_before_it(
    durable: "Lake", monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = durable
    base = lake.started()
    flushed: set[str] = set()
    real_fsync, real_commit = os.fsync, SqlCatalog._write_metadata

    def fsync(handle: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{handle}").readlink()).partition(".new-")[0])
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    before = {str(path) for path in (lake.folder / "view").rglob("*")}
    file = lake.written(1)
    lake.tables.commit(base, [file], [], lake.seam(2), lake.properties)
    made = {str(path) for path in (lake.folder / "view").rglob("*")} - before - {file.path}
    assert len(made) == 4
    assert made <= flushed
    assert {str(lake.folder / "view" / name) for name in ("metadata", "index")} <= flushed
    assert real_commit is SqlCatalog._write_metadata


# ---------------------------------------------------------------------------------------- bounds and repairs


def test_metadata_stays_bounded(lake: "Lake") -> None:
    base = lake.created()
    sizes = []
    for n in range(20):
        base = lake.commit(base, n, 1, remove=base.files[:1] if n % 3 else ())
        sizes.append(sum(1 for path in (lake.folder / "view" / "metadata").iterdir()))
    table = lake.foreign()
    assert len(table.metadata.snapshots) == lake.keep
    assert len(table.metadata.snapshot_log) <= lake.keep
    newest = table.metadata.current_snapshot()
    assert newest is not None
    assert len(newest.manifests(table.io)) <= commits.MANIFESTS_MERGED + 2
    assert max(sizes[10:]) <= 50
    assert len(list((lake.folder / "view" / "index").iterdir())) == lake.keep
    assert lake.tables.sweep("view") == 0, "the commits left nothing behind"
    assert [row["n"] for row in lake.scanned()] == [0] * len(base.files)
    swept = lake.foreign()
    for snapshot in swept.metadata.snapshots:
        assert snapshot.summary is not None
        rows_of = swept.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows
        assert rows_of == int(snapshot.summary["total-records"] or 0)


def test_a_tagged_snapshot_keeps_its_files(lake: "Lake") -> None:
    base = lake.started()
    table = lake.foreign()
    table.manage_snapshots().create_tag(int(base.token), "kept").commit()
    for n in range(2, 2 * lake.keep):
        newest = lake.tables.load("view")
        assert newest is not None
        lake.commit(newest, n, n, remove=newest.files)
    assert lake.foreign().scan(snapshot_id=int(base.token)).to_arrow().num_rows == 3
    lake.tables.sweep("view")
    assert lake.foreign().scan(snapshot_id=int(base.token)).to_arrow().num_rows == 3


def test_a_sweep_removes_the_files_of_lost_attempts_only(lake: "Lake") -> None:
    base = lake.started()
    lost = lake.written(7)
    stale = lake.folder / "view" / "metadata" / "lost.avro"
    stale.write_bytes(b"lost")
    older = lake.commit(base, 2, 2, remove=base.files)
    assert lake.tables.sweep("view") == 2
    assert not Path(lost.path).exists()
    assert not stale.exists()
    now = lake.tables.load("view")
    assert now is not None
    assert (now.files, now.seam) == (older.files, older.seam)
    assert Path(base.files[0].path).exists(), "a kept snapshot still has it"
    with pytest.raises(Conflict):
        lake.tables.commit(older, [lost], [], lake.seam(3), lake.properties)
    assert lake.tables.sweep("none") == 0


@pytest.mark.parametrize("damage", ["gone", "not json", '{"snapshot": 1}', "future", "other seam", "no files"])
def test_a_snapshot_is_rebuilt_where_its_sidecar_is_damaged(lake: "Lake", damage: str) -> None:
    base = lake.started()
    sidecar = lake.folder / "view" / "index" / f"{base.token}.json"
    written = json.loads(sidecar.read_bytes().partition(b"\n")[2])
    texts = {
        "future": sealed(json.dumps({**written, "format": 2})),
        "other seam": sealed(json.dumps({**written, "snapshot": {**written["snapshot"], "seam": {"marks": {}}}})),
        "no files": sidecar.read_text().replace(base.files[0].path, "elsewhere"),
    }
    sidecar.write_text(texts.get(damage, sealed(damage))) if damage != "gone" else sidecar.unlink()
    unknown = tuple(replace(file, windows=None, sha256="") for file in base.files)
    reader = lake.other()
    assert reader.load("view") == replace(base, files=unknown)
    assert json.loads(sidecar.read_bytes().partition(b"\n")[2])["snapshot"]["token"] == base.token
    reader.close()


def sealed(text: str) -> str:
    """The text under its own checksum, as a sidecar is written."""
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def test_a_file_that_is_not_as_told_is_refused(lake: "Lake") -> None:
    base = lake.started()
    file = lake.written(2)
    wrong_day = lake.copied(lake.rows(2, "2026-01-05"))
    two_days = lake.copied(f"{lake.rows(1)} UNION ALL {lake.rows(1, '2026-01-02')}")
    wrong_type = lake.copied("SELECT DATE '2026-01-01' AS day, 1 AS page, 1::BIGINT AS n")
    strange = lake.copied("SELECT DATE '2026-01-01' AS day, 'x' AS page, 1::BIGINT AS n, 1 AS other")
    told_wrong = (replace(file, rows=3), replace(file, length=1), wrong_day, two_days, wrong_type, strange)
    for bad in told_wrong:
        with pytest.raises(Corrupt):
            lake.tables.commit(base, [bad], [], lake.seam(2), lake.properties)
    assert lake.tables.load("view") == base
    lake.tables.commit(base, [file], [], lake.seam(2), lake.properties)


def test_a_missing_partition_is_null(lake: "Lake") -> None:
    base = lake.started()
    nulls = lake.copied("SELECT NULL::DATE AS day, 'x' AS page, 77::BIGINT AS n", day="")
    base = lake.tables.commit(base, [nulls], [], lake.seam(2), lake.properties)
    assert len(lake.scanned()) == 4
    after = lake.tables.commit(base, [], [nulls], lake.seam(3), lake.properties)
    assert lake.tables.load("view") == after
    assert len(lake.scanned()) == 3


LIGHT = """
import sys
from shardlake.adapters.iceberg.tables import IcebergTables
found = IcebergTables(sys.argv[1]).load("view")
assert len(found.files) == 1 and found.files[0].windows is not None
heavy = {"pyiceberg", "sqlalchemy", "pyarrow", "pandas", "duckdb"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_loading_imports_no_table_format(lake: "Lake") -> None:
    lake.started()
    ran = subprocess.run([sys.executable, "-c", LIGHT, str(lake.folder)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_catalog_of_something_else_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / table_index.CATALOG_FILE).write_text("not a database " * 100)
    with pytest.raises(Corrupt):
        IcebergTables(folder).load("view")
