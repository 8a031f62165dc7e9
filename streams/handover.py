"""A source's shards that come from another application with what it had read of them, and go back to one.

What was read elsewhere is an entry of a lane like any other, with ranges up to where that was, and no rows: so the
chain of each shard begins at its ORIGIN here too. The rows of its shards are written by the same transaction, free, and
only where there were none. A note in the source's row keeps every other process from it until all are there; another
one, for good, after its shards were given away.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shardlake.core.errors import Conflict, Corrupt, Terminal
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Arrived, Carried, Counts, LaneState, Manifest, RangeRow
from shardlake.core.journal.operations import Transaction
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import Entry, ShardRow, SourceRow, WorkerRow
from shardlake.core.ports import ObjectStore
from shardlake.core.positions import END, ORIGIN, Position, SeqRange, ShardId
from streams.lane import Lane, LaneContext, LaneLost, read_state
from streams.worker import FOUNDED

# Settings of a source's row. Whoever opens the source compares all that do not begin with _, and so is kept away.
COMING: Final = "coming_from"
GONE: Final = "handed_over_to"
CAME: Final = "_came_from"

Progress = Callable[[str], None]


class HandoverRefused(Terminal):
    """Shards cannot be brought in here, or given away, as things are."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A shard as it comes: its parents, how far it was read elsewhere, and up to when everything in it was."""

    shard: str
    parents: tuple[str, ...]
    at: Position
    seen: Arrived | None = None

    @property
    def place(self) -> rows.Place:
        """Where it will be."""
        return "end" if self.at == END else "free"


# ------------------------------------------------------------------------------------------------------- coming


def bring(context: LaneContext, source: str, brought: Sequence[Brought], progress: Progress) -> int:
    """Make shards known, each after its parents, as far as they are not; return how many were written.

    Repeated after a crash it goes on where that was. Raises: HandoverRefused if a shard is there and stands elsewhere;
    Conflict if somebody else writes shards of this source; as `Lane.commit`.
    """
    missing = _missing(context.journal, source, brought)
    if not missing:
        return 0
    lane = _BringingLane.take(context, _lane(context, source), context.new_id(), source)
    assert isinstance(lane, _BringingLane)
    most = context.limits.ends_max
    for at in range(0, len(missing), most):
        lane.bring(source, missing[at : at + most])
        progress(f"{min(at + most, len(missing)):,} of {len(missing):,} shards are known")
    lane.leave()
    return len(missing)


def arrive(context: LaneContext, source: str) -> None:
    """Let processes read a source whose shards are all there. Raises: Conflict if its row moved meanwhile."""
    journal = context.journal
    stored_row, row = _source(journal, source)
    came = {name: text for name, text in row.settings.items() if name != COMING}
    came |= {CAME: row.settings[COMING], FOUNDED: str(context.clock.now_us())}
    journal.transact([Write(rows.source_key(source), stored_row, rows.encode(SourceRow(source, came)))])


class _BringingLane(Lane):
    """A lane in whose entries shards come in."""

    def bring(self, source: str, brought: Sequence[Brought]) -> Entry:
        """Write shards, and what was read of them, as one entry. Raises: Conflict if one is there; as `commit`."""
        try:
            return self._change(lambda: self._bring(source, brought))
        except LaneLost:
            raise Conflict(
                f"somebody else has begun to read {source} meanwhile: stop every process that does, and try again"
            ) from None

    def _bring(self, source: str, brought: Sequence[Brought]) -> tuple[Transaction, LaneState]:
        head, read = self.head, [one for one in brought if one.at != ORIGIN]
        ranges = tuple(RangeRow.of(SeqRange(ShardId(one.shard), ORIGIN, one.at)) for one in read)
        parents = {one.shard: one.parents for one in read}
        manifest = Manifest(head.lane, head.n + 1, source, ranges, Counts(), parents)
        carried = {f"carried-{i}.json": one for i, one in enumerate(read) if one.seen is not None}
        files: dict[str, bytes | memoryview] = {n: stored.encode(Carried(seen=one.seen)) for n, one in carried.items()}
        files |= {"manifest.json": stored.encode(manifest), "state.json": stored.encode(self.state)}
        refs = self._store.put(self._folder(), files)
        taken = operations.commit(head, self._new_id(), refs["manifest.json"], refs["state.json"], {})
        left = {one.shard: refs[name] for name, one in carried.items()}
        by = (taken.entry.lane, taken.entry.n)
        made = (
            ShardRow(
                one.shard,
                source,
                one.place,
                one.parents,
                at=one.at.encode(),
                by=by if one.at != ORIGIN else None,
                carried=left.get(one.shard),
            )
            for one in brought
        )
        writes = (Write(rows.shard_key(row.shard), None, rows.encode(row)) for row in made)
        return Transaction((*taken.writes, *writes), taken.head, taken.entry), self.state


def _missing(journal: Journal, source: str, brought: Sequence[Brought]) -> list[Brought]:
    there = {name: row for name, row in reading.read_shards(journal).items() if row.source == source}
    wanted = {one.shard: one for one in brought}
    for name, row in there.items():
        one = wanted.get(name)
        if one is None or (row.place, row.at, set(row.parents)) != (one.place, one.at.encode(), {*one.parents}):
            where = one.at.encode() if one else "no position"
            raise HandoverRefused(
                f"shard {name} is known here at {row.at}, and comes at {where}: the application has gone on since this"
                " was begun; begin with another root"
            )
    return [one for one in brought if one.shard not in there]


