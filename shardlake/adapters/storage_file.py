"""Where a root's objects and tables are, in one file of the root, if they are not below it.

Whoever knows the root alone finds them by it; whoever is configured otherwise is refused, because a root whose objects
are in two places answers with half of them.
"""

from pathlib import Path
from typing import Final

import msgspec

from shardlake.adapters.disk import make_folder, translated, write_file
from shardlake.core import formats
from shardlake.core.errors import ConfigError

FILE: Final = "storage.json"
FORMAT: Final = 1


class Storage(msgspec.Struct, frozen=True):
    """A place in AWS, and how it is reached; `url` is "" for below the root."""

    url: str = ""
    endpoint: str = ""
    region: str = ""
    format: int = msgspec.field(default_factory=lambda: FORMAT)


def stored(root: Path, file: str = FILE) -> Storage:
    """Read where a root's objects are, or what another file tells. Raises: Corrupt, FormatTooNew, ConfigError."""
    path = root / file
    try:
        with translated(f"read {path}"):
            if root.exists() and not root.is_dir():  # whoever writes there hears of it
                return Storage()
            data = path.read_bytes()
    except FileNotFoundError:
        return Storage()
    return formats.decode(Storage, str(path), data, FORMAT)


def checked(root: Path, wanted: Storage, *, begun: bool) -> Storage:
    """Give `wanted` back if the root's objects are there, or where they are if nothing is wanted.

    `begun` is a root that has a journal. Raises: ConfigError if they are elsewhere; as `stored`.
    """
    known = stored(root)
    if not wanted.url:
        return known
    if begun and known.url != wanted.url:
        place = known.url or "below the root"
        raise ConfigError(
            f"storage.url is {wanted.url}, and the objects of {root} are {place}: set it back, or begin with another"
            " root"
        )
    return wanted


def remember(root: Path, wanted: Storage, file: str = FILE) -> None:
    """Write where the root's objects are, before anything is stored there. Raises: ConfigError, Transient."""
    if stored(root, file) != wanted:
        make_folder(root)
        with translated(f"write {root / file}"):
            write_file(root / file, msgspec.json.encode(wanted))
