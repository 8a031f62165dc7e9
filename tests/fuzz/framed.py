"""What is framed, as targets: the aggregates of the Kinesis Producer Library, and the messages of event streams.

Digests and CRCs are made right here, since no engine guesses them.
"""

import struct
from collections.abc import Sequence
from hashlib import md5
from typing import Final
from zlib import crc32

from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.aggregates import MAGIC, aggregate, expand
from shardlake.adapters.kinesis.eventstream import FRAME_BYTES_MAX, BrokenFrame, Frames, frame
from tests.fuzz.decoding import is_utf8
from tests.fuzz.target import Choices, Target, pieces, seeds

# --------------------------------------------------------------------------------------------------- aggregates


def _aggregates(data: bytes) -> None:
    """Take records apart: those that are marked get a digest that is right, or, every fourth time, one that is not."""
    chosen = Choices(data, 2)
    digests, marks = chosen.of(4), chosen.of(256)
    parts = pieces(chosen.rest, b"||")
    records = [_wrapped(one, digests > 0) if marks >> (at % 8) & 1 else one for at, one in enumerate(parts)]
    found = expand(records)
    if found is None:
        return
    of_record: list[list[bytes]] = [[] for _ in records]
    for at, sub, user in zip(found.record.tolist(), found.sub.tolist(), found.data, strict=True):
        assert sub == len(of_record[at]), "user records are numbered from 0, in order"
        of_record[at].append(user)
    assert len(found.hash_keys) == len(found)
    for record, users in zip(records, of_record, strict=True):
        whole = users == [record]
        assert whole or users == _users(record), "a record is whole, or the user records in it"
    keys = [key for key in found.hash_keys if key is not None]
    assert all(0 <= key <= wire.HASH_KEY_MAX for key in keys)
    assert not found.outside(0, wire.HASH_KEY_MAX).any()


def _wrapped(body: bytes, is_right: bool) -> bytes:
    return MAGIC + body + md5(body if is_right else body + b"x").digest()


