"""Every physical line of a log is a row, a letter, or nothing: judged by a plain reader that shares no code."""

import re
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.packs.cloudfront.decoder import LogDecoder
from shardlake.packs.cloudfront.header import STANDARD_FIELDS
from shardlake.packs.cloudfront.schema import DECODED_SCHEMA
from shardlake.packs.pack import Decoded, Reason

LIMIT = 400
SHORT = "date time x-edge-location sc-bytes cs(Host) cs(User-Agent) x-edge-request-id time-taken cs-protocol-version"
OTHER = "x-edge-request-id time sc-status date x-something-new sc-bytes"
BOM = b"\xef\xbb\xbf"
NUMBERS = {
    "sc-bytes": int, "cs-bytes": int, "c-port": int, "sc-content-len": int, "sc-range-start": int,
    "sc-range-end": int, "fle-encrypted-fields": int, "time-taken": float, "time-to-first-byte": float,
}  # fmt: skip
COLUMNS = {"cs(Host)": "cs_host", "cs(User-Agent)": "cs_user_agent", "time-taken": "time_taken_s"}


def plain(data: bytes, limit: int = LIMIT) -> tuple[dict[int, dict[str, Any]], dict[int, Reason]]:
    """Read lines one by one: rows and reasons by line."""
    rows: dict[int, dict[str, Any]] = {}
    faults: dict[int, Reason] = {}
    fields: list[str] = []
    for index, line in enumerate(data.split(b"\n")):
        text = line.removeprefix(BOM)
        if text.startswith(b"#"):
            if text.startswith(b"#Fields:"):
                fields = text[8:].decode("utf-8", "replace").split()
        elif len(line) > limit:
            faults[index] = Reason.LINE_TOO_LONG
        elif line.rstrip(b" \r"):
            read = plain_line(line, text.rstrip(b" \r"), fields)
            if isinstance(read, Reason):
                faults[index] = read
            else:
                rows[index] = read
    return rows, faults


def plain_line(line: bytes, text: bytes, fields: list[str]) -> dict[str, Any] | Reason:
    cells = text.split(b"\t")
    if not {"date", "time"} <= set(fields):
        return Reason.NO_HEADER
    if len(line.split(b"\t")) != len(fields):
        return Reason.TOO_FEW_FIELDS if len(cells) < len(fields) else Reason.TOO_MANY_FIELDS
    try:
        return plain_values(dict(zip(fields, [c.decode() for c in cells], strict=True)))
    except UnicodeDecodeError:
        return Reason.INVALID_UTF8
    except ValueError:
        return Reason.WRONG_TYPE


def plain_values(cells: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"event_time": plain_time(cells.pop("date").strip(" "), cells.pop("time").strip(" "))}
    for field, value in cells.items():
        if field != "x-something-new":
            name = COLUMNS.get(field, field.replace("-", "_"))
            row[name] = None if value == "-" else plain_number(value.strip(" "), field) if field in NUMBERS else value
    return row


def plain_time(day: str, clock: str) -> datetime:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})?", f"{day} {clock}") or day < "1970":
        raise ValueError(day)
    return datetime.fromisoformat(f"{day} {clock}")


def plain_number(text: str, field: str) -> float | int:
    if NUMBERS[field] is float:
        if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text) or abs(float(text)) > 1e308:
            raise ValueError(text)
        return float(text)
    if not re.fullmatch(r"-?[0-9]+", text) or not -(2**63) <= int(text) < 2**63:
        raise ValueError(text)
    return int(text)


def decoder(fields: str | None = None, *, limit: int = LIMIT, origin: str = "x") -> LogDecoder:
    return LogDecoder(origin, tuple(fields.split()) if fields else None, line_bytes_max=limit)


def check(block: bytes, decoded: Decoded, limit: int = LIMIT) -> None:
    """Compare with the plain reader, both ways."""
    rows, faults = plain(block, limit)
    decoded.rows.validate(full=True)
    assert decoded.rows.schema == DECODED_SCHEMA
    assert decoded.lines.tolist() == list(rows)
    assert {x.index: x.reason for x in decoded.letters} == faults
    assert [x.index for x in decoded.letters] == sorted(faults)
    physical = block.split(b"\n")
    assert all(x.payload == physical[x.index] for x in decoded.letters)
    for got, expected in zip(decoded.rows.to_pylist(), rows.values(), strict=True):
        got.pop("distribution")
        assert {k: v for k, v in got.items() if v is not None} == {k: v for k, v in expected.items() if v is not None}


