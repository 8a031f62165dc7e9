"""The laws of streams of changes: what is taken back is as if it had never come, in whatever order, part and layer.

A log of changes is what DynamoDB tells: for each change of an item its old image with -1 and its new one with +1. The
view over the log must be the view over the images that there are at its end: by the forms for plain events, which have
laws of their own, and by plain Python. Rows are put into parts at random, so that a row may be counted after its taking
back, in another partial than it, and in another batch.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardlake.core.combine import OVERDRAWN, Part, combined_sql, finalized_sql, kept_sql, overdrawn_sql
from shardlake.core.compiler import compile_view
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import CompiledView

PLAIN: Final = SourceSchema(
    "events",
    (
        Column("k", "VARCHAR"),
        Column("i", "BIGINT"),
        Column("small", "INTEGER"),
        Column("d", "DECIMAL(18,2)"),
        Column("wide", "DECIMAL(38,38)"),
        Column("x", "DOUBLE"),
        Column("odd", "DOUBLE"),
        Column("b", "BOOLEAN"),
    ),
    "k",
)
CHANGES: Final = replace(PLAIN, weighted=True)
ARROW: Final = pa.schema(
    [
        ("k", pa.string()), ("i", pa.int64()), ("small", pa.int32()), ("d", pa.decimal128(18, 2)),
        ("wide", pa.decimal128(38, 38)), ("x", pa.float64()), ("odd", pa.float64()), ("b", pa.bool_()),
        ("_weight", pa.int32()), ("_duplicate", pa.bool_()), ("part", pa.int32()),
    ]
)  # fmt: skip
EXACT: Final = {
    "counts": "count(*) AS n, count(i) AS n_i, count_if(b) AS n_b, count(*) FILTER (WHERE i > 0) AS n_f,"
    " count(x) FILTER (WHERE b) AS n_x",
    "sums": "sum(i) AS s, sum(small) AS s_small, sum(d) AS s_d, sum(wide) AS s_w, sum(i) FILTER (WHERE b) AS s_f,"
    " sum(i * small) AS s_p, sum(CASE WHEN b THEN d ELSE -d END) AS s_c",
    "averages": "avg(i) AS a, avg(d) AS a_d, avg(small) FILTER (WHERE NOT b) AS a_f, sum(d) / count(d) AS ratio,"
    " sum(i) / count(*) AS mixed",
    "conditions": "bool_and(b) AS ba, bool_or(b) AS bo, bool_or(b) FILTER (WHERE i > 0) AS bo_f, bool_and(i > 0) AS bi",
    "moments": "var_samp(i) AS vs, var_pop(small) AS vp, stddev_samp(d) AS ss, stddev_pop(i) FILTER (WHERE b) AS sp",
    "quantiles": "approx_quantile(x, 0.5) AS q, approx_quantile(odd, 0.9) AS qo, approx_quantile(i, 0) AS qi,"
    " approx_quantile(d, 1) FILTER (WHERE b) AS qd",
}
DOUBLES: Final = (
    "sum(x) AS s, avg(x) AS a, sum(x) FILTER (WHERE b) AS s_f, sum(odd) AS so, avg(odd) AS ao, count(*) AS n"
)
PARTS: Final = range(3)
Image = tuple[Any, ...]
Log = list[tuple[Image, int]]


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


images = st.tuples(
    maybe(st.sampled_from(["a", "b"])), maybe(st.integers(-(2**44), 2**44)), maybe(st.integers(-(2**15), 2**15)),
    maybe(st.decimals(Decimal("-9999999.99"), Decimal("9999999.99"), places=2)),
    maybe(st.sampled_from([Decimal(1).scaleb(-38), Decimal("-0.25"), Decimal("0.0078125")])),
    maybe(st.floats(-1e100, 1e100)), maybe(st.floats(allow_subnormal=False) | st.just(0.1)), maybe(st.booleans()),
)  # fmt: skip
changes = st.lists(st.tuples(st.integers(0, 4), maybe(images)), max_size=14)


def image(rng: random.Random) -> Image:
    n = rng.randrange(2**40)
    wide = Decimal(n % 1000).scaleb(-38)
    x = math.ldexp(rng.uniform(-1, 1), n % 90)
    return ("abc"[n % 3], n - 2**39, n % 1000 - 500, Decimal(n % 10**9) / 100, wide, x, float(n % 50), n % 2 == 0)


def log_of(changed: Sequence[tuple[int, Image | None]]) -> tuple[Log, list[Image]]:
    """Tell what a table's stream says of some changes, and the images that are there after them."""
    log: Log = []
    table: dict[int, Image] = {}
    for item, new in changed:
        if item in table:
            log.append((table.pop(item), -1))
        if new is not None:
            table[item] = new
            log.append((new, 1))
    return log, list(table.values())


