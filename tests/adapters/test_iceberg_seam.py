"""The seam is a requirement of its own: it holds even where the table format's own check of the snapshot would not."""

from typing import TYPE_CHECKING, Any

import pytest
from pyiceberg.table.update import AssertRefSnapshotId

from shardlake.adapters.iceberg import commit as commits
from shardlake.core.errors import Conflict

if TYPE_CHECKING:
    from tests.adapters.conftest import Lake


def test_a_run_that_was_overtaken_is_refused_by_its_seam_alone(lake: "Lake", monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the commit had been rebased onto the newest snapshot, which is what a try again amounts to."""
    base = lake.started()
    other, real = lake.other(), commits._staged

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(commits, "_staged", real)
        other.commit(base, [lake.written(1)], [], lake.seam(2), lake.properties)
        monkeypatch.setattr(AssertRefSnapshotId, "validate", lambda *_: None)
        return real(*given)

    monkeypatch.setattr(commits, "_staged", overtaken)
    with pytest.raises(Conflict, match="the seam moved"):
        lake.commit(base, 2, 1)
    assert len(lake.scanned()) == 4, "the rows of one run"
    other.close()


def test_no_try_again_lands_on_a_seam_that_moved(lake: "Lake", monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run added no file, so that nothing but the seam tells that the same entries were counted."""
    base = lake.started()
    with lake.foreign().transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4", "commit.retry.min-wait-ms": "1"})
    other, real = lake.other(), commits._staged

    def overtaken(*given: Any) -> Any:
        monkeypatch.setattr(commits, "_staged", real)
        other.commit(base, [], [], lake.seam(2), lake.properties)
        return real(*given)

    monkeypatch.setattr(commits, "_staged", overtaken)
    with pytest.raises(Conflict):
        lake.commit(base, 2, 1)
    assert len(lake.scanned()) == 3
    other.close()
