# long: all that may happen between workers, on one site
"""Workers among others: who is taken for dead, who takes what, and which shards become known, also when they race."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest

from shardlake.adapters.engine import Engine
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.core.errors import OutcomeUnknown, Transient
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Counts, Manifest, RangeRow
from shardlake.core.journal.port import REMOVED, Write
from shardlake.core.journal.rows import Head, ObjectRef, ShardRow, SourceRow
from shardlake.core.limits import Limits
from shardlake.core.positions import Position, ShardId
from shardlake.testing.clock import ManualClock
from shardlake.testing.late import Fault, LateJournal
from shardlake.testing.world import SCHEMA
from streams.assignment import Moves
from streams.committer import Committer
from streams.lane import Lane, LaneContext, LaneLost, Prepared
from streams.worker import FOUNDED, Worker

ENGINE = Engine(threads=1)
LIMITS = Limits(retry_first_s=0.0, commit_retries_max=3)
EXPIRY_S = LIMITS.worker_expiry_s


@dataclass(slots=True)
class Watched:
    """A journal that lets something happen between two of its calls, once."""

    inner: MemoryJournal
    after_scan: dict[str, Callable[[], object]] = field(default_factory=dict)
    before_transact: Callable[[], object] | None = None
    each_transact: Callable[[], object] = lambda: None

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return self.inner.get(keys)

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        found = self.inner.scan(prefix, after, upto)
        self.after_scan.pop(prefix, lambda: None)()
        return found

    def transact(self, writes: Sequence[Write]) -> None:
        happens, self.before_transact = self.before_transact, None
        if happens is not None:
            happens()
        self.each_transact()
        self.inner.transact(writes)


@dataclass(slots=True)
class Told:
    """What a worker said."""

    taken: list[tuple[int, str, int]] = field(default_factory=list)
    shards: int = 0

    def took(self, lane: int, owner: str, shards: int) -> None:
        self.taken.append((lane, owner, shards))

    def moved(self, moves: Moves) -> None:
        del moves

    def found(self, shards: int) -> None:
        self.shards += shards


@dataclass(slots=True)
class Site:
    """A journal and a source whose listing a test writes; workers, and the lanes that they have."""

    store: LocalObjects
    limits: Limits = LIMITS
    inner: MemoryJournal = field(default_factory=MemoryJournal)
    clock: ManualClock = field(default_factory=ManualClock)
    listing: dict[ShardId, tuple[ShardId, ...]] = field(default_factory=dict)
    asked: list[bool] = field(default_factory=list)
    _names: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.inner.transact(operations.found(1))
        self.inner.transact([Write(rows.source_key("s"), None, rows.encode(SourceRow("s", {"pack": "clicks"})))])
        self.listed(a=(), b=(), c=(), d=())

    def listed(self, **shards: Sequence[str]) -> None:
        """Let the source's listing be these shards with their parents."""
        self.listing = {ShardId(f"s/{name}"): tuple(ids(*parents)) for name, parents in shards.items()}

    def complete(self, *, founding: bool = False) -> Mapping[ShardId, tuple[ShardId, ...]]:
        self.asked.append(founding)
        return self.listing

    def committer(self, lane: Lane, pulse: Callable[[], None]) -> Committer:
        return Committer(lane, self.store, SCHEMA, [], ENGINE, self.limits, pulse)

    def worker(self, journal: "LateJournal | Watched | None" = None, limits: Limits | None = None) -> Worker:
        context = LaneContext(journal or self.inner, self.store, self.clock, self._name, limits or self.limits)
        return Worker(context, "s", self.complete, self.committer, Told())

    def settled(self, journal: "LateJournal | Watched | None" = None) -> tuple[Worker, Lane]:
        """A worker with a home lane that has looked around, and taken what it should."""
        worker = self.worker(journal)
        lane = claimed(worker)
        self.look(worker, lane)
        return worker, lane

    def look(self, worker: Worker, lane: Lane) -> Moves:
        """Let a worker attend, and carry out what it decides, until nothing is left to do; give the last decision."""
        moves, quiet = Moves(), 0
        for _ in range(12):
            self.clock.advance(self.limits.look_s)
            decided = worker.attend(lane)
            quiet = 0 if decided else quiet + 1
            if quiet == 2:  # after the first a lane may have been emptied
                return moves
            moves = decided or moves
            carry_out(lane, decided)
        raise AssertionError(f"no end of moves: {moves}")

    def _name(self) -> str:
        return f"w{next(self._names):03d}"

    def head(self, lane: int) -> Head:
        return reading.read_head(self.inner, lane)

    def rows(self) -> dict[str, ShardRow]:
        return reading.read_shards(self.inner)

    def held(self, lane: int) -> list[str]:
        return sorted(s for s, row in self.rows().items() if row.place == "held" and row.lane == lane)

    def beats(self) -> list[str]:
        return [key.removeprefix("worker/") for key, _ in self.inner.scan("worker/")]


