"""Metrics: what was done is told to whoever asks, and a shard that stands still is told within a minute, once."""

import random
import socket
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.port import IteratorExpired, Throttled
from shardlake.adapters.kinesis.wire import Page
from shardlake.app.metrics import CountedReads, Meter, ReadCounts, served, told
from shardlake.app.settings import Config, MetricsSettings, SourceSettings
from shardlake.app.streaming import stream
from shardlake.app.stuck import Change, StuckShards
from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError, ShardlakeError, Transient
from shardlake.core.limits import Limits
from shardlake.core.positions import END, Position, ShardId
from shardlake.testing.clock import ManualClock
from shardlake.testing.fleet import LIMITS, Fleet
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, Server, serve
from shardlake.testing.plain import VIEWS, Click
from shardlake.testing.world import SCHEMA
from streams.lane import LaneLost
from streams.sources.kinesis.fetching import Lag, Reader

VIEW = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in list(VIEWS.items())[:1]}
STUCK_S = Limits().stuck_s
LOOK_S = STUCK_S / 9
THROTTLED = Fault("ProvisionedThroughputExceededException", "slow down", 400)
CLICK = Click(minute=1, seen=1, page="/", cost=1, weight=None, click_id=None)


@dataclass(slots=True)
class Told:
    """A log that remembers."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def debug(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    info = warning = error = debug

    def named(self, event: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.events if name == event]


@dataclass(slots=True)
class Source:
    found: dict[str, Lag]

    def lags(self) -> Mapping[str, Lag]:
        return self.found


# --------------------------------------------------------------------------------------- shards that stand still


@dataclass(slots=True)
class Watch:
    """Lets a fleet work, and looks at its shards as the thread of a process does."""

    fleet: Fleet
    stuck: StuckShards = field(default_factory=StuckShards)
    changes: list[tuple[float, Change]] = field(default_factory=list)
    _looked_s: float = 0.0

    def run(self, seconds: float, *, put: bool = False) -> list[Change]:
        before, until_s = len(self.changes), self.fleet.clock.monotonic_s() + seconds
        while (now_s := self.fleet.clock.monotonic_s()) < until_s:
            if put:
                self.fleet.put(str(int(now_s * 4)), [CLICK])
            for member in tuple(self.fleet.members):
                self.fleet.step(member)
            if now_s - self._looked_s >= LOOK_S:
                self._looked_s = now_s
                lags: dict[Any, Lag] = {}
                for member in self.fleet.members:
                    lags |= member.source.lags()
                self.changes += [(now_s, change) for change in self.stuck.look(now_s, lags, STUCK_S)]
            self.fleet.clock.advance(0.25)
        return [change for _, change in self.changes[before:]]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@contextmanager
def watching(folder: Path, engine: Engine, **settings: Any) -> Iterator[Watch]:
    fleet = Fleet(folder, engine, VIEW, **{"shards": 2, "limits": replace_limits(chunk_age_s=2.0), **settings})
    fleet.spawn()
    yield Watch(fleet)


def replace_limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(LIMITS, **changes)


def failing_reads(fault: Fault, shard: str = "") -> Behaviour:
    def hook(action: str, body: bytes) -> Fault | None:
        if action != "GetRecords":
            return None
        token = urlsafe_b64decode(msgspec.json.decode(body)["ShardIterator"])
        return fault if shard.encode() in token else None

    return replace(Behaviour.unlimited(), fault=hook)


def test_shards_that_are_read_are_never_stuck(tmp_path: Path, engine: Engine) -> None:
    with watching(tmp_path, engine) as watch:
        assert watch.run(100) == [], "there is nothing to read"
        watch.fleet.kinesis.behaviour = replace(Behaviour.unlimited(), page_records_max=1)
        watch.fleet.put("key", [CLICK] * 400)
        assert watch.run(100) == [], "it is far behind, and comes nearer"
        watch.fleet.split(0)
        assert watch.run(60, put=True) == [], "a shard ends, and others begin"


def test_a_shard_whose_reads_are_all_refused_is_told_once_within_a_minute(tmp_path: Path, engine: Engine) -> None:
    with watching(tmp_path, engine) as watch:
        watch.run(5, put=True)
        began_s, shard = watch.fleet.clock.monotonic_s(), watch.fleet.open_shards()[0]
        watch.fleet.kinesis.behaviour = failing_reads(THROTTLED, shard)
        [change] = watch.run(200, put=True)
        assert (change.shard, change.is_stuck, change.reason) == (f"clicks/{shard}", True, "nothing_read")
        assert STUCK_S <= change.for_s <= watch.changes[0][0] - began_s + LOOK_S < 60
        assert watch.stuck.names() == {f"clicks/{shard}"}
        watch.fleet.kinesis.behaviour = Behaviour.unlimited()
        [change] = watch.run(20, put=True)
        assert (change.shard, change.is_stuck) == (f"clicks/{shard}", False)
        assert not watch.stuck.names()


def test_pages_without_records_behind_the_tip_are_no_progress(tmp_path: Path, engine: Engine) -> None:
    with watching(tmp_path, engine, shards=1) as watch:
        watch.run(5, put=True)
        watch.fleet.kinesis.behaviour = replace(Behaviour.unlimited(), empty_pages=1.0)
        [change] = watch.run(60, put=True)
        assert change.is_stuck
        assert change.behind_ms is not None
        assert change.behind_ms > 40_000


def test_a_worker_that_begins_anew_again_and_again_does_not_hide_it(tmp_path: Path, engine: Engine) -> None:
    with watching(tmp_path, engine, shards=1) as watch:
        watch.run(5, put=True)
        began_s, first = watch.fleet.clock.monotonic_s(), watch.fleet.members[0]
        watch.fleet.kinesis.behaviour = failing_reads(Fault())
        [change] = watch.run(200, put=True)
        assert watch.fleet.members[0] is not first, "its process was started anew"
        assert change.is_stuck
        assert watch.changes[0][0] - began_s < 60


def test_a_shard_that_a_gap_has_stopped_is_told_at_the_next_look(tmp_path: Path, engine: Engine) -> None:
    with watching(tmp_path, engine, shards=1) as watch:
        watch.run(5, put=True)
        [member] = watch.fleet.members
        watch.fleet.stop(member)
        watch.fleet.put("key", [CLICK])
        watch.fleet.clock.advance(3 * 86_400.0)
        watch.fleet.put("key", [CLICK])
        watch.fleet.spawn()
        [change] = watch.run(200)
        assert len(watch.fleet.told.gaps) == 1
        assert (change.is_stuck, change.reason) == (True, "gap")


def test_what_another_worker_took_over_is_forgotten() -> None:
    stuck, old = StuckShards(), Lag(behind_ms=10, asked_s=0.0)
    assert stuck.look(0, {"a": old, "b": old}, STUCK_S) == []
    stuck.forget(["b"])
    assert [c.shard for c in stuck.look(50, {"a": old, "b": old}, STUCK_S)] == ["a"]
    assert stuck.look(60, {}, STUCK_S) == []
    assert stuck.names() == {"a"}, "it may come back at once"
    stuck.look(50 + STUCK_S + 1, {}, STUCK_S)
    assert stuck.names() == frozenset()


def test_a_shard_that_was_read_to_its_end_does_not_stand_at_a_gap() -> None:
    for at, stands in ((Position(7), True), (END, False)):
        reader = Reader(ShardId("s/1"), at, None, repeats=False, is_pinned=False, is_stopped=True)
        assert reader.lag().is_stopped is stands


@pytest.mark.parametrize(
    ("lag", "moves"),
    [
        (Lag(100, 2.0, pages=1), True),
        (Lag(0, 2.0), True),
        (Lag(None, 2.0), True),
        (Lag(99, 2.0), True),
        (Lag(100, 2.0), False),
        (Lag(101, 2.0), False),
        (Lag(0, 1.0), False),
        (Lag(None, None), False),
        (Lag(0, 2.0, pages=1, is_stopped=True), False),
    ],
)
def test_what_counts_as_progress(lag: Lag, moves: bool) -> None:
    stuck = StuckShards()
    stuck.look(0, {"a": Lag(100, 1.0)}, STUCK_S)
    stuck.look(STUCK_S - 1, {"a": lag}, STUCK_S)
    stuck.look(STUCK_S, {"a": lag}, STUCK_S)
    assert ("a" in stuck.names()) is not moves


def test_a_loop_that_hangs_is_told_of_by_another_thread() -> None:
    log, meter, source = Told(), Meter(), Source({"s/1": Lag(7, 0.0)})
    config = Config(source=SourceSettings(stream="s"), limits=Limits(stuck_s=0.1))
    until_s = time.monotonic() + 10
    with told(config, meter, SystemClock(), log), meter.holding("w", 0, source):
        while not log.events and time.monotonic() < until_s:
            time.sleep(0.01)
    assert [(name, facts["shard"], facts["behind_ms"]) for name, facts in log.events] == [("shard_stuck", "s/1", 7)]


# ------------------------------------------------------------------------------------------------- the numbers


def scraped(port: int) -> dict[str, float]:
    """Sample name, with its labels' values -> value."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([s.name, *s.labels.values()]): s.value for s in samples}


