"""A lease table: read whole, and written lease by lease, each under the counter that was read.

KCL 3.0 to 3.4 keep what their workers tell of themselves in two tables beside it, 3.5 in the table itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from shardlake.adapters.dynamodb.port import ConditionFailed, DynamoCalls, Item
from shardlake.adapters.kcl.lease import (
    ENTITY,
    KEY,
    LEASE,
    Lease,
    LeaseRefused,
    Version,
    entity_of,
    new_item,
    read_lease,
)
from shardlake.core.errors import ConfigError, OutcomeUnknown, Transient
from shardlake.core.limits import Limits
from shardlake.core.ports import Clock

SIDES: Final = ("WorkerMetricStats", "CoordinatorState")
LEADER: Final = "Leader"
_PAGES_MAX: Final = 100_000  # an end to a loop


@dataclass(frozen=True, slots=True)
class Contents:
    """What one look at a lease table showed: its leases, and the other items of KCL 3 by table and key."""

    leases: tuple[Lease, ...]
    others: Mapping[tuple[str, str], Item] = field(default_factory=dict)

    @property
    def workers(self) -> Iterator[tuple[str, Item]]:
        """What workers tell of themselves, by their names."""
        return ((key, item) for (_, key), item in self.others.items() if "lut" in item)

    @property
    def is_single(self) -> bool:
        """Tell whether other items are among the leases, as KCL 3.5 has it."""
        return any(side == "" for side, _ in self.others)


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """A lease table, named as KCL's application is."""

    calls: DynamoCalls
    name: str
    clock: Clock
    limits: Limits

    def read(self) -> Contents:
        """Read everything, strongly consistent. Raises: as `DynamoCalls.call`; LeaseRefused if it is no lease table."""
        leases: list[Lease] = []
        others: dict[tuple[str, str], Item] = {}
        for item in self._scan(self.name):
            if entity_of(item) == LEASE:
                leases.append(read_lease(item))
            else:
                others["", str(item[KEY].get("S"))] = item
        for side in SIDES:
            with suppress(ConfigError):  # only KCL 3.0 to 3.4 has it
                for item in self._scan(f"{self.name}-{side}"):
                    name = item.get("wid") or item.get("key") or {}
                    others[side, str(name.get("S"))] = item
        return Contents(tuple(sorted(leases, key=lambda lease: lease.key)), others)

    def create(self, lease: Lease, version: Version) -> None:
        """Write a lease that is not there. Raises: LeaseRefused if it is, otherwise; as `DynamoCalls.call`."""
        condition = {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": KEY}}
        self._write("PutItem", {"TableName": self.name, "Item": new_item(lease, version), **condition}, lease)

    def update(self, before: Lease, lease: Lease, version: Version) -> None:
        """Move a lease that is as it was read to where another one stands, without an owner.

        Raises: LeaseRefused if it moved; as `DynamoCalls.call`.
        """
        wanted = new_item(lease, version)
        names = ["checkpoint", "checkpointSubSequenceNumber", "ownerSwitchesSinceCheckpoint", "leaseCounter"]
        names += [name for name in ("childShardIds", ENTITY) if name in wanted]
        gone = ["leaseOwner", "checkpointOwner", "pendingCheckpoint"]
        gone += ["pendingCheckpointSubSequenceNumber", "pendingCheckpointState"]
        aliases = {f"#a{i}": name for i, name in enumerate([*names, *gone])}
        by_name = {name: alias for alias, name in aliases.items()}
        sets = ", ".join(f"{by_name[name]} = :{by_name[name][1:]}" for name in names)
        removes = ", ".join(by_name[name] for name in gone)
        values = {f":{by_name[name][1:]}": wanted[name] for name in names}
        request = {
            "TableName": self.name,
            "Key": {KEY: {"S": lease.key}},
            "UpdateExpression": f"SET {sets} REMOVE {removes}",
            "ConditionExpression": f"{by_name['leaseCounter']} = :before",
            "ExpressionAttributeNames": aliases,
            "ExpressionAttributeValues": values | {":before": {"N": str(before.counter)}},
        }
        self._write("UpdateItem", request, lease)

    def _write(self, action: str, request: Mapping[str, Any], wanted: Lease) -> None:
        """Send a conditional write until it is known what became of it."""
        try:
            self._sent(action, request)
        except ConditionFailed:
            if not self._stands(wanted):  # else an answer of ours was lost
                raise LeaseRefused(
                    f"lease {wanted.key} in {self.name} was changed while it was being written: stop every worker of"
                    " the application, and export again; start none of them before that is done"
                ) from None

    def _stands(self, wanted: Lease) -> bool:
        request = {"TableName": self.name, "Key": {KEY: {"S": wanted.key}}, "ConsistentRead": True}
        item = self._sent("GetItem", request).get("Item")
        if item is None:
            return False
        found = read_lease(item)
        return (found.checkpoint, found.sub, found.counter, found.owner) == (
            wanted.checkpoint, wanted.sub, wanted.counter, "",
        )  # fmt: skip

    def _scan(self, table: str) -> Iterator[Item]:
        request: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
        for _ in range(_PAGES_MAX):
            answer = self._sent("Scan", request)
            items: Sequence[Item] = answer.get("Items", [])
            yield from items
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        raise Transient(f"the scan of table {table} does not end after {_PAGES_MAX} pages")

    def _sent(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = patiently(lambda: self.calls.call(action, request), self.clock, self.limits)
        return answer


def patiently(call: Callable[[], Any], clock: Clock, limits: Limits) -> Any:
    """Call, again and again while that may help; for what may be sent twice. Raises: what the last try did."""
    pause = limits.retry_first_s
    for left in reversed(range(limits.commit_retries_max)):
        try:
            return call()
        except (Transient, OutcomeUnknown):
            if not left:
                raise
        clock.sleep_s(pause)
        pause = min(2 * pause, limits.retry_longest_s)
    raise AssertionError("there is at least one try")