def ids(*names: str) -> list[ShardId]:
    return [ShardId(f"s/{name}") for name in names]


def claimed(worker: Worker) -> Lane:
    lane = worker.claim()
    assert lane is not None
    return lane


def carry_out(lane: Lane, moves: Moves) -> None:
    for shard in moves.release:
        lane.release(shard)
    for shard in moves.adopt:
        lane.adopt(shard)


def data(shard: str, after: str, upto: str) -> Prepared:
    """A chunk of one range."""
    ranges = (RangeRow(shard, after, upto),)

    def manifest(lane: int, n: int, refs: Mapping[str, ObjectRef]) -> Manifest:
        return Manifest(lane, n, "s", ranges, Counts(1), segment=refs["segment.parquet"])

    return Prepared(ranges, {"segment.parquet": f"{shard}{after}{upto}".encode()}, manifest)


def at(n: int) -> str:
    return Position(n).encode()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(LocalObjects(tmp_path / "objects", sync=False))


# --------------------------------------------------------------------------------------------- signs of life


def test_a_first_worker_takes_the_lane_and_all_that_may_be_read(site: Site) -> None:
    worker, lane = site.settled()
    assert (worker.home, site.head(0).owner, site.beats()) == (0, worker.name, [worker.name])
    assert site.held(0) == ids("a", "b", "c", "d") == sorted(lane.state.shards)


def test_a_second_worker_adds_a_lane_and_gets_its_half(site: Site) -> None:
    first, lane = site.settled()
    second, other = site.settled()
    assert (other.head.lane, second.home) == (1, 1)
    site.look(first, lane)
    site.look(second, other)
    assert (len(site.held(0)), len(site.held(1))) == (2, 2)


def beats(site: Site, worker: Worker, lane: Lane) -> None:
    del site, lane
    worker.pulse()


def commits(site: Site, worker: Worker, lane: Lane) -> None:
    del worker
    upto = at(round(site.clock.monotonic_s()))
    lane.commit(data("s/a", lane.state.shards["s/a"].at, upto))


def releases(site: Site, worker: Worker, lane: Lane) -> None:
    del site, worker
    lane.release(max(lane.state.shards))


@pytest.mark.parametrize("sign", [beats, commits, releases])
def test_whoever_gives_a_sign_in_time_is_alive(site: Site, sign: Callable[[Site, Worker, Lane], None]) -> None:
    worker, lane = site.settled()
    other, mine = site.settled()
    for _ in range(3):  # of these a release gives four at most
        site.clock.advance(EXPIRY_S - 1)
        sign(site, worker, lane)
        other.attend(mine)
    assert site.head(0).owner == worker.name


def test_shards_of_others_are_awaited_until_they_give_a_sign(site: Site) -> None:
    worker, lane = site.settled()
    assert not worker.awaits_others
    other = site.worker()
    mine = claimed(other)
    carry_out(mine, other.attend(mine))
    assert other.awaits_others
    site.clock.advance(LIMITS.heartbeat_s)
    worker.attend(lane)
    other.attend(mine)
    assert not other.awaits_others


def test_shards_of_the_dead_are_awaited_until_they_can_be_taken_in(site: Site) -> None:
    site.settled()
    other, until_s = site.worker(), site.clock.monotonic_s() + EXPIRY_S
    mine = claimed(other)
    while not mine.state.shards:
        site.clock.advance(LIMITS.look_s)
        moves = other.attend(mine)
        assert other.awaits_others or moves.adopt
        carry_out(mine, moves)
    assert until_s <= site.clock.monotonic_s() <= until_s + 3 * LIMITS.look_s
    assert (site.held(mine.head.lane), other.awaits_others) == (ids("a", "b", "c", "d"), False)


