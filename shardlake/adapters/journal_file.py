"""Where a root's journal is, in one file of the root, if it is not in the root itself.

Whoever knows the root alone finds it by that file; whoever is configured otherwise is refused, because a source whose
journal begins anew is counted again.
"""

from pathlib import Path
from typing import Final

from shardlake.adapters import storage_file
from shardlake.adapters.storage_file import Storage
from shardlake.adapters.stored import JOURNAL
from shardlake.core.errors import ConfigError

FILE: Final = "journal.json"


def stored(root: Path) -> Storage:
    """Read where a root's journal is. Raises: Corrupt, FormatTooNew, ConfigError."""
    return storage_file.stored(root, FILE)


def checked(root: Path, wanted: Storage) -> Storage:
    """Give `wanted` back if the root's journal is there, or where it is if nothing is wanted.

    Raises: ConfigError if it is elsewhere; as `stored`.
    """
    known = stored(root)
    if not wanted.url:
        return known
    if (root / JOURNAL).exists():
        raise ConfigError(
            f"journal.url is {wanted.url}, and the journal of {root} is its file {JOURNAL}: leave it empty, or begin"
            " with another root"
        )
    if known.url not in ("", wanted.url):
        raise ConfigError(
            f"journal.url is {wanted.url}, and the journal of {root} is {known.url}: set it back, or begin with"
            " another root"
        )
    return wanted


def remember(root: Path, wanted: Storage) -> None:
    """Write where the root's journal is. Raises: ConfigError, Transient."""
    storage_file.remember(root, wanted, FILE)
