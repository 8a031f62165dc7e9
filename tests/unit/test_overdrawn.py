"""Groups of a stream of changes: those of which everything was taken back, and those of which too much was."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from serving.answer import Overdrawn, Server
from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.testing.changes import SCHEMA, VIEWS, Change, Table, totals
from shardlake.testing.plain import Click
from streams.chunk import LETTERS, Chunk

ENGINE = Engine()
COMPILED = {name: compile_view(name, plain.sql, SCHEMA) for name, plain in VIEWS.items()}


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_table_that_is_emptied_leaves_no_group_behind(tmp_path: Path, *, on_disk: bool) -> None:
    world = Table.made(tmp_path, ENGINE, COMPILED, 1, on_disk=on_disk)
    world.discover("a")
    worker = world.now[0]
    worker.committer.adopt("a")
    image = Click(-3000, 3, "/", 5, None, None)
    for new in (image, replace(image, minute=7), None):
        world.put(1, new)
        worker.committer.commit(world.records(worker, 9))
        world.batch()
        assert world.answers(world.plan())["totals"] == totals_of([] if new is None else [new])
        assert not any(world.recomputed(world.plan(), name) for name in VIEWS)
    files = {name: world.plan().views[name].batch for name in ("totals", "ever")}
    assert {name: [file.rows for file in batch.files] for name, batch in files.items() if batch} == {
        "totals": [],
        "ever": [],
    }
    world.put(1, image)
    worker.committer.commit(world.records(worker, 9))
    world.batch()
    assert world.answers(world.plan())["totals"] == totals_of([image])


def totals_of(there: Sequence[Click]) -> list[dict[str, Any]]:
    rows = totals(there)
    return [row | {"mean": row["mean"].value if row["mean"] else None} for row in rows]


IMAGE: Final = Click(-3000, 3, "/secret", 5, None, None)
LETTER: Final = dict.fromkeys(LETTERS.names) | {"_shard": "a", "reason": "bad_number", "payload": b"secret"}


def told(folder: Path, *, kind: str = "data", letters: int = 0) -> tuple[Server, Table]:
    """Take an image back that never came, and one that did, and put one; with letters, or of a range that was lost."""
    world = Table.made(folder, ENGINE, COMPILED, 1, on_disk=False)
    world.discover("a")
    world.now[0].committer.adopt("a")
    other = replace(IMAGE, page="/", cost=None)
    world.changes["a"] = [
        Change(1, None, other),
        Change(2, IMAGE, None),
        Change(1, other, None),
        Change(3, None, other),
    ]
    whole = world.records(world.now[0], 3)
    world.now[0].committer.commit(whole)
    (last,) = world.records(world.now[0], 1).pieces
    chunk = Chunk(world.limits)
    found = pa.Table.from_pylist([LETTER] * letters, LETTERS)
    chunk.add(replace(last, range=replace(last.range, kind=kind), letters=found), 0.0)
    world.now[0].committer.commit(chunk)
    return Server(world.inner, world.store, world.tables, world.views, world.limits), world


@pytest.mark.parametrize("is_counted", [False, True])
def test_a_group_of_which_more_was_taken_back_than_came_is_no_answer(tmp_path: Path, *, is_counted: bool) -> None:
    server, world = told(tmp_path)
    if is_counted:
        world.batch()
    with pytest.raises(Overdrawn, match="view totals: in 1 groups") as failed:
        server.rows("SELECT sum(n) FROM totals")
    assert (failed.value.view, failed.value.groups) == ("totals", 1)
    assert "secret" not in str(failed.value)
    assert server.rows("SELECT page, n, total FROM totals WHERE page = '/'").rows == [("/", 1, None)]
    with pytest.raises(Overdrawn, match="view ever"):
        server.arrow("SELECT * FROM ever")


@pytest.mark.parametrize(("kind", "letters", "why"), [
    ("gap", 0, "1 gap"), ("data", 2, "2 open dead letters"), ("gap", 1, "1 open dead letter and 1 gap"),
])  # fmt: skip
def test_an_answer_says_that_records_lack_and_shows_what_is_overdrawn(
    tmp_path: Path, kind: str, letters: int, why: str
) -> None:
    server, _ = told(tmp_path, kind=kind, letters=letters)
    answer = server.rows("SELECT page, n, total FROM totals ORDER BY page")
    assert answer.rows == [("/", 1, None), ("/secret", -1, -5)]
    assert [view.incomplete for view in answer.certificate.views] == [why]
    assert answer.certificate.to_dict()["views"][0]["incomplete"] == why
    assert server.rows("SELECT * FROM ever").certificate.views[0].incomplete == why


def test_an_answer_of_which_nothing_lacks_says_so(tmp_path: Path) -> None:
    server, _ = told(tmp_path)
    assert server.rows("SELECT n FROM totals WHERE page = '/'").certificate.views[0].incomplete == ""
