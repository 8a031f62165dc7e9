"""A worker of the embedded stream, put together as `shardlake stream run --once` does it, and what it took.

`python -m benchmarks.kinesis_worker ROOT URL [FETCH_BYTES_MAX]` reads the stream into a new root and prints a `Work` as
JSON. The shards are asked as fast as they answer: what AWS allows them is not what is measured.
"""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import msgspec

from benchmarks.kinesis_stream import STREAM
from benchmarks.speed import UNWANTED, VIEWS
from shardlake.app import shared
from shardlake.app.opening import Progress
from shardlake.app.settings import Config, SourceSettings, ViewSettings
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from shardlake.core.positions import Position, ShardId
from streams.protect import Protection
from streams.sources.kinesis.source import KinesisSource
from streams.sources.port import Records

PREFIX: Final = "by_"  # one of the pack's views has the name of one of ours
FETCH_BYTES_MAX: Final = Limits().fetch_bytes_max
_MEMORY_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class Work(msgspec.Struct):
    """What a worker took for a stream.

    CPU is of all threads, from the first request for a page to the last commit. `waiting_bytes` is the most that there
    was of pages that were fetched and not yet taken, `page_bytes` the largest of them; `chunks` are rows.
    """

    records: int
    cpu_s: float
    memory_bytes: int
    waiting_bytes: int
    page_bytes: int
    chunks: list[int]

    @property
    def pace(self) -> float:
        """Records per CPU-second."""
        return self.records / self.cpu_s


class _Watched(KinesisSource):
    """A source that looks at the pages that wait whenever one of them is taken, which is when they are most."""

    waiting_most = 0
    page_most = 0

    def read(self, shard: ShardId, after: Position) -> Iterator[Records]:
        """Give what was fetched of a shard."""
        futures = [reader.future for reader in self._readers.values() if reader.future is not None]
        sizes = [future.result().page.size for future in futures if future.done()]
        _Watched.waiting_most = max(_Watched.waiting_most, sum(sizes))
        _Watched.page_most = max([_Watched.page_most, *sizes])
        return super().read(shard, after)


class _Log:
    """A log that nobody reads; there must be nothing in it that somebody has to look at."""

    def debug(self, event: str, **facts: Any) -> None:
        """Forget it."""

    def info(self, event: str, **facts: Any) -> None:
        """Forget it."""

    def warning(self, event: str, **facts: Any) -> None:
        """Fail. Raises: AssertionError."""
        raise AssertionError(f"{event}: {facts}")

    def error(self, event: str, **facts: Any) -> None:
        """Fail. Raises: AssertionError."""
        raise AssertionError(f"{event}: {facts}")


@dataclass(slots=True)
class _Chunks(Progress):
    chunks: list[int] = field(default_factory=list)

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """Take note of an entry, which must be without dead letters."""
        assert not letters, entry
        Progress.committed(self, entry, rows, letters, failed)
        if rows:
            self.chunks.append(rows)


def work(root: Path, url: str, fetch_bytes_max: int = FETCH_BYTES_MAX) -> Work:
    """Read the stream to its tip as one worker, and commit it into a new root."""
    folder = root / "views"
    folder.mkdir(parents=True, exist_ok=True)
    for name, sql in VIEWS.items():
        (folder / f"{PREFIX}{name}.sql").write_text(sql)
    config = Config(
        root=str(root),
        source=SourceSettings(stream=STREAM, endpoint=url),
        views=ViewSettings(folder=str(folder), use=tuple(PREFIX + name for name in VIEWS)),
        limits=Limits(shard_reads_per_s=1e6, shard_bytes_per_s=1 << 40, fetch_bytes_max=fetch_bytes_max),
    )
    progress = _Chunks(_Log())
    with (
        patch.object(shared, "KinesisSource", _Watched),
        shared.opened_worker(config, Protection(), lambda: False, progress) as loop,
    ):
        assert loop is not None
        started = time.process_time()
        loop.run(once=True)
        cpu_s = time.process_time() - started
    found = [name for name in UNWANTED if name in sys.modules]
    assert not found, f"a consumer has imported {found}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MEMORY_UNIT
    return Work(progress.rows, cpu_s, memory, _Watched.waiting_most, _Watched.page_most, progress.chunks)


if __name__ == "__main__":
    print(msgspec.json.encode(work(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))).decode())
