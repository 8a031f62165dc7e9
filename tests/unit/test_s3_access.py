"""S3's server access logs: lines as AWS shows them, lines as clients spoil them, and what is told from their values."""

import random
import re
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.compiler import compile_view
from shardlake.packs.pack import Decoded, Reason
from shardlake.packs.registry import load

PACK = load("s3_access")
OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
FIELDS = (
    "bucket_owner", "bucket", "time", "remote_ip", "requester", "request_id", "operation", "key", "request_uri",
    "http_status", "error_code", "bytes_sent", "object_size", "total_time", "turn_around_time", "referer", "agent",
    "version_id", "host_id", "signature_version", "cipher_suite", "authentication_type", "host_header", "tls_version",
    "access_point_arn", "acl_required", "source_region",
)  # fmt: skip
USUAL = {
    "bucket_owner": OWNER, "bucket": "amzn-s3-demo-bucket1", "time": "06/Feb/2019:00:00:38 +0000",
    "remote_ip": "192.0.2.3", "requester": "arn:aws:iam::123456789012:user/ann", "request_id": "3E57427F3EXAMPLE",
    "operation": "REST.GET.OBJECT", "key": "photos/2019/08/puppy.jpg", "request_uri": "GET /photos/puppy.jpg HTTP/1.1",
    "http_status": "200", "error_code": "-", "bytes_sent": "113", "object_size": "4406583", "total_time": "70",
    "turn_around_time": "10", "referer": "-", "agent": "curl/7.15.1", "version_id": "-", "host_id": "s9lz+R5m/31234=",
    "signature_version": "SigV4", "cipher_suite": "ECDHE-RSA-AES128-GCM-SHA256", "authentication_type": "AuthHeader",
    "host_header": "amzn-s3-demo-bucket1.s3.us-west-1.amazonaws.com", "tls_version": "TLSv1.2",
    "access_point_arn": "-", "acl_required": "-", "source_region": "us-east-1",
}  # fmt: skip
QUOTED = ("request_uri", "referer", "agent")
NUMBERS = ("http_status", "bytes_sent", "object_size", "total_time", "turn_around_time")

# As the user guide of Amazon S3 shows them.
SHOWN = f"""\
{OWNER} amzn-s3-demo-bucket1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3 {OWNER} 3E57427F3EXAMPLE REST.GET.VERSIONING - "GET /amzn-s3-demo-bucket1?versioning HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader amzn-s3-demo-bucket1.s3.us-west-1.amazonaws.com TLSV1.2 arn:aws:s3:us-west-1:123456789012:accesspoint/example-AP Yes us-east-1
{OWNER} awsexamplebucket1 [06/Feb/2019:00:00:38 +0000] 192.0.2.3 {OWNER} A1206F460EXAMPLE REST.GET.BUCKETPOLICY - "GET /awsexamplebucket1?policy HTTP/1.1" 404 NoSuchBucketPolicy 297 - 38 - "-" "S3Console/0.4" - BNaBsXZQQDbssi6xMBdBU2sLt+Yf5kZDmeBUP35sFoKa3sLLeMC78iwEIWxs99CRUrbS4n11234= SigV2 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader awsexamplebucket1.s3.us-west-1.amazonaws.com TLSV1.1
{OWNER} awsexamplebucket1 [06/Feb/2019:00:01:57 +0000] 192.0.2.3 {OWNER} DD6CC733AEXAMPLE REST.PUT.OBJECT s3-dg.pdf "PUT /awsexamplebucket1/s3-dg.pdf HTTP/1.1" 200 - - 4406583 41754 28 "-" "S3Console/0.4" - 10S62Zv81kBW7BB6SX4XJ48o6kpcl6LPwEoizZQQxJd5qDSCTLX0TgS37kYUBKQW3+bPdrg1234= SigV4 ECDHE-RSA-AES128-SHA AuthHeader awsexamplebucket1.s3.us-west-1.amazonaws.com TLSV1.1
"""  # noqa: E501 - lines as they are written
# What S3 does by itself, or for many objects at once, has no request of its own: nothing is in quotes.
DELETED = (
    "aaa test.bucket [13/Feb/2023:15:08:28 +0000] 1.1.1.1 arn:aws:iam::111:user/u AAA BATCH.DELETE.OBJECT {} - 204 - - "
    "1 - - - - - AAA SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader s3.us-east-2.amazonaws.com TLSv1.2 - -"
)
EXPIRED = "aaa b [13/Feb/2023:15:08:28 +0000] - AmazonS3 BBB S3.EXPIRE.OBJECT a/b - - - - 9 - - - - v1 h= - - - - - - -"


