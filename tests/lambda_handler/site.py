"""Handlings over a fleet's stream and journal: what a process of AWS Lambda is made of, without AWS Lambda."""

import random
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from shardlake.adapters.aws_lambda.envelopes import HandedOver, records_of
from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.positions import ShardId
from shardlake.core.view import CompiledView
from shardlake.testing.clicks import Clicks
from shardlake.testing.event_source import EventSource
from shardlake.testing.fleet import STREAM, Fleet, Inline
from shardlake.testing.plain import Click
from shardlake.testing.world import SCHEMA
from streams.decode import Decoding
from streams.handling import Handling
from streams.lane import LaneContext
from streams.poison import Told
from streams.protect import Protection
from streams.sources.handed import HandedReader
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.port import SourceGap
from streams.worker import Worker

VIEW = """-- description: hits of pages
SELECT page, count(*) AS hits, sum(cost) AS cost FROM clicks GROUP BY page
"""
NUMBERS = count()
PAGES: dict[str, CompiledView] = {"pages": compile_view("pages", VIEW, SCHEMA)}


@dataclass(slots=True)
class Site:
    """A stream, the mapping that reads it, and processes that are called."""

    fleet: Fleet
    mapping: EventSource
    told: list[Told] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    @staticmethod
    def of(folder: Path, engine: Engine, **given: Any) -> "Site":
        fleet = Fleet(folder, engine, PAGES, **given)
        return Site(fleet, EventSource(fleet.kinesis, STREAM, batch=20))

    def process(self, *, takes: bool = True) -> Handling:
        fleet = self.fleet
        context = LaneContext(fleet.journal, fleet.store, fleet.clock, fleet._name, fleet.limits)
        stopped: list[SourceGap] = []
        reader = HandedReader(fleet.api)
        source = KinesisSource(
            KinesisSettings(STREAM, STREAM, fleet.on_gap), reader, Inline(), fleet.clock, fleet.limits, stopped.append
        )
        worker = Worker(context, STREAM, source.list, fleet._committer, fleet.told, source.is_gone)
        return Handling(
            context,
            source,
            reader,
            worker,
            Decoding(Clicks(), Protection(), fleet.limits),
            lambda lane: fleet._committer(lane, lambda: None),
            fleet.told,
            self.told.append,
            lambda: None,
            stopped,
            takes,
        )

    def call(self, process: Handling, event: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """Call a function, as far as records are concerned."""
        failures = []
        for handed in records_of(event, self.fleet.clock.now_us()):
            left = process.take(shard_of(handed), handed.page, self.fleet.clock.monotonic_s() + seconds)
            failures += [] if left is None else [{"itemIdentifier": left}]
        return {"batchItemFailures": failures}

    def deliver(self, process: Handling) -> int:
        """Give all batches that there are now, of each shard one; tell how many."""
        count = 0
        for shard in self.mapping.shards():
            event = self.mapping.next(shard)
            if event is not None:
                self.mapping.answered(shard, self.call(process, event))
                count += 1
        return count

    def drain(self, process: Handling) -> None:
        for _ in range(200):
            before = self.mapping.shards()
            if not self.deliver(process) and self.mapping.shards() == before:
                return
        raise AssertionError("the mapping has no end")

    def assert_whole(self) -> None:
        """See that each record that was put is counted once."""
        made = self.fleet.plan()
        assert not self.fleet.lacking()
        clicks = self.fleet.covered(made.views["pages"].positions.upto)
        expected: dict[str | None, list[int]] = {}
        for click in clicks:
            expected.setdefault(click.page, []).append(click.cost or 0)
        found = {row["page"]: (row["hits"], row["cost"] or 0) for row in self.fleet.answers(made)["pages"]}
        assert found == {page: (len(costs), sum(costs)) for page, costs in expected.items()}


def shard_of(handed: HandedOver) -> ShardId:
    return ShardId(f"{STREAM}/{handed.shard}")


def clicks(number: int, seed: int = 0) -> list[Click | None]:
    rng = random.Random(seed)
    return [
        Click(rng.randrange(9), None, rng.choice(["/", "/a"]), rng.randrange(9), None, f"id-{next(NUMBERS)}")
        for _ in range(number)
    ]


def put(site: Site, number: int, key: str = "k") -> None:
    site.fleet.put(key, clicks(number))
    site.fleet.clock.advance(1)


def land(site: Site) -> None:
    """Let what is under way to the journal arrive there."""
    while site.fleet.journal.in_flight:
        site.fleet.journal.land(0)
