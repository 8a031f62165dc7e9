"""Blocks in which something is off: each line is judged, the good ones are read together, the rest become letters.

This works line by line in Python where whole columns cannot tell, at one or two microseconds a line; only values that
are neither surely good nor surely bad are tried one by one, each distinct value once.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shardlake.packs import arrays
from shardlake.packs.cloudfront.header import Layout, read_fields
from shardlake.packs.cloudfront.reading import read_csv, read_rows
from shardlake.packs.cloudfront.schema import DECODED_SCHEMA
from shardlake.packs.pack import Decoded, Letter, Reason

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \r"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a type's values look like: those that are surely good, and those that might be; no other one is good."""

    name: str
    sure: str
    maybe: re.Pattern[str]


_WHOLE = re.compile(r" *(?:-?[0-9]+|0[xX][0-9a-fA-F]+) *")
_SHAPES: Final = {
    pa.int64(): _Shape("an integer", r"^ *-?[0-9]{1,18} *$", _WHOLE),
    pa.float64(): _Shape("a number", r"^ *-?[0-9]{1,15}(\.[0-9]{1,15})? *$", re.compile(r" *[-+0-9.eE]+ *")),
    pa.date32(): _Shape(
        "a date from 1970 on",
        r"^ *(19[789][0-9]|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8]) *$",
        re.compile(r" *(?:19[789][0-9]|[2-9][0-9]{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]) *"),
    ),
    pa.time32("s"): _Shape(
        "a time of day", r"^ *([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])? *$", re.compile(r"(?!)")
    ),
}


@dataclass(slots=True)
class Sifted:
    """What a block held, and the layouts that its headers named, in order."""

    decoded: Decoded
    layouts: list[Layout]


@dataclass(slots=True)
class _Lines:
    """The lines of a block that have the right number of fields, by layout; and the letters so far."""

    limit: int
    good: dict[Layout, tuple[list[int], list[bytes]]] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)

    def judge(self, index: int, line: bytes, layout: Layout | None) -> None:
        """Keep a line that may be good under its layout, or make a letter of it."""
        text = line.rstrip(_BLANK)
        if fault := _fault(line, text, layout, self.limit):
            self.letters.append(Letter(index, *fault, line))
        elif text and layout is not None:
            indices, texts = self.good.setdefault(layout, ([], []))
            indices.append(index)
            texts.append(text)


def sift(block: bytes, layout: Layout | None, limit: int) -> Sifted:
    """Judge each line of a block. `layout` is that of the lines before the block's first header."""
    lines = _Lines(limit)
    for index, line in enumerate(block.split(b"\n")):
        if line.startswith((b"#", _BOM + b"#")):
            found = read_fields(line.removeprefix(_BOM))
            if found is not None:
                layout = found
                lines.layouts.append(found)
        else:
            lines.judge(index, line, layout)
    parts = [_read(layout, *kept, lines) for layout, kept in lines.good.items()]
    return Sifted(_merge(parts, lines.letters), lines.layouts)


def _fault(line: bytes, text: bytes, layout: Layout | None, limit: int) -> tuple[Reason, str] | None:
    """Say what is wrong with a line as a whole; None if nothing is."""
    if len(line) > limit:
        return Reason.LINE_TOO_LONG, f"{len(line)} bytes; the limit is {limit}"
    if not text:
        return None
    if layout is None or not layout.is_usable:
        return Reason.NO_HEADER, "no #Fields line with date and time stands above it"
    found = text.count(b"\t") + 1
    if found != layout.width:
        reason = Reason.TOO_FEW_FIELDS if found < layout.width else Reason.TOO_MANY_FIELDS
        return reason, f"{found} fields; the header names {layout.width}"
    return None if text.isascii() or _is_utf8(text) else (Reason.INVALID_UTF8, "it is not UTF-8")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read(layout: Layout, indices: list[int], texts: list[bytes], lines: _Lines) -> tuple[pa.Table, list[int]]:
    """Read lines of one layout; whose values have a wrong type become letters."""
    stand_in = _stand_in(texts)
    table = _rows(texts, layout, lines.limit, stand_in)
    if table is None:
        faults = _type_faults(texts, layout, lines.limit, stand_in)
        lines.letters += [
            Letter(indices[at], Reason.WRONG_TYPE, detail, texts[at]) for at, detail in enumerate(faults) if detail
        ]
        kept = [at for at, detail in enumerate(faults) if not detail]
        indices, texts = [indices[at] for at in kept], [texts[at] for at in kept]
        table = _rows(texts, layout, lines.limit, stand_in)
    if table is None:
        raise AssertionError("lines whose every value is good cannot be read")
    return table, indices