def line(**other: str) -> str:
    """A line with some fields other than usual; those that AWS writes in quotes are in quotes."""
    values = USUAL | other
    written = {name: f'"{values[name]}"' for name in QUOTED} | {"time": f"[{values['time']}]"}
    return " ".join((values | written)[name] for name in FIELDS)


def decoded(*lines: str) -> Decoded:
    return PACK.open("log").decode("\n".join(lines).encode())


def events(*lines: str) -> list[dict[str, Any]]:
    """The events of lines of which each is one."""
    found = decoded(*lines)
    assert [(letter.index, letter.reason, letter.detail) for letter in found.letters] == []
    assert found.lines.tolist() == list(range(len(lines)))
    rows: list[dict[str, Any]] = PACK.enrich(found.rows).to_pylist()
    return rows


def reasons(*lines: str) -> list[tuple[int, Reason]]:
    return [(letter.index, letter.reason) for letter in decoded(*lines).letters]


def expected(values: dict[str, str]) -> dict[str, Any]:
    """The columns that are read, from the texts of a line's fields."""
    found: dict[str, Any] = {name: None if text in ("-", "") else text for name, text in values.items()}
    found |= {name: int(found[name]) for name in NUMBERS if found[name] is not None}
    return found | {"time": datetime.strptime(values["time"], "%d/%b/%Y:%H:%M:%S %z").replace(tzinfo=None)}


# ------------------------------------------------------------------------------------------------ as AWS shows it


def test_lines_of_the_documentation_are_read() -> None:
    first, second, third = events(*SHOWN.splitlines())
    assert first["time"] == datetime(2019, 2, 6, 0, 0, 38)
    assert (first["operation"], first["key"], first["http_status"]) == ("REST.GET.VERSIONING", None, 200)
    assert (first["bytes_sent"], first["object_size"], first["total_time"]) == (113, None, 7)
    assert first["access_point_arn"] == "arn:aws:s3:us-west-1:123456789012:accesspoint/example-AP"
    assert (first["acl_required"], first["source_region"]) == ("Yes", "us-east-1")
    assert (second["error_code"], second["http_status"]) == ("NoSuchBucketPolicy", 404)
    assert (second["tls_version"], second["access_point_arn"]) == ("TLSV1.1", None)
    assert (third["key"], third["bytes_sent"], third["turn_around_time"]) == ("s3-dg.pdf", None, 28)
    assert {row["user_agent"] for row in (first, second, third)} == {"S3Console/0.4"}


def test_every_field_has_its_column() -> None:
    values = {name: f"x{name}" for name in FIELDS} | {name: str(n) for n, name in enumerate(NUMBERS)}
    values["time"] = "29/Feb/2024:23:59:59 +0000"
    [row] = events(line(**values))
    assert {name: row[name] for name in FIELDS} == expected(values)


def test_lines_of_24_to_27_fields_and_of_more_are_read() -> None:
    whole = line().split(" ")
    shorter = [" ".join(whole[: len(whole) - cut]) for cut in range(4)]
    rows = events(*shorter, line() + " new newer", line() + ' "a b" c')
    assert [row["source_region"] for row in rows] == ["us-east-1", None, None, None, "us-east-1", "us-east-1"]
    assert {row["host_header"] for row in rows} == {USUAL["host_header"]}
    assert reasons(" ".join(whole[: len(whole) - 4])) == [(0, Reason.TOO_FEW_FIELDS)]


def test_what_s3_does_by_itself_has_no_request() -> None:
    one, two, expired = events(DELETED.format("test"), DELETED.format("test.js"), EXPIRED)
    assert [one["key"], two["key"], expired["key"]] == ["test", "test.js", "a/b"]
    for row in (one, two, expired):
        assert {row[name] for name in ("request_uri", "referer", "agent", "user_agent", "method", "path")} == {None}
    assert (one["http_status"], one["object_size"], one["total_time"]) == (204, 1, None)
    assert (expired["remote_ip"], expired["http_status"], expired["version_id"]) == (None, None, "v1")


