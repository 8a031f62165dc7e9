"""A Kinesis stream as the source: the service, who puts into it, and each process' source over it."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Final

from shardlake.core.limits import Limits
from shardlake.testing.clock import ManualClock
from shardlake.testing.fleet import Inline
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis
from shardlake.testing.simulation.auditor import Auditor
from shardlake.testing.simulation.faults import Faults, Process
from shardlake.testing.simulation.modes import Rows
from shardlake.testing.simulation.producer import Producer
from shardlake.testing.simulation.schedule import Setup
from shardlake.testing.simulation.service import STREAM, Service
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.port import SourceGap

RETENTION_H: Final = 24


class Kinesis:
    """See `shardlake.testing.simulation.world.Stream` for the contract."""

    def __init__(
        self, setup: Setup, auditor: Auditor, clock: ManualClock, faults: Faults, rows: Rows, seed: int
    ) -> None:
        behaviour = replace(
            Behaviour.unlimited(),
            page_records_max=setup.page_records,
            empty_pages=setup.empty_pages,
            end_apart=setup.end_apart,
            failing_records=setup.failing_records,
            reads_per_s=setup.reads_per_s,
            retention_hours=RETENTION_H,
        )
        self._kinesis = EmbeddedKinesis(clock, Random(seed), behaviour)
        self._kinesis.ask("CreateStream", StreamName=STREAM, ShardCount=setup.shards)
        self._service, self._on_gap = Service(self._kinesis, faults), setup.on_gap
        self._producer = Producer(self._kinesis, auditor, clock, faults, Random(seed + 1), rows.line)
        self._producer.begin()
        self.put, self.put_everywhere = self._producer.put, self._producer.put_everywhere
        self.split, self.merge = self._producer.split, self._producer.merge

    @property
    def made(self) -> int:
        """How many events were made."""
        return self._producer.made

    @property
    def shards(self) -> int:
        """How many shards are open."""
        return len(self._producer.open)

    def calm(self) -> None:
        """Let the service do nothing that it seldom does, and give large pages."""
        self._kinesis.behaviour = replace(Behaviour.unlimited(), retention_hours=RETENTION_H)

    def source(
        self, process: Process, pinned_us: int, limits: Limits, stopped: Callable[[SourceGap], None]
    ) -> KinesisSource:
        """Make a process' source."""
        settings = KinesisSettings(STREAM, STREAM, self._on_gap, pinned_us)
        return KinesisSource(settings, self._service.client(process), Inline(), process.clock, limits, stopped)
