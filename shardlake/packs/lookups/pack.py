"""A pack with lookups: the same in everything, but that its events have more columns."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from shardlake.adapters import settings_file
from shardlake.core.errors import ConfigError
from shardlake.core.schema import SourceSchema
from shardlake.packs import arrays
from shardlake.packs.lookups.declaration import Declaration, parse, widened
from shardlake.packs.lookups.matching import Matcher, matcher
from shardlake.packs.lookups.table import OF_PACK, ReferenceTable, read_table, shipped, source_of
from shardlake.packs.pack import LINE_BYTES_MAX, Decoder, Pack

SUFFIX: Final = ".toml"


def with_lookups(pack: Pack, folder: str | Path) -> Pack:
    """Join the lookups that are declared in a folder to a pack's events; the pack itself if there are none.

    The declarations are checked here, the tables when lines are first to be read. Raises: ConfigError.
    """
    found = declarations(pack, folder)
    if found and pack.schema.weighted:
        raise ConfigError(
            f"lookups.folder ({folder}) joins {found[0].name} to {pack.name}, a stream of changes: an image would be"
            " taken back with another row of a table that changed meanwhile; set lookups.folder to one without"
            " declarations, and join the table to the answer in a query"
        )
    return Joined(pack, found) if found else pack


def told(pack: Pack) -> list[str]:
    """Read the tables of a pack's lookups, and say of each what was found. Raises: ConfigError."""
    return pack.told() if isinstance(pack, Joined) else []


def files_of(folder: str | Path) -> list[Path]:
    """The files in a folder that declare lookups, in the order of their names."""
    found = sorted(Path(folder).glob(f"*{SUFFIX}"))
    return [path for path in found if not path.name.startswith(".") and path.is_file()]


def declarations(pack: Pack, folder: str | Path) -> tuple[Declaration, ...]:
    """Read the declarations in a folder. Raises: ConfigError."""
    return tuple(parse(path, _completed(pack, path, settings_file.read(path))) for path in files_of(folder))


def _completed(pack: Pack, path: Path, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A table that a pack brings says itself how it is joined; what the user's file says goes before that."""
    table = given.get("table")
    if not isinstance(table, str) or not table.startswith(OF_PACK):
        return given
    name = table.removeprefix(OF_PACK)
    usual = shipped(pack, f"{name}{SUFFIX}")
    if not usual.is_file():
        raise ConfigError(f"{path}: table is {table}, and the pack {pack.name} brings no table {name}: name a file")
    return {**tomllib.loads(usual.read_text("utf-8")), **given}


class Join:
    """One lookup with its table, and what it remembers of values."""

    def __init__(self, declared: Declaration, table: ReferenceTable) -> None:
        self._declared, self._columns, self._version = declared, table.columns, table.version
        self._rows = len(table.keys)
        self._match: Matcher = matcher(declared, table.keys)

    @property
    def told(self) -> str:
        """How many rows the table has, and which version it is."""
        return f"{self._declared.name}: {self._rows:,} rows, version {self._version}"

    def columns(self, events: pa.Table) -> Iterator[tuple[str, pa.Array]]:
        """Look each distinct value up once, and spread what was found over the rows."""
        values = _coded(events[self._declared.on])
        distinct = values.dictionary.cast(pa.string()).to_pylist()
        rows = np.fromiter((-1 if v is None else self._match(v) for v in distinct), np.int32, len(distinct))
        met = _places(rows)
        for name, column in self._columns.items():
            found = column.take(met)
            coded = found.dictionary_encode() if pa.types.is_string(found.type) else found
            yield name, coded.take(values.indices)
        version = arrays.coded(np.zeros(events.num_rows, np.int32), (self._version,))
        yield self._declared.version_column, version


class Joined:
    """Events of a pack, each with what the lookups know of it when it is read. See `shardlake.packs.pack.Pack`."""

    def __init__(self, pack: Pack, lookups: Sequence[Declaration]) -> None:
        self._pack, self._lookups = pack, tuple(lookups)
        self._schema = widened(pack.schema, self._lookups)
        self._joins: tuple[Join, ...] = ()

    @property
    def name(self) -> str:
        """The pack's name."""
        return self._pack.name

    @property
    def schema(self) -> SourceSchema:
        """The pack's columns, then those of the lookups."""
        return self._schema

    @property
    def views(self) -> Mapping[str, str]:
        """The pack's views."""
        return self._pack.views

    @property
    def optional(self) -> frozenset[str]:
        """The pack's optional views."""
        return self._pack.optional

    @property
    def queries(self) -> Mapping[str, str]:
        """The pack's saved queries."""
        return self._pack.queries

    @property
    def derived(self) -> Mapping[str, Sequence[str]]:
        """What the pack derives; a looked up column is no copy of the value that it was found by."""
        return self._pack.derived

    @property
    def sort_keys(self) -> tuple[str, ...]:
        """The pack's sort keys."""
        return self._pack.sort_keys

    @property
    def stream_fields(self) -> tuple[str, ...]:
        """The pack's fields of a stream's lines."""
        return self._pack.stream_fields

    def bucket_key(self, object_name: str) -> str | None:
        """Give what decides an object's bucket, as the pack says."""
        return self._pack.bucket_key(object_name)

    def open(
        self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX
    ) -> Decoder:
        """Make the pack's decoder. The tables are read before the first one. Raises: ConfigError."""
        self._loaded()
        return self._pack.open(origin, fields, line_bytes_max=line_bytes_max)

    def enrich(self, rows: pa.Table) -> pa.Table:
        """Add the pack's own columns, then those of the lookups."""
        events = self._pack.enrich(rows)
        for join in self._loaded():
            for name, column in join.columns(events):
                events = events.append_column(name, column)
        return events

    def told(self) -> list[str]:
        """Say of each lookup how many rows its table has, and which version it is. Raises: ConfigError."""
        return [join.told for join in self._loaded()]

    def _loaded(self) -> tuple[Join, ...]:
        if not self._joins:
            self._joins = tuple(Join(each, read_table(each, source_of(each, self._pack))) for each in self._lookups)
        return self._joins


def _coded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column as one array of codes and distinct values; NULL stands in the codes."""
    coded = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = coded.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # what a column of no chunks stays
        array = pa.DictionaryArray.from_arrays(pa.nulls(0, pa.int32()), arrays.from_texts(()))
    return array


def _places(rows: np.ndarray[Any, np.dtype[np.int32]]) -> pa.Array:
    """Row numbers as an array to take by; -1 is NULL."""
    known = pa.py_buffer(np.packbits(rows >= 0, bitorder="little"))
    return pa.Array.from_buffers(pa.int32(), len(rows), [known, pa.py_buffer(np.maximum(rows, 0))])
