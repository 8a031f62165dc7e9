# long: one plain reader, its files and its limits serve all of these properties
"""Reading files: whatever the cuts, the resumptions and the breaks, each physical line comes once, with its number."""

import gzip
import hashlib
import os
import random
import tempfile
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.core.errors import Corrupt, Transient
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position, ShardId
from streams.sources import pieces
from streams.sources.files import FileSettings, FileSource, OnChange, OnGap
from streams.sources.port import Block, Fault, ObjectChanged, SourceGap

SHARD = ShardId("logs/0000")
LATER_US = 4_000_000_000_000_000
Lines = list[tuple[int, int, bytes]]


def plain_split(content: bytes) -> list[bytes]:
    """The splitter to compare with: it shares nothing with the source."""
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def numbered(block: Block) -> Lines:
    lines = plain_split(block.data)
    assert len(lines) == block.lines
    return [(block.ordinal, block.first_line + i, line) for i, line in enumerate(lines)]


def expected(contents: list[bytes]) -> Lines:
    return [(o, n, line) for o, c in enumerate(contents) for n, line in enumerate(plain_split(c), 1)]


EMPTY = gzip.compress(b"", mtime=0)


@dataclass
class Read:
    """What one or more readings gave: lines and faults that count, and lines that were shown again to the decoder."""

    at: Position = ORIGIN
    lines: Lines = field(default_factory=list)
    faults: list[tuple[int, Fault]] = field(default_factory=list)
    skipped: Lines = field(default_factory=list)

    def take(self, block: Block) -> None:
        assert block.range.after == self.at
        self.at = block.upto
        if block.skip:
            assert (block.upto, block.faults) == (block.after, ())
            self.skipped += numbered(block)
            return
        self.lines += numbered(block)
        self.faults += [(block.ordinal, fault) for fault in block.faults]

    @property
    def reasons(self) -> list[str]:
        return [fault.reason for _, fault in self.faults]


def limits(block_bytes: int = 8 << 20, lines: int = 100_000, longest: int = 16 << 20) -> Limits:
    return Limits(block_bytes=block_bytes, chunk_rows_max=lines, letter_bytes_max=longest)


def one_bucket(_: str) -> None:
    return None


def source_of(
    folder: Path, bounds: Limits, pages: list[bytes], on_change: OnChange = "fail", on_gap: OnGap = "fail"
) -> FileSource:
    source = FileSource(FileSettings("logs", str(folder), 1, on_change, on_gap), one_bucket, bounds)
    source.open(pages)
    return source


def written(folder: Path, files: list[bytes]) -> list[bytes]:
    """Write files whose ordinals are their places, and discover them."""
    for i, data in enumerate(files):
        path = folder / f"{i:03d}.log"
        path.write_bytes(data)
        os.utime(path, (1000 + i, 1000 + i))
    page = source_of(folder, limits(), []).discover(LATER_US)
    return [page] if page else []


def read_all(folder: Path, pages: list[bytes], bounds: Limits, *, on_gap: OnGap = "fail") -> Read:
    found = Read()
    for block in source_of(folder, bounds, pages, on_gap=on_gap).read(SHARD, ORIGIN):
        found.take(block)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def decoding_in(step: tuple[int, int]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "READ_BYTES", step[0])
        patch.setattr(pieces, "PIECE_BYTES", step[1])
        yield


def members(content: bytes, cuts: list[int], level: int) -> bytes:
    """Gzip some bytes as several members."""
    edges = sorted({0, len(content), *(c % (len(content) + 1) for c in cuts)})
    parts = [content[a:b] for a, b in pairwise(edges)] or [b""]
    return b"".join(gzip.compress(part, level, mtime=0) for part in parts)


