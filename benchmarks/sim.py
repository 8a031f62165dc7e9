"""Simulated schedules by the ten thousands, and what fired in them: 0 rules broken, and every kind in 1 of 100.

Writes what came of it into docs/simulation.md. SHARDLAKE_SIM_SEEDS and SHARDLAKE_SIM_DUCKDB set how many there are.
"""

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.harness import verdict
from shardlake.adapters.clock import SystemClock
from shardlake.testing.simulation import Mode, Tally, counted
from shardlake.testing.simulation.kinds import kinds

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "simulation.md"
BEGIN, END = "<!-- measured: make long NAME=sim -->", "<!-- end -->"
SEEDS: Final = {"multiset": "100000", "duckdb": "2000"}
PROCESSES: Final = 2
SHARE_LEAST: Final = 0.01


def played(mode: Mode) -> tuple[Tally, str]:
    """Play all schedules of a mode; give what came of them, and a row that tells it."""
    count = int(os.environ.get(f"SHARDLAKE_SIM_{'SEEDS' if mode == 'multiset' else 'DUCKDB'}", SEEDS[mode]))
    clock = SystemClock()
    began_s, cpu_s = clock.monotonic_s(), _cpu_s()
    tally = counted(range(count), mode, processes=PROCESSES, progress=_progress)
    took_s, cpu_s = clock.monotonic_s() - began_s, _cpu_s() - cpu_s
    print(file=sys.stderr)
    for seed, what in sorted(tally.failed.items()):
        print(f"seed {seed}, {mode}: {what}")
    row = (
        f"| {mode} | 0 to {count - 1:,} | {tally.records:,} | {tally.calls:,} | {len(tally.failed)} "
        f"| {took_s / 60:.1f} min | {1000 * cpu_s / count:.1f} ms |"
    )
    print(row)
    return tally, row


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _progress(tally: Tally) -> None:
    print(f"\r{tally.schedules} schedules, {len(tally.failed)} failed ", end="", file=sys.stderr, flush=True)


def _commit() -> str:
    """The commit that was played, with a plus if the tree has changes."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _written(rows: list[str], tally: Tally) -> None:
    """Put the tables in the place of those that the page has."""
    shares = [(kind, tally.schedules_with[kind] / tally.schedules) for kind in kinds()]
    today = datetime.fromtimestamp(SystemClock().now_us() / 1e6, UTC)
    lines = [
        BEGIN,
        "",
        f"Commit {_commit()}, {today:%Y-%m-%d}, {PROCESSES} processes.",
        "",
        "| mode | seeds | records | calls | broken rules | time | CPU a schedule |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        "| what fired (multiset) | in so many schedules |",
        "|---|---|",
        *(f"| {kind} | {100 * share:.1f} % |" for kind, share in sorted(shares, key=lambda found: -found[1])),
        "",
        END,
    ]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + "\n".join(lines) + rest.partition(END)[2], encoding="utf-8")


def long() -> int:
    """Play both modes, write the page, and hold it against the bar."""
    plain, first = played("multiset")
    whole, second = played("duckdb")
    _written([first, second], plain)
    rare = [kind for kind in kinds() if plain.schedules_with[kind] < SHARE_LEAST * plain.schedules]
    print(f"fired in less than one of a hundred: {', '.join(rare) or 'none'}")
    broken = verdict("sim", len(plain.failed) + len(whole.failed), at_most=0)
    return 1 if rare else broken


if __name__ == "__main__":
    sys.exit(long())
