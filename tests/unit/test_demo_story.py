"""What the demo tells of its processes, and how it starts and ends them."""

import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shardlake.adapters.clock import SystemClock
from shardlake.app.demo.processes import Commands, apart_from_aws, serve_kinesis, told_endpoint
from shardlake.app.demo.story import Story, Tail, retold
from shardlake.core.errors import Terminal


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path / "store", tmp_path / "said", {"source.region": "us-east-1"})


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"event": "lane_taken", "lane": 1, "shards": 0}, "takes lane 1"),
        ({"event": "lane_taken", "lane": 1, "shards": 2}, "takes lane 1, with 2 shards"),
        (
            {"event": "lane_taken", "lane": 0, "shards": 1, "from_worker": "ab"},
            "takes lane 0 over from the dead, with 1 shard",
        ),
        ({"event": "shards_moved", "adopted": 2, "released": 1}, "adopts 2 shards and releases 1 shard"),
        ({"event": "shards_moved", "adopted": 0, "released": 2}, "releases 2 shards"),
        ({"event": "shards_found", "shards": 4}, "finds 4 new shards"),
        ({"event": "trying_again", "error": "no answer", "in_s": 1}, "tries again: no answer"),
        ({"event": "stopped", "entries": 3, "rows": 1200}, "has stopped: 1,200 rows in 3 commits"),
        ({"event": "committed", "entry": "0:1", "rows": 5}, None),
    ],
)
def test_what_a_worker_logs_is_told_in_words(facts: dict[str, Any], told: str | None) -> None:
    assert retold(facts) == told


def test_a_shard_that_stands_still_ends_the_demo() -> None:
    with pytest.raises(Terminal, match="shardId-3 was trimmed"):
        retold({"event": "shard_stopped", "shard": "s", "error": "shardId-3 was trimmed"})


def test_a_log_is_read_line_by_line_as_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"event": "started"}\nnot of the log\n{"entries": 3}\n[1]\n{"event": "comm')
    tail = Tail(log)
    assert [facts["event"] for facts in tail.fresh()] == ["started"]
    assert list(tail.fresh()) == []
    with log.open("a") as file:
        file.write('itted"}\n{"event": "stopped"}\n')
    assert [facts["event"] for facts in tail.fresh()] == ["committed", "stopped"]


def test_a_story_is_told_with_its_seconds_and_takes_nothing_for_markup() -> None:
    text, clock = StringIO(), SystemClock()
    Story(Console(file=text, width=40), clock, clock.monotonic_s() - 12).tell(f"[red]{'long ' * 20}[/]")
    assert text.getvalue() == f"  12.0 s  [red]{'long ' * 20}[/]\n"


def test_a_command_that_fails_is_told_with_what_it_said_last(commands: Commands) -> None:
    running = commands.start("nonsense")
    with pytest.raises(Terminal, match=r"nonsense ended with exit code 2: .*nonsense"):
        running.wait(20)


def test_the_embedded_service_is_started_and_stopped(commands: Commands) -> None:
    service, endpoint = serve_kinesis(commands, SystemClock(), "logs", 2)
    assert endpoint.startswith("http://127.0.0.1:")
    assert not service.is_over
    service.stop()
    assert service.is_over


def test_an_endpoint_is_found_below_a_warning_and_in_a_whole_line() -> None:
    assert told_endpoint(b'a warning\n{"url":"http://127.0.0.1:1","streams":["a"]}') is None
    assert told_endpoint(b'a warning\n{"url":"http://127.0.0.1:1","streams":["a"]}\n') == "http://127.0.0.1:1"


def test_a_service_that_does_not_start_is_told(commands: Commands) -> None:
    with pytest.raises(Terminal, match="ended with exit code 2"):
        serve_kinesis(commands, SystemClock(), "no stream's name", 2)


def test_settings_of_aws_are_hidden_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    monkeypatch.delenv("AWS_CONFIG_FILE", raising=False)
    with apart_from_aws():
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_CONFIG_FILE"] == os.devnull
    assert os.environ["AWS_PROFILE"] == "somebody"
    assert "AWS_CONFIG_FILE" not in os.environ
