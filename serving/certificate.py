"""What every answer carries so that it can be checked: its cut, and how each view was put together at it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shardlake.core.bootstrap import is_under_way
from shardlake.core.readplan import ReadPlan, ViewPlan
from shardlake.core.view import CompiledView


@dataclass(frozen=True, slots=True)
class ViewCertificate:
    """How one view was answered.

    `seam` is lane -> last entry that the batch side counts, `snapshot` the batch table's commit; `realtime_entries`
    were read as partials and `recomputed_entries` from rows. `exactness` is the weakest class of its columns.
    `incomplete` says why a view over a stream of changes may hold what was taken back, or lack what came, "" if it does
    not: then a group of which more was taken back than came is shown, and is else an error.
    """

    name: str
    fingerprint: str
    exactness: str
    seam: Mapping[int, int]
    snapshot: str
    batch_rows: int
    realtime_entries: int
    recomputed_entries: int
    incomplete: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an answer covers and how complete it is.

    `cut` is lane -> entry number and `commits` the commit ids there. `newest_event_us` is the greatest event time
    inside (UTC microseconds since the epoch). `duplicates` were seen and not counted (within `dedup_scope`); `letters`
    are records that could not be read; `gaps` are ranges known to be lost. `positions` is how far each shard is inside.
    """

    cut: Mapping[int, int]
    commits: Mapping[int, str]
    views: tuple[ViewCertificate, ...]
    newest_event_us: int | None
    events: int
    duplicates: int
    letters: int
    gaps: int
    positions: Mapping[str, str]
    dedup_scope: str = "a shard and its ancestors"

    def to_dict(self, *, positions: bool = False) -> dict[str, Any]:
        """Write it as plain data; with `positions` also how far each shard is inside."""
        found = asdict(self)
        return found if positions else {name: value for name, value in found.items() if name != "positions"}


_WEAKEST = ("exact", "bounded", "sketch")


def exactness(view: CompiledView) -> str:
    """The weakest class among a view's columns."""
    return max((column.exactness for column in view.outputs), key=_WEAKEST.index, default="exact")


def certify(plan: ReadPlan) -> Certificate:
    """State what an answer by this plan covers. All its views reach the same cut, so any tells the positions."""
    views = [plan.views[name] for name in sorted(plan.views)]
    at = views[0].positions
    return Certificate(
        plan.cut.cut(),
        {lane: mark.commit for lane, mark in plan.cut.marks.items()},
        tuple(_certify_view(view) for view in views),
        at.newest_us,
        at.counts.rows,
        at.counts.duplicates,
        at.counts.letters,
        len(at.gaps),
        at.upto,
    )


def _certify_view(plan: ViewPlan) -> ViewCertificate:
    return ViewCertificate(
        plan.view.name,
        plan.view.fingerprint,
        exactness(plan.view),
        plan.seam.cut(),
        plan.batch.token if plan.batch else "",
        sum(file.rows for file in plan.batch.files) if plan.batch else 0,
        len(plan.partials),
        len(plan.segments),
        _incomplete(plan),
    )


def _incomplete(plan: ViewPlan) -> str:
    if plan.view.weight is None or plan.is_whole:
        return ""
    letters, gaps = plan.positions.counts.letters, len(plan.positions.gaps)
    found = ((letters, "open dead letter"), (gaps, "gap"))
    told = [f"{count:,} {what}{'s' * (count != 1)}" for count, what in found if count]
    told += ["a table whose content is not loaded to its end"] if is_under_way(plan.positions.upto) else []
    return " and ".join(told)
