"""From a block to a piece of a chunk: decoded, enriched and protected, with the position of every row.

Each physical line becomes a row, a dead letter, or nothing (a directive, an empty line). The decoder of a file belongs
to one object of one shard, because a header holds for the lines below it; the lines of a stream have no header, and
each page gets a decoder of its own, so that how a line is read never depends on where a page began.

Should the pack fail on a block, the lines on which it fails by themselves are dead letters, and the others are read.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

import pyarrow as pa

from shardlake.adapters.arrow import longs, strings
from shardlake.core.limits import Limits
from shardlake.core.positions import Position, decode_number, encode_number
from shardlake.packs.pack import Decoder, Letter, Pack
from streams.attempts import Attempts, Read, Skips, joined
from streams.chunk import Piece, Raw
from streams.letters import fault_of, letters_of, told
from streams.poison import Culprit, Isolated, Part, Patience, Search, explained, is_poison, kind
from streams.protect import Protection
from streams.sources.lines import offset_of_line
from streams.sources.port import Block, Fault, Records

__all__ = ["Decoding", "Waits", "told"]

AT_ONCE: Final = Patience()


class Waits(Exception):
    """A block is to be tried again later: `done` is what was read of it, `rest` the block from there on."""

    def __init__(self, done: Piece | None, rest: Block | Records, error: Exception) -> None:
        super().__init__(kind(error))
        self.done, self.rest, self.kind = done, rest, kind(error)


@dataclass(slots=True)
class _Found:
    """What became of the lines of a block on which the pack failed."""

    parts: list[Read] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    kind: str = ""

    def add(self, letter: Letter, error: Exception) -> None:
        self.letters.append(letter)
        self.kind = self.kind or kind(error)

    def told(self, block: Block | Records, attempts: int) -> tuple[Isolated, ...]:
        if not self.letters:
            return ()
        first = _place(block, self.letters[0].index)
        name = f"{block.shard}:{decode_number(first[0])}:{first[1]}"
        return (Isolated("decode", len(self.letters), attempts, self.kind, name),)


class Decoding:
    """Turns blocks into pieces; keeps the decoder of the object that each shard is in.

    `fields` names the fields of lines without a header, in order; None leaves it to the headers, or to the pack.
    """

    def __init__(
        self, pack: Pack, protection: Protection, limits: Limits, fields: tuple[str, ...] | None = None
    ) -> None:
        self._pack, self._protection, self._limits, self._fields = pack, protection, limits, fields
        self._decoders: dict[str, Decoder] = {}

    def piece(self, block: Block | Records, patience: Patience = AT_ONCE) -> Piece | None:
        """Decode a block; None if it only told what was counted before.

        Raises: Waits if it is to be tried again later, as the limits and so much patience say; Transient if decoding
        fails for want of memory or of a file, or over no line at all.
        """
        if isinstance(block, Block) and block.skip:
            self._skip(block)
            return None
        lines = len(block.subs) if isinstance(block, Records) else block.lines
        attempts = Attempts(
            lambda: self._opened(block),
            self._decoder(block),
            block.data,
            lines,
            pack=self._pack,
            protection=self._protection,
        )
        try:
            read = attempts.attempt(0, lines)
        except Exception as error:
            if not is_poison(error):
                raise
            piece = self._isolated(block, attempts, error, patience)
        else:
            piece = self._piece(block, read)
        self._keep(block, attempts.decoder)
        return piece

    def _skip(self, block: Block) -> None:
        skips = Skips(lambda: self._opened(block), self._decoder(block), block.data, block.lines)
        try:
            skips.attempt(0, skips.lines)
        except Exception as error:
            if not is_poison(error):
                raise
            with explained():
                deque(Search(skips.lines, skips).run(error), 0)
        self._keep(block, skips.decoder)

    def _opened(self, block: Block | Records) -> Decoder:
        return self._pack.open(block.origin, self._fields, line_bytes_max=self._limits.line_bytes_max)

    def _decoder(self, block: Block | Records) -> Decoder:
        known = self._decoders.get(block.shard) if isinstance(block, Block) and not block.starts else None
        return self._opened(block) if known is None else known

    def _keep(self, block: Block | Records, decoder: Decoder) -> None:
        """Keep the decoder of an object that goes on."""
        if isinstance(block, Records):
            return
        if block.ends:
            self._decoders.pop(block.shard, None)
        else:
            self._decoders[block.shard] = decoder

    # ------------------------------------------------------------------------------------------ what the pack fails on

    def _isolated(self, block: Block | Records, attempts: Attempts, error: Exception, patience: Patience) -> Piece:
        """Decode a block on which the pack failed. Raises: as `piece`."""
        limits, lines = self._limits, attempts.lines
        newest_us = block.arrival_us if isinstance(block, Block) else int(block.arrivals_us.max(initial=0))
        if lines and patience.is_tried_again(limits, newest_us):
            raise Waits(None, block, error)
        found, search = _Found(), Search(lines, attempts)
        if lines and not limits.bisect_batch_on_function_error:
            if patience.waits_for_ever(limits, newest_us):
                raise Waits(None, block, error)
            return self._given_up(block, attempts, error)
        with explained():
            for one in search.run(error):
                if isinstance(one, Part):
                    found.parts.append(one.result)
                elif isinstance(one, Culprit) and patience.waits_for_ever(limits, _place(block, one.at)[2]):
                    raise self._waits(block, one, found, attempts)
                elif isinstance(one, Culprit):
                    found.add(attempts.letter(one.at, one.error), one.error)
        return self._piece(block, joined(found.parts, found.letters), found.told(block, search.attempts))

    def _given_up(self, block: Block | Records, attempts: Attempts, error: Exception) -> Piece:
        """Make every line of a block a dead letter."""
        found = _Found()
        with explained():
            found.parts.append(attempts.attempt(0, 0))
        for at in range(attempts.lines):
            if attempts.line(at).strip():
                found.add(attempts.letter(at, error), error)
            attempts.pass_over(at)
        return self._piece(block, joined(found.parts, found.letters), found.told(block, 1))

    def _waits(self, block: Block | Records, one: Culprit, found: _Found, attempts: Attempts) -> Waits:
        """Let what stands before a record's lines be committed, and the record wait."""
        done, rest, line = _cut(block, one.at)
        if done is None or not found.parts:
            return Waits(None, block, one.error)
        self._keep(done, attempts.decoder)
        return Waits(self._piece(done, joined(found.parts, found.letters).up_to(line)), rest, one.error)

    # ------------------------------------------------------------------------------------------------------ pieces

    def _piece(self, block: Block | Records, read: Read, isolated: tuple[Isolated, ...] = ()) -> Piece:
        found, raw = self._letters(block, read.letters), Raw(block.data, read.lines, block.origin)
        if isinstance(block, Block):
            sequence, sub = encode_number(block.ordinal), read.lines + block.first_line
            arrival_us = block.arrival_us
            return Piece(block.range, read.rows, sequence, sub, arrival_us, found, (), read.weights, raw, isolated)
        at, sequences = read.lines, strings([]) if block.sequences is None else block.sequences
        if len(at) < len(sequences):
            sequences = sequences.take(longs(at))
        return Piece(
            block.range,
            read.rows,
            sequences,
            block.subs[at],
            block.arrivals_us[at],
            found,
            weights=read.weights,
            raw=raw,
            isolated=isolated,
        )

    def _letters(self, block: Block | Records, letters: tuple[Letter, ...]) -> pa.Table | None:
        kept_max = self._limits.letter_bytes_max
        faults = [_fault(block, letter, kept_max) for letter in letters]
        if isinstance(block, Block):
            ends = encode_number(block.ordinal)
            faults += [replace(fault, sequence=ends, arrival_us=block.arrival_us) for fault in block.faults]
        else:
            faults += block.faults
        return letters_of(block.shard, block.origin, faults, kept_max)


