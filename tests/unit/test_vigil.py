"""Who is alive, as one observer sees it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.journal.rows import Head, ObjectRef, WorkerRow
from streams.vigil import Vigil

EXPIRY_S = 10.0


def head(lane: int, owner: str, n: int = 1, state: str = "a") -> Head:
    return Head(lane, n, f"commit-{n}", owner, "s", ObjectRef(state, 1, state))


def beats(**of: int) -> dict[str, WorkerRow]:
    return {name: WorkerRow(name, beat) for name, beat in of.items()}


def test_death_comes_with_the_expiry_and_not_before() -> None:
    vigil, heads = Vigil(EXPIRY_S), {0: head(0, "w")}
    vigil.look(100.0, heads, beats(w=1))
    vigil.look(109.9, heads, beats(w=1))
    assert not vigil.is_dead("w", 109.9, beats(w=1))
    assert vigil.is_dead("w", 110.0, beats(w=1))


def test_an_observer_that_slept_does_not_count_the_time() -> None:
    vigil, heads = Vigil(EXPIRY_S), {0: head(0, "w")}
    vigil.look(100.0, heads, beats(w=1))
    vigil.look(1_000.0, heads, beats(w=2))
    assert not vigil.is_dead("w", 1_000.0, beats(w=2))
    assert vigil.is_dead("w", 1_010.0, beats(w=2))


@pytest.mark.parametrize("n", [2, 1])
@pytest.mark.parametrize(("beat", "state", "is_dead"), [(1, "a", True), (2, "a", False), (1, "b", False)])
def test_a_beat_or_another_state_is_a_sign_and_a_number_is_none(n: int, beat: int, state: str, is_dead: bool) -> None:
    vigil = Vigil(EXPIRY_S)
    vigil.look(0.0, {0: head(0, "w")}, beats(w=1))
    vigil.look(10.0, {0: head(0, "w", n, state)}, beats(w=beat))
    assert vigil.is_dead("w", 10.0, beats(w=beat)) is is_dead


def test_any_lane_of_an_owner_shows_that_it_lives() -> None:
    vigil, first = Vigil(EXPIRY_S), {0: head(0, "w"), 1: head(1, "w"), 2: head(2, "v")}
    vigil.look(0.0, first, beats(w=1, v=1))
    vigil.look(10.0, first | {1: head(1, "w", 2, "b")}, beats(w=1, v=1))
    assert [vigil.is_dead(name, 10.0, beats(w=1, v=1)) for name in "wv"] == [False, True]


def test_another_lane_in_its_hands_is_a_sign() -> None:
    vigil = Vigil(EXPIRY_S)
    vigil.look(0.0, {0: head(0, "w"), 1: head(1, "")}, beats(w=1))
    vigil.look(10.0, {0: head(0, "w"), 1: head(1, "w")}, beats(w=1))
    assert not vigil.is_dead("w", 10.0, beats(w=1))


def test_who_moved_lately_is_alive_and_what_was_there_at_the_first_look_tells_nothing() -> None:
    vigil, heads = Vigil(EXPIRY_S), {0: head(0, "w"), 1: head(1, "v")}
    for at_s, beat, alive in ((100.0, 1, ""), (101.0, 2, "w"), (102.0, 2, "w"), (103.5, 2, ""), (104.0, 3, "w")):
        vigil.look(at_s, heads, beats(w=beat, v=1))
        assert "".join(name for name in "wvx" if vigil.is_alive(name, at_s, 2.0)) == alive
    vigil.look(105.0, heads | {2: head(2, "x")}, beats(w=4, v=1, x=1))
    assert [vigil.is_alive(name, 105.0, 2.0) for name in "wvx"] == [True, False, True]


def test_an_owner_without_a_heartbeat_is_dead_at_once() -> None:
    vigil = Vigil(EXPIRY_S)
    vigil.look(0.0, {0: head(0, "w")}, {})
    assert vigil.is_dead("w", 0.0, {})
    assert vigil.is_dead("never seen", 0.0, {})


def test_who_comes_back_after_it_was_gone_is_new() -> None:
    vigil, heads = Vigil(EXPIRY_S), {0: head(0, "w")}
    vigil.look(0.0, heads, beats(w=1))
    vigil.look(5.0, {0: head(0, "")}, beats(w=1))
    vigil.look(10.0, heads, beats(w=1))
    assert not vigil.is_dead("w", 10.0, beats(w=1))


steps = st.lists(st.tuples(st.floats(0.1, 15.0), st.booleans(), st.booleans(), st.booleans()), max_size=12)


@given(steps)
def test_an_owner_is_dead_iff_no_look_showed_a_move_for_so_long(drawn: list[tuple[float, bool, bool, bool]]) -> None:
    vigil, now_s, n, beat, state = Vigil(EXPIRY_S), 0.0, 1, 1, 1
    vigil.look(now_s, {0: head(0, "w", n, str(state))}, beats(w=beat))
    moved_s = now_s
    for pause_s, beats_now, commits, fenced in drawn:
        now_s += pause_s
        beat, state, n = beat + beats_now, state + commits, n + commits + fenced
        vigil.look(now_s, {0: head(0, "w", n, str(state))}, beats(w=beat))
        moved_s = now_s if beats_now or commits else moved_s
        assert vigil.is_dead("w", now_s, beats(w=beat)) is (now_s - moved_s >= EXPIRY_S)
