"""JSON lines to texts: DuckDB extracts all the paths of a line in one parse."""

import re
from collections.abc import Sequence
from typing import Final

from shardlake.core.sql import literal
from shardlake.packs.declared.declaration import Read
from shardlake.packs.declared.values import FAULT

LINES: Final = "lines"
MALFORMED: Final = -1
ROUNDED: Final = 1_000_000  # and the number of the column
_DIGITS_OF_DOUBLE: Final = 15
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\.")
_PATH: Final = re.compile(r'\$(?:\."[^"\\*]+"|\.\w+|\[\d+\])+')
_FIELD: Final = re.compile(r'[^.\[\]"*]+(?:\[\d+\])*(?:\.[^.\[\]"*]+(?:\[\d+\])*)*')


def is_field(field: str) -> bool:
    """Tell whether a text names a field of a JSON object: keys with dots between, or a path that begins with $."""
    return bool(_PATH.fullmatch(field) if field.startswith("$") else _FIELD.fullmatch(field))


def path(field: str) -> str:
    """Write a nested field as a path of DuckDB; what begins with $ is one already.

    >>> path("user.id")
    '$."user"."id"'
    >>> path("items[0].sku")
    '$."items"[0]."sku"'
    """
    if field.startswith("$"):
        return field
    steps = []
    for found in _STEP.finditer(field):
        name, index = found[1], found[2]
        if name is not None:
            steps.append('."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"')
        elif index is not None:
            steps.append(f"[{index}]")
    return "$" + "".join(steps)


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
    return one.column.type == "VARCHAR" or (decimal is not None and decimal[0] > _DIGITS_OF_DOUBLE)
