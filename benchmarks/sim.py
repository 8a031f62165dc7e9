"""Simulated schedules by the ten thousands, and what fired in them: 0 rules broken, and every kind in 1 of 100.

Writes what came of it into docs/simulation.md. These variables of the environment change what is played:
SHARDLAKE_SIM_SEEDS and SHARDLAKE_SIM_DUCKDB how many schedules of each mode, SHARDLAKE_SIM_FIRST the first seed,
SHARDLAKE_SIM_PROCESSES how many processes play, and SHARDLAKE_SIM_KEPT a folder: what was played is noted there, and a
run that was ended goes on where it was.
"""

import os
import resource
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.harness import verdict
from shardlake.adapters.clock import SystemClock
from shardlake.testing.simulation import Mode, Tally, counted
from shardlake.testing.simulation.kinds import VERDICTS, kinds

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "simulation.md"
BEGIN, END = "<!-- measured: make long NAME=sim -->", "<!-- end -->"
SEEDS: Final = {"multiset": "100000", "duckdb": "2000"}
SHARE_LEAST: Final = 0.01


@dataclass(slots=True)
class Played:
    """What came of the schedules of a mode, and what it took, perhaps in several runs."""

    mode: Mode
    first: int
    wanted: int
    tally: Tally = field(default_factory=Tally)
    took_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def path(self) -> Path | None:
        """Where it is noted."""
        folder = os.environ.get("SHARDLAKE_SIM_KEPT")
        return Path(folder) / f"sim-{self.mode}-{self.first}-{self.wanted}.json" if folder else None

    def keep(self) -> None:
        """Note it, if that is wanted."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(msgspec.json.encode(self))

    def remember(self) -> None:
        """Begin with what was noted, if there is any."""
        if self.path is None or not self.path.exists():
            return
        found: dict[str, Any] = msgspec.json.decode(self.path.read_bytes())
        tally = found["tally"]
        for name in ("schedules_with", "worlds", "rules"):
            tally[name] = Counter(tally[name])
        tally["failed"] = {int(seed): what for seed, what in tally["failed"].items()}
        self.tally, self.took_s, self.cpu_s = Tally(**tally), found["took_s"], found["cpu_s"]

    def row(self) -> str:
        """Tell it as a row of a table."""
        tally = self.tally
        cpu_ms = 1000 * self.cpu_s / max(1, tally.schedules)
        return (
            f"| {self.mode} | {self.first:,} to {self.first + tally.schedules - 1:,} | {tally.schedules:,} "
            f"| {tally.records:,} | {tally.calls:,} | {len(tally.failed)} "
            f"| {self.took_s / 60:.1f} min | {cpu_ms:.1f} ms |"
        )


def processes() -> int:
    """How many processes play."""
    return int(os.environ.get("SHARDLAKE_SIM_PROCESSES", "2"))


def played(mode: Mode) -> Played:
    """Play all schedules of a mode that were not played yet."""
    count = int(os.environ.get(f"SHARDLAKE_SIM_{'SEEDS' if mode == 'multiset' else 'DUCKDB'}", SEEDS[mode]))
    done = Played(mode, int(os.environ.get("SHARDLAKE_SIM_FIRST", "0")), count)
    done.remember()
    before, took_before_s, cpu_before_s = done.tally, done.took_s, done.cpu_s
    clock = SystemClock()
    began_s, cpu_s = clock.monotonic_s(), _cpu_s()

    def progress(tally: Tally) -> None:
        done.tally = before.plus(tally)
        done.took_s, done.cpu_s = took_before_s + clock.monotonic_s() - began_s, cpu_before_s + _cpu_s() - cpu_s
        done.keep()
        told = f"{mode}: {done.tally.schedules} of {count}, {len(done.tally.failed)} failed, {done.took_s:.0f} s"
        print(f"\r{told} ", end="", file=sys.stderr, flush=True)

    counted(range(done.first + before.schedules, done.first + count), mode, processes=processes(), progress=progress)
    done.cpu_s = cpu_before_s + _cpu_s() - cpu_s
    done.keep()
    print(file=sys.stderr)
    for seed, what in sorted(done.tally.failed.items()):
        print(f"seed {seed}, {mode}: {what}")
    print(done.row())
    return done


def _cpu_s() -> float:
    kinds_of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds_of))


def _commit() -> str:
    """The commit that was played, with a plus if the tree has changes."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _verdicts(found: list[Played]) -> list[str]:
    named = {rule: verdict for verdict, rules in VERDICTS.items() for rule in rules}
    counts = [Counter[str]() for _ in found]
    for one, count in zip(found, counts, strict=True):
        for rule, times in one.tally.rules.items():
            count[named.get(rule, "anything else")] += times
    return [
        f"| schedules | {' | '.join(one.mode for one in found)} |",
        f"|---|{'---|' * len(found)}",
        *(f"| {what} | {' | '.join(str(c[what]) for c in counts)} |" for what in (*VERDICTS, "anything else")),
    ]


def _written(found: list[Played]) -> None:
    """Put the tables in the place of those that the page has."""
    tally = found[0].tally
    shares = [(kind, tally.schedules_with[kind] / tally.schedules) for kind in kinds()]
    today = datetime.fromtimestamp(SystemClock().now_us() / 1e6, UTC)
    worlds = ", ".join(f"{100 * n / tally.schedules:.0f} % with {world}" for world, n in sorted(tally.worlds.items()))
    lines = [
        BEGIN,
        "",
        f"Commit {_commit()}, {today:%Y-%m-%d}, processes: {processes()}. Of those without SQL {worlds}.",
        "",
        "| mode | seeds | schedules | records | calls | failed | time | CPU a schedule |",
        "|---|---|---|---|---|---|---|---|",
        *(one.row() for one in found),
        "",
        *_verdicts(found),
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
    found = [played("multiset"), played("duckdb")]
    _written([one for one in found if one.tally.schedules])
    plain = found[0].tally
    rare = [kind for kind in kinds() if plain.schedules_with[kind] < SHARE_LEAST * plain.schedules]
    print(f"fired in less than one of a hundred: {', '.join(rare) or 'none'}")
    broken = verdict("sim", sum(len(one.tally.failed) for one in found), at_most=0)
    return 1 if rare else broken


if __name__ == "__main__":
    sys.exit(long())
