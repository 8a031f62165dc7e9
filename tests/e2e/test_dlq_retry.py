"""Dead letters of files, retried by the command: counted once when they can be read, and not touched while not."""

import gzip
import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL
from shardlake.app.cli import Invocation
from shardlake.app.main import run
from shardlake.core.journal import rows
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import SourceRow
from shardlake.testing.runs import Program

Stream = Callable[[Program], int]
Work = Callable[[Program], None]
Command = Callable[..., Any]

FIELDS = ("date", "time", "x-edge-location", "sc-bytes", "cs(Host)", "cs(User-Agent)", "x-edge-request-id", "c-ip")
HEADER = b"#Version: 1.0\n#Fields: " + " ".join(FIELDS).encode() + b"\n"
BROKEN = HEADER.replace(b"date time", b"datum time")
READ = ("--set", f"source.fields={','.join(FIELDS)}")
NAME = "E2EXAMPLE1234.2026-03-01-{:02}.{}.gz"


def line(n: int) -> bytes:
    cells = ("2026-03-01", f"10:{n // 60 % 60:02}:{n % 60:02}", "FRA56-P4", str(1000 + n), "d1.cloudfront.net",
             "curl/8.5.0", f"id{n}", f"10.0.{n // 250}.{n % 250}")  # fmt: skip
    return "\t".join(cells).encode() + b"\n"


def viewer(n: int) -> str:
    return f"10.0.{n // 250}.{n % 250}"


def place(program: Program, name: str, content: bytes, hour: int = 10) -> Path:
    path = program.logs / NAME.format(hour, name)
    path.write_bytes(content)
    return path


def totals(program: Program) -> dict[str, tuple[int, int]]:
    """Viewer -> requests and bytes: each request has a viewer of its own."""
    found = program.ask("viewers").rows
    assert len({row[1] for row in found}) == len(found)
    return {name: (requests, size) for _, name, requests, size in found}


