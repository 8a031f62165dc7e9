"""The files of batch tables below a place in S3; data files are read through the local cache."""

import errno
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from shardlake.adapters.s3.bucket import Bucket
from shardlake.adapters.s3.cache import Cache
from shardlake.adapters.s3.place import SCHEME, Place
from shardlake.adapters.table_files import RemoteFile, data_name, digest
from shardlake.core.errors import Conflict, Corrupt, Missing, ShardlakeError
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import Snapshot, TableFile

MEMORY_BYTES: Final = 16 << 20
_OTHER_SCHEMES: Final = ("s3a://", "s3n://")  # as Hadoop's engines write it


class S3Storage:
    """Files below a place. A new data file is written in the cache's folder, and uploaded by its commit.

    Of metadata files, which never change, the latest are remembered: PyIceberg reads each of them several times.
    """

    def __init__(self, client: Any, place: Place, cache: Cache) -> None:
        self._bucket, self._place, self._cache = Bucket(client, place.bucket), place, cache
        self._memory = _Memory()

    @property
    def root(self) -> str:
        """The place's URL."""
        return self._place.url

    def read(self, location: str) -> bytes:
        """Read a file whole. Raises: FileNotFoundError, Transient, ConfigError."""
        key = self._key(location)
        found = self._memory.get(key)
        if found is not None:
            return found
        try:
            return self._memory.keep(key, self._bucket.read(key))
        except Missing as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), location) from error

    def create(self, location: str, data: bytes) -> None:
        """Write a file that is not there yet. Raises: FileExistsError, Transient, ConfigError."""
        try:
            self._bucket.create(self._key(location), data, hashlib.sha256(data).hexdigest())
        except Conflict as error:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), location) from error
        self._memory.keep(self._key(location), data)

    def write(self, location: str, data: bytes) -> None:
        """Write a file, whatever is there. Raises: Transient, ConfigError."""
        self._memory.forget(self._key(location))
        self._bucket.write(self._key(location), data, hashlib.sha256(data).hexdigest())
        self._memory.keep(self._key(location), data)

    def remove(self, locations: Iterable[str]) -> None:
        """Remove files as far as that works now."""
        with suppress(ShardlakeError):
            keys = [self._key(location) for location in locations]
            self._memory.forget(*keys)
            self._bucket.delete(keys)

    def list(self, table: str) -> set[str]:
        """Give the locations of all files of a table. Raises: Transient, ConfigError."""
        return {self._bucket.url(found.key) for found in self._bucket.list(self._place.below(table).prefix)}

    def drop(self, table: str) -> None:
        """Remove all files of a table. Raises: Transient, ConfigError."""
        keys = [found.key for found in self._bucket.list(self._place.below(table).prefix)]
        self._memory.forget(*keys)
        self._bucket.delete(keys)

    def holds(self, location: str) -> bool:
        """Tell whether a location is below the place."""
        return self.plain(location).startswith(f"{self.root}/")

    def plain(self, location: str) -> str:
        """Write a location with the scheme that is used here."""
        for scheme in _OTHER_SCHEMES:
            location = location.replace(scheme, SCHEME, 1) if location.startswith(scheme) else location
        return location

    def new_file(self, table: str, partition: str) -> str:
        """Give a local path; table and partition come with the file's commit."""
        del table, partition
        return f"{self._cache.aside()}.parquet"

    def listed(self, table: str, file: TableFile) -> TableFile:
        """Give a local file its location and its hash. Raises: FileNotFoundError."""
        if self.holds(file.path):
            return file
        name = data_name(table, file.partition, Path(file.path).stem)
        return replace(file, path=f"{self.root}/{name}", sha256=digest(file.path))

    def publish(self, file: TableFile, path: str) -> None:
        """Upload a file, and keep a copy in the cache. Raises: Conflict, Transient, ConfigError.

        Its name was drawn here, so what is there already is what an earlier attempt has uploaded.
        """
        with Path(path).open("rb") as data:
            self._bucket.create(self._key(file.path), data, file.sha256, again=True)
        aside = self._cache.aside()
        with suppress(OSError, ShardlakeError):  # without a copy it is fetched
            os.link(path, aside)
            self._cache.adopt(_ref(file), aside)

    def discard(self, path: str) -> None:
        """Remove a local file that was published."""
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)

    def readable(self, snapshot: Snapshot) -> Snapshot:
        """Give a snapshot whose files are fetched when they are read."""
        return replace(snapshot, files=tuple(map(self._remote, snapshot.files)))

    def _remote(self, file: TableFile) -> RemoteFile:
        told = (file.path, file.rows, file.length, file.partition, file.windows, file.sha256)
        return RemoteFile(*told, fetch=self._fetch)

    def _fetch(self, file: TableFile) -> str:
        try:
            return self._cache.path(_ref(file), partial(self._bucket.download, self._key(file.path)))
        except Missing as error:
            raise Missing(f"batch file {file.path} is gone: plan again") from error
        except Corrupt as error:
            raise Corrupt(
                f"batch file {file.path} is not as it was committed: restore it, or rebuild its view"
            ) from error

    def _key(self, location: str) -> str:
        if not self.holds(location):
            raise Corrupt(f"{location} is not below {self.root}, where its table is: rebuild the table")
        return self.plain(location)[len(self._bucket.url("")) :]


class _Memory:
    """The latest files, of at most `MEMORY_BYTES` together."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._size = 0

    def get(self, key: str) -> bytes | None:
        return self._files.get(key)

    def keep(self, key: str, data: bytes) -> bytes:
        self.forget(key)
        self._files[key] = data
        self._size += len(data)
        while self._size > MEMORY_BYTES:
            self.forget(next(iter(self._files)))
        return data

    def forget(self, *keys: str) -> None:
        for key in keys:
            self._size -= len(self._files.pop(key, b""))


def _ref(file: TableFile) -> ObjectRef:
    return ObjectRef(file.path, file.length, file.sha256)
