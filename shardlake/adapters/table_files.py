"""What the adapters of batch tables share: where data files go, and how a commit changes the list of them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from shardlake.core.errors import ConfigError, Corrupt
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
    return (*(file for file in base.files if file.path not in gone), *add)
