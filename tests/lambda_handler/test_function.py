"""The function that AWS Lambda calls, over real sockets: events of Kinesis, and settings under which they are taken."""

import base64
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shardlake.adapters.aws_lambda.envelopes import NoEnvelope, notices_of, records_of
from shardlake.adapters.aws_lambda.mappings import EventSourceMapping, MappingClient, check
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.aggregates import aggregate
from shardlake.adapters.kinesis.wire import Put
from shardlake.app.handler import make_handler
from shardlake.app.logs import make_log
from shardlake.app.overview import Overview
from shardlake.app.settings import Config
from shardlake.app.streaming import stream
from shardlake.core.errors import ConfigError
from shardlake.testing.event_source import FUNCTION, EventSource
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, Server, serve
from tests.lambda_handler.function import SAFE, Context, Set, answer, config, made


def replace_with(**changed: Any) -> EventSourceMapping:
    return msgspec.structs.replace(SAFE, **changed)


PACK = """
format = "json"
event_time = "at"
[columns]
at = { type = "TIMESTAMP", time = "s" }
page = "VARCHAR"
cost = "BIGINT"
"""
CHANGES = """
format = "dynamodb"
event_time = "at"
[columns]
id = "VARCHAR"
page = "VARCHAR"
cost = "DECIMAL(38,2)"
at = { type = "TIMESTAMP", time = "s" }
"""
VIEW = """-- description: what pages cost
SELECT page, count(*) AS hits, sum(cost) AS cost FROM visits GROUP BY page
"""
SUMS = "SELECT page, hits, cost FROM pages ORDER BY page"


def pack_in(folder: Path, text: str) -> str:
    pack = folder / "visits"
    (pack / "views").mkdir(parents=True, exist_ok=True)
    (pack / "pack.toml").write_text(text)
    (pack / "views" / "pages.sql").write_text(VIEW)
    return str(pack)


def line(page: str, cost: int) -> bytes:
    return json.dumps({"at": 1767225600, "page": page, "cost": cost}).encode()


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    kinesis = EmbeddedKinesis(SystemClock(), random.Random(1), Behaviour.unlimited())
    kinesis.ask("CreateStream", StreamName="visits", ShardCount=1)
    with serve(kinesis) as server:
        yield server


def of(server: Server, folder: Path, **settings: str) -> Config:
    return config(
        folder,
        source__stream="visits",
        source__endpoint=server.url,
        source__region="us-east-1",
        source__pack=pack_in(folder, PACK),
        **settings,
    )


def put(server: Server, *lines: bytes) -> None:
    for one in lines:
        data = base64.b64encode(one).decode()
        server.ask("PutRecord", StreamName="visits", PartitionKey="k", Data=data)


def given(server: Server, handler: Any, mapping: EventSource | None = None) -> list[dict[str, Any]]:
    mapping = mapping or EventSource(server.kinesis, "visits")
    answers = []
    while (event := mapping.next("shardId-000000000000")) is not None:
        answers.append(handler(event, Context()))
        mapping.answered("shardId-000000000000", answers[-1])
    return answers


# ----------------------------------------------------------------------------------------------------- streams


def test_records_of_kinesis_are_in_the_answer_once_each(server: Server, tmp_path: Path) -> None:
    settings, told = of(server, tmp_path), Set()
    handler, mapping = made(settings, told), EventSource(server.kinesis, "visits", batch=3)
    put(server, *(line("/", n) for n in range(4)), aggregate([Put(line("/a", 7), "k"), Put(line("/a", 8), "k")]))
    assert given(server, handler, mapping) == [{"batchItemFailures": []}] * 2
    given(server, handler)  # all of it again
    given(server, made(settings))  # by another process
    assert answer(settings, SUMS) == [("/", 4, 6), ("/a", 2, 15)]
    assert told.asked == [(FUNCTION, mapping.arn)], "once a minute"