contents = st.lists(
    st.sampled_from([b"", b"a", b"bc\t", b"\r", b"#Fields: x", b"\xff\x00", b"d" * 40]), max_size=40
).map(b"\n".join)
endings = st.sampled_from([b"", b"\n", b"\n\n"])
# Bytes read and decoded at a time: as they are, and so small that each break meets each state of a decoder.
steps = st.sampled_from([(pieces.READ_BYTES, pieces.PIECE_BYTES), (1, 1), (7, 300), (300, 7)])
small_limits = st.builds(limits, st.integers(1, 60), st.integers(1, 7), st.just(64))


@st.composite
def a_file(draw: st.DrawFn) -> tuple[bytes, bytes]:
    content = draw(contents) + draw(endings)
    if draw(st.booleans()):
        return content, content
    packed = members(content, draw(st.lists(st.integers(0, 1000), max_size=3)), draw(st.sampled_from([0, 1, 9])))
    return content, packed + b"\0" * draw(st.sampled_from([0, 1, 600]))


@settings(max_examples=150, deadline=None)
@given(st.lists(a_file(), max_size=4), st.lists(st.tuples(small_limits, st.integers(0, 6)), max_size=8), small_limits)
def test_any_resumptions_with_any_limits_give_each_line_once_with_its_number(
    files: list[tuple[bytes, bytes]], stops: list[tuple[Limits, int]], last: Limits
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), Read()
        pages = written(folder, [stored for _, stored in files])
        for bounds, blocks in [*stops, (last, 10_000)]:
            shown: dict[int, int] = {}
            for block, _ in zip(source_of(folder, bounds, pages).read(SHARD, found.at), range(blocks), strict=False):
                assert block.starts == (block.ordinal not in shown)
                assert block.first_line == shown.get(block.ordinal, 0) + 1
                shown[block.ordinal] = block.first_line + block.lines - 1
                found.take(block)
    assert found.lines == expected([content for content, _ in files])
    assert found.faults == []
    assert found.at == (Position(len(files)) if files else ORIGIN)


@settings(max_examples=100, deadline=None)
@given(a_file(), st.integers(0, 50), small_limits)
def test_reading_can_go_on_after_any_line(file: tuple[bytes, bytes], line: int, bounds: Limits) -> None:
    lines = expected([file[0]])
    line = min(line, len(lines))
    with tempfile.TemporaryDirectory() as name:
        found = Read(at=Position(0, line))
        for block in source_of(Path(name), bounds, written(Path(name), [file[1]])).read(SHARD, found.at):
            found.take(block)
    assert (found.skipped, found.lines) == (lines[:line], lines[line:])


@settings(max_examples=150, deadline=None)
@given(contents, st.integers(0, 400), small_limits, st.integers(0, 8), st.sampled_from([0, 1, 9]), steps)
def test_a_gzip_that_was_truncated_anywhere_gives_its_whole_lines_and_one_letter(
    content: bytes, cut: int, bounds: Limits, resume: int, level: int, step: tuple[int, int]
) -> None:
    packed = gzip.compress(content, level, mtime=0)
    stored = packed[: max(2, min(cut, len(packed) - 1))]
    decoded = zlib.decompressobj(31).decompress(stored)
    whole = [line for line in plain_split(decoded) if line.endswith(b"\n")]
    with tempfile.TemporaryDirectory() as name, decoding_in(step):
        pages, found = written(Path(name), [stored]), Read()
        for block, _ in zip(source_of(Path(name), bounds, pages).read(SHARD, ORIGIN), range(resume), strict=False):
            found.take(block)
        for block in source_of(Path(name), bounds, pages).read(SHARD, found.at):
            found.take(block)
    assert [line for _, _, line in found.lines] == whole
    [(_, fault)] = found.faults
    assert (fault.reason, fault.line, fault.payload) == (
        "truncated_gzip",
        len(whole) + 1,
        decoded[len(b"".join(whole)) :],
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.02, 1.0), st.integers(1, 1000), st.integers(0, 3), steps)
def test_a_gzip_that_breaks_inside_gives_all_that_can_be_decoded(
    seed: int, where: float, size: int, resume: int, step: tuple[int, int]
) -> None:
    rng = random.Random(seed)
    content = b"".join(b"%d\tline of %d\n" % (i, rng.randrange(10**12)) for i in range(1000))
    stored = bytearray(gzip.compress(content, 1, mtime=0))
    at = min(10 + int(where * (len(stored) - 10)), len(stored) - 1)
    stored[at : at + size] = rng.randbytes(min(size, len(stored) - at))
    decoded, whole = decode_bytewise(bytes(stored))
    with tempfile.TemporaryDirectory() as name, decoding_in(step):
        pages, found = written(Path(name), [bytes(stored)]), Read()
        for bounds, blocks in ((limits(20_000), resume), (limits(9_000), 100_000)):
            for block, _ in zip(
                source_of(Path(name), bounds, pages).read(SHARD, found.at), range(blocks), strict=False
            ):
                found.take(block)
    assert b"".join(line for _, _, line in found.lines) == (decoded if whole else decoded[: decoded.rfind(b"\n") + 1])
    assert [f.line for _, f in found.faults] == list(
        range(len(found.lines) + 1, len(found.lines) + len(found.faults) + 1)
    )
    assert whole or found.reasons[-1] in ("corrupt_gzip", "truncated_gzip")


