"""What the adapters of batch tables share: where data files go, how a commit changes their list, what may be added."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from shardlake.core.errors import ConfigError, Corrupt, Missing
from shardlake.core.ports import Snapshot, TableFile
from shardlake.core.schema import Column

DATA_FOLDER: Final = "data"
WHOLE: Final = "all"  # the folder of files without a partition
SNAPSHOTS_KEPT: Final = 10  # a reader whose plan is that many commits old may miss a file, and plans again
_TABLE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def data_file(root: Path, table: str, partition: str, name: str) -> Path:
    """Give the path of a data file."""
    return root / data_name(table, partition, name)


def data_name(table: str, partition: str, name: str) -> str:
    """Name a data file below a root. No folder is called key=value: readers would take that for a column."""
    return f"{table}/{DATA_FOLDER}/{partition or WHOLE}/{name}.parquet"


def check_name(table: str) -> None:
    """Refuse a table's name that is no plain name of a folder. Raises: ConfigError."""
    if not _TABLE.fullmatch(table):
        raise ConfigError(f"{table!r} is not a name for a table: use letters, digits and _ . -")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile(TableFile):
    """A file that is not on this machine: `fetch` brings it here, checks it, and gives the path of the copy."""

    fetch: Callable[[TableFile], str] = field(compare=False, repr=False)


def changed(base: Snapshot, add: Sequence[TableFile], remove: Sequence[TableFile]) -> tuple[TableFile, ...]:
    """Give the files after a commit, with the hashes of those that are added, where they are not known yet.

    Raises: Corrupt if a removed file is not there or an added one already is.
    """
    there = {file.path for file in base.files}
    gone = {file.path for file in remove}
    if strange := gone - there:
        raise Corrupt(f"table {base.table} has no file {min(strange)} to remove: read it again")
    new = [file.path for file in add]
    if len(set(new)) < len(new) or there & set(new):
        raise Corrupt(f"a file is added to table {base.table} twice: a path is never used again")
    hashed = (file if file.sha256 else replace(file, sha256=digest(file.path)) for file in add)
    return (*(_told(file) for file in base.files if file.path not in gone), *hashed)


def lacking(where: str, there: Sequence[Column], wanted: Sequence[Column]) -> tuple[Column, ...]:
    """Give the wanted columns that are not there. Raises: ConfigError if one is, with another type or spelling."""
    known = {column.name.lower(): column for column in there}
    for column in wanted:
        have = known.get(column.name.lower(), column)
        if (have.name, have.type) != (column.name, column.type):
            raise ConfigError(
                f"column {column.name} {column.type} is {have.name} {have.type} in {where}: a"
                " column keeps its name and type for ever; give the new one another name"
            )
    return tuple(column for column in wanted if column.name.lower() not in known)


def checked(file: TableFile) -> str:
    """Give the local path of a batch file whose length and hash are those of its commit; hashed once per process.

    Raises: Missing if it is not there (plan again), Corrupt if it was changed, Transient if it is out of reach.
    """
    if isinstance(file, RemoteFile):
        return file.fetch(file)
    try:
        length = Path(file.path).stat().st_size
        if length == file.length and (not file.sha256 or _known_digest(file.path, length) == file.sha256):
            return file.path
    except FileNotFoundError as error:
        raise Missing(f"batch file {file.path} is gone: plan again") from error
    raise Corrupt(f"batch file {file.path} is not as it was committed: restore it, or rebuild its view")


def _told(file: TableFile) -> TableFile:
    """Give what is told of a file, without the way to read it."""
    return TableFile(file.path, file.rows, file.length, file.partition, file.windows, file.sha256)


@lru_cache(maxsize=4096)
def _known_digest(path: str, length: int) -> str:  # noqa: ARG001 - another length is another file
    return digest(path)


def digest(path: str) -> str:
    """Compute the SHA-256 of a local file. Raises: FileNotFoundError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
