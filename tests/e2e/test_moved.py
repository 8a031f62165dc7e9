"""A root that was moved, copied or restored in part is refused, and says why."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.app.demo.generator import write_logs
from shardlake.testing.runs import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A root whose entries are counted by batch."""
    logs = tmp_path / "logs"
    logs.mkdir()
    list(write_logs(logs, 1500, 6, files=12, hours=1, viewers=50))
    made = Program(tmp_path / "store", logs, {"limits.chunk_rows_max": "500"})
    made.run("stream", "run", "--once").expect(0)
    return made


def test_a_copy_of_a_root_does_not_answer_with_the_files_of_the_original(program: Program) -> None:
    program.run("batch", "run").expect(0)
    copy = program.root.with_name("copy")
    shutil.copytree(program.root, copy)
    done = replace(program, root=copy).run("query", "SELECT count(*) FROM viewers").expect(1)
    assert "moved or copied" in done.err
    program.run("query", "SELECT count(*) FROM viewers").expect(0)


def test_an_older_journal_beside_newer_tables_is_refused_by_everybody(program: Program) -> None:
    program.run("batch", "run").expect(0)
    backup = (program.root / "journal.db").read_bytes()
    more = program.logs / "E2MORE.2026-03-17-11.abcdef01"
    source = next(file for file in program.logs.iterdir() if file.suffix == ".gz")
    shutil.copy2(source, more)
    program.run("stream", "run", "--once").expect(0)
    program.run("batch", "run").expect(0)
    for leftover in program.root.glob("journal.db-*"):
        leftover.unlink()
    (program.root / "journal.db").write_bytes(backup)
    for command in ("query SELECT·*·FROM·viewers", "batch run", "verify", "stream run --once"):
        words = [word.replace("·", " ") for word in command.split()]
        assert "restored from an older backup" in program.run(*words).expect(1).err
