"""The auditor: what the producer put, in order, and whether what was committed and answered is that and nothing else.

It shares no code with what it judges but the formats that it reads. Every entry is judged when the journal takes it,
whoever sent it and whenever it arrives; every answer is judged at its own cut.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shardlake.core.journal import objects as stored
from shardlake.core.journal import rows
from shardlake.core.journal.objects import Manifest, RangeRow
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import Entry, EntryKey, ShardRow, SourceRow
from shardlake.core.positions import decode_number
from shardlake.core.readplan import ReadPlan
from shardlake.testing.clock import ManualClock
from shardlake.testing.simulation.modes import Event, Row, Rows
from streams.worker import FOUNDED

ORIGIN, END = "-", "~"
BEFORE: Final = (-1, -1)
SKEW_MS: Final = 3_600_000  # by so much a worker's wall clock may be wrong


class Violation(AssertionError):
    """A rule was broken. `rule` names it."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule, self.what = rule, what


@dataclass(slots=True)
class Record:
    """A line of the producer's log: where it went and when, and the entry that counts it, once one does."""

    shard: str
    place: tuple[int, int]
    stored_ms: int
    event: Event
    entry: EntryKey | None = None
    is_duplicate: bool = False
    is_lost: bool = False


@dataclass(slots=True)
class Shard:
    """A shard as the producer knows it, and how far it was committed."""

    parents: tuple[str, ...]
    closed_ms: int | None = None
    log: list[Record] = field(default_factory=list)
    at: str = ORIGIN
    count: int = 0  # records of the log at or before `at`
    ids: set[int] = field(default_factory=set)
    is_known: bool = False  # it has a row in the journal


@dataclass(frozen=True, slots=True)
class Look:
    """What was certain when somebody began to plan: no answer may hold less."""

    floor: Mapping[int, int]


