"""The behaviour of the storages of batch tables: whole files by location, on the local disk and in S3."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.table_files import checked
from shardlake.adapters.table_storage import LocalStorage, TableStorage
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.seam import NOTHING

if TYPE_CHECKING:
    from tests.s3.standin import StandIn


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> TableStorage:
    if request.param == "local":
        return LocalStorage(tmp_path / "tables", sync=False)
    from shardlake.adapters.s3.cache import Cache, CacheSettings
    from shardlake.adapters.s3.tables import S3Storage

    server: StandIn = request.getfixturevalue("s3")
    return S3Storage(server.client(), server.new_place("tables"), Cache(CacheSettings(tmp_path), SystemClock()))


def test_a_file_is_created_once_and_written_often(storage: TableStorage) -> None:
    location = f"{storage.root}/view/metadata/a.json"
    with pytest.raises(FileNotFoundError):
        storage.read(location)
    storage.create(location, b"1")
    with pytest.raises(FileExistsError):
        storage.create(location, b"2")
    assert storage.read(location) == b"1"
    storage.write(location, b"3")
    storage.write(f"{location}.new", b"4")
    assert (storage.read(location), storage.read(f"{location}.new")) == (b"3", b"4")


def test_files_are_listed_and_removed_by_table(storage: TableStorage) -> None:
    names = [f"{storage.root}/{name}" for name in ("view/data/a", "view/b", "view2/c")]
    for name in names:
        storage.create(name, b"1")
    assert storage.list("view") == set(names[:2])
    storage.remove([names[0], f"{storage.root}/view/none"])
    assert storage.list("view") == {names[1]}
    storage.drop("view")
    storage.drop("view")
    assert (storage.list("view"), storage.list("view2")) == (set(), {names[2]})
    with pytest.raises(FileNotFoundError):
        storage.read(names[1])


def test_a_location_is_below_the_root_or_not(storage: TableStorage) -> None:
    assert storage.holds(f"{storage.root}/view/x")
    assert not storage.holds(f"{storage.root}2/view/x")
    assert storage.plain(f"{storage.root}/view/x") == f"{storage.root}/view/x"


def test_a_data_file_is_published_once_under_the_location_that_it_was_listed_with(storage: TableStorage) -> None:
    path = storage.new_file("view", "2026-01-01")
    Path(path).write_bytes(b"rows")
    listed = storage.listed("view", TableFile(path, 1, 4, "2026-01-01"))
    assert listed.path == f"{storage.root}/view/data/2026-01-01/{Path(listed.path).name}"
    for _ in range(2):
        storage.publish(listed, path)
    storage.discard(path)
    [file] = storage.readable(Snapshot("view", "1", NOTHING, (listed,))).files
    assert Path(checked(file)).read_bytes() == b"rows"
    assert storage.list("view") == {listed.path}
