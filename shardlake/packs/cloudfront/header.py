"""The `#Fields` header of a standard log, and the layout of lines that follows from it.

CloudFront has appended columns over the years: real files have 12, 15, 18, 24, 26 and 33. A line is read by the names
in its header, never by counting.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa

from shardlake.packs.cloudfront.schema import DECODED_SCHEMA, LOGGED

# What CloudFront writes since December 2019, for streams that carry such lines without a header.
STANDARD_FIELDS: Final = (
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
)

_FIELDS: Final = b"#Fields:"
_MARKS: Final = re.compile(r"[^a-z0-9]+")
_RENAMED: Final = {"time_taken": "time_taken_s", "time_to_first_byte": "time_to_first_byte_s"}
_KNOWN: Final = {c.name for c in LOGGED}


@dataclass(frozen=True)
class Layout:
    """The fields of the lines below one header, in order."""

    fields: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A column name for each field. One that is not known, or is named a second time, gets a name with a mark."""
        names: list[str] = []
        for place, field in enumerate(self.fields):
            name = _column(field)
            names.append(name if name is not None and name not in names else f"#{place}")
        return tuple(names)

    @cached_property
    def types(self) -> dict[str, pa.DataType]:
        """The types by which the known columns are read."""
        days = {"date": pa.date32(), "time": pa.time32("s")}
        return {n: days.get(n) or DECODED_SCHEMA.field(n).type for n in self.names if not n.startswith("#")}

    @cached_property
    def unknown(self) -> frozenset[str]:
        """The fields whose values are not kept."""
        return frozenset(f for f in self.fields if _column(f) is None)

    @property
    def width(self) -> int:
        """The number of fields of a line."""
        return len(self.fields)

    @property
    def is_usable(self) -> bool:
        """Tell whether lines have a time at all: without one, a line belongs nowhere."""
        return "date" in self.types and "time" in self.types


def read_fields(directive: bytes) -> Layout | None:
    """Read a line that begins with `#`; None if it names no fields."""
    if not directive.startswith(_FIELDS):
        return None
    return Layout(tuple(directive[len(_FIELDS) :].decode("utf-8", "replace").split()))


def _column(field: str) -> str | None:
    """The name of the column that a field is kept in, None if it is not known. `cs(Host)` and `cs_host` are one."""
    name = _MARKS.sub("_", field.lower()).strip("_")
    name = _RENAMED.get(name, name)
    return name if name in _KNOWN or name in ("date", "time") else None
