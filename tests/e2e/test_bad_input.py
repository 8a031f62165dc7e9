"""Bad input, from files to answers: the good lines are counted, the bad ones are dead letters, and nothing else."""

# long: a third of it is one table of cases
import gzip
import hashlib
import os
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shardlake.app.cli import Invocation
from shardlake.app.demo.oracle import Expected
from shardlake.app.letters import Letter, Letters
from shardlake.app.logs import make_log
from shardlake.app.main import run
from shardlake.app.settings import Config
from shardlake.app.streaming import stream
from shardlake.core.errors import Terminal
from shardlake.testing.runs import Program
from streams.sources.port import ObjectChanged, SourceGap

Stream = Callable[[Program], int]
Work = Callable[[Program], None]
Hold = Callable[[Program], Expected]
Configured = Callable[[Program], Config]
Classify = Callable[[str | None], tuple[bool | None, str | None, str | None]]

NAME = "E2EXAMPLE1234.2026-03-01-10.{}.gz"
HEADER = b"#Version: 1.0\n#Fields: date time x-edge-location sc-bytes cs(Host) cs(User-Agent) x-edge-request-id c-ip\n"
OTHER_HEADER = b"#Fields: c-ip cs(User-Agent) sc-bytes x-edge-request-id x-edge-location time date\n"
AGENT = "curl/8.5.0"
MIB = 1 << 20


def cells(n: int) -> list[bytes]:
    """The fields of the n-th request: its viewer and its bytes tell it from all others."""
    clock = f"10:{n % 60:02}:{n % 59:02}"
    return [
        text.encode()
        for text in (
            "2026-03-01",
            clock,
            "FRA56-P4",
            str(1000 + n),
            "d1.cloudfront.net",
            AGENT,
            f"id{n}",
            f"10.0.0.{n}",
        )
    ]


def line(n: int, place: int = -1, value: bytes = b"") -> bytes:
    """The n-th request as a line without its end; with `place` one of its fields is another."""
    found = cells(n)
    if place >= 0:
        found[place] = value
    return b"\t".join(found)


def under_other_header(n: int) -> bytes:
    date, clock, edge, sent, _, agent, key, viewer = cells(n)
    return b"\t".join((viewer, agent, sent, key, edge, clock, date))


def text(*lines: bytes, end: bytes = b"\n") -> bytes:
    return b"".join(one + end for one in lines)


@dataclass(frozen=True)
class Case:
    """A file: which requests in it are good, and its letters as (line, reason, payload); None: any payload."""

    content: bytes
    good: Sequence[int] = ()
    letters: Sequence[tuple[int, str, bytes | None]] = ()
    viewers: dict[int, str] = field(default_factory=dict)


