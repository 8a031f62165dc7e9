"""What a pack is: one kind of data, from its lines to its views.

A pack knows how the lines of its data are written, which columns they have, what can be told from their values, and
which views people want of them. It knows nothing of shards, chunks or commits. The speed layer uses it so:

    decoder = pack.open("logs/E2EXAMPLE1234.2026-03-01-10.abcdef01.gz")
    decoded = decoder.decode(block)          # rows with physical line numbers, and dead letters
    events = pack.enrich(decoded.rows)       # the source's schema, in its order
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.core.schema import SourceSchema

LINE_BYTES_MAX = 1 << 20


class Reason(StrEnum):
    """Why a line is a dead letter. The words are stored: add to them, never change one."""

    TOO_FEW_FIELDS = "too_few_fields"
    TOO_MANY_FIELDS = "too_many_fields"
    WRONG_TYPE = "wrong_type"
    INVALID_UTF8 = "invalid_utf8"
    LINE_TOO_LONG = "line_too_long"
    NO_HEADER = "no_header"
    TRUNCATED_GZIP = "truncated_gzip"
    MALFORMED = "malformed"
    MISSING = "missing"
    OTHER_KIND = "other_kind"
    POISON_DECODE = "poison_decode"  # the pack failed on it
    POISON_VIEW = "poison_view"  # it was read, and a view failed on its row


@dataclass(frozen=True, slots=True)
class Letter:
    r"""A line that could not be read.

    `index` counts the physical lines of its block from 0. `payload` is the line as it stood there, without the newline
    but with a `\r` before it. `detail` says what is wrong for people and holds nothing of the payload.
    """

    index: int
    reason: Reason
    detail: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows and dead letters of one block.

    `lines` has one ascending number a row: the offset of its physical line in the block, from 0. Each line of the block
    is in `lines`, or is the index of one letter, or is a directive or empty. Letters are ascending too. `weights` has
    one number a row, 1 or -1, where the schema is weighted; None means 1.
    """

    rows: pa.Table
    lines: npt.NDArray[np.int64]
    letters: tuple[Letter, ...] = ()
    weights: npt.NDArray[np.int32] | None = None


class Decoder(Protocol):
    """Reads the lines of one file or stream, in order. It keeps what a header said, from block to block.

    How a line is read depends on the header above it and on its own bytes, never on the block that it stands in.
    A `copy.copy` of a decoder goes on where it stood, and what it reads changes nothing for the other: should `decode`
    fail all the same, parts of the block are read by copies, until the line is found on which it fails.
    """

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Fields that a header named and the schema does not know: their values are not kept. Sorted."""

    def decode(self, block: bytes) -> Decoded:
        r"""Read the next lines. A block is whole lines separated by `\n`; the last one may lack it. Never raises."""

    def skip(self, block: bytes) -> None:
        """Pass over lines that were read before, when a file is resumed: only their headers are heeded."""


class Pack(Protocol):
    """One kind of data. An instance belongs to one thread and may remember what it saw of distinct values."""

    @property
    def name(self) -> str:
        """The pack's name, as the configuration writes it."""

    @property
    def schema(self) -> SourceSchema:
        """The columns of an event after `enrich`."""

    @property
    def views(self) -> Mapping[str, str]:
        """The SQL text of the pack's views, by name."""

    @property
    def optional(self) -> frozenset[str]:
        """The views that `views.use = ["all"]` leaves out, because not everybody wants to pay for them."""

    @property
    def queries(self) -> Mapping[str, str]:
        """The SQL text of the pack's saved queries, by name.

        Each begins with `-- description: ` and `-- views: `, which names the views that it needs, and is one SELECT.
        """

    @property
    def derived(self) -> Mapping[str, Sequence[str]]:
        """Columns that repeat what is in others, derived -> origins: protecting an origin protects them too."""

    @property
    def sort_keys(self) -> tuple[str, ...]:
        """The columns by which a large file of events is best sorted."""

    @property
    def stream_fields(self) -> tuple[str, ...]:
        """The fields of a line of a stream, where the configuration names none."""

    def bucket_key(self, object_name: str) -> str | None:
        """Give what decides an object's bucket: equal for copies of one object; None for a name without a pattern."""

    def open(
        self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> Decoder:
        """Make a decoder for an object or stream called `origin`; `fields` for one whose lines have no header.

        Raises: ConfigError for fields that the pack does not know, or that tell no time.
        """

    def enrich(self, rows: pa.Table) -> pa.Table:
        """Add what follows from the values of each row; the result has the columns of `schema`, in its order."""
