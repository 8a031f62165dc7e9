"""Measure two commands against each other, and hold the result against a bar.

A benchmark is these calls:

    ours = Command([sys.executable, "-m", "benchmarks.speed", "--ours"], before=empty_the_folder)
    bare = Command([sys.executable, "-m", "benchmarks.speed", "--bare"])
    contest = compare(ours, bare, same_output)              # asserts equal output, then times both in turn
    contest.show("shardlake", "bare loop")
    return verdict("speed", contest.bare_over_ours("cpu_s"), at_least=0.6)

CPU time is that of a command and of all the processes that it started and waited for: a process that it
killed without waiting for is not counted, so a command must wait for its children.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, Literal

ROUNDS_MIN: Final = 5  # a median of fewer says little on a shared machine

Measure = Literal["cpu_s", "wall_s", "memory_bytes"]


def _nothing() -> None:
    """Prepare nothing before a run."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command to measure. `before` runs before each run and is not measured: it empties what the last one left."""

    arguments: Sequence[str | Path]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took: CPU of all its processes, time on the wall, the largest process's memory; and its output."""

    cpu_s: float
    wall_s: float
    memory_bytes: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Contest:
    """The runs of two commands, taken in turn."""

    ours: tuple[Run, ...]
    bare: tuple[Run, ...]

    def ours_over_bare(self, measure: Measure) -> float:
        """Divide our median by theirs: for what we may cost."""
        return middle(self.ours, measure) / middle(self.bare, measure)

    def bare_over_ours(self, measure: Measure) -> float:
        """Divide their median by ours: the part of their pace that we reach, for equal work."""
        return middle(self.bare, measure) / middle(self.ours, measure)

    def show(self, ours: str = "ours", bare: str = "bare") -> None:
        """Print both commands' medians and spreads."""
        print(f"{len(self.ours)} rounds in turn, medians (least .. greatest)")
        for name, runs in ((ours, self.ours), (bare, self.bare)):
            cpu, wall = _spread(runs, "cpu_s"), _spread(runs, "wall_s")
            print(f"  {name:12} cpu {cpu}   wall {wall}   memory {middle(runs, 'memory_bytes') / 1e6:.0f} MB")


def middle(runs: Sequence[Run], measure: Measure) -> float:
    """Give the median of one measure over some runs."""
    return median(float(getattr(run, measure)) for run in runs)


def _spread(runs: Sequence[Run], measure: Measure) -> str:
    values = [getattr(run, measure) for run in runs]
    return f"{median(values):.3f} s ({min(values):.3f} .. {max(values):.3f})"


def measure_run(command: Command) -> Run:
    """Run a command once. Raises: RuntimeError with the end of what it said if it does not exit with 0."""
    command.before()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(argument) for argument in command.arguments],
            cwd=command.folder,
            env=os.environ | command.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        # The process was waited for here, for the sake of its usage: Popen must not wait for it again.
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            said = errors.read()[-4000:].decode("utf-8", "replace")
            raise RuntimeError(f"{command.arguments} exited with {process.returncode}: {said}")
        memory_unit = 1 if sys.platform == "darwin" else 1024
        return Run(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss * memory_unit, output.read())


def compare(
    ours: Command,
    bare: Command,
    same_output: Callable[[Run, Run], None],
    rounds: int = ROUNDS_MIN,
) -> Contest:
    """Run both once, compare what they produced, then time them in turn.

    `same_output` gets the two untimed runs (their standard output; files it knows itself) and raises if the
    commands did not do the same work. The order changes from round to round, so that neither command always
    finds the machine as the other one left it.
    """
    if rounds < ROUNDS_MIN:
        raise ValueError(f"a median wants at least {ROUNDS_MIN} rounds, not {rounds}")
    same_output(measure_run(ours), measure_run(bare))
    ours_runs, bare_runs = [], []
    for turn in range(rounds):
        if turn % 2:
            bare_runs.append(measure_run(bare))
            ours_runs.append(measure_run(ours))
        else:
            ours_runs.append(measure_run(ours))
            bare_runs.append(measure_run(bare))
    return Contest(tuple(ours_runs), tuple(bare_runs))


def verdict(name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> int:
    """Print the last line, `NAME: VALUE (bar BAR) ok|short`. Returns the exit code: 0 only if ok.

    >>> verdict("speed", 0.7123, at_least=0.6)
    speed: 0.712 (bar >= 0.6) ok
    0
    >>> verdict("batch", 2.0004, at_most=2)
    batch: 2.0004 (bar <= 2) short
    1
    """
    if (at_least is None) == (at_most is None):
        raise ValueError("a bar is at_least or at_most")
    bar = at_least if at_least is not None else at_most
    assert bar is not None
    ok = value >= bar if at_least is not None else value <= bar
    # Rounding must not print a value on the bar's other side.
    shown = next(text for digits in (3, 4, 6, 17) if _side(text := f"{value:.{digits}g}", bar) == _side(value, bar))
    print(f"{name}: {shown} (bar {'>=' if at_least is not None else '<='} {bar:g}) {'ok' if ok else 'short'}")
    return 0 if ok else 1


def _side(value: float | str, bar: float) -> int:
    return (float(value) > bar) - (float(value) < bar)


def run_named(names: Mapping[str, str], arguments: Sequence[str], usage: str, entry: str = "main") -> int:
    """Run a function of the benchmark that the arguments name; list the names if they name none. Returns its code."""
    arguments = [argument.replace("-", "_") for argument in arguments]
    if len(arguments) != 1 or arguments[0] not in names:
        print(f"{usage}, where x is one of:" if names else "There are none yet.")
        for name, what in names.items():
            print(f"  {name:10} {what}")
        return 2
    module = importlib.import_module(f"benchmarks.{arguments[0]}")
    return int(getattr(module, entry)())
