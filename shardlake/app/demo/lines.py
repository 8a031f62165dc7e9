"""Reads CloudFront log lines the plain way: one by one, for the plain count alone.

It shares no code with the decoder of the CloudFront pack, and comes to the same judgement by the same rules: what a
header names is what a line must hold, `-` is NULL, and a line with anything wrong in it is no event.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

Bot = tuple[bool | None, str | None, str | None]
Classify = Callable[[str | None], Bot]
Event = tuple[Any, ...]  # line, id, minute, five minutes, distribution, edge, viewer, bytes, bot: None stands for NULL

INTEGERS: Final = (
    "sc_bytes",
    "cs_bytes",
    "fle_encrypted_fields",
    "c_port",
    "sc_content_len",
    "sc_range_start",
    "sc_range_end",
)
FRACTIONS: Final = ("time_taken", "time_to_first_byte")
LINE_BYTES_MAX: Final = 1 << 20
_WANTED: Final = (
    "date",
    "time",
    "x_edge_location",
    "sc_bytes",
    "c_ip",
    "cs_host",
    "cs_user_agent",
    "x_edge_request_id",
)
_MOMENT = re.compile(rb" *(\d{4}-\d\d-\d\d) +(\d\d:\d\d(?::\d\d)?) *")
_INTEGER = re.compile(rb" *-?[0-9]{1,40} *")
_FRACTION = re.compile(rb" *[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)? *")
_NAME = re.compile(r"(E[0-9A-Z]{8,20})\.\d{4}-\d\d-\d\d-\d\d\.[^/]+$")
_MARKS = re.compile(r"[^a-z0-9]+")
_MARK: Final = b"\xef\xbb\xbf"  # of UTF-8; editors put it before the first line
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class LogFile:
    """The events of one file in the order of its lines, and the numbers of the lines that are none."""

    events: list[Event]
    broken: list[int]


def distribution_of(name: str) -> str | None:
    """The distribution's id in an object's name as CloudFront writes it, if it is one."""
    found = _NAME.search(name)
    return found[1] if found else None


class Agents:
    """User agents as the log writes them -> what they are; each text is decoded and classified once."""

    def __init__(self, classify: Classify) -> None:
        self._classify = classify
        self._known: dict[bytes, Bot] = {}

    def __call__(self, raw: bytes) -> Bot:
        """Classify a cell of the user agent's column; `-` is a user agent that was not sent."""
        bot = self._known.get(raw)
        if bot is None:
            bot = self._known[raw] = self._classify(None if raw == b"-" else plain_agent(raw.decode()))
        return bot


def plain_agent(text: str) -> str:
    """URL-decode a user agent until it does not change, at most twice."""
    for _ in range(2):
        decoded = unquote(text)
        if decoded == text:
            break
        text = decoded
    return text


def read_file(path: Path, distribution: str | None, agents: Agents, line_bytes_max: int) -> LogFile:
    """Judge each physical line of a file: a header, an event, or broken."""
    text, end = _unpacked(path.read_bytes())
    lines = text.split(b"\n")
    last = lines.pop()
    if last and end in ("whole", "garbage"):
        lines.append(last)
    events: list[Event] = []
    broken: list[int] = []
    layout: Layout | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith((b"#", _MARK + b"#")):
            named = line.removeprefix(_MARK)
            layout = Layout(named, distribution) if named.startswith(b"#Fields:") else layout
        elif len(line) > line_bytes_max:
            broken.append(number)
        elif text := line.rstrip(b" \r"):  # a line of nothing but spaces is nothing
            event = layout.event(number, text, agents) if layout else None
            events.append(event) if event else broken.append(number)
    # A line that was cut is none: nobody can tell what it said. What cannot be decoded at all counts as one more line.
    lost = {"whole": 0, "garbage": 1, "truncated": 1, "corrupt": 2 if last else 1}[end]
    return LogFile(events, broken + [len(lines) + n + 1 for n in range(lost)])


