"""The view `sessions`: what it counts of a request, and that it is kept only by those who name it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from benchmarks.behaviour import decoded
from shardlake.app.config import load
from shardlake.app.settings import Config
from shardlake.app.viewset import compile_all, optional_views
from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.header import STANDARD_FIELDS
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.packs.cloudfront.schema import SCHEMA
from shardlake.packs.pack import Pack
from shardlake.packs.registry import load as load_pack

USUAL = ["bandwidth", "bots", "viewers"]
COUNTS = ("assets", "data", "unreferred", "heads", "errors_4xx", "errors_5xx", "robots", "probes")


def events(*requests: Mapping[str, str]) -> pa.Table:
    """Requests of one viewer in one minute, but for what they say otherwise."""
    lines = ["#Version: 1.0", "#Fields: " + " ".join(STANDARD_FIELDS)]
    for number, given in enumerate(requests):
        values = {
            "date": "2026-03-01", "time": "10:00:00", "c-ip": "192.0.2.1", "sc-bytes": "10", "cs-method": "GET",
            "sc-status": "200", "cs-uri-stem": "/a", "cs(Referer)": "https://www.example.com/",
            "x-edge-request-id": f"id{number}==", "cs(User-Agent)": "Mozilla/5.0%20(X11)", **given,
        }  # fmt: skip
        lines.append("\t".join(values.get(field, "-") for field in STANDARD_FIELDS))
    return decoded(("\n".join(lines) + "\n").encode())


def asked(table: pa.Table) -> list[dict[str, Any]]:
    connection = duckdb.connect()
    connection.register("cloudfront", table)
    rows: list[dict[str, Any]] = connection.sql(CloudFront().views["sessions"]).to_arrow_table().to_pylist()
    return rows


def counted(**given: str) -> dict[str, int]:
    """What one request is counted as, beside being a request."""
    (row,) = asked(events({name.replace("_", "-"): value for name, value in given.items()}))
    assert (row["requests"], row["bytes"]) == (1, 10)
    return {name: row[name] for name in COUNTS if row[name] != 0}


# ---------------------------------------------------------------------------------------------------------- the view


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, {}),
        ({"cs_uri_stem": "/img/a.JPG"}, {"assets": 1}),
        ({"cs_uri_stem": "/app.mjs"}, {"assets": 1}),
        ({"cs_uri_stem": "/text.woff2"}, {"assets": 1}),
        ({"cs_uri_stem": "/png"}, {}),
        ({"cs_uri_stem": "/a.tar.gz"}, {}),
        ({"cs_uri_stem": "/x", "sc_content_type": "image/webp"}, {"assets": 1}),
        ({"cs_uri_stem": "/x", "sc_content_type": "text/javascript;%20charset=utf-8"}, {"assets": 1}),
        ({"cs_uri_stem": "/x", "sc_content_type": "text/html"}, {}),
        ({"cs_uri_stem": "/news.json"}, {"data": 1}),
        ({"cs_uri_stem": "/news", "sc_content_type": "application/json"}, {"data": 1}),
        ({"cs_method": "HEAD"}, {"heads": 1}),
        ({"sc_status": "404"}, {"errors_4xx": 1}),
        ({"sc_status": "503"}, {"errors_5xx": 1}),
        ({"sc_status": "000"}, {}),
        ({"cs_uri_stem": "/robots.txt"}, {"robots": 1}),
        ({"cs_uri_stem": "/.env", "sc_status": "403"}, {"errors_4xx": 1, "probes": 1}),
        ({"cs_uri_stem": "/wp-login.php", "sc_status": "404"}, {"errors_4xx": 1, "probes": 1}),
        ({"cs_uri_stem": "/wp-login.php"}, {}),
    ],
)
def test_a_request_is_counted_as_what_it_is(given: dict[str, str], counts: dict[str, int]) -> None:
    assert counted(**given) == counts


def test_what_is_not_logged_is_counted_as_nothing() -> None:
    (row,) = asked(events({field: "-" for field in STANDARD_FIELDS if field not in ("date", "time")}))
    assert {name: row[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | {"unreferred": 1}
    assert (row["viewer"], row["user_agent"], row["first_path"]) == (None, None, None)


def test_each_viewer_with_each_user_agent_has_a_row_a_minute() -> None:
    rows = asked(
        events(
            {"cs-uri-stem": "/b"}, {"cs-uri-stem": "/a", "time": "10:00:59"}, {"time": "10:01:00"},
            {"cs(User-Agent)": "curl/8.5.0"}, {"c-ip": "192.0.2.2"},
        )
    )  # fmt: skip
    assert sorted((r["bucket"].minute, r["viewer"], r["user_agent"], r["is_bot"], r["requests"]) for r in rows) == [
        (0, "192.0.2.1", "Mozilla/5.0 (X11)", False, 2),
        (0, "192.0.2.1", "curl/8.5.0", True, 1),
        (0, "192.0.2.2", "Mozilla/5.0 (X11)", False, 1),
        (1, "192.0.2.1", "Mozilla/5.0 (X11)", False, 1),
    ]
    assert {(r["first_path"], r["last_path"]) for r in rows if r["requests"] == 2} == {("/a", "/b")}


def test_nothing_in_the_view_is_estimated() -> None:
    view = compile_view("sessions", CloudFront().views["sessions"], SCHEMA)
    assert {output.exactness for output in view.outputs} == {"exact"}
    assert view.keys == ("bucket", "viewer", "user_agent")


# ------------------------------------------------------------------------------------------------------ its being kept


def configured(folder: Path, use: str, own: Mapping[str, str] | None = None) -> Config:
    (folder / "views").mkdir(exist_ok=True)
    for name, sql in (own or {}).items():
        (folder / "views" / f"{name}.sql").write_text(sql)
    return load({"views.use": (use, "--set")} if use else {}, {}, folder).config


OWN = {"mine": "SELECT distribution, count(*) AS n FROM cloudfront GROUP BY distribution"}


@pytest.mark.parametrize(
    ("use", "kept"),
    [
        ("", [*USUAL, "mine"]),
        ("all", [*USUAL, "mine"]),
        ("all,sessions", [*USUAL, "mine", "sessions"]),
        ("sessions,all,bots", [*USUAL, "mine", "sessions"]),
        ("bots", ["bots"]),
        ("sessions", ["sessions"]),
    ],
)
def test_an_optional_view_is_kept_where_it_is_named(tmp_path: Path, use: str, kept: list[str]) -> None:
    config = configured(tmp_path, use, OWN)
    assert sorted(compile_all(config)) == sorted(kept)
    assert optional_views(config) == ([] if "sessions" in kept else ["sessions"])


def test_an_unknown_view_is_refused_with_the_names_that_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names session, which is no view; accepted: all, bandwidth, bots, mine, se"):
        compile_all(configured(tmp_path, "all,session", OWN))


@pytest.fixture(name="pack", params=["cloudfront", "cloudfront_realtime"])
def _pack(request: pytest.FixtureRequest) -> Pack:
    return load_pack(request.param)


def test_both_packs_have_the_optional_view_and_the_same_queries(pack: Pack) -> None:
    assert pack.optional == {"sessions"}
    assert pack.optional < set(pack.views)
    assert pack.queries == CloudFront().queries


def test_a_saved_query_says_what_it_is_and_needs_and_runs_on_nothing(pack: Pack) -> None:
    assert sorted(pack.queries) == ["bandwidth_by_edge", "suspects", "top_viewers"]
    connection = duckdb.connect()
    connection.register("cloudfront", events().slice(0, 0))
    for name, sql in pack.views.items():
        connection.execute(f"CREATE TABLE {name} AS {sql}")
    for sql in pack.queries.values():
        description, views, *_ = sql.splitlines()
        assert description.startswith("-- description: ")
        needed = views.removeprefix("-- views: ").split(", ")
        assert connection.get_table_names(sql) == set(needed)
        assert connection.sql(sql).fetchall() == []
