"""Logs of S3 and of load balancers, from files to answers: views equal plain counts over the lines themselves."""

import gzip
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import serving
from shardlake.app.letters import Letters
from shardlake.app.settings import Config
from shardlake.packs.registry import load
from shardlake.testing.runs import Program

Classify = Callable[[str | None], tuple[bool | None, str | None, str | None]]
Stream = Callable[[Program], int]
Work = Callable[[Program], None]
Configured = Callable[[Program], Config]
Rows = dict[tuple[Any, ...], tuple[Any, ...]]

LINES = 600
AGENTS = ["curl/8.5.0", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "-"]
QUOTED_AGENTS = ['Mozilla/5.0 (iPad) Safari/604.1"', '() { :;}; echo "x"']


def at(seconds: int) -> datetime:
    return datetime(2024, 2, 6, 10) + timedelta(seconds=seconds)


# ------------------------------------------------------------------------------------------------------------- S3

S3_HEAD = 'o b [06/Feb/2024:10:00:00 +0000] - - R REST.GET.OBJECT k "GET / HTTP/1.1"'
S3_TAIL = "- h SigV4 c AuthHeader h TLSv1.2"
S3_BAD = {
    "too_few_fields": "one two three",
    "wrong_type": f'{S3_HEAD} 2xx - 1 1 1 1 "-" "-" {S3_TAIL}',
    "malformed": f'{S3_HEAD} 200 - 1 1 1 1 "a" "b" "c" {S3_TAIL}',
}


def s3_line(rng: random.Random, n: int) -> str:
    head = f"owner bucket{n % 3} [{at(n):%d/%b/%Y:%H:%M:%S} +0000] 192.0.2.{n % 9}"
    if n % 20 == 0:
        head = f"{head} arn:aws:iam::1:user/u R{n // 40} BATCH.DELETE.OBJECT p{n % 4}/k{n}"
        return f"{head} - 204 - - {n} - - - - {S3_TAIL} - -"
    status, error = rng.choice([("200", "-"), ("206", "-"), ("403", "AccessDenied"), ("404", "NoSuchKey")])
    agent = rng.choice(QUOTED_AGENTS if n % 13 == 0 else AGENTS)
    sent = rng.choice(["-", str(rng.randrange(10**6))])
    tail = ["", " -", " - Yes", " - - us-east-1", " - - us-east-1 new 7"][n % 5]
    return (
        f'{head} - R{n} REST.GET.OBJECT p{n % 4}/a%2520{n} "GET /p{n % 4}/a {n}?x=1 HTTP/1.1" {status} {error} {sent} '
        f'{n} {rng.randrange(1, 3000)} {rng.randrange(1, 50)} "-" "{agent}" {S3_TAIL}{tail}'
    )


S3 = re.compile(
    r'\S+ (?P<bucket>\S+) \[(?P<time>[^]]+)\] (?P<ip>\S+) (?P<requester>\S+) \S+ (?P<operation>\S+) (?P<key>\S+) '
    r'(?:-|".*") (?P<status>-|\d+) (?P<error>\S+) (?P<sent>-|\d+) (?:-|\d+) (?P<total>-|\d+) (?:-|\d+) '
    r'(?:-|".*?") (?:-|"(?P<agent>.*)") \S+ \S+ \S+ \S+ \S+ \S+ \S+(?: [^"]*)?'
)  # fmt: skip


