"""How PyIceberg reads and writes metadata files here: whole, through the storage of the tables.

PyIceberg's own local files are not flushed, so a catalog's row could outlive the metadata that it names; and its own S3
would bring a second client with retries of its own.
"""

import io
from typing import Final, cast

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from shardlake.adapters.table_storage import TableStorage

IMPLEMENTATION: Final = "shardlake.adapters.iceberg.files.StorageIO"
STORAGE: Final = "shardlake.storage"  # a catalog's property, which holds the storage itself


class StorageIO(FileIO):
    """Files of the storage that the catalog was opened with. Its errors go through PyIceberg as they are."""

    def new_input(self, location: str) -> InputFile:
        """Name a file to read."""
        return _File(location, self._storage())

    def new_output(self, location: str) -> OutputFile:
        """Name a file to write."""
        return _File(location, self._storage())

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Remove a file, as far as that works now: it is no longer named, and an error would hide what was done."""
        self._storage().remove([location if isinstance(location, str) else location.location])

    def _storage(self) -> TableStorage:
        return cast("TableStorage", self.properties[STORAGE])


class _File(InputFile, OutputFile):
    def __init__(self, location: str, storage: TableStorage) -> None:
        super().__init__(location)
        self._storage = storage

    def __len__(self) -> int:
        return len(self._storage.read(self.location))

    def exists(self) -> bool:
        try:
            self._storage.read(self.location)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:  # noqa: ARG002, FBT001, FBT002 - PyIceberg's interface
        return io.BytesIO(self._storage.read(self.location))

    def to_input_file(self) -> InputFile:
        return self

    def create(self, overwrite: bool = False) -> OutputStream:  # noqa: FBT001, FBT002 - PyIceberg's interface
        return _Stream(self.location, self._storage, overwrite=overwrite)


class _Stream(io.BytesIO):
    """A new file, which is written when it is closed."""

    def __init__(self, location: str, storage: TableStorage, *, overwrite: bool) -> None:
        super().__init__()
        self._location, self._storage, self._overwrite = location, storage, overwrite

    def close(self) -> None:
        if self.closed:
            return
        data = self.getvalue()
        super().close()
        write = self._storage.write if self._overwrite else self._storage.create
        write(self._location, data)
