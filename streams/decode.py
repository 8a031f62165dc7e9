"""From a block of lines to a piece of a chunk: decoded, enriched and protected, with every line's position.

Each physical line becomes a row, a dead letter, or nothing (a directive, an empty line). A decoder belongs to one
object of one shard, because a header holds for the lines below it.
"""

import hashlib

import numpy as np
import pyarrow as pa

from shardlake.adapters.arrow import binaries, constant, longs, strings, timestamps
from shardlake.core.limits import Limits
from shardlake.core.positions import encode_number
from shardlake.packs.pack import Decoder, Letter, Pack
from streams.chunk import LETTERS, Piece
from streams.protect import Protection
from streams.sources.port import Block, Fault


class Decoding:
    """Turns blocks into pieces; keeps the decoder of the object that each shard is in."""

    def __init__(self, pack: Pack, protection: Protection, limits: Limits) -> None:
        self._pack, self._protection, self._limits = pack, protection, limits
        self._decoders: dict[str, Decoder] = {}

    def piece(self, block: Block) -> Piece | None:
        """Decode a block; None if it only told what was counted before."""
        decoder = self._decoder(block)
        if block.skip:
            decoder.skip(block.data)
            return None
        decoded = decoder.decode(block.data)
        rows = self._protection.apply(self._pack.enrich(decoded.rows))
        letters = self._letters(block, decoded.letters)
        if block.ends:
            self._decoders.pop(block.shard, None)
        sub = decoded.lines + block.first_line
        return Piece(block.range, rows, encode_number(block.ordinal), sub, block.arrival_us, letters)

    def _decoder(self, block: Block) -> Decoder:
        if block.starts or block.shard not in self._decoders:
            limit = self._limits.line_bytes_max
            self._decoders[block.shard] = self._pack.open(block.origin, line_bytes_max=limit)
        return self._decoders[block.shard]

    def _letters(self, block: Block, found: tuple[Letter, ...]) -> pa.Table | None:
        if not found and not block.faults:
            return None
        faults = [*(self._fault(block, letter) for letter in found), *block.faults]
        count, kept_max = len(faults), self._limits.letter_bytes_max
        columns = [
            constant(block.shard, count).cast(pa.string()),
            constant(encode_number(block.ordinal), count).cast(pa.string()),
            longs(np.array([fault.line for fault in faults], dtype=np.int64)),
            timestamps(np.full(count, block.arrival_us, dtype=np.int64)),
            constant(block.origin, count).cast(pa.string()),
            strings([fault.reason for fault in faults]),
            strings([told(fault, kept_max) for fault in faults]),
            binaries([fault.payload[:kept_max] for fault in faults]),
        ]
        return pa.Table.from_arrays(columns, schema=LETTERS)

    def _fault(self, block: Block, letter: Letter) -> Fault:
        whole, line = letter.payload, letter.index + block.first_line
        digest = hashlib.sha256(whole).hexdigest() if len(whole) > self._limits.letter_bytes_max else ""
        return Fault(line, letter.reason.value, letter.detail, whole, len(whole), digest)


def told(fault: Fault, kept_max: int) -> str:
    """What is known of a fault of whose payload at most so many bytes are kept."""
    kept = min(len(fault.payload), kept_max)
    if fault.length == kept:
        return fault.detail
    return f"{fault.detail} (the first {kept} of {fault.length} bytes are kept; sha256 {fault.sha256})"
