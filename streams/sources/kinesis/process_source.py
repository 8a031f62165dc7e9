"""The engine `kinesis-python`: the source that reads Kinesis through a process for each shard.

    processes = ShardProcesses(client, aws)
    source = ProcessSource(settings, processes, executor, clock, limits, stopped, processes)
    ...
    processes.close()

Positions, pace, gaps and ends are `KinesisSource`'s; only where its pages come from is another matter. What is asked
may pass through something that counts it on its way to the processes.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from shardlake.adapters.kinesis.port import KinesisReader
from shardlake.core.journal.objects import HeldShard
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock
from streams.sources.kinesis.shard_processes import ShardProcesses
from streams.sources.kinesis.source import KinesisSettings, KinesisSource
from streams.sources.port import SourceGap


class ProcessSource(KinesisSource):
    """A Kinesis source whose pages come out of processes, each of which ends when its shard is released."""

    def __init__(
        self,
        settings: KinesisSettings,
        api: KinesisReader,
        executor: Executor,
        clock: Clock,
        limits: Limits,
        stopped: Callable[[SourceGap], None],
        processes: ShardProcesses,
    ) -> None:
        super().__init__(settings, api, executor, clock, limits, stopped)
        self._processes = processes

    def hold(self, held: Mapping[str, HeldShard]) -> None:
        """Read these shards and no others. Raises: as `list`."""
        super().hold(held)
        self._processes.keep([reader.name for reader in self._readers.values()])
