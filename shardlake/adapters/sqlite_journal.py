"""The journal in one SQLite file, for one machine: its processes share the file.

WAL with synchronous=FULL makes an acknowledged transaction durable; `BEGIN IMMEDIATE` takes the one write
lock before any expectation is looked at.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from shardlake.adapters.clock import random_name
from shardlake.adapters.disk import make_folder, remove_database, sync_file, sync_folder, translated
from shardlake.core.errors import ConfigError, Conflict, Corrupt, FormatTooNew, OutcomeUnknown, Terminal, Transient
from shardlake.core.journal.port import REMOVED, Write

APPLICATION_ID: Final = 0x53484C4B  # "SHLK", in the file's header
FORMAT: Final = 1  # in the file's header as user_version
BUSY_S: Final = 5.0  # writers queue for the one lock; 16 of them at one commit a second wait 0.05 s at most

_TRANSIENT: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REFUSED: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


class SqliteJournal:
    """Rows in a SQLite file.

    Opening creates the file and its folder, except with `read_only`, which creates and changes nothing.
    `sync=False` gives up durability, for tests. Raises on opening: ConfigError if there is no journal to read or
    it cannot be opened, FormatTooNew, Corrupt if the file is something else, Transient.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False, busy_s: float = BUSY_S, sync: bool = True) -> None:
        self._path = Path(path)
        if not self._path.exists():
            if read_only:
                raise ConfigError(f"there is no journal at {path}: check the path, or start a worker that makes it")
            _create(self._path)
        with _errors(self._path):
            self._db = _open(self._path, busy_s, read_only=read_only, sync=sync)
        try:
            _check(self._db, self._path)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read the rows that exist under these keys."""
        found: dict[str, bytes] = {}
        with _errors(self._path):
            for key in keys:
                for (value,) in self._db.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchall():
                    found[key] = value
        return found

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read the rows whose key begins with `prefix` and lies in `(after, upto]`, in order of keys."""
        query = "SELECT key, value FROM rows WHERE key >= ? AND key < ? AND key > ? AND key <= ? ORDER BY key"
        with _errors(self._path):
            return self._db.execute(query, (prefix, prefix + "\U0010ffff", after, upto)).fetchall()

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply all writes if every expectation holds. Raises: Conflict, Transient, OutcomeUnknown."""
        try:
            with _errors(self._path):
                self._db.execute("BEGIN IMMEDIATE")
                self._expect(writes)
                self._db.executemany(
                    "INSERT INTO rows VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    [(write.key, write.put) for write in writes if write.put not in (None, REMOVED)],
                )
                removed = [(write.key,) for write in writes if write.put == REMOVED]
                self._db.executemany("DELETE FROM rows WHERE key = ?", removed)
            with _errors(self._path, committing=True):
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _expect(self, writes: Sequence[Write]) -> None:
        found = self.get([write.key for write in writes])
        for write in writes:
            if found.get(write.key) != write.expect:
                raise Conflict(f"journal row {write.key} is not as expected: read it again")


def _open(path: Path, busy_s: float, *, read_only: bool, sync: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rw"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False)
    db.execute(f"PRAGMA synchronous = {'FULL' if sync else 'OFF'}")
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    with _errors(path):
        ((application,),) = db.execute("PRAGMA application_id").fetchall()
        ((found,),) = db.execute("PRAGMA user_version").fetchall()
    if application != APPLICATION_ID:
        raise Corrupt(f"{path} is not a journal of Shardlake: check the path")
    if found > FORMAT:
        raise FormatTooNew(f"journal {path}", found, FORMAT)


def _create(path: Path) -> None:
    """Make an empty journal aside and link it into place, so that whoever sees the file sees a whole one."""
    make_folder(path.parent)
    aside = path.with_name(f"{path.name}.new-{random_name()}")
    try:
        with _errors(path), closing(sqlite3.connect(aside, isolation_level=None)) as db:
            db.execute("CREATE TABLE rows (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
            # Last: what a WAL still holds when it is closed on a full disk stays behind, and nothing tells.
            db.execute("PRAGMA journal_mode = WAL")
        with translated(f"make {path}"):
            sync_file(aside)
            if not _link(aside, path):
                return
            sync_folder(path.parent)
    finally:
        remove_database(aside)


def _link(aside: Path, path: Path) -> bool:
    try:
        os.link(aside, path)
    except FileExistsError:  # another process made it first
        return False
    return True


@contextmanager
def _errors(path: Path, *, committing: bool = False) -> Iterator[None]:
    """Raise SQLite's errors by their kind. A commit whose I/O failed may have reached the disk all the same."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        text = f"journal {path}: {error}"
        if committing and code == sqlite3.SQLITE_IOERR:
            raise OutcomeUnknown(f"{text}; the commit may have happened: send it again") from error
        if code in _TRANSIENT:
            raise Transient(f"{text}: nothing was written; free the disk or wait, then send it again") from error
        if code in _BROKEN:
            raise Corrupt(f"{text}: restore the journal from a backup") from error
        if code in _REFUSED:
            raise ConfigError(f"{text}: check that the file and its folder may be read and written") from error
        raise Terminal(text) from error
