"""Records that are handed over batch by batch: each is counted once, whatever comes again, is left out, or crosses."""

import json
from pathlib import Path

import pytest

from shardlake.adapters.engine import Engine
from shardlake.core.errors import Conflict, Corrupt, OutcomeUnknown, Transient
from shardlake.core.journal import reading
from shardlake.core.limits import Limits
from shardlake.testing.event_source import interleaved
from shardlake.testing.fleet import STREAM
from shardlake.testing.kinesis import Fault
from streams.handling import OWNER
from streams.poison import Waiting
from streams.sources.port import SourceGap
from tests.lambda_handler.site import Site, clicks, land, put

SHARD = "shardId-000000000000"
FIRST, SECOND = "shardId-000000000001", "shardId-000000000002"
ENGINE = Engine()


@pytest.fixture(name="engine")
def _engine() -> Engine:
    return ENGINE


@pytest.fixture(name="site")
def _site(tmp_path: Path, engine: Engine) -> Site:
    return Site.of(tmp_path, engine, shards=1)


def test_what_is_handed_over_is_counted_and_the_next_batch_goes_on(site: Site) -> None:
    process = site.process()
    put(site, 45)
    site.drain(process)
    put(site, 5)
    site.drain(process)
    site.assert_whole()
    entries = reading.read_entries(site.fleet.inner, 0, 0, reading.read_head(site.fleet.inner, 0).n)
    assert [e.kind for e in entries] == ["take", "adopt", "data", "data", "data", "data"]
    assert reading.read_head(site.fleet.inner, 0).owner == OWNER


def test_a_batch_that_comes_again_whole_or_in_part_is_counted_once(site: Site) -> None:
    process = site.process()
    put(site, 30)
    event = site.mapping.next(SHARD)
    assert event is not None
    part = {"Records": event["Records"][:7]}
    for one in (part, event, event, part):
        assert site.call(process, one) == {"batchItemFailures": []}
    assert site.call(site.process(), event) == {"batchItemFailures": []}
    site.mapping.answered(SHARD, {})
    site.drain(process)
    site.assert_whole()


def test_records_that_lambda_gave_up_are_read_with_the_next_batch(site: Site) -> None:
    process = site.process()
    put(site, 60)
    site.deliver(process)
    assert site.mapping.next(SHARD) is not None
    site.mapping.skip(SHARD)
    site.drain(process)
    site.assert_whole()


def test_a_mapping_that_begins_late_leaves_nothing_out(site: Site) -> None:
    put(site, 50)
    assert site.mapping.next(SHARD) is not None
    site.mapping.skip(SHARD)
    site.drain(site.process())
    site.assert_whole()


def test_of_two_calls_for_one_shard_each_record_is_counted_by_one(site: Site) -> None:
    first, second = site.process(), site.process()
    put(site, 15)
    site.deliver(first)
    put(site, 15)
    event = site.mapping.next(SHARD)
    assert event is not None
    store, is_first = site.fleet.store.put, True

    def rival(*given: object) -> object:  # between the first one's objects and its commit
        nonlocal is_first
        refs = store(*given)  # type: ignore[arg-type]
        if is_first:
            is_first = False
            assert site.call(second, event) == {"batchItemFailures": []}
        return refs

    site.fleet.store.put = rival  # type: ignore[method-assign, assignment]
    assert site.call(first, event) == {"batchItemFailures": []}
    assert not is_first
    site.mapping.answered(SHARD, {})
    site.assert_whole()


def test_a_process_that_slept_through_the_work_of_another_finds_its_place(site: Site) -> None:
    sleeper, other = site.process(), site.process()
    for process in (sleeper, other, other, sleeper):
        put(site, 25)
        site.drain(process)
    site.assert_whole()


@pytest.mark.parametrize("fault", ["lost", "late", "busy", "gone"])
def test_whatever_becomes_of_a_commit_the_batch_is_counted_once(site: Site, fault: str) -> None:
    process = site.process()
    put(site, 10)
    site.deliver(process)
    put(site, 30)
    event = site.mapping.next(SHARD)
    assert event is not None
    site.fleet.journal.fault = fault  # type: ignore[assignment]
    try:
        answer = site.call(process, event)
    except (Conflict, OutcomeUnknown, Transient):
        answer = {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["kinesis"]["sequenceNumber"]}]}
    site.fleet.journal.fault = "none"
    site.mapping.answered(SHARD, answer)
    site.drain(site.process())
    land(site)
    site.drain(site.process())
    site.assert_whole()


