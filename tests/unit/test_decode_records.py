"""Records of a stream to pieces of a chunk: every row and dead letter keeps the position and arrival of its record."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.adapters.arrow import strings
from shardlake.adapters.kinesis.aggregates import aggregate
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Page, Put
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position, ShardId, encode_number
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.testing.clicks import BROKEN, Clicks, line_of
from shardlake.testing.plain import Click
from streams.chunk import Chunk, Piece
from streams.decode import Decoding
from streams.protect import Protection
from streams.sources.kinesis.records import lines_of, sequences
from streams.sources.port import Fault, Records

SHARD = ShardId("s/one")
FIELDS = ("date", "time", "sc-bytes", "x-edge-request-id", "cs-uri-stem")
LIMITS = Limits(line_bytes_max=120)
FIRST = 10**30


def records_of(data: Sequence[bytes], first: int = 0, *, upto: Position | None = None) -> Records:
    """A page's records as the source hands them over."""
    numbers = [FIRST + first + i for i in range(len(data))]
    arrivals = np.array([1_000 + first + i for i in range(len(data))], dtype=np.int64)
    page = Page([str(n) for n in numbers], list(data), arrivals, [None] * len(data), "next", 0, (), 0)
    found = lines_of(page, 0, HASH_KEY_MAX)
    after = Position(FIRST + first - 1, 9) if first else ORIGIN
    last = upto or Position(numbers[-1] if numbers else FIRST, 9)
    at = found.record
    return Records(
        SHARD, after, last, "stream", found.data, sequences(page, at), found.subs, arrivals[at], found.faults
    )


def clicks(limits: Limits = LIMITS) -> Decoding:
    return Decoding(Clicks(), Protection(), limits)


def cloudfront() -> Decoding:
    return Decoding(CloudFront(), Protection(), LIMITS, FIELDS)


