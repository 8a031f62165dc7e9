"""The `#Fields` header of a standard log, and the layout of the lines below it.

CloudFront has appended columns over the years: real files have 12, 15, 18, 24, 26 and 33. A line is read by the names
in its header, never by counting.
"""

import re
from dataclasses import replace
from typing import Final

from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.layout import BOM, DATE_AND_TIME, Dialect, Layout
from shardlake.packs.cloudfront.schema import LOGGED

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

PASSED_OVER: Final = "-"  # among the fields of a stream: one whose values are not kept
_FIELDS: Final = b"#Fields:"
_MARKS: Final = re.compile(r"[^a-z0-9]+")
_RENAMED: Final = {"time_taken": "time_taken_s", "time_to_first_byte": "time_to_first_byte_s"}
_KNOWN: Final = {c.name for c in LOGGED}


def read_fields(directive: bytes) -> Layout | None:
    """Read a line that begins with `#`; None if it names no fields."""
    directive = directive.removeprefix(BOM)
    if not directive.startswith(_FIELDS):
        return None
    return Layout(tuple(directive[len(_FIELDS) :].decode("utf-8", "replace").split()), STANDARD)


def checked(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Give the fields of a stream's lines back if these can be read by them. Raises: ConfigError."""
    if unknown := [field for field in fields if _column(field) is None and field != PASSED_OVER]:
        raise ConfigError(
            f"there is no log field {unknown[0]!r}; accepted: {', '.join(STANDARD_FIELDS)}, and {PASSED_OVER} for a"
            " field to pass over"
        )
    if missing := [name for name in DATE_AND_TIME if name not in map(_column, fields)]:
        raise ConfigError(f"the fields lack {missing[0]}, and a request without a time belongs nowhere: add it")
    return fields


def _column(field: str) -> str | None:
    """The name of the column that a field is kept in, None if it is not known. `cs(Host)` and `cs_host` are one."""
    name = _MARKS.sub("_", field.lower()).strip("_")
    name = _RENAMED.get(name, name)
    return name if name in _KNOWN or name in DATE_AND_TIME else None


STANDARD: Final = Dialect(
    column=_column,
    times=DATE_AND_TIME,
    directives=(b"#", BOM + b"#"),
    has_whole_urls=False,
    namer="the header",
    untimed="no #Fields line with date and time stands above it",
)
# Lines of a stream, each of which stands for itself: what one says can hold for no other.
STREAMED: Final = replace(
    STANDARD, directives=(), namer="the configuration", untimed="the configured fields hold no date and time"
)
