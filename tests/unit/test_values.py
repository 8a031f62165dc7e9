"""Answers as Python values, and connections that cannot answer."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import serving
from serving.answer import Server, UnknownView
from serving.values import rows
from shardlake.adapters import active_views
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL, OBJECTS, TABLES
from shardlake.adapters.table_reader import TableReader
from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError, QueryRefused, Terminal
from shardlake.core.limits import Limits
from shardlake.packs.cloudfront.schema import SCHEMA

SUMS = """
SELECT
    sum(x) AS s, [sum(x)] AS l, {'a': sum(x), 'b': 1.5::DECIMAL(4, 2)} AS st, MAP {'k': sum(x)} AS m,
    (2::HUGEINT * 9223372036854775807 * 1000) AS huge, 1.00::DECIMAL(10, 2) AS price, sum(x) FILTER (false) AS nothing
FROM range(3) AS r(x)
"""
VIEWS = ("bandwidth", "viewers")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a root with two views and no events."""
    found = tmp_path / ".shardlake"
    views = {
        name: compile_view(name, "SELECT x_edge_location, count(*) AS requests FROM cloudfront GROUP BY 1", SCHEMA)
        for name in VIEWS
    }
    active_views.save(found, "key", views)
    SqliteJournal(found / JOURNAL, sync=False).close()
    return found


@pytest.fixture
def connection(root: Path) -> Iterator[serving.Connection]:
    with serving.connect(root) as found:
        yield found


def test_sums_of_integers_are_integers_wherever_they_stand() -> None:
    (row,) = rows(duckdb.connect().sql(SUMS).to_arrow_table())
    whole = {"a": 3, "b": Decimal("1.50")}
    assert row == (3, [3], whole, [("k", 3)], 18446744073709551614000, Decimal("1.00"), None)
    assert [type(row[at]) for at in (0, 4, 5)] == [int, int, Decimal]
    assert [type(value) for value in (row[1][0], row[2]["a"], row[3][0][1])] == [int] * 3


def test_rows_are_the_same_with_and_without_arrow(connection: serving.Connection, root: Path) -> None:
    sql = "SELECT sum(x) AS n, [sum(x)] AS l FROM range(5) AS r(x), (SELECT count(*) AS none FROM viewers)"
    journal = SqliteJournal(root / JOURNAL, read_only=True)
    views = active_views.load(root)
    server = Server(journal, LocalObjects(root / OBJECTS), TableReader(root / TABLES), views, Limits())
    assert repr(connection.query(sql).rows) == repr(server.rows(sql).rows) == "[(10, [10])]"
    journal.close()


def test_a_saved_query_is_told_where_it_can_be_asked(connection: serving.Connection) -> None:
    with pytest.raises(QueryRefused, match=r"saved queries are of the command `shardlake query`; here, give the SQL"):
        connection.query(" @top_viewers")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vewers", "there is no view vewers; did you mean viewers? views are: bandwidth, viewers"),
        ("Vewers", "there is no view Vewers; did you mean viewers? views are: bandwidth, viewers"),
        ("cloudfront", "there is no view cloudfront; views are: bandwidth, viewers"),
    ],
)
def test_a_view_that_is_none_is_told_with_the_nearest(connection: serving.Connection, name: str, said: str) -> None:
    with pytest.raises(UnknownView) as caught:
        connection.query(f"SELECT * FROM {name}")
    assert str(caught.value) == said
    assert caught.value.view == name


def test_a_closed_connection_says_so(connection: serving.Connection) -> None:
    connection.close()
    with pytest.raises(Terminal, match="this connection was closed"):
        connection.query("SELECT * FROM viewers")


def test_a_file_is_no_root(tmp_path: Path) -> None:
    settings = tmp_path / "shardlake.toml"
    settings.write_text("")
    with pytest.raises(ConfigError, match=r'shardlake.toml is a settings file: connect\(config=".*/shardlake.toml"\)'):
        serving.connect(settings)
    (tmp_path / "log").write_text("")
    with pytest.raises(ConfigError, match="is a file: name a folder"):
        serving.connect(str(tmp_path / "log"))
