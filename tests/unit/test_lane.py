# long: all that can happen to one lane, on one desk
"""A lane in its owner's hands: what happens when answers are lost, commits land late, others write, and shards move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.core.errors import Conflict, Corrupt, OutcomeUnknown, Transient
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading
from shardlake.core.journal.objects import Carried, Counts, Manifest, RangeRow
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Entry, ObjectRef, ShardRow
from shardlake.core.limits import Limits
from shardlake.core.positions import Position
from shardlake.testing.late import Fault, LateJournal
from streams.lane import Lane, LaneContext, LaneLost, Prepared

LIMITS = Limits(retry_first_s=1.0, retry_longest_s=3.0, commit_retries_max=4)
PARENTS = {"a": (), "b": (), "c": ("a",), "d": ("a", "b"), "e": ("c",)}


def at(n: int) -> str:
    return Position(n).encode()


@dataclass(slots=True)
class Waits:
    """A clock that notes how long it was waited for."""

    waited: list[float] = field(default_factory=list)

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return sum(self.waited)

    def sleep_s(self, seconds: float) -> None:
        self.waited.append(seconds)


@dataclass(slots=True)
class Desk:
    """A journal of two lanes with the shards of PARENTS, and whoever takes a lane of it."""

    store: LocalObjects
    inner: MemoryJournal = field(default_factory=MemoryJournal)
    clock: Waits = field(default_factory=Waits)
    ids: "count[int]" = field(default_factory=count)
    journal: LateJournal = field(init=False)

    def __post_init__(self) -> None:
        self.inner.transact(operations.found(2))
        self.inner.transact([operations.discover(shard, "clicks", parents) for shard, parents in PARENTS.items()])
        self.journal = LateJournal(self.inner)

    def take(self, lane: int = 0, limits: Limits = LIMITS) -> Lane:
        context = LaneContext(self.journal, self.store, self.clock, lambda: f"{next(self.ids):04x}", limits)
        return Lane.take(context, lane, f"worker-{next(self.ids)}", "clicks")

    def holding(self, *shards: str, lane: int = 0) -> Lane:
        owned = self.take(lane)
        for shard in shards:
            owned.adopt(shard)
        return owned

    def entries(self, lane: int = 0) -> list[Entry]:
        return reading.read_entries(self.inner, lane, 0, reading.read_head(self.inner, lane).n)

    def counted(self, lane: int = 0) -> list[tuple[str, str, str]]:
        """The ranges that a lane's entries count, in order."""
        refs = [e.manifest for e in self.entries(lane) if e.manifest is not None]
        manifests = [stored.decode(Manifest, ref.name, self.store.get(ref)) for ref in refs]
        return [(r.shard, r.after, r.upto) for m in manifests for r in m.ranges]

    def row(self, shard: str) -> ShardRow:
        return reading.read_shards(self.inner)[shard]

    def carried(self, shard: str) -> Carried:
        ref = self.row(shard).carried
        assert ref is not None
        return stored.decode(Carried, ref.name, self.store.get(ref))

    def folders(self) -> list[str]:
        """The folders of the data entries' attempts, in order."""
        return [name.rpartition("/")[0] for name in self.store.list("lanes/") if name.endswith("/segment.parquet")]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(LocalObjects(tmp_path / "objects", sync=False))


def ready(shard: str, after: str, upto: str, ids: int = 1, page: bytes | None = None) -> Prepared:
    """A chunk of one range."""
    ranges = (RangeRow(shard, after, upto),)

    def manifest(lane: int, n: int, refs: Mapping[str, ObjectRef]) -> Manifest:
        segment, pages = refs["segment.parquet"], refs.get("page.json")
        return Manifest(lane, n, "clicks", ranges, Counts(ids), segment=segment, pages=pages)

    files: dict[str, bytes | memoryview] = {"segment.parquet": f"{shard}{after}{upto}".encode()}
    return Prepared(ranges, files if page is None else {**files, "page.json": page}, manifest, ids, 5)


# ------------------------------------------------------------------------------------------------ outcomes


def test_a_commit_moves_the_head_and_the_position(desk: Desk) -> None:
    lane = desk.holding("a")
    entry = lane.commit(ready("a", "-", at(3)))
    assert (entry.n, lane.head.n, lane.position("a")) == (3, 3, at(3))
    assert reading.read_head(desk.inner, 0) == lane.head
    assert desk.counted() == [("a", "-", at(3))]
    assert [log.ids for log in lane.state.ids] == [1]