@st.composite
def logs(draw: st.DrawFn) -> tuple[Log, list[Image]]:
    """Draw a few changes one by one, and hundreds out of a seed; the rows come in any order."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    bulk = [
        (rng.randrange(60), image(rng) if rng.random() < 0.6 else None) for _ in range(draw(st.sampled_from([0, 300])))
    ]
    log, left = log_of([*draw(changes), *((item + 5, new) for item, new in bulk)])
    rng.shuffle(log)
    return log, left


@dataclass(frozen=True, slots=True)
class Lab:
    """A DuckDB session that holds rows in parts, and answers views over them."""

    db: duckdb.DuckDBPyConnection

    def load(self, name: str, rows: Log, seed: int = 0) -> None:
        rng = random.Random(seed)
        full = [(*row, weight, False, rng.choice(PARTS)) for row, weight in rows]
        columns = list(zip(*full, strict=True)) or [()] * len(ARROW)
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, ARROW, strict=True)], schema=ARROW)
        self.db.register("loaded", table)
        self.db.execute(f"CREATE OR REPLACE TABLE {name} AS FROM loaded")

    def parts(self, view: CompiledView, name: str) -> list[Part]:
        for part in PARTS:
            rows = f"(SELECT * EXCLUDE part FROM {name} WHERE part = {part})"
            self.db.execute(f"CREATE OR REPLACE TABLE {name}_{part} AS {view.partial.replace('{events}', rows)}")
        return [Part(f"{name}_{part}") for part in PARTS]

    def answer(self, view: CompiledView, name: str) -> list[tuple[Any, ...]]:
        return self.fetched(finalized_sql(view, self.parts(view, name)))

    def fetched(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows by key, as text: NaN is equal to itself, and every digit counts."""
        return sorted(tuple(map(str, row)) for row in self.db.execute(sql).fetchall())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with duckdb.connect(config={"threads": 1}) as db:
        yield Lab(db)


def view_of(aggregates: str, schema: SourceSchema = CHANGES) -> CompiledView:
    return compile_view("law", f"SELECT k, {aggregates} FROM events GROUP BY k", schema)


families = pytest.mark.parametrize("family", EXACT)
few = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2**32)


@families
@few
@given(drawn=logs(), seed=seeds)
def test_a_change_log_is_answered_as_what_is_there_after_it(
    lab: Lab, family: str, drawn: tuple[Log, list[Image]], seed: int
) -> None:
    log, left = drawn
    lab.load("log", log, seed)
    lab.load("left_over", [(row, 1) for row in left])
    plain = lab.answer(view_of(EXACT[family], PLAIN), "left_over")
    assert lab.answer(view_of(EXACT[family]), "log") == plain


@families
@few
@given(drawn=logs(), more=st.lists(images, max_size=6), seed=seeds)
def test_what_comes_and_is_taken_back_changes_no_state(
    lab: Lab, family: str, drawn: tuple[Log, list[Image]], more: list[Image], seed: int
) -> None:
    log, _ = drawn
    view = view_of(EXACT[family])
    lab.load("log", log, seed)
    lab.load("longer", [*log, *((row, weight) for row in more for weight in (1, -1))], seed + 1)
    states = [kept_sql(view, f"({combined_sql(view, lab.parts(view, name))})") for name in ("log", "longer")]
    assert lab.fetched(states[0]) == lab.fetched(states[1])


@families
@few
@given(rows=st.lists(images, max_size=8), seed=seeds)
def test_a_row_and_its_taking_back_in_another_part_leave_nothing(
    lab: Lab, family: str, rows: list[Image], seed: int
) -> None:
    view = view_of(EXACT[family])
    lab.load("log", [(row, weight) for row in rows for weight in (-1, 1)], seed)
    assert lab.answer(view, "log") == []
    assert lab.fetched(kept_sql(view, f"({combined_sql(view, lab.parts(view, 'log'))})")) == []


