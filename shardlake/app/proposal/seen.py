"""What stands in the lines of a sample: each field with its texts, as the engine reads them, and its kinds in JSON."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.app.proposal.layout import Layout
from shardlake.core.errors import ConfigError, SqlFailed
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.sql import literal
from shardlake.packs.declared.decoder import DeclaredDecoder
from shardlake.packs.declared.jsonlines import LINES, texts_sql
from shardlake.packs.declared.lines import Lines
from shardlake.packs.declared.paths import is_field, path
from shardlake.packs.declared.values import FAULT
from shardlake.packs.declared.words import Declaration, Read

DEPTH_MAX: Final = 5
FIELDS_MAX: Final = 200
KEYS_MAX: Final = 50  # of an object inside of another: with more, its keys are data
_PLAIN: Final = re.compile(r'[^.\[\]"*]+')
_LINE_BYTES_MAX: Final = 1 << 20


@dataclass(slots=True)
class Field:
    """A field of the lines: the keys that lead to it, and how `from` names it.

    `kinds` counts what JSON calls its values, with VARCHAR for all fields of no JSON. `note` says what is odd about it.
    """

    steps: tuple[str, ...]
    source: str
    kinds: Counter[str] = field(default_factory=Counter)
    note: str = ""
    is_json: bool = True

    @property
    def present(self) -> int:
        """How many lines have a value there."""
        return self.kinds.total()


@dataclass(frozen=True, slots=True)
class Seen:
    """The fields of a sample with their texts: one column `t0`, `t1` and so on of `texts` for each of `fields`.

    `unreachable` names what no `from` can name, and `more` counts the fields beyond the limit.
    """

    fields: tuple[Field, ...]
    texts: pa.Table
    unreachable: tuple[str, ...]
    more: int


def look(block: bytes, layout: Layout, engine: Engine) -> Seen:
    """Read the fields of all lines that can be read. Raises: ConfigError if there are none."""
    seen = _of_json(block, engine) if layout.format == "json" else _of_fields(block, layout, engine)
    if not seen.texts.num_rows:
        raise ConfigError("no line of the sample can be read: write one object, or one row of fields, a line")
    return seen


# ---------------------------------------------------------------------------------------------------- delimited


def _of_fields(block: bytes, layout: Layout, engine: Engine) -> Seen:
    named: dict[str, Field] = {}
    lost: list[str] = []
    for name in layout.fields:
        if name and name != "-" and name.casefold() not in named:
            named[name.casefold()] = Field((name,), name, is_json=False)
        else:
            lost.append(name or "(without a name)")
    fields = list(named.values())
    declared = _all_texts(layout, [Read(Column(f"t{i}", "VARCHAR"), f.source, "", False) for i, f in enumerate(fields)])
    names = None if layout.has_header else layout.fields
    texts = DeclaredDecoder(declared, engine, names, line_bytes_max=_LINE_BYTES_MAX).decode(block).rows
    for i, one in enumerate(fields):
        column = texts[f"t{i}"]
        one.kinds["VARCHAR"] = len(column) - column.null_count
    return Seen(tuple(fields), texts, tuple(lost), 0)


def _all_texts(layout: Layout, read: Sequence[Read]) -> Declaration:
    is_tsv = layout.format == "tsv"
    return Declaration(
        name="sample",
        description="",
        format=layout.format,
        delimiter=layout.delimiter or ("\t" if is_tsv else ","),
        nulls=layout.nulls or layout.usual_nulls,
        comment="",
        has_header=layout.has_header,
        fields=() if layout.has_header else layout.fields,
        fields_min=0 if layout.has_header else len(layout.fields),
        only={},
        read=tuple(read),
        computed=(),
        schema=SourceSchema("sample", tuple(one.column for one in read), ""),
        user_agent="",
        sort=(),
        bucket=None,
        optional=frozenset(),
    )


# --------------------------------------------------------------------------------------------------------- json


def _of_json(block: bytes, engine: Engine) -> Seen:
    lines = Lines.of(block)
    sound = ~lines.blank() & (lines.lengths <= _LINE_BYTES_MAX) & ~lines.not_utf8()
    given = pa.table({"line": lines.texts(np.flatnonzero(sound))})
    is_object = r"json_valid(line) AND regexp_matches(line, '^\s*\{')"
    whole = engine.table(f"SELECT line FROM {LINES} WHERE {is_object}", {LINES: given})
    found = _Keys(engine, whole)
    found.walk()
    fields = found.leaves[:FIELDS_MAX]
    # Each is read as if it were a DOUBLE, of which the engine gives the text in any case.
    read = [Read(Column(f"t{i}", "DOUBLE"), one.source, "", False) for i, one in enumerate(fields)]
    texts = engine.table(texts_sql(read), {LINES: whole}).drop_columns([FAULT])
    return Seen(tuple(fields), texts, tuple(found.unreachable), len(found.leaves) - len(fields))


@dataclass(slots=True)
class _Keys:
    """The keys of all objects, level by level, in the order in which the lines have them."""

    engine: Engine
    lines: pa.Table
    leaves: list[Field] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)

    def walk(self) -> None:
        """Find the leaves: fields that are no objects, or objects that are kept as texts."""
        # A field stands where the object stood that it is in.
        self.leaves = [leaf for one in self._children(()) for leaf in self._flat(one)]

    def _flat(self, one: Field) -> list[Field]:
        if {*one.kinds} != {"OBJECT"}:
            if one.kinds["OBJECT"]:
                one.note = "of several kinds; objects are kept as JSON text"
            return [one]
        if len(one.steps) >= DEPTH_MAX:
            one.note = f"objects, deeper than {DEPTH_MAX} keys: kept as JSON text"
            return [one]
        inside = self._children(one.steps)
        if not inside or len(inside) > KEYS_MAX:
            keys = f"of {len(inside)} different keys" if inside else "without keys to name"
            one.note = f"objects {keys}, kept as JSON text"
            return [one]
        return [leaf for child in inside for leaf in self._flat(child)]

    def _children(self, parent: tuple[str, ...]) -> list[Field]:
        fields = [made for key in self._keys(parent) if (made := self._reached((*parent, key))) is not None]
        self._count_kinds(fields)
        return fields

    def _keys(self, parent: tuple[str, ...]) -> list[str]:
        where = literal(path(source(parent) or "")) if parent else "'$'"
        sql = (
            "SELECT key FROM (SELECT n, unnest(keys) AS key, generate_subscripts(keys, 1) AS spot FROM"
            f" (SELECT row_number() OVER () AS n, json_keys(line, {where}) AS keys FROM {LINES}))"
            f" GROUP BY key ORDER BY min(n), min(spot)"
        )
        return list(self.engine.table(sql, {LINES: self.lines})["key"].to_pylist())

    def _reached(self, steps: tuple[str, ...]) -> Field | None:
        name = source(steps)
        if name is not None and self._is_taken(name):
            return Field(steps, name)
        self.unreachable.append(".".join(steps))
        return None

    def _is_taken(self, name: str) -> bool:
        """Try a path that is written out over no line: DuckDB takes some characters in keys for wildcards."""
        if not name.startswith("$"):
            return True
        sql = f"SELECT json_type(line, [{literal(path(name))}]) FROM {LINES} LIMIT 0"
        try:
            self.engine.table(sql, {LINES: self.lines})
        except SqlFailed:
            return False
        return True

    def _count_kinds(self, fields: Sequence[Field]) -> None:
        for begin in range(0, len(fields), FIELDS_MAX):
            part = fields[begin : begin + FIELDS_MAX]
            paths = ", ".join(literal(path(one.source)) for one in part)
            sql = (
                "SELECT spot, kind, count(*) AS n"
                " FROM (SELECT unnest(k) AS kind, generate_subscripts(k, 1) AS spot FROM"
                f" (SELECT json_type(line, [{paths}]) AS k FROM {LINES})) WHERE kind <> 'NULL' GROUP BY ALL"
            )
            for row in self.engine.table(sql, {LINES: self.lines}).to_pylist():
                part[row["spot"] - 1].kinds[row["kind"]] = row["n"]


def source(steps: Sequence[str]) -> str | None:
    """Write keys as `from` names them: None where it cannot.

    >>> source(["user", "id"]), source(["a.b", "c"]), source(["$x"]), source(['"'])
    ('user.id', '$."a.b"."c"', '$."$x"', None)
    """
    if any("\0" in step for step in steps):
        return None
    plain = ".".join(steps)
    if all(map(_PLAIN.fullmatch, steps)) and not plain.startswith("$"):
        return plain
    whole = "$" + "".join(f'."{step}"' for step in steps)
    return whole if is_field(whole) and not any('"' in step or "\\" in step for step in steps) else None
