"""The pack of the simulated worlds: clicks as lines of JSON, of which some cannot be read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from shardlake.core.schema import SourceSchema
from shardlake.packs.pack import LINE_BYTES_MAX, Decoded, Letter, Reason
from shardlake.testing.plain import Click
from shardlake.testing.world import ARROW, SCHEMA

BROKEN: Final = b'{"page": oops'


def line_of(click: Click) -> bytes:
    """Write an event as a producer would."""
    return msgspec.json.encode(click.row())


class ClickLines:
    """Reads lines, each on its own. See `shardlake.packs.pack.Decoder` for the contract."""

    unknown_fields: tuple[str, ...] = ()

    def decode(self, block: bytes) -> Decoded:
        """Read lines."""
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        letters: list[Letter] = []
        for index, line in enumerate(block.split(b"\n")):
            try:
                rows += [msgspec.json.decode(line, type=dict[str, Any])] if line else []
                lines += [index] if line else []
            except msgspec.DecodeError:
                letters.append(Letter(index, Reason.WRONG_TYPE, "it is not JSON", line))
        return Decoded(pa.Table.from_pylist(rows, ARROW), np.array(lines, np.int64), tuple(letters))

    def skip(self, block: bytes) -> None:
        """Lines tell nothing of one another."""


class Clicks:
    """See `shardlake.packs.pack.Pack` for the contract."""

    name = "clicks"
    schema: SourceSchema = SCHEMA
    views: Mapping[str, str] = MappingProxyType({})
    optional: frozenset[str] = frozenset()
    queries: Mapping[str, str] = MappingProxyType({})
    derived: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    sort_keys: tuple[str, ...] = ("page", "happened")
    stream_fields: tuple[str, ...] = ()

    def bucket_key(self, object_name: str) -> str | None:
        """Clicks are not in files."""
        del object_name
        return None

    def open(
        self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> ClickLines:
        """Make a decoder."""
        del origin, fields, line_bytes_max
        return ClickLines()

    def enrich(self, rows: pa.Table) -> pa.Table:
        """Add nothing."""
        return rows
