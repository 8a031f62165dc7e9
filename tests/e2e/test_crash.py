"""Processes are killed at every named step of their commits, and at any moment: every answer stays exact."""

import json
import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

from shardlake.adapters.crashpoints import POINTS
from shardlake.app.demo.check import miscounted
from shardlake.app.demo.generator import Produced, ProducedFile, collect, write_logs
from shardlake.app.demo.oracle import Expected
from shardlake.app.logs import make_log
from shardlake.app.settings import Config
from shardlake.app.streaming import Stop, stream
from shardlake.core.journal.rows import EntryKind
from shardlake.packs.cloudfront.decoder import LogDecoder
from shardlake.testing.runs import Program

pytestmark = pytest.mark.slow

REQUESTS = 1_500
BUCKETS = 2
SETTINGS = {
    "source.buckets": str(BUCKETS),
    "limits.block_bytes": "16384",  # several blocks of a file: a kill leaves it half read
    "limits.chunk_rows_max": "400",  # half a dozen entries
    "limits.batch_rows_max": "400",  # a pass of a batch run for each
}
Hold = Callable[[Program], Expected]
Verify = Callable[[Program], None]
Stream = Callable[[Program], int]
Batch = Callable[[Program], None]
Configured = Callable[[Program], Config]


@dataclass(frozen=True)
class Death:
    """A process dies at a step for the `time`-th time; the newest entry is then of a kind (None: there is none)."""

    time: int
    newest: EntryKind | None = "adopt"


# Each case is a row of processes: every next one begins where the one before died. The last one, which none of these
# kills, ends the work. Becoming the lane's owner and taking in its two shards are transactions too.
STREAM = {
    "stream:after-read": (Death(1), Death(20, "data")),
    "stream:after-files": (Death(1), Death(2, "data")),
    "stream:after-manifest": (Death(1), Death(2, "data")),
    "stream:after-transaction": (Death(1, "take"), Death(2, "adopt"), Death(3, "data"), Death(2, "data")),
}
BATCH = {
    "batch:after-master-files": (1, 2),
    "batch:after-master-commit": (1, 2),
    "batch:after-view-files": (1, 2),
    "batch:after-view-commit": (1, 2),
}
REBUILD = {
    "rebuild:after-table": (1,),
    "rebuild:before-pointer": (1,),
}


