"""`shardlake doctor`: what is well is told as such, what is not fails with the next step, and nothing is changed."""

# long: everything that a doctor may find, with one kind of patient

import inspect
import json
import random
import re
import shutil
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.stored import JOURNAL, OBJECTS
from shardlake.app import compose, config, doctor, doctor_source
from shardlake.app.checks import Check, Visit
from shardlake.app.cli import Invocation
from shardlake.app.commands.doctor import doctor as command
from shardlake.app.doctor import examine, filesystem, verdict
from shardlake.app.logs import make_log
from shardlake.app.streaming import stream
from shardlake.core.errors import ConfigError, Transient
from shardlake.core.ports import Clock
from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, Server, serve

HOUR_S = 3600
PERMISSIONS = ("DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords")
DENIED = Fault("AccessDeniedException", "User is not authorized to perform this", 400)


@dataclass(slots=True)
class Patient:
    """A folder with settings, and the checks of it."""

    folder: Path
    settings: dict[str, str]

    def visit(self, *, clock: Clock | None = None, downtime_h: float = 24, put: bool = False) -> Visit:
        flags = {key: (value, "--set") for key, value in {"root": "root", **self.settings}.items()}
        return Visit(config.load(flags, {}, self.folder), {}, clock or SystemClock(), downtime_h, put)

    def checks(self, **how: Any) -> dict[str, Check]:
        found = list(examine(self.visit(**how)))
        assert len({check.check for check in found}) == len(found), "each has a name of its own"
        assert all(check.next for check in found if check.state != "ok"), "each says the next step"
        return {check.check: check for check in found}


