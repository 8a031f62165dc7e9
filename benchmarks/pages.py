"""Recorded GetRecords bodies as a source of the speed layer: one shard, whose records are CloudFront lines.

A body is parsed once, straight from its bytes; its records go on as one block of lines and one column of sequence
numbers. The decoding of streams/ does the rest; it learns here to number rows by their records instead of by lines.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from shardlake.adapters.arrow import strings
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN, Position, ShardId, encode_number
from shardlake.packs.cloudfront.header import STANDARD_FIELDS
from shardlake.packs.cloudfront.pack import CloudFront
from streams.chunk import Piece
from streams.decode import Decoding
from streams.protect import Protection
from streams.sources.port import Block

SHARD: Final = ShardId("recorded/shardId-000000000000")


class _Record(msgspec.Struct, gc=False):
    SequenceNumber: str
    Data: bytes
    ApproximateArrivalTimestamp: float


class _Page(msgspec.Struct):
    Records: list[_Record]


@dataclass(frozen=True, slots=True)
class Page(Block):
    """A body's records: their data as lines, and their own sequence numbers and arrivals."""

    sequences: pa.Array = None
    arrivals_us: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None


class RecordedPages:
    """The source. Pages follow one another from ORIGIN; there is nothing to discover."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self._bodies = bodies
        self._decoder = msgspec.json.Decoder(_Page)
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

    @property
    def waiting(self) -> int:
        """Recorded pages are all there."""
        return 0

    def merge(self, pages: Sequence[bytes]) -> bytes:
        """Refuse: there are no pages of discovered files."""
        raise NotImplementedError(f"{len(pages)} pages of discovered files, where nothing is discovered")

    def read(self, shard: ShardId, after: Position) -> Iterator[Block]:
        """Read on from a position, which is the end of a page."""
        done = bisect_right(self._ends, after) if after != ORIGIN else 0
        for number, body in enumerate(self._bodies[done:], done):
            page = self._page(shard, after, body)
            if number == len(self._ends):
                self._ends.append(page.upto)
            after = page.upto
            yield page

    def _page(self, shard: ShardId, after: Position, body: bytes) -> Page:
        records = self._decoder.decode(body).Records
        return Page(
            shard,
            after,
            Position(int(records[-1].SequenceNumber)),
            "recorded",
            0,
            0,
            lines=len(records),
            data=b"\n".join([record.Data for record in records]),
            sequences=_encoded([record.SequenceNumber for record in records]),
            arrivals_us=(np.array([r.ApproximateArrivalTimestamp for r in records]) * 1e6).astype(np.int64),
        )


class RecordDecoding(Decoding):
    """Decodes pages: every record is one line, of the standard fields in their order."""

    def __init__(self, pack: CloudFront, limits: Limits) -> None:
        super().__init__(pack, Protection(), limits)
        self._lines = pack.open("recorded", STANDARD_FIELDS, line_bytes_max=limits.line_bytes_max)
        self._enrich = pack.enrich

    def piece(self, block: Block) -> Piece:
        """Decode a page. Raises: ValueError for a record that is not one good line."""
        assert isinstance(block, Page)
        assert block.arrivals_us is not None
        decoded = self._lines.decode(block.data)
        if decoded.letters or decoded.rows.num_rows != block.lines:
            raise ValueError(f"the pages are recorded from good lines, but: {decoded.letters[:1]}")
        sub = np.zeros(block.lines, np.int64)
        return Piece(block.range, self._enrich(decoded.rows), block.sequences, sub, block.arrivals_us)


def _encoded(sequences: list[str]) -> pa.Array:
    """Encode sequence numbers: as one text, if all are equally long, as nearly always."""
    length = len(sequences[0])
    if len("".join(sequences)) != length * len(sequences) or min(map(len, sequences)) != length:
        return strings([encode_number(int(sequence)) for sequence in sequences])
    prefix = f"{length:03d}"
    text = prefix + prefix.join(sequences)
    offsets = np.arange(len(sequences) + 1, dtype=np.int32) * (length + len(prefix))
    return pa.Array.from_buffers(
        pa.string(), len(sequences), [None, pa.py_buffer(offsets), pa.py_buffer(text.encode())]
    )
