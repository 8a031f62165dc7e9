"""Writes the demo's CloudFront log files: in order of their arrival, one after the other.

The files hold traps on purpose, because real deliveries do: hours that arrive late, the same requests twice under
new names, records out of order, two encodings, an old header, broken lines, and a gzip that was cut off. What was
written is told file by file, so that a check can be fed from the producer's side.

    for file in write_logs(folder, requests=300_000, seed=7):
        ...                                     # the file is in place; wait here to let files keep arriving
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from isal import isal_zlib

from shardlake.app.demo.rendering import render, spoil
from shardlake.app.demo.traffic import Ints, Random, Traffic, draw
from shardlake.app.demo.world import FIELDS_24, FIELDS_33, SITES

START: Final = datetime(2026, 3, 17, 9, tzinfo=UTC)
KINDS: Final = ("too few fields", "not a number", "invalid UTF-8", "over-long line", "impossible date")
FILES_MIN: Final = 10
_NULL_IDS: Final = 9


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A physical line (from 1, header lines count) that is no event, and why."""

    line: int
    kind: str


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """One file as it was put: `arrival` counts from 0, `lines` counts physical lines that are in the file.

    `events` is how many of them are good, copies included. `story` is "new", "late", "copy", "overlap",
    "old header", "lost ids", "truncated" or "complete again". A truncated file's last line is broken, and in the list.
    """

    name: str
    arrival: int
    story: str
    lines: int
    events: int
    bytes: int
    broken: tuple[BrokenLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Produced:
    """The producer's log: every file in the order of its arrival, and how many different events they hold."""

    files: tuple[ProducedFile, ...]
    distinct: int


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A file to be: which requests in which order, and where broken lines go in between."""

    stem: str
    name: str
    due: float
    rows: Ints
    story: str = "new"
    columns: int = 33
    broken: dict[int, str] = field(default_factory=dict)


def write_logs(
    folder: Path, requests: int, seed: int, *, files: int = 96, hours: int = 3, viewers: int = 40_000,
    start: datetime = START,
) -> Iterator[ProducedFile]:  # fmt: skip
    """Write the logs of `requests` requests as about `files` files; yields after each one was renamed into place.

    The same arguments write the same bytes under the same names in the same order. `Produced` collects what was
    yielded (see `collect`). Each request but those without an id counts once, however often it was delivered.
    """
    random = np.random.default_rng(seed)
    traffic = draw(requests, hours * 3600, viewers, random)
    plans = _with_traps(_slices(traffic, files, hours, start, random), traffic, hours, random)
    for arrival, plan in enumerate(plans):
        yield _put(folder, plan, arrival, traffic, start)


def collect(files: Iterator[ProducedFile], requests: int) -> Produced:
    """Run a writer to its end and keep its log: every request was delivered whole at least once."""
    return Produced(tuple(files), requests)


def _slices(traffic: Traffic, files: int, hours: int, start: datetime, random: Random) -> list[_Plan]:
    """Cut each site's hour into files, loosely by time; within a file the order is free.

    Raises: ValueError if that makes too few files for the traps.
    """
    second, site = traffic.columns["second"], traffic.columns["site"]
    loose = second + random.normal(0, 60, len(second))
    plans = []
    for hour in range(hours):
        for number, one in enumerate(SITES):
            rows = np.flatnonzero((second // 3600 == hour) & (site == number))
            parts = max(1, round(files * len(rows) / max(1, traffic.requests)))
            stem = f"{one.distribution}.{start + timedelta(hours=hour):%Y-%m-%d-%H}"
            for part in np.array_split(rows[np.argsort(loose[rows], kind="stable")], parts):
                due = float(second[part].max(initial=0)) + random.exponential(240)
                plans.append(_Plan(stem, _name(stem, random), due, random.permutation(part)))
    plans = [plan for plan in plans if len(plan.rows) > _NULL_IDS]
    if len(plans) < FILES_MIN:
        raise ValueError(f"only {len(plans)} files, the traps need {FILES_MIN}: ask for more files, or requests")
    return plans


def _name(stem: str, random: Random) -> str:
    return f"{stem}.{int(random.integers(0, 1 << 32)):08x}.gz"


def _with_traps(plans: list[_Plan], traffic: Traffic, hours: int, random: Random) -> list[_Plan]:
    """Give some files a story; the last one delivers whole what was cut off before."""
    end = hours * 3600.0
    few = max(2, len(plans) // 32)
    order = random.permutation(len(plans)).tolist()
    picked = iter(order)
    for index in sorted(range(len(plans)), key=lambda i: plans[i].due)[:few]:
        plans[index] = replace(plans[index], story="late", due=end * random.uniform(0.7, 0.95))
        order.remove(index)
    new = [next(picked) for _ in range(2 * few + 3)]
    plans[new[0]] = replace(plans[new[0]], story="old header", columns=24)
    for index in new[1 : few + 2]:
        plans[index] = replace(plans[index], broken=_broken(len(plans[index].rows), random))
    plans[new[few + 2]] = _without_ids(plans[new[few + 2]], traffic)
    cut = max((plans[i] for i in order if i not in new), key=lambda plan: plan.due)
    extra = [_again(plans[i], "copy", plans[i].rows, random) for i in new[1 : few + 1]]
    extra += [_overlap(plans, plans[i], random) for i in new[few + 3 :]]
    plans = sorted(plans + extra, key=lambda plan: plan.due)
    plans.remove(cut)
    whole = _again(cut, "complete again", cut.rows, random)
    return [*plans[:-2], replace(cut, story="truncated"), *plans[-2:], whole]


def _again(plan: _Plan, story: str, rows: Ints, random: Random) -> _Plan:
    due = plan.due + random.exponential(900)
    return replace(plan, story=story, rows=rows, name=_name(plan.stem, random), due=due)


def _overlap(plans: list[_Plan], plan: _Plan, random: Random) -> _Plan:
    """A file with parts of two files of the same site and hour: one of them may not have arrived yet."""
    others = [p for p in plans if p.stem == plan.stem and p is not plan and p.story in ("new", "late")] or [plan]
    other = others[int(random.integers(0, len(others)))]
    rows = np.concatenate((plan.rows[: len(plan.rows) // 2], other.rows[len(other.rows) // 3 :]))
    return replace(_again(plan, "overlap", random.permutation(rows), random), broken={})


def _broken(lines: int, random: Random) -> dict[int, str]:
    places = random.choice(lines + 1, size=min(lines, len(KINDS)), replace=False).tolist()
    return dict(zip(places, KINDS, strict=False))


def _without_ids(plan: _Plan, traffic: Traffic) -> _Plan:
    """Take the ids off a few requests of a file that is delivered once: a NULL id is never a duplicate."""
    traffic.ids[plan.rows[:_NULL_IDS], 0] = 0
    return replace(plan, story="lost ids")


def _put(folder: Path, plan: _Plan, arrival: int, traffic: Traffic, start: datetime) -> ProducedFile:
    header = f"#Version: 1.0\n#Fields: {FIELDS_24 if plan.columns == 24 else FIELDS_33}\n".encode()
    body, broken = _spoiled(render(traffic, plan.rows, start, plan.columns), plan.broken)
    packed = _gzip(header + body)
    text = header + body
    if plan.story == "truncated":
        packed, text = _cut_off(packed)
        broken = (BrokenLine(text.count(b"\n") + 1, "cut off"),)
    _place(folder / plan.name, packed)
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    return ProducedFile(plan.name, arrival, plan.story, lines, lines - 2 - len(broken), len(packed), broken)


def _place(path: Path, content: bytes) -> None:
    hidden = path.with_name(f".{path.name}.part")
    hidden.write_bytes(content)
    hidden.replace(path)


def _gzip(text: bytes) -> bytes:
    packer = isal_zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(text) + packer.flush()


def _cut_off(packed: bytes) -> tuple[bytes, bytes]:
    """Cut a gzip so that what can still be read ends well inside a line: every decoder then sees the same lines."""
    for kept in range(len(packed) * 17 // 20, 0, -1):
        text = zlib.decompressobj(31).decompress(packed[:kept])
        if 100 < len(text) - text.rfind(b"\n") < 200:
            return packed[:kept], text
    return packed, zlib.decompress(packed, 31)


def _spoiled(body: bytes, broken: dict[int, str]) -> tuple[bytes, tuple[BrokenLine, ...]]:
    """Put broken lines in between, each before the good line of its number (from 0)."""
    if not broken:
        return body, ()
    lines, found = body.splitlines(keepends=True), []
    for inserted, place in enumerate(sorted(broken)):
        model = lines[min(place + inserted, len(lines) - 1)]
        lines.insert(place + inserted, spoil(model, broken[place]))
        found.append(BrokenLine(place + inserted + 3, broken[place]))
    return b"".join(lines), tuple(found)
