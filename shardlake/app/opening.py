"""What every process that reads a source begins with: a root that was checked, its journal, and what it has done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shardlake.adapters.clock import random_name
from shardlake.adapters.storage_file import remember
from shardlake.app import compose
from shardlake.app.logs import Log
from shardlake.app.metrics import Meter
from shardlake.app.settings import Config
from shardlake.core.errors import ConfigError, Conflict, Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import READ_BY, Entry, SourceRow
from shardlake.core.ports import Clock
from streams.handover import COMING, refuse_elsewhere
from streams.lane import LaneContext
from streams.poison import Isolated, Told
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

    def told(self, told: Told) -> None:
        """Log lines that were set apart, and shards that wait because of one: those each time their tries double."""
        if isinstance(told, Isolated):
            facts = {"what": told.what, "dead_letters": told.letters, "attempts": told.attempts, "error": told.kind}
            self.log.warning("poison_isolated", **facts, first=told.first)
        elif told.tries & (told.tries - 1) == 0:
            event = "shard_blocked" if told.is_blocked else "trying_records_again"
            facts = {"shard": told.range.shard, "at": told.range.after.encode(), "tries": told.tries, "in_s": told.in_s}
            self.log.warning(event, **facts, error=told.kind)

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
    with suppress(Transient):
        if compose.begun(config):
            with compose.opened_journal(config) as journal:
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

    Names that begin with _ are stored the first time, and not compared. Raises: ConfigError; HandoverRefused if another
    application reads it.
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
    _refuse_other_reader(name, known, wanted)
    if COMING not in wanted:
        refuse_elsewhere(known, name)
    for setting in sorted({*wanted, *known}):
        if not setting.startswith("_") and known.get(setting) != wanted.get(setting):
            raise ConfigError(
                f"source.{setting} is {wanted.get(setting, 'not set')}, and was {known.get(setting, 'not set')} when"
                f" {name} was first read: set it back, or begin with another root, because everything would be"
                " counted again"
            )
    return known


def _refuse_other_reader(name: str, known: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """See that processes do not read what a function of AWS Lambda does, nor the other way. Raises: ConfigError."""
    if (by := known.get(READ_BY)) != wanted.get(READ_BY):
        here = "a function of AWS Lambda" if by else "stream processes"
        raise ConfigError(
            f"{name} is read by {here}, and lanes of such workers are not shared: begin with another root, or go on"
            " as before"
        )


def refuse_given_away(journal: Journal, name: str) -> None:
    """See, with a lane taken, that the source was not handed over while it was being taken. Raises: HandoverRefused."""
    key = rows.source_key(name)
    refuse_elsewhere(rows.decode(SourceRow, key, journal.get([key])[key]).settings, name)


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
