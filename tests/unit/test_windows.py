"""Sets of windows against plain sets: exact below the limit of runs, never too small above it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.windows import ALL, NO_WINDOWS, Windows, shared

WIDTH = 300
STARTS = st.sets(st.integers(-40, 40).map(lambda n: n * WIDTH))
UNIVERSE = range(-50 * WIDTH, 50 * WIDTH, WIDTH)


def windows(starts: set[int], runs_max: int | None = None) -> Windows:
    return Windows.of(starts, WIDTH, runs_max)


def members(found: Windows) -> set[int]:
    return {start for start in UNIVERSE if found.contains(start)}


@given(st.lists(st.sampled_from(UNIVERSE)))
def test_a_set_of_windows_holds_its_starts_and_no_others(starts: list[int]) -> None:
    found = Windows.of(starts, WIDTH)
    assert members(found) == set(starts)
    assert found.count == len(set(starts))


@given(STARTS)
def test_runs_are_as_few_as_can_be(starts: set[int]) -> None:
    assert len(windows(starts).runs) == sum(start - WIDTH not in starts for start in starts)


@given(STARTS, st.integers(1, 8))
def test_joining_the_nearest_runs_only_adds(starts: set[int], runs_max: int) -> None:
    exact, limited = windows(starts), windows(starts, runs_max)
    assert members(limited) >= starts
    assert len(limited.runs) == min(runs_max, len(exact.runs))
    kept = sorted(b[0] - a[1] for a, b in zip(limited.runs, limited.runs[1:], strict=False))
    gaps = sorted(b[0] - a[1] for a, b in zip(exact.runs, exact.runs[1:], strict=False))
    assert kept == gaps[len(gaps) - len(kept) :]


@given(STARTS, STARTS)
def test_union_and_intersection_are_those_of_sets(one: set[int], two: set[int]) -> None:
    assert members(windows(one).union(windows(two))) == one | two
    assert members(windows(one).intersection(windows(two))) == one & two
    assert windows(one).intersects(windows(two)) == bool(one & two)
    assert members(windows(one).union(windows(two), 2)) >= one | two


@given(STARTS, STARTS)
def test_within_is_being_a_subset(one: set[int], two: set[int]) -> None:
    assert windows(one).within(windows(two)) == (one <= two)


@given(st.lists(STARTS, max_size=6))
def test_shared_are_the_windows_of_at_least_two_parts(parts: list[set[int]]) -> None:
    expected = {start for start in UNIVERSE if sum(start in part for part in parts) >= 2}
    found = shared([windows(part) for part in parts])
    assert found is not ALL
    assert members(found) == expected
    assert found == NO_WINDOWS or found == windows(expected)


@given(st.lists(STARTS, max_size=6), st.integers(1, 3))
def test_shared_misses_nothing_when_runs_were_joined(parts: list[set[int]], runs_max: int) -> None:
    expected = {start for start in UNIVERSE if sum(start in part for part in parts) >= 2}
    found = shared([windows(part, runs_max) for part in parts])
    assert found is not ALL
    assert members(found) >= expected


@given(st.lists(st.tuples(STARTS, st.integers(0, WIDTH - 1)), min_size=2, max_size=4))
def test_shared_misses_nothing_when_phases_differ(parts: list[tuple[set[int], int]]) -> None:
    phased = [{start + phase for start in starts} for starts, phase in parts]
    found = shared([windows(part) for part in phased])
    assert found is not ALL
    for start in set().union(*phased):
        assert found.contains(start) or sum(start in part for part in phased) < 2


def test_an_unknown_part_shares_with_every_other_but_not_with_itself() -> None:
    assert shared([None, windows({0})]) is ALL
    assert shared([None, None]) is ALL
    assert shared([None]) == NO_WINDOWS
    assert shared([]) == NO_WINDOWS


def test_windows_of_two_widths_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="one width"):
        shared([Windows.of([0], 60), Windows.of([0], 300)])
    with pytest.raises(ValueError, match="one width"):
        Windows.of([0], 60).union(Windows.of([0], 300))


@pytest.mark.parametrize("runs", [((5, 0),), ((0, 10), (10, 20)), ((10, 20), (0, 5))])
def test_runs_that_are_not_sorted_and_disjoint_are_refused(runs: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="sorted and disjoint"):
        Windows(5, runs)
    with pytest.raises(msgspec.ValidationError, match="sorted and disjoint"):
        msgspec.json.decode(msgspec.json.encode({"width_us": 5, "runs": runs}), type=Windows)


@given(STARTS)
def test_windows_come_back_from_json(starts: set[int]) -> None:
    found = windows(starts)
    text = msgspec.json.encode(found)
    assert msgspec.json.decode(text, type=Windows) == found
    assert text.startswith(b'{"width_us":300,"runs":[')
