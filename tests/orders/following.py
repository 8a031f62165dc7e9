"""A shop's table that is being changed, followed by workers in simulated time, with batch runs and answers."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from batch.context import Context
from batch.run import run
from serving.answer import Server
from shardlake.adapters.dynamodb.stream_calls import DirectStreams
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Conflict
from shardlake.core.journal import operations, rows
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import SourceRow
from shardlake.core.readplan import ReadPlan
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.packs.registry import load
from shardlake.testing.dynamodb import Change, EmbeddedDynamo
from shardlake.testing.fleet import is_covered
from shardlake.testing.orders import TABLE, Sale, Shop, creation
from shardlake.testing.world import answered, planned
from streams.committer import Committer
from streams.lane import Lane
from tests.dynamodb.changing import SOURCE, Changing
from tests.orders.plain import Item, folded, in_order, sales_by_hour, views


def _pack() -> DeclaredPack:
    found = load("orders")
    assert isinstance(found, DeclaredPack)
    return found


PACK = _pack()
VIEWS = {name: compile_view(name, sql, PACK.schema) for name, sql in PACK.views.items()}


@dataclass(slots=True)
class Following(Changing):
    """Workers that follow the table of a shop. `told_of` is the producer's log: every change, where it happened.

    `earlier` is sold before the table has a stream; `before` are the items that are there then.
    """

    earlier: Sequence[Sale] = ()
    shop: Shop = field(init=False)
    tables: MemoryTables = field(init=False)
    told_of: list[Change] = field(default_factory=list)
    cuts: list[Mapping[int, int]] = field(default_factory=list)
    before: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dynamo = EmbeddedDynamo(self.clock, random.Random(self.seed), self.behaviour)
        self.dynamo.ask("CreateTable", **creation(view=""))
        spec = {"AttributeName": "expires", "Enabled": True}
        self.dynamo.ask("UpdateTimeToLive", TableName=TABLE, TimeToLiveSpecification=spec)
        self.shop = Shop(TABLE, random.Random(self.seed), lambda: self.clock.now_us() // 1_000_000)
        self.sell(self.earlier)
        self.before = list(self.dynamo.items(TABLE))
        stream = {"StreamEnabled": True, "StreamViewType": self.view}
        self.dynamo.ask("UpdateTable", TableName=TABLE, StreamSpecification=stream)
        self.arn = self.dynamo.ask("DescribeTable", TableName=TABLE)["Table"]["LatestStreamArn"]
        self.dynamo.watch(self.told_of.append)
        self.api = DirectStreams(self._call)
        self.store = LocalObjects(self.folder / "objects", sync=False)
        self.tables = MemoryTables(self.folder / "tables")
        self.pack = PACK
        self.journal.transact(operations.found(1))
        self.journal.transact(
            [Write(rows.source_key(SOURCE), None, rows.encode(SourceRow(SOURCE, {"pack": "orders"})))]
        )

    def _committer(self, lane: Lane, pulse: Callable[[], None]) -> Committer:
        return Committer(lane, self.store, PACK.schema, list(VIEWS.values()), self.engine, self.limits, pulse)

    def sell(self, sales: Iterable[Sale]) -> None:
        """Let the shop change its table."""
        for sale in sales:
            for action, request in self.shop.changes(sale):
                self.dynamo.ask(action, **request)

    def batch(self) -> None:
        """Run the batch layer; if another run was first, that is all right."""
        store, tables = self.store, self.tables
        context = Context(
            self.journal, store, tables, self.engine, PACK.schema, PACK.sort_keys, self._name, self.limits
        )
        with suppress(Conflict):
            run(context, list(VIEWS.values()))

    def plan(self) -> ReadPlan:
        """Plan an answer; its cut may not go back."""
        return planned(self.journal, self.store, self.tables, VIEWS, self.cuts)

    def upto(self, made: ReadPlan) -> Mapping[str, str]:
        """How far each shard is counted at a plan's cut."""
        return made.views["sales"].positions.upto

    def read(self, upto: Mapping[str, str]) -> int:
        """How many changes lie at or below some positions."""
        return sum(is_covered(upto.get(f"{SOURCE}/{c.shard_id}", "-"), c.number) for c in self.told_of)

    def check_answer(self) -> int:
        """Compare what is answered with a fold of the log up to the certificate's positions.

        It is all views, and `@sales_by_hour`, as users ask for it. Say how many changes the fold holds.
        """
        made = self.plan()
        upto = self.upto(made)
        found = {name: in_order(rows) for name, rows in answered(self.engine, self.store, made).items()}
        items = folded(self.told_of, SOURCE, upto, self.before)
        assert found == views(items)
        server = Server(self.journal, self.store, self.tables, VIEWS, self.limits)
        hours, certificate = server.arrow(PACK.queries["sales_by_hour"])
        assert certificate.positions == upto
        assert in_order(hours.to_pylist()) == sales_by_hour(items)
        return self.read(upto)

    def follow(self, rounds: int = 600) -> None:
        """Let time pass until every change is in the newest cut. Raises: AssertionError if that takes too long."""
        for _ in range(rounds):
            if self.read(self.upto(self.plan())) == len(self.told_of):
                return
            self.run(1.0, 1.0)
        raise AssertionError("not every change was read")