def test_shards_that_were_let_go_are_awaited_until_somebody_has_them(site: Site) -> None:
    first, lane = site.settled()
    other = site.worker()
    theirs = claimed(other)
    site.clock.advance(LIMITS.look_s)
    carry_out(lane, first.attend(lane))  # lets half of them go
    assert first.awaits_others
    site.clock.advance(LIMITS.look_s)
    first.attend(lane)
    assert first.awaits_others  # they are free
    carry_out(theirs, other.attend(theirs))
    site.clock.advance(LIMITS.look_s)
    first.attend(lane)
    assert (len(site.held(1)), first.awaits_others) == (2, False)
    site.clock.advance(3 * LIMITS.heartbeat_s)
    first.attend(lane)
    assert first.awaits_others  # it may have died with them


def test_fences_are_no_sign_of_life(site: Site) -> None:
    worker, lane = site.settled()
    other, mine = site.settled()
    for _ in range(2):
        site.clock.advance(EXPIRY_S / 2)
        lane.fence()  # whoever collects objects fences the lanes of the dead, too
        other.attend(mine)
    assert (site.head(0).owner, worker.name in site.beats()) == ("", False)


def test_a_silent_worker_is_dead_after_the_expiry_and_not_before(site: Site) -> None:
    worker, _ = site.settled()
    other, mine = site.settled()
    site.clock.advance(EXPIRY_S - 1 - 2 * LIMITS.look_s)  # it was seen for the first time two looks ago
    other.attend(mine)
    assert site.head(0).owner == worker.name
    site.clock.advance(1)
    other.attend(mine)
    assert site.head(0).owner == ""


def test_what_is_seen_for_the_first_time_has_just_moved(site: Site) -> None:
    worker, _ = site.settled()
    site.clock.advance(100 * EXPIRY_S)
    other, mine = site.settled()
    assert (other.home, site.head(0).owner) == (1, worker.name)
    site.clock.advance(EXPIRY_S - LIMITS.look_s)
    other.attend(mine)
    assert site.head(0).owner == ""


def test_wall_clocks_kill_nobody(site: Site) -> None:
    worker, _ = site.settled()
    other, mine = site.settled()
    for jump_us in (10**12, -(10**12)):
        site.clock.jump_us(jump_us)
        site.clock.advance(1)
        other.attend(mine)
        assert site.head(0).owner == worker.name


def test_an_owner_without_a_heartbeat_is_dead_at_once(site: Site) -> None:
    worker, _ = site.settled()
    other, mine = site.settled()
    key = rows.worker_key(worker.name)
    site.inner.transact([Write(key, site.inner.get([key])[key], REMOVED)])
    site.look(other, mine)
    assert (site.head(0).owner, site.held(1)) == ("", ids("a", "b", "c", "d"))


def test_a_worker_beats_when_it_is_due_and_a_commit_counts_as_a_beat(site: Site) -> None:
    worker, lane = site.settled()
    beats = worker.row.beat if worker.row else 0
    worker.pulse()
    site.clock.advance(0.9)
    worker.committed()
    site.clock.advance(0.9)
    worker.attend(lane)
    assert worker.row is not None and worker.row.beat == beats
    site.clock.advance(0.1)
    worker.pulse()
    assert worker.row.beat == beats + 1


def test_a_beat_whose_answer_was_lost_is_not_the_end(site: Site) -> None:
    journal = LateJournal(site.inner)
    worker, lane = site.settled(journal)
    faults: tuple[Fault, ...] = ("lost", "late", "busy")
    for fault in faults:
        site.clock.advance(1)
        journal.fault = fault
        worker.pulse()
        site.clock.advance(1)
        worker.attend(lane)
    assert site.head(0).owner == worker.name


def test_a_first_beat_that_fails_takes_no_lane(site: Site) -> None:
    journal = LateJournal(site.inner)
    journal.fault = "busy"
    worker = site.worker(journal)
    with pytest.raises(Transient):
        worker.claim()
    assert site.head(0).owner == ""
    assert worker.claim() is not None


# ------------------------------------------------------------------------------------------------- take-over


def test_the_dead_ones_shards_go_to_the_living_where_they_stood(site: Site) -> None:
    _, lane = site.settled()
    lane.commit(data("s/a", "-", at(7)))
    other, mine = site.settled()
    for _ in range(3):
        site.clock.advance(EXPIRY_S / 2)
        site.look(other, mine)
    assert site.held(1) == ids("a", "b", "c", "d")
    assert mine.position("s/a") == at(7)