def decode_bytewise(stored: bytes) -> tuple[bytes, bool]:
    """All that zlib decodes from one byte at a time, and to one byte at a time at last; whether it reached the end."""
    inflater, out = zlib.decompressobj(31), bytearray()
    for i in range(len(stored)):
        before = inflater.copy()
        try:
            out += inflater.decompress(stored[i : i + 1])
        except zlib.error:
            return bytes(out) + decode_last(before, stored[i : i + 1]), False
    return bytes(out), inflater.eof


def decode_last(inflater: "zlib._Decompress", byte: bytes) -> bytes:
    out = b""
    try:
        for _ in range(10_000):
            out += inflater.decompress(byte, 1)
            byte = inflater.unconsumed_tail
    except zlib.error:
        pass
    return out


def test_a_wrong_checksum_is_told_and_no_byte_is_lost(folder: Path) -> None:
    stored = bytearray(gzip.compress(b"one\ntwo\nthree", mtime=0))
    stored[-8] ^= 1
    found = read_all(folder, written(folder, [bytes(stored), b"next\n"]), limits())
    assert found.lines == [(0, 1, b"one\n"), (0, 2, b"two\n"), (1, 1, b"next\n")]
    assert found.reasons == ["cut_line", "corrupt_gzip"]
    (_, cut), (_, broken) = found.faults
    assert (cut.line, cut.payload, broken.line) == (3, b"three", 4)
    assert "checksum" in broken.detail


def test_a_break_far_inside_neither_repeats_nor_loses_what_came_before(folder: Path) -> None:
    content = b"".join(b"line %d\n" % i for i in range(100_000))
    stored = bytearray(gzip.compress(content, 1, mtime=0))
    stored[-8] ^= 1
    found = read_all(folder, written(folder, [bytes(stored)]), limits())
    assert b"".join(line for _, _, line in found.lines) == content
    assert [(f.line, f.reason) for _, f in found.faults] == [(100_001, "corrupt_gzip")]


def test_what_follows_the_gzip_data_is_a_letter_and_the_last_line_counts(folder: Path) -> None:
    found = read_all(folder, written(folder, [gzip.compress(b"one\ntwo", mtime=0) + b"\0\0rubbish"]), limits())
    assert found.lines == [(0, 1, b"one\n"), (0, 2, b"two")]
    [(_, fault)] = found.faults
    assert (fault.line, fault.reason, fault.payload, fault.length) == (3, "trailing_garbage", b"rubbish", 7)


@pytest.mark.parametrize("stored", [b"", EMPTY, EMPTY * 3, EMPTY + b"\0" * 9])
def test_an_empty_file_is_finished_at_once(folder: Path, stored: bytes) -> None:
    pages = written(folder, [stored, b"x"])
    blocks = list(source_of(folder, limits(), pages).read(SHARD, ORIGIN))
    assert [(b.data, b.upto, b.starts, b.ends, b.faults) for b in blocks] == [
        (b"", Position(1), True, True, ()),
        (b"x", Position(2), True, True, ()),
    ]


