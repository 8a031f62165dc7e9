"""Both engines against the same stream, over HTTP: what the one reads the other must read, once.

Workers, loops and time are simulated as in the law of the cut; the service is served, and the processes are real.
"""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.engine import Engine
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Transient
from shardlake.core.journal.objects import HeldShard
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN, Position, ShardId
from shardlake.testing.fleet import STREAM, Fleet, Inline, Member, is_covered, shard_id
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, serve
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.world import SCHEMA
from streams.sources.kinesis.process_source import ProcessSource
from streams.sources.kinesis.shard_processes import ShardProcesses
from streams.sources.kinesis.source import KinesisSettings, KinesisSource

ENGINES: Final = ("shardlake", "kinesis-python")
VIEW: Final = "pages"
DUCK: Final = Engine()
COMPILED: Final = {VIEW: compile_view(VIEW, VIEWS[VIEW].sql, SCHEMA)}
OPEN: Final = Behaviour.unlimited()
FAULTS: Final = {
    "error of the service": Fault(),
    "lost answer": Fault(dropped=True),
    "answer lost after work": Fault(applied=True, dropped=True),
    "expired iterator": Fault("ExpiredIteratorException", "expired", 400),
    "throttle": Fault("ProvisionedThroughputExceededException", "slow down", 400),
    "throttle of a key": Fault("KMSThrottlingException", "slow down", 400),
}


class Served(Fleet):
    """A fleet whose members reach the stream over HTTP, by one engine or the other."""

    def __init__(self, folder: Path, engine: str, **settings: Any) -> None:
        super().__init__(folder, DUCK, COMPILED, **{"behaviour": OPEN, **settings})
        self.reading_by, self.numbers = engine, count()
        self.server = serve(self.kinesis)
        self.aws = AwsSettings(endpoint=self.server.url)
        self.client = KinesisClient(self.aws)
        self.processes: list[ShardProcesses] = []

    def spawn(self) -> Member:
        """Start a worker that reads by the engine of the moment."""
        member = super().spawn()
        settings = KinesisSettings(STREAM, STREAM, self.on_gap, self.pinned_us)
        rest = (Inline(), self.clock, self.limits, self.told.stopped)
        if self.reading_by == "kinesis-python":
            processes = ShardProcesses(self.client, self.aws)
            self.processes.append(processes)
            member.source = ProcessSource(settings, processes, *rest, processes)
        else:
            member.source = KinesisSource(settings, self.client, *rest)
        member.worker.listing = member.source.list
        return member

    def kill(self, member: Member, *, zombie: bool = False) -> None:
        """Let a worker be gone, and its readers with it."""
        super().kill(member, zombie=zombie)
        if not zombie:
            _close(member)

    def stop(self, member: Member) -> None:
        """Stop a worker in order."""
        super().stop(member)
        _close(member)

    def work(self, rounds: int = 1) -> None:
        """Let every worker do some rounds."""
        for _ in range(rounds):
            for member in tuple(self.members):
                self.step(member)
            self.clock.advance(0.3)

    def put_some(self, number: int, together: int = 1) -> None:
        """Put events that no event before was equal to, over all shards."""
        for _ in range(number):
            n = next(self.numbers)
            click = Click(n % 13, None, f"/{n % 3}", n, None, str(n))
            self.put(str(n % 11), [click] * together, together=together)

    def check(self) -> None:
        """Read everything; the answer must be the producer's log."""
        self.kinesis.clear_faults()
        self.catch_up()
        made = self.plan()
        covered = self.covered(made.views[VIEW].positions.upto)
        assert len(covered) == len({record.click for record in self.log})
        assert not (told := differences(VIEWS[VIEW], covered, self.answers(made)[VIEW])), told
        assert not self.told.gaps

    def close(self) -> None:
        """End everything."""
        for processes in self.processes:
            processes.close()
        self.client.close()
        self.server.close()


def _close(member: Member) -> None:
    if isinstance(member.source, ProcessSource):
        member.source._processes.close()


@pytest.fixture(autouse=True)
def _bare_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readers start without what the tests' own program imports: each of them would load pytest."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))