def test_lines_of_one_delete_share_a_request_id_and_are_events_all_the_same() -> None:
    assert PACK.schema.event_id is None
    rows = events(*(DELETED.format(f"key{n}") for n in range(3)))
    assert {row["request_id"] for row in rows} == {"AAA"}
    assert len(rows) == 3


def test_an_offset_is_counted_in() -> None:
    [row] = events(line(time="06/Feb/2019:01:30:38 +0130"))
    assert row["time"] == datetime(2019, 2, 6, 0, 0, 38)


# ---------------------------------------------------------------------------------------------------- of clients


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("request_uri", 'GET /" HTTP/1.1'),
        ("request_uri", "GET /a b c HTTP/1.1"),
        ("request_uri", 'GET /a" b" "c HTTP/1.1'),
        ("request_uri", "G'ET \\\" HTTP/1.1"),
        ("referer", '() { :;}; echo; echo "masked"'),
        ("referer", 'https://example.com/?q="x y"'),
        ("agent", 'Mozilla/5.0 (iPad) Safari/604.1"'),
        ("agent", '"Mozilla/5.0 (X11)"'),
        ("agent", 'a "b" c "d'),
        ("agent", '""'),
        ("agent", "[x] [y"),
        ("agent", "tab\there, and a \r in it"),
        ("agent", "ünï ☃"),
    ],
)
def test_what_a_client_sends_may_hold_quotes_and_spaces(name: str, text: str) -> None:
    [row] = events(line(**{name: text}))
    assert {column: row[column] for column in FIELDS} == expected(USUAL | {name: text})


def test_a_scan_for_shellshock_is_read() -> None:
    attack = '() { :;}; echo; echo "masked"'
    [row] = events(line(referer=attack, agent=attack, http_status="403", error_code="AccessDenied"))
    assert (row["referer"], row["agent"], row["bot_category"]) == (attack, attack, "attack")
    assert (row["http_status"], row["error_code"]) == (403, "AccessDenied")


REST = "v h SigV4 c AuthHeader evil.example TLSv1.2 - - us-east-1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("request_uri", 'GET /" 200 - 999 5 5 5 "HTTP/1.1'),
        ("request_uri", 'GET /" 200 - 999 5 5 5 "-" "HTTP/1.1'),
        ("request_uri", f'GET /" 200 - 999 5 5 5 "-" "ua" {REST} "'),
        ("referer", f'x" "ua" {REST} "'),
        ("referer", 'x" "y'),
        ("agent", f'ua" {REST} "'),
        ("agent", f'ua" {REST} "more'),
        ("agent", 'ua" - 200 - 999 "x'),
        ("agent", 'ua" "x'),
    ],
)
def test_no_client_can_forge_the_other_fields(name: str, text: str) -> None:
    values = USUAL | {"http_status": "403", "error_code": "AccessDenied"} | {name: text}
    found = decoded(line(**values))
    for row in found.rows.to_pylist():
        assert {column: row[column] for column in FIELDS} == expected(values)
    assert {letter.reason for letter in found.letters} <= {Reason.MALFORMED}


PIECES = st.sampled_from(
    ['"', " ", '" "', '" 200 - 999 5 5 5 "', '"-"', "-", "x", "7", f'" {REST}', f'" {REST} "', "[", "HTTP/1.1", "\\"]
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)


@given(request=TEXTS, referer=TEXTS, agent=TEXTS, width=st.integers(24, 27))
def test_a_line_is_read_as_it_was_meant_or_not_at_all(request: str, referer: str, agent: str, width: int) -> None:
    values = USUAL | {"request_uri": request, "referer": referer, "agent": agent, "http_status": "403"}
    cut = line(**values).removesuffix("".join(f" {values[name]}" for name in FIELDS[width:]))
    found = decoded(cut)
    assert len(found.letters) + found.rows.num_rows == 1
    for row in found.rows.to_pylist():
        meant = expected(values) | dict.fromkeys(FIELDS[width:])
        assert {column: row[column] for column in FIELDS} == meant


