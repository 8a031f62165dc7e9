"""The behaviour of batch tables, over every adapter: files and seam change together, or not at all."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.adapters.table_files import RemoteFile, checked
from shardlake.adapters.table_storage import TableStorage
from shardlake.core.errors import ConfigError, Conflict, Corrupt, Missing
from shardlake.core.ports import Snapshot, TableFile, Tables
from shardlake.core.schema import Column
from shardlake.core.seam import NOTHING, Mark, Seam
from shardlake.core.windows import Windows

if TYPE_CHECKING:
    from tests.s3.standin import StandIn

COLUMNS = (Column("day", "DATE", "the partition"), Column("page", "VARCHAR"), Column("n", "BIGINT"))
PROPERTIES: Mapping[str, str] = {"shardlake.positions": "p 1 ab", "shardlake.fingerprint": "f"}
KEEP = 4


@pytest.fixture(params=["memory", "iceberg", "s3", "journal"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tables]:
    if request.param == "memory":
        yield MemoryTables(tmp_path / "tables", keep=KEEP)
        return
    storage = in_s3(tmp_path / "cache", request.getfixturevalue("s3")) if request.param == "s3" else None
    journal = MemoryJournal() if request.param == "journal" else None
    found = IcebergTables(tmp_path / "tables", keep=KEEP, sync=False, storage=storage, journal=journal)
    yield found
    found.close()


def in_s3(cache: Path, s3: "StandIn") -> TableStorage:
    from shardlake.adapters.s3.cache import Cache, CacheSettings
    from shardlake.adapters.s3.tables import S3Storage

    return S3Storage(s3.client(), s3.new_place("some/tables"), Cache(CacheSettings(cache), SystemClock()))


def seam(n: int) -> Seam:
    return Seam({0: Mark(n, f"commit-{n}"), 3: Mark(7, "other")}) if n else NOTHING


def write(tables: Tables, table: str, day: str, *counts: int) -> TableFile:
    """Write a data file of one row per count, with the window of its day."""
    path = tables.new_file(table, day)
    rows = ", ".join(f"(DATE '{day or '2026-01-01'}', 'page-{n}', {n}::BIGINT)" for n in counts)
    duckdb.connect().execute(f"COPY (SELECT * FROM (VALUES {rows}) t(day, page, n)) TO '{path}' (FORMAT parquet)")
    return TableFile(path, len(counts), Path(path).stat().st_size, day, Windows(5, ((0, 10 * counts[0]),)))


def counts(snapshot: Snapshot | None) -> list[int]:
    """Read a snapshot's rows as a query does."""
    assert snapshot is not None
    if not snapshot.files:
        return []
    paths = [checked(file) for file in snapshot.files]
    rows = duckdb.connect().execute("SELECT n FROM read_parquet($1) ORDER BY n", [paths]).fetchall()
    return [n for (n,) in rows]


def made(tables: Tables, name: str = "view") -> Snapshot:
    return tables.create(name, COLUMNS, "day")


def test_a_new_table_has_counted_nothing(tables: Tables) -> None:
    assert tables.load("view") is None
    created = made(tables)
    assert (created.table, created.seam, created.files, created.properties) == ("view", NOTHING, (), {})
    assert tables.load("view") == created
    assert tables.load("other") is None
    with pytest.raises(Conflict):
        made(tables)


def told(snapshot: Snapshot) -> list[object]:
    """What a snapshot says of its files that was told to the commit."""
    return [as_told(file) for file in snapshot.files]


def as_told(file: TableFile) -> object:
    """Name a file by its last part: where it is stored is the commit's affair, and so is its hash."""
    return (Path(file.path).name, file.rows, file.length, file.partition, file.windows)


def is_there(file: TableFile) -> bool:
    """Tell whether a file is still stored; a copy that was made of it does not count."""
    if isinstance(file, RemoteFile):
        return file.path in storage_of(file).list("view")
    return Path(file.path).exists()


def storage_of(file: RemoteFile) -> TableStorage:
    found: TableStorage = file.fetch.__self__  # type: ignore[attr-defined]
    return found


