"""A Parquet file as Iceberg lists it: its footer is checked against the table and what was told, and summed up.

PyIceberg can do this too, but its Arrow module imports pandas, a second of CPU in each process.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, IntegerType, LongType, NestedField, StringType, TimestampType
from pyiceberg.utils.truncate import truncate_upper_bound_text_string

from shardlake.adapters.iceberg.rebuild import partition_days
from shardlake.adapters.iceberg.types import text_of_arrow, text_of_iceberg
from shardlake.core.errors import Corrupt
from shardlake.core.ports import TableFile

_WITH_BOUNDS: Final = (DateType, IntegerType, LongType, StringType, TimestampType)  # whose order Parquet keeps exactly
_TEXT_MAX: Final = 16  # characters of a text's bound, as Iceberg's default says


@dataclass(slots=True)
class _Statistics:
    """What a column's chunks come to. The bounds are None as soon as one chunk with values does not tell them."""

    size: int = 0
    values: int = 0
    nulls: int = 0
    bounds: list[tuple[Any, Any]] = field(default_factory=list)
    complete: bool = True


def added(table: Table, file: TableFile, path: str) -> DataFile:
    """List a new file, of which there is a copy at a local path.

    Raises: Corrupt if it is not as told or not of the table's schema; FileNotFoundError.
    """
    try:
        footer = pq.read_metadata(path)
    except pa.ArrowInvalid as error:
        raise Corrupt(f"{path} is no Parquet file: {error}; write it again") from error
    there = _check_schema(table, footer.schema.to_arrow_schema(), path)
    length = Path(path).stat().st_size
    if (footer.num_rows, length) != (file.rows, file.length):
        raise Corrupt(f"{file.path} has {footer.num_rows} rows, {length} bytes, not {file.rows}, {file.length}")
    fields = [field for field in table.schema().fields if field.name in there and field.field_type.is_primitive]
    columns = {field.field_id: _statistics(footer, field) for field in fields}
    _check_partition(table.spec(), columns, file)
    return _listed(table, file, columns)


def removed(table: Table, file: TableFile) -> DataFile:
    """Name a file that the table has."""
    return _listed(table, file, {})


def _listed(table: Table, file: TableFile, columns: dict[int, _Statistics]) -> DataFile:
    fields = {f.field_id: f for f in table.schema().fields}
    bounds = {i: _bounds(fields[i], c) for i, c in columns.items()}
    made = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.path,
        file_format=FileFormat.PARQUET,
        partition=Record() if table.spec().is_unpartitioned() else Record(partition_days(file.partition)),
        record_count=file.rows,
        file_size_in_bytes=file.length,
        column_sizes={i: c.size for i, c in columns.items()},
        value_counts={i: c.values for i, c in columns.items()},
        null_value_counts={i: c.nulls for i, c in columns.items() if c.complete},
        lower_bounds={i: b[0] for i, b in bounds.items() if b is not None},
        upper_bounds={i: b[1] for i, b in bounds.items() if b is not None and b[1] is not None},
    )
    made.spec_id = table.spec().spec_id
    return made


def _check_schema(table: Table, found: pa.Schema, path: str) -> set[str]:
    """See that a file has the columns of its table, and give their names; those added later it may lack."""
    wanted = {f.name: text_of_iceberg(f.field_type) for f in table.schema().fields}
    there = {f.name: text_of_arrow(f.type) for f in found}
    first = min(table.schemas().values(), key=lambda schema: schema.schema_id)
    if there != wanted and there != {n: t for n, t in wanted.items() if n in there or n in first.column_names}:
        wrong = sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))
        said = ", ".join(f"{name} {there.get(name, 'missing')} (not {wanted.get(name, 'there')})" for name in wrong)
        raise Corrupt(f"{path} does not have the columns of its table: {said}")
    return set(there)


def _check_partition(spec: PartitionSpec, columns: dict[int, _Statistics], file: TableFile) -> None:
    for partition in spec.fields:
        column = columns[partition.source_id]
        ends = {end for bounds in column.bounds for end in bounds}
        found = {*ends, *([None] if column.nulls else [])} if column.complete else set()
        if found != {partition_days(file.partition)}:
            raise Corrupt(f"{file.path} is not of partition {file.partition or 'NULL'} alone: write a file for each")


def _statistics(footer: pq.FileMetaData, column: NestedField) -> _Statistics:
    found = _Statistics()
    for i in range(footer.num_row_groups):
        group = footer.row_group(i)
        chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column.name)
        told = chunk.statistics
        found.size += chunk.total_compressed_size
        found.values += chunk.num_values
        nulls = told.null_count if told is not None and told.has_null_count else 0
        found.nulls += nulls
        if told is not None and told.has_min_max:
            found.bounds.append((told.min_raw, told.max_raw))
        elif nulls < chunk.num_values:
            found.complete = False
    return found


def _bounds(column: NestedField, found: _Statistics) -> tuple[bytes, bytes | None] | None:
    if not found.bounds or not found.complete or not isinstance(column.field_type, _WITH_BOUNDS):
        return None
    lower, upper = min(b[0] for b in found.bounds), max(b[1] for b in found.bounds)
    if not isinstance(column.field_type, StringType):
        return to_bytes(column.field_type, lower), to_bytes(column.field_type, upper)
    highest = truncate_upper_bound_text_string(_text(upper), _TEXT_MAX)
    return _text(lower)[:_TEXT_MAX].encode(), None if highest is None else highest.encode()


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode()