def test_a_scrape_tells_of_the_shards_that_are_held_and_of_no_others() -> None:
    meter, clock = Meter(), ManualClock()
    source = Source({"s/shardId-1": Lag(250, clock.monotonic_s() - 2, 30, 999, 3, 0.5), "s/shardId-2": Lag()})
    with served(MetricsSettings(), meter, clock) as port:
        assert not [name for name in scraped(port) if "shardId" in name or "Lease" in name]
        with meter.holding("w1", 7, source):
            meter.moved(["s/shardId-1", "s/shardId-2"], [])
            found = scraped(port)
            source.found = {"s/shardId-1": Lag(0, is_stopped=True)}
            meter.moved([], ["s/shardId-2"])
            meter.look(clock.monotonic_s(), STUCK_S, Told())
            after = scraped(port)
    assert found["MillisBehindLatest shardId-1"] == 250
    assert found["RecordsProcessed_total shardId-1"] == 30
    assert found["DataBytesProcessed_total shardId-1"] == 999
    assert found["RecordProcessor_processRecords_Time_sum shardId-1"] == 500
    assert found["RecordProcessor_processRecords_Time_count shardId-1"] == 3
    assert found["shardlake_shard_read_age_seconds shardId-1"] == 2
    assert found["shardlake_shard_stuck shardId-1"] == 0
    assert "MillisBehindLatest shardId-2" not in found, "it was not read yet"
    assert found["CurrentLeases"] == 2
    assert found["shardlake_worker_info w1 7"] == 1
    assert [name for name in after if "shardId-2" in name] == []
    assert (after["CurrentLeases"], after["shardlake_shard_stuck shardId-1"]) == (1, 1)
    assert (after["shardlake_shards_adopted_total"], after["shardlake_shards_released_total"]) == (2, 1)


