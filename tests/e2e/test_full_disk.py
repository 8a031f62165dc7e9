"""The disk is full in the middle of the work: nothing is half counted, and when there is space again all goes on."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from shardlake.adapters import local_objects
from shardlake.app.demo.check import miscounted
from shardlake.app.demo.generator import Produced, collect, write_logs
from shardlake.app.demo.oracle import Expected
from shardlake.app.settings import Config
from shardlake.app.streaming import stream
from shardlake.core.errors import OutcomeUnknown, Transient
from shardlake.testing.runs import Program

REQUESTS = 1_500
SETTINGS = {
    "source.buckets": "2",
    "limits.chunk_rows_max": "400",
    "limits.retry_first_s": "0.001",
    "limits.retry_longest_s": "0.002",
}
Hold = Callable[[Program], Expected]
Work = Callable[[Program], None]
Stream = Callable[[Program], int]
Configured = Callable[[Program], Config]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Produced]:
    folder = tmp_path_factory.mktemp("produced")
    return folder, collect(write_logs(folder, REQUESTS, 13, files=12, hours=2, viewers=300), REQUESTS)


@dataclass
class Disk:
    """Opens files until it is full: then a file is opened, and half of what is written to it arrives."""

    opened: int = 0
    full: range = range(0)

    def open(self, path: Path, mode: str) -> Any:
        file = _open(path, mode)
        self.opened += mode == "xb"
        return _Full(file) if mode == "xb" and self.opened in self.full else file


_open = Path.open


class _Full:
    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()

    class Watched(type(Path())):  # type: ignore[misc] # the class of this machine's paths
        def open(self, mode: str = "r", **_: Any) -> Any:
            return made.open(Path(self), mode)

    monkeypatch.setattr(local_objects, "Path", Watched)
    return made


@dataclass
class Heard:
    """A log that remembers what happened."""

    events: list[str] = field(default_factory=list)

    def debug(self, event: str, **_: Any) -> None:
        self.events.append(event)

    info = warning = error = debug


@pytest.mark.parametrize("first", [1, 4, 7, 13, 16])
def test_a_stream_on_a_full_disk_goes_on_in_the_same_process(
    first: int,
    logs: tuple[Path, Produced],
    tmp_path: Path,
    disk: Disk,
    configured: Configured,
    exact: Hold,
    verified: Work,
) -> None:
    program, heard = Program(tmp_path / "root", logs[0], SETTINGS), Heard()
    disk.full = range(first, first + 3)
    done = stream(configured(program), {}, heard, lambda: "caught_up" in heard.events, once=False)
    assert heard.events.count("trying_again") == 3
    assert done.entries == heard.events.count("committed") >= 3
    assert miscounted(logs[1], exact(program)) == ()
    verified(program)


@pytest.mark.parametrize("first", [2, 5, 10, 15])
def test_a_run_on_a_full_disk_fails_and_the_next_one_goes_on(
    first: int, logs: tuple[Path, Produced], tmp_path: Path, disk: Disk, streamed: Stream, exact: Hold, verified: Work
) -> None:
    program = Program(tmp_path / "root", logs[0], SETTINGS)
    disk.full = range(first, 10_000)
    with pytest.raises(Transient, match="No space left on device"):
        streamed(program)
    left = {path for path in (program.root / "objects").rglob("*") if path.is_file()}
    exact(program)
    with pytest.raises(Transient, match="No space left on device"):
        streamed(program)
    assert {path for path in (program.root / "objects").rglob("*") if path.is_file()} >= left
    disk.full = range(0)
    streamed(program)
    assert miscounted(logs[1], exact(program)) == ()
    verified(program)


# ------------------------------------------------------------------------------------------------ a real full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB, which only root may make, and not everywhere."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Fill a disk until about so many bytes are left."""
    filler = disk / "filler"
    status = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - left)))
    return filler


@pytest.mark.parametrize("left", [0, 16_384, 65_536, 200_000, 400_000])
def test_a_disk_that_is_really_full(
    left: int, logs: tuple[Path, Produced], small_disk: Path,
    streamed: Stream, batched: Work, exact: Hold, verified: Work,
) -> None:  # fmt: skip
    program = Program(small_disk / "root", logs[0], SETTINGS)
    program.root.mkdir()
    filler = fill(small_disk, left)
    with pytest.raises((Transient, OutcomeUnknown)):
        streamed(program)
    filler.unlink()
    if program.newest() is not None:
        exact(program)
    streamed(program)
    assert miscounted(logs[1], exact(program)) == ()
    verified(program)
    filler = fill(small_disk, left // 4)
    with pytest.raises((Transient, OutcomeUnknown)):
        batched(program)
    filler.unlink()
    assert miscounted(logs[1], exact(program)) == ()
    batched(program)
    assert miscounted(logs[1], exact(program)) == ()
    verified(program)


def test_the_program_on_a_disk_that_is_really_full(
    logs: tuple[Path, Produced], small_disk: Path, streamed: Stream, exact: Hold
) -> None:
    program = Program(small_disk / "root", logs[0], SETTINGS)
    program.root.mkdir()
    filler = fill(small_disk, 150_000)
    done = program.run("stream", "run", "--once").expect(3)
    assert "free" in done.err
    filler.unlink()
    running = program.start("stream", "run")
    running.until("committed")
    filler = fill(small_disk, 0)
    running.until("trying_again")
    filler.unlink()
    running.until("caught_up")
    running.end(15).expect(0)
    assert miscounted(logs[1], exact(program)) == ()
