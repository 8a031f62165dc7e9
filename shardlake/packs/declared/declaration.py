"""What `pack.toml` says: the format of the lines, and the columns that are made of them."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from typing import Final, NoReturn

import msgspec

from shardlake.core.errors import ConfigError, Terminal, ViewRefused
from shardlake.core.schema import EVENT_COLUMNS, MASTER_COLUMNS, Column, SourceSchema
from shardlake.packs.declared.paths import is_field
from shardlake.packs.declared.words import NAMED, Computed, Declaration, Format, Holds, Read, names_of

FILE: Final = "pack.toml"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_COLUMN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_UNKNOWN: Final = re.compile("unknown field `(.*?)`")
# What the library calls the kinds of values, in TOML's words.
_KINDS: Final = {
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "float": "a number",
}
_FREE: Final = ("about", "delimiter", "description", "is")
_DATE_PARTS: Final = ("Yycx", "mbBjcx", "djcx")
TIMES: Final = ("iso", "s", "ms", "us", "ns", "epoch")
# The types of DynamoDB that a column may be made of, the usual one first.
_HOLDS: Final[Mapping[str, tuple[Holds, ...]]] = {
    "VARCHAR": ("S", "N", "B", "any", "image", "event"),
    "BOOLEAN": ("BOOL", "N", "S"),
    "DATE": ("S",),
    "TIMESTAMP": ("S", "N"),
}
_WHOLE: Final = ("image", "event")  # of the change, not of an attribute


class _Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One column: where it comes from, or what it is computed as."""

    type: str = ""
    from_: str = msgspec.field(default="", name="from")
    is_: str = msgspec.field(default="", name="is")
    time: str = ""
    holds: str = ""
    needed: bool = False
    about: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `pack.toml`."""

    format: Format
    columns: dict[str, str | _Column]
    event_time: str
    event_id: str = ""
    name: str = ""
    description: str = ""
    fields: tuple[str, ...] = ()
    header: bool = False
    fields_min: int = 0
    delimiter: str = ""
    nulls: tuple[str, ...] | None = None
    comment: str = ""
    only: dict[str, tuple[str, ...]] = {}
    user_agent: str = ""
    sort: tuple[str, ...] = ()
    bucket: str = ""
    optional: tuple[str, ...] = ()


_DELIMITERS: Final[Mapping[str, str]] = {"json": "", "csv": ",", "tsv": "\t", "log": " ", "dynamodb": ""}
_NULLS: Final[Mapping[str, tuple[str, ...]]] = {
    "json": (),
    "csv": ("",),
    "tsv": ("", "-"),
    "log": ("-",),
    "dynamodb": (),
}


def load(folder: Traversable, name: str) -> Declaration:
    """Read the declaration of the pack in a folder called `name`. Raises: ConfigError with the place and what to do."""
    file = folder.joinpath(FILE)
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"there is no {file} that can be read: a pack is a folder with a {FILE} in it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8: write it again") from error
    return parse(text, name, str(file))


def parse(text: str, name: str, place: str) -> Declaration:
    """Read a declaration. Raises: ConfigError with the place and what is accepted."""
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place} is not TOML: {error}") from error
    try:
        given = msgspec.convert(read, _File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {_spoken(str(error), read)}") from error
    if (odd := _odd_text(read)) is not None:
        raise ConfigError(f"{place}: {odd!r} holds a character that cannot be seen: write it without")
    return _Checked(given, given.name or name, place).declaration()


def _odd_text(value: object, key: str = "") -> str | None:
    """Find a text, beside those for people, that holds what no field and no pattern has."""
    if isinstance(value, dict):
        return next((odd for k, v in value.items() if (odd := _odd_text(k) or _odd_text(v, k)) is not None), None)
    if isinstance(value, list):
        return next((odd for one in value if (odd := _odd_text(one, key)) is not None), None)
    is_odd = isinstance(value, str) and key not in _FREE and not value.isprintable()
    return str(value) if is_odd else None


def _spoken(error: str, given: Mapping[str, object]) -> str:
    """Say what is wrong in TOML's words, with the key and what is accepted."""
    what, _, where = error.partition(" - at `$.")
    key = where.rstrip("`").replace("[...]", ".*")
    if unknown := _UNKNOWN.search(what):
        return _unknown_key(unknown[1], key, given)
    if key == "format":
        return f"format is {given.get('format')!r}; accepted: {', '.join(_DELIMITERS)}"
    for name, plain in _KINDS.items():
        what = what.replace(f"`{name}`", plain)
    return f"{key + ': ' if key else ''}{what}"


def _unknown_key(name: str, key: str, given: Mapping[str, object]) -> str:
    columns = given.get("columns")
    kind = _Column if key.startswith("columns") else _File
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    if kind is _Column and isinstance(columns, dict):
        key = next((f"columns.{c}" for c, one in columns.items() if isinstance(one, dict) and name in one), key)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"accepted: {', '.join(names)}"
    return f"{key + ': ' if key else ''}there is no key {name}; {hint}"


