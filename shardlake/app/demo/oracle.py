"""The plain count that the demo's answers are compared with.

It shares no code with the compiler, the decoder or the query engine: it reads the files themselves, line by line,
and counts in dictionaries. It decides by itself what is an event, what its values are, and what is a duplicate. All
that it takes from the system under test is how far a cut reaches, and what kind of client a user agent is.

    oracle = Oracle(folder, classify)
    for cut, answer in answers:                       # cheap if each cut holds the one before it
        expected = oracle.at(cut)
        compare(expected.views["viewers"], answer)
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from operator import itemgetter
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

Bot = tuple[bool, str | None, str | None]
Classify = Callable[[str | None], Bot]
Event = tuple[Any, ...]  # line, id, minute, five minutes, distribution, edge, viewer, bytes, bot: None stands for NULL
Key = tuple[Any, ...]
Values = tuple[Any, ...]
View = Mapping[Key, Values]

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
EXAMPLES_MAX: Final = 10
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
class Covered:
    """How much of a file is in a cut: `lines` physical lines from its start, headers counted; None for all."""

    name: str
    lines: int | None = None


Cut = Mapping[str, Sequence[Covered]]  # bucket -> its files by their ordinals; only the last may be covered in part


@dataclass(frozen=True, slots=True)
class Expected:
    """What the views hold at a cut: key -> values, by view; and how the lines of the cut were judged."""

    views: Mapping[str, View]
    events: int
    duplicates: int
    broken: int


@dataclass(frozen=True, slots=True)
class _File:
    events: list[Event]
    broken: list[int]


@dataclass(slots=True)
class _Count:
    """Running totals of one chain of growing cuts."""

    cut: dict[str, list[Covered]] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    bots: dict[Key, Values] = field(default_factory=dict)
    bandwidth: dict[Key, Values] = field(default_factory=dict)
    viewers: dict[Key, Values] = field(default_factory=dict)
    events: int = 0
    duplicates: int = 0
    broken: int = 0


class Oracle:
    """Evaluates the three views over the files of a folder, at any cut; each file is read and parsed once."""

    def __init__(self, folder: Path, classify: Classify, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._folder, self._line_bytes_max = folder, line_bytes_max
        self._agents = _Agents(classify)
        self._files: dict[str, _File] = {}
        self._count = _Count()

    def at(self, cut: Cut) -> Expected:
        """Count the events of a cut. Goes on from the cut before if this one holds it, else begins again."""
        if not _holds(cut, self._count.cut):
            self._count = _Count()
        count = self._count
        for bucket, files in cut.items():
            _advance(count, bucket, files, self._parsed)
        views = {"bots": dict(count.bots), "bandwidth": dict(count.bandwidth), "viewers": dict(count.viewers)}
        return Expected(views, count.events, count.duplicates, count.broken)

    def _parsed(self, name: str) -> _File:
        if name not in self._files:
            self._files[name] = _parse(self._folder / name, distribution_of(name), self._agents, self._line_bytes_max)
        return self._files[name]


def reached(names: Sequence[str], ordinal: int, line: int) -> tuple[Covered, ...]:
    """Say what a bucket's position covers: its files before `ordinal` whole, that one up to physical line `line`.

    `names` are the bucket's files by their ordinals. A file that was read to its end is (its ordinal + 1, 0).
    """
    whole = tuple(Covered(name) for name in names[:ordinal])
    return (*whole, Covered(names[ordinal], line)) if line else whole


def distribution_of(name: str) -> str | None:
    """The distribution's id in an object's name as CloudFront writes it, if it is one."""
    found = _NAME.search(name)
    return found[1] if found else None


def _holds(cut: Cut, before: Mapping[str, Sequence[Covered]]) -> bool:
    """Tell whether each file that was counted is still covered, in the same place and at least as far."""
    for bucket, files in before.items():
        now = cut.get(bucket, ())
        if len(now) < len(files) or any(a.name != b.name or _less(a, b) for a, b in zip(now, files, strict=False)):
            return False
    return True


def _less(now: Covered, before: Covered) -> bool:
    return now.lines is not None and (before.lines is None or now.lines < before.lines)


def _advance(count: _Count, bucket: str, files: Sequence[Covered], parsed: Callable[[str], _File]) -> None:
    """Count what a bucket gained; position order is the order of its files, and of lines in a file."""
    done = count.cut.get(bucket, [])
    for place, covered in enumerate(files):
        before: int | None = 0
        if place < len(done):
            before = done[place].lines
        if before is not None and before != covered.lines:
            _add(count, count.seen.setdefault(bucket, set()), parsed(covered.name), before, covered.lines)
    count.cut[bucket] = list(files)


def _add(count: _Count, seen: set[str], file: _File, after: int, upto: int | None) -> None:
    last = float("inf") if upto is None else upto
    count.broken += sum(after < line <= last for line in file.broken)
    bots, bandwidth, viewers = count.bots, count.bandwidth, count.viewers
    for line, key, minute, five, distribution, edge, viewer, sent, bot in file.events:
        if not after < line <= last:
            continue
        if key is not None:
            if key in seen:
                count.duplicates += 1
                continue
            seen.add(key)
        count.events += 1
        _increase(bots, (minute, *bot), sent)
        _increase(bandwidth, (minute, distribution, edge), sent)
        _increase(viewers, (five, viewer), sent)


def _increase(view: dict[Key, Values], key: Key, sent: int | None) -> None:
    """Add one request; as in SQL, a sum over nothing but NULLs is NULL, and a NULL adds nothing."""
    old = view.get(key)
    if old is None:
        view[key] = (1, sent)
    elif sent is None:
        view[key] = (old[0] + 1, old[1])
    else:
        view[key] = (old[0] + 1, sent if old[1] is None else old[1] + sent)


class _Agents:
    """User agents as the log writes them -> what they are; each text is decoded and classified once."""

    def __init__(self, classify: Classify) -> None:
        self._classify = classify
        self._known: dict[bytes, Bot] = {}

    def __call__(self, raw: bytes) -> Bot:
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


def _parse(path: Path, distribution: str | None, agents: _Agents, line_bytes_max: int) -> _File:
    """Judge each physical line of a file: a header, an event, or broken."""
    text, end = _unpacked(path.read_bytes())
    lines = text.split(b"\n")
    last = lines.pop()
    if last and end in ("whole", "garbage"):
        lines.append(last)
    events: list[Event] = []
    broken: list[int] = []
    layout: _Layout | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith((b"#", _MARK + b"#")):
            line = line.removeprefix(_MARK)
            layout = _Layout(line, distribution) if line.startswith(b"#Fields:") else layout
        elif len(line) > line_bytes_max:
            broken.append(number)
        elif text := line.rstrip(b" \r"):  # a line of nothing but spaces is nothing
            event = layout.event(number, text, agents) if layout else None
            events.append(event) if event else broken.append(number)
    # A line that was cut is none: nobody can tell what it said. What cannot be decoded at all counts as one more line.
    lost = {"whole": 0, "garbage": 1, "truncated": 1, "corrupt": 2 if last else 1}[end]
    return _File(events, broken + [len(lines) + n + 1 for n in range(lost)])


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


class _Layout:
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

    def event(self, number: int, line: bytes, agents: _Agents) -> Event | None:
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


@dataclass(frozen=True, slots=True)
class Differences:
    """What a comparison found, both ways: rows that lack, rows too many, rows with other values, and a few of each."""

    compared: int
    missing: int = 0
    surplus: int = 0
    different: int = 0
    examples: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many rows differ in any way."""
        return self.missing + self.surplus + self.different