def test_a_lost_lane_counts_its_shards_and_shows_none_of_them() -> None:
    meter, source = Meter(), Source({"s/1": Lag(), "s/2": Lag()})
    with pytest.raises(LaneLost), meter.holding("w", 0, source):
        raise LaneLost("taken")
    assert (meter.lost, dict(meter.lags())) == (2, {})


def test_after_an_error_the_shards_count_as_held_until_others_are_known_to_have_them() -> None:
    meter, source, log = Meter(), Source({"s/1": Lag(5, 0.0)}), Told()
    with suppress(Transient), meter.holding("w", 0, source):
        meter.look(0.0, STUCK_S, log)
        raise Transient("out of reach")
    meter.look(STUCK_S, STUCK_S, log)
    meter.look(2 * STUCK_S, STUCK_S, log)
    assert log.named("shard_stuck") == [{"shard": "s/1", "reason": "nothing_read", "behind_ms": 5, "for_s": STUCK_S}]
    meter.stands_by()
    assert dict(meter.lags()) == {}


def test_a_shard_that_was_let_go_in_order_begins_anew_when_it_comes_back() -> None:
    meter, log, source = Meter(), Told(), Source({"s/1": Lag(5, 0.0)})
    with meter.holding("w", 0, source):
        meter.look(0.0, STUCK_S, log)
        meter.moved([], ["s/1"])
        meter.look(STUCK_S, STUCK_S, log)
    assert log.events == []


