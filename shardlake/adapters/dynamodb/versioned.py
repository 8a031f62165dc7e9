"""A table of items that each say which version they are: a version is put once, and never over a newer one.

A removed item stays as its key, its version and a mark, so that a version from before its removal cannot come back:

    {"id": {"S": "x"}, "price": {"N": "2.55"}, "_shardlake_version": {"S": "0284421…0017.0011"}}
    {"id": {"S": "x"}, "_shardlake_version": {"S": "0284421…0054.0010"}, "_shardlake_removed": {"BOOL": true}}

Each put is conditional on what stands there, so that it may be sent again, late, or by somebody else too.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from shardlake.adapters.dynamodb.port import ConditionFailed, DynamoCalls, Item
from shardlake.core.errors import ConfigError, OutcomeUnknown, Terminal, Transient
from shardlake.core.ports import Clock

VERSION: Final = "_shardlake_version"
REMOVED: Final = "_shardlake_removed"
EXPIRES: Final = "_shardlake_expires"
OWN: Final = (VERSION, REMOVED, EXPIRES)
DAY_S: Final = 86_400
_OLDER: Final = "attribute_not_exists(#v) OR #v < :v"
_WORKING: Final = ("ACTIVE", "UPDATING")
_REMOVED: Final = {"BOOL": True}

Outcome = Literal["put", "there", "newer"]  # of a version that stood there already, and of one that came too late


@dataclass(frozen=True, slots=True)
class ItemVersion:
    """An item as some change left it: `version` is the position of the change, in the order of texts."""

    version: str
    image: Item = field(repr=False)
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one put is tried: from the first pause, doubled up to the longest, until the end."""

    first_s: float = 0.05
    longest_s: float = 2.0
    bound_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Described:
    """A table that can be written to: its key's attributes, and what tells it from another one of its ARN."""

    name: str
    arn: str
    keys: tuple[str, ...]
    identity: str


def describe(calls: DynamoCalls, table: str) -> Described:
    """See that a table can be used. Raises: ConfigError; Transient if it is being made; as the calls."""
    found = calls.call("DescribeTable", {"TableName": table})["Table"]
    if found["TableStatus"] == "CREATING":
        raise Transient(f"table {table} is being made: wait for it")
    if found["TableStatus"] not in _WORKING:
        raise ConfigError(f"table {table} is {found['TableStatus']}: see to it, or name another with --table")
    keys = tuple(one["AttributeName"] for one in found["KeySchema"])
    if own := [name for name in keys if name in OWN]:
        raise ConfigError(f"table {table} has {own[0]} in its key, which tells of versions: make one with other keys")
    told = found.get("TableId") or found.get("CreationDateTime")
    return Described(table, str(found.get("TableArn") or table), keys, str(told))


class VersionedTable:
    """Puts versions of items into a table that was described. It may be shared by threads.

    With `removed_days` what tells of a removed item expires so long after it was written, if the table's time to live
    is on `_shardlake_expires`: no older version may come after that.
    """

    def __init__(
        self,
        calls: DynamoCalls,
        table: Described,
        clock: Clock,
        chance: random.Random,
        removed_days: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.table = table
        self._calls, self._clock, self._chance = calls, clock, chance
        self._removed_days, self._patience = removed_days, patience or Patience()

    def put(self, one: ItemVersion) -> Outcome:
        """Put a version, unless that or a newer one is there.

        Raises: Transient or OutcomeUnknown when patience is over, and it may be put again; ConfigError; Terminal if the
        table will never take it.
        """
        request = {
            "TableName": self.table.name,
            "Item": self._item(one),
            "ConditionExpression": _OLDER,
            "ExpressionAttributeNames": {"#v": VERSION},
            "ExpressionAttributeValues": {":v": {"S": one.version}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        began_s, pause_s = self._clock.monotonic_s(), self._patience.first_s
        while True:
            try:
                self._calls.call("PutItem", request)
            except ConditionFailed as error:
                return self._refused(one, error)
            except (Transient, OutcomeUnknown):  # the condition makes it safe to send what may have been applied
                if self._clock.monotonic_s() - began_s + pause_s > self._patience.bound_s:
                    raise
            else:
                return "put"
            self._clock.sleep_s(self._chance.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, self._patience.longest_s)

    def _refused(self, one: ItemVersion, error: ConditionFailed) -> Outcome:
        there = next(iter(error.items), None) or {}
        return "there" if there.get(VERSION, {}).get("S") == one.version else "newer"

    def _item(self, one: ItemVersion) -> dict[str, Mapping[str, Any]]:
        """The item as it is put. What a table that is itself such a copy says of its versions is left out."""
        lacking = [name for name in self.table.keys if name not in one.image]
        if lacking:
            raise Terminal(
                f"the item of version {one.version} has no attribute {lacking[0]}, which is in the key of table"
                f" {self.table.name}: name a table with the key of the one that is followed"
            )
        version: dict[str, Mapping[str, Any]] = {VERSION: {"S": one.version}}
        if not one.is_removed and one.image.get(REMOVED) != _REMOVED:
            return {name: value for name, value in one.image.items() if name not in OWN} | version
        version |= {name: one.image[name] for name in self.table.keys}
        if self._removed_days is not None:
            expires_s = self._clock.now_us() // 1_000_000 + self._removed_days * DAY_S
            version[EXPIRES] = {"N": str(expires_s)}
        return version | {REMOVED: _REMOVED}