def test_a_zombie_that_was_buried_is_lost_and_begins_anew(site: Site) -> None:
    zombie, lane = site.settled()
    other, mine = site.settled()
    for _ in range(3):
        site.clock.advance(EXPIRY_S / 2)
        site.look(other, mine)
    with pytest.raises(LaneLost):
        lane.commit(data("s/a", "-", at(1)))
    with pytest.raises(LaneLost):
        zombie.attend(lane)
    anew, home = site.settled()
    assert anew.name != zombie.name and home.head.lane == 0
    assert site.held(1) == ids("a", "b", "c", "d")


def test_who_leaves_is_followed_at_the_next_look(site: Site) -> None:
    worker, lane = site.settled()
    other, mine = site.settled()
    lane.commit(data("s/a", "-", at(7)))
    worker.leave(lane)
    assert (site.head(0).owner, site.beats()) == ("", [other.name])
    site.look(other, mine)
    assert site.held(1) == ids("a", "b", "c", "d") and mine.position("s/a") == at(7)


def test_a_new_worker_takes_what_was_left_as_its_home(site: Site) -> None:
    worker, lane = site.settled()
    worker.leave(lane)
    other, mine = site.settled()
    assert (other.home, site.held(0), sorted(mine.state.shards)) == (0, ids("a", "b", "c", "d"), site.held(0))


def test_of_two_newcomers_who_take_the_same_lane_one_wins(site: Site) -> None:
    worker, lane = site.settled()
    worker.leave(lane)
    journal = Watched(site.inner)
    slow, got = site.worker(journal), list[Lane]()
    journal.before_transact = lambda: setattr(journal, "before_transact", lambda: got.append(claimed(site.worker())))
    assert slow.claim() is None  # its heartbeat was first; then somebody was quicker
    assert site.head(0) == got[0].head
    assert claimed(slow).head.lane == 1


def test_of_two_who_empty_the_same_lane_one_wins(site: Site) -> None:
    worker, lane = site.settled()
    quick, first = site.settled()
    journal = Watched(site.inner)
    slow, second = site.settled(journal)
    worker.leave(lane)
    site.clock.advance(LIMITS.look_s)
    slow.pulse()
    journal.before_transact = lambda: quick.attend(first)
    slow.attend(second)
    site.look(quick, first)
    site.look(slow, second)
    assert (len(site.held(1)), len(site.held(2)), site.head(0).owner) == (2, 2, "")


def three(site: Site) -> tuple[list[tuple[Worker, Lane]], Lane]:
    """Three workers of which the third has died, as the others will see at their next look; and its lane."""
    settled = [site.settled() for _ in range(3)]
    for _ in range(2):
        for worker, lane in settled:
            site.look(worker, lane)
    for worker, lane in settled[:2]:
        site.look(worker, lane)  # and sees the third one's last sign
    for _ in range(round(EXPIRY_S) + 1):
        site.clock.advance(1)
        for worker, _ in settled[:2]:
            worker.pulse()
    return settled[:2], settled[2][1]


def test_lanes_of_the_dead_are_dealt_among_the_living(site: Site) -> None:
    (first, second), dead = three(site)
    assert site.held(2)
    second[0].attend(second[1])
    assert site.head(2).owner and site.head(2) == dead.head, "the first lane of the dead is the first worker's"
    first[0].attend(first[1])
    assert (site.head(2).owner, site.held(2)) == ("", [])


def test_a_lane_that_nobody_empties_is_emptied_by_whoever_sees_it(site: Site) -> None:
    (first, second), _ = three(site)
    for _ in range(5):
        assert site.held(2)
        second[0].attend(second[1])
        site.clock.advance(0.5)
        first[0].pulse()
    second[0].attend(second[1])
    assert (site.head(2).owner, site.held(2)) == ("", [])


def test_a_worker_whose_beats_do_not_arrive_is_buried_and_hears_of_it(site: Site) -> None:
    journal = LateJournal(site.inner)
    worker, lane = site.settled(journal)
    other, mine = site.settled()
    journal.fault = "gone"
    for _ in range(2):
        site.clock.advance(EXPIRY_S / 2)
        worker.attend(lane)
        other.attend(mine)
    journal.fault = "none"
    assert site.head(0).owner == ""
    for _ in tuple(journal.in_flight):
        assert not journal.land(0)  # late beats raise nobody from the dead
    site.clock.advance(1)
    with pytest.raises(LaneLost):
        worker.attend(lane)


