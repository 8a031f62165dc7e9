"""Real logs, replayed: stream, batch in the middle, more files, and the three views held against a plain count.

The plain count is this file: it splits lines and counts in dictionaries, and shares nothing with decoder and compiler.
What a user agent is comes from the pack's list, because that list is data and not arithmetic.
"""

import gzip
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import serving
from shardlake.testing.runs import Program

Bot = tuple[bool | None, str | None, str | None]
Classify = Callable[[str | None], Bot]
Stream = Callable[[Program], int]
Work = Callable[[Program], None]

HEADER_33 = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) "
    "cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken "
    "x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status "
    "fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len "
    "sc-range-start sc-range-end"
)
FIELDS_33 = HEADER_33.split()
FIELDS_24 = FIELDS_33[:24]
EDGES = ("FRA56-P4", "IAD89-C1", "SIN2", "SEA19-C2", "HEL51-P6")
DOMAINS = ("d1duf439t6fjmt.cloudfront.net", "d2hxq3mnc1l8vk.cloudfront.net")
COMBINED = re.compile(
    r'(?P<ip>\S+) \S+ \S+ \[(?P<when>[^]]+) \+0000] "(?P<request>.*?)" (?P<status>\d{3}) (?P<sent>\d+|-)'
    r' "(?P<referer>.*?)" "(?P<agent>.*?)"?'  # one of the real lines breaks off
)
BATCH_FROM = datetime(2015, 5, 18)  # a cut in the middle of the real traffic
AGENTS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_12_0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Tiny Tiny RSS/1.11 (http://tt-rss.org/)",
    "curl/7.88.1",
    "Mozilla/5.0 (X11; 100%25 légende)",
    "-",
)


@dataclass(frozen=True)
class Request:
    """A request as a file holds it, and its fields by name."""

    line: str
    fields: dict[str, str]

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(f"{self.fields['date']} {self.fields['time']}")


# ------------------------------------------------------------------------------------------------------ the input


def encode(text: str, times: int = 1) -> str:
    """Write a value as CloudFront does: URL-encoded, in real logs also twice."""
    for _ in range(times):
        text = "".join(
            c if "!" <= c < "\x7f" and c not in "<>\"#%{}|\\^~[]`'" else "".join(f"%{b:02X}" for b in c.encode())
            for c in text
        )
    return text


def request(fields: Sequence[str], values: dict[str, str]) -> Request:
    whole = {name: values.get(name, "-") for name in fields}
    return Request("\t".join(whole.values()), whole)


def from_combined(lines: Iterable[str]) -> Iterator[Request]:
    """Write the requests of a web server's log as CloudFront lines; some agents twice encoded, some of status 000."""
    for number, text in enumerate(lines):
        found = COMBINED.fullmatch(text)
        assert found, text
        when = datetime.strptime(found["when"], "%d/%b/%Y:%H:%M:%S")
        method, _, rest = found["request"].partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        lost = number % 97 == 0
        yield request(FIELDS_33, {
            "date": f"{when:%Y-%m-%d}", "time": f"{when:%H:%M:%S}", "x-edge-location": EDGES[hash_of(found["ip"]) % 5],
            "sc-bytes": "0" if lost else found["sent"], "c-ip": found["ip"], "cs-method": method or "-",
            "cs(Host)": DOMAINS[number % 3 == 0], "cs-uri-stem": encode(path) or "-",
            "sc-status": "000" if lost else found["status"], "cs(Referer)": encode(found["referer"]),
            "cs(User-Agent)": encode(found["agent"], 1 + (number % 7 == 0)) or "-",
            "cs-uri-query": encode(query) or "-",
            "x-edge-result-type": "Error" if lost else "Miss", "x-edge-request-id": f"{number:08x}==",
            "cs-protocol": "https", "cs-bytes": str(300 + number % 50), "time-taken": f"{number % 1000 / 1000:.3f}",
        })  # fmt: skip


def hash_of(text: str) -> int:
    return sum(text.encode())


def from_cloudfront(text: str) -> list[Request]:
    """Read a CloudFront log by its header."""
    header, *rest = [line for line in text.splitlines() if not line.startswith("#Version")]
    names = header.removeprefix("#Fields: ").split()
    return [Request(line, dict(zip(names, line.split("\t"), strict=True))) for line in rest]


