"""What docs/reference-data.md shows is what happens, and a wrong lookup is told before anything is read."""

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from shardlake.app.cli import Invocation
from shardlake.app.config import load
from shardlake.app.main import run
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views
from shardlake.core.errors import ViewRefused

_FILE = re.compile(r"^\*\*([\w/.]+)\*\*:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SESSION = re.compile(r"^```text\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
FIELDS = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent)"
REQUESTS = (
    ("FRA56-P4", "203.0.113.70"), ("FRA56-P4", "203.0.113.70"), ("FRA50-C1", "203.0.113.7"),
    ("LHR3-C1", "2001:db8::1"), ("LHR3-C1", "198.51.100.1"), ("NRT12-C2", "203.0.113.255"),
)  # fmt: skip

Ran = Callable[..., str]


@pytest.fixture(name="page")
def _page(root: Path) -> str:
    return (root / "docs" / "reference-data.md").read_text("utf-8")


@pytest.fixture(name="site")
def _site(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, and six requests in a log."""
    monkeypatch.chdir(tmp_path)
    for name, text in (*_FILE.findall(page), ("shardlake.toml", "[source]\npath = 'logs'\n"), ("logs/none", "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    lines = ["#Version: 1.0", f"#Fields: {FIELDS} x-edge-request-id"]
    for n, (edge, viewer) in enumerate(REQUESTS):
        line = f"2026-11-03 10:00:0{n} {edge} 100 {viewer} GET d1.cloudfront.net /a 200 curl/8.5.0 id-{n}"
        lines.append(line.replace(" ", "\t"))
    log = tmp_path / "logs" / "E2EXAMPLE1234.2026-11-03-10.aaaaaaaa.log"
    (tmp_path / "logs" / "none").unlink()
    log.write_text("\n".join(lines) + "\n")
    os.utime(log, (1_700_000_000, 1_700_000_000))
    return tmp_path


@pytest.fixture(name="ran")
def _ran(site: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Give a function that runs a command line, expects its exit code, and returns what it wrote."""

    def work(*args: str, code: int = 0) -> str:
        assert run(list(args), Invocation()) == code
        told = capsys.readouterr()
        return told.out or told.err

    return work


@pytest.fixture(name="chosen")
def _chosen(site: Path) -> Callable[[], Config]:
    return lambda: load({}, {}, site).config


def test_the_page_shows_what_happens(page: str, ran: Ran) -> None:
    (session,) = _SESSION.findall(page)
    commands = re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]
    assert len(commands) == 2
    for text in commands:
        command, _, shown = text.partition("\n")
        args = shlex.split(command)[1:]
        out = ran(*args, *(["--once"] if args == ["stream", "run"] else []))
        assert not shown or [line.rstrip() for line in out.splitlines()] == shown.splitlines()
    assert ran("batch", "run") and ran("verify")


def test_the_doctor_reads_the_tables(ran: Ran, site: Path) -> None:
    def found(code: int) -> tuple[str, str]:
        (check,) = [c for c in json.loads(ran("doctor", "--json", code=code))["checks"] if c["check"] == "lookups"]
        return check["state"], check["found"]

    state, told = found(0)
    assert state == "ok"
    assert re.fullmatch(r"edges: \d+ rows, version [0-9a-f]{12}; networks: 3 rows, version 2026-11", told)
    (site / "lookups" / "networks.csv").unlink()
    state, told = found(1)
    assert state == "fail"
    assert "there is no file" in told


def test_a_missing_table_is_told_before_anything_is_read(ran: Ran, site: Path) -> None:
    (site / "lookups" / "networks.csv").unlink()
    said = ran("stream", "run", "--once", code=1)
    assert "networks.toml: table is networks.csv, and there is no file" in said
    assert not (site / ".shardlake" / "journal.db").exists()


def test_a_batch_run_does_without_the_tables(ran: Ran, site: Path) -> None:
    ran("stream", "run", "--once")
    (site / "lookups" / "networks.csv").unlink()
    ran("batch", "run")
    assert "Example Ltd Berlin" in ran("query", "SELECT DISTINCT network FROM places")


def test_views_follow_the_declarations(chosen: Callable[[], Config], site: Path) -> None:
    before = compiled_views(chosen())
    file = site / "lookups" / "networks.toml"
    file.write_text(file.read_text().replace('network = "name"', 'network = { column = "name", type = "BIGINT" }'))
    after = compiled_views(chosen())
    assert after["places"].fingerprint != before["places"].fingerprint
    assert after["viewers"] == before["viewers"]
    file.unlink()
    with pytest.raises(ViewRefused, match=r"places.sql:5:5: cloudfront has no column network"):
        compiled_views(chosen())
