"""The saved query `suspects` asked of a root: half of the day by batch, half realtime, in files cut anywhere."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import serving
from benchmarks.behaviour import decoded
from benchmarks.behaviour_traffic import KINDS, Traffic, draw, log
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.testing.runs import Program

UNSEEN = {"headless browser", "swarm"}
SUSPECTS = CloudFront().queries["suspects"]


@pytest.fixture(name="traffic", scope="module")
def _traffic() -> Traffic:
    return draw(11, 10)


def plainly(traffic: Traffic) -> list[tuple[object, ...]]:
    """Ask the same of the day as one table."""
    connection = duckdb.connect()
    connection.register("cloudfront", decoded(log(traffic.lines)))
    connection.execute(f"CREATE TABLE sessions AS {CloudFront().views['sessions']}")
    return connection.sql(SUSPECTS).fetchall()


def write(folder: Path, traffic: Traffic, parts: range, of: int) -> None:
    """Write some parts of the day, each of which holds requests of all hours."""
    folder.mkdir(exist_ok=True)
    for part in parts:
        (folder / f"E1BEHAVIOUR00.2026-03-02-{part:02d}.ab12cd34.gz").write_bytes(log(traffic.lines[part::of]))


def test_suspects_are_the_same_however_the_day_was_cut(
    traffic: Traffic, tmp_path: Path, streamed: Callable[[Program], int], batched: Callable[[Program], None]
) -> None:
    settings = {"views.use": "all,sessions", "limits.chunk_rows_max": "700"}
    program = Program(tmp_path / "root", tmp_path / "logs", settings)
    write(program.logs, traffic, range(3), 6)
    streamed(program)
    batched(program)
    write(program.logs, traffic, range(3, 6), 6)
    streamed(program)
    with serving.connect(program.root) as connection:
        answer = connection.query(SUSPECTS)
    told = answer.certificate.views[0]
    assert told.batch_rows > 0 and told.realtime_entries > 0
    assert answer.certificate.events == len(traffic.lines)
    assert answer.rows == plainly(traffic)
    flagged = {traffic.kind_of[str(row[0])] for row in answer.rows}
    assert flagged == {kind.name for kind in KINDS if kind.is_bot} - UNSEEN


def test_the_list_of_views_tells_how_to_keep_an_optional_one(tmp_path: Path) -> None:
    program = Program(tmp_path / "root", tmp_path / "logs", {"views.use": "all"})
    said = program.run("views", "list").expect(0).out
    assert [line.split()[0] for line in said.splitlines()[2:5]] == ["bandwidth", "bots", "viewers"]
    assert 'optional, not in use: sessions; to keep one, set views.use = ["all", "sessions"]' in said
    kept = Program(tmp_path / "root", tmp_path / "logs", {"views.use": "all,sessions"})
    assert "optional" not in kept.run("views", "list").expect(0).out
