"""The bar `query`: a new process that answers the top 50 viewers of a day, against a new process of plain DuckDB.

The day has 288 windows of five minutes and 200,000 viewers, whose share of the windows falls with the square root
of their rank: 5 million partial rows. A tenth of them is realtime, in 120 entries: five for each of the last 24
windows, each with 1 % of late rows from the two windows before, and every tenth with a late file from hours ago. So
windows are shared among entries and with the batch file. Journal, objects and batch table are written by the code
that always writes them; plain DuckDB reads the same rows, sorted and compressed alike, from one Parquet file.
"""

import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import pyarrow as pa

from batch import views
from batch.context import Context
from batch.master import open_master
from batch.passes import Pass
from batch.run import open_view
from benchmarks.harness import Command, Run, compare, verdict
from shardlake.adapters.clock import SystemClock, random_name
from shardlake.app import compose
from shardlake.app.config import load
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views
from shardlake.core.journal import operations, reading
from shardlake.core.journal.objects import Counts, Manifest, PartialRef, Positions, RangeRow
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.ports import Snapshot
from shardlake.core.positions import ORIGIN, Position
from shardlake.core.seam import NOTHING
from shardlake.core.view import CompiledView
from streams.entry import to_parquet, windows_of
from streams.lane import Lane, LaneContext, Prepared

BAR: Final = 2.0
VIEW: Final = "viewers"
SHARD: Final = "query/0"
PARTIAL: Final = "partial.parquet"
ENTRIES: Final = 120
COLUMNS: Final = ("bucket", "viewer", "requests", "bytes")
TOP: Final = "SELECT viewer, sum(requests) AS requests FROM {} GROUP BY viewer ORDER BY requests DESC, viewer LIMIT 50"
# Under `-c` DuckDB takes itself for interactive, and would draw a progress bar among the rows after two seconds.
BARE: Final = """import duckdb
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
for row in connection.execute("{}").fetchall():
    print(*row)"""

# Chance is a hash of its subject, so that every machine measures the same rows. `part` 0 is the batch side.
WORLD: Final = """
CREATE TEMP TABLE viewer AS
    SELECT n, 19.75 / sqrt(n + 1) AS share,
        concat_ws('.', 11 + n % 180, hash(n) % 256, n // 46080, n // 180 % 256) AS viewer
    FROM range(200000) AS t(n);
CREATE TEMP TABLE slot AS
    SELECT w, TIMESTAMP '2026-03-01 00:00:00' + to_minutes(5 * CAST(w AS INTEGER)) AS bucket FROM range(288) AS t(w);
CREATE TEMP TABLE drawn AS
    SELECT 0 AS part, bucket, viewer, hash(w, n, 1) % 20 + 1 AS requests, hash(w, n, 2) % 1000000 AS bytes
    FROM slot, viewer WHERE w < 264 AND hash(w, n) % 1000000 < 1000000 * 0.985 * share
    UNION ALL
    SELECT 5 * (w - 264) + s + 1, bucket, viewer, hash(w, n, s, 1) % 20 + 1, hash(w, n, s, 2) % 1000000
    FROM slot, viewer, range(5) AS t(s) WHERE w >= 264 AND hash(w, n, s) % 1000000 < 1000000 * share / 4.3;
INSERT INTO drawn
    SELECT part, bucket - to_minutes(5 + 5 * CAST(hash(viewer) % 2 AS INTEGER)), viewer, 1, bytes
    FROM drawn WHERE part > 0 AND hash(viewer, part) % 100 = 0
    UNION ALL
    SELECT part, bucket - to_hours(5 + part % 13), viewer, 1, bytes
    FROM drawn WHERE part % 10 = 1 AND hash(viewer, part, 1) % 10 = 0;
CREATE TEMP TABLE partials AS
    SELECT part, bucket, viewer, CAST(sum(requests) AS BIGINT) AS requests, CAST(sum(bytes) AS BIGINT) AS bytes
    FROM drawn GROUP BY ALL
"""


