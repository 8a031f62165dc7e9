"""Batch tables in S3: what other engines see, and what is left when requests fail."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.s3 import tables
from shardlake.adapters.s3.cache import Cache, CacheSettings
from shardlake.adapters.s3.client import client
from shardlake.adapters.s3.place import Place
from shardlake.adapters.s3.tables import S3Storage
from shardlake.adapters.table_files import checked
from shardlake.adapters.table_reader import TableReader
from shardlake.core.errors import Conflict, Corrupt, Missing, ShardlakeError, Transient
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column
from shardlake.core.seam import Mark, Seam
from shardlake.core.windows import Windows
from tests.s3.standin import Kind, StandIn

COLUMNS = (Column("day", "DATE"), Column("n", "BIGINT"))


@dataclass
class Lake:
    """Tables whose catalog is local and whose files are in S3."""

    server: StandIn
    folder: Path
    place: Place
    opened: list[IcebergTables] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tables = self.open()

    def storage(self, attempts: int = 3) -> S3Storage:
        """The storage as a machine has it that has read nothing."""
        cache = Cache(CacheSettings(self.folder / f"cache{len(self.opened)}"), SystemClock())
        return S3Storage(client(replace(self.server.settings, attempts_max=attempts)), self.place, cache)

    def open(self, attempts: int = 3) -> IcebergTables:
        self.opened.append(IcebergTables(self.folder / "tables", keep=3, sync=False, storage=self.storage(attempts)))
        return self.opened[-1]

    def write(self, *numbers: int, by: IcebergTables | None = None) -> TableFile:
        path = (by or self.tables).new_file("view", "2026-01-01")
        rows = ", ".join(f"(DATE '2026-01-01', {n}::BIGINT)" for n in numbers)
        with duckdb.connect() as db:
            db.execute(f"COPY (FROM (VALUES {rows}) t(day, n)) TO '{path}' (FORMAT parquet)")
        return TableFile(path, len(numbers), Path(path).stat().st_size, "2026-01-01", Windows(5, ((0, 5),)))

    def started(self) -> Snapshot:
        base = self.tables.create("view", COLUMNS, "day")
        return self.tables.commit(base, [self.write(1, 2)], [], seam(1), {"shardlake.positions": "p 1 ab"})

    def loaded(self) -> Snapshot:
        found = self.open().load("view")
        assert found is not None
        return found

    def stored(self) -> set[str]:
        return {location.removeprefix(f"{self.place.url}/view/") for location in self.storage().list("view")}


def seam(n: int) -> Seam:
    return Seam({0: Mark(n, f"commit-{n}")})


def numbers(snapshot: Snapshot) -> list[int]:
    with duckdb.connect() as db:
        paths = [checked(file) for file in snapshot.files]
        return [n for (n,) in db.execute("SELECT n FROM read_parquet($1) ORDER BY n", [paths]).fetchall()]


@pytest.fixture
def lake(s3: StandIn, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(s3, tmp_path, s3.new_place("lake/tables"))
    yield made
    for opened in made.opened:
        opened.close()


def test_another_machine_reads_what_was_committed(lake: Lake) -> None:
    after = lake.started()
    assert {name.partition("/")[0] for name in lake.stored()} == {"data", "metadata", "index"}
    assert not list((lake.folder / "tables").rglob("*.parquet"))
    reader = TableReader(lake.folder / "tables", lake.storage())
    found = reader.load("view")
    assert found == after
    assert numbers(found) == [1, 2]


def test_another_engine_reads_the_same_rows(lake: Lake) -> None:
    base = lake.started()
    lake.tables.commit(base, [lake.write(3)], base.files, seam(2), {})
    given = {"s3.endpoint": lake.server.settings.endpoint, "s3.region": "us-east-1"}
    keys = {"s3.access-key-id": "test", "s3.secret-access-key": "test"}
    uri = f"sqlite:///{lake.folder}/tables/catalog.sqlite"
    catalog = SqlCatalog("shardlake", uri=uri, warehouse=lake.place.url, **given, **keys)
    assert catalog.load_table(("shardlake", "view")).scan().to_arrow()["n"].to_pylist() == [3]
    catalog.engine.dispose()


def test_a_file_that_was_just_written_is_not_fetched_again(lake: Lake) -> None:
    after = lake.started()
    lake.server.forget()
    assert numbers(after) == [1, 2]
    assert lake.server.requests == []
    assert not list((lake.folder / "cache0" / "aside").iterdir())


def test_files_are_fetched_only_when_they_are_read(lake: Lake) -> None:
    lake.started()
    lake.server.forget()
    found = lake.loaded()
    assert lake.server.count("GET", "/data/") == 0
    assert numbers(found) == numbers(found) == [1, 2]
    assert lake.server.count("GET", "/data/") == 1


def test_what_a_commit_has_written_it_does_not_read_again(lake: Lake) -> None:
    base = lake.started()
    lake.server.forget()
    lake.tables.commit(base, [lake.write(3)], base.files, seam(2), {})
    assert lake.server.count("GET") == 0
    assert len(lake.server.requests) <= 8


def test_what_is_remembered_of_metadata_is_bounded(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MEMORY_BYTES", 250)
    storage = lake.storage()
    names = [f"{lake.place.url}/view/metadata/{n}" for n in range(4)]
    for name in names:
        storage.create(name, name.encode().ljust(100))
    storage.write(names[3], b"new")
    storage.remove(names[2:3])
    lake.server.forget()
    assert [storage.read(name).strip() for name in (names[3], names[1])] == [b"new", names[1].encode()]
    assert lake.server.count("GET") == 1
    with pytest.raises(FileNotFoundError):
        storage.read(names[2])


@pytest.mark.parametrize("kind", ["drop", "lose", "error"])
def test_a_commit_gets_through_requests_that_fail_in_passing(lake: Lake, kind: Kind) -> None:
    base = lake.started()
    for holds in ("/data/", "/metadata/", ".json", ".avro"):
        lake.server.fault(kind, "PUT", holds)
    lake.server.fault(kind, "GET", "/metadata/")
    after = lake.open().commit(base, [lake.write(3)], base.files, seam(2), {})
    assert lake.loaded() == after
    assert numbers(after) == [3]


@pytest.mark.parametrize("failing", range(6))
def test_an_upload_that_fails_leaves_the_old_snapshot(lake: Lake, failing: int) -> None:
    base, hasty = lake.started(), lake.open(attempts=1)
    file = lake.write(3, by=hasty)
    before = lake.stored()
    lake.server.fault("pass", "PUT", times=failing)
    lake.server.fault("error", "PUT")
    with pytest.raises(Transient, match="InternalError"):
        hasty.commit(base, [file], base.files, seam(2), {})
    assert lake.loaded() == base
    assert {
        name for name in lake.stored() - before if "/data/" not in f"/{name}" and not name.endswith("metadata.json")
    } == set()
    after = hasty.commit(base, [file], base.files, seam(2), {})
    assert lake.loaded() == after
    assert numbers(after) == [3]


def test_a_clean_up_that_fails_does_not_hide_a_commit(lake: Lake) -> None:
    base, hasty = lake.started(), lake.open(attempts=1)
    lake.server.fault("error", "POST", times=99)
    for n in range(2, 8):
        base = hasty.commit(base, [lake.write(n, by=hasty)], base.files, seam(n), {})
    assert lake.loaded() == base
    stored = len(lake.stored())
    lake.server.faults.clear()
    assert lake.tables.sweep("view") > 8
    assert len(lake.stored()) < stored - 8
    assert numbers(lake.loaded()) == [7]


def test_of_two_runs_at_one_seam_one_lands(lake: Lake) -> None:
    base, other = lake.started(), lake.open()
    after = other.commit(base, [lake.write(3, by=other)], [], seam(2), {})
    with pytest.raises(Conflict):
        lake.tables.commit(base, [lake.write(3)], [], seam(2), {})
    assert lake.loaded() == after
    assert lake.tables.sweep("view") == 0, "the loser had uploaded nothing"


@pytest.mark.parametrize(("damage", "kind"), [(b"other", Corrupt), (None, Missing)])
def test_a_file_that_is_not_as_it_was_committed_is_refused(
    lake: Lake, damage: bytes | None, kind: type[ShardlakeError]
) -> None:
    [file] = lake.started().files
    if damage is None:
        lake.storage().remove([file.path])
    else:
        lake.storage().write(file.path, damage)
    with pytest.raises(kind, match="batch file s3://"):
        numbers(lake.loaded())


def test_a_snapshot_without_a_sidecar_is_read_from_its_manifests(lake: Lake) -> None:
    base = lake.started()
    lake.storage().remove([location for location in lake.storage().list("view") if "/index/" in location])
    found = lake.loaded()
    assert (found.seam, numbers(found)) == (base.seam, [1, 2])
    assert found.files[0].windows is None
    assert TableReader(lake.folder / "tables", lake.storage()).load("view") == found, "it is written again"


def test_a_catalog_does_not_answer_with_files_of_elsewhere(lake: Lake) -> None:
    lake.started()
    lake.place = Place(lake.place.bucket, "other/")
    with pytest.raises(Corrupt, match=r"s3://bucket-\d+/other name their files in s3://bucket-\d+/lake/tables"):
        lake.open().load("view")


def test_locations_as_hadoop_writes_them_are_the_same_files(lake: Lake) -> None:
    storage, location = lake.storage(), f"{lake.place.url}/view/metadata/x"
    storage.create(location, b"1")
    assert storage.read(location.replace("s3://", "s3a://")) == b"1"
    assert storage.plain(location.replace("s3://", "s3n://")) == location
    with pytest.raises(FileExistsError):
        storage.create(location, b"2")
    with pytest.raises(FileNotFoundError):
        storage.read(f"{location}y")
    with pytest.raises(Corrupt, match="is not below"):
        storage.read("s3://another/x")


def test_dropping_removes_a_table_and_no_other(lake: Lake) -> None:
    lake.started()
    made: list[Any] = [lake.tables.create(name, COLUMNS, "day") for name in ("view2", "v")]
    lake.tables.drop("view")
    lake.tables.drop("view")
    assert lake.stored() == set()
    assert [lake.open().load(snapshot.table) for snapshot in made] == made
