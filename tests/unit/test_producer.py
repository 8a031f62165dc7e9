"""The producer: everything is acknowledged or kept, in order as far as one request allows, and its log is true."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.adapters.kinesis.aggregates import expand
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.adapters.kinesis.port import Throttled
from shardlake.adapters.kinesis.wire import Page, Put, PutResults, put_size
from shardlake.core.errors import ConfigError, ShardlakeError, Transient
from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault
from streams.producer import Acknowledged, NotAcknowledged, Producer, ProducerSettings, RecordRefused

LOST = Fault(code=None, applied=True, dropped=True)
NEVER_SENT = Fault(dropped=True)
BROKEN = Fault()
THROTTLED = Fault("ProvisionedThroughputExceededException", "Rate exceeded", status=400)


CODES = {".": "", "!": "ProvisionedThroughputExceededException", "?": "InternalFailure"}


class World:
    """An embedded stream of four shards, and a producer's log of it."""

    def __init__(self, behaviour: Behaviour | None = None, shards: int = 4) -> None:
        self.clock = ManualClock()
        self.kinesis = EmbeddedKinesis(self.clock, random.Random(1), behaviour or Behaviour.unlimited())
        self.api = CallApi(self._call)
        self.api.create_stream("logs", shards)
        self.log: list[Acknowledged] = []

    def _call(self, action: str, body: bytes) -> tuple[int, bytes]:
        response = self.kinesis.call(action, body)
        return response.status, response.body

    def producer(self, *, aggregate: bool = False, **settings: float) -> Producer:
        return Producer(
            self.api,
            "logs",
            clock=self.clock,
            chance=random.Random(2),
            settings=ProducerSettings(**settings),  # type: ignore[arg-type]
            aggregate=aggregate,
            acknowledged=self.log.append,
        )

    def shards(self) -> dict[str, list[tuple[str, bytes]]]:
        """Read every shard: sequence numbers and Kinesis records."""
        self.kinesis.clear_faults()
        self.kinesis.behaviour = Behaviour.unlimited()
        found: dict[str, list[tuple[str, bytes]]] = {}
        for shard in self.api.list_shards("logs"):
            iterator: str | None = self.api.iterator("logs", shard.shard_id, "TRIM_HORIZON")
            rows = found.setdefault(shard.shard_id, [])
            while iterator:
                page: Page = self.api.get_records(iterator)
                rows += zip(page.sequences, page.data, strict=True)
                iterator = page.next_iterator if page.behind_ms or len(page) else None
        return found

    def users(self) -> dict[str, list[bytes]]:
        """Read every shard: the records that were given to the producer."""
        found = {}
        for shard, rows in self.shards().items():
            data = [record for _, record in rows]
            expanded = expand(data)
            found[shard] = data if expanded is None else expanded.data
        return found

    def all_users(self) -> Counter[bytes]:
        return Counter(data for users in self.users().values() for data in users)


class Scripted:
    """Answers each request as told, then takes everything; keeps the requests."""

    def __init__(self, *answers: str | ShardlakeError) -> None:
        self.answers = list(answers)
        self.requests: list[list[bytes]] = []

    def put_records(self, stream: str, entries: Sequence[Put]) -> PutResults:
        assert stream == "logs"
        self.requests.append([put.data for put in entries])
        answer = self.answers.pop(0) if self.answers else "." * len(entries)
        if isinstance(answer, ShardlakeError):
            raise answer
        codes = [CODES[mark] for mark in answer]
        numbers = [str(len(self.requests) * 1000 + place) for place in range(len(entries))]
        return PutResults(["s"] * len(entries), numbers, codes, sum(map(bool, codes)))


def scripted(*answers: str | ShardlakeError, attempts_max: int = 10) -> tuple[Scripted, Producer, ManualClock]:
    api, clock = Scripted(*answers), ManualClock()
    settings = ProducerSettings(records_max=4, attempts_max=attempts_max)
    return api, Producer(api, "logs", clock=clock, chance=random.Random(3), settings=settings), clock


# ---------------------------------------------------------------------------------------------------- batching


def test_a_full_request_is_sent_at_once_and_the_rest_with_a_flush() -> None:
    api, producer, _ = scripted()
    with producer:
        for number in range(9):
            producer.put(b"%d" % number)
        assert [len(request) for request in api.requests] == [4, 4]
    assert [data for request in api.requests for data in request] == [b"%d" % n for n in range(9)]
    assert producer.unsent == ()
    assert (producer.produced.records, producer.produced.bytes, producer.produced.requests) == (9, 9, 3)


def test_a_request_stays_below_its_bytes() -> None:
    api = Scripted()
    settings = ProducerSettings(bytes_max=1000)
    with Producer(api, "logs", clock=ManualClock(), chance=random.Random(3), settings=settings) as producer:
        for size in (400, 400, 400, 990, 10, 10):
            producer.put(b"x" * size, "k")
    assert [[len(data) for data in request] for request in api.requests] == [[400, 400], [400], [990], [10, 10]]


