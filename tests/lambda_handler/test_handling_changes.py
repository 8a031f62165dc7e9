"""A table's changes, handed over batch by batch: each is counted once, in order, whatever comes again or not at all."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.aws_lambda.envelopes import records_of
from shardlake.core.errors import Conflict, Transient
from shardlake.core.positions import ShardId
from shardlake.testing.dynamodb import INTERNAL, Behaviour
from shardlake.testing.event_source import ChangeSource
from shardlake.testing.fleet import Inline
from streams.decode import Decoding
from streams.handling import Handling
from streams.lane import LaneContext
from streams.protect import Protection
from streams.sources.dynamodb.finding import ShardFinder
from streams.sources.dynamodb.source import DynamoSource
from streams.sources.handed import HandedReader
from streams.sources.kinesis.source import KinesisSettings
from streams.sources.port import SourceGap
from streams.worker import Worker
from tests.dynamodb.changing import SOURCE, Changing


class Called:
    """A process over a table that is being changed, and the mapping that calls it."""

    def __init__(self, folder: Path, **behaviour: Any) -> None:
        given = {"reads_per_s": None, "describes_per_s": None, "lists_per_s": None, **behaviour}
        self.table = Changing(folder, behaviour=Behaviour().changed(**given))
        self.mapping = ChangeSource(self.table.dynamo, self.table.arn, batch=15)
        self.process, self.finder = self.begin()

    def begin(self) -> tuple[Handling, ShardFinder]:
        table = self.table
        context = LaneContext(table.journal, table.store, table.clock, table._name, table.limits)
        stopped: list[SourceGap] = []
        reader = HandedReader(table.api)
        settings = KinesisSettings(SOURCE, table.arn, table.on_gap)
        source = DynamoSource(
            settings, reader, table.api, Inline(), table.clock, table.limits, stopped.append, table.is_done
        )
        worker = Worker(context, SOURCE, source.list, table._committer, table.told, source.is_gone)
        self.process = Handling(
            context,
            source,
            reader,
            worker,
            Decoding(table.pack, Protection(), table.limits),
            lambda lane: table._committer(lane, lambda: None),
            table.told,
            lambda _: None,
            lambda: None,
            stopped,
        )
        self.finder = ShardFinder(table.api, table.arn)
        return self.process, self.finder

    def call(self, event: dict[str, Any]) -> dict[str, Any]:
        [handed] = records_of(event, self.table.clock.now_us())
        try:
            shard = ShardId(f"{SOURCE}/{self.finder.shard_of(handed.page.sequences[0])}")
            left = self.process.take(shard, handed.page, self.table.clock.monotonic_s() + 60)
        except (Transient, Conflict):
            left = handed.page.sequences[0]
        return {"batchItemFailures": [] if left is None else [{"itemIdentifier": left}]}

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in self.mapping.shards():
            event = self.mapping.next(shard)
            if event is not None:
                yield shard, event

    def drain(self) -> None:
        for _ in range(500):
            for shard, event in self.events():
                self.mapping.answered(shard, self.call(event))
            self.table.clock.advance(5)
            if len(self.table.rows()) >= len(self.table.log):
                return
        raise AssertionError(f"{len(self.table.rows())} of {len(self.table.log)} changes are counted")


def test_changes_find_their_shards_and_are_counted_once_in_order(tmp_path: Path) -> None:
    called, rng = Called(tmp_path, stream_shards=3, roll_s=None), random.Random(1)
    for _ in range(6):
        for _ in range(20):
            called.table.change(rng)
        for shard, event in called.events():
            assert called.call(event) == {"batchItemFailures": []}
            called.mapping.answered(shard, called.call(event))  # once more
    called.drain()
    called.table.check()


def test_shards_that_roll_over_end_before_their_children(tmp_path: Path) -> None:
    called, rng = Called(tmp_path, stream_shards=2, roll_s=60.0, end_apart=0.5, children_late_s=2.0), random.Random(2)
    for _ in range(40):
        for _ in range(3):
            called.table.change(rng)
        called.table.clock.advance(7)
        for shard, event in called.events():
            called.mapping.answered(shard, called.call(event))
    called.drain()
    called.table.check()


def test_what_lambda_gives_up_is_read_with_the_next_batch(tmp_path: Path) -> None:
    called, rng = Called(tmp_path, stream_shards=2, roll_s=90.0, empty_pages=0.2), random.Random(3)
    for at in range(60):
        for _ in range(3):
            called.table.change(rng)
        called.table.clock.advance(5)
        for shard, event in called.events():
            if at % 3:
                if at % 10 == 7:
                    called.begin()
                    called.table.dynamo.inject(INTERNAL, "GetRecords", times=1)
                called.mapping.answered(shard, called.call(event))
            else:
                called.mapping.skip(shard)
    for number in range(12):
        called.table.put(f"item-{number}")
    called.drain()
    called.table.check()


def test_the_row_that_is_replaced_is_taken_back(tmp_path: Path) -> None:
    called = Called(tmp_path, stream_shards=1)
    for _ in range(3):
        called.table.put("a")
    called.table.remove("a")
    called.drain()
    assert [row["_weight"] for row in called.table.rows()] == [1, -1, 1, -1, 1, -1]
    called.table.check()


def test_a_record_that_nobody_has_is_looked_for_again(tmp_path: Path) -> None:
    called = Called(tmp_path, stream_shards=2)
    called.table.put("a")
    [(_, event)] = called.events()
    number = event["Records"][0]["dynamodb"]["SequenceNumber"]
    event["Records"][0]["dynamodb"]["SequenceNumber"] = str(int(number) + 7)
    with pytest.raises(Transient, match="no shard of"):
        called.finder.shard_of(str(int(number) + 7))
    called.drain()
    called.table.check()
