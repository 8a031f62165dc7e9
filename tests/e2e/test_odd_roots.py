"""Odd places, names and clocks: refused with the reason, or exact all the same."""

import os
import shutil
import time
from pathlib import Path

import pytest

from shardlake.app.demo.generator import write_logs
from shardlake.testing.runs import Program

DAY_S = 86_400


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder of log files."""
    folder = tmp_path / "logs"
    folder.mkdir()
    list(write_logs(folder, 1500, 8, files=12, hours=1, viewers=50))
    return folder


def events(program: Program) -> tuple[int, int]:
    """How many events and duplicates are inside."""
    certificate = program.ask("viewers").certificate
    return certificate.events, certificate.duplicates


def test_a_file_from_the_future_does_not_make_earlier_ids_forgotten(tmp_path: Path, logs: Path) -> None:
    program = Program(tmp_path / "store", logs, {"limits.chunk_rows_max": "300"})
    first = next(path for path in sorted(logs.iterdir()))
    held = {path: path.rename(tmp_path / path.name) for path in sorted(logs.iterdir()) if path != first}
    program.run("stream", "run", "--once").expect(0)
    seen, duplicates = events(program)
    later = next(path for path in held if path.name.rsplit(".", 2)[0] != first.name.rsplit(".", 2)[0])
    held[later].rename(later)
    os.utime(later, (time.time() + 30 * DAY_S,) * 2)
    program.run("stream", "run", "--once").expect(0)
    assert events(program)[0] > seen, "a clock that is ahead does not hide a file"
    before, _ = events(program)
    stem, _, _ = first.name.rsplit(".", 2)
    shutil.copy2(first, logs / f"{stem}.ffffffff.gz")
    program.run("stream", "run", "--once").expect(0)
    after, now_duplicates = events(program)
    assert now_duplicates - duplicates >= seen - duplicates, "every copy is known as one"
    assert after - before == seen


@pytest.mark.parametrize("name", ["st?re", "st%20re", "st re é", "st'r\"e", "[s]t*re"])
def test_a_root_may_have_any_name(tmp_path: Path, logs: Path, name: str) -> None:
    program = Program(tmp_path / name, logs, {})
    program.run("stream", "run", "--once").expect(0)
    program.run("batch", "run").expect(0)
    program.run("verify").expect(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"logs", name})


def test_a_root_among_the_logs_is_refused(logs: Path) -> None:
    done = Program(logs / "store", logs, {}).run("stream", "run", "--once").expect(1)
    assert "lies among the log files" in done.err


def test_a_view_that_fails_on_its_rows_holds_up_nobody_else(tmp_path: Path, logs: Path) -> None:
    views = tmp_path / "views"
    views.mkdir()
    huge = "max(sc_bytes * 4000000000000000000)"  # it runs over no rows, and overflows on those that there are
    select = f"SELECT c_ip AS viewer, {huge} AS n FROM cloudfront GROUP BY viewer"
    (views / "broken.sql").write_text(select)
    (views / "._hidden.sql").write_bytes(b"\xff")
    (views / "folder.sql").mkdir()
    program = Program(tmp_path / "store", logs, {"views.folder": str(views)})
    program.run("stream", "run", "--once").expect(0)
    assert events(program)[0] >= 1500
    program.run("batch", "run").expect(1)
    program.run("verify", "--view", "viewers").expect(0)
    assert program.ask("viewers").certificate.views[0].realtime_entries == 0, "its batch side was brought forward"


@pytest.mark.parametrize("name", ["master", "my view", 'a"b', "-x", "ü"])
def test_a_name_that_is_no_name_for_a_view_is_refused(tmp_path: Path, logs: Path, name: str) -> None:
    views = tmp_path / "views"
    views.mkdir()
    (views / f"{name}.sql").write_text("SELECT c_ip AS viewer, count(*) AS n FROM cloudfront GROUP BY viewer")
    program = Program(tmp_path / "store", logs, {"views.folder": str(views)})
    assert "name" in program.run("stream", "run", "--once").expect(1).err
