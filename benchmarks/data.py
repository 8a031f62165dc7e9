"""Generated input of the benchmarks `speed` and `batch`: CloudFront lines as gzip files, and as recorded Kinesis pages.

Made by columns, the same on every machine, once, into a folder of the system's temporary files. A day has a million
requests: 4 distributions, 1,300 user agents, 60,000 viewers, 40,000 paths, request ids as long as real ones. Fewer
lines are the first hours of that day, so that a minute, and a file, are as full.
"""

import hashlib
import os
import random
import struct
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote

import duckdb
import msgspec
import pyarrow as pa
from isal import igzip

from shardlake.packs.cloudfront.header import STANDARD_FIELDS as FIELDS

DAY_LINES: Final = 1_000_000
PAGE_RECORDS: Final = 5_000  # as many as GetRecords gives at 400 bytes a record; at most 10,000
HOSTS: Final = ("d111111abcdef8", "d222222abcdef8", "d333333abcdef8", "d444444abcdef8")
HEADER: Final = f"#Version: 1.0\n#Fields: {' '.join(FIELDS)}\n"
_SEQUENCE: Final = 49590338271490256608559692538361571095921575989 * 10**9

# Chance is a hash of its subject: `u(n, k)` is the k-th number of line n, in [0, 1).
_LINES: Final = """
CREATE MACRO u(n, k) AS hash(n, k) / 18446744073709551616.0;
CREATE MACRO pick(list, x) AS list[1 + CAST(floor(len(list) * x) AS INTEGER)];
CREATE TABLE drawn AS
    SELECT n,
        CAST(greatest(0, least(86399, n * 86400.0 / {day} + 240 * u(n, 1) - 120)) AS INTEGER) AS second,
        1 + (u(n, 2) > 0.6)::INT + (u(n, 2) > 0.85)::INT + (u(n, 2) > 0.95)::INT AS host,
        CAST(floor(3 * pow((many + 3) / 3, u(n, 3)) - 3) AS INTEGER) AS agent,
        CAST(floor(pow(3.23 + u(n, 4) * (27.12 - 3.23), 1 / 0.3) - 50) AS INTEGER) AS viewer,
        CAST(floor(20 * pow(2001, u(n, 5)) - 20) AS INTEGER) AS stem,
        least(50000000, CAST(700 / pow(1 - u(n, 6), 1 / 1.1) AS BIGINT)) AS bytes,
        CASE WHEN u(n, 7) < 0.8 THEN 'Hit' WHEN u(n, 7) < 0.95 THEN 'Miss' WHEN u(n, 7) < 0.98 THEN 'RefreshHit'
            ELSE 'Error' END AS result,
        pow(u(n, 8), 3) AS taken
    FROM range({count}) AS t(n), (SELECT count(*) AS many FROM agent);
CREATE TABLE line AS
    SELECT d.n, host, second // 3600 AS hour, concat_ws(chr(9),
        '2026-03-01',
        strftime(make_timestamp(second::BIGINT * 1000000), '%H:%M:%S'),
        concat(pick(['SEA','HEL','MSP','FRA','LHR','CDG','IAD','SFO','NRT','SIN'], u(d.n, 9)),
            1 + hash(d.n, 10) % 69, '-', pick(['C1','C2','P1','P3'], u(d.n, 10))),
        bytes,
        concat_ws('.', 1 + hash(viewer, 1) % 222, hash(viewer, 2) % 256, hash(viewer, 3) % 256, hash(viewer, 4) % 256),
        'GET',
        pick({hosts}, (host - 0.5) / 4) || '.cloudfront.net',
        concat('/', pick(['img','static','products','article','api/v1'], u(stem, 11)), '/',
            to_hex(hash(stem, 12) % 1000000), '/',
            pick(['index.html','a.jpg','main.css','app.js','item.json'], u(stem, 13))),
        CASE WHEN u(d.n, 14) < 0.8 THEN '200' WHEN u(d.n, 14) < 0.9 THEN '304' WHEN u(d.n, 14) < 0.95 THEN '404'
            WHEN u(d.n, 14) < 0.97 THEN '206' WHEN u(d.n, 14) < 0.99 THEN '301' ELSE '000' END,
        CASE WHEN u(d.n, 15) < 0.1 THEN '-' ELSE concat('https://www.example.com/p/', hash(d.n, 16) % 2000) END,
        logged,
        CASE WHEN u(d.n, 17) < 0.7 THEN '-' ELSE concat('id=', hash(d.n, 18) % 1000000, '&v=2') END,
        '-',
        result,
        translate(to_base64(unhex(sha256(d.n || 'id') || left(md5(d.n || 'id'), 16))), '+/', '-_'),
        pick(['www.example.com','cdn.example.com','img.example.org','api.example.org'], (host - 0.5) / 4),
        'https',
        100 + hash(d.n, 19) % 800,
        format('{{:.3f}}', taken),
        '-', 'TLSv1.3', 'TLS_AES_128_GCM_SHA256',
        result,
        'HTTP/2.0', '-', '-',
        1024 + hash(d.n, 20) % 64000,
        format('{{:.3f}}', 0.8 * taken),
        result,
        pick(['text/html;%20charset=utf-8','image/jpeg','text/css','application/javascript','application/json'],
            u(d.n, 21)),
        CASE WHEN bytes > 1000 THEN CAST(bytes - 300 AS VARCHAR) ELSE '-' END,
        '-', '-') AS text
    FROM drawn AS d JOIN agent ON agent.n = d.agent
"""


