"""Whether the workers of a KCL application are at work: what moves in its tables while we look, by our own clock.

A worker renews each of its leases every third of the failover time, looks for leases every second failover time, and
since KCL 3 tells of itself every 30 seconds, as the leader does. No wall clock decides: it only makes us look longer.
"""

from collections.abc import Callable
from typing import Final

from shardlake.adapters.dynamodb.port import Item
from shardlake.adapters.kcl.lease import Lease, LeaseRefused
from shardlake.adapters.kcl.table import LEADER, Contents, LeaseTable
from shardlake.core.ports import Clock

TELLS_EVERY_S: Final = 30.0  # workers of KCL 3 of themselves, and their leader
MARGIN_S: Final = 0.1
STEP_S: Final = 2.0
LOOKS: Final = 4  # so that a fleet at work is mostly noticed early


def watch(table: LeaseTable, clock: Clock, failover_s: float, progress: Callable[[str], None]) -> Contents:
    """Look at a table for longer than its workers could stand still, and give what the last look showed.

    Raises: LeaseRefused if something moved, or a lease is being handed over; as `LeaseTable.read`.
    """
    first = last = table.read()
    _check_handing(first)
    patience_s = 2 * failover_s + MARGIN_S
    if _may_tell(first, clock):
        patience_s = max(patience_s, 2 * TELLS_EVERY_S + MARGIN_S)
    begun_s = clock.monotonic_s()
    for part in range(1, LOOKS + 1):
        _sleep(clock, begun_s, patience_s, part / LOOKS, lambda left: progress(_told(table, first, left)))
        last = table.read()
        _check_handing(last)
        if moved := _moved(first, last):
            raise LeaseRefused(
                f"the application {table.name} is at work: {moved} while it was watched; stop every worker of it first"
            )
    return last


def _told(table: LeaseTable, contents: Contents, left_s: float) -> str:
    return f"watching {len(contents.leases):,} leases of {table.name} for signs of life: {left_s:.0f} s to go"


def _sleep(clock: Clock, begun_s: float, patience_s: float, share: float, tell: Callable[[float], None]) -> None:
    until_s = begun_s + share * patience_s
    while (left := until_s - clock.monotonic_s()) > 0:
        tell(begun_s + patience_s - clock.monotonic_s())
        clock.sleep_s(min(left, STEP_S))


def _check_handing(contents: Contents) -> None:
    for lease in contents.leases:
        if lease.handing:
            raise LeaseRefused(
                f"lease {lease.key} is being handed over from worker {lease.handing} to {lease.owner or 'nobody'}: only"
                " the former may still move it; start the application once more, let it settle, and stop it"
            )


def _may_tell(contents: Contents, clock: Clock) -> bool:
    """Tell whether there is a worker, or a leader, of KCL 3 that may have been at work a minute ago."""
    now_s = clock.now_us() / 1e6
    told = any(abs(now_s - _number(item, "lut")) <= 2 * TELLS_EVERY_S for _, item in contents.workers)
    leading = (item for (_, key), item in contents.others.items() if key == LEADER)
    return told or any(item.get("isReleased", {}).get("S") != "1" for item in leading)


def _number(item: Item, name: str) -> float:
    return float(item[name].get("N", 0))


def _moved(first: Contents, last: Contents) -> str:
    before = {lease.key: lease for lease in first.leases}
    for lease in last.leases:
        was = before.pop(lease.key, None)
        if was is None:
            return f"lease {lease.key} appeared"
        if was != lease:
            return f"lease {lease.key} moved{_by(lease)}"
    if before:
        return f"lease {min(before)} vanished"
    for key in first.others.keys() | last.others.keys():
        if first.others.get(key) != last.others.get(key):
            return f"{'the leader' if key[1] == LEADER else f'the item {key[1]}'} moved"
    return ""


def _by(lease: Lease) -> str:
    return f" under worker {lease.owner}" if lease.owner else ""
