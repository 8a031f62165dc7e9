"""The dead letters of a root: what could not be read, where it stood, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.app import compose
from shardlake.app.guard import arrow_without_pandas
from shardlake.app.settings import Config
from shardlake.core.combine import read_parquet
from shardlake.core.errors import Corrupt, Terminal
from shardlake.core.journal import reading
from shardlake.core.positions import decode_number, encode_number
from shardlake.core.seam import NOTHING

_ORDER: Final = "_shard, _sequence, _sub"
_COLUMNS: Final = f"{_ORDER}, _arrival, origin, reason, detail, payload"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. Its id is `SHARD:SEQUENCE:SUB`; for files that is bucket, ordinal of the file, and line."""

    id: str
    origin: str
    line: int
    reason: str
    detail: str
    arrival: datetime
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reason:
    """How many letters there are for one reason, and the first and the last of them."""

    reason: str
    count: int
    first: str
    last: str


class Letters:
    """The dead letters up to the newest cut. Raises on opening: ConfigError if nothing was stored yet."""

    def __init__(self, config: Config) -> None:
        arrow_without_pandas()
        store = compose.objects(config)
        with compose.opened_journal(config) as journal:
            manifests = read_manifests(store, reading.read_beyond(journal, NOTHING).after(NOTHING))
        self._paths = [store.path(m.letters) for m in manifests if m.letters is not None]
        self._engine = Engine(config.query.threads, config.limits.query_memory)

    def reasons(self) -> list[Reason]:
        """Count them by reason, the most frequent first."""
        place = "{'shard': _shard, 'sequence': _sequence, 'sub': _sub}"
        found = self._select(
            f"SELECT reason, count(*) AS n, min({place}) AS first, max({place}) AS last FROM {{letters}}"
            " GROUP BY reason ORDER BY n DESC, reason"
        )
        return [Reason(row["reason"], row["n"], _id(**row["first"]), _id(**row["last"])) for row in found]

    def of(self, reason: str, limit: int) -> list[Letter]:
        """The first letters of a reason, "" for any, in order of position."""
        where = f" WHERE reason = {_quoted(reason)}" if reason else ""
        return self._letters(f"{where} ORDER BY {_ORDER} LIMIT {limit}")

    def find(self, letter: str) -> list[Letter]:
        """The letters with an id: one, as a rule. Raises: Terminal if the text is no id, or there is none."""
        shard, sequence, sub = _parts(letter)
        found = self._letters(
            f" WHERE _shard = {_quoted(shard)} AND _sequence = {_quoted(encode_number(sequence))} AND _sub = {sub}"
        )
        if not found:
            raise Terminal(f"there is no dead letter {letter}: `shardlake dlq list` shows which there are")
        return found

    def _letters(self, clauses: str) -> list[Letter]:
        rows = self._select(f"SELECT {_COLUMNS} FROM {{letters}}{clauses}")
        return [
            Letter(
                _id(row["_shard"], row["_sequence"], row["_sub"]),
                row["origin"],
                row["_sub"],
                row["reason"],
                row["detail"],
                row["_arrival"],
                row["payload"],
            )
            for row in rows
        ]

    def _select(self, sql: str) -> Sequence[dict[str, Any]]:
        if not self._paths:
            return []
        found: Sequence[dict[str, Any]] = self._engine.table(
            sql.replace("{letters}", read_parquet(self._paths), 1)  # a reason may hold the same word
        ).to_pylist()
        return found


def _id(shard: str, sequence: str, sub: int) -> str:
    return f"{shard}:{decode_number(sequence)}:{sub}"


def _parts(letter: str) -> tuple[str, int, int]:
    shard, sequence, sub = [*letter.rsplit(":", 2), "", ""][:3]
    if not (shard and sequence.isdecimal() and sub.isdecimal()):
        raise Terminal(
            f"{letter!r} is no id of a dead letter, such as cloudfront/0003:7:12: `shardlake dlq list` shows them"
        )
    return shard, int(sequence), int(sub)


def _quoted(text: str) -> str:
    if "\0" in text:
        raise Corrupt("a text with a zero byte names nothing")
    return "'" + text.replace("'", "''") + "'"
