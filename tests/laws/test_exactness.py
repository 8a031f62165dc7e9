"""Exact and bounded classes against arithmetic in fractions: variance, sums of doubles, overflow."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shardlake.core.compiler import compile_view
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import CompiledView

SCHEMA: Final = SourceSchema(
    "events",
    (Column("k", "BIGINT"), Column("i", "BIGINT"), Column("d", "DECIMAL(18,2)"), Column("x", "DOUBLE")),
    "k",
)
ULPS: Final = 4 * 2.0**-53
few = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


def view(aggregates: str) -> CompiledView:
    return compile_view("v", f"SELECT k, {aggregates} FROM events GROUP BY k", SCHEMA)


def combined(compiled: CompiledView) -> str:
    parts = [compiled.partial.replace("{events}", f"(SELECT * FROM events WHERE part = {p})") for p in range(3)]
    union = " UNION ALL ".join(parts)
    return f"({compiled.combine.replace('{partials}', f'({union})')})"


def answer(db: duckdb.DuckDBPyConnection, compiled: CompiledView) -> tuple[float | None, ...]:
    rows = db.execute(compiled.finalize.replace("{combined}", combined(compiled))).fetchall()
    return tuple(rows[0][1:])


def load(db: duckdb.DuckDBPyConnection, column: str, values: pa.Array) -> None:
    db.register("loaded", pa.table({column: values}))
    columns = f"CAST(0 AS BIGINT) AS k, {column}, row_number() OVER () % 3 AS part, false AS _duplicate"
    db.execute(f"CREATE OR REPLACE TABLE events AS SELECT {columns} FROM loaded")


def variance(values: list[Fraction], less: int) -> Fraction:
    mean = sum(values) / Fraction(len(values))
    return Fraction(sum((v - mean) ** 2 for v in values)) / (len(values) - less)


near = st.integers(-(2**60), 2**60).flatmap(
    lambda middle: st.lists(st.integers(middle - 1000, middle + 1000), min_size=2, max_size=15)
)
spread = st.lists(st.integers(-(2**58), 2**58), min_size=2, max_size=15)


@few
@example(values=[1] * 999 + [0])  # the sum of squares and the square of the sum nearly cancel
@given(values=near | spread)
def test_a_variance_of_integers_is_exact_to_the_last_rounding(db: duckdb.DuckDBPyConnection, values: list[int]) -> None:
    if abs(sum(values)) >= 2**63:
        return
    load(db, "i", pa.array(values, pa.int64()))
    found = answer(db, view("var_samp(i) AS s, var_pop(i) AS p"))
    exact = variance([Fraction(v) for v in values], 1), variance([Fraction(v) for v in values], 0)
    assert all(abs(Fraction(f or 0) - e) <= ULPS * e for f, e in zip(found, exact, strict=True)), (found, exact)


@few
@given(values=st.lists(st.decimals(-(10**12), 10**12, places=2), min_size=2, max_size=15))
def test_a_deviation_of_decimals_is_exact_to_the_last_rounding(
    db: duckdb.DuckDBPyConnection, values: list[object]
) -> None:
    load(db, "d", pa.array(values, pa.decimal128(18, 2)))
    (found,) = answer(db, view("stddev_samp(d) AS s"))
    exact = math.sqrt(variance([Fraction(str(v)) for v in values], 1))
    assert found is not None
    assert abs(found - exact) <= 2 * ULPS * exact


@few
@given(values=st.lists(st.floats(-1e15, 1e15).map(lambda x: x if abs(x) > 1e-100 else 0.0), min_size=2, max_size=60))
def test_what_is_computed_from_doubles_is_within_its_stated_bound(
    db: duckdb.DuckDBPyConnection, values: list[float]
) -> None:
    load(db, "x", pa.array(values, pa.float64()))
    compiled = view("sum(x) AS s, avg(x) AS a, var_samp(x) AS vs, stddev_pop(x) AS sp")
    found = answer(db, compiled)
    bounds = ", ".join(o.bound for o in compiled.outputs if o.bound)
    limits = db.execute(f"SELECT {bounds} FROM {combined(compiled)}").fetchall()[0]
    exact = [Fraction(v) for v in values]
    total, deviation = Fraction(sum(exact)), Fraction(math.sqrt(variance(exact, 0)))
    truth = (total, total / len(values), variance(exact, 1), deviation)
    e: Fraction
    for f, limit, e in zip(found, limits, truth, strict=True):
        assert abs(Fraction(f or 0) - e) <= Fraction(limit) + abs(e) * Fraction(ULPS)


@pytest.mark.parametrize("aggregate", ["sum(i)", "avg(i)", "var_pop(i)"])
def test_an_overflow_is_an_error_and_nothing_wraps(db: duckdb.DuckDBPyConnection, aggregate: str) -> None:
    load(db, "i", pa.array([2**63 - 1] * 9, pa.int64()))
    with pytest.raises(duckdb.Error, match=r"out of range|[Oo]verflow"):
        answer(db, view(f"{aggregate} AS s"))


def test_columns_survive_a_file(db: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> None:
    load(db, "i", pa.array([9007199254740993, 1, -5], pa.int64()))
    compiled = view(
        "sum(i) AS s, var_pop(i) AS v, approx_count_distinct(i) AS n, approx_quantile(i, 0.5) AS q, arg_max(i, i) AS m"
    )
    path = tmp_path_factory.mktemp("file") / "partial.parquet"
    partial = compiled.partial.replace("{events}", "events")
    db.execute(f"COPY ({partial}) TO '{path}' (FORMAT parquet)")
    types = {name: type_ for name, type_, *_ in db.execute(f"DESCRIBE FROM '{path}'").fetchall()}
    assert {c.name: c.type.replace('"', "") for c in compiled.columns} == {
        n: t.replace('"', "") for n, t in types.items()
    }
    assert db.execute(f"SELECT count(*) FROM (FROM '{path}' EXCEPT ALL {partial})").fetchall() == [(0,)]


def test_threads_do_not_change_an_exact_answer() -> None:
    rows = "(SELECT n % 10 AS k, n * 7919 % 100003 AS i, false AS _duplicate FROM range(300000) AS r(n))"
    compiled = view(
        "sum(i) AS s, stddev(i) AS v, approx_count_distinct(i) AS n, approx_quantile(i, 0.9) AS q, arg_max(i, i) AS m"
    )
    states = []
    for threads in (1, 2):
        with duckdb.connect(config={"threads": threads}) as db:
            states.append(
                sorted(db.execute(compiled.partial.replace("{events}", rows)).fetchall(), key=lambda row: int(row[0]))
            )
    assert states[0] == states[1]