def once(*numbers: int) -> dict[str, tuple[int, int]]:
    return {viewer(n): (1, 1000 + n) for n in numbers}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "logs").mkdir()
    return Program(tmp_path / "root", tmp_path / "logs", {"source.buckets": "2"})


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process, and give what it wrote as JSON; with `code` another end, and the text."""

    def told(program: Program, *arguments: str, code: int = 0) -> Any:
        for name, value in program.environ.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        assert run(["--json", *arguments], Invocation()) == code
        out, err = capsys.readouterr()
        return json.loads(out) if code == 0 else out + err

    return told


def reasons(found: Any) -> dict[str, int]:
    return {one["reason"]: one["count"] for one in found}


# --------------------------------------------------------------------------------------------------- what is read


def test_what_can_be_read_now_is_counted_once_and_the_rest_stays(
    program: Program, streamed: Stream, verified: Work, command: Command
) -> None:
    place(program, "good", HEADER + line(1) + b"short\n")
    place(program, "broken", BROKEN + line(2) + b"short\n" + line(3))
    streamed(program)
    assert totals(program) == once(1)
    told = command(program, "dlq", "retry")
    assert (told["letters"], told["read"], reasons(told["failing"])) == (4, 0, {"no_header": 4})
    assert told["failing"][0]["was"] == {"no_header": 3, "too_few_fields": 1}
    assert "1" not in {str(lane["lane"]) for lane in command(program, "status")["lanes"]}, "nothing was stored"
    told = command(program, "dlq", "retry", "--dry-run", *READ)
    assert (told["dry_run"], told["read"], told["entries"]) == (True, 2, 0)
    assert totals(program) == once(1)
    told = command(program, "dlq", "retry", *READ)
    assert (told["read"], told["duplicates"], told["entries"]) == (2, 0, 1)
    assert told["failing"] == [
        {
            "reason": "too_few_fields",
            "count": 2,
            "was": {"no_header": 1, "too_few_fields": 1},
            "detail": "1 fields; the configuration names 8",
        }
    ]
    assert totals(program) == once(1, 2, 3)
    certificate = program.ask("viewers").certificate
    assert (certificate.events, certificate.letters, certificate.gaps) == (3, 2, 0)
    assert certificate.positions["dlq/cloudfront"] == "0012.0010"
    told = command(program, "dlq", "retry", *READ)
    assert (told["letters"], told["read"], told["retried_before"]) == (2, 0, 2)
    assert program.ask("viewers").certificate.cut == certificate.cut, "nothing was stored"
    verified(program)


def test_lists_show_what_is_open_and_on_demand_what_was_retried(
    program: Program, streamed: Stream, command: Command
) -> None:
    place(program, "broken", BROKEN + line(2) + b"\x1b[31mshort\n" + line(3))
    streamed(program)
    before = command(program, "dlq", "list")
    assert (before["total"], before["retried"]) == (3, 0)
    command(program, "dlq", "retry", *READ)
    told = command(program, "dlq", "list")
    assert (told["total"], told["retried"]) == (1, 2)
    [reason] = told["reasons"]
    assert (reason["reason"], reason["count"], reason["sample"]) == ("no_header", 1, "\\x1b[31mshort")
    assert reason["first"] == reason["last"]
    [every] = command(program, "dlq", "list", "--all")["reasons"]
    assert (every["count"], every["retried"], every["first"]) == (3, 2, before["reasons"][0]["first"])
    assert every["sample"] == line(2).decode()[:40].encode("unicode_escape").decode()
    assert [one["retried"] for one in command(program, "dlq", "list", "--reason", "no_header")["letters"]] == [None]
    letters = command(program, "dlq", "list", "--reason", "no_header", "--all")["letters"]
    assert [one["retried"] for one in letters] == ["dlq/cloudfront:1:0", None, "dlq/cloudfront:2:0"]
    for one in letters:
        assert command(program, "dlq", "show", one["id"])["letters"] == [one]
    for word in ("list", "retry"):
        told = command(program, "dlq", word, "--reason", "noheader", code=1)
        assert "--reason is noheader, which is no reason of a dead letter; here are no_header" in told
    assert command(program, "dlq", "list", "--reason", "object_changed")["letters"] == []


def test_what_is_no_whole_line_is_told_and_not_tried(program: Program, streamed: Stream, command: Command) -> None:
    small = Program(program.root, program.logs, {**program.settings, "limits.letter_bytes_max": "100"})
    long = line(2)[:-1] + b"x" * 100 + b"\tmore\n"
    place(small, "cut", gzip.compress(HEADER + line(1) + long + b"short\n" + b"0123456789" * 999)[:-30])
    streamed(small)
    found = reasons(command(small, "dlq", "list")["reasons"])
    assert {"too_many_fields", "too_few_fields", "truncated_gzip"} <= found.keys()
    told = command(small, "dlq", "retry", *READ)
    assert {(one["reason"], one["why"]) for one in told["not_retried"]} == {
        ("too_many_fields", "cut"),
        ("truncated_gzip", "no_line"),
    }
    assert told["letters"] == found["too_few_fields"]


def test_letters_are_chosen_by_reason_by_id_and_by_number(program: Program, streamed: Stream, command: Command) -> None:
    place(program, "broken", BROKEN + b"".join(map(line, range(1, 10))))
    place(program, "good", HEADER + b"short\n" + line(20))
    streamed(program)
    assert command(program, "dlq", "retry", "--reason", "too_few_fields", *READ)["letters"] == 1
    assert command(program, "dlq", "retry", "--limit", "2", "--reason", "no_header", *READ)["read"] == 2
    assert totals(program) == once(1, 2, 20)
    ids = [one["id"] for one in command(program, "dlq", "list", "--reason", "no_header")["letters"]]
    assert command(program, "dlq", "retry", ids[0], ids[2], *READ)["read"] == 2
    assert totals(program) == once(1, 2, 3, 5, 20)
    told = command(program, "dlq", "retry", ids[0], ids[1], *READ)
    assert (told["letters"], told["read"], told["retried_before"]) == (1, 1, 1)
    assert "there is no dead letter" in command(program, "dlq", "retry", ids[0] + "7", code=1)
    assert "is no id" in command(program, "dlq", "retry", "x", code=1)
    assert command(program, "dlq", "retry", *READ)["read"] == 4
    assert totals(program) == once(*range(1, 10), 20)


def test_a_line_that_was_put_again_in_a_good_file_is_no_second_request(
    program: Program, streamed: Stream, command: Command
) -> None:
    place(program, "broken", BROKEN + line(1) + line(2) + line(3))
    streamed(program)
    place(program, "repaired", HEADER + line(1) + line(2), hour=11)
    streamed(program)
    told = command(program, "dlq", "retry", *READ)
    assert (told["read"], told["duplicates"]) == (3, 2)
    assert totals(program) == once(1, 2, 3)
    assert program.ask("viewers").certificate.duplicates == 2


def test_retried_rows_are_protected_and_no_payload_is_logged(
    program: Program, streamed: Stream, command: Command
) -> None:
    place(program, "broken", BROKEN + line(1) + line(2) + b"secret\n")
    streamed(program)
    masked = Program(program.root, program.logs, {**program.settings, "protect.mask": "c_ip"})
    done = masked.run("-vv", "dlq", "retry", *READ).expect(0)
    assert "2 of 3 dead letters were read" in done.out
    assert "too_few_fields (was no_header)" in done.out
    assert "secret" not in done.out + done.err and "10.0.0." not in done.out + done.err
    assert {row[1] for row in masked.ask("viewers").rows} == {"***"}


def test_many_letters_are_retried_in_bounded_entries(program: Program, streamed: Stream, command: Command) -> None:
    bounded = Program(program.root, program.logs, {**program.settings, "limits.chunk_rows_max": "7"})
    for name in range(3):
        place(bounded, str(name), BROKEN + b"".join(line(20 * name + n) for n in range(20)))
    streamed(bounded)
    told = command(bounded, "dlq", "retry", *READ)
    assert told["read"] == 60 and told["entries"] >= 60 / 7
    assert totals(bounded) == once(*range(60))


def test_what_a_root_has_not_read_is_refused(program: Program, streamed: Stream, command: Command) -> None:
    assert "nothing was stored" in command(program, "dlq", "retry", code=1)
    assert not program.root.exists()
    place(program, "good", HEADER + line(1))
    streamed(program)
    assert command(program, "dlq", "retry")["letters"] == 0
    place(program, "broken", BROKEN + line(2))
    streamed(program)
    told = command(program, "dlq", "retry", "--set", "source.pack=cloudfront_realtime", code=1)
    assert "source.pack is cloudfront_realtime, and was cloudfront" in told
    assert "no log field 'datum'" in command(program, "dlq", "retry", "--set", "source.fields=datum", code=1)
    told = command(program, "dlq", "retry", "--set", "source.name=other", code=1)
    assert "no source named other was read here" in told


def test_letters_of_another_source_are_left_to_it(program: Program, streamed: Stream, command: Command) -> None:
    place(program, "broken", BROKEN + line(2))
    streamed(program)
    journal = SqliteJournal(program.root / JOURNAL)
    row = SourceRow("other", {"pack": "cloudfront"})
    journal.transact([Write(rows.source_key("other"), None, rows.encode(row))])
    journal.close()
    told = command(program, "dlq", "retry", "--set", "source.name=other", *READ)
    assert told["not_retried"] == [{"reason": "no_header", "why": "other_source", "count": 1}]
    assert command(program, "dlq", "retry", *READ)["read"] == 1


# ------------------------------------------------------------------------------------------------- beside others


@pytest.mark.parametrize("batch", ["before", "between", "after"])
def test_batch_runs_count_what_was_retried(
    batch: str, program: Program, streamed: Stream, batched: Work, verified: Work, command: Command
) -> None:
    place(program, "broken", BROKEN + b"".join(map(line, range(1, 9))) + b"short\n")
    streamed(program)
    if batch == "before":
        batched(program)
    command(program, "dlq", "retry", "--limit", "4", *READ)
    if batch == "between":
        batched(program)
    command(program, "dlq", "retry", *READ)
    place(program, "late", HEADER + line(9), hour=11)
    streamed(program)
    if batch == "after":
        batched(program)
    assert totals(program) == once(*range(1, 10))
    verified(program)
    batched(program)
    command(program, "batch", "rebuild", "viewers")
    assert totals(program) == once(*range(1, 10))
    certificate = program.ask("viewers").certificate
    assert (certificate.events, certificate.letters, certificate.views[0].realtime_entries) == (9, 1, 0)
    verified(program)


@pytest.mark.slow
def test_a_running_stream_goes_on_while_letters_are_retried(program: Program, command: Command) -> None:
    place(program, "broken", BROKEN + line(1) + b"short\n")
    quick = Program(program.root, program.logs, {**program.settings, "limits.chunk_age_s": "0.05"})
    running = quick.start("stream", "run")
    running.until("caught_up")
    assert command(quick, "dlq", "retry", *READ)["read"] == 1
    place(quick, "good", HEADER + line(2), hour=11)
    running.until("committed")
    assert command(quick, "dlq", "retry", *READ)["read"] == 0
    running.end(signal.SIGTERM).expect(0)
    assert totals(quick) == once(1, 2)
    status = command(quick, "status")
    assert [(lane["source"], lane["shards"]) for lane in status["lanes"]] == [("cloudfront", 2), ("dlq/cloudfront", 1)]
    assert [one["source"] for one in status["shards"]] == ["cloudfront", "dlq/cloudfront"]
    assert status["dead_letters"] == 1
    assert "cloudfront: 2 held, 0 free, 0 ended; dlq/cloudfront: 1 held" in quick.run("status").expect(0).out


# ----------------------------------------------------------------------------------------------- killed, and rivals


# Each case is a row of processes: every next one begins where the one before died. Becoming the lane's owner and taking
# in its shard are transactions too.
STEPS = {
    "stream:after-files": (1, 2),
    "stream:after-manifest": (1, 3),
    "stream:after-transaction": (1, 2, 3, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_retry_killed_at_a_step_is_repeated_without_a_double_count(
    step: str, program: Program, streamed: Stream, batched: Work, verified: Work, command: Command
) -> None:
    small = Program(program.root, program.logs, {**program.settings, "limits.chunk_rows_max": "2"})
    place(small, "broken", BROKEN + b"".join(map(line, range(14))))
    streamed(small)
    for number in STEPS[step]:
        assert small.run("dlq", "retry", *READ, crash_at=f"{step}:{number}").killed
        assert totals(small).items() <= once(*range(14)).items()
    batched(small)
    counted = totals(small)
    assert 0 < len(counted) < 14
    told = command(small, "dlq", "retry", *READ)
    assert told["read"] == 14 - len(counted)
    assert totals(small) == once(*range(14))
    assert small.ask("viewers").certificate.letters == 0
    verified(small)


@pytest.mark.slow
def test_retries_killed_at_any_moment_and_rivals_count_each_letter_once(
    program: Program, streamed: Stream, batched: Work, verified: Work, command: Command
) -> None:
    chance = random.Random(7)
    small = Program(program.root, program.logs, {**program.settings, "limits.chunk_rows_max": "9"})
    good = total = 0
    for round_ in range(4):
        for name in range(2):
            numbers = range(total, total + chance.randrange(5, 60))
            total += len(numbers)
            place(small, f"{round_}{name}", BROKEN + b"".join(map(line, numbers)), hour=round_)
        place(small, f"good{round_}", HEADER + line(5_000 + round_) + b"short\n", hour=round_)
        good += 1
        streamed(small)
        running = [small.start("dlq", "retry", *READ) for _ in range(1 + round_ % 2)]
        if len(running) == 1:
            running[0].until("progress")
            time.sleep(chance.uniform(0, 0.1))
        else:
            time.sleep(chance.uniform(0.7, 1.2))
        for one in running:
            one.end(signal.SIGKILL)
        if chance.random() < 0.5:
            batched(small)
        at_most = once(*range(total), *range(5_000, 5_000 + good))
        assert totals(small).items() <= at_most.items()
    command(small, "dlq", "retry", *READ)
    assert totals(small) == once(*range(total), *range(5_000, 5_000 + good))
    assert small.ask("viewers").certificate.letters == good
    assert command(small, "dlq", "list")["retried"] == total
    verified(small)


@pytest.mark.slow
def test_of_two_retries_at_once_each_letter_is_counted_by_one(
    program: Program, streamed: Stream, verified: Work
) -> None:
    small = Program(program.root, program.logs, {**program.settings, "limits.chunk_rows_max": "2"})
    place(small, "broken", BROKEN + b"".join(map(line, range(24))))
    streamed(small)
    done = [one.end() for one in [small.start("dlq", "retry", *READ) for _ in range(2)]]
    assert {one.code for one in done} <= {0, 1} and 0 in {one.code for one in done}
    assert all("a retry of dead letters already runs on" in one.err for one in done if one.code == 1)
    assert totals(small) == once(*range(24))
    verified(small)
