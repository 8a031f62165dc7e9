"""Kinesis as one process sees it: what it refuses, what it does not answer, and what it answers wrongly for a while."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shardlake.adapters.kinesis.direct import CallApi
from shardlake.testing.kinesis import EmbeddedKinesis
from shardlake.testing.simulation.faults import Faults, Process

REFUSALS: Final = {
    "fails": (500, "InternalFailure"),
    "refused as throttled": (400, "ProvisionedThroughputExceededException"),
    "refused as one too many": (400, "LimitExceededException"),
    "refused as in use": (400, "ResourceInUseException"),
    "refused as expired": (400, "ExpiredIteratorException"),
}
STREAM: Final = "numbers"
NO_ANSWER: Final = (0, b"")
Fields = dict[str, Any]


@dataclass(slots=True)
class Service:
    """One stream's service, and what it answered to the last listing."""

    kinesis: EmbeddedKinesis
    faults: Faults
    listed: list[Fields] = field(default_factory=list)

    def client(self, process: Process) -> CallApi:
        """Give a process its client."""
        return CallApi(lambda action, body: self._call(process, action, body))

    def _call(self, process: Process, action: str, body: bytes) -> tuple[int, bytes]:
        call = f"kinesis.{action}"
        fault = self.faults.at(process, call)
        effect = fault.effect if fault is not None else ""
        if effect in REFUSALS:
            status, code = REFUSALS[effect]
            return status, msgspec.json.encode({"__type": code, "message": "by the schedule"})
        response = self.kinesis.call(action, body)
        if effect == "is not answered":
            return NO_ANSWER
        answer = response.body
        if response.status == 200 and action == "ListShards" and b"ShardFilter" not in body:
            answer = self._listing(answer, effect)
        elif response.status == 200 and effect in _WRONG:
            answer = _changed(answer, _WRONG[effect])
        elif response.status != 200:
            self.faults.count(f"{call} {msgspec.json.decode(answer)['__type']}")
        count_page(self.faults, answer)
        self.faults.at(process, call, after=True)
        return int(response.status), answer

    def _listing(self, answer: bytes, effect: str) -> bytes:
        """Give a listing as it is, or as it was before, or inconsistent."""
        found: list[Fields] = msgspec.json.decode(answer)["Shards"]
        before, self.listed = self.listed, found
        if effect == "is stale" and before:
            found = before
        elif effect in GRAPHS:
            found = GRAPHS[effect](found)
        else:
            return answer
        return _changed(answer, lambda fields: {**fields, "Shards": found})


def count_page(faults: Faults, answer: bytes) -> None:
    """Take note of a page without records, where that is more than nothing to read."""
    if answer.startswith(b'{"Records":[]'):
        if b'"NextShardIterator"' not in answer:
            faults.count("an end is told by an empty page")
        elif b'"MillisBehindLatest"' in answer and b'"MillisBehindLatest":0,' not in answer:
            faults.count("a page is empty before the tip")


def _changed(answer: bytes, change: Callable[[Fields], Fields]) -> bytes:
    return msgspec.json.encode(change(msgspec.json.decode(answer)))


def _parents(shard: Fields) -> list[str]:
    return [shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard]


def _without_children(shards: list[Fields]) -> list[Fields]:
    """Leave the newest shard out that has parents."""
    newest = max((s["ShardId"] for s in shards if _parents(s)), default="")
    return [s for s in shards if s["ShardId"] != newest]


def _without_parents(shards: list[Fields]) -> list[Fields]:
    """Leave a parent out whose child is listed."""
    last = max((parent for s in shards for parent in _parents(s)), default="")
    return [s for s in shards if s["ShardId"] != last]


def _with_open_parents(shards: list[Fields]) -> list[Fields]:
    """Show every shard as if it were still open."""
    starts = [s["SequenceNumberRange"]["StartingSequenceNumber"] for s in shards]
    ranges = [{"StartingSequenceNumber": start} for start in starts]
    return [{**s, "SequenceNumberRange": numbers} for s, numbers in zip(shards, ranges, strict=True)]


def _never_ends(fields: Fields) -> Fields:
    """Name no children where a shard ends."""
    return {**fields, "ChildShards": []} if "ChildShards" in fields else fields


def _ends(fields: Fields) -> Fields:
    """Give no iterator at the tip, as if the shard had ended."""
    if fields["MillisBehindLatest"]:
        return fields
    return {name: value for name, value in fields.items() if name != "NextShardIterator"}


GRAPHS: Final[dict[str, Callable[[list[Fields]], list[Fields]]]] = {
    "lacks a child": _without_children,
    "lacks a parent": _without_parents,
    "shows parents as open": _with_open_parents,
}
_WRONG: Final[dict[str, Callable[[Fields], Fields]]] = {"names no children": _never_ends, "ends too early": _ends}
