"""The saved query `suspects`: each reason is given to those who deserve it, and people are left alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from benchmarks.behaviour import decoded
from benchmarks.behaviour_traffic import KINDS, draw, log
from shardlake.packs.cloudfront.pack import CloudFront

Rows = list[dict[str, Any]]
NAMES = {f"{kind.name}": kind.is_bot for kind in KINDS}
UNSEEN = {"headless browser", "swarm"}
DESERVED = {
    "steady scraper": ("no assets in 720 pages", "no referrer in 720 of 720 requests", "steady rate: 1"),
    "slow scraper": ("no assets in ", " hours without a pause of 30 minutes"),
    "burst scraper": ("no assets in 200 pages", "no referrer in 200 of 200 requests", " pages in one minute"),
    "monitor": ("one path, 288 times: /", "287 of 287 pauses are of 5 minutes", "23 hours without a pause"),
    "vulnerability scanner": ("6 paths that scanners try", "250 of 250 requests failed"),
    "polite crawler": ("asked for robots.txt", "no assets in 61 pages"),
    "link checker": ("50 HEAD requests", "no assets in 50 pages"),
    "declared crawler": ("asked for robots.txt", "no assets in 61 pages"),
}


@dataclass(frozen=True)
class Day:
    """A generated day in a session of DuckDB, with the kind of each viewer."""

    connection: duckdb.DuckDBPyConnection
    kind_of: dict[str, str]

    def ask(self, threshold: int = 50) -> dict[str, Rows]:
        """Everybody who reaches the threshold, by kind."""
        found: dict[str, Rows] = {}
        for row in suspects(self.connection, threshold):
            found.setdefault(self.kind_of[row["viewer"]], []).append(row)
        return found


def suspects(connection: duckdb.DuckDBPyConnection, threshold: int = 50) -> Rows:
    sql = CloudFront().queries["suspects"]
    assert sql.count("50 AS threshold") == 1
    chosen = sql.replace("50 AS threshold", f"{threshold} AS threshold")
    rows: Rows = connection.sql(chosen).to_arrow_table().to_pylist()
    return [row | {"reasons": [*filter(None, row["reasons"].split("; "))]} for row in rows]


@pytest.fixture
def day() -> Day:
    traffic = draw(7, 30)
    connection = duckdb.connect()
    connection.register("cloudfront", decoded(log(traffic.lines)))
    connection.execute(f"CREATE TABLE sessions AS {CloudFront().views['sessions']}")
    return Day(connection, traffic.kind_of)


# ------------------------------------------------------------------------------------------------------ a whole day


def test_bots_are_flagged_for_what_they_did_and_nobody_else_is(day: Day) -> None:
    found = day.ask()
    assert set(found) == {name for name, is_bot in NAMES.items() if is_bot} - UNSEEN
    for name, reasons in DESERVED.items():
        for row in found[name]:
            said = "; ".join(row["reasons"])
            assert [reason for reason in reasons if reason not in said] == [], (name, said)
            assert row["is_bot"] == (name == "declared crawler")


def test_many_people_behind_one_address_are_like_a_browser_and_not_steady(day: Day) -> None:
    rows = day.ask(threshold=0)
    (carrier,) = rows["mobile carrier"]
    assert carrier["requests"] > 500
    assert carrier["score"] == 0
    for row in (carrier, *rows["office proxy"]):
        assert "like a browser" in row["reasons"][-1]
        assert "steady" not in "".join(row["reasons"])


def test_the_points_of_the_reasons_are_the_score(day: Day) -> None:
    rows = [row for ones in day.ask(threshold=0).values() for row in ones]
    assert {row["score"] for row in rows} >= {0, 25, 55, 85, 100}
    for row in rows:
        points = sum(int(reason.split()[0]) for reason in row["reasons"])
        assert row["score"] == max(0, min(100, points))


def test_neither_the_user_agent_nor_its_verdict_is_asked(day: Day) -> None:
    before = day.ask(threshold=0)
    day.connection.execute("UPDATE sessions SET is_bot = NOT is_bot, user_agent = md5(user_agent)")
    after = day.ask(threshold=0)
    judged = {name: sorted((r["viewer"], r["score"], r["reasons"]) for r in rows) for name, rows in before.items()}
    assert judged == {
        name: sorted((r["viewer"], r["score"], r["reasons"]) for r in rows) for name, rows in after.items()
    }


@pytest.mark.parametrize("lacking", ["assets = 0", "unreferred = requests"])
def test_what_nobody_does_here_is_held_against_nobody(day: Day, lacking: str) -> None:
    day.connection.execute(f"UPDATE sessions SET {lacking}")
    word = "assets" if "assets" in lacking else "referrer"
    rows = [row for ones in day.ask(threshold=0).values() for row in ones]
    assert [
        reason for row in rows for reason in row["reasons"] if word in reason and "like a browser" not in reason
    ] == []


# ---------------------------------------------------------------------------------------------------- single reasons

START = datetime(2026, 3, 1)


@pytest.fixture
def said() -> Callable[..., list[str]]:
    """Give the points against one viewer, by what it did in some minutes, on a site with assets and referrers."""

    def ask(*minutes: Mapping[str, Any]) -> list[str]:
        connection = duckdb.connect()
        connection.register("cloudfront", decoded(log(())))
        connection.execute(f"CREATE TABLE sessions AS {CloudFront().views['sessions']}")
        usual = {"at": 0, "pages": 0, "assets": 0, "unreferred": 0, "robots": 0, "paths": ("/a", "/b")}
        neighbour = {"viewer": "neighbour", "pages": 5, "assets": 20}
        for given in ({"viewer": "it", **minute} for minute in minutes):
            _insert(connection, {**usual, **given})
        _insert(connection, {**usual, **neighbour})
        reasons = [reason for row in suspects(connection, 0) if row["viewer"] == "it" for reason in row["reasons"]]
        return [reason for reason in reasons if reason.startswith("+")]

    return ask


def _insert(connection: duckdb.DuckDBPyConnection, row: Mapping[str, Any]) -> None:
    bucket = START + timedelta(minutes=row["at"])
    requests = row["pages"] + row["assets"]
    first, last = row["paths"]
    connection.execute(
        "INSERT INTO sessions BY NAME SELECT ? AS bucket, ? AS viewer, 'a' AS user_agent, false AS is_bot,"
        " ? AS requests, 0 AS bytes, ? AS assets, 0 AS data, ? AS unreferred, 0 AS heads, 0 AS errors_4xx,"
        " 0 AS errors_5xx, ? AS robots, 0 AS probes, ? AS first_path, ? AS last_path",
        [bucket, row["viewer"], requests, row["assets"], row["unreferred"], row["robots"], first, last],
    )


def test_a_rate_is_steady_only_below_the_chance_of_independent_requests(said: Callable[..., list[str]]) -> None:
    even = [{"at": at, "pages": 10 + at % 2, "assets": 5} for at in range(60)]
    assert said(*even) == ["+30 steady rate: 10.5 pages a minute, deviation 0.5"]
    uneven = [{"at": at, "pages": (7, 10, 13, 10)[at % 4], "assets": 5} for at in range(60)]  # a variance of 4.5
    assert said(*uneven) == []
    assert said(*even[:29]) == []


def test_the_first_and_last_minute_of_a_session_are_no_part_of_its_rate(said: Callable[..., list[str]]) -> None:
    cut = [{"at": at, "pages": 1 if at in (0, 59) else 20, "assets": 5} for at in range(60)]
    assert said(*cut) == ["+30 steady rate: 20.0 pages a minute, deviation 0.0"]


def test_a_longer_pause_begins_a_new_session(said: Callable[..., list[str]]) -> None:
    long = [{"at": at, "pages": 1 + at % 7, "assets": 9} for at in range(0, 500, 25)]
    hours = "+25 7 hours without a pause of 30 minutes"
    assert hours not in said(*long)
    longer = [{"at": at, "pages": 1, "assets": 9} for at in (*range(0, 490, 30), 480)]
    assert "+25 8 hours without a pause of 30 minutes" in said(*longer)
    broken = [minute for minute in longer if minute["at"] != 240]
    assert "+25 8 hours without a pause of 30 minutes" not in said(*broken)


def test_regular_pauses_are_those_that_are_nearly_all_alike(said: Callable[..., list[str]]) -> None:
    alike = [{"at": 45 * n, "pages": 1, "assets": 9} for n in range(12)]
    assert said(*alike) == ["+30 11 of 11 pauses are of 45 minutes"]
    assert said(*alike[:10]) == []
    various = [{"at": n * n, "pages": 1, "assets": 9} for n in range(2, 20)]
    assert said(*various) == []


def test_one_look_at_robots_among_many_requests_is_nothing(said: Callable[..., list[str]]) -> None:
    assert said({"pages": 40, "assets": 30, "robots": 1, "unreferred": 60})[0] == "+50 asked for robots.txt"
    assert said({"pages": 29, "assets": 100, "robots": 1, "unreferred": 100}) == []


def test_who_asked_for_less_than_three_things_is_not_judged(said: Callable[..., list[str]]) -> None:
    assert said({"pages": 2, "unreferred": 2, "robots": 1}) == []
    assert said({"pages": 3, "unreferred": 3, "robots": 1}) != []


def test_one_path_alone_is_no_lack_of_assets(said: Callable[..., list[str]]) -> None:
    often = [{"at": at, "pages": 3, "unreferred": 3, "paths": ("/", "/")} for at in (0, 7, 90, 300)]
    assert said(*often) == ["+25 no referrer in 12 of 12 requests", "+20 one path, 12 times: /"]


def test_what_is_read_first_stands_first_and_what_is_long_last(day: Day) -> None:
    (row, *_) = suspects(day.connection)
    assert [*row][:4] == ["viewer", "score", "requests", "reasons"]
    assert [*row][-1] == "user_agent"
