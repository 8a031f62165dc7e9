"""Local copies of immutable objects, in files named by the SHA-256 of what they hold.

A file appears whole or not at all, so any number of processes may share a folder. Its modified time says when it was
last asked for. When the files hold more than they may, those go first that were not asked for the longest; those that
were asked for lately stay, because a reader may be about to open them.
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from shardlake.adapters.clock import random_name
from shardlake.adapters.disk import make_folder, translated
from shardlake.core.errors import Corrupt, Transient
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import Clock

BYTES_MAX: Final = 10 << 30
KEPT_S: Final = 900.0  # longer than a query or a pass of a batch run takes from asking for a file to opening it
LOOK_SHARE: Final = 16  # the folder is looked through after each sixteenth of its bound that is written
CHECKED_MAX: Final = 65_536  # names whose hash is not computed again
_TOUCHED_S: Final = 60.0
_ASIDE_S: Final = 86_400.0  # a file that is a day old and unfinished is nobody's
_ASIDE: Final = "aside"
_LOCK: Final = "lock"

Fill = Callable[[BinaryIO], None]


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where the cache is, how many bytes it may hold, and for how long (in seconds) what was asked for surely stays."""

    folder: Path
    bytes_max: int = BYTES_MAX
    kept_s: float = KEPT_S


class Cache:
    """A folder of local copies, made when first needed. Safe for several threads and processes."""

    def __init__(self, settings: CacheSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._folder = settings.folder.absolute()
        self._checked: dict[str, None] = {}
        self._lock = threading.Lock()
        self._unseen = settings.bytes_max  # bytes written since the folder was looked through

    def path(self, ref: ObjectRef, fill: Fill) -> str:
        """Give the path of an object's copy, whose hash is computed once per process; `fill` fetches it if need be.

        Raises: as `fill`; Corrupt if what it fetches is not what the reference says; Transient if the disk is full.
        """
        found = self._find(ref)
        return str(found if found is not None else self._fetched(ref, fill))

    def data(self, ref: ObjectRef, fetch: Callable[[], bytes]) -> bytes:
        """Give an object's bytes, checked. Raises: as `fetch`; Corrupt if they are not what the reference says."""
        with suppress(OSError):
            data = self._file(ref).read_bytes()
            if _is(ref, len(data), hashlib.sha256(data).hexdigest()):
                self._touch(self._file(ref))
                return data
        data = fetch()
        _check(ref, len(data), hashlib.sha256(data).hexdigest())
        with suppress(OSError, Transient):  # a full disk is no reason not to answer
            self._put(ref, data)
        return data

    def adopt(self, ref: ObjectRef, path: Path) -> None:
        """Take over a local file, of which the reference is known to be true; it is gone from its old place."""
        with translated(f"keep {path} in the cache"):
            self._settle(ref, path)

    def aside(self) -> Path:
        """Name a new file in the cache's folder, on its disk, for what is not finished yet."""
        make_folder(self._folder / _ASIDE, sync=False)
        return self._folder / _ASIDE / random_name()

    # ---------------------------------------------------------------------------------------------- one file

    def _file(self, ref: ObjectRef) -> Path:
        name = ref.sha256 or f"n{hashlib.sha256(ref.name.encode()).hexdigest()}"  # of what only a name is known
        return self._folder / name[:2] / name

    def _find(self, ref: ObjectRef) -> Path | None:
        file = self._file(ref)
        try:
            length = file.stat().st_size
            known = file.name in self._checked or not ref.sha256
            if _is(ref, length, ref.sha256 if known else _digest(file)):
                self._touch(file)
                self._remember(file)
                return file
        except FileNotFoundError:
            return None
        file.unlink(missing_ok=True)  # a copy that was damaged is fetched again
        return None

    def _fetched(self, ref: ObjectRef, fill: Fill) -> Path:
        path = self.aside()
        try:
            with translated(f"write {path}"), path.open("xb") as file:
                fill(file)
            _check(ref, path.stat().st_size, _digest(path))
            return self._settle(ref, path)
        finally:
            path.unlink(missing_ok=True)

    def _put(self, ref: ObjectRef, data: bytes) -> None:
        path = self.aside()
        try:
            path.write_bytes(data)
            self._settle(ref, path)
        finally:
            path.unlink(missing_ok=True)

    def _settle(self, ref: ObjectRef, path: Path) -> Path:
        file = self._file(ref)
        file.parent.mkdir(parents=True, exist_ok=True)
        path.replace(file)  # before it gets this clock's time, by which an unfinished file might look forgotten
        with suppress(FileNotFoundError):
            self._stamp(file)
        self._remember(file)
        self._make_room(ref.length)
        return file

    def _touch(self, file: Path) -> None:
        if self._clock.now_us() / 1e6 - file.stat().st_mtime > _TOUCHED_S:
            self._stamp(file)

    def _stamp(self, file: Path) -> None:
        now_ns = self._clock.now_us() * 1000
        os.utime(file, ns=(now_ns, now_ns))

    def _remember(self, file: Path) -> None:
        with self._lock:
            if file.name not in self._checked and len(self._checked) >= CHECKED_MAX:
                del self._checked[next(iter(self._checked))]
            self._checked[file.name] = None

    # ----------------------------------------------------------------------------------------- all the files

    def _make_room(self, added: int) -> None:
        """Look through the folder, now and then, and remove what is too much; one process at a time does."""
        self._unseen += added
        if self._unseen <= self._settings.bytes_max // LOOK_SHARE:
            return
        self._unseen = 0
        with self._alone() as alone:
            if alone:
                self._evict()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        with (self._folder / _LOCK).open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def _evict(self) -> None:
        now = self._clock.now_us() / 1e6
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for modified, size, path in files:
            if total <= self._settings.bytes_max or modified > now - self._settings.kept_s:
                break
            with suppress(FileNotFoundError):
                if path.stat().st_mtime == modified:  # nobody asked for it meanwhile
                    path.unlink()
                    total -= size
        os.utime(self._folder / _LOCK)  # unfinished files have the file system's time, and so has this one now
        too_old = (self._folder / _LOCK).stat().st_mtime - _ASIDE_S
        for left in (self._folder / _ASIDE).iterdir():
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < too_old:
                    left.unlink()

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for folder in self._folder.iterdir():
            if folder.name not in (_ASIDE, _LOCK):
                for path in folder.iterdir():
                    with suppress(FileNotFoundError):
                        status = path.stat()
                        yield status.st_mtime, status.st_size, path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is(ref: ObjectRef, length: int, digest: str) -> bool:
    return length == ref.length and ref.sha256 in ("", digest)


def _check(ref: ObjectRef, length: int, digest: str) -> None:
    if length != ref.length:
        raise Corrupt(f"object {ref.name} has {length} bytes, not {ref.length}: restore it from a backup")
    if not _is(ref, length, digest):
        raise Corrupt(f"object {ref.name} has SHA-256 {digest}, not {ref.sha256}: restore it from a backup")
