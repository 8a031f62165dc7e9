"""Which entries one pass of a batch run takes: a closed cut beyond the seam, bounded in rows.

A run over a long backlog is several passes, each with its own commits, so that memory and lost work stay
bounded. A pass takes whole entries, lane by lane in order, and never one without those that it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.reading import Beyond
from shardlake.core.journal.rows import Entry, EntryKey
from shardlake.core.seam import Mark, Seam


@dataclass(frozen=True, slots=True)
class Pass:
    """The entries that one pass counts, their manifests, and the seam that it will leave."""

    entries: tuple[Entry, ...]
    manifests: tuple[Manifest, ...]
    seam: Seam

    @property
    def rows(self) -> int:
        """Rows of all its entries."""
        return sum(m.counts.rows for m in self.manifests)


def next_pass(start: Seam, beyond: Beyond, manifests: Mapping[EntryKey, Manifest], rows_max: int) -> Pass:
    """Take entries beyond `start` until a limit of rows is reached, at least one; a closed set."""
    taken: list[Entry] = []
    marks = dict(start.marks)
    rows = 0
    progress = True
    while progress and (rows < rows_max or not taken):
        progress = False
        for lane in sorted(beyond.entries):
            entry = _next(beyond.entries[lane], Seam(marks).n(lane))
            if entry is None or not _needs_are_in(entry, marks) or (rows >= rows_max and taken):
                continue
            taken.append(entry)
            marks[lane] = Mark(entry.n, entry.commit)
            manifest = manifests.get((entry.lane, entry.n))
            rows += manifest.counts.rows if manifest else 0
            progress = True
    found = tuple(manifests[e.lane, e.n] for e in taken if e.manifest is not None)
    return Pass(tuple(taken), found, Seam(marks))


def _next(entries: Sequence[Entry], n: int) -> Entry | None:
    if not entries or entries[-1].n <= n:
        return None
    return entries[max(0, n + 1 - entries[0].n)]


def _needs_are_in(entry: Entry, marks: Mapping[int, Mark]) -> bool:
    return all(lane in marks and marks[lane].n >= n for lane, n in entry.needs)