VALUES = st.one_of(
    st.sampled_from(["-", "", " ", "0", "12", " 12 ", "-5", "+5", "9223372036854775808", "nan", "1e999", "1.5", "1e3"]),
    st.sampled_from(["a b", "x\ry", "\r", "\0", '"q', "\\", "#", "é", "\x02", "\x020\x03", "\ufeff", "- ", "12x"]),
    st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), max_size=6),
).map(str.encode)
DAYS = st.sampled_from([b"2026-03-01"] * 6 + [b"2026-02-30", b"1969-12-31", b"-", b"0000-01-01", b"2026-3-1", b"x"])
TIMES = st.sampled_from([b"10:00:00"] * 6 + [b"24:00:00", b"23:59:60", b"10:01", b"-", b"1:00:00"])
USUAL = {
    "date": b"2026-03-01", "time": b"10:00:00", "sc-bytes": b"12", "time-taken": b"0.5",
    "cs-protocol-version": b"HTTP/2.0", "x-edge-request-id": b"id==",
}  # fmt: skip


@st.composite
def lines(draw: st.DrawFn, fields: str = SHORT, odd: int = 6) -> bytes:
    """A line of a header's width or near it; one in about `odd` values, and line ends, is out of the ordinary."""
    one_in = st.sampled_from([False] * odd + [True])
    cells = []
    for name in fields.split():
        choices = {"date": DAYS, "time": TIMES}.get(name, VALUES)
        cells.append(draw(choices) if draw(one_in) else USUAL.get(name, b"v"))
    if draw(one_in):
        cells = cells[: draw(st.integers(1, len(cells)))]
    return b"\t".join(cells) + (draw(ENDS) if draw(one_in) else b"")


ENDS = st.sampled_from([b"\r", b" ", b" \r", b"\r\r", b"\tmore", b"\t", b"\xff"])
HEADERS = st.sampled_from(["#Fields: " + SHORT, "#Fields: " + OTHER, "#Fields: date", "#Version: 1.0", "#"]).map(
    str.encode
)
ODD = st.one_of(st.just(b""), st.binary(max_size=12), st.just(b"y" * (LIMIT + 1)), st.just(BOM + b"#Version: 1.0"))
HEADS = st.sampled_from([[], [f"#Fields: {SHORT}".encode()], [b"#Version: 1.0", f"#Fields: {SHORT}".encode()]])
ANY_LINES = st.lists(st.one_of(lines(), lines(), lines(), lines(OTHER), HEADERS, ODD), max_size=8)
# Blocks that are regular but for a line or two: most of what comes, and read in another way.
GOOD_LINES = st.lists(lines(odd=40), min_size=1, max_size=8)
TWO_LAYOUTS = st.lists(st.one_of(lines(odd=40), lines(OTHER, odd=40), HEADERS), max_size=8)
BLOCKS = st.builds(
    lambda head, rest, end: b"\n".join([*head, *rest]) + end,
    HEADS,
    st.one_of(ANY_LINES, GOOD_LINES, TWO_LAYOUTS),
    st.sampled_from([b"", b"\n", b"\r\n"]),
)


@given(BLOCKS)
def test_a_block_is_read_as_its_lines_are(block: bytes) -> None:
    check(block, decoder().decode(block))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_as_their_lines_are(block: bytes) -> None:
    header = f"#Fields: {SHORT}\n".encode()
    check(header + block, decoder().decode(header + block))


@given(BLOCKS, st.data())
def test_how_a_file_is_cut_into_blocks_changes_nothing(block: bytes, data: st.DataObject) -> None:
    physical = block.split(b"\n")
    cut = data.draw(st.integers(0, len(physical)))
    first, second = b"".join(x + b"\n" for x in physical[:cut]), b"\n".join(physical[cut:])
    whole, parts = decoder().decode(block), decoder()
    one, two = parts.decode(first), parts.decode(second)
    assert pa.concat_tables([one.rows, two.rows]).to_pylist() == whole.rows.to_pylist()
    assert [*one.lines.tolist(), *(two.lines + cut).tolist()] == whole.lines.tolist()
    assert [(x.index, x.reason) for x in one.letters] + [(x.index + cut, x.reason) for x in two.letters] == [
        (x.index, x.reason) for x in whole.letters
    ]
    resumed = decoder()
    resumed.skip(first)
    assert resumed.decode(second).rows.to_pylist() == two.rows.to_pylist()


