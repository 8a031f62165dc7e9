"""The whole thing: lines decoded by a pack, Arrow, DuckDB and Parquet, with files in a folder of their own.

Views are those of `shardlake.testing.plain`, and each answer is compared with what they are in plain Python.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from batch.context import Files
from batch.run import SQL
from shardlake.adapters.engine import Engine
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.core.compiler import compile_view
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.positions import decode_number
from shardlake.core.readplan import ReadPlan
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView
from shardlake.testing.clicks import BROKEN, Clicks, line_of
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.simulation.modes import Event, Failing, Row
from shardlake.testing.world import SCHEMA, answered
from streams.chunk import Chunk
from streams.decode import Decoding
from streams.dedup import Seen
from streams.entry import Built
from streams.memory import IdObjects
from streams.protect import Protection
from streams.steps import SqlSteps, Steps

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - files of a folder with a name of its own, where there is such a place


@cache
def _compiled(name: str) -> CompiledView:
    return compile_view(name, VIEWS[name].sql, SCHEMA)


@cache
def _engine() -> Engine:
    return Engine()


def click_of(event: Event) -> Click:
    """What an event says, by its number alone."""
    chance = Random(event.serial)
    return Click(
        minute=chance.randint(0, 12),
        seen=chance.choice([None, chance.randint(0, 12)]),
        page=chance.choice(["/", "/a", None]),
        cost=chance.choice([None, chance.randint(-3, 9)]),
        weight=chance.choice([None, 0.1, 7.5]),
        click_id=None if event.id is None else str(event.id),
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """The usual steps, over those views that do not fail now."""

    usual: SqlSteps
    fails: Failing
    ids: IdObjects | None = None

    def build(self, chunk: Chunk, seen: Seen, ancestors: Mapping[str, tuple[str, ...]], page: bytes | None) -> Built:
        """Make the objects of an entry."""
        views = [view for view in self.usual.views if not self.fails()] if chunk.rows else ()
        return replace(self.usual, views=views).build(chunk, seen, ancestors, page)


class Sql:
    """See `shardlake.testing.simulation.modes.Rows` for the contract."""

    schema: SourceSchema = SCHEMA
    files: Files = SQL

    def __init__(self, views: Sequence[str], seed: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))
        self.store = LocalObjects(self._folder / "objects", sync=False)
        self.tables = MemoryTables(self._folder / "tables")
        names = sorted(VIEWS)
        chosen = [names[(seed + number) % len(names)] for number in range(len(views))]
        self.views: Mapping[str, CompiledView] = {name: _compiled(name) for name in chosen}
        self.engine = _engine()

    def line(self, event: Event) -> bytes:
        """Write an event as a producer does."""
        return BROKEN if event.is_broken else line_of(click_of(event))

    def decoding(self) -> Decoding:
        """Make a worker's decoding."""
        return Decoding(Clicks(), Protection(), Limits())

    def steps(self, fails: Failing) -> Steps:
        """Make a worker's steps: those of every worker, but that a view may fail."""
        return _Steps(SqlSteps(self.schema, list(self.views.values()), self.engine, Limits()), fails)

    def rows(self, segment: ObjectRef) -> Sequence[Row]:
        """Read a segment, in its order."""
        columns = ["_shard", "_sequence", "_sub", "_duplicate"]
        table = pq.ParquetFile(pa.BufferReader(self.store.get(segment))).read(columns=columns)
        shards, sequences, subs, duplicates = (table[name].to_pylist() for name in columns)
        numbers = map(decode_number, sequences)
        return [Row(*found) for found in zip(shards, numbers, subs, duplicates, strict=True)]

    def differences(self, plan: ReadPlan, expected: Sequence[Event]) -> list[str]:
        """Compare the answers of all views with what they are in plain Python."""
        clicks = [click_of(event) for event in expected]
        answers = answered(self.engine, self.store, plan)
        return [f"{name}: {told}" for name in answers for told in differences(VIEWS[name], clicks, answers[name])]

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
