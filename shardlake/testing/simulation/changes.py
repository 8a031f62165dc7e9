"""A table whose changes are the source: the one that changes its items, and DynamoDB Streams as each process sees it.

An image is a number of its own: it counts once when it comes, and is taken back, as the same number below zero, when
it goes. So a view is the multiset of the images that are there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

import msgspec

from shardlake.adapters.dynamodb.stream_calls import DirectStreams
from shardlake.core.limits import Limits
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, Change, EmbeddedDynamo
from shardlake.testing.dynamodb.stream import Stream
from shardlake.testing.fleet import Inline
from shardlake.testing.simulation.auditor import Auditor
from shardlake.testing.simulation.faults import Faults, Process
from shardlake.testing.simulation.modes import Event
from shardlake.testing.simulation.schedule import Setup
from shardlake.testing.simulation.service import GRAPHS, NO_ANSWER, REFUSALS, STREAM, Fields, count_page
from streams.sources.dynamodb.source import DynamoSource
from streams.sources.kinesis.source import KinesisSettings
from streams.sources.port import SourceGap

TABLE: Final = "numbers"
KEY, NUMBER = "id", "serial"
ITEMS: Final = 16
TRIES: Final = 300


@dataclass(slots=True)
class Changes:
    """The table, its stream, and who changes it. What is drawn is drawn from `chance`."""

    setup: Setup
    auditor: Auditor
    clock: ManualClock
    faults: Faults
    seed: int
    made: int = 0
    _chance: Random = field(init=False)
    _dynamo: EmbeddedDynamo = field(init=False)
    _stream: Stream = field(init=False)
    _known: set[str] = field(default_factory=set)
    _open: dict[str, None] = field(default_factory=dict)
    _listed: list[Fields] = field(default_factory=list)
    _there: dict[str, Event] = field(default_factory=dict)  # the image of each item

    def __post_init__(self) -> None:
        setup, self._chance = self.setup, Random(self.seed + 1)
        behaviour = Behaviour.unlimited().changed(
            stream_shards=setup.shards,
            roll_s=setup.roll_s,
            empty_pages=setup.empty_pages,
            end_apart=setup.end_apart,
            children_late_s=setup.late_s,
            expired_listed_s=setup.expired_listed_s,
        )
        self._dynamo = EmbeddedDynamo(self.clock, Random(self.seed), behaviour)
        self._dynamo.ask(
            "CreateTable",
            TableName=TABLE,
            KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        [self._stream] = self._dynamo._world.streams.values()  # noqa: SLF001 - as it is, whatever listings hide
        self._dynamo.watch(self._heard)
        self._look()

    def calm(self) -> None:
        """Let the service do nothing that it seldom does."""
        self._dynamo.behaviour = replace(Behaviour.unlimited(), roll_s=self.setup.roll_s)

    # ------------------------------------------------------------------------------------------ who changes items

    @property
    def shards(self) -> int:
        """How many shards are open."""
        return len(self._open)

    def put(self, key: int, count: int, together: int) -> None:
        """Change items, `together` of them by one batch."""
        for number in range(count):
            self._change(str((key + number // together) % ITEMS))

    def put_everywhere(self) -> None:
        """Change one item in each open shard: what was lost before it is told with it at the latest."""
        left, self._touched = set(self._open), set[str]()
        for number in range(TRIES):
            if left <= self._touched:
                return
            self._change(f"e{number}")

    _touched: set[str] = field(default_factory=set)

    def _change(self, item: str) -> None:
        key = {KEY: {"S": item}}
        if item in self._there and self._chance.random() < 0.3:
            self._ask("DeleteItem", Key=key)
            return
        self.made += 1
        is_broken = self._chance.random() < 0.05
        number = {"S": "?"} if is_broken else {"N": str(self.made)}
        self._ask("PutItem", Item={**key, NUMBER: number, "made": {"N": str(self.made)}})

    def _ask(self, action: str, **request: object) -> None:
        self._dynamo.ask(action, TableName=TABLE, **request)
        self._look()

    def _heard(self, change: Change) -> None:
        self._look()
        events = [image(old, -1) for old in (change.old,) if old] + [image(new, 1) for new in (change.new,) if new]
        present: Any = change.new or change.old
        if change.new:
            self._there[present[KEY]["S"]] = events[-1]
        else:
            self._there.pop(present[KEY]["S"], None)
        self._touched.add(change.shard_id)
        self.auditor.put(_name(change.shard_id), change.number, self.clock.now_us() // 1000, events)

    # ---------------------------------------------------------------------------------------------------- shards

    def split(self, index: int) -> None:
        """Split an open shard in two."""
        self._dynamo.split(TABLE, sorted(self._open)[index % len(self._open)])
        self._look("split")

    def merge(self, index: int) -> None:
        """Let all open shards roll over: none are ever merged."""
        del index
        self._dynamo.roll(TABLE)
        self._look()

    def _look(self, told: str = "roll-over") -> None:
        """Tell the auditor of shards that have begun, and their parents' ends, which time brings about."""
        if self._known.issuperset(self._stream.ids):
            return
        for name in [name for name in self._stream.ids if name not in self._known]:
            parent = self._stream.shards[name].parent
            self._known.add(name)
            self._open[name] = None
            made_ms = self.clock.now_us() // 1000
            if parent is not None and parent in self._open:
                del self._open[parent]
                passed_s = self.clock.monotonic_s() - self._stream.shards[name].made_s
                made_ms -= round(passed_s * 1000)
                shard = self.auditor.shards[_name(parent)]
                self.faults.count(f"{told} with records left" if len(shard.log) > shard.count else told)
            self.auditor.opened(_name(name), (_name(parent),) if parent is not None else (), made_ms)

    # --------------------------------------------------------------------------------------------------- reading

    def source(
        self, process: Process, pinned_us: int, limits: Limits, stopped: Callable[[SourceGap], None]
    ) -> DynamoSource:
        """Make a process' source."""
        api = DirectStreams(lambda action, body: self._call(process, action, body))
        settings = KinesisSettings(STREAM, self._stream.arn, self.setup.on_gap, pinned_us)
        return DynamoSource(settings, api, api, Inline(), process.clock, limits, stopped)

    def _call(self, process: Process, action: str, body: bytes) -> tuple[int, bytes]:
        call = f"streams.{action}"
        fault = self.faults.at(process, call)
        effect = fault.effect if fault is not None else ""
        if effect in REFUSALS:
            status, code = REFUSALS[effect]
            return status, msgspec.json.encode({"__type": code, "message": "by the schedule"})
        response = self._dynamo.call(action, body)
        self._look()
        if effect == "is not answered":
            return NO_ANSWER
        answer = response.body
        if response.status == 200 and action == "DescribeStream" and b"ShardFilter" not in body:
            answer = self._listing(answer, effect)
        elif response.status != 200:
            self.faults.count(f"{call} {msgspec.json.decode(answer)['__type'].rpartition('#')[2]}")
        count_page(self.faults, answer)
        self.faults.at(process, call, after=True)
        return int(response.status), answer

    def _listing(self, answer: bytes, effect: str) -> bytes:
        """Give a listing as it is, or as it was before, or inconsistent."""
        fields: Fields = msgspec.json.decode(answer)
        found: list[Fields] = fields["StreamDescription"]["Shards"]
        before, self._listed = self._listed, found
        self._count(found)
        if effect == "is stale" and before:
            found = before
        elif effect in GRAPHS:
            found = GRAPHS[effect](found)
        else:
            return answer
        fields["StreamDescription"]["Shards"] = found
        return msgspec.json.encode(fields)

    def _count(self, listed: list[Fields]) -> None:
        """Take note of what a listing has too early or too long."""
        names = {shard["ShardId"] for shard in listed}
        if not names.issuperset(self._stream.ids):
            self.faults.count("a new shard is listed late")
        horizon_s = self.clock.monotonic_s() - self._dynamo.behaviour.retention_s
        if any(self._stream.shards[name].closed_s < horizon_s for name in names):
            self.faults.count("an expired shard is listed")


def image(fields: Any, weight: int) -> Event:
    """Make an event of an image that comes, or goes."""
    made, number = int(fields["made"]["N"]), fields[NUMBER]
    return Event(weight * made, None, is_broken="N" not in number)


def _name(shard: str) -> str:
    return f"{STREAM}/{shard}"
