"""One commit of a table: files, seam and the expiry of old snapshots in a single change of the catalog."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.snapshots import Snapshot as IcebergSnapshot
from pyiceberg.table.update import ValidatableTableRequirement
from pyiceberg.table.update.snapshot import ExpireSnapshots, _ManifestMergeManager, _OverwriteFiles

from shardlake.adapters.iceberg.datafile import added, removed
from shardlake.adapters.table_index import FORMAT, FORMAT_PROPERTY, SEAM_PROPERTY
from shardlake.core.ports import TableFile
from shardlake.core.seam import Seam

MANIFESTS_MERGED = 8  # so many are merged into one; each commit adds one or two
MANIFEST_BYTES = 8 << 20


class SeamUnmoved(ValidatableTableRequirement):
    """The table's newest snapshot, and the seam in it, are those that the run started from.

    The catalog checks it against the metadata that its conditional update replaces. It stays in the
    transaction whatever PyIceberg would rebuild for another try, so a try again cannot pass it.
    """

    type: Literal["shardlake-seam-unmoved"] = Field(default="shardlake-seam-unmoved")
    snapshot_id: int | None
    seam: str | None

    @staticmethod
    def of(table: Table) -> "SeamUnmoved":
        """Require that a table stays as it was read."""
        snapshot = table.metadata.current_snapshot()
        return SeamUnmoved(snapshot_id=snapshot.snapshot_id if snapshot else None, seam=_seam_text(snapshot))

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override] # pydantic has one too
        """Check. Raises: CommitFailedException."""
        snapshot = base_metadata.current_snapshot() if base_metadata else None
        found = snapshot.snapshot_id if snapshot else None
        if found != self.snapshot_id or _seam_text(snapshot) != self.seam:
            raise CommitFailedException(f"the seam moved: the table is at snapshot {found}, not {self.snapshot_id}")


class FilesAndSeam(_OverwriteFiles):
    """Files added and removed in one snapshot, whose manifests are merged when there are many."""

    def _refresh_for_retry(self) -> None:
        """Refuse to be tried again, whatever the table's properties say."""
        raise CommitFailedException("the table moved on")

    def _build_delete_files_partition_predicate(self) -> None:
        """Look for removed files in all manifests: they are few, and PyIceberg's filter names every partition."""
        for spec_id in self._transaction.table_metadata.specs() if self._deleted_data_files else ():
            self.partition_filters[spec_id] = AlwaysTrue()

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        live = [m for m in manifests if m.added_snapshot_id == self.snapshot_id or _has_files(m)]
        manager = _ManifestMergeManager(
            target_size_bytes=MANIFEST_BYTES,
            min_count_to_merge=MANIFESTS_MERGED,
            merge_enabled=True,
            snapshot_producer=self,
        )
        return manager.merge_manifests(live)


@dataclass(frozen=True, slots=True)
class Staged:
    """A snapshot whose metadata files are written, and which nothing references yet.

    `metadata` are the files that it consists of, `written` those written for it. `oldest_before` and
    `oldest_kept` are the sequence numbers of the oldest snapshot that is kept before and after it.
    """

    transaction: Transaction
    token: str
    sequence: int
    metadata: tuple[str, ...]
    written: tuple[str, ...]
    oldest_before: int
    oldest_kept: int

    def commit(self) -> None:
        """Make the snapshot the table's newest. Raises: CommitFailedException if the table moved on."""
        try:
            self.transaction.commit_transaction()
        except ValidationException as error:
            raise CommitFailedException(str(error)) from error


def stage(
    table: Table,
    add: Mapping[str, TableFile],
    remove: Sequence[TableFile],
    seam: Seam,
    properties: Mapping[str, str],
    keep: int,
) -> Staged:
    """Prepare a snapshot, and the end of all but the newest `keep`. New files come with the paths of local copies.

    Raises: Corrupt if a file is not as told.
    """
    transaction = table.transaction()
    transaction._stage((), (SeamUnmoved.of(table),))  # type: ignore[arg-type] # noqa: SLF001 - no public name leads here
    summary = {**properties, FORMAT_PROPERTY: str(FORMAT), SEAM_PROPERTY: seam.to_json()}
    operation = Operation.OVERWRITE if remove else Operation.APPEND
    producer = FilesAndSeam(operation, transaction, table.io, snapshot_properties=summary)
    try:
        for path, file in add.items():
            producer.append_data_file(added(table, file, path))
        for file in remove:
            producer.delete_data_file(removed(table, file))
        producer.commit()
        _expire(transaction, keep)
        return _staged(table, transaction, producer)
    except BaseException:
        producer._clean_all_uncommitted()  # noqa: SLF001 - as PyIceberg does after a conflict
        raise


def _expire(transaction: Transaction, keep: int) -> None:
    """Let go of all snapshots but the newest, and those that a branch or tag holds."""
    metadata = transaction.table_metadata
    held = {ref.snapshot_id for ref in metadata.refs.values()}
    newest_first = sorted(metadata.snapshots, key=_sequence, reverse=True)
    old = [s.snapshot_id for s in newest_first[keep:] if s.snapshot_id not in held]
    if old:
        ExpireSnapshots(transaction).by_ids(old).commit()


def _staged(table: Table, transaction: Transaction, producer: FilesAndSeam) -> Staged:
    metadata = transaction.table_metadata
    made = metadata.snapshot_by_id(producer.snapshot_id)
    assert made is not None, "the snapshot was staged"
    return Staged(
        transaction=transaction,
        token=str(made.snapshot_id),
        sequence=_sequence(made),
        metadata=(made.manifest_list, *(manifest.manifest_path for manifest in made.manifests(table.io))),
        written=(*producer._written_manifests, *producer._written_manifest_lists),  # noqa: SLF001
        oldest_before=_oldest(table.metadata),
        oldest_kept=_oldest(metadata),
    )


def _oldest(metadata: TableMetadata) -> int:
    return min((_sequence(snapshot) for snapshot in metadata.snapshots), default=0)


def _sequence(snapshot: IcebergSnapshot) -> int:
    return snapshot.sequence_number or 0


def _has_files(manifest: ManifestFile) -> bool:
    return manifest.has_added_files() or manifest.has_existing_files()


def _seam_text(snapshot: IcebergSnapshot | None) -> str | None:
    return snapshot.summary.additional_properties.get(SEAM_PROPERTY) if snapshot and snapshot.summary else None
