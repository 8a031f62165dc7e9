"""A lane whose journal is in DynamoDB: lost answers, late writes, throttles, other transactions, errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from shardlake.adapters.local_objects import LocalObjects
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import objects as stored
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Counts, HeldShard, LaneState, Manifest, RangeRow
from shardlake.core.journal.rows import Entry, Head, ObjectRef, Registry
from shardlake.core.limits import Limits
from shardlake.core.positions import Position
from shardlake.testing.dynamodb import CONFLICT, INTERNAL, LATE, LOST_AFTER, LOST_BEFORE, ONGOING, THROTTLES, Fault
from streams.lane import Lane, LaneContext, LaneLost, Prepared
from tests.dynamodb.wired import Wired

LIMITS = Limits(retry_first_s=0.1, commit_retries_max=4)
WRITE = "TransactWriteItems"


@dataclass(slots=True)
class Desk:
    """Lanes of a journal in a table, and whoever takes them."""

    store: LocalObjects
    wired: Wired = field(default_factory=Wired)
    ids: "count[int]" = field(default_factory=count)

    def found(self, lanes: int, shards: int = 1) -> None:
        """Make lanes that hold so many shards each."""
        journal = self.wired.journal()
        journal.transact([operations.found(lanes)[0]])
        for lane in range(lanes):
            held = {f"{lane}-{n}": HeldShard("-") for n in range(shards)}
            state = self.store.put(f"lanes/{lane}", {"state.json": stored.encode(LaneState(held))})["state.json"]
            row = operations.found(lanes)[1 + lane]
            head = rows.decode(Head, row.key, row.put or b"")
            journal.transact([type(row)(row.key, None, rows.encode(_with_state(head, state)))])

    def take(self, lane: int = 0) -> Lane:
        journal = self.wired.journal(seed=next(self.ids) + 100)
        context = LaneContext(journal, self.store, self.wired.clock, lambda: f"{next(self.ids):04x}", LIMITS)
        return Lane.take(context, lane, f"worker-{next(self.ids)}", "clicks")

    def counted(self, lane: int = 0) -> list[str]:
        """How far each entry of a lane counts."""
        refs = [e.manifest for e in self.entries(lane) if e.manifest is not None]
        manifests = [stored.decode(Manifest, ref.name, self.store.get(ref)) for ref in refs]
        return [r.upto for m in manifests for r in m.ranges]

    def entries(self, lane: int = 0) -> list[Entry]:
        journal = self.wired.journal()
        return reading.read_entries(journal, lane, 0, reading.read_head(journal, lane).n)

    def writes(self) -> list[Mapping[str, object]]:
        return [request for action, request in self.wired.sent if action == WRITE]


def _with_state(head: Head, state: ObjectRef) -> Head:
    return Head(head.lane, head.n, head.commit, head.owner, head.source, state)


def ready(shard: str, after: str, upto: str) -> Prepared:
    ranges = (RangeRow(shard, after, upto),)

    def manifest(lane: int, n: int, refs: Mapping[str, ObjectRef]) -> Manifest:
        return Manifest(lane, n, "clicks", ranges, Counts(1), segment=refs["segment.parquet"])

    return Prepared(ranges, {"segment.parquet": f"{shard}{after}{upto}".encode()}, manifest)


def at(n: int) -> str:
    return Position(n).encode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(LocalObjects(tmp_path / "objects", sync=False))
    desk.found(2)
    return desk


def commit(lane: Lane, n: int, shard: str = "0-0") -> Entry:
    return lane.commit(ready(shard, "-" if n == 1 else at(n - 1), at(n)))


# --------------------------------------------------------------------------------------------- an unknown outcome


@pytest.mark.parametrize("fault", [LOST_AFTER, LOST_BEFORE, INTERNAL, Fault(applied=True), Fault(status=503)])
def test_a_commit_whose_answer_is_lost_is_sent_again_and_counts_once(desk: Desk, fault: Fault) -> None:
    lane = desk.take()
    before = len(desk.writes())
    desk.wired.dynamo.inject(fault, WRITE)
    commit(lane, 1)
    first, second = desk.writes()[before:]
    assert first == second, "the same transaction under the same token"
    assert desk.counted() == [at(1)]
    commit(lane, 2)
    assert desk.counted() == [at(1), at(2)]


def test_a_commit_that_was_applied_long_ago_is_known_by_its_commit_id(desk: Desk) -> None:
    """Its token is forgotten, so it conflicts: the slot tells that it was this very commit."""
    lane = desk.take()
    desk.wired.dynamo.behaviour = desk.wired.behaviour.changed(token_life_s=0.0)
    desk.wired.dynamo.inject(LOST_AFTER, WRITE)
    commit(lane, 1)
    assert desk.counted() == [at(1)]


def test_a_write_that_lands_after_its_time_out_changes_nothing_more(desk: Desk) -> None:
    lane = desk.take()
    desk.wired.dynamo.inject(LATE, WRITE)
    commit(lane, 1)
    commit(lane, 2)
    [late] = desk.wired.dynamo.land()
    assert late.status == 200, "its token is known"
    assert desk.counted() == [at(1), at(2)]


def test_a_write_that_lands_after_a_take_over_is_refused(desk: Desk) -> None:
    lane = desk.take()
    desk.wired.dynamo.inject(LATE, WRITE, times=LIMITS.commit_retries_max)
    with pytest.raises(OutcomeUnknown):
        commit(lane, 1)
    other = desk.take()
    commit(other, 1)
    assert {late.status for late in desk.wired.dynamo.land()} == {400}
    assert desk.counted() == [at(1)]
    with pytest.raises(LaneLost):
        commit(lane, 1)


def test_a_write_that_lands_before_the_take_over_is_followed(desk: Desk) -> None:
    lane = desk.take()
    desk.wired.dynamo.inject(LATE, WRITE, times=LIMITS.commit_retries_max)
    with pytest.raises(OutcomeUnknown):
        commit(lane, 1)
    desk.wired.dynamo.land()
    other = desk.take()
    assert other.position("0-0") == at(1)
    commit(other, 2)
    assert desk.counted() == [at(1), at(2)]


def test_a_write_that_is_under_way_is_waited_for(desk: Desk) -> None:
    lane = desk.take()
    desk.wired.dynamo.inject(Fault(dropped=True, late=True, locks=True, delay_s=0.25), WRITE)
    commit(lane, 1)
    assert len(desk.writes()) > 2
    assert desk.counted() == [at(1)]


def test_a_fence_waits_for_what_is_under_way_and_follows_it(desk: Desk) -> None:
    lane = desk.take()
    head = lane.head
    desk.wired.dynamo.inject(ONGOING, WRITE, times=1)
    desk.wired.dynamo.inject(LOST_BEFORE, WRITE, times=LIMITS.commit_retries_max - 1)
    with pytest.raises(OutcomeUnknown):
        commit(lane, 1)
    with pytest.raises(Transient):
        desk.wired.journal().transact(operations.fence(head, "f").writes)
    desk.wired.dynamo.land()
    with pytest.raises(Conflict):
        desk.wired.journal().transact(operations.fence(head, "f").writes)
    assert desk.counted() == [at(1)]


# -------------------------------------------------------------------------------------------- surely not applied


@pytest.mark.parametrize("fault", [CONFLICT, *THROTTLES])
def test_what_was_not_applied_is_sent_again_after_a_while(desk: Desk, fault: Fault) -> None:
    lane, begin_s = desk.take(), desk.wired.clock.monotonic_s()
    desk.wired.dynamo.inject(fault, WRITE, times=5)
    commit(lane, 1)
    assert 0 < desk.wired.clock.monotonic_s() - begin_s < 5
    assert desk.counted() == [at(1)]


def test_a_throttle_without_end_is_given_up_as_not_applied(desk: Desk) -> None:
    lane, begin_s = desk.take(), desk.wired.clock.monotonic_s()
    desk.wired.dynamo.behaviour = desk.wired.behaviour.changed(
        fault=lambda action, _: THROTTLES[0] if action == WRITE else None
    )
    with pytest.raises(Transient, match="out of reach"):
        commit(lane, 1)
    assert desk.wired.clock.monotonic_s() - begin_s < 4 * 5 + 2
    desk.wired.dynamo.behaviour = desk.wired.behaviour
    commit(lane, 1)
    assert desk.counted() == [at(1)]


@pytest.mark.parametrize("fault", [INTERNAL, LOST_BEFORE, LOST_AFTER, *THROTTLES])
@pytest.mark.parametrize("action", ["Query", "BatchGetItem"])
def test_reads_are_asked_again_within_bounds(desk: Desk, fault: Fault, action: str) -> None:
    desk.wired.dynamo.inject(fault, action, times=4)
    assert [head.n for head in reading.read_heads(desk.wired.journal()).values()] == [0, 0]
    desk.wired.dynamo.behaviour = desk.wired.behaviour.changed(
        fault=lambda asked, _: fault if asked == action else None
    )
    begin_s = desk.wired.clock.monotonic_s()
    with pytest.raises(Transient):
        reading.read_heads(desk.wired.journal())
    assert desk.wired.clock.monotonic_s() - begin_s < 6


def test_rows_that_a_batch_leaves_out_are_asked_for_again(desk: Desk) -> None:
    journal = desk.wired.journal()
    keys = [f"shard/{n}" for n in range(60)]
    journal.transact([operations.discover(str(n), "clicks", ()) for n in range(60)])
    desk.wired.dynamo.behaviour = desk.wired.behaviour.changed(unprocessed=0.5)
    assert journal.get(keys).keys() == set(keys)
    desk.wired.dynamo.behaviour = desk.wired.behaviour.changed(unprocessed=1.0)
    with pytest.raises(Transient, match="not in time"):
        journal.get(keys)


def test_what_was_just_written_is_read_though_replicas_lag(desk: Desk) -> None:
    desk.wired.dynamo.behaviour = desk.wired.behaviour.changed(stale_reads=1.0, stale_s=60.0)
    journal, other = desk.wired.journal(), desk.wired.journal(seed=9)
    journal.transact([operations.discover(name, "clicks", ()) for name in ("a", "b")])
    assert other.get(["shard/a", "shard/b"]).keys() == {"shard/a", "shard/b"}
    assert len(other.scan("shard/")) == 2


def test_a_lost_answer_of_a_single_write_is_a_conflict_with_itself(desk: Desk) -> None:
    journal = desk.wired.journal()
    write, row = operations.beat(None, "w")
    desk.wired.dynamo.inject(LOST_AFTER, "PutItem")
    with pytest.raises(OutcomeUnknown):
        journal.transact([write])
    with pytest.raises(Conflict):
        journal.transact([write])
    assert journal.get([write.key]) == {write.key: rows.encode(row)}


# --------------------------------------------------------------------------------------------- side by side


def test_lanes_do_not_meet_while_they_commit(tmp_path: Path) -> None:
    """Each lane's commit is under way, its items taken, while all the others commit."""
    desk = Desk(LocalObjects(tmp_path, sync=False))
    desk.found(8)
    lanes = [desk.take(n) for n in range(8)]
    met: list[str] = []
    for mine in lanes:
        n = len(desk.counted(mine.head.lane)) + 1
        desk.wired.dynamo.inject(ONGOING, WRITE)
        desk.wired.dynamo.inject(LOST_BEFORE, WRITE, times=LIMITS.commit_retries_max - 1)
        with pytest.raises(OutcomeUnknown):
            commit(mine, n, f"{mine.head.lane}-0")
        for other in lanes:
            if other is not mine:
                sent = len(desk.writes())
                commit(other, len(desk.counted(other.head.lane)) + 1, f"{other.head.lane}-0")
                met += ["again"] * (len(desk.writes()) - sent - 1)
        desk.wired.dynamo.land()
        lanes[mine.head.lane] = desk.take(mine.head.lane)
    assert met == [], "a commit met another lane's transaction"
    assert all(len(desk.counted(lane)) == 8 for lane in range(8))


