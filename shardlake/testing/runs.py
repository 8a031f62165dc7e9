"""The real program on a root of its own: run, killed at a named step, stopped by a signal, and asked.

program = Program(tmp_path / "root", tmp_path / "logs", {"limits.chunk_rows_max": "500"})
assert program.run("stream", "run", "--once", crash_at="stream:after-files").killed
program.run("stream", "run", "--once").expect(0)
answer = program.ask("viewers")
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

import msgspec

import serving
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL, OBJECTS
from shardlake.core.journal import reading
from shardlake.core.journal.objects import LaneState
from shardlake.core.journal.rows import Entry
from shardlake.core.limits import Limits
from streams.lane import read_state
from streams.sources import pages

TIMEOUT_S: Final = 120.0
GRACE_S: Final = 10.0
COMMAND: Final = (sys.executable, "-m", "shardlake.app.main")
# Nothing in a test waits for a file to settle, and a chunk is cut by its rows, not by how fast the machine is.
QUICK: Final[Mapping[str, str]] = {
    "limits.settle_s": "0",
    "limits.poll_interval_s": "0.05",
    "limits.chunk_age_s": "3600",
}


@dataclass(frozen=True, slots=True)
class Done:
    """How a process ended: its exit code (negative for a signal), and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        """Tell whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL

    @property
    def acknowledged(self) -> int:
        """The number of the last entry that its log told of; 0 if there is none."""
        told = [line["entry"] for line in _log(self.err.splitlines()) if line["event"] == "committed"]
        return int(told[-1].partition(":")[2]) if told else 0

    def expect(self, code: int) -> "Done":
        """See that it ended with this code. Raises: AssertionError with what it wrote."""
        assert self.code == code, f"exit code {self.code}, not {code}\n{self.out}\n{self.err}"
        return self


@dataclass(slots=True)
class Running:
    """A process at work."""

    process: subprocess.Popen[str]
    _read: list[str] = field(default_factory=list)

    def until(self, event: str) -> dict[str, Any]:
        """Read its log up to an event, and give that line. Raises: AssertionError if it ends before, or hangs."""
        watch = threading.Timer(TIMEOUT_S, self._abort)
        watch.start()
        try:
            for line in _lines(self.process.stderr):
                self._read.append(line)
                for told in _log([line]):
                    if told["event"] == event:
                        return told
        finally:
            watch.cancel()
        raise AssertionError(f"it ended before it told of {event}:\n{''.join(self._read)}")

    def end(self, number: int | None = None) -> Done:
        """Send a signal, if one is named, and wait for its end. Raises: AssertionError if it hangs."""
        if number is not None:
            self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._abort()
            out, err = self.process.communicate(timeout=GRACE_S)
            raise AssertionError(f"no end after {TIMEOUT_S:.0f} s:\n{out}\n{''.join(self._read)}{err}") from None
        return Done(self.process.returncode, out, "".join(self._read) + err)

    def _abort(self) -> None:
        """End it with the stacks of its threads, which its log has then; by force if that is of no use."""
        self.process.send_signal(signal.SIGABRT)
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass(frozen=True, slots=True)
class Program:
    """The program with a root and a folder of logs. `settings` are dotted keys, beside those that make tests quick."""

    root: Path
    logs: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def on(self, root: Path, logs: Path | None = None) -> "Program":
        """Give the same on another root, and with other logs."""
        return replace(self, root=root, logs=logs or self.logs)

    @property
    def environ(self) -> dict[str, str]:
        """The settings as variables of the environment."""
        chosen = {**QUICK, "root": str(self.root), "source.path": str(self.logs), **self.settings}
        return {f"SHARDLAKE_{key.upper().replace('.', '_')}": value for key, value in chosen.items()}

    def start(self, *args: str, crash_at: str = "") -> Running:
        """Start a command; with `crash_at` it kills itself at a step, NAME or NAME:K for the K-th time."""
        crash = {"SHARDLAKE_CRASH_AT": crash_at} if crash_at else {}
        process = subprocess.Popen(  # noqa: S603 - this very program, with a test's arguments
            [*COMMAND, *args],
            env={**os.environ, **self.environ, **crash, "PYTHONFAULTHANDLER": "1"},
            cwd=self.root.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(process)

    def run(self, *args: str, crash_at: str = "") -> Done:
        """Run a command to its end."""
        return self.start(*args, crash_at=crash_at).end()

    # ----------------------------------------------------------------------------------------- what it stored

    def ask(self, view: str) -> serving.Answer:
        """Ask for all of a view, through the library."""
        with serving.connect(self.root, limits=Limits()) as connection:
            return connection.query(f'SELECT * FROM "{view}"')

    def newest(self) -> Entry | None:
        """The newest entry of the first lane; None if there is none yet."""
        if not (self.root / JOURNAL).exists():
            return None
        journal = SqliteJournal(self.root / JOURNAL, read_only=True)
        try:
            head = reading.read_heads(journal).get(0)
            return reading.read_entry(journal, 0, head.n) if head and head.n else None
        finally:
            journal.close()

    def files(self) -> dict[str, list[str]]:
        """Shard -> the keys of its discovered files, by their ordinals, as far as they are committed."""
        journal, store = SqliteJournal(self.root / JOURNAL, read_only=True), LocalObjects(self.root / OBJECTS)
        try:
            head = reading.read_heads(journal).get(0)
            state = read_state(store, head) if head else LaneState()
        finally:
            journal.close()
        found: dict[str, list[str]] = {shard: [] for shard in state.shards}
        shards = sorted(found)
        for page in (pages.decode(store.get(ref)) for ref in state.pages):
            for row in page.rows:
                found[shards[row.bucket]].append(row.key)
        return found


def _lines(file: IO[str] | None) -> Sequence[str] | IO[str]:
    assert file is not None
    return file


def _log(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of a log that are one: a traceback, say, is none."""
    return [found for line in lines if line.startswith("{") and "event" in (found := msgspec.json.decode(line))]
