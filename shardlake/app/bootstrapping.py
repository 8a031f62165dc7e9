"""A table's present content, counted: what it held before its stream was followed, and what was lost on the way.

The table is scanned while it is changed and while its stream is read. Then rows are added that make what is counted
equal to what the table held at a cut, which lies beyond the end of the scan. See decision 0030 for the proof.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch.columns import shaped
from batch.present import Counted, Since, counted, lacking
from shardlake.adapters.arrow import integers, strings
from shardlake.adapters.dynamodb.scan import KeyAttribute, TableScan
from shardlake.adapters.dynamodb.stream_calls import StreamCalls
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.core.bootstrap import bootstrap_of
from shardlake.core.combine import read_parquet
from shardlake.core.errors import ConfigError, Conflict, ShardlakeError, Terminal, Transient
from shardlake.core.journal import reading
from shardlake.core.ports import Tables
from shardlake.core.positions import ORIGIN, Position, ShardId, encode_number
from shardlake.core.seam import NOTHING
from shardlake.core.sql import literal
from shardlake.core.view import CompiledView
from shardlake.packs import registry
from shardlake.packs.declared import declaration, paths
from shardlake.packs.declared.words import Read
from shardlake.packs.pack import Pack
from streams.again import LINES
from streams.bootstrap import BootstrapCommitter, BootstrapLane, rivalled
from streams.decode import Decoding
from streams.entry import to_parquet
from streams.lane import LaneContext, LaneLost
from streams.protect import Protection
from streams.retry import is_retry, retries_of
from streams.sources.dynamodb.listing import name_of
from streams.sources.dynamodb.tips import Tip, Tips
from streams.sources.port import Records

SETTLE_S: Final = 10.0
WAIT_S: Final = 3_600.0
_LOST: Final = "while the table was scanned: run it again"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it: how many items the scan found, and how many rows were added, and taken back as too many."""

    items: int
    added: int
    taken_back: int
    entries: int