@dataclass(frozen=True, slots=True)
class _Checked:
    """A declaration being checked."""

    given: _File
    name: str
    place: str

    def refuse(self, what: str) -> NoReturn:
        raise ConfigError(f"{self.place}: {what}")

    def declaration(self) -> Declaration:
        given = self.given
        if not _NAME.fullmatch(self.name):
            self.refuse(f"{self.name!r} is no name for a pack: small letters, digits and _, a letter first; set `name`")
        read = tuple(self._read(name, one) for name, one in self._columns() if not one.is_)
        self._check_layout()
        schema = self._schema([r.column for r in read])
        computed = tuple(self._computed(name, one, schema) for name, one in self._columns() if one.is_)
        schema = self._schema([*schema.columns, *(c.column for c in computed)])
        return Declaration(
            name=self.name,
            description=given.description,
            format=given.format,
            delimiter=given.delimiter or _DELIMITERS[given.format],
            nulls=_NULLS[given.format] if given.nulls is None else given.nulls,
            comment=given.comment,
            has_header=given.header,
            fields=given.fields,
            fields_min=given.fields_min or len(given.fields),
            only=given.only,
            read=read,
            computed=computed,
            schema=schema,
            user_agent=self._user_agent(read),
            sort=self._sort(schema),
            bucket=self._bucket(),
            optional=frozenset(given.optional),
        )

    def _columns(self) -> Iterator[tuple[str, _Column]]:
        for name, declared in self.given.columns.items():
            yield name, _Column(type=declared) if isinstance(declared, str) else declared

    def _read(self, name: str, one: _Column) -> Read:
        self._check_name(name, is_hidden=one.holds == "event")
        column = Column(name, one.type.upper(), one.about)
        needed = one.needed or name == self.given.event_time
        time, holds = self._time(f"columns.{name}", column, one.time), self._holds(name, one)
        return Read(column, "" if holds in _WHOLE else one.from_ or name, time, needed, holds)

    def _holds(self, name: str, one: _Column) -> Holds:
        """Choose what an attribute of DynamoDB holds, by the column's type, and check what is said of it."""
        key, kind = f"columns.{name}.holds", one.type.upper()
        if self.given.format != "dynamodb":
            if one.holds:
                self.refuse(f"{key} is for format dynamodb, whose attributes have types of their own")
            return ""
        accepted = _HOLDS.get(kind, ("N", "S"))
        holds = one.holds or ("N" if kind == "TIMESTAMP" and one.time in TIMES[1:] else accepted[0])
        if (found := next((known for known in accepted if known == holds), None)) is None:
            self.refuse(f"{key} is {holds!r}; accepted for {kind}: {', '.join(accepted)}")
        if found in _WHOLE and one.from_:
            self.refuse(f"{key} is {found!r}, which is no attribute: leave `from` out")
        return found

    def _computed(self, name: str, one: _Column, schema: SourceSchema) -> Computed:
        from shardlake.core.compiler import compile_expression  # noqa: PLC0415 - a parser, for those who need it

        self._check_name(name)
        if one.from_ or one.time or one.type or one.needed or one.holds:
            self.refuse(f"columns.{name}: what `is` computes has its type from there; leave the other keys out")
        try:
            found = compile_expression(name, one.is_, schema)
        except ViewRefused as error:
            self.refuse(f"columns.{name}.is: {error.reason} (at {error.column}); {error.rewrite}")
        return Computed(Column(name, found.type, one.about), found.sql, found.columns)

    def _check_name(self, name: str, *, is_hidden: bool = False) -> None:
        taken = {c.name for c in (*EVENT_COLUMNS, *MASTER_COLUMNS)}
        if is_hidden and not name.startswith("_"):
            self.refuse(
                f"columns.{name} tells of the change and not of the item, so that a view cannot count by it: call it"
                f" _{name}"
            )
        if not _COLUMN.fullmatch(name[is_hidden:]) or name.lower() in taken:
            self.refuse(f"columns.{name} is no name for a column: letters, digits and _, a letter first")
        if [n.lower() for n in self.given.columns].count(name.lower()) > 1:
            self.refuse(f"columns.{name} is there twice: SQL does not tell capitals from small letters")

    def _time(self, key: str, column: Column, time: str) -> str:
        if column.type not in ("TIMESTAMP", "DATE"):
            if time:
                self.refuse(f"{key}.time is for TIMESTAMP and DATE, and this is {column.type or 'without a type'}")
            return ""
        if time and time not in TIMES and "%" not in time:
            self.refuse(
                f"{key}.time is {time!r}; accepted: {', '.join(TIMES)}, or a pattern such as %d/%b/%Y:%H:%M:%S %z"
            )
        if "%" in time and not all({*found} & {*re.findall("%-?(.)", time)} for found in _DATE_PARTS):
            self.refuse(f"{key}.time is {time!r}, which does not tell year, month and day, or their like (%Y %m %d)")
        if "%z" in time.removesuffix("%z"):
            self.refuse(f"{key}.time is {time!r}; %z, the offset, stands at the end")
        if column.type == "DATE" and (time in TIMES[1:] or re.search("%-?[HIMSfpzZcXs]", time)):
            self.refuse(f"{key}.time is {time!r}, which tells a time of day: make it a TIMESTAMP")
        return time or "iso"

    def _schema(self, columns: Sequence[Column]) -> SourceSchema:
        given = self.given
        by_name = {c.name: c for c in columns}
        try:
            is_weighted = given.format == "dynamodb"
            schema = SourceSchema(self.name, tuple(columns), given.event_time, given.event_id or None, is_weighted)
        except Terminal as error:
            self.refuse(str(error))
        for key, name in (("event_time", given.event_time), ("event_id", given.event_id)):
            if name and name not in by_name:
                self.refuse(f"{key} is {name!r}, which is no column; there are: {', '.join(by_name)}")
        if by_name[given.event_time].type != "TIMESTAMP":
            self.refuse(
                f"event_time is {given.event_time!r}, which is {by_name[given.event_time].type}: make it a TIMESTAMP"
            )
        if given.event_id and by_name[given.event_id].type != "VARCHAR":
            self.refuse(f"event_id is {given.event_id!r}, which must be VARCHAR, because ids are compared as texts")
        return schema

    def _check_layout(self) -> None:
        given = self.given
        if given.format in NAMED:
            named = [k for k in ("fields", "header", "fields_min", "delimiter", "nulls", "only") if getattr(given, k)]
            if named:
                one = "a JSON line" if given.format == "json" else "a change"
                self.refuse(f"{named[0]} is for lines of fields; {one} names its own")
            return self._check_paths()
        if len(given.delimiter.encode()) > 1 or given.delimiter in ('"', "\n", "\r"):
            self.refuse(f"delimiter is {given.delimiter!r}; accepted: one ASCII character")
        if not given.header and not given.fields:
            self.refuse(
                "nothing names the fields: set header = true if the first line of a file does, or list them in fields"
            )
        plain = names_of(given.fields, given.format)
        if repeated := [f for f in plain if plain.count(f) > 1 and f != "-"]:
            self.refuse(f"fields names {repeated[0]} twice; a field to pass over is called -")
        self._check_spellings()
        wanted = {*(c.from_ if isinstance(c, _Column) and c.from_ else n for n, c in given.columns.items()
                    if not (isinstance(c, _Column) and c.is_)), *given.only}  # fmt: skip
        if given.fields and not given.header and (missing := wanted - set(plain)):
            self.refuse(f"fields does not name {min(missing)}, which a column reads")
        if not 0 <= given.fields_min <= len(given.fields):
            self.refuse(f"fields_min is {given.fields_min}; accepted: up to the number of fields, {len(given.fields)}")

    def _check_spellings(self) -> None:
        """A header is read whatever its case, so that one field has one spelling."""
        spelt: dict[str, str] = {}
        for name, one in self._columns():
            field = one.from_ or name
            if not one.is_ and spelt.setdefault(field.casefold(), field) != field:
                self.refuse(f"columns.{name} reads {field}, and another column {spelt[field.casefold()]}: choose one")

    def _check_paths(self) -> None:
        for name, one in self._columns():
            if not one.is_ and not is_field(one.from_ or name):
                self.refuse(
                    f"columns.{name}.from is {one.from_!r}; accepted: keys with dots between, such as user.id or"
                    ' items[0].sku, or a path such as $."a.b".c'
                )

    def _user_agent(self, read: Sequence[Read]) -> str:
        name = self.given.user_agent
        if name and name not in {r.column.name for r in read if r.column.type == "VARCHAR"}:
            self.refuse(f"user_agent is {name!r}; accepted: a VARCHAR column that is read")
        if name == "user_agent":
            self.refuse("user_agent is the column of the decoded text: call the one that is read otherwise")
        return name

    def _sort(self, schema: SourceSchema) -> tuple[str, ...]:
        names = {c.name for c in schema.columns}
        if unknown := [name for name in self.given.sort if name not in names]:
            self.refuse(f"sort names {unknown[0]}, which is no column; there are: {', '.join(sorted(names))}")
        return self.given.sort or (schema.event_time,)

    def _bucket(self) -> re.Pattern[str] | None:
        if not self.given.bucket:
            return None
        try:
            return re.compile(self.given.bucket)
        except re.error as error:
            self.refuse(f"bucket is no regular expression: {error}")