@pytest.mark.parametrize("shards", [1, 1000])
def test_a_commit_costs_four_units_however_many_shards_its_lane_holds(tmp_path: Path, shards: int) -> None:
    desk = Desk(LocalObjects(tmp_path, sync=False))
    desk.found(1, shards)
    lane = desk.take()
    written, read = desk.wired.units("write"), desk.wired.units("read")
    lane.commit(ready("0-0", "-", at(1)))
    assert (desk.wired.units("write") - written, desk.wired.units("read") - read) == (4, 0)


def test_a_heartbeat_costs_one_unit_and_a_look_one_a_query(desk: Desk) -> None:
    journal = desk.wired.journal()
    written = desk.wired.units("write")
    first, row = operations.beat(None, "w")
    journal.transact([first])
    journal.transact([operations.beat(row, "w")[0]])
    assert desk.wired.units("write") - written == 2
    read = desk.wired.units("read")
    assert len(reading.read_heads(journal)) == 2
    journal.scan("worker/")
    assert desk.wired.units("read") - read == 3, "the registry, the heads, the heartbeats"


def test_a_registry_without_a_lane_is_noticed(desk: Desk) -> None:
    journal = desk.wired.journal()
    known = journal.get([rows.REGISTRY_KEY])[rows.REGISTRY_KEY]
    write = operations.grow(rows.decode(Registry, rows.REGISTRY_KEY, known))[0]
    journal.transact([write])
    with pytest.raises(Exception, match="no lane 2"):
        reading.read_heads(journal)
