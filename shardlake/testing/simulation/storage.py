"""Object storage and batch tables in memory, as one process sees them: slow, failing, half done, gone for a moment."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from batch.context import Context, Files
from batch.passes import Pass
from shardlake.adapters.memory_tables import MemoryTables
from shardlake.core.errors import Conflict, Corrupt, Missing, OutcomeUnknown, Transient
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import ObjectStore, Snapshot, TableFile, Tables
from shardlake.core.schema import Column
from shardlake.core.seam import Seam
from shardlake.core.view import CompiledView
from shardlake.testing.passing import PassingTables
from shardlake.testing.simulation.faults import Faults, Killed, Process

OUT_OF_REACH: Final = "the storage is out of reach"


class MemoryObjects:
    """Objects that last as long as this does. `path` gives a name: there are no files."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, folder: str, objects: Mapping[str, bytes | memoryview]) -> Mapping[str, ObjectRef]:
        """Create objects. Raises: Conflict if a name exists."""
        put = {}
        for name, data in objects.items():
            full = f"{folder}/{name}"
            if full in self._objects:
                raise Conflict(f"object {full} exists: a name is never used again, take another")
            kept = self._objects[full] = bytes(data)
            put[name] = ObjectRef(full, len(kept), hashlib.sha256(kept).hexdigest())
        return put

    def get(self, ref: ObjectRef) -> bytes:
        """Read an object whole. Raises: Corrupt if it is another one, Missing if it is not there."""
        data = self._objects.get(ref.name)
        if data is None:
            raise Missing(f"object {ref.name} is not there: read the rows again, then plan again")
        if len(data) != ref.length or hashlib.sha256(data).hexdigest() != ref.sha256:
            raise Corrupt(f"object {ref.name} is not as it was committed")
        return data

    def fetch(self, refs: Iterable[ObjectRef]) -> None:
        """Do nothing: they are near."""

    def path(self, ref: ObjectRef) -> str:
        """Give its name. Raises: as `get`."""
        self.get(ref)
        return ref.name

    def list(self, prefix: str) -> Sequence[str]:
        """Name the objects whose name begins with `prefix`, in order."""
        return sorted(name for name in self._objects if name.startswith(prefix))

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there are passed over."""
        for name in names:
            self._objects.pop(name, None)


class FaultyObjects:
    """Passes everything on to another store, but for what lies in wait."""

    def __init__(self, inner: ObjectStore, faults: Faults, process: Process) -> None:
        self._inner, self._faults, self._process = inner, faults, process

    def put(self, folder: str, objects: Mapping[str, bytes | memoryview]) -> Mapping[str, ObjectRef]:
        """Create objects. Raises: as the store; Transient, after which some of them may exist."""
        fault = self._faults.at(self._process, "store.put", folder)
        if fault is not None:
            if fault.effect != "failed":
                self._inner.put(folder, dict(list(objects.items())[: (len(objects) + 1) // 2]))
            if fault.effect == "half, then a crash":
                self._process.is_dead = True
                raise Killed
            raise Transient(OUT_OF_REACH)
        put = self._inner.put(folder, objects)
        self._faults.at(self._process, "store.put", after=True)
        return put

    def get(self, ref: ObjectRef) -> bytes:
        """Read an object whole. Raises: as the store."""
        self._begin(ref)
        data = self._inner.get(ref)
        self._faults.at(self._process, "store.get", after=True)
        return data

    def fetch(self, refs: Iterable[ObjectRef]) -> None:
        """Bring objects near. Raises: as the store."""
        self._inner.fetch(refs)

    def path(self, ref: ObjectRef) -> str:
        """Give a local path. Raises: as the store."""
        self._begin(ref)
        return self._inner.path(ref)

    def _begin(self, ref: ObjectRef) -> None:
        fault = self._faults.at(self._process, "store.get", ref.name)
        if fault is not None:
            raise (Missing if fault.effect == "missing" else Transient)(f"object {ref.name} cannot be read now")

    def list(self, prefix: str) -> Sequence[str]:
        """Name objects, in order."""
        return self._inner.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects."""
        self._inner.delete(names)


class PlainTables(MemoryTables):
    """Batch tables in memory, their files too: `files` is path -> contents, of the newest snapshots."""

    def __init__(self) -> None:
        super().__init__("")
        self.files: dict[str, bytes] = {}

    def new_file(self, table: str, partition: str) -> str:
        """Give a path, never used before."""
        return f"{table}/{partition or 'all'}/{self._token()}"

    def _remove(self, path: str) -> None:
        self.files.pop(path, None)

    def _remove_all(self, table: str) -> None:
        """Leave what a table that was dropped had: nobody counts it."""


class FaultyTables(PassingTables):
    """Passes everything on to other tables, but for what lies in wait."""

    def __init__(self, inner: Tables, faults: Faults, process: Process) -> None:
        super().__init__(inner)
        self._faults, self._process = faults, process

    def create(self, table: str, columns: Sequence[Column], partition: str | None) -> Snapshot:
        """Make a table. Raises: as the tables; Transient."""
        if self._faults.at(self._process, "tables.create", table) is not None:
            raise Transient(OUT_OF_REACH)
        made = super().create(table, columns, partition)
        self._faults.at(self._process, "tables.create", after=True)
        return made

    def load(self, table: str) -> Snapshot | None:
        """Load a table. Raises: as the tables; Transient."""
        if self._faults.at(self._process, "tables.load", table) is not None:
            raise Transient(OUT_OF_REACH)
        found = super().load(table)
        self._faults.at(self._process, "tables.load", after=True)
        return found

    def commit(
        self,
        base: Snapshot,
        add: Sequence[TableFile],
        remove: Sequence[TableFile],
        seam: Seam,
        properties: Mapping[str, str],
    ) -> Snapshot:
        """Commit. Raises: as the tables; Transient, OutcomeUnknown."""
        fault = self._faults.at(self._process, "tables.commit", base.table)
        if fault is not None and fault.effect == "failed":
            raise Transient(OUT_OF_REACH)
        try:
            after = super().commit(base, add, remove, seam, properties)
        except Conflict:
            self._faults.count("conflict of two batch runs")
            raise
        if fault is not None:
            raise OutcomeUnknown("the answer was lost")
        self._faults.at(self._process, "tables.commit", after=True)
        return after


@dataclass(frozen=True, slots=True)
class FaultyFiles:
    """Lets the files of tables be written as others write them, but for what lies in wait. See `Files`."""

    inner: Files
    faults: Faults
    process: Process

    def of_pass(self, context: Context, table: str, taken: Pass) -> list[TableFile]:
        """Write the rows of a pass. Raises: as the files; Transient, after which some of them may be there."""
        return self._written(table, lambda: self.inner.of_pass(context, table, taken))

    def of_view(self, context: Context, view: CompiledView, base: Snapshot, taken: Pass) -> list[TableFile]:
        """Write a view's rows over a pass. Raises: as `of_pass`."""
        return self._written(base.table, lambda: self.inner.of_view(context, view, base, taken))

    def of_master(self, context: Context, view: CompiledView, made: Snapshot, source: Snapshot) -> list[TableFile]:
        """Write a view's rows over the master dataset. Raises: as `of_pass`."""
        return self._written(made.table, lambda: self.inner.of_master(context, view, made, source))

    def _written(self, table: str, write: Callable[[], list[TableFile]]) -> list[TableFile]:
        fault = self.faults.at(self.process, "files.write", table)
        if fault is not None:
            if fault.effect == "half":
                write()
            raise Transient(OUT_OF_REACH)
        written = write()
        self.faults.at(self.process, "files.write", after=True)
        return written
