"""The columns of a source, and those that every event has.

Types are a closed set, written as DuckDB writes them, each with one Arrow and one Iceberg counterpart.
Time is UTC microseconds in TIMESTAMP columns without a zone.
"""

import re
from dataclasses import dataclass
from typing import Final

from shardlake.core.errors import Terminal

PLAIN_TYPES: Final = ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP", "DATE")
_PRECISION_MAX: Final = 38
_DECIMAL = re.compile(r"DECIMAL\((\d{1,2}),(\d{1,2})\)")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type as DuckDB writes it, and what it means, with its unit."""

    name: str
    type: str
    comment: str = ""

    @property
    def decimal(self) -> tuple[int, int] | None:
        """Precision and scale of a decimal column, else None."""
        match = _DECIMAL.fullmatch(self.type)
        return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """The typed columns of one source, which of them is the event's time, and which its id (if any).

    Rows of a `weighted` source may take earlier ones back: it is a stream of changes, whose rows have no ids.
    """

    name: str
    columns: tuple[Column, ...]
    event_time: str
    event_id: str | None = None
    weighted: bool = False

    def __post_init__(self) -> None:
        if self.weighted and self.event_id is not None:
            raise Terminal(f"{self.name} is a stream of changes: its rows have no event ids, so leave event_id out")
        for column in self.columns:
            if column.type not in PLAIN_TYPES and not _is_decimal(column):
                accepted = f"{', '.join(PLAIN_TYPES)}, DECIMAL(p,s) with p from 1 to 38 and s up to p"
                raise Terminal(f"column {column.name} of {self.name} has type {column.type}; accepted: {accepted}")

    def column(self, name: str) -> Column | None:
        """Find a column by its name, case-insensitively as SQL does."""
        return next((c for c in self.columns if c.name.lower() == name.lower()), None)


def _is_decimal(column: Column) -> bool:
    precision, scale = column.decimal or (0, 0)
    return 1 <= precision <= _PRECISION_MAX and scale <= precision


EVENT_COLUMNS: Final = (
    Column("_shard", "VARCHAR", "the shard that the event came from"),
    Column("_sequence", "VARCHAR", "its sequence number, as text in the order of numbers"),
    Column("_sub", "BIGINT", "its sub-sequence number: the second half of its position"),
    Column("_arrival", "TIMESTAMP", "when the source received it"),
    Column("_weight", "INTEGER", "+1 for a new row, -1 for a row that is taken back"),
    Column("_duplicate", "BOOLEAN", "its id was seen before in its dedup scope; no view counts it"),
)
MASTER_COLUMNS: Final = (
    Column("_lane", "INTEGER", "the lane of the entry that committed the event"),
    Column("_entry", "BIGINT", "the number of that entry"),
    Column("_date", "DATE", "the date of the event's time: the partition"),
)
