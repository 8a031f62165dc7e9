"""What every adapter on a local disk needs: durable files and folders, and errors by their kind."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shardlake.adapters.clock import random_name
from shardlake.core.errors import ConfigError, Transient

_TRANSIENT: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


def make_folder(folder: Path, *, sync: bool = True) -> None:
    """Make a folder and its parents, durably: whoever made a parent may not have flushed its name yet."""
    with translated(f"make folder {folder}"):
        try:
            folder.mkdir()
        except FileNotFoundError:
            make_folder(folder.parent, sync=sync)
            folder.mkdir(exist_ok=True)
        except FileExistsError:
            if not folder.is_dir():
                raise
        if sync:
            sync_folder(folder.parent)


def write_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file so that whoever sees its name sees all of it. Raises the operating system's errors."""
    aside = path.with_name(f"{path.name}.new-{random_name()}")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def remove_database(path: Path) -> None:
    """Remove a SQLite file that is no longer open, and what may lie beside it."""
    for beside in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Flush a file's contents to the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise the operating system's refusals by their kind; `what` completes "cannot ...".

    Missing and existing files are left to the caller, who knows what they mean.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in _TRANSIENT:
            raise Transient(f"cannot {what}: {error.strerror}; free space or quota, then send it again") from error
        raise ConfigError(f"cannot {what}: {error.strerror}; check the path and its permissions") from error
