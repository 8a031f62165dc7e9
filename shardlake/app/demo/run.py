"""The demo: logs keep arriving, a stream process reads them and is killed, batch runs, and every answer is compared."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

import serving
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL
from shardlake.adapters.stored import VIEWS as STORED_VIEWS
from shardlake.app.demo.check import lacking, miscounted
from shardlake.app.demo.checker import VIEWS, Checker
from shardlake.app.demo.generator import Produced, ProducedFile, write_logs
from shardlake.app.demo.processes import Commands, Running
from shardlake.app.demo.report import Report, Verdict, show
from shardlake.core.errors import ConfigError, Terminal
from shardlake.core.journal import reading

ARRIVAL_S: Final = 14.0  # the generated files arrive over so many seconds
FILES_ABOUT: Final = 104  # how many these are, give or take a few: it paces them, and nothing is counted by it
LOOK_EVERY_S: Final = 1.0
LOOKS_MIN: Final = 8  # of three answers each
PATIENCE_S: Final = 120.0
SEED: Final = 20_260_317
KILL_AT, BATCH_AT = 0.4, (0.25, 0.7)


@dataclass(slots=True)
class Story:
    """Tells what happens, with the seconds since the start."""

    console: Console
    clock: SystemClock
    began_s: float

    def tell(self, text: str) -> None:
        """Print one line."""
        self.console.print(
            f"[bright_black]{self.clock.monotonic_s() - self.began_s:6.1f} s[/]  {text}", highlight=False
        )


@dataclass(slots=True)
class Demo:
    """One run: what is done at which part of the way."""

    commands: Commands
    checker: Checker
    story: Story
    stream: Running
    batches: list[Running] = field(default_factory=list)
    killed: bool = False
    events: int = 0
    looks: int = 0
    positions: Mapping[str, str] = field(default_factory=dict)

    def advance(self, part: float) -> None:
        """Do what is due when a part of the files has arrived."""
        while len(self.batches) < len(BATCH_AT) and part >= BATCH_AT[len(self.batches)]:
            if any(not batch.is_over for batch in self.batches):
                break
            self.batches.append(self.commands.start("batch", "run"))
            self.story.tell(f"batch run {len(self.batches)} begins")
        if not self.killed and part >= KILL_AT and self.events:
            self.stream.kill()
            self.story.tell(f"stream process {self.stream.process.pid} killed with SIGKILL; another one starts")
            self.stream = self.commands.start("stream", "run")
            self.killed = True

    def look(self) -> int:
        """Take three answers and compare them; return how many events they cover."""
        _ = self.stream.is_over
        events, last = self.checker.look()
        self.looks += 1
        self.events = events
        self.positions = last.certificate.positions
        right = "equal" if not self.checker.differ else f"{self.checker.differ} DIFFER"
        self.story.tell(f"{events:>9,} events inside; {self.checker.answers} answers compared, {right}")
        return events


def run_demo(*, logs: Path | None, requests: int, keep: Path | None, as_json: bool = False) -> bool:
    """Run the demo and print its report; return whether every answer was exact. Raises: ConfigError, Terminal."""
    console = Console(quiet=as_json)
    with _folder(keep) as folder:
        demo, produced = _played(console, folder, logs, requests)
        root = demo.commands.root
        events, last = demo.checker.look()
        demo.story.tell(f"{events:>9,} events in the end; {demo.checker.answers} answers compared")
        cut, expected = demo.checker.expected(last.certificate.positions)
        if produced is not None:
            demo.checker.add([*lacking(produced, cut), *miscounted(produced, expected)])
        found = demo.checker
        verdict = Verdict(len(VIEWS), found.answers, found.compared, found.differ, found.examples)
        if as_json:
            keys = ("views", "answers", "compared", "differ")
            click.echo(msgspec.json.encode({key: getattr(verdict, key) for key in keys}))
        else:
            show(console, _report(root), verdict)
            if keep is not None:
                console.print(f"Everything is in {folder}: try `shardlake --root {root} status`", highlight=False)
    return verdict.line.startswith("exact: yes")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise ConfigError(f"{keep} is not empty: give --keep a new folder")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="shardlake-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _played(console: Console, folder: Path, logs: Path | None, requests: int) -> tuple[Demo, Produced | None]:
    source = folder / "logs" if logs is None else logs.absolute()
    if logs is None:
        source.mkdir(exist_ok=True)
    elif not source.is_dir():
        raise ConfigError(f"{logs} is not a folder of log files")
    clock = SystemClock()
    story = Story(console, clock, clock.monotonic_s())
    commands = Commands(folder / "store", source, folder / "said")
    demo = Demo(commands, Checker(folder / "store", source), story, commands.start("stream", "run"))
    story.tell(f"stream process {demo.stream.process.pid} reads {source}")
    try:
        produced = _arriving(demo, clock, source, requests) if logs is None else None
        _caught_up(demo, clock, produced)
        demo.stream.stop()
        story.tell("stream process stopped with SIGTERM")
        for batch in demo.batches:
            batch.wait()
    finally:
        for running in (demo.stream, *demo.batches):
            if running.process.poll() is None:
                running.kill()
    return demo, produced


def _arriving(demo: Demo, clock: SystemClock, source: Path, requests: int) -> Produced:
    """Let the generated files arrive over time, with everything that happens meanwhile."""
    files: list[ProducedFile] = []
    started, next_look = clock.monotonic_s(), LOOK_EVERY_S
    for file in write_logs(source, requests, SEED):
        files.append(file)
        due = ARRIVAL_S * len(files) / FILES_ABOUT
        while (now := clock.monotonic_s() - started) < due:
            clock.sleep_s(min(0.05, due - now))
        if now >= next_look and _has_begun(demo):
            demo.look()
            next_look = clock.monotonic_s() - started + LOOK_EVERY_S
        demo.advance(len(files) / FILES_ABOUT)
    demo.story.tell(
        f"all {len(files)} files are there: {requests:,} requests, some late, some twice, some lines broken"
    )
    return Produced(tuple(files), requests)


def _has_begun(demo: Demo) -> bool:
    """Tell whether the stream process has come so far that its root can be asked."""
    journal = demo.commands.root / JOURNAL
    if not (journal.exists() and (demo.commands.root / STORED_VIEWS).exists()):
        return False
    rows = SqliteJournal(journal, read_only=True)
    try:
        return reading.read_registry(rows) is not None
    finally:
        rows.close()


def _caught_up(demo: Demo, clock: SystemClock, produced: Produced | None) -> None:
    """Look on until two looks see the same, everything due was done, and there are enough answers."""
    with_events, before, until = 0, -1, clock.monotonic_s() + PATIENCE_S
    while clock.monotonic_s() < until:
        clock.sleep_s(LOOK_EVERY_S)
        if not _has_begun(demo):
            _ = demo.stream.is_over
            continue
        events = demo.look()
        with_events += events > 0
        part = 1.0 if produced is not None else min(with_events / 4, 1.0)
        demo.advance(part)
        everything = produced is None or not lacking(produced, demo.checker.cut(demo.positions))
        settled = events == before and everything and demo.killed and all(batch.is_over for batch in demo.batches)
        if settled and demo.looks >= LOOKS_MIN and len(demo.batches) == len(BATCH_AT):
            return
        before = events
    raise Terminal(f"the stream process did not read everything within {PATIENCE_S:.0f} s: see {demo.commands.said}")


def _shown(answer: serving.Answer) -> dict[str, str]:
    found = answer.certificate
    [view] = found.views
    newest = datetime.fromtimestamp((found.newest_event_us or 0) / 1e6, UTC)
    return {
        "cut": _lanes(found.cut),
        "commits": ", ".join(f"{commit[:12]}" for commit in found.commits.values()),
        "seam": f"{_lanes(view.seam)}: {view.batch_rows:,} rows of batch, {view.realtime_entries} entries since",
        "view": f"{view.name} {view.fingerprint}, {view.exactness}",
        "newest event": f"{newest:%Y-%m-%d %H:%M:%S} UTC",
        "events": f"{found.events:,}, {found.duplicates:,} of them duplicates within {found.dedup_scope}, not counted",
        "dead letters": f"{found.letters:,}",
        "gaps": f"{found.gaps:,}",
    }


def _lanes(cut: Mapping[int, int]) -> str:
    return ", ".join(f"lane {lane} up to entry {n}" for lane, n in sorted(cut.items())) or "nothing"


def _report(root: Path) -> Report:
    with serving.connect(root) as connection:
        viewers = connection.query(
            "SELECT viewer, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes FROM viewers"
            " GROUP BY viewer ORDER BY requests DESC, bytes DESC, viewer LIMIT 50"
        )
        bots = connection.query(
            "SELECT bot_category, bot_name, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM bots"
            " WHERE is_bot GROUP BY ALL"
        )
        people = connection.query("SELECT coalesce(sum(requests), 0)::BIGINT FROM bots WHERE NOT is_bot")
        edges = connection.query(
            "SELECT distribution, edge, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM bandwidth GROUP BY ALL"
        )
        minutes = connection.query("SELECT bucket, sum(bytes)::BIGINT FROM bandwidth GROUP BY ALL ORDER BY ALL")
    return Report(viewers.rows, bots.rows, edges.rows, minutes.rows, _shown(viewers), people.rows[0][0])