def test_a_record_waits_for_others_only_so_long() -> None:
    api, producer, clock = scripted()
    producer.put(b"a")
    clock.advance(0.2)
    producer.put(b"b")
    assert api.requests == []
    clock.advance(0.1)
    producer.put(b"c")
    assert api.requests == [[b"a", b"b", b"c"]]
    clock.advance(10)
    producer.put(b"d")
    assert len(api.requests) == 1


def test_a_record_without_a_key_gets_one_of_its_bytes() -> None:
    world = World()
    with world.producer() as producer:
        for number in range(200):
            producer.put(b"%d" % (number % 100))
    users = world.users()
    assert all(count == 2 for shard in users.values() for count in Counter(shard).values())
    assert min(map(len, users.values())) > 20


@pytest.mark.parametrize(("size", "key"), [(1 << 20, "k"), (1, ""), (1, "k" * 257)])
def test_what_the_service_would_refuse_is_refused_before(size: int, key: str) -> None:
    api, producer, _ = scripted()
    with pytest.raises(RecordRefused) as caught:
        producer.put(b"\xf1" * size, key)
    assert "\xf1" not in str(caught.value)
    producer.flush()
    assert api.requests == []


# ----------------------------------------------------------------------------------------------------- retries


def test_only_what_failed_is_sent_again_and_before_anything_newer() -> None:
    api, producer, clock = scripted("!.!.", "!.")
    start = clock.monotonic_s()
    with producer:
        for name in (b"a", b"b", b"c", b"d", b"e"):
            producer.put(name)
    assert api.requests == [[b"a", b"b", b"c", b"d"], [b"a", b"c"], [b"a"], [b"e"]]
    assert (producer.produced.again, producer.produced.doubtful) == (3, 0)
    assert 0.1 <= clock.monotonic_s() - start <= 0.2


def test_a_record_that_failed_for_no_clear_reason_is_in_doubt() -> None:
    _, producer, _ = scripted("?!..", "?.")
    with producer:
        for name in (b"a", b"b", b"c", b"d"):
            producer.put(name)
    assert (producer.produced.records, producer.produced.again, producer.produced.doubtful) == (4, 3, 1)


def test_pauses_grow_and_are_bounded_and_uneven() -> None:
    pauses: list[float] = []

    class Noting(ManualClock):
        def sleep_s(self, seconds: float) -> None:
            pauses.append(seconds)

    with Producer(Scripted(*[Throttled("slowly")] * 9), "logs", clock=Noting(), chance=random.Random(3)) as producer:
        producer.put(b"a")
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0), strict=True):
        assert longest / 2 <= pause <= longest
    assert len(set(pauses[-3:])) == 3


def test_tries_without_any_success_are_bounded_and_nothing_is_forgotten() -> None:
    api, producer, _ = scripted("....", *["!!!!"] * 3, attempts_max=3)
    for number in range(7):
        producer.put(b"%d" % number)
    with pytest.raises(NotAcknowledged, match="4 records for stream logs were not acknowledged after 3 tries") as error:
        producer.put(b"7")
    assert (error.value.count, error.value.tries) == (4, 3)
    assert [put.data for put in producer.unsent] == [b"4", b"5", b"6", b"7"]
    producer.flush()
    assert api.requests[-1] == [b"4", b"5", b"6", b"7"]
    assert producer.unsent == ()


def test_progress_starts_the_count_of_tries_anew() -> None:
    _, producer, _ = scripted("!!!!", "!!!.", "!!!", "!!.", "!!", "!.", "!", attempts_max=2)
    for number in range(4):
        producer.put(b"%d" % number)
    assert producer.unsent == ()


def test_an_error_that_stays_is_told_at_once_and_the_records_are_kept() -> None:
    api, producer, _ = scripted(ConfigError("there is no stream"))
    producer.put(b"a")
    with pytest.raises(ConfigError):
        producer.flush()
    assert len(api.requests) == 1
    assert [put.data for put in producer.unsent] == [b"a"]


def test_leaving_after_a_failure_sends_nothing() -> None:
    api, producer, _ = scripted()

    def fail() -> None:
        with producer:
            producer.put(b"a")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert api.requests == []
    assert len(producer.unsent) == 1


# ----------------------------------------------------------------------------------------------- lost responses


def test_a_lost_response_is_retried_and_the_copies_are_in_doubt() -> None:
    world = World()
    world.kinesis.inject(LOST, "PutRecords")
    with world.producer() as producer:
        producer.put(b"a")
    assert world.all_users() == Counter({b"a": 2})
    assert (producer.produced.records, producer.produced.doubtful) == (1, 1)
    assert [acknowledged.doubtful for acknowledged in world.log] == [[True]]


def test_a_request_that_was_throttled_as_a_whole_is_in_no_doubt() -> None:
    world = World()
    world.kinesis.inject(THROTTLED, "PutRecords")
    with world.producer() as producer:
        producer.put(b"a")
    assert world.all_users() == Counter({b"a": 1})
    assert (producer.produced.again, producer.produced.doubtful) == (1, 0)


