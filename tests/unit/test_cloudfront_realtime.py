"""Real-time logs become the same rows as standard logs of the same requests, judged by a plain reader of lines."""

import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.core.compiler import compile_view
from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.header import STANDARD_FIELDS
from shardlake.packs.cloudfront.pack import CloudFront, CloudFrontRealtime
from shardlake.packs.cloudfront.realtime import REALTIME_FIELDS
from shardlake.packs.cloudfront.schema import DECODED_SCHEMA, EVENT_SCHEMA, LOGGED
from shardlake.packs.pack import Decoded, Decoder, Reason
from shardlake.packs.registry import load

LIMIT = 400
SHORT = ("timestamp", "cs-uri-stem", "cs-headers", "sc-bytes", "x-host-header", "time-taken", "x-edge-request-id")
EPOCH = datetime(1970, 1, 1)
YEAR_10000_S = 253_402_300_800
WHOLE = ("sc-bytes", "cs-bytes", "c-port", "sc-content-len", "sc-range-start", "sc-range-end", "fle-encrypted-fields")
NUMBERS = {"time-taken": "time_taken_s", "time-to-first-byte": "time_to_first_byte_s"}
COLUMNS = {"cs-host": "x_host_header", "x-host-header": "cs_host"}
KEPT = {column.name for column in LOGGED}
PACKS = (CloudFront(), CloudFrontRealtime())
UNTIMED = "timestamp is not a time in seconds since 1970 with at most six decimals"


def decoder(fields: tuple[str, ...] | None = SHORT, *, limit: int = LIMIT) -> Decoder:
    return PACKS[1].open("stream", fields, line_bytes_max=limit)


def plain(data: bytes, fields: tuple[str, ...], limit: int = LIMIT) -> tuple[dict[int, Any], dict[int, Reason]]:
    """Read lines one by one: rows and reasons by line."""
    rows: dict[int, dict[str, Any]] = {}
    faults: dict[int, Reason] = {}
    for index, line in enumerate(data.split(b"\n")):
        if len(line) > limit:
            faults[index] = Reason.LINE_TOO_LONG
        elif line.rstrip(b" \r"):
            read = plain_line(line, fields)
            if isinstance(read, Reason):
                faults[index] = read
            else:
                rows[index] = read
    return rows, faults


def plain_line(line: bytes, fields: tuple[str, ...]) -> dict[str, Any] | Reason:
    found = line.count(b"\t") + 1
    if found != len(fields):
        return Reason.TOO_FEW_FIELDS if found < len(fields) else Reason.TOO_MANY_FIELDS
    try:
        text = line.decode().removeprefix("\ufeff").rstrip(" \r")
        return plain_values(dict(zip(fields, text.split("\t"), strict=True)))
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except ValueError:
        return Reason.WRONG_TYPE


def plain_values(cells: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"event_time": plain_time(cells["timestamp"].strip(" "))}
    for field, value in cells.items():
        name = COLUMNS.get(field) or NUMBERS.get(field) or field.replace("-", "_")
        if value != "-" and name in KEPT:
            row[name] = plain_number(value.strip(" "), field) if field in (*WHOLE, *NUMBERS) else value
    if row.get("cs_uri_stem") is not None:
        row["cs_uri_stem"], _, query = row["cs_uri_stem"].partition("?")
        if "cs-uri-query" not in cells:
            row["cs_uri_query"] = query or None
    told = cells.get("primary-distribution-id", "-")
    row["distribution"] = row.get("cs_host") if told == "-" else told
    return {name: value for name, value in row.items() if value is not None}


def plain_time(text: str) -> datetime:
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        raise ValueError(text)
    micros = Decimal(text).scaleb(6)
    if not 0 <= micros < YEAR_10000_S * 1_000_000 or micros % 1:
        raise ValueError(text)
    return EPOCH + timedelta(microseconds=int(micros))


def plain_number(text: str, field: str) -> float | int:
    if field in WHOLE:
        if not re.fullmatch(r"-?[0-9]+", text) or not -(2**63) <= int(text) < 2**63:
            raise ValueError(text)
        return int(text)
    if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text) or abs(float(text)) > 1e308:
        raise ValueError(text)
    return float(text)