def _lane(context: LaneContext, source: str) -> int:
    """Choose a lane without an owner, or add one. Raises: HandoverRefused if somebody owns a lane of the source."""
    heads, beats = reading.read_heads(context.journal), _beats(context.journal)
    ours = [head for head in heads.values() if head.source in ("", source)]
    for head in ours:
        if head.source == source and head.owner in beats:
            raise HandoverRefused(f"worker {head.owner} reads {source} here: stop it first, or begin with another root")
    for head in ours:
        if head.owner not in beats:
            return head.lane
    registry = reading.read_registry(context.journal)
    assert registry is not None
    context.journal.transact(operations.grow(registry))
    return registry.lanes


# -------------------------------------------------------------------------------------------------------- going


def rest(context: LaneContext, source: str, progress: Progress) -> None:
    """See that nobody reads a source: whoever owns a lane of it must not move for as long as the living may not.

    Raises: HandoverRefused.
    """
    limits, clock = context.limits, context.clock
    begun_s, first = clock.monotonic_s(), _signs(context.journal, source)
    while signs := _signs(context.journal, source):
        if moving := [owner for owner in sorted(signs) if signs[owner] != first.get(owner)]:
            raise HandoverRefused(f"worker {moving[0]} reads {source} here: stop every process that does first")
        left_s = begun_s + limits.worker_expiry_s - clock.monotonic_s()
        if left_s <= 0:
            return
        progress(f"watching worker {min(signs)}, which did not leave in order: {left_s:.0f} s to go")
        clock.sleep_s(min(left_s, limits.look_s))


def _signs(journal: Journal, source: str) -> dict[str, tuple[object, ...]]:
    """What moves of the owners of a source's lanes; one without a heartbeat is dead."""
    heads, beats = reading.read_heads(journal), _beats(journal)
    owners = {head.owner for head in heads.values() if head.source == source and head.owner in beats}
    return {name: (beats[name], *(head for head in heads.values() if head.owner == name)) for name in owners}


def positions(journal: Journal, store: ObjectStore, source: str) -> dict[str, Position]:
    """Say where each shard of a source stands, held or not; a lane's state decides about what it holds."""
    heads = reading.read_heads(journal)
    states = {lane: read_state(store, head) for lane, head in heads.items() if head.source == source}
    found: dict[str, Position] = {}
    for name, row in reading.read_shards(journal).items():
        if row.source != source:
            continue
        at = row.at
        if row.place == "held":
            held = states[row.lane].shards.get(name) if row.lane in states else None
            if held is None:
                raise Corrupt(f"shard {name} is held by lane {row.lane}, whose state does not have it")
            at = held.at
        found[name] = Position.decode(at)
    return found


def hand_over(context: LaneContext, source: str, to: str) -> None:
    """Note that a source is somebody else's now, and fence every lane of it: who is still at work loses it.

    Raises: HandoverRefused if it was handed over to somebody else; Conflict if somebody began to read it just now.
    """
    journal, key = context.journal, rows.source_key(source)
    stored_row, row = _source(journal, source)
    given = row.settings.get(GONE)
    if given not in (None, to):
        raise HandoverRefused(f"{source} was handed over to {given} already: it cannot go to {to} too")
    if given is None:
        noted = rows.encode(SourceRow(source, {**row.settings, GONE: to}))
        journal.transact([Write(key, stored_row, noted)])
    beats = _beats(journal)
    for head in reading.read_heads(journal).values():
        if head.source == source:
            old = beats.get(head.owner)
            Lane.take(context, head.lane, context.new_id(), source, old, expected=head).leave()


def take_back(journal: Journal, source: str, given_to: str) -> None:
    """Let processes read a source again. Raises: HandoverRefused if that is not who it was handed over to; Conflict."""
    stored_row, row = _source(journal, source)
    if row.settings.get(GONE) != given_to:
        to = row.settings.get(GONE, "nobody")
        raise HandoverRefused(f"{source} was handed over to {to}, not to {given_to}: there is nothing to take back")
    left = {name: text for name, text in row.settings.items() if name != GONE}
    journal.transact([Write(rows.source_key(source), stored_row, rows.encode(SourceRow(source, left)))])


def refuse_elsewhere(settings: Mapping[str, str], source: str) -> None:
    """See, by the settings in a source's row, that it may be read here. Raises: HandoverRefused."""
    if to := settings.get(GONE):
        raise HandoverRefused(
            f"{source} was handed over to {to}, which reads it now: begin with another root; if nobody has read it"
            " since, `shardlake lease export --take-back` lets this one go on"
        )
    if coming := settings.get(COMING):
        raise HandoverRefused(f"{source} is coming from {coming}, and not all of it is here: run that import again")


def _source(journal: Journal, source: str) -> tuple[bytes, SourceRow]:
    key = rows.source_key(source)
    found = journal.get([key]).get(key)
    if found is None:
        raise HandoverRefused(f"nothing of {source} was ever read here: correct --root or source.name")
    return found, rows.decode(SourceRow, key, found)


def _beats(journal: Journal) -> dict[str, WorkerRow]:
    return {row.worker: row for row in (rows.decode(WorkerRow, k, v) for k, v in journal.scan("worker/"))}