def test_records_that_cross_are_counted_once_where_all_is_read(site: Site) -> None:
    first, second = site.process(takes=False), site.process(takes=False)
    put(site, 40)
    while (event := site.mapping.next(SHARD)) is not None:
        for process, one in zip((second, first), interleaved(event), strict=False):
            assert site.call(process, one) == {"batchItemFailures": []}
        site.mapping.answered(SHARD, {})
    site.assert_whole()


def test_a_child_waits_for_the_rest_of_its_parent_which_is_read(site: Site) -> None:
    process = site.process()
    put(site, 10)
    site.deliver(process)
    put(site, 10)
    assert site.mapping.next(SHARD) is not None
    site.mapping.skip(SHARD)  # the last of the parent
    site.fleet.split(0)
    for key in "abcdef":
        put(site, 4, key)
    site.drain(process)
    site.assert_whole()
    assert reading.read_shards(site.fleet.inner)[f"{STREAM}/{SHARD}"].place == "end"
    assert {*site.fleet.held()} <= {f"{STREAM}/{FIRST}", f"{STREAM}/{SECOND}"}


@pytest.mark.parametrize("before", [0, 3])
def test_part_of_what_a_closed_shard_has_left_is_not_its_end(site: Site, before: int) -> None:
    process = site.process()
    if before:
        put(site, before)
        site.deliver(process)
    put(site, 2)
    site.fleet.split(0)
    event = site.mapping.next(SHARD)
    assert event is not None
    assert site.call(process, {"Records": event["Records"][:1]}) == {"batchItemFailures": []}
    for key in "abcd":
        put(site, 2, key)
    site.drain(process)
    site.assert_whole()


def test_parents_that_never_had_a_record_end_before_their_child(tmp_path: Path, engine: Engine) -> None:
    site = Site.of(tmp_path, engine, shards=2)
    site.fleet.merge(0)
    for key in "abc":
        put(site, 4, key)
    site.drain(site.process())
    site.assert_whole()


def test_shards_have_lanes_of_their_own_as_long_as_there_are_lanes(tmp_path: Path, engine: Engine) -> None:
    site = Site.of(tmp_path, engine, shards=4, limits=Limits(lanes_max=3, retry_first_s=0.0, commit_retries_max=3))
    processes = [site.process() for _ in range(3)]
    for key in "abcdefghij":
        put(site, 3, key)
    for at, process in enumerate(processes * 3):
        site.drain(process)
        put(site, 3, "abcdefghij"[at])
    site.drain(processes[0])
    site.assert_whole()
    assert len(reading.read_heads(site.fleet.inner)) == 3
    assert sorted(site.fleet.held().values()) == [0, 0, 1, 2]


def test_what_time_does_not_allow_is_told_by_the_lowest_number_and_goes_on_later(
    tmp_path: Path, engine: Engine
) -> None:
    limits = Limits(retry_first_s=0.0, commit_retries_max=3, chunk_rows_max=8)
    site = Site.of(tmp_path, engine, shards=1, limits=limits)
    process = site.process()
    put(site, 60)
    site.deliver(process)
    site.mapping.next(SHARD)
    site.mapping.skip(SHARD)
    event = site.mapping.next(SHARD)  # what was skipped is to be read first
    assert event is not None
    numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
    answer = site.call(process, event, seconds=0.3)
    assert answer == {"batchItemFailures": [{"itemIdentifier": numbers[0]}]}
    site.mapping.answered(SHARD, answer)
    site.drain(process)
    site.assert_whole()


def test_a_record_that_is_tried_for_ever_fails_with_all_behind_it_and_what_is_before_is_counted(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(retry_first_s=0.0, commit_retries_max=3, maximum_retry_attempts=-1)
    site = Site.of(tmp_path, engine, shards=1, limits=limits)
    process = site.process()
    put(site, 20)
    event = site.mapping.next(SHARD)
    assert event is not None
    poison = site.fleet.log[12].click
    assert poison is not None
    from shardlake.testing import clicks as pack

    decode = pack.ClickLines.decode

    def failing(self: pack.ClickLines, block: bytes) -> object:
        if str(poison.click_id).encode() + b'"' in block:
            raise RuntimeError("no")
        return decode(self, block)

    with monkeypatch.context() as patched:
        patched.setattr(pack.ClickLines, "decode", failing)
        answer = site.call(process, event)
    numbers = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]
    assert answer == {"batchItemFailures": [{"itemIdentifier": numbers[12]}]}
    assert any(isinstance(told, Waiting) and told.is_blocked for told in site.told)
    site.mapping.answered(SHARD, answer)
    again = site.mapping.next(SHARD)
    assert again is not None
    assert again["Records"][0]["kinesis"]["sequenceNumber"] == numbers[12]
    site.mapping.answered(SHARD, site.call(process, again))
    site.drain(process)
    site.assert_whole()