@dataclass(slots=True)
class Loading:
    """One run. `keys` are the columns of the table's key, `folder` a place for files that are of use to nobody later.

    `settle_s` is how long after its acknowledgement a change is in the stream, and a shard in its listing, at the
    latest; `wait_s` how long the workers are waited for to have read it. `pinned_us` is when the source began, if it
    reads only what came from then on.
    """

    context: LaneContext
    tables: Tables
    engine: Engine
    pack: Pack
    protection: Protection
    views: Sequence[CompiledView]
    source: str
    stream: str
    scan: TableScan
    streams: StreamCalls
    keys: tuple[str, ...]
    folder: Path
    settle_s: float = SETTLE_S
    wait_s: float = WAIT_S
    pinned_us: int = 0
    progress: Callable[[str], None] = lambda _: None
    _items: int = field(default=0)

    def run(self) -> Loaded:
        """Count what is lacking. What a run that was killed had added stays, and the next one adds the rest.

        Raises: LaneLost if somebody else began meanwhile; Conflict if the scan is of no use, because records or dead
        letters came between; Terminal for open dead letters and items that cannot be read; as `Lane.commit`.
        """
        context = self.context
        lane = BootstrapLane.open(context, self.source)
        views, limits = list(self.views), context.limits
        committer = BootstrapCommitter(lane, context.store, self.pack.schema, views, self.engine, limits)
        try:
            done = self._run(committer)
        except LaneLost as error:
            raise rivalled(self.source) from error
        except ShardlakeError:
            with suppress(ShardlakeError):
                lane.leave()
            raise
        with suppress(LaneLost):  # somebody else's by now, and nothing is lost
            lane.leave()
        return done

    def _run(self, committer: BootstrapCommitter) -> Loaded:
        before = self._counted()
        self._check_letters(before)
        committer.begin()
        scanned = list(self._scanned())
        tips = self._tips(before)
        now = self._reached(tips)
        self._check(before, now)
        self.progress(f"{self._items:,} items were scanned; comparing them with what is counted")
        target = str(self.folder / "lacking.parquet")
        read, schema = now.paths(self.context.store), self.pack.schema
        since = self._since(before)
        lacking(self.engine, schema, self.keys, self.source, scanned, read, since, target)
        return self._add(committer, target)

    # ---------------------------------------------------------------------------------------------------- the scan

    def _scanned(self) -> Iterator[str]:
        """Read all items into files of rows, and give their paths."""
        decoding = Decoding(self.pack, self.protection, self.context.limits)
        bad, kept, rows = Counter[str](), list[pa.Table](), 0
        for page in self.scan.pages():
            table, reasons = self._decoded(decoding, page)
            bad.update(reasons)
            kept.append(table)
            rows, self._items = rows + table.num_rows, self._items + len(page)
            self.progress(f"{self._items:,} items scanned")
            if rows >= self.context.limits.chunk_rows_max:
                yield self._written(kept)
                kept, rows = [], 0
        if bad:
            reasons_told = ", ".join(f"{count:,} {reason}" for reason, count in bad.most_common())
            raise Terminal(
                f"{bad.total():,} of {self._items:,} items cannot be read ({reasons_told}), so that views cannot equal"
                " the table: correct them, or the pack, and run it again"
            )
        if kept:
            yield self._written(kept)

    def _decoded(self, decoding: Decoding, page: Sequence[bytes]) -> tuple[pa.Table, Sequence[str]]:
        count, shard = len(page), ShardId(bootstrap_of(self.source))
        numbers = strings([encode_number(at + 1) for at in range(count)])
        zeros, data = np.zeros(count, np.int64), b"\n".join(page)
        piece = decoding.piece(Records(shard, ORIGIN, Position(count), self.scan.table, data, numbers, zeros, zeros))
        assert piece is not None
        letters = [] if piece.letters is None else piece.letters["reason"].to_pylist()
        return shaped(piece.rows, self.pack.schema.columns), letters

    def _written(self, tables: Sequence[pa.Table]) -> str:
        path = self.folder / f"scanned-{self._items}.parquet"
        path.write_bytes(to_parquet(pa.concat_tables(tables)))
        return str(path)

    # -------------------------------------------------------------------------------------------------- the stream

    def _counted(self) -> Counted:
        return counted(self.context.journal, self.context.store, self.tables)

    def _tips(self, before: Counted) -> Mapping[str, Tip]:
        """Find how far the stream reaches at a moment after the end of the scan."""
        clock = self.context.clock
        after_us = clock.now_us() + round(self.settle_s * 1e6)
        clock.sleep_s(self.settle_s)
        self.progress("looking for the end of the stream")
        return Tips(self.streams, self.stream, clock, after_us, self.pinned_us).find(self._upto(before))

    def _reached(self, tips: Mapping[str, Tip]) -> Counted:
        """Wait until the workers have counted the stream as far as that. Raises: Transient."""
        clock = self.context.clock
        until_s = clock.monotonic_s() + self.wait_s
        while True:
            now = self._counted()
            upto = self._upto(now)
            behind = sum(not tip.is_within(name, upto) for name, tip in tips.items())
            if not behind:
                return now
            if clock.monotonic_s() >= until_s:
                raise Transient(
                    f"{behind} shards were not read to the end of the scan in {self.wait_s:,.0f} s: let `shardlake"
                    " stream run` catch up, then run this again"
                )
            self.progress(f"waiting for `shardlake stream run`: {behind} shards are behind the end of the scan")
            clock.sleep_s(self.context.limits.poll_interval_s)

    def _upto(self, at: Counted) -> dict[str, Position]:
        mine = f"{self.source}/"
        upto = at.positions.upto.items()
        return {name_of(shard): Position.decode(text) for shard, text in upto if shard.startswith(mine)}

    def _since(self, before: Counted) -> dict[str, Since]:
        """Where each shard of the source stood before the scan, and how many others went before it."""
        known = {
            name: row for name, row in reading.read_shards(self.context.journal).items() if row.source == self.source
        }
        generations: dict[str, int] = {}

        def generation(name: str) -> int:
            if name not in generations:
                generations[name] = 1 + max((generation(p) for p in known[name].parents if p in known), default=0)
            return generations[name]

        # Names tell when shards began: parents come before their children, so that no chain of them is deep.
        return {name: Since(before.positions.upto.get(name, "-"), generation(name)) for name in sorted(known)}

    # ------------------------------------------------------------------------------------------------------- checks

    def _check(self, before: Counted, now: Counted) -> None:
        """See that what is known of the changes since the scan began is all of them, in their order.

        Raises: Conflict, Terminal.
        """
        self._check_letters(now)
        if len(now.positions.gaps) > len(before.positions.gaps):
            raise Conflict(f"records of the stream were lost {_LOST}")
        retries = retries_of(self.source)
        if now.positions.upto.get(retries) != before.positions.upto.get(retries):
            raise Conflict(f"dead letters were retried {_LOST}")

    def _check_letters(self, at: Counted) -> None:
        if at.positions.counts.letters and (count := self._open_lines()):
            raise Terminal(
                f"{count:,} dead letters are open, and what they tell of the table would count twice if they were"
                " retried later: correct the pack, run `shardlake dlq retry`, then this again"
            )

    def _open_lines(self) -> int:
        """Count the open dead letters that are lines; those that tell of a loss are never retried."""
        journal, store = self.context.journal, self.context.store
        manifests = read_manifests(store, reading.read_beyond(journal, NOTHING).after(NOTHING))
        found = [(store.path(m.letters), is_retry(m)) for m in manifests if m.letters is not None]
        letters, retried = ([path for path, again in found if again is kind] for kind in (False, True))
        if not letters:
            return 0
        of = ", ".join(map(literal, sorted(LINES)))
        done = f"ANTI JOIN {read_parquet(retried)} USING (_shard, _sequence, _sub, reason)" if retried else ""
        sql = f"SELECT count(*) AS n FROM {read_parquet(letters)} l {done} WHERE l.reason IN ({of})"
        return int(self.engine.table(sql)["n"][0].as_py())

    # -------------------------------------------------------------------------------------------------------- rows

    def _add(self, committer: BootstrapCommitter, path: str) -> Loaded:
        """Count the rows of a file, a chunk at a time."""
        schema, size = self.pack.schema, self.context.limits.chunk_rows_max
        arrival_us, added, total, entries = self.context.clock.now_us(), 0, 0, 0
        with pq.ParquetFile(path) as file:
            left = file.metadata.num_rows
            batches = file.iter_batches(size) if left else iter([pa.RecordBatch.from_pylist([], file.schema_arrow)])
            for batch in batches:
                rows = pa.Table.from_batches([batch])
                left -= rows.num_rows
                weights = integers(rows["_weight"]).astype(np.int32)
                committer.add(shaped(rows, schema.columns), weights, arrival_us, is_last=left == 0)
                added, total, entries = added + int((weights > 0).sum()), total + rows.num_rows, entries + 1
                self.progress(f"{total:,} rows counted")
        return Loaded(self._items, added, total - added, entries)


def key_columns(pack: str, keys: Sequence[KeyAttribute], protection: Protection) -> tuple[str, ...]:
    """Find the columns that hold a table's key, each value as one text or number. Raises: ConfigError."""
    folder = resources.files("shardlake.packs").joinpath(pack) if pack in registry.FOLDERS else Path(pack)
    read = declaration.load(folder, Path(pack).name).read
    found = []
    for key in keys:
        column = next((one.column.name for one in read if _holds(one, key)), None)
        if column is None or column in protection.mask | protection.drop:
            raise ConfigError(
                f"no column of pack {pack} holds {key.name}, which is of the table's key: two images of one item cannot"
                f' be told to be so; add {key.name} = {{ type = "VARCHAR", holds = "{key.type}" }} to its columns, and'
                " neither mask nor drop it"
            )
        found.append(column)
    return tuple(found)


def _holds(read: Read, key: KeyAttribute) -> bool:
    """Tell whether a column holds an attribute, so that two values of it are never one."""
    kind = read.column.type
    is_whole = kind == "VARCHAR" or (key.type == "N" and (kind in ("INTEGER", "BIGINT") or read.column.decimal))
    return read.holds == key.type and bool(is_whole) and tuple(paths.steps(read.field)) == (key.name,)