@pytest.mark.parametrize("stored", [b"\x1f", b"\x1f\n", b"\n\x1f\x8b", b"BZh9", b"\xef\xbb\xbf#Version"])
def test_what_does_not_begin_as_gzip_is_plain(folder: Path, stored: bytes) -> None:
    assert read_all(folder, written(folder, [stored]), limits()).lines == expected([stored])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_long_line_is_handed_over_whole(folder: Path, pack: type[bytes]) -> None:
    content = b"a\n" + b"x" * (10 << 20) + b"\nb\n"
    found = read_all(folder, written(folder, [pack(content)]), limits())
    assert found.lines == expected([content])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", [b"\nb\nc", b""])
def test_a_line_beyond_the_limit_is_a_letter_and_takes_its_number(folder: Path, pack: type[bytes], end: bytes) -> None:
    line = b"xyz" * 1_000_000
    pages = written(folder, [pack(b"a\n" + line + end)])
    found = read_all(folder, pages, limits(longest=2_000_000, block_bytes=1_000_000))
    assert found.lines == [(0, 1, b"a\n")] + ([(0, 3, b"b\n"), (0, 4, b"c")] if end else [])
    [(_, fault)] = found.faults
    assert (fault.line, fault.reason, fault.length) == (2, "line_too_long", 3_000_000)
    assert (fault.payload, fault.sha256) == (line[:2_000_000], hashlib.sha256(line).hexdigest())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 90), max_size=12),
    st.booleans(),
    st.integers(1, 60),
    st.integers(1, 7),
    st.integers(0, 9),
    st.sampled_from([bytes, gzip.compress]),
)
def test_lines_around_the_limit_keep_their_numbers(
    sizes: list[int], ended: bool, block_bytes: int, lines: int, resume: int, pack: type[bytes]
) -> None:
    content = b"\n".join(b"%d" % (i % 10) * size for i, size in enumerate(sizes)) + b"\n" * ended
    good = [(o, n, line) for o, n, line in expected([content]) if len(line.rstrip(b"\n")) <= 60]
    long = [(n, len(line.rstrip(b"\n"))) for _, n, line in expected([content]) if len(line.rstrip(b"\n")) > 60]
    bounds = limits(block_bytes, lines, 60)
    with tempfile.TemporaryDirectory() as name:
        pages, found = written(Path(name), [pack(content)]), Read()
        for blocks in (resume, 1000):
            for block, _ in zip(
                source_of(Path(name), bounds, pages).read(SHARD, found.at), range(blocks), strict=False
            ):
                found.take(block)
    assert found.lines == good
    assert [(f.line, f.length) for _, f in found.faults] == long


def test_blocks_are_bounded(folder: Path) -> None:
    content = b"12345\n" * 500_000
    pages = written(folder, [content, gzip.compress(content, mtime=0)])
    blocks = list(source_of(folder, limits(300_000, 20_000), pages).read(SHARD, ORIGIN))
    assert max(len(b.data) for b in blocks) <= 300_000
    assert max(b.lines for b in blocks) == 20_000
    assert len(blocks) < 80


def test_a_finished_file_is_never_opened_again(folder: Path) -> None:
    pages = written(folder, [b"a\n", b"b\n"])
    (folder / "000.log").unlink()
    [block] = source_of(folder, limits(), pages).read(SHARD, Position(1))
    assert (block.data, block.origin, block.arrival_us) == (b"b\n", "001.log", 1001_000_000)


def test_a_file_that_is_gone_stops_the_shard(folder: Path) -> None:
    pages = written(folder, [b"a\nb\n", b"c\n"])
    (folder / "000.log").unlink()
    with pytest.raises(SourceGap, match="on_gap"):
        list(source_of(folder, limits(), pages).read(SHARD, Position(0, 1)))