def test_a_file_that_was_changed_since_its_commit_is_refused(tables: Tables) -> None:
    [file] = tables.commit(made(tables), [write(tables, "view", "2026-01-01", 1)], [], seam(1), PROPERTIES).files
    data = bytearray(Path(checked(file)).read_bytes())
    other = replace(file, path=f"{file.path}.copy")
    data[len(data) // 2] ^= 1
    if isinstance(file, RemoteFile):
        storage_of(file).write(other.path, bytes(data))
        Path(checked(file)).unlink()  # a copy would do as well as what is stored
    else:
        Path(other.path).write_bytes(data)
    with pytest.raises(Corrupt, match="not as it was committed"):
        checked(other)
    with pytest.raises(Corrupt, match="not as it was committed"):
        checked(replace(file, length=file.length + 1, sha256=""))
    with pytest.raises(Missing):
        checked(replace(file, path=f"{file.path}.gone"))


def test_files_seam_and_properties_change_together(tables: Tables) -> None:
    base = made(tables)
    file = write(tables, "view", "2026-01-01", 1, 2)
    after = tables.commit(base, [file], [], seam(5), PROPERTIES)
    assert after.token != base.token
    assert (after.seam, told(after), after.properties) == (seam(5), [as_told(file)], PROPERTIES)
    assert after.files[0].sha256 == hashlib.sha256(Path(checked(after.files[0])).read_bytes()).hexdigest()
    assert tables.load("view") == after
    assert counts(after) == [1, 2]


def test_files_are_replaced_in_one_step(tables: Tables) -> None:
    one, two = (write(tables, "view", f"2026-01-0{d}", d) for d in (1, 2))
    base = tables.commit(made(tables), [one, two], [], seam(1), PROPERTIES)
    new, more = write(tables, "view", "2026-01-01", 1, 11), write(tables, "view", "2026-01-03", 3)
    after = tables.commit(base, [new, more], base.files[:1], seam(2), {})
    assert counts(tables.load("view")) == [1, 2, 3, 11]
    assert (told(after), after.properties) == ([as_told(two), as_told(new), as_told(more)], {})
    assert counts(base) == [1, 2], "a reader's older plan is still readable"
    emptied = tables.commit(after, [], after.files, seam(3), {})
    assert (emptied.files, emptied.seam) == ((), seam(3))
    assert tables.load("view") == emptied


def test_a_seam_moves_without_files(tables: Tables) -> None:
    base = tables.commit(made(tables), [write(tables, "view", "2026-01-01", 1)], [], seam(1), PROPERTIES)
    after = tables.commit(base, [], [], seam(2), PROPERTIES)
    assert tables.load("view") == after
    assert (after.seam, after.files) == (seam(2), base.files)
    restated = tables.commit(after, [], [], seam(2), PROPERTIES)
    assert restated.token != after.token, "an empty commit fences those that started before it"
    with pytest.raises(Conflict):
        tables.commit(after, [], [], seam(3), PROPERTIES)


def test_of_two_runs_at_one_seam_one_lands(tables: Tables) -> None:
    base = made(tables)
    mine, other = write(tables, "view", "2026-01-01", 1), write(tables, "view", "2026-01-01", 1)
    after = tables.commit(base, [mine], [], seam(1), PROPERTIES)
    for _ in range(2):
        with pytest.raises(Conflict, match="view"):
            tables.commit(base, [other], [], seam(1), PROPERTIES)
    assert tables.load("view") == after
    assert counts(after) == [1]


def test_a_table_that_was_made_again_is_another_one(tables: Tables) -> None:
    base = made(tables)
    later = tables.commit(base, [write(tables, "view", "2026-01-01", 1)], [], seam(1), PROPERTIES)
    tables.drop("view")
    tables.drop("view")
    assert tables.load("view") is None
    assert not is_there(later.files[0])
    with pytest.raises(Conflict):
        tables.commit(base, [], [], seam(2), PROPERTIES)
    again = made(tables)
    for old in (base, later):
        with pytest.raises(Conflict):
            tables.commit(old, [], [], seam(2), PROPERTIES)
    assert tables.load("view") == again


def test_files_that_are_not_there_cannot_be_removed(tables: Tables) -> None:
    base = tables.commit(made(tables), [write(tables, "view", "2026-01-01", 1)], [], seam(1), PROPERTIES)
    stranger = write(tables, "view", "2026-01-02", 2)
    for add, remove in (([], [stranger]), ([base.files[0]], []), ([stranger, stranger], [])):
        with pytest.raises(Corrupt):
            tables.commit(base, add, remove, seam(2), PROPERTIES)
    assert tables.load("view") == base


def test_a_crash_before_the_commit_changes_nothing(tables: Tables) -> None:
    base = tables.commit(made(tables), [write(tables, "view", "2026-01-01", 1)], [], seam(1), PROPERTIES)
    write(tables, "view", "2026-01-02", 2)
    assert tables.load("view") == base
    assert counts(tables.load("view")) == [1]


def test_new_files_have_new_paths_and_a_folder(tables: Tables) -> None:
    made(tables)
    paths = [tables.new_file("view", day) for day in ("2026-01-01", "2026-01-01", "")]
    assert len(set(paths)) == 3
    assert all(Path(path).parent.is_dir() and path.endswith(".parquet") and "=" not in path for path in paths)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_table_is_named_like_a_folder(tables: Tables, name: str) -> None:
    with pytest.raises(ConfigError):
        tables.create(name, COLUMNS, None)


def test_tables_without_partitions(tables: Tables) -> None:
    base = tables.create("plain.view-1", COLUMNS, None)
    base = tables.commit(base, [write(tables, "plain.view-1", "", 1)], [], seam(1), PROPERTIES)
    after = tables.commit(base, [write(tables, "plain.view-1", "", 1, 2)], base.files, seam(2), PROPERTIES)
    assert tables.load("plain.view-1") == after
    assert counts(after) == [1, 2]


def test_the_files_of_the_newest_snapshots_stay_and_older_ones_go(tables: Tables) -> None:
    snapshots = [made(tables)]
    for n in range(1, 3 * KEEP):
        file = write(tables, "view", "2026-01-01", n)
        snapshots.append(tables.commit(snapshots[-1], [file], snapshots[-1].files, seam(n), PROPERTIES))
    there = [all(map(is_there, snapshot.files)) for snapshot in snapshots]
    assert there[-KEEP:] == [True] * KEEP
    assert there[1:-KEEP] == [False] * (len(snapshots) - KEEP - 1)


def test_tables_do_not_mix(tables: Tables) -> None:
    one, two = made(tables, "one"), made(tables, "two")
    after = tables.commit(one, [write(tables, "one", "2026-01-01", 1)], [], seam(1), PROPERTIES)
    assert tables.load("two") == two
    tables.drop("two")
    assert tables.load("one") == after


@pytest.mark.parametrize("make", [MemoryTables, IcebergTables])
def test_looking_changes_nothing(tmp_path: Path, make: Callable[[Path], Tables]) -> None:
    assert make(tmp_path / "tables").load("view") is None
    assert list(tmp_path.iterdir()) == []