def test_a_dead_lane_that_moved_at_the_last_moment_is_not_taken(site: Site) -> None:
    worker, lane = site.settled()
    journal = Watched(site.inner)
    other, mine = site.settled(journal)
    site.clock.advance(EXPIRY_S)
    other.pulse()
    journal.before_transact = worker.pulse
    other.attend(mine)
    assert site.head(0).owner == worker.name
    site.clock.advance(EXPIRY_S)
    other.pulse()
    journal.before_transact = lambda: lane.commit(data("s/a", "-", at(1)))
    other.attend(mine)
    assert site.head(0).owner == worker.name


def test_who_comes_between_two_reads_of_a_look_is_alive(site: Site) -> None:
    def comes(found: list[Lane]) -> None:
        found.append(claimed(site.worker()))

    journal = Watched(site.inner)
    worker, lane = site.settled(journal)
    for prefix in ("worker/", "shard/", "lane/"):
        newcomers: list[Lane] = []
        journal.after_scan[prefix] = partial(comes, newcomers)
        site.clock.advance(1)
        worker.attend(lane)
        site.clock.advance(1)
        worker.attend(lane)
        for newcomer in newcomers:
            assert site.head(newcomer.head.lane) == newcomer.head, f"a newcomer was buried: it came after {prefix}"


def test_two_who_add_a_lane_at_once_do_not_take_each_others(site: Site) -> None:
    site.settled()
    journal = Watched(site.inner)
    second, winner = site.worker(journal), site.worker()
    second._beat()
    got: list[Lane] = []
    journal.before_transact = lambda: got.append(claimed(winner))
    lane = second.claim()
    assert site.head(1) == got[0].head, "a lane was taken from its living owner"
    assert lane is None or lane.head.lane != 1
    assert (lane or claimed(second)).head.lane == 2


def test_beyond_the_greatest_number_of_lanes_a_worker_stands_by(site: Site) -> None:
    limits = Limits(retry_first_s=0.0, lanes_max=1)
    worker, lane = site.settled()
    waits = site.worker(limits=limits)
    assert waits.claim() is None
    site.clock.advance(1)
    worker.pulse()
    assert waits.claim() is None
    worker.leave(lane)
    assert claimed(waits).head.lane == 0


def test_a_worker_that_stood_by_for_long_is_alive_when_it_gets_a_lane(site: Site) -> None:
    worker, lane = site.settled()
    waits = site.worker(limits=Limits(retry_first_s=0.0, lanes_max=1))
    assert waits.claim() is None
    site.clock.advance(10 * EXPIRY_S)
    worker.leave(lane)
    home = claimed(waits)
    third, mine = site.settled()
    waits.attend(home)
    site.clock.advance(EXPIRY_S - 1)
    third.attend(mine)
    assert site.head(0).owner == waits.name


def test_a_take_that_lands_late_is_found_and_emptied(site: Site) -> None:
    site.settled()
    journal = LateJournal(site.inner)
    worker, lane = site.settled(journal)
    site.clock.advance(EXPIRY_S)
    worker.pulse()
    journal.fault = "gone"
    with pytest.raises(OutcomeUnknown):
        worker.attend(lane)
    journal.fault = "none"
    while journal.in_flight:
        journal.land(0)
    assert site.head(0).owner == worker.name and site.held(0)
    site.look(worker, lane)
    assert (site.head(0).owner, site.held(1)) == ("", ids("a", "b", "c", "d"))


def test_a_worker_killed_while_it_empties_a_lane_leaves_two(site: Site) -> None:
    site.settled()
    journal = Watched(site.inner)
    worker, lane = site.settled(journal)
    site.clock.advance(EXPIRY_S)
    worker.pulse()

    def killed() -> None:
        if site.head(0).owner == worker.name:
            raise KeyboardInterrupt

    journal.each_transact = killed
    with pytest.raises(KeyboardInterrupt):
        worker.attend(lane)
    assert {site.head(0).owner, site.head(1).owner} == {worker.name}
    third, mine = site.settled()
    for _ in range(3):
        site.clock.advance(EXPIRY_S / 2)
        site.look(third, mine)
    assert site.held(third.home) == ids("a", "b", "c", "d")


