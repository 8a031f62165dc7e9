"""Judge the pack's query `suspects`: which viewers with a browser's user agent it flags, and how often wrongly.

Two judges. A generated day says which habits are seen, by which reasons, and that no person is taken for a bot; it says
nothing of how often that is so elsewhere. The other one are the ten thousand real requests that SHARDLAKE_TEST_DATA
holds: what declares itself a bot counts as one, everybody else as a person, and the user agent is hidden from the
score. So bots that hide among the real "people" count as mistakes where they are found.
"""

import gzip
import hashlib
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import duckdb
import pyarrow as pa

from benchmarks.behaviour_traffic import DAY, FIELDS, KINDS, draw, log
from shardlake.core.compiler import compile_view
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.packs.cloudfront.schema import SCHEMA

SEED: Final = 20_260_302
PEOPLE: Final = 600
THRESHOLD: Final = 50
REQUESTS_MIN: Final = 3  # who asked for less is not judged by the query
COMBINED: Final = re.compile(
    r'(?P<ip>\S+) \S+ \S+ \[(?P<when>[^]]+) \+0000] "(?P<request>.*?)" (?P<status>\d{3}) (?P<sent>\d+|-)'
    r' "(?P<referer>.*?)" "(?P<agent>.*?)"?'  # one of the real lines breaks off
)
# Each viewer with each user agent: what the score says, and what a rule of rates would have to go by.
_JUDGED: Final = """
SELECT s.viewer, s.user_agent, s.is_bot, s.score, s.reasons, s.requests, most.requests AS peak, most.pages AS pages_peak
FROM ({scored}) AS s JOIN (
    SELECT viewer, user_agent, max(requests) AS requests, max(requests - assets - data) AS pages
    FROM sessions GROUP BY ALL
) AS most ON most.viewer = s.viewer AND most.user_agent IS NOT DISTINCT FROM s.user_agent
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """A viewer with a user agent, its score, and what it was without asking the score."""

    viewer: str
    agent: str | None
    is_bot: bool
    score: int
    reasons: str
    requests: int
    peak: int
    pages_peak: int


def main() -> int:
    """Print what both judges say, and what the view costs. There is no bar: the figures depend on whom they judge."""
    generated = decoded(log(draw(SEED, PEOPLE).lines))
    _show_generated(judged(generated))
    folder = os.environ.get("SHARDLAKE_TEST_DATA")
    if folder:
        lines = gzip.decompress((Path(folder) / "access_combined_10k.log.gz").read_bytes()).decode().splitlines()
        _show_real(judged(decoded(log(tuple(from_combined(lines))))))
    else:
        print("\nset SHARDLAKE_TEST_DATA to a folder with access_combined_10k.log.gz to judge real requests too")
    _show_cost(generated)
    return 0


def decoded(data: bytes) -> pa.Table:
    """Read a log file as the stream layer does."""
    pack = CloudFront()
    decoder = pack.open("E1BEHAVIOUR00.2026-03-02-00.ab12cd34.gz")
    found = decoder.decode(data)
    assert not found.letters, found.letters[0].detail
    return pack.enrich(found.rows)


def judged(events: pa.Table) -> list[Judged]:
    """Score everybody, also below the threshold and with fewer requests than the query judges."""
    pack = CloudFront()
    query = pack.queries["suspects"].rstrip()
    for knob, value in (("threshold", THRESHOLD), ("requests_min", REQUESTS_MIN)):
        assert f"{value} AS {knob}" in query
        query = query.replace(f"{value} AS {knob}", f"0 AS {knob}")
    connection = duckdb.connect()
    connection.register("cloudfront", events)
    connection.execute(f"CREATE TABLE sessions AS {pack.views['sessions']}")
    rows = connection.execute(_JUDGED.format(scored=query)).fetchall()
    connection.close()
    return [Judged(v, a, bool(b), score, why, *numbers) for v, a, b, score, why, *numbers in rows]


def from_combined(lines: Sequence[str]) -> Iterator[str]:
    """Write a web server's lines as those of CloudFront.

    It has no content types; and of each hour it has one minute, 05, on which all the hour's requests are stamped.
    """
    for number, text in enumerate(lines):
        found = COMBINED.fullmatch(text)
        assert found, f"line {number + 1} is not in the combined format"
        when = datetime.strptime(found["when"], "%d/%b/%Y:%H:%M:%S")
        method, _, rest = found["request"].partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        values = {
            "date": f"{when:%Y-%m-%d}", "time": f"{when:%H:%M:%S}", "sc-bytes": found["sent"], "c-ip": found["ip"],
            "cs-method": method, "cs-uri-stem": _encoded(path), "cs-uri-query": _encoded(query),
            "sc-status": found["status"], "cs(Referer)": _encoded(found["referer"]),
            "cs(User-Agent)": _encoded(found["agent"]), "x-edge-request-id": f"{number:08x}==",
        }  # fmt: skip
        yield "\t".join(values.get(field, "-") for field in FIELDS)


def _encoded(text: str) -> str:
    return quote(text, safe="/:;?=&+,()@!$*'") or "-"


# ------------------------------------------------------------------------------------------------------ generated


def _show_generated(found: Sequence[Judged]) -> None:
    kind_of = draw(SEED, PEOPLE).kind_of
    by_kind: dict[str, list[Judged]] = defaultdict(list)
    for one in found:
        if one.requests >= REQUESTS_MIN:
            by_kind[kind_of[one.viewer]].append(one)
    drawn = Counter(kind_of.values())
    print(f"A generated day ({DAY:%Y-%m-%d}, seed {SEED}); judged is who made {REQUESTS_MIN} requests or more\n")
    print(f"{'':3} {'kind':22} {'viewers':>7} {'judged':>6} {'flagged':>7} {'scores':>8}  reasons of the greatest")
    for kind in KINDS:
        ones = by_kind[kind.name]
        flagged = sum(one.score >= THRESHOLD for one in ones)
        scores = f"{min(one.score for one in ones)}-{max(one.score for one in ones)}" if ones else "-"
        reasons = max(ones, key=lambda one: one.score).reasons if ones else ""
        who = "bot" if kind.is_bot else ""
        print(f"{who:3} {kind.name:22} {drawn[kind.name]:7} {len(ones):6} {flagged:7} {scores:>8}  {reasons}")


# ----------------------------------------------------------------------------------------------------------- real


def _show_real(found: Sequence[Judged]) -> None:
    few = [one for one in found if one.requests < REQUESTS_MIN]
    enough = [one for one in found if one.requests >= REQUESTS_MIN]
    tuned, published = ([one for one in enough if _half(one.viewer) == half] for half in (0, 1))
    print("\nTen thousand real requests, four days; the truth is what the user agent declares, hidden from the score\n")
    print(f"{'half':10} {'rule':34} {'judged':>6} {'bots':>5} {'found':>5} {'wrong':>5}  precision recall    F1")
    peak = _best([(one.peak, one.is_bot) for one in tuned])
    pages = _best([(one.pages_peak, one.is_bot) for one in tuned])
    for name, half in (("tuned on", tuned), ("published", published)):
        _row(name, f"score of {THRESHOLD}", half, [one.score >= THRESHOLD for one in half])
        many = [one for one in half if one.requests >= 10]
        _row(name, "the same, of 10 requests or more", many, [one.score >= THRESHOLD for one in many])
        _row(name, f"{peak} requests in a minute", half, [one.peak >= peak for one in half])
        _row(name, f"{pages} pages in a minute", half, [one.pages_peak >= pages for one in half])
    bots = sum(one.is_bot for one in few)
    print(f"\nnot judged, for fewer than {REQUESTS_MIN} requests: {bots} declared bots and {len(few) - bots} others")
    print("\npublished half, flagged and not declared:")
    for one in sorted(published, key=lambda one: -one.score):
        if one.score >= THRESHOLD and not one.is_bot:
            print(f"  {one.score:3} {(one.agent or '-')[:60]:60}  {one.reasons}")


def _half(viewer: str) -> int:
    return hashlib.md5(viewer.encode()).digest()[0] >> 7


def _row(half: str, rule: str, ones: Sequence[Judged], flags: Sequence[bool]) -> None:
    right, wrong = _counts(list(zip(flags, (one.is_bot for one in ones), strict=True)))
    bots = sum(one.is_bot for one in ones)
    precision, recall = right / max(1, right + wrong), right / max(1, bots)
    f1 = _f1(right, wrong, bots)
    numbers = f"{len(ones):6} {bots:5} {right:5} {wrong:5}"
    print(f"{half:10} {rule:34} {numbers}  {precision:9.2f} {recall:6.2f} {f1:5.2f}")


def _counts(pairs: Sequence[tuple[bool, bool]]) -> tuple[int, int]:
    return sum(flag and bot for flag, bot in pairs), sum(flag and not bot for flag, bot in pairs)


def _f1(right: int, wrong: int, bots: int) -> float:
    return 2 * right / max(1, right + wrong + bots)


def _best(ones: Sequence[tuple[int, bool]]) -> int:
    """The limit with the best F1: the most that a rule of one number can reach here."""
    bots = sum(bot for _, bot in ones)
    return max(
        range(1, 1 + max(value for value, _ in ones)),
        key=lambda limit: _f1(*_counts([(value >= limit, bot) for value, bot in ones]), bots),
    )


# ----------------------------------------------------------------------------------------------------------- cost


def _show_cost(events: pa.Table) -> None:
    pack = CloudFront()
    connection = duckdb.connect(config={"threads": 1})
    connection.register("events", events.append_column("_duplicate", pa.array([False] * events.num_rows)))
    print(f"\nThe partial forms over {events.num_rows:,} generated requests, one thread, least of five:")
    for name, sql in pack.views.items():
        partial = compile_view(name, sql, SCHEMA).partial.replace("{events}", "events")
        taken, rows = min((_timed(connection, partial) for _ in range(5)), key=lambda run: run[0])
        print(f"  {name:10} {1e3 * taken:6.1f} ms  {rows.num_rows:7,} rows, {rows.nbytes / 1e6:.1f} MB")


def _timed(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[float, pa.Table]:
    started = time.process_time()
    rows = connection.sql(sql).to_arrow_table()
    return time.process_time() - started, rows
