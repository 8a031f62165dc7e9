"""Ranges tile each shard, whatever lane they are in: a hole, an overlap or a child that came too early is an error."""

from itertools import permutations

import pytest

from shardlake.core.chain import advance
from shardlake.core.errors import Corrupt
from shardlake.core.journal.objects import Counts, Manifest, Positions, RangeRow
from shardlake.core.positions import Position

NOTHING = Positions()


def at(n: int) -> str:
    return Position(n).encode()


def entry(
    *ranges: tuple[str, str, str],
    lane: int = 0,
    n: int = 1,
    parents: dict[str, tuple[str, ...]] | None = None,
    kind: str = "data",
) -> Manifest:
    rows = tuple(RangeRow(*found, kind) for found in ranges)
    return Manifest(lane, n, "clicks", rows, Counts(10, 2, 1), parents or {}, (n, n + 5))


def test_entries_move_the_positions_on() -> None:
    first = advance(NOTHING, [entry(("a", "-", at(9)), ("b", "-", at(2)))])
    assert first.upto == {"a": at(9), "b": at(2)}
    second = advance(first, [entry(("a", at(9), at(10)), n=7)])
    assert second.upto == {"a": at(10), "b": at(2)}
    assert (second.counts, second.newest_us) == (Counts(20, 4, 2), 12)
    assert advance(second, []) == second


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        ([("a", at(10), at(12))], "missing"),
        ([("a", at(9), at(12)), ("a", at(13), at(14))], "missing"),
        ([("a", at(8), at(12))], "counted twice"),
        ([("a", "-", at(9))], "counted twice"),
        ([("a", at(9), at(12)), ("a", at(11), at(14))], "counted twice"),
        ([("a", at(9), at(12)), ("a", at(9), at(12))], "counted twice"),
        ([("b", at(1), at(2))], "missing"),
        ([("a", at(9), "~"), ("a", at(9), at(10))], "missing|counted twice"),
    ],
    ids=["hole", "hole between", "overlap", "again", "overlap between", "same", "not from its origin", "after the end"],
)
def test_what_does_not_tile_is_an_error(ranges: list[tuple[str, str, str]], told: str) -> None:
    start = Positions({"a": at(9)})
    with pytest.raises(Corrupt, match=rf"shard [ab]: records between .* are ({told})"):
        advance(start, [entry(found, n=i) for i, found in enumerate(ranges)])


def test_positions_are_compared_as_numbers() -> None:
    """Text order of bare digits would put 10 before 9."""
    done = advance(NOTHING, [entry(("a", at(10), at(100)), n=2), entry(("a", "-", at(9))), entry(("a", at(9), at(10)))])
    assert done.upto == {"a": at(100)}


def test_a_shard_may_move_between_lanes_and_back() -> None:
    entries = [
        entry(("a", "-", at(2)), lane=0, n=2),
        entry(("a", at(2), at(5)), lane=1, n=2),
        entry(("a", at(5), at(6)), lane=0, n=5),
        entry(("a", at(6), "~"), lane=1, n=6),
    ]
    assert all(advance(NOTHING, order).upto == {"a": "~"} for order in permutations(entries))
    with pytest.raises(Corrupt, match="missing"):
        advance(NOTHING, [entries[0], *entries[2:]])


def test_empty_ranges_are_part_of_the_chain() -> None:
    empty = entry(("a", at(3), at(3)))
    assert advance(Positions({"a": at(3)}), [empty, entry(("a", at(3), at(4)))]).upto == {"a": at(4)}
    assert advance(NOTHING, [entry(("a", "-", "-"))]).upto == {"a": "-"}
    with pytest.raises(Corrupt, match="twice"):
        advance(Positions({"a": at(4)}), [empty])


@pytest.mark.parametrize("ended", [[], [("p", "-", at(9))], [("p", "-", "~")]], ids=["nothing", "some", "one of two"])
def test_a_child_before_the_end_of_its_parents_is_an_error(ended: list[tuple[str, str, str]]) -> None:
    child = entry(("c", "-", at(1)), parents={"c": ("p", "q")})
    with pytest.raises(Corrupt, match=r"its parent [pq] has not ended"):
        advance(NOTHING, [*(entry(found) for found in ended), child])


def test_a_child_may_come_with_the_end_of_its_parents() -> None:
    child = entry(("c", "-", at(1)), parents={"c": ("p", "q")})
    done = advance(Positions({"p": "~"}), [child, entry(("q", "-", "~"))])
    assert done.upto == {"p": "~", "q": "~", "c": at(1)}
    assert done.parents == {"c": ("p", "q")}


def test_parents_are_checked_beyond_the_seam_too() -> None:
    """What the seam knows of a child holds for the entries beyond that do not name its parents again."""
    start = Positions({"c": "-"}, {"c": ("p",)})
    with pytest.raises(Corrupt, match="its parent p has not ended"):
        advance(start, [entry(("c", "-", at(1)))])


def test_gaps_are_kept() -> None:
    gap = entry(("a", "-", at(3)), kind="gap")
    first = advance(NOTHING, [gap])
    assert advance(first, [entry(("a", at(3), at(4)))]).gaps == (RangeRow("a", "-", at(3), "gap"),)
