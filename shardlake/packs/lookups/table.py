"""The table of a lookup: its bytes, read once, so that the version is that of the rows; its keys, and typed columns."""

import csv
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from shardlake.adapters.disk import translated
from shardlake.core.errors import ConfigError
from shardlake.packs.lookups.declaration import Declaration
from shardlake.packs.pack import Pack

ROWS_MAX: Final = 1_000_000  # some 200 bytes each in memory, and a few seconds to load
VERSION_DIGITS: Final = 12  # of the file's SHA-256, where the declaration names no version
OF_PACK: Final = "pack:"
REFERENCE: Final = "reference"  # the folder of a pack's own tables
_TYPES: Final = {"VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_()}


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """What is looked up: the keys of the rows, none of them NULL, and the columns by the names that events use."""

    version: str
    keys: Sequence[str]
    columns: Mapping[str, pa.Array]


def shipped(pack: Pack, name: str) -> Traversable:
    """Find a file of the pack's own reference data; it may not be there."""
    return resources.files(type(pack).__module__.rpartition(".")[0]).joinpath(REFERENCE).joinpath(name)


def source_of(declared: Declaration, pack: Pack) -> Traversable:
    """Find the file of a lookup's table. Raises: ConfigError if it is not there, or is of another kind."""
    if declared.table.startswith(OF_PACK):
        name = declared.table.removeprefix(OF_PACK)
        found = shipped(pack, f"{name}.csv")
        if not found.is_file():
            raise declared.wrong("table", f"is {declared.table}, and the pack {pack.name} brings no {name}.csv")
        return found
    path = Path(declared.file).parent / Path(declared.table).expanduser()
    if path.suffix not in (".csv", ".parquet"):
        raise declared.wrong("table", f"is {declared.table}; accepted: a file that ends in .csv or .parquet")
    if not path.is_file():
        raise declared.wrong("table", f"is {declared.table}, and there is no file {path}: put it there, or correct it")
    return path


def read_table(declared: Declaration, source: Traversable) -> ReferenceTable:
    """Read a table. Raises: ConfigError saying what is wrong with it, and in which row, never what stands there."""
    with translated(f"read {source}"):
        data = source.read_bytes()
    wanted = list(dict.fromkeys([declared.key, *(it.column for it in declared.columns.values())]))
    rows = _parquet(declared, data, wanted) if source.name.endswith(".parquet") else _csv(declared, data, wanted)
    if rows.num_rows > ROWS_MAX:
        raise declared.wrong("table", f"{declared.table} has {rows.num_rows:,} rows; accepted: up to {ROWS_MAX:,}")
    keys = _typed(declared, declared.key, rows[declared.key], "VARCHAR")
    if keys.null_count:
        _wrong_row(declared, declared.key, lambda n: bool(keys.slice(0, n).null_count), len(keys), "is empty")
    columns = {name: _typed(declared, it.column, rows[it.column], it.type) for name, it in declared.columns.items()}
    version = declared.version or hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]
    return ReferenceTable(version, keys.to_pylist(), columns)


def _csv(declared: Declaration, data: bytes, wanted: Sequence[str]) -> pa.Table:
    """Read texts: an empty field is NULL, and nothing else is (NA is a country)."""
    try:
        header = next(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")), [])
    except UnicodeDecodeError as error:
        raise declared.wrong("table", f"{declared.table} is not UTF-8: write it again") from error
    _check_names(declared, header, wanted)
    odd: list[int] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        odd.append(row.number - 1)  # the header is the first one
        return "error"

    try:
        found = arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(use_threads=False),
            arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=list(wanted),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:  # its message holds the row
        what = f"row {odd[0]} has another number of fields than the header" if odd else "it cannot be read as CSV"
        raise declared.wrong("table", f"{declared.table}: {what}; correct it") from (None if odd else error)
    return found


def _parquet(declared: Declaration, data: bytes, wanted: Sequence[str]) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _check_names(declared, file.schema_arrow.names, wanted)
        return file.read(columns=list(wanted))
    except pa.ArrowInvalid as error:
        raise declared.wrong("table", f"{declared.table} is no Parquet file: {error}; write it again") from error


def _check_names(declared: Declaration, there: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if there.count(name) != 1:
            key = "key" if name == declared.key else "columns"
            often = "has no" if name not in there else "has more than one"
            raise declared.wrong(
                key, f"names {name}, and {declared.table} {often} such column; it has: {', '.join(there)}"
            )


def _typed(declared: Declaration, name: str, column: pa.ChunkedArray, kind: str) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # what a column of no chunks stays
        return pa.nulls(0, _TYPES[kind])
    try:
        return array.cast(_TYPES[kind])
    except pa.ArrowInvalid:
        _wrong_row(declared, name, lambda n: not _casts(array.slice(0, n), kind), len(array), f"is no {kind}")
    except pa.ArrowNotImplementedError as error:
        raise declared.wrong("columns", f"{name} of {declared.table} is {array.type}, which is no {kind}") from error


def _casts(array: pa.Array, kind: str) -> bool:
    try:
        array.cast(_TYPES[kind])
    except pa.ArrowInvalid:
        return False
    return True


def _wrong_row(declared: Declaration, name: str, wrong: Callable[[int], bool], rows: int, what: str) -> NoReturn:
    """Find the first row with which the rows so far are wrong, and tell its number, counted from 1 below the header."""
    low, high = 1, rows
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(middle) else (middle + 1, high)
    raise ConfigError(f"{declared.file}: {name} in row {low} of {declared.table} {what}; correct it there")