def check(block: bytes, decoded: Decoded, fields: tuple[str, ...] = SHORT) -> None:
    """Compare with the plain reader, both ways."""
    rows, faults = plain(block, fields)
    decoded.rows.validate(full=True)
    assert decoded.rows.schema == DECODED_SCHEMA
    assert {x.index: x.reason for x in decoded.letters} == faults
    assert [x.index for x in decoded.letters] == sorted(faults)
    physical = block.split(b"\n")
    assert all(x.payload == physical[x.index] for x in decoded.letters)
    assert decoded.lines.tolist() == list(rows)
    found = [{name: v for name, v in row.items() if v is not None} for row in decoded.rows.to_pylist()]
    assert found == list(rows.values())


TIMES = st.sampled_from(
    [b"1600299221.087"] * 5
    + [b"0", b" 12.5 ", b"1.", b".5", b"1e3", b"-1", b"-", b"", b"1.0000001", b"1.0000000", b"9" * 25, b"1,5", b"nan"]
    + [b"253402300799.999999", b"253402300800", b"10000000000000", b"288230376151711744", b"x", b"0x1F", b"-0"]
)
URLS = st.sampled_from([b"/a", b"/a?b=1", b"/a?", b"?b", b"", b"-", b"/a?b?c", b"/a%3Fb", b"/a?x\ry", "/é?ü".encode()])
VALUES = st.one_of(
    st.sampled_from([b"-", b"", b" ", b"0", b"12", b" 12 ", b"-5", b"+5", b"9223372036854775808", b"nan", b"1.5"]),
    st.sampled_from([b"a b", b"x\ry", b"\r", b"\0", b'"q', b"\\", b"#", b"\x02", b"\x020\x03", b"- ", b"\xff"]),
    st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), max_size=6).map(str.encode),
)
USUAL = {"timestamp": b"1600299221.087", "cs-uri-stem": b"/a?b=1"} | dict.fromkeys((*WHOLE, *NUMBERS), b"12")


@st.composite
def lines(draw: st.DrawFn, fields: tuple[str, ...], odd: int) -> bytes:
    """A line of these fields or nearly; one in about `odd` values, and line ends, is out of the ordinary."""
    one_in = st.sampled_from([False] * odd + [True])
    choices = {"timestamp": TIMES, "cs-uri-stem": URLS}
    cells = [draw(choices.get(f, VALUES)) if draw(one_in) else USUAL.get(f, b"v") for f in fields]
    if draw(one_in):
        cells = cells[: draw(st.integers(1, len(cells)))]
    ends = st.sampled_from([b"\r", b" ", b" \r", b"\tmore", b"\t", b"\xff"])
    return b"\t".join(cells) + (draw(ends) if draw(one_in) else b"")


@st.composite
def blocks(draw: st.DrawFn, fields: tuple[str, ...] = SHORT) -> bytes:
    odd = draw(st.sampled_from([6, 40]))
    others = st.sampled_from([b"", b" ", b"\r", b"#Fields: timestamp", b"\xef\xbb\xbf#", b"y" * (LIMIT + 1)])
    chosen = draw(st.lists(st.one_of(lines(fields, odd), lines(fields, odd), others), max_size=8))
    return b"\n".join(chosen) + draw(st.sampled_from([b"", b"\n", b"\r\n"]))


@given(blocks())
def test_a_block_is_read_as_its_lines_are(block: bytes) -> None:
    check(block, decoder().decode(block))


@given(st.data())
def test_fields_are_read_in_whatever_order_they_were_chosen(data: st.DataObject) -> None:
    some = st.lists(st.sampled_from(REALTIME_FIELDS), max_size=6, unique=True)
    fields = tuple(data.draw(st.permutations(sorted({"timestamp", *data.draw(some)}))))
    block = data.draw(blocks(fields))
    check(block, decoder(fields).decode(block), fields)


