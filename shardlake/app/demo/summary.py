"""Asks the views for what the report shows."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import serving
from shardlake.app.counted import counted
from shardlake.app.demo.report import Report
from shardlake.core.positions import END


def asked(root: Path) -> Report:
    """Ask a root for the report's rows, and for the certificate of the first of them."""
    with serving.connect(root) as connection:
        viewers = connection.query(
            "SELECT viewer, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes FROM viewers"
            " GROUP BY viewer ORDER BY requests DESC, bytes DESC, viewer LIMIT 50"
        )
        bots = connection.query(
            "SELECT bot_category, bot_name, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM bots"
            " WHERE is_bot GROUP BY ALL"
        )
        people = connection.query("SELECT coalesce(sum(requests), 0)::BIGINT FROM bots WHERE NOT is_bot")
        edges = connection.query(
            "SELECT distribution, edge, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM bandwidth GROUP BY ALL"
        )
        minutes = connection.query("SELECT bucket, sum(bytes)::BIGINT FROM bandwidth GROUP BY ALL ORDER BY ALL")
    return Report(viewers.rows, bots.rows, edges.rows, minutes.rows, _certified(viewers), people.rows[0][0])


def _certified(answer: "serving.Answer") -> dict[str, str]:
    found = answer.certificate
    [view] = found.views
    newest = datetime.fromtimestamp((found.newest_event_us or 0) / 1e6, UTC)
    since = f"{counted(view.realtime_entries, 'entry', 'entries')} with rows of this view"
    ended = sum(text == END.encode() for text in found.positions.values())
    return {
        "cut": _lanes(found.cut),
        "commits": ", ".join(f"{commit[:12]}" for commit in found.commits.values()),
        "seam": f"{_lanes(view.seam)}: {counted(view.batch_rows, 'row')} of batch, {since} since",
        "view": f"{view.name} {view.fingerprint}, {view.exactness}",
        "shards": f"{len(found.positions)}" + (f", {ended} of them read to their end" if ended else ""),
        "newest event": f"{newest:%Y-%m-%d %H:%M:%S} UTC",
        "events": f"{found.events:,}, {found.duplicates:,} of them duplicates within {found.dedup_scope}, not counted",
        "dead letters": f"{found.letters:,}",
        "gaps": f"{found.gaps:,}",
    }


def _lanes(cut: Mapping[int, int]) -> str:
    return ", ".join(f"lane {lane} up to entry {n}" for lane, n in sorted(cut.items())) or "nothing"
