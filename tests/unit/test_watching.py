"""Watching: again and again until Ctrl-C, through what passes, and in place on a terminal."""

import io
import json
import sys
from collections.abc import Sequence

import pytest

from shardlake.app import watching
from shardlake.app.exits import DUCKDB_INTERRUPTED
from shardlake.core.errors import Conflict, Missing, QueryRefused, ShardlakeError


class Clock:
    """Waits for nothing, and is interrupted after some waits."""

    def __init__(self, waits: int, error: BaseException | None = None) -> None:
        self.waited: list[float] = []
        self._left, self._error = waits, error or KeyboardInterrupt()

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0

    def sleep_s(self, seconds: float) -> None:
        self.waited.append(seconds)
        self._left -= 1
        if not self._left:
            raise self._error


class Looks:
    """Gives answers or raises errors, one after the other."""

    def __init__(self, *found: list[str] | ShardlakeError) -> None:
        self._found = list(found)

    def __call__(self) -> list[str]:
        found = self._found.pop(0)
        if isinstance(found, ShardlakeError):
            raise found
        return found


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_goes_on_until_ctrl_c_which_ends_well() -> None:
    shown: list[Sequence[str]] = []
    clock = Clock(3)
    assert watching.watch(Looks(["1"], ["2"], ["3"]), shown.append, 7, clock) == 0
    assert (shown, clock.waited) == ([["1"], ["2"], ["3"]], [7, 7, 7])


def test_ctrl_c_within_the_engine_ends_it_too_and_other_faults_do_not() -> None:
    interrupted, fault = RuntimeError(DUCKDB_INTERRUPTED), RuntimeError("else")
    assert watching.watch(Looks(["1"]), lambda _: None, 1, Clock(1, interrupted)) == 0
    with pytest.raises(RuntimeError, match="else"):
        watching.watch(Looks(["1"]), lambda _: None, 1, Clock(1, fault))


def test_what_passes_is_shown_and_survived() -> None:
    shown: list[Sequence[str]] = []
    watching.watch(Looks(Missing("gone\x1b"), ["2"], Conflict("first")), shown.append, 1, Clock(3))
    assert shown == [["gone\\x1b; asking again"], ["2"], ["first; asking again"]]


def test_on_a_terminal_the_last_answer_stays_above_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    shown: list[Sequence[str]] = []
    watching.watch(Looks(["1"], Missing("gone"), Missing("gone"), ["2"]), shown.append, 1, Clock(4))
    assert shown == [["1"], ["1", "gone; asking again"], ["1", "gone; asking again"], ["2"]]


def test_what_does_not_pass_ends_it() -> None:
    with pytest.raises(QueryRefused):
        watching.watch(Looks(["1"], QueryRefused("no")), lambda _: None, 1, Clock(3))


def test_answers_are_lines_of_json_and_so_are_failures(capsys: pytest.CaptureFixture[str]) -> None:
    watching.watch_lines(Looks(["1"], Missing("gone")), 1, Clock(2))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        ["1"],
        {"error": "Missing", "message": "gone"},
    ]


def test_elsewhere_answers_stand_below_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    with watching.screen() as show:
        show(["a", "b"])
        show(["c"])
    assert capsys.readouterr().out == "a\nb\n\nc\n\n"


def test_on_a_terminal_answers_are_drawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with watching.screen() as show:
        assert sys.stdout is terminal
        show(["first", "line"])
        show(["second", "x" * 90])
    written = terminal.getvalue()
    assert written.index("first") < written.index("\x1b[1A") < written.index("second")
    assert "x" * 41 not in written
