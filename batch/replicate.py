"""A table's changes, from the journal into another table: each version of an item once, and none over a newer one.

A row whose weight is 1 is an item that came, and is put; one whose weight is -1 is an item that went, and its removal
is put. Each carries the position of its change as its version, which grows along the shards that an item's changes are
in. So the newest row of each item that the filter takes is all that has to be put, whatever comes twice, late, or by
somebody else too: an item that no longer passes the filter is one that went.

How far it was put is a row of the journal, which moves only after everything below it was put.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from batch.columns import shaped
from batch.passes import next_pass
from shardlake.adapters.arrow import plain_type
from shardlake.adapters.dynamodb.port import Item
from shardlake.adapters.dynamodb.stream_wire import line
from shardlake.adapters.dynamodb.versioned import Described, ItemVersion, Outcome
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.core import formats
from shardlake.core.bootstrap import SYSTEM, bootstrap_of
from shardlake.core.errors import ConfigError, Conflict, Terminal
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.port import Journal, Write
from shardlake.core.ports import ObjectStore
from shardlake.core.schema import EVENT_COLUMNS, Column
from shardlake.core.seam import NOTHING, Seam
from shardlake.core.sql import literal
from shardlake.packs.pack import Decoded, Reason

FORMAT: Final = 1
BEGIN_MAX: Final = 20
ROWS_MAX: Final = 20_000  # of one pass, which takes whole entries, one at least
BYTES_MAX: Final = 16 << 20  # of compressed segments that are in memory at once, one segment at least
AT_ONCE: Final = 500  # versions that are in memory as values
_RETRIES: Final = "dlq/"  # and the source: the shard of dead letters that became rows
# What a load of the table's content takes back is a count, and no removal; its rows come before all changes.
_TOLD: Final = f"(_weight > 0 OR NOT starts_with(_shard, {literal(SYSTEM)}))"
# A row that was a dead letter has the position of its change in the marker of that letter, by the row's own position.
_WHERE_THEY_WERE: Final = (
    "SELECT r.* REPLACE (m._sequence AS _sequence, m._sub AS _sub) FROM retried r JOIN markers m"
    " ON m.detail = r._shard || ':' || substr(r._sequence, 4) || ':' || r._sub"
)
_IMAGE, _VERSION, _REMOVED = "_image", "_version", "_removed"  # no column of a pack but the event begins so
_EVENT: Final = tuple(column for column in EVENT_COLUMNS if column.name != "_arrival")


class ReplicaRow(msgspec.Struct, frozen=True):
    """How far a source's changes were put into a table, which table that was, and by which filter.

    It may be longer than 1 KiB: no commit writes it.
    """

    source: str
    table: str
    identity: str
    filter: str
    seam: Seam
    format: int = msgspec.field(default_factory=lambda: FORMAT)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows are put: those for which `sql` is true, over columns `names` of what `read` makes of their images.

    An image is judged by itself, so alike when it comes and when it goes, however the pack read it then; `read` takes
    lines of changes. One that cannot be read does not pass. `told` is equal where the rule is.
    """

    sql: str = "true"
    names: tuple[str, ...] = ()
    read: Callable[[bytes], Decoded] | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is read: a source, the column that holds whole images, and a rule."""

    source: str
    image: str
    rule: Rule


class Target(Protocol):
    """A table of versions, and what was found of it."""

    @property
    def table(self) -> Described:
        """Its key, and its identity."""

    def put(self, one: ItemVersion) -> Outcome:
        """Put a version, unless that or a newer one is there. Raises: as `VersionedTable.put`."""


@dataclass(slots=True)
class Replicated:
    """What was done: entries and rows that were read, versions by what came of them, ranges of which records are lost.

    `put` counts items and `removed` removals; `there` stood in the table already, and `newer` are those over which a
    newer one stood.
    """

    entries: int = 0
    rows: int = 0
    put: int = 0
    removed: int = 0
    there: int = 0
    newer: int = 0
    gaps: int = 0
    letters: int = 0

    def count(self, one: ItemVersion, outcome: Outcome) -> None:
        """Take note of what came of a version."""
        name = "removed" if outcome == "put" and one.is_removed else outcome
        setattr(self, name, getattr(self, name) + 1)

    def add(self, other: "Replicated") -> None:
        """Add what somebody else has done, or another pass."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def replica_key(source: str, table: str) -> str:
    """Key of how far a source was put into a table, by its ARN: there may be one of its name in each region."""
    return f"replica/{source}/{table}"


