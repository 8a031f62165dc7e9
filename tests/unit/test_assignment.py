"""Who should hold which shard: pure, even, quick, and without a shard that goes back and forth."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.journal.rows import ShardRow
from streams.assignment import Moves, adoptable, assign

ROUNDS_MAX = 40


def free(shard: str, *parents: str) -> ShardRow:
    return ShardRow(shard, "s", "free", parents)


def held(shard: str, lane: int, *parents: str) -> ShardRow:
    return ShardRow(shard, "s", "held", parents, lane)


def ended(shard: str, *parents: str) -> ShardRow:
    return ShardRow(shard, "s", "end", parents)


def table(*rows: ShardRow) -> dict[str, ShardRow]:
    return {row.shard: row for row in rows}


@dataclass(slots=True)
class Journal:
    """Shard rows, changed as workers' decisions are carried out: an adoption of what is not free any more fails."""

    shards: dict[str, ShardRow]
    moved: list[tuple[str, str, int]] = field(default_factory=list)

    def apply(self, home: int, moves: Moves) -> None:
        for shard in moves.release:
            if (self.shards[shard].place, self.shards[shard].lane) == ("held", home):
                self.shards[shard] = free(shard, *self.shards[shard].parents)
                self.moved.append(("release", shard, home))
        for shard in moves.adopt:
            if self.shards[shard].place == "free":
                self.shards[shard] = held(shard, home, *self.shards[shard].parents)
                self.moved.append(("adopt", shard, home))

    def counts(self, living: list[int]) -> Counter[int]:
        found = Counter(dict.fromkeys(living, 0))
        found.update(row.lane for row in self.shards.values() if row.place == "held")
        return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[int], dict[str, ShardRow]]:
    """Living home lanes, and shards in any places, of which some may not be read yet."""
    living = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=5)))
    rows: dict[str, ShardRow] = {}
    for index in range(draw(st.integers(0, 24))):
        name = f"shard-{index:02d}"
        parents = draw(st.lists(st.sampled_from(sorted(rows)), max_size=2, unique=True)) if rows else []
        ready = all(rows[p].place == "end" for p in parents)
        place = draw(st.sampled_from(["free", "held", "end"] if ready else ["free"]))
        lane = draw(st.sampled_from(living)) if place == "held" else -1
        rows[name] = ShardRow(name, "s", place, tuple(parents), lane)  # type: ignore[arg-type] # one of the places
    return living, rows


@given(worlds(), st.randoms(use_true_random=False))
def test_in_turn_all_is_held_and_even_within_few_rounds(
    drawn: tuple[list[int], dict[str, ShardRow]], chance: random.Random
) -> None:
    living, rows = drawn
    journal = Journal(dict(rows))
    rounds = settle(journal, living, lambda: chance.sample(living, len(living)), together=False)
    check(journal, living, rows)
    assert rounds <= 2 + len(rows)


@given(worlds())
def test_all_at_once_too_where_each_sees_what_was_before_the_round(
    drawn: tuple[list[int], dict[str, ShardRow]],
) -> None:
    living, rows = drawn
    journal = Journal(dict(rows))
    settle(journal, living, lambda: living, together=True)
    check(journal, living, rows)


def settle(journal: Journal, living: list[int], order: Callable[[], Sequence[int]], *, together: bool) -> int:
    """Let all workers decide and act, until nobody has anything to do; tell how many rounds that took."""
    for done in range(ROUNDS_MAX):
        before = dict(journal.shards)
        acted = False
        for home in order():
            moves = assign(home, living, before if together else journal.shards)
            acted |= bool(moves)
            journal.apply(home, moves)
        if not acted:
            return done
    raise AssertionError(f"no end after {ROUNDS_MAX} rounds: {journal.moved[-8:]}")


