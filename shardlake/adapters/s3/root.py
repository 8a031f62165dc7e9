"""Everything of a root that may be in S3: its objects and the files of its batch tables.

The rest of a root is small, changes in place, and stays on the local disk: the journal, the tables' catalog, the
compiled views, and the cache.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shardlake.adapters.s3.cache import BYTES_MAX, Cache, CacheSettings
from shardlake.adapters.s3.client import S3Settings, client
from shardlake.adapters.s3.objects import S3Objects
from shardlake.adapters.s3.place import Place
from shardlake.adapters.s3.tables import S3Storage
from shardlake.adapters.storage_file import Storage
from shardlake.adapters.stored import OBJECTS, TABLES
from shardlake.core.ports import Clock

CACHE: Final = "cache"


@dataclass(frozen=True, slots=True)
class S3Root:
    """A place for objects and tables, how it is reached, and the cache through which both are read."""

    place: Place
    settings: S3Settings
    cache: Cache

    @staticmethod
    def of(url: str, settings: S3Settings, cache: Path, clock: Clock, bytes_max: int = BYTES_MAX) -> "S3Root":
        """Read settings; nothing is asked for or made yet. Raises: ConfigError."""
        return S3Root(Place.of(url), settings, Cache(CacheSettings(cache, bytes_max), clock))

    @staticmethod
    def at(root: Path, where: Storage, clock: Clock, bytes_max: int = BYTES_MAX) -> "S3Root":
        """The place of a root, read through a cache in it. Raises: ConfigError."""
        return S3Root.of(where.url, S3Settings(where.endpoint, where.region), root / CACHE, clock, bytes_max)

    def objects(self) -> S3Objects:
        """The object storage. Raises: ConfigError."""
        return S3Objects(client(self.settings), self.place.below(OBJECTS), self.cache)

    def tables(self) -> S3Storage:
        """Where the files of batch tables are. Raises: ConfigError."""
        return S3Storage(client(self.settings), self.place.below(TABLES), self.cache)
