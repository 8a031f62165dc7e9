"""JSON lines to texts: DuckDB extracts all the paths of a line in one parse."""

from collections.abc import Sequence
from typing import Final

from shardlake.core.sql import literal
from shardlake.packs.declared.paths import path
from shardlake.packs.declared.values import DIGITS_OF_DOUBLE, FAULT
from shardlake.packs.declared.words import Read

LINES: Final = "lines"
MALFORMED: Final = -1
ROUNDED: Final = 1_000_000  # and the number of the column


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
