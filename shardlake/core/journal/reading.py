"""How the journal is read: heads, entries without holes, and a cut that is closed.

Heads are not read at one moment, so an adoption may be seen without the release that it followed. A cut
is therefore extended until every entry that one of its entries needs is inside; each of them exists,
because the row that told of it was written together with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shardlake.core.errors import Corrupt
from shardlake.core.journal import rows
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import Entry, Head, Registry, ShardRow, TableRow
from shardlake.core.seam import Mark, Seam, lowest


@dataclass(frozen=True, slots=True)
class Beyond:
    """The entries beyond a seam up to a closed cut, per lane in order, and the seam that this cut would be."""

    entries: Mapping[int, tuple[Entry, ...]]
    seam: Seam

    def after(self, seam: Seam) -> list[Entry]:
        """The entries that a later seam does not cover, lane by lane."""
        return [e for lane in sorted(self.entries) for e in self.entries[lane] if not seam.covers(lane, e.n)]


def read_registry(journal: Journal) -> Registry | None:
    """Read the registry; None if there is no journal yet."""
    value = journal.get([rows.REGISTRY_KEY]).get(rows.REGISTRY_KEY)
    return None if value is None else rows.decode(Registry, rows.REGISTRY_KEY, value)


def read_head(journal: Journal, lane: int) -> Head:
    """Read a lane's head. Raises: Corrupt if there is no such lane."""
    key = rows.lane_key(lane)
    value = journal.get([key]).get(key)
    if value is None:
        raise Corrupt(f"the journal has no lane {lane}")
    return rows.decode(Head, key, value)


def read_heads(journal: Journal) -> dict[int, Head]:
    """Read the heads of all lanes, in one call after the registry's. Raises: Corrupt if one is missing."""
    registry = read_registry(journal)
    if registry is None:
        return {}
    heads = [rows.decode(Head, key, value) for key, value in journal.scan("lane/")]
    found = {head.lane: head for head in heads}
    if missing := [lane for lane in range(registry.lanes) if lane not in found]:
        raise Corrupt(f"the journal has no lane {missing[0]}")
    return found


def read_entry(journal: Journal, lane: int, n: int) -> Entry | None:
    """Read one entry, or None."""
    key = rows.entry_key(lane, n)
    value = journal.get([key]).get(key)
    return None if value is None else rows.decode(Entry, key, value)


def read_entries(journal: Journal, lane: int, after: int, upto: int) -> list[Entry]:
    """Read the entries (after, upto] of a lane. Raises: Corrupt if one is missing."""
    if upto <= after:
        return []
    found = journal.scan(f"entry/{lane:04d}/", rows.entry_key(lane, after), rows.entry_key(lane, upto))
    entries = [rows.decode(Entry, key, value) for key, value in found]
    if [e.n for e in entries] != list(range(after + 1, upto + 1)):
        raise Corrupt(f"lane {lane} lacks entries between {after} and {upto}: restore the journal")
    return entries


def read_shards(journal: Journal) -> dict[str, ShardRow]:
    """Read the rows of all shards."""
    return {row.shard: row for row in map(_shard_row, journal.scan("shard/"))}


@lru_cache(maxsize=1 << 15)
def _shard_row(found: tuple[str, bytes]) -> ShardRow:
    """Decode a shard's row: most are as they were when they were last read."""
    return rows.decode(ShardRow, *found)


def read_pointers(journal: Journal) -> dict[str, TableRow]:
    """Read which table each view now reads."""
    found = (rows.decode(TableRow, key, value) for key, value in journal.scan("table/"))
    return {row.view: row for row in found}


def check_seams(journal: Journal, *seams: Seam) -> None:
    """See that the journal knows what batch tables have counted; nothing else is read. Raises: Corrupt if not."""
    if seams:
        cut = {lane: head.n for lane, head in read_heads(journal).items()}
        for seam in seams:
            _check_marks(journal, seam, cut)


def read_beyond(journal: Journal, *seams: Seam) -> Beyond:
    """Read everything committed beyond the lowest of some seams, as far as a closed cut.

    The cut holds every entry acknowledged before this was called. Raises: Corrupt if the journal does not
    know an entry of the seam, or knows it under another commit id, or has a hole.
    """
    cut = {lane: head.n for lane, head in read_heads(journal).items()}
    for seam in seams:
        _check_marks(journal, seam, cut)
    seam = lowest(seams)
    entries: dict[int, list[Entry]] = {lane: [] for lane in cut}
    while behind := [lane for lane in cut if _last(entries[lane], seam.n(lane)) < cut[lane]]:
        for lane in behind:
            entries[lane] += read_entries(journal, lane, _last(entries[lane], seam.n(lane)), cut[lane])
        for lane, n in {need for found in entries.values() for e in found for need in e.needs}:
            cut[lane] = max(cut.get(lane, 0), n)
            entries.setdefault(lane, [])
    marks = dict(seam.marks) | {lane: Mark(found[-1].n, found[-1].commit) for lane, found in entries.items() if found}
    return Beyond({lane: tuple(found) for lane, found in entries.items()}, Seam(marks))


def _last(entries: list[Entry], otherwise: int) -> int:
    return entries[-1].n if entries else otherwise


def _check_marks(journal: Journal, seam: Seam, cut: Mapping[int, int]) -> None:
    keys = {rows.entry_key(lane, mark.n): (lane, mark) for lane, mark in seam.marks.items() if mark.n}
    found = journal.get(list(keys))
    for key, (lane, mark) in keys.items():
        value = found.get(key)
        if value is None or cut.get(lane, 0) < mark.n or rows.decode(Entry, key, value).commit != mark.commit:
            raise Corrupt(
                f"a batch table has counted entry {mark.n} of lane {lane} (commit {mark.commit}), which this journal "
                "does not know: it was restored from an older backup, or belongs to other tables"
            )
