"""How the journal is read: cuts that are closed, holes that are noticed, seams that the journal must know."""

from collections.abc import Mapping, Sequence

import pytest

from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.core.errors import Corrupt
from shardlake.core.journal import operations, reading, rows
from shardlake.core.journal.operations import Coming, Leaving
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Entry, Head, ObjectRef, ShardRow
from shardlake.core.seam import NOTHING, Mark, Seam, is_within, lowest

REF = ObjectRef("object", 1, "00")


class Rows(MemoryJournal):
    """A journal that shows the heads of some lanes as they were `frozen`: as to a reader that came there first."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[str, bytes] = {}

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {**super().get(keys), **{key: self.frozen[key] for key in keys if key in self.frozen}}

    def freeze(self, lane: int) -> None:
        self.frozen |= super().get([rows.lane_key(lane)])

    def lose(self, lane: int, n: int) -> None:
        del self._rows[rows.entry_key(lane, n)]
        self._keys.remove(rows.entry_key(lane, n))


@pytest.fixture
def journal() -> Rows:
    made = Rows()
    made.transact(operations.found(3))
    return made


def head(journal: MemoryJournal, lane: int) -> Head:
    value = MemoryJournal.get(journal, [rows.lane_key(lane)])[rows.lane_key(lane)]
    return rows.decode(Head, "head", value)


def shard(journal: MemoryJournal, name: str) -> ShardRow:
    return reading.read_shards(journal)[name]


def do(journal: Rows, made: operations.Transaction) -> Entry:
    journal.transact(made.writes)
    return made.entry


def data(journal: Rows, lane: int, *ended: str) -> Entry:
    now = head(journal, lane)
    ends = {name: (shard(journal, name), REF) for name in ended}
    return do(journal, operations.commit(now, f"{lane}.{now.n + 1}", REF, REF, ends))


def adopt(journal: Rows, lane: int, name: str, parents: tuple[str, ...] = ()) -> Entry:
    if name not in reading.read_shards(journal):
        journal.transact([operations.discover(name, "clicks", parents)])
    now, its = head(journal, lane), [shard(journal, parent) for parent in parents]
    return do(journal, operations.adopt(now, f"{lane}.{now.n + 1}", [Coming(shard(journal, name), its)], REF))


def release(journal: Rows, lane: int, name: str) -> Entry:
    now = head(journal, lane)
    return do(journal, operations.release(now, f"{lane}.{now.n + 1}", [Leaving(shard(journal, name), "-", REF)], REF))


def test_nothing_is_beyond_an_empty_journal(journal: Rows) -> None:
    assert reading.read_beyond(journal) == reading.Beyond({0: (), 1: (), 2: ()}, NOTHING)
    assert reading.read_beyond(MemoryJournal()) == reading.Beyond({}, NOTHING)


def test_a_cut_holds_every_entry_up_to_the_heads(journal: Rows) -> None:
    for lane in (0, 0, 2, 0):
        data(journal, lane)
    beyond = reading.read_beyond(journal)
    assert beyond.seam == Seam({0: Mark(3, "0.3"), 2: Mark(1, "2.1")})
    assert [(e.lane, e.n) for e in beyond.after(NOTHING)] == [(0, 1), (0, 2), (0, 3), (2, 1)]
    seam = Seam({0: Mark(2, "0.2")})
    later = reading.read_beyond(journal, seam)
    assert [(e.lane, e.n) for e in later.after(seam)] == [(0, 3), (2, 1)], "the entry at the seam is inside of it"
    assert later.seam == beyond.seam
    assert reading.read_beyond(journal, later.seam).after(later.seam) == []


def test_what_is_read_for_several_seams_begins_at_the_lowest(journal: Rows) -> None:
    for lane in (0, 0, 0, 1):
        data(journal, lane)
    low, high = Seam({0: Mark(1, "0.1")}), Seam({0: Mark(3, "0.3"), 1: Mark(1, "1.1")})
    beyond = reading.read_beyond(journal, high, low)
    assert [(e.lane, e.n) for e in beyond.after(low)] == [(0, 2), (0, 3), (1, 1)]
    assert beyond.after(high) == []


def test_a_cut_is_extended_to_the_release_that_an_adoption_followed(journal: Rows) -> None:
    adopt(journal, 0, "a")
    journal.freeze(0)
    data(journal, 0)
    release(journal, 0, "a")
    adopt(journal, 1, "a")
    beyond = reading.read_beyond(journal)
    assert beyond.seam.cut() == {0: 3, 1: 1}


def test_a_cut_is_closed_over_needs_of_needs(journal: Rows) -> None:
    """Lane 2 adopted from lane 1, which had adopted from lane 0: a reader that saw 0 and 1 early needs both."""
    adopt(journal, 0, "a")
    for lane in (0, 1):
        journal.freeze(lane)
    data(journal, 0)
    release(journal, 0, "a")
    adopt(journal, 1, "a")
    release(journal, 1, "a")
    adopt(journal, 2, "a")
    assert reading.read_beyond(journal).seam.cut() == {0: 3, 1: 2, 2: 1}


def test_a_cut_with_a_child_holds_the_ends_of_all_parents(journal: Rows) -> None:
    adopt(journal, 0, "a")
    adopt(journal, 1, "b")
    for lane in (0, 1):
        journal.freeze(lane)
    data(journal, 0, "a")
    data(journal, 1)
    data(journal, 1, "b")
    adopt(journal, 2, "c", ("a", "b"))
    assert reading.read_beyond(journal).seam.cut() == {0: 2, 1: 3, 2: 1}


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_hole_in_a_lane_is_an_error(journal: Rows, lost: int) -> None:
    for _ in range(3):
        data(journal, 1)
    journal.lose(1, lost)
    with pytest.raises(Corrupt, match="lane 1 lacks entries"):
        reading.read_beyond(journal)


def test_a_lane_that_is_not_there_is_an_error(journal: Rows) -> None:
    with pytest.raises(Corrupt, match="no lane 7"):
        reading.read_head(journal, 7)


@pytest.mark.parametrize(
    "seam",
    [Seam({0: Mark(3, "0.3")}), Seam({0: Mark(2, "other")}), Seam({0: Mark(2, "0.2"), 1: Mark(1, "1.1")})],
    ids=["beyond the head", "another commit", "an empty lane"],
)
def test_a_journal_that_does_not_know_a_seam_is_refused(journal: Rows, seam: Seam) -> None:
    """As after the journal was restored from a backup that is older than the tables."""
    data(journal, 0)
    data(journal, 0)
    with pytest.raises(Corrupt, match="restored from an older backup"):
        reading.read_beyond(journal, seam)
    with pytest.raises(Corrupt, match="restored from an older backup"):
        reading.read_beyond(journal, NOTHING, seam)


def test_an_entry_beyond_the_head_is_not_known(journal: Rows) -> None:
    """The head alone says what was committed."""
    journal.transact([Write(rows.entry_key(0, 1), None, rows.encode(Entry(0, 1, "0.1", "data", REF)))])
    with pytest.raises(Corrupt, match="restored from an older backup"):
        reading.read_beyond(journal, Seam({0: Mark(1, "0.1")}))


# ----------------------------------------------------------------------------------------------------- seams


def test_a_seam_covers_its_own_entry_and_none_beyond() -> None:
    seam = Seam({1: Mark(3, "x")})
    assert [seam.covers(1, n) for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert not seam.covers(0, 1)
    assert (seam.n(1), seam.n(0), seam.cut()) == (3, 0, {1: 3})


def test_the_lowest_seam_is_below_each() -> None:
    one, two = Seam({0: Mark(3, "a"), 1: Mark(1, "b")}), Seam({0: Mark(2, "c"), 2: Mark(9, "d")})
    assert lowest([one, two]) == Seam({0: Mark(2, "c")})
    assert lowest([one]) == one
    assert lowest([]) == lowest([one, NOTHING]) == NOTHING


def test_cuts_are_ordered_lane_by_lane() -> None:
    assert is_within({0: 1}, {0: 1, 1: 4})
    assert is_within({}, {})
    assert not is_within({0: 2, 1: 1}, {0: 1, 1: 4})
    assert not is_within({2: 1}, {0: 1})


def test_a_seam_comes_back_from_its_text() -> None:
    seam = Seam({0: Mark(3, "a"), 12: Mark(1, "b")})
    assert Seam.from_json(seam.to_json()) == seam
    assert seam.to_json() == '{"marks":{"0":[3,"a"],"12":[1,"b"]}}'
