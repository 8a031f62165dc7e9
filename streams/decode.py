"""From a block to a piece of a chunk: decoded, enriched and protected, with the position of every row.

Each physical line becomes a row, a dead letter, or nothing (a directive, an empty line). The decoder of a file belongs
to one object of one shard, because a header holds for the lines below it; the lines of a stream have no header, and
each page gets a decoder of its own, so that how a line is read never depends on where a page began.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from shardlake.adapters.arrow import binaries, constant, longs, strings, timestamps
from shardlake.core.limits import Limits
from shardlake.core.positions import encode_number
from shardlake.packs.pack import Decoder, Letter, Pack
from streams.chunk import LETTERS, Piece
from streams.protect import Protection
from streams.sources.port import Block, Fault, Records


class Decoding:
    """Turns blocks into pieces; keeps the decoder of the object that each shard is in.

    `fields` names the fields of lines without a header, in order; None leaves it to the headers, or to the pack.
    """

    def __init__(
        self, pack: Pack, protection: Protection, limits: Limits, fields: tuple[str, ...] | None = None
    ) -> None:
        self._pack, self._protection, self._limits, self._fields = pack, protection, limits, fields
        self._decoders: dict[str, Decoder] = {}

    def piece(self, block: Block | Records) -> Piece | None:
        """Decode a block; None if it only told what was counted before."""
        return self._of_lines(block) if isinstance(block, Block) else self._of_records(block)

    def _of_lines(self, block: Block) -> Piece | None:
        decoder = self._decoder(block)
        if block.skip:
            decoder.skip(block.data)
            return None
        decoded = decoder.decode(block.data)
        rows = self._protection.apply(self._pack.enrich(decoded.rows))
        sequence = encode_number(block.ordinal)
        found = [self._fault(letter, letter.index + block.first_line) for letter in decoded.letters]
        placed = [replace(f, sequence=sequence, arrival_us=block.arrival_us) for f in (*found, *block.faults)]
        if block.ends:
            self._decoders.pop(block.shard, None)
        sub = decoded.lines + block.first_line
        return Piece(block.range, rows, sequence, sub, block.arrival_us, self._letters(block, placed))

    def _of_records(self, block: Records) -> Piece:
        decoder = self._pack.open(block.origin, self._fields, line_bytes_max=self._limits.line_bytes_max)
        decoded = decoder.decode(block.data)
        rows = self._protection.apply(self._pack.enrich(decoded.rows))
        at, sequences = decoded.lines, block.sequences
        if sequences is None:
            sequences = strings([])
        found = [
            replace(
                self._fault(letter, int(block.subs[letter.index])),
                sequence=sequences[letter.index].as_py(),
                arrival_us=int(block.arrivals_us[letter.index]),
            )
            for letter in decoded.letters
        ]
        letters = self._letters(block, [*found, *block.faults])
        if len(at) < len(sequences):
            sequences = sequences.take(longs(at))
        return Piece(block.range, rows, sequences, block.subs[at], block.arrivals_us[at], letters)

    def _decoder(self, block: Block) -> Decoder:
        if block.starts or block.shard not in self._decoders:
            limit = self._limits.line_bytes_max
            self._decoders[block.shard] = self._pack.open(block.origin, self._fields, line_bytes_max=limit)
        return self._decoders[block.shard]

    def _letters(self, block: Block | Records, faults: Sequence[Fault]) -> pa.Table | None:
        if not faults:
            return None
        count, kept_max = len(faults), self._limits.letter_bytes_max
        columns = [
            constant(block.shard, count).cast(pa.string()),
            strings([fault.sequence for fault in faults]),
            longs(np.array([fault.line for fault in faults], dtype=np.int64)),
            timestamps(np.array([fault.arrival_us for fault in faults], dtype=np.int64)),
            constant(block.origin, count).cast(pa.string()),
            strings([fault.reason for fault in faults]),
            strings([told(fault, kept_max) for fault in faults]),
            binaries([fault.payload[:kept_max] for fault in faults]),
        ]
        return pa.Table.from_arrays(columns, schema=LETTERS)

    def _fault(self, letter: Letter, line: int) -> Fault:
        whole = letter.payload
        digest = hashlib.sha256(whole).hexdigest() if len(whole) > self._limits.letter_bytes_max else ""
        return Fault(line, letter.reason.value, letter.detail, whole, len(whole), digest)


def told(fault: Fault, kept_max: int) -> str:
    """What is known of a fault of whose payload at most so many bytes are kept."""
    kept = min(len(fault.payload), kept_max)
    if fault.length == kept:
        return fault.detail
    return f"{fault.detail} (the first {kept} of {fault.length} bytes are kept; sha256 {fault.sha256})"