def test_a_commit_whose_answer_was_lost_is_known_by_its_id(desk: Desk) -> None:
    lane = desk.holding("a")
    desk.journal.fault = "lost"
    first = lane.commit(ready("a", "-", at(3)))
    second = lane.commit(ready("a", at(3), at(5)))
    assert (first.n, second.n) == (3, 4)
    assert desk.counted() == [("a", "-", at(3)), ("a", at(3), at(5))]


def test_a_transaction_of_unknown_outcome_is_sent_again_as_it_was(desk: Desk) -> None:
    lane = desk.holding("a")
    desk.journal.fault = "late"
    entry = lane.commit(ready("a", "-", at(3)))
    assert desk.counted() == [("a", "-", at(3))], "it is not taken for done before it is"
    assert not desk.journal.land(0), "what lands late finds its slot filled"
    assert [e.commit for e in desk.entries()][-1] == entry.commit
    assert len(desk.folders()) == 1, "the identical transaction names the same files"


def test_what_stays_unknown_is_told_and_nothing_is_taken_for_done(desk: Desk) -> None:
    lane = desk.holding("a")
    desk.journal.fault = "gone"
    with pytest.raises(OutcomeUnknown, match="entry 3 of lane 0"):
        lane.commit(ready("a", "-", at(3)))
    assert (lane.head.n, lane.position("a")) == (2, "-")
    assert len(desk.journal.in_flight) == LIMITS.commit_retries_max


def test_a_worker_whose_own_commit_landed_late_has_lost_its_lane(desk: Desk) -> None:
    lane = desk.holding("a")
    desk.journal.fault = "gone"
    with pytest.raises(OutcomeUnknown):
        lane.commit(ready("a", "-", at(3)))
    desk.journal.fault = "none"
    assert desk.journal.land(0)
    with pytest.raises(LaneLost, match="moved to entry 3"):
        lane.commit(ready("a", "-", at(4)))
    assert desk.counted() == [("a", "-", at(3))]
    assert desk.take().position("a") == at(3), "the next owner goes on behind it"


def test_a_busy_journal_is_tried_again_after_growing_pauses(desk: Desk) -> None:
    lane = desk.holding("a")

    class Busy(MemoryJournal):
        def transact(self, writes: Sequence[Write]) -> None:
            raise Transient(f"busy, with {len(writes)} writes")

    lane._journal = Busy()
    with pytest.raises(Transient, match="out of reach"):
        lane.commit(ready("a", "-", at(3)))
    assert desk.clock.waited == [1.0, 2.0, 3.0, 3.0]


# ---------------------------------------------------------------------------------------------- other writers


def test_a_worker_whose_lane_was_taken_cannot_commit(desk: Desk) -> None:
    lane = desk.holding("a")
    other = desk.take()
    with pytest.raises(LaneLost, match="moved to entry 3 under worker"):
        lane.commit(ready("a", "-", at(3)))
    assert desk.counted() == []
    other.commit(ready("a", "-", at(2)))
    with pytest.raises(LaneLost):
        lane.release("a")
    assert desk.counted() == [("a", "-", at(2))]


def test_a_slot_that_somebody_else_filled_is_not_taken_for_ours(desk: Desk) -> None:
    """Whoever writes under our own name: the commit id decides, and nothing else."""
    lane = desk.holding("a")
    context = LaneContext(desk.journal, desk.store, desk.clock, lambda: f"{next(desk.ids):04x}", LIMITS)
    twin = Lane(context, lane.head)
    twin.commit(ready("a", "-", at(9)))
    with pytest.raises(LaneLost):
        lane.commit(ready("a", "-", at(3)))
    assert (lane.position("a"), desk.counted()) == ("-", [("a", "-", at(9))])


def test_fences_are_followed_with_new_names_under_the_next_number(desk: Desk) -> None:
    lane = desk.holding("a")
    for _ in range(2):
        desk.inner.transact(operations.fence(reading.read_head(desk.inner, 0), f"fence-{next(desk.ids)}").writes)
    entry = lane.commit(ready("a", "-", at(3)))
    assert [e.kind for e in desk.entries()] == ["take", "adopt", "fence", "fence", "data"]
    assert (entry.n, lane.head.n, lane.position("a")) == (5, 5, at(3))
    first, second = desk.folders()
    assert first.startswith("lanes/0000/000000000003-")
    assert second.startswith("lanes/0000/000000000005-")
    assert entry.manifest is not None
    assert entry.manifest.name == f"{second}/manifest.json", "the files of the attempt that landed"
    assert stored.decode(Manifest, "m", desk.store.get(entry.manifest)).n == 5


