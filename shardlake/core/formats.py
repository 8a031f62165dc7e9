"""What is stored as JSON carries a format version: newer is refused, anything else that does not fit is corrupt."""

from typing import TypeVar

import msgspec

from shardlake.core.errors import Corrupt, FormatTooNew

Stored = TypeVar("Stored")


class _Versioned(msgspec.Struct):
    format: int


def decode(kind: type[Stored], what: str, data: bytes, newest: int) -> Stored:
    """Read a stored value; `what` names it, `newest` is the newest format of it that this version knows.

    Raises: FormatTooNew if a later version wrote it; Corrupt if it is something else.
    """
    try:
        found = msgspec.json.decode(data, type=_Versioned).format
        if found > newest:
            raise FormatTooNew(what, found, newest)
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{what} cannot be read: {error}") from error