@families
@few
@given(rows=st.lists(st.tuples(images, st.sampled_from([1, -1])), max_size=10), seed=seeds)
def test_states_combine_in_any_order_and_grouping_whatever_their_signs(
    lab: Lab, family: str, rows: Log, seed: int
) -> None:
    view = view_of(EXACT[family])
    lab.load("log", rows, seed)
    a, b, c = lab.parts(view, "log")
    lab.db.execute(f"CREATE OR REPLACE TABLE nested AS {combined_sql(view, [c, a])}")
    lab.db.execute("CREATE OR REPLACE TABLE whole AS SELECT * REPLACE (0 AS part) FROM log")
    expected = lab.fetched(combined_sql(view, [a, b, c]))
    for other in ([Part("nested"), b], [c, b, a], lab.parts(view, "whole")):
        assert lab.fetched(combined_sql(view, other)) == expected


def folded(left: list[Image]) -> dict[str | None, dict[str, object]]:
    """The view over what is there, in plain Python."""
    groups: dict[str | None, list[Image]] = defaultdict(list)
    for row in left:
        groups[row[0]].append(row)
    found = {}
    for key, rows in groups.items():
        whole = [row[1] for row in rows if row[1] is not None]
        prices = [row[3] for row in rows if row[3] is not None]
        told = [row[7] for row in rows if row[7] is not None]
        found[key] = {
            "n": len(rows),
            "n_i": len(whole),
            "s": sum(whole) if whole else None,
            "s_d": sum(prices) if prices else None,
            "yes": sum(told) if told else None,
            "ba": all(told) if told else None,
            "bo": any(told) if told else None,
            "vp": variance(whole) if whole else None,
        }
    return found


def variance(values: list[int]) -> float:
    mean = Fraction(sum(values), len(values))
    return float(sum((value - mean) ** 2 for value in values) / len(values))


@few
@given(drawn=logs(), seed=seeds)
def test_a_change_log_is_answered_as_plain_python_folds_it(lab: Lab, drawn: tuple[Log, list[Image]], seed: int) -> None:
    log, left = drawn
    lab.load("log", log, seed)
    view = view_of(
        "count(*) AS n, count(i) AS n_i, sum(i) AS s, sum(d) AS s_d, count_if(b) AS yes, bool_and(b) AS ba,"
        " bool_or(b) AS bo, var_pop(i) AS vp"
    )
    sql = finalized_sql(view, lab.parts(view, "log"))
    names = [o.name for o in view.outputs]
    found = {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in lab.db.execute(sql).fetchall()}
    expected = folded(left)
    for key, row in expected.items():
        near = row.pop("vp")
        assert found[key].pop("vp") == (near if near is None else pytest.approx(near, rel=1e-15))
    assert found == expected


@few
@given(drawn=logs(), seed=seeds)
def test_sums_of_doubles_are_within_their_bound_whatever_cancels(
    lab: Lab, drawn: tuple[Log, list[Image]], seed: int
) -> None:
    log, left = drawn
    lab.load("log", log, seed)
    view = view_of(DOUBLES)
    parts = lab.parts(view, "log")
    bounds = {o.name: o.bound for o in view.outputs if o.bound}
    combined = combined_sql(view, parts)
    limits = ", ".join(f"CAST({bound} AS DOUBLE) AS {name}" for name, bound in bounds.items())
    stated = {row[0]: row[1:] for row in lab.db.execute(f"SELECT k, {limits} FROM ({combined})").fetchall()}
    found = {row[0]: row[1:] for row in lab.db.execute(finalized_sql(view, parts)).fetchall()}
    assert set(found) == {row[0] for row in left}
    for key, (s, a, _, so, ao, n) in found.items():
        rows = [row for row in left if row[0] == key]
        assert n == len(rows)
        for total, mean, at, place in ((s, a, 0, 5), (so, ao, 3, 6)):
            values = [row[place] for row in rows if row[place] is not None]
            check(values, (total, mean), stated[key][at : at + 2])


def check(values: list[float], found: tuple[float | None, float | None], limits: Sequence[float]) -> None:
    """A sum and a mean are within their limits, or as special as a value is."""
    if not values:
        assert found == (None, None)
    elif not all(map(math.isfinite, values)):
        special = sum(value for value in values if not math.isfinite(value))
        assert [str(one) for one in found] == [str(special)] * 2
    else:
        total = sum(map(Fraction, values), Fraction())
        for one, truth, limit in zip(found, (total, total / len(values)), limits, strict=True):
            assert one is not None
            assert math.isinf(limit) or abs(Fraction(one) - truth) <= Fraction(limit), (one, truth, limit)


