"""The report shows what it is given, in any terminal, and its last line keeps its shape."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from shardlake.app.demo.report import COLOURS, Report, Verdict, amount, bar, printable, share, show, stacked

START = datetime(2026, 3, 17, 9)
REPORT = Report(
    viewers=[("2a02:b103:d98e:6c43:6144:ff:fe0b:4a0c", 1_234, 5_600_000), ("192.0.2.1", 7, None), (None, 1, 0)],
    bots=[("AI", "GPTBot", 300, 10_000), ("search", "Googlebot", 900, 20_000), (None, None, 1, None)],
    edges=[("E1", "SEA19-C2", 5, 5_000), ("E2", "SEA19-C2", 5, 7_000), ("E1", None, 1, None), ("E3", "DUB2", 1, 9)],
    minutes=[(START + timedelta(minutes=n), n * 1_000) for n in range(61)],
    certificate={"cut": "lane 0 up to 7", "class": "exact"},
    people=799,
)
EXACT = Verdict(3, 24, 1_234_567, 0)


def printed(report: Report = REPORT, verdict: Verdict = EXACT, width: int = 100, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    show(Console(file=out, width=width, force_terminal=False), report, verdict)
    out.seek(0)
    return out.read()


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_the_last_line_says_whether_it_was_exact() -> None:
    assert printed().splitlines()[-1] == "exact: yes (3 views, 24 answers, 1,234,567 rows compared, 0 differ)"


def test_the_last_line_is_whole_in_a_narrow_terminal() -> None:
    assert printed(width=40).splitlines()[-1] == EXACT.line


def test_differences_are_shown_before_the_verdict() -> None:
    text = printed(verdict=Verdict(3, 24, 100, 2, ("missing ('a',) (1,)", "surplus \x1b[2Jx")))
    assert text.splitlines()[-1] == "exact: NO (3 views, 24 answers, 100 rows compared, 2 differ)"
    assert "missing ('a',) (1,)" in text
    assert "\x1b" not in text


def test_nothing_compared_is_not_exact() -> None:
    assert Verdict(3, 0, 0, 0).line.startswith("exact: NO")


def test_viewers_are_ranked_with_their_bytes() -> None:
    text = printed()
    assert "Top 3 viewers" in text
    first = line_with(text, "2a02:b103")
    assert first.split()[:3] == ["1", "2a02:b103:d98e:6c43:6144:ff:fe0b:4a0c", "1,234"]
    assert first.rstrip().endswith("5.60 MB")
    assert line_with(text, "192.0.2.1").rstrip().endswith("-")


def test_bots_stand_under_their_categories_the_busiest_first() -> None:
    text = printed()
    assert text.index("Googlebot") < text.index("GPTBot")
    assert "45.0 %" in line_with(text, "Googlebot")
    assert "1,201" in line_with(text, "all bots")


def test_rare_names_are_folded_without_losing_requests() -> None:
    names: list[tuple[str | None, str | None, int, int | None]] = [("AI", f"n{i:02}", 100 - i, 1) for i in range(12)]
    text = printed(replace(REPORT, bots=names))
    assert "n07" in text
    assert "n08" not in text
    assert line_with(text, "4 others").split()[2] == str(sum(100 - i for i in range(8, 12)))


def test_edges_sum_up_over_distributions() -> None:
    text = printed()
    assert line_with(text, "SEA19-C2").split()[:7] == ["SEA19-C2", "7.00", "kB", "5.00", "kB", "-", "12.0"]
    assert line_with(text, "DUB2").split()[1:5] == ["-", "-", "9", "B"]


def test_distributions_without_room_are_summed() -> None:
    edges: Sequence[tuple[str, str, int, int]] = [(f"E{n}", "DUB2", 1, 1_000) for n in range(9)]
    for width, others in ((100, "5 others"), (80, "6 others"), (60, "8 others")):
        text = printed(replace(REPORT, edges=edges), width=width)
        assert others in text
        assert "9.00 kB" in line_with(text, "DUB2")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    text = printed(width=width)
    assert max(len(line) for line in text.splitlines()[:-1]) <= width


WIDE = replace(
    REPORT,
    viewers=[("2a02:b103:d98e:6c43:6144:ff:fe0b:4a0c", 1_234_567, 999_000_000_000), ("192.0.2.1", 7, None)],
    bots=[("search engine bots", "b" * 30, 1_234_567, 123_000_000), ("AI", "GPTBot", 23_456, 98_600_000)],
    edges=[(f"E{n}EXAMPLE12345", "SEA19-C2", 5, 500_000_000 + n) for n in range(4)],
)


@pytest.mark.parametrize("width", [60, 64, 70, 80, 90, 100, 120])
def test_numbers_are_whole_however_narrow_the_terminal_is(width: int) -> None:
    text = printed(WIDE, width=width)
    for line, numbers in (
        ("2a02:", ("1,234,567", "999 GB")),
        ("sear", ("1,234,567", "98.1 %", "123 MB")),
        ("GPTB", ("23,456", "1.9 %", "98.6 MB")),
        ("all bots", ("1,258,023", "222 MB")),
        ("SEA19-C2", ("500 MB", "2.00 GB")),
    ):
        assert all(number in line_with(text, line) for number in numbers), line_with(text, line)
    assert max(len(line) for line in text.splitlines()[:-1]) <= width


def test_bars_are_shortened_before_names() -> None:
    assert "b" * 30 in printed(WIDE, width=100)
    assert "█" in line_with(printed(WIDE, width=100), "b" * 30)
    row = line_with(printed(WIDE, width=80), "sear")
    assert "█" not in row
    assert "b" * 20 in row


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = printed(encoding="ascii")
    assert "###" in text
    assert text.isascii()


def test_texts_of_the_log_cannot_steer_the_terminal() -> None:
    hostile = "\x1b]0;x\x07[bold red]\u202eboo"
    report = replace(
        REPORT, bots=[(hostile, hostile, 1, 1)], viewers=[(hostile, 1, 1)], edges=[(hostile, hostile, 1, 1)]
    )
    text = printed(report)
    assert "[bold red]" in text
    assert not any(mark in text for mark in "\x1b\x07\u202e")
    assert printable("a\tb\nc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


def test_an_empty_world_is_shown_too() -> None:
    assert "nothing yet" in printed(Report([], [], [], []))


def test_a_long_time_is_put_into_columns_of_several_minutes() -> None:
    text = printed(replace(REPORT, minutes=[(START, 60_000), (START + timedelta(days=2), 0)]))
    assert "the mean of 33 minutes" in text
    assert "1.82 kB" in text


def test_amounts_keep_three_digits() -> None:
    sizes = [0, 999, 1_000, 9_994, 9_996, 99_949, 99_960, 999_400, 999_600, 10**15, 5 * 10**16]
    assert [amount(size) for size in sizes] == [
        "0 B", "999 B", "1.00 kB", "9.99 kB", "10.0 kB", "99.9 kB", "100 kB", "999 kB", "1.00 MB", "1,000 TB",
        "50,000 TB",
    ]  # fmt: skip


def test_stacked_bars_are_as_long_as_their_sum() -> None:
    drawn = stacked([50, 0, 25], 100, 20)
    assert drawn.plain == bar(75, 100, 20).plain
    assert [(span.start, span.end, span.style) for span in drawn.spans] == [(0, 10, COLOURS[0]), (10, 15, COLOURS[2])]
    assert stacked([0, 0], 100, 20).plain == ""


def test_bars_and_shares_show_a_trace_of_what_is_small() -> None:
    assert bar(0, 100, 10).plain == ""
    assert bar(1, 10_000, 10).plain == "▏"
    assert bar(100, 100, 10).plain == "█" * 10
    assert bar(45, 100, 10).plain == "████▌"
    assert bar(1, 0, 10).plain == "▏"
    assert [share(0, 9), share(1, 10_000), share(1, 3), share(1, 0)] == ["0.0 %", "<0.1 %", "33.3 %", "-"]
