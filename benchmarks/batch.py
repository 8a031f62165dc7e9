"""The bar `batch`: gzip log files to master dataset and three views, committed and audited, against plain polars.

Ours is two processes, as a user runs them: `shardlake stream run --once`, then `shardlake batch run`. Polars' is
one, without commits or an audit. Both read the same files, keep all columns, and give the same three views: bytes and
requests per minute of each host at each edge, per five minutes of each viewer, per minute of each user agent. Which
agents are bots may differ where our rules find more than the list that both use. The CPU is that of whole processes,
with all that they import; only our views are compiled before, as they are once in the life of a root.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import duckdb

from benchmarks.data import log_folder
from benchmarks.harness import Command, compare, verdict

BAR: Final = 2.0
SHORT_LINES: Final = 350_000  # five rounds of both, and the data, in a minute
LONG_LINES: Final = 1_000_000  # the bar's own

VIEWS: Final = {
    "edge_minutes": """
SELECT time_bucket(INTERVAL '1 minute', event_time) AS bucket, cs_host AS host, x_edge_location AS edge,
    sum(sc_bytes) AS bytes, count(*) AS requests
FROM cloudfront GROUP BY bucket, host, edge
""",
    "viewer_fives": """
SELECT time_bucket(INTERVAL '5 minutes', event_time) AS bucket, c_ip AS ip,
    sum(sc_bytes) AS bytes, count(*) AS requests
FROM cloudfront GROUP BY bucket, ip
""",
    "agent_minutes": """
SELECT time_bucket(INTERVAL '1 minute', event_time) AS bucket, is_bot AS bot, user_agent, count(*) AS requests
FROM cloudfront GROUP BY bucket, bot, user_agent
""",
}
# What polars wrote, our view, and the columns that must be equal.
MISSED_MAX: Final = 0.01
SAME: Final = (
    ("edges", "edge_minutes", "bucket, host, edge, {bytes}, {requests}"),
    ("viewers", "viewer_fives", "bucket, ip, {bytes}, {requests}"),
    ("agents", "agent_minutes", "bucket, user_agent, {requests}"),
)
COLUMNS: Final = (
    "strftime({time}, '%Y-%m-%d %H:%M:%S'), {host}, {ip}, {edge}, {bytes}, {request}, user_agent, {seconds}, {length}"
)


def main() -> int:
    """Measure with as many lines as fit into a minute."""
    return measure(SHORT_LINES)


def long() -> int:
    """Measure the bar's own million lines."""
    return measure(LONG_LINES)


def measure(lines: int) -> int:
    """Measure, and hold CPU time against the bar."""
    logs = log_folder(lines)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _configure(root, logs)
        program = Path(sys.executable).with_name("shardlake")
        _define(program, root)
        both = f"'{program}' stream run --once && '{program}' batch run"
        ours = Command(["sh", "-c", both], root, before=lambda: _begin(root))
        plain = [sys.executable, "-m", "benchmarks.bare_batch", str(logs), str(root / "plain")]
        bare = Command(plain, Path(__file__).parents[1], before=lambda: _empty(root / "plain"))
        contest = compare(ours, bare, lambda *_: _same(root, lines))
        print(f"{lines:,} lines in {len(list(logs.iterdir()))} gzip files")
        contest.show("shardlake", "polars")
        return verdict("batch", contest.ours_over_bare("cpu_s"), at_most=BAR)


def _configure(root: Path, logs: Path) -> None:
    (root / "views").mkdir()
    for name, sql in VIEWS.items():
        (root / "views" / f"{name}.sql").write_text(f"-- description: {name}\n{sql.strip()}\n")
    use = ", ".join(f'"{name}"' for name in VIEWS)
    (root / "shardlake.toml").write_text(
        f'root = "{root}/lake"\n[source]\npath = "{logs}"\n[views]\nfolder = "{root}/views"\nuse = [{use}]\n'
    )


def _define(program: Path, root: Path) -> None:
    """Compile the views of a root that is empty else; each run begins with a copy of it."""
    arguments = [str(program), "--root", str(root / "defined"), "views", "list"]
    subprocess.run(arguments, cwd=root, stdout=subprocess.DEVNULL, check=True)


def _begin(root: Path) -> None:
    _empty(root / "lake")
    shutil.copytree(root / "defined", root / "lake")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _same(root: Path, lines: int) -> None:
    """Compare what both wrote, both ways: three views, and the columns of the master dataset that are named alike."""
    tables = _tables(root)
    for theirs, view, columns in SAME:
        mine = columns.format(bytes="bytes__sum", requests="requests__count")
        plain = columns.format(bytes="bytes", requests="requests")
        _equal(view, f"SELECT {mine} FROM {tables[view]}", f"SELECT {plain} FROM '{root}/plain/{theirs}.parquet'")
    # The list alone takes some people for bots, which is why some of its entries are left out here.
    judged = (
        f"SELECT count(DISTINCT user_agent) FILTER (WHERE p.bot AND NOT o.bot), count(DISTINCT user_agent)"
        f" FROM '{root}/plain/agents.parquet' p JOIN {tables['agent_minutes']} o USING (bucket, user_agent)"
    )
    [(missed, agents)] = _rows(judged)
    if missed > agents * MISSED_MAX:
        raise AssertionError(f"polars finds {missed} bots among {agents} user agents that we miss")
    mine = COLUMNS.format(
        time="event_time",
        host="cs_host",
        ip="c_ip",
        edge="x_edge_location",
        bytes="sc_bytes",
        request="x_edge_request_id",
        seconds="time_taken_s",
        length="sc_content_len",
    )
    plain = COLUMNS.format(
        time='"at"',
        host="host",
        ip="ip",
        edge="edge",
        bytes="bytes",
        request="request_id",
        seconds="seconds",
        length="content_length::BIGINT",
    )
    rows = f"'{root}/plain/*/rows.parquet'"
    found = _rows(f"SELECT count(*), sum(hash({mine})) FROM {tables['master']} WHERE NOT _duplicate")
    wanted = _rows(f"SELECT count(*), sum(hash({plain})) FROM {rows}")
    if found != wanted or found[0][0] != lines:
        raise AssertionError(
            f"the master dataset has {found} rows and hashes, polars {wanted}, the files {lines} lines"
        )


def _equal(what: str, ours: str, theirs: str) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        surplus = _rows(f"{one} EXCEPT ALL {other} LIMIT 3")
        if surplus:
            raise AssertionError(f"{what}: {'ours' if one == ours else 'polars'} alone has {surplus}")


def _rows(sql: str) -> list[tuple[Any, ...]]:
    return duckdb.connect().execute(sql).fetchall()


def _tables(root: Path) -> dict[str, str]:
    """The committed files of each batch table, as a relation."""
    from shardlake.app import compose
    from shardlake.app.config import load
    from shardlake.core.combine import read_parquet
    from shardlake.core.journal import reading

    config = load({"root": (str(root / "lake"), "--root")}, {}, root).config
    tables = compose.tables(config)
    with compose.opened_journal(config) as journal:
        pointers = reading.read_pointers(journal)
    found = {}
    for name, pointer in pointers.items():
        snapshot = tables.load(pointer.table)
        assert snapshot is not None, f"{name} has no table"
        found[name] = read_parquet([file.path for file in snapshot.files])
    return found
