"""The compiler's own rules of types and precedence, compared with what DuckDB says and computes."""

from collections.abc import Iterator
from typing import Final

import duckdb
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from shardlake.core.compiler import compile_view
from shardlake.core.errors import ViewRefused
from shardlake.core.schema import Column, SourceSchema

SCHEMA: Final = SourceSchema(
    "events",
    (
        Column("k", "VARCHAR"),
        Column("i", "INTEGER"),
        Column("l", "BIGINT"),
        Column("d", "DECIMAL(9,2)"),
        Column("e", "DECIMAL(20,4)"),
        Column("x", "DOUBLE"),
        Column("t", "VARCHAR"),
        Column("b", "BOOLEAN"),
        Column("at", "TIMESTAMP"),
        Column("day", "DATE"),
    ),
    "at",
)
ROWS: Final = """
CREATE TABLE events AS SELECT 'k' AS k, CAST(n % 7 - 3 AS INTEGER) AS i, CAST(n * 1000003 AS BIGINT) AS l,
  CAST(n * 1.25 AS DECIMAL(9,2)) AS d, CAST(n * 0.0625 AS DECIMAL(20,4)) AS e, n / 7 AS x, 'a/B c' || n AS t,
  n % 3 = 0 AS b, TIMESTAMP '2024-02-29 23:59:58.5' + INTERVAL (n) HOUR AS "at", DATE '2024-02-29' + CAST(n AS INTEGER)
  AS day, false AS _duplicate FROM range(40) AS r(n)
UNION ALL SELECT 'k', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false
"""
EXPRESSIONS: Final = """
i + 1; l + i; i - l; i * i; l * 2; i + 5000000000; d + i; d + l; d - 1.5; d * d; d * e; e * 1.25; d * i;
if(b, 1.5 + 1, 0); e + 0.05; x + i; x * d; -i; -d; i / 2; l / i; d / 3; x / 0.5; i // 2; l // 7; i % 3; l % 10;
l // nullif(i, 0); l % nullif(l, 0); abs(i); abs(d); abs(x); round(x); round(x, 2); round(d); round(e, 1);
round(d, 5); floor(x); ceil(d); floor(e); i < l; d >= x; i = 1 AND b; b OR NOT b; NOT b; i IS NULL; b IS TRUE;
b IS NOT FALSE; i IS DISTINCT FROM l; t IS NOT DISTINCT FROM k; i BETWEEN -1 AND 2; i NOT BETWEEN 0 AND 1;
l IN (1, 2, 1000003); t NOT IN ('a', 'b'); t LIKE 'a%'; t NOT LIKE '%1'; t ILIKE 'A%'; t || k;
CASE WHEN b THEN i ELSE l END; CASE i WHEN 1 THEN 'one' WHEN 2 THEN 'two' END; CASE WHEN b THEN 1 ELSE 2.5 END;
CASE WHEN b THEN d ELSE e END; CASE WHEN b THEN d ELSE x END; if(b, i, 0); coalesce(i, l, 0); coalesce(d, 0);
coalesce(e, i); coalesce(t, 'none'); greatest(i, l); least(d, e); greatest(x, 1); nullif(i, 1); nullif(t, '');
CAST(i AS BIGINT); CAST(l AS DOUBLE); CAST(d AS DOUBLE); i::DECIMAL(12,2); CAST(b AS INTEGER); CAST(i AS VARCHAR);
CAST(d AS VARCHAR); CAST(day AS TIMESTAMP); CAST("at" AS DATE); TRY_CAST(t AS BIGINT); TRY_CAST(l AS INTEGER);
TRY_CAST(x AS DECIMAL(18,3)); TRY_CAST(floor(x) AS BIGINT); TRY_CAST(d AS DECIMAL(5,1)); CAST(d AS DECIMAL(12,3));
lower(t); upper(t); length(t); trim(t); ltrim(t); rtrim(t); left(t, 2); right(t, 2); substring(t, 2);
substr(t, 2, 3); split_part(t, '/', 2); replace(t, 'a', 'b'); contains(t, '1'); starts_with(t, 'a');
ends_with(t, '1'); regexp_matches(t, '[0-9]{2}'); regexp_extract(t, '[a-z]+'); regexp_extract(t, '([a-z])/', 1);
year("at"); month(day); day("at"); hour("at"); minute("at"); second("at"); extract(hour FROM "at");
date_trunc('month', "at"); date_trunc('week', "at"); date_trunc('day', "at");
time_bucket(INTERVAL '5 minutes', "at"); time_bucket(INTERVAL 2 DAY, "at"); time_bucket(INTERVAL '3 weeks', "at");
time_bucket(INTERVAL '90' SECOND, "at"); epoch_us("at"); "at" >= TIMESTAMP '2024-03-01 12:00:00';
day < DATE '2024-03-09'; "at" > day; if(b, '2024-03-01'::DATE, NULL); t || 'it''s'; if(b, 0.5, NULL);
if(b, 1e3, NULL); if(b, 12.50, NULL); if(b, TRUE, NULL); if(b, 100, NULL)
"""


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(ROWS)
        yield connection


def written(expression: str, schema: SourceSchema = SCHEMA) -> tuple[str, str]:
    """Give the compiler's SQL and type of an expression, as the argument of max."""
    view = compile_view("v", f"SELECT k, count(*) AS n, max({expression}) AS v FROM events GROUP BY k", schema)
    return view.partial.split("max(")[1].rsplit(") AS", 1)[0], view.outputs[-1].type


