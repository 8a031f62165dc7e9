"""Words that mean that there is no value, in fields which otherwise hold numbers or times."""

from typing import Final

import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.core.sql import literal

WORDS: Final = ("-", "NULL", "null", "N/A", "n/a", "NA", "None", "none", "nil", r"\N", "NaN", "nan", "?")
_VALUE: Final = (
    r"[-+]?[0-9][0-9.,]*([eE][-+]?[0-9]+)?|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9].*|[0-9]{1,2}/[A-Z][a-z]{2}/.*"
)


def null_words(texts: pa.Table, engine: Engine) -> tuple[str, ...]:
    """Find the words for NULL in text columns: those in a column whose other values are all numbers or times."""
    words = ", ".join(map(literal, WORDS))
    found: set[str] = set()
    for name in texts.column_names:
        sql = f"""SELECT list(DISTINCT t) FILTER (t IN ({words})) AS words, count(*) FILTER (t NOT IN ({words})) AS n,
            count(*) FILTER (t NOT IN ({words}) AND regexp_full_match(t, '{_VALUE}')) AS of_kind
            FROM (SELECT {name} AS t FROM texts)"""
        [row] = engine.table(sql, {"texts": texts}).to_pylist()
        if row["n"] and row["n"] == row["of_kind"]:
            found |= {*(row["words"] or ())}
    return tuple(word for word in WORDS if word in found)