Opener = Callable[..., Served]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Give what makes a fleet that is ended with the test."""
    fleets: list[Served] = []

    def make(engine: str, **settings: Any) -> Served:
        fleets.append(Served(tmp_path / str(len(fleets)), engine, **settings))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.close()


both = pytest.mark.parametrize("engine", ENGINES)


@both
def test_a_closed_shard_ends_with_its_last_records_and_its_children(engine: str, opened: Opener) -> None:
    fleet = opened(engine, shards=1)
    fleet.put_some(20)
    fleet.split(0)  # the shard's only page holds records, no next iterator, and the children
    fleet.put_some(20)
    fleet.spawn()
    fleet.check()
    assert sum(shard.end_sequence is None for shard in fleet.api.list_shards(STREAM)) == 2
    assert len(fleet.held()) == 2


@both
@pytest.mark.parametrize("apart", [0.0, 1.0], ids=["end_with_records", "end_apart"])
def test_shards_that_split_and_merge_while_they_are_read_are_followed(
    engine: str, apart: float, opened: Opener
) -> None:
    fleet = opened(engine, behaviour=replace(OPEN, page_records_max=3, end_apart=apart, empty_pages=0.2))
    fleet.spawn()
    for change in (fleet.split, fleet.merge, fleet.split, fleet.merge):
        fleet.put_some(25)
        fleet.work(2)
        change(1)
    fleet.put_some(25)
    fleet.check()
    assert len(fleet.api.list_shards(STREAM)) == 2 + 2 + 1 + 2 + 1


@both
def test_an_iterator_that_expired_unread_loses_nothing(engine: str, opened: Opener) -> None:
    fleet = opened(engine)
    fleet.spawn()
    fleet.work(3)  # iterators of empty shards
    fleet.clock.advance(301)
    fleet.put_some(30)
    fleet.check()
    assert fleet.told.entries


@both
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_what_passes_is_asked_again(engine: str, name: str, opened: Opener) -> None:
    fleet = opened(engine)
    fleet.spawn()
    fleet.put_some(10)
    fleet.work()
    fleet.kinesis.inject(FAULTS[name], "GetRecords", 3)
    fleet.put_some(30)
    fleet.work(6)
    fleet.check()
    assert len(fleet.members) == 1


@both
def test_the_limits_of_a_shard_are_kept(engine: str, opened: Opener) -> None:
    asked: Counter[float] = Counter()
    fleet = opened(engine, shards=1)

    def note(action: str, _: bytes) -> None:
        asked[fleet.clock.monotonic_s() // 1] += action == "GetRecords"

    fleet.kinesis.behaviour = Behaviour(fault=note)  # a throttle would be noticed as a pause
    fleet.spawn()
    for _ in range(40):
        fleet.put_some(3)
        fleet.work()
    fleet.check()
    assert 1 < max(asked.values()) <= 5


@both
def test_a_worker_that_is_killed_leaves_off_where_it_had_committed(engine: str, opened: Opener) -> None:
    fleet = opened(engine, behaviour=replace(OPEN, page_records_max=4))
    fleet.put_some(40, together=2)
    for _ in range(4):
        member = fleet.spawn()
        fleet.work(4)
        fleet.kill(member)
        fleet.clock.advance(11)
        fleet.put_some(10)
    fleet.spawn()
    fleet.check()


@both
def test_shards_are_handed_over_and_their_readers_end(engine: str, opened: Opener) -> None:
    fleet = opened(engine, shards=4)
    first = fleet.spawn()
    fleet.put_some(40)
    fleet.work(4)
    second = fleet.spawn()
    fleet.put_some(40)
    for _ in range(40):
        fleet.work()
    assert sorted(Counter(fleet.held().values()).values()) == [2, 2]
    for member in (first, second):
        if isinstance(member.source, ProcessSource):
            assert {shard_id(name) for name in member.source._processes.pids()} == set(member.source.shards())
    fleet.stop(first)
    fleet.put_some(40)
    fleet.check()
    assert set(fleet.held().values()) == {second.worker.home}


@pytest.mark.parametrize("engines", [ENGINES, ENGINES[::-1]], ids=[f"{a}_to_{b}" for a, b in (ENGINES, ENGINES[::-1])])
def test_the_engine_may_be_changed_at_any_time(engines: tuple[str, str], opened: Opener) -> None:
    fleet = opened(engines[0], behaviour=replace(OPEN, page_records_max=4))
    fleet.spawn()
    fleet.put_some(30, together=2)
    fleet.split(0)
    fleet.work(3)
    fleet.stop(fleet.members[0])
    fleet.reading_by = engines[1]
    fleet.spawn()
    fleet.put_some(30)
    fleet.check()


@both
@pytest.mark.parametrize("on_gap", ["fail", "dlq"])
def test_what_was_trimmed_unread_is_a_gap(engine: str, on_gap: Any, opened: Opener) -> None:
    fleet = opened(engine, shards=1, on_gap=on_gap)
    fleet.spawn()
    fleet.put_some(5)
    fleet.work(6)
    fleet.put_some(5)
    fleet.clock.advance(25 * 3600)
    fleet.put_some(5)
    fleet.work(8)
    assert len(fleet.told.gaps) == (on_gap == "fail")
    [upto] = [view.positions.upto for view in fleet.plan().views.values()]
    covered = [is_covered(upto[record.shard], record.number) for record in fleet.log]
    assert covered == [True] * 5 + [on_gap == "dlq"] * 10
    [answer] = fleet.answers(fleet.plan()).values()
    assert sum(row["clicks"] for row in answer) == (5 if on_gap == "fail" else 10)


@both
@pytest.mark.parametrize("seed", [1, 2])
def test_everything_is_counted_once_whatever_happens(engine: str, seed: int, opened: Opener) -> None:
    rng = random.Random(seed)
    behaviour = replace(OPEN, page_records_max=5, empty_pages=0.2, end_apart=0.3)
    fleet = opened(engine, seed=seed, behaviour=behaviour)
    happenings: list[Callable[[], object]] = [
        lambda: fleet.put_some(8, together=rng.choice([1, 2])),
        lambda: fleet.put_some(8),
        lambda: fleet.work(3),
        lambda: fleet.work(3),
        lambda: fleet.split(rng.randrange(9)) if len(fleet.open_shards()) < 4 else fleet.merge(rng.randrange(9)),
        lambda: fleet.spawn() if len(fleet.members) < 3 else fleet.kill(rng.choice(fleet.members)),
        lambda: fleet.stop(rng.choice(fleet.members)) if fleet.members else fleet.spawn(),
        lambda: fleet.kill(rng.choice(fleet.members), zombie=True) if fleet.members else fleet.spawn(),
        lambda: [fleet.step(zombie) for zombie in tuple(fleet.zombies)],
        lambda: fleet.clock.advance(rng.choice([11, 301])),
        lambda: fleet.kinesis.inject(FAULTS[rng.choice(sorted(FAULTS))], "GetRecords", rng.randint(1, 3)),
    ]
    fleet.spawn()
    for _ in range(50):
        rng.choice(happenings)()
    fleet.check()


@both
def test_threads_read_ahead_in_real_time(engine: str) -> None:
    kinesis = EmbeddedKinesis(SystemClock(), random.Random(0), replace(OPEN, page_records_max=50))
    limits = Limits(shard_reads_per_s=1e6, shard_bytes_per_s=1 << 40, poll_interval_s=0.01)
    with serve(kinesis) as server, ThreadPoolExecutor(limits.fetch_threads_max) as executor:
        aws = AwsSettings(endpoint=server.url)
        client = KinesisClient(aws)
        client.create_stream(STREAM, 6)
        wanted = [b"%06d" % n for n in range(1500)]
        for at in range(0, len(wanted), 500):
            client.put_records(STREAM, [Put(line, line.decode()) for line in wanted[at : at + 500]])
        processes = ShardProcesses(client, aws)
        settings, rest = KinesisSettings(STREAM, STREAM), (executor, SystemClock(), limits, _never)
        source = (
            ProcessSource(settings, processes, *rest, processes)
            if engine == "kinesis-python"
            else KinesisSource(settings, client, *rest)
        )
        source.hold({shard: HeldShard("-") for shard in source.list()})
        try:
            assert sorted(_lines(source, len(wanted))) == wanted
        finally:
            processes.close()
            client.close()


def _lines(source: KinesisSource, number: int) -> list[bytes]:
    found: list[bytes] = []
    at: dict[ShardId, Position] = {}
    until = time.monotonic() + 20
    while len(found) < number and time.monotonic() < until:
        source.discover(0)
        source.wait(0.1)
        for shard in source.shards():
            for records in source.read(shard, at.get(shard, ORIGIN)):
                at[shard] = records.upto
                found += records.data.split(b"\n")
    return found


def _never(gap: Exception) -> None:
    raise Transient(f"a gap where nothing was trimmed: {gap}")