def test_a_schedule_has_all_read_that_no_batch_brought(server: Server, tmp_path: Path) -> None:
    settings = of(server, tmp_path)
    handler = made(settings, Set(()))
    put(server, line("/", 1), line("/", 2))
    scheduled = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    assert handler(scheduled, Context()) == {"batchItemFailures": []}
    assert answer(settings, SUMS) == [("/", 2, 3)]
    server.kinesis.inject(Fault("AccessDeniedException", "no", 400), "GetRecords", times=1)
    with pytest.raises(ConfigError):
        handler(scheduled, Context())
    server.kinesis.inject(Fault(), "GetRecords", times=50)
    assert handler(scheduled, Context(left_s=1.0)) == {"batchItemFailures": []}


def test_what_could_not_be_counted_is_named_and_given_again(server: Server, tmp_path: Path) -> None:
    settings = of(server, tmp_path)
    handler, mapping = made(settings), EventSource(server.kinesis, "visits")
    put(server, line("/", 1), line("/", 2))
    server.kinesis.inject(Fault("AccessDeniedException", "no", 400), "ListShards", times=1)
    event = mapping.next("shardId-000000000000")
    assert event is not None
    with pytest.raises(ConfigError):
        handler(event, Context())
    server.kinesis.inject(Fault(), "GetRecords", times=50)
    first = event["Records"][0]["kinesis"]["sequenceNumber"]
    assert handler(event, Context(left_s=1.0)) == {"batchItemFailures": [{"itemIdentifier": first}]}
    server.kinesis.clear_faults()
    assert handler(event, Context()) == {"batchItemFailures": []}
    assert answer(settings, SUMS) == [("/", 2, 3)]


def test_a_mapping_that_leaves_records_out_is_refused_or_the_stream_is_read(server: Server, tmp_path: Path) -> None:
    put(server, line("/", 1))
    settings, crossing = of(server, tmp_path), Set((UNSAFE["ParallelizationFactor"],))
    with pytest.raises(ConfigError, match="ParallelizationFactor"):
        given(server, made(settings, crossing))
    with pytest.raises(ConfigError, match="no event source mapping"):
        given(server, made(settings, Set(())))
    asked = len(crossing.asked)
    reading = of(server, tmp_path, handler__records="read")
    assert given(server, made(reading, crossing)) == [{"batchItemFailures": []}]
    assert len(crossing.asked) == asked
    assert answer(settings, SUMS) == [("/", 1, 1)]


UNSAFE = {
    "ParallelizationFactor": replace_with(parallelization_factor=2),
    "FilterCriteria": replace_with(filter_criteria={"Filters": [{"Pattern": "{}"}]}),
    "TumblingWindowInSeconds": replace_with(tumbling_window_in_seconds=60),
    "MaximumRetryAttempts": replace_with(maximum_retry_attempts=2),
    "MaximumRecordAgeInSeconds": replace_with(maximum_record_age_in_seconds=600),
    "FunctionResponseTypes": replace_with(function_response_types=()),
}


@pytest.mark.parametrize("setting", UNSAFE)
def test_a_setting_under_which_records_would_be_left_out_is_named_with_what_is_accepted(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf'{setting} of .* 14e0db71 .*accepted: .*handler.records to "read"'):
        check([SAFE, UNSAFE[setting]], "f", "s")


def test_mappings_are_read_as_botocore_gives_them() -> None:
    described = {
        "UUID": "14e0db71", "StartingPosition": "TRIM_HORIZON", "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        "BatchSize": 100, "ParallelizationFactor": 3, "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": "{}"}]}, "State": "Enabled",
    }  # fmt: skip

    class Client:
        def get_paginator(self, method: str) -> "Client":
            assert method == "list_event_source_mappings"
            return self

        def paginate(self, **params: str) -> list[Any]:
            assert params == {"FunctionName": "f", "EventSourceArn": "s"}
            return [{"EventSourceMappings": []}, {"EventSourceMappings": [described]}, {}]

    [found] = MappingClient(given=Client()).of("f", "s")
    assert (found.uuid, found.parallelization_factor, found.maximum_retry_attempts) == ("14e0db71", 3, None)
    assert found.function_response_types == ("ReportBatchItemFailures",)
    assert found.filter_criteria == {"Filters": [{"Pattern": "{}"}]}


def test_what_aws_does_not_set_is_safe() -> None:
    check([EventSourceMapping(function_response_types=("ReportBatchItemFailures",))], "f", "s")