def states(found: dict[str, Check]) -> dict[str, str]:
    """The checks that are not well."""
    return {name: check.state for name, check in found.items() if check.state != "ok"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(EmbeddedKinesis(SystemClock(), random.Random(0), Behaviour.unlimited())) as running:
        running.ask("CreateStream", StreamName="logs", ShardCount=2)
        running.ask("IncreaseStreamRetentionPeriod", StreamName="logs", RetentionPeriodHours=72)
        yield running


@pytest.fixture
def reader(server: Server, tmp_path: Path) -> Patient:
    """A patient that reads the stream."""
    chosen = {"source.stream": "logs", "source.endpoint": server.url, "source.pack": "cloudfront_realtime"}
    return Patient(tmp_path, chosen)


def faulty(server: Server, fault: Fault, action: str) -> None:
    server.kinesis.behaviour = replace(
        server.kinesis.behaviour, fault=lambda name, _: fault if name == action else None
    )


# -------------------------------------------------------------------------------------------------------- a stream


def test_a_stream_that_can_be_read_is_well_and_nothing_was_changed(server: Server, reader: Patient) -> None:
    asked: list[str] = []
    hook = lambda action, _: asked.append(action)  # noqa: E731
    server.kinesis.behaviour = replace(server.kinesis.behaviour, fault=hook)
    found = reader.checks()
    assert states(found) == {}
    assert [name for name in found if name in PERMISSIONS] == list(PERMISSIONS)
    assert set(asked) == set(PERMISSIONS)
    assert list(reader.folder.iterdir()) == []


@pytest.mark.parametrize("action", PERMISSIONS)
def test_a_permission_that_lacks_is_named_with_the_policy_that_gives_it(
    server: Server, reader: Patient, action: str
) -> None:
    faulty(server, DENIED, action)
    found = reader.checks()
    assert states(found) == {action: "fail"}
    assert f"kinesis:{action}" in found[action].found
    assert "docs/deploy/iam/stream-worker.json" in found[action].next


def test_a_shard_that_others_read_out_is_a_warning(server: Server, reader: Patient) -> None:
    faulty(server, Fault("ProvisionedThroughputExceededException", "slow down", 400), "GetRecords")
    found = reader.checks()
    assert states(found) == {"GetRecords": "warn"}
    assert "limits.shard_reads_per_s" in found["GetRecords"].next


def test_a_stream_that_is_not_there_fails(reader: Patient) -> None:
    reader.settings["source.stream"] = "logz"
    assert states(reader.checks()) == {"DescribeStreamSummary": "fail", "ListShards": "fail"}


def test_a_service_that_does_not_answer_fails_once(server: Server, reader: Patient) -> None:
    server.close()
    assert states(reader.checks()) == {"service": "fail"}


def test_without_credentials_nothing_is_asked(reader: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    del reader.settings["source.endpoint"]
    assert states(reader.checks()) == {"credentials": "fail"}


def test_records_are_not_shown(server: Server, reader: Patient) -> None:
    server.ask("PutRecord", StreamName="logs", Data=b"SECRET", PartitionKey="k")
    assert not [check for check in reader.checks().values() if "SECRET" in check.found + check.next]


@pytest.mark.parametrize(("downtime_h", "state"), [(24, ""), (36, ""), (37, "warn"), (72, "warn"), (73, "fail")])
def test_records_are_to_be_kept_for_twice_the_time_without_a_reader(
    reader: Patient, downtime_h: float, state: str
) -> None:
    assert states(reader.checks(downtime_h=downtime_h)) == ({"retention": state} if state else {})


@pytest.mark.parametrize(("hours", "state"), [(35, ""), (37, "warn"), (73, "fail")])
def test_a_stream_that_nobody_has_read_for_long_is_told(reader: Patient, hours: float, state: str) -> None:
    stream(reader.visit().config, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
    late = ManualClock(SystemClock().now_us() + round(hours * HOUR_S * 1e6))
    assert states(reader.checks(clock=late)) == ({"read up to": state} if state else {})


def test_others_that_read_the_stream_are_told_of(server: Server, reader: Patient) -> None:
    class Shared(CallApi):
        def describe(self, stream: str) -> Any:
            return replace(super().describe(stream), consumers=2)

    def call(action: str, body: bytes) -> tuple[int, bytes]:
        response = server.call(action, body)
        return int(response.status), response.body

    checks = {check.check: check for check in doctor_source.Stream(reader.visit(), Shared(call)).examine()}
    assert states(checks) == {"reads": "warn"}
    assert "2 other consumers" in checks["reads"].found


def test_more_reads_than_a_shard_allows_are_a_warning(reader: Patient) -> None:
    reader.settings["limits.shard_reads_per_s"] = "10"
    assert states(reader.checks()) == {"reads": "warn"}


def test_a_probe_is_put_only_if_asked_for_and_counts_as_nothing(server: Server, reader: Patient) -> None:
    found = reader.checks(put=True)
    assert (states(found), found["PutRecords"].state) == ({}, "ok")
    log = make_log(verbose=0, as_json=True)
    done = stream(reader.visit().config, {}, log, lambda: False, once=True)
    assert (done.rows, done.letters) == (0, 0)
    faulty(server, DENIED, "PutRecords")
    found = reader.checks(put=True)
    assert states(found) == {"PutRecords": "fail"}
    assert "docs/deploy/iam/producer.json" in found["PutRecords"].next
    assert states(reader.checks()) == {}


# ------------------------------------------------------------------------------------------------------- the clock


@contextmanager
def dated(date: str | None) -> Iterator[str]:
    """A service that refuses everything, and tells this date."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b'{"__type": "InvalidSignatureException", "message": "Signature expired"}'
            self.send_response_only(400)
            for name, value in {"Date": date, "Content-Length": str(len(body))}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as service:
        thread = threading.Thread(target=lambda: service.serve_forever(0.01))
        thread.start()
        yield f"http://127.0.0.1:{service.server_address[1]}"
        service.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("ahead_s", "state", "word"),
    [
        (0.5, "ok", ""),
        (4.9, "ok", ""),
        (30.7, "warn", "30 s ahead"),
        (-30.3, "warn", "31 s behind"),
        (-600.3, "fail", "601 s behind"),
    ],
)
def test_the_clock_is_compared_with_the_services_also_if_it_refuses(
    tmp_path: Path, ahead_s: float, state: str, word: str
) -> None:
    service_s = 1_767_225_600
    with dated(formatdate(service_s, usegmt=True)) as url:
        patient = Patient(tmp_path, {"source.stream": "logs", "source.endpoint": url})
        found = patient.checks(clock=ManualClock(round((service_s + ahead_s) * 1e6)))
    assert found["clock"].state == state
    assert word in found["clock"].found
    assert found["DescribeStreamSummary"].state == "fail"


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_service_that_tells_no_time_is_not_held_against_it(date: str | None) -> None:
    with dated(date) as url:
        client = KinesisClient(AwsSettings(endpoint=url))
        assert client.service_time_us("logs") is None
        client.close()


def test_no_answer_has_no_time() -> None:
    client = KinesisClient(AwsSettings(endpoint="http://127.0.0.1:1", attempts=1))
    with pytest.raises(Transient):
        client.service_time_us("logs")
    client.close()


# ----------------------------------------------------------------------------------------------------- the machine


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A patient that reads files."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "E1.2026-01-01-00.abcd.gz").write_bytes(b"")
    return Patient(tmp_path, {"source.path": "logs"})


def test_a_folder_of_logs_is_well(patient: Patient) -> None:
    found = patient.checks()
    assert states(found) == {}
    assert "means 1 file; it can be read" in found["files"].found


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"source.path": "logs/*.none"}, {"files": "warn"}),
        ({"source.path": "logz"}, {"files": "warn"}),
        ({"source.pack": "cloudfrond"}, {"pack": "fail"}),
        ({"source.fields": "nonsense"}, {"pack": "fail"}),
        ({"source.path": "nowhere/*.gz"}, {"files": "fail"}),
        ({"source.path": ""}, {"source": "fail"}),
        ({"views.use": "nothing"}, {"views": "fail"}),
        ({"protect.hash": "c_ip", "protect.key_env": "NO_SUCH_KEY"}, {"protection": "fail"}),
        ({"root": "logs/E1.2026-01-01-00.abcd.gz"}, {"root": "fail"}),
    ],
)
def test_what_is_set_wrongly_fails(patient: Patient, settings: dict[str, str], wrong: dict[str, str]) -> None:
    patient.settings |= settings
    found = patient.checks()
    assert {name: state for name, state in states(found).items() if name in wrong} == wrong
    assert len(states(found)) <= 2


@pytest.mark.parametrize(
    ("path", "says"),
    [("logz", "logz does not exist yet"), ("logs/*.none", "no file matches"), ("empty", "there is no file in")],
)
def test_a_path_that_is_not_there_is_told_from_one_without_files(patient: Patient, path: str, says: str) -> None:
    (patient.folder / "empty").mkdir()
    patient.settings["source.path"] = path
    assert says in patient.checks()["files"].found


def test_what_needs_a_lookup_that_fails_is_left_out(patient: Patient) -> None:
    (patient.folder / "lookups").mkdir()
    (patient.folder / "lookups" / "edges.toml").write_text("nonsense = 1\n")
    found = patient.checks()
    assert states(found) == {"lookups": "fail"}
    assert not {"views", "protection"} & set(found)


def test_how_many_settings_differ_is_told_in_words(patient: Patient) -> None:
    assert "; 2 differ from" in patient.checks()["settings"].found
    visit = Visit(config.load({"source.path": ("logs", "--set")}, {}, patient.folder), {}, SystemClock())
    assert "; 1 differs from" in next(iter(doctor.settings(visit))).found


def test_a_stream_beside_files_is_refused(patient: Patient) -> None:
    patient.settings |= {"source.stream": "s", "source.endpoint": "http://127.0.0.1:1"}
    assert patient.checks()["source"].state == "fail"


def test_the_root_is_written_in_and_left_as_it_was(patient: Patient) -> None:
    root = patient.folder / "root"
    root.mkdir()
    found = patient.checks()
    assert "can be written" in found["root"].found
    assert list(root.iterdir()) == []


def test_a_root_that_cannot_be_written_fails(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shardlake.app.doctor.os.access", lambda *_: False)
    assert states(patient.checks()) == {"root": "fail"}
    (patient.folder / "root").mkdir()
    monkeypatch.setattr(doctor, "write_file", full)
    assert states(patient.checks()) == {"root": "fail"}


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "state"), [(4 << 30, "warn"), (100 << 20, "fail")])
def test_a_disk_that_is_nearly_full_is_told(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert states(patient.checks()) == {"free disk": state}


MOUNTED = """\
/dev/sda1 / ext4 rw 0 0
fs-1:/ /mnt/efs nfs4 rw 0 0
/dev/sdb /mnt/efs/disk xfs rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
/dev/sdc /mnt/over ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/mnt/efs/a/b", "nfs4"),
        ("/mnt/efs2", "ext4"),
        ("/mnt/efs/disk/x", "xfs"),
        ("/mnt/over", "ext4"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert filesystem(Path(path), MOUNTED) == kind
    assert filesystem(Path(path), "") == ""


def test_a_root_on_a_network_file_system_fails(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = patient.folder / "mounts"
    mounts.write_text(f"{MOUNTED}fs-2:/ {patient.folder.resolve()} nfs4 rw 0 0\n")
    monkeypatch.setattr(doctor, "MOUNTS", mounts)
    assert states(patient.checks()) == {"file system": "fail"}


def test_a_journal_that_is_none_fails(patient: Patient) -> None:
    path = patient.folder / "root" / JOURNAL
    path.parent.mkdir()
    path.write_bytes(b"x" * 4096)
    assert states(patient.checks()) == {"journal": "fail"}


def test_a_journal_that_can_be_read_is_well(patient: Patient) -> None:
    stream(patient.visit().config, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
    found = patient.checks()
    assert states(found) == {}
    assert "lanes: 1" in found["journal"].found


def test_objects_in_s3_are_listed_read_and_only_if_asked_for_written(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream(patient.visit().config, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
    store = LocalObjects(patient.folder / "root" / OBJECTS)
    before = store.list("")
    visit = patient.visit(put=True)
    chosen = config.load({"storage.url": ("s3://bucket/lake", "--set"), "root": ("root", "-")}, {}, patient.folder)
    monkeypatch.setattr(compose, "objects", lambda _: store)
    written = list(doctor.storage(replace(visit, resolved=chosen)))
    assert [(check.check, check.state) for check in written] == [
        ("storage list", "ok"), ("storage read", "ok"), ("storage write", "ok"),
    ]  # fmt: skip
    assert store.list("") == before
    read = list(doctor.storage(replace(visit, resolved=chosen, put=False)))
    assert [check.check for check in read] == ["storage list", "storage read"]


def test_objects_in_s3_that_cannot_be_listed_fail(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied(LocalObjects):
        def list(self, prefix: str) -> Any:
            raise ConfigError(f"cannot list {prefix}")

    chosen = config.load({"storage.url": ("s3://bucket/lake", "--set")}, {}, patient.folder)
    monkeypatch.setattr(compose, "objects", lambda _: Denied(patient.folder))
    [check] = doctor.storage(replace(patient.visit(), resolved=chosen))
    assert (check.state, "docs/deploy/iam/batch.json" in check.next) == ("fail", True)


# ------------------------------------------------------------------------------------------------------- libraries


def test_the_libraries_are_those_that_are_required() -> None:
    [check] = doctor.packages()
    assert check.state == "ok"


@pytest.mark.parametrize(
    ("required", "said"),
    [
        (["duckdb<2,>=1.0"], "must be <2,>=1.0"),
        (["duckdb>=999"], "must be >=999"),
        (["no-such-library>=1"], "no-such-library is missing"),
        (["no-such-library>=1; extra == 'x'", "duckdb>=1", "pyiceberg[pyarrow]>=0.1"], ""),
    ],
)
def test_a_library_that_lacks_or_is_of_another_version_fails(
    monkeypatch: pytest.MonkeyPatch, required: list[str], said: str
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: required)
    [check] = doctor.packages()
    assert (check.state, said in check.found) == ("fail" if said else "ok", True)


def test_a_tree_that_is_not_installed_is_a_warning() -> None:
    [check] = doctor.packages("no-such-distribution")
    assert check.state == "warn"


# ----------------------------------------------------------------------------------------------------- the command


def test_the_command_tells_each_check_and_its_exit_code_tells_whether_one_failed(reader: Patient) -> None:
    args = [word for key, value in reader.settings.items() for word in ("--set", f"{key}={value}")]
    args += ["--root", str(reader.folder / "root")]
    result = CliRunner().invoke(command, args, obj=Invocation(), standalone_mode=False)
    lines = result.stdout.splitlines()
    assert result.return_value == 0
    assert lines[-1] == f"all {len(lines) - 1} checks are well"
    assert {line[:4] for line in lines[:-1]} == {"ok  "}
    result = CliRunner().invoke(command, [*args, "--downtime", "99", "--json"], obj=Invocation(), standalone_mode=False)
    told = json.loads(result.stdout)
    assert (result.return_value, told["well"]) == (1, False)
    assert [check["check"] for check in told["checks"] if check["state"] == "fail"] == ["retention"]
    assert told["checks"][0].keys() == {"check", "state", "found", "next"}


def test_settings_that_cannot_be_read_are_a_check_that_fails() -> None:
    result = CliRunner().invoke(command, ["--set", "source.pth=x"], obj=Invocation(), standalone_mode=False)
    assert result.return_value == 1
    assert result.stdout.startswith("fail  settings")
    assert "did you mean source.path?" in result.stdout


def test_the_policies_that_are_named_are_there(root: Path) -> None:
    sources = "".join(inspect.getsource(module) for module in (doctor, doctor_source))
    named = set(re.findall(r"docs/deploy/[a-z/-]+\.json", sources))
    assert len(named) == 3
    assert all((root / name).is_file() for name in named)


def test_the_last_line_counts() -> None:
    ok, warn, fail = (Check("x", state, "") for state in ("ok", "warn", "fail"))
    assert verdict([ok, ok]) == "all 2 checks are well"
    assert verdict([ok, warn, fail, fail]) == "2 of 4 checks failed, 1 wants a look"
    assert verdict([warn, warn]) == "0 of 2 checks failed, 2 want a look"
