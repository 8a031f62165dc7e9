"""VPC flow logs from files and streams to answers, held against plain counts over the lines and over the packets."""

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
from shardlake.adapters.kinesis.wire import Put
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, serve
from shardlake.testing.runs import Program

START = 1_767_225_600  # 2026-01-01 00:00:00 UTC
SPAN_S = 7_200
WINDOW_S = 300
LONG_AGO = START - 3 * 86_400
DEFAULT = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
CUSTOM = (
    "log-status end start bytes packets protocol interface-id flow-direction pkt-dstaddr pkt-srcaddr dstaddr srcaddr"
    " dstport srcport action reject-reason"
)
NAME = "123456789012_vpcflowlogs_us-east-1_fl-{}_20260101T{:02}{:02}Z_{:08x}.log.gz"

Record = dict[str, str]
Tuple5 = tuple[str, str, int, int, int]

pytestmark = pytest.mark.slow


@dataclass
class Traffic:
    """Packets, what the interfaces logged of them, and how much there really was of each flow."""

    random: Random
    truth: Counter[Tuple5] = field(default_factory=Counter)
    records: list[Record] = field(default_factory=list)

    def flow(self, key: Tuple5, seen: Sequence[tuple[str, str]], *, since: int = START) -> None:
        """Send a flow's packets, and have each of some interfaces log them in windows of its own."""
        times = sorted(since + self.random.randrange(SPAN_S) for _ in range(self.random.randint(1, 40)))
        sizes = [self.random.randint(40, 1500) for _ in times]
        if since == START:
            self.truth[key] += sum(sizes)
        for interface, direction in seen:
            offset = self.random.randrange(60)
            windows: dict[int, list[int]] = defaultdict(list)
            for at, time in enumerate(times):
                windows[(time + offset) // 60].append(at)
            for ats in windows.values():
                held = [times[at] for at in ats]
                self.log(key, interface, direction, (len(ats), sum(sizes[at] for at in ats)), (held[0], held[-1]))

    def log(self, key: Tuple5, interface: str, direction: str, sums: tuple[int, int], times: tuple[int, int]) -> None:
        src, dst, srcport, dstport, protocol = key
        action = "REJECT" if dstport == 23 and direction == "ingress" else "ACCEPT"
        record = {
            "version": "8", "account-id": "123456789012", "interface-id": interface, "log-status": "OK",
            "pkt-srcaddr": src, "pkt-dstaddr": dst, "srcport": str(srcport), "dstport": str(dstport),
            "srcaddr": "10.0.9.9" if interface == "eni-box" else src, "dstaddr": dst,
            "protocol": str(protocol), "packets": str(sums[0]), "bytes": str(sums[1]), "start": str(times[0]),
            "end": str(times[1]), "action": action, "flow-direction": direction, "reject-reason": "-",
        }  # fmt: skip
        self.records.append(record)

    def silence(self, interface: str, status: str, end: int) -> None:
        record = dict.fromkeys(f"{DEFAULT} {CUSTOM}".split(), "-")
        self.records.append(
            {**record, "interface-id": interface, "log-status": status, "start": str(end - 58), "end": str(end)}
        )


def traffic() -> Traffic:
    """Flows of every kind: seen by both sides, by one, by a box that passes them on, rejected; and what is none."""
    made = Traffic(Random(7))
    for n in range(60):
        client, server = n % 9, n % 5
        key = (f"10.0.0.{client}", f"10.0.1.{server}", 40_000 + n, (443, 53, 23)[n % 3], (6, 17, 6)[n % 3])
        seen = [(f"eni-c{client}", "egress"), (f"eni-s{server}", "ingress")]
        made.flow(key, seen if n % 4 else seen[:1])
        if n % 7 == 0:  # through a box that sees it come and go
            made.flow((*key[:2], 50_000 + n, *key[3:]), [*seen, ("eni-box", "ingress"), ("eni-box", "egress")])
    made.flow(("10.0.0.1", "10.0.1.1", 1, 443, 6), [("eni-c1", "egress")], since=LONG_AGO)
    for n in range(9):
        made.silence(f"eni-c{n % 3}", "SKIPDATA" if n % 3 else "NODATA", START + 400 * n)
    made.random.shuffle(made.records)
    return made


def line(record: Record, fields: str) -> str:
    return " ".join(record[name] for name in fields.split())


def write(folder: Path, records: Sequence[Record], number: int) -> None:
    """Write a file of records, with fields in an order of its own, a broken line and one of a record cut short."""
    lines = [CUSTOM, *(line(record, CUSTOM) for record in records), "OK soon 1", f"{line(records[0], CUSTOM)} more"]
    name = NAME.format("0123abcd", 5 * number // 60, 5 * number % 60, number)
    (folder / name).write_bytes(gzip.compress("\n".join([*lines, ""]).encode()))


# ----------------------------------------------------------------------------------------------------- oracles


def bucket(record: Record) -> datetime:
    return datetime.fromtimestamp(int(record["end"]) // WINDOW_S * WINDOW_S, UTC).replace(tzinfo=None)


def summed(keys: Iterator[tuple[Any, ...]], records: Sequence[Record]) -> set[tuple[Any, ...]]:
    """Records, packets and bytes by key."""
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for key, record in zip(keys, records, strict=True):
        of_key = sums[key]
        of_key[0] += 1
        of_key[1] += int(record["packets"])
        of_key[2] += int(record["bytes"])
    return {(*key, *of_key) for key, of_key in sums.items()}


def flowing(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["log-status"] == "OK"]


def talkers(records: Sequence[Record]) -> set[tuple[Any, ...]]:
    keys = ((bucket(r), r["pkt-srcaddr"], r["pkt-dstaddr"], r["action"]) for r in flowing(records))
    return summed(keys, flowing(records))


def rejected(records: Sequence[Record]) -> set[tuple[Any, ...]]:
    chosen = [r for r in records if r["action"] == "REJECT"]
    keys = ((bucket(r), r["interface-id"], int(r["protocol"]), int(r["dstport"]), None) for r in chosen)
    return summed(keys, chosen)


def capture(records: Sequence[Record]) -> Counter[tuple[Any, ...]]:
    return Counter((bucket(r), r["interface-id"], r["log-status"]) for r in records)


def saved(program: Program, name: str) -> list[list[Any]]:
    told = msgspec.json.decode(program.run("--json", "query", f"@{name}").expect(0).out)
    rows: list[list[Any]] = [list(row.values()) if isinstance(row, dict) else row for row in told["rows"]]
    return rows


# ------------------------------------------------------------------------------------------------------- files


@pytest.fixture(scope="module")
def made() -> Traffic:
    return traffic()


@pytest.fixture(scope="module")
def program(made: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Half of the files in batch tables, half beyond the seam."""
    folder = tmp_path_factory.mktemp("vpc")
    logs = folder / "logs"
    logs.mkdir()
    chosen = Program(folder / "root", logs, {"source.pack": "vpc_flow", "views.use": "all,flows"})
    parts = [made.records[n::8] for n in range(8)]
    for number, part in enumerate(parts[:4]):
        write(logs, part, number)
    chosen.run("stream", "run", "--once").expect(0)
    chosen.run("batch", "run").expect(0)
    for number, part in enumerate(parts[4:], 4):
        write(logs, part, number)
    chosen.run("stream", "run", "--once").expect(0)
    return chosen


def test_views_of_files_equal_a_plain_count_of_their_lines(program: Program, made: Traffic) -> None:
    answer = program.ask("talkers")
    assert set(answer.rows) == talkers(made.records)
    assert (answer.certificate.events, answer.certificate.duplicates) == (len(made.records), 0)
    assert answer.certificate.letters == 2 * 8
    assert set(program.ask("rejected").rows) == rejected(made.records)
    assert {row[:3]: row[3] for row in program.ask("capture").rows} == capture(made.records)


def test_a_flow_that_several_interfaces_log_is_counted_once_where_asked(program: Program, made: Traffic) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    for (src, dst, *_), sent in made.truth.items():
        expected[src, dst] += sent
    found = saved(program, "top_talkers_once")
    assert {(row[0], row[1]): row[5] for row in found} == expected
    assert {(row[0], row[1]): row[2] for row in found} == Counter((src, dst) for src, dst, *_ in made.truth)
    assert {row[3] for row in found} == {1, 2, 3}


def test_top_talkers_count_what_each_interface_logged_in_the_last_day(program: Program, made: Traffic) -> None:
    recent = [r for r in flowing(made.records) if int(r["end"]) >= START]
    assert len(recent) < len(flowing(made.records))
    expected: Counter[tuple[str, str]] = Counter()
    for record in recent:
        expected[record["pkt-srcaddr"], record["pkt-dstaddr"]] += int(record["bytes"])
    found = saved(program, "top_talkers")
    assert [(row[0], row[1], row[4]) for row in found] == sorted(
        ((src, dst, total) for (src, dst), total in expected.items()), key=lambda row: (-row[2], *row[:2])
    )[:50]
    refused = sum(int(r["bytes"]) for r in recent if r["action"] == "REJECT")
    assert sum(row[5] for row in found) == refused > 0


def test_rejected_ports_and_what_was_not_captured_are_told(program: Program, made: Traffic) -> None:
    refused = [r for r in made.records if r["action"] == "REJECT"]
    [row] = saved(program, "rejected_ports")
    assert row[:6] == [
        6,
        23,
        None,
        len({r["interface-id"] for r in refused}),
        len(refused),
        sum(int(r["packets"]) for r in refused),
    ]
    skipped = Counter(r["interface-id"] for r in made.records if r["log-status"] == "SKIPDATA")
    found = saved(program, "not_captured")
    assert [(row[0], row[1]) for row in found] == sorted(skipped.items(), key=lambda one: (-one[1], one[0]))
    captured = Counter(r["interface-id"] for r in flowing(made.records) if int(r["end"]) >= START)
    assert {row[0]: row[2] for row in found} == {name: captured[name] for name in skipped}


def test_what_is_stored_is_what_a_recount_finds(program: Program) -> None:
    told = program.run("verify").expect(0)
    assert "flows" in told.out


# ----------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("fields", [DEFAULT, CUSTOM], ids=["default", "custom"])
def test_a_stream_is_read_by_the_fields_of_the_configuration(fields: str, made: Traffic, tmp_path: Path) -> None:
    records = made.records[:200]
    with serve(EmbeddedKinesis(SystemClock(), Random(1), Behaviour.unlimited())) as service:
        api = KinesisClient(AwsSettings("us-east-1", service.url))
        api.create_stream("flows", 2)
        lines = [f"{line(record, fields)}\n".encode() for record in records]
        api.put_records("flows", [Put(b"".join(lines[at : at + 3]), str(at)) for at in range(0, len(lines), 3)])
        api.put_records("flows", [Put(b"2 no record\n", "x")])
        api.close()
        settings = {
            "source.path": "",
            "source.stream": "flows",
            "source.endpoint": service.url,
            "source.region": "us-east-1",
            "source.pack": "vpc_flow",
            **({"source.fields": ",".join(fields.split())} if fields != DEFAULT else {}),
        }
        program = Program(tmp_path / "root", tmp_path, settings)
        program.run("stream", "run", "--once").expect(0)
    seen = records if fields == CUSTOM else [{**r, "pkt-srcaddr": r["srcaddr"]} for r in records]
    answer = program.ask("talkers")
    assert set(answer.rows) == talkers(seen)
    assert answer.certificate.letters == 1
    assert {row[:3]: row[3] for row in program.ask("capture").rows} == capture(seen)


def test_fields_that_tell_no_time_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    settings = {
        "source.path": "",
        "source.stream": "flows",
        "source.endpoint": "http://127.0.0.1:9",
        "source.region": "us-east-1",
        "source.pack": "vpc_flow",
        "source.fields": "version,srcaddr,dstaddr,bytes",
    }
    done = Program(tmp_path / "root", tmp_path, settings).run("stream", "run", "--once").expect(1)
    assert "source.fields lacks end" in done.err
