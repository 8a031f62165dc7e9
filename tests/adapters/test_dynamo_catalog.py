"""Batch tables whose catalog is in the journal: machines share them, and what is not heard of is found out."""

from pathlib import Path

import pytest

from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.table_reader import TableReader
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.ports import Snapshot
from shardlake.core.schema import Column
from shardlake.core.seam import Mark, Seam
from shardlake.testing.dynamodb import LATE, LOST_AFTER, LOST_BEFORE, THROTTLES, Fault
from tests.dynamodb.wired import Wired

COLUMNS = (Column("n", "BIGINT"),)


def seam(n: int) -> Seam:
    return Seam({0: Mark(n, f"commit-{n}")})


class Machine:
    """One of several machines that share a journal and the files."""

    def __init__(self, wired: Wired, files: Path, seed: int) -> None:
        self.tables = IcebergTables(files, sync=False, journal=wired.journal(seed=seed))
        self.reader = TableReader(files, journal=wired.journal(seed=seed + 1))

    def commit(self, base: Snapshot, n: int) -> Snapshot:
        return self.tables.commit(base, (), (), seam(n), {})

    def seam(self) -> int:
        found, read = self.tables.load("view"), self.reader.load("view")
        assert found is not None
        assert found == read
        return found.seam.n(0)


@pytest.fixture
def wired() -> Wired:
    return Wired()


@pytest.fixture
def machines(wired: Wired, tmp_path: Path) -> tuple[Machine, Machine]:
    return Machine(wired, tmp_path, 10), Machine(wired, tmp_path, 20)


def test_machines_see_one_another_s_tables_and_no_file_of_a_catalog(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    one, other = machines
    assert other.tables.load("view") is None
    base = one.tables.create("view", COLUMNS, None)
    assert other.tables.load("view") == base
    with pytest.raises(Conflict):
        other.tables.create("view", COLUMNS, None)
    one.commit(base, 1)
    assert other.seam() == 1
    with pytest.raises(Conflict):
        other.commit(base, 2)
    assert one.seam() == 1
    assert not list(tmp_path.glob("*.sqlite*"))
    other.tables.drop("view")
    assert one.tables.load("view") is None


@pytest.mark.parametrize("fault", [LOST_AFTER, LOST_BEFORE, LATE, Fault(), Fault(applied=True)])
def test_a_commit_whose_answer_is_lost_is_found_out(
    wired: Wired, machines: tuple[Machine, Machine], fault: Fault
) -> None:
    one, other = machines
    base = one.tables.create("view", COLUMNS, None)
    wired.dynamo.inject(fault, "PutItem")
    after = one.commit(base, 1)
    assert other.tables.load("view") == after
    wired.dynamo.land()
    one.commit(after, 2)
    assert other.seam() == 2


def test_what_is_never_heard_of_is_unknown_and_its_files_stay(wired: Wired, machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    base = one.tables.create("view", COLUMNS, None)
    wired.dynamo.inject(LOST_BEFORE, "PutItem", times=3)
    wired.dynamo.inject(LATE, "PutItem")
    with pytest.raises(OutcomeUnknown):
        one.commit(base, 1)
    assert other.seam() == 0
    wired.dynamo.land()
    assert other.seam() == 1
    other.commit(other.tables.load("view") or base, 2)


def test_who_was_not_heard_and_then_followed_is_told_that_nobody_knows(
    wired: Wired, machines: tuple[Machine, Machine]
) -> None:
    """It landed, and another commit followed before it could look: its files are in use, so they must stay."""
    one, other = machines
    base = one.tables.create("view", COLUMNS, None)

    def follow(action: str, _: bytes) -> Fault | None:
        if action != "PutItem" or sum(a == "PutItem" for a in wired.actions()) != 3:
            return None
        wired.dynamo.behaviour = wired.behaviour
        other.commit(other.tables.load("view") or base, 2)
        return None

    wired.dynamo.inject(LOST_AFTER, "PutItem")
    wired.dynamo.behaviour = wired.behaviour.changed(fault=follow)
    with pytest.raises(OutcomeUnknown):
        one.commit(base, 1)
    assert other.seam() == 2
    assert other.tables.sweep("view") == 0
    assert one.seam() == 2


def test_a_throttled_commit_did_not_happen(wired: Wired, machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    base = one.tables.create("view", COLUMNS, None)
    wired.dynamo.behaviour = wired.behaviour.changed(fault=lambda a, _: THROTTLES[0] if a == "PutItem" else None)
    with pytest.raises(Transient):
        one.commit(base, 1)
    wired.dynamo.behaviour = wired.behaviour
    assert other.seam() == 0
    one.commit(base, 1)
    assert other.seam() == 1