def test_two_attempts_for_one_slot_have_names_of_their_own(desk: Desk) -> None:
    zombie = desk.holding("a")
    desk.journal.fault = "gone"
    with pytest.raises(OutcomeUnknown):
        zombie.commit(ready("a", "-", at(3)))
    with pytest.raises(OutcomeUnknown):
        zombie.commit(ready("a", "-", at(3)))
    first, second = desk.folders()
    assert first != second
    assert first.startswith("lanes/0000/000000000003-")
    assert second.startswith("lanes/0000/000000000003-")


def test_a_lane_that_is_fenced_again_and_again_is_given_up(desk: Desk) -> None:
    lane = desk.holding("a")
    inner = desk.inner

    class Fenced(MemoryJournal):
        get = staticmethod(inner.get)

        def transact(self, writes: Sequence[Write]) -> None:
            inner.transact(operations.fence(reading.read_head(inner, 0), f"fence-{next(desk.ids)}").writes)
            inner.transact(writes)

    lane._journal = Fenced()
    with pytest.raises(LaneLost, match="fenced 4 times in a row"):
        lane.commit(ready("a", "-", at(3)))
    assert len(desk.folders()) == LIMITS.commit_retries_max


def test_a_lane_has_one_source(desk: Desk) -> None:
    desk.take()
    context = LaneContext(desk.journal, desk.store, desk.clock, lambda: f"{next(desk.ids):04x}", LIMITS)
    with pytest.raises(Corrupt, match="one source"):
        Lane.take(context, 0, "worker", "visits")


# ------------------------------------------------------------------------------------------------------ chain


@pytest.mark.parametrize(
    ("shard", "after", "stands"),
    [("a", "-", "stands at"), ("a", at(4), "stands at"), ("b", "-", "is not held")],
    ids=["again", "hole", "not held"],
)
def test_a_chunk_that_does_not_follow_the_state_is_refused(desk: Desk, shard: str, after: str, stands: str) -> None:
    lane = desk.holding("a")
    lane.commit(ready("a", "-", at(3)))
    with pytest.raises(Corrupt, match=stands):
        lane.commit(ready(shard, after, at(9)))
    assert desk.counted() == [("a", "-", at(3))]


def test_a_shard_that_ended_takes_no_more(desk: Desk) -> None:
    lane = desk.holding("a")
    lane.commit(ready("a", "-", "~"))
    assert (desk.row("a").place, desk.row("a").by, lane.position("a")) == ("end", (0, 3), None)
    with pytest.raises(Corrupt, match="not held"):
        lane.commit(ready("a", "~", "~"))


# ------------------------------------------------------------------------------------------------ moving shards


def test_a_held_shard_is_not_adopted(desk: Desk) -> None:
    desk.holding("a")
    with pytest.raises(Conflict, match="held, not free"):
        desk.holding("a", lane=1)
    assert (desk.row("a").lane, [e.kind for e in desk.entries(1)]) == (0, ["take"])


def test_of_two_lanes_that_adopt_a_free_shard_one_gets_it(desk: Desk) -> None:
    one, two = desk.take(0), desk.take(1)
    desk.journal.fault = "gone"
    with pytest.raises(OutcomeUnknown):
        one.adopt("a")
    desk.journal.fault = "none"
    two.adopt("a")
    assert not desk.journal.land(0)
    with pytest.raises(Conflict):
        one.adopt("a")
    assert (one.position("a"), two.position("a"), desk.row("a").lane) == (None, "-", 1)


@pytest.mark.parametrize("child", ["c", "d"])
def test_a_child_waits_for_the_end_of_all_parents(desk: Desk, child: str) -> None:
    lane = desk.holding("a", "b")
    lane.commit(ready("b", "-", "~"))
    with pytest.raises(Conflict, match="before the end of a"):
        lane.adopt(child)
    lane.commit(ready("a", "-", "~"))
    assert lane.adopt(child).needs == tuple((0, 4 + i) for i, p in enumerate(("b", "a")) if p in PARENTS[child])


def test_a_child_starts_at_its_origin(desk: Desk) -> None:
    lane = desk.holding("a")
    lane.commit(ready("a", "-", at(7)))
    lane.commit(ready("a", at(7), "~"))
    lane.adopt("c")
    assert lane.position("c") == "-"


