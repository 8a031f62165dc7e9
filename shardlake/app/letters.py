"""The dead letters of a root: what could not be read, where it stood, why, and whether it was retried since."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shardlake.adapters.arrow import integers, longs
from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.app import compose
from shardlake.app.guard import arrow_without_pandas
from shardlake.app.settings import Config
from shardlake.core.combine import read_parquet
from shardlake.core.errors import Terminal
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Manifest
from shardlake.core.limits import Limits
from shardlake.core.positions import decode_number, encode_number
from shardlake.core.seam import NOTHING
from shardlake.core.sql import literal
from streams.again import LINES, is_cut_sql
from streams.chunk import LETTERS
from streams.retry import Batch, Standing, is_retry, stand

SAMPLE_BYTES: Final = 40  # of a payload, in a list
NO_LINE, CUT, ELSEWHERE = "no_line", "cut", "other_source"
_ORDER: Final = "_shard, _sequence, _sub"
_COLUMNS: Final = f"{_ORDER}, _arrival, origin, reason, detail, payload, retried"
_NO_LETTERS: Final = f"(SELECT {', '.join(f'NULL AS {name}' for name in LETTERS.names)} WHERE false)"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. Its id is `SHARD:SEQUENCE:SUB`; for files that is bucket, ordinal of the file, and line.

    `retried` is the position of the event that it became, "" while it is open.
    """

    id: str
    origin: str
    line: int
    reason: str
    detail: str
    arrival: datetime
    payload: bytes
    retried: str


@dataclass(frozen=True, slots=True)
class Reason:
    """How many letters there are for one reason, the first and the last of them, and how the first one begins.

    `retried` is how many became events since.
    """

    reason: str
    count: int
    first: str
    last: str
    sample: bytes
    retried: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters somebody asks for: of a reason ("" for any), of these ids (none for any), so many at most."""

    reason: str = ""
    ids: Sequence[str] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters can be retried: rows of files of letters. `others` counts those that cannot, by (reason, why).

    `retried` is how many of those that were asked for became events before.
    """

    rows: Mapping[int, npt.NDArray[np.int64]]
    others: Mapping[tuple[str, str], int]
    retried: int

    @property
    def count(self) -> int:
        """How many can be retried."""
        return sum(map(len, self.rows.values()))


class Letters:
    """The dead letters up to the newest cut. Raises on opening: ConfigError if nothing was stored yet.

    `standing` is how the lane of retries stood before anything was read here.
    """

    standing: Standing

    def __init__(self, config: Config) -> None:
        arrow_without_pandas()
        store = compose.objects(config)
        with compose.opened_journal(config) as journal:
            self.standing = stand(journal, config.source.name)
            manifests = read_manifests(store, reading.read_beyond(journal, NOTHING).after(NOTHING))
        self._entries = [m for m in manifests if m.letters is not None and not is_retry(m)]
        self._paths = _paths(store.path, self._entries)
        retried = _paths(store.path, [m for m in manifests if m.letters is not None and is_retry(m)])
        self._retried = read_parquet(retried) if retried else _NO_LETTERS
        self._engine = Engine(config.query.threads, config.limits.query_memory)
        self._source = config.source.name

    def reasons(self, *, retried: bool = False) -> list[Reason]:
        """Count the open ones by reason, the most frequent first; with `retried` the others too."""
        place = "{'shard': _shard, 'sequence': _sequence, 'sub': _sub}"
        found = self._select(
            f"SELECT reason, count(*) AS n, min({place}) AS first, max({place}) AS last, count(retried) AS retried,"
            f" arg_min(payload[1:{SAMPLE_BYTES}], {place}) AS sample FROM letters {_only_open(retried)}"
            " GROUP BY reason ORDER BY n DESC, reason"
        )
        return [
            Reason(row["reason"], row["n"], _id(**row["first"]), _id(**row["last"]), row["sample"], row["retried"])
            for row in found
        ]

    def retried(self) -> int:
        """How many became events."""
        return sum(row["n"] for row in self._select("SELECT count(retried) AS n FROM letters"))

    def of(self, reason: str, limit: int, *, retried: bool = False) -> list[Letter]:
        """The first open letters of a reason, "" for any, in order of position; with `retried` the others too."""
        where = f" AND reason = {literal(reason)}" if reason else ""
        return self._letters(f"{_only_open(retried)}{where} ORDER BY {_ORDER} LIMIT {limit}")

    def find(self, letter: str) -> list[Letter]:
        """The letters with an id: one, as a rule. Raises: Terminal if the text is no id, or there is none."""
        found = self._letters(f"WHERE {_at(letter)}")
        if not found:
            raise Terminal(f"there is no dead letter {letter}: `shardlake dlq list` shows which there are")
        return found

    # -------------------------------------------------------------------------------------------------- retries

    def choose(self, choice: Choice) -> Chosen:
        """Say which letters can be retried. Raises: Terminal if an id is none, or there is no letter of it."""
        for letter in choice.ids:
            self.find(letter)
        if not self._paths:
            return Chosen({}, {}, 0)
        where = " OR ".join(f"({_at(letter)})" for letter in choice.ids) or "true"
        reason = f"reason = {literal(choice.reason)}" if choice.reason else "true"
        chosen = f"SELECT *, {_why(self._source)} AS why FROM letters WHERE ({where}) AND {reason}"
        counts = self._select(
            "SELECT reason, why, count(*) - count(retried) AS n, count(retried) AS retried"
            f" FROM ({chosen}) GROUP BY reason, why"
        )
        limit = "" if choice.limit is None else f" LIMIT {choice.limit}"
        rows = self._table(
            f"SELECT file, number FROM ({chosen} AND retried IS NULL) WHERE why = '' ORDER BY file, number{limit}"
        )
        return Chosen(
            _by_file(rows),
            {(row["reason"], row["why"]): row["n"] for row in counts if row["why"] and row["n"]},
            sum(row["retried"] for row in counts),
        )

    def batches(self, chosen: Chosen, limits: Limits) -> Iterator[Batch]:
        """Read letters that can be retried, in the order of their entries, as many at once as a chunk may hold."""
        batch = Batch()
        for file, numbers in chosen.rows.items():
            manifest = self._entries[file]
            rows = pq.ParquetFile(self._paths[file]).read(columns=LETTERS.names).cast(LETTERS)
            for one in _cut(rows, numbers, limits):
                if not batch.has_room(one, limits):
                    yield batch
                    batch = Batch()
                batch.add(one, (manifest.lane, manifest.n))
        if batch.rows:
            yield batch

    # ---------------------------------------------------------------------------------------------------- parts

    def _letters(self, clauses: str) -> list[Letter]:
        return [
            Letter(
                _id(row["_shard"], row["_sequence"], row["_sub"]),
                row["origin"],
                row["_sub"],
                row["reason"],
                row["detail"],
                row["_arrival"],
                row["payload"],
                row["retried"] or "",
            )
            for row in self._select(f"SELECT {_COLUMNS} FROM letters {clauses}")
        ]

    def _select(self, sql: str) -> Sequence[dict[str, Any]]:
        found: Sequence[dict[str, Any]] = self._table(sql).to_pylist() if self._paths else []
        return found

    def _table(self, sql: str) -> pa.Table:
        """Run SQL over the letters, of which there are some; a reason in it may hold any word."""
        letters = (
            "SELECT l.*, l.file_index::BIGINT AS file, l.file_row_number::BIGINT AS number, r.detail AS retried"
            f" FROM {read_parquet(self._paths)} AS l LEFT JOIN {self._retried} AS r"
            " ON (l._shard, l._sequence, l._sub, l.reason) = (r._shard, r._sequence, r._sub, r.reason)"
        )
        return self._engine.table(f"WITH letters AS ({letters}) {sql}")


