"""What a listing of a stream's shards says, where it does not contradict itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from shardlake.adapters.dynamodb.stream_wire import RETENTION_S, created_us
from shardlake.adapters.kinesis.wire import ShardInfo


@dataclass(frozen=True, slots=True)
class Listed:
    """Shards whose parents are listed too, or may have expired."""

    shards: tuple[ShardInfo, ...]

    @staticmethod
    def of(found: Sequence[ShardInfo], now_us: int) -> "Listed":
        """Leave out shards that began less than a day ago and whose parent is not there, with all that follow them.

        Such a parent has not expired: it comes with a later listing, and its child too. Taking the child now would read
        it before its parent, or take the parent for lost.
        """
        kept = {info.shard_id: info for info in found}
        while orphans := [
            info for info in kept.values() if _is_young(info, now_us) and set(info.parents) - kept.keys()
        ]:
            for info in orphans:
                del kept[info.shard_id]
        return Listed(tuple(kept.values()))


def name_of(shard: str) -> str:
    """Give a shard's name in its stream.

    >>> name_of("orders/shardId-00000001414576573621-f55eea83")
    'shardId-00000001414576573621-f55eea83'
    """
    return shard.rpartition("/")[2]


def _is_young(info: ShardInfo, now_us: int) -> bool:
    began_us = created_us(info.shard_id)
    return began_us is not None and now_us - began_us < RETENTION_S * 1_000_000