@given(blocks(), st.data())
def test_how_a_stream_is_cut_into_pages_changes_nothing(block: bytes, data: st.DataObject) -> None:
    physical = block.split(b"\n")
    cut = data.draw(st.integers(0, len(physical)))
    first, second = b"".join(x + b"\n" for x in physical[:cut]), b"\n".join(physical[cut:])
    whole, one, two = decoder().decode(block), decoder().decode(first), decoder().decode(second)
    assert pa.concat_tables([one.rows, two.rows]).to_pylist() == whole.rows.to_pylist()
    assert [*one.lines.tolist(), *(two.lines + cut).tolist()] == whole.lines.tolist()
    assert [(x.index, x.reason) for x in one.letters] + [(x.index + cut, x.reason) for x in two.letters] == [
        (x.index, x.reason) for x in whole.letters
    ]


# ------------------------------------------------------------------------------- the same requests in both logs

TEXTS = st.text("abcXYZ019/%.&=+:;", min_size=1, max_size=9)
DOMAINS = st.sampled_from(["d111111abcdef8.cloudfront.net", "d222222abcdef8.cloudfront.net"])
ORDINARY = {
    **{f: st.integers(0, 2**40).map(str) for f in WHOLE},
    **{f: st.integers(0, 10**6).map(lambda n: f"{n / 1000:.3f}") for f in NUMBERS},
    "cs(Host)": DOMAINS, "cs-uri-stem": TEXTS.map(lambda x: "/" + x),
}  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[int, dict[str, str]]:
    """When a request was, in milliseconds, and its fields as the standard log names them; any may be unknown."""
    names = [f for f in STANDARD_FIELDS if f not in ("date", "time")]
    values = {f: draw(st.one_of(ORDINARY.get(f, TEXTS), st.just("-"))) for f in names}
    if values["cs-uri-stem"] == "-":
        values["cs-uri-query"] = "-"
    return draw(st.integers(0, 4_102_444_800_000)), values


