"""A value on which a view fails is one dead letter, and counted once the view can; a computed column of one is NULL."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from shardlake.testing.runs import Program

PACK: Final = """\
format = "json"
event_time = "time"
event_id = "id"

[columns]
time = { type = "TIMESTAMP", from = "ts" }
id = "VARCHAR"
page = "VARCHAR"
cost = "BIGINT"
size = "BIGINT"
tens = { is = "size * 10" }
"""
pytestmark = pytest.mark.slow

VIEWS: Final = {
    "costs": "SELECT page, count(*) AS clicks, sum(cost) AS total, count(tens) AS tens FROM clicks GROUP BY page",
    "squares": "SELECT page, sum(cost * cost) AS squares FROM clicks GROUP BY page",
}
SQUARED_IS_TOO_LARGE: Final = 4 * 10**9
SIZES: Final = {103: 10**18}  # ten times that is no BIGINT


def lines(costs: Sequence[int]) -> str:
    return "".join(
        json.dumps(
            {
                "ts": f"2026-11-03T10:00:{n % 60:02d}Z",
                "id": f"id-{n}",
                "page": "/",
                "cost": cost,
                "size": SIZES.get(n, 1),
            }
        )
        + "\n"
        for n, cost in enumerate(costs)
    )


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Program:
    """A pack in a folder, and a log of 200 lines: a view fails on one of them, a computed column on another."""
    (tmp_path / "clicks" / "views").mkdir(parents=True)
    (tmp_path / "clicks" / "pack.toml").write_text(PACK)
    for name, sql in VIEWS.items():
        (tmp_path / "clicks" / "views" / f"{name}.sql").write_text(sql)
    log = tmp_path / "logs" / "clicks.log"
    log.parent.mkdir()
    log.write_text(lines([SQUARED_IS_TOO_LARGE if n == 17 else n for n in range(200)]))
    os.utime(log, (1_700_000_000, 1_700_000_000))
    return Program(tmp_path / "root", log.parent, {"source.pack": str(tmp_path / "clicks")})


def told(program: Program, *arguments: str) -> Any:
    return json.loads(program.run("--json", *arguments).expect(0).out)


def test_one_value_costs_one_letter_and_a_retry_counts_it_once_the_view_can(program: Program, tmp_path: Path) -> None:
    done = program.run("stream", "run", "--once").expect(0)
    events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    [isolated] = [event for event in events if event["event"] == "poison_isolated"]
    assert (isolated["what"], isolated["dead_letters"], isolated["first"]) == ("squares", 1, "clicks/0000:0:18")
    assert str(SQUARED_IS_TOO_LARGE) not in done.err
    good = [n for n in range(200) if n != 17]
    assert list(program.ask("costs").rows) == [("/", 199, sum(good), 198)]
    assert list(program.ask("squares").rows) == [("/", sum(n * n for n in good))]
    found = {row["reason"]: row["count"] for row in told(program, "dlq", "list")["reasons"]}
    assert found == {"poison_view": 1}
    shown = told(program, "dlq", "show", "clicks/0000:0:18")
    assert str(SQUARED_IS_TOO_LARGE) in json.dumps(shown)
    again = told(program, "dlq", "retry")
    assert (again["letters"], again["read"]) == (1, 0)
    squares = tmp_path / "clicks" / "views" / "squares.sql"
    squares.write_text(VIEWS["squares"].replace("cost * cost", "cost"))
    again = told(program, "dlq", "retry", "--reason", "poison_view")
    assert (again["letters"], again["read"], again["entries"]) == (1, 1, 1)
    assert list(program.ask("costs").rows) == [("/", 200, sum(good) + SQUARED_IS_TOO_LARGE, 199)]
    program.run("verify").expect(0)
