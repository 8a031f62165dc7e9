"""The local cache: whole files, checked, bounded, shared by processes."""

import errno
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from shardlake.adapters.s3.cache import Cache, CacheSettings
from shardlake.core.errors import Corrupt, Transient
from shardlake.core.journal.rows import ObjectRef
from shardlake.testing.clock import ManualClock


@dataclass
class Shop:
    """A cache of at most 1000 bytes, which keeps what was asked for in the last 100 s, and what was fetched for it."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = self.other()

    def other(self) -> Cache:
        """The cache as another process has it."""
        return Cache(CacheSettings(self.folder, bytes_max=1000, kept_s=100.0), self.clock)

    def fill(self, data: bytes) -> Callable[[BinaryIO], None]:
        def write(file: BinaryIO) -> None:
            self.fetched.append(data[:8].decode())
            file.write(data)

        return write

    def path(self, data: bytes, cache: Cache | None = None) -> Path:
        return Path((cache or self.cache).path(ref_of(data), self.fill(data)))

    def files(self) -> set[str]:
        return {path.name for path in self.folder.glob("??/*")}


def ref_of(data: bytes) -> ObjectRef:
    return ObjectRef(f"f/{data[:8].decode()}", len(data), hashlib.sha256(data).hexdigest())


def numbered(n: int, size: int = 100) -> bytes:
    return f"{n:08d}".encode() + b"x" * (size - 8)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "not" / "there")


def test_what_was_fetched_once_is_there_for_every_process(shop: Shop) -> None:
    first = shop.path(b"abc")
    assert first == shop.path(b"abc", shop.other())
    assert first.name == hashlib.sha256(b"abc").hexdigest()
    assert first.read_bytes() == b"abc"
    assert shop.fetched == ["abc"]


def test_bytes_are_kept_as_files_are(shop: Shop) -> None:
    assert shop.cache.data(ref_of(b"abc"), lambda: b"abc") == b"abc"
    assert shop.path(b"abc").read_bytes() == b"abc"
    assert shop.cache.data(ref_of(b"abc"), lambda: pytest.fail("it is there")) == b"abc"
    assert shop.fetched == []


@pytest.mark.parametrize("damage", [b"abd", b"ab", b""])
def test_a_damaged_copy_is_fetched_again(shop: Shop, damage: bytes) -> None:
    shop.path(b"abc").write_bytes(damage)
    assert shop.cache.data(ref_of(b"abc"), lambda: b"abc") == b"abc"
    shop.path(b"abc").write_bytes(damage)
    assert shop.path(b"abc", shop.other()).read_bytes() == b"abc"
    assert shop.fetched == ["abc", "abc"]


@pytest.mark.parametrize("found", [b"abd", b"ab"])
def test_what_is_not_as_the_reference_says_is_corrupt_and_not_kept(shop: Shop, found: bytes) -> None:
    with pytest.raises(Corrupt, match="f/abc"):
        shop.cache.path(ref_of(b"abc"), shop.fill(found))
    with pytest.raises(Corrupt, match="f/abc"):
        shop.cache.data(ref_of(b"abc"), lambda: found)
    assert [path for path in shop.folder.rglob("*") if path.is_file()] == []


def test_a_hash_is_computed_once_per_process(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from shardlake.adapters.s3 import cache

    shop.path(b"abc")
    counted: list[Path] = []
    real = cache._digest

    def digest(path: Path) -> str:
        counted.append(path)
        return real(path)

    monkeypatch.setattr(cache, "_digest", digest)
    other = shop.other()
    for _ in range(3):
        shop.path(b"abc", other)
    assert len(counted) == 1


def test_a_file_of_which_only_the_name_is_known_is_kept_by_it(shop: Shop) -> None:
    ref = ObjectRef("s3://b/t/data/x.parquet", 3, "")
    path = Path(shop.cache.path(ref, shop.fill(b"abc")))
    assert path.read_bytes() == b"abc"
    assert shop.cache.path(ref, shop.fill(b"abc")) == str(path)
    assert shop.fetched == ["abc"]


def test_a_local_file_is_taken_over(shop: Shop) -> None:
    written = shop.cache.aside()
    written.write_bytes(b"abc")
    shop.cache.adopt(ref_of(b"abc"), written)
    assert not written.exists()
    assert shop.path(b"abc").read_bytes() == b"abc"
    assert shop.fetched == []


def test_what_was_not_asked_for_the_longest_goes_first(shop: Shop) -> None:
    paths = {}
    for n in range(10):
        paths[n] = shop.path(numbered(n))
        shop.clock.advance(1)
    shop.clock.advance(200)
    shop.path(numbered(0))
    shop.clock.advance(150)
    shop.path(numbered(10))
    assert {n for n, path in paths.items() if not path.exists()} == {1}
    assert shop.path(numbered(10)).exists()


def test_what_was_asked_for_lately_stays_even_beyond_the_bound(shop: Shop) -> None:
    paths = [shop.path(numbered(n)) for n in range(30)]
    assert all(path.exists() for path in paths)
    shop.clock.advance(101)
    shop.path(numbered(30))
    assert len(shop.files()) == 10
    assert shop.path(numbered(30)).exists()


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_whoever_asks_for_what(shop: Shop, seed: int) -> None:
    drawn, caches = random.Random(seed), [shop.other() for _ in range(3)]
    for _ in range(300):
        shop.path(numbered(drawn.randrange(60), drawn.choice([10, 60, 100])), drawn.choice(caches))
        shop.clock.advance(drawn.choice([1, 20, 110]))
    held = sum(path.stat().st_size for path in shop.folder.glob("??/*"))
    lately = 100 * (100 + 60)  # of the last 160 s at most, a file a second
    assert held <= 1000 + 3 * 1000 // 16 + lately // 10
    assert held > 500


def test_unfinished_files_of_dead_processes_go_after_a_day(shop: Shop) -> None:
    left, busy = shop.cache.aside(), shop.cache.aside()
    for path, age_s in ((left, 90_000), (busy, 80_000)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)
    shop.path(b"abc")
    assert (left.exists(), busy.exists()) == (False, True)


def test_a_fetch_that_fails_leaves_nothing(shop: Shop) -> None:
    def breaks(file: BinaryIO) -> None:
        file.write(b"ab")
        raise Transient("the line went dead")

    with pytest.raises(Transient, match="dead"):
        shop.cache.path(ref_of(b"abc"), breaks)
    assert [path for path in shop.folder.rglob("*") if path.is_file()] == []
    assert shop.path(b"abc").read_bytes() == b"abc"


def test_a_full_disk_keeps_no_bytes_and_still_gives_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert shop.cache.data(ref_of(b"abc"), lambda: b"abc") == b"abc"
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(Transient, match="No space"):
        shop.path(b"abc")


def test_many_at_once_get_whole_files(shop: Shop) -> None:
    wrong: list[str] = []

    def work(seed: int) -> None:
        drawn, cache = random.Random(seed), shop.other()
        for _ in range(60):
            data = numbered(drawn.randrange(20), 90)
            if Path(cache.path(ref_of(data), shop.fill(data))).read_bytes() != data:
                wrong.append(data[:8].decode())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(shop.files()) == 20
