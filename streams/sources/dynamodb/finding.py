"""Whose records they are, where only their numbers are told."""

from dataclasses import dataclass, field

from shardlake.adapters.dynamodb.stream_port import Trimmed
from shardlake.adapters.kinesis.port import KinesisReader, ShardGone
from shardlake.adapters.kinesis.wire import ShardInfo
from shardlake.core.errors import ConfigError, Terminal, Transient


@dataclass(slots=True)
class ShardFinder:
    """Finds the shard of a record by asking for it; what was listed, and where one was found last, is remembered."""

    api: KinesisReader
    stream: str
    _listed: tuple[ShardInfo, ...] = ()
    _last: list[str] = field(default_factory=list)

    def shard_of(self, number: str) -> str:
        """Name the shard that has a record. Raises: Transient if none has it (yet); as the port."""
        tried: set[str] = set()
        for is_new in (False, True):
            if is_new or not self._listed:
                self._listed = self.api.list_shards(self.stream)
            for shard in self._candidates(int(number)):
                if shard not in tried and self._has(shard, number):
                    self._last = [shard, *(name for name in self._last if name != shard)]
                    return shard
                tried.add(shard)
        raise Transient(f"no shard of {self.stream} has the record {number}: it is looked for with the next call")

    def _candidates(self, number: int) -> list[str]:
        fits = {
            info.shard_id
            for info in self._listed
            if int(info.start_sequence) <= number and (info.end_sequence is None or number <= int(info.end_sequence))
        }
        known = [shard for shard in self._last if shard in fits]
        return known + [info.shard_id for info in self._listed if info.shard_id in fits - {*known}]

    def _has(self, shard: str, number: str) -> bool:
        try:
            page = self.api.get_records(self.api.iterator(self.stream, shard, "AT_SEQUENCE_NUMBER", number), 1)
        except (Trimmed, ShardGone):
            return False
        except ConfigError:
            raise
        except Terminal:  # the number is none of its range
            return False
        return bool(page.sequences) and int(page.sequences[0]) == int(number)
