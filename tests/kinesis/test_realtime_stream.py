"""Real-time logs out of a stream, by the fields of the configuration: the same views, and the sampling rate shown."""

from pathlib import Path
from random import Random

import msgspec
import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, serve
from shardlake.testing.runs import Program

FIELDS = "timestamp,c-ip,sc-bytes,x-edge-location,cs-host,x-host-header,cs-uri-stem,cs-user-agent,x-edge-request-id"
LINE = (
    "{time}\t10.0.0.{viewer}\t{size}\tFRA56-P4\twww.example.com\td1.cloudfront.net\t/a?q={size}\tcurl/8.0\tid-{size}\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["shardlake", "kinesis-python"])
def test_real_time_logs_are_read_by_the_configured_fields_and_never_scaled(engine: str, tmp_path: Path) -> None:
    with serve(EmbeddedKinesis(SystemClock(), Random(1), Behaviour.unlimited())) as service:
        api = KinesisClient(AwsSettings("us-east-1", service.url))
        api.create_stream("live", 2)
        lines = [LINE.format(time=1_767_225_600 + n / 1000, viewer=n % 3, size=n) for n in range(300)]
        api.put_records("live", [Put(line.encode(), str(n)) for n, line in enumerate(lines)])
        api.put_records("live", [Put(b"no line at all\n", "x")])
        settings = {
            "source.path": "",
            "source.engine": engine,
            "source.stream": "live",
            "source.endpoint": service.url,
            "source.region": "us-east-1",
            "source.pack": "cloudfront_realtime",
            "source.fields": FIELDS,
            "source.sampling_rate": "5",
        }
        program = Program(tmp_path / "root", tmp_path, settings)
        program.run("stream", "run", "--once").expect(0)
        api.close()
    answer = program.ask("viewers")
    assert sorted(row[1:] for row in answer.rows) == [(f"10.0.0.{v}", 100, sum(range(v, 300, 3))) for v in range(3)]
    assert answer.certificate.letters == 1
    [row] = program.ask("bandwidth").rows
    assert "d1.cloudfront.net" in row, "the distribution is x-host-header in real-time logs"
    status = msgspec.json.decode(program.run("--json", "status").expect(0).out)
    assert status["sampling_rate"] == 5
    told = program.run("query", "SELECT 1 FROM viewers LIMIT 1").expect(0)
    assert "the source holds 5 % of the requests; nothing is scaled" in told.err


def test_a_field_that_there_is_none_of_is_told_before_anything_is_read(tmp_path: Path) -> None:
    settings = {
        "source.path": "",
        "source.stream": "live",
        "source.endpoint": "http://127.0.0.1:9",
        "source.region": "us-east-1",
        "source.pack": "cloudfront_realtime",
        "source.fields": "timestamp,c-iq",
    }
    done = Program(tmp_path / "root", tmp_path, settings).run("stream", "run", "--once").expect(1)
    assert "c-iq" in done.err
    assert "c-ip" in done.err
