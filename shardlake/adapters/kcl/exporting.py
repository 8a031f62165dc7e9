"""From shards as they stand here to the leases that KCL goes on from.

Pure but for `look`, which tells of single records. A lease table that somebody else has used since is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shardlake.adapters.kcl.importing import Look, names
from shardlake.adapters.kcl.lease import AT_TIMESTAMP, BEGINNINGS, SHARD_END, TRIM_HORIZON, Lease, LeaseRefused
from shardlake.adapters.kcl.positions import from_position
from shardlake.adapters.kcl.stream import Listed
from shardlake.core.positions import END, ORIGIN, Position


@dataclass(frozen=True, slots=True)
class Given:
    """A shard as it stands here; `is_pinned` is one that begins at a moment and was not read yet."""

    shard: str
    at: Position
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A lease to be written, and the one that is there."""

    lease: Lease
    before: Lease | None

    @property
    def is_done(self) -> bool:
        """Tell whether the lease that is there stands as it should already, as after an export that was cut short."""
        was, lease = self.before, self.lease
        return was is not None and not was.owner and not was.pending and (was.order == lease.order)

    @property
    def is_beyond(self) -> bool:
        """Tell whether the lease that is there stands behind what was read here."""
        was = self.before
        return was is not None and was.checkpoint not in BEGINNINGS and was.order > self.lease.order


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """Leases to be written in this order, each before those of its parents that ended, and what should be told."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def plan_export(
    given: Sequence[Given], listed: Sequence[Listed], there: Sequence[Lease], look: Look, stream: str, *, evict: bool
) -> ExportPlan:
    """Decide about every lease; `stream` is its stream's identifier in a table of several.

    `evict` lets leases lose an owner. Raises: LeaseRefused if somebody else has used the table since; as `look`.
    """
    _check_owners(there, evict=evict)
    shards, known = {one.shard for one in listed}, {one.shard for one in given}
    if strange := [lease.shard for lease in there if lease.shard in shards - known and _is_used(lease)]:
        raise LeaseRefused(
            f"the table has leases of {names(strange)}, of which nothing is known here: export into another table"
        )
    plan = compared(given, listed, there, look, stream)
    _check_forward(plan.changes)
    return plan


def compared(
    given: Sequence[Given], listed: Sequence[Listed], there: Sequence[Lease], look: Look, stream: str
) -> ExportPlan:
    """Say how every lease should stand, and how it does. Raises: as `look`; LeaseRefused for an odd position."""
    shards, present = {one.shard: one for one in listed}, {lease.shard: lease for lease in there}
    known = {one.shard: one for one in given}
    children: dict[str, list[str]] = {}
    for one in listed:
        for parent in one.parents:
            children.setdefault(parent, []).append(one.shard)
    changes = [
        Change(
            _lease(one, shards[one.shard], children.get(one.shard, ()), present.get(one.shard), look, stream),
            present.get(one.shard),
        )
        for one in (*given, *_unknown(known, shards))
        if one.shard in shards
    ]
    ended = [change for change in changes if change.lease.is_ended]  # written when their children have leases
    order = [*(change for change in changes if not change.lease.is_ended), *_youngest_first(ended)]
    return ExportPlan(tuple(order), tuple(_notes(given, shards, there)))


def _check_owners(there: Sequence[Lease], *, evict: bool) -> None:
    for lease in there:
        if lease.owner and not evict:
            raise LeaseRefused(
                f"lease {lease.key} is owned by worker {lease.owner}, which did not move: if it is stopped for good,"
                " say --evict"
            )


def _check_forward(changes: Iterable[Change]) -> None:
    if beyond := [change.lease.shard for change in changes if change.is_beyond]:
        raise LeaseRefused(
            f"the table is further than this root in {names(beyond)}: KCL has read on since; export into another table"
        )


def _is_used(lease: Lease) -> bool:
    """Tell whether somebody reads a shard: one at its first record would be found and begun here, too."""
    return not lease.is_ended and lease.checkpoint != TRIM_HORIZON


def _unknown(known: Mapping[str, Given], shards: Mapping[str, Listed]) -> Iterable[Given]:
    """Children of shards that ended, where they are not known here yet: KCL needs their leases beside such an end."""
    for name, one in shards.items():
        if name not in known and any(parent in known and known[parent].at == END for parent in one.parents):
            yield Given(name, ORIGIN)


def _lease(one: Given, listed: Listed, children: Sequence[str], before: Lease | None, look: Look, stream: str) -> Lease:
    checkpoint, sub = _stands(one, look)
    following = tuple(sorted(children)) if one.at == END else ()
    lease = Lease(
        one.shard, checkpoint, sub, stream, parents=listed.parents, children=following, hashes=listed.hash_texts
    )
    return lease if before is None else replace(lease, counter=before.counter + 1)


def _stands(one: Given, look: Look) -> tuple[str, int]:
    if one.at == ORIGIN:
        return (AT_TIMESTAMP if one.is_pinned else TRIM_HORIZON), 0
    if one.at == END:
        return SHARD_END, 0
    seen = look(one.shard, one.at.sequence)
    return from_position(one.shard, one.at, seen.lines if seen else None)


def _youngest_first(ended: Sequence[Change]) -> list[Change]:
    """Order ends so that a lease stands before those of its parents."""
    left, found = {change.lease.shard: change for change in ended}, []
    while left:
        parents = {parent for change in left.values() for parent in change.lease.parents}
        youngest = sorted(left.keys() - parents) or sorted(left)
        found += [left.pop(name) for name in youngest]
    return found


def _notes(given: Sequence[Given], shards: Mapping[str, Listed], there: Sequence[Lease]) -> Iterable[str]:
    if any(one.is_pinned for one in given):
        yield (
            f"leases at {AT_TIMESTAMP} name no moment: set the application's initial position to the moment at which"
            " this source begins"
        )
    if expired := [one.shard for one in given if one.at != END and one.shard not in shards]:
        yield f"the stream has {names(expired)} no more: what was not read of them is lost, and they get no lease"
    if owned := sorted({lease.owner for lease in there if lease.owner}):
        yield f"{names(owned)} lost their leases"
