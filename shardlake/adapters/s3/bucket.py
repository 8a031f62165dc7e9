"""The few calls of S3 that are made here, on one bucket, with errors by their kind.

An upload carries the SHA-256 of its content, which S3 checks on arrival. Downloads are checked by whoever knows what
they should be.
"""

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Final

from botocore.exceptions import ClientError

from shardlake.adapters.s3.client import code_of, errors, of_code, resent
from shardlake.core.errors import Conflict, Missing, Transient

PIECE_BYTES: Final = 1 << 20
DELETED_AT_ONCE: Final = 1000  # what one request may name
_READS_MAX: Final = 3  # of one body that breaks
_CREATES_MAX: Final = 5  # while S3 is busy with the same name


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as S3 shows it; the ETag is without its quotes."""

    key: str
    etag: str
    size: int
    modified_us: int

    @staticmethod
    def of(key: str, size: int, shown: Mapping[str, Any]) -> "Listed":
        """Take ETag and time from an answer."""
        modified: datetime = shown["LastModified"]
        return Listed(key, str(shown["ETag"]).strip('"'), size, round(modified.timestamp() * 1_000_000))


class Bucket:
    """One bucket, through a client of botocore. Safe for several threads."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self.name = client, name

    def url(self, key: str) -> str:
        """Name an object as messages do."""
        return f"s3://{self.name}/{key}"

    def create(self, key: str, data: bytes | BinaryIO, sha256: str, *, again: bool = False) -> None:
        """Write an object that is not there yet; `again` tells that it may have been sent before.

        Where it was sent twice, also by the client itself, the first try may have made what the second one meets: then
        the content decides. Raises: Conflict if the key is taken; Transient (it may then be there); ConfigError.
        """
        what = f"write object {self.url(key)}"
        with errors(what):
            for _ in range(_CREATES_MAX):
                try:
                    self._put(key, data, sha256, IfNoneMatch="*")
                    return
                except ClientError as error:
                    if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                        raise
                    again = again or resent(error)
                    if code_of(error) == "ConditionalRequestConflict":
                        again = True
                    elif again and self._holds(key, sha256):
                        return
                    else:
                        raise Conflict(f"object {self.url(key)} exists: a name is never used again") from error
        raise Transient(f"cannot {what}: S3 is busy with the same name; send it again")

    def write(self, key: str, data: bytes, sha256: str) -> None:
        """Write an object, whatever is there. Raises: Transient, ConfigError."""
        with errors(f"write object {self.url(key)}"):
            self._put(key, data, sha256)

    def read(self, key: str) -> bytes:
        """Read an object whole. Raises: Missing, Transient, ConfigError."""
        buffer = io.BytesIO()
        self.download(key, buffer)
        return buffer.getvalue()

    def download(self, key: str, into: BinaryIO) -> None:
        """Write an object's bytes into an empty file; a body that breaks is asked for again. Raises: as `read`."""
        for left in reversed(range(_READS_MAX)):
            with errors(f"read object {self.url(key)}"):
                body = self._client.get_object(Bucket=self.name, Key=key)["Body"]
            try:
                with closing(body), errors(f"read object {self.url(key)}"):
                    while piece := body.read(PIECE_BYTES):
                        into.write(piece)
                return
            except Transient:
                if not left:
                    raise
            into.seek(0)
            into.truncate()

    def open(self, key: str, etag: str, start: int = 0) -> Any:
        """Give an object's body from a byte on, to be closed. Raises: Conflict if it has another ETag; as `read`."""
        ranged = {"Range": f"bytes={start}-"} if start else {}
        with errors(f"read object {self.url(key)}"):
            return self._client.get_object(Bucket=self.name, Key=key, IfMatch=f'"{etag}"', **ranged)["Body"]

    def head(self, key: str) -> Listed | None:
        """Look at an object; None if it is not there. Raises: Transient, ConfigError."""
        try:
            with errors(f"look at object {self.url(key)}"):
                found = self._client.head_object(Bucket=self.name, Key=key)
        except Missing:
            return None
        return Listed.of(key, int(found["ContentLength"]), found)

    def list(self, prefix: str) -> Iterator[Listed]:
        """List the objects whose key begins with a prefix. Raises: Transient, ConfigError."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        with errors(f"list {self.url(prefix)}"):
            for page in pages:
                yield from (Listed.of(str(o["Key"]), int(o["Size"]), o) for o in page.get("Contents", ()))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are passed over. Raises: Transient, ConfigError."""
        what = f"delete objects of s3://{self.name}"
        for at in range(0, len(keys), DELETED_AT_ONCE):
            named = {"Objects": [{"Key": key} for key in keys[at : at + DELETED_AT_ONCE]], "Quiet": True}
            with errors(what):
                refused = self._client.delete_objects(Bucket=self.name, Delete=named).get("Errors", ())
            for error in refused:
                raise of_code(what, str(error.get("Code", "")), str(error.get("Message", "")))

    def _put(self, key: str, data: bytes | BinaryIO, sha256: str, **condition: str) -> None:
        if not isinstance(data, bytes):
            data.seek(0)
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        self._client.put_object(Bucket=self.name, Key=key, Body=data, ChecksumSHA256=checksum, **condition)

    def _holds(self, key: str, sha256: str) -> bool:
        try:
            return hashlib.sha256(self.read(key)).hexdigest() == sha256
        except Missing:
            return False
