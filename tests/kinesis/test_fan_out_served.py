"""Subscriptions over a real socket: what boto3 sees of them, and what threads that read them stand."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.port import Subscription, SubscriptionEnded
from shardlake.adapters.kinesis.subscribe import AwsSubscriber
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Put
from shardlake.app import config
from shardlake.app.checks import Visit
from shardlake.app.doctor import examine
from shardlake.app.logs import make_log
from shardlake.app.streaming import stream
from shardlake.core.errors import ConfigError, ShardlakeError, Transient
from shardlake.core.journal.objects import HeldShard
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN, ShardId
from shardlake.testing.clock import ManualClock
from shardlake.testing.fleet import Inline
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, Server, ServiceError, serve
from shardlake.testing.runs import Program
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.kinesis.subscription import FanOut, in_threads
from streams.sources.port import SourceGap

PATIENCE_S: Final = 60.0
FIRST: Final = "shardId-000000000000"
HORIZON: Final = {"Type": "TRIM_HORIZON"}
FIELDS: Final = "timestamp,c-ip,sc-bytes,x-edge-location,x-host-header,cs-user-agent,x-edge-request-id"
LINE: Final = "1767225600.5\t{viewer}\t7\tFRA56-P4\td1.cloudfront.net\tcurl/8.0\tid-{viewer}"


@pytest.fixture
def server(clock: ManualClock) -> Iterator[Server]:
    """Serve a stream of one shard by a clock that stands still, to callers that must not call too often."""
    kinesis = EmbeddedKinesis(clock, random.Random(1), Behaviour.unlimited().changed(subscribes_per_s=1))
    kinesis.ask("CreateStream", StreamName="s", ShardCount=1)
    with serve(kinesis) as made:
        yield made


def registered(server: Server, name: str = "c", stream: str = "s") -> str:
    arn = server.ask("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    answer = server.ask("RegisterStreamConsumer", StreamARN=arn, ConsumerName=name)
    return str(answer["Consumer"]["ConsumerARN"])


@contextmanager
def subscriber(server: Server) -> Iterator[AwsSubscriber]:
    made = AwsSubscriber(AwsSettings(endpoint=server.url))
    try:
        yield made
    finally:
        made.close()


# ------------------------------------------------------------------------------------------------ what boto3 sees


def test_boto3_hears_of_records_as_they_come_and_of_the_end(
    server: Server, clock: ManualClock, make_client: Callable[[str], Any]
) -> None:
    client, arn = make_client(server.url), registered(server)
    client.put_record(StreamName="s", Data=b"first", PartitionKey="k")
    stream = client.subscribe_to_shard(ConsumerARN=arn, ShardId=FIRST, StartingPosition=HORIZON)["EventStream"]
    events = iter(stream)
    event = next(events)["SubscribeToShardEvent"]
    assert [record["Data"] for record in event["Records"]] == [b"first"]
    assert event["ContinuationSequenceNumber"] == event["Records"][0]["SequenceNumber"]
    assert event["MillisBehindLatest"] == 0
    server.ask("PutRecord", StreamName="s", Data="bGF0ZXI=", PartitionKey="k")
    event = next(events)["SubscribeToShardEvent"]
    assert [record["Data"] for record in event["Records"]] == [b"later"]
    clock.advance(6)
    empty = next(events)["SubscribeToShardEvent"]
    assert empty["Records"] == []
    assert int(empty["ContinuationSequenceNumber"]) > int(event["ContinuationSequenceNumber"])
    clock.advance(300)
    assert list(events) == []
    client.close()


def test_boto3_hears_of_children_at_the_end_of_a_shard(
    server: Server, clock: ManualClock, make_client: Callable[[str], Any]
) -> None:
    client, arn = make_client(server.url), registered(server)
    client.put_record(StreamName="s", Data=b"first", PartitionKey="k")
    clock.advance(1)
    client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey=str(1 << 127))
    stream = client.subscribe_to_shard(ConsumerARN=arn, ShardId=FIRST, StartingPosition=HORIZON)["EventStream"]
    [event] = [event["SubscribeToShardEvent"] for event in stream]
    assert len(event["Records"]) == 1
    assert [child["ShardId"] for child in event["ChildShards"]] == ["shardId-000000000001", "shardId-000000000002"]
    assert "ContinuationSequenceNumber" not in event
    client.close()


def test_a_young_subscription_is_kept_and_an_older_one_taken_over(
    server: Server, clock: ManualClock, make_client: Callable[[str], Any]
) -> None:
    client, arn = make_client(server.url), registered(server)
    asked = {"ConsumerARN": arn, "ShardId": FIRST, "StartingPosition": HORIZON}
    first = client.subscribe_to_shard(**asked)["EventStream"]
    with pytest.raises(ClientError, match="LimitExceeded"):
        client.subscribe_to_shard(**asked)
    clock.advance(4.9)
    with pytest.raises(ClientError, match="ResourceInUse"):
        client.subscribe_to_shard(**asked)
    clock.advance(1.1)
    second = client.subscribe_to_shard(**asked)["EventStream"]
    with pytest.raises(ClientError, match="ResourceInUse"):
        list(first)
    first.close()
    assert next(iter(second))["SubscribeToShardEvent"]["Records"] == []
    second.close()
    client.close()


def test_consumers_are_registered_listed_and_let_go_within_their_limits(
    server: Server, clock: ManualClock, make_client: Callable[[str], Any]
) -> None:
    client = make_client(server.url)
    arns = [registered(server, f"c{n:02d}") for n in range(20)]
    stream = arns[0].partition("/consumer/")[0]
    with pytest.raises(ClientError, match="LimitExceeded"):
        client.register_stream_consumer(StreamARN=stream, ConsumerName="one-more")
    with pytest.raises(ServiceError, match="already exists"):
        registered(server, "c07")
    pages = client.get_paginator("list_stream_consumers").paginate(StreamARN=stream, PaginationConfig={"PageSize": 7})
    assert [one["ConsumerARN"] for page in pages for one in page["Consumers"]] == arns
    assert client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["ConsumerCount"] == 20
    client.deregister_stream_consumer(ConsumerARN=arns[3])
    clock.advance(1)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.describe_stream_consumer(StreamARN=stream, ConsumerName="c03")
    again = registered(server, "c03")
    assert again != arns[3], "another registration has another ARN"
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.subscribe_to_shard(ConsumerARN=arns[3], ShardId=FIRST, StartingPosition=HORIZON)
    assert client.describe_stream_consumer(ConsumerARN=again)["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE"
    client.close()


# ----------------------------------------------------------------------------------------------------------- ours


def test_who_waits_for_an_event_is_woken_when_the_subscription_is_closed(server: Server) -> None:
    arn, errors = registered(server), list[ShardlakeError]()
    with subscriber(server) as ours:
        subscription = ours.open(arn, FIRST, "TRIM_HORIZON")
        assert subscription.next() is not None

        def read(subscription: Subscription = subscription) -> None:
            try:
                subscription.next()
            except ShardlakeError as error:
                errors.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        subscription.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        assert isinstance(errors[0], Transient)


def test_a_refusal_says_what_to_do(server: Server) -> None:
    arn = registered(server)
    with subscriber(server) as ours:
        with pytest.raises(
            ConfigError, match=r"aws kinesis register-stream-consumer --stream-arn arn:.*--consumer-name x"
        ):
            ours.open(arn.replace("/c:", "/x:"), FIRST, "TRIM_HORIZON")
        server.kinesis.inject(Fault("AccessDeniedException", "not authorized", 400), "SubscribeToShard")
        with pytest.raises(ConfigError, match=r"AWS denies kinesis:SubscribeToShard on arn:.*: allow it"):
            ours.open(arn, FIRST, "TRIM_HORIZON")
        server.kinesis.inject(Fault(dropped=True), "SubscribeToShard")
        with pytest.raises(Transient, match="no whole answer"):
            ours.open(arn, FIRST, "TRIM_HORIZON")


def test_an_end_is_told_from_a_connection_that_is_lost_amidst_a_frame(server: Server, clock: ManualClock) -> None:
    arn, plain = registered(server), server.kinesis.behaviour
    with subscriber(server) as ours:
        subscription = ours.open(arn, FIRST, "TRIM_HORIZON")
        assert subscription.next() is not None
        clock.advance(301)
        with pytest.raises(SubscriptionEnded):
            subscription.next()
        subscription.close()
        server.kinesis.behaviour = plain.changed(spoil=lambda frame: frame[:50])
        subscription = ours.open(arn, FIRST, "TRIM_HORIZON")
        with pytest.raises(Transient) as told:
            subscription.next()
        assert not isinstance(told.value, SubscriptionEnded)
        subscription.close()


class Silent:
    """Who is told how shards are read, and does not care."""

    def polled(self, shard: ShardId, error: ShardlakeError) -> None:
        """Do nothing."""

    def pushed(self, shard: ShardId) -> None:
        """Do nothing."""


def refuse(gap: SourceGap) -> None:
    raise gap


def test_a_worker_that_is_busy_for_longer_than_a_subscription_lives_loses_nothing(
    server: Server, clock: ManualClock
) -> None:
    arn, limits = registered(server), Limits(fetch_bytes_max=1 << 20)
    with subscriber(server) as ours:
        api, fan_out = KinesisClient(AwsSettings(endpoint=server.url)), FanOut(arn, ours, Silent(), in_threads)
        source = KinesisSource(KinesisSettings("s", "s"), api, Inline(), clock, limits, refuse, fan_out)
        shard = ShardId(f"s/{FIRST}")
        source.list()
        source.hold({shard: HeldShard("-")})
        put, found, at = 0, list[bytes](), ORIGIN
        until_s = time.monotonic() + PATIENCE_S
        while put < 24 or len(found) < put * 100:
            if put < 24:  # 24 MB in all, more than buffers of sockets hold, over 48 minutes
                lines = [Put(b"%d %s" % (put * 100 + n, b"x" * 10_000), "k") for n in range(100)]
                assert api.put_records("s", lines).failed == 0
                put += 1
                clock.advance(120)
            source.discover(0)
            if put in (1, 24):  # it works on the first page meanwhile
                source.wait(0.2)
                for records in source.read(shard, at):
                    found += [line.partition(b" ")[0] for line in records.data.split(b"\n") if line]
                    at = records.upto
            assert time.monotonic() < until_s, f"{len(found)} of {put * 100} records came"
        assert found == [b"%d" % n for n in range(put * 100)]
        source.close()
        api.close()


# ------------------------------------------------------------------------------------------------- the whole worker


def program(server: Server, folder: Path, **settings: str) -> Program:
    stream = {
        "source.path": "",
        "source.stream": "live",
        "source.endpoint": server.url,
        "source.region": "us-east-1",
        "source.pack": "cloudfront_realtime",
        "source.fields": FIELDS,
        "source.fan_out": "lake",
        "limits.chunk_age_s": "0.3",
        "limits.worker_expiry_s": "2",
        "limits.heartbeat_s": "0.2",
        **settings,
    }
    return Program(folder / "root", folder, stream)


def live(settings: Behaviour) -> Server:
    kinesis = EmbeddedKinesis(SystemClock(), random.Random(1), settings)
    kinesis.ask("CreateStream", StreamName="live", ShardCount=2)
    return serve(kinesis)


def put(server: Server, first: int, count: int) -> None:
    with_keys = [(f"10.0.{n >> 8}.{n & 255}", str(HASH_KEY_MAX // 600 * n)) for n in range(first, first + count)]
    api = KinesisClient(AwsSettings("us-east-1", server.url))
    assert api.put_records("live", [Put(LINE.format(viewer=v).encode(), "k", key) for v, key in with_keys]).failed == 0
    api.close()


def all_counted_once(program: Program, count: int) -> None:
    until_s, held = time.monotonic() + PATIENCE_S, 0
    while held < count:
        assert time.monotonic() < until_s, f"{held} of {count} events are in the answer"
        time.sleep(0.1)
        held = sum(row[2] for row in program.ask("viewers").rows)
    assert [row[2] for row in program.ask("viewers").rows] == [1] * count


@pytest.mark.slow
def test_a_worker_reads_what_is_pushed_through_ends_a_split_and_a_kill(tmp_path: Path) -> None:
    asked: list[str] = []
    short = Behaviour().changed(push_life_s=2.0, push_idle_s=0.3, fault=lambda action, _: asked.append(action))
    with live(short) as server:
        registered(server, "lake", "live")
        made = program(server, tmp_path)
        worker = made.start("--json", "stream", "run")
        worker.until("shards_moved")
        put(server, 0, 200)
        worker.until("committed")
        all_counted_once(made, 200)
        server.ask("SplitShard", StreamName="live", ShardToSplit=FIRST, NewStartingHashKey=str(1 << 125))
        put(server, 200, 200)
        all_counted_once(made, 400)
        assert worker.end(9).killed
        put(server, 400, 200)
        second = made.start("--json", "stream", "run")
        all_counted_once(made, 600)
        assert "shard_polled" not in second.end(15).expect(0).err
    assert asked.count("SubscribeToShard") > 6


@pytest.mark.slow
def test_a_stream_is_read_at_once_and_wholly_by_a_worker_that_does_not_stay(tmp_path: Path) -> None:
    with live(Behaviour()) as server:
        registered(server, "lake", "live")
        put(server, 0, 300)
        made = program(server, tmp_path)
        made.run("stream", "run", "--once").expect(0)
        all_counted_once(made, 300)


def test_a_consumer_that_cannot_be_had_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with live(Behaviour.unlimited()) as server:

        def begin(**more: str) -> None:
            given = {**program(server, tmp_path).settings, "root": "root", **more}
            wanted = config.load({key: (value, "--set") for key, value in given.items()}, {}, tmp_path).config
            stream(wanted, {}, make_log(verbose=False, as_json=True), lambda: False, once=True)

        with pytest.raises(ConfigError, match=r"register-stream-consumer --stream-arn arn:.* --consumer-name lake"):
            begin()
        with pytest.raises(ConfigError, match="can only poll: keep one of them"):
            begin(**{"source.engine": "kinesis-python"})
        server.kinesis.inject(Fault("UnknownOperationException", "what?", 400), "DescribeStreamConsumer", times=9)
        with pytest.raises(ConfigError, match="leave it empty to poll"):
            begin()


def test_the_doctor_tells_of_the_consumer(tmp_path: Path) -> None:
    with live(Behaviour.unlimited()) as server:
        flags = {k: (v, "--set") for k, v in program(server, tmp_path).settings.items()} | {"root": ("root", "--set")}
        visit = Visit(config.load(flags, {}, tmp_path), {}, SystemClock())
        found = {check.check: check for check in examine(visit)}
        assert found["fan-out"].state == "fail"
        assert "register the consumer" in found["fan-out"].next
        registered(server, "lake", "live")
        found = {check.check: check for check in examine(visit)}
        assert found["fan-out"].state == "ok"
        assert "lake is ACTIVE" in found["fan-out"].found
        assert found["reads"].state == "ok", "the worker's own consumer is not another one"
