"""The behaviour of a journal, over every adapter, and the protocol's operations over it."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.journal import DynamoJournal
from shardlake.adapters.dynamodb.tables import creation
from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.adapters.sqlite_journal import APPLICATION_ID, FORMAT, SqliteJournal
from shardlake.core.errors import ConfigError, Conflict, Corrupt, FormatTooNew, Transient
from shardlake.core.journal import operations, rows
from shardlake.core.journal.operations import Coming, Leaving
from shardlake.core.journal.port import REMOVED, Journal, Write
from shardlake.core.journal.rows import Entry, Head, ObjectRef, Registry, ShardRow
from shardlake.testing.dynamodb import Behaviour, EmbeddedCalls, EmbeddedDynamo
from tests.dynamodb.standin import Dynamo, dynamo

__all__ = ["dynamo"]
REF = ObjectRef("entry/0000/1/x", 3, "ab" * 32)


@pytest.fixture(params=["memory", "sqlite", "moto", "embedded"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
    elif request.param == "sqlite":
        with closing(SqliteJournal(tmp_path / "deep" / "journal.sqlite", sync=False)) as found:
            yield found
    elif request.param == "embedded":
        service = EmbeddedDynamo(SystemClock(), random.Random(0), Behaviour())
        service.ask("CreateTable", **creation("journal"))
        yield DynamoJournal(EmbeddedCalls(service), "journal", "app", SystemClock(), random.Random(0))
    else:
        dynamo: Dynamo = request.getfixturevalue("dynamo")
        yield DynamoJournal(dynamo.client(), dynamo.new_table(), "app", SystemClock(), random.Random(0))


@pytest.fixture
def founded(journal: Journal) -> Journal:
    journal.transact(operations.found(2))
    for shard in ("a", "b"):
        journal.transact([operations.discover(shard, "clicks", ())])
    return journal


def head(journal: Journal, lane: int = 0) -> Head:
    key = rows.lane_key(lane)
    return rows.decode(Head, key, journal.get([key])[key])


def shard(journal: Journal, name: str) -> ShardRow:
    key = rows.shard_key(name)
    return rows.decode(ShardRow, key, journal.get([key])[key])


def entry(journal: Journal, lane: int, n: int) -> Entry:
    key = rows.entry_key(lane, n)
    return rows.decode(Entry, key, journal.get([key])[key])


def adopt(journal: Journal, name: str, parents: tuple[str, ...] = (), lane: int = 0) -> None:
    rows_of_parents = [shard(journal, parent) for parent in parents]
    commit_id = f"adopt-{name}-{lane}"
    done = operations.adopt(head(journal, lane), commit_id, [Coming(shard(journal, name), rows_of_parents)], REF)
    journal.transact(done.writes)


# ------------------------------------------------------------------------------------------------ the port


def test_get_gives_the_rows_that_exist(journal: Journal) -> None:
    journal.transact([Write("a", None, b"1"), Write("b", None, b"")])
    assert journal.get(["b", "a", "none", "a"]) == {"a": b"1", "b": b""}
    assert journal.get([]) == {}


def test_scan_is_ordered_and_bounded(journal: Journal) -> None:
    keys = ["entry/0000/1", "entry/0000/2", "entry/0000/3", "entry/0001/1", "lane/0000", "t/B", "t/a", "t/z", "t/é/1"]
    journal.transact([Write(key, None, key.encode()) for key in [*keys, "t", "table/x"]])
    assert [key for key, _ in journal.scan("t/")] == sorted(keys[5:])
    assert [key for key, _ in journal.scan("entry/0000/")] == keys[:3]
    beyond = journal.scan("entry/0000/", after="entry/0000/1", upto="entry/0000/2")
    assert list(beyond) == [("entry/0000/2", b"entry/0000/2")]
    assert [key for key, _ in journal.scan("entry/0000/", after="entry/0000/2")] == ["entry/0000/3"]
    assert [key for key, _ in journal.scan("entry/0000/", upto="entry/0000/2")] == keys[:2]
    assert list(journal.scan("entry/0000/", upto="entry")) == []
    assert list(journal.scan("entry/0000/", after="f")) == []
    assert list(journal.scan("nothing/")) == []


def test_scan_takes_part_of_a_name_and_wildcards_literally(journal: Journal) -> None:
    journal.transact([Write("t/a%b", None, b"1"), Write("t/axb", None, b"2"), Write("t/a_b", None, b"3")])
    assert [key for key, _ in journal.scan("t/a_")] == ["t/a_b"]
    assert [key for key, _ in journal.scan("t/a%")] == ["t/a%b"]
    assert [key for key, _ in journal.scan("t/a%", upto="t/b")] == ["t/a%b"]


def test_many_rows_are_read_and_scanned_whole(journal: Journal) -> None:
    keys = [f"shard/{n:04d}" for n in range(230)]
    for start in range(0, len(keys), 50):
        journal.transact([Write(key, None, key.encode() * 600) for key in keys[start : start + 50]])
    assert [key for key, _ in journal.scan("shard/")] == keys
    assert journal.get([*keys, "shard/none"]) == {key: key.encode() * 600 for key in keys}


@pytest.mark.parametrize("expect", [None, b"other"])
def test_a_conflict_applies_nothing(journal: Journal, expect: bytes | None) -> None:
    journal.transact([Write("t/a", None, b"1")])
    with pytest.raises(Conflict, match="t/a is not as expected"):
        journal.transact([Write("t/new", None, b"1"), Write("t/a", expect, b"2")])
    assert list(journal.scan("t/")) == [("t/a", b"1")]
    journal.transact([Write("t/new", None, b"1"), Write("t/a", b"1", b"2")])
    assert list(journal.scan("t/")) == [("t/a", b"2"), ("t/new", b"1")]


def test_a_value_is_expected_where_nothing_is(journal: Journal) -> None:
    with pytest.raises(Conflict):
        journal.transact([Write("t/a", b"1", b"2")])
    assert list(journal.scan("t/")) == []


def test_a_check_changes_nothing_and_still_conflicts(journal: Journal) -> None:
    journal.transact([Write("t/a", None, b"1")])
    journal.transact([Write("t/a", b"1", None), Write("t/absent", None, None), Write("t/b", None, b"2")])
    assert journal.get(["t/a", "t/absent", "t/b"]) == {"t/a": b"1", "t/b": b"2"}
    with pytest.raises(Conflict):
        journal.transact([Write("t/a", b"0", None), Write("t/c", None, b"3")])
    with pytest.raises(Conflict):
        journal.transact([Write("t/a", None, None), Write("t/c", None, b"3")])
    assert journal.get(["t/c"]) == {}


def test_a_row_is_removed_only_as_expected(journal: Journal) -> None:
    journal.transact([Write("t/a", None, b"1")])
    with pytest.raises(Conflict):
        journal.transact([Write("t/a", b"2", REMOVED)])
    journal.transact([Write("t/a", b"1", REMOVED)])
    assert list(journal.scan("t/")) == []
    with pytest.raises(Conflict):
        journal.transact([Write("t/a", b"1", REMOVED)])


def test_what_was_undone_can_be_done_again(journal: Journal) -> None:
    journal.transact([Write("t/a", None, b"1"), Write("t/b", None, b"1")])
    there, back = [[Write(key, old, new) for key in ("t/a", "t/b")] for old, new in ((b"1", b"2"), (b"2", b"1"))]
    for writes in (there, back, there):
        journal.transact(writes)
    assert journal.get(["t/a", "t/b"]) == {"t/a": b"2", "t/b": b"2"}


def test_a_check_alone_is_a_transaction(journal: Journal) -> None:
    journal.transact([Write("t/a", None, b"1")])
    journal.transact([Write("t/a", b"1", None)])
    with pytest.raises(Conflict):
        journal.transact([Write("t/a", b"2", None)])


# -------------------------------------------------------------------------------------------- the protocol


def test_founding_makes_lanes_once(founded: Journal) -> None:
    registry = rows.decode(Registry, rows.REGISTRY_KEY, founded.get([rows.REGISTRY_KEY])[rows.REGISTRY_KEY])
    assert registry.lanes == 2
    assert [key for key, _ in founded.scan("lane/")] == ["lane/0000", "lane/0001"]
    with pytest.raises(Conflict):
        founded.transact(operations.found(3))


def test_discovering_twice_conflicts(founded: Journal) -> None:
    assert shard(founded, "a").place == "free"
    with pytest.raises(Conflict):
        founded.transact([operations.discover("a", "clicks", ())])


def test_an_identical_resend_conflicts_and_the_commit_id_tells_whose_it_was(founded: Journal) -> None:
    adopt(founded, "a")
    mine = operations.commit(head(founded), "mine", REF, REF, {})
    other = operations.commit(head(founded), "other", REF, REF, {})
    founded.transact(mine.writes)
    for attempt in (mine, other):
        with pytest.raises(Conflict):
            founded.transact(attempt.writes)
    assert entry(founded, 0, mine.entry.n) == mine.entry
    assert head(founded) == mine.head
    assert mine.head.commit == "mine"


def test_a_lane_is_taken_only_if_its_owner_is_as_last_seen(founded: Journal) -> None:
    beat, seen = operations.beat(None, "old")
    founded.transact([beat])
    founded.transact(operations.take(head(founded), "t1", "old", "clicks", None).writes)
    again, later = operations.beat(seen, "old")
    founded.transact([again])
    with pytest.raises(Conflict):
        founded.transact(operations.take(head(founded), "t2", "new", "clicks", seen).writes)
    founded.transact(operations.take(head(founded), "t3", "new", "clicks", later).writes)
    assert (head(founded).owner, head(founded).n) == ("new", 2)
    assert founded.get([rows.worker_key("old")]) == {}, "a dead worker's heartbeat stays"
    with pytest.raises(Conflict):
        founded.transact([operations.beat(later, "old")[0]])


def test_a_shard_is_adopted_by_one_lane(founded: Journal) -> None:
    free = shard(founded, "a")
    first = operations.adopt(head(founded, 0), "x", [Coming(free)], REF)
    second = operations.adopt(head(founded, 1), "y", [Coming(free)], REF)
    founded.transact(first.writes)
    with pytest.raises(Conflict):
        founded.transact(second.writes)
    assert (shard(founded, "a").lane, head(founded, 1).n) == (0, 0)


def test_children_are_adopted_after_the_end_of_all_parents(founded: Journal) -> None:
    adopt(founded, "a", lane=0)
    adopt(founded, "b", lane=1)
    founded.transact([operations.discover("child", "clicks", ("a", "b"))])
    end_a = operations.commit(head(founded), "end-a", REF, REF, {"a": (shard(founded, "a"), REF)})
    founded.transact(end_a.writes)
    with pytest.raises(Conflict, match="before the end of"):
        adopt(founded, "child", ("a", "b"))
    end_b = operations.commit(head(founded, 1), "end-b", REF, REF, {"b": (shard(founded, "b"), REF)})
    founded.transact(end_b.writes)
    adopt(founded, "child", ("a", "b"))
    assert entry(founded, 0, 3).needs == ((0, 2), (1, 2))
    assert (shard(founded, "a").place, shard(founded, "child").place) == ("end", "held")


def test_a_released_shard_goes_on_in_another_lane_where_it_stopped(founded: Journal) -> None:
    adopt(founded, "a", lane=0)
    done = operations.release(head(founded, 0), "r", [Leaving(shard(founded, "a"), "0017.0012", REF)], REF)
    founded.transact(done.writes)
    with pytest.raises(Conflict):
        founded.transact(done.writes)
    adopt(founded, "a", lane=1)
    assert (shard(founded, "a").at, shard(founded, "a").lane) == ("0017.0012", 1)
    assert entry(founded, 1, 1).needs == ((0, 2),)


def test_a_fence_keeps_a_late_commit_out(founded: Journal) -> None:
    late = operations.commit(head(founded), "late", REF, REF, {})
    founded.transact(operations.fence(head(founded), "fence").writes)
    with pytest.raises(Conflict):
        founded.transact(late.writes)
    assert entry(founded, 0, 1).kind == "fence"
    assert head(founded).n == 1


# --------------------------------------------------------------------------------------------- SQLite only


def test_two_connections_race_for_one_head(tmp_path: Path) -> None:
    one, two = SqliteJournal(tmp_path / "j", sync=False), SqliteJournal(tmp_path / "j", sync=False)
    one.transact(operations.found(1))
    assert head(two) == head(one)
    attempts = {name: operations.commit(head(two), name, REF, REF, {}) for name in ("one", "two")}
    one.transact(attempts["one"].writes)
    with pytest.raises(Conflict):
        two.transact(attempts["two"].writes)
    assert head(two).commit == "one"
    one.close()
    two.close()


RACE = """
import sys
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.core.errors import Conflict
from shardlake.core.journal import operations, rows
journal = SqliteJournal(sys.argv[1])
try:
    journal.transact(operations.found(1))
