"""The catalog in a journal that several machines share: a row for each table names its newest metadata file.

A row is moved if it is still as it was read, and its new value was never there before, since a metadata file's name is
drawn. So what became of a write that was not heard of can be seen by sending it again and looking.
"""

from typing import Any, Final

from pyiceberg.catalog import WAREHOUSE_LOCATION, MetastoreCatalog
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.io import PY_IO_IMPL
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from shardlake.adapters.iceberg.files import IMPLEMENTATION, STORAGE
from shardlake.adapters.table_index import CATALOG
from shardlake.adapters.table_storage import TableStorage
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import rows
from shardlake.core.journal.port import REMOVED, Journal, Write
from shardlake.core.journal.rows import CatalogRow

TRIES: Final = 4


class JournalCatalog(MetastoreCatalog, NoopCatalog):
    """What tables are made, loaded, changed and dropped through; the rest of a catalog is not there.

    Its errors are PyIceberg's, and those of the journal.
    """

    def __init__(self, journal: Journal, storage: TableStorage) -> None:
        properties: dict[str, Any] = {WAREHOUSE_LOCATION: storage.root, PY_IO_IMPL: IMPLEMENTATION, STORAGE: storage}
        super().__init__(CATALOG, **properties)
        self._journal = journal

    def create_table(
        self,
        identifier: str | Identifier,
        schema: Any,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        """Make a table. Raises: TableAlreadyExistsError."""
        assert isinstance(schema, Schema), "columns were translated"
        assert location is not None, "a table's place is its storage's"
        name = self.table_name_from(identifier)
        provider = load_location_provider(table_location=location, table_properties=properties)
        path = provider.new_table_metadata_file_location()
        metadata = new_table_metadata(schema, partition_spec, sort_order, location, properties)
        self._write_metadata(metadata, self._load_file_io(), path)
        try:
            self._move(name, None, path)
        except Conflict as error:
            raise TableAlreadyExistsError(f"table {name} already exists") from error
        return self.load_table(identifier)

    def load_table(self, identifier: str | Identifier) -> Table:
        """Load a table as it is now. Raises: NoSuchTableError."""
        name = self.table_name_from(identifier)
        row = self._row(name)
        if row is None:
            raise NoSuchTableError(f"there is no table {name}")
        io = self._load_file_io(location=row.location)
        metadata = FromInputFile.table_metadata(io.new_input(row.location))
        return Table(self.identifier_to_tuple(identifier), metadata, row.location, io, self)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Change a table, if it is as required. Raises: CommitFailedException, NoSuchTableError, OutcomeUnknown."""
        current = self.load_table(table.name())
        staged = self._update_and_stage_table(current, table.name(), requirements, updates)
        if staged.metadata == current.metadata:
            return _answer(current.metadata, current.metadata_location)
        self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        name = self.table_name_from(table.name())
        try:
            self._move(name, current.metadata_location, staged.metadata_location)
        except Conflict as error:
            raise CommitFailedException(f"table {name} was changed by another process") from error
        return _answer(staged.metadata, staged.metadata_location)

    def drop_table(self, identifier: str | Identifier) -> None:
        """Forget a table. Raises: NoSuchTableError, Conflict if it was changed just now."""
        name = self.table_name_from(identifier)
        row = self._row(name)
        if row is None:
            raise NoSuchTableError(f"there is no table {name}")
        self._journal.transact([Write(rows.catalog_key(name), rows.encode(row), REMOVED)])

    def _row(self, name: str) -> CatalogRow | None:
        key = rows.catalog_key(name)
        value = self._journal.get([key]).get(key)
        return None if value is None else rows.decode(CatalogRow, key, value)

    def _move(self, name: str, old: str | None, new: str) -> None:
        """Let a row name another file.

        Raises: Conflict if it is not as expected, or Transient, both only if the row surely never named that file; else
        OutcomeUnknown.
        """
        expect = None if old is None else rows.encode(CatalogRow(name, old))
        write = Write(rows.catalog_key(name), expect, rows.encode(CatalogRow(name, new)))
        is_unknown = False
        for _ in range(TRIES):
            try:
                self._journal.transact([write])
            except OutcomeUnknown:
                is_unknown = True
            except (Conflict, Transient) as error:
                if not is_unknown:
                    raise
                if isinstance(error, Conflict):
                    break
            else:
                return
        if self._row(name) == CatalogRow(name, new):
            return
        raise OutcomeUnknown(f"nothing is heard of the change of table {name}: read it again to see if it was made")


def _answer(metadata: TableMetadata, location: str) -> CommitTableResponse:
    return CommitTableResponse.model_validate({"metadata": metadata, "metadata-location": location})
