"""Lines of a file, or of a pipe that may still grow, plain or gzip: what `shardlake put` reads."""

import os
import select
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Final

from isal import isal_zlib

from streams.sources.lines import Broken
from streams.sources.pieces import pieces

LINE_BYTES_MAX: Final = 10 << 20  # no record of Kinesis is larger
IDLE_S: Final = 0.25  # a pipe has no news for so long
_PIPE_BYTES: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_WITH_HEADER: Final = 31  # zlib's code for a gzip header, the largest window, and a checked trailer


def lines(file: IO[bytes]) -> Iterator[list[bytes]]:
    """Give a file's lines without their ends, some at a time; an empty list when a pipe has no news.

    Of a line that is longer than LINE_BYTES_MAX only the start is given, and that is longer too.
    Raises: Broken, after the lines that are whole, if gzip data break off; OSError.
    """
    if file.seekable():
        return cut(pieces(file, 0))  # type: ignore[arg-type] # a binary file, however it was opened
    arriving, first = _arriving(file.fileno()), b""
    while len(first) < len(_GZIP) and (piece := next(arriving, None)) is not None:
        first += piece
    given = chain([first] if first else [], arriving)
    return cut(_gunzipped(given) if first.startswith(_GZIP) else given)


def cut(given: Iterable[bytes]) -> Iterator[list[bytes]]:
    r"""Cut pieces into lines; an empty piece gives an empty list.

    Of a line that is longer than LINE_BYTES_MAX only the start is given, and that is longer too.
    Raises: Broken, after the lines that are whole, if the pieces break off.

    >>> list(cut([b"a\r\nb", b"c\n", b"", b"d"]))
    [[b'a'], [b'bc'], [], [b'd']]
    """
    rest, broken = b"", None
    try:
        for piece in given:
            more = piece if len(rest) <= LINE_BYTES_MAX else _from_its_end(piece)
            *whole, rest = (rest + more).split(b"\n") if more else (rest,)
            if whole or not piece:
                yield [line.removesuffix(b"\r") for line in whole]
            rest = rest[: LINE_BYTES_MAX + 1]
    except Broken as error:
        broken = error
    if rest and not (broken and broken.inside):
        yield [rest]
    if broken is not None:
        raise broken


def _from_its_end(piece: bytes) -> bytes:
    """Leave out what still belongs to the line before."""
    end = piece.find(b"\n")
    return piece[end:] if end >= 0 else b""


def _arriving(descriptor: int) -> Iterator[bytes]:
    while True:
        if not select.select([descriptor], [], [], IDLE_S)[0]:
            yield b""
            continue
        piece = os.read(descriptor, _PIPE_BYTES)
        if not piece:
            return
        yield piece


def _gunzipped(given: Iterable[bytes]) -> Iterator[bytes]:
    """Gunzip what is piped in, which cannot be read twice, one member after another."""
    inflater = None
    for piece in given:
        rest = piece
        if not rest:
            yield b""
        while rest and (inflater is not None or (rest := rest.lstrip(b"\0"))):
            inflater = inflater or isal_zlib.decompressobj(_WITH_HEADER)
            try:
                unpacked = inflater.decompress(rest)
            except isal_zlib.error as error:  # type: ignore[misc] # the stubs call it an instance
                raise Broken("corrupt_gzip", f"the gzip data cannot be decoded: {error}") from error
            if unpacked:
                yield unpacked
            rest, inflater = (inflater.unused_data, None) if inflater.eof else (b"", inflater)
    if inflater is not None:
        raise Broken("truncated_gzip", "the gzip data ends before its end mark")
