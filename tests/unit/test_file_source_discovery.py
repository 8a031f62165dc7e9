"""Discovery: which files count, when, in which bucket, in which order; and the pages that remember it."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.errors import ConfigError, Corrupt, FormatTooNew, Terminal
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN
from streams.sources import pages
from streams.sources.files import BucketKey, FileSettings, FileSource
from streams.sources.listing import Pattern
from streams.sources.pages import FileRow, Manifest
from streams.sources.port import ObjectChanged

NOW_US = 2_000_000_000_000_000
SECOND_US = 1_000_000


def hour(key: str) -> str | None:
    """A pack's bucket key: the name without its unique suffix."""
    name = key.rsplit("/", 1)[-1]
    return name.rsplit(".", 2)[0] if name.count(".") >= 2 else None


def make(path: Path, data: bytes = b"a\n", *, age_s: float = 3600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    mtime_ns = NOW_US * 1000 - int(age_s * 1e9)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def source(path: Path, bucket_key: BucketKey = hour, **settings: object) -> FileSource:
    return FileSource(FileSettings("logs", str(path), **settings), bucket_key, Limits(settle_s=1.0))  # type: ignore[arg-type]


def found(running: FileSource, now_us: int = NOW_US) -> list[FileRow]:
    page = running.discover(now_us)
    return [] if page is None else list(pages.decode(page).rows)


def keys(running: FileSource, now_us: int = NOW_US) -> list[str]:
    return [row.key for row in found(running, now_us)]


def everything(running: FileSource) -> list[tuple[str, bytes]]:
    return [(b.origin, b.data) for shard in running.shards() for b in running.read(shard, ORIGIN)]


def test_files_come_in_the_order_of_time_and_name_and_only_once(tmp_path: Path) -> None:
    for name, age_s in (("c.x.gz", 30), ("b.x.gz", 20), ("a.x.gz", 20), ("sub/deep/d.x.gz", 40)):
        make(tmp_path / name, age_s=age_s)
    running = source(tmp_path)
    assert keys(running) == ["sub/deep/d.x.gz", "c.x.gz", "a.x.gz", "b.x.gz"]
    assert running.discover(NOW_US) is None
    make(tmp_path / "late.x.gz", age_s=90)
    assert keys(running) == ["late.x.gz"]


def test_a_row_says_what_the_file_was(tmp_path: Path) -> None:
    path = make(tmp_path / "a.log", b"12345")
    [row] = found(source(tmp_path))
    assert row == FileRow(0, 0, "a.log", f"5-{path.stat().st_mtime_ns}", 5, NOW_US - 3600 * SECOND_US)


def test_copies_under_new_names_share_a_bucket_and_the_others_spread(tmp_path: Path) -> None:
    for i in range(64):
        make(tmp_path / f"E{i}.2026-07-01-10.aaaa.gz")
        make(tmp_path / f"copies/E{i}.2026-07-01-10.bbbb.gz")
    rows = found(source(tmp_path))
    buckets: dict[str | None, set[int]] = {}
    for row in rows:
        buckets.setdefault(hour(row.key), set()).add(row.bucket)
    assert len(buckets) == 64
    assert {len(found) for found in buckets.values()} == {1}
    assert len(set.union(*buckets.values())) > 10


def test_the_bucket_of_a_name_is_part_of_the_format(tmp_path: Path) -> None:
    names = ["E2Q.2026-07-01-10.a.gz", "E2Q.2026-07-01-11.a.gz", "EDF.2026-07-01-10.a.gz", "access.log"]
    assert [source(tmp_path).bucket(name) for name in names] == [10, 12, 7, 0]


def test_names_without_a_pattern_share_bucket_0(tmp_path: Path) -> None:
    for i in range(9):
        make(tmp_path / f"access{i}.log")
    assert [(row.bucket, row.ordinal) for row in found(source(tmp_path))] == [(0, i) for i in range(9)]


def test_ordinals_are_dense_in_each_bucket_across_restarts(tmp_path: Path) -> None:
    stored: list[bytes] = []
    running = source(tmp_path, buckets=3)
    for i in range(30):
        make(tmp_path / f"E{i % 7}.h.{i}.gz", age_s=1000 - i)
        running.open(stored)
        page = running.discover(NOW_US)
        assert page is not None
        stored.append(page)
    running.open([running.merge(stored[:10]), *stored[10:]])
    assert running.discover(NOW_US) is None
    assert len(everything(running)) == 30
    assert running.shards() == ["logs/0000", "logs/0001", "logs/0002"]


def test_a_file_that_is_being_written_waits_until_it_has_settled(tmp_path: Path) -> None:
    running = source(tmp_path)
    make(tmp_path / "a.log", b"half", age_s=0.2)
    assert keys(running) == []
    make(tmp_path / "a.log", b"half and half", age_s=-0.5)
    assert keys(running, NOW_US + SECOND_US) == []
    assert keys(running, NOW_US + 2 * SECOND_US) == ["a.log"]


def test_a_modified_time_in_the_future_is_judged_by_watching(tmp_path: Path) -> None:
    running = source(tmp_path)
    make(tmp_path / "a.log", age_s=-7200)
    assert [keys(running, NOW_US + s * SECOND_US // 2) for s in range(3)] == [[], [], ["a.log"]]


def test_what_is_renamed_into_place_counts_at_once(tmp_path: Path) -> None:
    running = source(tmp_path)
    made = make(tmp_path / ".a.gz.tmp", age_s=5)
    assert keys(running) == []
    made.rename(tmp_path / "a.gz")
    assert keys(running) == ["a.gz"]


def test_names_of_unfinished_files_and_what_is_no_file_are_left_out(tmp_path: Path) -> None:
    for name in (".hidden", "a.tmp", "b.part", "c~", ".folder/d.gz", "e.gz"):
        make(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.gz")
    (tmp_path / "dangling.gz").symlink_to(tmp_path / "nothing")
    (tmp_path / "link.gz").symlink_to(tmp_path / "e.gz")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert sorted(keys(source(tmp_path))) == ["e.gz", "link.gz"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ["a.gz", "b.log", "x/c.gz", "x/y/d.gz"]),
        ("*.gz", ["a.gz"]),
        ("**/*.gz", ["a.gz", "x/c.gz", "x/y/d.gz"]),
        ("*/*.gz", ["x/c.gz"]),
        ("x/**", ["c.gz", "y/d.gz"]),
        ("x", ["c.gz", "y/d.gz"]),
        ("[ab].*", ["a.gz", "b.log"]),
        ("b.log", ["b.log"]),
        ("?/?/?.gz", ["x/y/d.gz"]),
        ("later.log", []),
    ],
)
def test_a_path_is_a_folder_a_file_or_a_pattern(tmp_path: Path, path: str, expected: list[str]) -> None:
    for name in ("a.gz", "b.log", "x/c.gz", "x/y/d.gz"):
        make(tmp_path / name)
    assert sorted(keys(source(tmp_path / path))) == expected


def test_folders_that_cannot_hold_matches_are_not_entered(tmp_path: Path) -> None:
    pattern = Pattern.of(str(tmp_path / "*/*.gz"))
    assert (pattern.reaches("x"), pattern.reaches("x/y")) == (True, False)


def test_a_file_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    make(tmp_path / "a[1].log")
    make(tmp_path / "a1.log")
    assert keys(source(tmp_path / "a[1].log")) == ["a[1].log"]


def test_a_missing_folder_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere is not a folder"):
        source(tmp_path / "nowhere" / "*.gz").discover(NOW_US)


def test_a_folder_that_was_not_there_is_read_when_it_is(tmp_path: Path) -> None:
    running = source(tmp_path / "logs")
    assert not running.sees_nothing, "nobody has looked yet"
    assert keys(running) == []
    assert running.sees_nothing
    make(tmp_path / "logs" / "sub" / "a.log", b"abc\n")
    assert keys(running) == ["sub/a.log"]
    assert not running.sees_nothing
    assert everything(running) == [("sub/a.log", b"abc\n")]


def test_a_file_that_has_not_settled_is_a_file(tmp_path: Path) -> None:
    make(tmp_path / "a.log", age_s=0)
    running = source(tmp_path)
    assert (keys(running), running.sees_nothing) == ([], False)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system refuses such names")
def test_a_name_that_is_not_utf8_is_not_passed_over(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.gz")).write_bytes(b"")
    with pytest.raises(Terminal, match="rename it"):
        source(tmp_path).discover(NOW_US)
    assert keys(source(tmp_path / "*.log")) == []


def test_a_change_stops_the_source_and_registers_nothing(tmp_path: Path) -> None:
    make(tmp_path / "m.log")
    running = source(tmp_path)
    assert keys(running) == ["m.log"]
    make(tmp_path / "a.log", age_s=4000)
    make(tmp_path / "m.log", b"other\n", age_s=1800)
    with pytest.raises(ObjectChanged, match=r"m\.log has changed.*on_change.*new.*dlq") as caught:
        running.discover(NOW_US)
    assert caught.value.key == str(tmp_path / "m.log")
    assert "from 2 bytes of 2033-05-18 02:33:20 UTC to 6 bytes of 2033-05-18 03:03:20 UTC" in str(caught.value)
    assert running._manifest.latest("a.log") is None


def test_a_changed_file_can_be_read_again_as_a_new_one(tmp_path: Path) -> None:
    make(tmp_path / "a.log", b"one\n")
    running = source(tmp_path, on_change="new")
    stored = [running.discover(NOW_US) or b""]
    make(tmp_path / "a.log", b"two\nthree\n", age_s=1800)
    stored.append(running.discover(NOW_US) or b"")
    assert running.discover(NOW_US) is None
    again = source(tmp_path, on_change="new")
    again.open(stored)
    assert again.discover(NOW_US) is None
    old, new = again.read(again.shards()[0], ORIGIN)
    assert (old.data, [f.reason for f in old.faults], old.kind) == (b"", ["object_changed"], "gap")
    assert (new.ordinal, new.data, new.kind) == (1, b"two\nthree\n", "data")


def test_a_changed_file_can_be_a_dead_letter_once(tmp_path: Path) -> None:
    make(tmp_path / "a.log", b"one\n")
    running = source(tmp_path, on_change="dlq")
    running.discover(NOW_US)
    [first] = running.read(running.shards()[0], ORIGIN)
    make(tmp_path / "a.log", b"two\n", age_s=1800)
    assert [row.kind for row in found(running)] == ["changed"]
    assert running.discover(NOW_US) is None
    [second] = running.read(running.shards()[0], first.upto)
    assert (second.data, second.kind, [f.reason for f in second.faults]) == (b"", "data", ["object_changed"])


def test_a_page_takes_so_many_files_and_the_rest_waits(tmp_path: Path) -> None:
    for i in range(5):
        make(tmp_path / f"{i}.log", age_s=100 - i)
    running = source(tmp_path, discover_max=2)
    assert [keys(running) for _ in range(4)] == [["0.log", "1.log"], ["2.log", "3.log"], ["4.log"], []]


def test_a_reopened_source_forgets_what_was_not_committed(tmp_path: Path) -> None:
    make(tmp_path / "a.log")
    running = source(tmp_path)
    assert keys(running) == ["a.log"]
    running.open([])
    assert everything(running) == []
    assert keys(running) == ["a.log"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"on_change": "ignore"}, "on_change is 'ignore'; accepted: fail, new, dlq"),
        ({"on_gap": ""}, "on_gap is ''; accepted: fail, dlq, continue"),
        ({"buckets": 0}, "buckets is 0; accepted: 1 to 10000"),
        ({"discover_max": 0}, "discover_max is 0"),
    ],
)
def test_a_wrong_setting_names_what_is_accepted(tmp_path: Path, setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FileSettings("logs", str(tmp_path), **setting)  # type: ignore[arg-type]


def test_the_number_of_buckets_cannot_change(tmp_path: Path) -> None:
    page = pages.encode(16, [FileRow(0, 0, "a", "1-1", 1, 1)])
    with pytest.raises(ConfigError, match="buckets is 8, but files were given to 16 buckets"):
        source(tmp_path, buckets=8).open([page])


def test_pages_out_of_order_or_unreadable_are_refused() -> None:
    second = pages.encode(2, [FileRow(1, 1, "b", "1-1", 1, 1)])
    with pytest.raises(Corrupt, match="ordinal 1 in bucket 1, which is not the next"):
        Manifest.from_pages(2, [second])
    with pytest.raises(Corrupt, match="do not belong together"):
        pages.merge([second, pages.encode(3, [])])
    with pytest.raises(Corrupt, match="cannot be read"):
        pages.decode(b"{}")
    with pytest.raises(FormatTooNew):
        pages.decode(b'{"format":2}')


@given(st.lists(st.integers(50, 500), max_size=300), st.integers(2, 64))
def test_merging_bounds_the_number_of_pages(sizes: list[int], pages_max: int) -> None:
    lengths: list[int] = []
    for size in sizes:
        merge_into(lengths, size, pages_max)
        assert len(lengths) <= pages_max
    assert sum(lengths) == sum(sizes)


def test_merging_rewrites_a_row_only_so_often_as_the_logarithm_of_their_number() -> None:
    lengths: list[int] = []
    rewritten = sum(merge_into(lengths, 1, 8) for _ in range(20_000))
    assert 2 < rewritten / 20_000 < 15


def merge_into(lengths: list[int], size: int, pages_max: int) -> int:
    """Append a page, merge as advised, and give the bytes that were rewritten."""
    lengths.append(size)
    start = pages.merge_from(lengths, pages_max)
    merged = sum(lengths[start:])
    lengths[start:] = [merged] if merged else []
    return merged