def _users(record: bytes) -> list[bytes] | None:
    """Find the data of user records by hand: fields 3 of the message, and the last field 3 of each."""
    assert record.startswith(MAGIC)
    body = record[len(MAGIC) : -16]
    assert md5(body).digest() == record[-16:], "an aggregate has its digest"
    return [dict(_fields(one))[3] for number, one in _fields(body) if number == 3]


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """Give the fields of a message that have a length, and pass over the others."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, number = tag & 7, (tag & 0xFFFFFFFF) >> 3
        if kind == 2:
            size, at = _varint(message, at)
            found.append((number, message[at : at + size]))
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at = _past_group(message, at, number)
    return found


def _past_group(message: bytes, at: int, number: int) -> int:
    """Pass over a group, which no producer writes and every reader knows."""
    depth = [number]
    while depth:
        tag, at = _varint(message, at)
        kind, number = tag & 7, (tag & 0xFFFFFFFF) >> 3
        if kind == 3:
            depth.append(number)
        elif kind == 4:
            assert depth.pop() == number
        elif kind == 2:
            size, at = _varint(message, at)
            at += size
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at += 8 if kind == 1 else 4
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return number, at


# ------------------------------------------------------------------------------------------------------- frames


def _frames(data: bytes) -> None:
    """Cut a stream of bytes into messages, given at once and in parts; the bytes may be frames made of pieces."""
    chosen = Choices(data, 4)
    made, size, flip, bit = chosen.of(3), chosen.of(256) + 1, chosen.of(256), chosen.of(8)
    parts = pieces(chosen.rest, b"||")
    stream = chosen.rest if made == 0 else b"".join(map(_framed, parts))
    if made == 2 and flip < len(stream):
        stream = stream[:flip] + bytes([stream[flip] ^ 1 << bit]) + stream[flip + 1 :]
    whole = _messages([stream])
    in_parts = _messages([stream[at : at + size] for at in range(0, len(stream), size)])
    assert whole == in_parts, "messages are read otherwise where their bytes come in parts"
    assert whole == _plain_messages(stream), "messages are read otherwise than by hand"


def _framed(piece: bytes) -> bytes:
    """Make a message of which the first byte says how many of the others are its headers; or a good one of it all."""
    if len(piece) % 2:
        return frame({":event-type": piece.decode("latin-1")[:100]}, piece)
    count = min(piece[0], len(piece) - 1) if piece else 0
    lengths = struct.pack(">II", 16 + max(len(piece) - 1, 0), count)
    message = lengths + struct.pack(">I", crc32(lengths)) + piece[1:]
    return message + struct.pack(">I", crc32(message))


def _messages(parts: Sequence[bytes]) -> tuple[list[tuple[dict[str, str], bytes]], str]:
    """Read all there is: the messages, and whether the rest is nothing, part of one, or broken."""
    frames, found = Frames(), []
    for part in parts:
        frames.add(part)
        try:
            while (message := frames.next()) is not None:
                found.append((dict(message.headers), message.payload))
        except BrokenFrame:
            return found, "broken"
    return found, "amidst" if frames.is_amidst else ""


def _plain_messages(stream: bytes) -> tuple[list[tuple[dict[str, str], bytes]], str]:
    """Read the same by hand, from bytes that are all there."""
    found: list[tuple[dict[str, str], bytes]] = []
    while len(stream) >= 12:
        total, size, crc = struct.unpack(">III", stream[:12])
        if crc != crc32(stream[:8]) or not 16 + size <= total <= FRAME_BYTES_MAX:
            return found, "broken"
        if len(stream) < total:
            return found, "amidst"
        headers = _plain_headers(stream[12 : 12 + size])
        if headers is None or struct.unpack(">I", stream[total - 4 : total])[0] != crc32(stream[: total - 4]):
            return found, "broken"
        found.append((headers, stream[12 + size : total - 4]))
        stream = stream[total:]
    return found, "amidst" if stream else ""


def _plain_headers(data: bytes) -> dict[str, str] | None:
    """Read headers one after the other: the texts among them, None if one does not fit."""
    found: dict[str, str] = {}
    while data:
        name, rest = data[1 : 1 + data[0]], data[1 + data[0] :]
        if not rest or rest[0] > 9:
            return None
        kind, rest = rest[0], rest[1:]
        size = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}.get(kind, 0)
        if kind in (6, 7):
            if len(rest) < 2:
                return None
            size, rest = int.from_bytes(rest[:2]), rest[2:]
        if len(rest) < size:
            return None
        if not is_utf8(name) or (kind == 7 and not is_utf8(rest[:size])):
            return None
        if kind == 7:
            found[name.decode()] = rest[:size].decode()
        data = rest[size:]
    return found


# ------------------------------------------------------------------------------------------------------- targets


def _aggregate_seeds() -> tuple[bytes, ...]:
    puts = [wire.Put(b"one", "k"), wire.Put(b"two", "k", "7"), wire.Put(b"", "l")]
    body = aggregate(puts)[len(MAGIC) : -16]
    return (*seeds([(1, 1), (0, 3)], [body, body + b"||plain||" + body]), *seeds([(1, 0)], [b"plain", aggregate(puts)]))


def _frame_seeds() -> tuple[bytes, ...]:
    one = frame({":event-type": "SubscribeToShardEvent", ":message-type": "event"}, b'{"Records":[]}')
    typed = b"\x07" + b"\x01b\x00" + b"\x01l\x05" + b"\0" * 8
    return (*seeds([(0, 255), (0, 3)], [b"\0\0" + one + one]), *seeds([(1, 9, 0, 0), (2, 9, 5, 1)], [b"odd||" + typed]))


FRAMED: Final = (
    Target("aggregates", _aggregates, _aggregate_seeds(), (MAGIC, b"||", b"\x1a\x04", b"\x08\x00")),
    Target("frames", _frames, _frame_seeds(), (b"||", b"\0\0\0\x10", b"\x07", b"\x09")),
)
