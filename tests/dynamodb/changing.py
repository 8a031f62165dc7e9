"""Workers that follow a table that is being changed, in one thread and simulated time, and a log of what was changed.

Everything under test is real but the clock, the transport and the threads. The rows of all commits are kept in the
order in which they were committed.
"""

import io
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq

from shardlake.adapters.dynamodb.stream_calls import DirectStreams
from shardlake.adapters.engine import Engine
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Entry, SourceRow
from shardlake.core.limits import Limits
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo
from shardlake.testing.fleet import Inline, Member, Told
from streams.committer import Committer
from streams.decode import Decoding
from streams.lane import Lane, LaneContext
from streams.protect import Protection
from streams.sources.dynamodb.source import DynamoSource
from streams.sources.kinesis.source import KinesisSettings, OnGap
from streams.worker import Worker

TABLE: Final = "items"
SOURCE: Final = "changes"
PACK: Final = """
format = "dynamodb"
event_time = "at"
[columns]
id = "VARCHAR"
n = "BIGINT"
at = { type = "TIMESTAMP", time = "s" }
item = { type = "VARCHAR", holds = "image" }
_event = { type = "VARCHAR", holds = "event" }
"""
LIMITS: Final = Limits(
    retry_first_s=0.0,
    commit_retries_max=8,
    chunk_age_s=0.3,
    fetch_threads_max=2,
    discover_s=30.0,
    poll_longest_s=20.0,
    retry_longest_s=20.0,
    worker_expiry_s=120.0,
    heartbeat_s=20.0,
    look_s=10.0,
)
PASSES: Final = (Conflict, OutcomeUnknown, Transient)
Row = dict[str, Any]


@dataclass(slots=True)
class Heard(Told):
    """What the members say, with their entries in the order of commits."""

    kept: list[Entry] = field(default_factory=list)

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        del rows, letters, failed
        self.kept.append(entry)


