"""The batch job by hand in polars, with no guarantees: what the bar `batch` is measured against.

Gzip files of CloudFront lines become decoded, sorted Parquet by date and three views. User agents are decoded and
matched once each. Nothing is committed, nothing is audited, and a second run would begin anew.
"""

import sys
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import re2
from crawleruseragents import CRAWLER_USER_AGENTS_DATA

from benchmarks.fields import SHORT

MATCHER_BYTES = 256 << 20


def run(logs: Path, out: Path) -> None:
    """Do all of it."""
    rows = with_agents(read(logs)).with_columns(
        (pl.col("date") + " " + pl.col("time")).str.to_datetime("%Y-%m-%d %H:%M:%S").alias("at")
    )
    rows = rows.sort("host", "at")
    for (date,), part in rows.partition_by("date", as_dict=True).items():
        (out / f"date={date}").mkdir(parents=True)
        part.write_parquet(out / f"date={date}" / "rows.parquet", compression="zstd", compression_level=3)
    minute, five = (pl.col("at").dt.truncate(width).alias("bucket") for width in ("1m", "5m"))
    total, count = pl.col("bytes").sum(), pl.len().alias("requests")
    rows.group_by(minute, "host", "edge").agg(total, count).write_parquet(out / "edges.parquet")
    rows.group_by(five, "ip").agg(total, count).write_parquet(out / "viewers.parquet")
    rows.group_by(minute, "bot", "user_agent").agg(count).write_parquet(out / "agents.parquet")


def read(logs: Path) -> pl.DataFrame:
    """Read all files into typed columns."""
    numbers = {"bytes": pl.Int64, "cs_bytes": pl.Int64, "seconds": pl.Float64}
    return pl.read_csv(
        f"{logs}/*.gz",
        separator="\t",
        has_header=False,
        comment_prefix="#",
        schema={name: numbers.get(name, pl.String) for name in SHORT},
        null_values="-",
        quote_char=None,
    )


def with_agents(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the decoded user agent, and whether it is a bot's."""
    options = re2.Options()
    options.max_mem = MATCHER_BYTES
    bots = re2.compile("|".join(f"(?:{entry['pattern']})" for entry in CRAWLER_USER_AGENTS_DATA), options)
    agents = rows.select("ua").unique()
    plain = [unquote(unquote(logged)) if logged else None for logged in agents["ua"]]
    agents = agents.with_columns(
        pl.Series("user_agent", plain, pl.String),
        pl.Series("bot", [agent is not None and bots.search(agent) is not None for agent in plain]),
    )
    return rows.join(agents, on="ua", how="left", nulls_equal=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