def _paths(path: Any, manifests: Sequence[Manifest]) -> list[str]:
    return [path(m.letters) for m in manifests]


def _only_open(retried: bool) -> str:
    return "WHERE true" if retried else "WHERE retried IS NULL"


def _why(source: str) -> str:
    """Say in SQL why a letter cannot be retried; "" if it can."""
    lines = ", ".join(map(literal, sorted(LINES)))
    return (
        f"CASE WHEN NOT starts_with(_shard, {literal(source + '/')}) THEN '{ELSEWHERE}'"
        f" WHEN reason NOT IN ({lines}) THEN '{NO_LINE}' WHEN {is_cut_sql('detail')} THEN '{CUT}' ELSE '' END"
    )


def _by_file(rows: pa.Table) -> dict[int, npt.NDArray[np.int64]]:
    """Give the numbers of each file's rows, of columns that are sorted."""
    files, numbers = integers(rows["file"]), integers(rows["number"])
    edges = [*np.flatnonzero(np.diff(files, prepend=-1)).tolist(), files.size]
    return {int(files[start]): numbers[start:end] for start, end in pairwise(edges)}


def _cut(rows: pa.Table, numbers: npt.NDArray[np.int64], limits: Limits) -> Iterator[pa.Table]:
    """Take some rows, in parts that a chunk can hold; a row that is larger is a part of its own."""
    sizes = integers(pc.binary_length(rows["payload"]))[numbers].tolist()
    start = size = 0
    for at, more in enumerate(sizes):
        is_full = at - start >= limits.chunk_rows_max or size + more > limits.chunk_bytes_max
        if is_full and at > start:
            yield rows.take(longs(numbers[start:at]))
            start, size = at, 0
        size += more
    yield rows.take(longs(numbers[start:]))


def _id(shard: str, sequence: str, sub: int) -> str:
    return f"{shard}:{decode_number(sequence)}:{sub}"


def _at(letter: str) -> str:
    """Say in SQL that a letter has an id. Raises: Terminal if the text is none."""
    shard, sequence, sub = [*letter.rsplit(":", 2), "", ""][:3]
    if not (shard and sequence.isdecimal() and sub.isdecimal()):
        raise Terminal(
            f"{letter!r} is no id of a dead letter, such as cloudfront/0003:7:12: `shardlake dlq list` shows them"
        )
    number = literal(encode_number(int(sequence)))
    return f"_shard = {literal(shard)} AND _sequence = {number} AND _sub = {int(sub)}"
