"""Declarations and tables of lookups: what is accepted, what is refused and how, and what a table's cells become."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.core.errors import ConfigError
from shardlake.core.schema import Column, SourceSchema
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.packs.lookups import with_lookups
from shardlake.packs.lookups.pack import declarations
from shardlake.packs.lookups.table import ReferenceTable, read_table, source_of
from shardlake.testing.clicks import Clicks
from shardlake.testing.world import SCHEMA

LINES = {
    "table": 'table = "sites.csv"',
    "on": 'on = "page"',
    "match": 'match = "exact"',
    "key": 'key = "page"',
    "columns": "[columns]\ntitle = 'title'\nwords = { column = 'words', type = 'BIGINT' }",
}
TABLE = "page,title,words\n/a,Start,10\n/b,,\n"


def written(folder: Path, content: str | bytes = TABLE, name: str = "pages", **lines: str) -> Path:
    """Declare a lookup; a line that is "" is left out."""
    text = "\n".join(line for line in {**LINES, **lines}.values() if line)
    (folder / f"{name}.toml").write_text(text)
    (folder / "sites.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path) -> ReferenceTable:
    (declared,) = declarations(Clicks(), folder)
    return read_table(declared, source_of(declared, Clicks()))


# ------------------------------------------------------------------------------------------------- declarations


def test_events_get_the_columns_and_the_version(tmp_path: Path) -> None:
    pack = with_lookups(Clicks(), written(tmp_path))
    assert pack.schema.columns[: len(SCHEMA.columns)] == SCHEMA.columns
    added = [(column.name, column.type) for column in pack.schema.columns[len(SCHEMA.columns) :]]
    assert added == [("title", "VARCHAR"), ("words", "BIGINT"), ("pages_version", "VARCHAR")]
    assert (pack.schema.event_time, pack.schema.event_id) == (SCHEMA.event_time, SCHEMA.event_id)


def test_nothing_is_joined_to_changes(tmp_path: Path) -> None:
    class Changing(Clicks):
        schema: SourceSchema = replace(SCHEMA, event_id=None, weighted=True)

    assert with_lookups(Changing(), tmp_path).schema.weighted
    with pytest.raises(ConfigError, match="joins pages to clicks, a stream of changes"):
        with_lookups(Changing(), written(tmp_path))


def test_a_folder_without_declarations_changes_nothing(tmp_path: Path) -> None:
    pack = Clicks()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".pages.toml").write_text("what an editor leaves")
    assert with_lookups(pack, tmp_path) is pack
    assert with_lookups(pack, tmp_path / "absent") is pack


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"on": ""}, "pages.toml: on is missing; accepted: a column of the events"),
        ({"columns": ""}, "pages.toml: columns is missing"),
        ({"match": 'mach = "exact"'}, "pages.toml: there is no key mach; did you mean match?"),
        ({"match": 'match = "near"'}, "pages.toml: match is 'near'; accepted: exact, prefix, network"),
        ({"match": "match = 1"}, "pages.toml: match is 1; accepted: exact, prefix, network"),
        ({"on": 'on = "pages"'}, "pages.toml: on is pages, which clicks does not have; did you mean page?"),
        ({"on": 'on = "Page"'}, "pages.toml: on is Page; the column is written page"),
        ({"on": 'on = "weight"'}, "on is weight, which is DOUBLE; exact takes VARCHAR, BIGINT, INTEGER"),
        ({"on": 'on = "cost"', "match": 'match = "prefix"'}, "on is cost, which is BIGINT; prefix takes VARCHAR"),
        ({"columns": "[columns]"}, "pages.toml: columns is {}; accepted: column = the table's column"),
        ({"columns": "[columns]\ntitle = 3"}, "pages.toml: columns"),
        ({"columns": "[columns]\nt = {column='words', type='INT'}"}, "one of VARCHAR, BIGINT, DOUBLE, BOOLEAN"),
        ({"columns": "[columns]\nt = {column='words', kind='INT'}"}, "pages.toml: columns"),
        ({"columns": "[columns]\n_lane = 'title'"}, "columns names _lane: use small letters"),
        ({"columns": "[columns]\nTitle = 'title'"}, "columns names Title: use small letters"),
        ({"columns": "[columns]\ncost = 'words'"}, "columns names cost, which clicks has already"),
        ({"columns": "[columns]\npages_version = 'words'"}, "columns names pages_version, which"),
        ({"match": "version = 2026-11-01"}, "accepted: a text of 1 to 64 characters, in quotes"),
        ({"match": 'version = ""'}, "accepted: a text of 1 to 64 characters, in quotes"),
        ({"table": 'table = "pack:pages"'}, "table is pack:pages, and the pack clicks brings no table pages"),
        ({"table": "table = ["}, "pages.toml is not TOML"),
    ],
)
def test_a_wrong_declaration_is_refused(tmp_path: Path, lines: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        with_lookups(Clicks(), written(tmp_path, **lines))
    assert said in str(raised.value)


def test_two_lookups_do_not_share_a_column(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ConfigError, match=r"sites.toml: columns names title, which .*pages.toml has already"):
        with_lookups(Clicks(), written(tmp_path, name="sites"))


def test_a_lookup_has_a_plain_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a lookup has the name of its file: use small letters"):
        with_lookups(Clicks(), written(tmp_path, name="My-Pages"))


# ------------------------------------------------------------------------------------------------------- tables


def test_cells_become_what_was_declared(tmp_path: Path) -> None:
    table = read(written(tmp_path))
    assert table.keys == ["/a", "/b"]
    assert {name: column.to_pylist() for name, column in table.columns.items()} == {
        "title": ["Start", None],
        "words": [10, None],
    }


def test_only_an_empty_field_is_null(tmp_path: Path) -> None:
    text = '\ufeffpage,title,words\r\nNA,null,1\r\n"n/a","NaN",2\r\n-,"",3\r\n"a\nb","x, ""y""",4\r\n'
    table = read(written(tmp_path, text))
    assert table.keys == ["NA", "n/a", "-", "a\nb"]
    assert table.columns["title"].to_pylist() == ["null", "NaN", None, 'x, "y"']


