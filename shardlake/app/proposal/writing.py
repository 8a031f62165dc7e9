"""The files of a proposal: `pack.toml` with a comment for each choice. Texts of the sample are quoted or escaped."""

from collections.abc import Iterator
from typing import Final

from shardlake.app.proposal.columns import Chosen, Proposed, shown
from shardlake.app.proposal.layout import Layout
from shardlake.app.proposal.seen import Seen

_NO_ID: Final = """\
# No event_id: no column is named like one (id, event_id, request_id, uuid) and differs on every line.
# Without it a line that arrives twice counts twice.{more}
# event_id = "..."
"""


def toml_text(text: str) -> str:
    r"""Write a text as TOML does, whatever stands in it.

    >>> print(toml_text('a "b"\n'))
    "a \"b\"\u000A"
    """
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{ord(character):04X}" if ord(character) < 1 << 16 else f"\\U{ord(character):08X}"


def pack_toml(name: str, origin: str, layout: Layout, seen: Seen, chosen: Chosen) -> str:
    """Write the declaration."""
    return "\n".join(_lines(name, origin, layout, seen, chosen)) + "\n"


def _lines(name: str, origin: str, layout: Layout, seen: Seen, chosen: Chosen) -> Iterator[str]:
    yield f"# Proposed from {chosen.rows:,} lines of {shown(origin)}: read it, and correct what you know better."
    yield "# docs/packs/README.md explains every key. A line that does not fit becomes a dead letter: it is not lost."
    yield f"name = {toml_text(name)}"
    yield f'description = "lines like those of {toml_text(shown(origin))[1:-1]}"'
    yield f'format = "{layout.format}"'
    if layout.format != "json":
        yield from _of_fields(layout)
    yield ""
    yield f"# The time of an event, {chosen.time_reason}."
    yield f"event_time = {toml_text(chosen.event_time)}"
    yield ""
    if chosen.event_id:
        yield f"# What tells copies of an event, {chosen.id_reason}."
        yield f"event_id = {toml_text(chosen.event_id)}"
    else:
        yield _NO_ID.format(more=chosen.id_reason).rstrip("\n")
    yield ""
    yield "# `from` is where a value stands, if not under the column's name. A column may be computed of others, too:"
    yield "#   section = { is = \"split_part(page, '/', 2)\" }"
    yield "[columns]"
    for one in chosen.columns:
        yield from _column(one, chosen)
    for lost in seen.unreachable[:20]:
        yield f"# left out: {shown(lost)}: no `from` can name it"
    if seen.more:
        yield f"# left out: {seen.more:,} more fields, beyond the first {len(seen.fields)}"


def _of_fields(layout: Layout) -> Iterator[str]:
    fields = f"fields = [{', '.join(map(toml_text, layout.fields))}]"
    if layout.delimiter:
        yield f"delimiter = {toml_text(layout.delimiter)}"
    if layout.nulls:
        yield "# Texts that mean that there is no value, in any column: these stand among numbers or times."
        yield f"nulls = [{', '.join(map(toml_text, layout.nulls))}]"
    if layout.has_header:
        yield "header = true  # the first line of a file names its fields"
        yield f"# {fields}  # for lines of a stream, which have no first line"
    else:
        yield "# The first line is an event like the others: give the fields better names, here and below."
        yield fields


def _column(one: Proposed, chosen: Chosen) -> Iterator[str]:
    key = ".".join(one.field.steps)
    if not one.is_kept:
        yield f"# {one.name} is left out: {shown(key)}: {one.kind.note}"
        return
    counted = f"on {one.field.present:,} of {chosen.rows:,} lines" if one.field.present < chosen.rows else ""
    about = "; ".join(note for note in (counted, one.kind.note) if note)
    parts = [f"type = {toml_text(one.kind.type)}"]
    if one.field.source != one.name:
        parts.append(f"from = {toml_text(one.field.source)}")
    if one.kind.time:
        parts.append(f"time = {toml_text(one.kind.time)}")
    value = f"{{ {', '.join(parts)} }}" if len(parts) > 1 else toml_text(one.kind.type)
    yield f"{one.name} = {value}{'  # ' + about if about else ''}"
