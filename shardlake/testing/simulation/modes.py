"""What stands for rows in a simulated world: plain lists of numbers, or Arrow, DuckDB and Parquet as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from batch.context import Files
from shardlake.adapters.engine import Engine
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import ObjectStore, Tables
from shardlake.core.readplan import ReadPlan
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView
from streams.decode import Decoding
from streams.steps import Steps

Place = tuple[str, int, int]  # shard, sequence number, line in its record


class Event(msgspec.Struct, frozen=True, gc=False):
    """What a producer puts as one line: a number of its own, and an event id, which may be another's too, or none."""

    serial: int
    id: int | None = None
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was committed."""

    shard: str
    sequence: int
    sub: int
    is_duplicate: bool


class Rows(Protocol):
    """What the world needs to know of a mode."""

    @property
    def schema(self) -> SourceSchema:
        """The source's columns."""

    @property
    def views(self) -> Mapping[str, CompiledView]:
        """The views by name."""

    @property
    def files(self) -> Files:
        """How a batch run writes rows."""

    @property
    def engine(self) -> Engine:
        """What runs SQL, or would."""

    @property
    def store(self) -> ObjectStore:
        """Where objects are."""

    @property
    def tables(self) -> Tables:
        """Where batch tables are."""

    def line(self, event: Event) -> bytes:
        """Write an event as a producer does."""

    def decoding(self) -> Decoding:
        """Make a worker's decoding."""

    def steps(self, fails: "Failing") -> Steps | None:
        """Make a worker's steps; None for the usual ones."""

    def rows(self, segment: ObjectRef) -> Sequence[Row]:
        """Read a segment, in its order."""

    def differences(self, plan: ReadPlan, expected: Sequence[Event]) -> list[str]:
        """Answer all views by a plan, and say how the answers differ from views over some events."""

    def close(self) -> None:
        """Give everything back."""


class Failing(Protocol):
    """Says whether a view cannot be computed now."""

    def __call__(self) -> bool:
        """Ask, once for each view and entry."""
