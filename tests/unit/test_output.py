"""Tables as they are read: on a terminal that is wide enough, on one that is not, and where there is none."""

import sys
from collections.abc import Callable, Sequence

import click
import pytest

from shardlake.app.output import RECORDS_MAX, Row, plain_table, show_table
from shardlake.app.text import complaint

COLUMNS = ("viewer", "score", "reasons")
REASONS = "; ".join(["+30 no assets in 720 pages"] * 6)
ROWS = [("10.0.0.1", 85, REASONS), ("10.0.0.2", None, "a\x1b[2Jb")]

Shown = Callable[..., list[str]]


@pytest.fixture(name="shown")
def _shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    """Give the lines of a table on a terminal of so many columns."""
    monkeypatch.setenv("TERM", "xterm")

    def show(width: int, columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
        show_table(columns, rows)
        return [line.rstrip() for line in click.unstyle(capsys.readouterr().out).splitlines()]

    return show


def test_a_few_rows_that_are_too_wide_have_a_line_for_each_column(shown: Shown) -> None:
    lines = shown(80, COLUMNS, ROWS)
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("1 of 2 ─")
    assert lines[1:3] == ["viewer   10.0.0.1", "score    85"]
    assert lines[3].startswith("reasons  +30 no assets in 720 pages; +30")
    assert lines[4].startswith(" " * 9)
    assert lines[-3:] == ["viewer   10.0.0.2", "score    NULL", "reasons  a\\x1b[2Jb"]


def test_what_fits_is_a_table(shown: Shown) -> None:
    lines = shown(200, COLUMNS, ROWS)
    assert lines[1].split() == ["viewer", "score", "reasons"]
    assert shown(80, COLUMNS, ROWS[1:])[1].split() == ["viewer", "score", "reasons"]


def test_many_rows_that_are_too_wide_stay_a_table(shown: Shown) -> None:
    lines = shown(80, COLUMNS, ROWS[:1] * (RECORDS_MAX + 1))
    assert lines[1].split() == ["viewer", "score", "reasons"]
    assert shown(80, COLUMNS, ROWS[:1] * RECORDS_MAX)[0].startswith("1 of 48")


def test_one_wide_column_is_folded(shown: Shown) -> None:
    lines = shown(40, ("reasons",), [(REASONS,)])
    assert lines[1].strip() == "reasons"
    assert max(map(len, lines)) <= 40


def test_elsewhere_lines_are_as_long_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == f"10.0.0.1     85  {REASONS}"
    assert len(lines) == 4


def test_a_column_that_data_named_steers_no_terminal(shown: Shown) -> None:
    assert plain_table(("a\x1b[2J",), [(1,)])[0] == "a\\x1b[2J"
    assert shown(80, ("a\x1b[2J",), [(1,)])[1].strip() == "a\\x1b[2J"


# ---------------------------------------------------------------------------------------------------- messages

FAILED = 'no column "vewer"!\n\nLINE 1: SELECT\tviewer, requests, viewer + requests AS both, vewer FROM viewers'
CARET = " " * FAILED.partition("LINE")[2].index("vewer FROM") + "   ^^^^^"


def test_a_caret_points_at_what_it_is_about_however_narrow_the_terminal() -> None:
    for width in (None, 200, 80, 60, 40, 24):
        *above, line, caret = complaint(f"{FAILED}\n{CARET}", width).split("\n")
        assert above == ['no column "vewer"!', ""]
        assert line[caret.index("^") :].startswith("vewer"[: caret.count("^")])
        assert "^" in caret
        assert width is None or max(map(len, (line, caret))) <= width


def test_lines_of_a_message_stay_lines_and_nothing_else_reaches_the_terminal() -> None:
    assert complaint("a\n\x1b[2Jb\rc", 3) == "a\n\\x1b[2Jb\\rc"
    assert complaint("one line", 3) == "one line"
    for text in ("a long line\n^ is no caret", "a long line\n(x)^2 is none", "a name^1, alone"):
        assert complaint(text, 4) == text
