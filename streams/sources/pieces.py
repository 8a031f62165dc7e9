"""The bytes of one object in bounded pieces: plain, or gzip, as its first two bytes say (names lie).

Gzip may have several members, zeros between and after them, and may break anywhere. Up to the break every byte that
can be decoded is given, whatever the sizes of the pieces: a fast decoder finds the break, a careful one goes up to it.
"""

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Final, cast

from isal import isal_zlib

from streams.sources.lines import Broken, Sample

PLAIN_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 256 << 10  # decoded: fits the caches of a core
READ_BYTES: Final = 128 << 10  # compressed
_GZIP: Final = b"\x1f\x8b"
_WITH_HEADER: Final = 31  # zlib's code for a gzip header, the largest window, and a checked trailer
_FAST_ERROR: Final = cast("type[Exception]", isal_zlib.error)  # the stubs call it an instance


def pieces(file: BinaryIO, lost_bytes_max: int) -> Iterator[bytes]:
    """Give a file's decoded bytes in pieces. Raises: Broken, holding at most `lost_bytes_max` of what is lost."""
    head = file.read(len(_GZIP))
    file.seek(0)
    return _Gunzip(file, lost_bytes_max).pieces() if head == _GZIP else _chunks(file, PLAIN_BYTES)


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    return iter(lambda: file.read(size), b"")


class _Gunzip:
    def __init__(self, file: BinaryIO, lost_bytes_max: int) -> None:
        self._file, self._lost_bytes_max = file, lost_bytes_max
        self._given = 0  # bytes of this member

    def pieces(self) -> Iterator[bytes]:
        data = self._file.read(READ_BYTES)
        while data:
            start = self._file.tell() - len(data)
            inflater = isal_zlib.decompressobj(_WITH_HEADER)
            try:
                yield from self._member(inflater, data)
            except _FAST_ERROR as error:
                yield from self._up_to_the_break(start, str(error))
            data = self._next_member(inflater.unused_data)

    def _member(self, inflater: isal_zlib.Decompress, data: bytes) -> Iterator[bytes]:
        self._given = 0
        while True:
            piece = inflater.decompress(data, PIECE_BYTES)
            if piece:
                self._given += len(piece)
                yield piece
            if inflater.eof:
                return
            data = inflater.unconsumed_tail
            if not data and len(piece) < PIECE_BYTES:
                data = self._file.read(READ_BYTES)
                if not data:
                    raise Broken("truncated_gzip", "the gzip data ends before its end mark")

    def _next_member(self, rest: bytes) -> bytes:
        """Find the next member; b"" at the end. Raises: Broken if something else follows."""
        rest = rest.lstrip(b"\0")
        while len(rest) < len(_GZIP):
            more = self._file.read(READ_BYTES)
            if not more:
                break
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(_GZIP):
            detail = "something that is not gzip follows the gzip data"
            raise Broken("trailing_garbage", detail, inside=False, lost=self._sample(rest))
        return rest

    def _up_to_the_break(self, start: int, detail: str) -> Iterator[bytes]:
        """Give what can be decoded beyond the last piece: in smaller and smaller steps. Raises: Broken, always.

        First the input is halved, because a wrong checksum must not take the last bytes along, then the output.
        """
        self._file.seek(start)
        careful, data, skip, feed, step = zlib.decompressobj(_WITH_HEADER), b"", self._given, READ_BYTES, PIECE_BYTES
        while step and not careful.eof:
            data = data or self._file.read(READ_BYTES)
            before = careful.copy()
            try:
                piece = careful.decompress(data[:feed], step)
            except zlib.error:
                careful, feed, step = (before, feed // 2, step) if feed > 1 else (before, feed, step // 2)
                continue
            if not piece and not data:
                break
            data = careful.unconsumed_tail + data[feed:]
            if piece[skip:]:
                yield piece[skip:]
            skip -= min(skip, len(piece))
        raise Broken("corrupt_gzip", f"the gzip data cannot be decoded: {detail}", lost=self._sample(data))

    def _sample(self, first: bytes) -> Sample:
        return Sample.of(chain([first], _chunks(self._file, READ_BYTES)), self._lost_bytes_max)
