"""The compiled views that a root works with, in one file: a query needs neither the compiler nor the pack.

Whoever compiles views writes the file, under a key made of all that the forms depend on. A process that knows the
key uses the file if it has the same; one that only knows the root takes the views as they were last used.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shardlake.adapters.disk import make_folder, translated, write_file
from shardlake.adapters.stored import VIEWS
from shardlake.core.errors import ConfigError, Corrupt, FormatTooNew
from shardlake.core.view import VIEW_FORMAT, CompiledView

Views = Mapping[str, CompiledView]


class _Stored(msgspec.Struct, frozen=True):
    format: int
    key: str
    views: tuple[CompiledView, ...]


class _Format(msgspec.Struct, frozen=True):
    format: int


def save(root: str | Path, key: str, views: Views) -> None:
    """Make these the views of a root. Raises: ConfigError, Transient."""
    folder = Path(root)
    make_folder(folder)
    with translated(f"write {folder / VIEWS}"):
        write_file(folder / VIEWS, msgspec.json.encode(_Stored(VIEW_FORMAT, key, tuple(views.values()))))


def find(root: str | Path, key: str) -> Views | None:
    """Read the views of a root, if they were compiled under this key."""
    try:
        stored = _read(Path(root) / VIEWS)
    except (Corrupt, FormatTooNew):  # it can be made again
        return None
    return _by_name(stored) if stored is not None and stored.key == key else None


def load(root: str | Path) -> Views:
    """Read the views that a root worked with last. Raises: ConfigError if there are none, Corrupt, FormatTooNew."""
    stored = _read(Path(root) / VIEWS)
    if stored is None:
        raise ConfigError(f"there are no views in {root}: check the path, or begin with `shardlake stream run`")
    return _by_name(stored)


def _by_name(stored: _Stored) -> Views:
    return {view.name: view for view in stored.views}


def _read(path: Path) -> _Stored | None:
    try:
        with translated(f"read {path}"):
            data = path.read_bytes()
        found = msgspec.json.decode(data, type=_Format).format
        if found > VIEW_FORMAT:
            raise FormatTooNew(str(path), found, VIEW_FORMAT)
        return msgspec.json.decode(data, type=_Stored)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path} cannot be read: {error}; `shardlake views list` makes it again") from error
