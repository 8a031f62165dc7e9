"""The lane of retries: who makes it, who may write it, what its entries say, and whom it leaves alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.core.errors import OutcomeUnknown
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import SourceRow
from shardlake.core.limits import Limits
from shardlake.core.positions import END, Position, SeqRange, ShardId
from shardlake.core.seam import NOTHING
from shardlake.testing.clock import ManualClock
from shardlake.testing.plain import Click
from shardlake.testing.world import ARROW, SCHEMA, World
from streams.again import Again
from streams.assignment import Moves
from streams.chunk import LETTERS, Chunk, Piece
from streams.committer import Committer
from streams.lane import Lane, LaneContext, LaneLost
from streams.retry import Batch, Counted, RetryCommitter, RetryLane, is_retry, stand
from streams.worker import Listing, Worker

ENGINE = Engine(threads=1)
LANE = 2  # the first two are the world's


def limits(*, lanes_max: int = 64, id_logs_max: int = 256) -> Limits:
    return Limits(retry_first_s=0.0, commit_retries_max=3, lanes_max=lanes_max, id_logs_max=id_logs_max)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two lanes with a shard each; in `a` the ids a0 to a4 and two letters at (1, 0) and (2, 0), nothing in `b`."""
    made = World.in_memory(tmp_path, ENGINE, {}, 2)
    for lane, shard in enumerate("ab"):
        made.discover(shard)
        made.now[lane].committer.adopt(shard)
    put(made, 0, "a", 1, letters=2)
    return made


def click(click_id: str | None) -> Click:
    return Click(0, None, "/", 1, None, click_id)


def clicks(*ids: str | None) -> pa.Table:
    return pa.Table.from_pylist([click(one).row() for one in ids], ARROW)


def put(
    world: World,
    lane: int,
    shard: str,
    number: int,
    *,
    letters: int = 0,
    ids: Sequence[str] = (),
    upto: Position | None = None,
) -> None:
    """Commit what a shard has next: events of these ids, `a0` to `a4` if there are none, and letters."""
    at = world.now[lane].committer.lane.position(shard)
    found = clicks(*(ids or [f"{shard}{n}" for n in range(5)]))
    span = SeqRange(ShardId(shard), Position.decode(at or "-"), upto or Position(number, 9))
    piece = Piece(span, found, "0011", np.zeros(found.num_rows, np.int64), 0, letter_rows(shard, number, letters))
    chunk = Chunk(limits())
    chunk.add(piece, 0.0)
    world.now[lane].committer.commit(chunk)


def letter_rows(shard: str, number: int, count: int) -> pa.Table:
    names = [f"001{number + n}" for n in range(count)]
    told = {"_shard": shard, "_sub": 0, "_arrival": 7, "origin": "o", "reason": "wrong_type", "detail": "d"}
    return pa.Table.from_pylist([{**told, "_sequence": name, "payload": b"secret"} for name in names], LETTERS)


def context(world: World, journal: Journal | None = None) -> LaneContext:
    return LaneContext(journal or world.inner, world.store, world.clock, world.new_id, limits())


def opened(world: World, journal: Journal | None = None) -> RetryCommitter:
    lane = RetryLane.open(context(world, journal), "clicks", stand(world.inner, "clicks"))
    return RetryCommitter(lane, world.store, SCHEMA, [], ENGINE, limits())


def retried(
    world: World, *ids: str | None, committer: RetryCommitter | None = None, entry: tuple[int, int] = (0, 3)
) -> Manifest:
    """Retry so many letters of `a`, which turn out to have these ids."""
    batch = Batch()
    batch.add(letter_rows("a", 1, len(ids)), entry)
    counted = Counted(world.inner, world.store, ENGINE, "clicks", "click_id")
    return (committer or opened(world)).retry(batch, Again(clicks(*ids), np.arange(len(ids)), ()), counted)


def table(world: World, manifest: Manifest, name: str) -> list[dict[str, object]]:
    ref = getattr(manifest, name)
    found: list[dict[str, object]] = pq.read_table(world.store.path(ref)).to_pylist()
    return found


# ------------------------------------------------------------------------------------------------ what is stored


