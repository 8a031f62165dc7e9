"""Ten thousand shards and five hundred workers in simulated time, a third of which die at one moment.

Workers, loops, sources and lanes are the real ones. Each call of the journal takes 4 to 20 ms and each of the storage
10 to 50 ms of the worker's own time, during which the others go on; reads of the stream take none. Counted are
heartbeats from the last take-over of a dead worker's lane to the moment from which on no two living workers' shards
differ by more than one. In the end every record must have been counted once, in the order of its shard.

SHARDLAKE_REBALANCE_SHARDS and SHARDLAKE_REBALANCE_WORKERS, variables of the environment, make it smaller.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.harness import verdict
from shardlake.testing.crowd import Crowd

HEARTBEATS_MAX: Final = 3


def play(crowd: Crowd, *, splits: int, records: int) -> float:
    """Play it: everybody comes, shards split, a third dies; give the heartbeats until it is even again."""
    for _ in range(crowd.workers):
        crowd.hire()
    crowd.put(records)
    began_s = crowd.baton.now_s
    settled_s = crowd.even(300.0)
    print(f"even {settled_s - began_s:.2f} s after {crowd.workers} workers came to {crowd.shards} shards")
    crowd.split(splits)
    crowd.put(records)
    crowd.baton.run(crowd.baton.now_s + 10)
    crowd.even(120.0)
    calls, seen = crowd.journal.calls, crowd.journal.rows
    crowd.baton.run(crowd.baton.now_s + 10)
    quiet = len(crowd.living) * 10
    print(f"quiet: {(crowd.journal.calls - calls) / quiet:.2f} calls of the journal a worker and second,", end=" ")
    print(f"{(crowd.journal.rows - seen) / quiet:.0f} rows read")
    died_s = crowd.baton.now_s
    crowd.kill(1 / 3)
    crowd.put(records)
    crowd.baton.run(crowd.baton.now_s + crowd.limits.worker_expiry_s)
    even_s = crowd.even(120.0)
    last_s = max(crowd.taken_s)
    print(f"{len(crowd.dead)} died; last take-over {last_s - died_s:.2f} s later, even {even_s - died_s:.2f} s later")
    crowd.baton.run(crowd.baton.now_s + 12)
    assert crowd.spread() <= 1, f"it did not stay even: {crowd.spread()}"
    return max(0.0, even_s - last_s) / crowd.limits.heartbeat_s


def long() -> int:
    """Play with ten thousand shards and five hundred workers, or as the environment says."""
    shards = int(os.environ.get("SHARDLAKE_REBALANCE_SHARDS", "10000"))
    workers = int(os.environ.get("SHARDLAKE_REBALANCE_WORKERS", "500"))
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(Path(folder), shards, workers)
        heartbeats = play(crowd, splits=shards // 50, records=5 * shards)
        wrong = crowd.audit()
    counts = f"{crowd.restarts} restarts, {crowd.told.entries} entries, {crowd.puts} records"
    print(f"{counts}, violations: {wrong[:5] or 'none'}")
    return 1 if wrong else verdict("rebalance", heartbeats, at_most=float(HEARTBEATS_MAX))


if __name__ == "__main__":
    sys.exit(long())
