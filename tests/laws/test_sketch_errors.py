"""How far sketches may be off, measured through the forms; and that their states are what their definition says."""

import hashlib
import math
from collections.abc import Iterator
from typing import Final

import duckdb
import pytest

from shardlake.core.compiler import compile_view
from shardlake.core.schema import Column, SourceSchema

SCHEMA: Final = SourceSchema("events", (Column("k", "BIGINT"), Column("v", "BIGINT"), Column("x", "DOUBLE")), "k")
DISTINCT: Final = compile_view("d", "SELECT k, approx_count_distinct(v) AS n FROM events GROUP BY k", SCHEMA)
QUANTILES: Final = (0, 0.01, 0.5, 0.9, 0.999, 1)
SPREAD: Final = compile_view(
    "q",
    "SELECT k, "
    + ", ".join(f"approx_quantile(x, {q}) AS q{n}" for n, q in enumerate(QUANTILES))
    + " FROM events GROUP BY k",
    SCHEMA,
)
BLOCK: Final = 1000  # distinct values in each block; greater cardinalities are unions of blocks
BLOCKS: Final = 2000
RELATIVE_STANDARD_ERROR: Final = 0.017
RELATIVE_ERROR: Final = 0.01


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.fixture(scope="module")
def blocks(db: duckdb.DuckDBPyConnection) -> str:
    rows = f"(SELECT n // {BLOCK} AS k, n * 7919 AS v, false AS _duplicate FROM range({BLOCK * BLOCKS}) AS r(n))"
    db.execute(f"CREATE TABLE blocks AS {DISTINCT.partial.replace('{events}', rows)}")
    return "blocks"


def rms(db: duckdb.DuckDBPyConnection, partials: str, cardinality: int) -> float:
    combined = f"({DISTINCT.combine.replace('{partials}', partials)})"
    answer = DISTINCT.finalize.replace("{combined}", combined)
    found = db.execute(f"SELECT sqrt(avg((n / {cardinality} - 1) ** 2)) FROM ({answer})").fetchall()
    return float(found[0][0])


@pytest.mark.parametrize("cardinality", [1, 2, 7, 30, 100, 400])
def test_small_distinct_counts_are_nearly_exact(db: duckdb.DuckDBPyConnection, cardinality: int) -> None:
    rows = f"(SELECT n // {cardinality} AS k, n AS v, false AS _duplicate FROM range({cardinality * 100}) AS r(n))"
    error = rms(db, f"({DISTINCT.partial.replace('{events}', rows)})", cardinality)
    assert error <= RELATIVE_STANDARD_ERROR


@pytest.mark.parametrize("count", [1, 3, 8, 12, 16, 20, 25, 32, 40, 60, 100, 250, 1000])
def test_the_standard_error_holds_at_every_cardinality(db: duckdb.DuckDBPyConnection, blocks: str, count: int) -> None:
    unions = f'(SELECT k // {count} AS k, "n__registers" FROM {blocks} WHERE k // {count} < {BLOCKS // count})'
    assert rms(db, unions, count * BLOCK) <= RELATIVE_STANDARD_ERROR


def test_the_registers_are_those_of_the_definition(db: duckdb.DuckDBPyConnection) -> None:
    rows = "(SELECT 0 AS k, n * n AS v, n % 10 = 9 AS _duplicate FROM range(5000) AS r(n))"
    found = db.execute(DISTINCT.partial.replace("{events}", rows)).fetchall()
    registers: dict[int, int] = {}
    for value in (n * n for n in range(5000) if n % 10 != 9):
        digest = int(hashlib.md5(str(value).encode(), usedforsecurity=False).hexdigest()[:15], 16)
        rest = digest >> 13
        rho = (rest & -rest).bit_length() if rest else 48
        registers[digest & 8191] = max(rho, registers.get(digest & 8191, 0))
    assert found[0][1] == sorted(register * 64 + rho for register, rho in registers.items())


SHAPES: Final = {
    "log-normal": "exp(sin(n * 12.9898) * 9)",
    "integers": "CAST(n * 7919 % 1000 AS DOUBLE)",
    "negative": "-exp(sin(n * 78.233) * 3)",
    "both signs": "sin(n * 43758.5453) * 1e6",
    "constant": "0.1",
    "zero and tiny": "CASE WHEN n % 3 = 0 THEN 0 ELSE 1e-300 * n END",
    "huge": "1.7e308 - n * 1e304",
    "with NULL": "CASE WHEN n % 2 = 0 THEN n + 0.5 END",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_quantile_is_within_its_relative_error(db: duckdb.DuckDBPyConnection, shape: str) -> None:
    db.execute(f"CREATE OR REPLACE TABLE events AS SELECT n % 3 AS k, CAST({SHAPES[shape]} AS DOUBLE) AS x,"
               " n % 5 AS part, false AS _duplicate FROM range(3000) AS r(n)")  # fmt: skip
    parts = [SPREAD.partial.replace("{events}", f"(SELECT * FROM events WHERE part = {p})") for p in range(5)]
    combined = SPREAD.combine.replace("{partials}", f"({' UNION ALL '.join(parts)})")
    answers = db.execute(SPREAD.finalize.replace("{combined}", f"({combined})")).fetchall()
    for key, *found in answers:
        values = [
            x for (x,) in db.execute(f"SELECT x FROM events WHERE k = {key} AND x IS NOT NULL ORDER BY x").fetchall()
        ]
        exact = [values[max(math.ceil(round(q * len(values), 6)), 1) - 1] for q in QUANTILES]
        assert all(abs(f - e) <= RELATIVE_ERROR * abs(e) for f, e in zip(found, exact, strict=True)), (found, exact)


def test_no_value_and_odd_values_have_quantiles(db: duckdb.DuckDBPyConnection) -> None:
    db.execute("CREATE OR REPLACE TABLE events AS SELECT * FROM (VALUES (0, NULL, false), (1, 'inf'::DOUBLE, false),"
               " (2, '-inf'::DOUBLE, false), (3, 'nan'::DOUBLE, false)) AS t(k, x, _duplicate)")  # fmt: skip
    combined = SPREAD.combine.replace("{partials}", f"({SPREAD.partial.replace('{events}', 'events')})")
    found = dict(db.execute(f"SELECT k, q2 FROM ({SPREAD.finalize.replace('{combined}', f'({combined})')})").fetchall())
    assert (found[0], found[1], found[2], math.isnan(found[3])) == (None, math.inf, -math.inf, True)
