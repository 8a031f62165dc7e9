"""A row on which a view fails by itself is a dead letter of its chunk; a view that fails otherwise fails, as ever."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.adapters.engine import Engine
from shardlake.core.compiler import compile_view
from shardlake.core.errors import MemoryExhausted, Transient
from shardlake.core.journal.objects import Manifest
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.limits import Limits
from shardlake.core.positions import ORIGIN, Position, ShardId, encode_number
from shardlake.testing.clicks import Clicks, line_of
from shardlake.testing.plain import Click
from shardlake.testing.world import SCHEMA
from streams.again import Rereading, sift
from streams.chunk import Chunk
from streams.decode import Decoding
from streams.dedup import Seen
from streams.entry import Built, build
from streams.letters import LETTERS
from streams.poison import bound
from streams.protect import Protection
from streams.sources.port import Block

SQL: Final = {
    "squares": "SELECT page, sum(cost * cost) AS squares FROM clicks GROUP BY page",
    "costs": "SELECT page, count(*) AS clicks, sum(cost) AS total FROM clicks GROUP BY page",
    "tens": "SELECT page, sum(cost * 10) AS tens FROM clicks GROUP BY page",
}
VIEWS: Final = {name: compile_view(name, sql, SCHEMA) for name, sql in SQL.items()}
ENGINE: Final = Engine()
HUGE: Final = 4 * 10**9  # its square is no BIGINT, the number is a small one
HALF: Final = 2**62  # two of them are no BIGINT


class Counted(Engine):
    """An engine that counts what it is asked, and fails as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.error: Exception | None = None

    def table(self, sql: str, tables: Any = None) -> pa.Table:
        if tables and "events" in tables:
            self.asked.append(tables["events"].num_rows)
            if self.error is not None:
                raise self.error
        return super().table(sql, tables)


@pytest.fixture
def engine() -> Counted:
    return Counted()


def click(number: int, cost: int, click_id: str | None = None) -> Click:
    return Click(number, None, "/", cost, None, click_id)


