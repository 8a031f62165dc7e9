"""Files as a source: a folder, or a glob pattern, of log files, plain or gzip, with new ones arriving.

The files may be on the local disk or in S3; where they are is a `Store`, and all the rest is the same.

A source has a fixed number of buckets, each a shard. A file's bucket is chosen by its pack's bucket key, so that a
copy under a new name meets the ids of the first; within a bucket files are read in the order of their ordinals,
which they get when they are discovered. A position is (ordinal, physical line), and (ordinal + 1, 0) once a file
has been read to its end: a finished file is never opened again.

A local file is discovered when it has settled: its modified time is `settle_s` old, or it was seen unchanged for that
long (a clock of a file server may be ahead). What was written elsewhere and renamed into place has settled as it
arrives, if writing it ended that long ago. A modified time set by the writer (`cp -p`, `tar`) is set after the last
byte. An object of S3 appears whole.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from shardlake.core.errors import ConfigError, Corrupt, Transient
from shardlake.core.limits import Limits
from shardlake.core.positions import END, Position, ShardId
from streams.sources import pages as stored
from streams.sources.lines import Cuts, Sample, Span, cut, split_after
from streams.sources.listing import Folder, Found, Gone, Opened, Pattern, Store, told
from streams.sources.pages import FileRow, Manifest
from streams.sources.pieces import pieces
from streams.sources.port import Block, ObjectChanged, SourceGap

BucketKey = Callable[[str], str | None]
OnChange = Literal["fail", "new", "dlq"]
OnGap = Literal["fail", "dlq", "continue"]

_BUCKETS_MAX: Final = 10_000  # four digits in a shard's name


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What a user sets of a file source.

    `path` is a folder (read with all below it), a file or a glob pattern, of the local disk or of S3. `on_change` says
    what to do when a file has new contents under its old name: stop, read it again as a new file, or write a dead
    letter. `on_gap` says what to do when a file disappears before it was read: stop, or go on, with a dead letter or
    without one. Either way its range is of kind gap.
    `discover_max` is the number of files that one page takes; more wait for the next.
    """

    name: str
    path: str
    buckets: int = 16
    on_change: OnChange = "fail"
    on_gap: OnGap = "fail"
    discover_max: int = 10_000

    def __post_init__(self) -> None:
        for key, value, accepted in (("on_change", self.on_change, OnChange), ("on_gap", self.on_gap, OnGap)):
            if value not in get_args(accepted):
                raise ConfigError(f"{key} is {value!r}; accepted: {', '.join(get_args(accepted))}")
        if not 1 <= self.buckets <= _BUCKETS_MAX:
            raise ConfigError(f"buckets is {self.buckets}; accepted: 1 to {_BUCKETS_MAX}")
        if self.discover_max < 1:
            raise ConfigError(f"discover_max is {self.discover_max}; accepted: 1 or more")