def told(*pieces: Piece | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with their event columns, and dead letters, of pieces in one chunk."""
    chunk = Chunk(LIMITS)
    for piece in pieces:
        assert piece is not None
        chunk.add(piece, 0.0)
    letters = sorted(chunk.letters().to_pylist(), key=lambda letter: (letter["_sequence"], letter["_sub"]))
    return (chunk.events().to_pylist() if chunk.pieces else []), letters


def places(rows: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [
        (row["_sequence"], row["_sub"], round(row["_arrival"].replace(tzinfo=UTC).timestamp() * 1e6)) for row in rows
    ]


def place(record: int, sub: int) -> tuple[str, int, int]:
    return encode_number(FIRST + record), sub, 1_000 + record


def click(number: int) -> bytes:
    return line_of(Click(number, None, f"/{number}", number, None, str(number)))


# --------------------------------------------------------------------------------------------------- positions


def test_rows_and_letters_keep_the_positions_of_their_records() -> None:
    data = [click(0), BROKEN, b"", click(1) + b"\n" + BROKEN + b"\n" + click(2) + b"\n", click(3)]
    rows, letters = told(clicks().piece(records_of(data)))
    assert places(rows) == [place(0, 0), place(3, 0), place(3, 2), place(4, 0)]
    assert [row["cost"] for row in rows] == [0, 1, 2, 3]
    assert places(letters) == [place(1, 0), place(3, 1)]
    assert {row["_shard"] for row in [*rows, *letters]} == {SHARD}
    assert [(letter["reason"], letter["origin"]) for letter in letters] == [("wrong_type", "stream")] * 2


def test_user_records_of_an_aggregate_have_its_number_and_their_own() -> None:
    packed = aggregate([Put(click(1), "k"), Put(BROKEN, "k"), Put(click(2), "k")])
    rows, letters = told(clicks().piece(records_of([click(0), packed, click(3)])))
    assert places(rows) == [place(0, 0), place(1, 0), place(1, 2), place(2, 0)]
    assert places(letters) == [place(1, 1)]


def test_what_the_source_could_not_hand_over_is_a_letter_beside_what_could_not_be_read() -> None:
    fault = Fault(7, "outside_shard", "far", b"payload", 7, "", encode_number(FIRST), 77)
    rows, letters = told(clicks().piece(replace(records_of([click(0), BROKEN]), faults=(fault,))))
    assert len(rows) == 1
    assert places(letters) == [(encode_number(FIRST), 7, 77), place(1, 0)]
    assert [letter["payload"] for letter in letters] == [b"payload", BROKEN]


def test_a_long_letter_is_cut_and_its_hash_tells_of_the_whole() -> None:
    _, [letter] = told(clicks(Limits(letter_bytes_max=4)).piece(records_of([BROKEN])))
    assert letter["payload"] == BROKEN[:4]
    assert hashlib.sha256(BROKEN).hexdigest() in letter["detail"]


def test_ten_mebibytes_in_one_line_are_one_letter() -> None:
    whole = b"x" * (10 << 20)
    rows, [letter] = told(Decoding(CloudFront(), Protection(), Limits(), FIELDS).piece(records_of([good(1), whole])))
    assert (len(rows), places([letter])) == (1, [place(1, 0)])
    assert (letter["reason"], len(letter["payload"])) == ("line_too_long", 10 << 20)


@pytest.mark.parametrize("decoding", [clicks(), cloudfront()])
@pytest.mark.parametrize("data", [[], [b""], [b"", b""], [b"\n"]])
def test_nothing_is_no_row_and_the_range_holds(decoding: Decoding, data: list[bytes]) -> None:
    piece = decoding.piece(records_of(data, upto=END))
    assert piece is not None
    assert (piece.rows.num_rows, piece.letters, piece.range.upto) == (0, None, END)
    assert told(piece) == ([], [])


def test_a_gap_without_records_is_a_piece_with_its_letter() -> None:
    fault = Fault(0, "records_trimmed", "gone", b"", 0, "", encode_number(5), 9)
    gap = Records(SHARD, Position(5), END, "stream", faults=(fault,), kind="gap")
    piece = clicks().piece(gap)
    assert piece is not None and (piece.range.kind, piece.rows.num_rows) == ("gap", 0)
    assert places(told(piece)[1]) == [(encode_number(5), 0, 9)]


def test_pieces_of_several_pages_are_one_range() -> None:
    decoding, chunk = clicks(), Chunk(LIMITS)
    first = records_of([click(0), click(1)])
    second = replace(records_of([click(2)], 2), after=first.upto)
    for block in (first, second):
        piece = decoding.piece(block)
        assert piece is not None
        chunk.add(piece, 0.0)
    [whole] = chunk.ranges()
    assert (whole.after, whole.upto, whole.kind) == (ORIGIN, second.upto, "data")
    assert places(chunk.events().to_pylist()) == [place(i, 0) for i in range(3)]


def test_a_gap_and_what_follows_it_stay_two_ranges() -> None:
    decoding, chunk = clicks(), Chunk(LIMITS)
    first = replace(records_of([click(0)]), kind="gap")
    second = replace(records_of([click(1)], 1), after=first.upto)
    for block in (first, second):
        piece = decoding.piece(block)
        assert piece is not None
        chunk.add(piece, 0.0)
    assert [(r.after, r.upto, r.kind) for r in chunk.ranges()] == [
        (ORIGIN, first.upto, "gap"),
        (first.upto, second.upto, "data"),
    ]


# -------------------------------------------------------------------------- a line stands for itself, in any page


def good(number: int) -> bytes:
    return f"2026-03-17\t10:{number % 60:02d}:00\t{number}\tid-{number}\t/a".encode()


lines = st.one_of(
    st.integers(0, 99).map(good),
    st.integers(0, 99).map(good),
    st.sampled_from(
        [
            b"#Fields: date time x-edge-request-id sc-bytes cs-uri-stem",
            b"#Version: 1.0",
            b"\xef\xbb\xbf" + good(1),
            good(2) + b"\r",
            good(3).replace(b"/a", b"/\r"),
            good(4).replace(b"/a", b"\xff\xfe"),
            good(5).replace(b"/a", b'"quoted"'),
            b"too\tshort",
            good(6) + b"\tmore",
            good(7).replace(b"2026", b"-"),
            good(8).replace(b"\t8\t", b"\teight\t"),
            b" ",
            b"",
            b"x" * 121,
            b"-\t-\t-\t-\t-",
        ]
    ),
)
many_records = st.lists(st.lists(lines, min_size=1, max_size=3).map(b"\n".join), max_size=6)


@given(many_records, st.data())
def test_how_a_line_is_read_does_not_depend_on_its_page(data: list[bytes], drawn: st.DataObject) -> None:
    cuts = sorted(drawn.draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=3))) if len(data) > 1 else []
    bounds = [0, *cuts, len(data)]
    paged, alone = cloudfront(), cloudfront()
    pages = [paged.piece(chained(data[a:b], a)) for a, b in pairwise(bounds)]
    singles = [alone.piece(chained([one], i)) for i, one in enumerate(data)]
    assert told(*pages) == told(*singles)


def chained(data: Sequence[bytes], first: int) -> Records:
    """Records that follow those before them."""
    upto = Position(FIRST + first + len(data))
    return replace(records_of(data, first, upto=upto), after=Position(FIRST + first))


def test_a_line_that_looks_like_a_header_is_a_letter() -> None:
    header = b"#Fields: date time x-edge-request-id sc-bytes cs-uri-stem"
    rows, [letter] = told(cloudfront().piece(records_of([header, good(1)])))
    assert letter["payload"] == header
    assert (rows[0]["sc_bytes"], rows[0]["event_time"]) == (1, datetime(2026, 3, 17, 10, 1))


def test_sequences_are_those_of_the_lines_that_became_rows() -> None:
    block = records_of([click(0), BROKEN, click(2)])
    piece = clicks().piece(block)
    assert piece is not None and isinstance(piece.sequence, pa.Array)
    assert piece.sequence.to_pylist() == strings([encode_number(FIRST), encode_number(FIRST + 2)]).to_pylist()
