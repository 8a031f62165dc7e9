"""Everything that may happen to calls, in any order: each record is counted once."""

import random
from contextlib import suppress
from pathlib import Path

from shardlake.adapters.engine import Engine
from shardlake.core.limits import Limits
from shardlake.testing.fleet import PASSES
from shardlake.testing.kinesis import Behaviour
from streams.handling import Handling
from tests.lambda_handler.site import Site, land, put

ENGINE = Engine()


def test_everything_at_once(tmp_path: Path) -> None:
    """Splits, merges, crashes, lost answers, batches that come again, cross or are given up, looks, four processes."""
    steps = ("put", "put", "put", "give", "part", "again", "skip", "split", "merge", "crash", "fault", "look")
    for seed in range(4):
        rng = random.Random(seed)
        limits = Limits(retry_first_s=0.0, commit_retries_max=5, lanes_max=rng.choice((1, 64)))
        service = Behaviour.unlimited().changed(empty_pages=0.3 * (seed % 2), page_records_max=rng.choice((2, 10_000)))
        site = Site.of(tmp_path / str(seed), ENGINE, shards=2, seed=seed, limits=limits, behaviour=service)
        processes = [site.process(takes=rng.random() < 0.8) for _ in range(4)]
        for _ in range(60):
            match rng.choice(steps):
                case "put":
                    put(site, rng.randrange(1, 9), str(rng.randrange(20)))
                case "split":
                    site.fleet.split(rng.randrange(9))
                case "merge":
                    site.fleet.merge(rng.randrange(9))
                case "crash":
                    processes[rng.randrange(4)] = site.process(takes=rng.random() < 0.8)
                case "fault":
                    site.fleet.journal.fault = rng.choice(("lost", "late", "busy"))
                case step:
                    step_of(site, rng, processes[rng.randrange(4)], step)
        land(site)
        last = site.process()
        for _ in range(8):
            site.drain(last)
            assert last.look(site.fleet.clock.monotonic_s() + 600)
        site.assert_whole()
        assert not site.fleet.plan().views["pages"].positions.gaps


def step_of(site: Site, rng: random.Random, process: Handling, step: str) -> None:
    if step == "look":
        with suppress(*PASSES):
            process.look(site.fleet.clock.monotonic_s() + 60)
        site.fleet.journal.fault = "none"
        return
    for shard in site.mapping.shards():
        event = site.mapping.next(shard)
        if event is None:
            continue
        if step == "skip":
            site.mapping.skip(shard)
            continue
        try:
            if step == "part":
                site.call(process, {"Records": event["Records"][: rng.randrange(1, 4)]})
            answer = site.call(process, event)
            if step == "again":
                answer = site.call(process, event)
        except PASSES:
            answer = {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["kinesis"]["sequenceNumber"]}]}
            site.fleet.journal.fault = "none"
        site.mapping.answered(shard, answer)
        if rng.random() < 0.2 and site.fleet.journal.in_flight:
            site.fleet.journal.land(0)