def _unpacked(content: bytes) -> tuple[bytes, str]:
    """The text of a plain or gzip file as far as it can be read, and how it ends.

    It ends "whole", "truncated", "corrupt", or with "garbage" behind what is whole.
    """
    if not content.startswith(_GZIP):
        return content, "whole"
    parts: list[bytes] = []
    while content:
        if not content.startswith(_GZIP):
            return b"".join(parts), "garbage"
        member = zlib.decompressobj(31)
        try:
            parts.append(member.decompress(content))
        except zlib.error:
            return b"".join([*parts, *_up_to_the_fault(content)]), "corrupt"
        if not member.eof:
            return b"".join(parts), "truncated"
        content = member.unused_data.lstrip(b"\0")
    return b"".join(parts), "whole"


def _up_to_the_fault(content: bytes) -> Iterator[bytes]:
    member = zlib.decompressobj(31)
    try:
        for place in range(len(content)):
            yield member.decompress(content[place : place + 1])
    except zlib.error:
        return


class Layout:
    """The columns that a #Fields line announced, and how a line under it is read."""

    def __init__(self, header: bytes, distribution: str | None) -> None:
        fields = header.decode("utf-8", "replace").removeprefix("#Fields:").split()
        names = [_MARKS.sub("_", field.lower()).strip("_") for field in fields]
        self._width = len(names)
        self._distribution = distribution
        self._integers = [names.index(name) for name in INTEGERS if name in names]
        self._fractions = [names.index(name) for name in FRACTIONS if name in names]
        self._wanted = itemgetter(*(names.index(name) if name in names else self._width for name in _WANTED))
        self._moments: dict[bytes, tuple[datetime, datetime] | None] = {}
        self._known_fractions: set[bytes] = {b"-"}

    def event(self, number: int, line: bytes, agents: Agents) -> Event | None:
        """Read one line; None if it is broken."""
        cells = line.split(b"\t")
        if len(cells) != self._width or not (line.isascii() or _is_utf8(line)) or not self._numeric(cells):
            return None
        cells.append(b"-")  # stands for every column that the header does not name
        day, clock, edge, sent, viewer, host, agent, key = self._wanted(cells)
        moment = self._moment(day + b" " + clock)
        if moment is None:
            return None
        distribution = self._distribution or _text(host)
        size = None if sent == b"-" else int(sent)
        return (number, _text(key), *moment, distribution, _text(edge), _text(viewer), size, agents(agent))

    def _numeric(self, cells: list[bytes]) -> bool:
        for place in self._integers:
            cell = cells[place]
            if not (cell.isdigit() and len(cell) <= 18) and cell != b"-" and not _is_integer(cell):
                return False
        known = self._known_fractions
        for place in self._fractions:
            cell = cells[place]
            if cell not in known:
                if not _is_fraction(cell):
                    return False
                known.add(cell)
        return True

    def _moment(self, text: bytes) -> tuple[datetime, datetime] | None:
        """The minute and the five minutes in which a request ended; None if there is no such time."""
        if text not in self._moments:
            self._moments[text] = _minutes(text)
        return self._moments[text]


def _is_integer(cell: bytes) -> bool:
    found = _INTEGER.fullmatch(cell)
    return found is not None and -(1 << 63) <= int(cell) < 1 << 63


def _is_fraction(cell: bytes) -> bool:
    return _FRACTION.fullmatch(cell) is not None and isfinite(float(cell))


def _minutes(text: bytes) -> tuple[datetime, datetime] | None:
    if not (found := _MOMENT.fullmatch(text)):
        return None
    try:
        minute = datetime.fromisoformat(b"T".join(found.groups()).decode()).replace(second=0)
    except ValueError:
        return None
    if minute.year < 1970:
        return None
    return minute, minute.replace(minute=minute.minute - minute.minute % 5)


def _text(cell: bytes) -> str | None:
    return None if cell == b"-" else cell.decode()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