class Record(msgspec.Struct):
    """A record as GetRecords returns it; its data is written as base64."""

    SequenceNumber: str
    ApproximateArrivalTimestamp: float
    Data: bytes
    PartitionKey: str


class Response(msgspec.Struct):
    """The body of a response to GetRecords."""

    Records: list[Record]
    NextShardIterator: str
    MillisBehindLatest: int


def log_folder(lines: int) -> Path:
    """Give the folder with the first `lines` lines of the day: one gzip file an hour for each distribution."""
    folder = _cached(f"logs-{lines}")
    if not folder.exists():
        aside = _aside(folder)
        aside.mkdir()
        connection = _lines(lines)
        groups = connection.execute("SELECT DISTINCT host, hour FROM line ORDER BY ALL").fetchall()
        for host, hour in groups:
            query = "SELECT string_agg(text, chr(10) ORDER BY n) FROM line WHERE host = ? AND hour = ?"
            ((text,),) = connection.execute(query, [host, hour]).fetchall()
            name = f"E{host}BENCHMARK.2026-03-01-{hour:02d}.{hashlib.md5(f'{host}{hour}'.encode()).hexdigest()[:8]}.gz"
            (aside / name).write_bytes(igzip.compress(f"{HEADER}{text}\n".encode(), 2))
        connection.close()
        aside.rename(folder)
    return folder


def page_file(lines: int) -> Path:
    """Give the file with the first `lines` lines of the day as recorded pages: each 4 bytes of length, and the body."""
    file = _cached(f"pages-{lines}")
    if not file.exists():
        aside = _aside(file)
        connection = _lines(lines)
        rows = connection.sql("SELECT text FROM line ORDER BY n").to_arrow_table()["text"].to_pylist()
        connection.close()
        with aside.open("wb") as out:
            for start in range(0, lines, PAGE_RECORDS):
                records = [
                    Record(str(_SEQUENCE + start + at), 1.7e9, row.encode(), "k")
                    for at, row in enumerate(rows[start : start + PAGE_RECORDS])
                ]
                body = msgspec.json.encode(Response(records, "x", 0))
                out.write(struct.pack(">I", len(body)) + body)
        aside.rename(file)
    return file


def read_pages(file: Path) -> list[bytes]:
    """Read the recorded bodies."""
    data, bodies, at = file.read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        bodies.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return bodies


def _lines(count: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    agents = user_agents()
    connection.register("given", pa.table({"n": list(range(len(agents))), "logged": agents}))
    connection.execute("CREATE TABLE agent AS SELECT * FROM given")
    for statement in _LINES.format(day=float(DAY_LINES), count=count, hosts=list(HOSTS)).split(";\n"):
        connection.execute(statement)
    return connection


def user_agents() -> list[str]:
    """Make user agents as logs have them, most frequent first: encoded once, a tenth of them twice."""
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    chance = random.Random(7)
    bots = [instance for entry in CRAWLER_USER_AGENTS_DATA for instance in entry.get("instances", [])[:1]]
    chance.shuffle(bots)
    systems = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
    kit = "AppleWebKit/537.36 (KHTML, like Gecko)"
    chrome = [
        f"Mozilla/5.0 ({s}) {kit} Chrome/{v}.0.{v * 7}.{v} Safari/537.36" for s in systems for v in range(60, 140)
    ]
    safari = [
        f"Mozilla/5.0 (iPhone; CPU iPhone OS {a}_{b} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        f"Version/{a}.{b} Mobile/15E148 Safari/604.1"
        for a in range(9, 19)
        for b in range(20)
    ]
    firefox = [f"Mozilla/5.0 ({systems[0]}; rv:{v}.0) Gecko/20100101 Firefox/{v}.0" for v in range(40, 140)]
    edge = [f"{agent} Edg/{i}.0.1" for i, agent in enumerate(chrome)]
    everything = [*chrome, *safari, *firefox, *edge, *bots[:500], "-"]
    chance.shuffle(everything)
    once = [quote(agent, safe="/:;=,()+@!*'&?$-_.") for agent in everything]
    return [agent.replace("%", "%25") if chance.random() < 0.1 else agent for agent in once]


def _cached(name: str) -> Path:
    """Name what is made only once; another version of this file makes it anew."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"shardlake-benchmarks-{os.getuid()}-{version}"
    folder.mkdir(exist_ok=True)
    return folder / name


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.new-{os.getpid()}")
