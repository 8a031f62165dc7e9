"""Machines that share nothing but a stream, a journal in DynamoDB and a bucket, as real processes of the program."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.tables import creation
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.testing import dynamodb, kinesis
from shardlake.testing.runs import Program, Running
from tests.s3.standin import StandIn, s3

__all__ = ["s3"]
FIELDS = "timestamp,c-ip,sc-bytes,x-edge-location,x-host-header,cs-user-agent,x-edge-request-id"
LINE = "1767225600.5\t{viewer}\t7\tFRA56-P4\td1.cloudfront.net\tcurl/8.0\tid-{viewer}"
PATIENCE_S = 60.0

pytestmark = pytest.mark.slow


@dataclass(slots=True)
class Site:
    """A stream of two shards, and machines that read it, each with a root of its own."""

    program: Program
    api: KinesisClient
    running: list[Running] = field(default_factory=list)
    viewers: list[str] = field(default_factory=list)

    def machine(self, name: str) -> Program:
        return self.program.on(self.program.root.parent / name)

    def start(self, name: str) -> Running:
        self.running.append(self.machine(name).start("--json", "stream", "run"))
        return self.running[-1]

    def put(self, events: int) -> None:
        begin = len(self.viewers)
        viewers = [f"10.0.{n >> 8}.{n & 255}" for n in range(begin, begin + events)]
        assert self.api.put_records("live", [Put(LINE.format(viewer=v).encode(), v) for v in viewers]).failed == 0
        self.viewers += viewers

    def ask(self, name: str) -> Counter[str]:
        """Viewer -> requests, asked on a machine where something was run before."""
        return Counter({row[1]: row[2] for row in self.machine(name).ask("viewers").rows})

    def all_counted_once(self, name: str) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while (found := self.ask(name)).total() < len(self.viewers):
            assert time.monotonic() < until_s, f"{len(self.viewers) - found.total()} events are not in the answer"
        assert found == Counter(self.viewers)


@pytest.fixture
def site(tmp_path: Path, s3: StandIn) -> Iterator[Site]:
    clock, chance = SystemClock(), random.Random(1)
    stream = kinesis.EmbeddedKinesis(clock, chance, kinesis.Behaviour.unlimited())
    table = dynamodb.EmbeddedDynamo(clock, chance, dynamodb.Behaviour.unlimited())
    with kinesis.serve(stream) as streams, dynamodb.serve(table) as rows:
        rows.ask("CreateTable", **creation("journal"))
        settings = {
            "source.path": "",
            "source.stream": "live",
            "source.endpoint": streams.url,
            "source.region": "us-east-1",
            "source.pack": "cloudfront_realtime",
            "source.fields": FIELDS,
            "journal.url": "dynamodb://journal/live",
            "journal.endpoint": rows.url,
            "journal.region": "us-east-1",
            "storage.url": s3.new_place("lake").url,
            "storage.endpoint": s3.settings.endpoint,
            "storage.region": "us-east-1",
            "limits.chunk_age_s": "0.2",
            "limits.worker_expiry_s": "2",
            "limits.heartbeat_s": "0.2",
        }
        with closing(KinesisClient(AwsSettings("us-east-1", streams.url))) as api:
            api.create_stream("live", 2)
            made = Site(Program(tmp_path / "root", tmp_path, settings), api)
            yield made
            for one in made.running:
                if one.process.stdout is not None and not one.process.stdout.closed:
                    one.end(signal.SIGKILL)


def test_a_machine_that_dies_is_followed_by_another_and_a_third_one_asks_and_counts(site: Site) -> None:
    site.put(200)
    first = site.start("first")
    first.until("committed")
    second = site.start("second")
    second.until("shards_moved")
    done = site.machine("desk").run("--json", "query", "SELECT sum(requests) AS found FROM viewers").expect(0)
    assert 0 < json.loads(done.out)["rows"][0]["found"] <= 200, "a root that was empty"
    assert first.end(signal.SIGKILL).killed
    site.put(200)
    site.all_counted_once("desk")
    site.machine("desk").run("batch", "run").expect(0)
    assert site.ask("second") == Counter(site.viewers)
    second.end(signal.SIGTERM).expect(0)
    assert not list(site.program.root.parent.glob("*/journal.db*"))
