"""Dead letters of a stream, retried while workers share it: by other fields than before, and by nobody's leave."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, serve
from shardlake.testing.runs import Program

pytestmark = pytest.mark.slow

FEWER = ("timestamp", "c-ip", "sc-bytes", "cs-user-agent", "x-edge-request-id")
MORE = (*FEWER[:3], "x-edge-location", *FEWER[3:])


def line(n: int, fields: tuple[str, ...]) -> bytes:
    cells = {
        "timestamp": f"{1_767_225_600 + n / 1000}",
        "c-ip": f"10.0.0.{n}",
        "sc-bytes": f"{1000 + n}",
        "x-edge-location": "FRA56-P4",
        "cs-user-agent": "curl/8.0",
        "x-edge-request-id": f"id{n}",
    }
    return "\t".join(cells[name] for name in fields).encode()


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of two shards, and the program that reads it by few fields."""

    api: KinesisClient
    program: Program

    def put(self, *lines: bytes) -> None:
        """Put lines, each under a key of its own; a record may hold several."""
        self.api.put_records("live", [Put(one, str(n)) for n, one in enumerate(lines)])

    def retry(self, *arguments: str, fields: tuple[str, ...] = MORE) -> dict[str, object]:
        done = self.program.run("--json", "dlq", "retry", *arguments, "--set", f"source.fields={','.join(fields)}")
        told: dict[str, object] = json.loads(done.expect(0).out)
        return told

    def totals(self) -> Counter[str]:
        """Viewer -> requests."""
        return Counter({row[1]: row[2] for row in self.program.ask("viewers").rows})


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    with serve(EmbeddedKinesis(SystemClock(), Random(1), Behaviour.unlimited())) as service:
        api = KinesisClient(AwsSettings("us-east-1", service.url))
        api.create_stream("live", 2)
        settings = {
            "source.path": "",
            "source.stream": "live",
            "source.endpoint": service.url,
            "source.region": "us-east-1",
            "source.pack": "cloudfront_realtime",
            "source.fields": ",".join(FEWER),
            "limits.chunk_age_s": "0.05",
            "limits.lanes_max": "2",
        }
        yield Stream(api, Program(tmp_path / "root", tmp_path, settings))
        api.close()


def test_lines_of_more_fields_count_once_the_fields_are_configured(stream: Stream) -> None:
    """Ten lines by the old fields; then CloudFront was told to log one field more, and nobody told Shardlake."""
    stream.put(*(line(n, FEWER) for n in range(10)))
    records = [line(n, MORE) + b"\n" + line(n + 1, MORE) + b"\n" for n in range(10, 30, 2)]
    stream.put(*records, b"no line at all")
    stream.program.run("stream", "run", "--once").expect(0)
    assert stream.totals() == Counter(f"10.0.0.{n}" for n in range(10))
    told = stream.retry("--reason", "too_many_fields", "--limit", "7")
    assert (told["letters"], told["read"], told["entries"]) == (7, 7, 1)
    stream.program.run("batch", "run").expect(0)
    told = stream.retry()
    assert (told["letters"], told["read"], told["retried_before"]) == (14, 13, 7)
    assert stream.totals() == Counter(f"10.0.0.{n}" for n in range(30))
    stream.program.run("verify").expect(0)
    assert {row[2] for row in stream.program.ask("bandwidth").rows} == {None, "FRA56-P4"}


def test_who_reads_what_is_there_waits_for_what_a_killed_worker_held(stream: Stream) -> None:
    stream.put(*(line(n, FEWER) for n in range(10)))
    first = stream.program.start("stream", "run")
    first.until("committed")
    first.end(signal.SIGKILL)
    stream.put(*(line(n, FEWER) for n in range(10, 20)))
    stream.program.run("stream", "run", "--once").expect(0)
    assert stream.totals() == Counter(f"10.0.0.{n}" for n in range(20))


def test_workers_and_retries_leave_one_another_alone(stream: Stream) -> None:
    """As many workers as there may be lanes; one is killed, and another one takes its lane, not that of the retries."""
    stream.put(*(line(n, MORE) for n in range(10)))
    first, second = (stream.program.start("stream", "run") for _ in range(2))
    for one in (first, second):
        one.until("lane_taken")
    first_lane = wait_for_letters(stream, 10)
    assert stream.retry()["read"] == 10
    stream.put(*(line(n, FEWER) for n in range(10, 20)))
    second.end(signal.SIGKILL)
    third = stream.program.start("stream", "run")
    taken = third.until("lane_taken")
    assert taken["lane"] in (0, 1)
    stream.put(*(line(n, MORE) for n in range(20, 30)))
    wait_for_letters(stream, 10)
    assert stream.retry()["read"] == 10
    for one in (first, third):
        one.end(signal.SIGTERM).expect(0)
    stream.program.run("stream", "run", "--once").expect(0)
    assert stream.totals() == Counter(f"10.0.0.{n}" for n in range(30))
    lanes = json.loads(stream.program.run("--json", "status").expect(0).out)["lanes"]
    assert sorted(lane["source"] for lane in lanes) == ["cloudfront", "cloudfront", "dlq/cloudfront"]
    assert first_lane == 3 - 1


def wait_for_letters(stream: Stream, count: int) -> int:
    """Wait until so many letters are open, and give the number of lanes of the source."""
    clock = SystemClock()
    patience_s = clock.monotonic_s() + 60
    while True:
        told = json.loads(stream.program.run("--json", "status").expect(0).out)
        if told["dead_letters"] == count:
            return sum(lane["source"] == "cloudfront" for lane in told["lanes"])
        assert clock.monotonic_s() < patience_s, told
        clock.sleep_s(0.2)
