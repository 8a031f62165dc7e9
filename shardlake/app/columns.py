"""The columns that events of a source ever had: a type that changed is refused before anything is written with it."""

from typing import Final

from shardlake.core.errors import ConfigError, Conflict
from shardlake.core.journal import rows
from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import ColumnsRow
from shardlake.core.schema import SourceSchema

_TRIES: Final = 5  # several workers may begin at once, each with new columns


def fix_columns(journal: Journal, source: str, schema: SourceSchema) -> None:
    """Note the columns of a source that are new, so that they keep their types for ever.

    What is stored once stays readable only if a column never changes its type; columns may come and go otherwise.
    Raises: ConfigError if one had another type; Conflict if others are noting theirs without end.
    """
    key = rows.columns_key(source)
    for attempt in range(1, _TRIES + 1):
        stored = journal.get([key]).get(key)
        known = rows.decode(ColumnsRow, key, stored).columns if stored is not None else {}
        _check(source, known, schema)
        if stored is not None and schema.weighted:
            _check_same(source, known, schema)
        wanted = {**known, **{column.name: column.type for column in schema.columns}}
        if wanted == known:
            return
        try:
            journal.transact([Write(key, stored, rows.encode(ColumnsRow(source, wanted)))])
        except Conflict:
            if attempt == _TRIES:
                raise
        else:
            return


def _check_same(source: str, known: dict[str, str], schema: SourceSchema) -> None:
    """See that an image is taken back with the columns that it came with. Raises: ConfigError."""
    own = {column.name for column in schema.columns}
    changed = sorted(name for name in own.symmetric_difference(known) if not name.startswith("_"))
    if changed:
        said = "new" if changed[0] in own else "gone"
        raise ConfigError(
            f"column {changed[0]} of {source} is {said}, and {source} is a stream of changes: what came without it"
            " would be taken back with it; set the columns back, or load the table again with another root"
        )


def _check(source: str, known: dict[str, str], schema: SourceSchema) -> None:
    spelt = {name.lower(): name for name in known}
    for column in schema.columns:
        before = known.get(column.name, column.type)
        if before != column.type:
            raise ConfigError(
                f"column {column.name} of {source} is {column.type}, and was {before} in events that are stored: give"
                " it its old type, or another name"
            )
        name = spelt.get(column.name.lower(), column.name)
        if name != column.name:
            raise ConfigError(
                f"column {column.name} of {source} is called {name} in events that are stored, and SQL does not tell"
                " capitals from small letters: call it so, or give it another name"
            )
