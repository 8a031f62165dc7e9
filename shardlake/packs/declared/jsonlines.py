"""JSON lines to texts: DuckDB extracts all the paths of a line in one parse."""

import re
from collections.abc import Sequence
from typing import Final

from shardlake.core.sql import literal
from shardlake.packs.declared.declaration import Read
from shardlake.packs.declared.values import DIGITS_OF_DOUBLE, FAULT

LINES: Final = "lines"
MALFORMED: Final = -1
ROUNDED: Final = 1_000_000  # and the number of the column
_STEP: Final = re.compile(r'"([^"]+)"|\[(\d{1,9})\]|([^.\[\]"]+)')
_PATH: Final = re.compile(r'\$(?:\."[^"\\]+"|\.\w+|\[\d{1,9}\])+')
_FIELD: Final = re.compile(r'[^.\[\]"*]+(?:\[\d{1,9}\])*(?:\.[^.\[\]"*]+(?:\[\d{1,9}\])*)*')


def is_field(field: str) -> bool:
    """Tell whether a text names a field of a JSON object: keys with dots between, or a path that begins with $."""
    found = _PATH.fullmatch(field) if field.startswith("$") else _FIELD.fullmatch(field)
    return bool(found) and not any(str(step).strip("*") == "" for step in steps(field))  # that would be any key


def steps(field: str) -> tuple[str | int, ...]:
    """The keys and places that lead to a field, however its path is written.

    >>> steps("items[0].sku") == steps('$."items"[00].sku')
    True
    """
    found = _STEP.finditer(field.removeprefix("$"))
    return tuple(int(step[2]) if step[2] else step[1] or step[3] for step in found)


def path(field: str) -> str:
    """Write a field as a path of DuckDB.

    >>> path("user.id")
    '$."user"."id"'
    >>> path("items[0].sku")
    '$."items"[0]."sku"'
    """
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps(field))


def texts_sql(read: Sequence[Read]) -> str:
    """Write the SELECT that gives a text column for each of `read`, and `#fault`, over the column `line` of `lines`.

    A line that is not a JSON object is MALFORMED. A number with a fraction or an exponent is a double to JSON parsers,
    which write it in another way than it stood there: it is ROUNDED where a column would keep all of its digits.
    """
    paths = ", ".join(literal(path(one.field)) for one in read)
    columns = ", ".join(f"x[{i + 1}] AS t{i}" for i in range(len(read)))
    wide = [i for i, one in enumerate(read) if _keeps_digits(one)]
    kinds = ", ".join(literal(path(read[i].field)) for i in wide)
    kind = f"json_type(line, [{kinds}])" if wide else "NULL"
    rounded = " ".join(f"WHEN k[{n + 1}] = 'DOUBLE' THEN {ROUNDED + i}" for n, i in enumerate(wide))
    return (
        f'SELECT {columns}, CASE WHEN NOT ok THEN {MALFORMED} {rounded} ELSE 0 END AS "{FAULT}"'
        f" FROM (SELECT ok, CASE WHEN ok THEN json_extract_string(line, [{paths}]) END AS x,"
        f" CASE WHEN ok THEN {kind} END AS k"
        rf" FROM (SELECT line, json_valid(line) AND regexp_matches(line, '^\s*\{{') AS ok FROM {LINES}))"
    )


def _keeps_digits(one: Read) -> bool:
    decimal = one.column.decimal
    return one.column.type == "VARCHAR" or (decimal is not None and decimal[0] > DIGITS_OF_DOUBLE)
