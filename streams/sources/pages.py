"""What was discovered of a file source: rows on pages, and the manifest that they make up.

A page is one immutable object for each commit that discovered something. It is the truth about which file has
which ordinal in which bucket; the file system's order plays no part afterwards.

>>> page = encode(2, [FileRow(1, 0, "a.gz", "5-17", 5, 17)])
>>> page
b'{"buckets":2,"rows":[[1,0,"a.gz","5-17",5,17,"data"]],"format":1}'
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from shardlake.core import formats
from shardlake.core.errors import ConfigError, Corrupt

FORMAT: Final = 1
_TIER: Final = 2  # an older page is merged along unless it is more than twice what is newer: rewriting stays cheap


class FileRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A discovered file: its bucket, its ordinal there from 0, its key, ETag, size in bytes and modified time.

    A row of kind "changed" only tells that the file has new contents, which are not read.
    """

    bucket: int
    ordinal: int
    key: str
    etag: str
    size: int
    mtime_us: int
    kind: Literal["data", "changed"] = "data"


class Page(msgspec.Struct, frozen=True):
    """Discovered files in the order of their discovery, and the number of buckets, which never changes."""

    buckets: int
    rows: tuple[FileRow, ...]
    format: int = FORMAT


class Manifest:
    """All that was discovered, in the owner's memory."""

    def __init__(self, buckets: int) -> None:
        self._buckets: list[list[FileRow]] = [[] for _ in range(buckets)]
        self._latest: dict[str, FileRow] = {}

    @staticmethod
    def from_pages(buckets: int, pages: Iterable[bytes]) -> "Manifest":
        """Read pages back, in their order. Raises: ConfigError if `buckets` is not what they were written with."""
        manifest = Manifest(buckets)
        for page in map(decode, pages):
            if page.buckets != buckets:
                raise ConfigError(
                    f"buckets is {buckets}, but files were given to {page.buckets} buckets: it cannot change"
                )
            manifest.add(page.rows)
        return manifest

    def add(self, rows: Iterable[FileRow]) -> None:
        """Take rows in. Raises: Corrupt if one does not have its bucket's next ordinal."""
        for row in rows:
            if not (0 <= row.bucket < len(self._buckets) and row.ordinal == self.next_ordinal(row.bucket)):
                raise Corrupt(f"file {row.key} has ordinal {row.ordinal} in bucket {row.bucket}, which is not the next")
            self._buckets[row.bucket].append(row)
            self._latest[row.key] = row

    def next_ordinal(self, bucket: int) -> int:
        """The ordinal that the next file of a bucket gets."""
        return len(self._buckets[bucket])

    def latest(self, key: str) -> FileRow | None:
        """The newest row of a key."""
        return self._latest.get(key)

    def beyond(self, bucket: int, ordinal: int) -> Sequence[FileRow]:
        """The rows of a bucket from an ordinal on."""
        return self._buckets[bucket][ordinal:]


def encode(buckets: int, rows: Iterable[FileRow]) -> bytes:
    """Write a page."""
    return msgspec.json.encode(Page(buckets, tuple(rows)))


def decode(data: bytes) -> Page:
    """Read a page. Raises: FormatTooNew if a later version wrote it, Corrupt if it is something else."""
    return formats.decode(Page, "a page of discovered files", data, FORMAT)


def merge(pages: Sequence[bytes]) -> bytes:
    """Make one page out of consecutive ones. Raises: as `decode`; Corrupt if they do not belong together."""
    read = [decode(page) for page in pages]
    buckets = {page.buckets for page in read}
    if len(buckets) != 1:
        raise Corrupt(f"pages of discovered files have {sorted(buckets)} buckets: they do not belong together")
    return encode(buckets.pop(), (row for page in read for row in page.rows))


def merge_from(lengths: Sequence[int], pages_max: int) -> int:
    """Say from which page on to merge, given the lengths of a state's pages in bytes; `len(lengths)` for none.

    Nothing is merged up to `pages_max` pages. Beyond, the newer half is, and older ones as long as they are not
    much larger than what they join: each row is rewritten a number of times that grows with the logarithm only.

    >>> merge_from([900, 10, 10, 10, 10], 4), merge_from([10, 10, 10], 4)
    (1, 3)
    """
    if len(lengths) <= pages_max:
        return len(lengths)
    start = min(pages_max // 2, len(lengths) - 2)
    merged = sum(lengths[start:])
    while start > 0 and lengths[start - 1] <= _TIER * merged:
        start -= 1
        merged += lengths[start]
    return max(start, 0)
