"""`shardlake lease` as a person uses it: from a stopped KCL application to a root, and back."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.app import shared
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.testing.dynamodb import Behaviour as Limits
from shardlake.testing.dynamodb import EmbeddedDynamo
from shardlake.testing.dynamodb.server import serve as serve_tables
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, serve

pytestmark = pytest.mark.slow

FIELDS = ("timestamp", "c-ip", "sc-bytes", "cs-user-agent", "x-edge-request-id")
APP = "log-app"


def line(n: int) -> bytes:
    return "\t".join([f"{1_767_225_600 + n / 1000}", f"10.0.0.{n}", "1000", "curl/8.0", f"id{n}"]).encode()


@dataclass
class Desk:
    """A stream of two shards with 20 lines, the lease table of an application, and a folder for roots."""

    api: KinesisClient
    dynamo: EmbeddedDynamo
    folder: Path
    urls: tuple[str, str]
    capsys: pytest.CaptureFixture[str]
    put: dict[str, list[str]]

    def run(self, *args: str) -> tuple[int, str, str]:
        stream, table = self.urls
        settings = {"endpoint": stream, "stream": "live", "region": "us-east-1", "pack": "cloudfront_realtime"}
        settings["fields"] = ",".join(FIELDS)
        common = ["--root", str(self.folder / "root")]
        common += [part for name, text in settings.items() for part in ("--set", f"source.{name}={text}")]
        if "lease" in args:
            args = (*args, "--table", APP, "--table-endpoint", table, "--failover", "0.1")
        code = run([*common, *args], Invocation())
        told = self.capsys.readouterr()
        return code, told.out, " ".join(told.err.split())

    def refused(self, *args: str) -> str:
        code, _, told = self.run(*args)
        assert code == 1
        return told

    def told(self, *args: str) -> dict[str, Any]:
        code, out, error = self.run("--json", *args)
        assert code == 0, error
        found: dict[str, Any] = json.loads(out)
        return found

    def totals(self) -> Counter[str]:
        """Viewer -> requests."""
        told = self.told("query", "SELECT viewer, sum(requests)::bigint AS n FROM viewers GROUP BY viewer")
        return Counter({row["viewer"]: int(row["n"]) for row in told["rows"]})

    def lease(self, shard: str, checkpoint: str, **more: Any) -> None:
        info = next(one for one in self.api.list_shards("live") if one.shard_id == shard)
        item = {
            "leaseKey": {"S": shard},
            "leaseCounter": {"N": "5"},
            "checkpoint": {"S": checkpoint},
            "checkpointSubSequenceNumber": {"N": "0"},
            "ownerSwitchesSinceCheckpoint": {"N": "0"},
            "startingHashKey": {"S": str(info.start_hash)},
            "endingHashKey": {"S": str(info.end_hash)},
        }
        self.dynamo.ask("PutItem", TableName=APP, Item=item | more)

    def leases(self) -> dict[str, Any]:
        return {item["leaseKey"]["S"]: item for item in self.dynamo.ask("Scan", TableName=APP)["Items"]}

    def read(self, shard: str, count: int) -> list[str]:
        """As the application did: the viewers of the first records of a shard, noted in its lease."""
        self.lease(shard, self.put[shard][count - 1])
        iterator = self.api.iterator("live", shard, "TRIM_HORIZON")
        return [data.split(b"\t")[1].decode() for data in self.api.get_records(iterator, count).data]


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    clock = SystemClock()
    dynamo = EmbeddedDynamo(clock, Random(2), Limits())
    with serve(EmbeddedKinesis(clock, Random(1), Behaviour.unlimited())) as service, serve_tables(dynamo) as tables:
        api = KinesisClient(AwsSettings("us-east-1", service.url))
        api.create_stream("live", 2)
        results = api.put_records("live", [Put(line(n), str(n)) for n in range(20)])
        put: dict[str, list[str]] = {}
        for shard, sequence in zip(results.shards, results.sequences, strict=True):
            put.setdefault(shard, []).append(sequence)
        tables.ask(
            "CreateTable",
            TableName=APP,
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Desk(api, dynamo, tmp_path, (service.url, tables.url), capsys, put)
        api.close()


def test_a_root_takes_over_reads_the_rest_and_gives_it_back(desk: Desk) -> None:
    first, second = sorted(desk.put)
    before = Counter(desk.read(first, 3))
    desk.lease(second, "TRIM_HORIZON", leaseOwner={"S": "killed-worker"})

    dry = desk.told("lease", "import", "--dry-run")
    assert (dry["dry_run"], dry["written"], len(dry["shards"])) == (True, 0, 2)
    assert not (desk.folder / "root").exists()

    code, out, _ = desk.run("lease", "import")
    assert code == 0
    assert f"2 shards of {APP} are taken over" in out
    assert "leases still name killed-worker as owners" in out
    assert f"cloudfront was begun in {desk.folder / 'root'} already" in desk.refused("lease", "import")

    desk.run("stream", "run", "--once")
    assert before + desk.totals() == Counter(f"10.0.0.{n}" for n in range(20))

    assert "owned by worker killed-worker" in desk.refused("lease", "export", "--version", "3.5")
    dry = desk.told("lease", "export", "--version", "3.5", "--evict", "--dry-run")
    assert [one["doing"] for one in dry["leases"]] == ["moves", "moves"]
    assert desk.leases()[first]["leaseCounter"] == {"N": "5"}

    code, out, _ = desk.run("lease", "export", "--version", "3.5", "--evict")
    assert code == 0
    assert f"2 leases of {APP} were written" in out
    for shard in (first, second):
        item = desk.leases()[shard]
        assert (item["checkpoint"]["S"], item["leaseCounter"]["N"]) == (desk.put[shard][-1], "6")
        assert item["entityType"] == {"S": "LEASE"}
        assert "leaseOwner" not in item

    assert f"handed over to KCL's table {APP}, which reads it now" in desk.refused("stream", "run", "--once")
    desk.dynamo.ask("DeleteItem", TableName=APP, Key={"leaseKey": {"S": second}})  # as if it had broken off
    assert desk.told("lease", "export", "--take-back")["leases"] == 2
    assert desk.run("stream", "run", "--once")[0] == 0


def test_what_was_read_there_since_cannot_be_taken_back_or_moved_back(desk: Desk) -> None:
    first, second = sorted(desk.put)
    for shard in (first, second):
        desk.read(shard, 2)
    assert desk.run("lease", "import")[0] == 0
    assert desk.run("lease", "export", "--version", "2")[0] == 0
    desk.read(first, 4)
    assert f"lease {first} in {APP} has an owner or is further" in desk.refused("lease", "export", "--take-back")
    assert f"the table is further than this root in {first}" in desk.refused("lease", "export", "--version", "2")


def test_a_worker_that_was_just_starting_when_shards_were_given_back_reads_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shard in desk.put:
        desk.read(shard, 2)
    assert desk.run("lease", "import")[0] == 0
    claimed = shared._claimed

    def meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(shared, "_claimed", claimed)
        assert desk.run("lease", "export", "--version", "2")[0] == 0
        return claimed(*given)

    monkeypatch.setattr(shared, "_claimed", meanwhile)
    assert "which reads it now" in desk.refused("stream", "run", "--once")
    assert desk.totals() == Counter()


def test_an_application_at_work_is_refused(desk: Desk) -> None:
    first, second = sorted(desk.put)
    desk.read(first, 2)
    desk.lease(second, "TRIM_HORIZON")
    stopped = threading.Event()

    def work() -> None:
        counter = 5
        while not stopped.wait(0.02):
            counter += 1
            desk.lease(first, desk.put[first][1], leaseCounter={"N": str(counter)}, leaseOwner={"S": "w"})

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert f"the application {APP} is at work: lease {first} moved" in desk.refused("lease", "import")
    finally:
        stopped.set()
        worker.join()
    assert not (desk.folder / "root").exists()


def test_shards_that_begin_at_a_moment_do(desk: Desk) -> None:
    for shard in desk.put:
        desk.lease(shard, "AT_TIMESTAMP")
    assert "say --at-timestamp" in desk.refused("lease", "import")
    begins_us = (SystemClock().now_us() // 1_000_000 - 60) * 1_000_000
    moment = datetime.fromtimestamp(begins_us / 1e6, timezone(timedelta(hours=1)))
    done = desk.told("lease", "import", "--at-timestamp", moment.isoformat())
    assert done["begins_us"] == begins_us
    desk.told("stream", "run", "--once")
    assert desk.totals() == Counter(f"10.0.0.{n}" for n in range(20))


def test_what_is_missing_is_told(desk: Desk) -> None:
    assert "there is no lease in the table" in desk.refused("lease", "import")
    assert desk.run("lease", "import", "--at-timestamp", "soon")[0] == 2
    assert desk.run("lease", "export")[0] == 2
    assert "nothing was stored" in desk.refused("lease", "export", "--version", "2")
    assert "source.stream is not set" in desk.refused("lease", "import", "--stream", "")


def test_a_root_that_read_the_stream_itself_takes_nothing_over_and_gives_what_it_has(desk: Desk) -> None:
    desk.run("stream", "run", "--once")
    for shard in desk.put:
        desk.lease(shard, "TRIM_HORIZON")
    assert "was begun in" in desk.refused("lease", "import")
    assert "say --version 3.5" in _with_leader(desk)
    assert desk.told("lease", "export", "--version", "3.5")["written"] == 2
    assert {shard: desk.leases()[shard]["checkpoint"]["S"] for shard in desk.put} == {
        shard: sequences[-1] for shard, sequences in desk.put.items()
    }


def _with_leader(desk: Desk) -> str:
    leader = {"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}, "isReleased": {"S": "1"}}
    desk.dynamo.ask("PutItem", TableName=APP, Item=leader)
    return desk.refused("lease", "export", "--version", "3.0")
