"""The commands at work on a small folder of logs: streamed, asked, counted by batch, verified, and told as they are."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import serving
from shardlake.app.cli import Invocation
from shardlake.app.config import load
from shardlake.app.lock import Locked, only_one
from shardlake.app.logs import make_log
from shardlake.app.main import run
from shardlake.core.errors import ConfigError, Transient

FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent) x-edge-request-id"
)
ROWS = 40
TOTAL = "SELECT sum(requests) AS n, sum(bytes) AS bytes FROM viewers"
BROKEN = "2026-03-01\t10:00:00\tevil\x1b[2J"

Ask = Callable[..., Any]


def write_log(folder: Path, name: str, first: int, *, broken: str = "") -> None:
    """Write a log file, of which the modified time is long ago."""
    folder.mkdir(exist_ok=True)
    lines = ["#Version: 1.0", f"#Fields: {FIELDS}"]
    for i in range(first, first + ROWS):
        values = (
            f"2026-03-01 10:{i % 60:02d}:00 FRA56-P4 {i} 10.0.0.{i % 7} GET d1.cloudfront.net /a 200 curl/8.5.0 id-{i}"
        )
        lines.append(values.replace(" ", "\t"))
    path = folder / name
    path.write_text("\n".join([*lines, *([broken] if broken else [])]) + "\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture(name="logs")
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of two files in a working directory with a settings file."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs"
    write_log(folder, "E2EXAMPLE1234.2026-03-01-10.aaaa.log", 0)
    write_log(folder, "E2EXAMPLE1234.2026-03-01-10.bbbb.log", ROWS, broken=BROKEN)
    (tmp_path / "shardlake.toml").write_text("[source]\npath = 'logs'\nbuckets = 2\n[limits]\nsettle_s = 0\n")
    return folder


@pytest.fixture(name="ask")
def _ask(logs: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Give a function that runs a command with --json, expects its exit code, and returns what it wrote."""

    def ask(*args: str, code: int = 0, as_json: bool = True) -> Any:
        assert run([*args, *(["--json"] if as_json else [])], Invocation()) == code, capsys.readouterr().err
        out = capsys.readouterr().out
        return json.loads(out) if as_json else out

    return ask


def test_streamed_asked_counted_verified(ask: Ask, logs: Path) -> None:
    assert ask("stream", "run", "--once") == {"entries": 1, "rows": 2 * ROWS, "dead_letters": 1, "signal": None}
    before = ask("query", TOTAL)
    assert before["rows"] == [{"n": 2 * ROWS, "bytes": sum(range(2 * ROWS))}]
    assert before["certificate"]["letters"] == 1
    assert before["certificate"]["views"][0]["seam"] == {}
    assert [view["lag_entries"] > 0 for view in ask("status")["views"]] == [True] * 3
    counted = ask("batch", "run")["counted"]
    assert [(c["table"]) for c in counted] == ["master", "bandwidth", "bots", "viewers"]
    assert counted[0]["rows"] == 2 * ROWS
    status = ask("status")
    assert [view["lag_entries"] for view in status["views"]] == [0] * 3
    assert (status["events"], status["dead_letters"]) == (2 * ROWS, 1)
    write_log(logs, "E2EXAMPLE1234.2026-03-01-10.cccc.log", 2 * ROWS)
    write_log(logs, "E2EXAMPLE1234.2026-03-01-10.copy.log", 0)
    ask("stream", "run", "--once")
    after = ask("query", TOTAL)
    assert after["rows"] == [{"n": 3 * ROWS, "bytes": sum(range(3 * ROWS))}]
    assert after["certificate"]["duplicates"] == ROWS
    assert [v["differing"] for v in ask("verify")["views"]] == [0, 0, 0]
    assert ask("batch", "rebuild", "viewers")["counted"][0]["table"] == "viewers"
    assert ask("query", TOTAL)["rows"] == after["rows"]


def test_answers_in_every_format(ask: Ask, tmp_path: Path) -> None:
    ask("stream", "run", "--once")
    sql = "SELECT bucket, viewer, requests FROM viewers ORDER BY bucket, viewer LIMIT 2"
    assert ask("query", sql, "-f", "csv", as_json=False).splitlines() == [
        "bucket,viewer,requests",
        "2026-03-01T10:00:00Z,10.0.0.0,2",
        "2026-03-01T10:00:00Z,10.0.0.1,2",
    ]
    rows = [{"bucket": "2026-03-01T10:00:00Z", "viewer": f"10.0.0.{i}", "requests": 2} for i in (0, 1)]
    assert json.loads(ask("query", sql, "-f", "json", as_json=False)) == rows
    assert [json.loads(line) for line in ask("query", sql, "-f", "jsonl", as_json=False).splitlines()] == rows
    assert ask("query", sql)["rows"] == rows
    table = ask("query", sql, "--limit", "1", as_json=False)
    assert "2026-03-01 10:00:00  10.0.0.0         2" in table
    assert "1 more rows" in table
    ask("query", sql, "-f", "parquet", "-o", "out.parquet", as_json=False)
    assert pq.ParquetFile(tmp_path / "out.parquet").read().num_rows == 2
    ask("query", sql, "-f", "csv", "-o", "out.csv", as_json=False)
    assert (tmp_path / "out.csv").read_text().startswith("bucket,viewer,requests\n")


