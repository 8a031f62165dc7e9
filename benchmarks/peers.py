"""The bar `peers`: a Kinesis worker's records per CPU-second, against those of two other consumers in Python.

All read the same stream of four shards of the embedded Kinesis from its beginning, and compute the same three views.
kinesis-python and async-kinesis yield records one by one; they are put together into pages of 10,000, each of which is
decoded by Arrow, aggregated in DuckDB and written as Parquet, with no guarantee. The worker does all that it promises,
down to the durable commit. CPU is that of all processes of a consumer, from its first request to its last page; the
service's counts for nobody. How long a consumer sleeps between two reads is not measured.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.harness import ROUNDS_MIN, Command, Run, measure_run, verdict
from benchmarks.kinesis_stream import HOME, fill, served
from benchmarks.speed_kinesis import plain_pace, read, reader, same, show_paces

BAR: Final = 3.0
SHARDS: Final = 4
RECORDS: Final = 50_000
RECORDS_LONG: Final = 300_000
OURS: Final = "shardlake"
WANTED: Final = "async-kinesis==3.0.1"


def main() -> int:
    """Measure with few records, and hold the slower ratio against the bar."""
    return _measure(RECORDS)


def long() -> int:
    """Measure with many records."""
    return _measure(RECORDS_LONG)


def _measure(records: int) -> int:
    with tempfile.TemporaryDirectory() as folder, served(SHARDS) as url:
        root = Path(folder)
        fill(url, records)
        runs = _in_turn(_consumers(root, url, records), root, records)
    paces = {OURS: [read(run).pace for run in runs.pop(OURS)]}
    paces |= {name: [plain_pace(run) for run in found] for name, found in runs.items()}
    print(f"{ROUNDS_MIN} rounds in turn with {records:,} records, medians (least .. greatest)")
    show_paces(paces)
    ratios = {name: median(paces[OURS]) / median(paces[name]) for name in runs}
    for name, ratio in ratios.items():
        print(f"  {ratio:.2f} times {name}")
    return verdict("peers", min(ratios.values()), at_least=BAR)


def _consumers(root: Path, url: str, records: int) -> Mapping[str, Command]:
    found = {
        OURS: reader("kinesis_worker", url, root / OURS),
        "kinesis-python": reader("peers_kinesis_python", url, root / "kinesis-python", records),
    }
    try:
        python = _environment()
    except subprocess.CalledProcessError as error:
        print(f"{WANTED} could not be installed, and is NOT compared: {error.stderr.strip()[-500:]}")
    else:
        found["async-kinesis"] = reader("peers_async_kinesis", url, root / "async-kinesis", records, python=python)
    return found


def _in_turn(commands: Mapping[str, Command], root: Path, records: int) -> dict[str, list[Run]]:
    """Run all once and compare what they have, then time them in turn; each round begins with another one."""
    first = {name: measure_run(command) for name, command in commands.items()}
    for name in commands.keys() - {OURS}:
        same(records, (root / OURS, first[OURS]), (root / name, first[name]))
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    names = list(commands)
    for turn in range(ROUNDS_MIN):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            runs[name].append(measure_run(commands[name]))
    return runs


def _environment() -> Path:
    """Give the interpreter of an environment with async-kinesis, made the first time; all else it takes from ours.

    Raises: subprocess.CalledProcessError if it cannot be made.
    """
    folder = HOME / "build" / WANTED.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", WANTED],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
        paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
        # Behind its own packages: both consumers are called `kinesis`, and it has a botocore of its own.
        (Path(paths["purelib"]) / "project.pth").write_text(sysconfig.get_paths()["purelib"] + os.linesep)
        (folder / "done").touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
