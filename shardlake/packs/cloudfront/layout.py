"""The layout of a log's lines: which field stands where, and what kind of log it is.

CloudFront writes two: standard logs, whose files begin with a header (`header.py`), and real-time logs, whose records
hold the fields of a configuration and nothing else (`realtime.py`). Both become the columns of one schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import pyarrow as pa

from shardlake.packs.cloudfront.schema import READ_SCHEMA

BOM: Final = b"\xef\xbb\xbf"
DATE_AND_TIME: Final[Mapping[str, pa.DataType]] = {"date": pa.date32(), "time": pa.time32("s")}
# Seconds with six decimals are whole microseconds: read so, no time is ever rounded.
TIMESTAMP: Final[Mapping[str, pa.DataType]] = {"timestamp": pa.decimal128(18, 6)}
TIMESTAMP_END_S: Final = 253_402_300_800  # the year 10000, which no date can name


@dataclass(frozen=True, eq=False)
class Dialect:
    """What tells one kind of log from another.

    `column` gives the name of the column that a field is kept in, None if its values are not kept. `times` are the
    columns that together tell when a request was, with the types by which they are read. `directives` is what begins a
    line that tells about others: at the start of a block, and anywhere else. `has_whole_urls` says that a stem holds
    the query too. For messages, `namer` is what names the fields, and `untimed` what is wrong if none is a time.
    """

    column: Callable[[str], str | None]
    times: Mapping[str, pa.DataType]
    directives: tuple[bytes, ...]
    has_whole_urls: bool
    namer: str
    untimed: str


@dataclass(frozen=True)
class Layout:
    """The fields of some lines, in order."""

    fields: tuple[str, ...]
    dialect: Dialect

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A column name for each field. One that is not known, or is named a second time, gets a name with a mark."""
        names: list[str] = []
        for place, field in enumerate(self.fields):
            name = self.dialect.column(field)
            names.append(name if name is not None and name not in names else f"#{place}")
        return tuple(names)

    @cached_property
    def types(self) -> dict[str, pa.DataType]:
        """The types by which the known columns are read."""
        times = self.dialect.times
        return {n: times.get(n) or READ_SCHEMA.field(n).type for n in self.names if not n.startswith("#")}

    @cached_property
    def unknown(self) -> frozenset[str]:
        """The fields whose values are not kept."""
        return frozenset(f for f in self.fields if self.dialect.column(f) is None)

    @property
    def width(self) -> int:
        """The number of fields of a line."""
        return len(self.fields)

    @property
    def is_usable(self) -> bool:
        """Tell whether lines have a time at all: without one, a line belongs nowhere."""
        return all(name in self.types for name in self.dialect.times)

    @cached_property
    def hides_directives(self) -> bool:
        """Tell whether a directive of many fields could pass for a line of these: none passes for a date or number."""
        return bool(self.dialect.directives) and self.types.get(self.names[0]) in (None, pa.string())


@lru_cache(maxsize=16)
def layout_of(fields: tuple[str, ...], dialect: Dialect) -> Layout:
    """Give a layout that a configuration names: it is the same for every page of a stream."""
    return Layout(fields, dialect)