def test_an_entry_holds_the_rows_and_names_their_letters(world: World) -> None:
    made = retried(world, "x", "y")
    assert is_retry(made) and (made.source, made.lane) == ("dlq/clicks", LANE)
    assert [
        (row["_shard"], row["_sequence"], row["_sub"], row["click_id"]) for row in table(world, made, "segment")
    ] == [
        ("dlq/clicks", "0011", 0, "x"),
        ("dlq/clicks", "0012", 0, "y"),
    ]
    markers = table(world, made, "letters")
    assert [(m["_shard"], m["_sequence"], m["_sub"], m["reason"], m["detail"], m["payload"]) for m in markers] == [
        ("a", "0011", 0, "wrong_type", "dlq/clicks:1:0", b""),
        ("a", "0012", 0, "wrong_type", "dlq/clicks:2:0", b""),
    ]
    assert (made.counts.rows, made.counts.letters) == (2, -2)


def test_a_letters_arrival_is_its_rows(world: World) -> None:
    (row,) = table(world, retried(world, "x"), "segment")
    assert row["_arrival"] == np.datetime64(7, "us").astype(object)


def test_ranges_follow_one_another_from_retry_to_retry(world: World) -> None:
    ranges = [retried(world, *ids).ranges[0] for ids in (["x"], ["y", "z"], ["w"])]
    assert [(row.shard, row.after, row.upto) for row in ranges] == [
        ("dlq/clicks", "-", "0011.0010"),
        ("dlq/clicks", "0011.0010", "0013.0010"),
        ("dlq/clicks", "0013.0010", "0014.0010"),
    ]


@dataclass(frozen=True, slots=True)
class Between:
    """A journal of which something happens right after the first read of a key, also amidst a scan."""

    inner: Journal
    key: str
    happens: list[Callable[[], object]]

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        found = self.inner.get(keys)
        if self.key in keys and self.happens:
            self.happens.pop()()
        return found

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        before = [row for row in self.inner.scan(prefix, after, upto) if row[0] <= self.key]
        if before and before[-1][0] == self.key and self.happens:
            self.happens.pop()()
            return [*before, *self.inner.scan(prefix, self.key, upto)]
        return self.inner.scan(prefix, after, upto)

    def transact(self, writes: Sequence[Write]) -> None:
        self.inner.transact(writes)


def test_a_cut_with_a_retry_holds_the_entries_of_its_letters(world: World) -> None:
    """The head of lane 0 is read; then a letter comes and is retried; then the head of the retries is read."""
    retried(world, "x")

    def happen() -> None:
        put(world, 0, "a", 5, letters=2)
        retried(world, "y", "z", entry=(0, 4))

    found = reading.read_beyond(Between(world.inner, rows.lane_key(0), [happen]), NOTHING)
    assert found.seam.covers(0, 4)
    manifests = read_manifests(world.store, found.after(NOTHING))
    assert sum(m.counts.letters for m in manifests) == 2 + 2 - 3


# ------------------------------------------------------------------------------------------------- one at a time


def test_who_looked_before_another_retry_began_cannot_begin(world: World) -> None:
    for _ in range(2):  # without a lane of retries, and with one
        standing = stand(world.inner, "clicks")
        retried(world, "x")
        with pytest.raises(LaneLost, match="another retry of clicks"):
            RetryLane.open(context(world), "clicks", standing)


def test_who_was_followed_by_another_retry_cannot_commit(world: World) -> None:
    first = opened(world)
    retried(world, "x", committer=first)
    opened(world)
    with pytest.raises(LaneLost):
        retried(world, "y", committer=first)


def test_a_fence_stops_no_retry(world: World) -> None:
    committer = opened(world)
    RetryLane(context(world), reading.read_head(world.inner, LANE)).fence()
    assert retried(world, "x", committer=committer).counts.rows == 1


def test_a_retry_that_died_after_any_transaction_is_followed(world: World) -> None:
    """It made the lane; it became its owner; it took its shard in."""
    made = (*operations.grow(stand(world.inner, "clicks").registry, "dlq/clicks"),)
    world.inner.transact([*made, operations.discover("dlq/clicks", "dlq/clicks", ())])
    standing = stand(world.inner, "clicks")
    assert standing.head is not None
    RetryLane.take(context(world), LANE, "dead", "dlq/clicks", expected=standing.head)
    assert opened(world).lane.position("dlq/clicks") == "-"
    assert retried(world, "x").ranges[0].after == "-"
    assert stand(world.inner, "other").head is None


@dataclass(slots=True)
class Unheard:
    """A journal whose first transaction is done, and nothing is heard of it."""

    inner: Journal
    is_heard: bool = False

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return self.inner.get(keys)

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        return self.inner.scan(prefix, after, upto)

    def transact(self, writes: Sequence[Write]) -> None:
        self.inner.transact(writes)
        if not self.is_heard:
            self.is_heard = True
            raise OutcomeUnknown("nothing was heard")


