"""The pack of VPC flow logs: AWS's own examples, every version's fields, and what is no record."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError
from shardlake.packs.pack import LINE_BYTES_MAX, Decoded, Decoder, Pack
from shardlake.packs.registry import load

V2 = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
V3 = "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr"
V4 = "region az-id sublocation-type sublocation-id"
V5 = "pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"
V6 = (
    "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id"
    " tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id"
    " tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status"
    " type packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags"
    " region flow-direction pkt-src-aws-service pkt-dst-aws-service"
)
V7 = (
    "ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id"
    " ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id"
)
V8 = "reject-reason"
LATER = "resource-id encryption-status"
FIELDS = tuple(dict.fromkeys(f"{V2} {V3} {V4} {V5} {V6} {V7} {V8} {LATER}".split()))
NUMBERS = {
    "version", "srcport", "dstport", "protocol", "packets", "bytes", "tcp-flags", "traffic-path",
    "packets-lost-no-route", "packets-lost-blackhole", "packets-lost-mtu-exceeded", "packets-lost-ttl-expired",
}  # fmt: skip
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}

ENI = "eni-1235b8ca123456789"
ACCEPTED = f"2 123456789010 {ENI} 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"
REJECTED = f"2 123456789010 {ENI} 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK"
NO_DATA = f"2 123456789010 {ENI} - - - - - - - 1431280876 1431280934 - NODATA"
SKIPPED = "2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA"
PING = f"2 123456789010 {ENI} 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 ACCEPT OK"
SIX = (
    f"2 123456789010 {ENI} 2001:db8:1234:a100:8d6e:3477:df66:f105 2001:db8:1234:a102:3304:8879:34cf:4071"
    " 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK"
)
UNKNOWN = "2 unknown eni-0a 10.0.0.1 10.0.0.2 1 2 17 3 4 1418530010 1418530070 ACCEPT OK"
ORDER_V3 = (
    "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr"
    " pkt-dstaddr protocol bytes packets start end action tcp-flags log-status"
)
FLAGGED = (
    f"3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 {ENI} 123456789010 IPv4 52.213.180.42"
    " 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 568 8 1566848875 1566848933 ACCEPT 2 OK"
)
ORDER_V5 = (
    "version srcaddr dstaddr srcport dstport protocol start end type packets bytes account-id vpc-id subnet-id"
    " instance-id interface-id region az-id sublocation-type sublocation-id action tcp-flags pkt-srcaddr pkt-dstaddr"
    " pkt-src-aws-service pkt-dst-aws-service traffic-path flow-direction log-status"
)
FROM_S3 = (
    "5 52.95.128.179 10.0.0.71 80 34210 6 1616729292 1616729349 IPv4 14 15044 123456789012 vpc-abcdefab012345678"
    f" subnet-aaaaaaaa012345678 i-0c50d5961bcb2d47b {ENI} ap-southeast-2 apse2-az3 - - ACCEPT 19 52.95.128.179"
    " 10.0.0.71 S3 - - ingress OK"
)
THROUGH_TGW = (
    "6 TransitGateway 123456789012 tgw-0a tgw-attach-0b 123456789012 210987654321 vpc-0c vpc-0d subnet-0e subnet-0f"
    " eni-01 eni-02 use1-az1 use1-az2 tgw-attach-03 10.0.0.1 10.1.0.1 443 50000 6 7 700 1700000000 1700000059 OK IPv4"
    " 1 2 3 4 19 us-east-1 ingress - S3"
)
ECS = (
    "arn:aws:ecs:us-east-1:123456789012:cluster/web web arn:aws:ecs:us-east-1:123456789012:container-instance/web/1 1"
    " c0ffee - api arn:aws:ecs:us-east-1:123456789012:task-definition/api:7 arn:aws:ecs:us-east-1:123456789012:task/t t"
)
BLOCKED = REJECTED.replace("2 ", "3 ", 1) + " BPA"


def instant(text: str) -> datetime | None:
    if text == "-":
        return None
    number = int(text)
    return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC).replace(tzinfo=None)


def plain(fields: str, line: str) -> dict[str, Any]:
    """The row of a line, as a reader without columns would make it."""
    row: dict[str, Any] = {field.replace("-", "_"): None for field in FIELDS}
    for field, text in zip(fields.split(), line.split(" "), strict=True):
        if field in FIELDS and text != "-":
            value = instant(text) if field in ("start", "end") else int(text) if field in NUMBERS else text
            row[field.replace("-", "_")] = value
    return {**row, "protocol_name": PROTOCOLS.get(row["protocol"])}


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load("vpc_flow")


def opened(pack: Pack, header: str | None, line_bytes_max: int = LINE_BYTES_MAX) -> Decoder:
    """A decoder that has seen a file's header, or one of a stream's lines."""
    if header is None:
        return pack.open("stream", pack.stream_fields, line_bytes_max=line_bytes_max)
    decoder = pack.open("file.log.gz", line_bytes_max=line_bytes_max)
    decoder.decode(header.encode() + b"\n")
    return decoder


def rows(pack: Pack, decoded: Decoded) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pack.enrich(decoded.rows).to_pylist()
    return found


def told(decoded: Decoded) -> list[tuple[int, str, str]]:
    return [(letter.index, letter.reason.value, letter.detail) for letter in decoded.letters]


# ------------------------------------------------------------------------------------------------- what it is


def test_its_page_names_all_columns_views_and_queries(pack: Pack, root: Path) -> None:
    page = (root / "docs" / "packs" / "vpc-flow.md").read_text("utf-8")
    tables = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    named = {name for cells in tables for cell in cells for name in re.findall(r"`(@?\w+)`", cell)}
    columns = {column.name for column in pack.schema.columns}
    assert named == columns | set(pack.views) | {f"@{name}" for name in pack.queries}


def test_its_columns_are_the_fields_of_all_versions_each_with_a_comment(pack: Pack) -> None:
    names = [column.name for column in pack.schema.columns]
    assert sorted(names) == sorted([*(field.replace("-", "_") for field in FIELDS), "protocol_name"])
    assert (pack.schema.event_time, pack.schema.event_id) == ("end", None)
    assert [c.name for c in pack.schema.columns if not c.comment] == []
    assert pack.stream_fields == tuple(V2.split())
    assert pack.optional == {"flows"}


def test_its_views_are_exact(pack: Pack) -> None:
    views = {name: compile_view(name, sql, pack.schema) for name, sql in pack.views.items()}
    assert set(views) == {"capture", "flows", "rejected", "talkers"}
    assert {output.exactness for view in views.values() for output in view.outputs} == {"exact"}


@pytest.mark.parametrize(
    "folder",
    [
        "AWSLogs/123456789012/vpcflowlogs/us-east-1/2026/03/01/",
        "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=03/day=01/",
        "copies/",
        "",
    ],
)
def test_files_of_one_flow_log_and_time_fall_into_one_bucket(pack: Pack, folder: str) -> None:
    name = "123456789012_vpcflowlogs_us-east-1_fl-1234abcd_20260301T1620Z_{}.log.gz"
    assert pack.bucket_key(folder + name.format("fe123456")) == "123456789012.fl-1234abcd.20260301T1620Z"
    assert pack.bucket_key(folder + name.format("0")) == pack.bucket_key(name.format("fe123456"))
    assert pack.bucket_key(folder + name.format("0").replace("1620Z", "1625Z")) != pack.bucket_key(name.format("0"))
    assert pack.bucket_key(folder + "flow.log.gz") is None


# ---------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        pytest.param(V2, ACCEPTED, id="accepted"),
        pytest.param(V2, REJECTED, id="rejected"),
        pytest.param(V2, NO_DATA, id="no-data"),
        pytest.param(V2, SKIPPED, id="skipped"),
        pytest.param(V2, PING, id="icmp"),
        pytest.param(V2, SIX, id="ipv6"),
        pytest.param(V2, UNKNOWN, id="unknown-account"),
        pytest.param(V2, ACCEPTED.replace("1418530010 1418530070", "1418530010123 1418530070999"), id="milliseconds"),
        pytest.param(ORDER_V3, FLAGGED, id="v3"),
        pytest.param(ORDER_V5, FROM_S3, id="v5"),
        pytest.param(V6, THROUGH_TGW, id="v6-transit-gateway"),
        pytest.param(f"{V2} {V7}", f"{ACCEPTED} {ECS}", id="v7-ecs"),
        pytest.param(f"{V2} {V8}", BLOCKED, id="v8-with-another-version"),
        pytest.param(f"{V2} {LATER}", f"{ACCEPTED} nat-0123 3", id="v10"),
        pytest.param("end bytes", "1418530070 17", id="two-fields"),
        pytest.param(f"{V2} new-one", f"{ACCEPTED} what", id="unknown-field"),
    ],
)
def test_a_line_is_the_row_that_its_header_says(pack: Pack, fields: str, line: str) -> None:
    decoded = opened(pack, fields).decode(line.encode())
    assert rows(pack, decoded) == [plain(fields, line)]
    assert told(decoded) == []


def test_the_documented_records_have_these_values(pack: Pack) -> None:
    accepted, skipped = rows(pack, opened(pack, V2).decode(f"{ACCEPTED}\n{SKIPPED}\n".encode()))
    assert accepted["start"] == datetime(2014, 12, 14, 4, 6, 50)
    assert accepted["end"] == datetime(2014, 12, 14, 4, 7, 50)
    assert (accepted["srcport"], accepted["dstport"], accepted["packets"], accepted["bytes"]) == (20641, 22, 20, 4249)
    assert (accepted["protocol"], accepted["protocol_name"], accepted["action"]) == (6, "tcp", "ACCEPT")
    assert skipped["log_status"] == "SKIPDATA"
    assert skipped["end"] == datetime(2015, 5, 10, 18, 2, 14)
    assert {skipped[name] for name in ("srcaddr", "dstport", "packets", "bytes", "action", "protocol_name")} == {None}


def test_milliseconds_are_kept(pack: Pack) -> None:
    [row] = rows(pack, opened(pack, V2).decode(ACCEPTED.replace("1418530070", "1418530070123").encode()))
    assert row["end"] == datetime(2014, 12, 14, 4, 7, 50, 123_000)
    assert row["start"] == datetime(2014, 12, 14, 4, 6, 50), "seconds and milliseconds may stand in one line"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", ""])
def test_lines_may_end_as_they_like(pack: Pack, end: str) -> None:
    decoder = pack.open("file.log.gz")
    text = f"{V2}{end or chr(10)}{ACCEPTED}{end}"
    assert rows(pack, decoder.decode(text.encode())) == [plain(V2, ACCEPTED)]


def test_a_fields_place_and_case_do_not_matter(pack: Pack) -> None:
    fields, line = V2.upper().split()[::-1], ACCEPTED.split()[::-1]
    decoded = opened(pack, " ".join(fields)).decode(" ".join(line).encode())
    assert rows(pack, decoded) == [plain(V2, ACCEPTED)]


def test_fields_that_nobody_knows_are_told_by_name(pack: Pack) -> None:
    decoder = opened(pack, f"zone {V2} new-one")
    assert decoder.unknown_fields == ("new-one", "zone")


# ----------------------------------------------------------------------------------------------------- faults


def test_what_is_no_record_is_a_letter_with_its_reason(pack: Pack) -> None:
    bad = {
        ACCEPTED.rpartition(" ")[0]: ("too_few_fields", "13 fields; there are 14"),
        f"{ACCEPTED} more": ("too_many_fields", "15 fields; there are 14"),
        ACCEPTED.replace("1418530070", "-"): ("missing", "end is missing"),
        ACCEPTED.replace("1418530070", "soon"): ("wrong_type", "end is not a time written as epoch"),
        ACCEPTED.replace(" 20641 ", " 2147483648 "): ("wrong_type", "srcport is not an integer of 32 bits"),
        ACCEPTED.replace(" 4249 ", " 4.5 "): ("wrong_type", "bytes is not an integer of 64 bits"),
        ACCEPTED.replace(" 4249 ", " 9223372036854775808 "): ("wrong_type", "bytes is not an integer of 64 bits"),
        ORDER_V3: ("too_many_fields", "21 fields; there are 14"),
        "x": ("too_few_fields", "1 fields; there are 14"),
    }
    text = "".join(f"{ACCEPTED}\n{line}\n" for line in bad)
    decoded = opened(pack, V2).decode(text.encode() + ACCEPTED.encode() + b" \xff\n")
    assert decoded.lines.tolist() == list(range(0, 2 * len(bad), 2))
    assert rows(pack, decoded) == [plain(V2, ACCEPTED)] * len(bad)
    expected = [(2 * n + 1, *reason) for n, reason in enumerate(bad.values())]
    assert told(decoded) == [*expected, (2 * len(bad), "invalid_utf8", "it is not UTF-8")]
    assert [letter.payload.decode() for letter in decoded.letters[:-1]] == list(bad)


def test_a_line_that_is_too_long_is_a_letter(pack: Pack) -> None:
    decoded = opened(pack, V2, line_bytes_max=200).decode(f"{ACCEPTED}\n{'1' * 300}\n{PING}".encode())
    assert told(decoded) == [(1, "line_too_long", "300 bytes; the limit is 200")]
    assert rows(pack, decoded) == [plain(V2, ACCEPTED), plain(V2, PING)]


def test_records_below_a_header_that_tells_no_time_are_letters(pack: Pack) -> None:
    decoded = opened(pack, V2.replace(" end ", " ")).decode(f"{ACCEPTED}\n{PING}\n".encode())
    why = "no line above it names the field end"
    assert told(decoded) == [(0, "no_header", why), (1, "no_header", why)]


def test_records_of_a_file_without_a_header_are_no_rows(pack: Pack) -> None:
    decoded = pack.open("file.log.gz").decode(f"{ACCEPTED}\n{PING}\n{REJECTED}\n".encode())
    assert decoded.rows.num_rows == 0
    assert [(index, reason) for index, reason, _ in told(decoded)] == [(n, "no_header") for n in range(3)]


def test_a_header_that_comes_again_is_no_record(pack: Pack) -> None:
    decoded = pack.open("joined.log.gz").decode(f"{V2}\n{ACCEPTED}\n{V2}\n{PING}\n".encode())
    assert decoded.lines.tolist() == [1, 3]
    assert told(decoded) == []


# --------------------------------------------------------------------------------------------- streams, blocks


def test_lines_of_a_stream_are_of_the_default_format_or_of_the_fields_named(pack: Pack) -> None:
    assert rows(pack, opened(pack, None).decode(ACCEPTED.encode())) == [plain(V2, ACCEPTED)]
    named = pack.open("stream", tuple(ORDER_V5.split()))
    assert rows(pack, named.decode(FROM_S3.encode())) == [plain(ORDER_V5, FROM_S3)]
    assert told(opened(pack, None).decode(FROM_S3.encode())) == [(0, "too_many_fields", "29 fields; there are 14")]


def test_fields_that_tell_no_time_or_that_there_are_none_of_are_refused(pack: Pack) -> None:
    with pytest.raises(ConfigError, match="end"):
        pack.open("stream", ("version", "srcaddr"))
    with pytest.raises(ConfigError, match="srcadr"):
        pack.open("stream", ("version", "srcadr", "end"))


LINES = st.lists(
    st.sampled_from(
        (
            ACCEPTED,
            f"{ACCEPTED}\r",
            REJECTED,
            NO_DATA,
            SKIPPED,
            PING,
            SIX,
            UNKNOWN,
            "",
            " ",
            "x y",
            V2,
            '"',
            f"{ACCEPTED} more",
            f'{PING} "',
            ACCEPTED.replace("4249", "many"),
            NO_DATA.replace("1431280934", "-"),
        )
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, cuts=st.sets(st.integers(1, 12), max_size=3), read=st.integers(0, 2))
def test_where_blocks_are_cut_or_reading_resumed_changes_nothing(
    pack: Pack, lines: list[str], cuts: set[int], read: int
) -> None:
    physical = [f"{line}\n".encode() for line in [V2, *lines]]
    whole = pack.open("file.log.gz").decode(b"".join(physical))
    edges = [0, *sorted(cut for cut in cuts if cut < len(physical)), len(physical)]
    decoder, numbers, found, letters = pack.open("file.log.gz"), [], [], []
    skipped = edges[min(read, len(edges) - 1)]
    for first, last in pairwise(edges):
        block = b"".join(physical[first:last])
        if last <= skipped:
            decoder.skip(block)
            continue
        decoded = decoder.decode(block)
        numbers += [first + line for line in decoded.lines.tolist()]
        found += rows(pack, decoded)
        letters += [(first + index, reason, detail) for index, reason, detail in told(decoded)]
    kept = [at for at, line in enumerate(whole.lines.tolist()) if line >= skipped]
    assert numbers == [whole.lines.tolist()[at] for at in kept]
    assert found == [rows(pack, whole)[at] for at in kept]
    assert letters == [letter for letter in told(whole) if letter[0] >= skipped]


# ------------------------------------------------------------------------------------------- transit gateways


def test_a_flow_that_two_attachments_log_counts_once_in_the_query(pack: Pack) -> None:
    there = THROUGH_TGW.replace("ingress", "egress").replace("tgw-attach-0b", "tgw-attach-03")
    other = THROUGH_TGW.replace("1700000059", "1700000359").replace(" 443 ", " 22 ").replace(" 700 ", " 50 ")
    decoded = opened(pack, V6).decode(f"{THROUGH_TGW}\n{there}\n{other}".encode())
    engine = Engine()
    table = {"vpc_flow": pack.enrich(decoded.rows)}
    flows, once = pack.views["flows"], pack.queries["top_talkers_once"]
    found = engine.table(f"WITH flows AS (\n{flows}) SELECT * FROM (\n{once})", table).to_pylist()
    seen = engine.table(pack.views["capture"], table).to_pylist()
    engine.close()
    assert [(row["src"], row["dst"], row["flows"], row["interfaces"], row["bytes"]) for row in found] == [
        ("10.0.0.1", "10.1.0.1", 2, 2, 750)
    ]
    assert {row["interface"]: row["records"] for row in seen} == {"tgw-attach-0b": 1, "tgw-attach-03": 1}