@dataclass(slots=True)
class Auditor:
    """Judges. Raises: Violation, from every method that judges."""

    world: Rows
    clock: ManualClock
    retention_ms: int
    note: Callable[[str], None]
    pinned_ms: int = 0
    is_founded: bool = False
    shards: dict[str, Shard] = field(default_factory=dict)
    heads: dict[int, int] = field(default_factory=dict)
    commits: dict[EntryKey, str] = field(default_factory=dict)
    gaps: dict[EntryKey, list[RangeRow]] = field(default_factory=dict)
    finished: dict[int, int] = field(default_factory=dict)
    broken: Violation | None = None
    began_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self.began_ms = self.now_ms

    @property
    def now_ms(self) -> int:
        """The service's time."""
        return self.clock.now_us() // 1000

    def fail(self, rule: str, what: str) -> None:
        """Say that a rule was broken; the first one counts, whatever becomes of the error. Raises: Violation."""
        self.broken = self.broken or Violation(rule, what)
        raise self.broken

    # ------------------------------------------------------------------------------------------ what is produced

    def opened(self, name: str, parents: tuple[str, ...], now_ms: int) -> None:
        """Hear of a new shard; its parents take no more."""
        self.shards[name] = Shard(parents)
        for parent in parents:
            self.shards[parent].closed_ms = now_ms

    def put(self, shard: str, number: int, now_ms: int, events: Sequence[Event]) -> None:
        """Hear of a record that is in the stream, of one or more lines."""
        log = self.shards[shard].log
        log += [Record(shard, (number, sub), now_ms, event) for sub, event in enumerate(events)]

    # ----------------------------------------------------------------------------------------- what is committed

    def wrote(self, key: str, before: bytes | None, value: bytes) -> None:
        """Judge a row that the journal has just taken."""
        if key.startswith("entry/"):
            self.applied(rows.decode(Entry, key, value))
        elif key.startswith("shard/") and before is None:
            self.discovered(rows.decode(ShardRow, key, value))
        elif key.startswith("source/"):
            self.founded(rows.decode(SourceRow, key, value))

    def founded(self, source: SourceRow) -> None:
        """Hear that the source's row was written: what was gone when it was first read is nobody's loss."""
        if FOUNDED in source.settings and not self.is_founded:
            self.is_founded = True
            self.pinned_ms = max(self.pinned_ms, self.now_ms - self.retention_ms)

    def discovered(self, row: ShardRow) -> None:
        """Judge a shard's row, which is to name its parents for ever.

        A parent may lack that was over before reading began, and all of a shard that was gone before it was listed.
        """
        shard = self.shards.get(row.shard)
        if shard is None:
            self.fail("shards are made known that there are", row.shard)
            raise AssertionError
        shard.is_known = True
        lacking = set(shard.parents) - set(row.parents)
        if lacking and not self._is_gone(shard) and not all(self._was_over(self.shards[name]) for name in lacking):
            self.fail("a shard is made known with its parents", f"{row.shard} without {', '.join(sorted(lacking))}")
        shard.parents = row.parents

    def _is_gone(self, shard: Shard) -> bool:
        return shard.closed_ms is not None and shard.closed_ms <= self.now_ms - self.retention_ms

    def _was_over(self, shard: Shard) -> bool:
        horizon_ms = self.pinned_ms if self.is_founded else max(self.pinned_ms, self.now_ms - self.retention_ms)
        return shard.closed_ms is not None and shard.closed_ms <= horizon_ms

    def applied(self, entry: Entry) -> None:
        """Judge an entry that the journal has just taken."""
        if entry.n != self.heads.get(entry.lane, 0) + 1:
            self.fail("a lane is dense", f"entry {entry.n} of lane {entry.lane} follows {self.heads.get(entry.lane)}")
        self.heads[entry.lane] = entry.n
        self.commits[entry.lane, entry.n] = entry.commit
        if entry.manifest is None:
            return
        key = (entry.lane, entry.n)
        manifest = stored.decode(Manifest, entry.manifest.name, self.world.store.get(entry.manifest))
        found = self.world.rows(manifest.segment) if manifest.segment is not None else ()
        if len(found) != manifest.counts.rows:
            self.fail("an entry has the rows that it says", f"{len(found)}, not {manifest.counts.rows}, in {key}")
        by_shard: dict[str, list[Row]] = {}
        for row in found:
            by_shard.setdefault(row.shard, []).append(row)
        for made in manifest.ranges:
            rows_left = by_shard.get(made.shard, [])
            taken = self._range(key, made, rows_left)
            by_shard[made.shard] = rows_left[taken:]
        if left := sorted(shard for shard, rows_left in by_shard.items() if rows_left):
            self.fail("rows lie in their entry's ranges", f"rows of {', '.join(left)} do not, in {key}")

    def acknowledged(self, entry: Entry) -> None:
        """Judge that somebody believes an entry to be committed."""
        if self.commits.get((entry.lane, entry.n)) != entry.commit:
            self.fail("what is acknowledged is in the journal", f"entry {entry.n} of lane {entry.lane} is not")

    def _range(self, key: EntryKey, made: RangeRow, found: Sequence[Row]) -> int:
        shard = self.shards.get(made.shard)
        if shard is None:
            self.fail("ranges are of shards that there are", made.shard)
            raise AssertionError
        if made.after != shard.at:
            self.fail("ranges tile a shard", f"{made.shard} stands at {shard.at}; {key} goes on from {made.after}")
        if found or made.kind != "gap":  # of a shard that was gone before it was listed nobody knows the parents
            self._check_parents(key, made, shard)
        if made.upto == END and shard.closed_ms is None:
            self.fail("only a closed shard ends", f"{made.shard} is open, and ends in {key}")
        start, stop = shard.count, self._count(shard, made.upto, shard.count)
        if made.kind == "gap":
            self.gaps.setdefault(key, []).append(made)
            self.gap(made.shard)
        at = 0
        for record in shard.log[start:stop]:
            at += self._record(key, made, record, found[at] if at < len(found) else None, shard)
        shard.at, shard.count = made.upto, stop
        return at

    def gap(self, shard: str) -> None:
        """Judge that somebody tells of a loss."""
        self.note("a gap is told")
        if self.now_ms - self.began_ms < self.retention_ms - SKEW_MS:
            self.fail("a gap is told only where something can be lost", shard)

    def _record(self, key: EntryKey, made: RangeRow, record: Record, row: Row | None, shard: Shard) -> int:
        """Judge what became of a record of a range; 1 if the next row is its own."""
        record.entry = key
        if record.event.is_broken:
            return 0
        if row is None or (row.sequence, row.sub) != record.place:
            is_trimmed = record.stored_ms <= self.now_ms - self.retention_ms
            if made.kind == "gap" and is_trimmed:
                record.is_lost = True
                self.note("records are trimmed before they are read")
                return 0
            if record.stored_ms <= self.pinned_ms:
                record.is_lost = True  # it came before reading began
                return 0
            beyond = "no row" if row is None else f"the row of {row.sequence}.{row.sub}"
            self.fail(
                "a record in a range is a row of its entry, in order",
                f"{record.event.serial} of {record.shard} at {record.place} has {beyond} in {made.kind} of {key}",
            )
        assert row is not None
        event_id = record.event.id
        record.is_duplicate = event_id is not None and self._is_known(record.shard, event_id)
        if record.is_duplicate != row.is_duplicate:
            self.fail(
                "a duplicate is what was seen in a shard or its ancestors",
                f"{record.event.serial} (id {event_id}) of {record.shard} is{' not' * row.is_duplicate} one, unlike in {key}",  # noqa: E501
            )
        if record.is_duplicate:
            self.note("a duplicate is not counted")
        if event_id is not None:
            shard.ids.add(event_id)
        return 1

    def _is_known(self, name: str, event_id: int) -> bool:
        shard = self.shards[name]
        return event_id in shard.ids or any(self._is_known(parent, event_id) for parent in shard.parents)

    def _check_parents(self, key: EntryKey, made: RangeRow, shard: Shard) -> None:
        for parent in shard.parents:
            known = self.shards[parent]
            if known.at == END:
                continue
            if not (self._was_over(known) and known.at == ORIGIN):
                self.fail(
                    "no child before its parents' ends",
                    f"{made.shard} in {key}, but {parent} stands at {known.at}",
                )

    @staticmethod
    def _count(shard: Shard, at: str, start: int = 0) -> int:
        """How many records of a shard lie at or before a position."""
        if at == END:
            return len(shard.log)
        place = _place(at)
        count = start
        while count < len(shard.log) and shard.log[count].place <= place:
            count += 1
        return count

    # ------------------------------------------------------------------------------------------ what is answered

    def begins(self) -> Look:
        """Hear that somebody begins to plan."""
        return Look({lane: max(n, self.finished.get(lane, 0)) for lane, n in self.heads.items()})

    def ends(self, look: Look, plan: ReadPlan) -> None:
        """Judge an answer."""
        cut = plan.cut.cut()
        for lane, n in look.floor.items():
            if cut.get(lane, 0) < n:
                self.fail("an answer holds what was committed before it began", f"{cut.get(lane, 0)} < {n} of {lane}")
        for lane, n in cut.items():
            self.finished[lane] = max(n, self.finished.get(lane, 0))
        inside = [r for s in self.shards.values() for r in s.log[: s.count] if r.entry is not None and _is_in(r, cut)]
        wanted = [r.event for r in inside if not (r.is_duplicate or r.is_lost or r.event.is_broken)]
        if self.world.schema.weighted and not self._is_lossy():
            self._check_images(wanted)
        for name, view in plan.views.items():
            upto = view.positions.upto
            covered = sum(self._count(shard, upto.get(s, ORIGIN)) for s, shard in self.shards.items())
            if covered != len(inside):
                self.fail(
                    "positions tell what is inside", f"{covered} at the positions of {name}, {len(inside)} inside"
                )
            gaps = sorted(
                g for key, found in self.gaps.items() if key[1] <= cut.get(key[0], 0) for g in map(_text, found)
            )
            if sorted(map(_text, view.positions.gaps)) != gaps:
                self.fail("gaps are told", f"{view.positions.gaps}, not {gaps}")
        if told := self.world.differences(plan, wanted):
            self.fail("an answer is the producer's log at its cut", "; ".join(told[:3]))

    def _is_lossy(self) -> bool:
        """Tell whether something was trimmed, or came before reading began."""
        gone_ms = max(self.pinned_ms, self.now_ms - self.retention_ms)
        return any(
            record.is_lost or (record.entry is None and record.stored_ms <= gone_ms)
            for shard in self.shards.values()
            for record in shard.log
        )

    def _check_images(self, wanted: Sequence[Event]) -> None:
        """Judge that each image of a table came before it went, and did either once."""
        there: Counter[int] = Counter()
        for event in wanted:
            there[abs(event.serial)] += 1 if event.serial > 0 else -1
        if wrong := sorted(serial for serial, times in there.items() if times not in (0, 1)):
            self.fail("an answer is the table as it was at its cut", f"the image {wrong[0]} {there[wrong[0]]} times")

    def lacking(self, stopped: set[str]) -> int:
        """How many records have not been committed, but for shards that stand still and what follows them."""
        return sum(
            len(shard.log) - shard.count for name, shard in self.shards.items() if not self._waits(name, stopped)
        )

    def unfinished(self, stopped: set[str]) -> list[str]:
        """Closed shards whose end has not been committed."""
        return [
            name
            for name, shard in self.shards.items()
            if shard.closed_ms is not None and shard.at != END and not self._waits(name, stopped)
        ]

    def _waits(self, name: str, stopped: set[str]) -> bool:
        shard = self.shards[name]
        if self._was_over(shard) or (not shard.is_known and self._is_gone(shard)):
            return True
        if shard.at == END:
            return False
        return name in stopped or any(self._waits(parent, stopped) for parent in shard.parents)


def _is_in(record: Record, cut: Mapping[int, int]) -> bool:
    return record.entry is not None and record.entry[1] <= cut.get(record.entry[0], 0)


def _text(found: RangeRow) -> str:
    return f"{found.shard} {found.after} {found.upto}"


def _place(at: str) -> tuple[int, int]:
    if at == ORIGIN:
        return BEFORE
    sequence, _, sub = at.partition(".")
    return decode_number(sequence), decode_number(sub)


class AuditedJournal:
    """Tells the auditor of every entry that a journal takes."""

    def __init__(self, inner: Journal, auditor: Auditor) -> None:
        self._inner, self._auditor = inner, auditor

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read rows."""
        return self._inner.get(keys)

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read rows in order of keys."""
        return self._inner.scan(prefix, after, upto)

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply the writes. Raises: as the journal; Violation."""
        self._inner.transact(writes)
        for write in writes:
            if write.put is not None:
                self._auditor.wrote(write.key, write.expect, write.put)