def test_while_a_lane_is_emptied_nobody_seems_dead(site: Site) -> None:
    first, lane = site.settled()
    journal = Watched(site.inner)
    second, mine = site.settled(journal)
    third, _ = site.settled()
    first.leave(lane)
    site.inner.transact([operations.discover(f"s/{name}", "s", ()) for name in "wxyz"])
    site.clock.advance(LIMITS.look_s)
    second.pulse()

    def slow() -> None:  # each transaction takes seconds, and the others are alive all the while
        site.clock.advance(EXPIRY_S / 3)
        third.pulse()

    journal.each_transact = slow
    adopted = second.attend(mine).adopt
    assert adopted and {*adopted} <= {f"s/{name}" for name in "wxyz"}
    assert site.head(0).owner == ""


def test_lanes_of_another_source_are_nobodys_business(site: Site) -> None:
    site.inner.transact([Write(rows.source_key("t"), None, rows.encode(SourceRow("t", {})))])
    context = LaneContext(site.inner, site.store, site.clock, site._name, LIMITS)
    site.inner.transact([operations.discover("t/x", "t", ())])
    foreign = Worker(context, "t", lambda **_: {ShardId("t/x"): ()}, site.committer, Told())
    theirs = claimed(foreign)
    theirs.adopt("t/x")
    worker, lane = site.settled()
    assert lane.head.lane == 1
    for _ in range(3):
        site.clock.advance(EXPIRY_S)
        site.look(worker, lane)
    assert (site.head(0).owner, site.held(1)) == (foreign.name, ids("a", "b", "c", "d"))


def test_an_empty_lane_without_an_owner_is_left_alone(site: Site) -> None:
    first, lane = site.settled()
    second, mine = site.settled()
    site.look(first, lane)
    site.look(second, mine)
    first.leave(lane)
    site.look(second, mine)
    n = site.head(0).n
    for _ in range(5):
        site.look(second, mine)
    assert site.head(0).n == n


# ------------------------------------------------------------------------------------------------- discovery


def test_shards_are_known_after_their_parents(site: Site) -> None:
    site.listed(c=("a", "b"), a=(), d=("c",), b=())
    site.settled()
    assert {s: row.parents for s, row in site.rows().items()} == site.listing


def test_what_expired_before_a_source_was_first_read_is_left_out_for_ever(site: Site) -> None:
    site.listed(c=("a",), d=("c", "b"))
    worker, lane = site.settled()
    expected = {"s/c": (), "s/d": ("s/c",)}
    assert {s: row.parents for s, row in site.rows().items()} == expected
    site.listed(a=(), b=(), c=("a",), d=("c", "b"))  # a listing may hold them after all, as one of open shards does not
    site.clock.advance(LIMITS.discover_s)
    site.look(worker, lane)
    assert {s: row.parents for s, row in site.rows().items()} == expected


def test_ancestors_of_what_is_left_out_are_left_out(site: Site) -> None:
    site.listed(d=("c",))
    worker, lane = site.settled()
    site.listed(a=(), b=("a",), c=("b",), d=("c",))
    site.clock.advance(LIMITS.discover_s)
    site.look(worker, lane)
    assert set(site.rows()) == {"s/d"}


def test_another_childs_start_does_not_hang_on_what_is_left_out(site: Site) -> None:
    site.listed(b=("a",), c=("a",))
    worker, lane = site.settled()
    site.listed(b=("a",), c=("a",), d=("b", "c"))
    site.clock.advance(LIMITS.discover_s)
    site.look(worker, lane)
    assert {s: row.parents for s, row in site.rows().items()} == {"s/b": (), "s/c": (), "s/d": ("s/b", "s/c")}
    assert site.held(0) == ids("b", "c")


def test_a_later_parent_that_nobody_knows_gets_a_row(site: Site) -> None:
    site.listed(a=())
    worker, lane = site.settled()
    site.listed(d=("b", "c"))  # a whole generation came and went
    site.clock.advance(LIMITS.discover_s)
    site.look(worker, lane)
    parents = {s: row.parents for s, row in site.rows().items()}
    assert parents == {"s/a": (), "s/b": (), "s/c": (), "s/d": ("s/b", "s/c")}
    assert site.held(0) == ids("a", "b", "c")