def compare(expected: View, answer: Iterable[Sequence[Any]], keys: int | None = None) -> Differences:
    """Compare a view with an answer's rows, in which the first columns are the keys and the rest are the values.

    `keys` is the number of key columns; without it, it is taken from `expected`, so that an empty expectation with
    a non-empty answer needs it.
    """
    rows = [tuple(row) for row in answer]
    width = keys if keys is not None else len(next(iter(expected), ()))
    found = {row[:width]: row[width:] for row in rows}
    repeated = len(rows) - len(found)
    if not repeated and found == expected:
        return Differences(len(expected))
    missing = [key for key in expected if key not in found]
    surplus = [key for key in found if key not in expected]
    other = [key for key, values in found.items() if key in expected and expected[key] != values]
    examples = [f"missing {key} {expected[key]}" for key in missing[:EXAMPLES_MAX]]
    examples += [f"surplus {key} {found[key]}" for key in surplus[:EXAMPLES_MAX]]
    examples += [f"different {key}: expected {expected[key]}, got {found[key]}" for key in other[:EXAMPLES_MAX]]
    examples += [f"{repeated} rows repeat a key"] if repeated else []
    compared = len(expected) + len(surplus) + repeated
    return Differences(compared, len(missing), len(surplus) + repeated, len(other), tuple(examples))
