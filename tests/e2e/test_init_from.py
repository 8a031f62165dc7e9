"""`shardlake init --from`: from a sample to an answer, without a line of Python."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.disk import write_file
from shardlake.app.cli import Invocation
from shardlake.app.main import run

ROWS = 60
Told = tuple[int, str, str]


@pytest.fixture(name="ran")
def _ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Give a function that runs a command in a folder of its own: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def ran(*args: str) -> Told:
        code = run([*args], Invocation())
        told = capsys.readouterr()
        return code, told.out, told.err

    return ran


def lines(broken: str = "", mark: str = "e") -> str:
    events = [
        {
            "id": f"{mark}{i}",
            "ts": f"2026-03-01T10:{i // 20:02d}:{i % 60:02d}Z",
            "user": {"id": f"u{i % 40}"},
            "page": f"/{i % 3}",
            "n": i,
        }
        for i in range(ROWS)
    ]
    return (
        "\n".join([*map(json.dumps, events[:10]), *([broken] if broken else []), *map(json.dumps, events[10:])]) + "\n"
    )


def asked(ran: Callable[..., Told], sql: str) -> Any:
    code, out, err = ran("query", sql, "--json", "--set", "limits.settle_s=0")
    assert code == 0, err
    return json.loads(out)["rows"]


def test_a_sample_becomes_an_answer(ran: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "clicks.jsonl").write_text(lines('{"id":"x"\x1b[2J'))
    code, out, err = ran("init", "--from", "clicks.jsonl")
    assert (code, err) == (0, "")
    assert (
        "Wrote clicks/pack.toml, clicks/views/clicks_by_page.sql, clicks/views/clicks_per_hour.sql, shardlake.toml."
        in out
    )
    assert "Read 60 of 61 lines; 1 could not be read (malformed): line 11." in out
    asking = 'shardlake query "SELECT * FROM clicks_by_page ORDER BY 1 DESC LIMIT 10"'
    assert out.endswith(f"Next:\n  shardlake stream run --once\n  {asking}\n")
    settings = (tmp_path / "shardlake.toml").read_text()
    assert 'pack = "./clicks"' in settings and 'path = "clicks.jsonl"' in settings and '# stream = "clicks"' in settings
    assert ran("views", "check", "clicks/views/clicks_by_page.sql")[0] == 0
    assert ran("stream", "run", "--once", "--set", "limits.settle_s=0")[0] == 0
    total = asked(ran, "SELECT sum(events) AS n, sum(n_sum) AS s, count(DISTINCT page) AS pages FROM clicks_by_page")
    assert total == [{"n": ROWS, "s": sum(range(ROWS)), "pages": 3}]
    assert json.loads(ran("dlq", "list", "--json")[1])["reasons"][0]["reason"] == "malformed"


def test_a_folder_of_files_of_one_kind_is_the_source(ran: Callable[..., Told], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.jsonl.gz").write_bytes(gzip.compress(lines(mark=f"{number}-").encode()))
    code, out, _ = ran("init", "--from", "in/1.jsonl.gz", "--json")
    told = json.loads(out)
    assert (code, told["pack"], told["lines"], told["rows"], told["letters"]) == (0, "events", ROWS, ROWS, [])
    assert told["first"][0]["user_id"] == "u0"
    assert 'path = "in"' in (tmp_path / "shardlake.toml").read_text()
    assert ran("stream", "run", "--once", "--set", "limits.settle_s=0")[0] == 0
    assert asked(ran, "SELECT sum(events) AS n FROM events_by_page") == [{"n": 2 * ROWS}]
    (folder / "other.txt").write_text("x")
    assert ran("init", "--from", "in/1.jsonl.gz", "--force")[0] == 0
    assert 'path = "in/1.jsonl.gz"' in (tmp_path / "shardlake.toml").read_text()


def test_nothing_is_overwritten_unless_it_is_forced(ran: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "clicks.jsonl").write_text(lines())
    settings = tmp_path / "shardlake.toml"
    write_file(settings, b"mine")
    code, _, err = ran("init", "--from", "clicks.jsonl")
    assert code == 1 and "shardlake.toml exists: give --force" in err and not (tmp_path / "clicks").exists()
    settings.unlink()
    (tmp_path / "clicks").mkdir()
    (tmp_path / "clicks" / "notes").write_text("mine")
    code, _, err = ran("init", "--from", "clicks.jsonl")
    assert code == 1 and "clicks exists: give --force" in err and not settings.exists()
    assert ran("init", "--from", "clicks.jsonl", "--name", "others")[0] == 0
    settings.unlink()
    assert ran("init", "--from", "clicks.jsonl", "--force")[0] == 0
    assert (tmp_path / "clicks" / "notes").read_text() == "mine"


def test_what_is_refused_leaves_nothing(ran: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines())
    (tmp_path / "none.jsonl").write_text('{"a":1}\n')
    (tmp_path / "file").write_text("x")
    before = {*tmp_path.iterdir()}
    for args, expected, told in (
        (("--from", "gone.jsonl"), 1, "there is no file gone.jsonl"),
        (("--from", "none.jsonl"), 1, "no field tells the time"),
        (("--from", "a.jsonl", "--name", "Clicks"), 1, "--name is 'Clicks'; accepted: small letters"),
        (("--from", "a.jsonl", "--name", "alb"), 1, "alb is the name of a pack of Shardlake's own"),
        (("--from", "a.jsonl", "--name", "file"), 1, "file is a file, and the pack needs a folder"),
        (("--from", "a.jsonl", "--path", "no/where.toml"), 1, "there is no folder no"),
        (("--from", "a.jsonl", "--logs", "x"), 2, "--logs is for CloudFront logs"),
        (("--name", "x"), 2, "--name is for the pack that --from proposes"),
    ):
        code, _, err = ran("init", *args)
        assert (code, told in err) == (expected, True), (args, err)
    assert {*tmp_path.iterdir()} == before


def test_settings_elsewhere_have_the_pack_beside_them(ran: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines())
    (tmp_path / "conf").mkdir()
    code, out, _ = ran("init", "--from", "a.jsonl", "--path", "conf/my.toml")
    assert code == 0 and "shardlake --config conf/my.toml stream run --once" in out
    assert f'path = "{tmp_path / "a.jsonl"}"' in (tmp_path / "conf" / "my.toml").read_text()
    done = ran("--config", "conf/my.toml", "stream", "run", "--once", "--set", "limits.settle_s=0")
    assert done[0] == 0 and (tmp_path / "conf" / "a" / "pack.toml").exists()
