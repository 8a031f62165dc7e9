"""Blocks of log lines to rows and dead letters.

Nearly every block is regular: one layout, every line a row. It goes to the CSV reader as a whole. Whatever shows that a
block is not regular sends it to `sifting`, which judges each line and reads the good ones the same way: slower by a
factor of three, also where every line is bad.
"""

import re
from typing import Final

import numpy as np
import pyarrow as pa

from shardlake.packs import arrays
from shardlake.packs.cloudfront import names, sifting
from shardlake.packs.cloudfront.header import Layout, read_fields
from shardlake.packs.cloudfront.reading import read_rows
from shardlake.packs.cloudfront.schema import DECODED_SCHEMA
from shardlake.packs.cloudfront.sifting import BOM
from shardlake.packs.pack import Decoded

_DIRECTIVES: Final = re.compile(rb"^(?:\xef\xbb\xbf)?#[^\n]*", re.MULTILINE)
_DISTRIBUTION: Final = DECODED_SCHEMA.get_field_index("distribution")


class LogDecoder:
    """Decodes one log file, or a stream of such lines. See `shardlake.packs.pack.Decoder` for the contract.

    A line that begins with `#` is a directive; a line of nothing but spaces is nothing. Spaces and a carriage return at
    the end of a line belong to no field; a carriage return inside of one does. `-` is NULL.
    """

    def __init__(self, origin: str, fields: tuple[str, ...] | None, *, line_bytes_max: int) -> None:
        name = names.parse(origin)
        self._distribution = name.distribution if name else None
        self._layout = Layout(fields) if fields is not None else None
        self._unknown: set[str] = set(self._layout.unknown) if self._layout else set()
        self._line_bytes_max = line_bytes_max

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Fields that a header named and the schema does not know. Sorted."""
        return tuple(sorted(self._unknown))

    def decode(self, block: bytes) -> Decoded:
        """Read the next lines of the file; see the contract."""
        decoded = self._decode_regular(block) or self._decode_any(block)
        rows = decoded.rows.set_column(_DISTRIBUTION, DECODED_SCHEMA.field(_DISTRIBUTION), self._distributions(decoded))
        return Decoded(rows, decoded.lines, decoded.letters)

    def skip(self, block: bytes) -> None:
        """Heed the headers of lines that were read before."""
        for directive in _DIRECTIVES.finditer(block):
            self._heed(directive[0])

    def _heed(self, line: bytes) -> None:
        layout = read_fields(line.removeprefix(BOM))
        if layout is not None:
            self._layout = layout
            self._unknown |= layout.unknown

    def _decode_regular(self, block: bytes) -> Decoded | None:
        """Read directives at the start and then lines of one layout; None if anything is out of the ordinary."""
        start, skipped = self._leading_directives(block)
        lines = block.count(b"\n", start) + (len(block) > start and not block.endswith(b"\n"))
        if not lines:
            return Decoded(DECODED_SCHEMA.empty_table(), np.zeros(0, np.int64))
        if self._layout is None or not self._layout.is_usable or not _looks_regular(block, start, self._line_bytes_max):
            return None
        text = pa.py_buffer(block).slice(start)
        rows = read_rows(text, self._layout, line_bytes_max=self._line_bytes_max, ascii_only=block.isascii())
        if rows is None or rows.num_rows != lines:
            return None
        return Decoded(rows, np.arange(skipped, skipped + lines, dtype=np.int64))

    def _leading_directives(self, block: bytes) -> tuple[int, int]:
        """Heed the directives that a block begins with: how many bytes and lines they are."""
        at = lines = 0
        while block.startswith((b"#", BOM + b"#") if at == 0 else b"#", at):
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

    def _distributions(self, decoded: Decoded) -> pa.ChunkedArray:
        """The distribution of each row: from the file's name, else the domain that the request went to."""
        count = decoded.rows.num_rows
        if self._distribution is not None:
            return pa.chunked_array([arrays.coded(np.zeros(count, np.int32), [self._distribution])])
        return decoded.rows["cs_host"].dictionary_encode()


def _looks_regular(block: bytes, start: int, line_bytes_max: int) -> bool:
    """Rule out what the CSV reader would read otherwise than we do: byte order marks, and very long lines.

    A carriage return is a newline for the reader, so that one inside of a line shows in the number of rows. A line
    longer than two windows holds a whole window without a newline.
    """
    if not block.isascii() and BOM in block:
        return False
    window = max(line_bytes_max // 2, 1)
    return all(block.find(b"\n", at, at + window) >= 0 for at in range(start, len(block) - window + 1, window))