@dataclass(slots=True)
class Changing:
    """A table with a stream, its items as they are, the log of its changes, and those who read."""

    folder: Path
    seed: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    on_gap: OnGap = "fail"
    pinned_us: int = 0
    limits: Limits = LIMITS
    view: str = "NEW_AND_OLD_IMAGES"
    clock: ManualClock = field(default_factory=ManualClock)
    dynamo: EmbeddedDynamo = field(init=False)
    api: DirectStreams = field(init=False)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    store: LocalObjects = field(init=False)
    pack: DeclaredPack = field(init=False)
    engine: Engine = field(default_factory=Engine)
    arn: str = field(init=False)
    told: Heard = field(default_factory=Heard)
    members: list[Member] = field(default_factory=list)
    items: dict[str, int] = field(default_factory=dict)
    log: list[tuple[str, int, int]] = field(default_factory=list)  # (id, n, weight), in the order of changes
    refusals: Counter[str] = field(default_factory=Counter)
    _rows: list[Row] = field(default_factory=list)
    _read: int = 0
    _count: "count[int]" = field(default_factory=count)
    _names: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.dynamo = EmbeddedDynamo(self.clock, random.Random(self.seed), self.behaviour)
        key = {"AttributeName": "id", "KeyType": "HASH"}
        self.dynamo.ask(
            "CreateTable",
            TableName=TABLE,
            KeySchema=[key],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.enable()
        self.api = DirectStreams(self._call)
        self.store = LocalObjects(self.folder / "objects", sync=False)
        place = self.folder / "pack"
        place.mkdir()
        (place / "pack.toml").write_text(PACK)
        self.pack = DeclaredPack(place, "items")
        self.journal.transact(operations.found(1))
        self.journal.transact([Write(rows.source_key(SOURCE), None, rows.encode(SourceRow(SOURCE, {"pack": "items"})))])

    def _call(self, action: str, body: bytes) -> tuple[int, bytes]:
        response = self.dynamo.call(action, body)
        if response.status != 200:
            self.refusals[str(msgspec.json.decode(response.body or b"{}").get("__type", "")).rpartition("#")[2]] += 1
        return (0, b"") if response.dropped else (response.status, response.body)

    # -------------------------------------------------------------------------------------------------- the table

    def enable(self) -> None:
        """Give the table a stream; the one that is read stays the first."""
        spec = {"StreamEnabled": True, "StreamViewType": self.view}
        self.dynamo.ask("UpdateTable", TableName=TABLE, StreamSpecification=spec)
        self.arn = self.dynamo.ask("DescribeTable", TableName=TABLE)["Table"]["LatestStreamArn"]

    def disable(self) -> None:
        """Take the table its stream away."""
        self.dynamo.ask("UpdateTable", TableName=TABLE, StreamSpecification={"StreamEnabled": False})

    def put(self, name: str) -> None:
        """Write an item, new or changed."""
        number = next(self._count)
        item = {"id": {"S": name}, "n": {"N": str(number)}, "at": {"N": str(self.clock.now_us() // 1_000_000)}}
        self.dynamo.ask("PutItem", TableName=TABLE, Item=item)
        if name in self.items:
            self.log.append((name, self.items[name], -1))
        self.items[name] = number
        self.log.append((name, number, 1))

    def remove(self, name: str) -> None:
        """Remove an item, if it is there."""
        self.dynamo.ask("DeleteItem", TableName=TABLE, Key={"id": {"S": name}})
        if name in self.items:
            self.log.append((name, self.items.pop(name), -1))

    def change(self, rng: random.Random, names: int = 12) -> None:
        """Change something."""
        name = f"item-{rng.randrange(names)}"
        if rng.random() < 0.25:
            self.remove(name)
        else:
            self.put(name)

    # ------------------------------------------------------------------------------------------------ the workers

    def spawn(self) -> Member:
        """Start a process."""
        context = LaneContext(self.journal, self.store, self.clock, self._name, self.limits)
        settings = KinesisSettings(SOURCE, self.arn, self.on_gap, self.pinned_us)
        source = DynamoSource(
            settings, self.api, self.api, Inline(), self.clock, self.limits, self.told.stopped, self.is_done
        )
        member = Member(Worker(context, SOURCE, source.list, self._committer, self.told, source.is_gone), source)
        self.members.append(member)
        return member

    def _name(self) -> str:
        return f"{next(self._names):08x}"

    def _committer(self, lane: Lane, pulse: Callable[[], None]) -> Committer:
        return Committer(lane, self.store, self.pack.schema, [], self.engine, self.limits, pulse)

    def is_done(self) -> bool:
        """Tell whether every shard was read to its end."""
        return all(row.place == "end" for row in reading.read_shards(self.journal).values())

    def step(self, member: Member) -> bool:
        """Let a process do one round; after what passes it is started anew."""
        try:
            if member.loop is None:
                member.claim(lambda: Decoding(self.pack, Protection(), self.limits), self.clock, self.limits, self.told)
            return member.loop is not None and member.loop.step()
        except PASSES:
            self.kill(member)
            self.spawn()
            return False

    def kill(self, member: Member) -> None:
        """Let a process be gone."""
        self.members.remove(member)

    def stop(self, member: Member) -> None:
        """Stop a process in order."""
        self.members.remove(member)
        with suppress(*PASSES):
            member.leave()

    def run(self, seconds: float, tick_s: float = 5.0, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass; `each` happens once a tick."""
        until = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until:
            each()
            for member in tuple(self.members):
                while member in self.members and self.step(member):
                    pass
            self.clock.advance(tick_s)

    def catch_up(self, rounds: int = 2_000, tick_s: float = 1.0) -> None:
        """Let time pass until every change was read. Raises: AssertionError if that takes too long."""
        for _ in range(rounds):
            self.run(tick_s, tick_s)
            if len(self.rows()) >= len(self.log):
                return
        raise AssertionError(f"{len(self.rows())} of {len(self.log)} rows were read")

    # --------------------------------------------------------------------------------------------- what was read

    def rows(self) -> list[Row]:
        """All rows, in the order of their commits, within one by shard and position."""
        self._rows += [row for entry in self.told.kept[self._read :] for row in self._rows_of(entry)]
        self._read = len(self.told.kept)
        return self._rows

    def _rows_of(self, entry: Entry) -> list[Row]:
        manifest = self.manifest(entry)
        if manifest is None or manifest.segment is None:
            return []
        found: list[Row] = pq.read_table(io.BytesIO(self.store.get(manifest.segment))).to_pylist()
        return sorted(found, key=lambda row: (row["_shard"], row["_sequence"], row["_sub"]))

    def manifest(self, entry: Entry) -> Manifest | None:
        """What an entry holds, if it holds data."""
        if entry.manifest is None:
            return None
        return stored.decode(Manifest, entry.manifest.name, self.store.get(entry.manifest))

    def gaps(self) -> list[str]:
        """The shards of which something was lost, as told by ranges."""
        manifests = [found for entry in self.told.kept if (found := self.manifest(entry)) is not None]
        return [row.shard for manifest in manifests for row in manifest.ranges if row.kind == "gap"]

    def reasons(self) -> Counter[str]:
        """Why there are letters, and how many."""
        manifests = [found for entry in self.told.kept if (found := self.manifest(entry)) is not None]
        refs = [manifest.letters for manifest in manifests if manifest.letters is not None]
        return Counter(
            row["reason"] for ref in refs for row in pq.read_table(io.BytesIO(self.store.get(ref))).to_pylist()
        )

    def check(self) -> None:
        """Compare what was read with what was changed: nothing lost, nothing twice, each item's changes in order."""
        found = self.rows()
        told = Counter((row["id"], row["n"], row["_weight"]) for row in found)
        assert told == Counter(self.log), (Counter(self.log) - told, told - Counter(self.log))
        by_item: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row in found:
            by_item[row["id"]].append((row["n"], row["_weight"]))
        for name, changes in by_item.items():
            assert changes == [(n, weight) for id_, n, weight in self.log if id_ == name], name
        folded: Counter[tuple[str, int]] = Counter()
        for row in found:
            folded[row["id"], row["n"]] += row["_weight"]
        assert {name: n for (name, n), weight in folded.items() if weight} == self.items
        self.check_order()

    def check_order(self) -> None:
        """See that no shard was begun before its parent's end was committed, and none was read twice."""
        ended: set[str] = set()
        at: dict[str, str] = {}
        known = reading.read_shards(self.journal)
        for entry in self.told.kept:
            manifest = self.manifest(entry)
            for row in manifest.ranges if manifest is not None else ():
                assert all(p in ended for p in known[row.shard].parents), f"{row.shard} before its parents"
                assert row.after == at.get(row.shard, "-"), f"{row.shard} again"
                at[row.shard] = row.upto
            ended |= {shard for shard, upto in at.items() if upto == "~"}
