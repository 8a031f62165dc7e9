"""A pack that was declared in a folder: its columns, views and queries, and decoders for its lines."""

from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

import pyarrow as pa

from shardlake.adapters.arrow import plain_type
from shardlake.adapters.engine import Engine
from shardlake.core.errors import ConfigError, SqlFailed
from shardlake.core.schema import Column, SourceSchema
from shardlake.packs import arrays
from shardlake.packs.bots.columns import TOLD
from shardlake.packs.declared import declaration, paths
from shardlake.packs.declared.decoder import PASSED_OVER, DeclaredDecoder
from shardlake.packs.declared.values import FAULT, typed_sql
from shardlake.packs.declared.words import NAMED, Computed, Declaration, Read, names_of
from shardlake.packs.pack import LINE_BYTES_MAX, Decoder

if TYPE_CHECKING:
    from shardlake.packs.bots.agents import Agents


class DeclaredPack:
    """The pack in a folder. See `shardlake.packs.pack.Pack` for the contract."""

    def __init__(self, folder: Traversable, name: str) -> None:
        """Read the folder of the pack that is called `name`, unless it names itself. Raises: ConfigError."""
        self._declared = declaration.load(folder, name)
        self.name = self._declared.name
        self.schema = _schema(self._declared)
        self.views: Mapping[str, str] = _texts(folder, "views")
        self.queries: Mapping[str, str] = _texts(folder, "queries")
        self.optional = self._declared.optional
        if unknown := self.optional - self.views.keys():
            raise ConfigError(f"{folder}: optional names {min(unknown)}, which is no view in its folder views")
        self.derived: Mapping[str, tuple[str, ...]] = _derived(self._declared)
        self.sort_keys = self._declared.sort
        self.stream_fields = self._declared.fields
        self._agents = _agents() if self._declared.user_agent else None
        self._engine: Engine | None = None
        self._events = pa.schema([(c.name, _arrow_type(c)) for c in self.schema.columns])

    @property
    def image(self) -> str:
        """The column that holds the whole image of an item; "" if there is none."""
        return next((one.column.name for one in self._declared.read if one.holds == "image"), "")

    def reading_of(self, columns: Iterable[str]) -> str:
        """Say how columns are read, and those that they are computed of: equal texts are equal values, row by row."""
        read = {one.column.name: one for one in self._declared.read}
        made = {one.column.name: one for one in self._declared.computed}
        chosen = set(columns)
        sql = [(name, made[name].column.type, made[name].sql) for name in sorted(chosen & made.keys())]
        for name in chosen & made.keys():
            chosen |= set(made[name].origins)
        fields = [(one.column.name, one.column.type, one.field, one.time, one.holds)
                  for name, one in sorted(read.items()) if name in chosen]  # fmt: skip
        return repr((sql, fields))

    def bucket_key(self, object_name: str) -> str | None:
        """Give what the groups of the declared pattern find in an object's name."""
        pattern = self._declared.bucket
        found = pattern.search(object_name) if pattern else None
        return ".".join(part or "" for part in found.groups()) or found[0] if found else None

    def open(
        self,
        origin: str,  # noqa: ARG002 - a line says all there is to say, whatever its file is called
        fields: tuple[str, ...] | None = None,
        *,
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> Decoder:
        """Make a decoder for a file called `origin`, or for lines without a header that have these fields.

        Raises: ConfigError.
        """
        declared = self._declared
        if declared.format in NAMED:
            if fields:
                kind = "JSON" if declared.format == "json" else "changes"
                raise ConfigError(
                    f"source.fields is set, and the lines of {self.name} are {kind}, which name their own"
                )
            named: tuple[str, ...] | None = ()
        elif fields is None:
            named = None if declared.has_header else declared.fields
        else:
            named = self._checked(fields)
        if self._engine is None:
            self._engine = Engine(threads=1)
            self._try(self._engine)
        return DeclaredDecoder(declared, self._engine, named, line_bytes_max=line_bytes_max)

    def enrich(self, rows: pa.Table) -> pa.Table:
        """Classify user agents, each distinct one once."""
        columns = {name: rows[name] for name in rows.column_names}
        if self._agents is not None:
            columns |= self._agents.columns(arrays.encoded(rows[self._declared.user_agent]))
        ordered = [columns[name].cast(kind) for name, kind in zip(self._events.names, self._events.types, strict=True)]
        return pa.Table.from_arrays(ordered, schema=self._events)

    def _try(self, engine: Engine) -> None:
        """Make values of a row without any, so that a wrong pattern is told at once. Raises: ConfigError."""
        declared, event_time = self._declared, self.schema.event_time
        none = pa.table({f"t{i}": pa.nulls(1, pa.string()) for i in range(len(declared.read))})
        texts = f'SELECT *, 0 AS "{FAULT}" FROM texts'
        parts: list[tuple[str, tuple[Read, ...], tuple[Computed, ...]]] = [
            *((f"{one.column.name}.time", (one,), ()) for one in declared.read),
            *((f"{one.column.name}.is", declared.read, (one,)) for one in declared.computed),
        ]
        for key, read, computed in parts:
            try:
                engine.table(typed_sql(read, computed, event_time, texts), {"texts": none})
            except SqlFailed as error:
                raise ConfigError(f"pack {self.name}: columns.{key} cannot be computed: {error}") from error

    def _checked(self, fields: tuple[str, ...]) -> tuple[str, ...]:
        if not fields:
            raise ConfigError(f"source.fields is not set: name the fields of {self.name}'s lines, in their order")
        known = {one.field.casefold() for one in self._declared.read} | {n.casefold() for n in self._declared.only}
        plain = [name.casefold() for name in names_of(fields, self._declared.format)]
        declared = {name.casefold() for name in names_of(self._declared.fields, self._declared.format)}
        for field, name in zip(fields, plain, strict=True):
            if name not in known | declared | {PASSED_OVER}:
                names = ", ".join(sorted({one.field for one in self._declared.read}))
                raise ConfigError(f"{self.name} has no field {field!r}; accepted: {names}, and - to pass one over")
        needed = [one.field for one in self._declared.read if one.needed]
        if missing := [field for field in [*needed, *self._declared.only] if field.casefold() not in plain]:
            raise ConfigError(f"source.fields lacks {missing[0]}, without which a line of {self.name} says nothing")
        return fields


def _agents() -> "Agents":
    from shardlake.packs.bots.agents import Agents  # noqa: PLC0415 - patterns, for those whose lines have user agents

    return Agents()


def _schema(declared: Declaration) -> SourceSchema:
    if not declared.user_agent:
        return declared.schema
    names = {c.name.lower() for c in declared.schema.columns}
    if taken := [c.name for c in TOLD if c.name in names]:
        raise ConfigError(f"pack {declared.name}: the column {taken[0]} is made of user_agent: call yours otherwise")
    given = declared.schema
    return SourceSchema(given.name, given.columns + TOLD, given.event_time, given.event_id, given.weighted)


def _derived(declared: Declaration) -> dict[str, tuple[str, ...]]:
    """Tell what each column repeats: columns of its field, of parts of it and of wholes, and those it is made of."""
    repeats = {
        one.column.name: {o.column.name for o in declared.read if o is not one and _overlap(declared, o, one)}
        for one in declared.read
    }
    made = {one.column.name: one.origins for one in declared.computed}
    made |= {"user_agent": (declared.user_agent,)} if declared.user_agent else {}
    repeats |= {name: {*origins}.union(*(repeats[one] for one in origins)) for name, origins in made.items()}
    return {name: tuple(sorted(found)) for name, found in repeats.items() if found}


def _overlap(declared: Declaration, one: Read, other: Read) -> bool:
    if declared.format not in NAMED:
        return one.field.casefold() == other.field.casefold()
    if "event" in (one.holds, other.holds):
        return one.holds == other.holds
    mine, theirs = paths.steps(one.field), paths.steps(other.field)
    shorter = min(len(mine), len(theirs))
    return mine[:shorter] == theirs[:shorter]


def _arrow_type(column: Column) -> pa.DataType:
    is_coded = column in TOLD and column.type == "VARCHAR"
    return pa.dictionary(pa.int32(), pa.string()) if is_coded else plain_type(column)


def _texts(folder: Traversable, kind: str) -> Mapping[str, str]:
    inside = folder.joinpath(kind)
    if not inside.is_dir():
        return {}
    files = [f for f in inside.iterdir() if f.name.endswith(".sql") and not f.name.startswith(".")]
    try:
        return {f.name.removesuffix(".sql"): f.read_text("utf-8") for f in sorted(files, key=lambda f: f.name)}
    except UnicodeDecodeError as error:
        raise ConfigError(f"a file of {inside} is not UTF-8: write it again") from error
