"""Lines to rows and letters: nothing decides about a line but itself and the header above it."""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.adapters.engine import Engine
from shardlake.core.errors import ConfigError, SqlFailed
from shardlake.packs.declared import declaration
from shardlake.packs.declared.decoder import DeclaredDecoder
from shardlake.packs.declared.words import Declaration
from shardlake.packs.pack import Decoded

ENGINE = Engine(threads=1)
JSON = declaration.parse(
    """
format = "json"
event_time = "time"
[columns]
time = { type = "TIMESTAMP", from = "ts" }
user = { type = "VARCHAR", from = "user.id" }
n = "BIGINT"
price = "DECIMAL(10,2)"
exact = "DECIMAL(30,10)"
x = "DOUBLE"
ok = "BOOLEAN"
first = { type = "VARCHAR", from = "list[0].k" }
twice = { is = "n * 2" }
""",
    "events",
    "pack.toml",
)
CSV = declaration.parse(
    """
format = "csv"
header = true
event_time = "time"
[columns]
time = "TIMESTAMP"
a = "VARCHAR"
n = { type = "BIGINT", from = "N o" }
""",
    "table",
    "pack.toml",
)
LOG = declaration.parse(
    """
format = "log"
event_time = "time"
fields = ["owner", "[time]", "ip", '"request"', "status", '"agent"', "version"]
fields_min = 6
comment = "#"
only = { owner = ["o", "p"] }
[columns]
time = { type = "TIMESTAMP", time = "%d/%b/%Y:%H:%M:%S %z" }
ip = "VARCHAR"
request = "VARCHAR"
status = "BIGINT"
agent = "VARCHAR"
version = "VARCHAR"
""",
    "log",
    "pack.toml",
)


def decoder(declared: Declaration, limit: int = 1 << 20) -> DeclaredDecoder:
    fields = None if declared.has_header else declared.fields
    return DeclaredDecoder(declared, ENGINE, fields, line_bytes_max=limit)


def told(decoded: Decoded) -> dict[int, Any]:
    """What became of each line, by its index."""
    rows = dict(zip(decoded.lines.tolist(), decoded.rows.to_pylist(), strict=True))
    return rows | {letter.index: (letter.reason.value, letter.detail, letter.payload) for letter in decoded.letters}


def one(declared: Declaration, line: str) -> Any:
    return told(decoder(declared).decode(line.encode())).get(0)


def event(**values: Any) -> str:
    return json.dumps({"ts": "2026-03-01T10:00:00Z", **values})


def test_a_json_line_becomes_typed_columns() -> None:
    line = event(user={"id": "u"}, n=3, price=1.5, exact="1.0000000001", x=1e3, ok=True, list=[{"k": "v"}])
    assert one(JSON, line) == {
        "time": datetime(2026, 3, 1, 10),
        "user": "u",
        "n": 3,
        "price": Decimal("1.50"),
        "exact": Decimal("1.0000000001"),
        "x": 1000.0,
        "ok": True,
        "first": "v",
        "twice": 6,
    }
    assert set(one(JSON, event()).values()) == {None, datetime(2026, 3, 1, 10)}


MISREAD = [
    ("nope", "malformed"), ("[1]", "malformed"), ("1", "malformed"), ('{"a":1', "malformed"), ("null", "malformed"),
    ("{}", "missing"), ('{"ts":null}', "missing"), ('{"ts":"x"}', "wrong_type"),
    ('{"ts":"1969-12-31T23:59:59Z"}', "wrong_type"), ('{"ts":"infinity"}', "wrong_type"),
    (event(n=1.5), "wrong_type"), (event(n="1e3"), "wrong_type"), (event(n="0x1F"), "wrong_type"),
    (event(n=2**63), "wrong_type"), (event(n=" 5"), "wrong_type"), (event(n=""), "wrong_type"),
    (event(price=1.555), "wrong_type"), (event(price=10**9), "wrong_type"), (event(exact=0.1), "wrong_type"),
    (event(price="1.0000000000000001e0"), "wrong_type"), (event(exact="1e5"), "wrong_type"),
    (event(user={"id": 1.10}), "wrong_type"), (event(x="nan"), "wrong_type"), (event(x="1e400"), "wrong_type"),
    (event(ok="yes"), "wrong_type"), ('{"ts":"2026-03-01T10:00:00Z","user":{"id":"\\ud800"}}', "malformed"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), MISREAD)
