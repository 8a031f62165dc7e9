"""The framing of AWS event streams: bytes to messages and back.

A message is: its length and the length of its headers, four bytes each, big endian; the CRC32 of these eight; headers;
payload; and the CRC32 of all that. A header is the length of its name (one byte), the name, the type of its value (one
byte) and the value; texts have type 7 and two bytes of length before them.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from shardlake.core.errors import Transient

FRAME_BYTES_MAX: Final = 32 << 20  # a record has up to 10 MiB, as base64 a third more
_PRELUDE: Final = struct.Struct(">II")
_NUMBER: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")
_AROUND: Final = _PRELUDE.size + 2 * _NUMBER.size  # what a message has beside headers and payload
_TEXT: Final = 7
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of values that are no texts, by type
_COUNTED: Final = (6, _TEXT)


class BrokenFrame(Transient):
    """Bytes that are no event stream, or were changed on their way. What came before them is good."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the event stream is broken ({why}): it will be opened again")


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message: those of its headers that are texts, and its payload."""

    headers: Mapping[str, str]
    payload: bytes

    def __repr__(self) -> str:
        """Tell of the message, and nothing of what it holds."""
        return f"Message({self.headers.get(':event-type', '')}, {len(self.payload)} bytes)"


class Frames:
    """Cuts bytes, as they come, into messages. After a `BrokenFrame` there are no more."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def is_amidst(self) -> bool:
        """Tell whether part of a message waits for the rest."""
        return bool(self._bytes)

    def add(self, data: bytes) -> None:
        """Take what came."""
        self._bytes += data

    def next(self) -> Message | None:
        """Give the next whole message; None until it is there. Raises: BrokenFrame."""
        found = self._bytes
        if len(found) < _PRELUDE.size + _NUMBER.size:
            return None
        total, headers = _PRELUDE.unpack_from(found)
        if crc32(found[: _PRELUDE.size]) != _NUMBER.unpack_from(found, _PRELUDE.size)[0]:
            raise BrokenFrame("the lengths of a message do not have their CRC")
        if not _AROUND + headers <= total <= FRAME_BYTES_MAX:
            raise BrokenFrame(f"a message of {total} bytes with {headers} bytes of headers")
        if len(found) < total:
            return None
        with memoryview(found) as view:
            frame = bytes(view[:total])
        del found[:total]
        if crc32(memoryview(frame)[: -_NUMBER.size]) != _NUMBER.unpack_from(frame, total - _NUMBER.size)[0]:
            raise BrokenFrame("a message does not have its CRC")
        start = _PRELUDE.size + _NUMBER.size
        return Message(_headers(frame[start : start + headers]), frame[start + headers : -_NUMBER.size])


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Write a message."""
    texts = b"".join(_header(name, value) for name, value in headers.items())
    lengths = _PRELUDE.pack(_AROUND + len(texts) + len(payload), len(texts))
    message = lengths + _NUMBER.pack(crc32(lengths)) + texts + payload
    return message + _NUMBER.pack(crc32(message))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes([len(key)]) + key + bytes([_TEXT]) + _SHORT.pack(len(text)) + text


def _headers(data: bytes) -> dict[str, str]:
    """Read headers; those that are no texts are passed over. Raises: BrokenFrame."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            after = at + 1 + data[at]
            name, kind = data[at + 1 : after].decode(), data[after]
            at = after + 1
            size = _SIZES.get(kind, 0)
            if kind in _COUNTED:
                (size,) = _SHORT.unpack_from(data, at)
                at += _SHORT.size
            elif kind not in _SIZES:
                raise BrokenFrame(f"a header of type {kind}")
            if kind == _TEXT:
                found[name] = data[at : at + size].decode()
            at += size
    except (IndexError, struct.error, UnicodeDecodeError):
        raise BrokenFrame("a header does not fit") from None
    if at != len(data):
        raise BrokenFrame("a header is cut")
    return found
