"""Object storage in a bucket of S3, read through a local cache."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from shardlake.adapters.s3.bucket import Bucket
from shardlake.adapters.s3.cache import Cache
from shardlake.adapters.s3.place import Place
from shardlake.core.errors import ConfigError, Conflict, Missing, ShardlakeError
from shardlake.core.journal.rows import ObjectRef

THREADS: Final = 8  # requests at once: one takes tens of milliseconds, nearly all of them waiting


class S3Objects:
    """Objects below a place. What was read once is read from the cache, even after it was deleted from S3."""

    def __init__(self, client: Any, place: Place, cache: Cache) -> None:
        self._bucket, self._place, self._cache = Bucket(client, place.bucket), place, cache
        self._threads = ThreadPoolExecutor(THREADS, "s3")  # it starts none before they are needed

    def put(self, folder: str, objects: Mapping[str, bytes | memoryview]) -> Mapping[str, ObjectRef]:
        """Create `folder/name` for each object, all at once.

        Raises: Conflict if a name exists; Transient if S3 is out of reach (some of the objects may then exist);
        ConfigError.
        """
        datas = {f"{folder}/{name}": bytes(data) for name, data in objects.items()}
        refs = {full: ObjectRef(full, len(data), hashlib.sha256(data).hexdigest()) for full, data in datas.items()}
        creates = [partial(self._bucket.create, self._key(r.name), datas[r.name], r.sha256) for r in refs.values()]
        done = _errors(self._threads, creates)
        failed = [error for error in done if error is not None]
        if any(isinstance(error, Conflict) for error in failed):
            self._withdraw([ref.name for ref, error in zip(refs.values(), done, strict=True) if error is None])
        if failed:
            raise next((error for error in failed if isinstance(error, Conflict)), failed[0])
        return {name: refs[f"{folder}/{name}"] for name in objects}

    def get(self, ref: ObjectRef) -> bytes:
        """Read an object whole. Raises: Corrupt if length or hash differ, Missing if it is not there, Transient."""
        try:
            return self._cache.data(ref, partial(self._bucket.read, self._key(ref.name)))
        except Missing as error:
            raise _missing(ref) from error

    def path(self, ref: ObjectRef) -> str:
        """Give the path of an object's local copy, whose hash is computed once per process. Raises: as `get`."""
        try:
            return self._cache.path(ref, partial(self._bucket.download, self._key(ref.name)))
        except Missing as error:
            raise _missing(ref) from error

    def fetch(self, refs: Iterable[ObjectRef]) -> None:
        """Bring objects to the cache, several at once, for those who read them one by one. Raises: as `get`."""
        for error in _errors(self._threads, [partial(self._fetch, ref) for ref in refs]):
            if error is not None:
                raise error

    def list(self, prefix: str) -> Sequence[str]:
        """Name the objects whose name begins with `prefix`, in order. Raises: Transient, ConfigError."""
        start = len(self._place.prefix)
        return sorted(found.key[start:] for found in self._bucket.list(self._key(prefix)))

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there are passed over. Raises: Transient, ConfigError."""
        self._bucket.delete([self._key(name) for name in names])

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _fetch(self, ref: ObjectRef) -> None:
        self.path(ref)

    def _key(self, name: str) -> str:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise ConfigError(f"object name {name!r} leaves the place of the objects: use names without '..'")
        return self._place.key(name)

    def _withdraw(self, names: Sequence[str]) -> None:
        """Remove what was put beside a name that is taken; collection finds what is left."""
        with suppress(ShardlakeError):
            self.delete(names)


def _errors(threads: ThreadPoolExecutor, works: Sequence[Callable[[], None]]) -> list[BaseException | None]:
    """Do things at once, and give the error of each."""
    started = [threads.submit(work) for work in works]
    wait(started)
    return [one.exception() for one in started]


def _missing(ref: ObjectRef) -> Missing:
    return Missing(f"object {ref.name} is not there: read the rows again, then plan again")
