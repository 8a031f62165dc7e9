"""The plain count that the demo's answers are compared with.

It shares no code with the compiler, the decoder or the query engine: it reads the files themselves, line by line,
and counts in dictionaries. It decides by itself what is an event, what its values are, and what is a duplicate. All
that it takes from the system under test is how far a cut reaches, and what kind of client a user agent is.

    oracle = Oracle(folder, classify)
    for cut, answer in answers:                       # cheap if each cut holds the one before it
        expected = oracle.at(cut)
        compare(expected.views["viewers"], answer)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shardlake.app.demo.lines import LINE_BYTES_MAX, Agents, Classify, Event, LogFile, distribution_of, read_file

Key = tuple[Any, ...]
Values = tuple[Any, ...]
View = Mapping[Key, Values]

EXAMPLES_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of a file is in a cut: `lines` physical lines from its start, headers counted; None for all."""

    name: str
    lines: int | None = None


Cut = Mapping[str, Sequence[Covered]]  # bucket -> its files by their ordinals; only the last may be covered in part


@dataclass(frozen=True, slots=True)
class Expected:
    """What the views hold at a cut: key -> values, by view; and how the lines of the cut were judged.

    `problems` says in sentences what is wrong with the cut itself.
    """

    views: Mapping[str, View]
    events: int
    duplicates: int
    broken: int
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """Running totals of the three views, and of how lines were judged."""

    bots: dict[Key, Values] = field(default_factory=dict)
    bandwidth: dict[Key, Values] = field(default_factory=dict)
    viewers: dict[Key, Values] = field(default_factory=dict)
    events: int = 0
    duplicates: int = 0
    broken: int = 0

    def add(self, event: Event) -> None:
        """Count an event that is no duplicate."""
        _, _, minute, five, distribution, edge, viewer, sent, bot = event
        self.events += 1
        _increase(self.bots, (minute, *bot), sent)
        _increase(self.bandwidth, (minute, distribution, edge), sent)
        _increase(self.viewers, (five, viewer), sent)

    def expected(self, problems: tuple[str, ...] = ()) -> Expected:
        """What the views hold now."""
        views = {"bots": dict(self.bots), "bandwidth": dict(self.bandwidth), "viewers": dict(self.viewers)}
        return Expected(views, self.events, self.duplicates, self.broken, problems)


@dataclass(slots=True)
class _Count:
    """One chain of growing cuts."""

    tally: Tally = field(default_factory=Tally)
    cut: dict[str, list[Covered]] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)


class Oracle:
    """Evaluates the three views over the files of a folder, at any cut; each file is read and parsed once."""

    def __init__(self, folder: Path, classify: Classify, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._folder, self._line_bytes_max = folder, line_bytes_max
        self._agents = Agents(classify)
        self._files: dict[str, LogFile] = {}
        self._count = _Count()

    def at(self, cut: Cut) -> Expected:
        """Count the events of a cut. Goes on from the cut before if this one holds it, else begins again."""
        if not _holds(cut, self._count.cut):
            self._count = _Count()
        count = self._count
        for bucket, files in cut.items():
            _advance(count, bucket, files, self._parsed)
        return count.tally.expected()

    def _parsed(self, name: str) -> LogFile:
        if name not in self._files:
            self._files[name] = read_file(
                self._folder / name, distribution_of(name), self._agents, self._line_bytes_max
            )
        return self._files[name]


def reached(names: Sequence[str], ordinal: int, line: int) -> tuple[Covered, ...]:
    """Say what a bucket's position covers: its files before `ordinal` whole, that one up to physical line `line`.

    `names` are the bucket's files by their ordinals. A file that was read to its end is (its ordinal + 1, 0).
    """
    whole = tuple(Covered(name) for name in names[:ordinal])
    return (*whole, Covered(names[ordinal], line)) if line else whole


def _holds(cut: Cut, before: Mapping[str, Sequence[Covered]]) -> bool:
    """Tell whether each file that was counted is still covered, in the same place and at least as far."""
    for bucket, files in before.items():
        now = cut.get(bucket, ())
        if len(now) < len(files) or any(a.name != b.name or _less(a, b) for a, b in zip(now, files, strict=False)):
            return False
    return True


def _less(now: Covered, before: Covered) -> bool:
    return now.lines is not None and (before.lines is None or now.lines < before.lines)


def _advance(count: _Count, bucket: str, files: Sequence[Covered], parsed: Callable[[str], LogFile]) -> None:
    """Count what a bucket gained; position order is the order of its files, and of lines in a file."""
    done = count.cut.get(bucket, [])
    for place, covered in enumerate(files):
        before: int | None = 0
        if place < len(done):
            before = done[place].lines
        if before is not None and before != covered.lines:
            _add(count.tally, count.seen.setdefault(bucket, set()), parsed(covered.name), before, covered.lines)
    count.cut[bucket] = list(files)


def _add(tally: Tally, seen: set[str], file: LogFile, after: int, upto: int | None) -> None:
    last = float("inf") if upto is None else upto
    tally.broken += sum(after < line <= last for line in file.broken)
    for event in file.events:
        line, key = event[:2]
        if not after < line <= last:
            continue
        if key is not None:
            if key in seen:
                tally.duplicates += 1
                continue
            seen.add(key)
        tally.add(event)


def _increase(view: dict[Key, Values], key: Key, sent: int | None) -> None:
    """Add one request; as in SQL, a sum over nothing but NULLs is NULL, and a NULL adds nothing."""
    old = view.get(key)
    if old is None:
        view[key] = (1, sent)
    elif sent is None:
        view[key] = (old[0] + 1, old[1])
    else:
        view[key] = (old[0] + 1, sent if old[1] is None else old[1] + sent)


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
