"""What the adapters of batch tables share: where data files go, and how a commit changes the list of them."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from shardlake.core.errors import ConfigError, Corrupt, Missing
from shardlake.core.ports import Snapshot, TableFile

DATA_FOLDER: Final = "data"
WHOLE: Final = "all"  # the folder of files without a partition
SNAPSHOTS_KEPT: Final = 10  # a reader whose plan is that many commits old may miss a file, and plans again
_TABLE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def data_file(root: Path, table: str, partition: str, name: str) -> Path:
    """Give the path of a data file. No folder is called key=value: readers would take that for a column."""
    return root / table / DATA_FOLDER / (partition or WHOLE) / f"{name}.parquet"


def check_name(table: str) -> None:
    """Refuse a table's name that is no plain name of a folder. Raises: ConfigError."""
    if not _TABLE.fullmatch(table):
        raise ConfigError(f"{table!r} is not a name for a table: use letters, digits and _ . -")


def changed(base: Snapshot, add: Sequence[TableFile], remove: Sequence[TableFile]) -> tuple[TableFile, ...]:
    """Give the files after a commit. Raises: Corrupt if a removed file is not there or an added one already is."""
    there = {file.path for file in base.files}
    gone = {file.path for file in remove}
    if strange := gone - there:
        raise Corrupt(f"table {base.table} has no file {min(strange)} to remove: read it again")
    new = [file.path for file in add]
    if len(set(new)) < len(new) or there & set(new):
        raise Corrupt(f"a file is added to table {base.table} twice: a path is never used again")
    hashed = (replace(file, sha256=_digest(file.path)) for file in add)
    return (*(file for file in base.files if file.path not in gone), *hashed)


def checked(file: TableFile) -> str:
    """Give the path of a batch file whose length and hash are those of its commit; hashed once per process.

    Raises: Missing if it is not there (plan again), Corrupt if it was changed.
    """
    try:
        length = Path(file.path).stat().st_size
        if length == file.length and (not file.sha256 or _known_digest(file.path, length) == file.sha256):
            return file.path
    except FileNotFoundError as error:
        raise Missing(f"batch file {file.path} is gone: plan again") from error
    raise Corrupt(f"batch file {file.path} is not as it was committed: restore it, or rebuild its view")


@lru_cache(maxsize=4096)
def _known_digest(path: str, length: int) -> str:  # noqa: ARG001 - another length is another file
    return _digest(path)


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
