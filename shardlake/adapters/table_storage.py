"""Where the files of batch tables are: the port, and a folder of the local disk.

A location names a file for ever: it is what a table's metadata and sidecars say, and other engines read. All files of a
table are below `root/table/`. Data files are written locally first, and published by the commit that adds them.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from shardlake.adapters.clock import random_name
from shardlake.adapters.disk import make_folder, sync_folder, write_file
from shardlake.adapters.table_files import data_file, digest
from shardlake.core.ports import Snapshot, TableFile


class TableStorage(Protocol):
    """Files of batch tables by location. Reading and writing raise errors of the disk, or Transient and ConfigError."""

    @property
    def root(self) -> str:
        """What locations of tables are below, without a slash at its end."""

    def read(self, location: str) -> bytes:
        """Read a file whole. Raises: FileNotFoundError."""

    def create(self, location: str, data: bytes) -> None:
        """Write a file that is not there yet; it is durable when this returns. Raises: FileExistsError."""

    def write(self, location: str, data: bytes) -> None:
        """Write a file, whatever is there; whoever sees its name sees all of it."""

    def remove(self, locations: Iterable[str]) -> None:
        """Remove files as far as that works now; what stays is found by a sweep."""

    def list(self, table: str) -> set[str]:
        """Give the locations of all files of a table."""

    def drop(self, table: str) -> None:
        """Remove all files of a table."""

    def holds(self, location: str) -> bool:
        """Tell whether a location is below the root."""

    def plain(self, location: str) -> str:
        """Write a location as it is written here; other engines may have written it in another way."""

    def new_file(self, table: str, partition: str) -> str:
        """Give a local path, never used before, where a data file is to be written. Its folder is made."""

    def listed(self, table: str, file: TableFile) -> TableFile:
        """Give a new data file its location and its hash. Raises: FileNotFoundError."""

    def publish(self, file: TableFile, path: str) -> None:
        """Put a data file, which was listed, from its local path to its location."""

    def discard(self, path: str) -> None:
        """Let go of the local path of a file that is committed."""

    def readable(self, snapshot: Snapshot) -> Snapshot:
        """Give a snapshot whose files can be read here."""


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A folder. `sync=False` gives up durability, for tests."""

    folder: Path
    sync: bool = True

    @property
    def root(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def read(self, location: str) -> bytes:
        """Read a file whole. Raises: FileNotFoundError, OSError."""
        return local_path(location).read_bytes()

    def create(self, location: str, data: bytes) -> None:
        """Write a file that is not there yet, and flush it with its name. Raises: FileExistsError, OSError."""
        path = local_path(location)
        make_folder(path.parent, sync=self.sync)
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            if self.sync:
                os.fsync(file.fileno())
        if self.sync:
            sync_folder(path.parent)

    def write(self, location: str, data: bytes) -> None:
        """Write a file aside, and rename it. Raises: OSError."""
        path = local_path(location)
        make_folder(path.parent, sync=self.sync)
        write_file(path, data, sync=self.sync)

    def remove(self, locations: Iterable[str]) -> None:
        """Remove files; what cannot be removed stays."""
        for location in locations:
            with suppress(OSError):
                local_path(location).unlink(missing_ok=True)

    def list(self, table: str) -> set[str]:
        """Give the paths of all files of a table."""
        return {str(path) for path in (self.folder / table).rglob("*") if path.is_file()}

    def drop(self, table: str) -> None:
        """Remove the folder of a table."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder / table)

    def holds(self, location: str) -> bool:
        """Tell whether a path, with its links followed, is in the folder."""
        return local_path(location).resolve().is_relative_to(self.folder.resolve())

    def plain(self, location: str) -> str:
        """Give the path of a location, which other engines write as a URI."""
        return str(local_path(location))

    def new_file(self, table: str, partition: str) -> str:
        """Give the path that the file will keep."""
        path = data_file(self.folder, table, partition, random_name())
        make_folder(path.parent, sync=self.sync)
        return str(path)

    def listed(self, table: str, file: TableFile) -> TableFile:
        """Give a file its hash; where it was written is its location. Raises: FileNotFoundError."""
        del table
        return replace(file, sha256=digest(file.path))

    def publish(self, file: TableFile, path: str) -> None:
        """Do nothing: it is there."""

    def discard(self, path: str) -> None:
        """Keep it: it is the file."""

    def readable(self, snapshot: Snapshot) -> Snapshot:
        """Give it as it is."""
        return snapshot


def local_path(location: str) -> Path:
    """Give the path of a location, which other engines write as a URI."""
    return Path(location.removeprefix("file://").removeprefix("file:"))
