"""Log files in S3 as a source: what is found, when, and that reading them is as reading files of a folder."""

import gzip
import io
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from shardlake.adapters.s3 import body
from shardlake.adapters.s3.body import Body
from shardlake.adapters.s3.bucket import Bucket
from shardlake.core.errors import ConfigError, Terminal, Transient
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN, Position
from streams.sources.files import FileSettings, FileSource
from streams.sources.pages import FileRow
from streams.sources.port import ObjectChanged, SourceGap
from streams.sources.s3 import Keys
from tests.s3.logs import LIMITS, NOW_US, SHARD, Logs, keys, one_bucket, plainly, rows
from tests.s3.standin import Kind

# ------------------------------------------------------------------------------------------------ discovery


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ["b.log", "cf/E1.gz", "cf/E2.gz", "cf/deep/E1.gz", "cf2/E1.gz"]),
        ("cf", ["cf/E1.gz", "cf/E2.gz", "cf/deep/E1.gz"]),
        ("cf/", ["cf/E1.gz", "cf/E2.gz", "cf/deep/E1.gz"]),
        ("cf/E1*", ["cf/E1.gz"]),
        ("cf/*.gz", ["cf/E1.gz", "cf/E2.gz"]),
        ("cf*/**/E1.gz", ["cf/E1.gz", "cf/deep/E1.gz", "cf2/E1.gz"]),
        ("cf/E[23].gz", ["cf/E2.gz"]),
        ("?.log", ["b.log"]),
        ("b.log", ["b.log"]),
        ("nothing/", []),
    ],
)
def test_a_path_is_a_prefix_an_object_or_a_pattern(logs: Logs, path: str, expected: list[str]) -> None:
    for key in ("b.log", "cf/E1.gz", "cf/E2.gz", "cf/deep/E1.gz", "cf2/E1.gz", "cf/.hidden/x", "cf/x.tmp", "cf/empty/"):
        logs.put(key)
    assert logs.found(path) == expected


def test_only_what_begins_like_a_pattern_is_listed(logs: Logs) -> None:
    logs.found("cf/E1*/*.gz")
    assert logs.server.count("GET", "prefix=cf%2FE1&") == 1


def test_a_row_says_what_the_object_was(logs: Logs) -> None:
    logs.put("cf/a b+%.gz", b"12345")
    [row] = rows(logs.source("cf/"))
    shown = logs.server.client().head_object(Bucket=logs.place.bucket, Key="cf/a b+%.gz")
    modified_us = round(shown["LastModified"].timestamp() * 1e6)
    assert row == FileRow(0, 0, "cf/a b+%.gz", shown["ETag"].strip('"'), 5, modified_us)


