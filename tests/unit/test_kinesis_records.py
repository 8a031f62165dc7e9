"""Pages of records to lines with positions, against what each record is, plainly, on its own."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.adapters.kinesis.aggregates import MAGIC, aggregate, hash_of
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Page, Put
from shardlake.core.positions import ORIGIN, Position, encode_number
from streams.sources.kinesis.records import Lines, beyond, end_of, lines_of, only, sequences

START, STOP = 100, 200  # the hash keys of the shard
INSIDE, OUTSIDE = "150", "201"


@dataclass(frozen=True, slots=True)
class Row:
    """A line, or a user record that is not this shard's, where it belongs."""

    position: Position
    arrival_us: int
    text: bytes
    is_stray: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was put: user records with their hash keys, or, without `users`, plain bytes."""

    plain: bytes = b""
    users: tuple[tuple[bytes, str], ...] = ()

    @property
    def data(self) -> bytes:
        return aggregate([Put(text, "key", key) for text, key in self.users]) if self.users else self.plain

    def rows(self, sequence: int, arrival_us: int) -> list[Row]:
        """What it is: its lines numbered through all of its user records; a stray has the number of its first line."""
        found: list[Row] = []
        number = 0
        for text, key in self.users or ((self.plain, INSIDE),):
            lines = text.removesuffix(b"\n").split(b"\n")
            if START <= int(key) <= STOP:
                found += [Row(Position(sequence, number + i), arrival_us, line) for i, line in enumerate(lines)]
            else:
                found.append(Row(Position(sequence, number), arrival_us, text, is_stray=True))
            number += len(lines)
        return found


def page_of(records: list[Record], numbers: list[int] | None = None) -> Page:
    numbers = numbers or [10**20 + i for i in range(len(records))]
    arrivals = np.arange(len(records), dtype=np.int64) + 5_000
    keys: list[str | None] = [None] * len(records)
    return Page([str(n) for n in numbers], [r.data for r in records], arrivals, keys, "next", 0, (), 0)


def plainly(page: Page, records: list[Record]) -> list[Row]:
    numbers = zip(page.sequences, page.arrivals_us.tolist(), strict=True)
    return [row for record, (number, us) in zip(records, numbers, strict=True) for row in record.rows(int(number), us)]


def rows_of(page: Page, lines: Lines) -> list[Row]:
    """What the rest of the pipeline sees."""
    texts = lines.data.split(b"\n") if len(lines.record) else []
    if len(texts) == len(lines.record) + 1 and not texts[-1]:
        texts.pop()  # a part of a page may end with a newline
    assert len(texts) == len(lines.record) == len(lines.subs), "lines and positions are of different numbers"
    encoded = sequences(page, lines.record).to_pylist()
    arrivals = page.arrivals_us[lines.record].tolist()
    positions = [Position.decode(f"{n}.{encode_number(sub)}") for n, sub in zip(encoded, lines.subs, strict=True)]
    found = [Row(p, us, text) for p, us, text in zip(positions, arrivals, texts, strict=True)]
    for fault in lines.faults:
        position = Position.decode(f"{fault.sequence}.{encode_number(fault.line)}")
        assert (fault.reason, fault.length) == ("outside_shard", len(fault.payload))
        found.append(Row(position, fault.arrival_us, fault.payload, is_stray=True))
    return sorted(found, key=lambda row: row.position)


texts = st.text("ab\n", max_size=5).map(str.encode)
users = st.lists(st.tuples(texts, st.sampled_from([INSIDE, INSIDE, str(START), str(STOP), OUTSIDE, "99"])), min_size=1)
drawn_records = st.lists(
    st.one_of(
        st.builds(Record, st.text("ab", max_size=3).map(str.encode)),
        st.builds(Record, texts),
        st.builds(Record, users=users.filter(lambda u: len(u) < 5).map(tuple)),
    ),
    max_size=6,
)


@st.composite
def pages(draw: st.DrawFn) -> tuple[Page, list[Record]]:
    """A page, with sequence numbers that may gain digits on the way."""
    records = draw(drawn_records)
    steps = draw(st.lists(st.sampled_from([1, 7, 10**3]), min_size=len(records), max_size=len(records)))
    first = draw(st.sampled_from([1, 9_998, 10**55, 10**56 - 2]))
    return page_of(records, [first + sum(steps[: i + 1]) for i in range(len(records))]), records


def lines(page: Page) -> Lines:
    return lines_of(page, START, STOP)


# ------------------------------------------------------------------------------------------------- whole pages


@given(pages())
def test_a_page_is_what_each_of_its_records_is(drawn: tuple[Page, list[Record]]) -> None:
    page, records = drawn
    assert rows_of(page, lines(page)) == plainly(page, records)


@given(pages())
def test_beyond_a_position_is_what_comes_after_it(drawn: tuple[Page, list[Record]]) -> None:
    page, records = drawn
    expected = plainly(page, records)
    numbers = [int(number) for number in page.sequences]
    places = {row.position for row in expected} | {
        Position(n + d, sub) for n in numbers for d in (-1, 0, 1) for sub in (0, 9)
    }
    for place in places:
        found = rows_of(page, beyond(page, lines(page), place))
        assert found == [row for row in expected if row.position > place], place


@given(pages())
def test_some_records_of_a_page_are_chosen_with_their_faults(drawn: tuple[Page, list[Record]]) -> None:
    page, records = drawn
    every = lines(page)
    for start in range(len(records) + 1):
        for stop in range(start, len(records) + 1):
            numbers = {int(n) for n in page.sequences[start:stop]}
            expected = [row for row in plainly(page, records) if row.position.sequence in numbers]
            assert rows_of(page, only(page, every, start, stop)) == expected


@given(pages())
def test_parts_that_follow_one_another_are_the_whole(drawn: tuple[Page, list[Record]]) -> None:
    page, records = drawn
    every = lines(page)
    for place in {row.position for row in plainly(page, records)}:
        rest = beyond(page, every, place)
        for cut in range(len(records) + 1):
            parts = [only(page, rest, 0, cut), only(page, rest, cut, len(records))]
            assert [row for part in parts for row in rows_of(page, part)] == rows_of(page, rest)


@given(pages())
def test_a_record_ends_with_the_last_of_its_parts(drawn: tuple[Page, list[Record]]) -> None:
    page, records = drawn
    expected, every = plainly(page, records), lines(page)
    for index, number in enumerate(page.sequences):
        mine = [row.position for row in expected if row.position.sequence == int(number)]
        assert end_of(page, every, index) == max(mine)
        assert not [row for row in rows_of(page, beyond(page, every, max(mine))) if row.position <= max(mine)]


@given(pages())
def test_a_page_does_not_depend_on_its_neighbours(drawn: tuple[Page, list[Record]]) -> None:
    page, records = drawn
    alone: list[Row] = []
    for i, record in enumerate(records):
        single = page_of([record], [int(page.sequences[i])])
        arrival_us = int(page.arrivals_us[i])
        alone += [Row(r.position, arrival_us, r.text, r.is_stray) for r in rows_of(single, lines(single))]
    assert alone == rows_of(page, lines(page))


# ---------------------------------------------------------------------------------------------- some by hand


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (["a\nb\n", "c", "d\n"], [(0, 0, "a"), (0, 1, "b"), (1, 0, "c"), (2, 0, "d")]),
        (["a", "b\n", "c"], [(0, 0, "a"), (1, 0, "b"), (2, 0, "c")]),
        (["a\n", "b\n"], [(0, 0, "a"), (1, 0, "b")]),
        (["", "a", ""], [(0, 0, ""), (1, 0, "a"), (2, 0, "")]),
        (["\n", "a"], [(0, 0, ""), (1, 0, "a")]),
        (["a\n\n", "b"], [(0, 0, "a"), (0, 1, ""), (1, 0, "b")]),
        (["\n\n\n"], [(0, 0, ""), (0, 1, ""), (0, 2, "")]),
        ([], []),
    ],
)
def test_lines_keep_the_numbers_of_their_records(data: list[str], expected: list[tuple[int, int, str]]) -> None:
    page = page_of([Record(text.encode()) for text in data])
    found = [(r.position.sequence - 10**20, r.position.sub, r.text.decode()) for r in rows_of(page, lines(page))]
    assert found == expected


def test_plain_records_are_joined_as_they_are() -> None:
    page = page_of([Record(b"one"), Record(b"two"), Record(b"three")])
    found = lines(page)
    assert (found.data, found.record.tolist(), found.subs.tolist()) == (b"one\ntwo\nthree", [0, 1, 2], [0, 0, 0])


def test_parts_of_an_aggregate_have_the_numbers_of_its_user_records() -> None:
    page = page_of([Record(b"x"), Record(users=tuple((text, INSIDE) for text in (b"a", b"b", b"c"))), Record(b"y")])
    assert [r.position.sub for r in rows_of(page, lines(page))] == [0, 0, 1, 2, 0]


def test_a_user_record_of_another_shard_is_a_dead_letter_at_its_place() -> None:
    page = page_of([Record(b"x"), Record(users=((b"a\nb", INSIDE), (b"far", OUTSIDE), (b"c", INSIDE)))])
    found = lines(page)
    [fault] = found.faults
    assert (fault.sequence, fault.line, fault.payload) == (encode_number(10**20 + 1), 2, b"far")
    assert (fault.arrival_us, len(fault.sha256)) == (5_001, 64)
    assert [r.position.sub for r in rows_of(page, found) if not r.is_stray] == [0, 0, 1, 3]
    assert b"far" not in found.data


def test_an_aggregate_of_strays_alone_still_ends_where_it_ends() -> None:
    page = page_of([Record(users=((b"a", OUTSIDE), (b"b", "0")))])
    found = lines(page)
    assert (found.data, len(found.record), len(found.faults)) == (b"", 0, 2)
    assert end_of(page, found, 0) == Position(10**20, 1)
    assert beyond(page, found, Position(10**20, 0)).faults == found.faults[1:]
    assert not beyond(page, found, Position(10**20, 1)).faults


def test_the_borders_of_the_hash_keys_belong_to_the_shard() -> None:
    page = page_of(
        [Record(users=((b"a", str(START)), (b"b", str(STOP)), (b"c", str(START - 1)), (b"d", str(STOP + 1))))]
    )
    assert [fault.payload for fault in lines(page).faults] == [b"c", b"d"]


def test_without_an_explicit_key_the_partition_key_decides() -> None:
    page = page_of([Record(aggregate([Put(b"a", "k1"), Put(b"b", "k2")]))])
    mine = hash_of("k1")
    assert [fault.payload for fault in lines_of(page, mine, mine).faults] == [b"b"]
    assert not lines_of(page, 0, HASH_KEY_MAX).faults


WHOLE = aggregate([Put(b"a", "k1"), Put(b"b", "k2")])


@pytest.mark.parametrize("data", [WHOLE[:-1], WHOLE[:8] + b"?" + WHOLE[9:], MAGIC, WHOLE[:20], WHOLE + b"x"])
def test_what_only_begins_like_an_aggregate_is_a_plain_record(data: bytes) -> None:
    page = page_of([Record(data.replace(b"\n", b" "))])
    assert [r.text for r in rows_of(page, lines(page))] == [data.replace(b"\n", b" ")]


def test_a_record_is_never_read_twice_nor_split_by_where_a_page_begins() -> None:
    records = [Record(b"a\nb\nc"), Record(b"d\ne")]
    page = page_of(records)
    rest = rows_of(page, beyond(page, lines(page), Position(10**20, 1)))
    assert [row.text for row in rest] == [b"c", b"d", b"e"]


def test_what_lies_before_everything_leaves_a_page_as_it_is() -> None:
    page = page_of([Record(b"a"), Record(b"b")])
    every = lines(page)
    assert beyond(page, every, Position(1)) is every
    assert rows_of(page, beyond(page, every, ORIGIN)) == rows_of(page, every)
    empty = page_of([])
    assert rows_of(empty, beyond(empty, lines(empty), Position(5))) == []


def test_numbers_that_gain_a_digit_keep_their_order_as_text() -> None:
    page = page_of([Record(b"a"), Record(b"b")], [99, 100])
    assert sequences(page, np.array([0, 1])).to_pylist() == ["00299", "003100"]
    assert beyond(page, lines(page), Position(99)).data == b"b"
    later = page_of([Record(b"a"), Record(b"b")], [98, 100])
    assert beyond(later, lines(later), Position(99)).data == b"b"  # as text "100" comes before "99"


def test_sequences_of_a_part_are_those_of_its_records() -> None:
    page = page_of([Record(b"a"), Record(b"b"), Record(b"c")])
    for record in ([0, 1, 2], [1, 2], [0, 0, 1], [2], [1, 1, 1], []):
        found = sequences(page, np.array(record, dtype=np.int64))
        assert found.type == pa.string()
        assert found.to_pylist() == [encode_number(10**20 + i) for i in record]
