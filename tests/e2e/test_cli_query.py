"""`shardlake query` as people use it: plots, zones, saved queries, and asking again and again."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.answer import Rows, Server
from shardlake.adapters.clock import SystemClock
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.core.errors import Transient

PATIENCE_S = 60
OVER_TIME = "SELECT bucket, sum(bytes) AS bytes FROM bandwidth GROUP BY bucket ORDER BY bucket"
EDGES = (
    "-- description: what edges send\n-- views: bandwidth\n"
    "SELECT edge, sum(bytes) AS bytes FROM bandwidth GROUP BY 1 ORDER BY 2 DESC"
)
FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent) x-edge-request-id"
)

Ask = Callable[..., tuple[str, str]]


@pytest.fixture(name="ask")
def _ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Give a function that asks a query of a small root: what it wrote to stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    lines = [
        f"2026-03-01 10:{i:02d}:00 FRA56-P{i % 2} {1000 * i} 10.0.0.1 GET d1.cloudfront.net /a 200 curl id-{i}"
        for i in range(60)
    ]
    log = tmp_path / "logs" / "E2EXAMPLE1234.2026-03-01-10.aaaa.log"
    log.parent.mkdir()
    log.write_text(
        "\n".join([f"#Version: 1.0\n#Fields: {FIELDS}", *(line.replace(" ", "\t") for line in lines)]) + "\n"
    )
    os.utime(log, (1_700_000_000, 1_700_000_000))
    (tmp_path / "shardlake.toml").write_text("[source]\npath = 'logs'\nbuckets = 1\n[limits]\nsettle_s = 0\n")
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "edges.sql").write_text(EDGES)
    assert run(["stream", "run", "--once"], Invocation()) == 0
    capsys.readouterr()

    def ask(*args: str, code: int = 0) -> tuple[str, str]:
        assert run(["query", *args], Invocation()) == code
        return capsys.readouterr()

    return ask


def test_an_answer_is_drawn_and_what_it_covers_told_apart(ask: Ask) -> None:
    out, err = ask(OVER_TIME, "--plot")
    assert out.startswith("bytes by bucket (UTC)\n60 kB ┤")
    assert len(out.splitlines()) == 22
    assert "\x1b" not in out
    assert err.startswith("cut 0:")
    out, err = ask("@edges", "--plot", "--certificate")
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [["FRA56-P1", "900", "kB"], ["FRA56-P0", "870", "kB"]]
    assert "fingerprint" in err


def test_what_cannot_be_drawn_is_a_wrong_command_line(ask: Ask) -> None:
    _, err = ask("SELECT sum(bytes) AS n FROM bandwidth", "--plot", code=2)
    assert "this answer has n (number): add what the values belong to" in err
    assert "choose a number, such as with --column bytes" in ask("SELECT * FROM viewers", "--plot", code=2)[1]
    assert ask("SELECT * FROM viewers", "--plot", "--column", "bytes")[0].startswith("bytes by bucket")


@pytest.mark.parametrize(
    "args",
    [
        ("--plot", "--json"),
        ("--plot", "-f", "csv"),
        ("--plot", "-o", "x"),
        ("--column", "bytes"),
        ("--tz", "local", "--json"),
        ("--tz", "local", "-f", "jsonl"),
        ("--tz", "local", "-f", "parquet", "-o", "x"),
        ("--watch", "-f", "csv"),
        ("--watch", "-o", "x"),
        ("--watch=nan",),
        ("--watch=0",),
    ],
)
def test_wishes_that_do_not_go_together_are_refused(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["query", "SELECT 1", *args], Invocation()) == 2
    assert "Error: " in capsys.readouterr().err


def test_tables_and_csv_are_in_the_zone_and_data_stays_utc(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = f"{OVER_TIME} LIMIT 1"
    out, err = ask(sql, "--tz", "Europe/Berlin")
    assert out.splitlines()[2].startswith("2026-03-01 11:00:00+01:00  ")
    assert "newest event 2026-03-01 11:59:00+01:00" in err
    assert ask(sql, "--tz", "+05:30", "-f", "csv")[0].splitlines()[1] == "2026-03-01T15:30:00+05:30,0"
    monkeypatch.setenv("SHARDLAKE_QUERY_TIMEZONE", "Asia/Tokyo")
    assert "2026-03-01 19:00:00+09:00" in ask(sql)[0]
    assert "2026-03-01 10:00:00  " in ask(sql, "--tz", "UTC")[0]
    assert json.loads(ask(sql, "-f", "jsonl")[0])["bucket"] == "2026-03-01T10:00:00Z"
    assert json.loads(ask(sql, "--json")[0])["rows"][0]["bucket"] == "2026-03-01T10:00:00Z"
    assert (
        "query.timezone is 'Asia/Tokio' (--tz); did you mean Asia/Tokyo?" in ask(sql, "--tz", "Asia/Tokio", code=1)[1]
    )


def test_saved_queries_are_listed_and_asked(ask: Ask) -> None:
    assert "@edges  (queries/edges.sql, of bandwidth)\n    what edges send\n" in ask("@")[0]
    listed = json.loads(ask("@", "--json")[0])["queries"]
    assert next(one["sql"] for one in listed if one["name"] == "edges") == EDGES
    assert json.loads(ask("@edges", "--json")[0])["columns"] == ["edge", "bytes"]
    assert "add bandwidth to views.use" in ask("@edges", "--set", "views.use=bots", code=1)[1]
    assert "did you mean @edges?" in ask("@edgse", code=1)[1]


NOT_IN_USE = "is not in use: add it to views.use, then run `shardlake stream run` or `shardlake batch run`"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("sessions", f"the view sessions {NOT_IN_USE}"),
        ("Viewers", f"the view viewers {NOT_IN_USE}"),
        ("mine", f"the view mine {NOT_IN_USE}"),
        ("cloudfront", "cloudfront is the source of events, and queries ask views (bandwidth, bots): `shardlake views"),
        ("bandwith", "there is no view bandwith; did you mean bandwidth? views are: bandwidth, bots"),
    ],
)
def test_what_is_no_view_in_use_is_told_with_what_to_do(ask: Ask, table: str, said: str) -> None:
    Path("views").mkdir()
    Path("views/mine.sql").write_text("SELECT x_edge_location, count(*) AS n FROM cloudfront GROUP BY 1")
    use = ("--set", "views.use=bandwidth,bots")
    assert ask(f"SELECT * FROM {table}", *use, code=1)[1].startswith(f"error: {said}")
    told = json.loads(ask(f"SELECT * FROM {table}", "--json", *use, code=1)[1])
    assert (told["error"], told["message"].startswith(said)) == ("QueryRefused", True)


def test_an_error_of_sql_is_written_in_lines_with_its_caret(ask: Ask) -> None:
    *_, line, caret = ask("SELECT\tvewer FROM viewers", code=1)[1].splitlines()
    assert line == "LINE 1: SELECT vewer FROM viewers"
    assert caret.strip() == "^^^^^"
    assert line[caret.index("^") :].startswith("vewer")


# --------------------------------------------------------------------------------------------------- again and again


def test_a_time_with_a_zone_is_refused_with_what_to_write(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytz", None)  # what DuckDB asks for, and nobody needs otherwise
    _, told = ask("SELECT bucket AT TIME ZONE 'UTC' AS t FROM bandwidth LIMIT 1", code=1)
    assert "cast it, as in CAST(x AS TIMESTAMP), which is UTC" in told and "Traceback" not in told


@pytest.fixture(name="waits")
def _waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the clock wait for nothing, and be interrupted at the third wait."""
    waited: list[float] = []

    def sleep(self: SystemClock, seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(SystemClock, "sleep_s", sleep)
    return waited


def test_a_watched_query_answers_again_by_the_same_server(
    ask: Ask, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Server] = []
    answered = Server.rows

    def rows(self: Server, sql: str) -> Rows:
        asked.append(self)
        if len(asked) == 2:
            raise Transient("out of reach")
        return answered(self, sql)

    monkeypatch.setattr(Server, "rows", rows)
    out, _ = ask("--watch", "SELECT sum(requests) AS n FROM viewers")
    frames = out.strip().split("\n\n")
    assert [frame.splitlines()[1:4] for frame in frames] == [[" n", "--", "60"], [], [" n", "--", "60"]]
    assert frames[0].splitlines()[0].endswith(" UTC, every 2 s")
    assert frames[0].splitlines()[-1].startswith("cut 0:")
    assert frames[1] == "out of reach; asking again"
    assert waits == [2.0] * 3
    assert len(set(map(id, asked))) == 1


def test_a_watched_query_is_drawn_or_a_line_of_json(ask: Ask, waits: list[float]) -> None:
    out, _ = ask(OVER_TIME, "--plot", "--watch", "0.5", "--tz", "Asia/Tokyo")
    assert out.count("bytes by bucket (Asia/Tokyo)") == 3
    assert waits == [0.5] * 3
    waits.clear()
    out, _ = ask(OVER_TIME, "--watch", "--json")
    assert [len(json.loads(line)["rows"]) for line in out.splitlines()] == [60] * 3


def test_a_watched_table_is_as_long_as_asked(ask: Ask, waits: list[float]) -> None:
    out, _ = ask(OVER_TIME, "--watch", "--limit", "2")
    assert out.count("58 more rows") == 3
    waits.clear()
    assert "more rows" not in ask(OVER_TIME, "--watch", "--limit", "0")[0]


def test_a_watched_query_that_is_wrong_ends(ask: Ask, waits: list[float]) -> None:
    assert "there is no view nothing" in ask("SELECT * FROM nothing", "--watch", code=1)[1]
    assert not waits


class _OnTerminal:
    """A program on a terminal of 80 columns and 24 lines."""

    def __init__(self, root: Path, *args: str) -> None:
        self._at, inside = pty.openpty()
        env = os.environ | {"PYTHONPATH": str(root), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        env.pop("NO_COLOR", None)
        script = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"from shardlake.app.main import main; main({list(args)!r})"
        )
        self.process = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=inside, stderr=inside)
        os.close(inside)
        self.written = ""

    def until(self, seen: Callable[[str], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not seen(self.written):
            assert time.monotonic() < end, self.written
            if select.select([self._at], [], [], 1)[0]:
                self.written += os.read(self._at, 65_536).decode("utf-8", "replace")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            os.close(self._at)


@pytest.mark.slow
def test_on_a_terminal_a_watched_plot_is_drawn_in_place_with_colours(ask: Ask, root: Path) -> None:
    edges = "SELECT bucket, edge, sum(bytes) AS bytes FROM bandwidth GROUP BY ALL"
    seen = _OnTerminal(root, "query", edges, "--plot", "--watch", "0.1")
    seen.until(lambda written: written.count("newest event") > 2)
    assert seen.interrupt() == 0
    assert "\x1b[1A" in seen.written  # the cursor goes up again
    assert "\x1b[36m" in seen.written
    first = seen.written.partition("\x1b[1A")[0]
    assert len(first.splitlines()) <= 24


@pytest.mark.slow
def test_a_plot_loads_no_more_than_it_needs(ask: Ask, root: Path) -> None:
    script = (
        "import sys; from shardlake.app.main import run; from shardlake.app.cli import Invocation\n"
        "run(sys.argv[1:], Invocation())\n"
        "print([name for name in ('plotille', 'rich', 'zoneinfo', 'pyarrow', 'numpy') if name in sys.modules])"
    )

    def loaded(*args: str) -> Any:
        command = [sys.executable, "-c", script, "query", *args]
        env = os.environ | {"PYTHONPATH": str(root)}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return ran.stdout.splitlines()[-1]

    assert loaded(OVER_TIME) == "[]"
    assert loaded("@edges", "--plot") == "['rich']"
    assert loaded(OVER_TIME, "--plot", "--tz", "Europe/Berlin") == "['plotille', 'zoneinfo']"
