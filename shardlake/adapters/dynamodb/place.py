"""A journal in DynamoDB as a setting names it: `dynamodb://TABLE/APP`."""

import re
from dataclasses import dataclass
from typing import Final

from shardlake.core.errors import ConfigError

SCHEME: Final = "dynamodb://"
_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_APP: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """A table, and the name that tells this Shardlake's rows in it from others'.

    >>> JournalPlace.of("dynamodb://shardlake/clicks")
    JournalPlace(table='shardlake', app='clicks')
    """

    table: str
    app: str

    @staticmethod
    def of(url: str) -> "JournalPlace":
        """Read a setting. Raises: ConfigError."""
        table, _, app = url.removeprefix(SCHEME).partition("/")
        if not url.startswith(SCHEME) or not _TABLE.fullmatch(table) or not _APP.fullmatch(app):
            raise ConfigError(
                f"journal.url is {url!r}: write dynamodb://TABLE/APP, where APP is a name of letters, digits, - . _"
            )
        return JournalPlace(table, app)

    @property
    def url(self) -> str:
        """The place as a setting names it."""
        return f"{SCHEME}{self.table}/{self.app}"
