"""The two CloudFront packs: one for each kind of log, with the same columns and the same views."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from shardlake.core.schema import SourceSchema
from shardlake.packs import arrays
from shardlake.packs.bots.agents import Agents
from shardlake.packs.cloudfront import header, names, realtime, schema
from shardlake.packs.cloudfront.decoder import LogDecoder
from shardlake.packs.pack import LINE_BYTES_MAX, Decoder

VIEWS: Final = ("bandwidth", "bots", "sessions", "viewers")
QUERIES: Final = ("bandwidth_by_edge", "suspects", "top_viewers")


class CloudFront:
    """CloudFront standard logs. See `shardlake.packs.pack.Pack` for the contract."""

    name = "cloudfront"
    schema: SourceSchema = schema.SCHEMA
    derived: Mapping[str, tuple[str, ...]] = MappingProxyType({"user_agent": ("cs_user_agent",)})
    sort_keys: tuple[str, ...] = ("distribution", "event_time")
    stream_fields: tuple[str, ...] = header.STANDARD_FIELDS
    optional: frozenset[str] = frozenset({"sessions"})

    def __init__(self) -> None:
        self.views: Mapping[str, str] = _texts("views", VIEWS)
        self.queries: Mapping[str, str] = _texts("queries", QUERIES)
        self._agents = Agents()

    def bucket_key(self, object_name: str) -> str | None:
        """Distribution and hour of the requests; None for a name that CloudFront does not write."""
        return names.bucket_key(object_name)

    def open(
        self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> Decoder:
        """Make a decoder for a log file called `origin`, or for a stream whose lines have these fields."""
        if fields is None:
            return LogDecoder(origin, None, line_bytes_max=line_bytes_max)
        return LogDecoder(origin, header.checked(fields), line_bytes_max=line_bytes_max, dialect=header.STREAMED)

    def enrich(self, rows: pa.Table) -> pa.Table:
        """Decode and classify user agents, each distinct one once."""
        raw = arrays.encoded(rows["cs_user_agent"])
        columns = {name: rows[name] for name in rows.column_names} | {"cs_user_agent": raw}
        columns |= self._agents.columns(raw)
        ordered = [columns[column.name] for column in schema.SCHEMA.columns]
        return pa.Table.from_arrays(ordered, schema=schema.EVENT_SCHEMA)


class CloudFrontRealtime(CloudFront):
    """CloudFront real-time logs, by the columns and with the views of the standard ones.

    What a sampling rate leaves out of the records is in no row: nothing is scaled.
    """

    name = "cloudfront_realtime"
    stream_fields: tuple[str, ...] = realtime.REALTIME_FIELDS

    def bucket_key(self, object_name: str) -> str | None:  # noqa: ARG002 - whatever it is
        """None: no name tells which requests an object of real-time log lines holds."""
        return None

    def open(
        self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> Decoder:
        """Make a decoder for records with these fields, in their order; None for all that there are.

        Raises: ConfigError.
        """
        chosen = realtime.REALTIME_FIELDS if fields is None else realtime.checked(fields)
        return LogDecoder(origin, chosen, line_bytes_max=line_bytes_max, dialect=realtime.REALTIME)


def _texts(kind: str, names: tuple[str, ...]) -> Mapping[str, str]:
    folder = resources.files("shardlake.packs.cloudfront").joinpath(kind)
    return {name: folder.joinpath(f"{name}.sql").read_text("utf-8") for name in names}