def _fault(block: Block | Records, letter: Letter, kept_max: int) -> Fault:
    sequence, sub, arrival_us = _place(block, letter.index)
    return fault_of(sub, letter.reason.value, letter.detail, letter.payload, kept_max, sequence, arrival_us)


def _place(block: Block | Records, at: int) -> tuple[str, int, int]:
    """Where a line of a block stands: its sequence number, encoded, its part, and when it arrived."""
    if isinstance(block, Block):
        return encode_number(block.ordinal), block.first_line + at, block.arrival_us
    return block.sequences[at].as_py(), int(block.subs[at]), int(block.arrivals_us[at])


def _cut(block: Block | Records, at: int) -> tuple[Block | Records | None, Block | Records, int]:
    """Cut a block before the record that a line belongs to: what stands before, or None, the rest, and its first line.

    Every range ends where a record does, so a position never lies within one.
    """
    if isinstance(block, Block):
        return _cut_lines(block, at)
    return _cut_records(block, at)


def _cut_lines(block: Block, at: int) -> tuple[Block | None, Block, int]:
    if at == 0:
        return None, block, 0
    upto, start = Position(block.ordinal, block.first_line + at - 1), offset_of_line(block.data, at)
    done = replace(block, upto=upto, lines=at, data=block.data[:start], faults=())
    rest = replace(
        block,
        after=upto,
        first_line=block.first_line + at,
        lines=block.lines - at,
        data=block.data[start:],
        starts=False,
        kind="data",
    )
    return done, rest, at


def _cut_records(block: Records, at: int) -> tuple[Records | None, Records, int]:
    number = block.sequences[at].as_py()
    first = at
    while first and block.sequences[first - 1].as_py() == number:
        first -= 1
    if first == 0:
        return None, block, 0
    start = offset_of_line(block.data, first)
    before = [fault for fault in block.faults if fault.sequence < number]
    places = [(f.sequence, f.line) for f in before] + [(block.sequences[first - 1].as_py(), int(block.subs[first - 1]))]
    sequence, sub = max(places)
    upto = max(block.after, Position(decode_number(sequence), sub))
    done = replace(
        block,
        upto=upto,
        data=block.data[: start - 1],
        sequences=block.sequences.slice(0, first),
        subs=block.subs[:first],
        arrivals_us=block.arrivals_us[:first],
        faults=tuple(before),
        children={},
        reaches_tip=False,
    )
    rest = replace(
        block,
        after=upto,
        data=block.data[start:],
        sequences=block.sequences.slice(first),
        subs=block.subs[first:],
        arrivals_us=block.arrivals_us[first:],
        faults=tuple(fault for fault in block.faults if fault.sequence >= number),
        kind="data",
    )
    return done, rest, first
