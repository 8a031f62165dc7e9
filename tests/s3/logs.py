"""A bucket of logs, and the sources that read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shardlake.adapters.s3.bucket import Bucket
from shardlake.adapters.s3.client import client
from shardlake.adapters.s3.place import Place
from shardlake.adapters.s3.queue import Queue
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN, Position, ShardId
from shardlake.testing.clock import ManualClock
from streams.sources import pages
from streams.sources.files import FileSettings, FileSource
from streams.sources.pages import FileRow
from streams.sources.port import Block
from streams.sources.s3 import Keys, Pace, S3Files
from tests.s3.standin import StandIn

NOW_US = 4_000_000_000_000_000
SHARD = ShardId("logs/0000")
LIMITS = Limits(block_bytes=4096, letter_bytes_max=8192)


def one_bucket(_: str) -> None:
    return None


@dataclass
class Logs:
    """A bucket of logs, the sources that read it, and a queue that may tell of it."""

    server: StandIn
    place: Place
    clock: ManualClock = field(default_factory=ManualClock)
    queue: Queue | None = None

    def put(self, key: str, data: bytes = b"a\n", **given: Any) -> None:
        self.server.client().put_object(Bucket=self.place.bucket, Key=key, Body=data, **given)

    def remove(self, key: str) -> None:
        self.server.client().delete_object(Bucket=self.place.bucket, Key=key)

    def source(self, path: str = "", settings: Any = None, **given: Any) -> FileSource:
        url = f"s3://{self.place.bucket}/{path}"
        bucket = Bucket(client(settings or self.server.settings), self.place.bucket)
        store = S3Files(bucket, Keys.of(url), self.clock, Pace(relist_s=30.0, ask_s=1.0), self.queue)
        made = FileSource(FileSettings("logs", url, 1, **given), one_bucket, LIMITS, store)
        made.open([])
        return made

    def found(self, path: str = "") -> list[str]:
        return sorted(keys(self.source(path)))


def rows(source: FileSource) -> list[FileRow]:
    page = source.discover(NOW_US)
    return [] if page is None else list(pages.decode(page).rows)


def keys(source: FileSource) -> list[str]:
    return [row.key for row in rows(source)]


def plainly(blocks: Iterator[Block]) -> tuple[bytes, list[tuple[int, str]], Position]:
    """What blocks hold: the data that counts, the faults, and how far it went."""
    data, faults, at = [], [], ORIGIN
    for block in blocks:
        data.append(b"" if block.skip else block.data)
        faults += [(fault.line, fault.reason) for fault in block.faults]
        at = block.upto
    return b"".join(data), faults, at
