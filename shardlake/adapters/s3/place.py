"""A place in S3 as a setting names it: `s3://bucket/prefix`."""

import re
from dataclasses import dataclass
from typing import Final

from shardlake.core.errors import ConfigError

SCHEME: Final = "s3://"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def is_s3(path: str) -> bool:
    """Tell whether a path is a place in S3 and not one on the local disk."""
    return path.startswith(SCHEME)


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and the beginning of keys in it, which is "" or ends with a slash.

    >>> Place.of("s3://logs/2026").key("a/b.gz"), Place.of("s3://logs").key("a")
    ('2026/a/b.gz', 'a')
    """

    bucket: str
    prefix: str = ""

    @staticmethod
    def of(url: str) -> "Place":
        """Read a setting. Raises: ConfigError."""
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        if not is_s3(url) or not _BUCKET.fullmatch(bucket) or "//" in prefix or prefix.startswith("/"):
            raise ConfigError(f"{url!r} is no place in S3: write s3://bucket or s3://bucket/prefix")
        return Place(bucket, f"{prefix.rstrip('/')}/" if prefix else "")

    @property
    def url(self) -> str:
        """The place as a setting names it, without a slash at its end."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")

    def below(self, name: str) -> "Place":
        """Give the place of a folder in this one."""
        return Place(self.bucket, f"{self.prefix}{name}/")

    def key(self, name: str) -> str:
        """Give the key of a name under this place."""
        return self.prefix + name

    def holds(self, other: "Place") -> bool:
        """Tell whether another place is this one, or lies in it."""
        return other.bucket == self.bucket and other.prefix.startswith(self.prefix)
