"""What `docs/deploy` shows fits the program and the services: policies, templates, tasks and the image."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strictyaml import ruamel  # type: ignore[import-untyped]

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.tables import HASH, RANGE, creation
from shardlake.adapters.kinesis import client as kinesis_client
from shardlake.adapters.kinesis.port import KinesisAdmin, KinesisReader, KinesisWriter
from shardlake.app.cli import Invocation
from shardlake.app.logs import make_log
from shardlake.app.main import run
from shardlake.app.settings import Config, SourceSettings
from shardlake.app.streaming import stream
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Server, serve
from tests.docs.called import CALLED, OTHER_ACTIONS, ROLES, model, snake, stream_actions

# IAM knows no resource for these.
FOR_ALL = (["dynamodb:ListStreams"], ["lambda:ListEventSourceMappings"])
_NAME = re.compile(r"\$\{([a-z_]+)\}")


@pytest.fixture(scope="session")
def folder(root: Path) -> Path:
    return root / "docs" / "deploy"


def loaded(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def actions(policy: Any) -> set[str]:
    """The actions of a policy, each of which stands in one statement, once."""
    found = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert len(set(found)) == len(found)
    return set(found)


def resources(policy: Any) -> set[str]:
    return {statement["Resource"] for statement in policy["Statement"]}


@pytest.mark.parametrize("role", ROLES)
def test_a_policy_allows_what_the_program_calls_and_nothing_else(folder: Path, role: str) -> None:
    policy = loaded(folder / "iam" / f"{role}.json")
    assert policy["Version"] == "2012-10-17"
    assert actions(policy) == CALLED[role]()
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])


def test_every_action_is_one_that_its_service_knows(folder: Path) -> None:
    for role in ROLES:
        for action in actions(loaded(folder / "iam" / f"{role}.json")):
            service, _, name = action.partition(":")
            others = {other for other, meant in OTHER_ACTIONS.items() if meant == action}
            models = (service, "dynamodbstreams") if service == "dynamodb" else (service,)
            known = {f"{service}:{name}" for one in models for name in model(one).operation_names}
            assert known & {action, *others}, name


def test_every_policy_is_of_a_role_and_names_what_it_is_for(folder: Path) -> None:
    assert {path.stem for path in (folder / "iam").iterdir()} == set(ROLES)
    for role in ROLES:
        for statement in loaded(folder / "iam" / f"{role}.json")["Statement"]:
            [service] = {action.partition(":")[0] for action in statement["Action"]}
            if statement["Action"] in FOR_ALL:
                assert statement["Resource"] == "*"
                continue
            assert statement["Resource"].startswith(f"arn:aws:{service}:")
            assert _NAME.findall(statement["Resource"]), "it is no star"


def test_the_roles_that_read_and_write_streams_make_none() -> None:
    everything = {f"kinesis:{action}" for action in kinesis_client._METHODS}
    assert stream_actions(KinesisAdmin) | {"kinesis:DescribeStreamConsumer"} == everything  # of fan-out alone
    assert everything - stream_actions(KinesisReader) - stream_actions(KinesisWriter) == {
        "kinesis:CreateStream", "kinesis:MergeShards", "kinesis:SplitShard", "kinesis:DescribeStreamConsumer",
    }  # fmt: skip


# ------------------------------------------------------------------------------- what is seen when it really runs


@pytest.fixture
def service() -> Iterator[tuple[Server, set[str]]]:
    """A service with a stream, and what is asked of it."""
    asked: set[str] = set()
    behaviour = Behaviour.unlimited().changed(fault=lambda action, _: asked.add(f"kinesis:{action}"))
    with serve(EmbeddedKinesis(SystemClock(), random.Random(0), behaviour)) as server:
        server.ask("CreateStream", StreamName="logs", ShardCount=1)
        asked.clear()
        yield server, asked


def test_a_worker_asks_for_no_more_than_its_policy_allows(
    folder: Path, service: tuple[Server, set[str]], tmp_path: Path
) -> None:
    server, asked = service
    source = SourceSettings(stream="logs", endpoint=server.url)
    config = Config(root=str(tmp_path), source=source)
    stream(config, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
    allowed = actions(loaded(folder / "iam" / "stream-worker.json"))
    assert asked == {action for action in allowed if action.startswith("kinesis:")}


def test_a_producer_asks_for_no_more_than_its_policy_allows(
    folder: Path, service: tuple[Server, set[str]], tmp_path: Path
) -> None:
    server, asked = service
    (tmp_path / "lines").write_bytes(b"a\nb\n")
    command = ["put", str(tmp_path / "lines"), "--stream", "logs", "--endpoint", server.url, "--aggregate"]
    assert run(command, Invocation()) == 0
    assert asked == actions(loaded(folder / "iam" / "producer.json"))


# ---------------------------------------------------------------------------------------- infrastructure as code


def template(folder: Path) -> Any:
    reader = ruamel.YAML(typ="safe", pure=True)
    return reader.load((folder / "cloudformation.yaml").read_text("utf-8"))


def test_the_template_has_the_policies_of_the_files(folder: Path) -> None:
    found = {
        name.removesuffix("Policy"): resource["Properties"]["PolicyDocument"]
        for name, resource in template(folder)["Resources"].items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    }
    assert {snake(name).replace("_", "-") for name in found} == set(ROLES)
    for name, document in found.items():
        policy = loaded(folder / "iam" / f"{snake(name).replace('_', '-')}.json")
        assert document["Version"] == policy["Version"]
        assert [(s["Sid"], s["Action"]) for s in document["Statement"]] == [
            (s["Sid"], s["Action"]) for s in policy["Statement"]
        ]


def test_the_template_refers_to_what_it_has(folder: Path) -> None:
    text, found = (folder / "cloudformation.yaml").read_text("utf-8"), template(folder)
    named = set(found["Resources"]) | set(found["Parameters"])
    referred = set(re.findall(r"\{Ref: (\w+)\}|GetAtt\": \[(\w+),|\$\{(\w+)[.}]", text))
    assert len(referred) > 5
    assert {"".join(groups) for groups in referred} <= named
    used = {"".join(groups) for groups in referred}
    assert set(found["Parameters"]) <= used
    assert not re.search(r"[&*]\w+$", text, re.MULTILINE), "CloudFormation knows no aliases"


def test_what_holds_data_is_not_deleted_with_its_template(folder: Path) -> None:
    found = template(folder)["Resources"]
    kept = {name for name, resource in found.items() if resource.get("DeletionPolicy") in ("Retain", "Snapshot")}
    assert kept == {"Stream", "Bucket", "Journal", "RootVolume"}
    text = (folder / "main.tf").read_text("utf-8")
    guarded = re.findall(r'^resource "(\w+)" "\w+" \{\n(?:(?!^\}).*\n)*?\s+prevent_destroy = true', text, re.MULTILINE)
    assert set(guarded) == {"aws_kinesis_stream", "aws_s3_bucket", "aws_dynamodb_table", "aws_ebs_volume"}


def test_the_journal_s_table_is_as_it_is_checked_at_start(folder: Path) -> None:
    made = template(folder)["Resources"]["Journal"]["Properties"]
    wanted = creation("t")
    assert {name: made[name] for name in wanted} == wanted | {"TableName": {"Ref": "JournalTableName"}}
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert made["DeletionProtectionEnabled"] is True
    assert "TimeToLiveSpecification" not in made
    text = (folder / "main.tf").read_text("utf-8")
    [table] = re.findall(r'^resource "aws_dynamodb_table" "journal" \{\n((?:(?!^\}).*\n)*)', text, re.MULTILINE)
    keys = dict(re.findall(r'(hash_key|range_key) += "(\w+)"', table))
    assert keys == {"hash_key": HASH, "range_key": RANGE}
    assert dict(re.findall(r'name = "(\w+)"\n +type = "(\w)"', table)) == {HASH: "S", RANGE: "S"}
    assert re.search(r"point_in_time_recovery \{\n +enabled = true", table)
    assert re.search(r"deletion_protection_enabled += true", table)
    assert "ttl" not in table


def test_records_are_kept_for_longer_than_a_day(folder: Path) -> None:
    text = (folder / "main.tf").read_text("utf-8")
    default = re.search(r'variable "retention_hours" \{[^}]*default +=\s*(\d+)', text)
    assert default is not None
    assert int(default[1]) == template(folder)["Parameters"]["RetentionHours"]["Default"] >= 48


def test_terraform_fills_in_every_name_of_every_policy(folder: Path) -> None:
    text = (folder / "main.tf").read_text("utf-8")
    files = re.findall(r'templatefile\("\$\{path\.module\}/(iam/[a-z-]+\.json)", local\.names\)', text)
    assert {Path(file).stem for file in files} == set(ROLES)
    block = re.search(r"^  names = \{\n(.*?)^  \}", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    given = set(re.findall(r"^ +(\w+) +=", block[1], re.MULTILINE))
    wanted = {name for file in files for name in _NAME.findall((folder / file).read_text("utf-8"))}
    assert given == wanted
    declared = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert declared == set(re.findall(r"\bvar\.(\w+)", text))
    assert text.count("{") == text.count("}")


def test_everything_that_is_here_is_explained_and_says_that_it_is_not_tested(folder: Path) -> None:
    readme = (folder / "README.md").read_text("utf-8")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    linked = set(re.findall(r"\]\(((?!\.\.|https)[^)]+)\)", readme))
    assert files - linked == {"README.md", "Dockerfile.dockerignore"}
    for name in ("README.md", "cloudformation.yaml", "main.tf", "Dockerfile"):
        assert re.search(r"tested on AWS", (folder / name).read_text("utf-8")), name
    assert {"`journal.url`", "`storage.url`"} <= set(re.findall(r"`[a-z]+\.url`", readme))
