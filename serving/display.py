"""Answers and connections as a notebook shows them: HTML with inline styles and no colours of its own.

What stands in logs was written by strangers. So every value is escaped, what cannot be seen is written out, nothing is
loaded from elsewhere, and MathJax is told to leave the whole alone (a `$` in a user agent begins no formula).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Final

from serving.certificate import Certificate, ViewCertificate
from shardlake.core.view import CompiledView, OutputColumn

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN: Final = 20  # rows of an answer that are shown
LETTERS_MAX: Final = 300  # of a value; a user agent may be longer than a page
SHORT_MAX: Final = 40  # letters that stay on one line
GROUPED_FROM: Final = 10_000  # a smaller integer has no separators: it may be a year or a status

_DIM: Final = "opacity:.6"
_LEFT: Final = "text-align:left;vertical-align:top"
_SHORT: Final = ";white-space:nowrap"
_LONG: Final = ";min-width:24em;max-width:60em;overflow-wrap:anywhere"
_RIGHT: Final = "text-align:right;vertical-align:top;font-variant-numeric:tabular-nums;white-space:nowrap"
_NUMBERS: Final = ("int", "uint", "decimal", "float", "double", "halffloat")
_CLASSES: Final = ("exact", "bounded", "sketch")  # the weakest last
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def answer_html(table: "pa.Table", certificate: Certificate) -> str:
    """Show the first rows of an answer, how many there are, and its certificate: a line that unfolds."""
    first = table.slice(0, SHOWN)
    styles = [_RIGHT if str(kind).startswith(_NUMBERS) else _LEFT for kind in table.schema.types]
    head = [
        f'<th style="{style}" title="{_text(field.type)}">{_text(field.name)}</th>'
        for field, style in zip(table.schema, styles, strict=True)
    ]
    rows = list(zip(*(column.to_pylist() for column in first.columns), strict=True))
    body = [[_cell(value, style) for value, style in zip(row, styles, strict=True)] for row in rows]
    return _framed(_table(head, body), f'<div style="{_DIM}">{_count(table.num_rows)}</div>', _unfolds(certificate))


def connection_html(root: str, views: Mapping[str, CompiledView]) -> str:
    """List the views that can be asked, with what they hold: keys first, then what is computed."""
    head = [f'<th style="{_LEFT}">{name}</th>' for name in ("view", "what it holds", "columns")]
    body = [
        [
            f'<td style="{_LEFT}{_SHORT}"><b>{_text(name)}</b></td>',
            f'<td style="{_LEFT};min-width:16em">{_text(view.description)}</td>',
            f'<td style="{_LEFT}">{", ".join(_column(column, view) for column in view.outputs)}</td>',
        ]
        for name, view in sorted(views.items())
    ]
    return _framed(f"<div>{_text(root)}</div>", _table(head, body))


def summary(certificate: Certificate) -> str:
    """Say in one line what an answer covers.

    Example: `cut 0:57 · seam 0:40 · newest event 2026-03-01 10:59:58 UTC · exact`
    """
    seams = {view.name: _places(view.seam) for view in certificate.views}
    same = len(set(seams.values())) == 1
    seam = next(iter(seams.values())) if same else ", ".join(f"{name} {text}" for name, text in seams.items())
    weakest = max((view.exactness for view in certificate.views), key=_CLASSES.index, default="exact")
    parts = [f"cut {_places(certificate.cut)}", f"seam {seam}", f"newest event {_moment(certificate)}", weakest]
    counted = ((certificate.letters, "dead letter"), (certificate.gaps, "gap"))
    parts += [_many(count, what) for count, what in counted if count]
    return " · ".join([*parts, *(f"{view.name} is incomplete" for view in certificate.views if view.incomplete)])


def _unfolds(certificate: Certificate) -> str:
    facts = {
        "cut": _lanes(certificate.cut, certificate.commits),
        "freshness": f"newest event {_moment(certificate)}",
        "completeness": ", ".join(
            _many(count, what)
            for count, what in (
                (certificate.events, "event"),
                (certificate.letters, "dead letter"),
                (certificate.gaps, "gap"),
            )
        ),
        "duplicates": f"{certificate.duplicates:,} of them not counted, within {certificate.dedup_scope}",
        "positions": f"of {_many(len(certificate.positions), 'shard')}, in answer.certificate.positions",
    }
    body = [[f'<th style="{_LEFT}{_SHORT}">{k}</th>', f'<td style="{_LEFT}">{_text(v)}</td>'] for k, v in facts.items()]
    for view in certificate.views:
        body += [
            [f'<th style="{_LEFT}{_SHORT}">view {_text(view.name)}</th>', f'<td style="{_LEFT}">{_view(view)}</td>']
        ]
    return (
        f'<details><summary style="cursor:pointer">{_text(summary(certificate))}</summary>{_table([], body)}</details>'
    )


def _view(view: ViewCertificate) -> str:
    batch = f"{view.batch_rows:,} rows of batch in snapshot {view.snapshot}" if view.snapshot else "no batch table yet"
    since = (
        f"{_many(view.realtime_entries, 'entry')} since by their partials, {view.recomputed_entries:,} from their rows"
    )
    lines = [f"class {view.exactness}", f"seam {_places(view.seam)}", batch, since, f"fingerprint {view.fingerprint}"]
    lines += [f"incomplete: {view.incomplete}"] if view.incomplete else []
    return "<br>".join(_text(line) for line in lines)


def _column(column: OutputColumn, view: CompiledView) -> str:
    notes = [column.type] + ["key"] * (column.name in view.keys)
    notes += [column.exactness] if column.exactness != "exact" else []
    return f'{_text(column.name)} <span style="{_DIM}">{_text(" ".join(notes))}</span>'


def _cell(value: Any, style: str) -> str:
    if value is None:
        return f'<td style="{style};{_DIM};font-style:italic">NULL</td>'
    shown, whole = _shown(value), str(value)
    full = f' title="{_text(whole)}"' if isinstance(value, float) and shown != whole else ""
    width = (_SHORT if len(shown) <= SHORT_MAX else _LONG) if style is _LEFT else ""
    return f'<td style="{style}{width}"{full}>{_text(shown)}</td>'


def _shown(value: Any) -> str:
    """Write a value as a person reads it; numbers with separators, doubles to six digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite()):
        return f"{value:,}" if not -GROUPED_FROM < value < GROUPED_FROM else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:,.0f}" if GROUPED_FROM <= abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def _text(value: object) -> str:
    """Escape text, written out where it would be invisible or turn the reading direction, and cut where it is long."""
    text = str(value)
    cut = text[:LETTERS_MAX] + "…" if len(text) > LETTERS_MAX else text
    visible = cut if cut.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return escape(visible, quote=True)


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    top = f"<thead><tr>{''.join(head)}</tr></thead>" if head else ""
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    return f'<div style="overflow-x:auto"><table>{top}<tbody>{rows}</tbody></table></div>'


def _framed(*parts: str) -> str:
    return f'<div class="tex2jax_ignore mathjax_ignore">{"".join(parts)}</div>'


def _count(rows: int) -> str:
    return f"the first {SHOWN} of {rows:,} rows" if rows > SHOWN else _many(rows, "row")


def _many(count: int, what: str) -> str:
    several = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count:,} {what if count == 1 else several}"


def _places(lanes: Mapping[int, int]) -> str:
    return " ".join(f"{lane}:{n}" for lane, n in sorted(lanes.items())) or "nothing"


def _lanes(cut: Mapping[int, int], commits: Mapping[int, str]) -> str:
    found = (f"lane {lane} up to entry {n} ({commits.get(lane, '')})" for lane, n in sorted(cut.items()))
    return ", ".join(found) or "nothing"


def _moment(certificate: Certificate) -> str:
    if certificate.newest_event_us is None:
        return "none"
    try:
        return f"{_EPOCH + timedelta(microseconds=certificate.newest_event_us):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return f"{certificate.newest_event_us:,} µs after 1970"
