"""The bar `speed_kinesis`: a Kinesis worker's records per CPU-second to a durable commit, against a bare loop's.

300,000 CloudFront lines lie in four shards of the embedded Kinesis, a process of its own, whose CPU counts for nobody.
A worker, as `shardlake stream run` puts it together, fetches pages of up to 10,000 records over HTTP and does all that
it promises: decoded, enriched, duplicates marked, one segment and three partials, committed to SQLite with
synchronous=FULL and to objects that are flushed. The bare loop fetches the same pages with the same client, and does
the plain work on each.

Both count the CPU of their loop alone, all threads of it, from the first request to the last commit: a consumer starts
once and runs for weeks. Each loop runs in a process of its own.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final

import duckdb
import msgspec

from benchmarks.harness import Command, Run, compare, verdict
from benchmarks.kinesis_stream import HOME, fill, served
from benchmarks.kinesis_worker import PREFIX, Work
from benchmarks.speed import KEYS

BAR: Final = 0.7
RECORDS: Final = 300_000
SHARDS: Final = 4
KEPT: Final = ("views", "views.json")  # compiled once for a root


def main() -> int:
    """Measure, and hold the pace against the bar."""
    with tempfile.TemporaryDirectory() as folder, served(SHARDS) as url:
        root = Path(folder)
        fill(url, RECORDS)
        ours = reader("kinesis_worker", url, root / "ours")
        bare = reader("bare_kinesis", url, root / "bare")
        contest = compare(
            ours, bare, lambda mine, theirs: same(RECORDS, (root / "ours", mine), (root / "bare", theirs))
        )
    works = [read(run) for run in contest.ours]
    paces = {"shardlake": [work.pace for work in works], "bare loop": [plain_pace(run) for run in contest.bare]}
    contest.show("shardlake", "bare loop")
    show_paces(paces)
    print(f"  rows per chunk: {', '.join(f'{rows:,}' for rows in works[-1].chunks)}")
    return verdict("speed_kinesis", median(paces["shardlake"]) / median(paces["bare loop"]), at_least=BAR)


def reader(module: str, url: str, out: Path, *more: int, python: str | Path = sys.executable) -> Command:
    """Give the command that reads the stream at `url` into a folder with a program of the benchmarks."""

    def fresh() -> None:
        out.mkdir(exist_ok=True)
        for path in out.iterdir():
            if path.is_dir() and path.name not in KEPT:
                shutil.rmtree(path)
            elif path.name not in KEPT:
                path.unlink()

    arguments = [python, "-m", f"benchmarks.{module}", out, url, *map(str, more)]
    return Command(arguments, HOME, before=fresh)


def read(run: Run) -> Work:
    """Read what a worker printed."""
    return msgspec.json.decode(run.output, type=Work)


def plain_pace(run: Run) -> float:
    """Give the records per CPU-second that a plain program printed."""
    records, cpu_s = run.output.split()
    return int(records) / float(cpu_s)


def show_paces(paces: Mapping[str, list[float]]) -> None:
    """Print the medians and spreads of records per CPU-second."""
    for name, found in paces.items():
        print(f"  {name:14} {median(found):9,.0f} records per CPU-second ({min(found):,.0f} .. {max(found):,.0f})")


def same(records: int, ours: tuple[Path, Run], plain: tuple[Path, Run]) -> None:
    """Compare what a worker and a plain program have: how many records, and the sums of all partials, both ways."""
    found = read(ours[1]).records, int(plain[1].output.split()[0])
    if found != (records, records):
        raise AssertionError(f"not {records} records: shardlake has {found[0]}, the plain program {found[1]}")
    with duckdb.connect() as connection:
        for name, (mine, theirs, length) in KEYS.items():
            total, plain_total = ("", "") if name == "agents" else ("sum(bytes__sum), ", "sum(b), ")
            files = f"read_parquet('{ours[0]}/objects/lanes/*/*/partial-{PREFIX}{name}-*.parquet')"
            bucket = f"left(strftime(bucket, '%H:%M'), {length})"
            one = f"SELECT {bucket}, {mine}, {total}sum(requests__count) FROM {files}"
            two = f"SELECT m, {theirs}, {plain_total}sum(n) FROM read_parquet('{plain[0]}/{name}.partials')"
            for a, b in ((one, two), (two, one)):
                surplus = connection.execute(f"({a} GROUP BY ALL) EXCEPT ALL ({b} GROUP BY ALL) LIMIT 3").fetchall()
                if surplus:
                    raise AssertionError(f"{name}: {'shardlake' if a == one else 'the other'} alone has {surplus}")


if __name__ == "__main__":
    sys.exit(main())
