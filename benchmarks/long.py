"""Run one benchmark that takes over a minute, by its name: `python -m benchmarks.long NAME`."""

import sys
from typing import Final

from benchmarks.harness import run_named

# name: what it measures. The module benchmarks/NAME.py has `def long() -> int`, which returns what `verdict` did.
LONG: Final = {
    "batch": "as `make bench NAME=batch`, with the bar's own million lines",
    "chaos": "answers that differ while workers are killed, shards split and merge, and batch runs, for five minutes",
    "rebalance": "heartbeats until 10,000 shards are even again after a third of 500 workers died, in simulated time",
    "sim": "rules broken in 100,000 simulated schedules, and in 2,000 with DuckDB; writes docs/simulation.md",
    "journal_units": "as `make bench NAME=journal_units`, with 1,000 shards too",
    "peers": "as `make bench NAME=peers`, with six times the records",
}

if __name__ == "__main__":
    sys.exit(run_named(LONG, sys.argv[1:], "make long NAME=x", entry="long"))
