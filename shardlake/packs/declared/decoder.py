"""Blocks of lines to rows and dead letters, as a declaration says: lines to texts, then texts to values.

Nothing but the line itself and the header above it decides what becomes of a line.
"""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shardlake.adapters.engine import Engine
from shardlake.core.errors import MemoryExhausted, SqlFailed, SumOverflow
from shardlake.packs import arrays
from shardlake.packs.declared import changes, delimited, jsonlines
from shardlake.packs.declared.lines import Flags, Indices, Lines
from shardlake.packs.declared.oddlines import OddCsv, OddLog
from shardlake.packs.declared.shape import Layout
from shardlake.packs.declared.values import FAULT, told, typed_sql
from shardlake.packs.declared.words import NAMED, Declaration, names_of
from shardlake.packs.pack import Decoded, Letter, Reason

PASSED_OVER: Final = "-"
_CHANGES: Final = "changes"  # the table that two statements are planned over
_UNCOMPUTABLE: Final = "its values cannot be computed with"
_MALFORMED: Final[Mapping[str, str]] = {
    "json": "it is not a JSON object",
    "dynamodb": "it is not a change: a Weight of 1 or -1, and an Image whose attributes are written as DynamoDB does",
}


class DeclaredDecoder:
    """Decodes one file or stream. See `shardlake.packs.pack.Decoder` for the contract.

    `fields` are the names of a line's fields; None means that the first line which is not blank names them.
    """

    def __init__(
        self, declared: Declaration, engine: Engine, fields: tuple[str, ...] | None, *, line_bytes_max: int
    ) -> None:
        self._declared, self._engine, self._limit = declared, engine, line_bytes_max
        self._fields = fields
        self._header = declared.delimiter.join(fields or ()).encode() if declared.has_header else b""
        self._unknown: set[str] = set()

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Fields that a header named and no column reads. Sorted."""
        return tuple(sorted(self._unknown))

    def skip(self, block: bytes) -> None:
        """Heed the header of lines that were read before."""
        if self._fields is None:
            self._take_header(Lines.of(block), [])

    def decode(self, block: bytes) -> Decoded:
        """Read the next lines; see the contract."""
        lines = Lines.of(block)
        letters: list[Letter] = []
        rest = self._sound(lines, ~self._is_nothing(lines), letters)
        if self._fields is None and (at := self._take_header(lines, letters)) is not None:
            rest[at] = False
        if self._header:
            rest &= ~((lines.lengths == len(self._header)) & lines.starting_with(self._header))
        rows = np.flatnonzero(rest)
        if self._declared.format in NAMED:
            return self._of_json(lines, rows, letters)
        return self._of_fields(lines, rows, letters)

    def _is_nothing(self, lines: Lines) -> Flags:
        """Tell which lines are blank, or comments."""
        nothing = lines.blank()
        if self._declared.comment:
            nothing |= lines.starting_with(self._declared.comment.encode())
        return nothing

    def _sound(self, lines: Lines, rest: Flags, letters: list[Letter]) -> Flags:
        """Leave out lines that are too long, or not UTF-8."""
        too_long = rest & (lines.lengths > self._limit)
        for at in np.flatnonzero(too_long).tolist():
            detail = f"{int(lines.lengths[at])} bytes; the limit is {self._limit}"
            letters.append(lines.letter(at, Reason.LINE_TOO_LONG, detail))
        broken = rest & ~too_long & lines.not_utf8()
        letters += [lines.letter(at, Reason.INVALID_UTF8, "it is not UTF-8") for at in np.flatnonzero(broken).tolist()]
        return rest & ~too_long & ~broken

    # ---------------------------------------------------------------------------------------------------- json

    def _of_json(self, lines: Lines, rows: Indices, letters: list[Letter]) -> Decoded:
        given = pa.table({"line": lines.texts(rows)})
        if self._declared.format == "dynamodb":
            return self._typed(lines, rows, self._of_changes(given), letters)
        sql = _json_sql(self._declared)
        table = self._run(lambda part: self._engine.table(sql, {jsonlines.LINES: part}), given)
        return self._typed(lines, rows, table, letters)

    def _of_changes(self, given: pa.Table) -> pa.Table:
        """Read images; again, with a statement that costs more, what the quick one cannot read."""
        fast, whole = _changes_sql(self._declared)
        careful = self._engine.prepared(whole, _CHANGES, given.schema)
        try:
            table = self._engine.prepared(fast, _CHANGES, given.schema).table(given)
        except (SqlFailed, SumOverflow):
            return self._run(careful.table, given)
        again = np.flatnonzero(arrays.column_to_numpy(table[FAULT], np.int32) == changes.POWER)
        if not len(again):
            return table
        read = self._run(careful.table, given.take(arrays.from_numpy(again, pa.int64())))
        order = np.arange(given.num_rows)
        order[again] = given.num_rows + np.arange(len(again))
        return pa.concat_tables([table, read]).take(arrays.from_numpy(order, pa.int64()))

    # -------------------------------------------------------------------------------------------------- fields

    def _take_header(self, lines: Lines, letters: list[Letter]) -> int | None:
        """Take the first line that is not blank, nor a comment, for the header: it is a letter if it cannot be one."""
        nothing = self._is_nothing(lines)
        if nothing.all():
            return None
        at = int(np.argmin(nothing))
        self._fields = _names(lines.one(at), self._declared)
        missing = _reader(self._declared, self._fields).missing
        if not missing:
            self._header = lines.one(at)
            read = {one.field.casefold() for one in self._declared.read}
            self._unknown |= {name for name in self._fields if name.casefold() not in read and name != PASSED_OVER}
        elif at not in {letter.index for letter in letters}:
            detail = f"the first line should name the fields, and {missing} is not among them"
            letters.append(lines.letter(at, Reason.NO_HEADER, detail))
        return at

    def _of_fields(self, lines: Lines, rows: Indices, letters: list[Letter]) -> Decoded:
        reader = _reader(self._declared, self._fields or ())
        if reader.missing:
            detail = f"no line above it names the field {reader.missing}"
            letters += [lines.letter(at, Reason.NO_HEADER, detail) for at in rows.tolist()]
            rows = rows[:0]
        rows = self._beginning_as_this_kind(lines, rows, letters)
        found = delimited.read(lines, rows, reader.layout, reader.odd, self._limit)
        letters += found.letters
        table, rows = found.table, found.rows
        if len(rows):
            table, rows = self._of_this_kind(lines, table, rows, letters)
        named = {
            f"t{i}": _column(table, one.field) for i, one in enumerate(self._declared.read) if i not in reader.absent
        }
        table = self._run(lambda part: self._engine.table(reader.sql, {"texts": part}), pa.table(named))
        return self._typed(lines, rows, table, letters)

    def _beginning_as_this_kind(self, lines: Lines, rows: Indices, letters: list[Letter]) -> Indices:
        """Leave out lines of another kind, if the first field tells: they may be cut in another way altogether."""
        first = names_of((self._fields or ("",))[:1], self._declared.format)[0]
        accepted = self._declared.only.get(first, ())
        if not accepted or not len(rows):
            return rows
        cut = re.escape(self._declared.delimiter)
        begins = rf'^"?(?:{"|".join(map(re.escape, accepted))})"?(?:{cut}|[\r\n]|$)'
        is_one = arrays.to_flags(pc.match_substring_regex(lines.texts(rows), pattern=begins))
        letters += [self._other(lines, at, first) for at in rows[~is_one].tolist()]
        return rows[is_one]

    def _other(self, lines: Lines, at: int, field: str) -> Letter:
        return lines.letter(at, Reason.OTHER_KIND, f"its {field} is none of {', '.join(self._declared.only[field])}")

    def _of_this_kind(
        self, lines: Lines, table: pa.Table, rows: Indices, letters: list[Letter]
    ) -> tuple[pa.Table, Indices]:
        """Leave out lines of another kind, which have another value where this kind has one of a few."""
        for name, accepted in self._declared.only.items():
            values = table[name].combine_chunks()
            is_one = arrays.to_flags(pc.is_in(values, value_set=arrays.from_texts(accepted)))
            letters += [self._other(lines, at, name) for at in rows[~is_one].tolist()]
            table, rows = table.filter(arrays.from_flags(is_one)), rows[is_one]
        return table, rows

    # -------------------------------------------------------------------------------------------------- values

    def _typed(self, lines: Lines, rows: Indices, table: pa.Table, letters: list[Letter]) -> Decoded:
        declared = self._declared
        faults = arrays.column_to_numpy(table[FAULT], np.int32)
        if faults.any():
            misread = np.flatnonzero(faults)
            pairs = zip(rows[misread].tolist(), faults[misread].tolist(), strict=True)
            letters += [self._misread(lines, at, fault) for at, fault in pairs]
            is_good = faults == 0
            table, rows = table.filter(arrays.from_flags(is_good)), rows[is_good]
        names = [column.name for column in declared.schema.columns if column.name in table.column_names]
        weights = None
        if declared.schema.weighted:
            weights = arrays.column_to_numpy(table[changes.WEIGHT], np.int32)
        return Decoded(
            table.select(names), rows.astype(np.int64), tuple(sorted(letters, key=lambda x: x.index)), weights
        )

    def _run(self, select: Callable[[pa.Table], pa.Table], rows: pa.Table) -> pa.Table:
        """Run a SELECT. Were there a line on which it fails, halving finds it: that one is MALFORMED."""
        try:
            return select(rows)
        except MemoryExhausted:  # no line is to blame
            raise
        except (SqlFailed, SumOverflow):
            if rows.num_rows > 1:
                middle = rows.num_rows // 2
                halves = (rows.slice(0, middle), rows.slice(middle))
                return pa.concat_tables([self._run(select, half) for half in halves])
            none = select(rows.slice(0, 0))
            fault = np.array([jsonlines.MALFORMED], np.int32)
            columns = [
                arrays.from_numpy(fault, f.type) if f.name == FAULT else pa.nulls(1, f.type) for f in none.schema
            ]
            return pa.Table.from_arrays(columns, schema=none.schema)

    def _misread(self, lines: Lines, at: int, fault: int) -> Letter:
        if fault == jsonlines.MALFORMED:
            return lines.letter(at, Reason.MALFORMED, _MALFORMED.get(self._declared.format, _UNCOMPUTABLE))
        if fault >= changes.OTHER:
            return lines.letter(at, Reason.WRONG_TYPE, changes.told(self._declared.read[fault - changes.OTHER]))
        if fault >= jsonlines.ROUNDED:
            field = self._declared.read[fault - jsonlines.ROUNDED].field
            detail = f"{field} is a number that JSON parsers round: have it written as a text, or declare it DOUBLE"
            return lines.letter(at, Reason.WRONG_TYPE, detail)
        is_missing, detail = told(self._declared.read, fault)
        return lines.letter(at, Reason.MISSING if is_missing else Reason.WRONG_TYPE, detail)


class _Reader:
    """What reads lines of some fields: their layout, the SQL for their texts, and what is needed and not among them."""

    def __init__(self, declared: Declaration, fields: tuple[str, ...]) -> None:
        is_log = declared.format == "log"
        wanted = [*(one.field for one in declared.read), *declared.only]
        names = _matched(names_of(fields, declared.format), wanted)
        needed = [*(one.field for one in declared.read if one.needed), *declared.only]
        self.missing = next((field for field in needed if field not in names), "")
        self.layout = Layout(
            names=tuple(names),
            brackets=frozenset(at for at, field in enumerate(fields) if is_log and field.startswith("[")),
            quotes=frozenset(at for at, field in enumerate(fields) if is_log and field.startswith('"')),
            delimiter=declared.delimiter,
            is_quoted=declared.format != "tsv",
            is_doubled=declared.format == "csv",
            nulls=declared.nulls,
            least=declared.fields_min if declared.fields and fields == declared.fields else len(fields),
            more=is_log,
        )
        absent = {i for i, one in enumerate(declared.read) if one.field not in names}
        self.absent = frozenset(absent if len(absent) < len(declared.read) else absent - {0})  # no table has no column
        self.sql = _sql(declared, f'SELECT *, 0 AS "{FAULT}" FROM texts', self.absent)
        types = {one.field: one.column.type for one in declared.read}
        self.odd: delimited.Odd = OddLog(self.layout, types) if is_log else OddCsv(self.layout)


def _matched(fields: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """Give each field the name by which it is wanted, "" if it is not: by its letters, else whatever their case."""
    names = [""] * len(fields)
    for name in dict.fromkeys(wanted):
        folded = [field.casefold() for field in fields]
        places = [at for at, field in enumerate(fields) if field == name] or [
            at for at, field in enumerate(folded) if field == name.casefold() and not names[at]
        ]
        if places:
            names[places[0]] = name
    return names


@lru_cache(maxsize=32)
def _reader(declared: Declaration, fields: tuple[str, ...]) -> _Reader:
    return _Reader(declared, fields)


@lru_cache(maxsize=32)
def _json_sql(declared: Declaration) -> str:
    return _sql(declared, jsonlines.texts_sql(declared.read), frozenset())


@lru_cache(maxsize=32)
def _changes_sql(declared: Declaration) -> tuple[str, str]:
    """The statement for most images, and the one for any."""
    fast = changes.texts_sql(declared.read, _CHANGES, careful=False)
    whole = changes.texts_sql(declared.read, _CHANGES, careful=True)
    kept = (changes.WEIGHT,)
    return _sql(declared, fast, frozenset(), kept), _sql(declared, whole, frozenset(), kept)


def _sql(declared: Declaration, texts: str, absent: frozenset[int], kept: Sequence[str] = ()) -> str:
    return typed_sql(declared.read, declared.computed, declared.schema.event_time, texts, absent, kept)


def _names(header: bytes, declared: Declaration) -> tuple[str, ...]:
    text = header.decode("utf-8", "replace").strip(" \t\r" if declared.delimiter == " " else "\r")
    if declared.format == "tsv":
        return tuple(name.strip() for name in text.split(declared.delimiter))
    try:
        [names] = csv.reader([text], delimiter=declared.delimiter)
    except csv.Error:  # it names nothing, and so is no header
        return ()
    return tuple(name.strip() for name in names)


def _column(table: pa.Table, field: str) -> pa.ChunkedArray:
    return table[field] if field in table.column_names else pa.nulls(table.num_rows, pa.string())