def test_a_record_that_the_shard_does_not_have_is_refused(site: Site) -> None:
    process = site.process()
    put(site, 10)
    site.deliver(process)
    put(site, 5)
    event = site.mapping.next(SHARD)
    assert event is not None
    record = event["Records"][0]
    number = str(int(record["kinesis"]["sequenceNumber"]) - 1)
    record["kinesis"]["sequenceNumber"], record["eventID"] = number, f"{SHARD}:{number}"
    with pytest.raises(Corrupt, match="does not have all of them"):
        site.call(process, event)
    site.drain(process)
    site.assert_whole()


def test_a_record_that_is_missing_beside_the_first_is_seen(site: Site) -> None:
    process = site.process()
    put(site, 5)
    event = site.mapping.next(SHARD)
    assert event is not None
    del event["Records"][1]
    assert site.call(process, event) == {"batchItemFailures": []}
    site.mapping.answered(SHARD, {})
    site.assert_whole()


def test_a_record_behind_the_end_of_its_shard_is_refused(site: Site) -> None:
    process = site.process()
    put(site, 2)
    site.fleet.split(0)
    event = site.mapping.next(SHARD)
    assert event is not None
    forged = json.loads(json.dumps(event["Records"][1]))
    number = str(int(forged["kinesis"]["sequenceNumber"]) + 1)
    forged["kinesis"]["sequenceNumber"], forged["eventID"] = number, f"{SHARD}:{number}"
    with pytest.raises(Corrupt, match="does not have all of them"):
        site.call(process, {"Records": [*event["Records"], forged]})
    assert site.call(process, event) == {"batchItemFailures": []}


@pytest.mark.parametrize("on_gap", ["fail", "continue"])
def test_what_was_trimmed_before_it_was_handed_over_is_a_gap(tmp_path: Path, engine: Engine, on_gap: str) -> None:
    site = Site.of(tmp_path, engine, shards=1, on_gap=on_gap)
    process = site.process()
    put(site, 5)
    site.deliver(process)
    put(site, 5)
    site.fleet.clock.advance(90_000)  # a day and an hour
    put(site, 5)
    if on_gap == "fail":
        with pytest.raises(SourceGap):
            site.drain(process)
        return
    site.drain(process)
    made = site.fleet.plan()
    assert len(made.views["pages"].positions.gaps) == 1
    assert sum(row["hits"] for row in site.fleet.answers(made)["pages"]) == 10


def test_a_shard_that_is_looked_at_may_be_idle_for_days(site: Site) -> None:
    process = site.process()
    put(site, 5)
    site.deliver(process)
    for _ in range(50):
        site.fleet.clock.advance(3_600)
        assert process.look(site.fleet.clock.monotonic_s() + 60)
    put(site, 5)
    site.deliver(process)
    site.assert_whole()
    assert not site.fleet.plan().views["pages"].positions.gaps


def test_a_look_reads_what_no_batch_brought_and_ends_shards_parents_first(tmp_path: Path, engine: Engine) -> None:
    site = Site.of(tmp_path, engine, shards=2)
    for key in "abc":
        put(site, 9, key)
    site.fleet.split(0)
    for key in "abc":
        put(site, 9, key)
    site.fleet.merge(0)
    for key in "abc":
        put(site, 9, key)
    process, other = site.process(), site.process()
    assert not process.look(site.fleet.clock.monotonic_s())
    assert process.look(site.fleet.clock.monotonic_s() + 60)
    assert other.look(site.fleet.clock.monotonic_s() + 60)
    site.assert_whole()
    site.drain(process)
    site.assert_whole()
    ended = [row.shard for row in reading.read_shards(site.fleet.inner).values() if row.place == "end"]
    assert len(ended) == 3


def test_aggregates_and_records_of_several_lines_are_handed_over_too(site: Site) -> None:
    process = site.process()
    site.fleet.put("k", clicks(30), together=7)
    site.fleet.clock.advance(1)
    event = site.mapping.next(SHARD)
    assert event is not None
    assert site.call(process, {"Records": event["Records"][:2]}) == {"batchItemFailures": []}
    assert site.call(process, event) == {"batchItemFailures": []}
    site.assert_whole()


def test_a_check_that_fails_in_passing_is_made_again(site: Site) -> None:
    process = site.process()
    put(site, 10)
    site.deliver(process)
    put(site, 10)
    event = site.mapping.next(SHARD)
    assert event is not None
    for code, status in (("ProvisionedThroughputExceededException", 400), ("ExpiredIteratorException", 400), ("", 500)):
        site.fleet.kinesis.inject(Fault(code or "InternalFailure", "no", status), "GetRecords", times=1)
    assert site.call(process, event) == {"batchItemFailures": []}
    site.mapping.answered(SHARD, {})
    site.assert_whole()
