"""Many workers with a time of their own each: shards become even, and nothing is lost, when a third of them die."""

from pathlib import Path

import pytest

from shardlake.testing.crowd import Crowd

HEARTBEATS_MAX = 3


@pytest.mark.parametrize("seed", range(3))
def test_shards_are_even_soon_after_a_third_of_the_workers_died(tmp_path: Path, seed: int) -> None:
    crowd = Crowd(tmp_path, 72, 9, seed)
    for _ in range(9):
        crowd.hire()
    crowd.put(200)
    crowd.even(60)
    crowd.split(3)
    crowd.put(200)
    crowd.baton.run(crowd.baton.now_s + 10)
    crowd.even(60)
    crowd.kill(1 / 3)
    crowd.put(200)
    crowd.baton.run(crowd.baton.now_s + crowd.limits.worker_expiry_s)
    even_s = crowd.even(60)
    assert len(crowd.dead) == len(crowd.taken_s) == 3
    assert even_s - max(crowd.taken_s) <= HEARTBEATS_MAX * crowd.limits.heartbeat_s, "in simulated seconds"
    crowd.baton.run(crowd.baton.now_s + 12)
    assert crowd.spread() <= 1, "it stays even"
    assert not crowd.audit()


def test_a_run_is_as_deterministic_as_its_seed(tmp_path: Path) -> None:
    def trace(folder: Path) -> list[tuple[str, bytes]]:
        crowd = Crowd(folder, 6, 3, 5)
        for _ in range(3):
            crowd.hire()
        crowd.put(50)
        crowd.baton.run(crowd.baton.now_s + 15)
        crowd.kill(1 / 3)
        crowd.baton.run(crowd.baton.now_s + 15)
        return list(crowd.inner.scan(""))

    assert trace(tmp_path / "one") == trace(tmp_path / "two")
