"""One lease of the Kinesis Client Library as an item of DynamoDB: KCL 2.x, 3.0 to 3.4, and 3.5 with its single table.

    {"leaseKey": {"S": "shardId-000000000001"}, "leaseCounter": {"N": "17"}, "leaseOwner": {"S": "worker-1"},
     "checkpoint": {"S": "49590338271490256608559692538361571095921575989136588898"},
     "checkpointSubSequenceNumber": {"N": "0"}, "ownerSwitchesSinceCheckpoint": {"N": "2"},
     "parentShardId": {"SS": ["shardId-000000000000"]}, "startingHashKey": {"S": "0"}, "endingHashKey": {"S": "99"}}

Two versions differ in this only: 3.5 keeps other items beside the leases, and so says of each what it is. The item of a
table of several streams names its stream, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from shardlake.adapters.dynamodb.port import Item
from shardlake.core.errors import Terminal

KEY: Final = "leaseKey"
ENTITY: Final = "entityType"
LEASE: Final = "LEASE"
SHARD_END: Final = "SHARD_END"
TRIM_HORIZON: Final = "TRIM_HORIZON"
LATEST: Final = "LATEST"
AT_TIMESTAMP: Final = "AT_TIMESTAMP"
# In KCL's order, before all sequence numbers.
BEGINNINGS: Final = (AT_TIMESTAMP, TRIM_HORIZON, LATEST)

Version = Literal["2", "3.0", "3.5"]


class LeaseRefused(Terminal):
    """A lease table cannot be taken over, or written, as it is."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a lease says.

    `stream` is the stream's identifier ("" in a table of one stream), `sub` the number of the user record in its
    aggregate. `owner` may be a worker that is long gone; `handing` is the one that still holds a lease which is being
    handed over to the owner. `pending` tells of a second position that an application prepared and did not confirm.
    """

    shard: str
    checkpoint: str
    sub: int = 0
    stream: str = ""
    counter: int = 0
    switches: int = 0
    owner: str = ""
    handing: str = ""
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    hashes: tuple[str, str] | None = None
    pending: bool = False

    @property
    def key(self) -> str:
        """The key of its item."""
        return f"{self.stream}:{self.shard}" if self.stream else self.shard

    @property
    def is_ended(self) -> bool:
        """Tell whether its shard was read to the end."""
        return self.checkpoint == SHARD_END

    @property
    def order(self) -> tuple[int, int, int]:
        """Where it stands, in KCL's order."""
        if self.is_ended:
            return 2, 0, 0
        if self.checkpoint in BEGINNINGS:
            return 0, BEGINNINGS.index(self.checkpoint), 0
        return 1, int(self.checkpoint), self.sub

    @property
    def told(self) -> str:
        """Where it stands, for a person."""
        return f"{self.checkpoint}/{self.sub}" if self.sub else self.checkpoint


def entity_of(item: Item) -> str:
    """Say what an item of a lease table is: a lease, unless it says something else."""
    return str(item.get(ENTITY, {}).get("S", LEASE))


def read_lease(item: Item) -> Lease:
    """Read an item that is a lease. Raises: LeaseRefused if an attribute is missing or wrong."""
    key = _text(item, KEY)
    try:
        return _read(item, key)
    except (KeyError, TypeError, ValueError):
        raise LeaseRefused(
            f"the item {key or 'without a leaseKey'} is no lease of the Kinesis Client Library: see that --table names"
            " a lease table"
        ) from None


def _read(item: Item, key: str) -> Lease:
    stream, shard = _text(item, "streamName"), _text(item, "shardId")
    if not stream:
        stream, _, shard = key.rpartition(":")  # a shard's name has no colon
    checkpoint = item["checkpoint"]["S"]
    if checkpoint not in (*BEGINNINGS, SHARD_END) and not (checkpoint.isascii() and checkpoint.isdecimal()):
        raise ValueError(checkpoint)
    start, end = _text(item, "startingHashKey"), _text(item, "endingHashKey")
    return Lease(
        shard or key,
        checkpoint,
        _number(item, "checkpointSubSequenceNumber"),
        stream,
        int(item["leaseCounter"]["N"]),
        _number(item, "ownerSwitchesSinceCheckpoint"),
        _text(item, "leaseOwner"),
        _text(item, "checkpointOwner"),
        _names(item, "parentShardId"),
        _names(item, "childShardIds"),
        (start, end) if start and end else None,
        # Its state is binary, but a number where KCL created the item with it; only whether there is one matters.
        "pendingCheckpoint" in item,
    )


def new_item(lease: Lease, version: Version) -> dict[str, dict[str, Any]]:
    """Write a lease as KCL creates it."""
    item: dict[str, dict[str, Any]] = {
        KEY: {"S": lease.key},
        "leaseCounter": {"N": str(lease.counter)},
        "checkpoint": {"S": lease.checkpoint},
        "checkpointSubSequenceNumber": {"N": str(lease.sub)},
        "ownerSwitchesSinceCheckpoint": {"N": str(lease.switches)},
    }
    if lease.parents:  # an empty set is no value of DynamoDB
        item["parentShardId"] = {"SS": sorted(lease.parents)}
    if lease.children:
        item["childShardIds"] = {"SS": sorted(lease.children)}
    if lease.hashes:
        item["startingHashKey"], item["endingHashKey"] = ({"S": text} for text in lease.hashes)
    if lease.stream:
        item |= {"streamName": {"S": lease.stream}, "shardId": {"S": lease.shard}}
    return item | ({ENTITY: {"S": LEASE}} if version == "3.5" else {})


def _text(item: Item, name: str) -> str:
    return str(item.get(name, {}).get("S", ""))


def _number(item: Item, name: str) -> int:
    value: Mapping[str, Any] = item.get(name, {"N": "0"})
    return int(value["N"])


def _names(item: Item, name: str) -> tuple[str, ...]:
    """Read a set of shards; some writers put one text in its place."""
    value = item.get(name, {"SS": []})
    names = value["SS"] if "SS" in value else [value["S"]]
    return tuple(sorted(str(one).rpartition(":")[2] for one in names))