def line(**values: str) -> bytes:
    """A good line of all standard fields."""
    usual = {"date": "2026-03-01", "time": "10:00:00", "sc-bytes": "12", "x-edge-request-id": "id=="} | values
    return "\t".join(usual.get(f, "-") for f in STANDARD_FIELDS).encode()


STANDARD = " ".join(STANDARD_FIELDS)


@pytest.mark.parametrize("width", [12, 15, 18, 24, 26, 33])
def test_every_era_of_the_format_is_read_by_its_header(width: int) -> None:
    fields = STANDARD_FIELDS[:width]
    cells = line(**{"sc-range-end": "7"}).split(b"\t")[:width]
    block = b"#Version: 1.0\n#Fields: " + " ".join(fields).encode() + b"\n" + b"\t".join(cells) + b"\n"
    decoded = decoder().decode(block)
    assert decoded.lines.tolist() == [2]
    assert decoded.rows["sc_range_end"].to_pylist() == [7 if width == 33 else None]
    assert decoded.rows["sc_bytes"].to_pylist() == [12]


def test_a_field_that_nobody_knows_is_passed_over_and_named() -> None:
    fields = f"{STANDARD} origin-fbl sc-bytes"
    decoding = decoder(fields)
    decoded = decoding.decode(line() + b"\tx\t99\n")
    assert decoding.unknown_fields == ("origin-fbl",)
    assert decoded.rows["sc_bytes"].to_pylist() == [12]


def test_a_header_may_change_in_the_middle_of_a_file() -> None:
    other = b"#Fields: time date sc-bytes\n11:00:00\t2026-03-01\t5\n"
    back = b"#Fields: " + STANDARD.encode()
    block = b"\n".join([line(), other + line(), back, line(**{"sc-bytes": "13"})])
    decoded = decoder(STANDARD).decode(block)
    assert decoded.rows["sc_bytes"].to_pylist() == [12, 5, 13]
    assert decoded.lines.tolist() == [0, 2, 5]
    assert [(x.index, x.reason) for x in decoded.letters] == [(3, Reason.TOO_MANY_FIELDS)]


def test_a_directive_is_none_of_the_lines_though_it_has_as_many_fields() -> None:
    fields = "x-edge-request-id time date"
    good, directive = b"id==\t10:00\t2026-03-01\n", b"#id==\t10:00\t2026-03-01\n"
    for block in (good + directive + good, directive + good + good, good + directive + b"bad\n" + good):
        assert decoder(fields).decode(block).rows["x_edge_request_id"].to_pylist() == ["id=="] * 2


def test_what_is_not_utf8_in_a_field_that_nobody_knows_is_told_whatever_stands_beside_it() -> None:
    good, bad = b"2026-03-01\t10:00\tv\n", b"2026-03-01\t10:00\t\xff\n"
    for block in (good + bad, good + bad + b"bad\n"):
        decoded = decoder("date time x-something-new").decode(block)
        assert decoded.lines.tolist() == [0]
        assert (decoded.letters[0].index, decoded.letters[0].reason) == (1, Reason.INVALID_UTF8)


def test_lines_without_a_header_are_letters() -> None:
    decoded = decoder().decode(b"#Version: 1.0\n" + line() + b"\n\n")
    assert [(x.index, x.reason, x.payload) for x in decoded.letters] == [(1, Reason.NO_HEADER, line())]


