"""`shardlake status --watch`: it shows anew what there is, tells who is alive, and ends at Ctrl-C."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL
from shardlake.app import config
from shardlake.app.cli import Invocation
from shardlake.app.commands.status import status
from shardlake.app.main import run
from shardlake.app.overview import Overview
from shardlake.app.settings import Config
from shardlake.core.errors import Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import SourceRow, WorkerRow
from shardlake.testing.clock import ManualClock


class Root:
    """A root with two lanes of a stream, the first of which has an owner that beats when it is told to."""

    def __init__(self, folder: Path, *, stream: bool = True) -> None:
        self.config = config.load({}, {"SHARDLAKE_ROOT": str(folder)}, folder.parent).config
        self.journal = SqliteJournal(folder / JOURNAL, sync=False)
        settings = {"stream": "arn"} if stream else {"buckets": "16"}
        self.journal.transact([*operations.found(2), Write("source/s", None, rows.encode(SourceRow("s", settings)))])
        for shard, parents in {"s/1": (), "s/2": (), "s/3": ("s/1",)}.items():
            self.journal.transact([operations.discover(shard, "s", parents)])
        self.row: WorkerRow | None = None
        if stream:
            self.beat()
        self.journal.transact(operations.take(reading.read_head(self.journal, 0), "c1", "w", "s", None).writes)

    def beat(self) -> None:
        write, self.row = operations.beat(self.row, "w")
        self.journal.transact([write])


def lives(found: dict[str, Any]) -> list[bool | None]:
    return [lane["alive"] for lane in found["lanes"]]


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path / "root")


def test_one_look_tells_of_lanes_and_shards_and_not_who_is_alive(root: Root) -> None:
    found = Overview(root.config, ManualClock()).look()
    assert found["shards"] == [{"source": "s", "held": 0, "free": 3, "ended": 0}]
    lane = {"source": "s", "owner": "w", "alive": None, "shards": 0, "read_upto_us": None}
    assert found["lanes"] == [
        {"lane": 0, "entry": 1} | lane,
        {"lane": 1, "entry": 0} | lane | {"source": "", "owner": ""},
    ]


def test_who_moves_between_two_looks_is_alive_and_who_does_not_for_long_is_dead(root: Root) -> None:
    clock = ManualClock()
    overview, expiry_s = Overview(root.config, clock), root.config.limits.worker_expiry_s
    assert lives(overview.look()) == [None, None]
    clock.advance(1)
    assert lives(overview.look()) == [None, None], "it need not beat within a second"
    root.beat()
    clock.advance(1)
    assert lives(overview.look()) == [True, None]
    clock.advance(expiry_s - 0.1)
    assert lives(overview.look()) == [True, None]
    clock.advance(0.1)
    assert lives(overview.look()) == [False, None]


def test_an_owner_of_a_stream_without_a_heartbeat_is_dead_and_a_reader_of_files_has_none(tmp_path: Path) -> None:
    files = Root(tmp_path / "files", stream=False)
    assert lives(Overview(files.config, ManualClock()).look()) == [None, None]
    shared = Root(tmp_path / "shared")
    assert shared.row is not None
    row = rows.encode(shared.row)
    shared.journal.transact([Write(rows.worker_key("w"), row, b"\0removed")])
    assert lives(Overview(shared.config, ManualClock()).look()) == [False, None]


def test_who_reads_files_is_alive_while_it_commits_and_else_nobody_knows(tmp_path: Path) -> None:
    root, clock = Root(tmp_path / "files", stream=False), ManualClock()
    overview = Overview(root.config, clock)
    assert lives(overview.look()) == [None, None]
    overview._signs["w"] = "what was seen before an entry"
    assert lives(overview.look()) == [True, None]
    clock.advance(root.config.limits.worker_expiry_s)
    assert lives(overview.look()) == [None, None]


# ----------------------------------------------------------------------------------------------------- the command


def watched(root: Config, monkeypatch: pytest.MonkeyPatch, *args: str, looks: int = 3) -> str:
    """Watch for some looks, then press Ctrl-C; give what was written."""
    left = [None] * looks

    def sleep_s(_: object, seconds: float) -> None:
        assert seconds == 0.5
        left.pop()
        if not left:
            raise KeyboardInterrupt

    monkeypatch.setattr(SystemClock, "sleep_s", sleep_s)
    command = ["--root", root.root, "--watch", "0.5", *args]
    result = CliRunner().invoke(status, command, obj=Invocation(), standalone_mode=False)
    assert (result.exception, result.return_value) == (None, 0)
    return result.stdout


def test_with_json_each_look_is_one_line(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = watched(root.config, monkeypatch, "--json").splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 3
    assert [line["lanes"][0]["owner"] for line in found] == ["w"] * 3
    assert found[0].keys() >= {"cut", "events", "dead_letters", "views", "positions", "shards", "now_us"}


def test_without_a_terminal_each_look_is_text(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    text = watched(root.config, monkeypatch)
    assert text.count("shards        0 held, 3 free, 0 ended\n") == 3
    assert text.count("read up to\n") == 3


def test_what_passes_does_not_end_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def busy(overview: Overview) -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 2:
            raise Transient("the journal is locked")
        return look(overview)

    look = Overview.look
    monkeypatch.setattr(Overview, "look", busy)
    found = [json.loads(line) for line in watched(root.config, monkeypatch, "--json").splitlines()]
    assert [line.get("message") for line in found] == [None, "the journal is locked", None]
    calls.clear()
    assert "the journal is locked; asking again\n" in watched(root.config, monkeypatch)


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "soon"])
def test_what_is_no_number_of_seconds_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--watch", seconds], Invocation()) == 2
    assert "--watch" in capsys.readouterr().err


def test_without_a_root_it_ends_at_once(tmp_path: Path) -> None:
    assert run(["--root", str(tmp_path / "none"), "status", "--watch"], Invocation()) == 1


@pytest.mark.slow
def test_on_a_terminal_it_redraws_until_ctrl_c(root: Root, tmp_path: Path) -> None:
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "shardlake.app.main", "--root", root.config.root, "status", "--watch", "0.2"]
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environ, cwd=tmp_path)
    os.close(terminal)
    shown, until_s = b"", time.monotonic() + 60
    while shown.count(b"0 held, 3 free, 0 ended") < 2 and time.monotonic() < until_s:
        if select.select([screen], [], [], 0.1)[0]:
            shown += os.read(screen, 65_536)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    os.close(screen)
    assert shown.count(b"0 held, 3 free, 0 ended") >= 2
    assert b"\x1b[1A" in shown, "it goes up, and writes over what was there"
    assert b"Traceback" not in shown


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_without_a_word(root: Root, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shardlake.app.main", "--root", root.config.root, "status", "--watch", "0.1"]
    with subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
