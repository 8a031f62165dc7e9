"""A pass of a batch run: a closed set of whole entries, in each lane from the seam on, bounded, and never nothing."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from batch.passes import Pass, next_pass
from shardlake.core.journal.objects import Counts, Manifest
from shardlake.core.journal.reading import Beyond
from shardlake.core.journal.rows import Entry, EntryKey, ObjectRef
from shardlake.core.seam import NOTHING, Mark, Seam

REF = ObjectRef("manifest", 1, "00")
Rows = Mapping[EntryKey, int]


def entry(lane: int, n: int, *, needs: tuple[EntryKey, ...] = (), rows: int = 1) -> Entry:
    return Entry(lane, n, f"{lane}.{n}", "data" if rows else "adopt", REF if rows else None, needs=needs)


def lanes(*entries: Entry) -> Beyond:
    found: dict[int, list[Entry]] = {}
    for e in entries:
        found.setdefault(e.lane, []).append(e)
    marks = {lane: Mark(its[-1].n, its[-1].commit) for lane, its in found.items()}
    return Beyond({lane: tuple(its) for lane, its in found.items()}, Seam(marks))


def take(start: Seam, beyond: Beyond, rows_max: int, rows: Rows | None = None) -> Pass:
    each = rows or {}
    manifests = {
        (e.lane, e.n): Manifest(e.lane, e.n, "clicks", (), Counts(each.get((e.lane, e.n), 1)))
        for its in beyond.entries.values()
        for e in its
        if e.manifest is not None
    }
    return next_pass(start, beyond, manifests, rows_max)


def keys(taken: Pass) -> list[EntryKey]:
    return [(e.lane, e.n) for e in taken.entries]


def test_a_small_backlog_is_one_pass() -> None:
    beyond = lanes(entry(0, 1), entry(0, 2), entry(2, 1))
    taken = take(NOTHING, beyond, 100)
    assert (sorted(keys(taken)), taken.rows, taken.seam) == ([(0, 1), (0, 2), (2, 1)], 3, beyond.seam)


def test_a_pass_stops_at_its_limit_of_rows() -> None:
    beyond = lanes(*(entry(0, n) for n in range(1, 9)))
    taken = take(NOTHING, beyond, 3)
    assert (keys(taken), taken.seam) == ([(0, 1), (0, 2), (0, 3)], Seam({0: Mark(3, "0.3")}))
    after = take(taken.seam, lanes(*(entry(0, n) for n in range(4, 9))), 3)
    assert keys(after) == [(0, 4), (0, 5), (0, 6)]


def test_an_entry_larger_than_the_limit_is_taken_alone() -> None:
    beyond = lanes(entry(0, 1), entry(0, 2))
    assert keys(take(NOTHING, beyond, 10, {(0, 1): 50, (0, 2): 50})) == [(0, 1)]


def test_a_seam_keeps_the_lanes_that_have_nothing_new() -> None:
    start = Seam({0: Mark(4, "0.4"), 1: Mark(7, "1.7")})
    taken = take(start, lanes(entry(1, 8)), 100)
    assert taken.seam == Seam({0: Mark(4, "0.4"), 1: Mark(8, "1.8")})


def test_what_the_seam_covers_is_not_taken_again() -> None:
    """What was read for an older seam may reach back behind this one."""
    beyond = lanes(entry(0, 2), entry(0, 3), entry(0, 4))
    taken = take(Seam({0: Mark(3, "0.3")}), beyond, 100)
    assert keys(taken) == [(0, 4)]


def test_an_entry_comes_after_those_that_it_needs() -> None:
    adopted = entry(0, 1, needs=((1, 3),), rows=0)
    beyond = lanes(adopted, entry(0, 2), *(entry(1, n) for n in (1, 2, 3)))
    first = take(NOTHING, beyond, 2)
    assert keys(first) == [(1, 1), (1, 2)], "lane 0 waits for the third entry of lane 1"
    taken = keys(take(NOTHING, beyond, 100))
    assert sorted(taken) == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    assert taken.index((0, 1)) > taken.index((1, 3))


def test_entries_without_rows_are_taken_and_have_no_manifest() -> None:
    beyond = lanes(entry(0, 1, rows=0), entry(0, 2))
    taken = take(NOTHING, beyond, 100)
    assert (keys(taken), [(m.lane, m.n) for m in taken.manifests]) == ([(0, 1), (0, 2)], [(0, 2)])


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Entries in the order of their commits, each of which may need some that came before."""
    made: list[Entry] = []
    for lane in draw(st.lists(st.integers(0, 2), min_size=1, max_size=14)):
        n = 1 + sum(e.lane == lane for e in made)
        needs = draw(st.lists(st.sampled_from(made), max_size=2)) if made else []
        needed = tuple((e.lane, e.n) for e in needs)
        made.append(entry(lane, n, needs=needed, rows=draw(st.integers(0, 1))))
    return made


@given(histories(), st.integers(1, 6), st.dictionaries(st.tuples(st.integers(0, 2), st.integers(1, 9)), st.just(3)))
def test_passes_are_closed_prefixes_within_the_limit_that_take_everything_once(
    history: list[Entry], rows_max: int, rows: Rows
) -> None:
    beyond, seam, taken = lanes(*history), NOTHING, list[EntryKey]()
    while seam != beyond.seam:
        found = take(seam, beyond, rows_max, rows)
        assert found.entries, "a pass makes progress"
        assert found.rows < rows_max + max(m.counts.rows for m in found.manifests or [Manifest(0, 0, "", (), Counts())])
        taken += keys(found)
        seam = found.seam
        inside = {(lane, n) for lane, mark in seam.marks.items() for n in range(1, mark.n + 1)}
        assert set(taken) == inside, "a prefix of each lane"
        assert all(need in inside for e in history if (e.lane, e.n) in inside for need in e.needs), "closed"
    assert sorted(taken) == sorted((e.lane, e.n) for e in history)
    assert len(set(taken)) == len(taken)
