"""What `shardlake query` writes: the rows in one of several formats, and what its certificate says."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from shardlake.app.output import show_table
from shardlake.app.text import cell, plain
from shardlake.app.times import AS_STORED, Zone
from shardlake.core.errors import QueryRefused

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.answer import Rows
    from serving.certificate import Certificate

FORMATS: Final = ("table", "csv", "json", "jsonl", "parquet")
_CLASSES: Final = {
    "exact": "exact",
    "bounded": "exact but for sums of doubles, which are within their bound",
    "sketch": "within the stated error of a sketch",
}
_ORDER: Final = tuple(_CLASSES)


def cut_text(cut: Mapping[int, int]) -> str:
    """Write a cut or a seam: lane:entry, lane by lane."""
    return " ".join(f"{lane}:{n}" for lane, n in sorted(cut.items())) or "nothing"


def certificate_line(certificate: "Certificate", zone: Zone = AS_STORED) -> str:
    """Say in one line what an answer covers, with times in a zone.

    Example: `cut 0:57 · seam 0:40 · newest event 2026-03-01 10:59:58 UTC · exact`
    """
    weakest = max((view.exactness for view in certificate.views), key=_ORDER.index, default="exact")
    seams = {view.name: cut_text(view.seam) for view in certificate.views}
    same = len(set(seams.values())) == 1
    seam = next(iter(seams.values())) if same else ", ".join(f"{name} {text}" for name, text in seams.items())
    notes = [
        f"{count:,} {what}{'s' if count > 1 else ''}"
        for count, what in ((certificate.letters, "dead letter"), (certificate.gaps, "gap"))
        if count
    ]
    notes += [f"{view.name} is incomplete" for view in certificate.views if view.incomplete]
    parts = [
        f"cut {cut_text(certificate.cut)}",
        f"seam {seam}",
        f"newest event {zone.text(certificate.newest_event_us)}",
    ]
    return " · ".join([*parts, _CLASSES[weakest], *notes])


def sampling_line(rate: float) -> str:
    """Say what part of the requests the source holds, in percent."""
    return f"the source holds {rate:g} % of the requests; nothing is scaled"


def certificate_facts(certificate: "Certificate", zone: Zone = AS_STORED) -> dict[str, Any]:
    """Write a certificate as names and values, for people, with times in a zone."""
    facts = {
        "cut": cut_text(certificate.cut),
        "commits": " ".join(f"{lane}:{commit}" for lane, commit in sorted(certificate.commits.items())),
        "events": f"{certificate.events:,}",
        "duplicates": f"{certificate.duplicates:,} seen again and not counted (scope: {certificate.dedup_scope})",
        "dead letters": f"{certificate.letters:,}",
        "gaps": certificate.gaps,
        "newest event": zone.text(certificate.newest_event_us),
    }
    for view in certificate.views:
        facts[f"view {view.name}"] = (
            f"{view.exactness}; seam {cut_text(view.seam)}; {view.batch_rows:,} batch rows, {view.realtime_entries} "
            f"realtime entries, {view.recomputed_entries} recomputed from rows; fingerprint {view.fingerprint}; "
            f"snapshot {view.snapshot or 'none'}"
        ) + (f"; incomplete: {view.incomplete}" if view.incomplete else "")
    return facts


def as_json(answer: "Rows") -> dict[str, Any]:
    """An answer as one JSON value: its columns, its rows as objects, and its certificate."""
    _check_names(answer)
    rows = [dict(zip(answer.columns, map(plain, row), strict=True)) for row in answer.rows]
    return {"columns": list(answer.columns), "rows": rows, "certificate": answer.certificate.to_dict(positions=True)}


def _check_names(answer: "Rows") -> None:
    """Objects cannot hold two values under one name. Raises: QueryRefused."""
    twice = [name for name in answer.columns if list(answer.columns).count(name) > 1]
    if twice:
        raise QueryRefused(f"two columns are called {twice[0]}, of which JSON can keep one: name them apart with AS")


def write_table(answer: "Rows", limit: int) -> None:
    """Write the rows as a table, `limit` of them at most (0: all)."""
    shown = answer.rows[:limit] if limit else answer.rows
    show_table(answer.columns, shown)
    if len(shown) < len(answer.rows):
        click.secho(more_line(len(answer.rows) - len(shown)), dim=True)


def more_line(count: int) -> str:
    """Say how many rows a table leaves out."""
    return f"{count:,} more rows; --limit 0 shows all"


def lines(answer: "Rows", how: str) -> Iterator[str]:
    """Write the rows as csv, json or jsonl, piece by piece."""
    if how == "csv":
        yield from _csv(answer.columns, answer.rows)
        return
    _check_names(answer)
    objects = (
        msgspec.json.encode(dict(zip(answer.columns, map(plain, row), strict=True))).decode() for row in answer.rows
    )
    if how == "jsonl":
        yield from (f"{text}\n" for text in objects)
        return
    yield "["
    for index, text in enumerate(objects):
        yield f"{',' if index else ''}\n{text}"
    yield "\n]\n"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow(
            [
                ""
                if value is None
                else value
                if isinstance(value, str)
                else cell(value)
                if isinstance(value, bytes)
                else plain(value)
                for value in row
            ]
        )
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def write_parquet(table: "pa.Table", path: Path) -> None:
    """Write the rows as a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")
