"""What is in a folder: the files that count as a source's objects, in no order.

Not listed: names that begin with a dot (files and folders), names that programs give to what they are still writing,
and what is no regular file. Links to files are followed, links to folders are not.
"""

import errno
import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from shardlake.core.errors import ConfigError, Terminal, Transient

TEMPORARY: Final = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~")
_DEEP: Final = "**"


@dataclass(frozen=True, slots=True)
class Found:
    """A file as its folder shows it: its path under the root, with slashes, its size and when it was last modified."""

    key: str
    size: int
    mtime_ns: int

    @staticmethod
    def of(key: str, status: os.stat_result) -> "Found":
        """Take size and time from a file's status."""
        return Found(key, status.st_size, status.st_mtime_ns)

    @property
    def etag(self) -> str:
        """What changes when the contents do. Not the inode: that changes when a folder is restored or moved."""
        return f"{self.size}-{self.mtime_ns}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A root folder, and what a path under it must look like, part by part; `**` stands for any number of folders.

    >>> Pattern.of("/logs/2026-*/**/*.gz")
    Pattern(root=PosixPath('/logs'), parts=('2026-*', '**', '*.gz'))
    """

    root: Path
    parts: tuple[str, ...]

    @staticmethod
    def of(path: str) -> "Pattern":
        """Read a setting: a folder (everything below it), a file, or a glob pattern."""
        whole = Path(path).expanduser().absolute()
        if whole.is_dir():
            return Pattern(whole, (_DEEP,))
        fixed = next((i for i, part in enumerate(whole.parts) if glob.has_magic(part)), len(whole.parts))
        if whole.is_file() or fixed == len(whole.parts):
            return Pattern(whole.parent, (glob.escape(whole.name),))
        return Pattern(Path(*whole.parts[:fixed]), whole.parts[fixed:])

    def matches(self, key: str) -> bool:
        """Tell whether a key is meant."""
        return _match(tuple(key.split("/")), self.parts)

    def reaches(self, folder: str) -> bool:
        """Tell whether keys in a folder can be meant."""
        return _DEEP in self.parts or folder.count("/") + 2 <= len(self.parts)

    def list(self) -> Iterator[Found]:
        """List the files. Raises: ConfigError if the root is no folder, Transient if a folder cannot be read."""
        if not self.root.is_dir():
            raise ConfigError(f"{self.root} is not a folder: create it, or correct the path of the source")
        return self._below("")

    def _below(self, prefix: str) -> Iterator[Found]:
        folder = os.path.join(self.root, prefix)  # noqa: PTH118 -- a Path per file doubles the cost of a listing
        try:
            with os.scandir(folder) as entries:
                names = [(entry, prefix + entry.name) for entry in entries if not _is_hidden(entry.name)]
                for entry, key in names:
                    if not entry.is_dir(follow_symlinks=False):
                        yield from self._file(entry, key)
        except FileNotFoundError:
            return  # it was removed since it was listed
        except OSError as error:
            raise Transient(f"folder {folder} cannot be read ({error.strerror}): make it readable") from error
        for entry, key in names:
            if entry.is_dir(follow_symlinks=False) and self.reaches(key):
                yield from self._below(key + "/")

    def _file(self, entry: os.DirEntry[str], key: str) -> Iterator[Found]:
        if not self.matches(key):
            return
        try:
            status = entry.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link that leads nowhere, like one to what is not there
                return
            raise
        if stat.S_ISREG(status.st_mode):
            yield Found.of(_checked(key), status)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith(TEMPORARY)


def _checked(key: str) -> str:
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise Terminal(
            f"the name of file {os.fsencode(key)!r} is not UTF-8: rename it, or let the path leave it out"
        ) from error
    return key


def _match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == _DEEP:
        return len(pattern) == 1 or any(_match(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _match(parts[1:], pattern[1:])
