"""The CloudFront pack."""

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from shardlake.core.schema import SourceSchema
from shardlake.packs import arrays
from shardlake.packs.bots.agents import Agents
from shardlake.packs.cloudfront import names, schema
from shardlake.packs.cloudfront.decoder import LogDecoder
from shardlake.packs.pack import LINE_BYTES_MAX, Decoder

VIEWS: Final = ("bandwidth", "bots", "viewers")


class CloudFront:
    """CloudFront standard logs. See `shardlake.packs.pack.Pack` for the contract."""

    name = "cloudfront"
    schema: SourceSchema = schema.SCHEMA
    derived: Mapping[str, str] = MappingProxyType({"user_agent": "cs_user_agent"})
    sort_keys: tuple[str, ...] = ("distribution", "event_time")

    def __init__(self) -> None:
        folder = resources.files("shardlake.packs.cloudfront").joinpath("views")
        self.views: Mapping[str, str] = {v: folder.joinpath(f"{v}.sql").read_text("utf-8") for v in VIEWS}
        self._agents = Agents()

    def bucket_key(self, object_name: str) -> str | None:
        """Distribution and hour of the requests; None for a name that CloudFront does not write."""
        return names.bucket_key(object_name)

    def open(
        self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> Decoder:
        """Make a decoder for a log file called `origin`, or for a stream whose lines have these fields."""
        return LogDecoder(origin, fields, line_bytes_max=line_bytes_max)

    def enrich(self, rows: pa.Table) -> pa.Table:
        """Decode and classify user agents, each distinct one once."""
        raw = rows["cs_user_agent"].dictionary_encode().combine_chunks()
        if isinstance(raw, pa.ChunkedArray):  # what a column of no chunks stays
            raw = pa.DictionaryArray.from_arrays(pa.nulls(0, pa.int32()), arrays.from_texts(()))
        columns = {name: rows[name] for name in rows.column_names} | {"cs_user_agent": raw}
        columns |= self._agents.columns(raw)
        ordered = [columns[column.name] for column in schema.SCHEMA.columns]
        return pa.Table.from_arrays(ordered, schema=schema.EVENT_SCHEMA)
