"""Log files under a prefix of S3: the store of a file source.

A listing of the whole prefix is the truth, and is made every so often. Between two listings a queue may tell of new
objects: what it tells is only a hint where to look, so lost, repeated, late and false messages do no harm.
"""

import glob
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from shardlake.adapters.s3.body import Body
from shardlake.adapters.s3.bucket import Bucket, Listed
from shardlake.adapters.s3.client import S3Settings, client
from shardlake.adapters.s3.place import SCHEME, Place
from shardlake.adapters.s3.queue import Message, Queue
from shardlake.core.errors import ConfigError, Conflict, Missing, Transient
from shardlake.core.ports import Clock
from streams.sources.listing import DEEP, Found, Gone, Opened, is_hidden, match
from streams.sources.pages import FileRow
from streams.sources.s3_notices import keys_of

RECEIVES_MAX: Final = 10  # in one look
LIST_SHARE: Final = 10  # of the time at most goes into listings, however many objects there are


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a bucket that are meant: what they begin with, and what their parts look like (any of `patterns`).

    >>> Keys.of("s3://logs/cf/E1*.gz")
    Keys(bucket='logs', prefix='cf/E1', patterns=(('cf', 'E1*.gz'),))
    """

    bucket: str
    prefix: str
    patterns: tuple[tuple[str, ...], ...]

    @staticmethod
    def of(url: str) -> "Keys":
        """Read a setting: a glob pattern, or a prefix, which means the object of that key and all below it.

        Raises: ConfigError.
        """
        bucket, _, path = url.removeprefix(SCHEME).partition("/")
        place = Place.of(f"{SCHEME}{bucket}")
        if not url.startswith(SCHEME) or path.startswith("/"):
            raise ConfigError(f"{url!r} is no place in S3: write s3://bucket/prefix or s3://bucket/prefix/*.gz")
        if glob.has_magic(path):
            fixed = path[: min(path.find(sign) for sign in "*?[" if sign in path)]
            return Keys(place.bucket, fixed, (tuple(path.split("/")),))
        parts = tuple(glob.escape(part) for part in path.rstrip("/").split("/") if path)
        below = (*parts, DEEP)
        return Keys(place.bucket, path, (below,) if path.endswith("/") or not path else (parts, below))

    def matches(self, key: str) -> bool:
        """Tell whether a key is meant; one that ends with a slash only stands for a folder."""
        parts = tuple(key.split("/"))
        if key.endswith("/") or any(map(is_hidden, parts)):
            return False
        return any(match(parts, pattern) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class _OpenObject:
    file: BinaryIO
    found: str

    def etag(self) -> str:
        return self.found


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two complete listings, and between two looks into the queue."""

    relist_s: float = 30.0
    ask_s: float = 0.5


@dataclass(slots=True)
class S3Files:
    """The objects that `keys` means. A key is that of the bucket, whatever the prefix."""

    bucket: Bucket
    keys: Keys
    clock: Clock
    pace: Pace = Pace()
    queue: Queue | None = None
    _list_s: float | None = field(default=None, init=False)  # when the next listing is due
    _ask_s: float = field(default=0.0, init=False)
    _served: list[Message] = field(default_factory=list, init=False)

    @property
    def settles(self) -> bool:
        """An object appears whole."""
        return False

    def restart(self) -> None:
        """List all at the next look; messages that were not deleted come again by themselves."""
        self._list_s, self._served = None, []

    def list(self) -> Iterable[Found]:
        """Give all objects, if that is due, or else those that the queue tells of. Raises: Transient, ConfigError."""
        now_s = self.clock.monotonic_s()
        if self._list_s is None or now_s >= self._list_s:
            return self._all(now_s)
        if self.queue is None or now_s < self._ask_s:
            return ()
        self._ask_s = now_s + self.pace.ask_s
        return self._told(self.queue)

    def open(self, row: FileRow) -> Opened:
        """Open what was discovered. Raises: Gone, Transient, ConfigError; Terminal if it is in an archive."""
        try:
            return _OpenObject(Body(self.bucket, row.key, row.etag, row.size).start(), row.etag)
        except Missing as error:
            raise Gone(str(error)) from error
        except Conflict as error:
            there = self.bucket.head(row.key)
            if there is None:
                raise Gone(str(error)) from error
            if there.etag == row.etag:
                raise Transient(f"{self.name(row.key)} was replaced twice within a moment; it is read again") from error
            return _OpenObject(io.BytesIO(), there.etag)

    def committed(self) -> None:
        """Delete the messages that have served."""
        served, self._served = self._served, []
        if self.queue is not None and served:
            try:
                self.queue.delete(served)
            except Transient:
                return  # they come again, and tell what is known

    def name(self, key: str) -> str:
        """Give the URL of an object."""
        return self.bucket.url(key)

    def _all(self, began_s: float) -> Iterator[Found]:
        for listed in self.bucket.list(self.keys.prefix):
            if self.keys.matches(listed.key):
                yield _found(listed)
        now_s = self.clock.monotonic_s()
        self._list_s = now_s + max(self.pace.relist_s, LIST_SHARE * (now_s - began_s))

    def _told(self, queue: Queue) -> Iterable[Found]:
        """Look at the objects that messages tell of; where that does not work now, the next listing finds them."""
        found: dict[str, Found] = {}
        try:
            for message in _received(queue):
                told = keys_of(message.body)
                if told is None:
                    continue  # it is somebody else's
                for bucket, key in told:
                    if bucket == self.bucket.name and key not in found and self.keys.matches(key):
                        there = self.bucket.head(key)
                        found |= {key: _found(there)} if there is not None else {}
                self._served.append(message)
        except Transient:
            self._ask_s = self.clock.monotonic_s() + self.pace.relist_s
        return found.values()


def s3_files(keys: Keys, settings: S3Settings, clock: Clock, pace: Pace, queue: Queue | None = None) -> S3Files:
    """Reach a bucket, beside a queue if there is one. Raises: ConfigError."""
    return S3Files(Bucket(client(settings), keys.bucket), keys, clock, pace, queue)


def _received(queue: Queue) -> Iterator[Message]:
    for _ in range(RECEIVES_MAX):
        messages = queue.receive()
        if not messages:
            return
        yield from messages


def _found(listed: Listed) -> Found:
    return Found(listed.key, listed.etag, listed.size, listed.modified_us * 1000)
