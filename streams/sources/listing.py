"""Where the objects of a source of files are: the port, and a folder of the local disk.

Not listed: names that begin with a dot (files and folders), names that programs give to what they are still writing,
and what is no regular file. Links to files are followed, links to folders are not.
"""

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from shardlake.core.errors import ConfigError, Terminal, Transient
from streams.sources.pages import FileRow

TEMPORARY: Final = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", "~")
DEEP: Final = "**"
_PARTS_DIGITS_MAX: Final = 5
_GONE: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Gone(Exception):
    """What was discovered is not there any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it is listed: its key, what changes when its contents do, its size and when it was last modified."""

    key: str
    etag: str
    size: int
    mtime_ns: int


class Opened(Protocol):
    """An object that is being read; whoever opened it closes `file`."""

    @property
    def file(self) -> BinaryIO:
        """Its bytes, from any place on. Reading raises OSError or Transient, and never ends too early."""

    def etag(self) -> str:
        """The ETag of what is being read, as it is now."""


class Store(Protocol):
    """Where the objects of a source are. Keys are the same for ever, whatever part of a store is looked at."""

    @property
    def settles(self) -> bool:
        """Tell whether an object may be seen before it is whole."""

    def restart(self) -> None:
        """Forget what was seen: the next listing is complete."""

    def list(self) -> Iterable[Found]:
        """Give objects that may be new; now and then, at the latest after a time, all there are.

        Raises: ConfigError if there is no such place, Transient if it is out of reach.
        """

    def open(self, row: FileRow) -> Opened:
        """Open what was discovered, or what is there under its key now. Raises: Gone, Transient, ConfigError."""

    def committed(self) -> None:
        """Hear that everything that was listed is known for ever."""

    def name(self, key: str) -> str:
        """Name an object as messages do."""


@dataclass(frozen=True, slots=True)
class _OpenFile:
    key: str
    file: BinaryIO

    def etag(self) -> str:
        return _found(self.key, os.fstat(self.file.fileno())).etag


@dataclass(slots=True)
class Folder:
    """The files that a pattern means. Their ETags are made of size and modified time."""

    pattern: "Pattern"

    @property
    def settles(self) -> bool:
        """A file grows while it is written."""
        return True

    def restart(self) -> None:
        """Nothing is remembered: each listing is complete."""

    def list(self) -> Iterable[Found]:
        """List the files, also those of a folder that was not there before.

        Raises: ConfigError if the root is no folder, Transient if a folder cannot be read.
        """
        self.pattern = self.pattern.as_it_is_now()
        return self.pattern.list()

    def open(self, row: FileRow) -> Opened:
        """Open a file. Raises: Gone, Transient."""
        try:
            return _OpenFile(row.key, (self.pattern.root / row.key).open("rb"))
        except _GONE as error:
            raise Gone(str(error)) from error
        except OSError as error:
            raise Transient(f"{self.name(row.key)} cannot be read ({error.strerror}): make it readable") from error

    def committed(self) -> None:
        """Nobody waits for it."""

    def name(self, key: str) -> str:
        """Give the path of a file."""
        return str(self.pattern.root / key)


def _found(key: str, status: os.stat_result) -> Found:
    """Take size and time from a file's status; the inode would change when a folder is restored or moved."""
    return Found(key, f"{status.st_size}-{status.st_mtime_ns}", status.st_size, status.st_mtime_ns)


def told(etag: str) -> str:
    """Say what the ETag of a file of a disk tells; another store's is left as it is.

    >>> told("230-1795254855411558109"), told("9b2cf535f27731c974343645a3985328-2")
    ('230 bytes of 2026-11-21 09:54:15.411558 UTC', '9b2cf535f27731c974343645a3985328-2')
    """
    size, _, mtime_ns = etag.partition("-")
    # S3 writes after the dash how many parts an object was made of, which is 10,000 at most.
    if not (size.isdecimal() and mtime_ns.isdecimal() and len(mtime_ns) > _PARTS_DIGITS_MAX):
        return etag
    try:
        moment = datetime(1970, 1, 1) + timedelta(microseconds=int(mtime_ns) // 1000)
    except OverflowError:
        return etag
    return f"{size} bytes of {moment.isoformat(' ')} UTC"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A root folder, and what a path under it must look like, part by part; `**` stands for any number of folders.

    >>> Pattern.of("/logs/2026-*/**/*.gz")
    Pattern(root=PosixPath('/logs'), parts=('2026-*', '**', '*.gz'))
    """

    root: Path
    parts: tuple[str, ...]
    path: str = field(default="", repr=False, compare=False)  # what it was made of, if that was not there

    @staticmethod
    def of(path: str) -> "Pattern":
        """Read a setting: a folder (everything below it), a file, or a glob pattern."""
        whole = Path(path).expanduser().absolute()
        if whole.is_dir():
            return Pattern(whole, (DEEP,))
        fixed = next((i for i, part in enumerate(whole.parts) if glob.has_magic(part)), len(whole.parts))
        if whole.is_file():
            return Pattern(whole.parent, (glob.escape(whole.name),))
        if fixed == len(whole.parts):
            return Pattern(whole.parent, (glob.escape(whole.name),), str(whole))
        return Pattern(Path(*whole.parts[:fixed]), whole.parts[fixed:])

    def as_it_is_now(self) -> "Pattern":
        """Look again at what was not there: it may be a folder by now."""
        return Pattern.of(self.path) if self.path else self

    def matches(self, key: str) -> bool:
        """Tell whether a key is meant."""
        return match(tuple(key.split("/")), self.parts)

    def reaches(self, folder: str) -> bool:
        """Tell whether keys in a folder can be meant."""
        return DEEP in self.parts or folder.count("/") + 2 <= len(self.parts)

    def list(self) -> Iterator[Found]:
        """List the files. Raises: ConfigError if the root is no folder, Transient if a folder cannot be read."""
        if not self.root.is_dir():
            raise ConfigError(f"{self.root} is not a folder: create it, or correct the path of the source")
        return self._below("")

    def _below(self, prefix: str) -> Iterator[Found]:
        folder = os.path.join(self.root, prefix)  # noqa: PTH118 -- a Path per file doubles the cost of a listing
        try:
            with os.scandir(folder) as entries:
                names = [(entry, prefix + entry.name) for entry in entries if not is_hidden(entry.name)]
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
            yield _found(_checked(key), status)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is left out."""
    return name.startswith(".") or name.endswith(TEMPORARY)


def _checked(key: str) -> str:
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise Terminal(
            f"the name of file {os.fsencode(key)!r} is not UTF-8: rename it, or let the path leave it out"
        ) from error
    return key


def match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Tell whether the parts of a key are those that a pattern means."""
    if not pattern:
        return not parts
    if pattern[0] == DEEP:
        return len(pattern) == 1 or any(match(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and match(parts[1:], pattern[1:])
