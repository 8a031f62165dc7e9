"""`shardlake put`: each line of each kind of input becomes a record once, and what went wrong is told."""

import gzip
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.aggregates import expand
from shardlake.adapters.kinesis.direct import CallApi
from shardlake.app.cli import Invocation
from shardlake.app.commands.put import Shape, put
from shardlake.app.intake import cut, lines
from shardlake.core.errors import ConfigError, Terminal
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Fault, Server, serve
from streams.sources.lines import Broken

LINES = [b"%d\tkey-%d\tx" % (number, number % 3) for number in range(100)]
TEXT = b"#Version: 1.0\r\n#Fields: date time\n" + b"\n".join(LINES[:50]) + b"\r\n\n" + b"\n".join(LINES[50:])


@pytest.fixture
def server() -> Iterator[Server]:
    with serve(EmbeddedKinesis(SystemClock(), random.Random(1), Behaviour.unlimited())) as running:
        running.kinesis.ask("CreateStream", StreamName="logs", ShardCount=4)
        yield running


def run(server: Server, *args: str, given: bytes | None = None, stream: str = "logs") -> Result:
    options = ["--stream", stream, "--endpoint", server.url, "--json"]
    result = CliRunner().invoke(put, [*args, *options], input=given, obj=Invocation())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def records(server: Server) -> dict[str, list[bytes]]:
    api = CallApi(lambda action, body: astuple(server.call(action, body))[:2])
    found = {}
    for shard in api.list_shards("logs"):
        page = api.get_records(api.iterator("logs", shard.shard_id, "TRIM_HORIZON"))
        expanded = expand(page.data)
        found[shard.shard_id] = expanded.data if expanded else page.data
    return found


def all_records(server: Server) -> Counter[bytes]:
    return Counter(record for shard in records(server).values() for record in shard)


@pytest.mark.parametrize("content", [TEXT, gzip.compress(TEXT), gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])])
@pytest.mark.parametrize("extra", [(), ("--aggregate",)])
def test_files_are_put_line_by_line(server: Server, tmp_path: Path, content: bytes, extra: tuple[str, ...]) -> None:
    (tmp_path / "a.log").write_bytes(content)
    told = json.loads(run(server, str(tmp_path / "a.log"), *extra).stdout)
    assert all_records(server) == Counter(LINES)
    assert (told["records"], told["lines"], told["skipped"]) == (100, 103, 3)
    assert told["bytes"] == sum(map(len, LINES))
    assert (told["sent_again"], told["maybe_twice"], told["stream"]) == (0, 0, "logs")


def test_what_is_piped_in_is_put(server: Server) -> None:
    run(server, given=TEXT)
    run(server, "-", given=gzip.compress(TEXT))
    assert all_records(server) == Counter(LINES * 2)


def test_several_lines_make_a_record(server: Server) -> None:
    told = json.loads(run(server, "--lines", "30", "--key", "k", given=TEXT).stdout)
    assert all_records(server) == Counter(b"\n".join(LINES[at : at + 30]) for at in range(0, 100, 30))
    assert told["records"] == 4


def test_keys_decide_the_shards(server: Server) -> None:
    run(server, "--key-field", "2", given=TEXT)
    places = {line.split(b"\t")[1]: shard for shard, found in records(server).items() for line in found}
    assert len(places) == 3
    assert sum(len(found) for found in records(server).values()) == 100
    for shard, found in records(server).items():
        assert {places[line.split(b"\t")[1]] for line in found} <= {shard}
        of_each = [[line for line in found if line.split(b"\t")[1] == key] for key in places]
        assert all(part == [line for line in LINES if line in part] for part in of_each)


def test_a_key_of_a_field_that_is_not_there_follows_from_the_record() -> None:
    shape = Shape(key_field=2)
    assert shape.key_of(b"a\tb\tc\nd\te") == "b"
    assert shape.key_of(b"a\t\xff") == "\ufffd"
    assert shape.key_of(b"a\t\tc") is None
    assert shape.key_of(b"a\nb\tc") is None
    assert Shape(key="k").key_of(b"a") == "k"
    assert Shape().key_of(b"a") is None


def test_a_rate_is_kept(server: Server) -> None:
    begin = time.monotonic()
    run(server, "--rate", "400", given=TEXT)
    assert time.monotonic() - begin >= 0.23


def test_a_broken_file_is_put_up_to_the_break(server: Server, tmp_path: Path) -> None:
    text = random.Random(5).randbytes(60_000).hex().encode() + b"\n"
    broken = tmp_path / "b.gz"
    broken.write_bytes(gzip.compress(TEXT + b"\n" + text * 5)[:200_000])
    with pytest.raises(Terminal, match=r"b\.gz breaks off: .* its first 10[4-7] lines were put"):
        run(server, str(broken))
    assert all_records(server) >= Counter(LINES)
    assert set(all_records(server)) <= {*LINES, text.strip()}


