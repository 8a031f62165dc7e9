"""The chain of each shard: its ranges tile it, without a hole or an overlap, and parents come first.

Checked by whoever puts entries together: a writer against its state, a batch run and a reader against the
positions of the seam. That ranges tile is a property of the set of entries, so the order in which lanes are
read does not matter, however often a shard moved between them.
"""

from collections.abc import Iterable
from functools import reduce

from shardlake.core.errors import Corrupt
from shardlake.core.journal.objects import Counts, Manifest, Positions, RangeRow

ORIGIN_TEXT, END_TEXT = "-", "~"


def advance(start: Positions, manifests: Iterable[Manifest]) -> Positions:
    """Put the ranges of entries behind the positions of a seam, and return the positions after them.

    Raises: Corrupt naming the shard, if there is a hole or an overlap, or if a child has ranges and one of
    its parents has not ended.
    """
    read = list(manifests)
    ranges: dict[str, list[RangeRow]] = {}
    for row in (row for manifest in read for row in manifest.ranges):
        ranges.setdefault(row.shard, []).append(row)
    parents = dict(start.parents) | {s: p for manifest in read for s, p in manifest.parents.items()}
    upto = dict(start.upto)
    for shard, rows in ranges.items():
        upto[shard] = _tile(shard, upto.get(shard, ORIGIN_TEXT), rows)
    _check_parents(ranges, parents, upto)
    return Positions(
        upto,
        {shard: found for shard, found in parents.items() if upto.get(shard) != END_TEXT},
        reduce(Counts.plus, (manifest.counts for manifest in read), start.counts),
        max(
            (us for us in (start.newest_us, *(m.event_us[1] for m in read if m.event_us)) if us is not None),
            default=None,
        ),
        (*start.gaps, *(row for rows in ranges.values() for row in rows if row.kind == "gap")),
    )


def _tile(shard: str, start: str, rows: list[RangeRow]) -> str:
    at = start
    for row in sorted(rows, key=lambda row: (row.after, row.upto)):
        if row.after != at:
            what = "are missing" if row.after > at else "are counted twice"
            raise Corrupt(f"shard {shard}: records between {min(at, row.after)} and {max(at, row.after)} {what}")
        at = row.upto
    return at


def _check_parents(ranges: Iterable[str], parents: dict[str, tuple[str, ...]], upto: dict[str, str]) -> None:
    for shard in ranges:
        for parent in parents.get(shard, ()):
            if upto.get(parent) != END_TEXT:
                raise Corrupt(f"shard {shard} has entries, but its parent {parent} has not ended")
