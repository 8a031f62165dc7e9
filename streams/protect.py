"""Protection of columns before anything is stored: masked, replaced by a keyed hash, or dropped.

Values are worked on once each, not once a row. A keyed hash is BLAKE2b with 128 bits: equal values stay equal,
so they can still be counted and grouped, and nobody without the key can tell or test what they were.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from shardlake.adapters.arrow import strings
from shardlake.core.errors import ConfigError
from shardlake.core.schema import SourceSchema

MASK: Final = "***"
KEY_BYTES_MIN: Final = 16


@dataclass(frozen=True, slots=True)
class Protection:
    """Which columns are masked, hashed with a key, or dropped. The key itself is never stored or shown."""

    mask: frozenset[str] = frozenset()
    hash: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    key: bytes = b""

    @staticmethod
    def of(
        schema: SourceSchema,
        derived: Mapping[str, Sequence[str]],
        *,
        mask: Sequence[str] = (),
        hashed: Sequence[str] = (),
        drop: Sequence[str] = (),
        key: bytes = b"",
    ) -> "Protection":
        """Check the columns, and protect with each column those that are `derived` from it (derived -> origins).

        What is derived from a masked or hashed column and is no text is dropped.
        Raises: ConfigError if a column does not exist, is asked for twice, is needed as it is, or is not text.
        """
        asked = {"mask": mask, "hash": hashed, "drop": drop}
        for how, names in asked.items():
            for name in names:
                _check(schema, how, name)
        repeated = [name for name in {n for names in asked.values() for n in names} if _count(asked, name) > 1]
        if repeated:
            raise ConfigError(f"protect names {repeated[0]} more than once; give each column one protection")
        if hashed and len(key) < KEY_BYTES_MIN:
            raise ConfigError(
                f"protect.hash needs a key of at least {KEY_BYTES_MIN} bytes in the variable that protect.key_env names"
            )
        mask_all, hash_all, drop_all = (_with_derived(names, derived) for names in (mask, hashed, drop))
        texts = {column.name for column in schema.columns if column.type == "VARCHAR"}
        drop_all |= (mask_all | hash_all) - texts
        if needed := {schema.event_time, schema.event_id} & (mask_all | hash_all | drop_all):
            raise ConfigError(
                f"protect names a column that {schema.name} makes {needed.pop()} of, which is needed as it is: it tells"
                " the event's time or identity"
            )
        return Protection(mask_all, hash_all, drop_all, key)

    def apply(self, rows: pa.Table) -> pa.Table:
        """Protect the columns of a table."""
        for name in rows.column_names:
            change = self._change(name)
            if change is not None:
                index = rows.schema.get_field_index(name)
                rows = rows.set_column(index, name, change(rows[name]))
        return rows

    def _change(self, name: str) -> Callable[[pa.ChunkedArray], pa.ChunkedArray] | None:
        if name in self.drop:
            return lambda column: pa.chunked_array([pa.nulls(len(column), column.type)])
        if name in self.mask:
            return lambda column: _on_distinct(column, lambda _: MASK)
        if name in self.hash:
            return lambda column: _on_distinct(column, self._hashed)
        return None

    def _hashed(self, value: str) -> str:
        return hashlib.blake2b(value.encode(), digest_size=16, key=self.key[:64]).hexdigest()


def _on_distinct(column: pa.ChunkedArray, change: Callable[[str], str]) -> pa.ChunkedArray:
    plain = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    chunks = []
    for chunk in plain.chunks:
        values = chunk.dictionary.to_pylist()
        changed = strings([change(value) if value is not None else "" for value in values])
        chunks.append(changed.take(chunk.indices))
    return pa.chunked_array(chunks, pa.string())


def _check(schema: SourceSchema, how: str, name: str) -> None:
    column = schema.column(name)
    if column is None:
        columns = ", ".join(c.name for c in schema.columns)
        raise ConfigError(f"protect.{how} names {name}, which {schema.name} does not have; its columns: {columns}")
    if name in (schema.event_time, schema.event_id):
        raise ConfigError(
            f"protect.{how} names {name}, which is needed as it is: it tells the event's time or identity"
        )
    if how != "drop" and column.type != "VARCHAR":
        raise ConfigError(
            f"protect.{how} names {name}, which is {column.type}; only text can be masked or hashed: drop it instead"
        )


def _count(asked: Mapping[str, Sequence[str]], name: str) -> int:
    return sum(list(names).count(name) for names in asked.values())


def _with_derived(names: Sequence[str], derived: Mapping[str, Sequence[str]]) -> frozenset[str]:
    return frozenset({*names, *(column for column, origins in derived.items() if not {*origins}.isdisjoint(names))})
