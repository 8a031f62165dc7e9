"""Play schedules: `python -m shardlake.testing.simulation --seed 7` tells one, `--count 1000` counts many."""

import argparse
import sys
from collections.abc import Sequence

from shardlake.testing.simulation.counting import Tally, counted
from shardlake.testing.simulation.drawing import draw
from shardlake.testing.simulation.running import run
from shardlake.testing.simulation.shrinking import shrunk


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; the exit code is 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m shardlake.testing.simulation", description=__doc__)
    parser.add_argument("--seed", "--first", type=int, default=0, help="the seed, or the first one")
    parser.add_argument("--count", type=int, default=1, help="how many seeds; of more than one only the sum is told")
    parser.add_argument("--mode", choices=("multiset", "duckdb"), default="multiset", help="what stands for rows")
    parser.add_argument("--processes", type=int, default=1, help="how many processes play")
    parser.add_argument("--stop-at-first", action="store_true", help="end at the first seed that fails")
    parser.add_argument("--shrink", action="store_true", help="leave out of one seed's schedule what is not needed")
    parser.add_argument("--last", type=int, default=40, help="how many of the last calls are told of a failure")
    parser.add_argument("--trace", action="store_true", help="tell all calls of one seed")
    options = parser.parse_args(arguments)
    if options.count == 1:
        return _one(options)
    seeds = range(options.seed, options.seed + options.count)
    tally = counted(
        seeds, options.mode, processes=options.processes, stop_at_first=options.stop_at_first, progress=_progress
    )
    _say("")
    for kind, found in tally.schedules_with.most_common():
        _say(f"{100 * found / tally.schedules:7.2f} %  {kind}")
    for seed, what in sorted(tally.failed.items()):
        _say(f"seed {seed}: {what}")
    _say(f"{tally.schedules} schedules, {tally.records} records, {tally.calls} calls, {len(tally.failed)} failed")
    return 1 if tally.failed else 0


def _one(options: argparse.Namespace) -> int:
    outcome = run(draw(options.seed, options.mode))
    if options.shrink:
        outcome = shrunk(outcome)
    for line in (*outcome.schedule.lines(), *(outcome.trace() if options.trace else ())):
        _say(line)
    _say(outcome.told(0 if options.trace else options.last))
    return 0 if outcome.violation is None else 1


def _progress(tally: Tally) -> None:
    sys.stderr.write(f"\r{tally.schedules} schedules, {len(tally.failed)} failed ")
    sys.stderr.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
