"""Pages of records to lines with positions.

Nearly every record is one line. Then the records are joined as they are, and no Python code runs for each but what
measures its length. A record of several lines, or an aggregate, takes a slower way to the same columns.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.adapters.arrow import longs, strings
from shardlake.adapters.kinesis.aggregates import expand
from shardlake.adapters.kinesis.wire import Page
from shardlake.core.positions import Position, decode_number, encode_number
from streams.sources.port import Fault

_NEWLINE: Final = 10
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines in order: line i is part `subs[i]`, from 0, of the record `record[i]` of its page."""

    data: bytes
    record: Longs
    subs: Longs
    faults: tuple[Fault, ...] = ()

    def part(self, start: int, stop: int) -> "Lines":
        """Give the lines from `start` up to `stop`, without faults."""
        if (start, stop) == (0, len(self.record)):
            return Lines(self.data, self.record, self.subs)
        ends = np.append(np.flatnonzero(np.frombuffer(self.data, np.uint8) == _NEWLINE) + 1, len(self.data))
        first, last = (int(ends[start - 1]) if start else 0), (int(ends[stop - 1]) if stop else 0)
        data = self.data[first:last] if stop > start else b""
        return Lines(data, self.record[start:stop], self.subs[start:stop])


def beyond(page: Page, lines: Lines, at: Position) -> Lines:
    """Leave out what lies at or before a position, wherever the page began.

    A page that begins behind it is one that was asked for by the position's record, to see whether it is still there.
    """
    sequences = page.sequences
    before = next((i for i, number in enumerate(sequences) if int(number) >= at.sequence), len(sequences))
    is_there = before < len(sequences) and int(sequences[before]) == at.sequence
    if before == 0 and not is_there:
        return lines
    left_out = lines.record < before
    if is_there:
        left_out |= (lines.record == before) & (lines.subs <= at.sub)
    kept = lines.part(int(left_out.sum()), len(lines.record))
    faults = (f for f in lines.faults if Position(decode_number(f.sequence), f.line) > at)
    return replace(kept, faults=tuple(faults))


def only(page: Page, lines: Lines, start: int, stop: int) -> Lines:
    """Choose the lines and faults of the records from `start` up to `stop`."""
    first, last = np.searchsorted(lines.record, [start, stop]).tolist()
    names = {encode_number(int(number)) for number in page.sequences[start:stop]} if lines.faults else set()
    return replace(lines.part(first, last), faults=tuple(f for f in lines.faults if f.sequence in names))


def lines_of(page: Page, start_hash: int, end_hash: int) -> Lines:
    """Give the lines of a page; user records of aggregates outside of the shard's hash keys are dead letters."""
    found = expand(page.data)
    if found is None:
        return _lines(page.data, np.arange(len(page.data), dtype=np.int64))[0]
    every, owner = _lines(found.data, found.record)
    outside = [at for at, key in enumerate(found.hash_keys) if key is not None and not start_hash <= key <= end_hash]
    if not outside:
        return every
    is_ours = ~np.isin(owner, np.array(outside, dtype=np.int64))
    kept = [found.data[at] for at in np.unique(owner[is_ours]).tolist()]
    faults = tuple(
        _stray(page, found.data[at], int(found.record[at]), int(every.subs[owner == at][0])) for at in outside
    )
    return Lines(_joined(kept)[0], every.record[is_ours], every.subs[is_ours], faults)


def sequences(page: Page, record: Longs) -> pa.Array:
    """Encode the sequence number of each line's record."""
    encoded = _encoded(page.sequences)
    is_plain = len(record) == len(encoded) and (len(record) == 0 or bool((record == np.arange(len(record))).all()))
    return encoded if is_plain else encoded.take(longs(record))


def end_of(page: Page, lines: Lines, last: int) -> Position:
    """Where a record of a page ends: with the last of its parts."""
    subs = lines.subs[lines.record == last].tolist()
    number = encode_number(int(page.sequences[last]))
    subs += [fault.line for fault in lines.faults if fault.sequence == number]
    return Position(int(page.sequences[last]), max(subs, default=0))


def _lines(data: list[bytes], record: Longs) -> tuple[Lines, Longs]:
    """Give the lines of some records, and which record each is of; `record` names the page's record of each."""
    joined, counts = _joined(data)
    owner = np.arange(len(data), dtype=np.int64)
    if counts is not None:
        owner = np.repeat(owner, counts)
    return Lines(joined, record[owner], _running(record[owner])), owner


def _joined(data: list[bytes]) -> tuple[bytes, Longs | None]:
    """Join records as lines; with how many lines each is, None if each is one."""
    if not data:
        return b"", None
    joined = b"\n".join(data)
    if joined.count(b"\n") == len(data) - 1:
        return joined, None
    data = [one.removesuffix(b"\n") for one in data]
    joined = b"\n".join(data)
    if joined.count(b"\n") == len(data) - 1:
        return joined, None
    return joined, np.fromiter((one.count(b"\n") + 1 for one in data), np.int64, len(data))


def _running(of: Longs) -> Longs:
    """Number the members of each run of equal values from 0."""
    at = np.arange(len(of), dtype=np.int64)
    starts = np.flatnonzero(np.concatenate([[True], of[1:] != of[:-1]])) if len(of) else at
    if len(starts) == len(of):
        return np.zeros(len(of), np.int64)
    return at - np.repeat(starts, np.diff(np.append(starts, len(of))))


def _encoded(found: list[str]) -> pa.Array:
    """Encode sequence numbers: as one text, if all are equally long, as nearly always."""
    length = len(found[0]) if found else 0
    text = "".join(found)
    if not text or len(text) != length * len(found) or set(map(len, found)) != {length}:
        return strings([encode_number(int(one)) for one in found])
    prefix = f"{length:03d}"
    offsets = np.arange(len(found) + 1, dtype=np.int32) * (length + len(prefix))
    encoded = pa.py_buffer((prefix + prefix.join(found)).encode())
    return pa.Array.from_buffers(pa.string(), len(found), [None, pa.py_buffer(offsets), encoded])


def _stray(page: Page, payload: bytes, record: int, sub: int) -> Fault:
    detail = "its hash key is not this shard's: a producer's aggregate from before a split, which it sends again"
    number, arrival_us = encode_number(int(page.sequences[record])), int(page.arrivals_us[record])
    digest = hashlib.sha256(payload).hexdigest()
    return Fault(sub, "outside_shard", detail, payload, len(payload), digest, number, arrival_us)
