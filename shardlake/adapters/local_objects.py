"""Object storage in a folder of the local disk."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from shardlake.adapters.disk import make_folder, sync_folder, translated
from shardlake.core.errors import ConfigError, Conflict, Corrupt, Missing
from shardlake.core.journal.rows import ObjectRef

CHECKED_MAX: Final = 65_536  # references whose hash is not computed again; about 20 MB
MADE_MAX: Final = 4_096


class LocalObjects:
    """Objects as files under `root`, which need not exist. `sync=False` gives up durability, for tests."""

    def __init__(self, root: str | Path, *, sync: bool = True) -> None:
        self._root = Path(root).absolute()
        self._sync = sync
        self._checked: dict[ObjectRef, None] = {}
        self._made: set[Path] = set()

    def put(self, folder: str, objects: Mapping[str, bytes | memoryview]) -> Mapping[str, ObjectRef]:
        """Create `folder/name` for each object, durably. Raises: Conflict if a name exists, Transient, ConfigError."""
        put: dict[str, ObjectRef] = {}
        try:
            for name, data in objects.items():
                full = f"{folder}/{name}"
                self._create(self._file(full), data)
                put[name] = ObjectRef(full, memoryview(data).nbytes, hashlib.sha256(data).hexdigest())
            self._flush_names({self._file(ref.name).parent for ref in put.values()})
        except BaseException:
            self._withdraw([ref.name for ref in put.values()])
            raise
        return put

    def get(self, ref: ObjectRef) -> bytes:
        """Read an object whole. Raises: Corrupt if its length or hash differs, Missing if it is not there."""
        try:
            with translated(f"read object {ref.name}"):
                data = self._file(ref.name).read_bytes()
        except FileNotFoundError as error:
            raise _missing(ref) from error
        _check(ref, len(data), hashlib.sha256(data).hexdigest())
        return data

    def fetch(self, refs: Iterable[ObjectRef]) -> None:
        """Do nothing: they are near."""

    def path(self, ref: ObjectRef) -> str:
        """Give the local path of an object, whose hash is computed once per process. Raises: as `get`."""
        file = self._file(ref.name)
        try:
            with translated(f"read object {ref.name}"):
                length = file.stat().st_size
                digest = ref.sha256 if ref in self._checked else _digest(file)
        except FileNotFoundError as error:
            raise _missing(ref) from error
        _check(ref, length, digest)
        self._remember(ref)
        return str(file)

    def list(self, prefix: str) -> Sequence[str]:
        """Name the objects whose name begins with `prefix`, in order."""
        top = self._file(prefix.rpartition("/")[0])
        files = (Path(at, file) for at, _, files in os.walk(top) for file in files)
        names = (file.relative_to(self._root).as_posix() for file in files)
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects, and folders that become empty; those that are not there are passed over."""
        with translated("delete objects"):
            for name in names:
                self._file(name).unlink(missing_ok=True)
            for folder in {self._file(name).parent for name in names} - {self._root}:
                _remove_if_empty(folder)

    def _file(self, name: str) -> Path:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise ConfigError(f"object name {name!r} leaves the folder of the objects: use names without '..'")
        return self._root / parts

    def _create(self, file: Path, data: bytes | memoryview) -> None:
        try:
            self._write(file, data)
        except FileNotFoundError:  # a collector may have removed the folder when it became empty
            self._made.discard(file.parent)
            self._write(file, data)
        except FileExistsError as error:
            raise Conflict(f"object {file} exists: a name is never used again, take another") from error

    def _write(self, file: Path, data: bytes | memoryview) -> None:
        self._make(file.parent)
        with translated(f"write object {file}"):
            handle = file.open("xb")
            try:
                with handle:
                    handle.write(data)
                    handle.flush()
                    if self._sync:
                        os.fsync(handle.fileno())
            except BaseException:
                file.unlink(missing_ok=True)
                raise

    def _make(self, folder: Path) -> None:
        if folder in self._made:
            return
        for parent in reversed([folder, *folder.parents]):
            if parent == self._root or self._root in parent.parents:
                make_folder(parent, sync=self._sync)
        if len(self._made) >= MADE_MAX:
            self._made.clear()
        self._made.add(folder)

    def _flush_names(self, folders: set[Path]) -> None:
        if self._sync:
            with translated("flush the folder of the objects"):
                for folder in folders:
                    sync_folder(folder)

    def _withdraw(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self._file(name).unlink(missing_ok=True)
            except OSError:  # the names are never used again, and collection finds what is left
                continue

    def _remember(self, ref: ObjectRef) -> None:
        if ref not in self._checked and len(self._checked) >= CHECKED_MAX:
            del self._checked[next(iter(self._checked))]
        self._checked[ref] = None


def _digest(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check(ref: ObjectRef, length: int, digest: str) -> None:
    if length != ref.length:
        raise Corrupt(f"object {ref.name} has {length} bytes, not {ref.length}: restore it from a backup")
    if digest != ref.sha256:
        raise Corrupt(f"object {ref.name} has SHA-256 {digest}, not {ref.sha256}: restore it from a backup")


def _missing(ref: ObjectRef) -> Missing:
    return Missing(f"object {ref.name} is not there: read the rows again, then plan again")


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # it has files, or is gone
        return