@given(
    sizes=st.lists(st.integers(1, 300), max_size=80),
    faults=st.lists(st.sampled_from([LOST, NEVER_SENT, BROKEN, THROTTLED]), max_size=5),
    failing=st.sampled_from([0.0, 0.3]),
    aggregate=st.booleans(),
    splits=st.booleans(),
)
def test_everything_is_there_and_the_log_tells_where(
    sizes: list[int], faults: list[Fault], failing: float, aggregate: bool, splits: bool
) -> None:
    world = World(Behaviour.unlimited().changed(failing_records=failing))
    for fault in faults:
        world.kinesis.inject(fault, "PutRecords")
    given_data = [b"%d:%s" % (number, b"x" * size) for number, size in enumerate(sizes)]
    with world.producer(aggregate=aggregate, records_max=7, bytes_max=2000, aggregate_bytes=700, groups=8) as producer:
        for number, data in enumerate(given_data):
            producer.put(data, f"key-{number % 5}")
            if splits and number == len(sizes) // 2:
                world.api.split("logs", "shardId-000000000000", 2**125)
    found = world.all_users()
    assert set(found) == set(given_data)
    assert producer.produced.records == len(given_data)
    if found.total() > len(given_data):
        assert producer.produced.doubtful
    _check_log(world, given_data)


def _check_log(world: World, given_data: list[bytes]) -> None:
    """Each record is acknowledged once, and lies where the log says; what lies elsewhere too is in doubt."""
    stored = {(shard, number): record for shard, rows in world.shards().items() for number, record in rows}
    logged: list[bytes] = []
    doubtful: set[bytes] = set()
    for part in world.log:
        for data, record, sub in zip(part.data, part.record, part.sub, strict=True):
            kinesis_record = stored[part.shards[record], part.sequences[record]]
            expanded = expand([kinesis_record])
            assert (expanded.data[sub] if expanded else kinesis_record) == data
            logged.append(data)
            if part.doubtful[record]:
                doubtful.add(data)
    assert sorted(logged) == sorted(given_data)
    assert {data for data, count in world.all_users().items() if count > 1} <= doubtful


# --------------------------------------------------------------------------------------------------------- order


def test_without_failures_records_of_one_key_keep_their_order() -> None:
    for aggregate in (False, True):
        world = World()
        with world.producer(aggregate=aggregate, records_max=10, aggregate_bytes=400) as producer:
            for number in range(300):
                producer.put(b"%04d" % number, f"key-{number % 7}")
        where: dict[int, set[str]] = {}
        for shard, users in world.users().items():
            for key in range(7):
                of_key = [data for data in users if int(data) % 7 == key]
                assert of_key == sorted(of_key)
                if of_key:
                    where.setdefault(key, set()).add(shard)
        assert all(len(shards) == 1 for shards in where.values())


# ---------------------------------------------------------------------------------------------------- aggregates


def test_aggregates_are_fewer_and_bounded_and_lie_in_their_shards_range_after_a_split() -> None:
    world = World(shards=2)
    with world.producer(aggregate=True, aggregate_bytes=2000, records_max=20) as producer:
        for number in range(3000):
            if number == 1500:
                world.api.split("logs", "shardId-000000000001", 2**127 + 2**125 + 2**120)
            producer.put(b"%08d" % number)
    ranges = {shard.shard_id: (shard.start_hash, shard.end_hash) for shard in world.api.list_shards("logs")}
    rows = world.shards()
    assert sum(map(len, rows.values())) < 300
    assert set(rows) == set(ranges)
    for shard, records in rows.items():
        assert max(put_size(Put(record, "")) for _, record in records) <= 2000
        expanded = expand([record for _, record in records])
        assert expanded is not None
        assert not expanded.outside(*ranges[shard]).any()
    assert world.all_users() == Counter(b"%08d" % number for number in range(3000))


def test_a_record_alone_needs_no_aggregate_and_a_large_one_goes_in_its_turn() -> None:
    world = World(shards=1)
    with world.producer(aggregate=True, aggregate_bytes=500) as producer:
        for data in (b"a", b"b" * 900, b"c", b"d"):
            producer.put(data, "k")
    (records,) = world.shards().values()
    assert [record for _, record in records][:2] == [b"a", b"b" * 900]
    assert len(records) == 3
    assert world.users()["shardId-000000000000"] == [b"a", b"b" * 900, b"c", b"d"]


def test_what_waits_in_groups_is_unsent_until_a_flush() -> None:
    world = World()
    producer = world.producer(aggregate=True)
    producer.put(b"a", "k")
    producer.put(b"b", "l")
    assert sorted((put.data, put.key) for put in producer.unsent) == [(b"a", "k"), (b"b", "l")]
    producer.flush()
    assert producer.unsent == ()


# -------------------------------------------------------------------------------------------------------- silence


def test_nothing_that_is_shown_holds_a_record() -> None:
    _, producer, _ = scripted(*[Transient("no answer")] * 10)
    producer.put(b"payload", "my-key")
    with pytest.raises(NotAcknowledged) as caught:
        producer.flush()
    acknowledged = Acknowledged(["s"], ["1"], [False], [b"payload"], [0], [0])
    shown = f"{caught.value} {producer.unsent} {producer!r} {acknowledged!r}"
    assert "payload" not in shown
    assert "my-key" not in shown
