"""Splits and merges, one at a time or as many as an even distribution takes."""

from itertools import pairwise

from shardlake.testing.kinesis.shard import HASH_KEYS, Shard
from shardlake.testing.kinesis.stream import Stream


def begin_even(stream: Stream, count: int, now_ms: int) -> None:
    """Open the first shards of a stream: `count` even parts of the hash keys."""
    borders = even_borders(count)
    for begin, after in pairwise(borders):
        stream.add_shard(begin, after - 1, now_ms)
    stream.assert_tiled()


def split(stream: Stream, shard: Shard, at: int, now_ms: int) -> tuple[Shard, Shard]:
    """Close a shard and open two: up to `at`, exclusive, and from it."""
    left = stream.add_shard(shard.begin, at - 1, now_ms, (shard,))
    right = stream.add_shard(at, shard.end, now_ms, (shard,))
    stream.assert_tiled()
    return left, right


def merge(stream: Stream, shard: Shard, adjacent: Shard, now_ms: int) -> Shard:
    """Close two shards that meet and open one."""
    begin, end = min(shard.begin, adjacent.begin), max(shard.end, adjacent.end)
    made = stream.add_shard(begin, end, now_ms, (shard, adjacent))
    stream.assert_tiled()
    return made


def make_even(stream: Stream, count: int, now_ms: int) -> None:
    """Bring a stream to `count` even shards, by splits at the new borders and then merges between them.

    As on AWS, shards may come to be on the way that close at once and hold nothing.
    """
    borders = even_borders(count)
    for border in borders[1:-1]:
        shard = stream.route(border.to_bytes(16, "big"))
        if shard.begin != border:
            split(stream, shard, border, now_ms)
    for begin, after in pairwise(borders):
        shard = stream.route(begin.to_bytes(16, "big"))
        while shard.end != after - 1:
            shard = merge(stream, shard, stream.route((shard.end + 1).to_bytes(16, "big")), now_ms)


def even_borders(count: int) -> list[int]:
    """Give the first hash key of each of `count` parts, and the end of all; the last part takes what is left over."""
    width = HASH_KEYS // count
    return [*(width * part for part in range(count)), HASH_KEYS]
