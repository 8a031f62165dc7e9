"""Opening a root's journal, wherever it is. What only one of the places needs is imported when it is used."""

import random
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shardlake.adapters.clock import SystemClock, random_name
from shardlake.adapters.storage_file import Storage
from shardlake.adapters.stored import JOURNAL
from shardlake.core.errors import ConfigError, Conflict
from shardlake.core.journal.port import Journal

if TYPE_CHECKING:
    from shardlake.adapters.dynamodb.journal import DynamoJournal


class OpenJournal(Journal, Protocol):
    """A journal, and what is held open for it."""

    def close(self) -> None:
        """Let go of it."""


def exists(root: Path, where: Storage) -> bool:
    """Tell whether a root has a journal. Raises: as `open_journal`."""
    return in_dynamodb(where).layout() is not None if where.url else (root / JOURNAL).exists()


def open_journal(root: Path, where: Storage, objects: str, *, read_only: bool = False) -> OpenJournal:
    """Open the journal of a root. With `read_only` nothing is made, and of a file nothing can be changed.

    `objects` is the place of the root's objects in S3: a journal in DynamoDB keeps it, and it cannot change. Raises:
    ConfigError if it cannot be opened, or is not there to be read; FormatTooNew, Corrupt, Transient.
    """
    if not where.url:
        from shardlake.adapters.sqlite_journal import SqliteJournal  # noqa: PLC0415 - for whoever has one

        return SqliteJournal(root / JOURNAL, read_only=read_only)
    if not objects:
        raise ConfigError(
            "journal.url is set, and storage.url is not: set it too, because who shares the journal needs the objects"
        )
    found = in_dynamodb(where)
    if not read_only:
        found.check()
    layout = found.layout()
    if layout is None and not read_only:
        try:
            found.make(objects)
        except Conflict:  # another process made it just now
            layout = found.layout()
        else:
            return found
    if layout is None:
        raise ConfigError(
            f"nothing was stored at {where.url} yet: begin with `shardlake stream run`, or correct journal.url"
        )
    if layout.objects != objects:
        raise ConfigError(
            f"storage.url is {objects}, and the objects of the journal {where.url} are in {layout.objects}: set it"
            " back, or choose another name for the journal"
        )
    return found


def in_dynamodb(where: Storage) -> "DynamoJournal":
    """Name a journal in DynamoDB; nothing is asked for. Raises: ConfigError."""
    from shardlake.adapters.dynamodb.client import shared  # noqa: PLC0415 - botocore takes a while to import
    from shardlake.adapters.dynamodb.journal import DynamoJournal  # noqa: PLC0415
    from shardlake.adapters.dynamodb.place import JournalPlace  # noqa: PLC0415

    place, chance = JournalPlace.of(where.url), random.Random(random_name())  # noqa: S311 - for pauses and tokens
    return DynamoJournal(shared(where.region, where.endpoint), place.table, place.app, SystemClock(), chance)
