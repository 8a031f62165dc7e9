"""What is counted of a table's changes, beside what the table holds: the rows that are lacking, and those too many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import MASTER, read_manifests, read_positions
from shardlake.adapters.table_files import checked
from shardlake.core.bootstrap import bootstrap_of
from shardlake.core.chain import advance
from shardlake.core.combine import read_parquet
from shardlake.core.errors import Missing
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Positions
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import ObjectStore, TableFile, Tables
from shardlake.core.schema import Column, SourceSchema
from shardlake.core.sql import identifier, literal

REREADS_MAX: Final = 5
_PLACE: Final = (Column("_shard", "VARCHAR"), Column("_sequence", "VARCHAR"), Column("_sub", "BIGINT"))
_WEIGHT: Final = Column("_weight", "INTEGER")


@dataclass(frozen=True, slots=True)
class Counted:
    """All rows that are counted at a cut: in files of the master dataset, and in segments beyond its seam."""

    positions: Positions
    files: tuple[TableFile, ...]
    segments: tuple[ObjectRef, ...]

    def paths(self, store: ObjectStore) -> list[str]:
        """Give the local paths of the files that hold them. Raises: Missing if one is not there any more."""
        return [*map(checked, self.files), *map(store.path, self.segments)]


@dataclass(frozen=True, slots=True)
class Since:
    """How far a shard was counted at an earlier moment, and how many generations of shards went before it."""

    at: str
    generation: int


def counted(journal: Journal, store: ObjectStore, tables: Tables) -> Counted:
    """Look at everything that is counted now. Raises: Corrupt if tables and journal contradict each other; Missing."""
    for _ in range(REREADS_MAX):
        pointer = reading.read_pointers(journal).get(MASTER)
        master = tables.load(pointer.table) if pointer is not None else None
        if pointer is not None and master is None:
            continue
        beyond = reading.read_beyond(journal, *([master.seam] if master else []))
        entries = beyond.after(master.seam) if master else [e for of in beyond.entries.values() for e in of]
        manifests = read_manifests(store, entries)
        positions = advance(read_positions(store, master), manifests)
        segments = tuple(m.segment for m in manifests if m.segment is not None)
        return Counted(positions, tuple(master.files) if master else (), segments)
    raise Missing("the master dataset is replaced faster than it can be read: try again")


def lacking(
    engine: Engine,
    schema: SourceSchema,
    keys: Sequence[str],
    source: str,
    scanned: Sequence[str],
    paths: Sequence[str],
    since: Mapping[str, Since],
    target: str,
) -> int:
    """Write the rows that make what is counted equal to what a table holds as a file; return how many they are.

    `scanned` are files with rows of all items, each as it was at some moment since the shards were counted as `since`
    says; `paths` hold what is counted now. An item that changed since then is as its last change left it, the others
    are as they were scanned. What a row has more or less often than that is to be given back, or to be added.
    Raises: as `Engine.copy`.
    """
    columns = [column for column in schema.columns if not column.name.startswith("_")]
    names = ", ".join(identifier(column.name) for column in columns)
    key = ", ".join(map(identifier, keys))
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM l.{name}" for name in map(identifier, keys))
    system = ", ".join(map(literal, (bootstrap_of(source), f"dlq/{source}")))
    sql = f"""
WITH counted AS NOT MATERIALIZED (
    SELECT {names}, _shard, _sequence, _sub, _weight
    FROM {_read(paths, (*columns, *_PLACE, _WEIGHT))}
    WHERE starts_with(_shard, {literal(f"{source}/")}) OR _shard IN ({system})
), since(shard, counted_at, generation) AS ({_values(since)}),
last AS (
    SELECT counted.* FROM counted JOIN since ON _shard = shard AND _sequence > counted_at
    QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY generation DESC, _sequence DESC, _sub DESC) = 1
), held AS (
    SELECT {names} FROM (SELECT DISTINCT ON ({key}) * FROM {_read(scanned, columns)}) s ANTI JOIN last l ON {same}
    UNION ALL
    SELECT {names} FROM last WHERE _weight = 1
), net AS (
    SELECT {names}, sum(_w)::BIGINT AS _n
    FROM (SELECT {names}, 1 AS _w FROM held UNION ALL SELECT {names}, -_weight FROM counted)
    GROUP BY {names} HAVING sum(_w) <> 0
)
SELECT {names}, sign(_n)::INTEGER AS _weight
FROM (SELECT *, unnest(range(abs(_n))) AS _i FROM net)
ORDER BY _weight DESC, {identifier(schema.event_time)}, {key}
"""
    return engine.copy(sql, target)[0]


def _read(paths: Sequence[str], columns: Sequence[Column]) -> str:
    """Write files as a relation with these columns; a file that lacks one has NULL in it."""
    if not paths:
        nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in columns)
        return f"(SELECT {nulls} WHERE false)"
    told = (f"'name': {literal(c.name)}, 'type': '{c.type}', 'default_value': NULL" for c in columns)
    schema = ", ".join(f"{literal(c.name)}: {{{text}}}" for c, text in zip(columns, told, strict=True))
    return read_parquet(paths).removesuffix(")") + f", schema = MAP {{{schema}}})"


def _values(since: Mapping[str, Since]) -> str:
    if not since:
        return "SELECT '', '', 0 WHERE false"
    # The part of a position before the dot: a record's rows are never split. - is before all numbers, ~ after them.
    rows = (f"({literal(s)}, {literal(one.at.partition('.')[0])}, {one.generation})" for s, one in since.items())
    return f"VALUES {', '.join(rows)}"
