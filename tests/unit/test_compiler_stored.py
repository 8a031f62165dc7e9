"""A compiled view as a stored value: written, read, refused when newer, and read without the compiler."""

import subprocess
import sys

import pytest

from shardlake.core.compiler import compile_view
from shardlake.core.errors import Corrupt, FormatTooNew
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.view import VIEW_FORMAT, view_from_json, view_to_json

SCHEMA = SourceSchema("events", (Column("k", "VARCHAR"), Column("at", "TIMESTAMP")), "at")
VIEW = compile_view("v", "-- description: how many\nSELECT k, count(*) AS n FROM events GROUP BY k", SCHEMA)


def test_a_view_is_read_as_it_was_written() -> None:
    assert view_from_json(view_to_json(VIEW)) == VIEW
    assert VIEW.description == "how many"
    assert VIEW.keys == ("k",)


def test_a_newer_format_is_refused() -> None:
    newer = view_to_json(VIEW).replace(f'"format":{VIEW_FORMAT}'.encode(), b'"format":99')
    with pytest.raises(FormatTooNew, match="99"):
        view_from_json(newer)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format":1}', b'{"format":1,"view":{"name":3}}'])
def test_what_is_no_view_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt, match="compile the view again"):
        view_from_json(data)


def test_the_query_path_imports_no_parser() -> None:
    code = "import sys, shardlake.core.view; print(sorted({'sqlglot', 'duckdb', 'pyarrow'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
