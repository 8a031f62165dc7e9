"""Chaos with real processes: workers live and die, shards split and merge, batch runs, and every answer is compared.

For five minutes a producer puts records into an embedded Kinesis, three workers at a time share its shards, and every
few seconds one of them is killed or stopped and replaced, twenty lives in all; shards split and merge; batch runs.
Each answer that is taken meanwhile must equal a plain count over the producer's log at the answer's own cut, and in the
end every acknowledged record must be inside. What happens is drawn from a seed: SHARDLAKE_CHAOS_SEED, or the clock's.
"""

import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from rich.console import Console

from benchmarks.harness import verdict
from shardlake.adapters.clock import SystemClock
from shardlake.app.demo.kinesis import STREAM, StreamPlay, WorkerProcess, stream_play
from shardlake.app.demo.processes import apart_from_aws
from shardlake.app.demo.story import Story

SECONDS: Final = 280.0
RECORDS: Final = 400_000
LIVES: Final = 20
AT_ONCE: Final = 3
SHARDS_MAX: Final = 10
STOPPED_PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Chaos:
    """Does something to a play every few seconds, until there were enough lives and everything was produced."""

    play: StreamPlay
    chance: Random
    leaving: list[WorkerProcess] = field(default_factory=list)
    kills: int = 0
    stops: int = 0
    splits: int = 0
    merges: int = 0

    @property
    def lives(self) -> int:
        """How many workers have lived so far."""
        return len(self.play.everybody)

    def run(self) -> None:
        """Play it all. Raises: Terminal if something gets stuck or fails by itself."""
        play, stage = self.play, self.play.stage
        for _ in range(AT_ONCE):
            play.hire()
        play.until(lambda: all(worker.shards for worker in play.workers), "the workers did not share the shards")
        play.production.start()
        now_s = stage.clock.monotonic_s()
        turn_s, shards_s, batch_s = now_s + 5, now_s + 8, now_s + 15
        while not (play.production.is_done and self.lives >= LIVES):
            play.attend(looking=True)
            now_s = stage.clock.monotonic_s()
            if now_s >= turn_s:
                self._turn()
                turn_s = now_s + self.chance.uniform(9, 17)
            if now_s >= shards_s and not play.production.is_done:
                self._reshard()
                shards_s = now_s + self.chance.uniform(6, 16)
            if now_s >= batch_s and stage.can_batch():
                stage.batch()
                batch_s = now_s + self.chance.uniform(15, 30)
        play.until(play.is_settled, "the workers did not read everything", looking=True)
        for worker in play.workers:
            worker.running.ask_to_stop()
        for worker in (*play.workers, *self.leaving):
            worker.running.wait(STOPPED_PATIENCE_S)

    def _turn(self) -> None:
        """End a worker's life, in order or not, and begin another."""
        play = self.play
        worker = play.workers.pop(self.chance.randrange(len(play.workers)))
        if self.chance.random() < 2 / 3:
            worker.running.process.send_signal(signal.SIGKILL)
            worker.running.process.wait()
            self.kills += 1
            play.stage.story.tell(f"{worker.name} is killed with SIGKILL")
        else:
            worker.running.ask_to_stop()
            self.leaving.append(worker)
            self.stops += 1
            play.stage.story.tell(f"{worker.name} is stopped with SIGTERM")
        play.hire()

    def _reshard(self) -> None:
        play = self.play
        shards = play.open_shards()
        at = self.chance.randrange(len(shards))
        if len(shards) < 3 or (len(shards) < SHARDS_MAX and self.chance.random() < 0.5):
            shard = shards[at]
            play.api.split(STREAM, shard.shard_id, (shard.start_hash + shard.end_hash) // 2 + 1)
            play.stage.story.tell(f"{shard.shard_id} is split in two")
            self.splits += 1
        else:
            one, other = shards[max(0, at - 1) : max(0, at - 1) + 2]
            play.api.merge(STREAM, one.shard_id, other.shard_id)
            play.stage.story.tell(f"{one.shard_id} and {other.shard_id} are merged")
            self.merges += 1


def long() -> int:
    """Let it happen, and say what was found."""
    clock = SystemClock()
    seed = int(os.environ.get("SHARDLAKE_CHAOS_SEED", "0")) or clock.now_us() % 1_000_000
    print(f"seed {seed}: SHARDLAKE_CHAOS_SEED={seed} draws the same", flush=True)
    story = Story(Console(file=sys.stdout), clock, clock.monotonic_s())
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder, apart_from_aws():
        play = stream_play(Path(folder), story, clock, RECORDS)
        play.production.seconds = SECONDS
        chaos = Chaos(play, Random(seed))
        try:
            chaos.run()
            checker = play.stage.checker
            last = checker.look()
            checker.add(play.problems(last))
        finally:
            play.close()
    for example in checker.examples[:10]:
        print(f"  {example}")
    print(
        f"  {chaos.lives} lives ({chaos.kills} killed, {chaos.stops} stopped), {chaos.splits} splits, {chaos.merges}"
        f" merges, {len(play.stage.batches)} batch runs, {last.certificate.events:,} events; {checker.answers} answers"
        f" with {checker.compared:,} rows compared"
    )
    return verdict("chaos", float(checker.differ), at_most=0)
