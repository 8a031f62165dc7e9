"""The laws that make partial results mergeable, for every aggregate of the algebra.

With states built by the partial form only: combining is associative and commutative, an empty part changes
nothing, and finalize(combine(parts)) is the view over all events, for any split. Exact columns are compared as
text, bit for bit; bounded ones within the bound that the compiled view states.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardlake.core.compiler import compile_view
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import CompiledView

SCHEMA: Final = SourceSchema(
    "events",
    (
        Column("k", "VARCHAR"),
        Column("i", "BIGINT"),
        Column("small", "INTEGER"),
        Column("big", "BIGINT"),
        Column("d", "DECIMAL(18,2)"),
        Column("x", "DOUBLE"),
        Column("odd", "DOUBLE"),
        Column("t", "VARCHAR"),
        Column("b", "BOOLEAN"),
        Column("at", "TIMESTAMP"),
        Column("day", "DATE"),
    ),
    "at",
)
ARROW: Final = pa.schema(
    [
        ("k", pa.string()), ("i", pa.int64()), ("small", pa.int32()), ("big", pa.int64()), ("d", pa.decimal128(18, 2)),
        ("x", pa.float64()), ("odd", pa.float64()), ("t", pa.string()), ("b", pa.bool_()), ("at", pa.timestamp("us")),
        ("day", pa.date32()), ("_duplicate", pa.bool_()), ("part", pa.int32()),
    ]
)  # fmt: skip
EXPRESSIONS: Final = {
    "counts": "count(*) AS n, count(i) AS n_i, count_if(b) AS n_b, count(*) FILTER (WHERE i > 0) AS n_f",
    "sums": "sum(i) AS s, sum(small) AS s_small, sum(d) AS s_d, sum(i) FILTER (WHERE b) AS s_f, sum(i * small) AS s_p,"
    " avg(i) AS a, avg(small) AS a_small, avg(i) FILTER (WHERE NOT b) AS a_f",
    "averages of decimals": "avg(d) AS a, sum(d) / count(d) AS ratio, sum(i) / count(*) AS mixed",
    "sums of doubles": "sum(x) AS s, avg(x) AS a, sum(x) FILTER (WHERE b) AS s_f",
    "extremes": "min(i) AS mi, max(big) AS mb, min(d) AS md, max(x) AS mx, min(x) AS nx, min(odd) AS no,"
    ' max(odd) AS mo, max(t) AS mt, min("at") AS ma, max(day) AS mday, bool_and(b) AS ba, bool_or(b) AS bo,'
    " max(b) AS mbool, max(t) FILTER (WHERE small > 0) AS mt_f, bool_or(b) FILTER (WHERE i > 0) AS bo_f",
    "moments": "var_samp(i) AS vs, var_pop(small) AS vp, stddev_samp(d) AS ss, stddev_pop(i) AS sp, variance(d) AS vd",
    "moments of doubles": "var_samp(x) AS vs, stddev_pop(x) AS sp, var_pop(x) FILTER (WHERE b) AS vf",
    "picks": 'arg_max(t, i) AS am, arg_min(big, "at") AS an, arg_max(i, odd) AS ao,'
    " arg_min(x, t) FILTER (WHERE b) AS af",
    "distinct": 'approx_count_distinct(t) AS dt, approx_count_distinct(big) AS db, approx_count_distinct("at") AS da,'
    " approx_count_distinct(d) FILTER (WHERE b) AS df",
    "quantiles": "approx_quantile(x, 0.5) AS q, approx_quantile(odd, 0.9) AS qo, approx_quantile(i, 0) AS qi,"
    " approx_quantile(d, 1) FILTER (WHERE b) AS qd",
}
AS_DUCKDB: Final = ("counts", "sums", "extremes")
PICKED: Final = ", ".join(
    f"list({arg} ORDER BY {by} {order}, {arg} {order})"
    f" FILTER ({arg} IS NOT NULL AND {by} IS NOT NULL{where})[1] AS {name}"
    for arg, by, order, where, name in (
        ("t", "i", "DESC", "", "am"),
        ("big", '"at"', "ASC", "", "an"),
        ("i", "odd", "DESC", "", "ao"),
        ("x + 0", "t", "ASC", " AND b", "af"),
    )
)
A, B, C = "part = 0", "part = 1", "part = 2"
Row = tuple[Any, ...]


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))
row = st.tuples(
    maybe(st.sampled_from(["a", "b", ""])), maybe(st.integers(-(2**44), 2**44)), maybe(st.integers(-(2**15), 2**15)),
    maybe(st.sampled_from([2**63 - 1, -(2**63), 0]) | st.integers(-(2**63), 2**63 - 1)),
    maybe(st.decimals(Decimal("-9999999.99"), Decimal("9999999.99"), places=2)), maybe(finite | st.just(-0.0)),
    maybe(st.floats()), maybe(st.text(alphabet="aé'\u4e00 ", max_size=4)), maybe(st.booleans()), maybe(moments),
    maybe(st.dates(date(1970, 1, 1), date(2200, 1, 1))), st.sampled_from([False, False, False, True]),
    st.integers(0, 2),
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> pa.Table:
    """Draw some rows one by one, and hundreds out of a seed."""
    rows = draw(st.lists(row, max_size=12))
    bulk = draw(st.sampled_from([0, 0, 40, 300]))
    rows += bulk_rows(np.random.default_rng(draw(st.integers(0, 2**32))), bulk)
    columns = list(zip(*rows, strict=True)) or [()] * len(ARROW)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, ARROW, strict=True)], schema=ARROW)


def bulk_rows(rng: np.random.Generator, count: int) -> Iterator[Row]:
    start = datetime(2024, 1, 1)
    for n in rng.integers(0, 2**40, count).tolist():
        yield (
            "abc"[n % 3], n - 2**39, n % 1000 - 500, n * 2**22, Decimal(n % 10**9) / 100, (n - 2**39) / 7,
            float(n % 50), None if n % 5 == 0 else str(n % 97), n % 2 == 0, start + timedelta(seconds=n % 9999),
            start.date(), n % 11 == 0, n // 7 % 3,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lab:
    """A DuckDB session that runs the forms of a view over the table `events`."""

    db: duckdb.DuckDBPyConnection

    def load(self, table: pa.Table) -> None:
        self.db.register("loaded", table)
        self.db.execute("CREATE OR REPLACE TABLE events AS FROM loaded")

    def partial(self, view: CompiledView, condition: str) -> str:
        return f"({view.partial.replace('{events}', f'(SELECT * FROM events WHERE {condition})')})"

    def combine(self, view: CompiledView, *partials: str) -> str:
        union = " UNION ALL ".join(f"SELECT * FROM {p}" for p in partials)
        return f"({view.combine.replace('{partials}', f'({union})')})"

    def finalize(self, view: CompiledView, combined: str) -> str:
        return f"({view.finalize.replace('{combined}', combined)})"

    def answer(self, view: CompiledView) -> str:
        return self.finalize(view, self.combine(view, *(self.partial(view, part) for part in (A, B, C))))

    def differences(self, view: CompiledView, left: str, right: str) -> dict[str, int]:
        """Count the keys at which each partial column differs, and those that one side lacks."""
        bounds = "".join(f', {c.bound} AS "{c.name}__bound"' for c in view.columns if c.bound)
        counts = [
            f'count(*) FILTER ({_differs(c.name, c.bound)}) AS "{c.name}"' for c in view.columns if c.role == "state"
        ]
        return self._count(view, f"(SELECT *{bounds} FROM {left})", right, counts)

    def output_differences(self, view: CompiledView, left: str, right: str) -> dict[str, int]:
        """Count the keys at which each output differs; -0.0, which DuckDB's own min and max give, is as 0.0."""
        zeros = ", ".join(f'"{o.name}" + CAST(0 AS DOUBLE) AS "{o.name}"' for o in view.outputs if o.type == "DOUBLE")
        star = f"* REPLACE ({zeros})" if zeros else "*"
        counts = [f'count(*) FILTER ({_differs(o.name, "")}) AS "{o.name}"' for o in view.outputs]
        return self._count(view, left, f"(SELECT {star} FROM {right})", counts)

    def _count(self, view: CompiledView, left: str, right: str, counts: list[str]) -> dict[str, int]:
        keys = " AND ".join(f'l."{k}" IS NOT DISTINCT FROM r."{k}"' for k in view.keys)
        lacking = "count(*) FILTER (l.present IS NULL OR r.present IS NULL) AS lacking"
        found = self.db.execute(
            f"SELECT {lacking}, {', '.join(counts)} FROM (SELECT *, 1 AS present FROM {left}) AS l"
            f" FULL JOIN (SELECT *, 1 AS present FROM {right}) AS r ON {keys}"
        ).fetchall()
        names = [d[0] for d in self.db.description or []]
        return {name: n for name, n in zip(names, found[0], strict=True) if n}


