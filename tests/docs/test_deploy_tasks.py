"""The image and the tasks that `docs/deploy` shows fit the program and ECS."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.validate import ParamValidator

from shardlake.adapters.dynamodb.place import JournalPlace
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.app.settings import settings
from tests.docs.called import model
from tests.docs.test_deploy import folder, loaded

__all__ = ["folder"]


def refused(service: str, operation: str, params: Any) -> str:
    shape = model(service).operation_model(operation).input_shape
    return str(ParamValidator().validate(params, shape).generate_report())


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("task", "RegisterTaskDefinition"),
        ("fargate", "RegisterTaskDefinition"),
        ("service", "CreateService"),
        ("batch", "RunTask"),
    ],
)
def test_the_inputs_of_ecs_are_those_of_its_operations(folder: Path, name: str, operation: str) -> None:
    params = loaded(folder / "ecs" / f"{name}.json")
    assert refused("ecs", operation, params) == ""
    assert "Unknown parameter" in refused("ecs", operation, params | {"familiy": "x"})


def test_no_task_has_a_root_that_dies_with_it(folder: Path) -> None:
    task = loaded(folder / "ecs" / "task.json")
    assert [list(volume) for volume in task["volumes"]] == [["name", "host"]]
    assert task["requiresCompatibilities"] == ["EC2"]
    placed = [loaded(folder / "ecs" / f"{name}.json")["placementConstraints"] for name in ("service", "batch")]
    assert placed[0] == placed[1], "all of a root run on one machine"


def test_a_task_whose_root_dies_with_it_has_its_journal_and_its_objects_elsewhere(folder: Path) -> None:
    [container] = loaded(folder / "ecs" / "fargate.json")["containerDefinitions"]
    given = {one["name"]: one["value"] for one in container["environment"]}
    assert JournalPlace.of(re.sub(r"\$\{(\w+)\}", r"\1", given["SHARDLAKE_JOURNAL_URL"])).app == "journal_app"
    assert given["SHARDLAKE_STORAGE_URL"].startswith("s3://")
    [other] = loaded(folder / "ecs" / "task.json")["containerDefinitions"]
    assert other["environment"] == [one for one in container["environment"] if one["name"] != "SHARDLAKE_JOURNAL_URL"]


def commands(folder: Path) -> Iterator[list[str]]:
    yield json.loads(re.findall(r"^CMD (\[.*\])$", (folder / "Dockerfile").read_text("utf-8"), re.MULTILINE)[0])
    yield loaded(folder / "ecs" / "task.json")["containerDefinitions"][0]["command"]
    yield loaded(folder / "ecs" / "batch.json")["overrides"]["containerOverrides"][0]["command"]
    for shown in re.findall(r"command `(\[.*?\])`", (folder / "README.md").read_text("utf-8")):
        yield json.loads(shown)


def test_every_command_of_a_container_is_one_of_the_program(folder: Path, root: Path) -> None:
    text = (folder / "Dockerfile").read_text("utf-8")
    [entry] = json.loads(re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.MULTILINE)[0])
    assert entry in tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    found = list(commands(folder))
    assert len(found) == 4
    for command in found:
        assert run([*command, "--help"], Invocation()) == 0
    named = set(re.findall(r"`shardlake ([a-z]+(?: [a-z]+)?)[ `]", (folder / "README.md").read_text("utf-8")))
    assert {"stream run", "doctor"} <= named
    for words in named:
        assert run([*words.split(), "--help"], Invocation()) == 0, words


def test_every_variable_of_a_container_is_a_setting(folder: Path) -> None:
    known = {setting.env for setting in settings().values()}
    files = (folder / "Dockerfile", folder / "ecs" / "task.json", folder / "ecs" / "fargate.json")
    texts = [path.read_text("utf-8") for path in files]
    named = {name for text in texts for name in re.findall(r"SHARDLAKE_[A-Z_]+", text)}
    assert {"SHARDLAKE_ROOT", "SHARDLAKE_SOURCE_STREAM", "SHARDLAKE_METRICS_PORT"} <= named <= known


def test_the_image_is_made_of_what_is_there_and_watched_where_it_serves(folder: Path, root: Path) -> None:
    text = (folder / "Dockerfile").read_text("utf-8")
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    assert {"shardlake", "streams", "batch", "serving", "pyproject.toml", "uv.lock"} <= set(copied)
    assert all((root / name).exists() for name in copied)
    kept = (folder / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {f"!{name}" for name in copied} == {line for line in kept if line.startswith("!")}
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", text, re.MULTILINE)
    container = loaded(folder / "ecs" / "task.json")["containerDefinitions"][0]
    [port] = set(re.findall(r"SHARDLAKE_METRICS_PORT=(\d+)", text))
    assert f"127.0.0.1:{port}/metrics" in re.findall(r"HEALTHCHECK.*\n.*", text)[0]
    assert f"127.0.0.1:{port}/metrics" in container["healthCheck"]["command"][-1]
    assert container["portMappings"][0]["containerPort"] == int(port)
    assert f"--uid {container['user']} " in text
