"""The law of retries: whatever happens, a letter counts once if a retry of it was acknowledged, and never twice.

Letters come with the commits of two lanes. Retries look, begin and commit in any order, by turns with one another and
with workers and batch runs; answers get lost, transactions land late, lanes are fenced and taken over.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from serving.certificate import certify
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import reading
from shardlake.core.positions import ORIGIN, Position, decode_number
from shardlake.core.seam import NOTHING
from shardlake.testing.plain import EPOCH_US, VIEWS, Click, differences
from shardlake.testing.racing import RacingTables
from shardlake.testing.world import ARROW, SCHEMA, World, count_upto, index_after
from streams.again import Again
from streams.chunk import LETTERS, Chunk, Piece
from streams.lane import LaneContext
from streams.retry import Batch, Counted, RetryCommitter, RetryLane, Standing, is_retry, stand

ENGINE = Engine()
COMPILED = {name: compile_view(name, VIEWS[name].sql, SCHEMA) for name in ("pages", "heavy")}
RETRIES = "dlq/clicks"
Key = tuple[str, str, int]

clicks = st.builds(
    Click,
    minute=st.integers(0, 12),
    seen=st.none(),
    page=st.sampled_from(["/", "/a"]),
    cost=st.integers(-3, 9),
    weight=st.none(),
    click_id=st.one_of(st.none(), st.integers(0, 25).map(str)),
)
numbers = st.integers(0, 5)


def click_of(key: Key) -> Click:
    """What a letter turns out to be: every other one has the same id."""
    index = index_after(Position(decode_number(key[1]))) - 1
    name = f"{key[0]}{index}" if index % 2 else "same"
    return Click(index % 13, None, "/letter", index, None, name)


def with_letters(piece: Piece) -> Piece:
    """Add a letter for each event of a piece: the same one, however often it is read."""
    assert not isinstance(piece.sequence, str)
    rows = [
        {"_shard": piece.range.shard, "_sequence": sequence, "_sub": 1, "_arrival": EPOCH_US, "origin": "o"}
        | {"reason": "too_few_fields", "detail": "", "payload": b"no click"}
        for sequence in piece.sequence.to_pylist()
    ]
    return replace(piece, letters=pa.Table.from_pylist(rows, LETTERS))


def key_of(row: dict[str, Any]) -> Key:
    return row["_shard"], row["_sequence"], row["_sub"]


@dataclass
class Retrier:
    """A retry, from its look on; it knows nothing of what others do."""

    standing: Standing
    letters: list[tuple[dict[str, Any], tuple[int, int]]]
    committer: RetryCommitter | None = None
    acknowledged: list[Key] = field(default_factory=list)


class Retries(RuleBasedStateMachine):
    """The world with letters, and everybody who may retry them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="dlq-"))
        self.retriers: list[Retrier] = []
        self.acknowledged: set[Key] = set()

    @initialize(first=st.lists(clicks, min_size=15, max_size=30), second=st.lists(clicks, max_size=20))
    def begin(self, first: list[Click], second: list[Click]) -> None:
        """Start with two lanes, each with a shard, and some letters."""
        self.world = World.in_memory(self.folder, ENGINE, dict(COMPILED), 2)
        self.world.produced |= {"a": first, "b": second}
        for lane, shard in enumerate(("a", "b")):
            self.world.discover(shard)
            self.world.now[lane].committer.adopt(shard)
        self.commit(0, 12)

    # ------------------------------------------------------------------------------------------------ retries

    @rule()
    def look(self) -> None:
        """Somebody looks which letters are open, to retry them now or later."""
        standing = stand(self.world.inner, "clicks")
        marked = {key_of(row) for row, _ in self.named(is_retry_entry=True)}
        found = [(row, entry) for row, entry in self.named(is_retry_entry=False) if key_of(row) not in marked]
        self.retriers.append(Retrier(standing, found))

    @rule(index=numbers, size=st.integers(1, 6), skipped=numbers)
    def retry(self, index: int, size: int, skipped: int) -> None:
        """One of those who looked retries some of the next letters, but for some that cannot be read."""
        if not self.retriers:
            self.look()
        self.retry_by(self.retriers[index % len(self.retriers)], size, skipped)

    @rule(size=st.integers(1, 6))
    def rivals(self, size: int) -> None:
        """Two see the same letters, and both retry them."""
        self.look()
        self.look()
        for retrier in self.retriers[-2:]:
            self.retry_by(retrier, size, 9)

    def retry_by(self, retrier: Retrier, size: int, skipped: int) -> None:
        taken, retrier.letters = retrier.letters[:size], retrier.letters[size:]
        chosen = [at for at in range(len(taken)) if at % 4 != skipped]
        if not chosen:
            return
        try:
            self.count(retrier, taken, chosen)
        except (Conflict, OutcomeUnknown, Transient):
            self.world.journal.fault = "none"
            self.retriers.remove(retrier)
        else:
            self.acknowledged |= {key_of(taken[at][0]) for at in chosen}

    def count(self, retrier: Retrier, taken: Sequence[Any], chosen: list[int]) -> None:
        world = self.world
        context = LaneContext(world.journal, world.store, world.clock, world.new_id, world.limits)
        if retrier.committer is None:
            lane = RetryLane.open(context, "clicks", retrier.standing)
            retrier.committer = RetryCommitter(lane, world.store, SCHEMA, list(COMPILED.values()), ENGINE, world.limits)
        batch = Batch()
        for row, entry in taken:
            batch.add(pa.Table.from_pylist([row], LETTERS), entry)
        rows = pa.Table.from_pylist([click_of(key_of(taken[at][0])).row() for at in chosen], ARROW)
        counted = Counted(world.inner, world.store, ENGINE, "clicks", "click_id")
        retrier.committer.retry(batch, Again(rows, np.array(chosen, dtype=np.int64), ()), counted)

    @rule(index=numbers)
    def leave(self, index: int) -> None:
        """A retry ends, or believes so."""
        if self.retriers:
            retrier = self.retriers.pop(index % len(self.retriers))
            if retrier.committer is not None:
                self.world.journal.fault = "none"
                with suppress(Conflict):
                    retrier.committer.lane.leave()

    @rule()
    def fence_retries(self) -> None:
        """Somebody fills the next slot of the lane of retries, as who collects objects does."""
        head = stand(self.world.inner, "clicks").head
        if head is not None:
            context = LaneContext(
                self.world.inner, self.world.store, self.world.clock, self.world.new_id, self.world.limits
            )
            RetryLane(context, head).fence()

    # -------------------------------------------------------------------------------------------- all the others

    @rule(lane=st.integers(0, 1), size=st.integers(1, 15), events=st.lists(clicks, max_size=9))
    def flow(self, lane: int, size: int, events: list[Click]) -> None:
        """Events and letters come."""
        self.world.produced["ab"[lane]].extend(events)
        self.commit(lane, size)

    def commit(self, lane: int, size: int) -> None:
        worker = self.world.now[lane]
        chunk = Chunk(self.world.limits)
        for piece in self.world.chunk(worker, dict.fromkeys(worker.committer.lane.state.shards, size)).pieces:
            chunk.add(with_letters(piece), 0.0)
        if chunk.pieces:
            self.world.attempt(worker, lambda committer: committer.commit(chunk))

    @rule(lane=st.integers(0, 1))
    def take_over(self, lane: int) -> None:
        """A worker is replaced."""
        self.world.take(lane)

    @rule(fault=st.sampled_from(["lost", "late", "busy", "gone"]))
    def disturb(self, fault: Any) -> None:
        """Something will go wrong with the next transaction."""
        self.world.journal.fault = fault

    @rule(index=numbers)
    def land(self, index: int) -> None:
        """A transaction that was given up arrives after all."""
        if self.world.journal.in_flight:
            self.world.journal.land(index % len(self.world.journal.in_flight))

    @rule()
    def batch(self) -> None:
        """Run the batch layer."""
        self.world.batch()

    @rule(commit=st.integers(1, 3))
    def batches_race(self, commit: int) -> None:
        """A second batch run comes between the first one's reading and its commit."""
        self.world.batch(RacingTables(self.world.tables, self.world.batch, commit=commit))

    # ----------------------------------------------------------------------------------------------------- the law

    @rule()
    def answer(self) -> None:
        """Answer, and compare with the plain evaluation over the cut's events and retried letters."""
        made = self.world.plan()
        certificate = certify(made)
        for name, found in self.world.answers(made).items():
            upto = made.views[name].positions.upto
            covered = [*self.world.covered(upto), *self.retried_upto(upto)]
            assert not (told := differences(VIEWS[name], covered, found)), f"{name}: {told}"
        there = sum(self.letters_upto(shard, certificate.positions) for shard in ("a", "b"))
        gone = len(list(self.markers_upto(certificate.positions)))
        assert certificate.letters == there - gone >= 0

    def letters_upto(self, shard: str, upto: Any) -> int:
        return count_upto(upto.get(shard, "-"), len(self.world.produced[shard]))

    def markers_upto(self, upto: Any) -> list[Key]:
        """The retried letters of a cut, in the order of their positions."""
        at = Position.decode(upto.get(RETRIES, "-"))
        named = {row["detail"]: key_of(row) for row, _ in self.named(is_retry_entry=True)}
        count = 0 if at == ORIGIN else at.sequence
        return [named[f"{RETRIES}:{number}:0"] for number in range(1, count + 1)]

    def retried_upto(self, upto: Any) -> list[Click]:
        seen: dict[str | None, Click] = {}
        for key in self.markers_upto(upto):
            seen.setdefault(click_of(key).click_id, click_of(key))
        return list(seen.values())

    def named(self, *, is_retry_entry: bool) -> list[tuple[dict[str, Any], tuple[int, int]]]:
        """The rows of all objects of letters, or of markers, with their entries."""
        world = self.world
        found = []
        for manifest in read_manifests(world.store, reading.read_beyond(world.inner, NOTHING).after(NOTHING)):
            if manifest.letters is not None and is_retry(manifest) == is_retry_entry:
                table = pq.read_table(world.store.path(manifest.letters)).cast(LETTERS)
                found += [(row, (manifest.lane, manifest.n)) for row in table.to_pylist()]
        return found

    def teardown(self) -> None:
        """At the end no letter was counted twice, and none that was acknowledged is missing."""
        if hasattr(self, "world"):
            self.answer()
            marked = Counter(key_of(row) for row, _ in self.named(is_retry_entry=True))
            assert set(marked.values()) <= {1}
            assert self.acknowledged <= marked.keys()
            assert marked.keys() <= {key_of(row) for row, _ in self.named(is_retry_entry=False)}
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.parametrize("number", range(2))
def test_a_letter_counts_once_whoever_retries_it_and_whatever_fails(number: int) -> None:
    checks = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a failure is printed as it was found
    )
    run_state_machine_as_test(seed(number)(Retries), settings=checks)
