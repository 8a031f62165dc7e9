"""`shardlake status`: how far everything is."""

from typing import TYPE_CHECKING, Any

import click

from shardlake.app import compose
from shardlake.app.answers import cut_text, sampling_line
from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.text import ago, utc
from shardlake.app.viewset import compiled_views

if TYPE_CHECKING:
    from serving.certificate import Certificate
    from shardlake.core.journal.rows import Head


@click.command(cls=Command, short_help="Show how far everything is.")
@pass_invocation
def status(invocation: Invocation) -> None:
    """Show the cut, how far each view's batch side is behind it, and what did not go well.

    The lag is in entries: those that a view's answers still read one by one. A batch run brings it to 0.
    """
    from serving.certificate import certify
    from serving.plan import plan
    from shardlake.adapters.clock import SystemClock
    from shardlake.core.journal import reading

    config = invocation.config
    with compose.opened_journal(config) as journal:
        views = list(compiled_views(config).values())
        made = plan(journal, compose.objects(config), compose.tables(config), views)
        heads = reading.read_heads(journal)
        where = {"root": config.root, "source": config.source.stream or config.source.path}
        data = _told(certify(made), heads) | where | {"sampling_rate": config.source.sampling_rate}
    if invocation.json:
        invocation.output.json(data)
        return
    _write(invocation, data, SystemClock().now_us())


def _told(certificate: "Certificate", heads: "dict[int, Head]") -> dict[str, Any]:
    cut = dict(certificate.cut)
    return {
        "cut": cut,
        "events": certificate.events,
        "duplicates": certificate.duplicates,
        "dead_letters": certificate.letters,
        "gaps": certificate.gaps,
        "newest_event_us": certificate.newest_event_us,
        "lanes": [{"lane": h.lane, "entry": h.n, "source": h.source, "owner": h.owner} for h in heads.values()],
        "views": [
            {
                "name": view.name,
                "seam": dict(view.seam),
                "lag_entries": sum(n - view.seam.get(lane, 0) for lane, n in cut.items()),
                "batch_rows": view.batch_rows,
                "realtime_entries": view.realtime_entries,
                "recomputed_entries": view.recomputed_entries,
                "fingerprint": view.fingerprint,
                "exactness": view.exactness,
            }
            for view in certificate.views
        ],
        "positions": dict(certificate.positions),
    }


def _write(invocation: Invocation, data: dict[str, Any], now_us: int) -> None:
    newest = data["newest_event_us"]
    age = f" ({ago(max(0, now_us - newest) / 1e6)} ago)" if newest is not None else ""
    facts = {
        "root": data["root"],
        "source": data["source"] or "not set",
        "cut": cut_text(data["cut"]),
        "newest event": utc(newest) + age,
        "events": f"{data['events']:,}",
        "duplicates": f"{data['duplicates']:,}",
        "dead letters": f"{data['dead_letters']:,}" + (" (see `shardlake dlq list`)" if data["dead_letters"] else ""),
        "gaps": data["gaps"],
    }
    if data["sampling_rate"] < 100:
        facts["sampling"] = sampling_line(data["sampling_rate"])
    invocation.output.facts(facts, None)
    click.echo()
    rows = [
        (
            v["name"],
            cut_text(v["seam"]),
            v["lag_entries"],
            v["batch_rows"],
            v["realtime_entries"],
            v["recomputed_entries"],
        )
        for v in data["views"]
    ]
    columns = ("view", "seam", "lag (entries)", "batch rows", "realtime entries", "recomputed")
    invocation.output.table(columns, rows, None)
