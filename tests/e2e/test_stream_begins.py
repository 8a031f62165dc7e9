"""How `shardlake stream run` begins: where there are no files yet, and on a root of another pack."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL
from shardlake.app.cli import Invocation
from shardlake.app.config import load
from shardlake.app.main import run
from shardlake.app.streaming import stream

LOG = (
    "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs(Host) cs(User-Agent) x-edge-request-id\n"
    "2026-03-01\t10:00:00\tFRA56-P4\t7\t10.0.0.1\td1.cloudfront.net\tcurl/8.5.0\tid-1\n"
)
ONCE = ("stream", "run", "--once", "--root", "store")


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "E2EXAMPLE1234.2026-03-01-10.aaaa.log").write_text(LOG)
    os.utime(folder / "E2EXAMPLE1234.2026-03-01-10.aaaa.log", (1_700_000_000, 1_700_000_000))
    return folder


class Heard:
    """A log that is kept."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **facts: Any) -> None:
        self.told.append((event, facts))

    debug = warning = error = info

    def of(self, event: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.told if name == event]


def test_another_pack_is_refused_before_anything_is_written(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*ONCE, "--source", "logs"], Invocation()) == 0
    capsys.readouterr()
    root = tmp_path / "store"
    before = {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    for pack in ("alb", "cloudfront_realtime"):
        assert run([*ONCE, "--source", "logs", "--set", f"source.pack={pack}"], Invocation()) == 1
        told = capsys.readouterr().err
        assert f"this root reads cloudfront, not {pack}: set source.pack back, or give --root another folder" in told
        assert "started" not in told
    assert {path: path.read_bytes() for path in before} == before
    journal = SqliteJournal(root / JOURNAL, read_only=True)
    assert [key for key, _ in journal.scan("source/")] == ["source/cloudfront"]
    assert [key for key, _ in journal.scan("columns/")] == ["columns/cloudfront"]
    journal.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("later", "{here}/later does not exist yet"),
        ("empty", "there is no file in {here}/empty yet"),
        ("empty/*.gz", "no file matches {here}/empty/*.gz yet"),
    ],
)
def test_a_source_without_files_is_told_once(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert run([*ONCE, "--source", path], Invocation()) == 0
    out, err = capsys.readouterr()
    assert out == "0 entries of events with 0 rows and 0 dead letters committed\n"
    told = [json.loads(line) for line in err.splitlines()]
    assert [one["found"] for one in told if one["level"] == "warning"] == [said.format(here=tmp_path)]


def test_a_source_with_a_file_is_not_warned_of(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for said in ("1 entry of events with 1 row and 0 dead letters", "0 entries of events with 0 rows"):
        assert run([*ONCE, "--source", "logs"], Invocation()) == 0
        out, err = capsys.readouterr()
        assert out.startswith(said)
        assert "no_files" not in err


def test_a_folder_that_comes_later_is_waited_for(logs: Path, tmp_path: Path) -> None:
    heard = Heard()

    def stop() -> bool:
        if heard.of("no_files") and logs.exists():
            logs.rename(tmp_path / "later")
        return bool(heard.of("committed"))

    flags = {"source.path": ("later", "--source"), "root": ("store", "--root")}
    assert stream(load(flags, {}, tmp_path).config, {}, heard, stop, once=False).rows == 1
    assert heard.of("no_files") == [{"found": f"{tmp_path / 'later'} does not exist yet; waiting for it"}]
