"""Blocks of log lines to rows and dead letters.

Nearly every block is regular: one layout, every line a row. It goes to the CSV reader as a whole. Whatever shows that a
block is not regular sends it to `sifting`, which judges each line and reads the good ones the same way: slower by a
factor of three, also where every line is bad.
"""

import re
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardlake.packs import arrays
from shardlake.packs.cloudfront import names, sifting
from shardlake.packs.cloudfront.header import STANDARD, read_fields
from shardlake.packs.cloudfront.layout import BOM, Dialect, layout_of
from shardlake.packs.cloudfront.reading import read_rows
from shardlake.packs.cloudfront.schema import DECODED_SCHEMA, READ_SCHEMA
from shardlake.packs.pack import Decoded

_DIRECTIVES: Final = re.compile(rb"^(?:\xef\xbb\xbf)?#[^\n]*", re.MULTILINE)
_DISTRIBUTION: Final = DECODED_SCHEMA.get_field_index("distribution")


class LogDecoder:
    """Decodes one log file, or a stream of such lines. See `shardlake.packs.pack.Decoder` for the contract.

    In a standard log, a line that begins with `#` is a directive. A line of nothing but spaces is nothing. Spaces and a
    carriage return at the end of a line belong to no field; a carriage return inside of one does. `-` is NULL.
    """

    def __init__(
        self, origin: str, fields: tuple[str, ...] | None, *, line_bytes_max: int, dialect: Dialect = STANDARD
    ) -> None:
        name = names.parse(origin)
        self._distribution = name.distribution if name else None
        self._layout = layout_of(fields or (), dialect)
        self._unknown: set[str] = set(self._layout.unknown)
        self._line_bytes_max = line_bytes_max

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Fields that a header or the configuration named and the schema does not know. Sorted."""
        return tuple(sorted(self._unknown))

    def decode(self, block: bytes) -> Decoded:
        """Read the next lines of the file; see the contract."""
        decoded = self._decode_regular(block) or self._decode_any(block)
        told = self._distributions(decoded.rows)
        rows = decoded.rows.set_column(_DISTRIBUTION, DECODED_SCHEMA.field(_DISTRIBUTION), told)
        return Decoded(rows, decoded.lines, decoded.letters)

    def skip(self, block: bytes) -> None:
        """Heed the headers of lines that were read before."""
        if self._layout.dialect.directives:
            for directive in _DIRECTIVES.finditer(block):
                self._heed(directive[0])

    def _heed(self, line: bytes) -> None:
        layout = read_fields(line)
        if layout is not None:
            self._layout = layout
            self._unknown |= layout.unknown

    def _decode_regular(self, block: bytes) -> Decoded | None:
        """Read directives at the start and then lines of one layout; None if anything is out of the ordinary."""
        start, skipped = self._leading_directives(block)
        if start == len(block):
            return Decoded(READ_SCHEMA.empty_table(), np.zeros(0, np.int64))
        if not self._layout.is_usable or not _looks_regular(block, start, self._line_bytes_max):
            return None
        if self._layout.hides_directives and block.find(b"\n#", start) >= 0:
            return None
        rows = read_rows(pa.py_buffer(block).slice(start), self._layout, line_bytes_max=self._line_bytes_max)
        if rows is None or not _has_whole_lines(rows, block, start):
            return None
        return Decoded(rows, np.arange(skipped, skipped + rows.num_rows, dtype=np.int64))

    def _leading_directives(self, block: bytes) -> tuple[int, int]:
        """Heed the directives that a block begins with: how many bytes and lines they are."""
        at = lines = 0
        marks = self._layout.dialect.directives
        while block.startswith(marks if at == 0 else marks[:1], at):
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            self._heed(block[at:end])
            at, lines = min(end + 1, len(block)), lines + 1
        return at, lines

    def _decode_any(self, block: bytes) -> Decoded:
        sifted = sifting.sift(block, self._layout, self._line_bytes_max)
        for layout in sifted.layouts:
            self._unknown |= layout.unknown
            self._layout = layout
        return sifted.decoded

    def _distributions(self, rows: pa.Table) -> pa.ChunkedArray:
        """The distribution of each row: from the file's name, else from the line, else the domain."""
        if self._distribution is not None:
            return pa.chunked_array([arrays.coded(np.zeros(rows.num_rows, np.int32), [self._distribution])])
        told, domains = rows["distribution"], rows["cs_host"]
        if told.null_count < rows.num_rows:
            return pc.coalesce(told, domains).dictionary_encode()
        return domains.dictionary_encode()


def _looks_regular(block: bytes, start: int, line_bytes_max: int) -> bool:
    """Rule out what the CSV reader would read otherwise than we do, or not judge at all.

    That is byte order marks, what is not UTF-8 (also in fields that are passed over), and very long lines: one longer
    than two windows holds a whole window without a newline.
    """
    if not block.isascii() and (BOM in block or not _is_utf8(block, start)):
        return False
    window = max(line_bytes_max // 2, 1)
    return all(block.find(b"\n", at, at + window) >= 0 for at in range(start, len(block) - window + 1, window))


def _is_utf8(block: bytes, start: int) -> bool:
    """Have Arrow look at the bytes from `start` on, as if they were one value: it does so without a copy."""
    ends = pa.py_buffer(np.array([start, len(block)], np.int64))
    value = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(block)])
    try:
        value.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _has_whole_lines(rows: pa.Table, block: bytes, start: int) -> bool:
    """Tell whether each row is a line: to the CSV reader a carriage return inside of a line is a newline too."""
    if b"\r" not in block:
        return True
    lines = block.count(b"\n", start) + (not block.endswith(b"\n"))
    return int(rows.num_rows) == lines
