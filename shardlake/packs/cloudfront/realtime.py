"""The fields of a real-time log, and what they are in a standard one.

A record has no header. It holds the fields of its real-time log configuration, in the order in which
`aws cloudfront get-realtime-log-config` lists them. Some mean something else than in a standard log:

- `cs-host` is what the viewer asked for and `x-host-header` the distribution's domain: the other way round;
- `cs-uri-stem` is the whole URL after the domain, with the query;
- `timestamp` has milliseconds, where a standard log has whole seconds;
- `cs-cookie` ends after 800 bytes.

A record tells its distribution's id only as `primary-distribution-id`, and there only with continuous deployment.
"""

from collections import Counter
from functools import lru_cache
from typing import Final

from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.layout import TIMESTAMP, Dialect
from shardlake.packs.cloudfront.schema import LOGGED

# All there are in July 2026, in the order in which CloudFront delivers those that are chosen.
REALTIME_FIELDS: Final = (
    "timestamp",
    "c-ip",
    "s-ip",
    "time-to-first-byte",
    "sc-status",
    "sc-bytes",
    "cs-method",
    "cs-protocol",
    "cs-host",
    "cs-uri-stem",
    "cs-bytes",
    "x-edge-location",
    "x-edge-request-id",
    "x-host-header",
    "time-taken",
    "cs-protocol-version",
    "c-ip-version",
    "cs-user-agent",
    "cs-referer",
    "cs-cookie",
    "cs-uri-query",
    "x-edge-response-result-type",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-result-type",
    "fle-encrypted-fields",
    "fle-status",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
    "c-port",
    "x-edge-detailed-result-type",
    "c-country",
    "cs-accept-encoding",
    "cs-accept",
    "cache-behavior-path-pattern",
    "cs-headers",
    "cs-header-names",
    "cs-headers-count",
    "primary-distribution-id",
    "primary-distribution-dns-name",
    "origin-fbl",
    "origin-lbl",
    "asn",
    "cmcd-encoded-bitrate",
    "cmcd-buffer-length",
    "cmcd-buffer-starvation",
    "cmcd-content-id",
    "cmcd-object-duration",
    "cmcd-deadline",
    "cmcd-measured-throughput",
    "cmcd-next-object-request",
    "cmcd-next-range-request",
    "cmcd-object-type",
    "cmcd-playback-rate",
    "cmcd-requested-maximum-throughput",
    "cmcd-streaming-format",
    "cmcd-session-id",
    "cmcd-stream-type",
    "cmcd-startup",
    "cmcd-top-bitrate",
    "cmcd-version",
    "r-host",
    "sr-reason",
    "x-edge-mqcs",
    "distribution-tenant-id",
    "connection-id",
    "viewer-request-log-data",
    "viewer-response-log-data",
)

# In a configuration, a field that is in the records and not in this list: CloudFront adds some every year or two.
PASSED_OVER: Final = "-"

_RENAMED: Final = {
    "timestamp": "timestamp",
    "cs-host": "x_host_header",
    "x-host-header": "cs_host",
    "time-taken": "time_taken_s",
    "time-to-first-byte": "time_to_first_byte_s",
    "primary-distribution-id": "distribution",
}
_KNOWN: Final = {c.name for c in LOGGED}


def _column(field: str) -> str | None:
    """The name of the column that a field is kept in, None if the schema has none for it."""
    same = field.replace("-", "_")
    return _RENAMED.get(field) or (same if same in _KNOWN else None)


REALTIME: Final = Dialect(
    column=_column,
    times=TIMESTAMP,
    directives=(),
    has_whole_urls=True,
    namer="the configuration",
    untimed="the configuration names no timestamp",
)


@lru_cache(maxsize=16)
def checked(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Give the fields back if records can be read by them. Raises: ConfigError."""
    if unknown := [field for field in fields if field not in REALTIME_FIELDS and field != PASSED_OVER]:
        raise ConfigError(
            f"there is no real-time log field {unknown[0]!r}; accepted: {', '.join(REALTIME_FIELDS)}, "
            f"and {PASSED_OVER} for a field to pass over"
        )
    if twice := [field for field, count in Counter(fields).items() if count > 1 and field != PASSED_OVER]:
        raise ConfigError(f"the real-time log field {twice[0]} is named twice: name each once, in the records' order")
    if "timestamp" not in fields:
        raise ConfigError(
            "the real-time log fields lack timestamp, and a request without a time belongs nowhere: "
            "add it to the real-time log configuration, and here in its place"
        )
    return fields