# ------------------------------------------------------------------------------------------------------ bad lines

BAD = [
    ("hello", Reason.TOO_FEW_FIELDS),
    (line(http_status="2xx"), Reason.WRONG_TYPE),
    (line(bytes_sent="1.5"), Reason.WRONG_TYPE),
    (line(bytes_sent="9223372036854775808"), Reason.WRONG_TYPE),
    (line(time="31/Feb/2019:00:00:38 +0000"), Reason.WRONG_TYPE),
    (line(time="2019-02-06 00:00:38"), Reason.WRONG_TYPE),
    (line(bucket="-"), Reason.MISSING),
    (line(operation="-"), Reason.MISSING),
    (line(agent='ua" "x'), Reason.MALFORMED),
    (line().replace('"curl/7.15.1"', '"curl/7.15.1'), Reason.MALFORMED),
    (line().replace("] ", " ", 1), Reason.WRONG_TYPE),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_line_that_cannot_be_read_is_a_dead_letter_and_its_neighbours_are_not(bad: str, reason: Reason) -> None:
    found = decoded(line(), bad, line())
    assert [(letter.index, letter.reason, letter.payload) for letter in found.letters] == [(1, reason, bad.encode())]
    assert found.lines.tolist() == [0, 2]


def test_a_letter_says_nothing_of_the_payload() -> None:
    for letter in decoded(*(bad for bad, _ in BAD)).letters:
        assert not re.search(r"hello|2xx|1\.5|Feb|curl|ua", letter.detail)


LINES = [
    *SHOWN.splitlines(), line(), DELETED.format("a"), EXPIRED, line(agent='a "b" c'), line() + ' new "n"', "", "  ",
    line().rpartition(" ")[0], *(bad for bad, _ in BAD), "\ufeff" + line(), line() + "\r", line(agent="ünï"),
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
    ("request_uri", "method", "path"),
    [
        ("GET /photos/puppy.jpg?x-user=johndoe HTTP/1.1", "GET", "/photos/puppy.jpg"),
        ("GET /awsexamplebucket1/puppy.jpg?x-foo=bar", "GET", "/awsexamplebucket1/puppy.jpg"),
        ("PUT /a b c HTTP/1.1", "PUT", "/a b c"),
        ("GET /a?b?c d HTTP/2.0", "GET", "/a"),
        ("HEAD / HTTP/1.1", "HEAD", "/"),
        ("GET /%2522 HTTP/1.1", "GET", "/%2522"),
        ("GET", "GET", None),
        ("-", None, None),
    ],
)
def test_a_request_has_a_method_and_a_path(request_uri: str, method: str | None, path: str | None) -> None:
    [row] = events(line(request_uri=request_uri))
    assert (row["method"], row["path"]) == (method, path)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [("photos/2019/a.jpg", "photos/"), ("a.jpg", ""), ("/a.jpg", "/"), ("a%252Fb/c", "a%252Fb/"), ("-", None)],
)
def test_a_key_has_a_prefix_and_stays_encoded(key: str, prefix: str | None) -> None:
    [row] = events(line(key=key))
    assert (row["key"], row["prefix"]) == (None if key == "-" else key, prefix)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("logs/2024-02-06-00-17-38-8F2A3B4C5D6E7F80", "2024-02-06-00-17-38-8F2A3B4C5D6E7F80"),
        ("copy/2024-02-06-00-17-38-8F2A3B4C5D6E7F80.gz", "2024-02-06-00-17-38-8F2A3B4C5D6E7F80"),
        ("p-2024-02-06-00-17-38-8F2A3B4C5D6E7F80", "2024-02-06-00-17-38-8F2A3B4C5D6E7F80"),
        (
            "p/123456789012/us-east-1/b/2024/02/06/2024-02-06-00-00-00-8F2A3B4C5D6E7F80",
            "2024-02-06-00-00-00-8F2A3B4C5D6E7F80",
        ),
        ("access.log", None),
        ("2024-02-06", None),
    ],
)
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
    assert PACK.derived["prefix"] == ("key",)
    assert PACK.derived["path"] == PACK.derived["method"] == ("request_uri",)
    assert PACK.derived["user_agent"] == ("agent",)
