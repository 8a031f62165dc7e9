"""Run one benchmark by its name: `python -m benchmarks NAME`. Each takes at most 60 s."""

import sys
from typing import Final

from benchmarks.harness import run_named

# name: what it measures. The module benchmarks/NAME.py has `def main() -> int`, which returns what `verdict` did.
BENCHMARKS: Final = {
    "speed": "records per CPU-second to a durable commit, as a part of what a bare loop reaches",
    "batch": "CPU from gzip files to master dataset and three views, against polars without guarantees",
    "query": "a new process that answers the top 50 of a day, against a new process of plain DuckDB",
}

if __name__ == "__main__":
    sys.exit(run_named(BENCHMARKS, sys.argv[1:], "make bench NAME=x"))