class FileSource:
    """A running file source; see the port for its contract. Not safe for several threads.

    Without a store it is that of the local disk.
    """

    def __init__(
        self, settings: FileSettings, bucket_key: BucketKey, limits: Limits, store: Store | None = None
    ) -> None:
        self._settings, self._bucket_key, self._limits = settings, bucket_key, limits
        self._cuts = Cuts(limits.block_bytes, limits.chunk_rows_max, max(limits.letter_bytes_max, limits.block_bytes))
        self._store: Store = Folder(Pattern.of(settings.path)) if store is None else store
        self._manifest = Manifest(settings.buckets)
        self._unsettled: dict[tuple[str, str], int] = {}  # since when a file has been as it is
        self._rest: list[Found] = []  # what was listed, and is too much for one page
        self._uncommitted = False
        self._sees: bool | None = None

    def shards(self) -> Sequence[ShardId]:
        """One shard for each bucket: all there will ever be."""
        return [ShardId(f"{self._settings.name}/{bucket:04d}") for bucket in range(self._settings.buckets)]

    def open(self, pages: Sequence[bytes]) -> None:
        """Know what the pages of a lane list, and nothing else."""
        self._manifest = Manifest.from_pages(self._settings.buckets, pages)
        self._rest, self._uncommitted = [], False
        self._store.restart()

    @property
    def paces_itself(self) -> bool:
        """Listings of S3 do; a local folder is listed each time."""
        return not self._store.settles

    @property
    def waiting(self) -> int:
        """How many files were seen by the last `discover` that have not settled yet, or wait for the next page."""
        return len(self._unsettled) + len(self._rest)

    @property
    def sees_nothing(self) -> bool:
        """Tell whether there is no file at all: none was listed since this was made."""
        return self._sees is False

    def merge(self, pages: Sequence[bytes]) -> bytes:
        """Make one page out of consecutive ones."""
        return stored.merge(pages)

    def discover(self, now_us: int) -> bytes | None:
        """Give the next ordinals to files that are new and settled, in the order of modified time and key."""
        fresh = [found for found in self._rest or self._listed() if self._is_fresh(found)]
        ready = self._settled(fresh, now_us) if self._store.settles else fresh
        chosen = sorted(ready, key=lambda found: (found.mtime_ns, found.key))
        chosen, rest = chosen[: self._settings.discover_max], chosen[self._settings.discover_max :]
        for found in chosen:
            self._refuse_change(self._manifest.latest(found.key), found.etag)
        self._rest = [] if self._store.settles else rest  # a file may change until it is listed again
        rows = [self._register(found, now_us) for found in chosen]
        self._uncommitted = self._uncommitted or bool(rows)
        if not self._uncommitted:
            self._store.committed()
        return stored.encode(self._settings.buckets, rows) if rows else None

    def committed(self) -> None:
        """Hear that the pages that `discover` gave are committed."""
        self._uncommitted = False
        if not self._rest:
            self._store.committed()

    def read(self, shard: ShardId, after: Position) -> Iterator[Block]:
        """Read a bucket on from a position."""
        if after == END:
            return
        bucket = self.shards().index(shard)
        if after > Position(self._manifest.next_ordinal(bucket)):
            raise Corrupt(f"shard {shard} stands at {after.encode()}, beyond its discovered files: a page is missing")
        for row in self._manifest.beyond(bucket, after.sequence):
            yield from self._read(shard, row, after)
            after = Position(row.ordinal + 1)

    def bucket(self, key: str) -> int:
        """Choose the bucket of a file: the same in every process, and for all names with one bucket key."""
        chosen = self._bucket_key(key)
        if chosen is None:
            return 0
        digest = hashlib.sha256(chosen.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self._settings.buckets

    # ------------------------------------------------------------------------------------------ discovery

    def _listed(self) -> Iterator[Found]:
        for found in self._store.list():
            self._sees = True
            yield found
        self._sees = self._sees or False

    def _is_fresh(self, found: Found) -> bool:
        known = self._manifest.latest(found.key)
        return known is None or known.etag != found.etag

    def _settled(self, fresh: Sequence[Found], now_us: int) -> list[Found]:
        """Choose what is old enough, or was seen unchanged for long enough."""
        before_us = now_us - int(self._limits.settle_s * 1_000_000)
        seen = {(f.key, f.etag): self._unsettled.get((f.key, f.etag), now_us) for f in fresh}
        self._unsettled = seen
        return [f for f in fresh if min(f.mtime_ns // 1000, seen[f.key, f.etag]) <= before_us]

    def _register(self, found: Found, now_us: int) -> FileRow:
        known, bucket = self._manifest.latest(found.key), self.bucket(found.key)
        kind: Literal["data", "changed"] = "changed" if known and self._settings.on_change == "dlq" else "data"
        ordinal, mtime_us = self._manifest.next_ordinal(bucket), min(found.mtime_ns // 1000, now_us)
        row = FileRow(bucket, ordinal, found.key, found.etag, found.size, mtime_us, kind)
        self._manifest.add([row])
        return row

    def _refuse_change(self, known: FileRow | None, etag: str) -> None:
        if known is not None and self._settings.on_change == "fail":
            raise ObjectChanged(self._store.name(known.key), told(known.etag), told(etag))

    # -------------------------------------------------------------------------------------------- reading

    def _read(self, shard: ShardId, row: FileRow, after: Position) -> Iterator[Block]:
        block = Block(shard, after, Position(row.ordinal + 1), row.key, row.ordinal, row.mtime_us, starts=True)
        if row.kind == "changed":
            yield _without(block, "object_changed", "the file has new contents under its old name; they were not read")
            return
        try:
            opened = self._store.open(row)
        except Gone as error:
            yield self._gap(block, error)
            return
        with opened.file:
            yield from self._blocks(opened, row, block)

    def _blocks(self, opened: Opened, row: FileRow, block: Block) -> Iterator[Block]:
        """Give the blocks of an open file; `block` is what they have in common."""
        if self._has_changed(opened, row):
            detail = "the file has new contents under its old name; what it held before was not read to its end"
            yield replace(_without(block, "object_changed", detail), kind="gap")
            return
        try:
            for span in cut(pieces(opened.file, self._limits.letter_bytes_max), self._cuts):
                whole = _with_change(span) if span.last and self._has_changed(opened, row) else span
                for found in _between(block, whole):
                    yield found
                    block = replace(block, after=found.upto, starts=False)
        except OSError as error:
            name = self._store.name(row.key)
            raise Transient(f"{name} cannot be read ({error.strerror}): make it readable") from error

    def _has_changed(self, opened: Opened, row: FileRow) -> bool:
        etag = opened.etag()
        if etag != row.etag:
            self._refuse_change(row, etag)
        return etag != row.etag

    def _gap(self, block: Block, error: Gone) -> Block:
        if self._settings.on_gap == "fail":
            raise SourceGap(self._store.name(block.origin), block.shard, block.after) from error
        detail = "the file was removed before it was read to its end"
        ended = _without(block, "object_missing", detail)
        return replace(ended, kind="gap", faults=ended.faults if self._settings.on_gap == "dlq" else ())


def _line(block: Block) -> int:
    """How many lines of a block's object were read before it."""
    return block.after.sub if block.after.sequence == block.ordinal else 0


def _without(block: Block, reason: str, detail: str) -> Block:
    """Finish an object without its bytes."""
    line = _line(block) + 1
    return replace(block, first_line=line, faults=(Sample.of([], 0).fault(line, reason, detail),))


def _with_change(span: Span) -> Span:
    detail = "the file was changed while it was read; the lines before may be of either contents"
    return replace(span, faults=(*span.faults, Sample.of([], 0).fault(span.last_line + 1, "object_changed", detail)))


def _between(block: Block, span: Span) -> Iterator[Block]:
    """Turn a span into blocks: what was counted before, to be skipped, and what was not."""
    done = _line(block)
    if span.last_line <= done and not span.last:
        yield from _skipped(block, span)
        return
    before, rest = split_after(span, done)
    for found in _skipped(block, before):
        yield found
        block = replace(block, starts=False)
    upto = Position(block.ordinal + 1) if rest.last else Position(block.ordinal, rest.last_line)
    yield replace(block, upto=upto, first_line=rest.first_line, lines=rest.lines, data=rest.data, faults=rest.faults)


def _skipped(block: Block, span: Span | None) -> Iterator[Block]:
    if span is not None and span.lines:
        first, lines = span.first_line, span.lines
        yield replace(block, upto=block.after, first_line=first, lines=lines, data=span.data, skip=True)