def test_nothing_is_rounded_cut_or_guessed(line: str, reason: str) -> None:
    found = one(JSON, line)
    assert isinstance(found, tuple), found
    assert (found[0], found[2]) == (reason, line.encode())


TIMES = {
    "2026-03-01": datetime(2026, 3, 1),
    "2026-03-01T10:00+02:00": datetime(2026, 3, 1, 8),
    "2026-03-01 10:00:00.5-0130": datetime(2026, 3, 1, 11, 30, 0, 500_000),
    "2026-03-01T10:00:00.123456789Z": datetime(2026, 3, 1, 10, 0, 0, 123_456),
    **dict.fromkeys(
        ["2026-3-1", "2026-02-30", "2026-03-01T24:00Z", "2026-03-01T23:59:60Z", "2026-03-01T10:00 EST",
         "2026-03-01T10:00+99", "12026-03-01", "epoch", "2026-03-01T10:00:00,5Z", " 2026-03-01"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_taken_with_its_offset_or_not_at_all(text: str) -> None:
    found = one(JSON, json.dumps({"ts": text}))
    assert (found["time"] if isinstance(found, dict) else None) == TIMES[text]


@pytest.mark.parametrize(
    ("time", "value", "expected"),
    [
        ("s", 1767225600.5, datetime(2026, 1, 1, 0, 0, 0, 500_000)),
        ("ms", 1767225600123, datetime(2026, 1, 1, 0, 0, 0, 123_000)),
        ("us", "1767225600123456", datetime(2026, 1, 1, 0, 0, 0, 123_456)),
        ("ns", "1767225600123456789", datetime(2026, 1, 1, 0, 0, 0, 123_456)),
        ("ns", "1767225600123456999.9", datetime(2026, 1, 1, 0, 0, 0, 123_456)),
        ("s", "1767225600.9999999999", datetime(2026, 1, 1, 0, 0, 0, 999_999)),
        ("%Y-%m-%d %z", "2026-01-01 +99:00", None),
        ("epoch", 1767225600, datetime(2026, 1, 1)),
        ("epoch", 1767225600123, datetime(2026, 1, 1, 0, 0, 0, 123_000)),
        ("s", 1767225600123456, None),
        ("s", -1, None),
        ("%d/%b/%Y %z", "06/Feb/2019 +0200", datetime(2019, 2, 5, 22)),
        ("%d/%b/%Y %z", "06/Feb/2019 +9900", None),
        ("%Y%m%d", "infinity", None),
        ("%a, %d %b %Y %H:%M:%S GMT", "Sun, 01 Mar 2026 10:00:00 GMT", datetime(2026, 3, 1, 10)),
        ("%Y%m%d", " 20260101", None),
    ],
)
def test_times_of_other_kinds(time: str, value: object, expected: datetime | None) -> None:
    text = f'format = "json"\nevent_time = "t"\n[columns]\nt = {{ type = "TIMESTAMP", time = "{time}" }}'
    found = one(declaration.parse(text, "events", "pack.toml"), json.dumps({"t": value}))
    assert (found["t"] if isinstance(found, dict) else None) == expected


def test_every_line_is_a_row_a_letter_or_nothing() -> None:
    block = "\n".join([event(n=1), "", "x", "  \t", "\ufeff" + event(n=2), event(n=3) + "\r", "y" * 300, event(n=4)])
    found = told(decoder(JSON, 200).decode(block.encode() + b"\n\xff{}\n"))
    assert {at: row["n"] for at, row in found.items() if isinstance(row, dict)} == {0: 1, 4: 2, 5: 3, 7: 4}
    assert {at: row[0] for at, row in found.items() if isinstance(row, tuple)} == {
        2: "malformed",
        6: "line_too_long",
        8: "invalid_utf8",
    }
    assert found[8][2] == b"\xff{}"


def test_a_csv_file_is_read_by_its_header() -> None:
    lines = ['x,time,"N o",a', '1,2026-01-01,5,"q, ""w"""\r', '1,2026-01-02,6,a"b', "x,time,N o,a", "1,2026-01-03", ""]
    reader = decoder(CSV)
    found = told(reader.decode("\n".join(lines).encode()))
    assert [(found[at]["n"], found[at]["a"]) for at in (1, 2)] == [(5, 'q, "w"'), (6, 'a"b')]
    assert [found[at][0] for at in (3, 4)] == ["wrong_type", "too_few_fields"]
    assert reader.unknown_fields == ("x",)
    later = decoder(CSV)
    later.skip("\n".join(lines).encode())
    assert told(later.decode(b"1,2026-01-04,8,z"))[0]["n"] == 8


def test_names_that_differ_in_case_or_look_like_marks_are_names() -> None:
    text = 'format = "csv"\nheader = true\nevent_time = "t"\n[columns]\nt = "TIMESTAMP"\na = "VARCHAR"\n'
    text += 'one = { type = "VARCHAR", from = "#1" }\nb = { type = "VARCHAR", from = "[b]" }'
    found = told(decoder(declaration.parse(text, "odd", "pack.toml")).decode(b"T,t,A,a,#1,[b]\nx,2026-01-01,1,2,3,4"))
    assert found[1] == {"t": datetime(2026, 1, 1), "a": "2", "one": "3", "b": "4"}


def test_a_date_is_no_time_of_day() -> None:
    text = 'format = "json"\nevent_time = "t"\n[columns]\nt = "TIMESTAMP"\nd = "DATE"'
    pack = declaration.parse(text, "days", "pack.toml")
    assert one(pack, '{"t":"2026-01-01","d":"2026-03-01"}')["d"] == date(2026, 3, 1)
    assert one(pack, '{"t":"2026-01-01","d":"2026-03-01T23:00:00-05:00"}')[0] == "wrong_type"
    with pytest.raises(ConfigError, match="tells a time of day: make it a TIMESTAMP"):
        declaration.parse(text.replace('d = "DATE"', 'd = { type = "DATE", time = "%Y%m%d%H" }'), "days", "pack.toml")


def test_a_header_that_comes_again_is_no_line_and_one_that_is_none_loses_nothing() -> None:
    assert list(told(decoder(CSV).decode(b"time,a,N o\n2026-01-01,a,1\ntime,a,N o\n"))) == [1]
    for odd in (b"time,a\rN o\n1,2,3", b'"' + b"x" * 140_000 + b'",time\n1,2,3'):
        assert [one[0] for one in told(decoder(CSV).decode(odd)).values()] == ["no_header", "no_header"]
    found = told(decoder(CSV).decode(b"2026-01-01,a,1\n2026-01-01,a,1\n"))
    assert [found[at][0] for at in (0, 1)] == ["no_header", "no_header"]


def test_a_newline_inside_of_quotes_is_told_and_shifts_nothing() -> None:
    found = told(decoder(CSV).decode(b'time,a,N o\n2026-01-01,"a\nb",1\n2026-01-02,",",2\n2026-01-03,q\rq,3'))
    assert [found[at][0] for at in (1, 2)] == ["malformed", "malformed"]
    assert [found[at]["a"] for at in (3, 4)] == [",", "q\rq"]


SERVED = "o [06/Feb/2019:00:00:38 +0000] 1.2.3.4 {request} 404 {agent} {rest}"


def served(request: str = '"GET /a b HTTP/1.1"', agent: str = '"curl"', rest: str = "v1") -> Any:
    return one(LOG, SERVED.format(request=request, agent=agent, rest=rest).rstrip())


def test_a_log_line_may_be_longer_or_shorter_than_it_was() -> None:
    whole = served()
    assert (whole["time"], whole["request"], whole["version"]) == (
        datetime(2019, 2, 6, 0, 0, 38),
        "GET /a b HTTP/1.1",
        "v1",
    )
    assert served(rest="v1 new fields here") == whole
    assert served(rest="") == whole | {"version": None}
    assert served(request="-", agent='"-"') == whole | {"request": None, "agent": None}
    assert served(rest="v1 ") == whole


def test_quotes_inside_of_quotes_are_read_where_there_is_one_way_to() -> None:
    assert served(agent='"Moz "x" y"')["agent"] == 'Moz "x" y'
    assert served(request='"GET /"q" HTTP/1.1"')["request"] == 'GET /"q" HTTP/1.1'
    assert served(agent='"Mozilla')[0] == "malformed"


def test_a_field_without_quotes_beside_others_with_quotes_inside_is_ambiguous() -> None:
    assert served(request="-", agent='"a" b"')[0] == "malformed"
    assert served(request="-", agent='"a" ', rest="v1  ")["agent"] == "a"


def test_lines_of_many_widths_are_read_together() -> None:
    lines = [SERVED.format(request="-", agent="-", rest="v" + " x" * n) for n in range(300)]
    reader = decoder(LOG)
    found = told(reader.decode("\n".join(lines).encode()))
    assert {row["version"] for row in found.values()} == {"v"} and len(found) == 300


@pytest.mark.parametrize("forged", ['/k" 200 "x" v', '/k" 200 "x', '/k" 200 "x" v "', '" 200 "', '" 200 "a" b c d'])
def test_what_a_client_sends_cannot_pass_for_other_fields(forged: str) -> None:
    for line in (served(request=f'"GET {forged} HTTP/1.1"'), served(agent=f'"{forged}"')):
        assert line[0] == "malformed" if isinstance(line, tuple) else line["status"] == 404


def test_lines_of_another_kind_and_comments_are_told_apart() -> None:
    line = SERVED.format(request="-", agent="-", rest="v")
    found = told(decoder(LOG).decode(f"#x\n{line}\nq{line[1:]}".encode()))
    assert list(found) == [1, 2]
    assert found[2][:2] == ("other_kind", "its owner is none of o, p")


class Failing:
    """An engine that cannot stand one of the values."""

    def table(self, sql: str, tables: dict[str, pa.Table]) -> pa.Table:
        if any("666" in line for line in tables["lines"]["line"].to_pylist()):
            raise SqlFailed("the engine cannot run this")
        return ENGINE.table(sql, tables)


def test_a_line_on_which_the_engine_fails_is_found_and_the_others_are_read() -> None:
    reader = DeclaredDecoder(JSON, Failing(), (), line_bytes_max=1 << 20)  # type: ignore[arg-type]
    found = told(reader.decode("\n".join(event(n=n) for n in (1, 2, 666, 4, 5)).encode()))
    assert [found[at]["n"] for at in (0, 1, 3, 4)] == [1, 2, 4, 5]
    assert found[2][0] == "malformed"


# Lines of every kind that was thought of, whole and broken, in any order and cut into any blocks.
_LINES = {
    "events": [event(n=1), event(n="x"), "nope", "", " ", "\ufeff" + event(n=2), event(n=3) + "\r", "{", "\t",
               event(user={"id": "é\n"}), '{"ts":"2026-03-01"} x'],
    "table": ["2026-01-01,a,1", '2026-01-01,"a,""b",1', '2026-01-01,"a,1', 'b",2', "2026-01-01,a\rb,1", "",
              ",,", "2026-01-01,a,1,9", "2026-01-01", '2026-01-01,",",2\r', "time,a,N o", '"', '2026-01-01,"",',
              "\ufeff,b,1"],
    "log": [SERVED.format(request='"GET /"', agent='"a"', rest="v"), SERVED.format(request="-", agent="-", rest=""),
            SERVED.format(request='"a "b" c"', agent='"a"', rest="v w"), "#c", "", "x y", '"', "o [a b] c " * 3,
            SERVED.format(request='"\r"', agent='"a"', rest="v\r"), SERVED.format(request='"', agent='"a"', rest="v")],
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("declared", [JSON, CSV, LOG], ids=lambda d: d.name)
def test_a_line_is_read_alike_in_every_block(declared: Declaration, data: st.DataObject) -> None:
    drawn = st.lists(
        st.one_of(st.sampled_from(_LINES[declared.name]), st.text('ab",[] \t{}:0', max_size=12)), max_size=8
    )
    lines = [line.encode() for line in data.draw(drawn)]
    if data.draw(st.booleans()):
        lines.insert(data.draw(st.integers(0, len(lines))), b"\xff" + (lines[0] if lines else b""))
    start = [b"time,a,N o"] if declared.has_header else []
    whole = told(decoder(declared).decode(b"\n".join(start + lines)))
    alone: dict[int, Any] = {}
    for at, line in enumerate(lines):
        reader = decoder(declared)
        reader.skip(b"\n".join(start))
        alone |= {at + len(start): found for found in told(reader.decode(line)).values()}
    assert whole == alone
    cut = data.draw(st.integers(0, len(lines)))
    reader, after = decoder(declared), cut + len(start)
    parts = told(reader.decode(b"\n".join(start + lines[:cut]) + b"\n" * bool(after)))
    parts |= {at + after: found for at, found in told(reader.decode(b"\n".join(lines[cut:]))).items()}
    assert parts == whole
