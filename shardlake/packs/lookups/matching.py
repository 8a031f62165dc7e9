"""Which row of a table a value meets: by the whole value, by how it begins, or by the network of an address.

A matcher gives the number of a row, or -1. Among several keys that a value meets, the longest one wins.
"""

import socket
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from shardlake.packs.lookups.declaration import Declaration

KNOWN_MAX: Final = 65_536  # values that are remembered from chunk to chunk
KNOWN_CHARS_MAX: Final = 256  # longer ones are not worth the memory; no address or code is
NONE: Final = -1
_BITS: Final[Mapping[socket.AddressFamily, int]] = {socket.AF_INET: 32, socket.AF_INET6: 128}
_MAPPED: Final = 0xFFFF << 32  # ::ffff:0:0/96: an IPv4 address as a socket of IPv6 shows it

Matcher = Callable[[str], int]
Address = tuple[socket.AddressFamily, int]


def matcher(declared: Declaration, keys: Sequence[str]) -> Matcher:
    """Make the matcher that a lookup declares. Raises: ConfigError for a key that is no key, or stands there twice."""
    if declared.match == "network":
        return Remembering(Networks(declared, keys))
    rows = _by_key(declared, keys)
    return Remembering(Prefixes(rows)) if declared.match == "prefix" else lambda value: rows.get(value, NONE)


class Remembering:
    """A matcher that asks another one once for each value that it remembers."""

    def __init__(self, inner: Matcher, known_max: int = KNOWN_MAX) -> None:
        self._inner, self._known_max = inner, known_max
        self._known: dict[str, int] = {}

    def __call__(self, value: str) -> int:
        """Give the row that a value meets, or -1."""
        row = self._known.get(value)
        if row is None:
            row = self._inner(value)
            if len(self._known) >= self._known_max:
                self._known.clear()
            if len(value) <= KNOWN_CHARS_MAX:
                self._known[value] = row
        return row


class Prefixes:
    """The longest key that a value begins with."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        self._rows = rows
        self._lengths = sorted({len(key) for key in rows}, reverse=True)

    def __call__(self, value: str) -> int:
        """Give the row that a value meets, or -1."""
        for length in self._lengths:
            row = self._rows.get(value[:length], NONE)
            if row != NONE:
                return row
        return NONE


class Networks:
    """The smallest network that an address lies in. What is no address meets nothing.

    Networks nest or are disjoint, so they cut the line of addresses into stretches, each of which has one smallest
    network: an address is found by one bisection.
    """

    def __init__(self, declared: Declaration, keys: Sequence[str]) -> None:
        spans: dict[socket.AddressFamily, dict[tuple[int, int], int]] = {family: {} for family in _BITS}
        for row, key in enumerate(keys):
            found = network(key)
            if found is None:
                said = "is no network, such as 203.0.113.0/24 or 2001:db8::/32 without bits behind the slash's"
                raise declared.wrong("key", f"in row {row + 1} of {declared.table} {said}; correct it there")
            family, first, last = found
            if (before := spans[family].setdefault((first, -last), row)) != row:
                raise _twice(declared, before, row)
        self._lines = {family: _stretches(found) for family, found in spans.items()}

    def __call__(self, value: str) -> int:
        """Give the row that a value meets, or -1."""
        found = address(value)
        if found is None:
            return NONE
        starts, rows = self._lines[found[0]]
        return rows[bisect_right(starts, found[1])]


def address(text: str) -> Address | None:
    """Read an address; None for anything else. An IPv4 address in IPv6's form is one of IPv4.

    >>> address("10.0.0.1") == address("::ffff:10.0.0.1"), address("10.0.0.01"), address("10.0.0.1, 10.0.0.2")
    (True, None, None)
    """
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        number = int.from_bytes(socket.inet_pton(family, text))  # ten times as fast as ipaddress
    except (OSError, ValueError):  # a NUL or a lone surrogate is a ValueError
        return None
    if family == socket.AF_INET6 and number >> 32 == _MAPPED >> 32:
        return socket.AF_INET, number & 0xFFFF_FFFF
    return family, number


def network(text: str) -> tuple[socket.AddressFamily, int, int] | None:
    """Read a network, or an address as a network of one: its first and last address; None for anything else."""
    host, slash, length = text.partition("/")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        first = int.from_bytes(socket.inet_pton(family, host))
    except (OSError, ValueError):
        return None
    if slash and not (length.isascii() and length.isdecimal() and int(length) <= _BITS[family]):
        return None
    last = first | ((1 << (_BITS[family] - int(length))) - 1 if slash else 0)
    size = last - first + 1
    return (family, first, last) if first % size == 0 else None


def _stretches(spans: Mapping[tuple[int, int], int]) -> tuple[list[int], list[int]]:
    """Cut the line of addresses: where stretches begin, and the row of each; the first row is that before them all."""
    starts: list[int] = []
    rows = [NONE]
    open_: list[tuple[int, int]] = []  # the networks around the present address: last address and row

    def begin(at: int, row: int) -> None:
        if starts and starts[-1] == at:
            rows[-1] = row
        else:
            starts.append(at)
            rows.append(row)

    def end() -> None:
        last, _ = open_.pop()
        begin(last + 1, open_[-1][1] if open_ else NONE)

    for (first, negative_last), row in sorted(spans.items()):  # of two that begin together, the larger one first
        while open_ and open_[-1][0] < first:
            end()
        begin(first, row)
        open_.append((-negative_last, row))
    while open_:
        end()
    return starts, rows


def _by_key(declared: Declaration, keys: Sequence[str]) -> Mapping[str, int]:
    rows: dict[str, int] = {}
    for row, key in enumerate(keys):
        if (before := rows.setdefault(key, row)) != row:
            raise _twice(declared, before, row)
    return rows


def _twice(declared: Declaration, before: int, row: int) -> Exception:
    said = f"in row {row + 1} of {declared.table} is that of row {before + 1} already"
    return declared.wrong("key", f"{said}; keep one of them")