def _differs(name: str, bound: str) -> str:
    equal = f'CAST(l."{name}" AS VARCHAR) IS NOT DISTINCT FROM CAST(r."{name}" AS VARCHAR)'
    return f'NOT ({equal} OR abs(l."{name}" - r."{name}") <= l."{name}__bound")' if bound else f"NOT ({equal})"


def exported(expressions: str) -> str:
    """Write the same view over DuckDB's own states: exported for each part, combined, finalized."""
    calls = [e.rpartition(" AS ") for e in re.split(r",\s(?=\w+\()", expressions)]
    states = ", ".join(f"{call} EXPORT_STATE AS {name}" for call, _, name in calls)
    merged = ", ".join(f"finalize(combine_aggr({name})) AS {name}" for _, _, name in calls)
    parts = f"SELECT k, {states} FROM events WHERE NOT _duplicate GROUP BY k, part"
    return f"SELECT k, {merged} FROM ({parts}) GROUP BY k"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with duckdb.connect(config={"threads": 1}) as db:
        yield Lab(db)


def view_of(family: str) -> CompiledView:
    return compile_view("law", f"SELECT k, {EXPRESSIONS[family]} FROM events GROUP BY k", SCHEMA)


families = pytest.mark.parametrize("family", EXPRESSIONS)
few = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@families
@few
@given(table=events())
def test_combining_is_associative(lab: Lab, family: str, table: pa.Table) -> None:
    lab.load(table)
    view = view_of(family)
    a, b, c = (lab.partial(view, part) for part in (A, B, C))
    left = lab.combine(view, lab.combine(view, a, b), c)
    assert lab.differences(view, left, lab.combine(view, a, lab.combine(view, b, c))) == {}


