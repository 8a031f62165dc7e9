"""The command line explains itself, the documentation knows all of it, and exit codes mean something."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from shardlake.app import exits
from shardlake.app.cli import Invocation, common_options
from shardlake.app.exits import Difference, exit_code
from shardlake.app.main import COMMANDS, cli, run
from shardlake.core.errors import ConfigError, Conflict, Missing, OutcomeUnknown, QueryRefused, Transient

COMMON = {option.name for option in common_options()}


def _walk(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from _walk(found, (*path, name))


@cache
def _commands() -> dict[str, click.Command]:
    return {" ".join(path): command for path, command in _walk(cli, ())}


def _leaves() -> list[str]:
    return [name for name, command in _commands().items() if not isinstance(command, click.Group)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_all_commands_of_the_contract_are_there() -> None:
    wanted = {
        "init", "demo", "config show", "stream run", "stream bootstrap", "batch run", "batch rebuild", "query",
        "views check", "views list",
        "views show", "status", "dlq list", "dlq show", "dlq retry", "verify", "put", "doctor",
        "lease import", "lease export", "replicate",
    }  # fmt: skip
    assert set(_leaves()) == wanted


@pytest.mark.parametrize("name", ["", *_commands()])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split(), "--help"], Invocation()) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "\b" not in text
    command = _commands()[name] if name else cli
    assert command.help is not None
    assert len(command.help.split()) > 4
    assert command is cli or len(command.get_short_help_str(200)) < 70
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_documentation_names_every_command_and_option(root: Path) -> None:
    text = (root / "docs" / "cli.md").read_text("utf-8")
    found = re.finditer(r"^## `shardlake (.*?)`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    sections = {match[1]: match[2] for match in found}
    assert set(sections) == set(_leaves())
    for name, section in sections.items():
        documented = set(re.findall(r"`(-{1,2}[a-z][a-z-]*)", section))
        own = [p for p in _commands()[name].params if isinstance(p, click.Option) and p.name not in COMMON]
        options = {flag for option in own for flag in option.opts}
        assert options <= documented, name
        assert documented - options <= {"--set", "--reason"}, name
    for option in common_options():
        assert all(f"`{flag}" in text for flag in option.opts)
    for code in exits.MEANING:
        assert re.search(rf"^\| {code} \|", text, re.MULTILINE)


def test_the_program_alone_tells_where_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([], Invocation()) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  shardlake")] == [
        "demo",
        "init",
        "stream",
        "query",
    ]
    assert max(map(len, out.splitlines())) <= 110


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["config", "show"], 0),
        (["--version"], 0),
        (["nonsense"], 2),
        (["query"], 2),
        (["query", "SELECT 1", "--format", "parquet"], 2),
        (["config", "show", "--set", "x"], 2),
        (["config", "show", "--set", "x=1"], 1),
        (["config", "show", "--config", "nowhere.toml"], 1),
        (["query", "SELECT 1"], 1),
        (["status"], 1),
        (["dlq", "list"], 1),
        (["batch", "run"], 1),
        (["verify"], 1),
        (["stream", "run"], 1),
        (["views", "check", "nowhere.sql"], 1),
        (["views", "show", "nothing"], 1),
    ],
)
def test_exit_codes(args: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(args, Invocation()) == code
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert (len(told.strip().splitlines()) == 1 and told.startswith("error: ")) if code == 1 else True


def test_errors_end_in_a_code_by_their_kind() -> None:
    again = [Conflict("x"), Transient("x"), Missing("x"), OutcomeUnknown("x")]
    assert {exit_code(error) for error in again} == {3}
    assert {exit_code(error) for error in (ConfigError("x"), QueryRefused("x"))} == {1}
    assert exit_code(Difference("x")) == 4


def test_an_error_is_json_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json"], Invocation()) == 1
    told = json.loads(capsys.readouterr().err)
    assert (told["error"], told["exit_code"]) == ("ConfigError", 1)
    assert "shardlake stream run" in told["message"]


def test_common_options_may_stand_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (
        ["--json", "--set", "source.buckets=3", "config", "show"],
        ["config", "show", "--json", "--set", "source.buckets=3"],
    ):
        assert run([*args, "--changed"], Invocation()) == 0
        assert json.loads(capsys.readouterr().out)["settings"] == [
            {"key": "source.buckets", "value": 3, "origin": "--set"}
        ]


def test_init_writes_once_and_overwrites_only_when_forced(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--logs", "in/*.gz"], Invocation()) == 0
    assert run(["config", "show", "--changed", "--json"], Invocation()) == 0
    assert '"source.path"' in capsys.readouterr().out
    Path("shardlake.toml").write_text("# mine")
    assert run(["init"], Invocation()) == 1
    assert Path("shardlake.toml").read_text() == "# mine"
    assert run(["init", "--force"], Invocation()) == 0
    assert run(["init", "--path", "no/such/file.toml"], Invocation()) == 1


def test_a_command_that_is_mistyped_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["qeury"], Invocation()) == 2
    assert "did you mean query?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_traceback_is_for_those_who_ask(root: Path, tmp_path: Path) -> None:
    def told(*args: str) -> str:
        command = [sys.executable, "-m", "shardlake.app.main", "status", *args]
        env = os.environ | {"PYTHONPATH": str(root)}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False).stderr

    assert "Traceback" not in told("-v")
    assert "Traceback" in told("-vv")


def test_help_lists_the_commands_in_order() -> None:
    assert cli.list_commands(click.Context(cli)) == list(COMMANDS)