class Replicator:
    """Puts a source's changes into a table, pass by pass. Any number may work on the same table."""

    def __init__(
        self,
        journal: Journal,
        store: ObjectStore,
        engine: Engine,
        changes: Changes,
        target: Target,
        executor: Executor,
    ) -> None:
        self._journal, self._store, self._engine = journal, store, engine
        self._changes, self._target, self._executor = changes, target, executor
        self._table, self._keys, self._identity = target.table.arn, target.table.keys, target.table.identity
        self._key = replica_key(changes.source, self._table)

    def begin(self, *, anew: bool = False) -> None:
        """See that what was put before is what is put now; `anew` forgets what was.

        Raises: ConfigError if the table or the filter is another; Conflict if somebody else begins all the time.
        """
        for _ in range(BEGIN_MAX):
            stored = self._journal.get([self._key]).get(self._key)
            wanted = self._row(NOTHING)
            if stored is not None and not anew:
                return self._check(self._read(stored), wanted)
            with suppress(Conflict):  # somebody else began just now, or came further
                self._journal.transact([Write(self._key, stored, msgspec.json.encode(wanted))])
                return None
        raise Conflict(f"{self._key} changes all the time: stop those who put changes there, then try again")

    def _check(self, known: ReplicaRow, wanted: ReplicaRow) -> None:
        if known.identity != wanted.identity:
            raise ConfigError(
                f"table {self._table} was made anew since changes of {known.source} were put into it: put all of them"
                " again with --anew"
            )
        if known.filter != wanted.filter:
            raise ConfigError(
                f"changes of {known.source} were put into table {self._table} by another filter, or the columns that it"
                " reads are read otherwise now: name another table, or empty this one and put all of them with --anew"
            )

    def step(self) -> Replicated | None:
        """Put what a pass takes beyond the place that is stored, and store the next one; None if nothing is beyond.

        Raises: Conflict if somebody else stored a place meanwhile (what was put stays, and is right: go on); as
        `Target.put`; Corrupt if the journal lacks what was put; ConfigError if rows have no images.
        """
        stored = self._journal.get([self._key]).get(self._key)
        if stored is None:
            raise Conflict(f"{self._key} is gone from the journal: begin again")
        seam = self._read(stored).seam
        beyond = reading.read_beyond(self._journal, seam)
        manifests = {(m.lane, m.n): m for m in read_manifests(self._store, beyond.after(seam))}
        if not manifests:
            return None
        taken = next_pass(seam, beyond, manifests, ROWS_MAX)
        done = self.put(taken.manifests)
        done.entries = len(taken.entries)
        self._journal.transact([Write(self._key, stored, msgspec.json.encode(self._row(taken.seam)))])
        return done

    def of_source(self, manifests: Sequence[Manifest]) -> list[Manifest]:
        """Leave out what is of other sources: an entry is of one, which its shards are named after."""
        source = self._changes.source
        beside = (_RETRIES + source, bootstrap_of(source))
        return [
            one
            for one in manifests
            if any(row.shard.startswith(f"{source}/") or row.shard in beside for row in one.ranges)
        ]

    def put(self, manifests: Sequence[Manifest]) -> Replicated:
        """Put the newest version of each item that some entries hold. Raises: as `step`."""
        manifests = self.of_source(manifests)
        done = Replicated(
            gaps=sum(row.kind == "gap" for one in manifests for row in one.ranges),
            letters=sum(one.counts.letters for one in manifests if not _is_retry(one)),
        )
        for some in _by_bytes(manifests):
            for versions in self._versions(some, done):
                for one, outcome in zip(versions, self._executor.map(self._target.put, versions), strict=True):
                    done.count(one, outcome)
        return done

    # ------------------------------------------------------------------------------------------------------ parts

    def _row(self, seam: Seam) -> ReplicaRow:
        return ReplicaRow(self._changes.source, self._table, self._identity, self._changes.rule.told, seam)

    def _read(self, stored: bytes) -> ReplicaRow:
        return formats.decode(ReplicaRow, f"journal row {self._key}", stored, FORMAT)

    def _versions(self, manifests: Sequence[Manifest], done: Replicated) -> Iterator[list[ItemVersion]]:
        parts = [self._segment(one) for one in manifests if one.segment is not None]
        if not parts:
            return
        rows = pa.concat_tables(parts)
        done.rows += rows.num_rows
        if rows[_IMAGE].null_count:
            raise ConfigError(
                f"rows of {self._changes.source} were stored before column {self._changes.image} was declared, and hold"
                " no images: load the source again into another root"
            )
        newest = self._engine.table(self._sql(), {"changed": self._judged(rows)})
        for start in range(0, newest.num_rows, AT_ONCE):
            some = newest.slice(start, AT_ONCE)
            texts = (some[name].to_pylist() for name in (_IMAGE, _VERSION, _REMOVED))
            yield [ItemVersion(version, _item(image, version), removed)
                   for image, version, removed in zip(*texts, strict=True)]  # fmt: skip

    def _judged(self, rows: pa.Table) -> pa.Table:
        """Add the columns that the rule looks at; rows whose image cannot be read are left out."""
        rule = self._changes.rule
        if rule.read is None or not rows.num_rows:
            return rows
        found = rule.read(b"\n".join(line(1, "", image.encode()) for image in rows[_IMAGE].to_pylist()))
        for letter in found.letters:
            if letter.reason == Reason.MALFORMED:
                raise _no_image(rows["_sequence"][letter.index].as_py())
        rows = rows.take(pa.array(found.lines))
        for name in rule.names:
            rows = rows.append_column(name, found.rows[name])
        return rows

    def _segment(self, manifest: Manifest) -> pa.Table:
        """The rows of an entry: their images, and what tells of their changes."""
        assert manifest.segment is not None
        path = self._store.path(manifest.segment)
        columns = (*_EVENT, Column(self._changes.image, "VARCHAR"))
        there = set(pq.read_schema(path).names)
        rows = shaped(pq.read_table(path, columns=[c.name for c in columns if c.name in there]), columns)
        rows = rows.cast(pa.schema([(column.name, plain_type(column)) for column in columns]))
        rows = rows.rename_columns([*rows.column_names[:-1], _IMAGE])
        if not _is_retry(manifest):
            return rows
        assert manifest.letters is not None
        markers = pq.read_table(self._store.path(manifest.letters), columns=["_sequence", "_sub", "detail"])
        return self._engine.table(_WHERE_THEY_WERE, {"retried": rows, "markers": markers}).cast(rows.schema)

    def _sql(self) -> str:
        """The newest row of each item: by the texts of its key, which DynamoDB writes in one way only."""
        paths = ", ".join(literal(_pointer(name)) for name in self._keys)
        sub = "CAST(_sub AS VARCHAR)"
        return (
            f"SELECT {_IMAGE}, _weight < 0 AS {_REMOVED},"
            f" _sequence || '.' || lpad(CAST(length({sub}) AS VARCHAR), 3, '0') || {sub} AS {_VERSION}"
            f" FROM changed WHERE NOT _duplicate AND {_TOLD} AND ({self._changes.rule.sql})"
            f" QUALIFY row_number() OVER (PARTITION BY TRY(json_extract({_IMAGE}, [{paths}]))"
            f" ORDER BY _sequence DESC, _sub DESC) = 1"
        )


def _by_bytes(manifests: Sequence[Manifest]) -> Iterator[list[Manifest]]:
    """Group entries in their order, so that the segments of a group are no more than BYTES_MAX."""
    some: list[Manifest] = []
    size = 0
    for one in manifests:
        length = one.segment.length if one.segment is not None else 0
        if some and size + length > BYTES_MAX:
            yield some
            some, size = [], 0
        some.append(one)
        size += length
    yield some


def _is_retry(manifest: Manifest) -> bool:
    return any(row.shard.startswith(_RETRIES) for row in manifest.ranges)


def _pointer(attribute: str) -> str:
    return "/" + attribute.replace("~", "~0").replace("/", "~1")


def _item(image: str, version: str) -> Item:
    try:
        return msgspec.json.decode(image, type=dict[str, dict[str, object]])
    except msgspec.DecodeError:
        raise _no_image(version) from None


def _no_image(version: str) -> Terminal:
    return Terminal(
        f"the image of version {version} is no item of DynamoDB: see that no setting of protect changes its column"
    )
