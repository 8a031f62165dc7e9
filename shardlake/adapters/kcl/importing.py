"""From leases to the shards that are to be known: what was read of each, and which of them nobody has read.

Pure but for `look`, which tells of single records. Whatever a lease table leaves open is refused, with the option that
decides it: a shard is never begun by a guess.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Final, Literal

from shardlake.adapters.kcl.lease import AT_TIMESTAMP, BEGINNINGS, LATEST, TRIM_HORIZON, Lease, LeaseRefused
from shardlake.adapters.kcl.positions import to_position
from shardlake.adapters.kcl.stream import Listed, Looked
from shardlake.core.positions import END, ORIGIN, Position

NAMED_MAX: Final = 5  # shards that one message names
Look = Callable[[str, int], Looked | None]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a lease table does not tell. `at_timestamp_us` is the moment of leases that begin at one."""

    at_timestamp_us: int | None = None
    latest_as: Literal["", "trim_horizon", "timestamp"] = ""
    read_holes: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A shard to be known here: how far KCL had read it, and what its lease said ("" if it has none).

    `arrived_us` is when the record at its position arrived; `is_gone` that this record cannot be read any more.
    `is_pinned` is a shard that begins at the moment of the choices.
    """

    shard: str
    parents: tuple[str, ...]
    at: Position
    was: str = ""
    arrived_us: int = 0
    is_gone: bool = False
    is_pinned: bool = False

    @property
    def place(self) -> Literal["at its beginning", "at a moment", "behind a record", "never: it has ended"]:
        """Where reading goes on, for a person."""
        if self.at == END:
            return "never: it has ended"
        if self.at == ORIGIN:
            return "at a moment" if self.is_pinned else "at its beginning"
        return "behind a record"


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Shards, each after its parents, where those begin that are pinned (0: none is), and what should be told."""

    shards: tuple[Taken, ...]
    pinned_us: int
    notes: tuple[str, ...]


def plan_import(leases: Sequence[Lease], listed: Sequence[Listed], look: Look, choices: Choices) -> ImportPlan:
    """Decide about every shard. Raises: LeaseRefused; as `look`."""
    if not leases:
        raise LeaseRefused("there is no lease in the table: nothing was read by its application")
    by_name, shards = {lease.shard: lease for lease in leases}, {one.shard: one for one in listed}
    _check_stream(by_name, shards)
    new, holes = _unleased(by_name, shards)
    if holes and not choices.read_holes:
        raise LeaseRefused(
            f"nothing tells whether {names(holes)} was read: the stream has it, and no lease of it, or of what it came"
            " from and what became of it, says so; see that this is the whole table, or read such shards from their"
            " beginning with --read-holes"
        )
    known = {*by_name, *new, *holes}
    found = {name: _taken(lease, shards.get(name), known, look, choices) for name, lease in by_name.items()}
    found |= {name: Taken(name, _parents(shards[name].parents, known), ORIGIN) for name in (*new, *holes)}
    found = {name: _unbound(one, found) for name, one in found.items()}
    _check_order(found)
    pinned_us = _pinned(found, choices)
    order = TopologicalSorter({name: one.parents for name, one in sorted(found.items())}).static_order()
    return ImportPlan(tuple(found[name] for name in order), pinned_us, tuple(_notes(leases, found, shards, holes)))


# ------------------------------------------------------------------------------------------------ is it this stream


def _check_stream(leases: Mapping[str, Lease], shards: Mapping[str, Listed]) -> None:
    if not leases.keys() & shards.keys():
        raise LeaseRefused(
            f"no lease is of a shard that the stream has: the table is another stream's ({names(leases)})"
        )
    for name, lease in leases.items():
        if name in shards and (fault := _fault(lease, shards[name])):
            raise LeaseRefused(
                f"lease {lease.key} {fault}: the table is of another stream, or of one that was deleted and made anew"
            )


def _fault(lease: Lease, shard: Listed) -> str:
    if shard.hashes is not None and lease.hashes is not None and lease.hashes != shard.hash_texts:
        return "has other hash keys than its shard"
    if lease.is_ended:
        return "has ended, and its shard is open" if shard.last is None else ""
    if lease.checkpoint in BEGINNINGS:
        return ""
    number = int(lease.checkpoint)
    is_inside = shard.first <= number and (shard.last is None or number <= shard.last)
    return "" if is_inside else "stands outside of its shard's sequence numbers"


# ------------------------------------------------------------------------------------------------- without a lease


def _unleased(leases: Mapping[str, Lease], shards: Mapping[str, Listed]) -> tuple[list[str], list[str]]:
    """Name the listed shards that are yet to be read, and those of which nothing tells that.

    The others were read and cleaned up, or closed before the application began: what became of them has leases. KCL
    makes the lease of a child before its parent's end, and removes that of a parent after each child was begun.
    """
    children: dict[str, list[str]] = {}
    for one in shards.values():
        for parent in one.parents:
            children.setdefault(parent, []).append(one.shard)
    new: list[str] = []
    holes: list[str] = []
    for name in sorted(shards.keys() - leases.keys()):
        above = [leases[one] for one in _reached([name], lambda at: _above(at, leases, shards)) if one in leases]
        below = [leases[one] for one in _reached([name], lambda at: children.get(at, ())) if one in leases]
        is_begun = any(lease.checkpoint != TRIM_HORIZON for lease in below)
        if below and (not above or (is_begun and all(lease.is_ended for lease in above))):
            continue
        (new if above and not is_begun else holes).append(name)
    return new, holes