def test_a_listing_of_many_pages_is_whole(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    for i in range(11):
        logs.put(f"{i}.log")
    logs.server.forget()
    assert len(logs.found()) == 11
    assert logs.server.count("GET", "list-type=2") == 3


def test_a_listing_that_breaks_is_made_again(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    for i in range(6):
        logs.put(f"{i}.log")
    source = logs.source(settings=replace(logs.server.settings, attempts_max=1))
    logs.server.fault("error", "GET", "continuation-token")
    with pytest.raises(Transient, match="list"):
        source.discover(NOW_US)
    assert len(keys(source)) == 6


def test_all_is_listed_again_after_a_while_only(logs: Logs) -> None:
    logs.put("a.log")
    source = logs.source()
    assert keys(source) == ["a.log"]
    logs.put("b.log")
    assert keys(source) == []
    logs.clock.advance(29.0)
    assert keys(source) == []
    logs.clock.advance(2.0)
    assert keys(source) == ["b.log"]
    assert logs.server.count("GET", "list-type=2") == 2


def test_a_source_that_is_opened_again_lists_all(logs: Logs) -> None:
    logs.put("a.log")
    source = logs.source()
    first = source.discover(NOW_US)
    assert first is not None
    source.open([])
    assert source.discover(NOW_US) == first
    source.open([first])
    assert source.discover(NOW_US) is None


def test_a_page_takes_so_many_objects_and_the_rest_waits_without_another_listing(logs: Logs) -> None:
    for i in range(5):
        logs.put(f"{i}.log")
    source = logs.source(discover_max=2)
    found, waiting = [], []
    for _ in range(4):
        found.append(keys(source))
        waiting.append(source.waiting)
    assert [len(some) for some in found] == [2, 2, 1, 0]
    assert waiting == [3, 1, 0, 0]
    assert logs.server.count("GET", "list-type=2") == 1


def test_a_change_stops_the_source(logs: Logs) -> None:
    logs.put("a.log", b"one\n")
    source = logs.source()
    rows(source)
    logs.put("a.log", b"two\n")
    logs.clock.advance(31.0)
    with pytest.raises(ObjectChanged, match=rf"s3://{logs.place.bucket}/a\.log has changed"):
        source.discover(NOW_US)


@pytest.mark.parametrize("url", ["s3://", "s3://UPPER/x", "s3:///x", "s3://abc//x", "/local"])
def test_what_is_no_place_in_s3_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="write s3://bucket"):
        Keys.of(url)


# -------------------------------------------------------------------------------------------------- reading


def contents(drawn: random.Random) -> bytes:
    """A log as it comes: plain or gzip, of several members, empty, cut, or broken."""
    text = b"".join(b"%d %s\n" % (i, b"x" * drawn.randrange(200)) for i in range(drawn.choice([0, 1, 30, 400])))
    text = text.removesuffix(b"\n") if drawn.random() < 0.3 else text
    if drawn.random() < 0.2:
        return text
    middle = drawn.randrange(len(text) + 1)
    data = gzip.compress(text[:middle]) + gzip.compress(text[middle:])
    fate = drawn.random()
    if fate < 0.2:
        return data[: drawn.randrange(len(data))]
    if fate < 0.4:
        place = drawn.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    return data + (b"what is this" if fate < 0.5 else b"")


@pytest.mark.parametrize("seed", range(6))
def test_objects_are_read_as_files_are(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    drawn = random.Random(seed)
    monkeypatch.setattr(body, "BUFFER_BYTES", drawn.choice([64, 1000, 100_000]))
    for i in range(8):
        data, name = contents(drawn), f"{i}.log"
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (1000, 1000))
        logs.put(name, data)
    here = FileSource(FileSettings("logs", str(tmp_path), 1), one_bucket, LIMITS)
    here.open([])
    there = logs.source()
    assert keys(here) == keys(there)
    expected = list(here.read(SHARD, ORIGIN))
    for _ in range(3):
        kinds: list[Kind] = ["cut", "drop", "error"]
        logs.server.fault(drawn.choice(kinds), "GET", f"{drawn.randrange(8)}.log")
    assert plainly(there.read(SHARD, ORIGIN)) == plainly(iter(expected))
    for block in drawn.sample(expected, 3):
        assert plainly(there.read(SHARD, block.upto)) == plainly(here.read(SHARD, block.upto))


def test_an_object_marked_as_gzip_is_not_unpacked_on_the_way(logs: Logs) -> None:
    logs.put("a.gz", gzip.compress(b"one\ntwo\n"), ContentEncoding="gzip")
    source = logs.source()
    rows(source)
    assert plainly(source.read(SHARD, ORIGIN)) == (b"one\ntwo\n", [], Position(1))


def test_each_object_costs_one_request(logs: Logs) -> None:
    for i in range(3):
        logs.put(f"{i}.gz", gzip.compress(b"line\n" * 10_000))
    source = logs.source()
    rows(source)
    logs.server.forget()
    plainly(source.read(SHARD, ORIGIN))
    assert [request.method for request in logs.server.requests] == ["GET"] * 3


def test_a_body_that_breaks_is_read_on_from_there(logs: Logs) -> None:
    data = random.Random(1).randbytes(900_000).replace(b"\n", b"") + b"\n"
    logs.put("a.log", data)
    source = FileSource(FileSettings("logs", ""), one_bucket, Limits(), logs.source()._store)
    rows(source)
    logs.server.fault("cut", "GET", "a.log", times=2)
    assert plainly(source.read(SHARD, ORIGIN))[0] == data
    ranges = [
        r.headers.get("range", "") for r in logs.server.requests if r.path.endswith("a.log") and r.method == "GET"
    ]
    assert ranges[0] == ""
    assert [text[:6] for text in ranges[1:]] == ["bytes="] * 2


@pytest.mark.parametrize("kind", ["cut", "drop", "stall"])
def test_a_body_that_never_comes_is_transient_and_read_again_from_its_position(logs: Logs, kind: Kind) -> None:
    logs.put("a.log", b"".join(b"%06d\n" % i for i in range(2000)))
    source = logs.source(settings=replace(logs.server.hasty, attempts_max=1))
    rows(source)
    first = next(source.read(SHARD, ORIGIN))
    logs.server.fault(kind, "GET", "a.log", times=99)
    with pytest.raises(Transient, match=r"a\.log"):
        list(source.read(SHARD, first.upto))
    logs.server.faults.clear()
    rest, faults, at = plainly(source.read(SHARD, first.upto))
    assert first.data + rest == b"".join(b"%06d\n" % i for i in range(2000))
    assert (faults, at) == ([], Position(1))


def test_an_object_that_was_removed_is_a_gap(logs: Logs) -> None:
    logs.put("a.log")
    logs.put("b.log", b"b\n")
    for on_gap in ("fail", "dlq"):
        source = logs.source(on_gap=on_gap)
        rows(source)
        logs.remove("a.log")
        if on_gap == "fail":
            with pytest.raises(SourceGap, match=rf"s3://{logs.place.bucket}/a\.log was removed"):
                list(source.read(SHARD, ORIGIN))
            logs.put("a.log")
            continue
        gap, rest = source.read(SHARD, ORIGIN)
        assert (gap.kind, [f.reason for f in gap.faults], rest.data) == ("gap", ["object_missing"], b"b\n")


@pytest.mark.parametrize("on_change", ["fail", "new", "dlq"])
def test_an_object_that_was_replaced_is_never_read_for_the_old_one(logs: Logs, on_change: str) -> None:
    logs.put("a.log", b"one\n")
    source = logs.source(on_change=on_change)
    rows(source)
    logs.put("a.log", b"two\n")
    if on_change == "fail":
        with pytest.raises(ObjectChanged, match=r"a\.log has changed"):
            list(source.read(SHARD, ORIGIN))
        return
    [gap] = source.read(SHARD, ORIGIN)
    assert (gap.kind, gap.data, [f.reason for f in gap.faults]) == ("gap", b"", ["object_changed"])
    logs.clock.advance(31.0)
    [row] = rows(source)
    [again] = source.read(SHARD, gap.upto)
    assert (row.kind, again.data) == (("data", b"two\n") if on_change == "new" else ("changed", b""))


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(logs: Logs) -> None:
    logs.put("a.log", b"aaaaaa\n" * 300_000)
    source = logs.source(on_change="new")
    rows(source)
    first = next(source.read(SHARD, ORIGIN))
    logs.put("a.log", b"bbbbbb\n" * 300_000)
    [gap] = source.read(SHARD, first.upto)
    assert (gap.kind, gap.faults[0].reason, gap.faults[0].line) == ("gap", "object_changed", first.lines + 1)
    assert set(first.data) == {*b"a\n"}


def test_a_body_that_breaks_after_a_replacement_is_transient(logs: Logs) -> None:
    logs.put("a.log", b"aaaaaa\n" * 300_000)
    source = FileSource(FileSettings("logs", "", on_change="new"), one_bucket, Limits(), logs.source()._store)
    rows(source)
    logs.server.fault("cut", "GET", "a.log")
    opened = source._store.open(source._manifest.beyond(0, 0)[0])
    assert opened.file.read(5) == b"aaaaa"
    logs.put("a.log", b"bbbbbb\n" * 300_000)
    with pytest.raises(Transient, match="replaced while it was read"):
        opened.file.read()
    opened.file.close()


def test_an_object_in_an_archive_says_so(logs: Logs) -> None:
    logs.put("a.log")
    source = logs.source()
    rows(source)
    logs.server.fault("archived", "GET", "a.log")
    with pytest.raises(Terminal, match="restore the object from its archive"):
        list(source.read(SHARD, ORIGIN))


@pytest.mark.parametrize("seed", range(4))
def test_a_body_reads_as_a_file_does_wherever_it_is_read(logs: Logs, seed: int) -> None:
    drawn = random.Random(seed)
    data = drawn.randbytes(300_000)
    logs.put("a.log", data)
    listed = bucket_of(logs).head("a.log")
    assert listed is not None
    file, plain = Body(bucket_of(logs), "a.log", listed.etag, listed.size).start(), io.BytesIO(data)
    for _ in range(40):
        size, place = drawn.choice([1, 100, 150_000]), drawn.randrange(len(data) + 1)
        assert file.read(size) == plain.read(size)
        if drawn.random() < 0.5:
            assert file.seek(place) == plain.seek(place)
        if drawn.random() < 0.2:
            logs.server.fault("cut", "GET", "a.log")
        assert file.tell() == plain.tell()
    file.close()


def bucket_of(logs: Logs) -> Bucket:
    return Bucket(logs.server.client(), logs.place.bucket)
