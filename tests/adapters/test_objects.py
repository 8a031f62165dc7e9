"""The behaviour of object storage: names once, durable, checked."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from shardlake.adapters import local_objects
from shardlake.adapters.local_objects import LocalObjects
from shardlake.core.errors import ConfigError, Conflict, Corrupt, Missing, Transient
from shardlake.core.journal.rows import ObjectRef

OBJECTS: Mapping[str, bytes | memoryview] = {"segment.parquet": b"abc", "empty": b"", "view": memoryview(b"xyz")}


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "not" / "there", sync=False)


@pytest.mark.parametrize("sync", [False, True])
def test_what_is_put_can_be_got(tmp_path: Path, sync: bool) -> None:
    store = LocalObjects(tmp_path / "objects", sync=sync)
    refs = store.put("lane/0001/7-x", OBJECTS)
    assert {name: store.get(ref) for name, ref in refs.items()} == {n: bytes(data) for n, data in OBJECTS.items()}
    assert refs["segment.parquet"].name == "lane/0001/7-x/segment.parquet"
    assert refs["segment.parquet"].length == 3
    assert refs["empty"].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Path(store.path(refs["view"])).read_bytes() == b"xyz"


def test_the_names_are_flushed_with_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def fsync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().as_posix().removeprefix(f"{tmp_path}"))

    monkeypatch.setattr(os, "fsync", fsync)
    LocalObjects(tmp_path / "o").put("a/b", {"x": b"1"})
    assert flushed == ["", "/o", "/o/a", "/o/a/b/x", "/o/a/b"]


def test_a_name_is_used_once(store: LocalObjects) -> None:
    refs = store.put("f", {"b": b"1"})
    with pytest.raises(Conflict, match="exists"):
        store.put("f", {"a": b"2", "b": b"2"})
    assert store.get(refs["b"]) == b"1"
    assert store.list("") == ["f/b"]


def test_a_missing_object_is_missing(store: LocalObjects) -> None:
    (ref,) = store.put("f", {"a": b"1"}).values()
    store.path(ref)
    store.delete([ref.name])
    for read in (store.get, store.path):
        with pytest.raises(Missing, match="f/a"):
            read(ref)


@pytest.mark.parametrize("damage", [b"1234567x", b"1234", b""])
def test_a_damaged_object_is_corrupt(store: LocalObjects, damage: bytes) -> None:
    (ref,) = store.put("f", {"a": b"12345678"}).values()
    Path(store.path(ref)).write_bytes(damage)
    other = LocalObjects(Path(store.path(ref)).parents[1] if len(damage) == 8 else store._root, sync=False)
    for read in (other.get, other.path):
        with pytest.raises(Corrupt, match="f/a"):
            read(ref)


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


def test_listing_is_ordered_and_by_prefix(store: LocalObjects) -> None:
    assert store.list("a/") == []
    for folder in ("b", "a/2", "a/1", "a/10"):
        store.put(folder, {"y": b"1", "x": b"1"})
    assert store.list("") == ["a/1/x", "a/1/y", "a/10/x", "a/10/y", "a/2/x", "a/2/y", "b/x", "b/y"]
    assert store.list("a/1") == ["a/1/x", "a/1/y", "a/10/x", "a/10/y"]
    assert store.list("a/1/") == ["a/1/x", "a/1/y"]


def test_deleting_passes_over_what_is_not_there(store: LocalObjects) -> None:
    store.put("f/g", {"a": b"1", "b": b"1"})
    store.delete(["f/g/a", "f/g/none", "none/none"])
    assert store.list("") == ["f/g/b"]
    store.delete(["f/g/b"])
    assert not (store._root / "f" / "g").exists()
    store.put("f/g", {"c": b"1"})
    assert store.list("") == ["f/g/c"]


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


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../../b"])
def test_a_name_cannot_leave_the_folder(store: LocalObjects, folder: str) -> None:
    with pytest.raises(ConfigError, match="leaves"):
        store.put(folder, {"a": b"1"})
