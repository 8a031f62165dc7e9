"""What a declared pack is made of, once `pack.toml` was read and checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shardlake.core.schema import Column, SourceSchema

Format = Literal["json", "csv", "tsv", "log", "dynamodb"]
Holds = Literal["", "S", "N", "B", "BOOL", "any", "image", "event"]
NAMED: Final = ("json", "dynamodb")  # formats whose lines name their fields themselves


@dataclass(frozen=True, slots=True)
class Read:
    """A column that is read from a field. `field` is its name, or a path where lines are JSON.

    Of a change of DynamoDB, `holds` is the type that the attribute at the path has there, or `any` of them, or it says
    that the column is the whole `image`, or the `event`.
    """

    column: Column
    field: str
    time: str
    needed: bool
    holds: Holds = ""


@dataclass(frozen=True, slots=True)
class Computed:
    """A column that is an expression over columns that are read: its SQL, and which ones."""

    column: Column
    sql: str
    origins: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Declaration:
    """A pack as it was declared, checked.

    `fields` are those of a line where no header names them, and those in brackets or quotes in a `log` line are marked
    so. `only` names, by field, the values that a line of this kind has there. `nulls` are the texts that mean NULL.
    """

    name: str
    description: str
    format: Format
    delimiter: str
    nulls: tuple[str, ...]
    comment: str
    has_header: bool
    fields: tuple[str, ...]
    fields_min: int
    only: Mapping[str, tuple[str, ...]]
    read: tuple[Read, ...]
    computed: tuple[Computed, ...]
    schema: SourceSchema
    user_agent: str
    sort: tuple[str, ...]
    bucket: re.Pattern[str] | None
    optional: frozenset[str]


def bare(field: str) -> str:
    """Give the name of a field that `fields` writes in brackets or quotes, as its values stand in a line.

    >>> bare("[time]"), bare('"request"'), bare("status")
    ('time', 'request', 'status')
    """
    return field[1:-1] if field[:1] + field[-1:] in ("[]", '""') else field


def names_of(fields: Sequence[str], kind: str) -> tuple[str, ...]:
    """Give the names of fields: those of a `log` may be marked."""
    return tuple(map(bare, fields)) if kind == "log" else tuple(fields)
