"""The bar `speed`: the speed layer's records per CPU-second to a durable commit, against a bare loop's.

Recorded Kinesis pages of 5,000 CloudFront lines go through the loop of streams/: parsed, decoded, enriched (user
agents decoded and judged), duplicates marked by request id, one segment and three partials, committed to SQLite with
synchronous=FULL and to objects that are flushed. The bare loop aggregates and writes page by page, with none of that.

Both count the CPU of their work alone, all threads of it, from the first page to the last commit: a consumer starts
once and runs for weeks. Each loop runs in a process of its own.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import duckdb

from benchmarks.data import page_file, read_pages
from benchmarks.harness import Command, Run, compare, verdict

BAR: Final = 0.6
RECORDS: Final = 300_000
UNWANTED: Final = ("pandas", "pyiceberg")

VIEWS: Final = {
    "edges": """
SELECT time_bucket(INTERVAL '1 minute', event_time) AS bucket, cs_host, x_edge_location,
    sum(sc_bytes) AS bytes, count(*) AS requests
FROM cloudfront GROUP BY bucket, cs_host, x_edge_location
""",
    "viewers": """
SELECT time_bucket(INTERVAL '10 minutes', event_time) AS bucket, c_ip, sum(sc_bytes) AS bytes, count(*) AS requests
FROM cloudfront GROUP BY bucket, c_ip
""",
    "agents": """
SELECT time_bucket(INTERVAL '1 minute', event_time) AS bucket, cs_user_agent, count(*) AS requests
FROM cloudfront GROUP BY bucket, cs_user_agent
""",
}
# The columns of each view beside its bucket: ours, and the bare loop's; and how long its text of the time is.
KEYS: Final = {
    "edges": ("cs_host, x_edge_location", "host, edge", 5),
    "viewers": ("c_ip", "ip", 4),
    "agents": ("cs_user_agent", "ua", 5),
}


def main() -> int:
    """Measure, and hold the pace against the bar."""
    pages = page_file(RECORDS)
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder), Path(__file__).parents[1]
        ours = _command("speed", pages, root / "ours", home)
        bare = _command("bare_speed", pages, root / "bare", home)
        contest = compare(ours, bare, lambda mine, theirs: _same(root, mine, theirs))
        paces = {"shardlake": _pace(contest.ours), "bare loop": _pace(contest.bare)}
        contest.show("shardlake", "bare loop")
        for name, pace in paces.items():
            print(f"  {name:12} {pace:,.0f} records per CPU-second of its loop")
        print(f"  rows per chunk: {_chunks(contest.ours[-1])}")
        return verdict("speed", paces["shardlake"] / paces["bare loop"], at_least=BAR)


def _command(module: str, pages: Path, out: Path, home: Path) -> Command:
    def fresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()

    return Command([sys.executable, "-m", f"benchmarks.{module}", pages, out, "--keep"], home, before=fresh)


def _pace(runs: tuple[Run, ...]) -> float:
    """The median of records per CPU-second, as the runs print them."""
    told = [run.output.split()[:2] for run in runs]
    return median(int(records) / float(cpu_s) for records, cpu_s in told)


def _chunks(run: Run) -> str:
    return ", ".join(f"{int(rows):,}" for rows in run.output.split()[2:])


def _same(root: Path, ours: Run, bare: Run) -> None:
    """Compare the sums of all partials, both ways, and how many records there were."""
    if not ours.output.split()[0] == bare.output.split()[0] == str(RECORDS).encode():
        raise AssertionError(f"not {RECORDS} records: {ours.output!r}, bare loop: {bare.output!r}")
    connection = duckdb.connect()
    for name, (mine, theirs, length) in KEYS.items():
        total = "" if name == "agents" else "sum(bytes__sum), "
        plain = "" if name == "agents" else "sum(b), "
        files = f"read_parquet('{root}/ours/objects/lanes/*/*/partial-{name}-*.parquet')"
        one = f"SELECT left(strftime(bucket, '%H:%M'), {length}), {mine}, {total}sum(requests__count) FROM {files}"
        two = f"SELECT m, {theirs}, {plain}sum(n) FROM read_parquet('{root}/bare/{name}.partials')"
        for a, b in ((one, two), (two, one)):
            surplus = connection.execute(f"({a} GROUP BY ALL) EXCEPT ALL ({b} GROUP BY ALL) LIMIT 3").fetchall()
            if surplus:
                raise AssertionError(f"{name}: {'shardlake' if a == one else 'the bare loop'} alone has {surplus}")


class _Chunks:
    """Observes the rows of each entry."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def committed(self, entry: object, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        """Take note of an entry."""
        assert not letters, entry
        assert not failed, entry
        self.rows.append(rows)

    def idle(self) -> None:
        """Wait for nothing."""


def consume(pages: Path, root: Path) -> None:
    """Work through all pages, and print records, CPU seconds and the rows of each chunk."""
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from benchmarks.pages import RecordedPages
    from shardlake.adapters.clock import SystemClock, random_name
    from shardlake.adapters.engine import Engine
    from shardlake.adapters.local_objects import LocalObjects
    from shardlake.adapters.sqlite_journal import SqliteJournal
    from shardlake.core.compiler import compile_view
    from shardlake.core.journal import operations
    from shardlake.core.limits import Limits
    from shardlake.packs.cloudfront.pack import CloudFront
    from streams.committer import Committer
    from streams.decode import Decoding
    from streams.lane import Lane, LaneContext
    from streams.loop import Alone, Loop, hold_all
    from streams.protect import Protection

    bodies, pack, limits, clock = read_pages(pages), CloudFront(), Limits(), SystemClock()
    journal, store = SqliteJournal(root / "journal.db"), LocalObjects(root / "objects")
    journal.transact(operations.found(1))
    lane = Lane.take(LaneContext(journal, store, clock, random_name, limits), 0, random_name(), "recorded")
    views = [compile_view(name, sql, pack.schema) for name, sql in VIEWS.items()]
    source, chunks = RecordedPages(bodies), _Chunks()
    committer = Committer(lane, store, pack.schema, views, Engine(threads=1), limits)
    hold_all(journal, source.shards(), "recorded", committer)
    decoding = Decoding(pack, Protection(), limits, pack.stream_fields)
    loop = Loop(source, decoding, committer, clock, limits, lambda: False, chunks, Alone(clock))
    started = time.process_time()
    loop.run(once=True)
    print(sum(chunks.rows), time.process_time() - started, *chunks.rows)
    found = [name for name in UNWANTED if name in sys.modules]
    assert not found, f"a consumer has imported {found}"


if __name__ == "__main__":
    consume(Path(sys.argv[1]), Path(sys.argv[2]))