def test_the_certificate_is_told_apart_from_the_rows(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    ask("stream", "run", "--once")
    assert run(["query", TOTAL], Invocation()) == 0
    told = capsys.readouterr()
    assert told.err.startswith("cut 0:")
    assert "seam nothing · newest event 2026-03-01 10:59:00 UTC · exact · 1 dead letter\n" in told.err
    assert run(["query", TOTAL, "--certificate"], Invocation()) == 0
    assert "fingerprint" in capsys.readouterr().err


def test_dead_letters_are_counted_listed_and_shown_without_harm(ask: Ask) -> None:
    ask("stream", "run", "--once")
    found = ask("dlq", "list")
    assert (found["total"], len(found["reasons"])) == (1, 1)
    reason, letter = found["reasons"][0]["reason"], found["reasons"][0]["first"]
    listed = ask("dlq", "list", "--reason", reason)["letters"]
    assert [(one["id"], one["line"]) for one in listed] == [(letter, ROWS + 3)]
    text = ask("dlq", "show", letter, as_json=False)
    assert "evil\\x1b[2J" in text
    assert "\x1b" not in text
    assert ask("dlq", "show", letter)["letters"][0]["payload_base64"] == base64.b64encode(BROKEN.encode()).decode()
    ask("dlq", "show", "logs/0000:99:99", code=1, as_json=False)
    ask("dlq", "show", "nonsense", code=1, as_json=False)


def test_views_are_listed_shown_and_checked(ask: Ask, tmp_path: Path) -> None:
    assert [view["name"] for view in ask("views", "list")["views"]] == ["bandwidth", "bots", "viewers"]
    shown = ask("views", "show", "bots")
    assert all("SELECT" in shown[form] for form in ("partial", "combine", "finalize"))
    (tmp_path / "views").mkdir()
    mine = tmp_path / "views" / "mine.sql"
    mine.write_text("SELECT sc_status, count(*) AS n FROM cloudfront GROUP BY sc_status")
    assert ask("views", "check", str(mine))["name"] == "mine"
    assert len(ask("views", "list")["views"]) == 4
    ask("stream", "run", "--once")
    assert ask("query", "SELECT * FROM mine")["rows"] == [{"sc_status": "200", "n": 2 * ROWS}]
    mine.write_text("SELECT cs_method, count(*) AS n FROM cloudfront GROUP BY cs_method")
    changed = ask("query", "SELECT * FROM mine")
    assert changed["rows"] == [{"cs_method": "GET", "n": 2 * ROWS}]
    assert changed["certificate"]["views"][0]["recomputed_entries"] == 1
    mine.rename(mine.with_name("Bots.sql"))
    ask("views", "list", code=1, as_json=False)


def test_a_view_that_is_refused_says_where(ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.sql").write_text("SELECT c_ip, count(DISTINCT c_ip) AS n FROM cloudfront GROUP BY c_ip")
    assert run(["views", "check", "bad.sql"], Invocation()) == 1
    assert "bad.sql:1:14: " in capsys.readouterr().err


def test_what_the_shards_depend_on_cannot_change(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    ask("stream", "run", "--once")
    assert run(["stream", "run", "--once", "--set", "source.buckets=3"], Invocation()) == 1
    assert "source.buckets is 3, and was 2" in capsys.readouterr().err


def test_protected_columns_are_stored_protected(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protected = ["--set", "protect.hash=c_ip", "--set", "protect.key_env=SHARDLAKE_KEY"]
    ask("stream", "run", "--once", *protected, code=1, as_json=False)
    monkeypatch.setenv("SHARDLAKE_KEY", "0123456789abcdef0123456789abcdef")
    ask("stream", "run", "--once", *protected)
    monkeypatch.delenv("SHARDLAKE_KEY")
    found = ask("query", "SELECT DISTINCT viewer FROM viewers")["rows"]
    assert len(found) == 7
    assert not any(row["viewer"].startswith("10.") for row in found)


def test_a_difference_ends_in_its_own_code(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batch import audit

    ask("stream", "run", "--once")
    ask("batch", "run")
    write_log(tmp_path / "logs", "E2EXAMPLE1234.2026-03-01-10.dddd.log", 3 * ROWS)
    ask("stream", "run", "--once")
    monkeypatch.setattr(audit, "differing", lambda *_: (1, ()))
    ask("batch", "run", code=4, as_json=False)


def test_a_connection_answers_as_the_command_does(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there are no views"):
        serving.connect(tmp_path / "nowhere")
    ask("stream", "run", "--once")
    monkeypatch.chdir(tmp_path / "logs")
    for connection in (
        serving.connect(),
        serving.connect(tmp_path / ".shardlake"),
        serving.connect(config="../shardlake.toml"),
    ):
        with connection:
            answer = connection.query(TOTAL)
            assert answer.rows == [(2 * ROWS, sum(range(2 * ROWS)))]
            assert answer.arrow().num_rows == len(answer) == 1
            assert int(answer.pandas()["n"][0]) == 2 * ROWS
            assert answer.certificate.letters == 1
            assert "1 rows, cut 0:" in repr(answer)
            assert ">80</td>" in answer._repr_html_()
            assert connection.query("SELECT * FROM bots WHERE false").rows == []
    assert "bandwidth, bots, viewers" in repr(connection)


# ------------------------------------------------------------------------------------------------ processes


def _start(folder: Path, root: Path, *args: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "shardlake.app.main",
        "stream",
        "run",
        "--set",
        "limits.poll_interval_s=0.05",
        *args,
    ]
    env = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _until(process: "subprocess.Popen[str]", event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == event:
            return
    pytest.fail(f"it ended before {event}")


@pytest.mark.slow
def test_a_daemon_is_alone_and_stops_when_asked(logs: Path, root: Path, tmp_path: Path) -> None:
    daemon = _start(tmp_path, root)
    try:
        _until(daemon, "caught_up")
        second = _start(tmp_path, root)
        _, told = second.communicate(timeout=60)
        assert (second.returncode, f"(process {daemon.pid})" in told) == (1, True), told
        write_log(logs, "E2EXAMPLE1234.2026-03-01-10.eeee.log", 4 * ROWS)
        _until(daemon, "committed")
        daemon.send_signal(signal.SIGTERM)
        out, err = daemon.communicate(timeout=60)
    finally:
        daemon.kill()
    assert daemon.returncode == 0, err
    assert "2 entries of events with 120 rows and 1 dead letter committed" in out
    assert json.loads(err.splitlines()[-1])["signal"] == "SIGTERM"


@pytest.mark.slow
def test_a_killed_daemon_s_place_is_free_at_once(logs: Path, root: Path, tmp_path: Path) -> None:
    killed = _start(tmp_path, root)
    _until(killed, "committed")
    killed.kill()
    killed.communicate(timeout=60)
    again = _start(tmp_path, root, "--once", "--json")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert json.loads(out)["rows"] == 0


@pytest.mark.slow
def test_a_closed_pipe_is_no_matter(ask: Ask, root: Path, tmp_path: Path) -> None:
    ask("stream", "run", "--once")
    command = [
        sys.executable,
        "-m",
        "shardlake.app.main",
        "query",
        "-f",
        "csv",
        "SELECT a.* FROM viewers a, viewers b, viewers c",
    ]
    env = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_a_query_imports_nothing_heavy(ask: Ask, root: Path, tmp_path: Path) -> None:
    ask("stream", "run", "--once")
    ask("batch", "run")
    heavy = ("pandas", "pyarrow", "pyiceberg", "sqlglot", "structlog", "rich", "numpy", "boto3")
    script = (
        "import sys; from shardlake.app.main import run; from shardlake.app.cli import Invocation\n"
        f"code = run(['query', {TOTAL!r}], Invocation())\n"
        f"print(code, [name for name in {heavy!r} if name in sys.modules])"
    )
    env = os.environ | {"PYTHONPATH": str(root)}
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ran.stdout.splitlines()[-1] == "0 []", ran.stderr
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_ctrl_c_ends_a_long_query_at_once(ask: Ask, root: Path, tmp_path: Path) -> None:
    ask("stream", "run", "--once")
    forever = "SELECT count(*) FROM " + ", ".join(f"viewers v{i}" for i in range(9))
    # Where tests run in the background Ctrl-C is ignored, and a child inherits that.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from shardlake.app.main import main; main(['query', {forever!r}])"
    )
    env = os.environ | {"PYTHONPATH": str(root)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=env, stderr=subprocess.PIPE)
    try:
        time.sleep(2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, told) == (-signal.SIGINT, b"")  # which a shell shows as 130


def test_what_fails_in_passing_is_tried_again(
    ask: Ask, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shardlake.app import streaming

    tries: list[int] = []
    opened = streaming.opened

    def sometimes(*args: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise Transient("the disk is full: free it")
        return opened(*args)

    monkeypatch.setattr(streaming, "opened", sometimes)
    config = load({}, {}, Path.cwd()).config
    asked = iter([False] * 30)
    done = streaming.stream(config, {}, make_log(verbose=0, as_json=True), lambda: next(asked, True), once=False)
    assert (len(tries), done.rows) == (3, 2 * ROWS)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [e["error"] for e in events if e["event"] == "trying_again"] == ["the disk is full: free it"] * 2
    tries.clear()
    ask("stream", "run", "--once", code=3, as_json=False)


def test_a_lone_process_holds_the_lock_only_as_long_as_it_works(tmp_path: Path) -> None:
    with only_one("a test", str(tmp_path), "test"):
        second = only_one("a test", str(tmp_path), "test")
        with pytest.raises(Locked, match=f"a test already runs on .* \\(process {os.getpid()}\\)"):
            second.__enter__()
    with only_one("a test", str(tmp_path), "test"):
        pass