@dataclass(frozen=True)
class Input:
    """A folder of logs, what the producer knows of it, and the names of the files that came first."""

    logs: Path
    produced: Produced
    first: tuple[str, ...]


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Input:
    folder = tmp_path_factory.mktemp("produced")
    produced = collect(write_logs(folder, REQUESTS, 11, files=12, hours=2, viewers=300), REQUESTS)
    names = [file.name for file in produced.files]
    return Input(folder, produced, tuple(names[: len(names) // 2]))


@pytest.fixture(scope="session")
def arrive(logs: Input) -> Callable[[Path, bool], None]:
    """Put files into a folder by renaming, with the times that they have: the first half, or the rest."""

    def put(folder: Path, first: bool) -> None:
        folder.mkdir(exist_ok=True)
        for file in logs.produced.files:
            if (file.name in logs.first) == first:
                place(logs.logs / file.name, folder)

    return put


def place(file: Path, folder: Path) -> None:
    aside = folder / f".{file.name}"
    shutil.copy2(file, aside)
    aside.rename(folder / file.name)


def whole(logs: Input, expected: Expected) -> None:
    """See that a cut holds all that was produced: no answer is exact by lacking something."""
    assert miscounted(logs.produced, expected) == ()


# -------------------------------------------------------------------------------------------------- named steps


def test_every_named_step_has_a_case() -> None:
    assert sorted(chain(STREAM, BATCH, REBUILD)) == sorted(POINTS)
    assert len(set(POINTS)) == len(POINTS)


def test_every_named_step_is_reached_by_one_line_of_the_sources(root: Path) -> None:
    named = [name for folder in ("streams", "batch", "serving", "shardlake") for name in reached_in(root / folder)]
    assert sorted(named) == sorted(POINTS)


def reached_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        yield from re.findall(r"\breach\(\s*[\"']([^\"']+)[\"']", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("point", STREAM)
def test_a_stream_killed_at_a_step_goes_on_exactly(
    point: str, logs: Input, tmp_path: Path, exact: Hold, verified: Verify, streamed: Stream
) -> None:
    program = Program(tmp_path / "root", logs.logs, SETTINGS)
    for death in STREAM[point]:
        done = program.run("stream", "run", "--once", crash_at=f"{point}:{death.time}")
        assert done.killed, done
        newest = program.newest()
        assert newest is not None and newest.kind == death.newest
        assert newest.n >= done.acknowledged
        exact(program)
    program.run("stream", "run", "--once").expect(0)
    whole(logs, exact(program))
    verified(program)
    assert streamed(program) == 0


@pytest.mark.parametrize("point", BATCH)
def test_a_batch_run_killed_at_a_step_is_repeated_exactly(
    point: str, logs: Input, arrive: Callable[[Path, bool], None], tmp_path: Path,
    exact: Hold, verified: Verify, streamed: Stream,
) -> None:  # fmt: skip
    program = Program(tmp_path / "root", tmp_path / "logs", SETTINGS)
    arrive(program.logs, True)
    streamed(program)
    for time_ in BATCH[point]:
        assert program.run("batch", "run", crash_at=f"{point}:{time_}").killed
        exact(program)
        verified(program)
    arrive(program.logs, False)
    streamed(program)
    whole(logs, exact(program))
    program.run("batch", "run").expect(0)
    whole(logs, exact(program))
    verified(program)
    assert lags(program) == {0}


@pytest.mark.parametrize("point", REBUILD)
def test_a_rebuild_killed_at_a_step_leaves_the_old_table_answering(
    point: str, logs: Input, arrive: Callable[[Path, bool], None], tmp_path: Path,
    exact: Hold, verified: Verify, streamed: Stream, batched: Batch,
) -> None:  # fmt: skip
    program = Program(tmp_path / "root", tmp_path / "logs", SETTINGS)
    arrive(program.logs, True)
    streamed(program)
    batched(program)
    arrive(program.logs, False)
    streamed(program)
    before = program.ask("viewers").certificate.views[0]
    for time_ in REBUILD[point]:
        assert program.run("batch", "rebuild", "viewers", crash_at=f"{point}:{time_}").killed
        assert program.ask("viewers").certificate.views[0] == before
        whole(logs, exact(program))
    program.run("batch", "rebuild", "viewers").expect(0)
    after = program.ask("viewers").certificate.views[0]
    assert after.snapshot != before.snapshot and after.realtime_entries == 0
    whole(logs, exact(program))
    verified(program)


def lags(program: Program) -> set[int]:
    """How many entries each view reads one by one."""
    return {view.realtime_entries + view.recomputed_entries for name in ("bots", "viewers", "bandwidth")
            for view in program.ask(name).certificate.views}  # fmt: skip


# ---------------------------------------------------------------------------------------------------- together


@pytest.mark.parametrize("others", [("run",), ("run", "--view", "bots"), ("rebuild", "viewers")], ids=" ".join)
def test_of_two_batch_runs_at_once_one_wins(
    others: tuple[str, ...], logs: Input, arrive: Callable[[Path, bool], None], tmp_path: Path,
    exact: Hold, verified: Verify, streamed: Stream, batched: Batch,
) -> None:  # fmt: skip
    program = Program(tmp_path / "root", tmp_path / "logs", SETTINGS)
    arrive(program.logs, True)
    streamed(program)
    if others[0] == "rebuild":
        batched(program)
        arrive(program.logs, False)
        streamed(program)
    running = [program.start("batch", *arguments) for arguments in (("run",), others)]
    codes = [one.end().code for one in running]
    assert 0 in codes and set(codes) <= {0, 3}
    exact(program)
    verified(program)
    arrive(program.logs, False)
    streamed(program)
    batched(program)
    whole(logs, exact(program))
    verified(program)
    assert lags(program) == {0}


def test_a_stream_killed_at_any_moment_while_files_arrive(
    logs: Input, tmp_path: Path, exact: Hold, verified: Verify
) -> None:
    chance = random.Random(5)
    program = Program(tmp_path / "root", tmp_path / "logs", SETTINGS | {"limits.chunk_rows_max": "100"})
    program.logs.mkdir()
    arriving = iter(logs.produced.files)
    for _ in range(5):
        running = program.start("stream", "run")
        running.until("started")
        moments = [chance.uniform(0, 0.4) for _ in range(3)]
        writer = threading.Thread(target=put_now_and_then, args=(arriving, logs.logs, program.logs, moments))
        writer.start()
        time.sleep(sum(moments) * chance.uniform(0.3, 1.1))
        done = running.end(signal.SIGKILL)
        writer.join()
        assert done.killed
        newest = program.newest()
        assert (newest.n if newest else 0) >= done.acknowledged
        if newest is not None:
            exact(program)
    for file in arriving:
        place(logs.logs / file.name, program.logs)
    program.run("stream", "run", "--once").expect(0)
    whole(logs, exact(program))
    verified(program)


def put_now_and_then(files: Iterator[ProducedFile], source: Path, folder: Path, moments: list[float]) -> None:
    for moment, file in zip(moments, files, strict=False):
        time.sleep(moment)
        place(source / file.name, folder)


# ------------------------------------------------------------------------------------------------------- signals


def test_a_stream_that_is_asked_to_stop_commits_what_it_has(
    logs: Input, arrive: Callable[[Path, bool], None], tmp_path: Path, exact: Hold
) -> None:
    program = Program(tmp_path / "root", tmp_path / "logs", SETTINGS)
    arrive(program.logs, True)
    running = program.start("stream", "run", "--json")
    running.until("caught_up")
    second = program.run("stream", "run", "--once").expect(1)
    assert f"already runs on {program.root} (process {running.process.pid})" in second.err
    arrive(program.logs, False)
    running.until("committed")
    done = running.end(signal.SIGTERM).expect(0)
    told = json.loads(done.out)
    newest, certificate = program.newest(), program.ask("viewers").certificate
    assert newest is not None and newest.n == done.acknowledged
    assert (told["rows"], told["signal"]) == (certificate.events, "SIGTERM")
    exact(program)
    program.run("stream", "run", "--once").expect(0)
    whole(logs, exact(program))
    told_by_command = json.loads(program.run("query", "--json", "SELECT count(*) AS n FROM viewers").expect(0).out)
    assert told_by_command["rows"] == [{"n": len(program.ask("viewers").rows)}]
    program.run("verify").expect(0)


def test_a_stop_commits_what_was_read_and_not_yet_due(
    logs: Input, tmp_path: Path, exact: Hold, streamed: Stream, configured: Configured
) -> None:
    program = Program(tmp_path / "root", logs.logs, SETTINGS | {"limits.chunk_rows_max": "100000"})
    asked = iter(range(6))
    log = make_log(verbose=0, as_json=True)
    done = stream(configured(program), {}, log, lambda: next(asked, None) is None, once=False)
    assert done.entries == 1
    assert 0 < done.rows < program.ask("viewers").certificate.events + 1
    exact(program)
    assert done.rows + streamed(program) == sum(file.events for file in logs.produced.files)
    whole(logs, exact(program))


def test_a_signal_does_not_break_off_what_is_being_read() -> None:
    fields = ("date", "time", "x-edge-location", "sc-bytes", "c-ip")
    lines = 1_000_000
    block = b"2026-03-01\t10:00:00\tFRA56-P4\t1\t10.0.0.1\n" * lines
    decoder = LogDecoder("name", fields, line_bytes_max=1 << 20)
    with Stop() as stop:
        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        rows = decoder.decode(block).rows.num_rows
        timer.join()
    assert rows == lines
    assert stop.signal == "SIGTERM"