def five_minutes(time: datetime) -> datetime:
    return time.replace(minute=time.minute // 5 * 5, second=0, microsecond=0)


def given(text: str | None) -> str | None:
    return None if text in (None, "-") else text


def total(values: Sequence[str | None]) -> int | None:
    known = [int(value) for value in values if value and value != "-"]
    return sum(known) if known else None


def s3_expected(lines: Sequence[str], classify: Classify) -> dict[str, Rows]:
    """The views as plain counts over lines, by a regular expression that knows nothing of the pack."""
    groups: dict[str, dict[tuple[Any, ...], list[re.Match[str]]]] = defaultdict(lambda: defaultdict(list))
    for one in filter(None, map(S3.fullmatch, lines)):
        period = five_minutes(datetime.strptime(one["time"], "%d/%b/%Y:%H:%M:%S %z").replace(tzinfo=None))
        status = int(one["status"])
        groups["requests"][period, one["bucket"], one["operation"], status].append(one)
        groups["latency"][period, one["bucket"], one["operation"]].append(one)
        groups["bots"][period, one["bucket"], *classify(given(one["agent"]))].append(one)
        prefix = one["key"].partition("/")[0] + "/"
        groups["prefixes"][period.replace(minute=0), one["bucket"], prefix].append(one)
    return {
        "requests": {
            key: (len(rows), sum(bool(given(x["error"])) for x in rows), total([x["sent"] for x in rows]))
            for key, rows in groups["requests"].items()
        },
        "latency": {
            key: (
                sum(x["total"] != "-" for x in rows),
                total([x["total"] for x in rows]),
                max((int(x["total"]) for x in rows if x["total"] != "-"), default=None),
            )
            for key, rows in groups["latency"].items()
        },
        "bots": {key: (len(rows), total([x["sent"] for x in rows])) for key, rows in groups["bots"].items()},
        "prefixes": {
            key: (
                len(rows),
                sum(".GET." in x["operation"] for x in rows),
                0,
                sum(".DELETE." in x["operation"] for x in rows),
                total([x["sent"] for x in rows]),
            )
            for key, rows in groups["prefixes"].items()
        },
    }


# ------------------------------------------------------------------------------------------------------------ ALB

ARN = "arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/{}/73e2d6bc24d8a067"
ALB_BAD = {
    "other_kind": "tls 2.0 2018-12-20T02:59:40 net/n/c6 g3 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - arn:x "
    "- ECDHE-RSA-AES128-SHA tlsv12 - n.elb.us-east-2.amazonaws.com - - - 2018-12-20T02:59:30",
    "too_few_fields": "http 2024-02-06T10:00:00Z app/a/1 1.1.1.1:5 - -1 -1 -1 400",
    "wrong_type": 'http 2024-02-06T10:00:00Z app/a/1 1.1.1.1:5 - -1 -1 -1 4OO - 0 1 "-" "-" - - - "-"',
    "malformed": 'http 2024-02-06T10:00:00Z app/a/1 1.1.1.1:5 - -1 -1 -1 400 - 0 1 "-" "a" "b" - - - "-"',
}


def alb_line(rng: random.Random, n: int) -> str:
    kind = rng.choice(["http", "https", "h2", "grpcs", "ws", "wss"])
    client = rng.choice([f"192.0.2.{n % 9}:{1024 + n}", f"[2001:db8::{n % 9}]:{1024 + n}"])
    target, status, group = f"10.0.0.{n % 4}:80", "200", "g1"
    times = f"0.00{n % 7} {rng.randrange(5)}.{n % 1000:03} 0.000"
    if n % 10 == 0:
        target, times, status, group = "-", "-1 -1 -1", "-", "-"
    elif n % 7 == 0:
        target, status, group = "-", "502", "lambda"
    elb_status = rng.choice(["503", "460"]) if status == "-" else rng.choice([status, "200"])
    arn = ARN.format(group) if group != "-" else "-"
    request = rng.choice([f"GET https://a:443/x/{n}?q=1 HTTP/2.0", "- http://a:80- ", "GET http://a:80/b c "])
    newest = ' "-" "-" "Ambiguous" "SpaceInUri" TID_1 "h" "u" "s" 7'
    tail = ["", ' "10.0.0.1:80 10.0.0.2:80" "502 200" "-" "-"', newest][n % 3]
    return (
        f"{kind} {at(n).isoformat()}.{n:06}Z app/a/{n % 2} {client} {target} {times} {elb_status} {status} {n} {n * 3} "
        f'"{request}" "{rng.choice(AGENTS)}" - - {arn} "Root=1-{n}" "-" "-" 0 {at(n).isoformat()}Z "forward" "-" "-"'
        + tail
    )


ALB = re.compile(
    r"(?P<kind>https?|h2|grpcs|wss?) (?P<time>\S+)Z (?P<elb>\S+) (?P<client>\S+):\d+ (?P<target>\S+) \S+ "
    r'(?P<seconds>\S+) \S+ (?P<status>\d+) (?P<answer>-|\d+) (?P<received>\d+) (?P<sent>\d+) "[^"]*" '
    r'"(?P<agent>[^"]*)" \S+ \S+ '
    r'(?:-|\S+targetgroup/(?P<group>[^/]+)/\S+) "[^"]*"(?: .*)?'
)


def alb_expected(lines: Sequence[str], classify: Classify) -> dict[str, Rows]:
    """The views as plain counts over lines, by a regular expression that knows nothing of the pack."""
    groups: dict[str, dict[tuple[Any, ...], list[re.Match[str]]]] = defaultdict(lambda: defaultdict(list))
    for one in filter(None, map(ALB.fullmatch, lines)):
        time = datetime.fromisoformat(one["time"])
        minute, period = time.replace(second=0, microsecond=0), five_minutes(time)
        groups["traffic"][minute, one["elb"], one["group"]].append(one)
        if Decimal(one["seconds"]) >= 0 and one["kind"] not in ("ws", "wss"):
            groups["latency"][minute, one["elb"], one["group"]].append(one)
        if given(one["target"]):
            groups["targets"][period, one["elb"], one["group"], one["target"]].append(one)
        groups["clients"][period, one["elb"], one["client"].strip("[]")].append(one)
        groups["bots"][minute, one["elb"], *classify(given(one["agent"]))].append(one)
    return {
        "traffic": {
            key: (
                len(rows),
                total([x["received"] for x in rows]),
                total([x["sent"] for x in rows]),
                sum(x["status"][0] == "4" for x in rows),
                sum(x["status"][0] == "5" for x in rows),
                sum(x["answer"][0] == "4" for x in rows),
                sum(x["answer"][0] == "5" for x in rows),
                sum(x["seconds"] == "-1" for x in rows),
            )
            for key, rows in groups["traffic"].items()
        },
        "latency": {key: (len(rows), *seconds(rows)) for key, rows in groups["latency"].items()},
        "targets": {
            key: (len(rows), sum(x["answer"][0] == "5" for x in rows), len(rows), *seconds(rows))
            for key, rows in groups["targets"].items()
        },
        "clients": {
            key: (len(rows), sum(int(x["status"]) >= 400 for x in rows), total([x["sent"] for x in rows]))
            for key, rows in groups["clients"].items()
        },
        "bots": {
            key: (len(rows), sum(int(x["status"]) >= 400 for x in rows), total([x["sent"] for x in rows]))
            for key, rows in groups["bots"].items()
        },
    }


def seconds(rows: Sequence[re.Match[str]]) -> tuple[Decimal, Decimal]:
    found = [Decimal(x["seconds"]) for x in rows]
    return sum(found, Decimal(0)), max(found)


# --------------------------------------------------------------------------------------------------------- runs

KINDS: Mapping[str, Any] = {
    "s3_access": (s3_line, S3_BAD, s3_expected, "2024-02-06-10-00-{:02d}-8F2A3B4C5D6E7F8{}"),
    "alb": (
        alb_line,
        ALB_BAD,
        alb_expected,
        "1_elasticloadbalancing_us-east-2_app.a.1_20240206T10{:02d}Z_10.0.0.1_x{}.log.gz",
    ),
}


def written(folder: Path, name: str, lines: Sequence[str], parts: range) -> None:
    """Write some parts of the lines, each with lines of all times; S3's own files are not packed."""
    folder.mkdir(exist_ok=True)
    for part in parts:
        content = "".join(one + "\n" for one in lines[part::6]).encode()
        packed = gzip.compress(content) if part % 2 or name.endswith(".gz") else content
        (folder / name.format(part, part)).write_bytes(packed)


def columns(program: Program, view: str, keys: int, values: int) -> Rows:
    return {tuple(row[:keys]): tuple(row[keys : keys + values]) for row in program.ask(view).rows}


def drawn(pack: str) -> Iterator[str]:
    make, bad, _, _ = KINDS[pack]
    rng = random.Random(7)
    for n in range(LINES):
        yield make(rng, n)
        if n % 60 == 59:
            yield from bad.values()
            yield ""


@pytest.mark.parametrize("pack", KINDS)
def test_views_equal_plain_counts_however_the_lines_were_cut(
    pack: str, tmp_path: Path, streamed: Stream, batched: Work, configured: Configured, classify: Classify
) -> None:
    _, bad, expected, name = KINDS[pack]
    lines = list(drawn(pack))
    program = Program(tmp_path / "root", tmp_path / "logs", {"source.pack": pack, "limits.chunk_rows_max": "97"})
    written(program.logs, name, lines, range(3))
    streamed(program)
    batched(program)
    written(program.logs, name, lines, range(3, 6))
    streamed(program)
    views = expected([one for one in lines if one not in bad.values()], classify)
    for view, rows in views.items():
        keys, values = next(iter(rows.items()))
        assert columns(program, view, len(keys), len(values)) == rows, view
    certificate = program.ask(next(iter(views))).certificate
    assert (certificate.events, certificate.duplicates) == (LINES, 0)
    letters = Letters(configured(program)).of("", 10_000)
    assert Counter(letter.reason for letter in letters) == dict.fromkeys(bad, LINES // 60)
    assert {(letter.reason, letter.payload.decode()) for letter in letters} == set(bad.items())


@pytest.mark.parametrize("pack", KINDS)
def test_every_saved_query_answers(pack: str, tmp_path: Path, streamed: Stream) -> None:
    program = Program(tmp_path / "root", tmp_path / "logs", {"source.pack": pack})
    written(program.logs, KINDS[pack][3], list(drawn(pack)), range(6))
    streamed(program)
    for name, sql in load(pack).queries.items():
        with serving.connect(program.root) as connection:
            rows = connection.query(sql).rows
        assert rows and len(rows) <= 50, name
        assert all(value is not None for value in rows[0][-1:]), name
