"""The plain count over a producer's log: what is inside of a cut, and what is a duplicate there."""

from collections.abc import Mapping

import pytest

from serving.certificate import Certificate
from shardlake.app.demo.checker import miscertified
from shardlake.app.demo.ledger import Ledger, RecordTruth
from shardlake.app.demo.oracle import Expected
from shardlake.app.demo.records import make_records
from shardlake.core.positions import END, ORIGIN, Position
from streams.producer import Acknowledged

HUGE = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000


def lines(count: int) -> list[bytes]:
    """Good lines with different ids, without copies."""
    records = make_records(count, 5)
    found = dict.fromkeys(data for (data, _), kind in zip(records, records.kinds, strict=True) if kind == 0)
    return list(found)


LINES = lines(12)


class World:
    """A log, the shards of a stream, and the count over them."""

    def __init__(self, **parents: tuple[str, ...]) -> None:
        self.ledger, self.parents, self.listed = Ledger(), parents, 0
        self.truth = RecordTruth(self.ledger, "clicks", self.list, lambda _: (False, None, None))

    def list(self) -> Mapping[str, tuple[str, ...]]:
        self.listed += 1
        return dict(self.parents)

    def put(self, shard: str, *records: tuple[int, bytes]) -> None:
        numbers, data = [str(HUGE + number) for number, _ in records], [line for _, line in records]
        places = list(range(len(data)))
        with self.ledger.putting:
            self.ledger.write(
                Acknowledged([shard] * len(data), numbers, [False] * len(data), data, places, [0] * len(data))
            )

    def at(self, **positions: int | Position) -> Expected:
        return self.truth.at({f"clicks/{shard}": place(at).encode() for shard, at in positions.items()})


def place(at: int | Position) -> Position:
    return at if isinstance(at, Position) else Position(HUGE + at)


def counts(expected: Expected) -> tuple[int, int, int]:
    assert sum(requests for requests, _ in expected.views["viewers"].values()) == expected.events
    assert expected.problems == ()
    return expected.events, expected.duplicates, expected.broken


def test_a_record_is_inside_from_its_sequence_number_on() -> None:
    world = World(a=(), b=())
    world.put("a", (1, LINES[0]), (5, LINES[1]), (9, LINES[2]))
    world.put("b", (2, LINES[3]))
    assert counts(world.at(a=ORIGIN)) == (0, 0, 0)
    assert counts(world.at(a=4)) == (1, 0, 0)
    assert counts(world.at(a=5)) == (2, 0, 0)
    assert counts(world.at(a=8, b=ORIGIN)) == (2, 0, 0)
    assert counts(world.at(a=9, b=2)) == (4, 0, 0)


def test_the_end_of_a_shard_is_beyond_all_of_it() -> None:
    world = World(a=())
    world.put("a", (1, LINES[0]), (5, LINES[1]))
    assert counts(world.at(a=END)) == (2, 0, 0)
    assert world.truth.lacking() == ()


def test_numbers_are_compared_as_integers() -> None:
    world = World(a=())
    world.put("a", (9, LINES[0]), (10 - HUGE + 10 * HUGE, LINES[1]))
    assert counts(world.at(a=10)) == (1, 0, 0)


def test_a_record_that_was_acknowledged_late_stands_at_its_number() -> None:
    world = World(a=())
    world.put("a", (1, LINES[0]), (7, LINES[1]))
    world.put("a", (4, LINES[2]))
    assert counts(world.at(a=4)) == (2, 0, 0)
    assert counts(world.at(a=7)) == (3, 0, 0)


def test_a_copy_in_the_same_shard_is_not_counted_again() -> None:
    world = World(a=())
    world.put("a", (1, LINES[0]), (2, LINES[1]), (3, LINES[0]))
    assert counts(world.at(a=2)) == (2, 0, 0)
    assert counts(world.at(a=3)) == (2, 1, 0)


def test_a_copy_in_a_shard_that_follows_is_not_counted_again() -> None:
    world = World(merged=("child", "other"), child=("a",), a=(), other=())
    world.put("a", (1, LINES[0]))
    world.put("child", (2, LINES[0]), (3, LINES[1]))
    world.put("other", (2, LINES[2]))
    world.put("merged", (4, LINES[0]), (5, LINES[1]), (6, LINES[2]), (7, LINES[3]))
    assert counts(world.at(a=END, child=3, other=2)) == (3, 1, 0)
    assert counts(world.at(a=END, child=END, other=END, merged=7)) == (4, 4, 0)


def test_a_copy_in_an_unrelated_shard_counts() -> None:
    world = World(a=(), b=(), left=("a",), right=("a",))
    world.put("a", (1, LINES[0]))
    world.put("b", (2, LINES[0]))
    world.put("left", (3, LINES[1]))
    world.put("right", (3, LINES[1]))
    assert counts(world.at(a=END, b=2, left=3, right=3)) == (4, 0, 0)


def test_a_line_without_an_id_is_no_duplicate_and_a_broken_one_is_no_event() -> None:
    cells = LINES[0].split(b"\t")
    nameless = b"\t".join([*cells[:14], b"-", *cells[15:]])
    world = World(a=())
    world.put("a", (1, nameless), (2, nameless), (3, b"\t".join(cells[:9])), (4, LINES[0]))
    assert counts(world.at(a=4)) == (3, 0, 1)


def test_what_was_put_while_answers_were_taken_waits() -> None:
    world = World(a=())
    assert counts(world.at(a=ORIGIN)) == (0, 0, 0)
    world.put("a", (1, LINES[0]))
    assert world.truth.lacking() == ("1 acknowledged records of a are not in the cut",)
    assert counts(world.at(a=1)) == (1, 0, 0)
    assert world.truth.lacking() == ()


def test_shards_are_listed_again_only_when_there_are_new_ones() -> None:
    world = World(a=())
    world.put("a", (1, LINES[0]))
    world.at(a=1)
    world.at(a=1)
    assert world.listed == 1
    world.parents["child"] = ("a",)
    assert counts(world.at(a=END, child=ORIGIN)) == (1, 0, 0)
    assert world.listed == 2


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": 5}, {"a": 4}, "the cut of a went back"),
        ({"a": END}, {"a": 5}, "the cut of a went back"),
        ({"a": 5}, {}, "the cut of a went back"),
        ({"a": 5}, {"a": 5, "child": 6}, "child is inside, and its parent a not to its end"),
        ({}, {"a": 5, "z": 6}, "z is no shard of the stream"),
    ],
)
def test_what_cannot_be_a_cut_is_told(
    before: dict[str, int | Position], after: dict[str, int | Position], said: str
) -> None:
    world = World(child=("a",), a=())
    world.put("a", (5, LINES[0]))
    assert world.at(**before).problems == ()
    assert any(said in problem for problem in world.at(**after).problems)


def test_a_certificate_that_counts_otherwise_is_told() -> None:
    expected = Expected({}, events=10, duplicates=2, broken=1)

    def certified(events: int, duplicates: int, letters: int, gaps: int) -> list[str]:
        certificate = Certificate({}, {}, (), None, events, duplicates, letters, gaps, {})
        return [text.split(":")[0] for text in miscertified(certificate, expected)]

    assert certified(12, 2, 1, 0) == []
    assert certified(10, 3, 0, 1) == ["events", "duplicates", "dead letters", "gaps"]
