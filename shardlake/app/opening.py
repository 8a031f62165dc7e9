"""What every process that reads a source begins with: a root that was checked, its journal, and what it has done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shardlake.adapters.clock import random_name
from shardlake.adapters.storage_file import remember
from shardlake.adapters.stored import JOURNAL
from shardlake.app import compose
from shardlake.app.logs import Log
from shardlake.app.metrics import Meter
from shardlake.app.settings import Config
from shardlake.core.errors import ConfigError, Conflict, Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import Entry, SourceRow
from shardlake.core.ports import Clock
from streams.lane import LaneContext
from streams.sources.port import SourceGap


@dataclass(slots=True)
class Progress:
    """What this process has committed, told to its log entry by entry."""

    log: Log
    entries: int = 0
    rows: int = 0
    letters: int = 0
    stopped: SourceGap | None = None  # the last shard that stands still, because something of it was lost
    meter: Meter = field(default_factory=Meter)
    told_of_nothing: bool = False  # that there are no files
    _resting: bool = field(default=True)

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """Take note of an entry."""
        self.entries, self.rows, self.letters = self.entries + 1, self.rows + rows, self.letters + letters
        self._resting = False
        self.meter.committed(rows, letters, len(failed))
        self.log.info("committed", entry=f"{entry.lane}:{entry.n}", rows=rows, dead_letters=letters)
        if failed:
            self.log.warning("view_failed", views=", ".join(failed), entry=f"{entry.lane}:{entry.n}")

    def idle(self) -> None:
        """Tell, once, that everything there is was read."""
        if not self._resting:
            self.log.info("caught_up", entries=self.entries, rows=self.rows)
            self._resting = True


@contextmanager
def lane_context(config: Config, clock: Clock) -> Iterator[LaneContext]:
    """What a lane's owner works with, of a root that was checked. Raises: as the journal and the object storage."""
    store = compose.objects(config)
    remember(Path(config.root), compose.storage(config))
    journal = compose.journal(config)
    try:
        found(journal)
        check_tables(journal, config)
        yield LaneContext(journal, store, clock, random_name, config.limits)
    finally:
        journal.close()


def found(journal: Journal) -> None:
    """Make the journal's lane if there is none yet."""
    if reading.read_registry(journal) is None:
        with suppress(Conflict):  # somebody else made it just now
            journal.transact(operations.found(1))


def refuse_another_pack(config: Config, pack: str) -> None:
    """See that a root that was begun reads data of this pack, before anything is written.

    Raises: ConfigError; as the journal, but for what passes: whoever opens it next hears of that.
    """
    if not (Path(config.root) / JOURNAL).exists():
        return
    with suppress(Transient), compose.opened_journal(config) as journal:
        check_pack(journal, pack)


def check_pack(journal: Journal, pack: str) -> None:
    """See that what a journal's sources were read with is this pack. Raises: ConfigError."""
    for key, value in journal.scan("source/"):
        known = rows.decode(SourceRow, key, value).settings.get("pack", pack)
        if known != pack:
            raise ConfigError(
                f"this root reads {known}, not {pack}: set source.pack back, or give --root another folder"
            )


def fix_source(journal: Journal, config: Config, wanted: Mapping[str, str]) -> Mapping[str, str]:
    """See that what the source's shards depend on is as it was when it was first read; give what was stored then.

    Names that begin with _ are stored the first time, and not compared. Raises: ConfigError.
    """
    name = config.source.name
    key = rows.source_key(name)
    stored = journal.get([key]).get(key)
    if stored is None:
        _refuse_another_name(journal, name, wanted)
        check_pack(journal, wanted["pack"])
        with suppress(Conflict):  # another worker was first
            journal.transact([Write(key, None, rows.encode(SourceRow(name, dict(wanted))))])
            return wanted
        stored = journal.get([key])[key]
    known = rows.decode(SourceRow, key, stored).settings
    for setting in sorted({*wanted, *known}):
        if not setting.startswith("_") and known.get(setting) != wanted.get(setting):
            raise ConfigError(
                f"source.{setting} is {wanted.get(setting, 'not set')}, and was {known.get(setting, 'not set')} when"
                f" {name} was first read: set it back, or begin with another root, because everything would be"
                " counted again"
            )
    return known


def _refuse_another_name(journal: Journal, name: str, wanted: Mapping[str, str]) -> None:
    for key, value in journal.scan("source/"):
        row = rows.decode(SourceRow, key, value)
        if "stream" in wanted and row.settings.get("stream") == wanted["stream"]:
            raise ConfigError(
                f"source.name is {name}, and this root has read {wanted['stream']} as {row.source}: set it back,"
                " because everything would be counted again"
            )


def check_tables(journal: Journal, config: Config) -> None:
    """See that the journal knows what batch tables have counted, before anything is added to it.

    Raises: Corrupt if it was restored from a backup that is older than they are.
    """
    tables = compose.table_reader(config)
    seams = [found.seam for row in reading.read_pointers(journal).values() if (found := tables.load(row.table))]
    reading.check_seams(journal, *seams)
