"""A view over parts is the view over their rows: however they were split, and whatever is known of the parts."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.core.combine import Part, combined_sql, finalized_sql, read_parquet
from shardlake.core.view import EVENTS, CompiledView, OutputColumn, PartialColumn
from shardlake.core.windows import Windows

WIDTH = 300_000_000
NOON = 1_772_366_400_000_000

Event = tuple[int | None, str | None, int | None]  # window (counted from noon), viewer, bytes

PARTIAL = f"""SELECT "at" AS "window", viewer AS "who""'s it", count(*) AS requests,
    CAST(sum(bytes) AS BIGINT) AS bytes__sum, count(bytes) AS bytes__n, max(bytes) AS peak
FROM {EVENTS} GROUP BY 1, 2"""
COMBINE = """SELECT "window", "who""'s it", CAST(sum(requests) AS BIGINT) AS requests,
    CAST(sum(bytes__sum) AS BIGINT) AS bytes__sum, CAST(sum(bytes__n) AS BIGINT) AS bytes__n, max(peak) AS peak
FROM {partials} GROUP BY 1, 2"""
FINALIZE = """SELECT "window", "who""'s it" AS viewer, requests, bytes__sum / nullif(bytes__n, 0) AS mean, peak
FROM {combined}"""
PLAIN = f"""SELECT "at", viewer, count(*), avg(bytes), max(bytes) FROM {EVENTS} GROUP BY 1, 2"""


def make_view(window_type: str = "TIMESTAMP", window: str | None = "window") -> CompiledView:
    names = ("window", "who\"'s it", "requests", "bytes__sum", "bytes__n", "peak")
    types = (window_type, "VARCHAR", "BIGINT", "BIGINT", "BIGINT", "BIGINT")
    columns = tuple(
        PartialColumn(n, t, "key" if i < 2 else "state") for i, (n, t) in enumerate(zip(names, types, strict=True))
    )
    outputs = (
        OutputColumn("window", window_type),
        OutputColumn("viewer", "VARCHAR"),
        OutputColumn("requests", "BIGINT"),
    )
    return CompiledView(
        "v",
        "logs",
        "f",
        "",
        columns,
        outputs,
        partial=PARTIAL,
        combine=COMBINE,
        finalize=FINALIZE,
        window=window,
        window_us=WIDTH if window else None,
    )


VIEW = make_view()


def events_sql(events: Sequence[Event]) -> str:
    def row(event: Event) -> str:
        window, viewer, size = event
        at = "NULL::TIMESTAMP" if window is None else f"make_timestamp({NOON + window * WIDTH})"
        who = "NULL::VARCHAR" if viewer is None else f"'{viewer}'"
        return f'SELECT {at} AS "at", {who} AS viewer, {"NULL" if size is None else size}::BIGINT AS bytes'

    none = 'SELECT NULL::TIMESTAMP AS "at", NULL::VARCHAR AS viewer, NULL::BIGINT AS bytes WHERE false'
    return "(" + " UNION ALL ".join([none, *map(row, events)]) + ")"


def partial(events: Sequence[Event]) -> str:
    return PARTIAL.replace(EVENTS, events_sql(events))


def known(events: Sequence[Event], runs_max: int | None = None) -> Windows | None:
    starts = [NOON + window * WIDTH for window, _, _ in events if window is not None]
    return Windows.of(starts, WIDTH, runs_max) if len(starts) == len(events) else None


def part_of(events: Sequence[Event], windows: Windows | None, rows: int = 0) -> Part:
    return Part(f"({partial(events)})", (), windows, rows)


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def fetched(sql: str) -> list[tuple[Any, ...]]:
    return connection().execute(sql).fetchall()


def ordered(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=repr)


WINDOWS = st.one_of(st.none(), st.integers(0, 7)) | st.integers(0, 7)
EVENTS_OF_A_PART = st.lists(
    st.tuples(WINDOWS, st.sampled_from(["a", "b", "c", None]), st.sampled_from([None, 0, 1, 10])), max_size=8
)
A_PART = st.tuples(EVENTS_OF_A_PART, st.sampled_from([None, 1, 2]), st.booleans(), st.sampled_from([0, 1, 10, 1000]))


@settings(max_examples=150)
@given(st.lists(A_PART, max_size=5), st.booleans())
def test_a_view_over_parts_is_the_view_over_their_rows(
    drawn: list[tuple[list[Event], int | None, bool, int]], windowed: bool
) -> None:
    view = VIEW if windowed else make_view(window=None)
    parts = [
        part_of(events, None if forgotten else known(events, runs_max), rows)
        for events, runs_max, forgotten, rows in drawn
    ]
    everything = [event for events, _, _, _ in drawn for event in events]
    plain = PLAIN.replace(EVENTS, events_sql(everything))
    assert ordered(fetched(finalized_sql(view, parts))) == ordered(fetched(plain))


@settings(max_examples=50)
@given(st.lists(EVENTS_OF_A_PART, min_size=2, max_size=4), st.sampled_from([0, 1, 100]))
def test_no_row_vanishes_even_where_windows_were_wrongly_left_unsaid(parts: list[list[Event]], rows: int) -> None:
    """A NULL window that is not declared may show one key twice, but what it counts stays."""
    wrong = [
        part_of(events, known([event for event in events if event[0] is not None]), rows if i == 0 else 1)
        for i, events in enumerate(parts)
    ]
    total = "SELECT CAST(coalesce(sum(requests), 0) AS BIGINT) FROM "
    assert fetched(total + f"({combined_sql(VIEW, wrong)})") == [(sum(map(len, parts)),)]


def test_no_parts_are_an_empty_relation_of_the_right_types() -> None:
    found = fetched(f"DESCRIBE {combined_sql(VIEW, ())}")
    assert [(name, kind) for name, kind, *_ in found] == [(c.name, c.type) for c in VIEW.columns]
    assert fetched(finalized_sql(VIEW, ())) == []


# A part that breaks its promise of one row a key shows what is done with its rows: combined ones become one.
def twice_in(window: int) -> str:
    one = partial([(window, "a", 1)])
    return f"{one} UNION ALL {one}"


def counts(parts: Sequence[Part]) -> dict[int, int]:
    sql = f'SELECT (epoch_us("window") - {NOON}) // {WIDTH}, count(*) FROM ({combined_sql(VIEW, parts)}) GROUP BY 1'
    return {int(window): int(rows) for window, rows in fetched(sql)}


@pytest.mark.parametrize("rows", [0, 1000])
def test_only_windows_that_two_parts_hold_are_combined(rows: int) -> None:
    three = f"({twice_in(0)} UNION ALL {twice_in(1)} UNION ALL {twice_in(3)})"
    large = Part(three, (), known([(0, "", 0), (1, "", 0), (3, "", 0)]), rows)
    small = [part_of([(1, "a", 1)], known([(1, "", 0)]), 1), part_of([(5, "a", 1)], known([(5, "", 0)]), 1)]
    assert counts([large, *small]) == {0: 2, 1: 1, 3: 2, 5: 1}


def test_a_single_part_is_passed_through_though_nothing_is_known_of_it() -> None:
    assert counts([Part(f"({twice_in(0)})")]) == {0: 2}


def test_of_a_much_larger_part_only_the_keys_that_others_hold_are_combined() -> None:
    here = known([(0, "", 0)])
    other = partial([(0, "b", 1)])
    large = f"({twice_in(0)} UNION ALL {other} UNION ALL {other})"
    small = part_of([(0, "a", 1)], here, 1)
    assert counts([Part(large, (), here, 1000), small]) == {0: 3}  # "a" as one, "b" as it was
    assert counts([Part(large, (), here, 2), small]) == {0: 2}


DAY = 86_400_000_000 // WIDTH
ONE_AND_TWO_DAYS: list[list[Event]] = [[(0, "a", 1)], [(0, "a", 1), (DAY, "a", 1)]]


def test_a_window_that_is_a_date_is_not_told_apart_by_microseconds() -> None:
    view = make_view(window_type="DATE")
    rows = [f'(SELECT * REPLACE (CAST("window" AS DATE) AS "window") FROM ({partial(e)}))' for e in ONE_AND_TWO_DAYS]
    days = [Windows(WIDTH, ((20_513, 20_513),)), Windows(WIDTH, ((20_513, 20_514),))]
    parts = [Part(sql, (), windows) for sql, windows in zip(rows, days, strict=True)]
    assert ordered(fetched(f"SELECT requests FROM ({combined_sql(view, parts)})")) == [(1,), (2,)]


def test_infinite_windows_are_windows_too() -> None:
    ends = Windows(WIDTH, ((-(2**63) + 1, -(2**63) + 1), (2**63 - 1, 2**63 - 1)))
    one = partial([(0, "a", 1)])
    rows = " UNION ALL ".join(
        f"SELECT * REPLACE (TIMESTAMP '{t}' AS \"window\") FROM ({one})" for t in ("infinity", "-infinity")
    )
    first = Part(f"({rows} UNION ALL {one})", (), ends.union(Windows(WIDTH, ((NOON, NOON),))))
    found = fetched(
        f'SELECT isinf("window"), requests FROM ({combined_sql(VIEW, [first, Part(f"({rows})", (), ends)])})'
    )
    assert ordered(found) == [(False, 1), (True, 2), (True, 2)]


def write(folder: Path, name: str, events: Sequence[Event]) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    target = str(path).replace("'", "''")
    fetched(f"COPY ({partial(events)} ORDER BY 1, 2) TO '{target}' (FORMAT parquet)")
    return str(path)


def files(folder: Path) -> list[Part]:
    split: list[list[Event]] = [[(n, "a", n) for n in range(10)], [(2, "a", 1), (7, "b", 1)], [(12, "a", 1)]]
    paths = [write(folder, f"it's/{i}.parquet", events) for i, events in enumerate(split)]
    return [Part.file(path, known(events)) for path, events in zip(paths, split, strict=True)]


def test_files_are_read_whatever_their_names(tmp_path: Path) -> None:
    parts = [*files(tmp_path), Part.file(write(tmp_path, "date=2026-03-01/x.parquet", [(2, "a", 5)]), None)]
    found = fetched(f"SELECT sum(requests), count(*), max(peak) FROM ({combined_sql(VIEW, parts)})")
    assert found == [(14, 12, 9)]
    columns = fetched(f"DESCRIBE {combined_sql(VIEW, parts[3:])}")
    everything = fetched(f"DESCRIBE SELECT * FROM {read_parquet(parts[3].paths)}")
    assert [name for name, *_ in columns] == [c.name for c in VIEW.columns] == [name for name, *_ in everything]


def operators(plan: Any) -> list[str]:
    nodes = plan if isinstance(plan, list) else [plan]
    return [name for node in nodes for name in (str(node["name"]).strip(), *operators(node["children"]))]


def test_both_sides_are_chosen_inside_the_scan(tmp_path: Path) -> None:
    """A filter above the scan reads every row group, and was measured to cost more than the scan itself."""
    sql = combined_sql(VIEW, files(tmp_path))
    found = operators(json.loads(fetched(f"EXPLAIN (FORMAT json) SELECT sum(requests) FROM ({sql})")[0][1]))
    assert sum("PARQUET" in name for name in found) == 4, found
    assert "FILTER" not in found
    assert "HASH_GROUP_BY" in found