def test_a_file_that_is_gone_can_be_a_letter_and_a_gap(folder: Path) -> None:
    pages = written(folder, [b"a\nb\n", b"c\n"])
    (folder / "000.log").unlink()
    gap, rest = source_of(folder, limits(), pages, on_gap="dlq").read(SHARD, Position(0, 1))
    assert (gap.range.kind, gap.after, gap.upto) == ("gap", Position(0, 1), Position(1))
    assert [(f.line, f.reason) for f in gap.faults] == [(2, "object_missing")]
    assert (rest.data, rest.range.kind) == (b"c\n", "data")


def test_a_file_that_is_gone_can_be_a_gap_without_a_letter(folder: Path) -> None:
    pages = written(folder, [b"a\nb\n", b"c\n"])
    (folder / "000.log").unlink()
    gap, _ = source_of(folder, limits(), pages, on_gap="continue").read(SHARD, Position(0, 1))
    assert (gap.range.kind, gap.upto, gap.faults) == ("gap", Position(1), ())


@pytest.mark.parametrize("on_change", ["new", "dlq"])
def test_a_file_replaced_before_it_was_read_is_a_gap(folder: Path, on_change: OnChange) -> None:
    pages = written(folder, [b"a\n"])
    (folder / "000.log").write_bytes(b"other\n")
    [block] = source_of(folder, limits(), pages, on_change).read(SHARD, ORIGIN)
    assert (block.data, block.range.kind, [f.reason for f in block.faults]) == (b"", "gap", ["object_changed"])


def test_a_file_replaced_before_it_was_read_stops_the_source(folder: Path) -> None:
    pages = written(folder, [b"a\n"])
    (folder / "000.log").write_bytes(b"other\n")
    with pytest.raises(ObjectChanged, match=r"000\.log .*on_change"):
        list(source_of(folder, limits(), pages).read(SHARD, ORIGIN))


@pytest.mark.parametrize("on_change", ["fail", "new"])
def test_a_file_that_grows_while_it_is_read_is_noticed(folder: Path, on_change: OnChange) -> None:
    pages = written(folder, [b"a\nb\nc\n"])
    reading = source_of(folder, limits(2), pages, on_change).read(SHARD, ORIGIN)
    assert next(reading).data == b"a\n"
    with (folder / "000.log").open("ab") as file:
        file.write(b"d\n")
    if on_change == "fail":
        with pytest.raises(ObjectChanged):
            list(reading)
        return
    *_, last = reading
    assert [f.reason for f in last.faults] == ["object_changed"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_tried_again(folder: Path) -> None:
    pages = written(folder, [b"a\n"])
    (folder / "000.log").chmod(0)
    with pytest.raises(Transient, match="make it readable"):
        list(source_of(folder, limits(), pages).read(SHARD, ORIGIN))


def test_an_error_of_the_disk_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    pages = written(folder, [b"a\n"])
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(Transient, match="Input/output error"):
        list(source_of(folder, limits(), pages).read(SHARD, ORIGIN))


def test_positions_outside_of_the_known_files(folder: Path) -> None:
    source = source_of(folder, limits(), written(folder, [b"a\n"]))
    assert list(source.read(SHARD, Position(1))) == list(source.read(SHARD, END)) == []
    with pytest.raises(Corrupt, match="a page is missing"):
        list(source.read(SHARD, Position(1, 1)))


def test_memory_is_bounded_whatever_a_file_unpacks_to(folder: Path) -> None:
    pages = written(
        folder, [gzip.compress(bytes(100 << 20), 1) + gzip.compress(b"\n" + b"x\n" * 10_000_000, 1, mtime=0)]
    )
    tracemalloc.start()
    lines = sum(b.lines for b in source_of(folder, limits(1 << 20, 10**9, 1 << 20), pages).read(SHARD, ORIGIN))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == 10_000_000
    assert peak < 12 << 20