def test_the_lane_is_made_once_also_if_nothing_is_heard_of_it(world: World) -> None:
    assert opened(world, Unheard(world.inner)).lane.head.lane == LANE
    assert len(reading.read_heads(world.inner)) == LANE + 1


def test_the_lane_is_made_beside_one_that_a_worker_adds_at_that_moment(world: World) -> None:
    def grow() -> None:
        registry = reading.read_registry(world.inner)
        assert registry is not None
        world.inner.transact(operations.grow(registry))

    journal = Between(world.inner, rows.lane_key(1), [grow])
    lane = RetryLane.open(context(world, journal), "clicks", stand(world.inner, "clicks"))
    assert (lane.head.lane, lane.head.source) == (LANE + 1, "dlq/clicks")
    assert reading.read_head(world.inner, LANE).source == ""


# ------------------------------------------------------------------------------------------------------- workers


@dataclass(slots=True)
class Told:
    """What a worker said."""

    taken: int = -1

    def took(self, lane: int, owner: str, shards: int) -> None:
        del owner, shards
        self.taken = lane

    def moved(self, moves: Moves) -> None:
        del moves

    def found(self, shards: int) -> None:
        del shards


def worker(world: World, clock: ManualClock, few: Limits) -> Worker:
    def committer(lane: Lane, pulse: Callable[[], None]) -> Committer:
        return Committer(lane, world.store, SCHEMA, [], ENGINE, few, pulse)

    def listing(*, founding: bool = False) -> Listing:
        del founding
        return {}

    made = replace(context(world), clock=clock, limits=few)
    return Worker(made, "clicks", listing, committer, Told())


def test_workers_take_neither_the_lane_nor_its_shard_and_count_it_for_nothing(world: World) -> None:
    world.inner.transact([Write(rows.source_key("clicks"), None, rows.encode(SourceRow("clicks", {})))])
    retried(world, "x")  # its owner is not there any more, and has no heartbeat
    before = stand(world.inner, "clicks").head
    clock, few = ManualClock(), limits(lanes_max=2)
    homes = []
    for _ in range(2):
        one = worker(world, clock, few)
        lane = one.claim()
        assert lane is not None
        homes.append(lane.head.lane)
        clock.advance(limits().worker_expiry_s + 1)
        moves = one.attend(lane)
        assert "dlq/clicks" not in (*moves.adopt, *moves.release)
    assert set(homes) <= {0, 1}
    assert stand(world.inner, "clicks").head == before


# ---------------------------------------------------------------------------------------------------- duplicates


def flags(world: World, manifest: Manifest) -> list[object]:
    return [row["_duplicate"] for row in table(world, manifest, "segment")]


def test_what_the_source_has_counted_meanwhile_is_a_duplicate(world: World) -> None:
    put(world, 1, "b", 1, ids=["b0"])
    made = retried(world, "a3", "x", "b0", None, None)
    assert flags(world, made) == [True, False, True, False, False]
    assert made.counts.duplicates == 2


def test_of_letters_with_one_id_the_first_counts(world: World) -> None:
    assert flags(world, retried(world, "x", "y", "x")) == [False, False, True]
    assert flags(world, retried(world, "z", "y")) == [False, True]


@pytest.mark.parametrize("leaves", ["released", "ended"])
def test_what_a_shard_took_along_is_known_too(leaves: str, world: World) -> None:
    """A lane whose logs were folded without the shard that left it; the shard is free, or its child is."""
    if leaves == "released":
        world.now[0].committer.release("a")
    else:
        put(world, 0, "a", 9, ids=["a9"], upto=END)
        world.discover("c")
    world.now[1].committer.release("b")
    world.limits = limits(id_logs_max=1)
    world.take(0)
    world.now[0].committer.adopt("b")
    put(world, 0, "b", 1, ids=["b0"])
    put(world, 0, "b", 2, ids=["b1"])
    assert flags(world, retried(world, "a3", "b0", "x")) == [True, True, False]


def test_copies_that_come_later_are_counted_by_their_own_shard(world: World) -> None:
    retried(world, "x")
    put(world, 1, "b", 1, ids=["x"])
    manifests = read_manifests(world.store, reading.read_beyond(world.inner, NOTHING).after(NOTHING))
    assert [m.counts.duplicates for m in manifests] == [0, 0, 0]