def test_a_parquet_table_is_read_as_a_csv_one(tmp_path: Path) -> None:
    columns = {"page": ["/a", "/b"], "title": [7, None], "words": pa.array([10, None], pa.int32())}
    pq.write_table(pa.table(columns), tmp_path / "sites.parquet")
    table = read(written(tmp_path, table='table = "sites.parquet"'))
    assert table.keys == ["/a", "/b"]
    assert table.columns["title"].to_pylist() == ["7", None]
    assert table.columns["words"].to_pylist() == [10, None]
    assert table.columns["words"].type == pa.int64()


def test_the_version_is_declared_or_that_of_the_bytes(tmp_path: Path) -> None:
    first = read(written(tmp_path)).version
    assert len(first) == 12
    assert read(written(tmp_path)).version == first
    assert read(written(tmp_path, TABLE + "/c,,\n")).version != first
    assert read(written(tmp_path, match='version = "2026-11"')).version == "2026-11"


SECRET = "somebody"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "key names page, and sites.csv has no such column; it has: "),
        ("page,title\n", "columns names words, and sites.csv has no such column; it has: page, title"),
        ("page,title,words,page\n", "key names page, and sites.csv has more than one such column"),
        (f"page,title,words\n/a,,1\n/b,{SECRET},1,2\n", "row 2 has another number of fields than the header"),
        (f"page,title,words\n/a,,1\n/b,,2\n/c,,{SECRET}\n", "words in row 3 of sites.csv is no BIGINT; correct it"),
        (f"page,title,words\n/a,,1\n,{SECRET},2\n", "page in row 2 of sites.csv is empty"),
        (f"page,title,words\n{SECRET},,1\n/b,,\n{SECRET},,2\n", "key in row 3 of sites.csv is that of row 1 already"),
        (b"page,title,words\n\xff,,\n", "sites.csv is not UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_by_its_row_without_its_values(tmp_path: Path, table: str | bytes, said: str) -> None:
    pack = with_lookups(Clicks(), written(tmp_path, table))
    with pytest.raises(ConfigError) as raised:
        pack.open("")
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_table_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    (written(tmp_path) / "sites.csv").unlink()
    with pytest.raises(ConfigError, match=r"pages.toml: table is sites.csv, and there is no file .*sites.csv"):
        with_lookups(Clicks(), tmp_path).open("")


def test_a_table_has_a_known_ending(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"accepted: a file that ends in .csv or .parquet"):
        with_lookups(Clicks(), written(tmp_path, table='table = "sites.xlsx"')).open("")


def test_a_broken_parquet_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "sites.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match=r"sites.parquet is no Parquet file"):
        with_lookups(Clicks(), written(tmp_path, table='table = "sites.parquet"')).open("")


def test_a_table_has_a_limit_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardlake.packs.lookups.table.ROWS_MAX", 1)
    with pytest.raises(ConfigError, match=r"sites.csv has 2 rows; accepted: up to 1"):
        read(written(tmp_path))


# ------------------------------------------------------------------------------------- the edges of CloudFront


def test_the_packs_edges_need_one_line_and_may_be_changed(tmp_path: Path) -> None:
    (tmp_path / "edges.toml").write_text('table = "pack:edges"\n')
    (declared,) = declarations(CloudFront(), tmp_path)
    assert [column.name for column in declared.added] == [
        "edge_city", "edge_country", "edge_latitude", "edge_longitude", "edges_version",
    ]  # fmt: skip
    (tmp_path / "edges.toml").write_text('table = "pack:edges"\nversion = "7"\n[columns]\nland = "country"\n')
    (changed,) = declarations(CloudFront(), tmp_path)
    assert [column.name for column in changed.added] == ["land", "edges_version"]
    assert (changed.version, changed.match, changed.on) == ("7", "prefix", "x_edge_location")


def test_the_packs_edges_are_places_on_earth(tmp_path: Path) -> None:
    (tmp_path / "edges.toml").write_text('table = "pack:edges"\n')
    (declared,) = declarations(CloudFront(), tmp_path)
    table = read_table(declared, source_of(declared, CloudFront()))
    columns = {name: column.to_pylist() for name, column in table.columns.items()}
    assert len(table.keys) > 100
    assert all(len(code) == 3 and code.isupper() for code in table.keys)
    assert all(columns["edge_city"])
    assert all(len(country) == 2 and country.isupper() for country in columns["edge_country"])
    assert all(-60 < degrees < 70 for degrees in columns["edge_latitude"])
    assert all(-180 < degrees < 180 for degrees in columns["edge_longitude"])
    place = table.keys.index("FRA")
    assert (columns["edge_city"][place], columns["edge_country"][place]) == ("Frankfurt am Main", "DE")


@pytest.fixture(name="schema_of")
def _schema_of(tmp_path: Path) -> Callable[..., SourceSchema]:
    return lambda **lines: with_lookups(Clicks(), written(tmp_path, **lines)).schema


def test_columns_say_where_they_come_from(schema_of: Callable[..., SourceSchema]) -> None:
    assert schema_of().column("title") == Column("title", "VARCHAR", "title of sites.csv for page")