def test_a_line_of_ten_mebibytes_is_a_letter_with_all_of_it_and_its_neighbours_are_rows() -> None:
    long = b"x" * (10 << 20)
    decoded = decoder(STANDARD, limit=1 << 20).decode(line() + b"\n" + long + b"\n" + line())
    assert decoded.lines.tolist() == [0, 2]
    assert [(x.index, x.reason, x.payload == long) for x in decoded.letters] == [(1, Reason.LINE_TOO_LONG, True)]


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_of_a_line_is_exact_where_the_whole_block_is_regular(extra: int) -> None:
    size = (1 << 16) - len(line()) + 1 + extra
    block = b"\n".join([line(**{"cs-uri-query": "q" * size}), *[line()] * 50])
    decoded = decoder(STANDARD, limit=1 << 16).decode(block)
    assert len(decoded.letters) == extra
    assert decoded.rows.num_rows == 51 - extra


def test_a_line_longer_than_what_the_reader_holds_is_read_if_the_limit_allows_it() -> None:
    stem = "s" * (9 << 20)
    block = b"\n".join([line(), line(**{"cs-uri-stem": stem, "cs-uri-query": "a\rb"}), line()])
    decoded = decoder(STANDARD, limit=10 << 20).decode(block)
    assert decoded.lines.tolist() == [0, 1, 2]
    assert decoded.rows["cs_uri_query"].to_pylist() == [None, "a\rb", None]


def test_only_the_bad_line_of_many_is_a_letter() -> None:
    bad = {3: line(**{"sc-bytes": "12x"}), 500: line(date="2026-02-30"), 998: line(**{"time-taken": "nan"}), 7: b"\xff"}
    block = b"".join(bad.get(i, line(**{"sc-bytes": str(i)})) + b"\n" for i in range(1000))
    decoded = decoder(STANDARD).decode(block)
    assert [x.index for x in decoded.letters] == sorted(bad)
    assert decoded.letters[0].detail == "sc-bytes is not an integer"
    assert decoded.rows["sc_bytes"].to_pylist() == [i for i in range(1000) if i not in bad]


def test_the_distribution_is_in_the_name_of_the_file_else_in_the_host() -> None:
    block = line(**{"cs(Host)": "d1.cloudfront.net"}) + b"\n" + line()
    named = decoder(STANDARD, origin="logs/a-E2EXAMPLE1234.2026-03-01-10.ab12.gz").decode(block)
    assert named.rows["distribution"].to_pylist() == ["E2EXAMPLE1234"] * 2
    assert decoder(STANDARD).decode(block).rows["distribution"].to_pylist() == ["d1.cloudfront.net", None]


@pytest.mark.parametrize("after", [b"\n", b"\n\n", b"\r\n"])
def test_a_carriage_return_inside_of_a_line_shifts_no_line(after: bytes) -> None:
    twice = b"10:00\t2026-03-01\r10:00\t2026-03-01"
    decoded = decoder("time date").decode(b"10:00\t2026-03-01\n" + twice + after + b"10:01\t2026-03-01\r\n")
    twice += after[:-1].rstrip(b"\n")
    assert decoded.lines.tolist() == [0, 1 + after.count(b"\n")]
    assert [(x.index, x.reason, x.payload) for x in decoded.letters] == [(1, Reason.TOO_MANY_FIELDS, twice)]


def test_a_byte_order_mark_is_no_part_of_a_value_wherever_a_block_begins() -> None:
    text = BOM + b"id==\t10:00:00\t2026-03-01\n"
    decoded = decoder("x-edge-request-id time date").decode(text + text)
    assert decoded.rows["x_edge_request_id"].to_pylist() == ["id=="] * 2


def test_spaces_at_the_end_of_a_line_belong_to_no_field() -> None:
    decoded = decoder("time date cs-protocol").decode(b"10:00\t2026-03-01\thttps \n10:00\t2026-03-01\t- \n")
    assert decoded.rows["cs_protocol"].to_pylist() == ["https", None]


@pytest.mark.parametrize("bad", ["1e999", "nan", "-inf", "1,5", "0x1F", ""])
def test_a_number_that_no_sum_survives_is_a_letter_that_says_where(bad: str) -> None:
    decoded = decoder(STANDARD).decode(line(**{"time-taken": bad}))
    assert [x.detail for x in decoded.letters] == ["time-taken is not a number"]


def test_an_empty_block_has_no_rows() -> None:
    decoded = decoder(STANDARD).decode(b"")
    assert (decoded.rows.schema, decoded.rows.num_rows, len(decoded.lines)) == (DECODED_SCHEMA, 0, 0)
