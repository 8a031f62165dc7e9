"""The demo's logs are what they say: repeatable, full of traps, and each trap is told."""

import gzip
import zlib
from collections import Counter
from pathlib import Path

import pytest

from shardlake.app.demo.generator import Produced, collect, write_logs
from shardlake.app.demo.world import ROBOTS, browsers, encode

REQUESTS = 4_000


def write(folder: Path, seed: int = 7) -> Produced:
    folder.mkdir()
    return collect(write_logs(folder, REQUESTS, seed, files=40, viewers=2_000), REQUESTS)


def text_of(path: Path) -> bytes:
    return zlib.decompressobj(31).decompress(path.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "logs"


@pytest.fixture(scope="module")
def produced(folder: Path) -> Produced:
    return write(folder)


def test_the_same_seed_writes_the_same_files(folder: Path, produced: Produced, tmp_path: Path) -> None:
    assert write(tmp_path / "again") == produced
    for file in produced.files:
        assert (folder / file.name).read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    assert write(tmp_path / "other", seed=8) != produced


def test_a_file_is_in_place_when_it_is_told(tmp_path: Path) -> None:
    names = []
    for file in write_logs(tmp_path, REQUESTS, 1, files=40, viewers=2_000):
        names.append(file.name)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
        assert (tmp_path / file.name).stat().st_size == file.bytes


def test_every_trap_is_there(produced: Produced) -> None:
    stories = Counter(file.story for file in produced.files)
    assert {"new", "late", "copy", "overlap", "old header", "lost ids", "truncated", "complete again"} == set(stories)
    kinds = {broken.kind for file in produced.files for broken in file.broken}
    assert {"too few fields", "not a number", "invalid UTF-8", "over-long line", "impossible date", "cut off"} == kinds
    assert [file.arrival for file in produced.files] == list(range(len(produced.files)))


def test_lines_and_columns_are_as_told(folder: Path, produced: Produced) -> None:
    for file in produced.files:
        lines = text_of(folder / file.name).splitlines()
        assert len(lines) == file.lines
        assert file.events == file.lines - 2 - len(file.broken)
        broken = {place.line for place in file.broken}
        columns = 24 if file.story == "old header" else 33
        assert lines[0] == b"#Version: 1.0"
        assert len(lines[1].split()) == columns + 1
        good = [line for number, line in enumerate(lines, start=1) if number > 2 and number not in broken]
        assert {line.count(b"\t") + 1 for line in good} == {columns}


def test_each_request_is_delivered_whole_at_least_once(folder: Path, produced: Produced) -> None:
    ids: Counter[bytes] = Counter()
    for file in produced.files:
        broken = {place.line for place in file.broken}
        for number, line in enumerate(text_of(folder / file.name).split(b"\n"), start=1):
            if number > 2 and number not in broken and line:
                ids[line.split(b"\t")[14]] += 1
    without = ids.pop(b"-")
    assert len(ids) + without == produced.distinct == REQUESTS
    assert {len(key) for key in ids} == {56}
    assert max(ids.values()) > 1


def test_a_copy_repeats_a_file_under_a_new_name(folder: Path, produced: Produced) -> None:
    contents = Counter((folder / file.name).read_bytes() for file in produced.files)
    copies = [file for file in produced.files if file.story == "copy"]
    assert copies
    assert all(contents[(folder / file.name).read_bytes()] == 2 for file in copies)


def test_the_cut_off_file_comes_near_the_end_and_is_delivered_again(folder: Path, produced: Produced) -> None:
    (cut,) = (file for file in produced.files if file.story == "truncated")
    assert cut.arrival >= len(produced.files) - 4
    with pytest.raises(EOFError):
        gzip.decompress((folder / cut.name).read_bytes())
    assert produced.files[-1].story == "complete again"
    whole = gzip.decompress((folder / produced.files[-1].name).read_bytes())
    assert whole.startswith(text_of(folder / cut.name))


def test_records_are_not_in_the_order_of_time(folder: Path, produced: Produced) -> None:
    lines = text_of(folder / produced.files[0].name).splitlines()[2:]
    times = [line.split(b"\t")[1] for line in lines]
    assert times != sorted(times)


def test_too_few_files_for_the_traps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the traps need"):
        list(write_logs(tmp_path, 40, 1, files=12, viewers=100))


def test_user_agents_are_encoded_as_cloudfront_does() -> None:
    assert encode("curl/8.5.0 (x; y)") == "curl/8.5.0%20(x;%20y)"
    assert encode("a b", times=2) == "a%2520b"
    assert encode("蜘") == "%E8%9C%98"
    assert len({*browsers(), *(robot.agent for robot in ROBOTS)}) > 200
