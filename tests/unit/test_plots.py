"""Answers are drawn: values over time as lines, names with values as bars, and nothing in a value steers a terminal."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import click
import pytest
from rich.cells import cell_len

from shardlake.app.plotting.bars import Bars, _above, draw
from shardlake.app.plotting.clockmarks import marks
from shardlake.app.plotting.paper import Paper
from shardlake.app.plotting.plots import Wish, plot
from shardlake.app.plotting.units import humanised, tick_labels, ticks, unit_of
from shardlake.app.times import AS_STORED, Zone, zone

NOON = datetime(2026, 3, 1, 12)
PAPER = Paper(80, 22)
ASCII = Paper(80, 22, wide_characters=False)


def minutes(count: int) -> list[datetime]:
    return [NOON + timedelta(minutes=n) for n in range(count)]


def drawn(
    columns: str, rows: Sequence[Sequence[Any]], paper: Paper = PAPER, zone: Zone = AS_STORED, **wish: Any
) -> list[str]:
    lines = plot(columns.split(), rows, paper, zone, Wish(**wish))
    assert max(map(cell_len, lines)) <= paper.width
    assert "".join(lines).isprintable() or paper.colours
    return lines


def refused(columns: str, *rows: Sequence[Any], **wish: Any) -> str:
    with pytest.raises(click.UsageError) as caught:
        drawn(columns, rows, **wish)
    return caught.value.message


def canvas(lines: Sequence[str]) -> list[str]:
    """The inside of a plot, row by row from the top."""
    return [line.partition("┤" if "┤" in line else "│")[2] for line in lines if "┤" in line or "│" in line]


def columns_drawn(lines: Sequence[str]) -> set[int]:
    return {column for row in canvas(lines) for column, character in enumerate(row) if character != " "}


# -------------------------------------------------------------------------------------------------------- lines


def test_values_over_time_are_a_line_with_humanised_axes_in_24_lines() -> None:
    lines = drawn("bucket bytes", [(at, 1_000_000 * n) for n, at in enumerate(minutes(60))])
    assert lines[0] == "bytes by bucket (UTC)"
    assert len(lines) == PAPER.height
    assert lines[1].startswith("60 MB ┤")
    assert [line.partition("┤")[0].strip() for line in lines if "┤" in line] == [
        "60 MB", "50 MB", "40 MB", "30 MB", "20 MB", "10 MB", "0",
    ]  # fmt: skip
    assert lines[-2].split() == ["12:00", "12:10", "12:20", "12:30", "12:40", "12:50"]
    assert lines[-1].strip() == "2026-03-01"
    rising = [min(row for row, text in enumerate(canvas(lines)) if text[c : c + 1].strip()) for c in range(72)]
    assert rising == sorted(rising, reverse=True)


def test_each_name_is_a_line_the_greatest_first_and_what_is_beyond_eight_is_summed() -> None:
    rows = [(at, f"E{n:02}", 10 * n) for at in minutes(5) for n in range(1, 13)]
    legend = " ".join(drawn("bucket edge n", rows)[1:4]).split()
    assert legend == [
        "a", "E12", "b", "E11", "c", "E10", "d", "E09", "e", "E08", "f", "E07", "g", "E06", "h", "E05",
        "i", "4", "others,", "summed",
    ]  # fmt: skip
    lines = drawn("bucket edge n", rows, ASCII)
    # 10 + 20 + 30 + 40 at each time is where the third is: both letters are seen.
    assert next(set(line[5:]) for line in lines if line.startswith("100 +")) == {"c", "i"}


def test_nine_names_are_nine_lines_and_ten_are_eight_and_a_sum() -> None:
    rows = [(at, f"E{n}", n) for n in range(10) for at in minutes(2)]
    assert "others" not in "".join(drawn("bucket edge n", rows[:18]))
    assert "2 others, summed" in "".join(drawn("bucket edge n", rows))


def test_lines_bear_letters_and_colours_only_where_colours_are_shown() -> None:
    rows = [(at, name, value) for at in minutes(90) for name, value in (("up", 9), ("low", 3))]
    plain = drawn("bucket edge n", rows)
    assert plain[1].split() == ["a", "up", "b", "low"]
    assert any("a" in row for row in canvas(plain)) and any("b" in row for row in canvas(plain))
    painted = plot(["bucket", "edge", "n"], rows, Paper(80, 22, colours=True), AS_STORED, Wish())
    assert "\x1b[36m" in "".join(painted)
    assert [click.unstyle(line) for line in painted] == plain


def test_without_braille_lines_are_letters_and_a_lone_line_is_stars() -> None:
    rows = [(at, name, value) for at in minutes(90) for name, value in (("up", 9), ("low", 3))]
    several = "\n".join(drawn("bucket edge n", rows, ASCII))
    assert several.isascii() and "aaaaaaaa" in several and "bbbbbbbb" in several
    lone = "\n".join(drawn("bucket n", [(at, 1) for at in minutes(9)], ASCII))
    assert lone.isascii() and "********" in lone


@pytest.mark.parametrize("hole", [None, math.nan, math.inf, "missing"])
def test_a_line_breaks_where_nothing_is_known(hole: Any) -> None:
    rows = [(at, 7) for at in minutes(30)]
    whole = columns_drawn(drawn("bucket n", rows))
    rows[15:18] = [(at, hole) for at, _ in rows[15:18]] if hole != "missing" else []
    broken = columns_drawn(drawn("bucket n", rows))
    assert (min(whole), max(whole)) == (0, 76)  # the first and the last column of the paper
    assert whole - broken >= set(range(39, 45))


def test_values_that_stand_alone_are_seen_also_at_the_edges() -> None:
    lines = drawn("bucket n", list(zip(minutes(5), (8, None, 0, None, 8), strict=True)))
    assert {0, 38, 76} <= columns_drawn(lines)
    assert canvas(lines)[0].strip() and canvas(lines)[-1].strip("─ ")


def test_times_that_are_no_buckets_are_joined() -> None:
    rows = [(NOON + timedelta(seconds=at), 7) for at in (0, 1, 700, 3600)]
    assert len(columns_drawn(drawn("at n", rows))) >= 74


@pytest.mark.parametrize(
    "values",
    [
        [5],
        [0],
        [0, 0, 0],
        [-5, -7, -6],
        [1e-9, 2e-9],
        [Decimal("1.5"), Decimal(2)],
        [10**30, 1],
        [9e299, -9e299],
        [1e-320, 3],
    ],
)
def test_any_values_are_drawn(values: list[Any]) -> None:
    lines = drawn("bucket n", list(zip(minutes(len(values)), values, strict=True)))
    assert columns_drawn(lines)
    assert len(lines) == PAPER.height


def test_negative_values_hang_below_zero() -> None:
    lines = drawn("bucket n", [(at, -n) for n, at in enumerate(minutes(30))])
    assert lines[1].startswith("  0 ┤")
    assert "-30 ┤" in lines[-4]


def test_ten_thousand_rows_are_drawn() -> None:
    rows = [(at, f"name {n % 50}", n) for n, at in enumerate(minutes(10_000))]
    assert len(drawn("bucket name n", rows)) == PAPER.height
    assert len(drawn("name n", [(f"name {n}", n) for n in range(10_000)])) == 22


def test_several_numbers_of_one_unit_are_lines_by_their_names() -> None:
    lines = drawn("bucket in_bytes out_bytes", [(at, 1000, 2000) for at in minutes(3)])
    assert lines[0] == "in_bytes, out_bytes by bucket (UTC)"
    assert lines[1].split() == ["a", "out_bytes", "b", "in_bytes"]


def test_truth_values_are_names() -> None:
    assert drawn("bucket is_bot n", [(NOON, True, 2), (NOON, False, 1)])[1].split() == [
        "a", "is_bot", "yes", "b", "is_bot", "no",
    ]  # fmt: skip


def test_what_is_endless_or_unknown_in_time_is_left_out() -> None:
    rows: list[tuple[Any, int]] = [(datetime(9999, 12, 31, 23, 59, 59, 999999), 9), (datetime(1, 1, 1), 9), (None, 9)]
    assert drawn("bucket n", rows) == ["no values to draw"]
    assert "9 ┤" not in "\n".join(drawn("bucket n", [*rows, (NOON, 3)]))


@pytest.mark.parametrize("rows", [[], [(None, None)], [(NOON, None)], [(NOON, math.nan)]])
def test_nothing_to_draw_is_said(rows: list[Any]) -> None:
    assert len(drawn("bucket n", rows)) <= 2


def test_dates_have_no_zone() -> None:
    days = [(date(2026, 3, 1) + timedelta(days=n), n) for n in range(14)]
    lines = drawn("day n", days, zone=zone("America/New_York", ""))
    assert lines[0] == "n by day (UTC)"
    assert lines[-2].split()[0] == "03-02"  # a Monday


def test_the_axis_of_time_is_in_its_zone() -> None:
    lines = drawn("bucket n", [(at, 1) for at in minutes(60)], zone=zone("Asia/Kolkata", ""))
    assert lines[0] == "n by bucket (Asia/Kolkata)"
    assert lines[-2].split() == ["17:30", "17:40", "17:50", "18:00", "18:10", "18:20"]


@pytest.mark.parametrize("span", [timedelta(seconds=2 * 5**n) for n in range(15)], ids=str)
def test_marks_of_time_are_round_and_rise_whatever_the_span(span: timedelta) -> None:
    first = NOON.replace(tzinfo=UTC, hour=11, second=7).timestamp()
    for where in (AS_STORED, zone("Europe/Berlin", ""), zone("Australia/Lord_Howe", "")):
        found = marks(first, first + span.total_seconds(), 7, where)
        assert 1 <= len(found) <= 8
        assert all(first <= at <= first + span.total_seconds() for at, _, _ in found)
        assert all(before[0] < after[0] for before, after in pairwise(found))
        assert len({(time, day) for _, time, day in found}) == len(found)


def test_an_hour_that_clocks_skip_has_no_mark() -> None:
    first = datetime(2026, 3, 28, 23, tzinfo=UTC).timestamp()
    found = [time for _, time, _ in marks(first, first + 5 * 3600, 6, zone("Europe/Berlin", ""))]
    assert found == ["00:00", "01:00", "03:00", "04:00", "05:00", "06:00"]


# --------------------------------------------------------------------------------------------------------- bars


def test_names_with_values_are_bars_with_their_share_of_all_rows() -> None:
    lines = drawn("edge bytes", [("FRA56", 3_000_000), ("LHR", 900_000), ("東京", 100_000)])
    assert lines[0].split() == ["edge", "bytes", "share"]
    assert [line.split()[:5] for line in lines[1:]] == [
        ["FRA56", "3.00", "MB", "75.0", "%"], ["LHR", "900", "kB", "22.5", "%"], ["東京", "100", "kB", "2.5", "%"],
    ]  # fmt: skip
    widths = [line.count("█") + (line[-1] not in "█ ") for line in lines[1:]]
    assert len({cell_len(line.partition("%")[0]) for line in lines[1:]}) == 1
    assert cell_len(lines[1]) == 80
    assert widths[1] == pytest.approx(widths[0] * 0.3, abs=1)


def test_bars_end_in_eighths() -> None:
    assert [_above(n / 8, PAPER) for n in (0, 0.1, 1, 4, 7, 8, 12)] == ["", "▏", "▏", "▌", "▉", "█", "█▌"]
    assert [_above(length, ASCII) for length in (0, 0.1, 1, 2.6)] == ["", ".", "#", "###"]


def test_a_bar_of_little_is_seen_and_none_of_nothing() -> None:
    for paper, least in ((PAPER, "▏"), (ASCII, ".")):
        lines = drawn("edge n", [("much", 1_000_000), ("little", 1), ("nothing", 0)], paper)
        assert lines[2].endswith(least)
        assert lines[3].endswith("%")


def test_the_rest_is_told_with_its_share() -> None:
    lines = drawn("edge n", [(f"E{n}", 10) for n in range(100)], limit=10)
    assert len(lines) == 12
    assert lines[-1].split()[:5] == ["90", "more", "900", "90.0", "%"]
    assert len(drawn("edge n", [(f"E{n}", 10) for n in range(100)], limit=0)) == 101
    assert len(drawn("edge n", [(f"E{n}", 10) for n in range(100)], Paper(80, 12))) == 12


@pytest.mark.parametrize("paper", [PAPER, ASCII], ids=["blocks", "ASCII"])
def test_negative_bars_go_to_the_left_and_have_no_shares(paper: Paper) -> None:
    lines = drawn("edge n", [("a", -5), ("b", 10), ("c", None), ("d", math.nan), ("e", math.inf)], paper)
    bar, axis = ("█", "│") if paper.wide_characters else ("#", "|")
    assert "%" not in "".join(lines)
    assert {line.index(axis) for line in lines[1:]} == {lines[1].index(axis)}
    assert lines[1].endswith(bar + axis)
    assert lines[2].partition(axis)[2].count(bar) == pytest.approx(2 * lines[1].count(bar), abs=2)
    assert [line.split()[1] for line in lines[3:]] == ["NULL", "nan", "inf"]
    assert all(line.rstrip().endswith(axis) for line in lines[3:])


def test_only_negative_values_are_drawn_too() -> None:
    assert drawn("edge n", [("a", -5), ("b", -10)])[2].count("█") > 40


def test_all_zero_bars_are_no_bars() -> None:
    assert [line.split() for line in drawn("edge n", [("a", 0), ("b", 0)])[1:]] == [["a", "0"], ["b", "0"]]


def test_control_characters_are_harmless_and_long_names_are_cut() -> None:
    names = ["\x1b[2J\x1b]0;x\x07", "a\nb", "\u202eevil", "東" * 90, "x" * 300, "", None]
    lines = drawn("edge n", [(name, 5) for name in names])
    assert len(lines) == len(names) + 1
    assert "\x1b" not in "".join(lines)
    over_time = drawn("bucket edge n", [(NOON, name, 5) for name in names])
    assert len(over_time) == PAPER.height
    assert all(character not in "".join(over_time) for character in "\x1b\n\u202e")


def test_names_in_several_columns_are_joined_and_whole_numbers_can_be_names() -> None:
    assert drawn("host edge n", [("h", "e", 1)])[1].startswith("h / e")
    assert [line.split()[0] for line in drawn("hour n", [(0, 5), (1, 9)])] == ["hour", "0", "1"]


def test_a_list_whose_rows_tell_a_time_is_drawn_as_bars() -> None:
    assert "share" in drawn("viewer n seen", [("a", 1, NOON), ("b", 2, NOON)])[0]
    assert "by seen" in drawn("viewer n seen", [("a", 1, NOON), ("a", 2, NOON + timedelta(hours=1))])[0]


def test_bars_are_drawn_without_a_single_value() -> None:
    assert draw(Bars("edge", "n", [], []), PAPER, None) == ["edge  n"]


# ------------------------------------------------------------------------------------------------ what is no plot


@pytest.mark.parametrize(
    ("columns", "row", "said"),
    [
        ("n", (1,), "n (number): add what the values belong to"),
        ("edge", ("a",), "edge (text): add a number"),
        ("bucket", (NOON,), "bucket (time): add a number"),
        ("edge requests bytes", ("a", 1, 2), "choose a number, such as with --column bytes"),
        ("bucket requests bytes", (NOON, 1, 2), "choose a number, such as with --column bytes"),
        ("bucket edge n m", (NOON, "a", 1, 2), "choose a number, such as with --column m"),
        ("x y", (1.5, 2.5), "add what the values belong to"),
    ],
)
def test_what_cannot_be_drawn_says_what_the_columns_should_be(columns: str, row: Sequence[Any], said: str) -> None:
    told = refused(columns, row)
    assert told.startswith("--plot draws a time and a number over time")
    assert said in told


def test_times_that_do_not_come_first_must_be_one() -> None:
    rows = [("a", NOON, NOON, 1), ("a", NOON, NOON, 1)]
    assert "put the time to be drawn first" in refused("edge first last n", *rows)


def test_two_values_of_one_time_are_not_drawn_over_one_another() -> None:
    assert "sum() and GROUP BY bucket" in refused("bucket n", (NOON, 1), (NOON, 2))
    assert "of one time and FRA: " in refused("bucket edge n", (NOON, "FRA", 1), (NOON, "FRA", 2))


def test_a_number_can_be_chosen() -> None:
    rows = [(NOON, 1, 2), (NOON + timedelta(minutes=1), 3, 4)]
    assert drawn("bucket requests bytes", rows, column="BYTES")[0] == "bytes by bucket (UTC)"
    assert "--column edge is no number of it" in refused("edge n", ("a", 1), column="edge")


# -------------------------------------------------------------------------------------------------------- units


def test_units_come_from_the_name() -> None:
    assert [unit_of(name) for name in ("bytes", "sc_bytes", "sum(bytes)", "Bytes", "bytes_n", "requests")] == [
        "B", "B", "B", "B", "", "",
    ]  # fmt: skip


def test_numbers_are_short_and_never_a_thousand_of_a_prefix() -> None:
    for power in range(24):
        for factor in (1, 1.0049, 9.996, 99.96, 999.6):
            number = humanised(factor * 10**power, "B").split()[0]
            assert float(number) < 1000
            assert len(number) <= 4
    assert humanised(-1.5e9, "B") == "-1.50 GB"


@pytest.mark.parametrize("high", [1e-12, 0.3, 1, 7, 87, 100, 1234, 5.5e9, 1e30])
@pytest.mark.parametrize("low", [0, -0.4, -1])
def test_marks_of_values_are_round_few_and_around_them(high: float, low: float) -> None:
    found = ticks(low * high, high, 5)
    assert found[0] <= low * high * (1 - 1e-9)
    assert found[-1] >= high * (1 - 1e-9)
    assert 2 <= len(found) <= 8
    assert any(value == 0 for value in found)
    assert len(set(tick_labels(found, ""))) == len(found)