def test_a_released_shard_goes_on_in_another_lane_with_its_memory(desk: Desk) -> None:
    one, two = desk.holding("a", "b"), desk.take(1)
    one.commit(ready("a", "-", at(3), page=b"page"))
    released = one.release("a")
    assert (desk.row("a").place, desk.row("a").at, one.position("a")) == ("free", at(3), None)
    adopted = two.adopt("a")
    assert adopted.needs == ((0, released.n),)
    assert (two.position("a"), two.state.ids, two.state.pages) == (at(3), one.state.ids, one.state.pages)
    assert [desk.store.get(ref) for ref in two.state.pages] == [b"page"]
    two.commit(ready("a", at(3), at(5)))
    two.release("a")
    assert one.adopt("a").needs == ((1, 4),)
    assert (one.position("a"), len(one.state.ids), len(one.state.pages)) == (at(5), 2, 1)


def test_an_end_leaves_what_its_own_entry_remembers(desk: Desk) -> None:
    """A child's duplicates are also those of its parent's last records."""
    one, two = desk.holding("a"), desk.take(1)
    one.commit(ready("a", "-", at(3)))
    one.commit(ready("a", at(3), "~", page=b"last"))
    assert desk.carried("a") == Carried(one.state.ids, one.state.pages)
    two.adopt("c")
    assert [log.segment.name[:24] for log in two.state.ids] == [f"lanes/0000/{n:012d}-" for n in (3, 4)]
    assert [desk.store.get(ref) for ref in two.state.pages] == [b"last"]


def test_several_shards_move_in_one_entry(desk: Desk) -> None:
    one, two = desk.take(0), desk.take(1)
    before = one.head.n
    assert one.adopt("a", "b").n == before + 1
    one.commit(ready("a", "-", at(3)))
    released = one.release("b", "a")
    assert (released.n, dict(one.state.shards)) == (before + 3, {})
    adopted = two.adopt("a", "b")
    assert adopted.needs == ((0, released.n),)
    assert (two.position("a"), two.position("b")) == (at(3), "-")


def test_shards_of_which_one_is_held_already_are_not_adopted(desk: Desk) -> None:
    one, two = desk.take(0), desk.take(1)
    one.adopt("b")
    with pytest.raises(Conflict, match="b is held, not free"):
        two.adopt("a", "b")
    assert two.position("a") is None
    assert one.adopt("a").shard == "a"


def test_two_children_of_one_parent_come_in_one_entry(desk: Desk) -> None:
    one = desk.holding("a", "b")
    one.commit(ready("a", "-", "~"))
    one.commit(ready("b", "-", "~"))
    children = [child for child, parents in PARENTS.items() if parents and set(parents) <= {"a", "b"}]
    assert len(children) > 1
    assert len(one.adopt(*children).needs) == 2
    assert set(children) <= one.state.shards.keys()


def test_a_scope_reaches_back_to_all_ancestors(desk: Desk) -> None:
    one, two = desk.holding("a", "b"), desk.take(1)
    one.commit(ready("b", "-", "~"))
    one.commit(ready("a", "-", "~"))
    one.adopt("d")
    assert one.state.shards["d"].ancestors == ("a", "b")
    one.adopt("c")
    one.release("c")
    two.adopt("c")
    assert two.state.shards["c"].ancestors == ("a",), "a shard that moved keeps its ancestors"
    two.commit(ready("c", "-", "~"))
    two.adopt("e")
    assert two.state.shards["e"].ancestors == ("a", "c"), "a grandchild knows its grandparents"


def test_a_lane_forgets_as_it_goes(desk: Desk) -> None:
    lane = desk.take(limits=Limits(ids_max=5))
    lane.adopt("a")
    for n in range(6):
        lane.commit(ready("a", at(n - 1) if n else "-", at(n), ids=2))
    assert [found.ids for found in lane.state.ids] == [2, 2, 2]
    assert lane.state.ids[-1].segment.name.startswith("lanes/0000/000000000008-")


@pytest.mark.parametrize("fault", ["lost", "late", "busy"])
def test_moves_survive_lost_answers_too(desk: Desk, fault: Fault) -> None:
    one, two = desk.holding("a"), desk.take(1)
    desk.journal.fault = fault
    one.release("a")
    desk.journal.fault = fault
    two.adopt("a")
    while desk.journal.in_flight:
        assert not desk.journal.land(0)
    assert [e.kind for e in desk.entries()] == ["take", "adopt", "release"]
    assert (desk.row("a").lane, two.position("a"), one.position("a")) == (1, "-", None)