@families
@few
@given(table=events())
def test_combining_is_commutative(lab: Lab, family: str, table: pa.Table) -> None:
    lab.load(table)
    view = view_of(family)
    a, b, c = (lab.partial(view, part) for part in (A, B, C))
    assert lab.differences(view, lab.combine(view, a, b, c), lab.combine(view, c, a, b)) == {}


@families
@few
@given(table=events())
def test_an_empty_part_is_the_identity(lab: Lab, family: str, table: pa.Table) -> None:
    lab.load(table)
    view = view_of(family)
    a, empty = lab.partial(view, "true"), lab.partial(view, "false")
    assert lab.differences(view, lab.combine(view, a, empty), a) == {}


@families
@few
@given(table=events())
def test_a_split_has_the_state_of_the_whole(lab: Lab, family: str, table: pa.Table) -> None:
    lab.load(table)
    view = view_of(family)
    split = lab.combine(view, *(lab.partial(view, part) for part in (A, B, C)))
    assert lab.differences(view, split, lab.partial(view, "true")) == {}


@pytest.mark.parametrize("family", [*AS_DUCKDB, "averages of decimals"])
@few
@given(table=events())
def test_an_exact_view_is_what_duckdb_answers(lab: Lab, family: str, table: pa.Table) -> None:
    lab.load(table)
    view = view_of(family)
    direct = f"({view.sql.replace('FROM events', 'FROM events WHERE NOT _duplicate')})"
    assert lab.output_differences(view, lab.answer(view), direct) == {}


@pytest.mark.parametrize("family", AS_DUCKDB)
@few
@given(table=events())
def test_an_exact_view_is_what_duckdb_merges_from_its_own_states(lab: Lab, family: str, table: pa.Table) -> None:
    lab.load(table)
    view = view_of(family)
    assert lab.output_differences(view, lab.answer(view), f"({exported(EXPRESSIONS[family])})") == {}


@few
@given(table=events())
def test_arg_max_takes_the_greatest_of_by_and_arg(lab: Lab, table: pa.Table) -> None:
    lab.load(table)
    view = view_of("picks")
    assert (
        lab.output_differences(
            view, lab.answer(view), f"(SELECT k, {PICKED} FROM events WHERE NOT _duplicate GROUP BY k)"
        )
        == {}
    )
