"""A lock of the operating system, which is free again the moment its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shardlake.adapters.disk import make_folder, translated
from shardlake.adapters.stored import LOCKS
from shardlake.core.errors import Terminal


class Locked(Terminal):
    """Another process does what only one may do at a time. `holder` is its process id, as far as it is known."""

    def __init__(self, what: str, root: str, holder: str) -> None:
        super().__init__(
            f"{what} already runs on {root}{f' (process {holder})' if holder else ''}: stop it first, or use another "
            "root"
        )
        self.holder = holder


@contextmanager
def only_one(what: str, root: str, name: str) -> Iterator[None]:
    """Hold the lock `NAME` under the root meanwhile. Raises: Locked at once if another process has it."""
    path = Path(root) / LOCKS / name
    make_folder(path.parent)
    with translated(f"open {path}"):
        file = path.open("a+")
    with file:
        _take(file, what, root)
        yield


def _take(file: TextIO, what: str, root: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise Locked(what, root, file.read().strip()) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