def chunk_of(clicks: Sequence[Click], limits: Limits, pieces: int = 1) -> Chunk:
    chunk, size = Chunk(limits), -(-len(clicks) // pieces)
    decoding = Decoding(Clicks(), Protection(), limits)
    for number, start in enumerate(range(0, len(clicks), size)):
        lines = [line_of(one) for one in clicks[start : start + size]]
        after = Position(number) if number else ORIGIN
        data = b"\n".join(lines)
        block = Block(ShardId("s/1"), after, Position(number + 1), "file", number, 77, 1, len(lines), data, starts=True)
        piece = decoding.piece(block)
        assert piece is not None
        chunk.add(piece, 0.0)
    return chunk


def built(chunk: Chunk, engine: Engine, *views: str) -> Built:
    return build(chunk, SCHEMA, [VIEWS[name] for name in views or VIEWS], Seen(), {}, engine, chunk.limits)


def read(made: Built, name: str) -> pa.Table:
    found = next(file for file in made.prepared.files if file.startswith(name))
    return pq.read_table(io.BytesIO(bytes(made.prepared.files[found])))


def manifest(made: Built) -> Manifest:
    return made.prepared.manifest(0, 1, {name: ObjectRef(name, len(d), "") for name, d in made.prepared.files.items()})


def costs(made: Built) -> list[int]:
    return [row["cost"] for row in read(made, "segment").to_pylist()]


# ------------------------------------------------------------------------------------------------------ one is found


@pytest.mark.parametrize("at", [0, 1, 4_999, 5_000, 9_998, 9_999])
def test_one_row_in_ten_thousand_is_one_letter_and_no_row_of_any_view(at: int, engine: Counted) -> None:
    clicks = [click(n, HUGE if n == at else 1) for n in range(10_000)]
    made = built(chunk_of(clicks, Limits()), engine, "squares")
    assert made.failed == ()
    assert read(made, "partial-squares").to_pylist() == [{"page": "/", "squares__sum": 9_999}]
    [letter] = read(made, "letters").to_pylist()
    assert letter["payload"] == line_of(clicks[at])
    place = letter["_shard"], letter["_sequence"], letter["_sub"], letter["origin"], letter["reason"]
    assert place == ("s/1", encode_number(0), at + 1, "file", "poison_view")
    assert letter["detail"] == "the view squares failed on it: SumOverflow, OutOfRangeException"
    failing, *more, anew = engine.asked
    rest = [9_999 - at] if at < 9_999 else []
    assert (failing, anew, more[len(more) - len(rest) :]) == (10_000, 9_999, rest)
    assert len(more) - len(rest) <= bound(10_000) + 1  # the last of them over the row alone


def test_a_row_leaves_all_views_and_the_segment_and_its_entry_says_so(engine: Counted) -> None:
    chunk = chunk_of([click(n, HUGE if n == 7 else n) for n in range(12)], Limits(), pieces=3)
    made = built(chunk, engine)
    rest = [n for n in range(12) if n != 7]
    assert costs(made) == rest
    assert read(made, "partial-costs").to_pylist() == [{"page": "/", "clicks__count": 11, "total__sum": sum(rest)}]
    counts = manifest(made).counts
    assert (counts.rows, counts.letters, chunk.rows, chunk.letters().num_rows) == (11, 1, 11, 1)
    [told] = chunk.isolated
    assert (told.what, told.letters, told.first) == ("squares", 1, "s/1:1:4")


@settings(max_examples=15)
@given(st.integers(1, 120), st.sets(st.integers(0, 119), max_size=5), st.integers(1, 4))
def test_exactly_the_rows_that_fail_by_themselves_are_letters(count: int, bad: set[int], pieces: int) -> None:
    bad = {at for at in bad if at < count}
    made = built(chunk_of([click(n, HUGE + n if n in bad else n) for n in range(count)], Limits(), pieces), ENGINE)
    assert made.failed == ()
    if len(bad) < count:
        assert costs(made) == [n for n in range(count) if n not in bad]
    letters = read(made, "letters").num_rows if bad else 0
    assert letters == len(bad)


def test_rows_on_which_two_views_fail_are_letters_once(engine: Counted) -> None:
    clicks = [click(n, {3: HUGE, 5: 10**18}.get(n, n)) for n in range(9)]
    chunk = chunk_of(clicks, Limits())
    made = built(chunk, engine)
    assert (made.failed, read(made, "letters").num_rows) == ((), 2)
    assert costs(made) == [0, 1, 2, 4, 6, 7, 8]
    assert [(told.what, told.letters) for told in chunk.isolated] == [("squares", 2), ("tens", 1)]


def test_a_copy_of_a_row_that_became_a_letter_is_no_duplicate_any_more(engine: Counted) -> None:
    clicks = [click(0, HUGE, "a"), click(1, 5, "a"), click(2, 6, "b"), click(3, HUGE, "c"), click(4, HUGE, "c")]
    made = built(chunk_of(clicks, Limits()), engine)
    rows = read(made, "segment").to_pylist()
    assert [(row["cost"], row["_duplicate"]) for row in rows] == [(5, False), (6, False)]
    assert made.failed == () and read(made, "letters").num_rows == 3


# --------------------------------------------------------------------------------------------- no row is at fault


def test_a_sum_that_overflows_only_together_fails_its_view_and_takes_no_row(engine: Counted) -> None:
    clicks = [click(n, HALF if n in (2, 60) else 1) for n in range(64)]
    made = built(chunk_of(clicks, Limits()), engine, "costs")
    assert (made.failed, len(costs(made))) == (("costs",), 64)
    assert "letters.parquet" not in made.prepared.files
    assert len(engine.asked) <= 1 + bound(64) + 1


def test_a_view_that_fails_on_many_rows_is_at_fault_itself(engine: Counted) -> None:
    limits = Limits(poison_rows_max=3)
    for bad, failed in ((3, ()), (4, ("squares",))):
        made = built(chunk_of([click(n, HUGE if n < bad else n) for n in range(40)], limits), engine, "squares")
        assert (made.failed, len(costs(made))) == (failed, 40 if failed else 37)


def test_a_view_that_fails_over_no_row_is_not_searched(engine: Counted) -> None:
    broken = replace(VIEWS["costs"], partial="SELECT no_such_column FROM {events}")
    chunk = chunk_of([click(n, n) for n in range(40)], Limits())
    made = build(chunk, SCHEMA, [broken], Seen(), {}, engine, chunk.limits)
    assert (made.failed, len(costs(made))) == (("costs",), 40)
    assert 0 in engine.asked and len(engine.asked) <= 1 + bound(40)


def test_want_of_memory_is_no_rows_fault(engine: Counted) -> None:
    engine.error = MemoryExhausted("too little")
    made = built(chunk_of([click(n, n) for n in range(40)], Limits()), engine, "costs")
    assert (made.failed, engine.asked) == (("costs",), [40])
    engine.error = Transient("the disk is full")
    with pytest.raises(Transient):
        built(chunk_of([click(0, 0)], Limits()), engine, "costs")


@pytest.mark.parametrize("limits", [Limits(bisect_batch_on_function_error=False), Limits(maximum_retry_attempts=-1)])
def test_no_row_is_taken_where_that_is_not_wanted(limits: Limits, engine: Counted) -> None:
    clicks = [click(n, HUGE if n == 3 else n) for n in range(8)]
    assert built(chunk_of(clicks, limits), engine, "squares").failed == ("squares",)
    assert engine.asked == [8]


def test_rows_whose_lines_are_not_known_stay(engine: Counted) -> None:
    chunk = chunk_of([click(n, HUGE if n == 3 else n) for n in range(8)], Limits())
    chunk.pieces[0] = replace(chunk.pieces[0], raw=None)
    assert built(chunk, engine, "squares").failed == ("squares",)


# ------------------------------------------------------------------------------------------------------ tried again


def letters_of(*clicks: Click, more: Sequence[bytes] = ()) -> pa.Table:
    lines = [*map(line_of, clicks), *more]
    rows = [
        {"_shard": "s/1", "_sequence": "0010", "_sub": n, "_arrival": 0, "origin": "f", "reason": "r", "detail": "d"}
        for n in range(len(lines))
    ]
    return pa.Table.from_pylist([{**row, "payload": line} for row, line in zip(rows, lines, strict=True)], LETTERS)


def test_a_letter_whose_row_still_fails_in_a_view_stays_a_letter(engine: Counted) -> None:
    limits = Limits(poison_rows_max=1)
    clicks = [click(n, HUGE if n % 3 else n) for n in range(10)]
    again = Rereading(Clicks(), Protection(), limits, None).read(letters_of(*clicks, more=[b"no line"]))
    sifted = sift(again, list(VIEWS.values()), engine, limits)
    assert (sifted.letters.tolist(), sifted.rows["cost"].to_pylist()) == ([0, 3, 6, 9], [0, 3, 6, 9])
    assert [(one.index, one.reason) for one in sifted.failing] == [
        *((n, "poison_view") for n in (1, 2, 4, 5, 7, 8)),
        (10, "wrong_type"),
    ]
    assert sift(again, [VIEWS["costs"]], engine, limits) is again


def test_a_letter_on_which_the_pack_still_fails_stays_a_letter() -> None:
    class Failing(Clicks):
        def enrich(self, rows: pa.Table) -> pa.Table:
            if np.isin(rows["cost"].to_pylist(), [3, 7]).any():
                raise ValueError("a secret")
            return rows

    again = Rereading(Failing(), Protection(), Limits(), None).read(letters_of(*(click(n, n) for n in range(10))))
    assert again.letters.tolist() == again.rows["cost"].to_pylist() == [n for n in range(10) if n not in (3, 7)]
    assert [(one.index, one.reason, one.detail) for one in again.failing] == [
        (n, "poison_decode", "decoding it failed: ValueError") for n in (3, 7)
    ]