def test_a_founding_that_was_broken_off_is_done_again(site: Site) -> None:
    site.listed(b=("a",), c=("a",))
    journal = LateJournal(site.inner)
    worker = site.worker(journal)
    lane = claimed(worker)
    journal.fault = "busy"
    with pytest.raises(Transient):
        worker.attend(lane)
    assert site.asked == [True]
    site.listed(c=("a",), d=("b",))  # b has ended and expired meanwhile, and nobody ever read of it
    worker, lane = site.settled()
    assert site.asked == [True, True]
    assert {s: row.parents for s, row in site.rows().items()} == {"s/c": (), "s/d": ()}


def test_a_merged_shard_waits_for_both_parents(site: Site) -> None:
    site.listed(a=(), b=())
    worker, lane = site.settled()
    children = {ShardId("s/c"): tuple(ids("a", "b"))}
    worker.discover(children)
    lane.commit(data("s/a", "-", "~"))
    assert worker.heirs(children) == ()
    lane.commit(data("s/b", "-", "~"))
    assert worker.heirs(children) == ("s/c",)


def test_a_merged_shard_waits_for_a_parent_that_was_not_yet_known(site: Site) -> None:
    site.listed(a=())
    worker, lane = site.settled()
    site.listed(a=(), b=(), c=("a", "b"))  # b came up meanwhile, and the end of a tells of c
    children = {ShardId("s/c"): tuple(ids("a", "b"))}
    worker.discover(children)
    assert site.rows()["s/c"].parents == ("s/a", "s/b")
    lane.commit(data("s/a", "-", "~"))
    assert worker.heirs(children) == ()
    assert site.rows()["s/b"].place == "free"


def test_a_shard_that_somebody_else_made_known_is_no_trouble(site: Site) -> None:
    journal = Watched(site.inner)
    worker, _ = site.settled(journal)
    site.listed(a=(), b=(), c=(), d=(), e=())
    other = site.worker()
    journal.before_transact = lambda: other.discover(site.listing)
    worker.discover(site.listing)
    assert "s/e" in site.rows()


def test_all_who_found_a_source_at_once_know_when(site: Site) -> None:
    journal = Watched(site.inner)
    first = site.worker()
    claimed(first)
    second = site.worker(journal)
    claimed(second)

    def comes_between() -> None:
        site.clock.advance(1)
        first.discover(site.listing)

    site.listed()  # nothing to discover: the next transaction notes the founding
    journal.before_transact = comes_between
    second.discover(site.listing)
    key = rows.source_key("s")
    stored = rows.decode(SourceRow, key, site.inner.get([key])[key]).settings
    assert first.founded_us == second.founded_us == int(stored[FOUNDED]) > 0


def test_a_source_is_founded_once(site: Site) -> None:
    worker, _ = site.settled()
    site.clock.advance(100)
    later, _ = site.settled()
    later.discover(site.listing)
    assert later.founded_us == worker.founded_us > 0


def test_shards_are_listed_when_it_is_due(site: Site) -> None:
    worker, lane = site.settled()
    site.look(worker, lane)
    assert site.asked == [True]
    site.clock.advance(LIMITS.discover_s)
    worker.attend(lane)
    assert site.asked == [True, False]


def test_a_quiet_worker_reads_the_rows_less_often_and_not_never(site: Site) -> None:
    limits = msgspec.structs.replace(LIMITS, look_rows_per_s=0.1, discover_s=1e9)  # four rows: every 40 s
    watched = Watched(site.inner)
    worker = site.worker(watched, limits)
    lane = claimed(worker)
    site.look(worker, lane)
    for _ in range(30):
        site.clock.advance(1)
        worker.attend(lane)
    read: list[int] = []
    for second in range(60):
        watched.after_scan["shard/"] = lambda second=second: read.append(second)  # type: ignore[misc]
        site.clock.advance(1)
        worker.attend(lane)
    assert 1 <= len(read) <= 2, read
    other, mine = site.settled()
    site.look(other, mine)
    site.clock.advance(1)
    assert len(worker.attend(lane).release) == 2, "somebody came"


def test_one_who_has_nothing_looks_more_often(site: Site) -> None:
    site.listed()
    worker, lane = site.settled()
    site.inner.transact([operations.discover("s/x", "s", ())])
    site.clock.advance(LIMITS.look_s / 4)
    assert worker.attend(lane) == Moves(adopt=("s/x",))
    lane.adopt("s/x")
    site.inner.transact([operations.discover("s/y", "s", ())])
    site.clock.advance(LIMITS.look_s / 4)
    assert not worker.attend(lane)
