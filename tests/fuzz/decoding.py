"""What holds for every decoder: it never raises, and each line is a row, a letter with its bytes, or nothing."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shardlake.packs.pack import Decoded, Decoder, Pack
from tests.fuzz.target import Choices

LIMITS = (1 << 20, 90)
CHOICES = 3
BOM = b"\xef\xbb\xbf"
Told = list[tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to read lines.

    `nothings` gives the indices of the lines of a block that are neither rows nor letters, where lines have at most so
    many bytes. `heads` are what may be put above an input. `pack` enriches the rows, if there is one.
    """

    open: Callable[[int], Decoder]
    nothings: Callable[[Sequence[bytes], int], set[int]]
    heads: tuple[bytes, ...] = (b"",)
    pack: Pack | None = None
    weighted: bool = False


def checked(kinds: Sequence[Kind], data: bytes) -> None:
    """Read an input by the kind, the limit and the head, and cut it at the line, that its first bytes choose."""
    chosen = Choices(data, CHOICES)
    kind = kinds[chosen.of(len(kinds))]
    which = chosen.of(len(LIMITS) * len(kind.heads))
    limit = LIMITS[which % len(LIMITS)]
    block = kind.heads[which // len(LIMITS)] + chosen.rest
    lines = block.split(b"\n")
    decoder = kind.open(limit)
    before = copy.copy(decoder)
    whole = decoder.decode(block)
    _accounted(lines, whole, kind, limit)
    if above := chosen.of(len(lines)):
        cut = sum(len(line) + 1 for line in lines[:above])
        _same_in_parts(before, block[:cut], block[cut:], told(whole))
    if kind.pack is not None:
        assert kind.pack.enrich(whole.rows).num_rows == whole.rows.num_rows
    assert isinstance(decoder.unknown_fields, tuple)


def _accounted(lines: Sequence[bytes], decoded: Decoded, kind: Kind, limit: int) -> None:
    """Each line is one row, one letter that holds its bytes, or nothing for a reason."""
    decoded.rows.validate(full=True)
    rows, letters = decoded.lines.tolist(), [letter.index for letter in decoded.letters]
    assert decoded.rows.num_rows == len(rows)
    assert rows == sorted(set(rows)), "rows ascend, and no line is two"
    assert letters == sorted(set(letters)), "letters ascend, and no line is two"
    assert not set(rows) & set(letters), "no line is a row and a letter"
    nothing = set(range(len(lines))) - set(rows) - set(letters)
    assert nothing == kind.nothings(lines, limit), (
        "what is neither row nor letter is a blank line, a directive or a header"
    )
    assert all(letter.payload == lines[letter.index] for letter in decoded.letters)
    if kind.weighted:
        assert decoded.weights is not None
        assert len(decoded.weights) == len(rows)
        assert set(np.unique(decoded.weights).tolist()) <= {-1, 1}


def _same_in_parts(decoder: Decoder, first: bytes, second: bytes, expected: Told) -> None:
    """A line is read alike whatever block it stands in, and also where those above it were read before."""
    count = first.count(b"\n")
    above, below = ([one for one in expected if (one[0] < count) is is_above] for is_above in (True, False))
    if len(second) % 2:
        decoder.skip(first)
    else:
        assert told(decoder.decode(first)) == above, "a line is read otherwise in another block"
    assert told(decoder.decode(second), count) == below, "a line is read otherwise below another block"


def told(decoded: Decoded, start: int = 0) -> Told:
    """Say what became of the lines of a block whose first has the index `start`."""
    weights = decoded.weights.tolist() if decoded.weights is not None else [1] * len(decoded.lines)
    rows = zip(decoded.lines.tolist(), decoded.rows.to_pylist(), weights, strict=True)
    found: list[tuple[int, Any]] = [(start + at, (_plain(row), weight)) for at, row, weight in rows]
    found += [(start + x.index, (x.reason, x.detail, x.payload)) for x in decoded.letters]
    return sorted(found, key=lambda one: one[0])


def _plain(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, repr(value)) for name, value in row.items() if value is not None)


# --------------------------------------------------------------------------------------------- lines of no meaning


def directives_and_blanks(lines: Sequence[bytes], limit: int) -> set[int]:
    """Find what means nothing in a CloudFront log."""
    marks = (b"#", BOM + b"#")
    return blanks(lines, limit) | {at for at, line in enumerate(lines) if line.startswith(marks)}


def blanks(lines: Sequence[bytes], limit: int) -> set[int]:
    """Find the lines of spaces in what has no directives."""
    return {at for at, line in enumerate(lines) if not line.rstrip(b" \r") and len(line) <= limit}


def declared_blanks(lines: Sequence[bytes], limit: int, comment: bytes = b"") -> set[int]:
    """Find the lines of a declared pack that hold nothing, or are comments."""
    found = [_content(line) for line in lines]
    return {at for at, line in enumerate(found) if not line.strip(b" \t\r") or (comment and line.startswith(comment))}


def headed(names: Callable[[str], Sequence[str]], needed: str) -> Callable[[Sequence[bytes], int], set[int]]:
    """Make a rule for lines of which the first names the fields, `needed` among them; others like it say nothing.

    One that is too long, or not UTF-8, names them all the same, and is a letter.
    """

    def found(lines: Sequence[bytes], limit: int) -> set[int]:
        empty = declared_blanks(lines, limit)
        first = next((at for at in range(len(lines)) if at not in empty), None)
        if first is None:
            return empty
        header = _content(lines[first])
        named = [name.strip().casefold() for name in names(header.decode("utf-8", "replace"))]
        if needed not in named or len(header) > limit or not is_utf8(header):
            return empty
        return empty | {at for at, line in enumerate(lines) if _content(line) == header}

    return found


def is_utf8(line: bytes) -> bool:
    """Tell whether a line is UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content(line: bytes) -> bytes:
    return line.removesuffix(b"\r").removeprefix(BOM)
