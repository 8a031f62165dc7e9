"""Texts to typed values, in one SELECT over whole columns, which also says what is not of its type.

A value is taken as it is or not at all: nothing is rounded, cut or guessed.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Final

from shardlake.core.sql import identifier, literal
from shardlake.packs.declared.words import Computed, Read

FAULT: Final = "#fault"
DIGITS_OF_DOUBLE: Final = 15
_NAMES: Final = {
    "BOOLEAN": "true or false",
    "INTEGER": "an integer of 32 bits",
    "BIGINT": "an integer of 64 bits",
    "DOUBLE": "a finite number",
    "DATE": "a date",
    "TIMESTAMP": "a time",
    "VARCHAR": "a text",
}
_FIRST: Final = "TIMESTAMP '0001-01-01'"
_LAST: Final = "TIMESTAMP '9999-12-31 23:59:59.999999'"
_DAY: Final = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})-\d{2}-\d{2}"
_OFFSET: Final = r"[-+](0\d|1[0-4])(:?[0-5]\d)?"
_ISO: Final = rf"\d{{4}}-\d{{2}}-\d{{2}}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{{1,9}})?)?( ?(Z|UTC|{_OFFSET}))?)?"
_WRITTEN: Final = r"(\S.*)?[0-9](.*\S)?"  # strptime passes over blanks, and takes "infinity" and "epoch" by any pattern


def typed_sql(
    read: Sequence[Read],
    computed: Sequence[Computed],
    event_time: str,
    rows: str,
    absent: Container[int] = (),
    kept: Sequence[str] = (),
) -> str:
    """Write the SELECT that makes values of texts.

    `rows` is SQL that gives a column `t0`, `t1` and so on for each of `read` but those that are `absent`, and `#fault`,
    which is 0 for rows that have texts. The result has the columns of `read` and `computed` by their names, those that
    are `kept` as they are, and `#fault`: 0, or what was there, or 1 + 2i where the i-th column is missing, or 2 + 2i
    where it is not of its type.
    """
    there = [(i, one) for i, one in enumerate(read) if i not in absent]
    values = ", ".join(f"{_value(one, f't{i}')} AS v{i}" for i, one in there)
    texts = ", ".join(f"t{i}" for i, _ in there)
    faults = " ".join(_faults(i, one, event_time) for i, one in there)
    named = ", ".join(
        f"{f'NULL::{one.column.type}' if i in absent else f'v{i}'} AS {identifier(one.column.name)}"
        for i, one in enumerate(read)
    )
    fault = f'CASE WHEN "{FAULT}" <> 0 THEN "{FAULT}" {faults} ELSE 0 END AS "{FAULT}"'
    more = "".join(f"{identifier(name)}, " for name in kept)
    sql = f'SELECT {named}, {more}{fault} FROM (SELECT {values}, {texts}, {more}"{FAULT}" FROM ({rows}))'
    if not computed:
        return sql
    made = ", ".join(f"{_computed(one)} AS {identifier(one.column.name)}" for one in computed)
    return f"SELECT *, {made} FROM ({sql})"


def _computed(one: Computed) -> str:
    found = f"TRY(CAST({one.sql} AS {one.column.type}))"
    return _bounded(found) if one.column.type in ("TIMESTAMP", "DATE") else found


def told(read: Sequence[Read], fault: int) -> tuple[bool, str]:
    """Say what a fault from 1 up is: whether something is missing, and the sentence."""
    at, is_type = divmod(fault - 1, 2)
    one = read[at]
    if not is_type:
        return True, f"{one.field} is missing"
    name = _NAMES.get(one.column.type) or f"a {one.column.type} as it stands"
    if one.time not in ("", "iso"):
        name += f" written as {one.time}"
    return False, f"{one.field} is not {name}"


def _faults(at: int, one: Read, event_time: str) -> str:
    is_time = one.column.name == event_time
    missing = f"WHEN t{at} IS NULL THEN {1 + 2 * at} " if one.needed else ""
    early = f" OR v{at} < TIMESTAMP '1970-01-01'" if is_time else ""
    if one.column.type == "VARCHAR":
        return missing
    return f"{missing}WHEN t{at} IS NOT NULL AND (v{at} IS NULL{early}) THEN {2 + 2 * at}"


def _value(one: Read, text: str) -> str:
    kind = one.column.type
    if kind == "VARCHAR":
        return text
    if kind in ("INTEGER", "BIGINT"):
        return f"CASE WHEN regexp_full_match({text}, '[-+]?[0-9]+') THEN TRY_CAST({text} AS {kind}) END"
    if kind == "DOUBLE":
        return _double(text)
    if kind == "BOOLEAN":
        return f"CASE WHEN lower({text}) IN ('true', 'false', '1', '0') THEN TRY_CAST({text} AS BOOLEAN) END"
    if decimal := one.column.decimal:
        return _decimal(text, kind, *decimal)
    return _time(one, text)


def _double(text: str) -> str:
    number = f"TRY_CAST({text} AS DOUBLE)"
    shape = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
    return f"CASE WHEN regexp_full_match({text}, '{shape}') AND isfinite({number}) THEN {number} END"


def _decimal(text: str, kind: str, precision: int, scale: int) -> str:
    """Take digits that fit; and what a JSON number of few digits became when it was written with an exponent."""
    digits = rf"[-+]?[0-9]+(\.[0-9]{{0,{scale}}}0*)?" if scale else r"[-+]?[0-9]+(\.0*)?"
    plain = f"CASE WHEN regexp_full_match({text}, '{digits}') THEN TRY_CAST({text} AS {kind})"
    if precision > DIGITS_OF_DOUBLE:
        return f"{plain} END"
    power = r"[-+]?[0-9](\.[0-9]{1,14})?[eE][-+]?[0-9]+"
    number = f"TRY_CAST(TRY_CAST({text} AS DOUBLE) AS {kind})"
    return (
        f"{plain} WHEN regexp_full_match({text}, '{power}') AND CAST({number} AS DOUBLE) = TRY_CAST({text} AS DOUBLE)"
        f" THEN {number} END"
    )


def _time(one: Read, text: str) -> str:
    if one.column.type == "DATE" and one.time == "iso":
        return f"CASE WHEN regexp_full_match({text}, '{_DAY}') THEN TRY_CAST({text} AS DATE) END"
    found = _instant(one.time, text)
    return f"CAST({found} AS DATE)" if one.column.type == "DATE" else found


def _instant(time: str, text: str) -> str:
    if time == "iso":
        found = f"CASE WHEN regexp_full_match({text}, '{_ISO}') THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
        return _bounded(f"CAST({found} AS TIMESTAMP)")
    if "%" in time:
        sane = f"regexp_full_match({text}, '{_WRITTEN}')"
        if time.endswith("%z"):
            sane += f" AND regexp_matches({text}, '{_OFFSET}$')"
        found = f"CASE WHEN {sane} THEN try_strptime({text}, {literal(time)}) END"
        return _bounded(f"CAST({found} AS TIMESTAMP)")
    if time == "epoch":
        return f"CASE WHEN {_is_number(text, 's')} THEN {_since(text, 's')} ELSE {_since(text, 'ms')} END"
    return _since(text, time)


# Of each unit the most digits before the point, up to the year 5138; how many make a microsecond, or are one.
_UNITS: Final[Mapping[str, tuple[int, str]]] = {
    "s": (11, "* 1000000"),
    "ms": (14, "* 1000"),
    "us": (17, ""),
    "ns": (20, "// 1000"),
}


def _is_number(text: str, unit: str) -> str:
    digits = _UNITS[unit][0] - 1
    return rf"regexp_full_match({text}, '(0|[1-9][0-9]{{0,{digits}}})(\.[0-9]*)?')"


def _since(text: str, unit: str) -> str:
    """Count from 1970: whole numbers as they are, fractions as decimals, which are cut below a microsecond."""
    scale = _UNITS[unit][1]
    whole = f"make_timestamp(TRY_CAST({text} AS BIGINT) {scale})"
    if unit in ("us", "ns"):
        whole = f"make_timestamp(TRY_CAST(split_part({text}, '.', 1) AS BIGINT) {scale})"
        return f"CASE WHEN {_is_number(text, unit)} THEN {whole} END"
    kept = f"regexp_extract({text}, '^[0-9]+[.][0-9]{{0,6}}')"
    exact = f"make_timestamp(CAST(floor(TRY_CAST({kept} AS DECIMAL(32, 6)) {scale}) AS BIGINT))"
    return f"CASE WHEN NOT {_is_number(text, unit)} THEN NULL WHEN contains({text}, '.') THEN {exact} ELSE {whole} END"


def _bounded(found: str) -> str:
    """Leave out what no date can name."""
    return f"CASE WHEN {found} BETWEEN {_FIRST} AND {_LAST} THEN {found} END"
