"""How PyIceberg reads and writes metadata files here: plain local files, flushed with their names.

PyIceberg's own local files are not flushed, so a catalog's row could outlive the metadata that it names.
"""

import io
import os
from pathlib import Path
from typing import Final, cast

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from shardlake.adapters.disk import make_folder, sync_folder
from shardlake.adapters.table_index import local_path

IMPLEMENTATION: Final = "shardlake.adapters.iceberg.files.DurableFileIO"
SYNC: Final = "shardlake.sync"  # a catalog's property; "false" gives up durability, for tests


class DurableFileIO(FileIO):
    """Local files. It does not translate errors: PyIceberg expects those of the operating system."""

    def new_input(self, location: str) -> InputFile:
        """Name a file to read."""
        return _LocalFile(location, sync=self._sync())

    def new_output(self, location: str) -> OutputFile:
        """Name a file to write."""
        return _LocalFile(location, sync=self._sync())

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file; one that is not there is passed over."""
        name = location if isinstance(location, str) else location.location
        local_path(name).unlink(missing_ok=True)

    def _sync(self) -> bool:
        return self.properties.get(SYNC) != "false"


class _LocalFile(InputFile, OutputFile):
    def __init__(self, location: str, *, sync: bool) -> None:
        super().__init__(location)
        self._path = local_path(location)
        self._sync = sync

    def __len__(self) -> int:
        return self._path.stat().st_size

    def exists(self) -> bool:
        return self._path.exists()

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002, FBT001, FBT002 - PyIceberg's interface
        return cast("InputStream", self._path.open("rb"))

    def to_input_file(self) -> InputFile:
        return self

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: FBT001, FBT002 - PyIceberg's interface
        make_folder(self._path.parent, sync=self._sync)
        return cast("OutputStream", _Stream(self._path, overwrite=overwrite, sync=self._sync))


class _Stream(io.BufferedWriter):
    """A new file, which is flushed with its name when it is closed."""

    def __init__(self, path: Path, *, overwrite: bool, sync: bool) -> None:
        super().__init__(io.FileIO(path, "w" if overwrite else "x"))
        self._path = path
        self._sync = sync

    def close(self) -> None:
        if self.closed:
            return
        try:
            self.flush()
            if self._sync:
                os.fsync(self.fileno())
        finally:
            super().close()
        if self._sync:
            sync_folder(self._path.parent)