def check(journal: Journal, living: list[int], rows: dict[str, ShardRow]) -> None:
    counts = journal.counts(living)
    assert not adoptable(journal.shards), "a shard that may be read is not held"
    assert max(counts.values()) - min(counts.values()) <= 1
    back = [move for move in journal.moved if move[0] == "adopt" and ("release", *move[1:]) in journal.moved]
    assert not back, "a worker took back what it had let go"
    # No more moves than it takes: what lies above a worker's share, and what was free.
    least = len(counts) and sum(counts.values()) // len(counts)
    above = sum(max(0, n - least) for n in Journal(dict(rows)).counts(living).values())
    assert sum(kind == "release" for kind, *_ in journal.moved) <= above
    assert all(journal.shards[s] == row for s, row in rows.items() if row.place == "end")
    unready = {s for s, row in rows.items() if any(rows[p].place != "end" for p in row.parents)}
    assert all(journal.shards[s] == rows[s] for s in unready)


@given(worlds())
def test_it_changes_nothing_and_says_the_same_each_time(drawn: tuple[list[int], dict[str, ShardRow]]) -> None:
    living, rows = drawn
    before = dict(rows)
    backwards = dict(reversed(rows.items()))
    for home in living:
        moves = assign(home, living, rows)
        assert moves == assign(home, living[::-1], backwards)
        assert all(rows[s].place == "free" for s in moves.adopt)
        assert all((rows[s].place, rows[s].lane) == ("held", home) for s in moves.release)
        assert not (moves.adopt and moves.release)
    assert rows == before


@given(worlds())
def test_no_two_workers_that_see_the_same_want_the_same_shard(drawn: tuple[list[int], dict[str, ShardRow]]) -> None:
    living, rows = drawn
    wanted = Counter(shard for home in living for shard in assign(home, living, rows).adopt)
    assert all(count == 1 for count in wanted.values())


def test_what_the_dead_hold_counts_and_is_left_to_them() -> None:
    rows = table(*(held(f"d{i}", 7) for i in range(4)), *(free(f"f{i}") for i in range(4)))
    assert sorted(assign(0, [0, 1], rows).adopt + assign(1, [0, 1], rows).adopt) == ["f0", "f1", "f2", "f3"]
    rows |= table(*(free(f"g{i}") for i in range(9)), *(held(f"h{i}", 1) for i in range(6)))  # of 23, 11 or 12 each
    first, second = (len(assign(lane, [0, 1], rows).adopt) for lane in (0, 1))
    assert first + second == 13 and first <= 12 and second <= 6


def test_one_worker_takes_all_and_keeps_it() -> None:
    rows = table(*(free(f"f{i}") for i in range(5)))
    assert assign(3, [3], rows) == Moves(adopt=("f0", "f1", "f2", "f3", "f4"))
    assert not assign(3, [3], table(*(held(f"f{i}", 3) for i in range(5))))


def test_the_one_with_most_gives_to_a_newcomer_and_does_not_take_it_back() -> None:
    rows = table(*(held(f"f{i}", 0) for i in range(4)))
    assert assign(1, [0, 1], rows) == Moves()
    assert assign(0, [0, 1], rows) == Moves(release=("f2", "f3"))
    rows |= table(free("f2"), free("f3"))
    assert assign(0, [0, 1], rows) == Moves()
    assert assign(1, [0, 1], rows) == Moves(adopt=("f2", "f3"))


def test_of_two_with_most_only_one_gives() -> None:
    rows = table(*(held(f"a{i}", 0) for i in range(3)), *(held(f"b{i}", 1) for i in range(3)), held("c0", 2))
    living = [0, 1, 2]
    assert [bool(assign(home, living, rows).release) for home in living] == [True, False, False]


def test_a_difference_of_one_moves_nothing() -> None:
    rows = table(*(held(f"a{i}", 0) for i in range(3)), *(held(f"b{i}", 1) for i in range(2)))
    assert not assign(0, [0, 1], rows) and not assign(1, [0, 1], rows)


@pytest.mark.parametrize("other", [free("q"), held("q", 0), None])
def test_a_child_waits_for_each_of_its_parents(other: ShardRow | None) -> None:
    rows = table(ended("p"), free("c", "p", "q"), *([other] if other else []))
    assert "c" not in adoptable(rows)
    assert "c" in adoptable(rows | table(ended("q")))


def test_a_hundred_workers_share_a_thousand_shards() -> None:
    living = list(range(100))
    journal = Journal(table(*(held(f"shard-{i:04d}", 0) for i in range(1000))))
    assert settle(journal, living, lambda: living, together=True) <= 3
    assert set(journal.counts(living).values()) == {10}