def standard_line(at_ms: int, values: Mapping[str, str]) -> str:
    when = EPOCH + timedelta(seconds=at_ms // 1000)
    told = {**values, "date": f"{when:%Y-%m-%d}", "time": f"{when:%H:%M:%S}"}
    return "\t".join(told[f] for f in STANDARD_FIELDS)


def realtime_line(at_ms: int, values: Mapping[str, str], fields: tuple[str, ...]) -> str:
    stem, query = values["cs-uri-stem"], values["cs-uri-query"]
    told = {
        **values,
        "timestamp": f"{at_ms // 1000}.{at_ms % 1000:03d}",
        "cs-host": values["x-host-header"],
        "x-host-header": values["cs(Host)"],
        "cs-user-agent": values["cs(User-Agent)"],
        "cs-referer": values["cs(Referer)"],
        "cs-cookie": values["cs(Cookie)"],
        "cs-uri-stem": stem if query == "-" else f"{stem}?{query}",
        "c-ip-version": "IPv4",
    }
    return "\t".join(told.get(f, "-") for f in fields)


@settings(max_examples=40)
@given(st.lists(requests(), min_size=1, max_size=5), st.permutations(REALTIME_FIELDS), st.booleans())
def test_a_request_has_the_same_row_in_both_logs(
    many: list[tuple[int, dict[str, str]]], order: list[str], has_query: bool
) -> None:
    fields = tuple(f for f in order if has_query or f != "cs-uri-query")
    standard, realtime = PACKS
    one = standard.open("x", STANDARD_FIELDS).decode("\n".join(standard_line(*r) for r in many).encode())
    two = realtime.open("x", fields).decode("\n".join(realtime_line(*r, fields) for r in many).encode())
    expected, found = standard.enrich(one.rows).to_pylist(), realtime.enrich(two.rows).to_pylist()
    assert [row["event_time"] for row in found] == [EPOCH + timedelta(milliseconds=at_ms) for at_ms, _ in many]
    assert [{**row, "event_time": row["event_time"].replace(microsecond=0)} for row in found] == expected


def test_both_packs_have_one_schema_and_the_same_views() -> None:
    standard, realtime = load("cloudfront"), load("cloudfront_realtime")
    assert (realtime.schema, realtime.views) == (standard.schema, standard.views)
    assert (realtime.derived, realtime.sort_keys) == (standard.derived, standard.sort_keys)
    assert realtime.name == "cloudfront_realtime"
    for name, sql in realtime.views.items():
        ours, theirs = compile_view(name, sql, realtime.schema), compile_view(name, sql, standard.schema)
        assert ours.fingerprint == theirs.fingerprint


def test_each_view_runs_over_both_kinds_of_logs_at_once() -> None:
    values = dict.fromkeys(STANDARD_FIELDS, "-") | {"sc-bytes": "5"}
    standard, realtime = PACKS
    one = standard.open("x", STANDARD_FIELDS).decode(standard_line(90_500, values).encode())
    two = realtime.open("x").decode(realtime_line(90_500, values, REALTIME_FIELDS).encode())
    connection = duckdb.connect()
    connection.register("cloudfront", pa.concat_tables([standard.enrich(one.rows), realtime.enrich(two.rows)]))
    for sql in realtime.views.values():
        answer = connection.sql(sql).to_arrow_table()
        assert (answer["requests"].to_pylist(), answer["bytes"].to_pylist()) == ([2], [10])


# ------------------------------------------------------------------------------------------------ single traits


def line(**values: str) -> bytes:
    """A line of all fields."""
    told = {"timestamp": "1600299221.087"} | {name.replace("_", "-"): value for name, value in values.items()}
    return "\t".join(told.get(f, "-") for f in REALTIME_FIELDS).encode()


def test_every_column_of_a_logged_request_has_a_field() -> None:
    row = [str(place) for place, _ in enumerate(REALTIME_FIELDS)]
    decoded = decoder(None).decode("\t".join(row).encode())
    (found,) = decoded.rows.to_pylist()
    assert None not in found.values()


def test_the_fields_are_those_that_cloudfront_delivers_in_its_order() -> None:
    places = {1: "timestamp", 3: "s-ip", 9: "cs-host", 41: "cs-headers-count", 46: "asn", 64: "cmcd-version"}
    places |= {65: "r-host", 67: "x-edge-mqcs", 69: "connection-id", 71: "viewer-response-log-data"}
    assert {place: REALTIME_FIELDS[place - 1] for place in places} == places
    assert len(set(REALTIME_FIELDS)) == len(REALTIME_FIELDS) == max(places)


@given(st.lists(st.integers(0, YEAR_10000_S * 1_000_000 - 1), min_size=1, max_size=9))
def test_a_timestamp_is_exact_to_the_microsecond(many: list[int]) -> None:
    block = b"\n".join(b"%d.%06d" % divmod(micros, 1_000_000) for micros in many)
    decoded = decoder(("timestamp",)).decode(block)
    assert decoded.rows["event_time"].cast(pa.int64()).to_pylist() == many


@pytest.mark.parametrize(
    "bad",
    [
        "-", "", "-0.001", "1600299221.0870001", "1600299221087", "253402300800", "2026-03-01", "nan",
        "10000000000000", "288230376151711744", "-288230376151711744",  # 63 and 64 bits do not hold their microseconds
    ],
)  # fmt: skip
def test_a_time_that_is_none_is_a_letter_that_says_so(bad: str) -> None:
    decoded = decoder(None).decode(b"\n".join([line(), line(timestamp=bad), line()]))
    assert decoded.lines.tolist() == [0, 2]
    assert [(x.index, x.reason, x.detail) for x in decoded.letters] == [(1, Reason.WRONG_TYPE, UNTIMED)]


@pytest.mark.parametrize(
    ("url", "stem", "query"),
    [
        ("/a", "/a", None),
        ("/a?b=1", "/a", "b=1"),
        ("/a?", "/a", None),
        ("/a?b?c", "/a", "b?c"),
        ("?b", "", "b"),
        ("/a%3Fb", "/a%3Fb", None),
        ("/é?ü", "/é", "ü"),
        ("-", None, None),
    ],
)
def test_a_url_is_cut_at_its_first_question_mark(url: str, stem: str | None, query: str | None) -> None:
    block = f"1\t{url}\n2\t/x?y\n3\t{url}\n".encode()
    decoded = decoder(("timestamp", "cs-uri-stem")).decode(block)
    assert decoded.rows["cs_uri_stem"].to_pylist() == [stem, "/x", stem]
    assert decoded.rows["cs_uri_query"].to_pylist() == [query, "y", query]


def test_the_distribution_is_the_id_in_the_line_else_the_domain() -> None:
    told = {"primary_distribution_id": "E2EXAMPLE1234", "x_host_header": "d1.cloudfront.net"}
    block = b"\n".join([line(**told), line(x_host_header="d2.cloudfront.net"), line(cs_host="www.example.com")])
    decoded = decoder(None).decode(block)
    assert decoded.rows["distribution"].to_pylist() == ["E2EXAMPLE1234", "d2.cloudfront.net", None]


def test_a_broken_line_shifts_none_of_its_neighbours() -> None:
    bad = {3: line(sc_bytes="12x"), 500: line()[:-2], 998: b"\xff", 7: line(timestamp="-"), 8: b"", 9: b"#Version: 1.0"}
    block = b"".join(bad.get(i, line(sc_bytes=str(i))) + (b"\r\n" if i % 2 else b"\n") for i in range(1000))
    decoded = decoder(None, limit=1 << 20).decode(block)
    assert decoded.rows["sc_bytes"].to_pylist() == decoded.lines.tolist() == [i for i in range(1000) if i not in bad]
    assert [x.index for x in decoded.letters] == [3, 7, 9, 500, 998]
    assert decoded.letters[3].detail == "70 fields; the configuration names 71"


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b"  \n"])
def test_nothing_is_read_from_empty_lines(data: bytes) -> None:
    for fields in (("timestamp",), None):
        decoded = decoder(fields).decode(data)
        table = PACKS[1].enrich(decoded.rows)
        assert (table.schema, table.num_rows, decoded.letters) == (EVENT_SCHEMA, 0, ())