except Conflict:
    pass
won, key = 0, rows.lane_key(0)
while True:
    head = rows.decode(rows.Head, key, journal.get([key])[key])
    if head.n >= 60:
        break
    try:
        journal.transact(operations.fence(head, f"{sys.argv[2]}-{head.n}").writes)
        won += 1
    except Conflict:
        pass
print(won)
"""


@pytest.mark.slow
def test_processes_race_for_one_head_and_every_slot_has_one_winner(tmp_path: Path) -> None:
    path = tmp_path / "made" / "by" / "whoever" / "journal"
    command = [sys.executable, "-c", RACE, str(path)]
    racers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE) for name in "ABC"]
    won = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sum(won) == 60
    journal = SqliteJournal(path, read_only=True)
    assert [entry(journal, 0, n + 1).commit.split("-")[1] for n in range(60)] == [str(n) for n in range(60)]
    assert sorted(p.name for p in path.parent.iterdir() if ".new-" in p.name) == []
    journal.close()


def test_a_query_never_makes_a_journal(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no journal"):
        SqliteJournal(tmp_path / "none" / "journal", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_query_sees_commits_at_once_and_cannot_write(tmp_path: Path) -> None:
    writer = SqliteJournal(tmp_path / "j", sync=False)
    reader = SqliteJournal(tmp_path / "j", read_only=True)
    for n in range(3):
        writer.transact([Write(f"k{n}", None, b"v")])
        assert len(reader.scan("k")) == n + 1
    with pytest.raises(ConfigError):
        reader.transact([Write("k9", None, b"v")])
    writer.close()
    reader.close()


def test_rows_outlive_the_process(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "j")
    first.transact([Write("k", None, b"v")])
    first.close()
    again = SqliteJournal(tmp_path / "j")
    assert again.get(["k"]) == {"k": b"v"}
    again.close()


def test_a_held_lock_is_transient_within_the_limit(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j", busy_s=0.05, sync=False)
    other = sqlite3.connect(tmp_path / "j", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Transient, match="locked"):
        journal.transact([Write("k", None, b"v")])
    assert journal.get(["k"]) == {}
    other.execute("ROLLBACK")
    journal.transact([Write("k", None, b"v")])
    other.close()
    journal.close()


def test_a_full_disk_is_transient_and_applies_nothing(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j", sync=False)
    journal.transact([Write("a", None, b"1")])
    journal._db.execute("PRAGMA max_page_count = 3")
    with pytest.raises(Transient, match="full"):
        journal.transact([Write("a", b"1", b"2"), Write("big", None, b"x" * 100_000)])
    assert list(journal.scan("")) == [("a", b"1")]
    journal._db.execute("PRAGMA max_page_count = 100000")
    journal.transact([Write("a", b"1", b"2")])
    journal.close()


def stamp(application_id: int, version: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE t (x)")
        db.execute(f"PRAGMA application_id = {application_id}")
        db.execute(f"PRAGMA user_version = {version}")
        db.close()

    return write


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (stamp(APPLICATION_ID, FORMAT + 1), FormatTooNew),
        (stamp(0, FORMAT), Corrupt),
        (lambda path: path.write_text("not a database " * 100), Corrupt),
    ],
)
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, write: Callable[[Path], None], error: type[Exception]
) -> None:
    write(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(error):
        SqliteJournal(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == before


def test_the_format_on_disk_is_pinned(tmp_path: Path) -> None:
    SqliteJournal(tmp_path / "j").close()
    db = sqlite3.connect(tmp_path / "j")
    pragmas = [db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("application_id", "user_version", "journal_mode")]
    assert pragmas == [0x53484C4B, 1, "wal"]
    (sql,) = db.execute("SELECT sql FROM sqlite_schema").fetchone()
    assert sql == "CREATE TABLE rows (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
    db.close()
