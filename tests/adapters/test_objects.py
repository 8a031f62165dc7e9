"""The behaviour of object storage, over every adapter: names once, durable, checked."""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shardlake.adapters import local_objects
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.local_objects import LocalObjects
from shardlake.core.errors import ConfigError, Conflict, Corrupt, Missing, Transient
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import ObjectStore

if TYPE_CHECKING:
    from tests.s3.standin import StandIn

OBJECTS: Mapping[str, bytes | memoryview] = {"segment.parquet": b"abc", "empty": b"", "view": memoryview(b"xyz")}


@dataclass(frozen=True)
class Kept:
    """A store, how another process opens the same one, and a way to put other bytes under a name."""

    store: ObjectStore
    other: Callable[[], ObjectStore]
    overwrite: Callable[[str, bytes], None]


def kept_in_a_folder(folder: Path) -> Kept:
    def open_again() -> ObjectStore:
        return LocalObjects(folder, sync=False)

    return Kept(open_again(), open_again, lambda name, data: void((folder / name).write_bytes(data)))


def kept_in_s3(folder: Path, s3: "StandIn") -> Kept:
    from shardlake.adapters.s3.cache import Cache, CacheSettings
    from shardlake.adapters.s3.objects import S3Objects

    place, caches = s3.new_place("some/where"), count()

    def open_elsewhere() -> ObjectStore:
        settings = CacheSettings(folder / f"cache{next(caches)}")
        return S3Objects(s3.client(), place, Cache(settings, SystemClock()))

    def overwrite(name: str, data: bytes) -> None:
        s3.client().put_object(Bucket=place.bucket, Key=place.key(name), Body=data)

    return Kept(open_elsewhere(), open_elsewhere, overwrite)


def void(_: object) -> None:
    return None


@pytest.fixture(params=["local", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    folder = tmp_path / "not" / "there"
    return kept_in_a_folder(folder) if request.param == "local" else kept_in_s3(folder, request.getfixturevalue("s3"))


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "not" / "there", sync=False)


# ------------------------------------------------------------------------------------------ of every adapter


def test_what_is_put_can_be_got(kept: Kept) -> None:
    refs = kept.store.put("lane/0001/7-x", OBJECTS)
    for store in (kept.store, kept.other()):
        assert {name: store.get(ref) for name, ref in refs.items()} == {n: bytes(d) for n, d in OBJECTS.items()}
        assert Path(store.path(refs["view"])).read_bytes() == b"xyz"
    assert refs["segment.parquet"].name == "lane/0001/7-x/segment.parquet"
    assert refs["segment.parquet"].length == 3
    assert refs["empty"].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_name_is_used_once(kept: Kept) -> None:
    refs = kept.store.put("f", {"b": b"1"})
    for again in (b"2", b"1"):
        with pytest.raises(Conflict, match="exists"):
            kept.store.put("f", {"a": b"2", "b": again})
    assert kept.store.get(refs["b"]) == b"1"
    assert kept.store.list("") == ["f/b"]


def test_a_missing_object_is_missing(kept: Kept) -> None:
    (ref,) = kept.store.put("f", {"a": b"1"}).values()
    kept.store.path(ref)
    kept.store.delete([ref.name])
    for read in (kept.other().get, kept.other().path):
        with pytest.raises(Missing, match="f/a"):
            read(ref)


@pytest.mark.parametrize("damage", [b"1234567x", b"1234", b""])
def test_a_damaged_object_is_corrupt(kept: Kept, damage: bytes) -> None:
    (ref,) = kept.store.put("f", {"a": b"12345678"}).values()
    kept.store.path(ref)
    kept.overwrite(ref.name, damage)
    for read in (kept.other().get, kept.other().path):
        with pytest.raises(Corrupt, match="f/a"):
            read(ref)


def test_listing_is_ordered_and_by_prefix(kept: Kept) -> None:
    store = kept.store
    assert store.list("a/") == []
    for folder in ("b", "a/2", "a/1", "a/10"):
        store.put(folder, {"y": b"1", "x": b"1"})
    assert store.list("") == ["a/1/x", "a/1/y", "a/10/x", "a/10/y", "a/2/x", "a/2/y", "b/x", "b/y"]
    assert store.list("a/1") == ["a/1/x", "a/1/y", "a/10/x", "a/10/y"]
    assert store.list("a/1/") == ["a/1/x", "a/1/y"]


def test_deleting_passes_over_what_is_not_there(kept: Kept) -> None:
    kept.store.put("f/g", {"a": b"1", "b": b"1"})
    kept.store.delete(["f/g/a", "f/g/none", "none/none"])
    assert kept.store.list("") == ["f/g/b"]
    kept.store.delete([])
    kept.store.delete(["f/g/b"])
    assert kept.store.list("") == []
    kept.store.put("f/g", {"c": b"1"})
    assert kept.store.list("") == ["f/g/c"]


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../../b"])
def test_a_name_cannot_leave_its_place(kept: Kept, folder: str) -> None:
    with pytest.raises(ConfigError, match="leaves"):
        kept.store.put(folder, {"a": b"1"})


# ------------------------------------------------------------------------------------------ of the local disk


def test_what_is_put_durably_can_be_got(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path / "objects")
    refs = store.put("f", OBJECTS)
    assert store.get(refs["view"]) == b"xyz"


def test_the_names_are_flushed_with_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def fsync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().as_posix().removeprefix(f"{tmp_path}"))

    monkeypatch.setattr(os, "fsync", fsync)
    LocalObjects(tmp_path / "o").put("a/b", {"x": b"1"})
    assert flushed == ["", "/o", "/o/a", "/o/a/b/x", "/o/a/b"]


def test_a_hash_is_computed_once(store: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    (ref,) = store.put("f", {"a": b"1"}).values()
    counted: list[Path] = []
    real = local_objects._digest

    def digest(file: Path) -> str:
        counted.append(file)
        return real(file)

    monkeypatch.setattr(local_objects, "_digest", digest)
    for _ in range(3):
        store.path(ref)
    assert len(counted) == 1
    with pytest.raises(Corrupt):
        store.path(ObjectRef(ref.name, ref.length, "0" * 64))


def test_the_names_that_were_checked_are_bounded(store: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_objects, "CHECKED_MAX", 3)
    refs = store.put("f", {str(n): b"1" for n in range(10)})
    for ref in refs.values():
        store.path(ref)
    assert list(store._checked) == [refs[str(n)] for n in (7, 8, 9)]


def test_a_folder_goes_with_its_last_object(store: LocalObjects) -> None:
    store.put("f/g", {"a": b"1"})
    store.delete(["f/g/a"])
    assert not (store._root / "f" / "g").exists()
    store.put("f/g", {"a": b"1"})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_transient_and_leaves_nothing(
    store: LocalObjects, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store._sync = True
    flushed = 0

    def fsync(handle: int) -> None:
        nonlocal flushed
        flushed += 1
        if flushed == 5:  # the second file: the root's parents and the folder come before
            raise OSError(code, os.strerror(code))

    store.put("f", {"before": b"0"})
    monkeypatch.setattr(os, "fsync", fsync)
    flushed = 3
    with pytest.raises(Transient, match=os.strerror(code)):
        store.put("f", {"a": b"1", "b": b"2"})
    assert store.list("") == ["f/before"]
    store.put("f", {"a": b"1", "b": b"2"})
    assert store.list("") == ["f/a", "f/b", "f/before"]


def test_a_forbidden_folder_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="cannot"):
        LocalObjects(tmp_path / "file" / "objects").put("f", {"a": b"1"})
