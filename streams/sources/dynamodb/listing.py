"""What a listing of a stream's shards says, where it does not contradict itself."""

from collections.abc import Container, Sequence

from shardlake.adapters.dynamodb.stream_wire import RETENTION_S, created_us
from shardlake.adapters.kinesis.wire import ShardInfo


def whole(found: Sequence[ShardInfo], now_us: int, taken: Container[str] = ()) -> tuple[ShardInfo, ...]:
    """Leave out shards that began less than a day ago and whose parent is not listed, with all that follow them.

    Such a parent has not expired: it comes with a later listing, and its child too. Taking the child now would read it
    before its parent, or take the parent for lost. Those that are `taken` stay all the same.
    """
    kept = {info.shard_id: info for info in found}
    young = [info for info in found if _is_young(info, now_us) and info.shard_id not in taken]
    while orphans := [i for i in young if i.shard_id in kept and set(i.parents) - kept.keys()]:
        for info in orphans:
            del kept[info.shard_id]
    return tuple(kept.values())


def name_of(shard: str) -> str:
    """Give a shard's name in its stream.

    >>> name_of("orders/shardId-00000001414576573621-f55eea83")
    'shardId-00000001414576573621-f55eea83'
    """
    return shard.rpartition("/")[2]


def _is_young(info: ShardInfo, now_us: int) -> bool:
    began_us = created_us(info.shard_id)
    return began_us is not None and now_us - began_us < RETENTION_S * 1_000_000
