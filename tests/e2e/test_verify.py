"""What is stored is checked: by its hash when it is read, and against the rows by `shardlake verify`."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardlake.app.demo.generator import write_logs
from shardlake.testing.runs import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A root with some entries counted by batch, and some not yet."""
    logs = tmp_path / "logs"
    logs.mkdir()
    made = Program(tmp_path / "store", logs, {"limits.chunk_rows_max": "500"})
    files = list(write_logs(logs, 3000, 5, files=12, hours=1, viewers=100))
    held_back = logs / files[-1].name
    late = tmp_path / files[-1].name
    held_back.rename(late)
    made.run("stream", "run", "--once").expect(0)
    made.run("batch", "run").expect(0)
    late.rename(held_back)
    made.run("stream", "run", "--once").expect(0)
    made.run("verify").expect(0)
    return made


def test_a_batch_file_that_was_changed_is_refused_and_named(program: Program) -> None:
    [path] = program.root.glob("tables/viewers_*/data/*/*.parquet")
    with pq.ParquetFile(path) as file:
        table = file.read()
    counts = table["requests__count"].to_pylist()
    at = table.schema.get_field_index("requests__count")
    changed = table.set_column(at, table.schema.field(at), pa.array([counts[0] + 1, *counts[1:]]))
    pq.write_table(changed, path)
    for command in (["verify"], ["query", "SELECT count(*) FROM viewers"]):
        assert path.name in program.run(*command).expect(1).err


def test_a_batch_file_that_is_not_what_its_rows_say_is_found(program: Program) -> None:
    """As if a fault of ours had committed it: its hash is that of its commit."""
    [path] = program.root.glob("tables/viewers_*/data/*/*.parquet")
    [sidecar] = program.root.glob("tables/viewers_*/index/*.json")
    before, data = hashlib.sha256(path.read_bytes()).hexdigest(), sidecar.read_bytes().partition(b"\n")[2]
    length = path.stat().st_size
    with pq.ParquetFile(path) as file:
        table = file.read()
    at = table.schema.get_field_index("requests__count")
    counts = table["requests__count"].to_pylist()
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array([counts[0] + 1, *counts[1:]])), path)
    data = data.replace(before.encode(), hashlib.sha256(path.read_bytes()).hexdigest().encode())
    data = data.replace(f'"length":{length},'.encode(), f'"length":{path.stat().st_size},'.encode())
    sidecar.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
    done = program.run("verify").expect(4)
    assert "viewers" in done.out and "differ" in done.out


@pytest.mark.parametrize("name", ["partial-viewers-*.parquet", "manifest.json"])
def test_an_object_that_was_changed_is_refused_by_its_hash(program: Program, name: str) -> None:
    newest = max(program.root.glob(f"objects/lanes/0000/*/{name}"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    done = program.run("query", "SELECT count(*) FROM viewers").expect(1)
    assert newest.name in done.err and "\n" not in done.err.strip()
