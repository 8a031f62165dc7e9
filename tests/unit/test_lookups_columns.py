"""What columns a source ever had is noted once for all who read it, whoever begins first."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.app.columns import fix_columns
from shardlake.core.errors import ConfigError, Conflict, FormatTooNew
from shardlake.core.journal import rows
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import ColumnsRow
from shardlake.core.schema import Column, SourceSchema

KEY = rows.columns_key("clicks")


def schema(**columns: str) -> SourceSchema:
    listed = {"at": "TIMESTAMP", **columns}
    return SourceSchema("clicks", tuple(Column(name, kind) for name, kind in listed.items()), "at")


def noted(journal: MemoryJournal) -> dict[str, str]:
    return rows.decode(ColumnsRow, KEY, journal.get([KEY])[KEY]).columns


class Raced(MemoryJournal):
    """Somebody else notes other columns before each of the first transactions."""

    def __init__(self, others: list[dict[str, str]]) -> None:
        super().__init__()
        self.others = others

    def transact(self, writes: Sequence[Write]) -> None:
        if self.others:
            stored = self.get([KEY]).get(KEY)
            known = rows.decode(ColumnsRow, KEY, stored).columns if stored is not None else {}
            other = rows.encode(ColumnsRow("clicks", {**known, **self.others.pop(0)}))
            super().transact([Write(KEY, stored, other)])
        super().transact(writes)


def test_columns_come_and_never_go() -> None:
    journal = MemoryJournal()
    fix_columns(journal, "clicks", schema(city="VARCHAR"))
    fix_columns(journal, "clicks", schema(floor="BIGINT"))
    assert noted(journal) == {"at": "TIMESTAMP", "city": "VARCHAR", "floor": "BIGINT"}
    before = journal.get([KEY])
    fix_columns(journal, "clicks", schema(city="VARCHAR"))
    assert journal.get([KEY]) == before
    with pytest.raises(ConfigError, match="column city of clicks is BIGINT, and was VARCHAR in events that are stored"):
        fix_columns(journal, "clicks", schema(city="BIGINT"))
    assert journal.get([KEY]) == before


def test_columns_of_changes_stay_as_they_are() -> None:
    journal = MemoryJournal()
    first = replace(schema(city="VARCHAR"), weighted=True)
    fix_columns(journal, "clicks", first)
    fix_columns(journal, "clicks", first)
    fix_columns(journal, "clicks", replace(schema(city="VARCHAR", _event="VARCHAR"), weighted=True))
    with pytest.raises(ConfigError, match="column floor of clicks is new, and clicks is a stream of changes"):
        fix_columns(journal, "clicks", replace(schema(city="VARCHAR", floor="BIGINT"), weighted=True))
    with pytest.raises(ConfigError, match="column city of clicks is gone"):
        fix_columns(journal, "clicks", replace(schema(), weighted=True))


def test_another_source_has_columns_of_its_own() -> None:
    journal = MemoryJournal()
    fix_columns(journal, "clicks", schema(city="VARCHAR"))
    fix_columns(journal, "views", schema(city="BIGINT"))
    assert noted(journal) == {"at": "TIMESTAMP", "city": "VARCHAR"}


def test_two_who_begin_at_once_both_note_theirs() -> None:
    journal = Raced([{"floor": "BIGINT"}, {"x": "DOUBLE"}])
    fix_columns(journal, "clicks", schema(city="VARCHAR"))
    assert noted(journal) == {"floor": "BIGINT", "x": "DOUBLE", "at": "TIMESTAMP", "city": "VARCHAR"}
    with pytest.raises(ConfigError, match="column city of clicks is BIGINT, and was DOUBLE"):
        fix_columns(Raced([{"city": "DOUBLE"}]), "clicks", schema(city="BIGINT"))
    with pytest.raises(Conflict):
        fix_columns(Raced([{f"c{n}": "DOUBLE"} for n in range(99)]), "clicks", schema(city="BIGINT"))


def test_the_row_is_stored_as_it_always_was() -> None:
    data = b'{"source":"clicks","columns":{"page":"VARCHAR"},"format":1}'
    assert KEY == "columns/clicks"
    assert rows.encode(ColumnsRow("clicks", {"page": "VARCHAR"})) == data
    assert rows.decode(ColumnsRow, KEY, data) == ColumnsRow("clicks", {"page": "VARCHAR"})
    with pytest.raises(FormatTooNew, match="journal row columns/clicks has format 2"):
        rows.decode(ColumnsRow, KEY, data.replace(b'"format":1', b'"format":2'))


def test_a_column_keeps_its_spelling() -> None:
    journal = MemoryJournal()
    fix_columns(journal, "clicks", schema(city="VARCHAR"))
    with pytest.raises(ConfigError, match="column City of clicks is called city in events that are stored"):
        fix_columns(journal, "clicks", schema(City="VARCHAR"))
    assert noted(journal) == {"at": "TIMESTAMP", "city": "VARCHAR"}
