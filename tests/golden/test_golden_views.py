"""Views and the three forms that the compiler derives from them, pinned as text that reads well in a diff.

Each file in `views/` is a view, followed by its forms; those in `weighted/` are over a stream of changes. After a
wanted change, write them again with

    SHARDLAKE_UPDATE_GOLDEN=1 pytest tests/golden

and read the diff: a form that changes its meaning needs a new ALGEBRA_VERSION.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from shardlake.core.compiler import compile_view
from shardlake.core.errors import ViewRefused
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import CompiledView, view_from_json, view_to_json

FOLDER: Final = Path(__file__).parent
UPDATE: Final = "SHARDLAKE_UPDATE_GOLDEN" in os.environ
RULE: Final = "\n\n-- " + "-" * 40 + " "
REQUESTS: Final = SourceSchema(
    "requests",
    (
        Column("time", "TIMESTAMP"),
        Column("distribution", "VARCHAR"),
        Column("edge", "VARCHAR"),
        Column("viewer", "VARCHAR"),
        Column("url", "VARCHAR"),
        Column("status", "INTEGER"),
        Column("bytes", "BIGINT"),
        Column("seconds", "DOUBLE"),
        Column("price", "DECIMAL(18,4)"),
        Column("is_bot", "BOOLEAN"),
        Column("day", "DATE"),
    ),
    event_time="time",
)
CHANGES: Final = replace(REQUESTS, weighted=True)


def rendered(view: CompiledView) -> str:
    """Write a view, its columns and its forms as one text."""
    columns = "\n".join(f"-- {c.role:<6} {c.name} {c.type} {c.audit}" for c in view.columns)
    outputs = "\n".join(f"-- output {o.name} {o.type} {o.exactness} {o.bound}".rstrip() for o in view.outputs)
    head = f"fingerprint {view.fingerprint}, window {view.window} {view.window_us}\n{columns}\n{outputs}"
    forms = (f"partial\n{view.partial}", f"combine\n{view.combine}", f"finalize\n{view.finalize}")
    return view.sql.rstrip() + "".join(RULE + part for part in (head, *forms)) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.sql")), ids=lambda p: p.stem)
def test_a_view_has_these_three_forms(path: Path) -> None:
    expected = path.read_text()
    sql = expected.split(RULE)[0]
    view = compile_view(path.stem, sql, CHANGES if path.parent.name == "weighted" else REQUESTS)
    if UPDATE:
        path.write_text(rendered(view))
    assert rendered(view) == path.read_text()
    assert view_from_json(view_to_json(view)) == view


def test_a_view_over_changes_has_another_fingerprint() -> None:
    sql = "SELECT edge, count(*) AS n FROM requests GROUP BY edge"
    plain, weighted = (compile_view("view", sql, schema) for schema in (REQUESTS, CHANGES))
    assert plain.fingerprint != weighted.fingerprint
    assert (plain.weight, weighted.weight) == (None, "_weight")


REFUSED: Final = {"refused.sql": REQUESTS, "refused_weighted.sql": CHANGES}


def refusals(file: str) -> list[tuple[str, str]]:
    """Read the refused texts, each with the message that follows it."""
    blocks = (FOLDER / file).read_text().strip().split("\n\n")
    parts = [block.partition("\n--> ") for block in blocks if not block.startswith("-- #")]
    return [(sql, message) for sql, _, message in parts]


def message_for(sql: str, schema: SourceSchema = REQUESTS) -> str:
    try:
        compile_view("view", sql, schema)
    except ViewRefused as refused:
        return str(refused)
    return "ACCEPTED"


@pytest.mark.skipif(not UPDATE, reason="writes the messages again")
@pytest.mark.parametrize(("file", "schema"), REFUSED.items())
def test_write_the_messages_again(file: str, schema: SourceSchema) -> None:
    path = FOLDER / file
    head = path.read_text().split("\n\n")[0]
    blocks = [f"{sql}\n--> {message_for(sql, schema)}" for sql, _ in refusals(file)]
    path.write_text("\n\n".join([head, *blocks]) + "\n")


@pytest.mark.parametrize(("sql", "message"), refusals("refused_weighted.sql"), ids=lambda text: text[:60])
def test_what_a_stream_of_changes_cannot_give_back_is_refused(sql: str, message: str) -> None:
    assert message_for(sql, CHANGES) == message
    assert message_for(sql) == "ACCEPTED"


@pytest.mark.parametrize(("sql", "message"), refusals("refused.sql"), ids=lambda text: text.replace("\n", " ")[:60])
def test_what_is_not_in_the_algebra_is_refused_with_place_reason_and_rewrite(sql: str, message: str) -> None:
    assert message_for(sql) == message
