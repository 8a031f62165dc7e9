"""Shards that come from elsewhere and go back: a crash is repeated, nothing is overwritten, nobody reads beside it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.adapters.readers import read_manifests
from shardlake.core import chain
from shardlake.core.errors import Conflict, OutcomeUnknown
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Arrived, Carried, Positions
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import ShardRow, SourceRow, WorkerRow
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position
from shardlake.testing.clock import ManualClock
from shardlake.testing.late import Fault, LateJournal
from streams import handover
from streams.handover import Brought, HandoverRefused
from streams.lane import Lane, LaneContext, LaneLost
from streams.worker import FOUNDED

SOURCE = "clicks"
LIMITS = Limits(retry_first_s=0.0, commit_retries_max=3, ends_max=3)
SEEN = Arrived(77, 86_400)
SHARDS = [
    Brought("clicks/a", (), END),
    Brought("clicks/b", ("clicks/a",), Position(250, 3), SEEN),
    Brought("clicks/c", ("clicks/a",), ORIGIN),
    Brought("clicks/d", ("clicks/b", "clicks/c"), ORIGIN),
    Brought("clicks/e", (), Position(123), SEEN),
]


@dataclass
class Root:
    """A journal into which shards come."""

    folder: Path
    inner: MemoryJournal = field(default_factory=MemoryJournal)
    clock: ManualClock = field(default_factory=ManualClock)
    told: list[str] = field(default_factory=list)
    names: Callable[[], str] = field(default_factory=lambda: (f"{n:08x}" for n in count()).__next__)

    def __post_init__(self) -> None:
        self.journal = LateJournal(self.inner)
        self.store = LocalObjects(self.folder, sync=False)
        self.context = LaneContext(self.journal, self.store, self.clock, self.names, LIMITS)
        self.inner.transact(operations.found(1))
        self.note({"pack": "clicks", handover.COMING: "app"})

    def note(self, settings: dict[str, str]) -> None:
        key = rows.source_key(SOURCE)
        before = self.inner.get([key]).get(key)
        self.inner.transact([Write(key, before, rows.encode(SourceRow(SOURCE, settings)))])

    @property
    def settings(self) -> dict[str, str]:
        key = rows.source_key(SOURCE)
        return rows.decode(SourceRow, key, self.inner.get([key])[key]).settings

    def bring(self, shards: list[Brought] = SHARDS) -> int:
        return handover.bring(self.context, SOURCE, shards, self.told.append)

    def import_all(self) -> None:
        self.bring()
        handover.arrive(self.context, SOURCE)

    def rows(self) -> dict[str, ShardRow]:
        return reading.read_shards(self.inner)

    def heartbeat(self, name: str) -> None:
        found = self.inner.get([f"worker/{name}"]).get(f"worker/{name}")
        old = None if found is None else rows.decode(WorkerRow, name, found)
        self.inner.transact([operations.beat(old, name)[0]])

    def owned(self, name: str, lane: int = 0) -> Lane:
        self.heartbeat(name)
        return Lane.take(self.context, lane, name, SOURCE)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def wanted(row: ShardRow) -> tuple[str, str, tuple[str, ...]]:
    return row.place, row.at, row.parents


# ------------------------------------------------------------------------------------------------------- coming


def test_shards_come_in_as_they_stood(root: Root) -> None:
    assert root.bring() == 5
    assert {name: wanted(row) for name, row in root.rows().items()} == {
        "clicks/a": ("end", "~", ()),
        "clicks/b": ("free", Position(250, 3).encode(), ("clicks/a",)),
        "clicks/c": ("free", "-", ("clicks/a",)),
        "clicks/d": ("free", "-", ("clicks/b", "clicks/c")),
        "clicks/e": ("free", Position(123).encode(), ()),
    }
    (ref,) = {row.carried for row in root.rows().values() if row.shard == "clicks/b"}
    assert ref is not None
    assert stored.decode(Carried, ref.name, root.store.get(ref)).seen == SEEN
    assert reading.read_head(root.inner, 0).owner == ""
    assert root.told == ["3 of 5 shards are known", "5 of 5 shards are known"]


def test_what_was_read_elsewhere_is_in_the_chain_of_each_shard(root: Root) -> None:
    root.bring()
    entries = reading.read_entries(root.inner, 0, 0, reading.read_head(root.inner, 0).n)
    found = chain.advance(Positions(), read_manifests(root.store, entries))
    assert found.upto == {"clicks/a": "~", "clicks/b": Position(250, 3).encode(), "clicks/e": Position(123).encode()}
    assert (found.gaps, found.counts.rows) == ((), 0)


def test_a_worker_goes_on_from_there_and_its_cut_holds_what_was_before(root: Root) -> None:
    root.import_all()
    lane = root.owned("w")
    assert lane.adopt("clicks/b", "clicks/e", seen=Arrived(99, 5)).needs
    assert {name: (held.at, held.seen) for name, held in lane.state.shards.items()} == {
        "clicks/b": (Position(250, 3).encode(), SEEN),
        "clicks/e": (Position(123).encode(), SEEN),
    }
    with pytest.raises(Conflict, match="before the end of clicks/b"):
        lane.adopt("clicks/d")


def test_the_source_is_open_once_everything_is_there(root: Root) -> None:
    with pytest.raises(HandoverRefused, match="coming from app, and not all of it is here"):
        handover.refuse_elsewhere(root.settings, SOURCE)
    root.import_all()
    handover.refuse_elsewhere(root.settings, SOURCE)
    assert root.settings == {"pack": "clicks", handover.CAME: "app", FOUNDED: str(root.clock.now_us())}


@pytest.mark.parametrize("fault", ["lost", "late", "busy"])
@pytest.mark.parametrize("step", range(4))
def test_a_fault_at_any_step_changes_nothing_in_the_end(root: Root, fault: Fault, step: int) -> None:
    transact, calls = root.journal.transact, count()

    def faulty(writes: object) -> None:
        if next(calls) == step:
            root.journal.fault = fault
        transact(writes)  # type: ignore[arg-type]

    root.journal.transact = faulty  # type: ignore[method-assign]
    root.import_all()
    assert {name: row.at for name, row in root.rows().items()} == {one.shard: one.at.encode() for one in SHARDS}


@pytest.mark.parametrize("step", range(5))
def test_a_crash_at_any_step_is_repeated(root: Root, step: int) -> None:
    transact, calls = root.journal.transact, count()

    def dying(writes: object) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        transact(writes)  # type: ignore[arg-type]

    root.journal.transact = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        root.import_all()
    root.journal.transact = transact  # type: ignore[method-assign]
    before = root.rows()
    root.import_all()
    assert {name: row.at for name, row in root.rows().items()} == {one.shard: one.at.encode() for one in SHARDS}
    assert {name: root.rows()[name] for name in before} == before
    entries = reading.read_entries(root.inner, 0, 0, reading.read_head(root.inner, 0).n)
    chain.advance(Positions(), read_manifests(root.store, entries))


def test_a_repetition_that_finds_other_positions_is_refused(root: Root) -> None:
    root.bring(SHARDS[:2])
    moved = [SHARDS[0], standing_at(SHARDS[1], Position(251)), *SHARDS[2:]]
    with pytest.raises(HandoverRefused, match=r"shard clicks/b is known here at .*begin with another root"):
        root.bring(moved)
    with pytest.raises(HandoverRefused, match="comes at no position"):
        root.bring(SHARDS[2:])


def standing_at(one: Brought, at: Position) -> Brought:
    return Brought(one.shard, one.parents, at, one.seen)


def test_a_shard_that_somebody_else_writes_meanwhile_stays_theirs(root: Root) -> None:
    transact = root.journal.transact

    def raced(writes: list[Write]) -> None:
        if any(write.key == "shard/clicks/e" for write in writes) and "clicks/e" not in root.rows():
            root.inner.transact([operations.discover("clicks/e", SOURCE, ())])
        transact(writes)

    root.journal.transact = raced  # type: ignore[assignment, method-assign]
    with pytest.raises(Conflict, match="somebody else has begun to read clicks"):
        root.bring()
    assert wanted(root.rows()["clicks/e"]) == ("free", "-", ())


def test_a_lane_that_is_owned_is_not_taken(root: Root) -> None:
    root.owned("w")
    with pytest.raises(HandoverRefused, match="worker w reads clicks here"):
        root.bring()


def test_another_sources_lane_is_left_alone(root: Root) -> None:
    root.heartbeat("w")
    other = Lane.take(root.context, 0, "w", "others")
    root.bring()
    assert reading.read_head(root.inner, 0) == other.head
    assert reading.read_head(root.inner, 1).source == SOURCE


# -------------------------------------------------------------------------------------------------------- going


def test_a_source_that_was_given_away_is_read_by_nobody(root: Root) -> None:
    root.import_all()
    lane = root.owned("w")
    lane.adopt("clicks/e")
    lane.leave(WorkerRow("w", 1))
    handover.rest(root.context, SOURCE, root.told.append)
    handover.hand_over(root.context, SOURCE, "app")
    with pytest.raises(HandoverRefused, match="handed over to app, which reads it now"):
        handover.refuse_elsewhere(root.settings, SOURCE)
    assert handover.positions(root.inner, root.store, SOURCE) == {one.shard: one.at for one in SHARDS}
    with pytest.raises(HandoverRefused, match="was handed over to app, not to other"):
        handover.take_back(root.inner, SOURCE, "other")
    handover.take_back(root.inner, SOURCE, "app")
    handover.refuse_elsewhere(root.settings, SOURCE)
    with pytest.raises(HandoverRefused, match="handed over to nobody, not to app"):
        handover.take_back(root.inner, SOURCE, "app")


def test_a_worker_at_work_is_refused(root: Root) -> None:
    root.import_all()
    root.owned("w")
    begun = root.clock.monotonic_s()

    def beat(step: str) -> None:
        root.told.append(step)
        if root.clock.monotonic_s() - begun > 8:
            root.heartbeat("w")

    with pytest.raises(HandoverRefused, match="worker w reads clicks here: stop"):
        handover.rest(root.context, SOURCE, beat)
    assert "watching worker w" in root.told[-1]


def test_a_worker_that_was_killed_is_waited_for_and_fenced(root: Root) -> None:
    root.import_all()
    lane = root.owned("w")
    begun = root.clock.monotonic_s()
    handover.rest(root.context, SOURCE, root.told.append)
    assert root.clock.monotonic_s() - begun == pytest.approx(LIMITS.worker_expiry_s)
    handover.hand_over(root.context, SOURCE, "app")
    with pytest.raises(LaneLost):
        lane.adopt("clicks/e")
    assert root.inner.scan("worker/") == []


def test_giving_away_is_repeated_but_not_to_two(root: Root) -> None:
    root.import_all()
    root.journal.fault = "lost"
    with pytest.raises(OutcomeUnknown):
        handover.hand_over(root.context, SOURCE, "app")
    handover.hand_over(root.context, SOURCE, "app")
    with pytest.raises(HandoverRefused, match="handed over to app already: it cannot go to other too"):
        handover.hand_over(root.context, SOURCE, "other")


def test_what_was_never_read_cannot_be_given_away(root: Root) -> None:
    with pytest.raises(HandoverRefused, match="nothing of others was ever read"):
        handover.hand_over(root.context, "others", "app")