def test_what_is_not_utf8_in_a_field_that_is_passed_over_is_told_whatever_stands_beside_it() -> None:
    fields = ("timestamp", "cs-headers")
    for beside in (b"", b"x\n"):
        decoded = decoder(fields).decode(b"5\tv\n5\t\xff\n" + beside)
        assert decoded.lines.tolist() == [0]
        assert decoded.letters[0].reason == Reason.INVALID_UTF8


def test_resuming_a_stream_heeds_no_line_before() -> None:
    decoding = decoder(("timestamp", "c-ip"))
    decoding.skip(b"#Fields: date time\n5\t192.0.2.1\n")
    assert decoding.decode(b"5\t192.0.2.1\n").rows["c_ip"].to_pylist() == ["192.0.2.1"]


def test_a_field_that_is_not_kept_is_named() -> None:
    decoding = decoder(("asn", "timestamp", "-", "c-country", "-", "c-ip"))
    decoded = decoding.decode(b"7018\t5\tnew\tUS\tnewer\t192.0.2.1")
    assert decoding.unknown_fields == ("-", "asn", "c-country")
    assert decoded.rows["c_ip"].to_pylist() == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            ("timestamp", "cs(Host)"),
            r"no real-time log field 'cs\(Host\)'; accepted: timestamp, .*-log-data, and -",
        ),
        (("timestamp", "Timestamp"), "no real-time log field 'Timestamp'"),
        (("timestamp", "c-ip", "c-ip"), "field c-ip is named twice"),
        (("c-ip",), "lack timestamp.*add it"),
        ((), "lack timestamp"),
    ],
)
def test_fields_that_no_record_can_have_are_refused(fields: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoder(fields)


def test_objects_of_real_time_lines_share_a_bucket_whatever_they_are_called() -> None:
    assert PACKS[1].bucket_key("E2EXAMPLE1234.2026-03-01-10.abcdef01.gz") is None


def test_decoding_does_not_import_pandas(tmp_path: Path) -> None:
    good = line(cs_uri_stem="/a?b=1", primary_distribution_id="E2EXAMPLE1234")
    (tmp_path / "page").write_bytes(b"\n".join([good, line(cs_uri_stem="/a")]))
    code = (
        "import sys; from pathlib import Path; from shardlake.packs.registry import load;"
        "p = load('cloudfront_realtime'); page = Path(sys.argv[1]).read_bytes();"
        "rows = p.enrich(p.open('stream').decode(page).rows);"
        "assert rows.num_rows == 2; sys.exit(sorted({'pandas', 'pyiceberg', 'sqlglot'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "page"], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