def generated_combined(count: int) -> Iterator[str]:
    """Lines of a web server's log with what real ones hold: heavy viewers, empty answers, odd agents and queries."""
    chance = random.Random(19)
    for number in range(count):
        when = datetime(2015, 5, 17, 10, 5) + timedelta(seconds=number * 30 + chance.randrange(-40, 40))
        ip = f"10.{int(chance.paretovariate(0.5)) % 200}.0.{int(chance.paretovariate(0.7)) % 250}"
        sent = "-" if number % 31 == 0 else str(chance.randrange(0, 300_000))
        path = chance.choice(("/", "/a b.html", "/caf\u00e9?q=100%&r=[1]", "/%7Euser/", '/"quoted"'))
        yield (
            f'{ip} - - [{when:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {chance.choice((200, 304, 404))} {sent}'
            f' "{chance.choice(("-", "http://example.com/ä?x=1"))}" "{chance.choice(AGENTS)}"'
        )


def generated_cloudfront() -> str:
    """A log with the traps of a real one of 2016: agents encoded twice, a status 000, an answer of 0 bytes."""
    agent = encode(AGENTS[0], 2)
    lines = ["#Version: 1.0", f"#Fields: {' '.join(FIELDS_24)}"]
    for number in range(18):
        lost = number == 1
        values = {
            "date": "2016-08-15", "time": f"06:04:{29 + number}", "x-edge-location": "SIN2", "c-ip": "192.0.2.87",
            "sc-bytes": "0" if lost else str(540_648 + number), "sc-status": "000" if lost else "200",
            "cs(Host)": DOMAINS[0], "cs(User-Agent)": agent if number % 3 else "-",
            "x-edge-request-id": f"Gfz{number}==", "time-taken": "1.000",
        }  # fmt: skip
        lines.append(request(FIELDS_24, values).line)
    assert "%2520" in lines[3]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Replay:
    """Files by name, with the requests in them: those that come first, and those that come later."""

    first: dict[str, list[Request]]
    later: dict[str, list[Request]]

    @property
    def requests(self) -> list[Request]:
        return [one for files in (self.first, self.later) for requests in files.values() for one in requests]


@pytest.fixture(scope="module")
def replay(real_data: Path | None) -> Replay:
    if real_data is None:
        combined: Iterable[str] = generated_combined(10_000)
        cloudfront = generated_cloudfront()
    else:
        combined = gzip.decompress((real_data / "access_combined_10k.log.gz").read_bytes()).decode().splitlines()
        cloudfront = gzip.decompress((real_data / "cloudfront_2016.gz").read_bytes()).decode()
    files: dict[str, list[Request]] = defaultdict(list)
    for one in from_combined(combined):
        distribution = "E1REPLAYED01" if one.fields["cs(Host)"] == DOMAINS[0] else "E2REPLAYED02"
        files[f"{distribution}.{one.when:%Y-%m-%d-%H}.gz"].append(one)
    early = {name: found for name, found in files.items() if name.split(".")[1] < f"{BATCH_FROM:%Y-%m-%d}"}
    rest = {name: found for name, found in files.items() if name not in early}
    late = sorted(early)[3]  # an hour that arrives long after its time
    rest[late] = early.pop(late)
    return Replay(early, rest | {"cloudfront_2016.gz": from_cloudfront(cloudfront)})


def write(files: dict[str, list[Request]], folder: Path, copy: str = "") -> None:
    folder.mkdir(exist_ok=True)
    for name, requests in files.items():
        whole = "".join(f"{one}\n" for one in (
            "#Version: 1.0", f"#Fields: {' '.join(requests[0].fields)}", *(found.line for found in requests)
        ))  # fmt: skip
        stem, mark, hour = name.removesuffix(".gz").partition(".")
        target = f"{stem}.{hour}.00ab12cd{copy}.gz" if mark else name
        (folder / target).write_bytes(gzip.compress(whole.encode()))


# -------------------------------------------------------------------------------------------------- the plain count


def plainly(requests: Iterable[Request], names: dict[str, str], classify: Classify) -> dict[str, dict[Any, list[Any]]]:
    """The three views: key -> requests and bytes. A sum over nothing but `-` is None."""
    views: dict[str, dict[Any, list[Any]]] = {"bots": {}, "bandwidth": {}, "viewers": {}}
    for one in requests:
        told = {name: None if value == "-" else value for name, value in one.fields.items()}
        minute = one.when.replace(second=0)
        sent = None if told["sc-bytes"] is None else int(told["sc-bytes"])
        distribution = names.get(one.line) or told["cs(Host)"]
        for view, key in (
            ("bots", (minute, *classify(decoded(told["cs(User-Agent)"])))),
            ("bandwidth", (minute, distribution, told["x-edge-location"])),
            ("viewers", (minute - timedelta(minutes=minute.minute % 5), told["c-ip"])),
        ):
            total = views[view].setdefault(key, [0, None])
            total[0] += 1
            if sent is not None:
                total[1] = (total[1] or 0) + sent
    return views