@pytest.mark.parametrize("expression", [e.strip() for e in EXPRESSIONS.split(";")])
def test_an_expression_has_duckdbs_type_and_values(db: duckdb.DuckDBPyConnection, expression: str) -> None:
    sql, type_ = written(expression)
    found = db.execute(f"SELECT typeof({expression}), {expression} FROM events").fetchall()
    ours = db.execute(f"SELECT '{type_}', {sql} FROM events").fetchall()
    assert ours == found


numbers = st.sampled_from(["i", "l", "2", "3", "-i", "nullif(i, 0)"])
sums = st.lists(numbers, min_size=2, max_size=5).flatmap(
    lambda terms: st.lists(st.sampled_from(["+", "-", "*"]), min_size=len(terms) - 1, max_size=len(terms) - 1).map(
        lambda signs: " ".join([terms[0], *(part for pair in zip(signs, terms[1:], strict=True) for part in pair)])
    )
)
whole = st.builds(
    "{} {} {} {} {}".format, numbers, st.sampled_from("*+-"), numbers, st.sampled_from(["//", "%"]), st.just("3")
)
compared = st.builds(
    "{} {} {}".format, sums | whole, st.sampled_from(["=", "<>", "<", ">=", "IS DISTINCT FROM"]), sums | whole
)
tests = (
    compared
    | st.builds("{} BETWEEN {} AND {}".format, sums, numbers, sums)
    | st.sampled_from(["b", "t || k LIKE 'a%'", "i IS NULL", "b IS NOT TRUE", "i + 1 IN (1, 2)", "t || k = k || t"])
)
clause = st.builds("{}{}".format, st.sampled_from(["", "NOT "]), tests)
condition = st.lists(clause, min_size=1, max_size=4).flatmap(
    lambda parts: st.lists(st.sampled_from([" AND ", " OR "]), min_size=len(parts), max_size=len(parts)).map(
        lambda words: "".join(p + w for p, w in zip(parts, words, strict=True)).rsplit(" ", 2)[0]
    )
)


@settings(max_examples=150, deadline=None, derandomize=True, phases=[Phase.generate])
@given(text=condition)
def test_operators_bind_as_in_duckdb(db: duckdb.DuckDBPyConnection, text: str) -> None:
    assume(any(column in text for column in "iltb"))
    sql, _ = written(text)
    assert db.execute(f"SELECT {sql} FROM events").fetchall() == db.execute(f"SELECT {text} FROM events").fetchall()


EVERYTHING: Final = (
    "count(*) AS n, sum(l) AS s, avg(i) AS a, stddev(d) AS sd, arg_max(t, l) AS am, bool_or(b) AS bo, count_if(b) AS c,"
    " approx_count_distinct(t) AS u, approx_quantile(x, 0.5) AS q, min(e) AS e, var_pop(x) AS vx, sum(x) AS sx"
)


def test_the_stated_types_are_those_of_the_forms(db: duckdb.DuckDBPyConnection) -> None:
    compiled = compile_view("v", f"SELECT k, {EVERYTHING} FROM events GROUP BY k", SCHEMA)
    partial = f"({compiled.partial.replace('{events}', 'events')})"
    combined = f"({compiled.combine.replace('{partials}', partial)})"
    stated = [(c.name, c.type.replace('"', "")) for c in compiled.columns]
    for relation, expected in (
        (partial, stated),
        (combined, stated),
        (compiled.finalize.replace("{combined}", combined), [(o.name, o.type) for o in compiled.outputs]),
    ):
        described = db.execute(f"DESCRIBE SELECT * FROM ({relation})").fetchall()
        assert [(name, type_.replace('"', "")) for name, type_, *_ in described] == expected


def test_equal_views_have_one_fingerprint_and_others_have_others() -> None:
    def fingerprint(sql: str, schema: SourceSchema = SCHEMA) -> str:
        return compile_view("v", sql, schema).fingerprint

    plain = fingerprint("SELECT k, sum(l) AS s FROM events GROUP BY k")
    assert plain == fingerprint("-- description: the same\nselect K as k, SUM( l ) s\nFROM Events GROUP BY 1")
    assert plain != fingerprint("SELECT k, sum(l) AS s FROM events WHERE b GROUP BY k")
    assert plain != fingerprint("SELECT k, sum(i) AS s FROM events GROUP BY k")
    narrower = tuple(Column("l", "INTEGER") if c.name == "l" else c for c in SCHEMA.columns)
    assert plain != fingerprint("SELECT k, sum(l) AS s FROM events GROUP BY k", SourceSchema("events", narrower, "at"))
    unused = tuple(Column("x", "INTEGER") if c.name == "x" else c for c in SCHEMA.columns)
    assert plain == fingerprint("SELECT k, sum(l) AS s FROM events GROUP BY k", SourceSchema("events", unused, "at"))


def test_a_place_is_counted_in_lines_and_columns() -> None:
    with pytest.raises(ViewRefused) as refused:
        compile_view("v", "-- description: x\nSELECT k,\n    median(l) AS m\nFROM events GROUP BY k", SCHEMA)
    assert (refused.value.line, refused.value.column) == (3, 5)
