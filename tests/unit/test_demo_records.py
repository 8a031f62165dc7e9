"""The records of the demo's producer, and the thread that puts them."""

from collections import Counter
from collections.abc import Sequence
from hashlib import md5

import numpy as np
import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.wire import Put, PutResults
from shardlake.app.demo import production
from shardlake.app.demo.ledger import Ledger
from shardlake.app.demo.lines import Agents, Layout
from shardlake.app.demo.production import Production
from shardlake.app.demo.records import Records, make_records
from shardlake.app.demo.world import FIELDS_33
from shardlake.core.errors import Terminal, Transient

REQUESTS = 12_000


@pytest.fixture(scope="module")
def records() -> Records:
    return make_records(REQUESTS, 3)


@pytest.fixture(scope="module")
def made(records: Records) -> list[tuple[bytes, str]]:
    return list(records)


class Service:
    """Takes whatever is put; `limit` requests."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.put: list[Put] = []
        self.limit = limit

    def put_records(self, stream: str, entries: Sequence[Put]) -> PutResults:
        assert stream == "logs"
        self.limit -= 1
        if self.limit < 0:
            raise Terminal("no more")
        first = len(self.put) + 1
        self.put += entries
        numbers = [str(first + place) for place in range(len(entries))]
        return PutResults(["shardId-0"] * len(entries), numbers, [""] * len(entries), 0)


def test_equal_arguments_make_equal_records(made: list[tuple[bytes, str]]) -> None:
    assert list(make_records(REQUESTS, 3)) == made
    assert list(make_records(REQUESTS, 4)) != made


def test_there_are_as_many_of_each_kind_as_is_told(records: Records, made: list[tuple[bytes, str]]) -> None:
    layout, agents = Layout(f"#Fields: {FIELDS_33}".encode(), None), Agents(lambda _: (False, None, None))
    events = [layout.event(0, data, agents) for data, _ in made]
    ids = Counter(event[1] for event in events if event is not None)
    nameless = ids.pop(None)
    assert len(made) == len(records) == records.requests + records.copies + records.broken
    assert events.count(None) == records.broken > 0
    assert len(ids) + nameless == records.requests == REQUESTS
    assert sum(ids.values()) - len(ids) == records.copies > REQUESTS // 100
    assert nameless > 1


def test_a_copy_has_the_bytes_and_the_key_of_its_record(made: list[tuple[bytes, str]]) -> None:
    keys: dict[bytes, set[str]] = {}
    for data, key in made:
        keys.setdefault(data, set()).add(key)
        assert b"\n" not in data
    assert all(len(found) == 1 for found in keys.values())
    assert len(keys) < len(made)


def test_some_copies_come_long_after_their_record(made: list[tuple[bytes, str]]) -> None:
    first: dict[bytes, int] = {}
    far = [place - first[data] for place, (data, _) in enumerate(made) if first.setdefault(data, place) != place]
    assert min(far) < len(made) // 100
    assert max(far) > len(made) // 2


def test_some_records_come_late(records: Records) -> None:
    seconds = records.traffic.columns["second"][records.rows][records.kinds == 0]
    behind = np.maximum.accumulate(seconds) - seconds
    assert records.late == REQUESTS // 50
    assert (behind > 1800).sum() > records.late // 2


def test_keys_spread_over_the_shards(made: list[tuple[bytes, str]]) -> None:
    shards = Counter(md5(key.encode(), usedforsecurity=False).digest()[0] >> 6 for _, key in made)
    assert set(shards) == {0, 1, 2, 3}
    assert min(shards.values()) > len(made) // 8


def test_few_requests_make_records_too() -> None:
    for requests in (1, 7):
        records = make_records(requests, 3)
        assert len(list(records)) == len(records) > requests


def finished(producing: Production) -> None:
    while not producing.is_done:
        SystemClock().sleep_s(0.01)


def test_the_producer_puts_everything_and_keeps_a_log(
    records: Records, made: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(production, "SECONDS_MIN", 0.0)
    monkeypatch.setattr(production, "RECORDS_PER_S", 1_000_000)
    service, ledger = Service(), Ledger()
    producing = Production(service, "logs", records, ledger, SystemClock())
    assert producing.part == 0
    producing.start()
    finished(producing)
    producing.close()
    assert producing.part == 1
    assert [(put.data, put.key) for put in service.put] == made
    log = ledger.take()
    assert [data for found in log for data in found.data] == [data for data, _ in made]
    assert [number for found in log for number in found.sequences] == [str(n + 1) for n in range(len(made))]
    assert ledger.take() == []


def test_what_the_producer_dies_of_is_told(records: Records) -> None:
    producing = Production(Service(limit=1), "logs", records, Ledger(), SystemClock())
    producing.start()
    with pytest.raises(Terminal, match="no more"):
        finished(producing)
    producing.close()


def test_a_producer_whose_service_is_gone_can_be_stopped_at_once(records: Records) -> None:
    class Gone:
        def put_records(self, stream: str, entries: Sequence[Put]) -> PutResults:
            raise Transient(f"{len(entries)} records did not arrive in {stream}")

    clock = SystemClock()
    producing = Production(Gone(), "logs", records, Ledger(), clock)
    producing.start()
    clock.sleep_s(0.05)
    asked_s = clock.monotonic_s()
    producing.close()
    assert clock.monotonic_s() - asked_s < 0.5