def _above(name: str, leases: Mapping[str, Lease], shards: Mapping[str, Listed]) -> Iterable[str]:
    return shards[name].parents if name in shards else leases[name].parents if name in leases else ()


def _reached(start: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    at = [*start]
    while at:
        ahead = {*following(at.pop())} - found
        found |= ahead
        at += ahead
    return found


# -------------------------------------------------------------------------------------------------- with a lease


def _taken(lease: Lease, listed: Listed | None, known: set[str], look: Look, choices: Choices) -> Taken:
    parents = _parents(listed.parents if listed else lease.parents, known)
    if lease.checkpoint in BEGINNINGS:
        return Taken(lease.shard, parents, ORIGIN, lease.told, is_pinned=_is_pinned(lease, choices))
    if lease.is_ended:
        return Taken(lease.shard, parents, END, lease.told)
    seen = look(lease.shard, int(lease.checkpoint)) if listed else None
    at = to_position(lease.checkpoint, lease.sub, seen.lines if seen else None)
    return Taken(lease.shard, parents, at, lease.told, seen.arrived_us if seen else 0, seen is None)


def _parents(parents: Iterable[str], known: set[str]) -> tuple[str, ...]:
    """Those parents that are known here: the others were read to their end, and cleaned up, or have expired."""
    return tuple(sorted(known & {*parents}))


def _is_pinned(lease: Lease, choices: Choices) -> bool:
    if lease.checkpoint == LATEST and not choices.latest_as:
        raise LeaseRefused(
            f"lease {lease.key} is at LATEST: nothing was read of its shard, and KCL does not keep when it began; say"
            " --latest-as trim_horizon, or --latest-as timestamp with --at-timestamp"
        )
    is_pinned = lease.checkpoint == AT_TIMESTAMP or (lease.checkpoint == LATEST and choices.latest_as == "timestamp")
    if is_pinned and choices.at_timestamp_us is None:
        raise LeaseRefused(
            f"lease {lease.key} begins at a moment that KCL does not keep in its table: say --at-timestamp, as in the"
            " application's configuration"
        )
    return is_pinned


def _unbound(one: Taken, found: Mapping[str, Taken]) -> Taken:
    """Take parents that ended from a shard that begins at a moment: with parents it would begin at its first record.

    With a parent that has not ended it does, which is the same: the parent was open at that moment.
    """
    if not one.is_pinned:
        return one
    open_ones = tuple(parent for parent in one.parents if found[parent].at != END)
    return replace(one, parents=open_ones, is_pinned=not open_ones)


def _pinned(found: Mapping[str, Taken], choices: Choices) -> int:
    """The moment at which shards without parents begin, which is one for all of a source."""
    if not any(one.is_pinned for one in found.values()):
        return 0
    others = [name for name, one in found.items() if one.at == ORIGIN and not one.parents and not one.is_pinned]
    if others:
        raise LeaseRefused(
            f"{names(others)} would begin at {TRIM_HORIZON}, and others at a moment: here all of a source begin alike;"
            " let the application read a record of each, and stop it again"
        )
    assert choices.at_timestamp_us is not None
    return choices.at_timestamp_us


def _check_order(found: Mapping[str, Taken]) -> None:
    for one in found.values():
        if one.at != ORIGIN and (early := [p for p in one.parents if found[p].at != END]):
            raise LeaseRefused(
                f"lease {one.shard} was read before its parent {early[0]} ended: what is out of order cannot be"
                " taken over"
            )


# --------------------------------------------------------------------------------------------------------- notes


def _notes(
    leases: Sequence[Lease], found: Mapping[str, Taken], shards: Mapping[str, Listed], holes: Sequence[str]
) -> Iterable[str]:
    if gone := [one.shard for one in found.values() if one.is_gone]:
        yield (
            f"the record at which {names(gone)} stands is gone, so what came after it may be lost: the stream will tell"
            " of a gap there, and source.on_gap decides"
        )
    if expired := [one.shard for one in found.values() if one.at != END and one.shard not in shards]:
        yield f"the stream has {names(expired)} no more: what was not read of them is lost, and will be told as a gap"
    if holes:
        yield f"{names(holes)} had no lease, and will be read from the beginning"
    if pending := [lease.shard for lease in leases if lease.pending]:
        yield f"of {names(pending)} a further position was prepared and never confirmed: it does not count"
    if owned := sorted({lease.owner for lease in leases if lease.owner}):
        yield f"leases still name {names(owned)} as owners: they did not move, so those are taken for stopped"


def names(found: Iterable[str]) -> str:
    """Write names, not too many.

    >>> names(["b", "a"]), names("gfedcba")
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    every = sorted(found)
    more = f" and {len(every) - NAMED_MAX:,} more" if len(every) > NAMED_MAX else ""
    return ", ".join(every[:NAMED_MAX]) + more