def test_reads_are_counted_by_what_came_of_them() -> None:
    outcomes = [None, IteratorExpired("x"), Throttled("x"), Transient("x"), None]

    class Api:
        def get_records(self, *_: object) -> Page:
            clock.advance(0.5)
            error = outcomes.pop(0)
            if error is not None:
                raise error
            return page  # type: ignore[no-any-return]

    clock, counts = ManualClock(), ReadCounts()
    page: Any = object()
    reads = CountedReads(Api(), counts, clock)  # type: ignore[arg-type] # it does not need the rest
    for _ in range(5):
        try:
            assert reads.get_records("i") is page
        except ShardlakeError:
            continue
    assert (counts.timing.count, counts.good, counts.expired, counts.throttled) == (5, 2, 1, 1)
    assert counts.timing.total_s == 2.5


def test_nothing_is_served_unless_asked_for() -> None:
    log = Told()
    with told(Config(), Meter(), SystemClock(), log):
        assert log.events == []


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = Config(metrics=MetricsSettings(port=port))
        said = f"metrics.port {port} .*in use.*one for each process"
        with pytest.raises(ConfigError, match=said), told(config, Meter(), SystemClock(), Told()):
            pytest.fail("it was served")


def test_an_address_of_another_machine_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match=r"metrics.host 192\.0\.2\.1"),
        served(MetricsSettings(host="192.0.2.1"), Meter(), SystemClock()),
    ):
        pytest.fail("it was served")


# --------------------------------------------------------------------------------------------------- all of it


@pytest.fixture
def kinesis() -> Iterator[Server]:
    with serve(EmbeddedKinesis(SystemClock(), random.Random(0), Behaviour.unlimited())) as server:
        server.ask("CreateStream", StreamName="logs", ShardCount=2)
        yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_a_worker_tells_its_numbers_while_it_reads_a_stream(kinesis: Server, tmp_path: Path) -> None:
    fields, line = ("timestamp", "c-ip"), "1767225600.000\t192.0.2.1"
    for key in range(20):
        kinesis.ask("PutRecord", StreamName="logs", Data=line.encode(), PartitionKey=str(key))
    kinesis.ask("PutRecord", StreamName="logs", Data=b"SECRET", PartitionKey="x")
    port, log = free_port(), Told()
    source = SourceSettings(pack="cloudfront_realtime", stream="logs", endpoint=kinesis.url, fields=fields)
    config = Config(root=str(tmp_path), source=source, metrics=MetricsSettings(port=port))
    found: dict[str, float] = {}
    until_s = time.monotonic() + 20

    def stop() -> bool:
        committed = sum(facts["rows"] + facts["dead_letters"] for facts in log.named("committed"))
        if committed == 21 and not found:
            found.update(scraped(port))
        return bool(found) or time.monotonic() > until_s

    done = stream(config, {}, log, stop, once=False)
    assert log.named("metrics_served") == [{"url": f"http://127.0.0.1:{port}/metrics"}]
    shards = [name.split()[1] for name in found if name.startswith("MillisBehindLatest")]
    assert set(shards) <= {"shardId-000000000000", "shardId-000000000001"}
    assert sum(found[f"RecordsProcessed_total {shard}"] for shard in shards) == 21
    assert found["shardlake_rows_total"] == done.rows == 20
    assert found["RecordsFailedProcessing_total"] == 1
    assert found["shardlake_commit_seconds_count"] == found["shardlake_entries_total"] >= 1
    assert 0 < found["shardlake_commit_seconds_sum"] < 20
    assert abs(found["shardlake_last_commit_timestamp_seconds"] - time.time()) < 60
    assert found["KinesisDataFetcher_getRecords_Success_sum"] == found["KinesisDataFetcher_getRecords_Time_count"] > 0
    assert found["CurrentLeases"] == 2
    assert not any("SECRET" in name for name in found)
    with pytest.raises(OSError, match="refused"):
        scraped(port)