def main() -> int:
    """Measure, and hold CPU time against the bar."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # In a process of its own: a child begins with the memory of whoever started it, which would be measured.
        worker = get_context("spawn").Process(target=prepare, args=(root,))
        worker.start()
        worker.join()
        if worker.exitcode:
            raise RuntimeError(f"the lake could not be filled: exit code {worker.exitcode}, see above")
        program = Path(sys.executable).with_name("shardlake")
        ours = Command([program, "--root", root / "lake", "query", TOP.format(VIEW)], root)
        bare = Command([sys.executable, "-c", BARE.format(TOP.format(f"'{root / 'one.parquet'}'"))], root)
        contest = compare(ours, bare, _same)
        contest.show("shardlake", "plain DuckDB")
        return verdict("query", contest.ours_over_bare("cpu_s"), at_most=BAR)


def _same(ours: Run, bare: Run) -> None:
    """Compare the rows: ours are a table under two lines of heading."""
    found = [line.replace(",", "").split() for line in ours.output.decode().splitlines()[2:]]
    wanted = [line.split() for line in bare.output.decode().splitlines()]
    if found != wanted or len(wanted) != 50:
        raise AssertionError(f"the answers differ: {found[:3]}.. ({len(found)} rows), plain DuckDB: {wanted[:3]}..")


def prepare(root: Path) -> None:
    """Fill a lake under `root`, and put the same rows into one.parquet."""
    config = load({"root": (str(root / "lake"), "--root")}, {}, root).config
    view = compiled_views(config)[VIEW]
    assert [column.type for column in view.columns] == ["TIMESTAMP", "VARCHAR", "BIGINT", "BIGINT"]
    lane = _lane(config)
    with compose.batch_context(config, lambda _: None) as context:
        for statement in WORLD.split(";"):
            context.engine.run(statement)
        base = open_view(context, view, open_master(context))
        lane.commit(_prepared(lane, view, None, config.limits))
        publish(context, view, base)
        for part in range(1, ENTRIES + 1):
            lane.commit(_prepared(lane, view, context.engine.table(_rows(view, part)), config.limits))
        one = str(root / "one.parquet")
        rows, _ = context.engine.copy("SELECT * EXCLUDE part FROM partials ORDER BY ALL", one)
        realtime = context.engine.table("SELECT count(*) AS n FROM partials WHERE part > 0")["n"][0].as_py()
        print(f"{rows:,} partial rows, {realtime:,} of them realtime in {ENTRIES} entries")


def publish(context: Context, view: CompiledView, base: Snapshot) -> None:
    """Make part 0 the batch view, with all that the journal has as its seam."""
    seam = reading.read_beyond(context.journal, NOTHING).seam
    positions = context.put_positions(Positions({SHARD: Position(0).encode()}))
    context.engine.run(f"CREATE OR REPLACE TEMP TABLE {views.FRESH} AS {_rows(view, 0)}")
    views.publish(context, view, base, Pass((), (), seam), positions)
    context.engine.run(f"DROP TABLE {views.FRESH}")


def _rows(view: CompiledView, part: int) -> str:
    names = ", ".join(f'{ours} AS "{column.name}"' for ours, column in zip(COLUMNS, view.columns, strict=True))
    return f"SELECT {names} FROM partials WHERE part = {part} ORDER BY bucket, viewer"


def _lane(config: Config) -> Lane:
    journal = compose.journal(config)
    journal.transact(operations.found(1))
    journal.transact([operations.discover(SHARD, config.source.name, ())])
    context = LaneContext(journal, compose.objects(config), SystemClock(), random_name, config.limits)
    context = LaneContext(journal, compose.objects(config), SystemClock(), random_name, config.limits)
    owned = Lane.take(context, 0, random_name(), config.source.name)
    owned.adopt(SHARD)
    return owned


def _prepared(lane: Lane, view: CompiledView, rows: pa.Table | None, limits: Limits) -> Prepared:
    """An entry that holds one partial, or nothing; its range of the shard is made of numbers that count entries."""
    at = lane.position(SHARD)
    upto = Position(0) if at is None or at == ORIGIN.encode() else Position(Position.decode(at).sequence + 1)
    ranges = (RangeRow(SHARD, at or ORIGIN.encode(), upto.encode()),)

    def manifest(number: int, n: int, refs: Mapping[str, ObjectRef]) -> Manifest:
        found = () if rows is None else (_reference(view, rows, refs[PARTIAL], limits),)
        return Manifest(number, n, "cloudfront", ranges, Counts(rows.num_rows if rows else 0), partials=found)

    return Prepared(ranges, {} if rows is None else {PARTIAL: to_parquet(rows)}, manifest)


def _reference(view: CompiledView, rows: pa.Table, ref: ObjectRef, limits: Limits) -> PartialRef:
    return PartialRef(view.name, view.fingerprint, ref, rows.num_rows, windows_of(rows, view, limits))
