"""The tutorial is typed as it stands, in its order, and what it shows is what is printed."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.testing.kinesis import EmbeddedKinesis, serve

_BLOCK = re.compile(r"^```text\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
_HERE = re.compile(r"<<'(\w+)'$")
# What differs from run to run: fingerprints, names, places of entries, and how quick it was.
_VARIES = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC"), "<now>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<name>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<fingerprint>"),
    (re.compile(r"snapshot \d+"), "snapshot <number>"),
    (re.compile(r"\b\d+:\d+\b(?!:)"), "<entry>"),
    (re.compile(r"^\d+ entr(y|ies) of events with"), "<number> of events with"),
    (re.compile(r"^(master|clicks_per_hour|sales) +\d+ ", re.MULTILINE), r"\1 <entries>"),
    (re.compile(r"in [\d.]+ s \([\d,]+/s\)"), "in <time>"),
    (re.compile(r"\s+$", re.MULTILINE), ""),
)


@dataclass(slots=True)
class Typed:
    """A command as it is typed, with the lines behind it up to the mark, and what the page shows below."""

    command: str
    text: str = ""
    shown: list[str] = field(default_factory=list)


def typed(page: str) -> Iterator[Typed]:
    for block in _BLOCK.findall(page):
        one: Typed | None = None
        mark = ""
        for line in block.splitlines():
            if mark and one:
                mark = "" if line == mark else mark
                one.text += f"{line}\n" if mark else ""
            elif line.startswith("$ "):
                if one:
                    yield one
                one = Typed(line[2:])
                mark = found[1] if (found := _HERE.search(line)) else ""
            elif one:
                one.shown.append(line)
        if one:
            yield one


class Terminal:
    """Runs what is typed: commands of Shardlake in this process, all else in a shell."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        self._capsys, self._monkeypatch, self._port = capsys, monkeypatch, port

    def run(self, one: Typed) -> list[str]:
        """Run a command, and give the lines that it prints, but for logs."""
        command, _, head = one.command.partition(" | head -n ")
        words = shlex.split(command, comments=True)
        text = one.text.replace("4567", str(self._port))
        if words[0] == "shardlake":
            lines = self._shardlake(words[1:])
        elif words[:3] == ["python", "-m", "shardlake.testing.kinesis"]:
            lines = []  # it runs
        elif words[0] == "export":
            lines = []
            for word in words[1:]:
                self._monkeypatch.setenv(*word.split("=", 1))
        else:
            lines = self._shell(_HERE.sub("", command), text)
        if words[-2:-1] == ["cd"]:
            self._monkeypatch.chdir(words[-1])
        return lines[: int(head)] if head else lines

    def _shardlake(self, words: list[str]) -> list[str]:
        code = run(words, Invocation())
        out, err = self._capsys.readouterr()
        assert code == 0, (words, err)
        return [*out.splitlines(), *(line for line in err.splitlines() if not line.startswith("{"))]  # but for logs

    def _shell(self, command: str, text: str) -> list[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            input=text,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        return done.stdout.splitlines()


@pytest.fixture(name="terminal")
def _terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Typed], list[str]]]:
    """Give a terminal in an empty folder, beside a Kinesis that serves `clicks`."""
    monkeypatch.chdir(tmp_path)
    with serve(EmbeddedKinesis(SystemClock(), Random(7))) as service:
        service.ask("CreateStream", StreamName="clicks", ShardCount=2)
        yield Terminal(capsys, monkeypatch, int(service.url.rpartition(":")[2])).run


def plain(lines: list[str]) -> str:
    text = "\n".join(lines)
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return text


@pytest.mark.slow
def test_the_tutorial_prints_what_it_shows(root: Path, terminal: Callable[[Typed], list[str]]) -> None:
    commands = list(typed((root / "docs" / "tutorial.md").read_text("utf-8")))
    assert len(commands) > 20
    for one in commands:
        assert plain(terminal(one)) == plain(one.shown), one.command


def test_a_command_ends_where_the_next_one_begins() -> None:
    page = (
        "```text\n$ cat > a <<'END'\n$ no command\nEND\n$ b\nshown\n```\n```text\nno session\n```\n```text\n$ c\n```\n"
    )
    assert list(typed(page)) == [
        Typed("cat > a <<'END'", "$ no command\n"), Typed("b", "", ["shown"]), Typed("c"),
    ]  # fmt: skip
