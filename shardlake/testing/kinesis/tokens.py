"""Shard iterators and tokens for the next page: signed, so that what this service did not issue is told apart."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass

_DIGEST_BYTES = 12


@dataclass(frozen=True, slots=True)
class Iterator:
    """What a shard iterator says: where to read next, and when it was issued (monotonic seconds)."""

    stream: int
    stream_name: str
    shard_id: str
    place: int
    issued_s: float


class Signer:
    """Seals texts and opens them again. What it made is URL-safe text of at most 512 characters."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, *fields: object) -> str:
        """Make a token of fields that hold no newline."""
        text = "\n".join(map(str, fields)).encode()
        return urlsafe_b64encode(self._digest(text) + text).decode()

    def open(self, token: str) -> list[str] | None:
        """Give the fields of a token, or None if it was not made here."""
        try:
            sealed = urlsafe_b64decode(token)
        except (NotBase64, ValueError):
            return None
        digest, text = sealed[:_DIGEST_BYTES], sealed[_DIGEST_BYTES:]
        return text.decode().split("\n") if digest == self._digest(text) else None

    def seal_iterator(self, iterator: Iterator) -> str:
        """Make a shard iterator."""
        return self.seal(
            "i", iterator.stream, iterator.stream_name, iterator.shard_id, iterator.place, iterator.issued_s
        )

    def open_iterator(self, token: str) -> Iterator | None:
        """Read a shard iterator, or give None if it is none."""
        match self.open(token):
            case ["i", stream, stream_name, shard_id, place, issued_s]:
                return Iterator(int(stream), stream_name, shard_id, int(place), float(issued_s))
            case _:
                return None

    def _digest(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, key=self._key, digest_size=_DIGEST_BYTES).digest()
