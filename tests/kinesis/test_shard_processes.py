"""The processes of the engine kinesis-python: what they read, how they live, and how they end."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import ModuleType
from typing import Final
from unittest.mock import patch

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.port import IteratorExpired, Throttled
from shardlake.adapters.kinesis.wire import Page, Put
from shardlake.core.errors import ConfigError, Terminal, Transient
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, Server, serve
from streams.sources.kinesis import shard_processes
from streams.sources.kinesis.shard_processes import ShardProcesses

STREAM: Final = "s"
SHARDS: Final = tuple(f"shardId-{n:012d}" for n in range(3))
FIRST: Final = SHARDS[0]
FIELDS: Final = ("sequences", "data", "keys", "behind_ms", "children", "size")
EXPIRED: Final = Fault("ExpiredIteratorException", "expired", 400)
SLOW: Final = Fault("ProvisionedThroughputExceededException", "slow down", 400)
DENIED: Final = Fault("AccessDeniedException", "no", 400)
PATIENCE_S: Final = 5.0


@pytest.fixture(autouse=True)
def _bare_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readers start without what the tests' own program imports: each of them would load pytest."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(EmbeddedKinesis(SystemClock(), random.Random(0), Behaviour.unlimited())) as made:
        made.ask("CreateStream", StreamName=STREAM, ShardCount=len(SHARDS))
        yield made


@pytest.fixture
def api(server: Server) -> Iterator[KinesisClient]:
    made = KinesisClient(AwsSettings(endpoint=server.url))
    yield made
    made.close()


@pytest.fixture
def processes(server: Server, api: KinesisClient) -> Iterator[ShardProcesses]:
    made = ShardProcesses(api, AwsSettings(endpoint=server.url, connect_s=0.5, read_s=0.5))
    made.keep(SHARDS)
    yield made
    made.close()


def first(processes: ShardProcesses, shard: str = FIRST) -> Page:
    return processes.get_records(processes.iterator(STREAM, shard, "TRIM_HORIZON"))


def is_there(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def wait_for(said: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not said():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.005)


# ------------------------------------------------------------------------------------------------ what is read


def test_a_page_is_what_our_own_client_reads(api: KinesisClient, processes: ShardProcesses, server: Server) -> None:
    api.put_records(STREAM, [Put(b"\x00\xff" * n, f"k{n}", "0") for n in range(50)])
    middle = str((1 << 128) // 6)
    server.ask("SplitShard", StreamName=STREAM, ShardToSplit=FIRST, NewStartingHashKey=middle)
    ours, theirs = api.get_records(api.iterator(STREAM, FIRST, "TRIM_HORIZON")), first(processes)
    for name in FIELDS:
        assert getattr(theirs, name) == getattr(ours, name), name
    assert theirs.arrivals_us.tolist() == ours.arrivals_us.tolist()
    assert (len(theirs), theirs.next_iterator, len(theirs.children)) == (50, None, 2)
    [start, end] = [child.start_hash for child in theirs.children]
    assert (start, end) == (0, int(middle))


def test_a_limit_is_kept_and_reading_goes_on_behind_it(api: KinesisClient, processes: ShardProcesses) -> None:
    api.put_records(STREAM, [Put(b"%d" % n, "k", "0") for n in range(10)])
    iterator, found = processes.iterator(STREAM, FIRST, "TRIM_HORIZON"), []
    for _ in range(4):
        page = processes.get_records(iterator, 3)
        found.append(page.data)
        assert page.next_iterator is not None
        iterator = page.next_iterator
    assert list(map(len, found)) == [3, 3, 3, 1]
    assert [int(data) for part in found for data in part] == list(range(10))


def test_nothing_is_read_before_it_is_asked_for(processes: ShardProcesses, server: Server) -> None:
    asked: list[str] = []
    server.kinesis.behaviour = Behaviour(fault=lambda action, _: asked.append(action))
    first(processes)
    time.sleep(0.2)
    assert asked.count("GetRecords") == 1


def test_a_stream_may_be_named_by_its_arn(api: KinesisClient, processes: ShardProcesses, server: Server) -> None:
    asked: list[bytes] = []
    server.kinesis.behaviour = Behaviour(fault=lambda _, body: asked.append(body))
    arn = api.describe(STREAM).arn
    processes.get_records(processes.iterator(arn, FIRST, "TRIM_HORIZON"), 10, arn)
    assert arn.encode() in asked[-1]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(EXPIRED, IteratorExpired), (SLOW, Throttled), (Fault(), Transient), (DENIED, ConfigError)],
    ids=lambda value: getattr(value, "code", "") or getattr(value, "__name__", ""),
)
def test_an_error_is_told_and_the_reader_goes_on(
    fault: Fault, kind: type[Exception], processes: ShardProcesses, server: Server
) -> None:
    first(processes)
    before = processes.pids()
    server.kinesis.inject(fault, "GetRecords")
    with pytest.raises(kind) as told:
        first(processes)
    assert type(told.value) is kind
    assert len(first(processes)) == 0
    assert processes.pids() == before


def test_an_iterator_does_not_show_in_an_error(processes: ShardProcesses, server: Server) -> None:
    told_by_service = "Value 'secret-iterator' at 'shardIterator' failed, secret-iterator is none"
    server.kinesis.inject(Fault("ValidationException", told_by_service, 400), "GetRecords")
    with pytest.raises(Terminal) as told:
        processes.get_records(f"{FIRST} secret-iterator")
    assert "secret" not in str(told.value)


def test_a_service_that_cannot_be_reached_is_asked_again(processes: ShardProcesses, server: Server) -> None:
    iterator = processes.iterator(STREAM, FIRST, "TRIM_HORIZON")
    server.close()
    with pytest.raises(Transient, match="no whole answer"):
        processes.get_records(iterator)


def test_an_endpoint_that_is_none_is_told(api: KinesisClient) -> None:
    made = ShardProcesses(api, AwsSettings(endpoint="nowhere"))
    made.keep(SHARDS)
    with pytest.raises(ConfigError, match="configured"):
        first(made)
    made.close()


# ----------------------------------------------------------------------------------------------- how they live


def test_every_shard_has_a_process_of_its_own(processes: ShardProcesses) -> None:
    for shard in SHARDS * 2:
        first(processes, shard)
    pids = processes.pids()
    assert pids.keys() == set(SHARDS)
    assert len({os.getpid(), *pids.values()}) == 1 + len(SHARDS)


def test_the_process_of_a_released_shard_ends(processes: ShardProcesses) -> None:
    iterators = [processes.iterator(STREAM, shard, "TRIM_HORIZON") for shard in SHARDS]
    pids = {shard: processes.pids()[shard] for shard in SHARDS if first(processes, shard) is not None}
    processes.keep(SHARDS[1:])
    wait_for(lambda: not is_there(pids[FIRST]))
    assert processes.pids().keys() == set(SHARDS[1:])
    with pytest.raises(Transient, match="released"):
        processes.get_records(iterators[0])
    processes.keep(SHARDS)
    assert len(processes.get_records(iterators[0])) == 0


def test_a_process_ends_though_it_waits_for_an_answer(processes: ShardProcesses, server: Server) -> None:
    first(processes)
    [pid] = processes.pids().values()
    asked: list[str] = []

    def slow(action: str, _: bytes) -> Fault:
        asked.append(action)
        return Fault(code=None, delay_s=0.2)

    server.kinesis.behaviour = Behaviour(fault=slow)
    with ThreadPoolExecutor(1) as executor:
        page = executor.submit(first, processes)
        wait_for(lambda: "GetRecords" in asked)
        processes.keep(())
        assert len(page.result(PATIENCE_S)) == 0
    wait_for(lambda: not is_there(pid))


def test_closing_leaves_no_process_and_no_zombie(processes: ShardProcesses) -> None:
    for shard in SHARDS:
        first(processes, shard)
    pids = processes.pids().values()
    os.kill(min(pids), signal.SIGSTOP)
    with patch.object(shard_processes, "END_S", 0.2):
        processes.close()
    wait_for(lambda: not any(map(is_there, pids)))
    with pytest.raises(Transient):
        first(processes)


def test_a_process_ends_with_its_shard(api: KinesisClient, processes: ShardProcesses, server: Server) -> None:
    iterator = processes.iterator(STREAM, FIRST, "TRIM_HORIZON")
    first(processes)
    pid = processes.pids()[FIRST]
    api.merge(STREAM, FIRST, SHARDS[1])
    assert processes.get_records(iterator).next_iterator is None
    wait_for(lambda: not is_there(pid))
    assert processes.get_records(iterator).next_iterator is None  # by another one, where the end was not believed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told_to_end", "killed"])
def test_a_reader_that_is_gone_is_replaced(number: signal.Signals, processes: ShardProcesses) -> None:
    first(processes)
    pid = processes.pids()[FIRST]
    time.sleep(0.05)  # until it waits for a question again
    os.kill(pid, number)
    wait_for(lambda: not is_there(pid))
    with pytest.raises(Transient, match="another one"):
        first(processes)
    assert len(first(processes)) == 0
    assert processes.pids()[FIRST] != pid


def test_a_reader_that_hangs_is_replaced(processes: ShardProcesses) -> None:
    first(processes)
    pid = processes.pids()[FIRST]
    os.kill(pid, signal.SIGSTOP)
    with patch.object(processes._running[FIRST], "_patience_s", 0.1), pytest.raises(Transient, match="another one"):
        first(processes)
    assert len(first(processes)) == 0
    wait_for(lambda: not is_there(pid))


def test_an_interrupt_of_the_terminal_is_for_the_worker_alone(processes: ShardProcesses) -> None:
    first(processes)
    before = processes.pids()
    os.kill(before[FIRST], signal.SIGINT)
    assert len(first(processes)) == 0
    assert processes.pids() == before


@pytest.mark.slow
def test_readers_end_when_their_worker_is_killed(server: Server) -> None:
    program = f"""
        import time
        from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
        from streams.sources.kinesis.shard_processes import ShardProcesses
        aws = AwsSettings(endpoint={server.url!r})
        processes = ShardProcesses(KinesisClient(aws), aws)
        processes.keep({SHARDS!r})
        for shard in {SHARDS!r}:
            processes.get_records(processes.iterator({STREAM!r}, shard, "TRIM_HORIZON"))
        print(*processes.pids().values(), flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pids = list(map(int, worker.stdout.readline().split()))
        assert len(pids) == len(SHARDS)
        assert all(map(is_there, pids))
        worker.kill()
        wait_for(lambda: not any(map(is_there, pids)))


def test_a_system_that_cannot_fork_is_told(api: KinesisClient) -> None:
    with (
        patch.object(shard_processes, "get_all_start_methods", lambda: ["spawn"]),
        pytest.raises(ConfigError, match="set it to shardlake"),
    ):
        ShardProcesses(api, AwsSettings())


def test_a_library_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("streams.sources.kinesis.shard_reader")
    monkeypatch.setitem(sys.modules, "streams.sources.kinesis.shard_reader", None)
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        shard_processes._read(theirs, AwsSettings(), FIRST)
        told = ours.recv()
    assert isinstance(told, ConfigError)
    assert "async-kinesis" in str(told)
