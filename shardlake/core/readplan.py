"""What is read to answer a query: a pure value that can be printed and tested.

For each view every entry of the cut is on exactly one side: in the files of its batch table, which count the
entries up to its seam, or among the entries beyond, as a stored partial or, where that is lacking, as rows.
A view without a batch table (a new one) counts the master dataset's rows up to the master's seam instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shardlake.core.bootstrap import is_under_way
from shardlake.core.journal.objects import Manifest, PartialRef, Positions
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import Snapshot
from shardlake.core.seam import NOTHING, Seam
from shardlake.core.view import CompiledView


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """How one view is put together at a cut: `batch` counts up to `seam`, the rest lies beyond it."""

    view: CompiledView
    seam: Seam
    batch: Snapshot | None
    from_master: bool
    partials: tuple[PartialRef, ...]
    segments: tuple[ObjectRef, ...]
    positions: Positions

    @property
    def is_whole(self) -> bool:
        """Tell whether every record of the source was read up to the cut: none is a dead letter, none is lost.

        Of a table whose content is being loaded, that is not so until all of it is.
        """
        at = self.positions
        return not at.gaps and not at.counts.letters and not is_under_way(at.upto)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """The plans of all views of one query, at one cut."""

    cut: Seam
    views: Mapping[str, ViewPlan] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Base:
    """The batch side that a view starts from: a snapshot (its own, the master's, or none), and its seam's positions."""

    snapshot: Snapshot | None
    positions: Positions
    from_master: bool

    @property
    def seam(self) -> Seam:
        """What the snapshot has counted."""
        return self.snapshot.seam if self.snapshot else NOTHING


def plan_view(view: CompiledView, base: Base, beyond: list[Manifest], positions: Positions) -> ViewPlan:
    """Put each entry beyond the base's seam on the realtime side: by its partial, or else by its segment."""
    partials: list[PartialRef] = []
    segments: list[ObjectRef] = []
    for manifest in beyond:
        partial = manifest.partial(view.fingerprint)
        if partial is not None:
            partials.append(partial)
        elif manifest.segment is not None:
            segments.append(manifest.segment)
    return ViewPlan(view, base.seam, base.snapshot, base.from_master, tuple(partials), tuple(segments), positions)
