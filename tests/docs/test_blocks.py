"""What the documents show works: their commands, views, settings and programs run on a small folder of logs."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shardlake.app.cli import Invocation
from shardlake.app.config import load
from shardlake.app.demo.generator import write_logs
from shardlake.app.demo.report import Verdict
from shardlake.app.main import run
from shardlake.core.compiler import compile_view
from shardlake.packs.cloudfront.schema import SCHEMA
from shardlake.packs.declared import declaration

REQUESTS = 1_500
LONG_AGO = 1_700_000_000
SETTINGS = ("toml", "toml shardlake.toml")
# Files of somebody else's project, each with its name: its tests, and the pack that they read.
FOREIGN = ("python test_pause.py", "python test_shop.py", "toml pack shop/pack.toml")
KINDS = (
    "console",
    "ini",
    "json",
    "mermaid",
    "python",
    "sql",
    "sql view",
    "text",
    "toml pack",
    "toml lookup",
    *SETTINGS,
    *FOREIGN,
)
RUNNING = ("README.md", "docs/operations.md")

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VERDICT = re.compile(
    r"^exact: yes \((\d+) views, ([\d,]+) answers, ([\d,]+) rows compared, ([\d,]+) differ\)$", re.MULTILINE
)

Ran = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what stands behind its fence, and its text."""

    kind: str
    text: str

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """The commands of a console block, each with the lines shown below it."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


def blocks(document: Path) -> list[Block]:
    return [Block(kind.strip(), text) for kind, text in _BLOCK.findall(document.read_text("utf-8"))]


def documents(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated logs that have settled long ago."""
    folder = tmp_path_factory.mktemp("docs") / "logs"
    folder.mkdir()
    for number, file in enumerate(write_logs(folder, REQUESTS, 5, files=12, hours=2, viewers=300)):
        os.utime(folder / file.name, (LONG_AGO + number, LONG_AGO + number))
    return folder


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    """Give a function that runs a command line and returns what it wrote to stdout. A daemon reads what is there."""

    def work(command: str) -> str:
        program, *args = shlex.split(command)
        assert program == "shardlake", command
        if args[-2:] == ["stream", "run"]:
            args.append("--once")
        assert run(args, Invocation()) == 0, (command, capsys.readouterr().err)
        return capsys.readouterr().out

    return work


@pytest.mark.parametrize("name", RUNNING)
def test_what_a_document_shows_can_be_done_in_its_order(
    root: Path, name: str, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Ran
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").symlink_to(logs)
    if name == "README.md":  # it asks what `shardlake demo --keep demo` left behind
        ran("shardlake --root store stream run --source logs --once")
    for block in blocks(root / name):
        if block.kind == "toml shardlake.toml":
            (tmp_path / "shardlake.toml").write_text(block.text, "utf-8")
        elif block.kind == "python":
            exec(compile(block.text, name, "exec"), {})
        elif block.kind == "console":
            for command, shown in block.commands():
                assert first_words(ran(command).splitlines()) == first_words(shown) or not shown, command


def first_words(lines: list[str]) -> list[str]:
    """The words of the first line: the heading of a table."""
    return lines[0].split() if lines else []


def test_every_console_and_python_block_is_run(root: Path) -> None:
    for path in documents(root):
        kinds = {block.kind for block in blocks(path)}
        assert kinds <= set(KINDS), path
        if kinds & {"console", "python"}:
            assert path.relative_to(root).as_posix() in RUNNING


@pytest.mark.slow
def test_shown_tests_pass_in_a_folder_with_nothing_else(root: Path, tmp_path: Path) -> None:
    shown = [block for path in documents(root) for block in blocks(path) if block.kind in FOREIGN]
    assert sorted(block.kind for block in shown) == sorted(FOREIGN)
    for block in shown:
        file = tmp_path / block.kind.split()[-1]
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]  # and no plugin by name
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_shown_views_compile_and_are_those_that_are_shipped(root: Path) -> None:
    shown = [block.text for path in documents(root) for block in blocks(path) if block.kind == "sql view"]
    shipped = {path.read_text("utf-8").strip() for path in root.glob("shardlake/packs/*/views/*.sql")}
    assert shown
    for sql in shown:
        assert sql.strip() in shipped
        compile_view("shown", sql, SCHEMA)


def test_shown_settings_are_accepted(root: Path, tmp_path: Path) -> None:
    shown = [block.text for path in documents(root) for block in blocks(path) if block.kind in SETTINGS]
    assert shown
    for text in shown:
        (tmp_path / "shardlake.toml").write_text(text, "utf-8")
        load({}, {}, tmp_path)


def test_shown_packs_are_accepted(root: Path) -> None:
    shown = [block.text for path in documents(root) for block in blocks(path) if block.kind.startswith("toml pack")]
    assert shown
    for text in shown:
        declaration.parse(text, "shown", "shown")


def test_the_shown_verdict_is_written_as_the_demo_writes_it(root: Path) -> None:
    found = _VERDICT.search((root / "README.md").read_text("utf-8"))
    assert found is not None
    views, answers, compared, differ = (int(number.replace(",", "")) for number in found.groups())
    assert Verdict(views, answers, compared, differ).line == found[0]
