"""The producer: puts records, sends again what was not acknowledged, reshards, and tells the auditor."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import EmbeddedKinesis
from shardlake.testing.simulation.auditor import Auditor
from shardlake.testing.simulation.faults import Faults
from shardlake.testing.simulation.modes import Event
from shardlake.testing.simulation.service import STREAM

IDS: Final = 40
TRIES: Final = 5


@dataclass(slots=True)
class Producer:
    """One producer of one stream. What it draws is drawn from `chance`, so that it is the same in every run."""

    kinesis: EmbeddedKinesis
    auditor: Auditor
    clock: ManualClock
    faults: Faults
    chance: Random
    line: Callable[[Event], bytes]
    made: int = 0
    open: list[tuple[str, int, int]] = field(default_factory=list)  # open shards: name, first and last hash key

    def begin(self) -> None:
        """Learn the first shards."""
        for shard in self.kinesis.ask("ListShards", StreamName=STREAM)["Shards"]:
            self._opened(shard, ())

    def put(self, key: int, count: int, together: int) -> None:
        """Put events with one partition key, `together` to a record; what was not acknowledged is sent again."""
        events = [self._event() for _ in range(count)]
        batch = [events[at : at + together] for at in range(0, count, together)]
        loses_answer = self.chance.random() < 0.05
        for _ in range(TRIES):
            left = self._send(key, batch)
            if loses_answer:  # everything is in, or most, and the producer does not know
                self.faults.count("producer hears nothing, and sends again")
                loses_answer = False
                continue
            if not left:
                return
            self.faults.count("a part of a put fails, and is sent again")
            batch = left
            self.clock.advance(0.2)

    def _send(self, key: int, batch: Sequence[list[Event]]) -> list[list[Event]]:
        """Put records; give those that were refused."""
        lines = [b"\n".join(map(self.line, events)) for events in batch]
        entries = [{"Data": base64.b64encode(line).decode(), "PartitionKey": str(key)} for line in lines]
        results: list[dict[str, Any]] = self.kinesis.ask("PutRecords", StreamName=STREAM, Records=entries)["Records"]
        return self._sent(batch, results)

    def put_everywhere(self) -> None:
        """Put one event into each open shard: what was lost before it is told with it at the latest."""
        for _, first, _ in self.open:
            batch = [[self._event()]]
            while batch:
                data = base64.b64encode(self.line(batch[0][0])).decode()
                entries = [{"Data": data, "PartitionKey": "k", "ExplicitHashKey": str(first)}]
                results = self.kinesis.ask("PutRecords", StreamName=STREAM, Records=entries)["Records"]
                batch = self._sent(batch, results)

    def _sent(self, batch: Sequence[list[Event]], results: list[dict[str, Any]]) -> list[list[Event]]:
        left: list[list[Event]] = []
        now_ms = self.clock.now_us() // 1000
        for events, result in zip(batch, results, strict=True):
            if "SequenceNumber" in result:
                self.auditor.put(_name(result["ShardId"]), int(result["SequenceNumber"]), now_ms, events)
            else:
                left.append(events)
        return left

    def _event(self) -> Event:
        self.made += 1
        drawn = self.chance.random()
        if drawn < 0.05:
            return Event(self.made, None, is_broken=True)
        if drawn < 0.15:
            return Event(self.made)
        return Event(self.made, self.chance.randrange(IDS) if drawn < 0.4 else IDS + self.made)

    # --------------------------------------------------------------------------------------------------- shards

    def split(self, index: int) -> None:
        """Split an open shard in two."""
        name, first, last = self.open[index % len(self.open)]
        middle = (first + last) // 2 + 1
        asked = {"ShardToSplit": name, "NewStartingHashKey": str(middle)}
        self._reshard("SplitShard", (name,), asked, "split")

    def merge(self, index: int) -> None:
        """Merge two adjacent open shards, if there are two."""
        if len(self.open) > 1:
            at = index % (len(self.open) - 1)
            (left, _, _), (right, _, _) = self.open[at : at + 2]
            self._reshard("MergeShards", (left, right), {"ShardToMerge": left, "AdjacentShardToMerge": right}, "merge")

    def _reshard(self, action: str, closed: tuple[str, ...], asked: dict[str, str], told: str) -> None:
        known = set(self.auditor.shards)
        self.kinesis.ask(action, StreamName=STREAM, **asked)
        parents = tuple(map(_name, closed))
        unread = any(len(s.log) > s.count for s in (self.auditor.shards[name] for name in parents))
        self.faults.count(f"{told} with records left" if unread else told)
        self.open = [shard for shard in self.open if shard[0] not in closed]
        for shard in self.kinesis.ask("ListShards", StreamName=STREAM)["Shards"]:
            if _name(shard["ShardId"]) not in known:
                self._opened(shard, parents)

    def _opened(self, shard: dict[str, Any], parents: tuple[str, ...]) -> None:
        self.auditor.opened(_name(shard["ShardId"]), parents, self.clock.now_us() // 1000)
        keys = shard["HashKeyRange"]
        self.open.append((shard["ShardId"], int(keys["StartingHashKey"]), int(keys["EndingHashKey"])))
        self.open.sort(key=lambda found: found[1])


def _name(shard: str) -> str:
    return f"{STREAM}/{shard}"