def full_flushed(first: bytes) -> bytes:
    """A gzip stream's first part, whose every byte can be decoded."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)


def with_wrong_checksum(content: bytes) -> bytes:
    packed = bytearray(gzip.compress(content))
    packed[-8] ^= 0xFF
    return bytes(packed)


IMPOSSIBLE_BLOCK = b"\x07" + bytes(range(100, 200))
GOOD = HEADER + text(*map(line, range(1, 9)))
HALF = GOOD + line(9)[:20]
CUT = gzip.compress(HEADER + text(*(line(n) for n in range(1, 200))))[:-600]
READABLE = zlib.decompressobj(31).decompress(CUT)
CUT_LINES = READABLE.count(b"\n")
LONG = b"x" * (10 * MIB)
LONGER = b"y" * (18 * MIB)
HOSTILE = b"\x1b[2J\x1b]0;owned\x07\xe2\x80\xae\xc2\x9b31m\tshort"

CASES = {
    "too-few-fields": Case(HEADER + text(line(1), b"2026-03-01\t10:00:00\tFRA", line(2)), (1, 2),
        [(4, "too_few_fields", b"2026-03-01\t10:00:00\tFRA")]),
    "too-many-fields": Case(HEADER + text(line(1), line(7) + b"\tmore", line(2)), (1, 2),
        [(4, "too_many_fields", line(7) + b"\tmore")]),
    "wrong-type": Case(
        HEADER + text(line(1), line(7, 3, b"12kB"), line(8, 0, b"2026-02-30"), line(9, 1, b"25:00:00"), line(2),
                      line(10, 3, b"9223372036854775808"), line(11, 0, b"-"), line(12, 3, b"1.5"), line(3)),
        (1, 2, 3),
        [(4, "wrong_type", line(7, 3, b"12kB")), (5, "wrong_type", line(8, 0, b"2026-02-30")),
         (6, "wrong_type", line(9, 1, b"25:00:00")), (8, "wrong_type", line(10, 3, b"9223372036854775808")),
         (9, "wrong_type", line(11, 0, b"-")), (10, "wrong_type", line(12, 3, b"1.5"))]),
    "invalid-utf8": Case(HEADER + text(line(1), line(7, 5, b"caf\xe9\xff"), line(2)), (1, 2),
        [(4, "invalid_utf8", line(7, 5, b"caf\xe9\xff"))]),
    "a-line-of-10-mib": Case(HEADER + text(line(1), LONG, line(2)), (1, 2), [(4, "line_too_long", LONG)]),
    "a-line-of-18-mib-in-gzip": Case(gzip.compress(HEADER + text(line(1), LONGER, line(2))), (1, 2),
        [(4, "line_too_long", LONGER[: 16 * MIB])]),
    "a-last-line-of-18-mib": Case(HEADER + text(line(1)) + LONGER, (1,), [(4, "line_too_long", LONGER[: 16 * MIB])]),
    "empty": Case(b""),
    "only-a-header": Case(HEADER),
    "empty-lines": Case(HEADER + text(b"", line(1), b"", b"   ", line(2), b"\r"), (1, 2)),
    "gzip-of-nothing": Case(gzip.compress(b"")),
    "gzip-of-parts-and-zeros": Case(
        gzip.compress(HEADER + line(1)[:30]) + gzip.compress(b"") + gzip.compress(line(1)[30:] + b"\n" + line(2))
        + bytes(512),
        (1, 2)),
    "truncated-gzip": Case(CUT, range(1, CUT_LINES - 1),
        [(CUT_LINES + 1, "truncated_gzip", READABLE[READABLE.rfind(b"\n") + 1 :])]),
    "gzip-of-which-only-the-start-came": Case(b"\x1f\x8b\x08", (), [(1, "truncated_gzip", b"")]),
    "corrupt-gzip": Case(full_flushed(GOOD) + IMPOSSIBLE_BLOCK, range(1, 9), [(11, "corrupt_gzip", None)]),
    "corrupt-gzip-inside-a-line": Case(full_flushed(HALF) + IMPOSSIBLE_BLOCK, range(1, 9),
        [(11, "cut_line", line(9)[:20]), (12, "corrupt_gzip", None)]),
    "gzip-with-a-wrong-checksum": Case(with_wrong_checksum(GOOD), range(1, 9), [(11, "corrupt_gzip", None)]),
    "garbage-behind-gzip": Case(gzip.compress(GOOD) + b"garbage", range(1, 9), [(11, "trailing_garbage", b"garbage")]),
    "another-header-in-the-middle": Case(
        HEADER + text(line(1), under_other_header(7))
        + OTHER_HEADER + text(under_other_header(2), line(8), under_other_header(3)),
        (1, 2, 3), [(4, "too_few_fields", under_other_header(7)), (7, "too_many_fields", line(8))]),
    "no-header": Case(text(line(7), b"hello"), (), [(1, "no_header", line(7)), (2, "no_header", b"hello")]),
    "a-header-too-late": Case(text(line(7)) + HEADER + text(line(1)), (1,), [(1, "no_header", line(7))]),
    "a-header-without-time": Case(b"#Fields: c-ip sc-bytes\n10.0.0.1\t5\n", (), [(2, "no_header", b"10.0.0.1\t5")]),
    "crlf": Case((HEADER + text(line(1), b"short", line(2))).replace(b"\n", b"\r\n"), (1, 2),
        [(4, "too_few_fields", b"short\r")]),
    "a-lone-cr-ends-no-line": Case(HEADER + text(line(1), line(2, 7, b"10.0\r.2"), b"a\rb", line(3)), (1, 2, 3),
        [(5, "too_few_fields", b"a\rb")], {2: "10.0\r.2"}),
    "nul": Case(HEADER + text(line(1, 7, b"10\x00.1"), line(7, 3, b"1\x002"), bytes(9), line(2)), (1, 2),
        [(4, "wrong_type", line(7, 3, b"1\x002")), (5, "too_few_fields", bytes(9))], {1: "10\x00.1"}),
    "no-newline-at-the-end": Case(HEADER + text(line(1)) + line(2), (1, 2)),
    "a-byte-order-mark": Case(b"\xef\xbb\xbf" + HEADER + text(line(1)), (1,)),
    "quotes-are-letters-like-others": Case(HEADER + text(line(1, 7, b'"10'), line(2, 7, b'1"0"')), (1, 2), (),
        {1: '"10', 2: '1"0"'}),
    "terminal-escapes": Case(HEADER + text(line(1), HOSTILE), (1,), [(4, "too_few_fields", HOSTILE)]),
    "a-picture": Case(b"\x89PNG\r\n\x1a\n" + bytes(range(256)), (),
        [(1, "no_header", b"\x89PNG\r"), (2, "no_header", b"\x1a"), (3, "no_header", bytes(range(10))),
         (4, "no_header", bytes(range(11, 256)))]),
}  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "logs").mkdir()
    return Program(tmp_path / "root", tmp_path / "logs", {"source.buckets": "2"})


@pytest.fixture
def counted(classify: Classify) -> Callable[[Program, Case], None]:
    """See that exactly a case's good requests are counted, in each of the three views."""
    kind = classify(AGENT)

    def hold(program: Program, case: Case) -> None:
        bots: Counter[Any] = Counter()
        edges: Counter[Any] = Counter()
        viewers: Counter[Any] = Counter()
        for n in case.good:
            minute = datetime(2026, 3, 1, 10, n % 60)
            for view, key in (
                (bots, (minute, *kind)),
                (edges, (minute, "E2EXAMPLE1234", "FRA56-P4")),
                (viewers, (minute.replace(minute=minute.minute // 5 * 5), case.viewers.get(n, f"10.0.0.{n}"))),
            ):
                view[key, "requests"] += 1
                view[key, "bytes"] += 1000 + n
        for name, expected in (("bots", bots), ("bandwidth", edges), ("viewers", viewers)):
            rows = program.ask(name).rows
            found = {(row[:-2], "requests"): row[-2] for row in rows} | {(row[:-2], "bytes"): row[-1] for row in rows}
            assert len(rows) * 2 == len(found)
            assert found == dict(expected), name
        certificate = program.ask("viewers").certificate
        assert (certificate.events, certificate.letters) == (len(case.good), len(case.letters))

    return hold


@pytest.fixture
def stopped_after(configured: Configured) -> Callable[..., None]:
    """Read until a number of pieces were read, then stop: what was discovered meanwhile is known to the lane."""

    def work(program: Program, *, pieces: int) -> None:
        asked = iter(range(pieces))
        log = make_log(verbose=0, as_json=True)
        stream(configured(program), {}, log, lambda: next(asked, None) is None, once=False)

    return work


def letters_of(chosen: Config) -> list[Letter]:
    return Letters(chosen).of("", 10_000)


def place(folder: Path, name: str, content: bytes) -> Path:
    path = folder / NAME.format(name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", CASES)
def test_the_good_lines_are_counted_and_the_bad_are_letters(
    name: str, program: Program, streamed: Stream, configured: Configured, counted: Callable[[Program, Case], None]
) -> None:
    case = CASES[name]
    place(program.logs, name, case.content)
    assert streamed(program) == len(case.good)
    counted(program, case)
    found = letters_of(configured(program))
    assert [(one.line, one.reason) for one in found] == [expected[:2] for expected in case.letters]
    shard = next(shard for shard, keys in program.files().items() if keys)
    for one, (_, _, payload) in zip(found, case.letters, strict=True):
        assert one.origin == NAME.format(name)
        assert one.id == f"{shard}:0:{one.line}"
        assert one.detail and (payload is None or one.payload == payload)
    assert streamed(program) == 0
    counted(program, case)


def test_what_cannot_be_decoded_is_kept(program: Program, streamed: Stream, configured: Configured) -> None:
    place(program.logs, "corrupt", full_flushed(GOOD) + IMPOSSIBLE_BLOCK)
    streamed(program)
    (letter,) = letters_of(configured(program))
    assert letter.payload and IMPOSSIBLE_BLOCK.endswith(letter.payload[-100:])


@pytest.mark.parametrize("size", [5_000, len(LONGER)])
def test_a_letter_that_keeps_only_the_start_of_a_line_tells_the_whole_length_and_hash(
    size: int, program: Program, streamed: Stream, configured: Configured
) -> None:
    small = Program(program.root, program.logs, {**program.settings, "limits.letter_bytes_max": "100"})
    place(small.logs, "long", HEADER + LONGER[:size] + b"\n" + line(1))
    assert streamed(small) == 1
    (letter,) = letters_of(configured(small))
    assert letter.payload == LONGER[:100]
    assert f"the first 100 of {size} bytes" in letter.detail
    assert hashlib.sha256(LONGER[:size]).hexdigest() in letter.detail


def test_a_file_without_a_good_line_is_committed_in_bounded_parts(
    program: Program, streamed: Stream, exact: Hold
) -> None:
    bounded = {"limits.block_bytes": "50000", "limits.chunk_bytes_max": "200000"}
    small = Program(program.root, program.logs, {**program.settings, **bounded})
    place(small.logs, "bad", b"".join(b"%0500d\n" % n for n in range(2_000)))
    assert streamed(small) == 0
    newest = small.newest()
    assert newest is not None and newest.n >= 8
    assert exact(small).broken == 2_000


def test_all_files_together_in_small_blocks(
    program: Program, streamed: Stream, exact: Hold, verified: Work, batched: Work, configured: Configured
) -> None:
    """Each case under an hour of its own, read in small pieces, with a batch run in between."""
    small = {"limits.block_bytes": "300", "limits.chunk_rows_max": "7", "limits.chunk_bytes_max": "100000"}
    several = Program(program.root, program.logs, {**program.settings, **small})
    cases = {name: case for name, case in CASES.items() if "mib" not in name}
    for day, (name, case) in enumerate(cases.items(), start=1):
        (several.logs / f"E2EXAMPLE1234.2026-03-{day:02}-10.{name}.gz").write_bytes(case.content)
        if day == len(cases) // 2:
            streamed(several)
            batched(several)
    streamed(several)
    expected = exact(several)
    assert expected.events + expected.duplicates == sum(len(case.good) for case in cases.values())
    found = {(one.origin.split(".")[2], one.line, one.reason) for one in letters_of(configured(several))}
    assert found == {(name, *letter[:2]) for name, case in cases.items() for letter in case.letters}
    verified(several)
    batched(several)
    exact(several)


def test_gzip_files_with_flipped_bytes_are_read_as_far_as_they_can_be(
    program: Program, streamed: Stream, exact: Hold
) -> None:
    chance = random.Random(3)
    whole = gzip.compress(HEADER + text(*(line(n) for n in range(1, 250))))
    for number in range(30):
        packed = bytearray(whole)
        packed[chance.randrange(10, len(packed))] ^= 1 << chance.randrange(8)
        (program.logs / f"E2EXAMPLE1234.2026-03-{number + 1:02}-10.flipped.gz").write_bytes(packed)
    streamed(program)
    expected = exact(program)
    assert expected.broken >= 20


# ---------------------------------------------------------------------------------------------- files as things


def test_a_folder_and_what_is_no_regular_file_are_not_read(
    program: Program, streamed: Stream, counted: Callable[[Program, Case], None]
) -> None:
    inner = program.logs / NAME.format("folder")
    inner.mkdir()
    place(inner, "inside", HEADER + text(line(1)))
    os.mkfifo(program.logs / NAME.format("pipe"))
    (program.logs / NAME.format("dangling")).symlink_to(program.logs / "nothing")
    place(program.logs, "half.gz.part", b"\x1f\x8b").rename(program.logs / "half.gz.part")
    place(program.logs, "hidden", b"x").rename(program.logs / ".hidden.gz")
    assert streamed(program) == 1
    counted(program, Case(b"", (1,)))


def test_a_changed_file_stops_the_source(
    program: Program, streamed: Stream, counted: Callable[[Program, Case], None]
) -> None:
    path = place(program.logs, "a", HEADER + text(line(1), line(2)))
    kept = path.stat()
    streamed(program)
    path.write_bytes(HEADER + text(line(1), line(3)) + b"longer")
    for _ in range(2):
        with pytest.raises(ObjectChanged, match=r"\.a\.gz has changed"):
            streamed(program)
        counted(program, Case(b"", (1, 2)))
    path.write_bytes(HEADER + text(line(1), line(2)))
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert streamed(program) == 0


def test_a_changed_file_is_read_again_and_what_was_counted_is_known(
    program: Program, streamed: Stream, configured: Configured
) -> None:
    again = Program(program.root, program.logs, {**program.settings, "source.on_change": "new"})
    path = place(again.logs, "a", HEADER + text(line(1), line(2)))
    streamed(again)
    path.write_bytes(HEADER + text(line(1), b"bad", line(3)))
    assert streamed(again) == 2
    assert totals(again) == {f"10.0.0.{n}": (1, 1000 + n) for n in (1, 2, 3)}
    assert again.ask("viewers").certificate.duplicates == 1
    assert told(configured(again)) == [("1:4", "too_few_fields", b"bad")]


def test_a_changed_file_becomes_a_letter(program: Program, streamed: Stream, configured: Configured) -> None:
    again = Program(program.root, program.logs, {**program.settings, "source.on_change": "dlq"})
    path = place(again.logs, "a", HEADER + text(line(1), line(2)))
    streamed(again)
    path.write_bytes(HEADER + text(line(1), line(3), line(4)))
    assert streamed(again) == 0
    assert streamed(again) == 0
    assert totals(again) == {f"10.0.0.{n}": (1, 1000 + n) for n in (1, 2)}
    assert told(configured(again)) == [("1:1", "object_changed", b"")]


@pytest.mark.parametrize("on_change", ["fail", "new", "dlq"])
def test_a_file_that_changes_between_discovery_and_reading(
    on_change: str, program: Program, streamed: Stream, configured: Configured, stopped_after: Callable[..., None]
) -> None:
    again = Program(program.root, program.logs, {**program.settings, "source.on_change": on_change})
    place(again.logs, "a", HEADER + text(line(1)))
    path = place(again.logs, "b", HEADER + text(line(2)))
    stopped_after(again, pieces=1)
    assert [len(keys) for keys in again.files().values() if keys] == [2]
    assert list(totals(again)) == ["10.0.0.1"]
    path.write_bytes(HEADER + text(line(3), line(4)))
    if on_change == "fail":
        with pytest.raises(ObjectChanged):
            streamed(again)
        assert list(totals(again)) == ["10.0.0.1"]
        return
    streamed(again)
    assert set(totals(again)) == ({"10.0.0.1", "10.0.0.3", "10.0.0.4"} if on_change == "new" else {"10.0.0.1"})
    lost = [("1:1", "object_changed", b"")]
    assert told(configured(again)) == (lost if on_change == "new" else [*lost, ("2:1", "object_changed", b"")])
    assert again.ask("viewers").certificate.gaps == 1


@pytest.mark.parametrize("on_gap", ["fail", "dlq"])
def test_a_file_that_vanishes_between_discovery_and_reading(
    on_gap: str, program: Program, streamed: Stream, configured: Configured, stopped_after: Callable[..., None]
) -> None:
    again = Program(program.root, program.logs, {**program.settings, "source.on_gap": on_gap})
    place(again.logs, "a", HEADER + text(line(1)))
    path = place(again.logs, "b", HEADER + text(line(2)))
    stopped_after(again, pieces=1)
    path.unlink()
    place(again.logs, "c", HEADER + text(line(3)))
    if on_gap == "fail":
        with pytest.raises(SourceGap):
            streamed(again)
        assert list(totals(again)) == ["10.0.0.1"]
        return
    assert streamed(again) == 1
    assert set(totals(again)) == {"10.0.0.1", "10.0.0.3"}
    assert told(configured(again)) == [("1:1", "object_missing", b"")]
    assert again.ask("viewers").certificate.gaps == 1


def totals(program: Program) -> dict[str, tuple[int, int]]:
    """Viewer -> requests and bytes; a viewer has one window here."""
    rows = program.ask("viewers").rows
    assert len({row[1] for row in rows}) == len(rows)
    return {viewer: (requests, size) for _, viewer, requests, size in rows}


def told(chosen: Config) -> list[tuple[str, str, bytes]]:
    return [(one.id.partition(":")[2], one.reason, one.payload) for one in letters_of(chosen)]


# ------------------------------------------------------------------------------------------------- on a terminal


@pytest.fixture
def command(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def told(*arguments: str) -> str:
        for name, value in program.environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        assert run([*arguments], Invocation()) == 0
        return capsys.readouterr().out

    return told


def test_letters_are_shown_so_that_they_cannot_steer_a_terminal(
    program: Program, streamed: Stream, command: Callable[..., str]
) -> None:
    name = "bad\x1b[31m\u202e\x07"
    place(program.logs, name, HEADER + text(line(1), HOSTILE, b"\x00\x08\x7f", line(2, 5, b"\xc2\x9b2J\xff")))
    streamed(program)
    shown = [command("dlq", "list"), command("dlq", "list", "--reason", "too_few_fields")]
    shown += [command("dlq", "list", "--reason", "invalid_utf8"), command("status")]
    letter = re.search(r"^(cloudfront/\d{4}:0:4) ", shown[1], re.MULTILINE)
    assert letter is not None
    shown += [command("dlq", "show", letter[1]), command("dlq", "show", letter[1], "--json")]
    shown += [command("dlq", "list", "--json"), command("dlq", "list", "--reason", "too_few_fields", "--json")]
    for one in shown:
        assert all(character == "\n" or character.isprintable() for character in one), one
    assert "\\x1b[2J\\x1b]0;owned\\x07\\u202e\\x9b31m\\tshort" in shown[4]
    assert "bad\\x1b[31m\\u202e\\x07" in shown[1] and "too_few_fields" in shown[4]


def test_a_letter_that_does_not_exist_is_refused(program: Program, streamed: Stream, configured: Configured) -> None:
    place(program.logs, "a", HEADER + text(line(1)))
    streamed(program)
    letters = Letters(configured(program))
    assert letters.reasons() == []
    with pytest.raises(Terminal, match="there is no dead letter"):
        letters.find("cloudfront/0000:7:1")