def test_a_record_that_is_too_large_is_named_by_its_line_and_the_others_are_put(server: Server) -> None:
    with pytest.raises(Terminal, match=r"ends with line 101 of the input is above 1,048,576 bytes.*--skip-too-large"):
        run(server, given=b"\n".join([*LINES, b"y" * (1 << 20), b"z"]))
    assert all_records(server) == Counter(LINES)


@pytest.mark.parametrize("longest", [10 << 20, 1_500_000])
def test_records_that_are_too_large_are_left_out_and_counted(
    server: Server, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    monkeypatch.setattr("shardlake.app.intake.LINE_BYTES_MAX", longest)
    given = gzip.compress(b"\n".join([*LINES, b"y" * (2 << 20), b"z"]))
    told = json.loads(run(server, "--skip-too-large", given=given).stdout)
    assert all_records(server) == Counter([*LINES, b"z"])
    assert (told["records"], told["lines"], told["skipped"], told["too_large"]) == (101, 102, 0, 1)
    options = ["--stream", "logs", "--endpoint", server.url, "--skip-too-large", "--lines", "2"]
    said = CliRunner().invoke(put, options, input=given, obj=Invocation()).output
    assert "51 records" not in said
    assert "50 records" in said
    assert "; 2 lines left out, too large for a record" in said


def test_a_key_that_is_none_is_told_with_its_line(server: Server) -> None:
    with pytest.raises(Terminal, match="ends with line 1 of the input: a partition key has 1 to 256 characters"):
        run(server, "--skip-too-large", "--key", "k" * 300, given=b"a")


def test_lost_responses_are_told(server: Server) -> None:
    server.kinesis.inject(Fault(code=None, applied=True, dropped=True), "PutRecords")
    told = json.loads(run(server, given=TEXT).stdout)
    assert (told["records"], told["sent_again"], told["maybe_twice"], told["requests"]) == (100, 100, 100, 2)
    assert all_records(server) == Counter(LINES * 2)


def test_a_pipe_that_rests_has_its_lines_put(server: Server, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen: list[Counter[bytes]] = []

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(b"a\nb\nhalf")
            for _ in range(200):
                time.sleep(0.02)
                if all_records(server):
                    break
            seen.append(all_records(server))

    thread = threading.Thread(target=write)
    thread.start()
    run(server, str(pipe))
    thread.join()
    assert seen == [Counter([b"a", b"b"])]
    assert all_records(server) == Counter([b"a", b"b", b"half"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--key", "a", "--key-field", "1"), "exclude each other"),
        (("nowhere.log",), "does not exist"),
        (("--rate", "0"), "--rate"),
    ],
)
def test_a_wrong_command_line_is_refused(server: Server, args: tuple[str, ...], says: str) -> None:
    result = run(server, *args, given=b"")
    assert result.exit_code == 2
    assert says in result.output


def test_a_stream_has_to_be_named_and_to_be_there(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"source\.stream"):
        CliRunner().invoke(put, [], input=TEXT, obj=Invocation(), catch_exceptions=False)
    with pytest.raises(ConfigError, match="there is no stream other"):
        run(server, given=TEXT, stream="other")


# ----------------------------------------------------------------------------------------------------- pipes


def read_pipe(*parts: bytes, pause_s: float = 0.0) -> list[list[bytes]]:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file:
            for part in parts:
                file.write(part)
                time.sleep(pause_s)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as file:
            return list(lines(file))
    finally:
        thread.join()


def test_a_pipe_gives_what_came_before_the_rest_comes() -> None:
    assert read_pipe(b"a\nb", b"c\n", pause_s=0.3) == [[b"a"], [], [b"bc"], []]
    assert read_pipe() == []


def test_gzip_comes_through_a_pipe_in_any_cuts_and_members() -> None:
    packed = gzip.compress(TEXT) + b"\0\0" + gzip.compress(b"\nend\n")
    for size in (1, 7, len(packed)):
        found = read_pipe(*[packed[at : at + size] for at in range(0, len(packed), size)])
        assert [line for some in found for line in some] == [*TEXT.replace(b"\r", b"").split(b"\n"), b"end"]


@pytest.mark.parametrize("packed", [gzip.compress(TEXT)[:-9], gzip.compress(TEXT) + b"garbage"])
def test_gzip_that_breaks_off_in_a_pipe_is_told(packed: bytes) -> None:
    with pytest.raises(Broken):
        read_pipe(packed)


def test_of_a_line_that_is_very_long_its_start_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shardlake.app.intake.LINE_BYTES_MAX", 5)
    given = [b"a\n", b"abc", b"abcd", b"", b"e", b"ef\nb\nabc", b"abc"]
    assert list(cut(given)) == [[b"a"], [], [b"abcabc", b"b"], [b"abcabc"]]
    assert list(cut([b"abcdef\n", b"abcdefgh", b"\nb"])) == [[b"abcdef"], [b"abcdef"], [b"b"]]


def test_help_needs_neither_botocore_nor_arrow() -> None:
    code = (
        "import sys; from shardlake.app.commands.put import put; put.main(['--help'], standalone_mode=False);"
        "sys.exit(bool({'botocore', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "--key-field" in ran.stdout