def test_a_great_value_that_was_taken_back_is_in_the_bound(lab: Lab) -> None:
    rows = [one_of(x=value) for value in (1e15, 0.1, 0.3)]
    log = [(row, 1) for row in rows] + [(rows[0], -1)]
    lab.load("log", log)
    view = view_of("sum(x) AS s")
    bound = view.outputs[1].bound
    ((limit,),) = lab.db.execute(f"SELECT {bound} FROM ({combined_sql(view, lab.parts(view, 'log'))})").fetchall()
    ((_, found),) = lab.db.execute(finalized_sql(view, lab.parts(view, "log"))).fetchall()
    assert abs(found - 0.4) > 1e-3, "nothing was lost, so the test says nothing"
    assert abs(found - 0.4) <= limit


def one_of(**values: object) -> Image:
    return tuple(values.get(name, "a" if name == "k" else None) for name in ARROW.names[:8])


@few
@given(st.permutations([2**63 - 1] * 4 + [-(2**63)] * 2 + [5]), seeds)
def test_a_sum_that_fits_is_told_whatever_came_and_went(lab: Lab, values: list[int], seed: int) -> None:
    kept = [v for v in values if v == 5]
    gone = [v for v in values if v != 5]
    log = [(one_of(i=v), 1) for v in kept + gone] + [(one_of(i=v), -1) for v in gone]
    random.Random(seed).shuffle(log)
    lab.load("log", log, seed)
    assert lab.answer(view_of("sum(i) AS s, avg(i) AS a"), "log") == [("a", "5", "5.0")]


@few
@given(seeds)
def test_a_sum_that_does_not_fit_is_an_error_in_every_order(lab: Lab, seed: int) -> None:
    log = [(one_of(i=2**63 - 1), weight) for weight in (1, 1, 1, -1)]
    random.Random(seed).shuffle(log)
    lab.load("log", log, seed)
    for aggregate in ("sum(i)", "avg(i)"):
        view = view_of(f"{aggregate} AS s")
        lab.fetched(combined_sql(view, lab.parts(view, "log")))
        with pytest.raises(duckdb.ConversionException):
            lab.answer(view, "log")


def test_squares_that_need_more_than_38_digits_on_the_way_are_an_error_and_no_wrong_result(lab: Lab) -> None:
    log = [(one_of(i=2**63 - 1), weight) for weight in (1, 1, 1, -1, -1, -1)] + [(one_of(i=3), 1)]
    lab.load("log", log)
    with pytest.raises(duckdb.Error, match=r"out of range|[Oo]verflow|[Cc]onver"):
        lab.answer(view_of("var_pop(i) AS v"), "log")


def test_a_sum_is_null_when_no_value_is_left_and_its_group_is(lab: Lab) -> None:
    log = [(one_of(i=7, x=0.5, d=Decimal(1), b=True), weight) for weight in (1, -1)] + [(one_of(), 1)]
    lab.load("log", log)
    view = view_of(
        "sum(i) AS s, sum(d) AS sd, sum(x) AS sx, avg(x) AS a, count_if(b) AS c, bool_or(b) AS o, count(*) AS n"
    )
    assert lab.answer(view, "log") == [("a", *["None"] * 6, "1")]


@pytest.mark.parametrize("aggregates", [*EXACT.values(), DOUBLES])
def test_an_overdrawn_group_is_an_error_unless_records_lack(lab: Lab, aggregates: str) -> None:
    view = view_of(aggregates)
    rows = [one_of(k=k, i=3, small=2, d=Decimal(1), x=0.5, odd=1.0, b=True) for k in ("a", "b", None)]
    lab.load("log", [(rows[0], -1), (rows[1], 1), (rows[2], -1), (rows[2], -1)])
    parts = lab.parts(view, "log")
    with pytest.raises(duckdb.Error, match=OVERDRAWN):
        lab.fetched(finalized_sql(view, parts))
    assert lab.fetched(overdrawn_sql(view, parts)) == [("2",)]
    assert len(lab.fetched(f"SELECT k FROM ({finalized_sql(view, parts, is_whole=False)})")) == 3
    assert len(lab.fetched(finalized_sql(view, parts, is_whole=False))) == 3
    assert lab.fetched(f"SELECT k FROM ({finalized_sql(view, parts)}) WHERE k = 'b'") == [("b",)]


def test_a_group_without_rows_that_holds_something_is_overdrawn(lab: Lab) -> None:
    view = view_of("sum(i) AS s")
    lab.load("log", [(one_of(i=3), 1), (one_of(i=4), -1)])
    parts = lab.parts(view, "log")
    with pytest.raises(duckdb.Error, match=OVERDRAWN):
        lab.fetched(finalized_sql(view, parts))
    assert lab.fetched(overdrawn_sql(view, parts)) == [("1",)]
    assert lab.fetched(finalized_sql(view, parts, is_whole=False)) == []
