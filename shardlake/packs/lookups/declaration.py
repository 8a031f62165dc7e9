"""The file that declares a lookup: which table, joined by what, gives which columns.

    table = "customers.csv"        # beside this file; CSV with a header, or Parquet
    on = "c_ip"                    # a column of the events
    match = "network"              # how its values meet the table's keys: exact, prefix or network
    key = "range"                  # the table's column of keys

    [columns]                      # column of the events = column of the table
    customer = "name"
    customer_since = { column = "year", type = "BIGINT" }

The file's name is the lookup's. Nothing of the table is read here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from shardlake.core.errors import ConfigError
from shardlake.core.schema import Column, SourceSchema

TYPES: Final = ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN")
KEY_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "exact": ("VARCHAR", "BIGINT", "INTEGER"),
    "prefix": ("VARCHAR",),
    "network": ("VARCHAR",),
}
VERSION_MAX: Final = 64
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_ACCEPTED: Final[Mapping[str, str]] = {
    "table": 'a file beside this one, ending in .csv or .parquet, or "pack:" and the name of one that a pack brings',
    "on": "a column of the events",
    "match": ", ".join(KEY_TYPES),
    "key": "a column of the table",
    "version": f"a text of 1 to {VERSION_MAX} characters, in quotes",
    "columns": f"column = the table's column, or {{ column = ..., type = one of {', '.join(TYPES)} }}",
}


class Taken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of the table, and the type of what stands in it."""

    column: str
    type: Literal["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"] = "VARCHAR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What stands in the file of a lookup; `file` is its path, for messages."""

    name: str
    file: str
    table: str
    on: str
    key: str
    columns: dict[str, Taken]
    match: str = "exact"
    version: str = ""

    @property
    def version_column(self) -> str:
        """The column that tells which version of the table a row was joined to."""
        return f"{self.name}_version"

    @property
    def added(self) -> tuple[Column, ...]:
        """The columns that events get."""
        taken = (
            Column(name, it.type, f"{it.column} of {self.table} for {self.on}") for name, it in self.columns.items()
        )
        return (*taken, Column(self.version_column, "VARCHAR", f"the version of {self.table} that the row met"))

    def wrong(self, key: str, found: str) -> ConfigError:
        """Make the error that says what is wrong with a key of the file, and what is accepted."""
        return ConfigError(f"{self.file}: {key} {found}")


def parse(path: Path, given: Mapping[str, Any]) -> Declaration:
    """Check what stands in a lookup's file. Raises: ConfigError naming the file, the key and what is accepted."""
    if not NAME.fullmatch(path.stem):
        raise ConfigError(f"{path}: a lookup has the name of its file: use small letters, digits and _, a letter first")
    for key in given:
        if key not in _ACCEPTED:
            raise ConfigError(f"{path}: there is no key {key}{_nearest(key, _ACCEPTED)}")
    for key in ("table", "on", "key", "columns"):
        if key not in given:
            raise ConfigError(f"{path}: {key} is missing; accepted: {_ACCEPTED[key]}")
    plain = {key: _text(path, key, value) for key, value in given.items() if key != "columns"}
    return Declaration(name=path.stem, file=str(path), columns=_columns(path, given["columns"]), **plain)


def _text(path: Path, key: str, value: Any) -> str:
    usable = isinstance(value, str) and value != ""
    if usable and key == "match":
        usable = value in KEY_TYPES
    if usable and key == "version":
        usable = len(value) <= VERSION_MAX and value.isprintable()
    if not usable:
        raise _not_accepted(path, key, value)
    return str(value)


def _columns(path: Path, given: Any) -> dict[str, Taken]:
    if not isinstance(given, dict) or not given:
        raise _not_accepted(path, "columns", given)
    found = {}
    for name, value in given.items():
        try:
            found[name] = Taken(value) if isinstance(value, str) else msgspec.convert(value, Taken)
        except msgspec.ValidationError as error:
            raise _not_accepted(path, f"columns.{name}", value) from error
    return found


def _not_accepted(path: Path, key: str, value: Any) -> ConfigError:
    return ConfigError(f"{path}: {key} is {value!r}; accepted: {_ACCEPTED[key.partition('.')[0]]}")


def check(declared: Declaration, schema: SourceSchema) -> None:
    """See that a lookup fits the events that it is for. Raises: ConfigError."""
    on = schema.column(declared.on)
    if on is None:
        names = {column.name: column for column in schema.columns}
        raise declared.wrong("on", f"is {declared.on}, which {schema.name} does not have{_nearest(declared.on, names)}")
    if on.name != declared.on:
        raise declared.wrong("on", f"is {declared.on}; the column is written {on.name}")
    if on.type not in KEY_TYPES[declared.match]:
        accepted = ", ".join(KEY_TYPES[declared.match])
        raise declared.wrong("on", f"is {on.name}, which is {on.type}; {declared.match} takes {accepted}")
    for column in declared.added:
        if not NAME.fullmatch(column.name):
            raise declared.wrong("columns", f"names {column.name}: use small letters, digits and _, a letter first")


def widened(schema: SourceSchema, lookups: tuple[Declaration, ...]) -> SourceSchema:
    """Give the schema of events with the columns of all lookups. Raises: ConfigError for a name that is taken."""
    columns, takers = list(schema.columns), {column.name.lower(): schema.name for column in schema.columns}
    for declared in lookups:
        check(declared, schema)
        for column in declared.added:
            if taker := takers.get(column.name):
                raise declared.wrong("columns", f"names {column.name}, which {taker} has already: choose another name")
            takers[column.name] = declared.file
            columns.append(column)
    return SourceSchema(schema.name, tuple(columns), schema.event_time, schema.event_id)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else f"; accepted: {', '.join(known)}"
