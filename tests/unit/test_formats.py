"""What is stored says its format: a newer one is refused, and names on disk do not change unnoticed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shardlake.adapters import active_views, readers, stored, table_index
from shardlake.adapters.engine import Engine
from shardlake.core import limits, view
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Corrupt, FormatTooNew
from shardlake.core.journal import objects, reading, rows
from shardlake.core.journal.objects import Carried, Counts, HeldShard, IdLog, LaneState, Manifest, Positions, RangeRow
from shardlake.core.journal.rows import Entry, Head, ObjectRef, Registry, ShardRow, SourceRow, TableRow, WorkerRow
from shardlake.core.schema import EVENT_COLUMNS, MASTER_COLUMNS
from shardlake.core.windows import Windows
from shardlake.testing.plain import VIEWS, Click
from shardlake.testing.world import SCHEMA, World
from streams import chunk, entry, lane
from streams.sources import pages
from streams.sources.pages import FileRow

REF = ObjectRef("lanes/0000/a/b.parquet", 3, "ab")
PARTIAL = objects.PartialRef("v", "f", REF, 7, Windows(5, ((0, 10),)))
ROWS = (
    Registry(3),
    Head(1, 4, "c", "w", "clicks", REF),
    Entry(1, 4, "c", "adopt", REF, "a", "0011.0010", ((0, 3),)),
    ShardRow("a", "clicks", "held", ("p",), 1, "0011.0010", (1, 4), REF),
    SourceRow("clicks", {"buckets": "16"}),
    WorkerRow("w", 3),
    TableRow("v", "t", "f"),
)
OBJECTS = (
    Manifest(
        1, 4, "clicks", (RangeRow("a", "-", "~", "gap"),), Counts(3, 2, 1), {"a": ("p",)}, (1, 2), REF, (PARTIAL,)
    ),
    Carried((IdLog(REF, 3, 9),), (REF,), ("p",)),
    LaneState({"a": HeldShard("-", ("p",), ("p",))}, (IdLog(REF, 3, 9),), (REF,)),
    Positions({"a": "~"}, {"a": ("p",)}, Counts(1), 5, (RangeRow("a", "-", "~", "gap"),)),
)
VIEW = compile_view("pages", VIEWS["pages"].sql, SCHEMA)


def newer(data: bytes) -> bytes:
    """The same thing as a later version writes it: another format, and a field that nobody knows here."""
    found = msgspec.json.decode(data)
    return msgspec.json.encode({**found, "format": found["format"] + 1, "unknown": True})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_newer_row_of_the_journal_is_refused(row: Any) -> None:
    data = rows.encode(row)
    assert rows.decode(type(row), "key", data) == row
    assert msgspec.json.decode(data)["format"] == rows.FORMAT
    with pytest.raises(FormatTooNew, match="journal row key has format 2; this Shardlake reads up to 1: upgrade"):
        rows.decode(type(row), "key", newer(data))
    with pytest.raises(Corrupt, match="journal row key cannot be read"):
        rows.decode(type(row), "key", b'{"format":1}')


@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_a_newer_object_is_refused(value: Any) -> None:
    data = objects.encode(value)
    assert objects.decode(type(value), "name", data) == value
    assert msgspec.json.decode(data)["format"] == objects.FORMAT
    with pytest.raises(FormatTooNew, match="object name has format 2"):
        objects.decode(type(value), "name", newer(data))
    with pytest.raises(Corrupt, match="object name cannot be read"):
        objects.decode(type(value), "name", b"[]")


def test_a_newer_page_is_refused() -> None:
    page = pages.encode(2, [FileRow(1, 0, "a.gz", "e", 5, 17)])
    assert pages.decode(page).rows == (FileRow(1, 0, "a.gz", "e", 5, 17),)
    for read in (
        pages.decode,
        lambda data: pages.merge([page, data]),
        lambda data: pages.Manifest.from_pages(2, [data]),
    ):
        with pytest.raises(FormatTooNew, match="a page of discovered files has format 2"):
            read(newer(page))


def test_a_newer_compiled_view_is_refused() -> None:
    data = view.view_to_json(VIEW)
    assert view.view_from_json(data) == VIEW
    with pytest.raises(FormatTooNew, match="a compiled view has format 2"):
        view.view_from_json(newer(data))


def test_newer_views_of_a_root_are_refused_by_a_query_and_made_again_by_a_worker(tmp_path: Path) -> None:
    active_views.save(tmp_path, "key", {"pages": VIEW})
    assert active_views.load(tmp_path) == active_views.find(tmp_path, "key") == {"pages": VIEW}
    file = tmp_path / stored.VIEWS
    file.write_bytes(newer(file.read_bytes()))
    with pytest.raises(FormatTooNew, match="has format 2"):
        active_views.load(tmp_path)
    assert active_views.find(tmp_path, "key") is None


@pytest.mark.parametrize(
    ("version", "error"),
    [("2", FormatTooNew), ("10", FormatTooNew), ("", Corrupt), (None, Corrupt), ("-1", Corrupt)],
)
def test_a_newer_seam_of_a_table_is_refused(version: str | None, error: type[Exception]) -> None:
    text = '{"marks":{"0":[3,"a"]}}'
    found = table_index.seam_of("t", {table_index.SEAM_PROPERTY: text, table_index.FORMAT_PROPERTY: "1"})
    assert found is not None
    assert found.to_json() == text
    summary = {table_index.SEAM_PROPERTY: text, table_index.FORMAT_PROPERTY: version}
    with pytest.raises(error):
        table_index.seam_of("t", summary)


# ------------------------------------------------------------------------------------------------ names on disk

PINNED: dict[str, Callable[[], object]] = {
    "formats": lambda: (rows.FORMAT, objects.FORMAT, pages.FORMAT, view.VIEW_FORMAT, table_index.FORMAT),
    "under a root": lambda: (stored.JOURNAL, stored.OBJECTS, stored.TABLES, stored.VIEWS, stored.LOCKS),
    "rows": lambda: (
        rows.REGISTRY_KEY,
        rows.lane_key(3),
        rows.entry_key(3, 14),
        rows.shard_key("clicks/0001"),
        rows.source_key("clicks"),
        rows.worker_key("w"),
        rows.table_key("v"),
    ),
    "objects": lambda: (entry.SEGMENT, entry.LETTERS_NAME, entry.PAGE, lane.FOLDED),
    "properties": lambda: (
        table_index.SEAM_PROPERTY,
        table_index.FORMAT_PROPERTY,
        readers.POSITIONS_PROPERTY,
        readers.FINGERPRINT_PROPERTY,
        readers.MASTER,
    ),
    "tables": lambda: (table_index.CATALOG_FILE, table_index.NAMESPACE, table_index.INDEX_FOLDER),
    "events": lambda: [f"{c.name} {c.type}" for c in (*EVENT_COLUMNS, *MASTER_COLUMNS)],
    "letters": lambda: [f"{field.name} {field.type}" for field in chunk.LETTERS],
    "head": lambda: rows.encode(ROWS[1]),
    "entry": lambda: rows.encode(ROWS[2]),
    "shard": lambda: rows.encode(ROWS[3]),
    "source": lambda: rows.encode(ROWS[4]),
    "table": lambda: rows.encode(ROWS[6]),
    "manifest": lambda: objects.encode(OBJECTS[0]),
    "carried": lambda: objects.encode(OBJECTS[1]),
    "state": lambda: objects.encode(OBJECTS[2]),
    "positions": lambda: objects.encode(OBJECTS[3]),
}
_REF = '["lanes/0000/a/b.parquet",3,"ab"]'
_LOG = '{"segment":' + _REF + ',"ids":3,"arrival_us":9}'
AS: dict[str, object] = {
    "formats": (1, 1, 1, 1, 1),
    "under a root": ("journal.db", "objects", "tables", "views.json", "locks"),
    "rows": (
        "registry",
        "lane/0003",
        "entry/0003/000000000014",
        "shard/clicks/0001",
        "source/clicks",
        "worker/w",
        "table/v",
    ),
    "objects": ("segment.parquet", "letters.parquet", "page.json", "ids.parquet"),
    "properties": ("shardlake.seam", "shardlake.format", "shardlake.positions", "shardlake.fingerprint", "master"),
    "tables": ("catalog.sqlite", "shardlake", "index"),
    "events": [
        "_shard VARCHAR",
        "_sequence VARCHAR",
        "_sub BIGINT",
        "_arrival TIMESTAMP",
        "_weight INTEGER",
        "_duplicate BOOLEAN",
        "_lane INTEGER",
        "_entry BIGINT",
        "_date DATE",
    ],
    "letters": [
        "_shard string",
        "_sequence string",
        "_sub int64",
        "_arrival timestamp[us]",
        "origin string",
        "reason string",
        "detail string",
        "payload binary",
    ],
    "head": f'{{"lane":1,"n":4,"commit":"c","owner":"w","source":"clicks","state":{_REF},"format":1}}'.encode(),
    "entry": (
        f'{{"lane":1,"n":4,"commit":"c","kind":"adopt","manifest":{_REF},"shard":"a","at":"0011.0010",'
        '"needs":[[0,3]],"format":1}'
    ).encode(),
    "shard": (
        '{"shard":"a","source":"clicks","place":"held","parents":["p"],"lane":1,"at":"0011.0010","by":[1,4],'
        f'"carried":{_REF},"format":1}}'
    ).encode(),
    "source": b'{"source":"clicks","settings":{"buckets":"16"},"format":1}',
    "table": b'{"view":"v","table":"t","fingerprint":"f","format":1}',
    "manifest": (
        '{"lane":1,"n":4,"source":"clicks","ranges":[["a","-","~","gap"]],"counts":{"rows":3,"duplicates":2,'
        f'"letters":1}},"parents":{{"a":["p"]}},"event_us":[1,2],"segment":{_REF},"partials":[{{"view":"v",'
        f'"fingerprint":"f","object":{_REF},"rows":7,"windows":{{"width_us":5,"runs":[[0,10]]}}}}],"format":1}}'
    ).encode(),
    "carried": f'{{"ids":[{_LOG}],"pages":[{_REF}],"ancestors":["p"],"format":1}}'.encode(),
    "state": (
        '{"shards":{"a":{"at":"-","parents":["p"],"ancestors":["p"]}},'
        f'"ids":[{_LOG}],"pages":[{_REF}],"format":1}}'
    ).encode(),
    "positions": (
        b'{"upto":{"a":"~"},"parents":{"a":["p"]},"counts":{"rows":1,"duplicates":0,"letters":0},"newest_us":5,'
        b'"gaps":[["a","-","~","gap"]],"format":1}'
    ),
}


@pytest.mark.parametrize("name", PINNED)
def test_what_is_stored_is_named_as_it_always_was(name: str) -> None:
    """A change here is a change of the format: raise its version, and read the older one too."""
    assert PINNED[name]() == AS[name]


def test_the_objects_of_an_entry_have_their_names(tmp_path: Path) -> None:
    world = World.in_memory(tmp_path, Engine(), {"pages": VIEW}, 1)
    world.discover("a")
    world.now[0].committer.adopt("a")
    world.produced["a"] = [Click(0, None, "/", 1, None, "x")]
    world.closed.add("a")
    world.now[0].committer.commit(world.chunk(world.now[0], {"a": 1}))
    world.batch()
    names = world.store.list("lanes/0000/000000000003-")
    assert [name.rpartition("/")[2] for name in names] == [
        "carried-0.json",
        "ids-0.parquet",
        "manifest.json",
        f"partial-pages-{VIEW.fingerprint}.parquet",
        "segment.parquet",
        "state.json",
    ]
    assert all(name.endswith("/positions.json") for name in world.store.list("positions/"))
    assert sorted(row.view for row in reading.read_pointers(world.inner).values()) == ["master", "pages"]


def test_every_limit_has_a_value_that_limits() -> None:
    values = msgspec.structs.asdict(limits.Limits())
    of_lambda = {"bisect_batch_on_function_error", "maximum_retry_attempts", "maximum_record_age_in_seconds"}
    numbers = {name: value for name, value in values.items() if not isinstance(value, str) and name not in of_lambda}
    assert all(value > 0 for value in numbers.values())
    assert all(name.rpartition("_")[2] in {"max", "s", "bytes"} for name in numbers)