def test_a_source_is_read_by_processes_or_by_a_function(server: Server, tmp_path: Path) -> None:
    put(server, line("/", 1))
    settings = of(server, tmp_path)
    given(server, made(settings))
    [lane] = Overview(settings, SystemClock()).look()["lanes"]
    assert (lane["owner"], lane["alive"], lane["shards"]) == ("lambda", None, 1)
    with pytest.raises(ConfigError, match="is read by a function of AWS Lambda"):
        stream(settings, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
    other = of(server, tmp_path, root=str(tmp_path / "other"))
    stream(other, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
    with pytest.raises(ConfigError, match="is read by stream processes"):
        given(server, made(other))


def test_an_event_of_another_stream_is_refused(server: Server, tmp_path: Path) -> None:
    server.ask("CreateStream", StreamName="others", ShardCount=1)
    put(server, line("/", 1))
    event = EventSource(server.kinesis, "visits").next("shardId-000000000000")
    assert event is not None
    event["Records"][0]["eventSourceARN"] = EventSource(server.kinesis, "others").arn
    with pytest.raises(ConfigError, match="correct one of them"):
        made(of(server, tmp_path))(event, Context())


def test_in_aws_lambda_nothing_that_must_last_is_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"journal\.url .* storage\.url"):
        make_handler(Config(root=str(tmp_path)), {"AWS_LAMBDA_FUNCTION_NAME": "f"})
    with pytest.raises(ConfigError, match="trim_horizon"):
        make_handler(config(tmp_path, source__stream="s", source__start="latest"), {})


# ---------------------------------------------------------------------------------------------------- envelopes


def test_events_of_other_services_are_refused() -> None:
    strange: list[dict[str, Any]] = [
        {}, {"Records": []}, {"Records": [{"eventSource": "aws:ses"}]}, {"records": [], "deliveryStreamArn": "x"},
        {"Records": [{"eventSource": "aws:kinesis"}]}, {"Records": [{"eventSource": "aws:kinesis"}, {}]},
        {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"SequenceNumber": "x"}}]},
    ]  # fmt: skip
    for event in strange:
        with pytest.raises(NoEnvelope):
            records_of(event, 0)


def test_changes_without_both_images_are_refused() -> None:
    change = {"SequenceNumber": "1", "StreamViewType": "NEW_IMAGE", "NewImage": {}}
    with pytest.raises(ConfigError, match="StreamViewType=NEW_AND_OLD_IMAGES"):
        records_of({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": change}]}, 0)


def test_envelopes_as_aws_documents_them_are_read(real_data: Path | None) -> None:
    if real_data is None or not (real_data / "lambda_events").is_dir():
        pytest.skip("SHARDLAKE_TEST_DATA has no folder lambda_events")

    def event(name: str) -> Any:
        return json.loads((real_data / "lambda_events" / f"{name}.json").read_text())

    [kinesis] = records_of(event("kinesisStreamEvent"), 0)
    assert (kinesis.shard, kinesis.page.data) == (
        "shardId-000000000006", [b"Hello, this is a test.", b"This is only a test."],
    )  # fmt: skip
    assert kinesis.stream == "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
    assert kinesis.page.arrivals_us.tolist() == [1545084650987000, 1545084711166000]
    [one] = records_of(event("kinesisStreamEventOneRecord"), 0)
    assert one.page.data == [b'{"message": "test message", "username": "test"}']
    [logs] = records_of(event("kinesisStreamCloudWatchLogsEvent"), 0)
    assert all(data.startswith(b"\x1f\x8b") for data in logs.page.data)
    [changes] = records_of(event("dynamoStreamEvent"), 0)
    assert changes.page.sequences == ["111", "222"]
    assert [[msgspec.json.decode(line)["Weight"] for line in data.split(b"\n")] for data in changes.page.data] == [
        [1], [-1, 1],
    ]  # fmt: skip
    assert [notice.id for notice in notices_of(event("s3Event"))] == [""]
    assert [notice.id for notice in notices_of(event("s3SqsEvent"))] == ["ca3e7a89-c358-40e5-8aa0-5da01403c267"]
    for name in ("kinesisFirehoseKinesisEvent", "kinesisFirehosePutEvent", "kinesisFirehoseSQSEvent"):
        with pytest.raises(NoEnvelope, match="Firehose"):
            records_of(event(name), 0)
