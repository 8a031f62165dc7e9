"""The CloudFront pack as the layers use it: names, enriched events, views, and what it costs to import."""

import gzip
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.header import STANDARD_FIELDS
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.packs.cloudfront.schema import EVENT_SCHEMA, SCHEMA, arrow_type
from shardlake.packs.registry import load

NAME = "E2EXAMPLE1234.2026-03-01-10.ab12cd34.gz"


def log(rows: int = 3) -> bytes:
    """A small file; its user agents are encoded once, twice and not sent."""
    agents = ["Mozilla/5.0%20(compatible;%20Googlebot/2.1)", "curl%252F8.4.0", "-"]
    lines = ["#Version: 1.0", "#Fields: " + " ".join(STANDARD_FIELDS)]
    for i in range(rows):
        usual = {
            "date": "2026-03-01", "time": f"10:00:{i % 60:02d}", "x-edge-location": "FRA56-P1", "sc-bytes": str(i),
            "c-ip": f"192.0.2.{i % 7}", "cs(User-Agent)": agents[i % 3], "x-edge-request-id": f"id{i}==",
        }  # fmt: skip
        lines.append("\t".join(usual.get(field, "-") for field in STANDARD_FIELDS))
    return "\n".join(lines).encode() + b"\n"


def events(data: bytes, name: str = NAME) -> pa.Table:
    pack = CloudFront()
    return pack.enrich(pack.open(name).decode(data).rows)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (NAME, "E2EXAMPLE1234.2026-03-01-10"),
        (f"logs/2026/{NAME}", "E2EXAMPLE1234.2026-03-01-10"),
        ("some-prefixE2EXAMPLE1234.2026-03-01-10.copy-of-ab12.gz", "E2EXAMPLE1234.2026-03-01-10"),
        ("site.2026-03-01-10.ab12.gz", "site.2026-03-01-10"),
        ("access.log.gz", None),
        ("2026-03-01-10.ab12.gz", None),
    ],
)
def test_copies_of_a_file_have_one_bucket_key(name: str, key: str | None) -> None:
    assert CloudFront().bucket_key(name) == key


def test_an_event_has_the_columns_of_the_schema_in_its_order() -> None:
    table = events(log())
    assert table.schema == EVENT_SCHEMA
    assert table.column_names == [column.name for column in SCHEMA.columns]
    assert table["user_agent"].to_pylist() == ["Mozilla/5.0 (compatible; Googlebot/2.1)", "curl/8.4.0", None]
    assert table["bot_category"].to_pylist() == ["search", "library", "unknown"]
    assert table["distribution"].to_pylist() == ["E2EXAMPLE1234"] * 3
    assert {pa.types.is_dictionary(arrow_type(SCHEMA.columns[i])) for i in (1, -1)} == {True}


@pytest.mark.parametrize("data", [b"", b"#Version: 1.0\n", log(0), log(1)])
def test_few_or_no_lines_give_whole_tables(data: bytes) -> None:
    table = events(data)
    table.validate(full=True)
    assert table.schema == EVENT_SCHEMA


def test_tables_of_several_blocks_join_and_survive_parquet(tmp_path: Path) -> None:
    pack = CloudFront()
    decoder = pack.open("no-pattern.gz")
    parts = [pack.enrich(decoder.decode(block).rows) for block in (log(5), log(0), log(2))]
    joined = pa.concat_tables(parts)
    parquet.write_table(joined, tmp_path / "x.parquet")
    again = parquet.ParquetFile(tmp_path / "x.parquet").read()
    assert again.to_pylist() == joined.to_pylist()
    assert again.schema == EVENT_SCHEMA


def test_each_view_compiles_and_runs() -> None:
    connection = duckdb.connect()
    connection.register("cloudfront", events(log(100)))
    for name, sql in CloudFront().views.items():
        assert compile_view(name, sql, SCHEMA).keys[0] == "bucket"
        answer = connection.sql(sql).to_arrow_table()
        assert sum(answer["requests"].to_pylist()) == 100
        assert sum(answer["bytes"].to_pylist()) == sum(range(100))


def test_a_pack_that_is_not_there_is_refused_by_name() -> None:
    assert load("cloudfront").name == "cloudfront"
    with pytest.raises(ConfigError, match=r"there is no pack 'cloudfrnt'; did you mean cloudfront\? Accepted: alb, "):
        load("cloudfrnt")


def test_decoding_does_not_import_pandas(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(log(50))
    code = (
        "import sys; from pathlib import Path; from shardlake.packs.registry import load; p = load('cloudfront');"
        "rows = p.enrich(p.open(sys.argv[2]).decode(Path(sys.argv[1]).read_bytes()).rows);"
        "assert rows.num_rows == 50; sys.exit(sorted({'pandas', 'pyiceberg', 'sqlglot'} & set(sys.modules)) or 0)"
    )
    for name in (NAME, "no-pattern"):
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "log", name], check=False, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_real_log_is_read_whole(real_data: Path | None) -> None:
    if real_data is None:
        pytest.skip("set SHARDLAKE_TEST_DATA to a folder of real logs")
    table = events(gzip.decompress((real_data / "cloudfront_2016.gz").read_bytes()), "x.gz")
    assert table.num_rows == 18
    assert "000" in table["sc_status"].to_pylist()
    assert not any("%" in agent for agent in table["user_agent"].to_pylist())
    assert table["sc_content_type"].null_count == 18
