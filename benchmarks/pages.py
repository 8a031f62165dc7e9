"""Recorded GetRecords bodies as a source of the speed layer: one shard, whose records are CloudFront lines.

The bodies are parsed as the Kinesis source parses them, without a service or a pace.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, parse_page
from shardlake.core.positions import ORIGIN, Position, ShardId
from streams.sources.kinesis.records import end_of, lines_of, sequences
from streams.sources.port import Records

SHARD: Final = ShardId("recorded/shardId-000000000000")


class RecordedPages:
    """The source. Pages follow one another from ORIGIN; there is nothing to discover."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self._bodies = bodies
        self._ends: list[Position] = []

    def shards(self) -> Sequence[ShardId]:
        """The one shard."""
        return [SHARD]

    def open(self, pages: Sequence[bytes]) -> None:
        """Know nothing."""

    def discover(self, now_us: int) -> bytes | None:
        """Find nothing."""
        del now_us
        return None

    def committed(self) -> None:
        """Nothing waits for a commit."""

    @property
    def paces_itself(self) -> bool:
        """It does."""
        return True

    @property
    def waiting(self) -> int:
        """Recorded pages are all there."""
        return 0

    def merge(self, pages: Sequence[bytes]) -> bytes:
        """Refuse: there are no pages of discovered files."""
        raise NotImplementedError(f"{len(pages)} pages of discovered files, where nothing is discovered")

    def read(self, shard: ShardId, after: Position) -> Iterator[Records]:
        """Read on from a position, which is the end of a page."""
        done = bisect_right(self._ends, after) if after != ORIGIN else 0
        for number, body in enumerate(self._bodies[done:], done):
            records = self._records(shard, after, body)
            if number == len(self._ends):
                self._ends.append(records.upto)
            after = records.upto
            yield records

    def _records(self, shard: ShardId, after: Position, body: bytes) -> Records:
        page = parse_page(body)
        lines = lines_of(page, 0, HASH_KEY_MAX)
        return Records(
            shard,
            after,
            end_of(page, lines, len(page) - 1),
            "recorded",
            lines.data,
            sequences(page, lines.record),
            lines.subs,
            page.arrivals_us[lines.record],
        )