def decoded(agent: str | None) -> str | None:
    return None if agent is None else unquote(unquote(agent))


def distributions(replay: Replay) -> dict[str, str]:
    """The distribution of each line whose file's name tells it."""
    both = {**replay.first, **replay.later}
    return {one.line: name.split(".")[0] for name, found in both.items() if name.startswith("E") for one in found}


def assert_equal(rows: Sequence[tuple[Any, ...]], expected: dict[Any, list[Any]]) -> None:
    """Compare both ways: nothing lacks, nothing is too much, nothing differs, and no key comes twice."""
    found = {row[:-2]: list(row[-2:]) for row in rows}
    assert len(found) == len(rows)
    assert {k: v for k, v in expected.items() if found.get(k) != v} == {}
    assert {k: v for k, v in found.items() if k not in expected} == {}


# -------------------------------------------------------------------------------------------------------- the test


@pytest.fixture(scope="module")
def views(replay: Replay, classify: Classify) -> dict[str, dict[Any, list[Any]]]:
    return plainly(replay.requests, distributions(replay), classify)


def test_real_traffic_is_counted_exactly(
    replay: Replay, views: dict[str, dict[Any, list[Any]]], classify: Classify, tmp_path: Path,
    streamed: Stream, batched: Work, verified: Work,
) -> None:  # fmt: skip
    program = Program(tmp_path / "root", tmp_path / "logs", {"limits.chunk_rows_max": "1500"})
    write(replay.first, program.logs)
    streamed(program)
    first = [one for found in replay.first.values() for one in found]
    for name, expected in plainly(first, distributions(replay), classify).items():
        assert_equal(program.ask(name).rows, expected)
    batched(program)
    write(replay.later, program.logs)
    write(dict(list(replay.first.items())[5:8]), program.logs, copy="again")
    streamed(program)
    again = sum(len(found) for found in list(replay.first.values())[5:8])
    for name, expected in views.items():
        answer = program.ask(name)
        certificate = answer.certificate.views[0]
        assert_equal(answer.rows, expected)
        assert certificate.batch_rows > 0 and certificate.realtime_entries > 0
        assert answer.certificate.letters == 0
        assert (answer.certificate.events, answer.certificate.duplicates) == (len(replay.requests) + again, again)
    verified(program)
    top_viewers_over_whole_windows(program, replay)
    batched(program)
    for name, expected in views.items():
        assert_equal(program.ask(name).rows, expected)
    top_viewers_over_whole_windows(program, replay)


def top_viewers_over_whole_windows(program: Program, replay: Replay) -> None:
    """The top 50, exactly, over a day and a half that begins and ends amidst the batch view's dates."""
    after, before = datetime(2015, 5, 17, 13, 35), datetime(2015, 5, 19, 2, 10)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in replay.requests:
        if after <= one.when < before:
            counts[one.fields["c-ip"]] += 1
            sizes[one.fields["c-ip"]] += int(one.fields["sc-bytes"].replace("-", "0"))
    expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:50]
    with serving.connect(program.root) as connection:
        rows = connection.query(
            "SELECT viewer, sum(requests)::BIGINT AS n, coalesce(sum(bytes), 0)::BIGINT AS bytes FROM viewers"
            f" WHERE bucket >= TIMESTAMP '{after}' AND bucket < TIMESTAMP '{before}'"
            " GROUP BY viewer ORDER BY n DESC, viewer LIMIT 50"
        ).rows
    assert len(rows) == 50
    assert rows == [(viewer, n, sizes[viewer]) for viewer, n in expected]


def test_the_input_holds_the_traps(replay: Replay) -> None:
    agents = [one.fields["cs(User-Agent)"] for one in replay.requests]
    assert any("%2520" in agent for agent in agents)
    assert "-" in agents
    assert any(one.fields["sc-status"] == "000" for one in replay.requests)
    assert {"0", "-"} <= {one.fields["sc-bytes"] for one in replay.requests}
    assert {len(one.fields) for one in replay.requests} == {24, 33}
    assert len(replay.requests) == 10_018
