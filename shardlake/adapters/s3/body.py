"""The bytes of one object of S3, in one version, as a file that can be read from any place on."""

import io
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import BotoCoreError

from shardlake.adapters.s3.bucket import Bucket
from shardlake.adapters.s3.client import errors
from shardlake.core.errors import Conflict, Transient

BUFFER_BYTES: Final = 256 << 10
_TRIES_MAX: Final = 3  # in a row that bring no byte


class Body(io.RawIOBase):
    """An object with a certain ETag and size. What breaks is asked for again from where it broke.

    Reading raises Transient, also when the object is replaced or removed meanwhile: then the next one to open it is
    told so.
    """

    def __init__(self, bucket: Bucket, key: str, etag: str, size: int) -> None:
        super().__init__()
        self._bucket, self._key, self._etag, self._size = bucket, key, etag, size
        self._at = 0
        self._stream: Any = None

    def start(self) -> io.BufferedReader:
        """Open the object, and give it as a buffered file. Raises: Conflict if its ETag is another, Missing."""
        self._stream = self._bucket.open(self._key, self._etag)
        return io.BufferedReader(self, BUFFER_BYTES)

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def seekable(self) -> bool:
        """Another place costs another request."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at != self._at:
            self._drop()
            self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; none at the object's end, and only there. Raises: Transient."""
        if self._at >= self._size:
            return 0
        for left in reversed(range(_TRIES_MAX)):
            try:
                got = self._some(buffer)
            except Conflict as error:
                raise Transient(f"{error}: it was replaced while it was read") from error
            except Transient:
                self._drop()
                if not left:
                    raise
            else:
                self._at += got
                return got
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        super().close()

    def _some(self, buffer: Any) -> int:
        if self._stream is None:
            self._stream = self._bucket.open(self._key, self._etag, self._at)
        what = f"read object {self._bucket.url(self._key)}"
        with errors(what):
            got = int(self._stream.readinto(buffer))
        if not got:
            raise Transient(f"cannot {what}: it ends at byte {self._at} of {self._size}; it is tried again")
        return got

    def _drop(self) -> None:
        if self._stream is not None:
            with suppress(BotoCoreError, OSError):
                self._stream.close()
            self._stream = None
