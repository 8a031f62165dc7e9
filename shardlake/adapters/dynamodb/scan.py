"""A table's items, read once, page by page, as lines of a stream of changes: each item an image that comes.

Reads are strongly consistent: an item is as it was at some moment between the beginning and the end of the scan, and
none is missing that was there all the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shardlake.adapters.dynamodb.port import DynamoCalls
from shardlake.core.errors import Transient
from shardlake.core.ports import Clock

EVENT: Final = "BOOTSTRAP"
TRIES_MAX: Final = 10
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    """An attribute of a table's key, with its type: S, N or B."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class TableScan:
    """Scans one table. `page_items` bounds a page, beside the service's megabyte; 0 leaves it to the service."""

    calls: DynamoCalls
    table: str
    clock: Clock
    page_items: int = 0
    pause_s: float = 0.1

    def keys(self) -> tuple[KeyAttribute, ...]:
        """Give the attributes of the table's key. Raises: as `DynamoCalls.call`."""
        found = self._call("DescribeTable", {"TableName": self.table})["Table"]
        types = {each["AttributeName"]: each["AttributeType"] for each in found["AttributeDefinitions"]}
        return tuple(KeyAttribute(k["AttributeName"], types[k["AttributeName"]]) for k in found["KeySchema"])

    def pages(self) -> Iterator[list[bytes]]:
        """Read all items, a page of lines at a time. Raises: as `DynamoCalls.call`."""
        request: dict[str, Any] = {"TableName": self.table, "ConsistentRead": True}
        request |= {"Limit": self.page_items} if self.page_items else {}
        while True:
            answer = self._call("Scan", request)
            if items := answer.get("Items"):
                yield [line_of(item) for item in items]
            if not (last := answer.get("LastEvaluatedKey")):
                return
            request = {**request, "ExclusiveStartKey": last}

    def _call(self, action: str, request: dict[str, Any]) -> Any:
        pause_s = self.pause_s
        for _ in range(TRIES_MAX - 1):
            try:
                return self.calls.call(action, request)
            except Transient:  # nothing is changed by a read, so that it may always be sent again
                self.clock.sleep_s(pause_s)
                pause_s *= 2
        return self.calls.call(action, request)


def line_of(item: Any) -> bytes:
    """Write an item as the line of an image that comes.

    >>> line_of({"id": {"S": "x"}})
    b'{"Weight":1,"Event":"BOOTSTRAP","Image":{"id":{"S":"x"}}}'
    """
    return _encode({"Weight": 1, "Event": EVENT, "Image": item})
