"""What time does by itself: shards roll over, streams are forgotten, items expire."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from shardlake.testing.dynamodb.shard import Shard
from shardlake.testing.dynamodb.stream import Stream
from shardlake.testing.dynamodb.table import Table
from shardlake.testing.dynamodb.world import World

_NEVER: Final = float("inf")
_FIVE_YEARS_S: Final = 5 * 365 * 86_400


def settle(world: World) -> None:
    """Do all that is due, in its order, and find out when something is due again."""
    now_s = world.clock.monotonic_s()
    for stream in list(world.streams.values()):
        _settle_stream(world, stream, now_s)
    for table in world.tables.values():
        if table.sweep_s <= now_s:
            table.sweep_s = now_s + world.behaviour.ttl_sweep_s
            _sweep(world, table)
    world.due_s = next_due(world)


def next_due(world: World) -> float:
    """Give the time at which something is due by itself."""
    rolls = (shard.roll_s for stream in world.streams.values() for shard in stream.open_shards())
    sweeps = (table.sweep_s for table in world.tables.values())
    return min((*rolls, *sweeps), default=_NEVER)


def _settle_stream(world: World, stream: Stream, now_s: float) -> None:
    while True:
        due = min(stream.open_shards(), key=lambda shard: shard.roll_s, default=None)
        if due is None or due.roll_s > now_s:
            return
        follow(world, stream, due, 1, due.roll_s)


# ------------------------------------------------------------------------------------------------------ streams


def enable(world: World, table: Table, view: str) -> None:
    """Give a table a new stream."""
    made_ms = world.now_ms()
    while (arn := f"{table.arn}/stream/{_label(made_ms)}") in world.streams:
        made_ms += 1
    keys = [dict(each) for each in table.request["KeySchema"]]
    stream = table.stream = world.streams[arn] = Stream(table.name, arn, _label(made_ms), view, keys, made_ms)
    table.latest = {"LatestStreamArn": stream.arn, "LatestStreamLabel": stream.label}
    now_s = world.clock.monotonic_s()
    stream.begin(world.behaviour.stream_shards, world.chance, now_s)
    for shard in stream.open_shards():
        _plan_roll(world, shard)


def _label(made_ms: int) -> str:
    moment = datetime.fromtimestamp(made_ms / 1000, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def disable(world: World, table: Table) -> None:
    """End a table's stream: it can be read on until it is forgotten."""
    assert table.stream is not None
    table.stream.disable(world.clock.monotonic_s())
    table.stream = None


def follow(world: World, stream: Stream, shard: Shard, count: int, at_s: float) -> None:
    """Close a shard and open one child of it, or two."""
    passed_ms = round((world.clock.monotonic_s() - at_s) * 1000)
    stream.follow(shard, count, world.chance, world.now_ms() - passed_ms, at_s)
    for child in shard.children:
        _plan_roll(world, child)


def _plan_roll(world: World, shard: Shard) -> None:
    life_s, jitter = world.behaviour.roll_s, world.behaviour.roll_jitter
    if life_s is not None:
        shard.roll_s = shard.made_s + life_s * (1 + world.chance.uniform(-jitter, jitter))
        world.due_s = min(world.due_s, shard.roll_s)


# -------------------------------------------------------------------------------------------------------- items


def expire(world: World, table: Table, attribute: str | None) -> None:
    """Let the items of a table expire by an attribute, or by none."""
    table.ttl = attribute
    table.sweep_s = _NEVER if attribute is None else world.clock.monotonic_s() + world.behaviour.ttl_sweep_s
    world.due_s = min(world.due_s, table.sweep_s)


def _sweep(world: World, table: Table) -> None:
    """Delete what has expired: an item whose attribute is a number of seconds in the past, five years at most."""
    assert table.ttl is not None
    now_s = Decimal(world.now_ms()) / 1000 - Decimal(world.behaviour.ttl_lag_s)
    for key, (item, _) in list(table.items.items()):
        text = item.get(table.ttl, {}).get("N")
        if text is not None and now_s - _FIVE_YEARS_S < Decimal(text) <= now_s and key not in table.locked:
            world.write(table, key, None, expired=True)
