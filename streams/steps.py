"""What is computed of a chunk on its way to an entry, and in which form: by SQL, into Parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shardlake.adapters.engine import Engine
from shardlake.core.limits import Limits
from shardlake.core.schema import SourceSchema
from shardlake.core.view import CompiledView
from streams.chunk import Chunk
from streams.dedup import Seen
from streams.entry import Built, build
from streams.memory import IdObjects


class Steps(Protocol):
    """The steps of a commit that no journal, store or clock touches.

    There is one implementation for use, `SqlSteps`. A simulation of many commits has another, whose rows are plain.
    """

    @property
    def ids(self) -> IdObjects | None:
        """How ids stand in objects; None for the usual way."""

    def build(self, chunk: Chunk, seen: Seen, ancestors: Mapping[str, tuple[str, ...]], page: bytes | None) -> Built:
        """Make the objects of an entry: duplicates marked by what was `seen`, the segment, the partials, letters."""


@dataclass(frozen=True, slots=True)
class SqlSteps:
    """Partials by DuckDB, rows in Parquet."""

    schema: SourceSchema
    views: Sequence[CompiledView]
    engine: Engine
    limits: Limits
    ids: IdObjects | None = None

    def build(self, chunk: Chunk, seen: Seen, ancestors: Mapping[str, tuple[str, ...]], page: bytes | None) -> Built:
        """Make the objects of an entry."""
        return build(chunk, self.schema, self.views, seen, ancestors, self.engine, self.limits, page)
